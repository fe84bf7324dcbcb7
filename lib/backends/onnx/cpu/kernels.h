/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_CPU_KERNELS_H
#define MMI_BACKENDS_ONNX_CPU_KERNELS_H

/* One for each operator that has fast kernels; as mmi_onnx_cpu_kernel. */

#include <backends/onnx/operators/operator.h>

onnx_kernel mmi_onnx_choose_average_pool(struct onnx_inference *x, const mm_services *services);
onnx_kernel mmi_onnx_choose_conv(struct onnx_inference *x, const mm_services *services);
onnx_kernel mmi_onnx_choose_conv_transpose(struct onnx_inference *x, const mm_services *services);
onnx_kernel mmi_onnx_choose_fused(struct onnx_inference *x, const mm_services *services);
onnx_kernel mmi_onnx_choose_global_average_pool(struct onnx_inference *x,
                                                const mm_services *services);
onnx_kernel mmi_onnx_choose_global_max_pool(struct onnx_inference *x, const mm_services *services);
onnx_kernel mmi_onnx_choose_layer_norm(struct onnx_inference *x, const mm_services *services);
onnx_kernel mmi_onnx_choose_linear(struct onnx_inference *x, const mm_services *services);
onnx_kernel mmi_onnx_choose_lstm(struct onnx_inference *x, const mm_services *services);
onnx_kernel mmi_onnx_choose_matmul(struct onnx_inference *x, const mm_services *services);
onnx_kernel mmi_onnx_choose_max_pool(struct onnx_inference *x, const mm_services *services);
onnx_kernel mmi_onnx_choose_reduce_max(struct onnx_inference *x, const mm_services *services);
onnx_kernel mmi_onnx_choose_reduce_mean(struct onnx_inference *x, const mm_services *services);
onnx_kernel mmi_onnx_choose_reduce_sum(struct onnx_inference *x, const mm_services *services);
onnx_kernel mmi_onnx_choose_resize(struct onnx_inference *x, const mm_services *services);
onnx_kernel mmi_onnx_choose_softmax(struct onnx_inference *x, const mm_services *services);

#endif
