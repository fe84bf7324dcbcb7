/* SPDX-License-Identifier: Apache-2.0 */

/* The trees of TreeEnsembleClassifier and TreeEnsembleRegressor: nodes that are named by the tree
 * and a number, leaves among them, and votes for these names. */

#include <backends/onnx/operators/ml_trees.h>
#include <base/status.h>

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
    TREES,
    NODES,
    FEATURES,
    MODES,
    SPLITS,
    SPLITS_TENSOR,
    YES,
    NO,
    MISSING,
    VOTE_TREES,
    VOTE_NODES,
    VOTE_TARGETS,
    WEIGHTS,
    WEIGHTS_TENSOR,
    BASE,
    BASE_TENSOR,
    STRINGS,
    INTS,
    LISTS
};
#define COMMON                                                                                     \
    [TREES] = {.name = "nodes_treeids", .dtype = MM_I64},                                          \
    [NODES] = {.name = "nodes_nodeids", .dtype = MM_I64},                                          \
    [FEATURES] = {.name = "nodes_featureids", .dtype = MM_I64},                                    \
    [MODES] = {.name = "nodes_modes", .dtype = MM_STRING},                                         \
    [SPLITS] = {.name = "nodes_values", .dtype = MM_F32},                                          \
    [SPLITS_TENSOR] = {.name = "nodes_values_as_tensor", .since = 3},                              \
    [YES] = {.name = "nodes_truenodeids", .dtype = MM_I64},                                        \
    [NO] = {.name = "nodes_falsenodeids", .dtype = MM_I64},                                        \
    [MISSING] = {.name = "nodes_missing_value_tracks_true", .dtype = MM_I64},                      \
    [BASE] = {.name = "base_values", .dtype = MM_F32},                                             \
    [BASE_TENSOR] = {.name = "base_values_as_tensor", .since = 3}

const struct onnx_list mmi_onnx_tree_regressor_lists[] = {
    COMMON,
    [VOTE_TREES] = {.name = "target_treeids", .dtype = MM_I64},
    [VOTE_NODES] = {.name = "target_nodeids", .dtype = MM_I64},
    [VOTE_TARGETS] = {.name = "target_ids", .dtype = MM_I64},
    [WEIGHTS] = {.name = "target_weights", .dtype = MM_F32},
    [WEIGHTS_TENSOR] = {.name = "target_weights_as_tensor", .since = 3},
    [STRINGS] = {0}};
const struct onnx_list mmi_onnx_tree_classifier_lists[] = {
    COMMON,
    [VOTE_TREES] = {.name = "class_treeids", .dtype = MM_I64},
    [VOTE_NODES] = {.name = "class_nodeids", .dtype = MM_I64},
    [VOTE_TARGETS] = {.name = "class_ids", .dtype = MM_I64},
    [WEIGHTS] = {.name = "class_weights", .dtype = MM_F32},
    [WEIGHTS_TENSOR] = {.name = "class_weights_as_tensor", .since = 3},
    [STRINGS] = {.name = "classlabels_strings", .dtype = MM_STRING},
    [INTS] = {.name = "classlabels_int64s", .dtype = MM_I64},
    [LISTS] = {0}};

/* A node's name, and its place in the file. */
struct name {
    int64_t tree, node;
    uint32_t at;
    uint32_t leaf; /* its number among the leaves, if it is one */
    bool is_leaf, has_parent;
};

struct reading {
    struct onnx_lists *lists;
    struct onnx_trees *trees;
    struct name *names; /* [count], sorted */
    uint32_t *name_of;  /* [count]: of the node at a place in the file */
    uint32_t count, leaves;
    struct onnx_tree_file file;
};

static mm_status no_memory(mm_error *err) {
    return mmi_fail(err, MM_NO_MEMORY, "no memory for its trees");
}

static uint64_t length(const struct reading *r, uint32_t list) {
    const struct onnx_tensor *tensor = &r->lists->at[list];
    return tensor->dtype == MM_DTYPE_NONE ? 0 : tensor->elements;
}

static int64_t number(const struct reading *r, uint32_t list, uint64_t i) {
    return length(r, list) ? ((const int64_t *)r->lists->at[list].data)[i] : 0;
}

static mm_status check_count(const struct reading *r, uint32_t list, uint64_t wanted,
                             mm_error *err) {
    return length(r, list) == wanted
               ? MM_OK
               : mmi_fail(err, MM_INVALID_MODEL, "%s has %" PRIu64 " elements, %" PRIu64 " wanted",
                          mmi_onnx_tree_classifier_lists[list].name, length(r, list), wanted);
}

