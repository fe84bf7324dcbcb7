/* SPDX-License-Identifier: Apache-2.0 */

/* TreeEnsemble, TreeEnsembleRegressor and TreeEnsembleClassifier. */

#include <backends/onnx/operators/ml_trees.h>
#include <base/checked.h>
#include <base/status.h>

#include <inttypes.h>
#include <math.h>

/* ---- Attributes ------------------------------------------------------------------------------ */

static mm_status read_targets(const struct onnx_attributes *a, struct onnx_trees *p,
                              mm_error *err) {
    return mmi_onnx_read_int(a, "n_targets", 1, &p->targets, err);
}

static mm_status read_ensemble(const struct onnx_attributes *a, void *params, mm_error *err) {
    struct onnx_trees *p = params;
    (void)mmi_onnx_attribute(a, "nodes_hitrates"); /* how often nodes are met: a hint */
    MMI_TRY(mmi_onnx_read_int32(a, "aggregate_function", ONNX_TREE_SUM, &p->aggregate, err));
    MMI_TRY(mmi_onnx_read_int32(a, "post_transform", ONNX_POST_NONE, &p->post_transform, err));
    return read_targets(a, p, err);
}

static void know_hitrates(const struct onnx_attributes *a) {
    (void)mmi_onnx_attribute(a, "nodes_hitrates");
    (void)mmi_onnx_attribute(mmi_onnx_since(a, 3), "nodes_hitrates_as_tensor");
}

static mm_status read_regressor(const struct onnx_attributes *a, void *params, mm_error *err) {
    static const char *const names[] = {"SUM", "AVERAGE", "MIN", "MAX", NULL};
    static const int32_t kinds[] = {ONNX_TREE_SUM, ONNX_TREE_AVERAGE, ONNX_TREE_MIN, ONNX_TREE_MAX};
    struct onnx_trees *p = params;
    int32_t choice = 0;
    know_hitrates(a);
    MMI_TRY(mmi_onnx_read_choice(a, "aggregate_function", names, &choice, err));
    MMI_TRY(mmi_onnx_read_post_transform(a, &p->post_transform, err));
    p->aggregate = kinds[choice];
    return read_targets(a, p, err);
}

static mm_status read_classifier(const struct onnx_attributes *a, void *params, mm_error *err) {
    struct onnx_trees *p = params;
    know_hitrates(a);
    p->aggregate = ONNX_TREE_SUM;
    return mmi_onnx_read_post_transform(a, &p->post_transform, err);
}

/* ---- Shapes ---------------------------------------------------------------------------------- */

/* Rows that are walked together: as many as stay in a near cache with a tree. */
static uint64_t block_rows(uint64_t rows, uint64_t length) {
    uint64_t most = 64;
    while (most > ONNX_TREE_LANES && most > (32 * 1024) / ((length + 1) * sizeof(float))) {
        most /= 2;
    }
    return rows < ONNX_TREE_LANES ? 1 : mmi_min_u64(most, rows - rows % ONNX_TREE_LANES);
}

static mm_status infer(struct onnx_inference *x, uint32_t types, uint64_t *rows, mm_error *err) {
    const struct onnx_trees *p = x->params;
    struct onnx_ml_rows its = {0};
    MMI_TRY(mmi_onnx_ml_rows(x, types, &its, err));
    if (its.length < (uint64_t)p->features) {
        return mmi_fail(err, MM_INVALID_MODEL, "rows of %" PRIu64 " features, %" PRId64 " wanted",
                        its.length, p->features);
    }
    *rows = its.count;
    uint64_t block = block_rows(its.count, its.length), wide, numbers;
    return mmi_mul(block, its.length + 1, &wide) &&
                   mmi_mul(block, (uint64_t)p->targets, &numbers) && mmi_onnx_ml_scratch(x, wide) &&
                   mmi_onnx_ml_scratch(x, numbers)
               ? MM_OK
               : mmi_fail(err, MM_TOO_LARGE, "rows of %" PRIu64 " features", its.length);
}

