/* SPDX-License-Identifier: Apache-2.0 */

/* If and Loop: nodes that run graphs. */

#include <backends/onnx/operators/iterations.h>
#include <base/status.h>

#include <inttypes.h>
#include <string.h>

/* ---- If -------------------------------------------------------------------------------------- */

static mm_status check_if(const struct onnx_node *node, mm_error *err) {
    for (uint32_t i = 0; i < 2; i++) {
        MMI_TRY(mmi_onnx_check_graph(node, &mmi_onnx_op_If, i, 0, node->output_count, err));
    }
    return MM_OK;
}

static mm_status execute_if(struct onnx_execution *x, mm_error *err) {
    MMI_TRY(mmi_onnx_expect_tensor(x, 0, "condition", MM_BOOL, -1, err));
    int64_t condition;
    MMI_TRY(mmi_onnx_expect_number(x, 0, "condition", &condition, err));
    return x->call(x->ctx, x->node->graphs[condition ? 0 : 1], NULL, x->outputs, err);
}

const struct onnx_operator mmi_onnx_op_If = {
    .name = "If",
    .flags = ONNX_OP_CONTROL,
    .min_inputs = 1,
    .max_inputs = 1,
    .min_outputs = 1,
    .max_outputs = ONNX_ANY_NUMBER,
    .shaping_inputs = 1u << 0,
    .execute = execute_if,
    .graphs = {"then_branch", "else_branch"},
    .check_graphs = check_if,
};

/* ---- Loop ------------------------------------------------------------------------------------ */

/* Inputs: the most iterations, the first condition, then what is carried. Of its graph: iteration,
 * condition, carried; its outputs: condition, carried, then what is stacked. */

static mm_status make_number(const struct onnx_execution *x, int32_t dtype, int64_t number,
                             struct onnx_run_value *value, mm_error *err) {
    MMI_TRY(mmi_onnx_make_tensor(x->memory, dtype, 0, NULL, value, err));
    memcpy(mmi_onnx_value_data(value), &number, value->tensor.bytes); /* the low bytes come first */
    return MM_OK;
}

static uint32_t carried_by_loop(const struct onnx_node *node) {
    return node->input_count > 2 ? node->input_count - 2 : 0;
}

static mm_status check_loop(const struct onnx_node *node, mm_error *err) {
    uint32_t carried = carried_by_loop(node);
    if (node->output_count < carried) {
        return mmi_fail(err, MM_INVALID_MODEL, "%u outputs, %u or more wanted", node->output_count,
                        carried);
    }
    return mmi_onnx_check_graph(node, &mmi_onnx_op_Loop, 0, (uint64_t)carried + 2,
                                (uint64_t)node->output_count + 1, err);
}

static mm_status keeps_going(const struct onnx_run_value *value, bool *going, mm_error *err) {
    if (!value->there || value->kind != MM_TENSOR || value->tensor.dtype != MM_BOOL ||
        value->tensor.elements != 1) {
        return mmi_fail(err, MM_INVALID_MODEL, "its condition is no single bool");
    }
    *going = mmi_onnx_int_at(&value->tensor, 0) != 0;
    return MM_OK;
}

static mm_status iterate(struct onnx_execution *x, struct onnx_iteration *it, int64_t i,
                         int64_t most, bool *going, mm_error *err) {
    const struct onnx_graph *graph = x->node->graphs[0];
    uint32_t carried = carried_by_loop(x->node);
    MMI_TRY(make_number(x, MM_I64, i, &it->inputs[0], err));
    MMI_TRY(make_number(x, MM_BOOL, 1, &it->inputs[1], err));
    for (uint32_t j = 0; j < carried; j++) {
        it->inputs[2 + j] = mmi_onnx_hand_over(&x->outputs[j]);
    }
    MMI_TRY(x->call(x->ctx, graph, it->inputs, it->outputs, err));
    MMI_TRY(keeps_going(&it->outputs[0], going, err));
    mmi_onnx_drop_value(x->memory, &it->outputs[0]);
    for (uint32_t j = 0; j < carried; j++) {
        x->outputs[j] = mmi_onnx_hand_over(&it->outputs[1 + j]);
    }
    for (uint32_t j = 1 + carried; j < graph->output_count; j++) {
        MMI_TRY(
            mmi_onnx_push(x, &it->stacks[j], &it->outputs[j], most == INT64_MAX ? 0 : most, err));
        mmi_onnx_drop_value(x->memory, &it->outputs[j]);
    }
    return MM_OK;
}

static mm_status execute_loop(struct onnx_execution *x, mm_error *err) {
    const struct onnx_graph *graph = x->node->graphs[0];
    struct onnx_iteration it = {0};
    int64_t most = INT64_MAX;
    bool going = true;
    MMI_TRY(mmi_onnx_is_given(x, 0) ? mmi_onnx_expect_number(x, 0, "count", &most, err) : MM_OK);
    MMI_TRY(mmi_onnx_is_given(x, 1) ? keeps_going(&x->inputs[1], &going, err) : MM_OK);
    MMI_TRY(mmi_onnx_begin_iterations(x, graph, &it, err));
    uint32_t carried = carried_by_loop(x->node);
    for (uint32_t j = 0; j < carried; j++) {
        x->outputs[j] = mmi_onnx_share_value(&x->inputs[2 + j]);
    }
    uint64_t limit = x->services->limits_iterations;
    for (int64_t i = 0; i < most && going; i++) {
        if (limit && (uint64_t)i == limit) {
            return mmi_fail(err, MM_UNSUPPORTED,
                            "more than %" PRIu64 " iterations (max_iterations)", limit);
        }
        MMI_TRY(iterate(x, &it, i, most, &going, err));
    }
    for (uint32_t j = 1 + carried; j < graph->output_count; j++) {
        const mm_value_info *declared = graph->declared ? &graph->declared[j] : NULL;
        MMI_TRY(mmi_onnx_pop_all(x, &it.stacks[j], declared, &x->outputs[j - 1], err));
    }
    mmi_onnx_block_drop(x->memory, it.block);
    return MM_OK;
}

const struct onnx_operator mmi_onnx_op_Loop = {
    .name = "Loop",
    .min_inputs = 0,
    .max_inputs = ONNX_ANY_NUMBER,
    .min_outputs = 0,
    .max_outputs = ONNX_ANY_NUMBER,
    .execute = execute_loop,
    .graphs = {"body"},
    .check_graphs = check_loop,
};
