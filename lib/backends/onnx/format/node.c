/* SPDX-License-Identifier: Apache-2.0 */

/* NodeProto. Its names are looked up while the scope holds what was made before it. */

#include <backends/onnx/format/loading.h>
#include <base/status.h>

#include <string.h>

enum { INPUT = 1, OUTPUT = 2, NAME = 3, TYPE = 4, ATTRIBUTE = 5, DOMAIN = 7, OVERLOAD = 8 };

static const struct onnx_schema node_schema = {
    "a node",
    {[INPUT] = ONNX_BYTES,
     [OUTPUT] = ONNX_BYTES,
     [NAME] = ONNX_BYTES,
     [TYPE] = ONNX_BYTES,
     [ATTRIBUTE] = ONNX_BYTES,
     [DOMAIN] = ONNX_BYTES,
     [OVERLOAD] = ONNX_BYTES},
};

static mm_status load_words(struct onnx_loading *loading, struct onnx_message message,
                            struct onnx_node *node, mm_error *err) {
    MMI_TRY(mmi_onnx_load_text(loading, mmi_onnx_bytes_of(message, NAME), &node->name, err));
    MMI_TRY(mmi_onnx_load_text(loading, mmi_onnx_bytes_of(message, TYPE), &node->type, err));
    MMI_TRY(mmi_onnx_load_text(loading, mmi_onnx_bytes_of(message, DOMAIN), &node->domain, err));
    node->domain = strcmp(node->domain, "ai.onnx") == 0 ? "" : node->domain;
    node->opset = mmi_onnx_opset_of(loading->imports, node->domain);
    return MM_OK;
}

static mm_status check_opset(struct onnx_loading *loading, struct onnx_message message,
                             const struct onnx_node *node, mm_error *err) {
    if (node->domain[0] == '\0' && node->opset == 0) {
        return mmi_onnx_fail_at(loading->file, message.at, err,
                                "an opset import of ai.onnx expected, whose node this is");
    }
    return MM_OK;
}

static mm_status take_parts(struct onnx_loading *loading, struct onnx_message message,
                            struct onnx_node *node, mm_error *err) {
    struct onnx_arena *arena = loading->model->arena;
    uint64_t inputs = mmi_onnx_count_of(message, INPUT);
    uint64_t outputs = mmi_onnx_count_of(message, OUTPUT);
    uint64_t attributes = mmi_onnx_count_of(message, ATTRIBUTE);
    node->inputs = mmi_onnx_take(arena, inputs, sizeof(*node->inputs));
    node->outputs = mmi_onnx_take(arena, outputs, sizeof(*node->outputs));
    node->attributes = mmi_onnx_take(arena, attributes, sizeof(*node->attributes));
    bool taken = node->inputs && node->outputs && node->attributes;
    bool fits = inputs <= UINT32_MAX && outputs <= UINT32_MAX && attributes <= UINT32_MAX;
    return taken && fits ? MM_OK : mmi_onnx_out_of_memory(err);
}

static mm_status find_inputs(struct onnx_loading *loading, struct onnx_message message,
                             struct onnx_node *node, mm_error *err) {
    struct onnx_field field;
    while (mmi_onnx_next_of(&message, INPUT, &field)) {
        bool given = field.bytes.bytes > 0;
        uint32_t value = given ? mmi_onnx_find_name(loading->scope, field.bytes) : ONNX_NO_VALUE;
        if (given && value == ONNX_NO_VALUE) {
            return mmi_onnx_fail_at(loading->file, field.bytes.at, err,
                                    "the name of a value made before expected, got '%.*s'",
                                    ONNX_SHOWN(field.bytes));
        }
        node->inputs[node->input_count++] = value == ONNX_LEFT_OUT ? ONNX_NO_VALUE : value;
    }
    return MM_OK;
}

static mm_status load_attributes(struct onnx_loading *loading, struct onnx_message message,
                                 struct onnx_node *node, mm_error *err) {
    struct onnx_field field;
    while (mmi_onnx_next_of(&message, ATTRIBUTE, &field)) {
        struct onnx_attribute *attribute = &node->attributes[node->attribute_count++];
        MMI_TRY(mmi_onnx_load_attribute(loading, field.bytes, attribute, err));
        node->attribute_count -= attribute->name ? 0 : 1;
    }
    return MM_OK;
}

static mm_status add_outputs(struct onnx_loading *loading, struct onnx_message message,
                             struct onnx_node *node, mm_error *err) {
    struct onnx_field field;
    while (mmi_onnx_next_of(&message, OUTPUT, &field)) {
        uint32_t *value = &node->outputs[node->output_count++];
        *value = ONNX_NO_VALUE;
        if (field.bytes.bytes > 0) {
            MMI_TRY(mmi_onnx_load_value(loading, field.bytes, value, err));
        }
    }
    return MM_OK;
}

static mm_status append(struct onnx_loading *loading, struct onnx_node *node, mm_error *err) {
    struct onnx_nodes *nodes = loading->nodes;
    if (!mmi_onnx_grow(loading->model->arena, (void **)&nodes->all, &nodes->capacity, nodes->count,
                       sizeof(struct onnx_node *))) {
        return mmi_onnx_out_of_memory(err);
    }
    nodes->all[nodes->count++] = node;
    return MM_OK;
}

static mm_status load_parts(struct onnx_loading *loading, struct onnx_message message,
                            struct onnx_node *node, mm_error *err) {
    const struct onnx_function *function;
    MMI_TRY(load_words(loading, message, node, err));
    MMI_TRY(mmi_onnx_find_function(loading, mmi_onnx_bytes_of(message, DOMAIN),
                                   mmi_onnx_bytes_of(message, TYPE),
                                   mmi_onnx_bytes_of(message, OVERLOAD), &function, err));
    MMI_TRY(function ? MM_OK : check_opset(loading, message, node, err));
    MMI_TRY(take_parts(loading, message, node, err));
    MMI_TRY(find_inputs(loading, message, node, err));
    MMI_TRY(load_attributes(loading, message, node, err));
    if (function) {
        return mmi_onnx_load_call(loading, function, node, message, OUTPUT, err);
    }
    MMI_TRY(add_outputs(loading, message, node, err));
    return append(loading, node, err);
}

/* A node without a name is known by what it makes. */
static void tell_node(struct onnx_loading *loading, struct onnx_message message, mm_error *err) {
    struct onnx_span type = mmi_onnx_bytes_of(message, TYPE);
    struct onnx_span name = mmi_onnx_bytes_of(message, NAME);
    struct onnx_field output = {.bytes = {message.at, 0}};
    if (name.bytes == 0) {
        mmi_onnx_next_of(&message, OUTPUT, &output);
    }
    if (!loading->told) {
        mmi_error_prefix(err, "%.*s node %s'%.*s'", ONNX_SHOWN(type),
                         name.bytes > 0 ? "" : "that makes ",
                         ONNX_SHOWN(name.bytes > 0 ? name : output.bytes));
        loading->told = true;
    }
}

mm_status mmi_onnx_load_node(struct onnx_loading *loading, struct onnx_span bytes, mm_error *err) {
    struct onnx_message message;
    MMI_TRY(mmi_onnx_open_message(&message, bytes, &node_schema, loading->file, err));
    struct onnx_node *node = mmi_onnx_take(loading->model->arena, 1, sizeof(*node));
    if (!node) {
        return mmi_onnx_out_of_memory(err);
    }
    mm_status status = load_parts(loading, message, node, err);
    if (status != MM_OK) {
        tell_node(loading, message, err);
    }
    return status;
}
