/* SPDX-License-Identifier: Apache-2.0 */

/* GraphProto: constants, inputs, nodes in an order in which they can run, outputs. */

#include <backends/onnx/format/loading.h>
#include <base/status.h>

#include <inttypes.h>

enum { NODE = 1, INITIALIZER = 5, INPUT = 11, OUTPUT = 12, SPARSE_INITIALIZER = 15 };

static const struct onnx_schema graph_schema = {
    "a graph",
    {[NODE] = ONNX_BYTES,
     [INITIALIZER] = ONNX_BYTES,
     [INPUT] = ONNX_BYTES,
     [OUTPUT] = ONNX_BYTES,
     [SPARSE_INITIALIZER] = ONNX_BYTES},
};
/* ValueInfoProto, of which a graph in a node need have only the name. */
static const struct onnx_schema value_schema = {"an input or output",
                                                {[1] = ONNX_BYTES, [2] = ONNX_BYTES}};

mm_status mmi_onnx_load_value(struct onnx_loading *loading, struct onnx_span name, uint32_t *value,
                              mm_error *err) {
    const char *text;
    if (name.bytes == 0) {
        return mmi_onnx_fail_at(loading->file, name.at, err, "a name expected");
    }
    if (mmi_onnx_find_here(loading->scope, name) != ONNX_NO_VALUE) {
        return mmi_onnx_fail_at(loading->file, name.at, err,
                                "a new name expected, '%.*s' is there already", ONNX_SHOWN(name));
    }
    MMI_TRY(mmi_onnx_load_text(loading, name, &text, err));
    *value = mmi_onnx_add_value(loading->model, text);
    bool added = *value != ONNX_NO_VALUE && mmi_onnx_add_name(loading->scope, name, *value);
    return added ? MM_OK : mmi_onnx_out_of_memory(err);
}

static mm_status add_initializer(struct onnx_loading *loading, struct onnx_span name,
                                 struct onnx_tensor *tensor, mm_error *err) {
    uint32_t value;
    MMI_TRY(mmi_onnx_load_value(loading, name, &value, err));
    loading->model->values[value].constant = tensor;
    return MM_OK;
}

static mm_status load_initializers(struct onnx_loading *loading, struct onnx_message message,
                                   mm_error *err) {
    struct onnx_field field;
    while (mmi_onnx_next_field(&message, &field)) {
        struct onnx_tensor *tensor = NULL;
        struct onnx_span name;
        bool sparse = field.number == SPARSE_INITIALIZER;
        if (field.number != INITIALIZER && !sparse) {
            continue;
        }
        mm_status status = sparse ? mmi_onnx_load_sparse(loading, field.bytes, &tensor, &name, err)
                                  : mmi_onnx_load_tensor(loading, field.bytes, &tensor, &name, err);
        if (status != MM_OK) {
            mmi_error_prefix(err, "initializer '%.*s'", ONNX_SHOWN(name));
            return status;
        }
        MMI_TRY(add_initializer(loading, name, tensor, err));
    }
    return MM_OK;
}

/* What a request may leave out: its initializer becomes a value of its own. */
static mm_status load_default(struct onnx_loading *loading, uint32_t value, mm_value_info *info,
                              uint32_t *fallback, mm_error *err) {
    struct onnx_model *model = loading->model;
    const struct onnx_tensor *tensor = model->values[value].constant;
    bool fits = info->kind == MM_TENSOR && info->dtype == tensor->dtype &&
                (info->rank < 0 || info->rank == (int32_t)tensor->rank);
    for (int32_t axis = 0; axis < info->rank && fits; axis++) {
        fits = info->shape[axis] < 0 || info->shape[axis] == tensor->shape[axis];
    }
    if (!fits) {
        return mmi_fail(err, MM_INVALID_MODEL,
                        "input '%.80s': its initializer has another type or shape", info->name);
    }
    *fallback = mmi_onnx_add_constant(model, tensor);
    model->values[value].constant = NULL;
    info->flags |= MM_VALUE_INFO_OPTIONAL;
    return *fallback == ONNX_NO_VALUE ? mmi_onnx_out_of_memory(err) : MM_OK;
}

static mm_status load_main_input(struct onnx_loading *loading, struct onnx_span bytes,
                                 uint32_t value, uint32_t number, mm_error *err) {
    struct onnx_model *model = loading->model;
    mm_value_info *info = &model->inputs[number];
    info->name = model->values[value].name;
    MMI_TRY(mmi_onnx_load_value_info(loading, bytes, "input", info, err));
    model->defaults[number] = ONNX_NO_VALUE;
    return model->values[value].constant
               ? load_default(loading, value, info, &model->defaults[number], err)
               : MM_OK;
}

/* Inputs that have an initializer are constants, of older files and in branches. */
static mm_status load_inputs(struct onnx_loading *loading, struct onnx_message message,
                             struct onnx_graph *graph, mm_error *err) {
    struct onnx_field field;
    bool main = loading->depth == 0;
    while (mmi_onnx_next_of(&message, INPUT, &field)) {
        struct onnx_message input;
        MMI_TRY(mmi_onnx_open_message(&input, field.bytes, &value_schema, loading->file, err));
        struct onnx_span name = mmi_onnx_bytes_of(input, 1);
        uint32_t value = mmi_onnx_find_here(loading->scope, name);
        bool constant = value != ONNX_NO_VALUE && loading->model->values[value].constant;
        if (constant && !(main && loading->optional_inputs)) {
            continue;
        }
        MMI_TRY(constant ? MM_OK : mmi_onnx_load_value(loading, name, &value, err));
        MMI_TRY(main ? load_main_input(loading, field.bytes, value, graph->input_count, err)
                     : MM_OK);
        graph->inputs[graph->input_count++] = value;
    }
    return MM_OK;
}

