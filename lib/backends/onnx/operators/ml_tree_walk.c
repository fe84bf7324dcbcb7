/* SPDX-License-Identifier: Apache-2.0 */

/* Packed trees. What a step costs is waiting: for the node, which may be far away in memory, and
 * for the comparison. So several walks go on at once, one row down several trees or several rows
 * down one, without a branch that depends on the data. */

#include <backends/onnx/operators/ml_trees.h>
#include <base/checked.h>
#include <base/status.h>

#include <string.h>

#define LANES ONNX_TREE_LANES

struct walk {
    const struct onnx_trees *p;
    const struct onnx_packed_node *nodes;
    const uint32_t *roots, *targets;
    uint64_t count, trees;
    uint64_t wide; /* of a row: what it begins with, and its features */
};

/* From the nodes at[] to the leaves; lane i by the row at rows + i * stride. Leaves lead nowhere:
 * their feature is what rows begin with, less than any split. false: the trees are damaged. A step
 * goes to a later node, so that this ends whatever they are. */
#define WALK(number)                                                                               \
    static inline bool walk_##number(const struct walk *w, const number *rows, uint64_t stride,    \
                                     uint32_t at[LANES], bool less, bool missing) {                \
        uint32_t bits = (uint32_t)w->p->offset_bits, mask = (UINT32_C(1) << bits) - 1;             \
        uint32_t moved = 1;                                                                        \
        while (moved) {                                                                            \
            moved = 0;                                                                             \
            for (uint32_t i = 0; i < LANES; i++) {                                                 \
                struct onnx_packed_node node = w->nodes[at[i]];                                    \
                uint32_t offset = node.link & mask, feature = node.link >> (bits + missing);       \
                if (feature >= w->wide) {                                                          \
                    return false;                                                                  \
                }                                                                                  \
                number value = rows[i * stride + feature], split = (number)node.by.split;          \
                uint32_t no = less ? !(value < split) : !(value <= split);                         \
                if (missing) {                                                                     \
                    no &= ~(node.link >> bits & (value != value));                                 \
                }                                                                                  \
                at[i] += offset + no;                                                              \
                moved |= offset;                                                                   \
                if (at[i] >= w->count) {                                                           \
                    return false;                                                                  \
                }                                                                                  \
            }                                                                                      \
        }                                                                                          \
        return true;                                                                               \
    }                                                                                              \
    static bool walk_any_##number(const struct walk *w, const number *rows, uint64_t stride,       \
                                  uint32_t at[LANES]) {                                            \
        if (w->p->has_missing) {                                                                   \
            return w->p->is_less ? walk_##number(w, rows, stride, at, true, true)                  \
                                 : walk_##number(w, rows, stride, at, false, true);                \
        }                                                                                          \
        return w->p->is_less ? walk_##number(w, rows, stride, at, true, false)                     \
                             : walk_##number(w, rows, stride, at, false, false);                   \
    }
WALK(float)
WALK(double)

static bool walk_rows(const struct onnx_call *call, const struct walk *w, const void *rows,
                      uint64_t stride, uint32_t at[LANES]) {
    for (uint32_t i = 0; i < LANES; i++) {
        if (at[i] >= w->count) {
            return false;
        }
    }
    return call->inputs[0].dtype == MM_F32 ? walk_any_float(w, rows, stride, at)
                                           : walk_any_double(w, rows, stride, at);
}

/* ---- Rows ------------------------------------------------------------------------------------ */

/* The rows of a block: f32 as they are, anything else as f64. */
static void take_rows(const struct onnx_call *call, const struct walk *w,
                      const struct onnx_tree_block *block) {
    bool is_f32 = call->inputs[0].dtype == MM_F32;
    uint64_t length = w->wide - 1;
    for (uint64_t i = 0; i < block->count; i++) {
        if (is_f32) {
            float *row = (float *)block->rows + i * w->wide;
            row[0] = -INFINITY;
            memcpy(row + 1, (const float *)call->in[0] + (block->first + i) * length,
                   length * sizeof(*row));
        } else {
            double *row = (double *)block->rows + i * w->wide;
            row[0] = -INFINITY;
            mmi_onnx_ml_row(call, block->first + i, row + 1);
        }
    }
}

