/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/passes/uses.h>
#include <base/status.h>

/* A user of a value: how many there are first, then who they are. */
static void note(struct onnx_uses *uses, uint32_t value, struct onnx_user user) {
    if (value == ONNX_NO_VALUE) {
        return;
    }
    struct onnx_use *use = &uses->of[value];
    if (use->users) {
        use->users[use->count] = user;
    }
    use->count++;
}

static void walk(struct onnx_uses *uses, struct onnx_graph *graph) {
    if (uses->graphs) {
        uses->graphs[uses->graph_count] = graph;
    }
    uses->graph_count++;
    for (uint32_t i = 0; i < graph->node_count; i++) {
        struct onnx_node *node = graph->nodes[i];
        for (uint32_t j = 0; j < node->input_count; j++) {
            note(uses, node->inputs[j], (struct onnx_user){node, graph});
        }
        for (uint32_t b = 0; b < node->graph_count; b++) {
            walk(uses, node->graphs[b]);
        }
        for (uint32_t j = 0; j < node->output_count; j++) {
            if (node->outputs[j] != ONNX_NO_VALUE) {
                struct onnx_use *use = &uses->of[node->outputs[j]];
                use->maker = node;
                use->graph = graph;
                use->position = i;
            }
        }
    }
    for (uint32_t i = 0; i < graph->output_count; i++) {
        note(uses, graph->outputs[i], (struct onnx_user){NULL, graph});
    }
}

mm_status mmi_onnx_count_uses(const struct onnx_model *model, struct onnx_arena *arena,
                              struct onnx_uses *uses, mm_error *err) {
    uses->of = mmi_onnx_take(arena, model->value_count, sizeof(*uses->of));
    if (!uses->of) {
        return mmi_fail(err, MM_NO_MEMORY, "onnx: no memory for the users of values");
    }
    walk(uses, model->main);
    uses->graphs = mmi_onnx_take(arena, uses->graph_count, sizeof(*uses->graphs));
    if (!uses->graphs) {
        return mmi_fail(err, MM_NO_MEMORY, "onnx: no memory for the users of values");
    }
    uses->graph_count = 0;
    for (uint32_t i = 0; i < model->value_count; i++) {
        struct onnx_use *use = &uses->of[i];
        use->users = mmi_onnx_take(arena, use->count, sizeof(*use->users));
        if (!use->users) {
            return mmi_fail(err, MM_NO_MEMORY, "onnx: no memory for the users of values");
        }
        use->count = 0;
    }
    walk(uses, model->main);
    return MM_OK;
}

struct onnx_node *mmi_onnx_only_user(const struct onnx_uses *uses, uint32_t value) {
    const struct onnx_use *use = &uses->of[value];
    return use->count == 1 && use->users[0].graph == use->graph ? use->users[0].node : NULL;
}
