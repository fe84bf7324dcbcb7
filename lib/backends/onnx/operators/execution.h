/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_OPERATORS_EXECUTION_H
#define MMI_BACKENDS_ONNX_OPERATORS_EXECUTION_H

/* One run of a node that no plan can hold: its results' shapes depend on elements, its values are
 * no tensors, or it runs graphs. Such an operator has `execute` instead of `infer` and `run`; it
 * takes values with their data and makes values, in memory of the run. */

#include <backends/onnx/graph/run_value.h>
#include <backends/onnx/operators/operator.h>

struct onnx_execution {
    const struct onnx_node *node;
    const void *params;
    uint32_t input_count, output_count;
    const struct onnx_run_value *inputs; /* [input_count]; not `there` where left out */
    /* [output_count]: to be made, all of them. Dropped by the caller, also after a failure. */
    struct onnx_run_value *outputs;
    struct onnx_run_memory *memory;
    const mm_services *services;
    /* Run a graph of the node. inputs: [graph->input_count], taken over and no longer there
     * afterwards, also after a failure. outputs: [graph->output_count], the caller's to drop.
     * MM_CANCELLED once the run is to end. */
    mm_status (*call)(void *ctx, const struct onnx_graph *graph, struct onnx_run_value *inputs,
                      struct onnx_run_value *outputs, mm_error *err);
    void *ctx;
};

static inline bool mmi_onnx_is_given(const struct onnx_execution *x, uint32_t i) {
    return i < x->input_count && x->inputs[i].there;
}
/* Input i is a tensor of this dtype (MM_DTYPE_NONE: of any) and rank (-1: any). `what`: its name
 * for the message. */
mm_status mmi_onnx_expect_tensor(const struct onnx_execution *x, uint32_t i, const char *what,
                                 int32_t dtype, int32_t rank, mm_error *err);
/* Input i is a single bool or integer. */
mm_status mmi_onnx_expect_number(const struct onnx_execution *x, uint32_t i, const char *what,
                                 int64_t *number, mm_error *err);

#endif
