/* SPDX-License-Identifier: Apache-2.0 */

/* Constant folding. */

#include "graph_runner.h"

#include <string.h>

static mm_status fold(struct bench *bench, uint64_t max_bytes) {
    struct onnx_pass_context context = {.services = &bench->services,
                                        .max_constant_bytes = max_bytes};
    return mmi_onnx_fold_constants(&bench->model, &context, &bench->err);
}

static const struct onnx_tensor *constant(const struct bench *bench, uint32_t value) {
    return bench->model.values[value].constant;
}

/* ---- Nodes */

static void test_chain(void **state) {
    (void)state;
    struct bench bench;
    bench_init(&bench, 1);
    uint32_t x = bench_input(&bench, MM_F32, "2 3");
    uint32_t sum =
        BENCH_NODE(&bench, "Add", "", bench_scalar(&bench, 1.5F), bench_random(&bench, "3"));
    uint32_t twice = BENCH_NODE(&bench, "Mul", "", sum, sum);
    bench_output(&bench, BENCH_NODE(&bench, "Add", "", x, twice));
    bench_apply(&bench, mmi_onnx_fold_constants, 0);
    assert_int_equal(bench_count(bench.model.main, NULL), 1);
    assert_non_null(constant(&bench, twice));
    bench_fini(&bench);
}

/* A view shares the elements of its input. */
static void test_view(void **state) {
    (void)state;
    struct bench bench;
    bench_init(&bench, 1);
    uint32_t weights = bench_random(&bench, "6");
    uint32_t shaped = BENCH_NODE(&bench, "Reshape", "", weights, bench_ints(&bench, "2 3"));
    bench_output(&bench, shaped);
    assert_int_equal(fold(&bench, 0), MM_OK);
    assert_int_equal(bench_count(bench.model.main, NULL), 0);
    assert_ptr_equal(constant(&bench, shaped)->data, constant(&bench, weights)->data);
    assert_int_equal(constant(&bench, shaped)->rank, 2);
    bench_fini(&bench);
}

/* 90,000 zeros from two numbers stay a node, unless they are weights. */
static void test_growth(void **state) {
    (void)state;
    struct bench bench;
    bench_init(&bench, 1);
    uint32_t x = bench_input(&bench, MM_F32, "1 300 4 4");
    uint32_t mask = BENCH_NODE(&bench, "ConstantOfShape", "", bench_ints(&bench, "300 300"));
    uint32_t flat = BENCH_NODE(&bench, "ConstantOfShape", "", bench_ints(&bench, "90000"));
    uint32_t weights = BENCH_NODE(&bench, "Reshape", "", flat, bench_ints(&bench, "300 300 1 1"));
    bench_output(&bench, BENCH_NODE(&bench, "Conv", "", x, weights));
    bench_output(&bench, BENCH_NODE(&bench, "Add", "", mask, bench_input(&bench, MM_F32, "300")));
    bench_apply(&bench, mmi_onnx_fold_constants, 0);
    assert_null(constant(&bench, mask));
    assert_non_null(constant(&bench, weights));
    assert_int_equal(constant(&bench, weights)->bytes, 360000);
    bench_fini(&bench);
}

/* Quantised weights stay as narrow as they are, though kernels want weights constant; what is small
 * does not matter. */
