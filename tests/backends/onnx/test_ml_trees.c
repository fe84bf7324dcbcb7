/* SPDX-License-Identifier: Apache-2.0 */

/* Ensembles of trees. */

#include "one_node.h"

#include <stdio.h>
#include <string.h>

/* Two trees: x0 <= 1 ? (x1 < 2 ? leaf 3 : leaf 4) : leaf 2; and x1 <= 5 ? leaf 1 : leaf 2. */
#define NODES                                                                                      \
    "nodes_treeids=[0,0,0,0,0,1,1,1] nodes_nodeids=[0,1,2,3,4,0,1,2] "                             \
    "nodes_featureids=[0,1,0,0,0,1,0,0] nodes_values=[1.0,2.0,0.0,0.0,0.0,5.0,0.0,0.0] "           \
    "nodes_modes=[BRANCH_LEQ,BRANCH_LT,LEAF,LEAF,LEAF,BRANCH_LEQ,LEAF,LEAF] "                      \
    "nodes_truenodeids=[1,3,0,0,0,1,0,0] nodes_falsenodeids=[2,4,0,0,0,2,0,0] "
#define VOTES                                                                                      \
    "target_treeids=[0,0,0,1,1] target_nodeids=[2,3,4,1,2] target_ids=[0,0,1,0,1] "                \
    "target_weights=[1.0,2.0,-3.0,4.0,5.0] n_targets=2 "
#define ROWS "f32[3,2] 0 1 1 3 2 9"