static mm_status load_nodes(struct onnx_loading *loading, struct onnx_message message,
                            struct onnx_graph *graph, mm_error *err) {
    struct onnx_field field;
    struct onnx_nodes nodes = {graph->nodes, 0, (uint32_t)mmi_onnx_count_of(message, NODE)};
    struct onnx_nodes *outer = loading->nodes;
    loading->nodes = &nodes;
    while (mmi_onnx_next_of(&message, NODE, &field)) {
        MMI_TRY(mmi_onnx_load_node(loading, field.bytes, err));
    }
    loading->nodes = outer;
    graph->nodes = nodes.all;
    graph->node_count = nodes.count;
    return MM_OK;
}

/* A branch may give out what the graph around it made. */
static mm_status load_outputs(struct onnx_loading *loading, struct onnx_message message,
                              struct onnx_graph *graph, mm_error *err) {
    struct onnx_field field;
    while (mmi_onnx_next_of(&message, OUTPUT, &field)) {
        struct onnx_message output;
        MMI_TRY(mmi_onnx_open_message(&output, field.bytes, &value_schema, loading->file, err));
        struct onnx_span name = mmi_onnx_bytes_of(output, 1);
        uint32_t value = mmi_onnx_find_name(loading->scope, name);
        if (value == ONNX_NO_VALUE || value == ONNX_LEFT_OUT) {
            return mmi_onnx_fail_at(loading->file, name.at, err,
                                    "the name of a value expected as output, nothing makes '%.*s'",
                                    ONNX_SHOWN(name));
        }
        bool main = loading->depth == 0;
        mm_value_info *infos = main ? loading->model->outputs : graph->declared;
        mm_value_info *info = &infos[graph->output_count];
        MMI_TRY(mmi_onnx_load_text(loading, name, &info->name, err));
        if (main || mmi_onnx_bytes_of(output, 2).bytes > 0) {
            MMI_TRY(mmi_onnx_load_value_info(loading, field.bytes, "output", info, err));
        }
        graph->outputs[graph->output_count++] = value;
    }
    return MM_OK;
}

static mm_status load_parts(struct onnx_loading *loading, struct onnx_message message,
                            struct onnx_graph *graph, mm_error *err) {
    struct onnx_model *model = loading->model;
    uint64_t nodes = mmi_onnx_count_of(message, NODE);
    uint64_t inputs = mmi_onnx_count_of(message, INPUT);
    uint64_t outputs = mmi_onnx_count_of(message, OUTPUT);
    graph->nodes = mmi_onnx_take(model->arena, nodes, sizeof(*graph->nodes));
    graph->inputs = mmi_onnx_take(model->arena, inputs, sizeof(*graph->inputs));
    graph->outputs = mmi_onnx_take(model->arena, outputs, sizeof(*graph->outputs));
    bool taken = graph->nodes && graph->inputs && graph->outputs;
    if (taken && loading->depth == 0) {
        model->inputs = mmi_onnx_take(model->arena, inputs, sizeof(*model->inputs));
        model->outputs = mmi_onnx_take(model->arena, outputs, sizeof(*model->outputs));
        model->defaults = mmi_onnx_take(model->arena, inputs, sizeof(*model->defaults));
        taken = model->inputs && model->outputs && model->defaults;
    } else if (taken) {
        graph->declared = mmi_onnx_take(model->arena, outputs, sizeof(*graph->declared));
        taken = graph->declared;
    }
    if (!taken || nodes > UINT32_MAX || inputs > UINT32_MAX || outputs > UINT32_MAX) {
        return mmi_onnx_out_of_memory(err);
    }
    MMI_TRY(load_initializers(loading, message, err));
    MMI_TRY(load_inputs(loading, message, graph, err));
    MMI_TRY(load_nodes(loading, message, graph, err));
    return load_outputs(loading, message, graph, err);
}

mm_status mmi_onnx_load_graph(struct onnx_loading *loading, struct onnx_span bytes,
                              struct onnx_graph **graph, mm_error *err) {
    struct onnx_message message;
    if (loading->depth > loading->max_depth) {
        return mmi_onnx_fail_at(loading->file, bytes.at, err,
                                "graphs nested at most %u deep expected", loading->max_depth);
    }
    MMI_TRY(mmi_onnx_open_message(&message, bytes, &graph_schema, loading->file, err));
    struct onnx_scope *scope = mmi_onnx_take(loading->model->arena, 1, sizeof(*scope));
    *graph = mmi_onnx_take(loading->model->arena, 1, sizeof(**graph));
    if (!scope || !*graph) {
        return mmi_onnx_out_of_memory(err);
    }
    *scope = (struct onnx_scope){.outer = loading->scope, .arena = loading->model->arena};
    loading->scope = scope;
    mm_status status = load_parts(loading, message, *graph, err);
    loading->scope = scope->outer;
    return status;
}
