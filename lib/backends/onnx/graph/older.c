/* SPDX-License-Identifier: Apache-2.0 */

/* Opsets 1 to 6 of ai.onnx: nodes as opset 7 has them. */

#include <backends/onnx/graph/upgrading.h>
#include <backends/onnx/operators/align.h>
#include <base/status.h>

#include <inttypes.h>
#include <math.h>
#include <string.h>

/* ---- Attributes ------------------------------------------------------------------------------ */

static struct onnx_attribute *find(const struct upgrading *upgrading, const char *name) {
    struct onnx_attributes attributes = {.node = upgrading->node};
    return (struct onnx_attribute *)(uintptr_t)mmi_onnx_attribute(&attributes, name);
}

/* One that the node does not have yet. */
static mm_status add_attribute(const struct upgrading *upgrading,
                               const struct onnx_attribute *attribute, mm_error *err) {
    struct onnx_node *node = upgrading->node;
    if (find(upgrading, attribute->name)) {
        return MM_OK;
    }
    struct onnx_attribute *all =
        mmi_onnx_take(upgrading->model->arena, (uint64_t)node->attribute_count + 1, sizeof(*all));
    if (!all) {
        return mmi_onnx_no_upgrade_memory(err);
    }
    for (uint32_t i = 0; i < node->attribute_count; i++) {
        all[i] = node->attributes[i];
    }
    all[node->attribute_count++] = *attribute;
    node->attributes = all;
    return MM_OK;
}

/* One that is made here may not be there before. */
static mm_status refuse_newer(const struct upgrading *upgrading, const char *name, mm_error *err) {
    const struct onnx_attribute *newer = find(upgrading, name);
    return newer ? mmi_fail(err, MM_INVALID_MODEL,
                            "attribute %s, which it does not have in opset %" PRId64, name,
                            upgrading->node->opset)
                 : MM_OK;
}

static mm_status add_float(const struct upgrading *upgrading, const char *name, float value,
                           mm_error *err) {
    struct onnx_attribute attribute = {.name = name, .type = ONNX_ATTRIBUTE_FLOAT, .f = value};
    return add_attribute(upgrading, &attribute, err);
}

/* ---- Operators ------------------------------------------------------------------------------- */

/* Training uses the statistics of the batch. */
static mm_status older_batch_norm(const struct upgrading *upgrading, mm_error *err) {
    struct onnx_attributes attributes = {.node = upgrading->node};
    int64_t test;
    MMI_TRY(mmi_onnx_read_int(&attributes, "is_test", 0, &test, err));
    return test ? MM_OK
                : mmi_fail(err, MM_UNSUPPORTED,
                           "attribute is_test is 0: training, models are only run here");
}

static mm_status older_dropout(const struct upgrading *upgrading, mm_error *err) {
    (void)err;
    find(upgrading, "is_test");
    return MM_OK;
}

/* The type by its name. */
static mm_status older_cast(const struct upgrading *upgrading, mm_error *err) {
    static const char *const names[] = {
        "UNDEFINED", "FLOAT", "UINT8",   "INT8",   "UINT16", "INT16",  "INT32",     "INT64",
        "STRING",    "BOOL",  "FLOAT16", "DOUBLE", "UINT32", "UINT64", "COMPLEX64", "COMPLEX128"};
    struct onnx_attribute *to = find(upgrading, "to");
    if (!to || to->type != ONNX_ATTRIBUTE_STRING) {
        return MM_OK;
    }
    for (size_t i = 1; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(to->text, names[i]) == 0) {
            to->type = ONNX_ATTRIBUTE_INT;
            to->i = (int64_t)i; /* as TensorProto.DataType and mm_dtype count */
            return MM_OK;
        }
    }
    return mmi_fail(err, MM_INVALID_MODEL, "attribute to is '%.60s', the name of a type wanted",
                    to->text);
}

static mm_status older_concat(const struct upgrading *upgrading, mm_error *err) {
    struct onnx_attribute axis = {.name = "axis", .type = ONNX_ATTRIBUTE_INT, .i = 1};
    return add_attribute(upgrading, &axis, err);
}

static mm_status older_selu(const struct upgrading *upgrading, mm_error *err) {
    MMI_TRY(add_float(upgrading, "alpha", 1.6732f, err));
    return add_float(upgrading, "gamma", 1.0507f, err);
}

/* p was a float. */
static mm_status older_lp_pool(const struct upgrading *upgrading, mm_error *err) {
    struct onnx_attribute *p = find(upgrading, "p");
    if (!p || p->type != ONNX_ATTRIBUTE_FLOAT) {
        return MM_OK;
    }
    if (!(p->f >= 1 && p->f <= 0x1p20f && p->f == floorf(p->f))) {
        return mmi_fail(err, MM_UNSUPPORTED, "attribute p is %g, a whole number wanted",
                        (double)p->f);
    }
    p->type = ONNX_ATTRIBUTE_INT;
    p->i = (int64_t)p->f;
    return MM_OK;
}

