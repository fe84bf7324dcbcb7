/* SPDX-License-Identifier: Apache-2.0 */

/* The trees of TreeEnsemble, as its attributes have them. */

#include <backends/onnx/operators/ml_trees.h>
#include <base/status.h>

#include <inttypes.h>
#include <math.h>
#include <string.h>

enum {
    ROOTS,
    MODES,
    FEATURES,
    SPLITS,
    YES,
    NO,
    YES_LEAFS,
    NO_LEAFS,
    MISSING,
    MEMBERS,
    TARGETS,
    WEIGHTS
};
const struct onnx_list mmi_onnx_tree_lists[] = {
    [ROOTS] = {.name = "tree_roots", .dtype = MM_I64},
    [MODES] = {.name = "nodes_modes"},
    [FEATURES] = {.name = "nodes_featureids", .dtype = MM_I64},
    [SPLITS] = {.name = "nodes_splits"},
    [YES] = {.name = "nodes_truenodeids", .dtype = MM_I64},
    [NO] = {.name = "nodes_falsenodeids", .dtype = MM_I64},
    [YES_LEAFS] = {.name = "nodes_trueleafs", .dtype = MM_I64},
    [NO_LEAFS] = {.name = "nodes_falseleafs", .dtype = MM_I64},
    [MISSING] = {.name = "nodes_missing_value_tracks_true", .dtype = MM_I64},
    [MEMBERS] = {.name = "membership_values"},
    [TARGETS] = {.name = "leaf_targetids", .dtype = MM_I64},
    [WEIGHTS] = {.name = "leaf_weights"},
    {0}};

static mm_status check_count(const struct onnx_lists *lists, uint32_t list, uint64_t count,
                             bool optional, mm_error *err) {
    const struct onnx_tensor *tensor = &lists->at[list];
    uint64_t got = tensor->dtype == MM_DTYPE_NONE ? 0 : tensor->elements;
    bool numbers = got == 0 || (ONNX_REALS | ONNX_BOOL) >> tensor->dtype & 1;
    return numbers && (got == count || (optional && got == 0))
               ? MM_OK
               : mmi_fail(err, MM_INVALID_MODEL,
                          "%s has %" PRIu64 " elements of %s, %" PRIu64 " numbers wanted",
                          mmi_onnx_tree_lists[list].name, got, mm_dtype_text(tensor->dtype), count);
}

static mm_status check_counts(const struct onnx_lists *lists, uint64_t *count, uint64_t *leaves,
                              mm_error *err) {
    *count = lists->at[MODES].dtype == MM_DTYPE_NONE ? 0 : lists->at[MODES].elements;
    *leaves = lists->at[TARGETS].dtype == MM_DTYPE_NONE ? 0 : lists->at[TARGETS].elements;
    if (*count == 0 || *leaves == 0 || *count > INT32_MAX || *leaves > INT32_MAX ||
        lists->at[ROOTS].dtype == MM_DTYPE_NONE || lists->at[ROOTS].elements > INT32_MAX) {
        return mmi_fail(err, MM_INVALID_MODEL,
                        "%" PRIu64 " nodes and %" PRIu64 " leaves, or no roots", *count, *leaves);
    }
    for (uint32_t i = MODES; i <= NO_LEAFS; i++) {
        MMI_TRY(check_count(lists, i, *count, false, err));
    }
    MMI_TRY(check_count(lists, MISSING, *count, true, err));
    return check_count(lists, WEIGHTS, *leaves, false, err);
}

static int64_t number(const struct onnx_lists *lists, uint32_t list, uint64_t i) {
    return lists->at[list].dtype == MM_DTYPE_NONE ? 0 : mmi_onnx_int_at(&lists->at[list], i);
}

/* Where a branch of node i leads. */
static mm_status read_branch(const struct onnx_lists *lists, uint64_t i, bool yes, uint32_t *to,
                             mm_error *err) {
    int64_t place = number(lists, yes ? YES : NO, i);
    bool leaf = number(lists, yes ? YES_LEAFS : NO_LEAFS, i) != 0;
    uint64_t count = lists->at[leaf ? TARGETS : MODES].elements;
    if (place < 0 || (uint64_t)place >= count) {
        return mmi_fail(err, MM_INVALID_MODEL,
                        "node %" PRIu64 " leads to %s %" PRId64 " of %" PRIu64, i,
                        leaf ? "leaf" : "node", place, count);
    }
    *to = (uint32_t)place | (leaf ? ONNX_TREE_IS_LEAF : 0);
    return MM_OK;
}

static mm_status read_node(const struct onnx_lists *lists, uint64_t i, struct onnx_trees *trees,
                           struct onnx_tree_node *node, mm_error *err) {
    int64_t mode = number(lists, MODES, i), feature = number(lists, FEATURES, i);
    if (mode < 0 || mode > ONNX_TREE_MEMBER || feature < 0 || feature >= INT32_MAX) {
        return mmi_fail(err, MM_INVALID_MODEL,
                        "node %" PRIu64 " has mode %" PRId64 " and feature %" PRId64, i, mode,
                        feature);
    }
    *node = (struct onnx_tree_node){.feature = (uint32_t)feature,
                                    .mode = (uint8_t)mode,
                                    .missing = number(lists, MISSING, i) != 0,
                                    .by.split = mmi_onnx_float_at(&lists->at[SPLITS], i)};
    trees->features = feature >= trees->features ? feature + 1 : trees->features;
    MMI_TRY(read_branch(lists, i, true, &node->yes, err));
    return read_branch(lists, i, false, &node->no, err);
}

