/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_OPERATORS_REFUSED_H
#define MMI_BACKENDS_ONNX_OPERATORS_REFUSED_H

/* Operators that are refused with an advice: those of refused.def. */

struct onnx_refused {
    const char *domain; /* "": ai.onnx; NULL ends them */
    const char *name;   /* "*": every other one of the domain */
    const char *advice;
};
extern const struct onnx_refused mmi_onnx_refused[];

/* What to do about an operator that is not there; NULL: nothing is known. */
const char *mmi_onnx_advice(const char *domain, const char *type);

#endif
