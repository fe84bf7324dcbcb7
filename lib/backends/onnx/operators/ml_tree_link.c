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

/* What is to be visited, and who leads there. */
struct visit {
    uint32_t from;   /* in the file */
    uint32_t parent; /* in the new order; UINT32_MAX: it is the root */
    bool yes;
};

struct linking {
    const struct onnx_tree_file *file;
    struct onnx_tree_node *nodes;
    bool *visited;
    struct visit *stack;
    uint32_t count, height;
};

static mm_status visit(struct linking *l, uint32_t *root, mm_error *err) {
    struct visit visit = l->stack[--l->height];
    if (visit.from >= l->file->count) {
        return mmi_fail(err, MM_INVALID_MODEL, "node %u of %u", visit.from, l->file->count);
    }
    if (l->visited[visit.from]) {
        return mmi_fail(err, MM_INVALID_MODEL, "node %u is reached twice", visit.from);
    }
    uint32_t at = l->count++;
    struct onnx_tree_node *node = &l->nodes[at];
    *node = l->file->nodes[visit.from];
    l->visited[visit.from] = true;
    if (visit.parent == UINT32_MAX) {
        *root = at;
    } else if (visit.yes) {
        l->nodes[visit.parent].yes = at;
    } else {
        l->nodes[visit.parent].no = at;
    }
    if (!(node->no & ONNX_TREE_IS_LEAF)) {
        l->stack[l->height++] = (struct visit){node->no, at, false};
    }
    if (!(node->yes & ONNX_TREE_IS_LEAF)) {
        l->stack[l->height++] = (struct visit){node->yes, at, true};
    }
    return MM_OK;
}

mm_status mmi_onnx_link_trees(struct onnx_arena *arena, struct onnx_tree_file *file,
                              mm_error *err) {
    uint64_t count = (uint64_t)file->count + 1; /* a visit pushes two at most, and once each node */
    struct linking l = {.file = file,
                        .nodes = mmi_onnx_take(arena, count, sizeof(*l.nodes)),
                        .visited = mmi_onnx_take(arena, count, sizeof(*l.visited)),
                        .stack = mmi_onnx_take(arena, count + 1, sizeof(*l.stack))};
    if (!l.nodes || !l.visited || !l.stack) {
        return mmi_fail(err, MM_NO_MEMORY, "no memory for its trees");
    }
    for (uint32_t i = 0; i < file->trees; i++) {
        if (file->roots[i] & ONNX_TREE_IS_LEAF) {
            continue;
        }
        l.stack[l.height++] = (struct visit){file->roots[i], UINT32_MAX, false};
        while (l.height > 0) {
            MMI_TRY(visit(&l, &file->roots[i], err));
        }
    }
    file->nodes = l.nodes;
    file->count = l.count;
    return MM_OK;
}