/* The sets, one for each MEMBER node, with something that is no number behind each. */
static mm_status read_members(const struct onnx_lists *lists, struct onnx_tree_node *nodes,
                              uint64_t count, struct onnx_tensor *members, mm_error *err) {
    struct onnx_tensor from = lists->at[MEMBERS];
    int64_t length = from.dtype == MM_DTYPE_NONE ? 0 : (int64_t)from.elements;
    MMI_TRY(length > INT32_MAX ? mmi_fail(err, MM_TOO_LARGE, "%" PRId64 " members", length)
                               : check_count(lists, MEMBERS, (uint64_t)length, true, err));
    double *to = mmi_onnx_take_data(lists->arena, (uint64_t)length * sizeof(*to));
    uint32_t at = 0;
    if (!to) {
        return mmi_fail(err, MM_NO_MEMORY, "no memory for its trees");
    }
    for (int64_t i = 0; i < length; i++) {
        to[i] = mmi_onnx_float_at(&from, (uint64_t)i);
    }
    for (uint64_t i = 0; i < count; i++) {
        if (nodes[i].mode != ONNX_TREE_MEMBER) {
            continue;
        }
        uint32_t first = at;
        while (at < length && !isnan(to[at])) {
            at++;
        }
        if (first >= length) {
            return mmi_fail(err, MM_INVALID_MODEL, "no members are left for node %" PRIu64, i);
        }
        nodes[i].by.set.first = first;
        nodes[i].by.set.count = at - first;
        at++;
    }
    *members = (struct onnx_tensor){.dtype = MM_DTYPE_NONE};
    MMI_TRY(length ? mmi_onnx_tensor_set(members, MM_F64, 1, &length, err) : MM_OK);
    members->data = to;
    return MM_OK;
}

/* A leaf has one vote. */
static mm_status read_leaves(const struct onnx_lists *lists, struct onnx_trees *trees,
                             struct onnx_tensor *begins, struct onnx_tensor *votes, mm_error *err) {
    uint64_t count = lists->at[TARGETS].elements;
    int64_t length = (int64_t)count + 1;
    uint32_t *begin = mmi_onnx_take_data(lists->arena, (count + 1) * sizeof(*begin));
    struct onnx_tree_vote *vote = mmi_onnx_take(lists->arena, count, sizeof(*vote));
    if (!begin || !vote) {
        return mmi_fail(err, MM_NO_MEMORY, "no memory for its trees");
    }
    for (uint64_t i = 0; i < count; i++) {
        int64_t target = number(lists, TARGETS, i);
        if (target < 0 || target >= trees->targets) {
            return mmi_fail(err, MM_INVALID_MODEL,
                            "leaf %" PRIu64 " is for target %" PRId64 " of %" PRId64, i, target,
                            trees->targets);
        }
        begin[i] = (uint32_t)i;
        vote[i].weight = mmi_onnx_float_at(&lists->at[WEIGHTS], i);
        vote[i].target = (uint32_t)target;
    }
    begin[count] = (uint32_t)count;
    MMI_TRY(mmi_onnx_tensor_set(begins, MM_U32, 1, &length, err));
    begins->data = begin;
    return mmi_onnx_bytes_list(vote, count, sizeof(*vote), votes, err);
}

static mm_status read_nodes(const struct onnx_lists *lists, struct onnx_trees *trees,
                            struct onnx_tree_file *file, mm_error *err) {
    file->nodes = mmi_onnx_take(lists->arena, file->count, sizeof(*file->nodes));
    file->roots = mmi_onnx_take(lists->arena, file->trees, sizeof(*file->roots));
    if (!file->nodes || !file->roots) {
        return mmi_fail(err, MM_NO_MEMORY, "no memory for its trees");
    }
    for (uint32_t i = 0; i < file->count; i++) {
        MMI_TRY(read_node(lists, i, trees, &file->nodes[i], err));
    }
    for (uint32_t i = 0; i < file->trees; i++) {
        int64_t root = number(lists, ROOTS, i);
        if (root < 0 || root >= (int64_t)file->count) {
            return mmi_fail(err, MM_INVALID_MODEL, "tree %u begins at node %" PRId64 " of %u", i,
                            root, file->count);
        }
        file->roots[i] = (uint32_t)root;
    }
    return MM_OK;
}

mm_status mmi_onnx_arrange_trees(struct onnx_lists *lists, void *params, mm_error *err) {
    struct onnx_trees *trees = params;
    struct onnx_tensor made[ONNX_TREE_INPUTS] = {{0}};
    uint64_t count = 0, leaves = 0;
    MMI_TRY(check_counts(lists, &count, &leaves, err));
    struct onnx_tree_file file = {.count = (uint32_t)count,
                                  .trees = (uint32_t)lists->at[ROOTS].elements};
    MMI_TRY(read_nodes(lists, trees, &file, err));
    MMI_TRY(read_members(lists, file.nodes, count, &made[ONNX_TREE_MEMBERS], err));
    MMI_TRY(read_leaves(lists, trees, &made[ONNX_TREE_LEAVES], &made[ONNX_TREE_VOTES], err));
    MMI_TRY(mmi_onnx_link_trees(lists->arena, &file, err));
    MMI_TRY(mmi_onnx_pack_trees(lists->arena, &file, trees, made, err));
    memcpy(lists->at, made + 1, (ONNX_TREE_INPUTS - 1) * sizeof(*made));
    lists->count = ONNX_TREE_INPUTS - 1;
    return MM_OK;
}
