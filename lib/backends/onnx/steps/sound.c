/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/operators/operator.h>
#include <backends/onnx/operators/panels.h>
#include <backends/onnx/steps/sound.h>
#include <base/status.h>

static bool is_dtype(int32_t dtype) {
    return dtype == MM_STRING || mm_dtype_bytes(dtype, 1) > 0;
}

bool mmi_onnx_constant_is_sound(const struct onnx_tensor *tensor) {
    uint64_t bytes = mmi_onnx_tensor_bytes(tensor->dtype, tensor->elements);
    if (tensor->layout == ONNX_PANELS && mmi_onnx_has_panels(tensor->dtype) && tensor->rank == 2) {
        bytes = mmi_onnx_narrow_panel_bytes(tensor->dtype, (uint64_t)tensor->shape[0],
                                            (uint64_t)tensor->shape[1]);
        return bytes < PTRDIFF_MAX && tensor->bytes == bytes;
    }
    return tensor->layout == ONNX_PLAIN && is_dtype(tensor->dtype) && tensor->bytes == bytes;
}

bool mmi_onnx_info_is_sound(const mm_value_info *info) {
    const uint32_t flags = MM_VALUE_INFO_OPTIONAL | MM_VALUE_INFO_SHAPE_INPUT;
    bool typed = is_dtype(info->dtype) || info->dtype == MM_DTYPE_NONE;
    bool sound = typed && info->kind >= MM_TENSOR && info->kind <= MM_MAP &&
                 !(info->flags & ~flags) && info->rank >= -1 && info->rank <= MM_MAX_RANK;
    for (int32_t axis = 0; sound && axis < info->rank; axis++) {
        sound = info->shape[axis] >= -1;
    }
    return sound;
}

/* ---- Graphs ---------------------------------------------------------------------------------- */

struct search {
    const struct onnx_model *model;
    bool *made; /* [value_count]: can be read where the search is */
};

static bool can_read(const struct search *search, uint32_t value) {
    return value != ONNX_NO_VALUE && (search->model->values[value].constant || search->made[value]);
}

static bool make(const struct search *search, uint32_t value) {
    if (value == ONNX_NO_VALUE || can_read(search, value)) {
        return false;
    }
    search->made[value] = true;
    return true;
}

static uint32_t count_lists(const struct onnx_operator *op) {
    uint32_t count = 0;
    while (op->lists && op->lists[count].name) {
        count++;
    }
    return count;
}

/* As resolve.c takes them from a file: those that are needed are there, lists lie behind the
 * others. */
static bool has_counts(const struct onnx_node *node) {
    const struct onnx_operator *op = node->op;
    bool any = op->max_inputs == ONNX_ANY_NUMBER;
    uint32_t lists = count_lists(op), left = op->arranged ? op->arranged : lists;
    if (node->input_count < left) {
        return false;
    }
    uint32_t own = node->input_count - left;
    if (op->arranged && own > op->max_inputs) {
        own = op->max_inputs; /* some leave more */
    }
    if (own < op->min_inputs || own > op->max_inputs ||
        (lists > 0 && !any && own != op->max_inputs) || node->output_count < op->min_outputs ||
        node->output_count > op->max_outputs) {
        return false;
    }
    uint32_t needed = any && op->infer ? own : op->min_inputs;
    for (uint32_t i = 0; i < needed; i++) {
        if (node->inputs[i] == ONNX_NO_VALUE) {
            return false;
        }
    }
    return true;
}

static bool visit(const struct search *search, const struct onnx_graph *graph);

static bool visit_node(const struct search *search, const struct onnx_node *node) {
    bool sound = has_counts(node);
    for (uint32_t i = 0; sound && i < node->input_count; i++) {
        sound = node->inputs[i] == ONNX_NO_VALUE || can_read(search, node->inputs[i]);
    }
    for (uint32_t i = 0; sound && i < node->graph_count; i++) {
        sound = visit(search, node->graphs[i]);
    }
    for (uint32_t i = 0; sound && i < node->output_count; i++) {
        sound = node->outputs[i] == ONNX_NO_VALUE || make(search, node->outputs[i]);
    }
    return sound;
}

/* What a graph makes is not there behind its node. */
static void forget(const struct search *search, const struct onnx_graph *graph) {
    for (uint32_t i = 0; i < graph->input_count; i++) {
        search->made[graph->inputs[i]] = false;
    }
    for (uint32_t i = 0; i < graph->node_count; i++) {
        const struct onnx_node *node = graph->nodes[i];
        for (uint32_t j = 0; j < node->output_count; j++) {
            if (node->outputs[j] != ONNX_NO_VALUE) {
                search->made[node->outputs[j]] = false;
            }
        }
    }
}

static bool visit(const struct search *search, const struct onnx_graph *graph) {
    bool sound = true;
    for (uint32_t i = 0; sound && i < graph->input_count; i++) {
        sound = make(search, graph->inputs[i]);
    }
    for (uint32_t i = 0; sound && i < graph->node_count; i++) {
        sound = visit_node(search, graph->nodes[i]);
    }
    for (uint32_t i = 0; sound && i < graph->output_count; i++) {
        sound = can_read(search, graph->outputs[i]);
    }
    if (sound) {
        forget(search, graph);
    }
    return sound;
}

mm_status mmi_onnx_check_sound(const struct onnx_model *model, mm_error *err) {
    struct onnx_arena work;
    mmi_onnx_arena_init(&work, model->arena->allocator);
    struct search search = {.model = model,
                            .made = mmi_onnx_take(&work, model->value_count, sizeof(bool))};
    bool room = search.made;
    bool sound = room && visit(&search, model->main);
    mmi_onnx_arena_free(&work);
    if (!room) {
        return mmi_fail(err, MM_NO_MEMORY, "onnx: no memory for a description");
    }
    return sound ? MM_OK : mmi_fail(err, MM_CORRUPT, "onnx: the description is damaged");
}
