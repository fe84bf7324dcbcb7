/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/operators/operator.h>
#include <backends/onnx/passes/rewrite.h>

struct walk {
    const struct onnx_model *model;
    struct onnx_fact *facts;
};

static void learn_graph(const struct walk *walk, const struct onnx_graph *graph);

/* What both branches agree on. */
static void learn_if(const struct walk *walk, const struct onnx_node *node) {
    const struct onnx_graph *then = node->graphs[0], *otherwise = node->graphs[1];
    learn_graph(walk, then);
    learn_graph(walk, otherwise);
    for (uint32_t i = 0; i < node->output_count; i++) {
        if (node->outputs[i] == ONNX_NO_VALUE) {
            continue;
        }
        struct onnx_fact a = walk->facts[then->outputs[i]], b = walk->facts[otherwise->outputs[i]];
        a.dtype = a.dtype == b.dtype ? a.dtype : MM_DTYPE_NONE;
        a.rank = a.rank == b.rank ? a.rank : -1;
        a.last = a.last == b.last ? a.last : 0;
        a.small &= b.small;
        walk->facts[node->outputs[i]] = a;
    }
}

/* The type of a value that a Loop carries: its first one, if that is what the body declares to make
 * of it. */
static int32_t carried_type(const struct walk *walk, const struct onnx_node *node, uint32_t input) {
    const mm_value_info *declared = node->graphs[0]->declared;
    bool given = input < node->input_count && node->inputs[input] != ONNX_NO_VALUE && declared;
    int32_t dtype = given ? walk->facts[node->inputs[input]].dtype : MM_DTYPE_NONE;
    return given && declared[input - 1].dtype == dtype ? dtype : MM_DTYPE_NONE;
}

/* Inputs of its graph: iteration, condition, carried; outputs: condition, carried, then others. */
static void learn_loop(const struct walk *walk, const struct onnx_node *node) {
    const struct onnx_graph *body = node->graphs[0];
    for (uint32_t i = 0; i < body->input_count; i++) {
        struct onnx_fact *fact = &walk->facts[body->inputs[i]];
        fact->rank = i < 2 ? 0 : -1;
        fact->dtype = i == 0 ? MM_I64 : i == 1 ? MM_BOOL : carried_type(walk, node, i);
    }
    learn_graph(walk, body);
    for (uint32_t i = 2; i < body->input_count; i++) {
        if (node->outputs[i - 2] != ONNX_NO_VALUE) {
            walk->facts[node->outputs[i - 2]].dtype = walk->facts[body->inputs[i]].dtype;
        }
    }
}

static void learn_graph(const struct walk *walk, const struct onnx_graph *graph) {
    for (uint32_t i = 0; i < graph->node_count; i++) {
        const struct onnx_node *node = graph->nodes[i];
        if (node->op->flags & ONNX_OP_CONTROL) {
            learn_if(walk, node);
            continue;
        }
        if (node->op == &mmi_onnx_op_Loop) {
            learn_loop(walk, node);
            continue;
        }
        for (uint32_t j = 0; j < node->graph_count; j++) {
            learn_graph(walk, node->graphs[j]);
        }
        struct onnx_learning l = {.model = walk->model, .node = node, .facts = walk->facts};
        for (uint32_t j = 0; j < node->output_count; j++) {
            if (node->outputs[j] != ONNX_NO_VALUE) {
                walk->facts[node->outputs[j]] = mmi_onnx_learn(&l, j);
            }
        }
    }
}

mm_status mmi_onnx_learn_facts(const struct onnx_model *model, struct onnx_arena *arena,
                               struct onnx_fact **facts, mm_error *err) {
    struct walk walk = {.model = model,
                        .facts = mmi_onnx_take(arena, model->value_count, sizeof(*walk.facts))};
    if (!walk.facts) {
        return mmi_onnx_no_room(err);
    }
    for (uint32_t i = 0; i < model->value_count; i++) {
        const struct onnx_tensor *constant = model->values[i].constant;
        walk.facts[i] = (struct onnx_fact){.rank = -1};
        if (constant) {
            walk.facts[i].dtype = constant->dtype;
            walk.facts[i].rank = (int32_t)constant->rank;
            walk.facts[i].last = constant->rank > 0 ? constant->shape[constant->rank - 1] : 0;
        }
    }
    for (uint32_t i = 0; i < model->main->input_count; i++) {
        const mm_value_info *info = &model->inputs[i];
        int64_t last = info->rank > 0 ? info->shape[info->rank - 1] : 0;
        walk.facts[model->main->inputs[i]] = (struct onnx_fact){
            .dtype = info->dtype, .rank = info->rank, .last = last > 0 ? last : 0};
    }
    learn_graph(&walk, model->main);
    *facts = walk.facts;
    return MM_OK;
}