static mm_status infer_ensemble(struct onnx_inference *x, mm_error *err) {
    uint64_t rows = 0;
    MMI_TRY(infer(x, ONNX_FLOATS, &rows, err));
    return mmi_onnx_ml_output(x, 0, x->inputs[0].dtype, rows,
                              (uint64_t)((const struct onnx_trees *)x->params)->targets, err);
}

static mm_status infer_regressor(struct onnx_inference *x, mm_error *err) {
    uint64_t rows = 0;
    MMI_TRY(infer(x, ONNX_ML_NUMBERS, &rows, err));
    return mmi_onnx_ml_output(x, 0, MM_F32, rows,
                              (uint64_t)((const struct onnx_trees *)x->params)->targets, err);
}

static mm_status infer_classifier(struct onnx_inference *x, mm_error *err) {
    uint64_t rows = 0;
    MMI_TRY(infer(x, ONNX_ML_NUMBERS, &rows, err));
    MMI_TRY(mmi_onnx_ml_infer_labels(x, ONNX_TREE_LABELS, rows, err));
    return mmi_onnx_ml_output(x, 1, MM_F32, rows,
                              (uint64_t)((const struct onnx_trees *)x->params)->targets, err);
}

/* ---- Walking --------------------------------------------------------------------------------- */

struct forest {
    const struct onnx_tree_node *nodes;
    const uint32_t *roots;
    const double *members;
    uint64_t count, trees, member_count, features;
};

static struct forest forest_of(const struct onnx_call *call) {
    const struct onnx_tensor *in = call->inputs;
    struct onnx_tensor members = mmi_onnx_list(call, ONNX_TREE_MEMBERS);
    return (struct forest){.nodes = call->in[ONNX_TREE_NODES],
                           .roots = call->in[ONNX_TREE_ROOTS],
                           .members = members.data,
                           .count = in[ONNX_TREE_NODES].bytes / sizeof(struct onnx_tree_node),
                           .trees = in[ONNX_TREE_ROOTS].elements,
                           .member_count = members.dtype == MM_DTYPE_NONE ? 0 : members.elements,
                           .features = mmi_onnx_ml_rows_of(&in[0]).length};
}

static bool is_member(const struct forest *f, const struct onnx_tree_node *node, double value) {
    uint64_t end = (uint64_t)node->by.set.first + node->by.set.count;
    for (uint64_t i = node->by.set.first; i < end && i < f->member_count; i++) {
        if (f->members[i] == value) {
            return true;
        }
    }
    return false;
}

static bool goes_yes(const struct forest *f, const struct onnx_tree_node *node, double value) {
    switch (node->mode) {
    case ONNX_TREE_LEQ:
        return value <= node->by.split;
    case ONNX_TREE_LT:
        return value < node->by.split;
    case ONNX_TREE_GTE:
        return value >= node->by.split;
    case ONNX_TREE_GT:
        return value > node->by.split;
    case ONNX_TREE_EQ:
        return value == node->by.split;
    case ONNX_TREE_NEQ:
        return value != node->by.split;
    default:
        return is_member(f, node, value);
    }
}

/* The leaf that the row comes to; one that there is not where the bytes of the trees are damaged:
 * each node leads to a later one. */
static uint64_t find_leaf(const struct forest *f, uint32_t at, const double *row) {
    while (!(at & ONNX_TREE_IS_LEAF)) {
        if (at >= f->count || f->nodes[at].feature >= f->features) {
            return UINT64_MAX;
        }
        const struct onnx_tree_node *node = &f->nodes[at];
        double value = row[node->feature];
        bool yes = goes_yes(f, node, value) || (node->missing && isnan(value));
        uint32_t next = yes ? node->yes : node->no;
        if (next <= at) {
            return UINT64_MAX;
        }
        at = next;
    }
    return at & ~ONNX_TREE_IS_LEAF;
}

