/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/graph/missing.h>
#include <backends/onnx/graph/upgrade.h>
#include <base/log.h>
#include <base/status.h>

#include <inttypes.h>
#include <string.h>

/* The first node that fails decides what is answered; where somebody listens, the others are looked
 * at as well, so that all that is wrong with a file is said at once. */
struct resolving {
    struct onnx_model *model;
    mm_error first; /* status MM_OK: none has failed */
    bool missing;   /* the last one that failed: it has no operator */
    uint32_t told;
};
#define MOST_TOLD 50

static mm_status resolve_graph(struct resolving *r, struct onnx_graph *graph, mm_error *err);

/* Constant, by whichever attribute has its data: the node goes, the value keeps the data. */
static mm_status make_constant(struct onnx_model *model, const struct onnx_node *node,
                               mm_error *err) {
    struct onnx_attributes a = {.node = node, .opset = node->opset};
    static const char *const later[] = {"value_float", "value_floats", "value_int",
                                        "value_ints",  "value_string", "value_strings"};
    mmi_onnx_attribute(&a, "value");
    mmi_onnx_attribute(mmi_onnx_since(&a, 11), "sparse_value");
    for (size_t i = 0; i < sizeof(later) / sizeof(later[0]); i++) {
        mmi_onnx_attribute(mmi_onnx_since(&a, 12), later[i]);
    }
    MMI_TRY(mmi_onnx_check_known(&a, err));
    bool one = node->attribute_count == 1 && node->output_count == 1 && node->input_count == 0 &&
               node->outputs[0] != ONNX_NO_VALUE;
    if (!one) {
        return mmi_fail(err, MM_INVALID_MODEL,
                        "%u inputs, %u attributes and %u outputs; 0, 1 and 1 wanted",
                        node->input_count, node->attribute_count, node->output_count);
    }
    struct onnx_tensor *tensor = mmi_onnx_take(model->arena, 1, sizeof(*tensor));
    if (!tensor) {
        return mmi_fail(err, MM_NO_MEMORY, "no memory for a constant");
    }
    model->values[node->outputs[0]].constant = tensor;
    return mmi_onnx_attribute_tensor(&node->attributes[0], tensor, err);
}

/* ---- Operators ------------------------------------------------------------------------------- */

/* Inputs left out at the end are dropped. Those that the operator needs must be there, and so must
 * all of an operator that takes any number: later code relies on it. */
static mm_status check_counts(struct onnx_node *node, const struct onnx_operator *op,
                              mm_error *err) {
    while (node->input_count > 0 && node->inputs[node->input_count - 1] == ONNX_NO_VALUE) {
        node->input_count--;
    }
    bool all = op->max_inputs == ONNX_ANY_NUMBER && op->infer;
    uint32_t needed = all ? node->input_count : op->min_inputs;
    for (uint32_t i = 0; i < needed && i < node->input_count; i++) {
        if (node->inputs[i] == ONNX_NO_VALUE) {
            return mmi_fail(err, MM_INVALID_MODEL, "its input %u is left out", i);
        }
    }
    if (node->input_count < op->min_inputs || node->input_count > op->max_inputs) {
        return mmi_fail(err, MM_INVALID_MODEL, "%u inputs, %u to %u wanted", node->input_count,
                        op->min_inputs, op->max_inputs);
    }
    if (node->output_count < op->min_outputs || node->output_count > op->max_outputs) {
        return mmi_fail(err, MM_INVALID_MODEL, "%u outputs, %u to %u wanted", node->output_count,
                        op->min_outputs, op->max_outputs);
    }
    return MM_OK;
}

static mm_status take_graphs(struct onnx_model *model, struct onnx_node *node,
                             const struct onnx_operator *op,
                             const struct onnx_attributes *attributes, mm_error *err) {
    uint32_t count = 0;
    while (count < ONNX_MAX_GRAPHS && op->graphs[count]) {
        count++;
    }
    node->graphs = mmi_onnx_take(model->arena, count, sizeof(*node->graphs));
    if (!node->graphs) {
        return mmi_fail(err, MM_NO_MEMORY, "no memory for its graphs");
    }
    for (uint32_t i = 0; i < count; i++) {
        const struct onnx_attribute *attribute = mmi_onnx_attribute(attributes, op->graphs[i]);
        if (!attribute && op->flags & ONNX_OP_GRAPHS_OPTIONAL) {
            continue;
        }
        if (!attribute || attribute->type != ONNX_ATTRIBUTE_GRAPH || !attribute->graph) {
            return mmi_fail(err, MM_INVALID_MODEL, "attribute %s is no graph", op->graphs[i]);
        }
        node->graphs[node->graph_count++] = attribute->graph;
    }
    return op->check_graphs ? op->check_graphs(node, err) : MM_OK;
}

