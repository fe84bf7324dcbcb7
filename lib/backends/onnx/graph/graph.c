/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/graph/graph.h>
#include <backends/onnx/operators/operator.h>
#include <base/status.h>

#include <stdio.h>

uint32_t mmi_onnx_add_value(struct onnx_model *model, const char *name) {
    if (!mmi_onnx_grow(model->arena, (void **)&model->values, &model->value_capacity,
                       model->value_count, sizeof(*model->values))) {
        return ONNX_NO_VALUE;
    }
    model->values[model->value_count] = (struct onnx_value){.name = name};
    return model->value_count++;
}

uint32_t mmi_onnx_add_constant(struct onnx_model *model, const struct onnx_tensor *tensor) {
    struct onnx_tensor *copy = mmi_onnx_take(model->arena, 1, sizeof(*copy));
    uint32_t value = copy ? mmi_onnx_add_value(model, "") : ONNX_NO_VALUE;
    if (value != ONNX_NO_VALUE) {
        *copy = *tensor;
        copy->known = 1;
        model->values[value].constant = copy;
    }
    return value;
}

const struct onnx_tensor *mmi_onnx_constant(const struct onnx_model *model,
                                            const struct onnx_node *node, uint32_t input) {
    if (input >= node->input_count || node->inputs[input] == ONNX_NO_VALUE) {
        return NULL;
    }
    return model->values[node->inputs[input]].constant;
}

struct onnx_node *mmi_onnx_new_node(struct onnx_model *model, const struct onnx_operator *op,
                                    uint32_t input_count, uint32_t output_count) {
    struct onnx_node *node = mmi_onnx_take(model->arena, 1, sizeof(*node));
    if (!node) {
        return NULL;
    }
    node->name = node->domain = "";
    node->type = op->name;
    node->op = op;
    node->input_count = input_count;
    node->output_count = output_count;
    node->inputs = mmi_onnx_take(model->arena, input_count, sizeof(uint32_t));
    node->outputs = mmi_onnx_take(model->arena, output_count, sizeof(uint32_t));
    node->params = mmi_onnx_take(model->arena, 1, op->params_bytes);
    return node->inputs && node->outputs && node->params ? node : NULL;
}

uint32_t mmi_onnx_first_output(const struct onnx_node *node) {
    for (uint32_t i = 0; i < node->output_count; i++) {
        if (node->outputs[i] != ONNX_NO_VALUE) {
            return node->outputs[i];
        }
    }
    return ONNX_NO_VALUE;
}

const char *mmi_onnx_node_text(const struct onnx_model *model, const struct onnx_node *node,
                               char text[ONNX_NODE_TEXT]) {
    if (node->name[0]) {
        snprintf(text, ONNX_NODE_TEXT, "%.60s node '%.80s'", node->type, node->name);
    } else {
        bool has = node->output_count > 0 && node->outputs[0] < model->value_count;
        snprintf(text, ONNX_NODE_TEXT, "%.60s node that makes '%.70s'", node->type,
                 has ? model->values[node->outputs[0]].name : "");
    }
    return text;
}

mm_status mmi_onnx_fail_node(const struct onnx_model *model, const struct onnx_node *node,
                             mm_status status, mm_error *err) {
    if (status != MM_OK) {
        char text[ONNX_NODE_TEXT];
        mmi_error_prefix(err, "%s", mmi_onnx_node_text(model, node, text));
    }
    return status;
}
