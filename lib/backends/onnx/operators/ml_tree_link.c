/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/operators/ml_trees.h>
#include <base/checked.h>
#include <base/status.h>

#include <inttypes.h>

mm_status mmi_onnx_bytes_list(const void *data, uint64_t count, uint64_t bytes,
                              struct onnx_tensor *list, mm_error *err) {
    int64_t length = (int64_t)(count * bytes);
    MMI_TRY(mmi_onnx_tensor_set(list, MM_U8, 1, &length, err));
    list->data = data;
    return MM_OK;
}

/* From the roots on, depth first. A node is closed once all that it leads to is; the last one that
 * is closed comes first, so each stands before those that it leads to. */
enum { UNSEEN, OPEN, CLOSED };

struct linking {
    struct onnx_tree_file *file;
    uint8_t *states;
    uint32_t *stack, *closed; /* nodes of the file */
    uint32_t *places;         /* of the nodes of the file, among the linked */
    uint64_t height;
    uint32_t count; /* closed */
};

/* A branch, or a root, leads to node `to`. */
static mm_status push(struct linking *l, uint32_t to, mm_error *err) {
    if (to & ONNX_TREE_IS_LEAF) {
        return MM_OK;
    }
    if (to >= l->file->count) {
        return mmi_fail(err, MM_INVALID_MODEL, "node %u of %u", to, l->file->count);
    }
    if (l->states[to] == OPEN) {
        return mmi_fail(err, MM_INVALID_MODEL, "node %u is in a circle", to);
    }
    l->file->shared |= l->states[to] == CLOSED;
    l->stack[l->height++] = to;
    return MM_OK;
}

static mm_status visit(struct linking *l, mm_error *err) {
    uint32_t at = l->stack[l->height - 1];
    if (l->states[at] == UNSEEN) {
        const struct onnx_tree_node *node = &l->file->nodes[at];
        l->states[at] = OPEN;
        MMI_TRY(push(l, node->yes, err)); /* closed last, so that it comes directly behind */
        return push(l, node->no, err);
    }
    if (l->states[at] == OPEN) {
        l->closed[l->count++] = at;
        l->states[at] = CLOSED;
    } else {
        l->file->shared = true; /* it was pushed twice before it was seen */
    }
    l->height--;
    return MM_OK;
}

static uint32_t place_of(const struct linking *l, uint32_t to) {
    return to & ONNX_TREE_IS_LEAF ? to : l->places[to];
}

/* The nodes in the order that was found. */
static void reorder(const struct linking *l, struct onnx_tree_node *nodes) {
    struct onnx_tree_file *file = l->file;
    for (uint32_t i = 0; i < l->count; i++) {
        l->places[l->closed[i]] = l->count - 1 - i;
    }
    for (uint32_t i = 0; i < l->count; i++) {
        struct onnx_tree_node *node = &nodes[l->places[l->closed[i]]];
        *node = file->nodes[l->closed[i]];
        node->yes = place_of(l, node->yes);
        node->no = place_of(l, node->no);
    }
    for (uint32_t i = 0; i < file->trees; i++) {
        file->roots[i] = place_of(l, file->roots[i]);
    }
    file->nodes = nodes;
    file->count = l->count;
}

mm_status mmi_onnx_link_trees(struct onnx_arena *arena, struct onnx_tree_file *file,
                              mm_error *err) {
    uint64_t count = (uint64_t)file->count + 1;
    struct onnx_tree_node *nodes = mmi_onnx_take(arena, count, sizeof(*nodes));
    struct linking l = {.file = file,
                        .states = mmi_onnx_take(arena, count, sizeof(*l.states)),
                        .stack = mmi_onnx_take(arena, 2 * count, sizeof(*l.stack)),
                        .closed = mmi_onnx_take(arena, count, sizeof(*l.closed)),
                        .places = mmi_onnx_take(arena, count, sizeof(*l.places))};
    if (!nodes || !l.states || !l.stack || !l.closed || !l.places) {
        return mmi_fail(err, MM_NO_MEMORY, "no memory for its trees");
    }
    for (uint32_t i = file->trees; i-- > 0;) {
        MMI_TRY(push(&l, file->roots[i], err));
        while (l.height > 0) {
            MMI_TRY(visit(&l, err));
        }
    }
    reorder(&l, nodes);
    return MM_OK;
}
