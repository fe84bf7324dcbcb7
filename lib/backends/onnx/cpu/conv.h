/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_CPU_CONV_H
#define MMI_BACKENDS_ONNX_CPU_CONV_H

/* Shared by the kernels of Conv. */

#include <backends/onnx/cpu/gemm.h>
#include <backends/onnx/operators/operator.h>
#include <backends/onnx/cpu/tasks.h>
#include <backends/onnx/cpu/window_2d.h>

/* A convolution is one GEMM for each image and group: weights [m, k] times the im2col matrix
 * [k, n]. m: output channels, n: output pixels, k: taps in all input channels of the group. */
struct onnx_conv_sizes {
    const struct onnx_activation *activation; /* NULL: none */
    struct onnx_window_2d window;
    uint64_t gemms, groups;
    uint64_t channels; /* input channels of a group */
    uint64_t m, k, n;
    uint64_t in_pixels; /* of an input channel */
    double work_ns;     /* of all GEMMs */
};

/* false: empty, or three spatial axes. */
bool mmi_onnx_conv_sizes(struct onnx_conv_sizes *sizes, const struct onnx_conv *params,
                         const struct onnx_tensor *inputs);
/* Some rows and columns of C; all of k. B is not set. */
struct onnx_sgemm mmi_onnx_conv_gemm(const struct onnx_conv_sizes *sizes,
                                     const struct onnx_call *call, uint64_t gemm,
                                     struct onnx_range rows, struct onnx_range columns);
static inline const float *mmi_onnx_conv_image(const struct onnx_conv_sizes *sizes,
                                               const struct onnx_call *call, uint64_t gemm) {
    return (const float *)call->in[0] + gemm * sizes->channels * sizes->in_pixels;
}

/* For inputs that mmi_onnx_cpu_Conv has checked; NULL: not suitable. */
onnx_kernel mmi_onnx_choose_depthwise(struct onnx_inference *x, const mm_services *services);
/* The same for QLinearConv. */
onnx_kernel mmi_onnx_choose_quantized_depthwise(struct onnx_inference *x,
                                                const mm_services *services);

#endif
