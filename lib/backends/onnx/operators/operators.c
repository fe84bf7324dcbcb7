/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/operators/operator.h>

#include <string.h>

const struct onnx_operator *const mmi_onnx_operators[] = {
#define ONNX_OPERATOR(name) &mmi_onnx_op_##name,
#include <backends/onnx/operators/operators.def>
#undef ONNX_OPERATOR
    NULL};

/* Not to be found in a file: made by the passes. */
static bool is_ours(const char *name) {
    return strcmp(name, "Linear") == 0 || strcmp(name, "Fused") == 0;
}

const struct onnx_operator *mmi_onnx_find_operator(const char *domain, const char *type) {
    bool standard = domain[0] == '\0' || strcmp(domain, "ai.onnx") == 0;
    bool ours = strcmp(domain, "mmi") == 0;
    for (const struct onnx_operator *const *op = mmi_onnx_operators; *op; op++) {
        if (strcmp((*op)->name, type) == 0) {
            return (is_ours(type) ? ours : standard) ? *op : NULL;
        }
    }
    return NULL;
}