static void test_regressor(void **state) {
    (void)state;
    static const struct {
        const char *more, *wanted;
    } cases[] = {
        {"", "f32[3,2] 6 0 4 -3 1 5"},
        {"aggregate_function=AVERAGE", "f32[3,2] 3 0 2 -1.5 0.5 2.5"},
        {"aggregate_function=MIN", "f32[3,2] 2 0 4 -3 1 5"},
        {"aggregate_function=MAX base_values=[10.0,20.0]", "f32[3,2] 14 20 14 17 11 25"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char attributes[800];
        snprintf(attributes, sizeof(attributes), NODES VOTES "%s", cases[i].more);
        one_expect("TreeEnsembleRegressor", attributes, ROWS, cases[i].wanted);
    }
    one_expect("TreeEnsembleRegressor", NODES VOTES, "i64[1,2] 1 1", "f32[1,2] 6 0");
    one_expect("TreeEnsembleRegressor", /* of several votes for a single target the first counts */
               NODES "target_treeids=[0,0,0,0] target_nodeids=[2,2,3,4] target_ids=[0,0,0,0] "
                     "target_weights=[1.0,7.0,2.0,3.0]",
               ROWS, "f32[3,1] 2 3 1");
    one_expect("TreeEnsembleRegressor", /* x = 1 or x = 3, as categories are exported */
               "nodes_treeids=[0,0,0,0] nodes_nodeids=[0,1,2,3] nodes_featureids=[0,0,0,0] "
               "nodes_values=[1.0,3.0,0.0,0.0] nodes_modes=[BRANCH_EQ,BRANCH_EQ,LEAF,LEAF] "
               "nodes_truenodeids=[2,2,0,0] nodes_falsenodeids=[1,3,0,0] target_treeids=[0,0] "
               "target_nodeids=[2,3] target_ids=[0,0] target_weights=[5.0,6.0]",
               "f32[4,1] 1 2 3 4", "f32[4,1] 5 6 5 6");
    one_expect("TreeEnsembleRegressor",
               NODES VOTES "nodes_missing_value_tracks_true=[1,0,0,0,0,0,0,0]",
               "f32[2,2] nan 1 1 nan", "f32[2,2] 6 0 0 2");
}

static void test_classifier(void **state) {
    (void)state;
    static const char nodes[] =
        "nodes_treeids=[0,0,0] nodes_nodeids=[0,1,2] nodes_featureids=[0,0,0] "
        "nodes_values=[0.5,0.0,0.0] nodes_modes=[BRANCH_LEQ,LEAF,LEAF] nodes_truenodeids=[1,0,0] "
        "nodes_falsenodeids=[2,0,0] class_treeids=[0,0] class_nodeids=[1,2]";
    static const struct {
        const char *more, *wanted;
        double tolerance;
    } cases[] = {
        {"class_ids=[0,0] class_weights=[0.25,0.75] classlabels_int64s=[7,8]",
         "i64[2] 7 8 | f32[2,2] 0.75 0.25 0.25 0.75", 0},
        {"class_ids=[1,1] class_weights=[-0.25,0.75] classlabels_strings=[n,y]",
         "string[2] n y | f32[2,2] 0.25 -0.25 -0.75 0.75", 0},
        {"class_ids=[0,0] class_weights=[1.0,2.0] classlabels_int64s=[0,1] base_values=[-1.5] "
         "post_transform=LOGISTIC",
         "i64[2] 0 1 | f32[2,2] 0.62245933 0.37754067 0.37754067 0.62245933", 1e-6},
        {"class_ids=[0,1] class_weights=[0.5,0.5] classlabels_int64s=[0,1]",
         "i64[2] 0 1 | f32[2,2] 0.5 0 0 0.5", 0},
        {"class_ids=[2,1] class_weights=[1.0,2.0] classlabels_int64s=[5,6,7] "
         "base_values=[0.5,0.5,0.5]",
         "i64[2] 7 6 | f32[2,3] 0.5 0.5 1.5 0.5 2.5 0.5", 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char attributes[800];
        snprintf(attributes, sizeof(attributes), "%s %s", nodes, cases[i].more);
        one_expect_near("TreeEnsembleClassifier", attributes, "f32[2,1] 0 1", cases[i].wanted,
                        cases[i].tolerance);
    }
}

static void test_regressor_refused(void **state) {
    (void)state;
    static const struct {
        const char *attributes, *why;
    } cases[] = {
        {NODES VOTES "base_values=[1.0,2.0,3.0]", "3 base values of 2 results"},
        {NODES, "0 attributes with its class_weights, one wanted"},
        {NODES "target_treeids=[0] target_nodeids=[2] target_ids=[1] target_weights=[1.0]",
         "vote 0 is for 1 of 1"},
        {"nodes_treeids=[0] nodes_nodeids=[0] nodes_featureids=[0] nodes_values=[1.0] "
         "nodes_modes=[BRANCH_LEQ] nodes_truenodeids=[0] nodes_falsenodeids=[0] " VOTES,
         "1 of 1 nodes are in a circle"},
        {"nodes_treeids=[0] nodes_nodeids=[0] nodes_featureids=[0] nodes_values=[1.0] "
         "nodes_modes=[BRANCH_LEQ] nodes_truenodeids=[1] nodes_falsenodeids=[0] " VOTES,
         "node 0 of tree 0 leads to node 1, which there is not"},
        {"nodes_treeids=[0] nodes_nodeids=[0] nodes_featureids=[-1] nodes_values=[1.0] "
         "nodes_modes=[BRANCH_LEQ] nodes_truenodeids=[0] nodes_falsenodeids=[0] " VOTES,
         "node 0 has feature -1"},
        {"nodes_treeids=[0] nodes_nodeids=[0] nodes_featureids=[0] nodes_values=[1.0] "
         "nodes_modes=[TWIG] nodes_truenodeids=[0] nodes_falsenodeids=[0] " VOTES,
         "node 0 has mode 'TWIG'"},
        {"nodes_treeids=[0,0] nodes_nodeids=[0,0] nodes_featureids=[0,0] nodes_values=[1.0,2.0] "
         "nodes_modes=[LEAF,LEAF] nodes_truenodeids=[0,0] nodes_falsenodeids=[0,0] " VOTES,
         "node 0 of tree 0 is there twice"},
        {"nodes_treeids=[0,0] nodes_nodeids=[0] nodes_featureids=[0] nodes_values=[1.0] "
         "nodes_modes=[LEAF] nodes_truenodeids=[0] nodes_falsenodeids=[0] " VOTES,
         "nodes_nodeids has 1 elements, 2 wanted"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        one_refuse("TreeEnsembleRegressor", cases[i].attributes, ROWS, MM_INVALID_MODEL,
                   cases[i].why);
    }
    one_refuse("TreeEnsembleRegressor", NODES VOTES, "f32[1,1] 1", MM_INVALID_MODEL,
               "rows of 1 features, 2 wanted");
    one_expect("TreeEnsembleRegressor", /* one leaf is all of the tree */
               "nodes_treeids=[0] nodes_nodeids=[0] nodes_featureids=[0] nodes_values=[0.0] "
               "nodes_modes=[LEAF] nodes_truenodeids=[0] nodes_falsenodeids=[0] target_treeids=[0] "
               "target_nodeids=[0] target_ids=[0] target_weights=[2.5]",
               "f32[2,1] 1 2", "f32[2,1] 2.5 2.5");
}

/* ---- TreeEnsemble ---------------------------------------------------------------------------- */

#define ENSEMBLE                                                                                   \
    "n_targets=2 tree_roots=[0] nodes_featureids=[0,0,0] nodes_truenodeids=[1,0,1] "               \
    "nodes_trueleafs=[0,1,1] nodes_falsenodeids=[2,2,3] nodes_falseleafs=[0,1,1] "                 \
    "leaf_targetids=[0,1,0,1] "
#define TENSORS                                                                                    \
    "; nodes_modes u8[3] 0 6 6; nodes_splits @[3] 3 0 0; membership_values @[5] 1 2 nan 4 nan; "   \
    "leaf_weights @[4] 5 10 20 30"

static void expect_ensemble(const char *type, const char *inputs, const char *outputs) {
    char attributes[600], text[600] = ENSEMBLE TENSORS;
    size_t used = 0;
    for (const char *at = text; *at; at++) {
        used += (size_t)snprintf(attributes + used, sizeof(attributes) - used, "%.*s",
                                 *at == '@' ? (int)strlen(type) : 1, *at == '@' ? type : at);
    }
    one_expect("TreeEnsemble", attributes, inputs, outputs);
}

static void test_ensemble(void **state) {
    (void)state;
    expect_ensemble("f32", "f32[4,1] 1 3 4 5", "f32[4,2] 5 0 20 0 0 10 0 30");
    expect_ensemble("f64", "f64[3,1] 2 4 nan", "f64[3,2] 5 0 0 10 0 30");
    one_refuse("TreeEnsemble", ENSEMBLE, "f32[1,1] 1", MM_INVALID_MODEL, "0 nodes and 4 leaves");
    one_expect(
        "TreeEnsemble",
        "tree_roots=[0,0] nodes_featureids=[0] nodes_truenodeids=[0] nodes_trueleafs=[1] "
        "nodes_falsenodeids=[0] nodes_falseleafs=[1] leaf_targetids=[0]; nodes_modes u8[1] 0; "
        "nodes_splits f32[1] 1; leaf_weights f32[1] 1",
        "f32[1,1] 1", "f32[1,1] 2");
    one_refuse(
        "TreeEnsemble",
        "tree_roots=[0] nodes_featureids=[0] nodes_truenodeids=[0] nodes_trueleafs=[0] "
        "nodes_falsenodeids=[0] nodes_falseleafs=[1] leaf_targetids=[0]; nodes_modes u8[1] 0; "
        "nodes_splits f32[1] 1; leaf_weights f32[1] 1",
        "f32[1,1] 1", MM_INVALID_MODEL, "node 0 is in a circle");
    one_refuse(
        "TreeEnsemble",
        "tree_roots=[0] nodes_featureids=[0] nodes_truenodeids=[2] nodes_trueleafs=[1] "
        "nodes_falsenodeids=[0] nodes_falseleafs=[1] leaf_targetids=[0]; nodes_modes u8[1] 0; "
        "nodes_splits f32[1] 1; leaf_weights f32[1] 1",
        "f32[1,1] 1", MM_INVALID_MODEL, "node 0 leads to leaf 2 of 1");
    one_refuse(
        "TreeEnsemble",
        "tree_roots=[0] nodes_featureids=[0] nodes_truenodeids=[0] nodes_trueleafs=[1] "
        "nodes_falsenodeids=[0] nodes_falseleafs=[1] leaf_targetids=[0]; nodes_modes u8[1] 6; "
        "nodes_splits f32[1] 1; leaf_weights f32[1] 1",
        "f32[1,1] 1", MM_INVALID_MODEL, "no members are left for node 0");
    one_refuse("TreeEnsemble", "aggregate_function=4 n_targets=1", "f32[1,1] 1", MM_INVALID_MODEL,
               "aggregate_function is 4");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_regressor),
        cmocka_unit_test(test_classifier),
        cmocka_unit_test(test_regressor_refused),
        cmocka_unit_test(test_ensemble),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