/* Of two lists that say the same the one that is given is the first one now. */
static mm_status choose(struct reading *r, uint32_t list, mm_error *err) {
    uint32_t given = list;
    const char *what = mmi_onnx_tree_classifier_lists[list].name;
    MMI_TRY(mmi_onnx_ml_only_one(r->lists, list, list + 2, what, &given, err));
    r->lists->at[list] = r->lists->at[given];
    return ONNX_FLOATS >> r->lists->at[list].dtype & 1
               ? MM_OK
               : mmi_fail(err, MM_INVALID_MODEL, "%s is %s", what,
                          mm_dtype_text(r->lists->at[list].dtype));
}

static mm_status check_counts(struct reading *r, mm_error *err) {
    uint64_t count = length(r, TREES), votes = length(r, VOTE_TARGETS);
    MMI_TRY(choose(r, SPLITS, err));
    MMI_TRY(choose(r, WEIGHTS, err));
    bool based = length(r, BASE) || length(r, BASE_TENSOR);
    MMI_TRY(based ? choose(r, BASE, err) : MM_OK);
    if (count == 0 || count > INT32_MAX || votes > INT32_MAX) {
        return mmi_fail(err, MM_INVALID_MODEL, "%" PRIu64 " nodes and %" PRIu64 " votes", count,
                        votes);
    }
    static const uint32_t nodes[] = {NODES, FEATURES, MODES, SPLITS, YES, NO};
    for (size_t i = 0; i < sizeof(nodes) / sizeof(nodes[0]); i++) {
        MMI_TRY(check_count(r, nodes[i], count, err));
    }
    MMI_TRY(length(r, MISSING) ? check_count(r, MISSING, count, err) : MM_OK);
    static const uint32_t of_votes[] = {VOTE_TREES, VOTE_NODES, WEIGHTS};
    for (size_t i = 0; i < sizeof(of_votes) / sizeof(of_votes[0]); i++) {
        MMI_TRY(check_count(r, of_votes[i], votes, err));
    }
    uint64_t base = length(r, BASE), targets = (uint64_t)r->trees->targets;
    r->count = (uint32_t)count;
    return base <= 1 || base == targets
               ? MM_OK
               : mmi_fail(err, MM_INVALID_MODEL, "%" PRIu64 " base values of %" PRIu64 " results",
                          base, targets);
}

/* ---- Names ----------------------------------------------------------------------------------- */

static int by_name(const void *a_, const void *b_) {
    const struct name *a = a_, *b = b_;
    int order = (a->tree > b->tree) - (a->tree < b->tree);
    return order ? order : (a->node > b->node) - (a->node < b->node);
}

static struct name *find(const struct reading *r, int64_t tree, int64_t node) {
    struct name name = {.tree = tree, .node = node};
    return bsearch(&name, r->names, r->count, sizeof(name), by_name);
}

static mm_status read_mode(const struct reading *r, uint32_t i, uint8_t *mode, mm_error *err) {
    static const char *const modes[] = {"BRANCH_LEQ", "BRANCH_LT",  "BRANCH_GTE",    "BRANCH_GT",
                                        "BRANCH_EQ",  "BRANCH_NEQ", "BRANCH_MEMBER", "LEAF"};
    struct onnx_string text = ((const struct onnx_string *)r->lists->at[MODES].data)[i];
    for (uint8_t j = 0; j <= ONNX_TREE_LEAF; j++) {
        if (j != ONNX_TREE_MEMBER && strlen(modes[j]) == text.bytes &&
            memcmp(modes[j], text.at, text.bytes) == 0) {
            *mode = j;
            return MM_OK;
        }
    }
    return mmi_fail(err, MM_INVALID_MODEL, "node %u has mode '%.*s'", i,
                    (int)(text.bytes < 40 ? text.bytes : 40), text.at);
}

static mm_status read_names(struct reading *r, mm_error *err) {
    struct onnx_arena *arena = r->lists->arena;
    r->names = mmi_onnx_take(arena, r->count, sizeof(*r->names));
    r->name_of = mmi_onnx_take(arena, r->count, sizeof(*r->name_of));
    r->file.nodes = mmi_onnx_take(arena, r->count, sizeof(*r->file.nodes));
    if (!r->names || !r->name_of || !r->file.nodes) {
        return no_memory(err);
    }
    for (uint32_t i = 0; i < r->count; i++) {
        MMI_TRY(read_mode(r, i, &r->file.nodes[i].mode, err));
        r->names[i] = (struct name){number(r, TREES, i),
                                    number(r, NODES, i),
                                    i,
                                    0,
                                    r->file.nodes[i].mode == ONNX_TREE_LEAF,
                                    false};
    }
    qsort(r->names, r->count, sizeof(*r->names), by_name);
    for (uint32_t i = 0; i < r->count; i++) {
        struct name *name = &r->names[i];
        r->name_of[name->at] = i;
        name->leaf = name->is_leaf ? r->leaves++ : 0;
        if (i > 0 && by_name(name - 1, name) == 0) {
            return mmi_fail(err, MM_INVALID_MODEL,
                            "node %" PRId64 " of tree %" PRId64 " is there twice", name->node,
                            name->tree);
        }
    }
    return MM_OK;
}