/* Its lists become constant inputs behind its own. */
static mm_status take_lists(struct onnx_model *model, struct onnx_node *node,
                            const struct onnx_operator *op,
                            const struct onnx_attributes *attributes, mm_error *err) {
    if (!op->lists) {
        return MM_OK;
    }
    struct onnx_lists lists = {.arena = model->arena};
    MMI_TRY(mmi_onnx_read_lists(op, attributes, node->params, &lists, err));
    uint32_t own = op->max_inputs == ONNX_ANY_NUMBER ? node->input_count : op->max_inputs;
    uint32_t *inputs = mmi_onnx_take(model->arena, (uint64_t)own + lists.count, sizeof(*inputs));
    for (uint32_t i = 0; inputs && i < own; i++) {
        inputs[i] = i < node->input_count ? node->inputs[i] : ONNX_NO_VALUE;
    }
    for (uint32_t i = 0; inputs && i < lists.count; i++) {
        bool there = lists.at[i].dtype != MM_DTYPE_NONE;
        lists.at[i].known = 1;
        inputs[own + i] = there ? mmi_onnx_add_constant(model, &lists.at[i]) : ONNX_NO_VALUE;
        inputs = there && inputs[own + i] == ONNX_NO_VALUE ? NULL : inputs;
    }
    if (!inputs) {
        return mmi_fail(err, MM_NO_MEMORY, "no memory for its lists");
    }
    node->inputs = inputs;
    node->input_count = own + lists.count;
    return MM_OK;
}

static mm_status resolve_node(struct resolving *r, struct onnx_node *node, mm_error *err) {
    struct onnx_model *model = r->model;
    const char *type = node->type; /* as the file says; an upgrade may rename it */
    if (node->domain[0] == '\0') {
        MMI_TRY(mmi_onnx_upgrade(model, node, err));
    }
    const struct onnx_operator *op = mmi_onnx_operator_of(node);
    if (!op) {
        r->missing = true; /* the first names all of them */
        return r->first.status ? MM_UNSUPPORTED : mmi_onnx_fail_missing(model, node, err);
    }
    int64_t opset = node->opset;
    if (strcmp(node->domain, ONNX_ML) == 0 && (opset < 1 || opset > ONNX_NEWEST_ML_OPSET)) {
        return mmi_fail(err, MM_UNSUPPORTED, "opset %" PRId64 " of ai.onnx.ml, 1 to %d wanted",
                        opset, ONNX_NEWEST_ML_OPSET);
    }
    MMI_TRY(check_counts(node, op, err));
    struct onnx_attributes attributes = {.node = node, .opset = node->opset};
    node->params = mmi_onnx_take(model->arena, 1, op->params_bytes);
    if (!node->params) {
        return mmi_fail(err, MM_NO_MEMORY, "no memory for its parameters");
    }
    MMI_TRY(mmi_onnx_read_params(op, &attributes, node->params, err));
    MMI_TRY(take_lists(model, node, op, &attributes, err));
    MMI_TRY(take_graphs(model, node, op, &attributes, err));
    mm_status known = mmi_onnx_check_known(&attributes, err);
    if (known != MM_OK) {
        node->type = type;
        return known;
    }
    node->op = op;
    node->attributes = NULL;
    node->attribute_count = 0;
    return MM_OK;
}

/* ---- Graphs ---------------------------------------------------------------------------------- */

/* Whether any of its outputs is used. */
static bool is_of_use(const struct onnx_node *node) {
    for (uint32_t i = 0; i < node->output_count; i++) {
        if (node->outputs[i] != ONNX_NO_VALUE) {
            return true;
        }
    }
    return false;
}

static mm_status resolve_graphs(struct resolving *r, const struct onnx_node *node, mm_error *err) {
    for (uint32_t i = 0; i < node->graph_count; i++) {
        MMI_TRY(resolve_graph(r, node->graphs[i], err));
    }
    return MM_OK;
}

/* Whether to go on with the next node after this one has failed. Without a constant that could not
 * be read, later nodes would say what is not so. */
static bool go_on(struct resolving *r, bool constant, mm_status status, const mm_error *err) {
    const mm_log *log = r->model->log;
    if (!log || constant || status == MM_NO_MEMORY) {
        return false;
    }
    if (r->first.status == MM_OK) {
        r->first = *err;
        r->first.status = status;
        mmi_onnx_tell_missing(r->model);
    }
    if (!r->missing && r->told++ < MOST_TOLD) {
        mmi_log(log, MM_LOG_WARNING, "onnx: %s", err->text);
    }
    return true;
}

static mm_status resolve_one(struct resolving *r, struct onnx_node *node, bool constant,
                             mm_error *err) {
    struct onnx_model *model = r->model;
    r->missing = false;
    mm_status status = constant ? make_constant(model, node, err) : resolve_node(r, node, err);
    return mmi_onnx_fail_node(model, node, status, err);
}

static mm_status resolve_graph(struct resolving *r, struct onnx_graph *graph, mm_error *err) {
    uint32_t kept = 0;
    MMI_TRY(mmi_onnx_align_operands(r->model, graph, err));
    for (uint32_t i = 0; i < graph->node_count; i++) {
        struct onnx_node *node = graph->nodes[i];
        if (node->op) { /* of our own making */
            graph->nodes[kept++] = node;
            continue;
        }
        bool constant = strcmp(node->type, "Constant") == 0 && node->domain[0] == '\0';
        mm_status status = resolve_one(r, node, constant, err);
        if (status != MM_OK && !go_on(r, constant, status, err)) {
            return status;
        }
        MMI_TRY(resolve_graphs(r, node, err));
        if (!constant && is_of_use(node)) {
            graph->nodes[kept++] = node;
        }
    }
    graph->node_count = kept;
    return MM_OK;
}

mm_status mmi_onnx_resolve(struct onnx_model *model, mm_error *err) {
    struct resolving r = {.model = model};
    mm_status status = resolve_graph(&r, model->main, err);
    if (r.first.status != MM_OK) {
        *err = r.first;
    }
    return r.first.status != MM_OK ? (mm_status)r.first.status : status;
}
