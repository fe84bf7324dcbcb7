/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/graph/upgrade.h>
#include <backends/onnx/graph/upgrading.h>
#include <base/status.h>

#include <string.h>

#define ALWAYS INT64_MAX

struct upgrade {
    const char *type;
    int64_t below; /* for opsets below this one; sorted by it for each type */
    struct {
        const char *attribute;
        uint32_t input; /* that the attribute became */
    } moves[3];
    const char *renamed; /* the operator's new name; NULL: it kept the old one */
    mm_status (*change)(const struct upgrading *upgrading, mm_error *err);
};

static mm_status upgrade_resize(const struct upgrading *upgrading, mm_error *err);
static mm_status upgrade_dropout(const struct upgrading *upgrading, mm_error *err);

static const struct upgrade upgrades[] = {
    {"Clip", 11, .moves = {{"min", 1}, {"max", 2}}},
    {"Dropout", ALWAYS, .change = upgrade_dropout},
    {"Pad", 11, .moves = {{"pads", 1}}},
    {"ReduceL1", 18, .moves = {{"axes", 1}}},
    {"ReduceL2", 18, .moves = {{"axes", 1}}},
    {"ReduceLogSum", 18, .moves = {{"axes", 1}}},
    {"ReduceLogSumExp", 18, .moves = {{"axes", 1}}},
    {"ReduceMax", 18, .moves = {{"axes", 1}}},
    {"ReduceMean", 18, .moves = {{"axes", 1}}},
    {"ReduceMin", 18, .moves = {{"axes", 1}}},
    {"ReduceProd", 18, .moves = {{"axes", 1}}},
    {"ReduceSum", 13, .moves = {{"axes", 1}}},
    {"ReduceSumSquare", 18, .moves = {{"axes", 1}}},
    {"Scatter", 11, .renamed = "ScatterElements"},
    {"Slice", 10, .moves = {{"starts", 1}, {"ends", 2}, {"axes", 3}}},
    {"Split", 13, .moves = {{"split", 1}}},
    {"Squeeze", 13, .moves = {{"axes", 1}}},
    {"TopK", 10, .moves = {{"k", 1}}},
    {"Unsqueeze", 13, .moves = {{"axes", 1}}},
    {"Reshape", 5, .moves = {{"shape", 1}}},
    {"Upsample", 9, .moves = {{"scales", 1}}},
    {"Upsample", 10, .renamed = "Resize"},
    {"Resize", 11, .change = upgrade_resize},
};

mm_status mmi_onnx_attribute_tensor(const struct onnx_attribute *attribute,
                                    struct onnx_tensor *tensor, mm_error *err) {
    int64_t count = attribute->count < INT64_MAX ? (int64_t)attribute->count : -1;
    mm_status status = MM_OK;
    switch (attribute->type) {
    case ONNX_ATTRIBUTE_FLOAT:
        status = mmi_onnx_tensor_set(tensor, MM_F32, 0, NULL, err);
        tensor->data = &attribute->f;
        break;
    case ONNX_ATTRIBUTE_INT:
        status = mmi_onnx_tensor_set(tensor, MM_I64, 0, NULL, err);
        tensor->data = &attribute->i;
        break;
    case ONNX_ATTRIBUTE_FLOATS:
        status = mmi_onnx_tensor_set(tensor, MM_F32, 1, &count, err);
        tensor->data = attribute->floats;
        break;
    case ONNX_ATTRIBUTE_INTS:
        status = mmi_onnx_tensor_set(tensor, MM_I64, 1, &count, err);
        tensor->data = attribute->ints;
        break;
    case ONNX_ATTRIBUTE_STRING:
        status = mmi_onnx_tensor_set(tensor, MM_STRING, 0, NULL, err);
        tensor->data = attribute->strings;
        break;
    case ONNX_ATTRIBUTE_STRINGS:
        status = mmi_onnx_tensor_set(tensor, MM_STRING, 1, &count, err);
        tensor->data = attribute->strings;
        break;
    case ONNX_ATTRIBUTE_TENSOR:
        *tensor = *attribute->tensor;
        break;
    default:
        status = mmi_fail(err, MM_UNSUPPORTED, "attribute %s of type %d as a tensor",
                          attribute->name, attribute->type);
    }
    tensor->known = 1;
    return status;
}

