/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_CPU_CHANNELS_LAST_H
#define MMI_BACKENDS_ONNX_CPU_CHANNELS_LAST_H

/* Shared by the kernels of ChannelsLastConv. */

#include <backends/onnx/cpu/simd.h>
#include <backends/onnx/operators/channels_last.h>

/* What happens to results in registers, and what after that. */
struct onnx_epilogue {
    float low, high;
    const struct onnx_activation *activation; /* NULL: nothing */
};
/* Relu and Clip are done in registers. */
struct onnx_epilogue mmi_onnx_epilogue(const struct onnx_activation *activation);

/* NULL: not suitable. */
onnx_kernel mmi_onnx_choose_winograd(struct onnx_inference *x, const mm_services *services);
onnx_kernel mmi_onnx_choose_depthwise_last(struct onnx_inference *x, const mm_services *services);

#endif
