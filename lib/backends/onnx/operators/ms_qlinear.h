/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_OPERATORS_MS_QLINEAR_H
#define MMI_BACKENDS_ONNX_OPERATORS_MS_QLINEAR_H

/* What the QLinear operators of com.microsoft have in common: tensors of u8 or i8, each with one
 * scale and one zero point for all of it. In the inputs the zero point stands behind the scale. */

#include <backends/onnx/operators/number.h>

#define ONNX_BYTES (ONNX_TYPE(MM_U8) | ONNX_TYPE(MM_I8))

/* Input `scale` is one f32; the zero point behind it, if it is there, one number of this type. */
mm_status mmi_onnx_check_scale(const struct onnx_inference *x, uint32_t scale, int32_t dtype,
                               mm_error *err);
/* Input `tensor` is of type `dtype`, u8 or i8, with scale and zero point behind it. */
mm_status mmi_onnx_check_scaled(const struct onnx_inference *x, uint32_t tensor, int32_t dtype,
                                mm_error *err);

struct onnx_scaling {
    int32_t dtype;
    float scale, zero;
};
struct onnx_scaling mmi_onnx_scaling(const struct onnx_call *call, uint32_t scale, int32_t dtype);
/* To f32; and back, rounded to nearest, ties to even, within the range of the type. */
void mmi_onnx_scale_up(const struct onnx_scaling *scaling, const void *from, uint64_t count,
                       float *to);
void mmi_onnx_scale_down(const struct onnx_scaling *scaling, const float *from, uint64_t count,
                         void *to);

#endif
