/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/operators/norm.h>
#include <backends/onnx/operators/reduce.h>
#include <backends/onnx/passes/rewrite.h>
#include <base/status.h>

#define MAX_NODES 9

/* A LayerNormalization of the last axis, decomposed as exporters do for opsets below 17:
 *
 *     d = x - ReduceMean(x)
 *     d / Sqrt(ReduceMean(d * d) + epsilon) * scale + bias
 *
 * Matched from the last node to the first. */
struct match {
    const struct onnx_rewrite *rewrite;
    const struct onnx_graph *graph;
    uint32_t x, scale, bias; /* bias ONNX_NO_VALUE: none */
    float epsilon;
    struct onnx_node *nodes[MAX_NODES]; /* all that matched; the last one makes the result */
    uint32_t count;
};

/* Adds the node that makes `value` to the match. NULL: it is of another operator, or has not
 * exactly `uses` uses. */
static struct onnx_node *take_maker(struct match *m, uint32_t value, const struct onnx_operator *op,
                                    uint32_t uses) {
    if (value == ONNX_NO_VALUE) {
        return NULL;
    }
    const struct onnx_use *use = &m->rewrite->uses.of[value];
    if (!use->maker || use->graph != m->graph || use->count != uses ||
        use->maker->input_count < 1 || use->maker->op != op) {
        return NULL;
    }
    m->nodes[m->count++] = use->maker;
    return use->maker;
}

static bool is_number(const struct match *m, uint32_t value, float *number) {
    const struct onnx_tensor *constant = mmi_onnx_f32(m->rewrite->model, value);
    bool single = constant && constant->elements == 1 && constant->rank <= 1;
    *number = single ? ((const float *)constant->data)[0] : 0;
    return single;
}

/* `value` is the mean over the last axis, with keepdims, of the returned value. */
static uint32_t mean_of(struct match *m, uint32_t value) {
    const struct onnx_node *node = take_maker(m, value, &mmi_onnx_op_ReduceMean, 1);
    const struct onnx_tensor *axes = node ? mmi_onnx_constant(m->rewrite->model, node, 1) : NULL;
    if (!axes || axes->elements != 1 || axes->dtype != MM_I64 || node->inputs[0] == ONNX_NO_VALUE ||
        !((const struct onnx_reduce *)node->params)->keepdims) {
        return ONNX_NO_VALUE;
    }
    int64_t axis = mmi_onnx_int_at(axes, 0), rank = m->rewrite->facts[node->inputs[0]].rank;
    return axis == -1 || (rank > 0 && axis == rank - 1) ? node->inputs[0] : ONNX_NO_VALUE;
}

/* `squares` are the squares of `d`, and d = x - mean(x). */
static bool match_squares(struct match *m, uint32_t d, uint32_t squares) {
    float power;
    const struct onnx_node *square = take_maker(m, squares, &mmi_onnx_op_Pow, 1);
    uint32_t uses = square ? 2 : 3; /* of d: Pow once, Mul twice, and Div once */
    square = square ? square : take_maker(m, squares, &mmi_onnx_op_Mul, 1);
    bool same = square && square->input_count == 2 && square->inputs[0] == d &&
                (uses == 3 ? square->inputs[1] == d
                           : is_number(m, square->inputs[1], &power) && power == 2);
    const struct onnx_node *sub = same ? take_maker(m, d, &mmi_onnx_op_Sub, uses) : NULL;
    m->x = sub && sub->input_count == 2 ? sub->inputs[0] : ONNX_NO_VALUE;
    return m->x != ONNX_NO_VALUE && mean_of(m, sub->inputs[1]) == m->x;
}

static bool match_quotient(struct match *m, struct onnx_node *div) {
    if (div->op != &mmi_onnx_op_Div || div->input_count != 2 || div->inputs[0] == ONNX_NO_VALUE) {
        return false;
    }
    const struct onnx_node *root = take_maker(m, div->inputs[1], &mmi_onnx_op_Sqrt, 1);
    const struct onnx_node *sum = root ? take_maker(m, root->inputs[0], &mmi_onnx_op_Add, 1) : NULL;
    if (!sum || sum->input_count != 2) {
        return false;
    }
    bool first = is_number(m, sum->inputs[0], &m->epsilon);
    if (!first && !is_number(m, sum->inputs[1], &m->epsilon)) {
        return false;
    }
    uint32_t squares = mean_of(m, sum->inputs[first ? 1 : 0]);
    if (squares == ONNX_NO_VALUE || !match_squares(m, div->inputs[0], squares)) {
        return false;
    }
    m->nodes[m->count++] = div;
    return true;
}

/* The next node, if it is of `op` with a constant row: *row. */
static bool match_row(struct match *m, const struct onnx_operator *op, uint32_t *row) {
    struct onnx_node *last = m->nodes[m->count - 1];
    struct onnx_node *user = mmi_onnx_only_user(&m->rewrite->uses, last->outputs[0]);
    if (!user || user->op != op || user->input_count != 2) {
        return false;
    }
    uint32_t value = user->inputs[user->inputs[0] == last->outputs[0] ? 1 : 0];
    const struct onnx_tensor *constant = mmi_onnx_f32(m->rewrite->model, value);
    bool fits = constant && constant->rank == 1 && constant->shape[0] > 1 &&
                constant->shape[0] == m->rewrite->facts[m->x].last;
    if (fits) {
        *row = value;
        m->nodes[m->count++] = user;
    }
    return fits;
}

static mm_status replace(struct onnx_rewrite *rewrite, struct onnx_graph *graph,
                         const struct match *m, mm_error *err) {
    bool has_bias = m->bias != ONNX_NO_VALUE;
    struct onnx_node *norm =
        mmi_onnx_new_node(rewrite->model, &mmi_onnx_op_LayerNormalization, has_bias ? 3 : 2, 1);
    if (!norm) {
        return mmi_onnx_no_room(err);
    }
    const struct onnx_node *last = m->nodes[m->count - 1];
    *(struct onnx_layer_norm *)norm->params =
        (struct onnx_layer_norm){.axis = -1, .epsilon = m->epsilon, .stash_type = MM_F32};
    norm->name = last->name;
    norm->inputs[0] = m->x;
    norm->inputs[1] = m->scale;
    if (has_bias) {
        norm->inputs[2] = m->bias;
    }
    norm->outputs[0] = last->outputs[0];
    graph->nodes[rewrite->uses.of[last->outputs[0]].position] = norm;
    for (uint32_t i = 0; i < m->count; i++) {
        mmi_onnx_remove(m->nodes[i]);
    }
    return MM_OK;
}

static mm_status visit(struct onnx_rewrite *rewrite, struct onnx_graph *graph, mm_error *err) {
    for (uint32_t i = 0; i < graph->node_count; i++) {
        struct match m = {.rewrite = rewrite, .graph = graph, .bias = ONNX_NO_VALUE};
        if (match_quotient(&m, graph->nodes[i]) && match_row(&m, &mmi_onnx_op_Mul, &m.scale)) {
            match_row(&m, &mmi_onnx_op_Add, &m.bias);
            MMI_TRY(replace(rewrite, graph, &m, err));
        }
    }
    return MM_OK;
}

mm_status mmi_onnx_fuse_layer_norm(struct onnx_model *model,
                                   const struct onnx_pass_context *context, mm_error *err) {
    return mmi_onnx_rewrite(model, context, visit, err);
}
