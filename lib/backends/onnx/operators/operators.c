/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/operators/operator.h>

#include <string.h>

const struct onnx_operator *const mmi_onnx_operators[] = {
#define ONNX_OPERATOR(name) &mmi_onnx_op_##name,
#include <backends/onnx/operators/operators.def>
#undef ONNX_OPERATOR
    NULL};

const struct onnx_operator *mmi_onnx_find_operator(const char *domain, const char *type) {
    const char *wanted = strcmp(domain, "ai.onnx") == 0 ? "" : domain;
    for (const struct onnx_operator *const *op = mmi_onnx_operators; *op; op++) {
        const char *its = (*op)->domain ? (*op)->domain : "";
        if (strcmp((*op)->name, type) == 0 && strcmp(its, wanted) == 0) {
            return *op;
        }
    }
    return NULL;
}
