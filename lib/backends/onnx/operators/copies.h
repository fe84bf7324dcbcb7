/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_OPERATORS_COPIES_H
#define MMI_BACKENDS_ONNX_OPERATORS_COPIES_H

/* f16 and bf16 by way of f32, for kernels that read elements in another order than they lie. */

#include <backends/onnx/operators/number.h>

#define ONNX_COPIED 8 /* inputs, and outputs, at most */

/* Where input 0 has such a type: room for f32 copies of it, and of all inputs and outputs of its
 * type, besides what x->scratch_bytes has for `run`. For infer, once the outputs are set. */
mm_status mmi_onnx_add_copies(struct onnx_inference *x, mm_error *err);
/* Call `run` with the copies in their place, else with the call itself. */
mm_status mmi_onnx_run_copied(const struct onnx_call *call, onnx_kernel run, mm_error *err);

/* f32 or f64, read and written as f64: what such a call has. */
struct onnx_reals {
    const void *data; /* NULL: there are none */
    bool wide;        /* f64 */
};
static inline struct onnx_reals mmi_onnx_reals(const struct onnx_call *call, uint32_t input) {
    bool given = mmi_onnx_given(call, input);
    return (struct onnx_reals){given ? call->in[input] : NULL,
                               given && call->inputs[input].dtype == MM_F64};
}
static inline double mmi_onnx_real(struct onnx_reals reals, uint64_t i) {
    return reals.wide ? ((const double *)reals.data)[i] : (double)((const float *)reals.data)[i];
}
static inline void mmi_onnx_set_real(void *to, bool wide, uint64_t i, double value) {
    if (wide) {
        ((double *)to)[i] = value;
    } else {
        ((float *)to)[i] = (float)value;
    }
}

#endif