/* ---- Nodes ----------------------------------------------------------------------------------- */

static uint32_t place_of(const struct name *name) {
    return name->is_leaf ? name->leaf | ONNX_TREE_IS_LEAF : name->at;
}

static mm_status read_branch(const struct reading *r, const struct name *name, bool yes,
                             uint32_t *to, mm_error *err) {
    int64_t node = number(r, yes ? YES : NO, name->at);
    struct name *child = find(r, name->tree, node);
    if (!child) {
        return mmi_fail(err, MM_INVALID_MODEL,
                        "node %" PRId64 " of tree %" PRId64 " leads to node %" PRId64
                        ", which there is not",
                        name->node, name->tree, node);
    }
    child->has_parent = true;
    *to = place_of(child);
    return MM_OK;
}

static mm_status read_nodes(struct reading *r, mm_error *err) {
    for (uint32_t i = 0; i < r->count; i++) {
        struct onnx_tree_node *node = &r->file.nodes[i];
        const struct name *name = &r->names[r->name_of[i]];
        int64_t feature = number(r, FEATURES, i);
        if (name->is_leaf) {
            continue;
        }
        if (feature < 0 || feature >= INT32_MAX) {
            return mmi_fail(err, MM_INVALID_MODEL, "node %u has feature %" PRId64, i, feature);
        }
        r->trees->features = feature >= r->trees->features ? feature + 1 : r->trees->features;
        node->feature = (uint32_t)feature;
        node->missing = number(r, MISSING, i) != 0;
        node->by.split = mmi_onnx_float_at(&r->lists->at[SPLITS], i);
        MMI_TRY(read_branch(r, name, true, &node->yes, err));
        MMI_TRY(read_branch(r, name, false, &node->no, err));
    }
    return MM_OK;
}

/* A node that none leads to begins a tree. */
static mm_status read_roots(struct reading *r, mm_error *err) {
    r->file.count = r->count;
    r->file.roots = mmi_onnx_take(r->lists->arena, r->count, sizeof(*r->file.roots));
    if (!r->file.roots) {
        return no_memory(err);
    }
    for (uint32_t i = 0; i < r->count; i++) {
        const struct name *name = &r->names[r->name_of[i]];
        if (!name->has_parent) {
            r->file.roots[r->file.trees++] = place_of(name);
        }
    }
    MMI_TRY(mmi_onnx_link_trees(r->lists->arena, &r->file, err));
    if (r->file.count != r->count - r->leaves) {
        return mmi_fail(err, MM_INVALID_MODEL, "%u of %u nodes are in a circle",
                        r->count - r->leaves - r->file.count, r->count);
    }
    return MM_OK;
}

/* ---- Votes ----------------------------------------------------------------------------------- */

/* The leaf that vote i is for; NULL: votes of what is no leaf do not count. */
static const struct name *leaf_of(const struct reading *r, uint64_t i) {
    const struct name *name = find(r, number(r, VOTE_TREES, i), number(r, VOTE_NODES, i));
    return name && name->is_leaf ? name : NULL;
}

/* One vote more for this leaf does not count: of several for a single target, as the exporter of
 * scikit-learn writes them (decision_leaf), other runtimes take the first. */
static bool is_repeated(const struct reading *r, uint32_t votes) {
    return r->trees->targets == 1 && votes > 0;
}

