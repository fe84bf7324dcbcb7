/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/operators/evaluate.h>
#include <backends/onnx/passes/rewrite.h>
#include <base/checked.h>
#include <base/status.h>

/* Total size of new constants: this, or this many times those of the file. */
#define MAX_BYTES (UINT64_C(1) << 30)
#define MAX_FACTOR 4

/* A result is kept if it is small, or not much larger than its inputs, or a weight, because kernels
 * want those constant. A large array made from a small one (a mask, a range) is faster to compute
 * than to read from disk. */
#define SMALL_BYTES (UINT64_C(64) << 10)
#define MAX_GROWTH 1024
/* What ONNX_OP_WIDENS widens is kept up to this size, and what Cast makes of f16 and bf16 up to the
 * other. */
#define WIDENED_BYTES (UINT64_C(4) << 10)
#define CAST_BYTES SMALL_BYTES

struct folding {
    struct onnx_model *model;
    const struct onnx_pass_context *context;
    struct onnx_arena work;
    bool *weights; /* [value_count]: used as a weight of some node, directly or not */
    uint32_t value_count;
    uint64_t bytes_left; /* for new constants */
};

/* ---- What is worth keeping ------------------------------------------------------------------- */

/* Backwards: the inputs of a node that makes a weight are weights too. */
static void mark_weights(const struct folding *f, const struct onnx_graph *graph) {
    for (uint32_t i = graph->node_count; i-- > 0;) {
        const struct onnx_node *node = graph->nodes[i];
        for (uint32_t b = 0; b < node->graph_count; b++) {
            mark_weights(f, node->graphs[b]);
        }
        bool all = false;
        for (uint32_t j = 0; j < node->output_count; j++) {
            all |= node->outputs[j] != ONNX_NO_VALUE && f->weights[node->outputs[j]];
        }
        for (uint32_t j = 0; j < node->input_count; j++) {
            if (node->inputs[j] != ONNX_NO_VALUE &&
                (all || (j < 32 && node->op->weight_inputs >> j & 1))) {
                f->weights[node->inputs[j]] = true;
            }
        }
    }
}

static bool is_weight(const struct folding *f, const struct onnx_node *node) {
    uint32_t value = node->outputs[0];
    return value < f->value_count && f->weights[value];
}

/* How large a constant may become that was narrow. */
static uint64_t max_widened(const struct onnx_node *node, const struct onnx_inference *x) {
    int32_t from = x->input_count > 0 ? x->inputs[0].dtype : MM_DTYPE_NONE;
    bool casts = node->op == &mmi_onnx_op_Cast && (from == MM_F16 || from == MM_BF16);
    return casts ? CAST_BYTES : node->op->flags & ONNX_OP_WIDENS ? WIDENED_BYTES : UINT64_MAX;
}

static bool worth_keeping(const struct folding *f, const struct onnx_node *node,
                          const struct onnx_inference *x) {
    uint64_t from = 0, to = 0;
    for (uint32_t i = 0; i < x->input_count; i++) {
        from = mmi_add_cap(from, x->inputs[i].bytes);
    }
    for (uint32_t i = 0; i < x->output_count; i++) {
        to = mmi_add_cap(to, x->outputs[i].bytes);
    }
    if (to > from && to > max_widened(node, x)) {
        return false;
    }
    return to <= f->bytes_left &&
           (to <= SMALL_BYTES || to / MAX_GROWTH <= from || is_weight(f, node));
}

/* ---- One node -------------------------------------------------------------------------------- */

static bool knows_inputs(const struct onnx_model *model, const struct onnx_node *node) {
    bool known = false;
    for (uint32_t i = 0; i < node->input_count; i++) {
        if (node->inputs[i] != ONNX_NO_VALUE) {
            const struct onnx_tensor *constant = model->values[node->inputs[i]].constant;
            known = constant != NULL;
            if (!constant || constant->layout != ONNX_PLAIN) {
                return false;
            }
        }
    }
    return known;
}

