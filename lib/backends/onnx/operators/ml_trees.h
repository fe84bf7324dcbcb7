/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_OPERATORS_ML_TREES_H
#define MMI_BACKENDS_ONNX_OPERATORS_ML_TREES_H

/* Ensembles of decision trees, whichever of the three operators they come from: made once from the
 * attributes (ml_tree_read.c), as constants, in one of two forms: for any trees (walked in
 * ml_trees.c), and packed, for nearly all that there are (ml_tree_pack.c, ml_tree_walk.c). */

#include <backends/onnx/operators/ml.h>

#include <math.h>

enum onnx_tree_mode { /* values of TreeEnsemble's nodes_modes */
                      ONNX_TREE_LEQ,
                      ONNX_TREE_LT,
                      ONNX_TREE_GTE,
                      ONNX_TREE_GT,
                      ONNX_TREE_EQ,
                      ONNX_TREE_NEQ,
                      ONNX_TREE_MEMBER,
                      ONNX_TREE_LEAF
};

/* Where a branch leads: a node, or with this bit a leaf. */
#define ONNX_TREE_IS_LEAF (UINT32_C(1) << 31)

/* A node stands before those that it leads to. Several may lead to one. */
struct onnx_tree_node {
    union {
        double split;
        struct {
            uint32_t first, count; /* of the members */
        } set;                     /* MEMBER */
    } by;
    uint32_t feature, yes, no;
    uint8_t mode;
    uint8_t missing; /* what is no number goes to `yes` */
    uint16_t reserved;
};
struct onnx_tree_vote {
    double weight;
    uint32_t target, reserved;
};

/* Packed: all nodes compare in one way, no two lead to the same one, and splits are f32. Leaves are
 * nodes, too. A tree lies breadth first: its top is in one line of the cache. */
struct onnx_packed_node {
    union {
        float split;
        uint32_t leaf; /* of a leaf: its number, or in `weight` what it votes */
        float weight;
    } by;
    /* From the low end: `yes` is so many nodes further, `no` behind it; 0: a leaf (offset_bits). If
     * any node has it, whether what is no number goes to `yes` (1). The feature, counted from 1. */
    uint32_t link;
};

/* The inputs behind X. */
enum {
    ONNX_TREE_NODES = 1, /* u8: struct onnx_tree_node [], or onnx_packed_node [] */
    ONNX_TREE_ROOTS,     /* u32 [trees] */
    ONNX_TREE_LEAVES,    /* u32 [leaves + 1]: where the votes of each begin; or left out */
    ONNX_TREE_VOTES,     /* u8: struct onnx_tree_vote []; or u32 [trees]: whom a tree votes for */
    ONNX_TREE_MEMBERS,   /* f64 */
    ONNX_TREE_BASE,      /* f64 [1 or targets] */
    ONNX_TREE_LABELS,
    ONNX_TREE_INPUTS
};

enum onnx_tree_aggregate { ONNX_TREE_AVERAGE, ONNX_TREE_SUM, ONNX_TREE_MIN, ONNX_TREE_MAX };

struct onnx_trees {
    int64_t targets, features; /* features: that the rows must have at least */
    int32_t aggregate, post_transform;
    int32_t only;         /* the one target that all votes are for, or -1 */
    int32_t all_positive; /* no vote is negative */
    /* Packed: */
    int32_t offset_bits; /* 0: they are not packed */
    int32_t is_less;     /* all compare by <; else by <= */
    int32_t has_missing;
    int32_t has_weights; /* each leaf has one vote, its weight is there */
};

/* The lists of TreeEnsemble, and of the two older operators; what becomes of them. */
extern const struct onnx_list mmi_onnx_tree_lists[], mmi_onnx_tree_regressor_lists[],
    mmi_onnx_tree_classifier_lists[];
mm_status mmi_onnx_arrange_trees(struct onnx_lists *lists, void *params, mm_error *err);
mm_status mmi_onnx_arrange_old_trees(struct onnx_lists *lists, void *params, mm_error *err);

/* Nodes and roots as they are in the file, which become lists: linked, without circles. */
struct onnx_tree_file {
    struct onnx_tree_node *nodes; /* [count] */
    uint32_t *roots;              /* [trees] */
    uint32_t count, trees;
    bool shared; /* once linked: several lead to one node */
};
mm_status mmi_onnx_link_trees(struct onnx_arena *arena, struct onnx_tree_file *file, mm_error *err);
/* Linked trees as the lists NODES and ROOTS: packed, if they can be; then LEAVES and VOTES of
 * `made`, which are there, may become others, too. */
mm_status mmi_onnx_pack_trees(struct onnx_arena *arena, const struct onnx_tree_file *file,
                              struct onnx_trees *trees, struct onnx_tensor *made, mm_error *err);
/* Plain data as a list of bytes. */
mm_status mmi_onnx_bytes_list(const void *data, uint64_t count, uint64_t bytes,
                              struct onnx_tensor *list, mm_error *err);

/* ---- Walking --------------------------------------------------------------------------------- */

#define ONNX_TREE_LANES 8 /* rows, or trees, that are walked at once */

/* Rows first .. first + count of input 0. */
struct onnx_tree_block {
    uint64_t first, count;
    void *rows; /* room for count, a multiple of the lanes, or of one row; of 1 + length f64 each */
    double *scores; /* [count][targets] */
};
/* What all packed trees say, added to the scores in the order of the trees. */
mm_status mmi_onnx_walk_trees(const struct onnx_call *call, const struct onnx_tree_block *block,
                              mm_error *err);

static inline void mmi_onnx_tree_vote(const struct onnx_trees *p, uint32_t target, double weight,
                                      double *scores) {
    double *score = &scores[target];
    if (p->aggregate == ONNX_TREE_MIN || p->aggregate == ONNX_TREE_MAX) {
        bool better = p->aggregate == ONNX_TREE_MIN ? weight < *score : weight > *score;
        *score = isnan(*score) || better ? weight : *score;
    } else {
        *score += weight;
    }
}
/* The votes of a leaf, by the lists LEAVES and VOTES. */
mm_status mmi_onnx_tree_leaf_votes(const struct onnx_call *call, uint64_t leaf, double *scores,
                                   mm_error *err);

#endif
