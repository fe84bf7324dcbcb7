/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_PASSES_BATCH_NORM_H
#define MMI_BACKENDS_ONNX_PASSES_BATCH_NORM_H

#include <backends/onnx/passes/rewrite.h>

/* A BatchNormalization as scale and shift of each channel. false: the node is another operator, has
 * another number of channels, or its parameters are not all constant. */
bool mmi_onnx_batch_norm_affine(const struct onnx_model *model, const struct onnx_node *node,
                                uint64_t channels, double *scale, double *shift);

#endif
