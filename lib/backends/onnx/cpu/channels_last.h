/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_CPU_CHANNELS_LAST_H
#define MMI_BACKENDS_ONNX_CPU_CHANNELS_LAST_H

/* Shared by the kernels of ChannelsLastConv. */

#include <backends/onnx/cpu/span_product.h>
#include <backends/onnx/operators/channels_last.h>

/* Room for weights that are narrow, as f32, and what they are then; 0 and the weights themselves
 * where they are f32. */
uint64_t mmi_onnx_widened_weights_bytes(const struct onnx_tensor *weights);
const float *mmi_onnx_widen_weights(const struct onnx_simd *simd, const struct onnx_tensor *tensor,
                                    const void *weights, void *room);

/* NULL: not suitable. */
onnx_kernel mmi_onnx_choose_winograd(struct onnx_inference *x, const mm_services *services);
onnx_kernel mmi_onnx_choose_depthwise_last(struct onnx_inference *x, const mm_services *services);

#endif
