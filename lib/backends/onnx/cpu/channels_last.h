/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_CPU_CHANNELS_LAST_H
#define MMI_BACKENDS_ONNX_CPU_CHANNELS_LAST_H

/* Shared by the kernels of ChannelsLastConv. */

#include <backends/onnx/cpu/span_product.h>
#include <backends/onnx/operators/channels_last.h>

/* NULL: not suitable. */
onnx_kernel mmi_onnx_choose_winograd(struct onnx_inference *x, const mm_services *services);
onnx_kernel mmi_onnx_choose_depthwise_last(struct onnx_inference *x, const mm_services *services);

#endif
