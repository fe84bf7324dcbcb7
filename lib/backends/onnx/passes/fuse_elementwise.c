/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/passes/program.h>

#include <string.h>

/* Nodes that become one, in the order of the graph. Only the last one is used outside. */
struct cluster {
    const struct onnx_rewrite *rewrite;
    const struct onnx_graph *graph;
    struct onnx_node *nodes[ONNX_PROGRAM_NODES];
    uint32_t count;
    struct onnx_emitter emitter; /* of exactly these nodes */
};

static uint32_t position(const struct cluster *c, const struct onnx_node *node) {
    return c->rewrite->uses.of[node->outputs[0]].position;
}

/* The program of the nodes; false: it would be too large. */
static bool emit(struct cluster *c) {
    mmi_onnx_emit_begin(&c->emitter, c->rewrite);
    for (uint32_t i = 0; i < c->count; i++) {
        if (!mmi_onnx_emit(&c->emitter, c->nodes[i])) {
            return false;
        }
    }
    return true;
}

static void insert(struct cluster *c, struct onnx_node *node) {
    uint32_t at = c->count++;
    while (at > 0 && position(c, c->nodes[at - 1]) > position(c, node)) {
        c->nodes[at] = c->nodes[at - 1];
        at--;
    }
    c->nodes[at] = node;
}

static void take_out(struct cluster *c, const struct onnx_node *node) {
    uint32_t kept = 0;
    for (uint32_t i = 0; i < c->count; i++) {
        if (c->nodes[i] != node) {
            c->nodes[kept++] = c->nodes[i];
        }
    }
    c->count = kept;
}

static bool holds(const struct cluster *c, const struct onnx_node *node) {
    for (uint32_t i = 0; i < c->count; i++) {
        if (c->nodes[i] == node) {
            return true;
        }
    }
    return false;
}

/* The node that makes `value`, if it can be computed in the cluster. A value that is likely small
 * (the mean of a row, a gate per channel) would be computed again for each element it is broadcast
 * to: it stays outside, unless the whole cluster is small. */
static struct onnx_node *find_inner(const struct cluster *c, uint32_t value) {
    const struct onnx_rewrite *rewrite = c->rewrite;
    const struct onnx_use *use = &rewrite->uses.of[value];
    bool all_small = rewrite->facts[c->nodes[c->count - 1]->outputs[0]].small;
    if (!use->maker || use->graph != c->graph || mmi_onnx_removed(use->maker) ||
        c->count == ONNX_PROGRAM_NODES || (rewrite->facts[value].small && !all_small) ||
        !mmi_onnx_is_elementwise(rewrite, use->maker)) {
        return NULL;
    }
    for (uint32_t i = 0; i < use->count; i++) {
        if (!use->users[i].node || !holds(c, use->users[i].node)) {
            return NULL;
        }
    }
    return use->maker;
}

/* Adds one node; false: none fits. */
static bool grow(struct cluster *c) {
    uint32_t inputs[ONNX_PROGRAM_INPUTS], count = c->emitter.program.inputs;
    memcpy(inputs, c->emitter.inputs, sizeof(inputs));
    for (uint32_t i = 0; i < count; i++) {
        struct onnx_node *node = find_inner(c, inputs[i]);
        if (node) {
            insert(c, node);
            if (emit(c)) {
                return true;
            }
            take_out(c, node);
        }
    }
    emit(c); /* again without it */
    return false;
}

static mm_status replace(struct cluster *c, struct onnx_graph *graph, mm_error *err) {
    struct onnx_emitter *emitter = &c->emitter;
    const struct onnx_node *last = c->nodes[c->count - 1];
    struct onnx_node *fused =
        mmi_onnx_own_node(c->rewrite->model, &mmi_onnx_op_Fused, last, emitter->program.inputs);
    if (!fused) {
        return mmi_onnx_no_room(err);
    }
    memcpy(fused->params, &emitter->program, sizeof(emitter->program));
    memcpy(fused->inputs, emitter->inputs, emitter->program.inputs * sizeof(uint32_t));
    fused->outputs[0] = last->outputs[0];
    graph->nodes[position(c, last)] = fused;
    for (uint32_t i = 0; i < c->count; i++) {
        mmi_onnx_remove(c->nodes[i]);
    }
    return MM_OK;
}

/* Backwards: each cluster starts at its last node and grows towards its inputs. */
static mm_status visit(struct onnx_rewrite *rewrite, struct onnx_graph *graph, mm_error *err) {
    for (uint32_t i = graph->node_count; i-- > 0;) {
        struct onnx_node *node = graph->nodes[i];
        struct cluster cluster = {.rewrite = rewrite, .graph = graph, .nodes = {node}, .count = 1};
        if (mmi_onnx_removed(node) || !mmi_onnx_is_elementwise(rewrite, node) || !emit(&cluster)) {
            continue;
        }
        while (grow(&cluster)) {}
        if (mmi_onnx_emit_end(&cluster.emitter)) {
            if (replace(&cluster, graph, err) != MM_OK) {
                return MM_NO_MEMORY;
            }
        }
    }
    return MM_OK;
}

mm_status mmi_onnx_fuse_elementwise(struct onnx_model *model,
                                    const struct onnx_pass_context *context, mm_error *err) {
    return mmi_onnx_rewrite(model, context, visit, err);
}
