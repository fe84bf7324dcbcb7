/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/operators/cast.h>
#include <backends/onnx/operators/movement.h>
#include <backends/onnx/passes/rewrite.h>
#include <base/status.h>

#include <string.h>

/* ---- Nodes that change nothing --------------------------------------------------------------- */

/* A constant whose elements all are `wanted`. */
static bool all_are(const struct onnx_tensor *constant, double wanted) {
    bool number = constant && (constant->dtype == MM_F32 || constant->dtype == MM_F16 ||
                               constant->dtype == MM_I32 || constant->dtype == MM_I64 ||
                               constant->dtype == MM_BOOL);
    for (uint64_t i = 0; number && i < constant->elements; i++) {
        number = mmi_onnx_float_at(constant, i) == wanted;
    }
    return number;
}

/* x op c is x, because c is `neutral` and has no more axes than x. */
static bool is_neutral(const struct onnx_rewrite *rewrite, const struct onnx_node *node,
                       double neutral) {
    const struct onnx_tensor *constant = mmi_onnx_constant(rewrite->model, node, 1);
    int32_t rank = rewrite->facts[node->inputs[0]].rank;
    return constant && constant->elements == 1 && all_are(constant, neutral) &&
           (constant->rank == 0 || (int32_t)constant->rank <= rank);
}

static bool slices_nothing(const struct onnx_model *model, const struct onnx_node *node) {
    const struct onnx_tensor *end = mmi_onnx_constant(model, node, 2);
    bool steps = node->input_count > 4 && node->inputs[4] != ONNX_NO_VALUE;
    return all_are(mmi_onnx_constant(model, node, 1), 0) && end && end->dtype == MM_I64 &&
           all_are(end, (double)INT64_MAX) &&
           (!steps || all_are(mmi_onnx_constant(model, node, 4), 1));
}

/* Every axis is copied. */
static bool reshapes_nothing(const struct onnx_rewrite *rewrite, const struct onnx_node *node) {
    const struct onnx_tensor *shape = mmi_onnx_constant(rewrite->model, node, 1);
    const struct onnx_reshape *reshape = node->params;
    return all_are(shape, 0) && !reshape->allowzero &&
           (int64_t)shape->elements == rewrite->facts[node->inputs[0]].rank;
}

static bool transposes_nothing(const struct onnx_node *node) {
    const struct onnx_transpose *transpose = node->params;
    for (uint32_t i = 0; i < transpose->count; i++) {
        if (transpose->perm[i] != i) {
            return false;
        }
    }
    return transpose->count > 0;
}

static bool drops_nothing(const struct onnx_rewrite *rewrite, const struct onnx_node *node) {
    bool mask = node->output_count > 1 && node->outputs[1] != ONNX_NO_VALUE &&
                rewrite->uses.of[node->outputs[1]].count > 0;
    bool trains = node->input_count > 2 && node->inputs[2] != ONNX_NO_VALUE;
    return !mask && (!trains || all_are(mmi_onnx_constant(rewrite->model, node, 2), 0));
}

static bool casts_nothing(const struct onnx_rewrite *rewrite, const struct onnx_node *node) {
    const struct onnx_cast *cast = node->params;
    return rewrite->facts[node->inputs[0]].dtype == cast->to;
}

/* Of one input these are that input. */
static bool joins(const struct onnx_operator *op) {
    return op == &mmi_onnx_op_Concat || op == &mmi_onnx_op_Max || op == &mmi_onnx_op_Mean ||
           op == &mmi_onnx_op_Min || op == &mmi_onnx_op_Sum;
}

/* Its output 0 is its input 0, for every shape. */
static bool changes_nothing(const struct onnx_rewrite *rewrite, const struct onnx_node *node) {
    const struct onnx_model *model = rewrite->model;
    const struct onnx_operator *op = node->op;
    return op == &mmi_onnx_op_Identity || (joins(op) && node->input_count == 1) ||
           (op == &mmi_onnx_op_Dropout && drops_nothing(rewrite, node)) ||
           (op == &mmi_onnx_op_Cast && casts_nothing(rewrite, node)) ||
           (op == &mmi_onnx_op_Transpose && transposes_nothing(node)) ||
           (op == &mmi_onnx_op_Reshape && reshapes_nothing(rewrite, node)) ||
           (op == &mmi_onnx_op_Slice && slices_nothing(model, node)) ||
           (op == &mmi_onnx_op_Pad && all_are(mmi_onnx_constant(model, node, 1), 0)) ||
           (op == &mmi_onnx_op_Mul && is_neutral(rewrite, node, 1)) ||
           (op == &mmi_onnx_op_Div && is_neutral(rewrite, node, 1)) ||
           (op == &mmi_onnx_op_Sub && is_neutral(rewrite, node, 0));
}