static mm_status count_votes(const struct reading *r, uint32_t *begins, mm_error *err) {
    struct onnx_trees *trees = r->trees;
    trees->only = -1;
    trees->all_positive = 1;
    for (uint64_t i = 0; i < length(r, VOTE_TARGETS); i++) {
        const struct name *leaf = leaf_of(r, i);
        int64_t target = number(r, VOTE_TARGETS, i);
        if (target < 0 || target >= trees->targets) {
            return mmi_fail(err, MM_INVALID_MODEL,
                            "vote %" PRIu64 " is for %" PRId64 " of %" PRId64, i, target,
                            trees->targets);
        }
        trees->only = i == 0 || trees->only == target ? (int32_t)target : INT32_MAX;
        trees->all_positive &= mmi_onnx_float_at(&r->lists->at[WEIGHTS], i) >= 0;
        uint32_t *count = &begins[leaf ? leaf->leaf + 1 : 0];
        *count += is_repeated(r, *count) ? 0 : 1;
    }
    trees->only = trees->only == INT32_MAX ? -1 : trees->only;
    begins[0] = 0;
    for (uint32_t i = 0; i < r->leaves; i++) {
        begins[i + 1] += begins[i];
    }
    return MM_OK;
}

static mm_status read_votes(const struct reading *r, struct onnx_tensor *made, mm_error *err) {
    struct onnx_arena *arena = r->lists->arena;
    int64_t count = (int64_t)r->leaves + 1;
    uint32_t *begins = mmi_onnx_take(arena, (uint64_t)count, sizeof(*begins));
    uint32_t *next = mmi_onnx_take(arena, (uint64_t)count, sizeof(*next));
    struct onnx_tree_vote *votes = mmi_onnx_take(arena, length(r, VOTE_TARGETS), sizeof(*votes));
    if (!begins || !next || !votes) {
        return no_memory(err);
    }
    MMI_TRY(count_votes(r, begins, err));
    memcpy(next, begins, (uint64_t)count * sizeof(*next));
    for (uint64_t i = 0; i < length(r, VOTE_TARGETS); i++) {
        const struct name *leaf = leaf_of(r, i);
        if (leaf && !is_repeated(r, next[leaf->leaf] - begins[leaf->leaf])) {
            struct onnx_tree_vote *vote = &votes[next[leaf->leaf]++];
            vote->target = (uint32_t)number(r, VOTE_TARGETS, i);
            vote->weight = mmi_onnx_float_at(&r->lists->at[WEIGHTS], i);
        }
    }
    MMI_TRY(mmi_onnx_tensor_set(&made[ONNX_TREE_LEAVES], MM_U32, 1, &count, err));
    made[ONNX_TREE_LEAVES].data = begins;
    return mmi_onnx_bytes_list(votes, begins[r->leaves], sizeof(*votes), &made[ONNX_TREE_VOTES],
                               err);
}

static mm_status read_base(const struct reading *r, struct onnx_tensor *made, mm_error *err) {
    const struct onnx_tensor *base = &r->lists->at[BASE];
    int64_t count = (int64_t)length(r, BASE);
    double *numbers = mmi_onnx_take_data(r->lists->arena, (uint64_t)count * sizeof(*numbers));
    if (!numbers) {
        return no_memory(err);
    }
    if (count == 0) {
        return MM_OK;
    }
    mmi_onnx_convert(base->dtype, base->data, (uint64_t)count, MM_F64, numbers);
    MMI_TRY(mmi_onnx_tensor_set(&made[ONNX_TREE_BASE], MM_F64, 1, &count, err));
    made[ONNX_TREE_BASE].data = numbers;
    return MM_OK;
}

static mm_status read_labels(struct onnx_lists *lists, struct onnx_trees *trees,
                             struct onnx_tensor *made, mm_error *err) {
    uint32_t labels = 0;
    if (lists->count <= STRINGS) {
        return MM_OK;
    }
    MMI_TRY(mmi_onnx_ml_only_one(lists, STRINGS, LISTS, "labels", &labels, err));
    made[ONNX_TREE_LABELS] = lists->at[labels];
    trees->targets = (int64_t)lists->at[labels].elements;
    return MM_OK;
}

mm_status mmi_onnx_arrange_old_trees(struct onnx_lists *lists, void *params, mm_error *err) {
    struct onnx_tensor made[ONNX_TREE_INPUTS] = {{0}};
    struct reading r = {.lists = lists, .trees = params};
    MMI_TRY(read_labels(lists, params, made, err));
    MMI_TRY(check_counts(&r, err));
    MMI_TRY(read_names(&r, err));
    MMI_TRY(read_nodes(&r, err));
    MMI_TRY(read_roots(&r, err));
    MMI_TRY(read_votes(&r, made, err));
    MMI_TRY(read_base(&r, made, err));
    MMI_TRY(mmi_onnx_pack_trees(lists->arena, &r.file, params, made, err));
    memcpy(lists->at, made + 1, (ONNX_TREE_INPUTS - 1) * sizeof(*made));
    lists->count = ONNX_TREE_INPUTS - 1;
    return MM_OK;
}
