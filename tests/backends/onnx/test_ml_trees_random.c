/* SPDX-License-Identifier: Apache-2.0 */

/* Random ensembles of trees, packed and not, against a walk of the trees as they are written.
 * Usage: test_ml_trees_random [SEED] */

#include "one_node.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define ROUNDS 400
enum { MOST_TREES = 20, MOST_NODES = 31, MOST_ROWS = 20, FEATURES = 5, MOST_TARGETS = 3 };

static uint64_t seed;

static int below(int limit) {
    return (int)test_random_below(&seed, (uint64_t)limit);
}

static const char *const modes[] = {"BRANCH_LEQ", "BRANCH_LT",  "BRANCH_GTE", "BRANCH_GT",
                                    "BRANCH_EQ",  "BRANCH_NEQ", "LEAF"};
enum { LEQ, LT, GTE, GT, EQ, NEQ, LEAF };

struct node {
    int mode, feature, yes, no, missing;
    double split, votes[MOST_TARGETS];
    bool has_vote[MOST_TARGETS];
};
struct trial {
    int trees, targets, rows;
    int count[MOST_TREES];
    struct node nodes[MOST_TREES][MOST_NODES];
    double x[MOST_ROWS][FEATURES];
    int mode;    /* of all nodes; LEAF: any */
    int missing; /* percent of nodes */
    bool single; /* one vote a leaf, a tree has one target */
    bool shared; /* branches lead to what others lead to, too */
    const char *type;
};

/* ---- Making ---------------------------------------------------------------------------------- */

static void make_leaf(const struct trial *t, struct node *node, int tree) {
    node->mode = LEAF;
    for (int i = 0; i < t->targets; i++) {
        node->has_vote[i] = t->single ? i == tree % t->targets : below(3) > 0;
        node->votes[i] = (below(65) - 32) / 8.0;
    }
}

/* Node 0 is split, then any leaf, until there are enough; a shared branch leads to any later
 * node. */
static void make_tree(struct trial *t, int tree) {
    struct node *nodes = t->nodes[tree];
    int wanted = below(8) == 0 ? 1 : 1 + 2 * below(MOST_NODES / 2 + 1), count = 1;
    make_leaf(t, &nodes[0], tree);
    while (count < wanted) {
        int at = below(count);
        struct node *node = &nodes[at];
        if (node->mode != LEAF) {
            continue;
        }
        *node = (struct node){.mode = t->mode == LEAF ? below(LEAF) : t->mode,
                              .feature = below(FEATURES),
                              .missing = below(100) < t->missing,
                              .split = (below(17) - 8) / 4.0,
                              .yes = count,
                              .no = count + 1};
        make_leaf(t, &nodes[count++], tree);
        make_leaf(t, &nodes[count++], tree);
    }
    for (int i = 0; t->shared && i < count; i++) {
        struct node *node = &nodes[i], *leaf = &nodes[node->no];
        int to = i + 1 + below(count - i);
        if (node->mode != LEAF && leaf->mode == LEAF && to < count && below(2)) {
            memset(leaf->has_vote, 0, sizeof(leaf->has_vote)); /* it may be a tree of its own now */
            node->no = to;
        }
    }
    t->count[tree] = count;
}

static void make_trial(struct trial *t) {
    static const char *const types[] = {"f32", "f64", "i64"};
    memset(t, 0, sizeof(*t));
    t->trees = 1 + below(MOST_TREES);
    t->targets = 1 + below(MOST_TARGETS);
    t->rows = 1 + below(MOST_ROWS);
    t->mode = below(3) == 0 ? LEAF : below(2);
    t->missing = below(2) * 30;
    t->single = below(2);
    t->shared = below(4) == 0;
    t->type = types[below(3)];
    for (int tree = 0; tree < t->trees; tree++) {
        make_tree(t, tree);
    }
    for (int i = 0; i < t->rows * FEATURES; i++) {
        bool whole = strcmp(t->type, "i64") == 0;
        double *x = &t->x[i / FEATURES][i % FEATURES];
        *x = whole ? below(5) - 2 : (below(17) - 8) / 4.0;
        *x += strcmp(t->type, "f64") == 0 && below(4) == 0 ? 1e-12 : 0; /* no f32 */
        *x = !whole && below(8) == 0 ? NAN : *x;
    }
}

/* ---- Walking --------------------------------------------------------------------------------- */

static bool goes_yes(const struct node *node, double x) {
    bool yes[] = {x <= node->split, x<node->split, x >= node->split, x> node->split,
                  x == node->split, x != node->split};
    return yes[node->mode] || (node->missing && isnan(x));
}