mm_status mmi_onnx_tree_leaf_votes(const struct onnx_call *call, uint64_t leaf, double *scores,
                                   mm_error *err) {
    const struct onnx_trees *p = call->params;
    const uint32_t *begins = call->in[ONNX_TREE_LEAVES];
    const struct onnx_tree_vote *votes = call->in[ONNX_TREE_VOTES];
    uint64_t count = call->inputs[ONNX_TREE_VOTES].bytes / sizeof(*votes);
    bool there = leaf + 1 < call->inputs[ONNX_TREE_LEAVES].elements;
    uint64_t end = there ? begins[leaf + 1] : UINT64_MAX;
    for (uint64_t i = there ? begins[leaf] : 0; i < end; i++) {
        if (i >= count || !there || votes[i].target >= p->targets) {
            return mmi_fail(err, MM_CORRUPT, "the trees are damaged");
        }
        mmi_onnx_tree_vote(p, votes[i].target, votes[i].weight, scores);
    }
    return MM_OK;
}

/* What all trees say of the rows of a block. */
static mm_status walk(const struct onnx_call *call, const struct onnx_tree_block *block,
                      mm_error *err) {
    const struct onnx_trees *p = call->params;
    if (p->offset_bits > 0) {
        return mmi_onnx_walk_trees(call, block, err);
    }
    struct forest forest = forest_of(call);
    for (uint64_t row = 0; row < block->count; row++) {
        double *scores = block->scores + row * (uint64_t)p->targets;
        mmi_onnx_ml_row(call, block->first + row, block->rows);
        for (uint64_t tree = 0; tree < forest.trees; tree++) {
            uint64_t leaf = find_leaf(&forest, forest.roots[tree], block->rows);
            MMI_TRY(mmi_onnx_tree_leaf_votes(call, leaf, scores, err));
        }
    }
    return MM_OK;
}

/* The scores of a block, with the base values. */
static mm_status compute(const struct onnx_call *call, const struct onnx_tree_block *block,
                         mm_error *err) {
    const struct onnx_trees *p = call->params;
    uint64_t targets = (uint64_t)p->targets, trees = call->inputs[ONNX_TREE_ROOTS].elements;
    bool extreme = p->aggregate == ONNX_TREE_MIN || p->aggregate == ONNX_TREE_MAX;
    for (uint64_t i = 0; i < block->count * targets; i++) {
        block->scores[i] = extreme ? NAN : 0; /* until there is a vote */
    }
    MMI_TRY(walk(call, block, err));
    struct onnx_tensor base = mmi_onnx_list(call, ONNX_TREE_BASE);
    for (uint64_t i = 0; i < block->count * targets; i++) {
        double *score = &block->scores[i];
        *score = extreme && isnan(*score) ? 0 : *score;
        *score /= p->aggregate == ONNX_TREE_AVERAGE ? (double)trees : 1;
        *score += base.data ? mmi_onnx_float_at(&base, base.elements > 1 ? i % targets : 0) : 0;
    }
    return MM_OK;
}

/* All rows, a block at a time; `finish` gets the scores of each. */
static mm_status run_blocks(const struct onnx_call *call,
                            void (*finish)(const struct onnx_call *call, uint64_t row,
                                           double *scores),
                            mm_error *err) {
    struct onnx_ml_rows rows = mmi_onnx_ml_rows_of(&call->inputs[0]);
    uint64_t targets = (uint64_t)((const struct onnx_trees *)call->params)->targets;
    uint64_t most = block_rows(rows.count, rows.length);
    struct onnx_tree_block block = {.rows = call->scratch,
                                    .scores = (double *)call->scratch + most * (rows.length + 1)};
    for (; block.first < rows.count; block.first += block.count) {
        block.count = mmi_min_u64(most, block_rows(rows.count - block.first, rows.length));
        MMI_TRY(compute(call, &block, err));
        for (uint64_t i = 0; i < block.count; i++) {
            finish(call, block.first + i, block.scores + i * targets);
        }
    }
    return MM_OK;
}

static void finish_regression(const struct onnx_call *call, uint64_t row, double *scores) {
    const struct onnx_trees *p = call->params;
    mmi_onnx_post_transform(p->post_transform, scores, (uint64_t)p->targets);
    mmi_onnx_ml_put(call, 0, row, scores, (uint64_t)p->targets);
}

