/* SPDX-License-Identifier: Apache-2.0 */

/* Graphs of f16 and bf16 are computed in f32, and rounded where they must be. */

#include "graph_runner.h"

#include <backends/onnx/operators/cast.h>

static const int32_t types[] = {MM_F16, MM_BF16};
static const double tolerances[] = {2e-3, 2e-2}; /* of results that are rounded once less often */

/* Casts of the main graph to this type. */
static uint32_t casts_to(const struct bench *bench, int32_t dtype) {
    const struct onnx_graph *graph = bench->model.main;
    uint32_t count = 0;
    for (uint32_t i = 0; i < graph->node_count; i++) {
        const struct onnx_node *node = graph->nodes[i];
        count +=
            node->op == &mmi_onnx_op_Cast && ((const struct onnx_cast *)node->params)->to == dtype;
    }
    return count;
}

static void expect_casts(const struct bench *bench, int32_t dtype, uint32_t wide, uint32_t narrow) {
    assert_int_equal(casts_to(bench, MM_F32), wide);
    assert_int_equal(casts_to(bench, dtype), narrow);
}

/* Casts stand at the ends; small constants are f32. */
static void test_chain(void **state) {
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct bench bench;
        bench_init(&bench, 1);
        uint32_t x = bench_input(&bench, types[i], "3 4");
        uint32_t y = BENCH_NODE(&bench, "MatMul", "", x, bench_typed(&bench, types[i], "4 5"));
        y = BENCH_NODE(&bench, "Add", "", y, bench_typed(&bench, types[i], "5"));
        y = BENCH_NODE(&bench, "Transpose", "perm=[1,0]", y);
        bench_output(&bench, BENCH_NODE(&bench, "Softmax", "axis=-1", y));
        bench_output(&bench, y);
        bench_apply(&bench, mmi_onnx_widen_graph, tolerances[i]);
        expect_casts(&bench, types[i], 1, 2);
        assert_int_equal(bench_count(bench.model.main, NULL), 4 + 3);
        bench_fini(&bench);
    }
}

/* What only moves needs no f32; a value that has both forms is cast once. */
static void test_moves(void **state) {
    (void)state;
    struct bench bench;
    bench_init(&bench, 1);
    uint32_t x = bench_input(&bench, MM_F16, "3 4");
    uint32_t y = BENCH_NODE(&bench, "Transpose", "perm=[1,0]", x);
    bench_output(&bench, BENCH_NODE(&bench, "Concat", "axis=0", y, y));
    uint32_t a = BENCH_NODE(&bench, "Exp", "", y), b = BENCH_NODE(&bench, "Tanh", "", y);
    bench_output(&bench, BENCH_NODE(&bench, "Concat", "axis=0", a, b, y));
    bench_apply(&bench, mmi_onnx_widen_graph, 1e-3);
    expect_casts(&bench, MM_F16, 1, 1);
    bench_fini(&bench);
}

/* A large table stays narrow, and so does what is picked from it until it is computed with; a large
 * matrix has a Cast in front. */
static void test_large_constants(void **state) {
    (void)state;
    struct bench bench;
    bench_init(&bench, 1);
    uint32_t ids = bench_input(&bench, MM_I64, "2 3");
    uint32_t table = bench_typed(&bench, MM_F16, "200 100");
    uint32_t x = BENCH_NODE(&bench, "Gather", "", table, ids);
    bench_output(&bench,
                 BENCH_NODE(&bench, "MatMul", "", x, bench_typed(&bench, MM_F16, "100 200")));
    bench_apply(&bench, mmi_onnx_widen_graph, 5e-3);
    expect_casts(&bench, MM_F16, 2, 1);
    bench_fini(&bench);
    bench_init(&bench, 1);
    ids = bench_input(&bench, MM_I64, "2 3");
    x = BENCH_NODE(&bench, "Gather", "", bench_typed(&bench, MM_F16, "200 100"), ids);
    bench_output(&bench,
                 BENCH_NODE(&bench, "MatMul", "", x, bench_typed(&bench, MM_F16, "100 200")));
    bench_apply(&bench, mmi_onnx_passes, 5e-3);
    const struct onnx_node *linear = bench_find(&bench, "Linear");
    assert_non_null(linear);
    assert_int_equal(mmi_onnx_constant(&bench.model, linear, 1)->dtype, MM_F16);
    expect_casts(&bench, MM_F16, 1, 1);
    bench_fini(&bench);
}

/* Casts that the file has: to f16 they round, to f32 they do not, of a constant that is moved they
 * come last. */