static void test_quantized(void **state) {
    (void)state;
    struct bench bench;
    bench_init(&bench, 1);
    uint32_t x = bench_input(&bench, MM_F32, "1 32 4 4");
    uint32_t scale = bench_scalar(&bench, 0.5F);
    uint32_t narrow =
        BENCH_NODE(&bench, "QuantizeLinear", "", bench_random(&bench, "64 32 1 1"), scale);
    uint32_t weights = BENCH_NODE(&bench, "DequantizeLinear", "", narrow, scale);
    uint32_t small = BENCH_NODE(&bench, "QuantizeLinear", "", bench_random(&bench, "64"), scale);
    uint32_t bias = BENCH_NODE(&bench, "DequantizeLinear", "", small, scale);
    bench_output(&bench, BENCH_NODE(&bench, "Conv", "", x, weights, bias));
    bench_apply(&bench, mmi_onnx_fold_constants, 0);
    assert_int_equal(bench_count(bench.model.main, NULL), 2);
    assert_int_equal(bench_count(bench.model.main, "DequantizeLinear"), 1);
    assert_int_equal(constant(&bench, narrow)->bytes, 2048);
    assert_null(constant(&bench, weights));
    assert_non_null(constant(&bench, bias));
    bench_fini(&bench);
}

/* 20 bytes: room for four numbers and one, not for five. */
static void test_limit(void **state) {
    (void)state;
    static const char *const shapes[] = {"4", "5", "1"};
    uint32_t sums[3];
    struct bench bench;
    bench_init(&bench, 1);
    for (uint32_t i = 0; i < 3; i++) {
        uint32_t x = bench_random(&bench, shapes[i]);
        sums[i] = BENCH_NODE(&bench, "Add", "", x, x);
        bench_output(&bench, sums[i]);
    }
    assert_int_equal(fold(&bench, 20), MM_OK);
    assert_non_null(constant(&bench, sums[0]));
    assert_null(constant(&bench, sums[1]));
    assert_non_null(constant(&bench, sums[2]));
    assert_int_equal(bench_count(bench.model.main, "Add"), 1);
    bench_fini(&bench);
}

/* An invalid node is no failure until it runs. */
static void test_nonsense(void **state) {
    (void)state;
    struct bench bench;
    bench_init(&bench, 1);
    uint32_t shape = bench_ints(&bench, "4");
    bench_output(&bench, BENCH_NODE(&bench, "Reshape", "", bench_random(&bench, "3"), shape));
    assert_int_equal(fold(&bench, 0), MM_OK);
    assert_int_equal(bench_count(bench.model.main, "Reshape"), 1);
    bench_fini(&bench);
}

/* ---- If */

/* then: Relu(x) and x itself; else: -x and a constant. */
static uint32_t build_if(struct bench *bench, uint32_t condition, uint32_t x) {
    struct onnx_graph *then = bench_branch(bench);
    bench_branch_end(bench, then, BENCH_NODE(bench, "Relu", "", x));
    then->outputs[then->output_count++] = x;
    struct onnx_graph *otherwise = bench_branch(bench);
    bench_branch_end(bench, otherwise, BENCH_NODE(bench, "Neg", "", x));
    otherwise->outputs[otherwise->output_count++] = bench_random(bench, "3");
    return bench_if(bench, condition, then, otherwise);
}

static void test_if(void **state) {
    (void)state;
    for (uint32_t condition = 0; condition < 2; condition++) {
        struct bench bench;
        bench_init(&bench, 1);
        uint32_t x = bench_input(&bench, MM_F32, "3");
        uint32_t known = BENCH_NODE(&bench, "Not", "", bench_bool(&bench, !condition));
        uint32_t result = build_if(&bench, known, x);
        bench_output(&bench, BENCH_NODE(&bench, "Add", "", result, result + 1));
        bench_apply(&bench, mmi_onnx_fold_constants, 0);
        assert_int_equal(bench_count(bench.model.main, "If"), 0);
        assert_int_equal(bench_count(bench.model.main, "Relu"), condition);
        assert_int_equal(bench_count(bench.model.main, "Neg"), 1 - condition);
        bench_fini(&bench);
    }
}