static double answer(const struct trial *t, int row, int target) {
    double sum = 0;
    for (int tree = 0; tree < t->trees; tree++) {
        const struct node *node = &t->nodes[tree][0];
        while (node->mode != LEAF) {
            bool yes = goes_yes(node, t->x[row][node->feature]);
            node = &t->nodes[tree][yes ? node->yes : node->no];
        }
        sum += node->has_vote[target] ? node->votes[target] : 0;
    }
    return sum;
}

/* ---- Texts ----------------------------------------------------------------------------------- */

static char attributes[400000], input[8000], output[8000];

static void add(char *text, size_t size, const char *format, ...) {
    size_t used = strlen(text);
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text + used, size - used, format, arguments);
    va_end(arguments);
    assert_true(length >= 0 && (size_t)length < size - used);
}
#define ADD(text, ...) add(text, sizeof(text), __VA_ARGS__)

/* The lists: a field of all nodes, or of all votes. */
enum { TREE, NODE, FEATURE, SPLIT, MODE, YES, NO, MISSING, VOTE_TREE, VOTE_NODE, TARGET, WEIGHT };
static const char *const fields[] = {
    "nodes_treeids",  "nodes_nodeids",     "nodes_featureids",   "nodes_values",
    "nodes_modes",    "nodes_truenodeids", "nodes_falsenodeids", "nodes_missing_value_tracks_true",
    "target_treeids", "target_nodeids",    "target_ids",         "target_weights"};

static void add_node(int field, int tree, int i, const struct node *node) {
    const int numbers[] = {tree, i, node->feature, 0, 0, node->yes, node->no, node->missing};
    if (field == SPLIT) {
        ADD(attributes, "%.3f,", node->split);
    } else if (field == MODE) {
        ADD(attributes, "%s,", modes[node->mode]);
    } else {
        ADD(attributes, "%d,", numbers[field]);
    }
}

static void add_votes(const struct trial *t, int field, int tree, int i) {
    const struct node *node = &t->nodes[tree][i];
    for (int target = 0; target < t->targets; target++) {
        const int numbers[] = {tree, i, target};
        if (node->mode != LEAF || !node->has_vote[target]) {
            continue;
        }
        if (field == WEIGHT) {
            ADD(attributes, "%.3f,", node->votes[target]);
        } else {
            ADD(attributes, "%d,", numbers[field - VOTE_TREE]);
        }
    }
}

static void write_trial(const struct trial *t) {
    snprintf(attributes, sizeof(attributes), "n_targets=%d", t->targets);
    for (int field = 0; field <= WEIGHT; field++) {
        ADD(attributes, " %s=[", fields[field]);
        for (int tree = 0; tree < t->trees; tree++) {
            for (int i = 0; i < t->count[tree]; i++) {
                if (field < VOTE_TREE) {
                    add_node(field, tree, i, &t->nodes[tree][i]);
                } else {
                    add_votes(t, field, tree, i);
                }
            }
        }
        size_t length = strlen(attributes);
        attributes[attributes[length - 1] == ',' ? length - 1 : length] = '\0';
        ADD(attributes, "]");
    }
    snprintf(input, sizeof(input), "%s[%d,%d]", t->type, t->rows, FEATURES);
    snprintf(output, sizeof(output), "f32[%d,%d]", t->rows, t->targets);
    for (int i = 0; i < t->rows * FEATURES; i++) {
        ADD(input, " %.17g", t->x[i / FEATURES][i % FEATURES]);
    }
    for (int i = 0; i < t->rows * t->targets; i++) {
        ADD(output, " %.6f", answer(t, i / t->targets, i % t->targets));
    }
}

static bool has_votes(const struct trial *t) {
    for (int tree = 0; tree < t->trees; tree++) {
        for (int i = 0; i < t->count[tree]; i++) {
            for (int target = 0; target < t->targets; target++) {
                if (t->nodes[tree][i].mode == LEAF && t->nodes[tree][i].has_vote[target]) {
                    return true;
                }
            }
        }
    }
    return false;
}

static void test_random_trees(void **state) {
    (void)state;
    static struct trial trial;
    for (int round = 0; round < ROUNDS; round++) {
        make_trial(&trial);
        if (has_votes(&trial)) {
            write_trial(&trial);
            one_expect_near("TreeEnsembleRegressor", attributes, input, output, 0);
        }
    }
}

int main(int argc, char **argv) {
    seed = test_seed(argc, argv);
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_random_trees)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
