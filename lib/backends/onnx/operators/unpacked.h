/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_OPERATORS_UNPACKED_H
#define MMI_BACKENDS_ONNX_OPERATORS_UNPACKED_H

/* What moves whole bytes also moves elements of 4 and 2 bits: they are unpacked to bytes, moved,
 * and packed again. */

#include <backends/onnx/operators/operator.h>

/* `infer` and `run` with u8 in place of packed types, where input 0 has one. */
mm_status mmi_onnx_infer_unpacked(struct onnx_inference *x,
                                  mm_status (*infer)(struct onnx_inference *x, mm_error *err),
                                  mm_error *err);
mm_status mmi_onnx_run_unpacked(const struct onnx_call *call, onnx_kernel run, mm_error *err);

/* Both for infer_<name> and run_<name>, which have a single output. */
#define ONNX_UNPACKED(name)                                                                        \
    static mm_status infer_unpacked_##name(struct onnx_inference *x, mm_error *err) {              \
        return mmi_onnx_infer_unpacked(x, infer_##name, err);                                      \
    }                                                                                              \
    static mm_status run_unpacked_##name(const struct onnx_call *call, mm_error *err) {            \
        return mmi_onnx_run_unpacked(call, run_##name, err);                                       \
    }

#endif
