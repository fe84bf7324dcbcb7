/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/graph/upgrade.h>
#include <backends/onnx/operators/operator.h>
#include <base/status.h>
#include <base/text.h>

#include <inttypes.h>
#include <string.h>

static mm_status resolve_graph(struct onnx_model *model, struct onnx_graph *graph, mm_error *err);

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

/* ---- Operators that are missing -------------------------------------------------------------- */

static const struct onnx_operator *find(const struct onnx_node *node) {
    bool ours = strcmp(node->domain, ONNX_OURS) == 0; /* not for files */
    return ours ? NULL : mmi_onnx_find_operator(node->domain, node->type);
}

/* The types of nodes that cannot be run either, each once. */
struct missing {
    struct onnx_model *model;
    const char *types[16];
    uint32_t count;
};

static void collect_missing(struct missing *missing, const struct onnx_graph *graph) {
    for (uint32_t i = 0; i < graph->node_count; i++) {
        struct onnx_node *node = graph->nodes[i];
        bool known = node->op || strcmp(node->type, "Constant") == 0;
        bool standard = node->domain[0] == '\0';
        known = known || (standard && mmi_onnx_upgrade(missing->model, node, NULL) != MM_OK);
        known = known || find(node);
        for (uint32_t j = 0; j < missing->count; j++) {
            known = known || strcmp(missing->types[j], node->type) == 0;
        }
        if (!known && missing->count < sizeof(missing->types) / sizeof(missing->types[0])) {
            missing->types[missing->count++] = node->type;
        }
        for (uint32_t j = 0; j < node->attribute_count; j++) { /* of a node not resolved yet */
            if (node->attributes[j].graph) {
                collect_missing(missing, node->attributes[j].graph);
            }
        }
        for (uint32_t j = 0; j < node->graph_count; j++) {
            collect_missing(missing, node->graphs[j]);
        }
    }
}

/* Names the operator, and all others that are missing too. */
static mm_status fail_missing(struct onnx_model *model, const struct onnx_node *node,
                              mm_error *err) {
    struct missing missing = {.model = model, .types = {node->type}, .count = 1};
    collect_missing(&missing, model->main);
    char others[240] = "";
    struct mmi_text text;
    mmi_text_init(&text, others, sizeof(others));
    for (uint32_t i = 1; i < missing.count; i++) {
        mmi_text_add(&text, "%s%.40s", i == 1 ? ", nor " : ", ", missing.types[i]);
    }
    return mmi_fail(
        err, MM_UNSUPPORTED,
        "this library does not run the operator %.80s (domain %.80s, opset %" PRId64 ")%s yet",
        node->type, node->domain[0] == '\0' ? "ai.onnx" : node->domain, node->opset, others);
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

static mm_status resolve_node(struct onnx_model *model, struct onnx_node *node, mm_error *err) {
    const char *type = node->type; /* as the file says; an upgrade may rename it */
    if (node->domain[0] == '\0') {
        MMI_TRY(mmi_onnx_upgrade(model, node, err));
    }
    const struct onnx_operator *op = find(node);
    if (!op) {
        return fail_missing(model, node, err);
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
    if (op->read) {
        MMI_TRY(op->read(&attributes, node->params, err));
    }
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

static mm_status resolve_graphs(struct onnx_model *model, const struct onnx_node *node,
                                mm_error *err) {
    for (uint32_t i = 0; i < node->graph_count; i++) {
        MMI_TRY(resolve_graph(model, node->graphs[i], err));
    }
    return MM_OK;
}

static mm_status resolve_graph(struct onnx_model *model, struct onnx_graph *graph, mm_error *err) {
    uint32_t kept = 0;
    MMI_TRY(mmi_onnx_align_operands(model, graph, err));
    for (uint32_t i = 0; i < graph->node_count; i++) {
        struct onnx_node *node = graph->nodes[i];
        if (node->op) { /* of our own making */
            graph->nodes[kept++] = node;
            continue;
        }
        bool constant = strcmp(node->type, "Constant") == 0 && node->domain[0] == '\0';
        mm_status status =
            constant ? make_constant(model, node, err) : resolve_node(model, node, err);
        MMI_TRY(mmi_onnx_fail_node(model, node, status, err));
        MMI_TRY(resolve_graphs(model, node, err));
        if (!constant && is_of_use(node)) {
            graph->nodes[kept++] = node;
        }
    }
    graph->node_count = kept;
    return MM_OK;
}

mm_status mmi_onnx_resolve(struct onnx_model *model, mm_error *err) {
    return resolve_graph(model, model->main, err);
}
