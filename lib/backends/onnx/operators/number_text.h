/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_OPERATORS_NUMBER_TEXT_H
#define MMI_BACKENDS_ONNX_OPERATORS_NUMBER_TEXT_H

/* Numbers as text and back, as Cast has them. Floats have as many digits as tell them from their
 * neighbours: "314.15926", "1.0", "1e-07"; NaN, INF, -INF. A bool is 1 or 0. */

#include <backends/onnx/operators/number.h>

#define ONNX_NUMBER_TEXT 40 /* bytes, at most */

/* Input 0, strings, to output 0; INF and NaN in any case, blanks around. MM_INVALID_ARGUMENT,
 * naming it, for one that is no number. */
mm_status mmi_onnx_read_numbers(const struct onnx_call *call,
                                const struct onnx_conversion *conversion, mm_error *err);
/* Input 0 to output 0, strings. */
mm_status mmi_onnx_write_numbers(const struct onnx_call *call, mm_error *err);

#endif