static mm_status skip_nodes(struct onnx_rewrite *rewrite, struct onnx_graph *graph, mm_error *err) {
    (void)err;
    for (uint32_t i = 0; i < graph->node_count; i++) {
        struct onnx_node *node = graph->nodes[i];
        bool has = node->input_count > 0 && node->inputs[0] != ONNX_NO_VALUE &&
                   node->output_count > 0 && node->outputs[0] != ONNX_NO_VALUE;
        if (has && changes_nothing(rewrite, node)) {
            mmi_onnx_rename(rewrite, node->outputs[0], node->inputs[0]);
            mmi_onnx_remove(node);
        }
    }
    return MM_OK;
}

/* ---- Nodes that nobody needs ----------------------------------------------------------------- */

static void need(bool *needed, const uint32_t *values, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        if (values[i] != ONNX_NO_VALUE) {
            needed[values[i]] = true;
        }
    }
}

/* Outputs that nobody needs are left out; false: it needs not be there at all. */
static bool trim_outputs(const bool *needed, struct onnx_node *node) {
    bool some = false;
    for (uint32_t i = 0; i < node->output_count; i++) {
        uint32_t *output = &node->outputs[i];
        *output = *output != ONNX_NO_VALUE && needed[*output] ? *output : ONNX_NO_VALUE;
        some |= *output != ONNX_NO_VALUE;
    }
    return some;
}

/* Backwards: who needs a value comes before who makes it. Inputs of a graph stay what they are,
 * also those that it does not read: whoever runs it gives them. */
static void keep_needed(bool *needed, struct onnx_graph *graph) {
    uint32_t first = graph->node_count;
    need(needed, graph->inputs, graph->input_count);
    need(needed, graph->outputs, graph->output_count);
    for (uint32_t i = graph->node_count; i-- > 0;) {
        struct onnx_node *node = graph->nodes[i];
        if (!trim_outputs(needed, node)) {
            continue;
        }
        for (uint32_t b = 0; b < node->graph_count; b++) {
            keep_needed(needed, node->graphs[b]);
        }
        need(needed, node->inputs, node->input_count);
        graph->nodes[--first] = node;
    }
    graph->node_count -= first;
    if (first > 0) { /* a graph without nodes may have none at NULL */
        memmove(graph->nodes, graph->nodes + first, graph->node_count * sizeof(struct onnx_node *));
    }
}

/* ---- Numbers --------------------------------------------------------------------------------- */

static void renumber(const uint32_t *numbers, uint32_t *values, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        values[i] = values[i] == ONNX_NO_VALUE ? ONNX_NO_VALUE : numbers[values[i]];
    }
}

static void renumber_graph(const uint32_t *numbers, struct onnx_graph *graph) {
    renumber(numbers, graph->inputs, graph->input_count);
    renumber(numbers, graph->outputs, graph->output_count);
    for (uint32_t i = 0; i < graph->node_count; i++) {
        struct onnx_node *node = graph->nodes[i];
        renumber(numbers, node->inputs, node->input_count);
        renumber(numbers, node->outputs, node->output_count);
        for (uint32_t b = 0; b < node->graph_count; b++) {
            renumber_graph(numbers, node->graphs[b]);
        }
    }
}

static mm_status drop_unneeded(struct onnx_model *model, struct onnx_arena *work, mm_error *err) {
    bool *needed = mmi_onnx_take(work, model->value_count, sizeof(*needed));
    uint32_t *numbers = mmi_onnx_take(work, model->value_count, sizeof(*numbers));
    if (!needed || !numbers) {
        return mmi_onnx_no_room(err);
    }
    keep_needed(needed, model->main);
    need(needed, model->defaults, model->defaults ? model->main->input_count : 0);
    uint32_t count = 0;
    for (uint32_t i = 0; i < model->value_count; i++) {
        if (needed[i]) {
            numbers[i] = count;
            model->values[count++] = model->values[i];
        }
    }
    model->value_count = count;
    renumber_graph(numbers, model->main);
    renumber(numbers, model->defaults, model->defaults ? model->main->input_count : 0);
    return MM_OK;
}

mm_status mmi_onnx_clean(struct onnx_model *model, const struct onnx_pass_context *context,
                         mm_error *err) {
    MMI_TRY(mmi_onnx_rewrite(model, context, skip_nodes, err));
    struct onnx_arena work;
    mmi_onnx_arena_init(&work, model->arena->allocator);
    mm_status status = drop_unneeded(model, &work, err);
    mmi_onnx_arena_free(&work);
    return status;
}
