/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_PASSES_NORM_H
#define MMI_BACKENDS_ONNX_PASSES_NORM_H

#include <backends/onnx/passes/rewrite.h>

/* What a BatchNormalization multiplies by and adds, for each of `channels`. false: it is none, or
 * has another number of channels, or not all of that is constant. */
bool mmi_onnx_norm_factors(const struct onnx_model *model, const struct onnx_node *node,
                           uint64_t channels, double *scale, double *shift);

#endif
