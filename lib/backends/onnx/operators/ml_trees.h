/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_OPERATORS_ML_TREES_H
#define MMI_BACKENDS_ONNX_OPERATORS_ML_TREES_H

/* Ensembles of decision trees in one form, whichever of the three operators they come from: made
 * once from the attributes (ml_tree_read.c), as constants, and walked (ml_trees.c). */

#include <backends/onnx/operators/ml.h>

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

/* A node stands before those that it leads to, its `yes` directly before, if that is a node. */
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

/* The inputs behind X. */
enum {
    ONNX_TREE_NODES = 1, /* u8: struct onnx_tree_node [] */
    ONNX_TREE_ROOTS,     /* u32 [trees] */
    ONNX_TREE_LEAVES,    /* u32 [leaves + 1]: where the votes of each begin */
    ONNX_TREE_VOTES,     /* u8: struct onnx_tree_vote [] */
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
};

/* The lists of TreeEnsemble, and of the two older operators; what becomes of them. */
extern const struct onnx_list mmi_onnx_tree_lists[], mmi_onnx_tree_regressor_lists[],
    mmi_onnx_tree_classifier_lists[];
mm_status mmi_onnx_arrange_trees(struct onnx_lists *lists, void *params, mm_error *err);
mm_status mmi_onnx_arrange_old_trees(struct onnx_lists *lists, void *params, mm_error *err);

/* Nodes and roots as they are in the file, which become lists: linked, each in one tree and once.
 * Frees the reader of them from looking for cycles. */
struct onnx_tree_file {
    struct onnx_tree_node *nodes; /* [count] */
    uint32_t *roots;              /* [trees] */
    uint32_t count, trees;
};
mm_status mmi_onnx_link_trees(struct onnx_arena *arena, struct onnx_tree_file *file, mm_error *err);
/* Plain data as a list of bytes. */
mm_status mmi_onnx_bytes_list(const void *data, uint64_t count, uint64_t bytes,
                              struct onnx_tensor *list, mm_error *err);

#endif