static const void *row_of(const struct onnx_call *call, const struct walk *w,
                          const struct onnx_tree_block *block, uint64_t i) {
    uint64_t width = call->inputs[0].dtype == MM_F32 ? sizeof(float) : sizeof(double);
    return (const uint8_t *)block->rows + i * w->wide * width;
}

/* ---- Votes ----------------------------------------------------------------------------------- */

static mm_status vote(const struct onnx_call *call, const struct walk *w, uint64_t tree,
                      uint32_t at, double *scores, mm_error *err) {
    if (!w->p->has_weights) {
        return mmi_onnx_tree_leaf_votes(call, w->nodes[at].by.leaf, scores, err);
    }
    if (w->targets[tree] >= w->p->targets) {
        return mmi_fail(err, MM_CORRUPT, "the trees are damaged");
    }
    mmi_onnx_tree_vote(w->p, w->targets[tree], w->nodes[at].by.weight, scores);
    return MM_OK;
}

/* One row down all trees. */
static mm_status walk_by_trees(const struct onnx_call *call, const struct walk *w, const void *row,
                               double *scores, mm_error *err) {
    for (uint64_t tree = 0; tree < w->trees; tree += LANES) {
        uint64_t lanes = mmi_min_u64(LANES, w->trees - tree);
        uint32_t at[LANES];
        for (uint64_t i = 0; i < LANES; i++) {
            at[i] = w->roots[tree + mmi_min_u64(i, lanes - 1)];
        }
        if (!walk_rows(call, w, row, 0, at)) {
            return mmi_fail(err, MM_CORRUPT, "the trees are damaged");
        }
        for (uint64_t i = 0; i < lanes; i++) {
            MMI_TRY(vote(call, w, tree + i, at[i], scores, err));
        }
    }
    return MM_OK;
}

/* All rows of a block, a multiple of the lanes, down one tree. */
static mm_status walk_by_rows(const struct onnx_call *call, const struct walk *w,
                              const struct onnx_tree_block *block, uint64_t tree, mm_error *err) {
    for (uint64_t row = 0; row < block->count; row += LANES) {
        uint32_t at[LANES];
        for (uint64_t i = 0; i < LANES; i++) {
            at[i] = w->roots[tree];
        }
        if (!walk_rows(call, w, row_of(call, w, block, row), w->wide, at)) {
            return mmi_fail(err, MM_CORRUPT, "the trees are damaged");
        }
        for (uint64_t i = 0; i < LANES; i++) {
            double *scores = block->scores + (row + i) * (uint64_t)w->p->targets;
            MMI_TRY(vote(call, w, tree, at[i], scores, err));
        }
    }
    return MM_OK;
}

mm_status mmi_onnx_walk_trees(const struct onnx_call *call, const struct onnx_tree_block *block,
                              mm_error *err) {
    const struct onnx_tensor *in = call->inputs;
    struct walk w = {.p = call->params,
                     .nodes = call->in[ONNX_TREE_NODES],
                     .roots = call->in[ONNX_TREE_ROOTS],
                     .targets = call->in[ONNX_TREE_VOTES],
                     .count = in[ONNX_TREE_NODES].bytes / sizeof(struct onnx_packed_node),
                     .trees = in[ONNX_TREE_ROOTS].elements,
                     .wide = mmi_onnx_ml_rows_of(&in[0]).length + 1};
    take_rows(call, &w, block);
    if (block->count % LANES == 0) {
        for (uint64_t tree = 0; tree < w.trees; tree++) {
            MMI_TRY(walk_by_rows(call, &w, block, tree, err));
        }
        return MM_OK;
    }
    for (uint64_t i = 0; i < block->count; i++) {
        MMI_TRY(walk_by_trees(call, &w, row_of(call, &w, block, i),
                              block->scores + i * (uint64_t)w.p->targets, err));
    }
    return MM_OK;
}
