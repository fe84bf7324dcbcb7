/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/steps/steps.h>
#include <base/status.h>

/* Backwards from what decides shapes to the inputs it is computed from. */
struct marks {
    const struct onnx_model *model;
    uint8_t *needed; /* [value_count]: its elements must be known before a run */
    bool changed;
};

static bool is_needed(const struct marks *marks, uint32_t value) {
    return value != ONNX_NO_VALUE && marks->needed[value];
}

static void need(struct marks *marks, uint32_t value) {
    if (value != ONNX_NO_VALUE && !marks->needed[value]) {
        marks->needed[value] = 1;
        marks->changed = true;
    }
}

static void mark_graph(struct marks *marks, const struct onnx_graph *graph);

static void mark_node(struct marks *marks, const struct onnx_node *node) {
    for (uint32_t i = 0; i < node->input_count && i < 32; i++) {
        if (node->op->shaping_inputs >> i & 1) {
            need(marks, node->inputs[i]);
        }
    }
    bool result = false;
    bool control = node->op->flags & ONNX_OP_CONTROL;
    for (uint32_t i = 0; i < node->output_count; i++) {
        if (is_needed(marks, node->outputs[i])) {
            result = true;
            for (uint32_t b = 0; b < node->graph_count && control; b++) {
                need(marks, node->graphs[b]->outputs[i]);
            }
        }
    }
    bool computed = result && !control && !(node->op->flags & ONNX_OP_SHAPES_ONLY) &&
                    !mmi_onnx_is_dynamic(node->op);
    for (uint32_t i = 0; i < node->input_count && computed; i++) {
        need(marks, node->inputs[i]);
    }
    for (uint32_t b = 0; b < node->graph_count; b++) {
        mark_graph(marks, node->graphs[b]);
    }
}

static void mark_graph(struct marks *marks, const struct onnx_graph *graph) {
    for (uint32_t i = graph->node_count; i-- > 0;) {
        mark_node(marks, graph->nodes[i]);
    }
}

/* A scalar or a list of numbers. */
static bool can_specialise(const mm_value_info *info) {
    return info->kind == MM_TENSOR && info->dtype != MM_STRING && info->rank >= 0 &&
           info->rank <= 1;
}

mm_status mmi_onnx_mark_specialising(struct onnx_model *model, mm_error *err) {
    struct marks marks = {.model = model};
    marks.needed = mmi_onnx_take(model->arena, model->value_count, 1);
    if (!marks.needed) {
        return mmi_fail(err, MM_NO_MEMORY, "no memory to look through the graph");
    }
    do { /* again only for values that pass from branch to branch */
        marks.changed = false;
        mark_graph(&marks, model->main);
    } while (marks.changed);
    for (uint32_t i = 0; i < model->main->input_count; i++) {
        if (is_needed(&marks, model->main->inputs[i]) && can_specialise(&model->inputs[i])) {
            model->inputs[i].flags |= MM_VALUE_INFO_SHAPE_INPUT;
        }
    }
    return MM_OK;
}
