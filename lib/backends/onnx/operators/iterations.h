/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_OPERATORS_ITERATIONS_H
#define MMI_BACKENDS_ONNX_OPERATORS_ITERATIONS_H

/* What Loop and Scan share: values that are carried from one iteration to the next, and outputs
 * that are stacked, one slice from each iteration. */

#include <backends/onnx/operators/execution.h>

/* Graph i of a node of `op` has as many inputs and outputs. */
mm_status mmi_onnx_check_graph(const struct onnx_node *node, const struct onnx_operator *op,
                               uint32_t i, uint64_t inputs, uint64_t outputs, mm_error *err);

struct onnx_stack {
    struct onnx_run_value slices; /* [capacity, ...], of which `count` are there */
    int64_t count, capacity;
    int64_t axis; /* of the result; may be negative */
    bool reverse;
};

/* One slice more; expected: how many there will be, 0: nobody knows. */
mm_status mmi_onnx_push(const struct onnx_execution *x, struct onnx_stack *stack,
                        const struct onnx_run_value *slice, int64_t expected, mm_error *err);
/* The stack as an output; it is empty afterwards. Without slices it has the declared shape (NULL:
 * none), with nothing along free axes. */
mm_status mmi_onnx_pop_all(const struct onnx_execution *x, struct onnx_stack *stack,
                           const mm_value_info *declared, struct onnx_run_value *result,
                           mm_error *err);

/* The inputs and outputs of a graph, and a stack for each output; all zeroed. */
struct onnx_iteration {
    struct onnx_run_block *block;
    struct onnx_run_value *inputs, *outputs;
    struct onnx_stack *stacks; /* [output_count] */
};
mm_status mmi_onnx_begin_iterations(const struct onnx_execution *x, const struct onnx_graph *graph,
                                    struct onnx_iteration *it, mm_error *err);

/* From now on another holder's. */
static inline struct onnx_run_value mmi_onnx_hand_over(struct onnx_run_value *value) {
    struct onnx_run_value moved = *value;
    *value = (struct onnx_run_value){0};
    return moved;
}

#endif
