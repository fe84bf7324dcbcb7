/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_CPU_CONV_H
#define MMI_BACKENDS_ONNX_CPU_CONV_H

/* What the kernels of Conv have in common. */

#include <backends/onnx/cpu/kernels.h>
#include <backends/onnx/cpu/multiply.h>
#include <backends/onnx/cpu/plane.h>
#include <backends/onnx/cpu/tasks.h>

/* A convolution is a product for each unit, which is a group of the channels of an image: the
 * weights [rows, depth] times what each result sees [depth, columns]. */
struct onnx_conv_sizes {
    const struct onnx_activation *activation; /* NULL: none */
    struct onnx_plane plane;
    uint64_t units, groups;
    uint64_t channels;             /* of a unit */
    uint64_t rows, depth, columns; /* rows: channels of its result; columns: results of each */
    uint64_t in_size;              /* pixels of a channel */
    double work_ns;                /* of all */
};

/* false: there is nothing to do, or there are three spatial axes. */
bool mmi_onnx_conv_sizes(struct onnx_conv_sizes *sizes, const struct onnx_conv *params,
                         const struct onnx_tensor *inputs);
/* Some rows and columns of a unit's product, with all of the depth and without B. */
struct onnx_simd_product mmi_onnx_conv_product(const struct onnx_conv_sizes *sizes,
                                               const struct onnx_call *call, uint64_t unit,
                                               struct onnx_range rows, struct onnx_range columns);
static inline const float *mmi_onnx_conv_image(const struct onnx_conv_sizes *sizes,
                                               const struct onnx_call *call, uint64_t unit) {
    return (const float *)call->in[0] + unit * sizes->channels * sizes->in_size;
}

/* The other kernels, for what mmi_onnx_choose_conv has checked; NULL: not for this one. */
onnx_kernel mmi_onnx_choose_depthwise(struct onnx_inference *x, const mm_services *services);
onnx_kernel mmi_onnx_choose_conv_strips(struct onnx_inference *x, const mm_services *services);

#endif
