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

#endif