/* ---- Changing nodes -------------------------------------------------------------------------- */

mm_status mmi_onnx_no_upgrade_memory(mm_error *err) {
    return mmi_fail(err, MM_NO_MEMORY, "no memory to upgrade the node to the newest opset");
}

mm_status mmi_onnx_set_input(const struct upgrading *upgrading, uint32_t input, uint32_t value,
                             mm_error *err) {
    struct onnx_node *node = upgrading->node;
    if (input >= node->input_count) {
        uint32_t *inputs = mmi_onnx_take(upgrading->model->arena, input + 1, sizeof(*inputs));
        if (!inputs) {
            return mmi_onnx_no_upgrade_memory(err);
        }
        for (uint32_t i = 0; i <= input; i++) {
            inputs[i] = i < node->input_count ? node->inputs[i] : ONNX_NO_VALUE;
        }
        node->inputs = inputs;
        node->input_count = input + 1;
    }
    node->inputs[input] = value;
    return MM_OK;
}

mm_status mmi_onnx_move_attribute(const struct upgrading *upgrading, const char *name,
                                  uint32_t input, mm_error *err) {
    struct onnx_attributes attributes = {.node = upgrading->node};
    const struct onnx_attribute *attribute = mmi_onnx_attribute(&attributes, name);
    struct onnx_tensor tensor;
    if (!attribute) {
        return MM_OK;
    }
    MMI_TRY(mmi_onnx_attribute_tensor(attribute, &tensor, err));
    uint32_t value = mmi_onnx_add_constant(upgrading->model, &tensor);
    return value == ONNX_NO_VALUE ? mmi_onnx_no_upgrade_memory(err)
                                  : mmi_onnx_set_input(upgrading, input, value, err);
}

/* Opset 11 put the input `roi` before `scales`. */
static mm_status upgrade_resize(const struct upgrading *upgrading, mm_error *err) {
    struct onnx_node *node = upgrading->node;
    if (node->input_count == 2) {
        MMI_TRY(mmi_onnx_set_input(upgrading, 2, node->inputs[1], err));
        node->inputs[1] = ONNX_NO_VALUE;
    }
    return MM_OK;
}

static bool is_used(const struct onnx_node *node, uint32_t output) {
    return output < node->output_count && node->outputs[output] != ONNX_NO_VALUE;
}

/* Outside of training, and if the mask is not used, Dropout is Identity. */
static mm_status upgrade_dropout(const struct upgrading *upgrading, mm_error *err) {
    struct onnx_node *node = upgrading->node;
    struct onnx_attributes attributes = {.node = node, .opset = node->opset};
    mmi_onnx_attribute(mmi_onnx_before(&attributes, 12), "ratio");
    mmi_onnx_attribute(mmi_onnx_since(&attributes, 12), "seed");
    const struct onnx_tensor *training = mmi_onnx_constant(upgrading->model, node, 2);
    bool has = node->input_count > 2 && node->inputs[2] != ONNX_NO_VALUE;
    bool trains = has && !(training && training->elements == 1 && !mmi_onnx_int_at(training, 0));
    (void)err;
    if (node->input_count > 0 && !trains && is_used(node, 0) && !is_used(node, 1)) {
        node->type = "Identity";
        node->input_count = node->output_count = 1;
    }
    return MM_OK;
}

mm_status mmi_onnx_upgrade(struct onnx_model *model, struct onnx_node *node, mm_error *err) {
    struct upgrading upgrading = {model, node};
    if (node->opset < 7) {
        MMI_TRY(mmi_onnx_upgrade_older(&upgrading, err));
    }
    for (size_t i = 0; i < sizeof(upgrades) / sizeof(upgrades[0]); i++) {
        const struct upgrade *a = &upgrades[i];
        if (node->opset >= a->below || strcmp(node->type, a->type) != 0) {
            continue;
        }
        for (size_t j = 0; j < sizeof(a->moves) / sizeof(a->moves[0]); j++) {
            if (a->moves[j].attribute) {
                MMI_TRY(mmi_onnx_move_attribute(&upgrading, a->moves[j].attribute,
                                                a->moves[j].input, err));
            }
        }
        if (a->change) {
            MMI_TRY(a->change(&upgrading, err));
        }
        node->type = a->renamed ? a->renamed : node->type;
    }
    return MM_OK;
}