static mm_status run_regressor(const struct onnx_call *call, mm_error *err) {
    return run_blocks(call, finish_regression, err);
}

/* Scores to what is written of them; the class. All votes for one of two classes are those of the
 * second, and they are a probability if none is negative. */
static uint64_t decide(const struct onnx_trees *p, double *scores) {
    if (p->targets == 2 && p->only >= 0) {
        bool probability = p->all_positive && p->post_transform == ONNX_POST_NONE;
        double score = scores[p->only != 0];
        scores[1] = score;
        mmi_onnx_two_classes(p->post_transform, p->all_positive != 0, scores);
        return score > (probability ? 0.5 : 0);
    }
    uint64_t label = mmi_onnx_ml_largest(scores, (uint64_t)p->targets);
    mmi_onnx_post_transform(p->post_transform, scores, (uint64_t)p->targets);
    return label;
}

static void finish_class(const struct onnx_call *call, uint64_t row, double *scores) {
    const struct onnx_trees *p = call->params;
    mmi_onnx_ml_put_label(call, ONNX_TREE_LABELS, row, decide(p, scores));
    mmi_onnx_ml_put(call, 1, row, scores, (uint64_t)p->targets);
}

static mm_status run_classifier(const struct onnx_call *call, mm_error *err) {
    return run_blocks(call, finish_class, err);
}

#define TREES(name_, least_, outputs_, read_, lists_, arrange_, infer_, run_, ...)                 \
    const struct onnx_operator mmi_onnx_op_##name_ = {                                             \
        .name = #name_,                                                                            \
        .domain = ONNX_ML,                                                                         \
        .min_inputs = 1,                                                                           \
        .max_inputs = 1,                                                                           \
        .min_outputs = 1,                                                                          \
        .max_outputs = outputs_,                                                                   \
        .params_bytes = sizeof(struct onnx_trees),                                                 \
        .limits = ONNX_LIMITS(                                                                     \
            ONNX_BETWEEN("n_targets", struct onnx_trees, targets, least_, INT32_MAX - 1),          \
            ONNX_BETWEEN("aggregate_function", struct onnx_trees, aggregate, 0, ONNX_TREE_MAX),    \
            ONNX_BETWEEN("post_transform", struct onnx_trees, post_transform, 0,                   \
                         ONNX_POST_PROBIT),                                                        \
            ONNX_BETWEEN("features", struct onnx_trees, features, 0, INT32_MAX),                   \
            ONNX_BETWEEN("offset_bits", struct onnx_trees, offset_bits, 0, 30)),                   \
        .read = read_,                                                                             \
        .lists = lists_,                                                                           \
        .arrange = arrange_,                                                                       \
        .arranged = ONNX_TREE_INPUTS - 1,                                                          \
        .infer = infer_,                                                                           \
        .run = run_,                                                                               \
        __VA_ARGS__,                                                                               \
    };
TREES(TreeEnsemble, 1, 1, read_ensemble, mmi_onnx_tree_lists, mmi_onnx_arrange_trees,
      infer_ensemble, run_regressor,
      .facts = {ONNX_DTYPE_OF_0, ONNX_RANK_IS_2, ONNX_SIZE_REDUCES, 0})
TREES(TreeEnsembleRegressor, 1, 1, read_regressor, mmi_onnx_tree_regressor_lists,
      mmi_onnx_arrange_old_trees, infer_regressor, run_regressor,
      .facts = {MM_F32, ONNX_RANK_IS_2, ONNX_SIZE_REDUCES, 0})
TREES(TreeEnsembleClassifier, 0, 2, read_classifier, mmi_onnx_tree_classifier_lists,
      mmi_onnx_arrange_old_trees, infer_classifier, run_classifier,
      .facts = {ONNX_DTYPE_UNKNOWN, ONNX_RANK_IS_1, ONNX_SIZE_REDUCES, 0},
      .learn = mmi_onnx_ml_learn_labels)
