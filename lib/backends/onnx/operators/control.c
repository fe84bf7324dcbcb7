/* SPDX-License-Identifier: Apache-2.0 */

/* If: by the time steps are made its condition is known, and only one of its branches is left. */

#include <backends/onnx/operators/operator.h>
#include <base/status.h>

static mm_status read_if(const struct onnx_attributes *a, void *params, mm_error *err) {
    (void)params;
    static const char *const names[] = {"then_branch", "else_branch"};
    for (int i = 0; i < 2; i++) {
        const struct onnx_attribute *branch = mmi_onnx_attribute(a, names[i]);
        if (!branch || branch->type != ONNX_ATTRIBUTE_GRAPH || !branch->graph) {
            return mmi_fail(err, MM_INVALID_MODEL, "attribute %s is no graph", names[i]);
        }
    }
    return MM_OK;
}

const struct onnx_operator mmi_onnx_op_If = {
    .name = "If",
    .flags = ONNX_OP_CONTROL,
    .min_inputs = 1,
    .max_inputs = 1,
    .min_outputs = 1,
    .max_outputs = ONNX_ANY_NUMBER,
    .shaping_inputs = 1u << 0,
    .read = read_if,
};