static mm_status compute(struct folding *f, const struct onnx_node *node, struct onnx_inference *x,
                         mm_error *err) {
    struct onnx_tensor *result = &x->outputs[0];
    if (node->op->flags & ONNX_OP_VIEW && result->bytes == x->inputs[0].bytes) {
        result->data = x->inputs[0].data;
        return MM_OK;
    }
    for (uint32_t i = 0; i < x->output_count; i++) {
        f->bytes_left -= x->outputs[i].bytes;
    }
    return mmi_onnx_evaluate(node->op, x, f->model->arena, UINT64_MAX, f->context->services, err);
}

static mm_status keep(const struct folding *f, const struct onnx_node *node,
                      const struct onnx_inference *x, mm_error *err) {
    for (uint32_t i = 0; i < x->output_count; i++) {
        struct onnx_tensor *copy = mmi_onnx_take(f->model->arena, 1, sizeof(*copy));
        if (!copy) {
            return mmi_onnx_no_room(err);
        }
        *copy = x->outputs[i];
        copy->known = 1;
        if (node->outputs[i] != ONNX_NO_VALUE) {
            f->model->values[node->outputs[i]].constant = copy;
        }
    }
    return MM_OK;
}

/* The inputs with their elements, and room for the outputs. */
static mm_status begin_inference(struct folding *f, const struct onnx_node *node,
                                 struct onnx_inference *x, mm_error *err) {
    struct onnx_tensor *inputs = mmi_onnx_take(&f->work, node->input_count, sizeof(*inputs));
    *x = (struct onnx_inference){.params = node->params,
                                 .input_count = node->input_count,
                                 .output_count = node->output_count,
                                 .inputs = inputs};
    x->outputs = mmi_onnx_take(&f->work, x->output_count, sizeof(*x->outputs));
    if (!inputs || !x->outputs) {
        return mmi_onnx_no_room(err);
    }
    for (uint32_t i = 0; i < node->input_count; i++) {
        if (node->inputs[i] != ONNX_NO_VALUE) {
            inputs[i] = *f->model->values[node->inputs[i]].constant;
        }
    }
    return MM_OK;
}

/* Of a node whose results only its `execute` shows. *computed: worth keeping. */
static mm_status compute_dynamic(struct folding *f, const struct onnx_node *node,
                                 struct onnx_inference *x, bool *computed, mm_error *err) {
    MMI_TRY(mmi_onnx_evaluate_dynamic(node, x, f->model->arena, f->bytes_left, f->context->services,
                                      err));
    *computed = worth_keeping(f, node, x);
    for (uint32_t i = 0; i < x->output_count && *computed; i++) {
        f->bytes_left -= x->outputs[i].bytes;
    }
    return MM_OK;
}

static mm_status compute_planned(struct folding *f, const struct onnx_node *node,
                                 struct onnx_inference *x, bool *computed, mm_error *err) {
    MMI_TRY(mmi_onnx_infer(node->op, x, err));
    *computed = worth_keeping(f, node, x);
    return *computed ? compute(f, node, x, err) : MM_OK;
}

/* *folded: its results are constants now. A node that cannot be computed stays: it may be in a
 * branch that never runs. */
static mm_status fold_node(struct folding *f, const struct onnx_node *node, bool *folded,
                           mm_error *err) {
    *folded = false;
    if (node->op->flags & ONNX_OP_RANDOM || node->output_count == 0 ||
        !knows_inputs(f->model, node)) {
        return MM_OK;
    }
    struct onnx_inference x;
    mm_error why;
    bool computed = false;
    MMI_TRY(begin_inference(f, node, &x, err));
    mm_status status = mmi_onnx_is_dynamic(node->op)
                           ? compute_dynamic(f, node, &x, &computed, &why)
                           : compute_planned(f, node, &x, &computed, &why);
    if (status == MM_OK && computed) {
        *folded = true;
        return keep(f, node, &x, err);
    }
    return status == MM_NO_MEMORY ? mmi_error_copy(err, &why) : MM_OK;
}

/* ---- Graphs ---------------------------------------------------------------------------------- */

static mm_status fold_graph(struct folding *f, struct onnx_graph *graph, mm_error *err);
static mm_status fold_nodes(struct folding *f, const struct onnx_graph *graph,
                            struct onnx_node_list *list, mm_error *err);

