/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/operators/norm.h>
#include <backends/onnx/operators/reduce.h>
#include <backends/onnx/passes/rewrite.h>
#include <base/status.h>

#define MOST_NODES 9

/* A LayerNormalization of the last axis as exporters wrote it before there was one:
 *
 *     d = x - ReduceMean(x)
 *     d / Sqrt(ReduceMean(d * d) + epsilon) * scale + bias
 *
 * Found from its end to its beginning. */
struct written {
    const struct onnx_rewrite *rewrite;
    const struct onnx_graph *graph;
    uint32_t x, scale, bias; /* bias ONNX_NO_VALUE: none */
    float epsilon;
    struct onnx_node *nodes[MOST_NODES]; /* all of it; the last one makes the result */
    uint32_t count;
};

/* The maker of a value that is used so often and nowhere else: one more node of it. NULL: it is
 * another. */
static struct onnx_node *part(struct written *w, uint32_t value, const char *type, uint32_t uses) {
    if (value == ONNX_NO_VALUE) {
        return NULL;
    }
    const struct onnx_use *use = &w->rewrite->uses.of[value];
    if (!use->maker || use->graph != w->graph || use->count != uses ||
        use->maker->input_count < 1 || !mmi_onnx_is(use->maker, type)) {
        return NULL;
    }
    w->nodes[w->count++] = use->maker;
    return use->maker;
}

static bool is_number(const struct written *w, uint32_t value, float *number) {
    const struct onnx_tensor *constant = mmi_onnx_f32(w->rewrite->model, value);
    bool single = constant && constant->elements == 1 && constant->rank <= 1;
    *number = single ? ((const float *)constant->data)[0] : 0;
    return single;
}

/* The mean over the last axis, which stays with one element; what it is of. */
static uint32_t mean_of(struct written *w, uint32_t value) {
    const struct onnx_node *node = part(w, value, "ReduceMean", 1);
    const struct onnx_tensor *axes = node ? mmi_onnx_constant(w->rewrite->model, node, 1) : NULL;
    if (!axes || axes->elements != 1 || axes->dtype != MM_I64 || node->inputs[0] == ONNX_NO_VALUE ||
        !((const struct onnx_reduce *)node->params)->keepdims) {
        return ONNX_NO_VALUE;
    }
    int64_t axis = mmi_onnx_int_at(axes, 0), rank = w->rewrite->facts[node->inputs[0]].rank;
    return axis == -1 || (rank > 0 && axis == rank - 1) ? node->inputs[0] : ONNX_NO_VALUE;
}

/* x - mean, where the deviation of `d` is computed from `squares`, its squares. */
static bool match_squares(struct written *w, uint32_t d, uint32_t squares) {
    float power;
    const struct onnx_node *square = part(w, squares, "Pow", 1);
    uint32_t uses = square ? 2 : 3; /* once by the quotient */
    square = square ? square : part(w, squares, "Mul", 1);
    bool same = square && square->input_count == 2 && square->inputs[0] == d &&
                (uses == 3 ? square->inputs[1] == d
                           : is_number(w, square->inputs[1], &power) && power == 2);
    const struct onnx_node *sub = same ? part(w, d, "Sub", uses) : NULL;
    w->x = sub && sub->input_count == 2 ? sub->inputs[0] : ONNX_NO_VALUE;
    return w->x != ONNX_NO_VALUE && mean_of(w, sub->inputs[1]) == w->x;
}

static bool match_quotient(struct written *w, struct onnx_node *div) {
    if (!mmi_onnx_is(div, "Div") || div->input_count != 2 || div->inputs[0] == ONNX_NO_VALUE) {
        return false;
    }
    const struct onnx_node *root = part(w, div->inputs[1], "Sqrt", 1);
    const struct onnx_node *sum = root ? part(w, root->inputs[0], "Add", 1) : NULL;
    if (!sum || sum->input_count != 2) {
        return false;
    }
    bool first = is_number(w, sum->inputs[0], &w->epsilon);
    if (!first && !is_number(w, sum->inputs[1], &w->epsilon)) {
        return false;
    }
    uint32_t squares = mean_of(w, sum->inputs[first ? 1 : 0]);
    if (squares == ONNX_NO_VALUE || !match_squares(w, div->inputs[0], squares)) {
        return false;
    }
    w->nodes[w->count++] = div;
    return true;
}

/* What the result goes to next, if that is `type` by a row of constants: *row. */
static bool match_row(struct written *w, const char *type, uint32_t *row) {
    struct onnx_node *last = w->nodes[w->count - 1];
    struct onnx_node *user = mmi_onnx_only_user(&w->rewrite->uses, last->outputs[0]);
    if (!user || !mmi_onnx_is(user, type) || user->input_count != 2) {
        return false;
    }
    uint32_t value = user->inputs[user->inputs[0] == last->outputs[0] ? 1 : 0];
    const struct onnx_tensor *constant = mmi_onnx_f32(w->rewrite->model, value);
    bool fits = constant && constant->rank == 1 && constant->shape[0] > 1 &&
                constant->shape[0] == w->rewrite->facts[w->x].last;
    if (fits) {
        *row = value;
        w->nodes[w->count++] = user;
    }
    return fits;
}

static mm_status replace(struct onnx_rewrite *rewrite, struct onnx_graph *graph,
                         const struct written *w, mm_error *err) {
    bool has_bias = w->bias != ONNX_NO_VALUE;
    const struct onnx_operator *op = mmi_onnx_find_operator("", "LayerNormalization");
    struct onnx_node *norm = mmi_onnx_new_node(rewrite->model, op, has_bias ? 3 : 2, 1);
    if (!norm) {
        return mmi_onnx_no_room(err);
    }
    const struct onnx_node *last = w->nodes[w->count - 1];
    *(struct onnx_layer_norm *)norm->params =
        (struct onnx_layer_norm){.axis = -1, .epsilon = w->epsilon, .stash_type = MM_F32};
    norm->name = last->name;
    norm->inputs[0] = w->x;
    norm->inputs[1] = w->scale;
    if (has_bias) {
        norm->inputs[2] = w->bias;
    }
    norm->outputs[0] = last->outputs[0];
    graph->nodes[rewrite->uses.of[last->outputs[0]].position] = norm;
    for (uint32_t i = 0; i < w->count; i++) {
        mmi_onnx_remove(w->nodes[i]);
    }
    return MM_OK;
}

static mm_status visit(struct onnx_rewrite *rewrite, struct onnx_graph *graph, mm_error *err) {
    for (uint32_t i = 0; i < graph->node_count; i++) {
        struct written w = {.rewrite = rewrite, .graph = graph, .bias = ONNX_NO_VALUE};
        if (match_quotient(&w, graph->nodes[i]) && match_row(&w, "Mul", &w.scale)) {
            match_row(&w, "Add", &w.bias);
            MMI_TRY(replace(rewrite, graph, &w, err));
        }
    }
    return MM_OK;
}

mm_status mmi_onnx_find_norms(struct onnx_model *model, const struct onnx_pass_context *context,
                              mm_error *err) {
    return mmi_onnx_rewrite(model, context, visit, err);
}