/* An If whose condition is an input stays; its branches are folded. */
static void test_if_unknown(void **state) {
    (void)state;
    struct bench bench;
    bench_init(&bench, 1);
    uint32_t x = bench_input(&bench, MM_F32, "3");
    uint32_t asked = bench_input(&bench, MM_BOOL, "");
    struct onnx_graph *then = bench_branch(&bench);
    uint32_t known = BENCH_NODE(&bench, "Abs", "", bench_random(&bench, "3"));
    bench_branch_end(&bench, then, BENCH_NODE(&bench, "Add", "", x, known));
    struct onnx_graph *otherwise = bench_branch(&bench);
    bench_branch_end(&bench, otherwise, x);
    bench_output(&bench, bench_if(&bench, asked, then, otherwise));
    bench_apply(&bench, mmi_onnx_fold_constants, 0);
    assert_int_equal(bench_count(bench.model.main, "If"), 1);
    assert_int_equal(bench_count(bench.model.main, "Abs"), 0);
    assert_int_equal(bench_count(bench.model.main, NULL), 2);
    bench_fini(&bench);
}

static void test_nested_if(void **state) {
    (void)state;
    struct bench bench;
    bench_init(&bench, 1);
    uint32_t x = bench_input(&bench, MM_F32, "3");
    uint32_t yes = bench_bool(&bench, true);
    struct onnx_graph *then = bench_branch(&bench);
    struct onnx_graph *inner = bench_branch(&bench);
    bench_branch_end(&bench, inner, BENCH_NODE(&bench, "Neg", "", x));
    struct onnx_graph *never = bench_branch(&bench);
    bench_branch_end(&bench, never, BENCH_NODE(&bench, "Relu", "", x));
    bench.graph = then;
    bench_branch_end(&bench, then, bench_if(&bench, yes, inner, never));
    struct onnx_graph *otherwise = bench_branch(&bench);
    bench_branch_end(&bench, otherwise, x);
    bench_output(&bench, bench_if(&bench, yes, then, otherwise));
    bench_apply(&bench, mmi_onnx_fold_constants, 0);
    assert_int_equal(bench_count(bench.model.main, "If"), 0);
    assert_int_equal(bench_count(bench.model.main, "Neg"), 1);
    assert_int_equal(bench_count(bench.model.main, "Relu"), 0);
    bench_fini(&bench);
}

/* ---- Failures */

static bool always(void *ctx) {
    (void)ctx;
    return true;
}

static void test_cancelled(void **state) {
    (void)state;
    struct bench bench;
    bench_init(&bench, 1);
    bench_output(&bench, BENCH_NODE(&bench, "Relu", "", bench_input(&bench, MM_F32, "3")));
    struct onnx_pass_context context = {.services = &bench.services, .cancelled = always};
    assert_int_equal(mmi_onnx_fold_constants(&bench.model, &context, &bench.err), MM_CANCELLED);
    assert_int_equal(mmi_onnx_passes(&bench.model, &context, &bench.err), MM_CANCELLED);
    bench_fini(&bench);
}

static void test_no_memory(void **state) {
    (void)state;
    for (uint64_t nth = 1, failed = true; failed; nth++) {
        struct bench bench;
        bench_init(&bench, 1);
        uint32_t x = bench_input(&bench, MM_F32, "90 90");
        uint32_t large = bench_random(&bench, "90 90");
        uint32_t sum = BENCH_NODE(&bench, "Add", "", large, large);
        bench_output(&bench, BENCH_NODE(&bench, "Add", "", x, sum));
        world_fail_alloc(&bench.world, nth);
        mm_status status = fold(&bench, 0);
        failed = world_failed(&bench.world);
        world_fail_alloc(&bench.world, 0);
        assert_int_equal(status, failed ? MM_NO_MEMORY : MM_OK);
        bench_fini(&bench);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chain),     cmocka_unit_test(test_view),
        cmocka_unit_test(test_growth),    cmocka_unit_test(test_quantized),
        cmocka_unit_test(test_limit),     cmocka_unit_test(test_nonsense),
        cmocka_unit_test(test_if),        cmocka_unit_test(test_if_unknown),
        cmocka_unit_test(test_nested_if), cmocka_unit_test(test_cancelled),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