static mm_status fold_or_append(struct folding *f, struct onnx_node *node,
                                struct onnx_node_list *list, mm_error *err) {
    bool folded;
    MMI_TRY(fold_node(f, node, &folded, err));
    return folded || mmi_onnx_append_node(f->model, list, node) ? MM_OK : mmi_onnx_no_room(err);
}

/* Replaces the If by the nodes of the branch that is taken. */
static mm_status unfold_if(struct folding *f, const struct onnx_node *node, bool condition,
                           struct onnx_node_list *list, mm_error *err) {
    const struct onnx_graph *branch = node->graphs[condition ? 0 : 1];
    MMI_TRY(fold_nodes(f, branch, list, err));
    for (uint32_t i = 0; i < node->output_count && i < branch->output_count; i++) {
        if (node->outputs[i] == ONNX_NO_VALUE) {
            continue;
        }
        struct onnx_node *same = mmi_onnx_new_node(f->model, &mmi_onnx_op_Identity, 1, 1);
        if (!same) {
            return mmi_onnx_no_room(err);
        }
        same->inputs[0] = branch->outputs[i];
        same->outputs[0] = node->outputs[i];
        MMI_TRY(fold_or_append(f, same, list, err));
    }
    return MM_OK;
}

static mm_status fold_graphs(struct folding *f, struct onnx_node *node, struct onnx_node_list *list,
                             mm_error *err) {
    bool control = node->op->flags & ONNX_OP_CONTROL;
    const struct onnx_tensor *condition = control ? mmi_onnx_constant(f->model, node, 0) : NULL;
    if (condition && condition->dtype == MM_BOOL && condition->elements == 1) {
        return unfold_if(f, node, mmi_onnx_int_at(condition, 0) != 0, list, err);
    }
    for (uint32_t b = 0; b < node->graph_count; b++) {
        MMI_TRY(fold_graph(f, node->graphs[b], err));
    }
    return mmi_onnx_append_node(f->model, list, node) ? MM_OK : mmi_onnx_no_room(err);
}

static mm_status fold_nodes(struct folding *f, const struct onnx_graph *graph,
                            struct onnx_node_list *list, mm_error *err) {
    for (uint32_t i = 0; i < graph->node_count; i++) {
        struct onnx_node *node = graph->nodes[i];
        MMI_TRY(mmi_onnx_check_cancelled(f->context, err));
        MMI_TRY(node->graph_count > 0 ? fold_graphs(f, node, list, err)
                                      : fold_or_append(f, node, list, err));
    }
    return MM_OK;
}

static mm_status fold_graph(struct folding *f, struct onnx_graph *graph, mm_error *err) {
    struct onnx_node_list list = {0};
    MMI_TRY(fold_nodes(f, graph, &list, err));
    graph->nodes = list.at;
    graph->node_count = list.count;
    return MM_OK;
}

static uint64_t max_bytes(const struct onnx_model *model, const struct onnx_pass_context *context) {
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < model->value_count; i++) {
        const struct onnx_tensor *constant = model->values[i].constant;
        bytes = mmi_add_cap(bytes, constant ? constant->bytes : 0);
    }
    uint64_t usual = bytes > UINT64_MAX / MAX_FACTOR ? UINT64_MAX : bytes * MAX_FACTOR;
    usual = mmi_max_u64(usual, MAX_BYTES);
    return context->max_constant_bytes ? context->max_constant_bytes : usual;
}

mm_status mmi_onnx_fold_constants(struct onnx_model *model, const struct onnx_pass_context *context,
                                  mm_error *err) {
    struct folding f = {.model = model,
                        .context = context,
                        .value_count = model->value_count,
                        .bytes_left = max_bytes(model, context)};
    mmi_onnx_arena_init(&f.work, model->arena->allocator);
    f.weights = mmi_onnx_take(&f.work, model->value_count, sizeof(*f.weights));
    mm_status status = f.weights ? MM_OK : mmi_onnx_no_room(err);
    if (status == MM_OK) {
        mark_weights(&f, model->main);
        status = fold_graph(&f, model->main, err);
    }
    mmi_onnx_arena_free(&f.work);
    return status;
}