static mm_status older_pad(const struct upgrading *upgrading, mm_error *err) {
    struct onnx_attribute *pads = find(upgrading, "paddings");
    MMI_TRY(refuse_newer(upgrading, "pads", err));
    if (pads) {
        pads->name = "pads";
    }
    return MM_OK;
}

static mm_status older_recurrent(const struct upgrading *upgrading, mm_error *err) {
    (void)err;
    find(upgrading, "output_sequence"); /* its output 0 tells as much */
    return MM_OK;
}

/* Images only. */
static mm_status older_upsample(const struct upgrading *upgrading, mm_error *err) {
    struct onnx_attributes attributes = {.node = upgrading->node};
    struct onnx_attribute *mode = find(upgrading, "mode");
    float *scales = mmi_onnx_take(upgrading->model->arena, 4, sizeof(*scales));
    if (!scales) {
        return mmi_onnx_no_upgrade_memory(err);
    }
    scales[0] = scales[1] = 1;
    MMI_TRY(refuse_newer(upgrading, "scales", err));
    MMI_TRY(mmi_onnx_read_float(&attributes, "height_scale", 0, &scales[2], err));
    MMI_TRY(mmi_onnx_read_float(&attributes, "width_scale", 0, &scales[3], err));
    if (mode && mode->type == ONNX_ATTRIBUTE_STRING && strcmp(mode->text, "bilinear") == 0) {
        mode->text = "linear";
    }
    struct onnx_attribute all = {
        .name = "scales", .type = ONNX_ATTRIBUTE_FLOATS, .count = 4, .floats = scales};
    return add_attribute(upgrading, &all, err);
}

/* ---- Tile ------------------------------------------------------------------------------------ */

#define MAX_TILES 4096

static mm_status one_number(const struct upgrading *upgrading, uint32_t input, const char *what,
                            int64_t *number, mm_error *err) {
    const struct onnx_tensor *tensor = mmi_onnx_constant(upgrading->model, upgrading->node, input);
    if (!tensor || tensor->elements != 1 || tensor->dtype == MM_STRING ||
        mmi_onnx_element_bytes(tensor->dtype) == 0) {
        return mmi_fail(err, MM_UNSUPPORTED, "its %s is no constant number", what);
    }
    bool real = tensor->dtype == MM_F32 || tensor->dtype == MM_F64 || tensor->dtype == MM_F16;
    *number = real ? 0 : mmi_onnx_int_at(tensor, 0);
    if (real) {
        double value = mmi_onnx_float_at(tensor, 0);
        *number = value >= -MAX_TILES && value <= MAX_TILES ? (int64_t)value : -1 - MAX_TILES;
    }
    return MM_OK;
}

/* `tiles` copies along one axis: the same input so often, put together. */
static mm_status older_tile(const struct upgrading *upgrading, mm_error *err) {
    struct onnx_node *node = upgrading->node;
    int64_t tiles = 0, axis = 0;
    MMI_TRY(one_number(upgrading, 1, "tiles", &tiles, err));
    MMI_TRY(one_number(upgrading, 2, "axis", &axis, err));
    if (node->input_count != 3 || tiles < 1 || tiles > MAX_TILES) {
        return mmi_fail(err, MM_UNSUPPORTED,
                        "%" PRId64 " tiles and %u inputs, 1 to %d and 3 wanted", tiles,
                        node->input_count, MAX_TILES);
    }
    uint32_t *inputs = mmi_onnx_take(upgrading->model->arena, (uint64_t)tiles, sizeof(*inputs));
    if (!inputs) {
        return mmi_onnx_no_upgrade_memory(err);
    }
    for (int64_t i = 0; i < tiles; i++) {
        inputs[i] = node->inputs[0];
    }
    node->inputs = inputs;
    node->input_count = (uint32_t)tiles;
    node->type = "Concat";
    struct onnx_attribute attribute = {.name = "axis", .type = ONNX_ATTRIBUTE_INT, .i = axis};
    return add_attribute(upgrading, &attribute, err);
}

/* ---- All of them ----------------------------------------------------------------------------- */

static const struct older {
    const char *type;
    int64_t below;
    mm_status (*change)(const struct upgrading *upgrading, mm_error *err);
} changes[] = {
    {"BatchNormalization", 7, older_batch_norm},
    {"Cast", 6, older_cast},
    {"Concat", 4, older_concat},
    {"Dropout", 7, older_dropout},
    {"GRU", 7, older_recurrent},
    {"GlobalLpPool", 2, older_lp_pool},
    {"LSTM", 7, older_recurrent},
    {"LpPool", 2, older_lp_pool},
    {"Pad", 2, older_pad},
    {"RNN", 7, older_recurrent},
    {"Selu", 6, older_selu},
    {"Tile", 6, older_tile},
    {"Upsample", 7, older_upsample},
};

