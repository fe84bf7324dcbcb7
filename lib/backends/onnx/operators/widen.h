/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_OPERATORS_WIDEN_H
#define MMI_BACKENDS_ONNX_OPERATORS_WIDEN_H

/* Plain kernels that compute in one type of number and serve all. */

#include <backends/onnx/operators/operator.h>

/* Floats of 16 bits and more, integers of 8 and more. */
bool mmi_onnx_is_number(int32_t dtype);
/* count numbers, or bools, as f64. */
void mmi_onnx_widen(int32_t dtype, const void *from, uint64_t count, double *to);
/* And back: rounded to the nearest, ties to even; integers saturate, and are 0 for what is no
 * number. */
void mmi_onnx_narrow(const double *from, uint64_t count, int32_t dtype, void *to);

/* f32 f64 f16 bf16 */
bool mmi_onnx_is_float(int32_t dtype);
/* MM_UNSUPPORTED where input 0 is none of them. */
mm_status mmi_onnx_check_float(const struct onnx_inference *x, mm_error *err);
/* MM_INVALID_MODEL where an input differs in type from input 0; those in the mask `others` may. */
mm_status mmi_onnx_check_alike(const struct onnx_inference *x, uint32_t others, mm_error *err);

/* f16 and bf16 by way of f32: where input 0 has such a type, call `run` with f32 copies of it
 * and of all inputs and outputs of its type, else with the call itself. infer adds the room for
 * the copies to what `run` wants (x->scratch_bytes). At most ONNX_COPIED inputs, and outputs. */
#define ONNX_COPIED 8
mm_status mmi_onnx_add_copies(struct onnx_inference *x, mm_error *err);
mm_status mmi_onnx_run_copied(const struct onnx_call *call, onnx_kernel run, mm_error *err);

#endif