static void test_casts(void **state) {
    (void)state;
    struct bench bench;
    bench_init(&bench, 1);
    uint32_t x = bench_input(&bench, MM_F32, "3 4");
    uint32_t y = BENCH_NODE(&bench, "Cast", "to=10", BENCH_NODE(&bench, "Exp", "", x));
    y = BENCH_NODE(&bench, "Tanh", "", y);
    bench_output(&bench, BENCH_NODE(&bench, "Cast", "to=1", y));
    bench_apply(&bench, mmi_onnx_widen_graph, 1e-3);
    expect_casts(&bench, MM_F16, 1, 1);
    bench_fini(&bench);
    bench_init(&bench, 1);
    x = bench_input(&bench, MM_F32, "3 200");
    y = BENCH_NODE(&bench, "Cast", "to=1", bench_typed(&bench, MM_F16, "100 200"));
    y = BENCH_NODE(&bench, "MatMul", "", x, BENCH_NODE(&bench, "Transpose", "perm=[1,0]", y));
    bench_output(&bench, y);
    bench_apply(&bench, mmi_onnx_passes, 1e-4);
    const struct onnx_node *linear = bench_find(&bench, "Linear");
    assert_int_equal(mmi_onnx_constant(&bench.model, linear, 1)->dtype, MM_F16);
    assert_int_equal(bench_count(bench.model.main, NULL), 1);
    bench_fini(&bench);
}

/* Of these a step of the least size makes another result: they get what the file says. */
static void test_steps(void **state) {
    (void)state;
    static const char *const steps[] = {"Floor", "Round", "Sign", "Cast", "IsNaN"};
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        struct bench bench;
        bench_init(&bench, 1);
        uint32_t x = bench_input(&bench, MM_F16, "30 40");
        uint32_t y = BENCH_NODE(&bench, "Mul", "", x, bench_typed(&bench, MM_F16, "40"));
        bench_output(&bench, BENCH_NODE(&bench, steps[i], i == 3 ? "to=6" : "", y));
        bench_apply(&bench, mmi_onnx_widen_graph, 0);
        expect_casts(&bench, MM_F16, 1, 1);
        bench_fini(&bench);
    }
}

/* Values of the graph around them are there for both branches in both forms; each rounds what it
 * gives out. */
static void test_branches(void **state) {
    (void)state;
    struct bench bench;
    bench_init(&bench, 1);
    uint32_t x = bench_input(&bench, MM_F16, "3 4"), which = bench_input(&bench, MM_BOOL, "");
    uint32_t y = BENCH_NODE(&bench, "Tanh", "", x), branches[2];
    struct onnx_graph *graphs[2];
    for (uint32_t i = 0; i < 2; i++) {
        graphs[i] = bench_branch(&bench);
        branches[i] = BENCH_NODE(&bench, i ? "Exp" : "Mul", "", y, i ? ONNX_NO_VALUE : x);
        if (i) {
            bench_last(&bench)->input_count = 1;
        }
        bench_branch_end(&bench, graphs[i], branches[i]);
    }
    uint32_t z = bench_if(&bench, which, graphs[0], graphs[1]);
    bench_output(&bench, BENCH_NODE(&bench, "Add", "", z, y));
    bench_apply(&bench, mmi_onnx_widen_graph, 3e-3);
    assert_int_equal(bench_count(graphs[0], "Cast"), 1);
    assert_int_equal(bench_count(graphs[1], "Cast"), 1);
    bench_fini(&bench);
}

static void test_no_memory(void **state) {
    (void)state;
    for (uint64_t nth = 1, failed = true; failed; nth++) {
        struct bench bench;
        bench_init(&bench, 1);
        uint32_t x = bench_input(&bench, MM_F16, "3 200");
        uint32_t y = BENCH_NODE(&bench, "MatMul", "", x, bench_typed(&bench, MM_F16, "200 200"));
        y = BENCH_NODE(&bench, "Add", "", y, bench_typed(&bench, MM_F16, "200"));
        bench_output(&bench, BENCH_NODE(&bench, "Floor", "", y));
        struct onnx_pass_context context = {.services = &bench.services};
        world_fail_alloc(&bench.world, nth);
        mm_status status = mmi_onnx_widen_graph(&bench.model, &context, &bench.err);
        failed = world_failed(&bench.world);
        world_fail_alloc(&bench.world, 0);
        assert_int_equal(status, failed ? MM_NO_MEMORY : MM_OK);
        bench_fini(&bench);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chain),           cmocka_unit_test(test_moves),
        cmocka_unit_test(test_large_constants), cmocka_unit_test(test_casts),
        cmocka_unit_test(test_steps),           cmocka_unit_test(test_branches),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