/* Those that could say which of their inputs they may overwrite. */
static const char *const consumers[] = {"Abs",       "Add",         "BatchNormalization",
                                        "Ceil",      "Clip",        "Div",
                                        "Dropout",   "Elu",         "Exp",
                                        "Floor",     "HardSigmoid", "InstanceNormalization",
                                        "LeakyRelu", "Log",         "Max",
                                        "Mean",      "Min",         "Mul",
                                        "Neg",       "PRelu",       "Reciprocal",
                                        "Relu",      "Selu",        "Sigmoid",
                                        "Sqrt",      "Sub",         "Sum",
                                        "Tanh"};

static bool consumes(const struct onnx_node *node) {
    if (strcmp(node->type, "Reshape") == 0) {
        return node->opset < 5;
    }
    for (size_t i = 0; i < sizeof(consumers) / sizeof(consumers[0]) && node->opset < 6; i++) {
        if (strcmp(node->type, consumers[i]) == 0) {
            return true;
        }
    }
    return false;
}

mm_status mmi_onnx_upgrade_older(const struct upgrading *upgrading, mm_error *err) {
    if (consumes(upgrading->node)) {
        find(upgrading, "consumed_inputs");
    }
    if (strcmp(upgrading->node->type, "Gemm") == 0) {
        find(upgrading, "broadcast"); /* which it does by itself */
    }
    for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
        const struct older *older = &changes[i];
        if (upgrading->node->opset < older->below &&
            strcmp(upgrading->node->type, older->type) == 0) {
            return older->change(upgrading, err);
        }
    }
    return MM_OK;
}

/* ---- Second inputs that begin at an axis ----------------------------------------------------- */

static const char *const aligned[] = {"Add", "Sub", "Mul",   "Div",     "Pow", "And",
                                      "Or",  "Xor", "Equal", "Greater", "Less"};

/* *axis: where the second input begins. false: at the last one where it can, as today. */
static bool begins_at(struct onnx_model *model, struct onnx_node *node, int64_t *axis) {
    struct upgrading upgrading = {model, node};
    if (strcmp(node->type, "PRelu") == 0) {
        *axis = 1; /* the channels */
        return true;
    }
    for (size_t i = 0; i < sizeof(aligned) / sizeof(aligned[0]); i++) {
        if (strcmp(node->type, aligned[i]) == 0) {
            const struct onnx_attribute *from = find(&upgrading, "axis");
            const struct onnx_attribute *broadcast = find(&upgrading, "broadcast");
            *axis = from ? from->i : 0;
            return broadcast && broadcast->i != 0 && from && from->type == ONNX_ATTRIBUTE_INT;
        }
    }
    return false;
}

static struct onnx_node *new_align(struct onnx_model *model, struct onnx_node *of, int64_t axis) {
    struct onnx_node *node = mmi_onnx_new_node(model, &mmi_onnx_op_Align, 2, 1);
    uint32_t value = node ? mmi_onnx_add_value(model, "") : ONNX_NO_VALUE;
    if (value == ONNX_NO_VALUE) {
        return NULL;
    }
    struct onnx_align *align = node->params;
    align->axis = axis;
    align->channels = strcmp(of->type, "PRelu") == 0;
    node->name = of->name;
    node->domain = ONNX_OURS;
    node->inputs[0] = of->inputs[1];
    node->inputs[1] = of->inputs[0];
    node->outputs[0] = of->inputs[1] = value;
    return node;
}

mm_status mmi_onnx_align_operands(struct onnx_model *model, struct onnx_graph *graph,
                                  mm_error *err) {
    uint32_t count = 0;
    struct onnx_node **nodes = NULL;
    for (uint32_t i = 0; i < graph->node_count; i++) {
        struct onnx_node *node = graph->nodes[i];
        int64_t axis;
        bool older = node->opset < 7 && node->domain[0] == '\0' && !node->op;
        if (!older || !begins_at(model, node, &axis) || node->input_count != 2 ||
            node->inputs[0] == ONNX_NO_VALUE || node->inputs[1] == ONNX_NO_VALUE) {
            if (nodes) {
                nodes[count++] = node;
            }
            continue;
        }
        if (!nodes) {
            nodes = mmi_onnx_take(model->arena, 2 * (uint64_t)graph->node_count, sizeof(*nodes));
            if (!nodes) {
                return mmi_onnx_no_upgrade_memory(err);
            }
            memcpy(nodes, graph->nodes, i * sizeof(*nodes));
            count = i;
        }
        nodes[count] = new_align(model, node, axis);
        if (!nodes[count]) {
            return mmi_onnx_no_upgrade_memory(err);
        }
        count++;
        nodes[count++] = node;
    }
    if (nodes) {
        graph->nodes = nodes;
        graph->node_count = count;
    }
    return MM_OK;
}
