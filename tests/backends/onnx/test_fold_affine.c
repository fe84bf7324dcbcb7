/* SPDX-License-Identifier: Apache-2.0 */

/* Constants that scale and shift the results of a convolution or matrix go into its weights. */

#include "graph_runner.h"

#include <string.h>

#define TOLERANCE 1e-5

static uint32_t conv(struct bench *bench) {
    uint32_t x = bench_input(bench, MM_F32, "2 3 4 5");
    return BENCH_NODE(bench, "Conv", "pads=[1,1,1,1]", x, bench_random(bench, "6 3 3 3"));
}

static uint32_t norm(struct bench *bench, uint32_t x, const char *channels) {
    uint32_t variance = BENCH_NODE(bench, "Abs", "", bench_random(bench, channels));
    uint32_t scale = bench_random(bench, channels), bias = bench_random(bench, channels);
    return BENCH_NODE(bench, "BatchNormalization", "epsilon=0.25", x, scale, bias,
                      bench_random(bench, channels), variance);
}

/* With the passes that must come before and after. */
static mm_status fold_affine(struct onnx_model *model, const struct onnx_pass_context *context,
                             mm_error *err) {
    mm_status status = mmi_onnx_fold_constants(model, context, err);
    status = status == MM_OK ? mmi_onnx_make_linear(model, context, err) : status;
    status = status == MM_OK ? mmi_onnx_fold_affine(model, context, err) : status;
    return status == MM_OK ? mmi_onnx_pack(model, context, err) : status;
}

/* Applies the passes and checks how many nodes are left. */
static void check(struct bench *bench, uint32_t result, uint32_t nodes) {
    bench_output(bench, result);
    bench_apply(bench, fold_affine, TOLERANCE);
    assert_int_equal(bench_count(bench->model.main, NULL), nodes);
    bench_fini(bench);
}

/* ---- What is folded */

static void test_arithmetic(void **state) {
    (void)state;
    struct bench bench;
    bench_init(&bench, 1);
    uint32_t y = conv(&bench);
    y = BENCH_NODE(&bench, "Mul", "", y, bench_random(&bench, "6 1 1"));
    y = BENCH_NODE(&bench, "Add", "", bench_random(&bench, "1 6 1 1"), y);
    y = BENCH_NODE(&bench, "Sub", "", y, bench_scalar(&bench, 0.5F));
    y = BENCH_NODE(&bench, "Div", "", y, bench_scalar(&bench, -3));
    y = BENCH_NODE(&bench, "Mul", "", bench_random(&bench, "1"), y);
    check(&bench, y, 1);
}

/* Numbers worked out by hand: a weight of 3 and a bias of 1, times 2 plus 5. */
static void test_numbers(void **state) {
    (void)state;
    struct bench bench;
    bench_init(&bench, 1);
    const float three = 3, one = 1;
    uint32_t x = bench_input(&bench, MM_F32, "1 1 2 2");
    uint32_t y = BENCH_NODE(&bench, "Conv", "", x, bench_floats(&bench, "1 1 1 1", &three),
                            bench_floats(&bench, "1", &one));
    y = BENCH_NODE(&bench, "Mul", "", y, bench_scalar(&bench, 2));
    bench_output(&bench, BENCH_NODE(&bench, "Add", "", y, bench_scalar(&bench, 5)));
    bench_apply(&bench, mmi_onnx_fold_affine, 0);
    const struct onnx_node *node = bench_find(&bench, "Conv");
    assert_int_equal(bench_count(bench.model.main, NULL), 1);
    assert_true(mmi_onnx_float_at(mmi_onnx_constant(&bench.model, node, 1), 0) == 6);
    assert_true(mmi_onnx_float_at(mmi_onnx_constant(&bench.model, node, 2), 0) == 7);
    assert_true(three == 3 && one == 1); /* the old weights have not changed */
    bench_fini(&bench);
}

static void test_norm(void **state) {
    (void)state;
    struct bench bench;
    bench_init(&bench, 1);
    uint32_t y = norm(&bench, conv(&bench), "6");
    check(&bench, BENCH_NODE(&bench, "Relu", "", norm(&bench, y, "6")), 2);
}

/* Groups of channels: each of 2 groups makes 3 of 4 input channels. */
static void test_transposed(void **state) {
    (void)state;
    struct bench bench;
    bench_init(&bench, 1);
    uint32_t x = bench_input(&bench, MM_F32, "1 4 3 3");
    uint32_t y = BENCH_NODE(&bench, "ConvTranspose", "group=2 strides=[2,2]", x,
                            bench_random(&bench, "4 3 2 2"), bench_random(&bench, "6"));
    y = BENCH_NODE(&bench, "Add", "", y, bench_random(&bench, "1 6 1 1"));
    check(&bench, norm(&bench, y, "6"), 1);
}

static void test_grouped(void **state) {
    (void)state;
    struct bench bench;
    bench_init(&bench, 1);
    uint32_t x = bench_input(&bench, MM_F32, "1 4 5");
    uint32_t y = BENCH_NODE(&bench, "Conv", "group=4", x, bench_random(&bench, "8 1 3"));
    check(&bench, norm(&bench, y, "8"), 1);
}

static void test_linear(void **state) {
    (void)state;
    struct bench bench;
    bench_init(&bench, 1);
    uint32_t x = bench_input(&bench, MM_F32, "2 3 4");
    uint32_t y = BENCH_NODE(&bench, "MatMul", "", x, bench_random(&bench, "4 5"));
    y = BENCH_NODE(&bench, "Add", "", y, bench_random(&bench, "5"));
    y = BENCH_NODE(&bench, "Mul", "", y, bench_random(&bench, "1 1 5"));
    y = BENCH_NODE(&bench, "Sub", "", y, bench_random(&bench, "1"));
    check(&bench, y, 1);
}

static void test_gemm_norm(void **state) {
    (void)state;
    struct bench bench;
    bench_init(&bench, 1);
    uint32_t x = bench_input(&bench, MM_F32, "2 4");
    uint32_t y = BENCH_NODE(&bench, "Gemm", "", x, bench_random(&bench, "4 5"));
    check(&bench, norm(&bench, y, "5"), 1);
}

/* ---- What is not folded */

static void test_used_twice(void **state) {
    (void)state;
    struct bench bench;
    bench_init(&bench, 1);
    uint32_t y = conv(&bench);
    uint32_t z = BENCH_NODE(&bench, "Mul", "", y, bench_scalar(&bench, 2));
    bench_output(&bench, y);
    check(&bench, z, 2);
}

static void test_used_in_branch(void **state) {
    (void)state;
    struct bench bench;
    bench_init(&bench, 1);
    uint32_t y = conv(&bench);
    uint32_t asked = bench_input(&bench, MM_BOOL, "");
    struct onnx_graph *then = bench_branch(&bench);
    bench_branch_end(&bench, then, BENCH_NODE(&bench, "Mul", "", y, bench_scalar(&bench, 2)));
    struct onnx_graph *otherwise = bench_branch(&bench);
    bench_branch_end(&bench, otherwise, bench_random(&bench, "1"));
    check(&bench, bench_if(&bench, asked, then, otherwise), 3);
}

/* Constants along another axis, with more axes, or as the dividend. */
static void test_other_shapes(void **state) {
    (void)state;
    static const char *const shapes[] = {"5", "4 1", "2 1 1 1", "1 1 1 1 1", "6 4 5", "6 1 5"};
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
        struct bench bench;
        bench_init(&bench, 1);
        uint32_t y = conv(&bench);
        check(&bench, BENCH_NODE(&bench, "Mul", "", y, bench_random(&bench, shapes[i])), 2);
    }
    struct bench bench;
    bench_init(&bench, 1);
    uint32_t y = conv(&bench);
    check(&bench, BENCH_NODE(&bench, "Div", "", bench_scalar(&bench, 2), y), 2);
    bench_init(&bench, 1); /* as many rows as channels */
    uint32_t x = bench_input(&bench, MM_F32, "1 2 6 4");
    y = BENCH_NODE(&bench, "Conv", "", x, bench_random(&bench, "6 2 1 1"));
    check(&bench, BENCH_NODE(&bench, "Add", "", y, bench_random(&bench, "1 6 1")), 2);
    bench_init(&bench, 1); /* channels along axis 1, as many as columns */
    x = bench_input(&bench, MM_F32, "2 5 4");
    y = BENCH_NODE(&bench, "MatMul", "", x, bench_random(&bench, "4 5"));
    check(&bench, norm(&bench, y, "5"), 2);
}

/* Weights with a second use do not change there. */
static void test_shared_weights(void **state) {
    (void)state;
    struct bench bench;
    bench_init(&bench, 1);
    uint32_t x = bench_input(&bench, MM_F32, "1 2 3 3"), w = bench_random(&bench, "2 2 1 1");
    uint32_t y = BENCH_NODE(&bench, "Conv", "", x, w);
    y = BENCH_NODE(&bench, "Mul", "", y, bench_random(&bench, "2 1 1"));
    check(&bench, BENCH_NODE(&bench, "Conv", "", y, w), 2);
}

/* Weights that come with a request. */
static void test_no_constant(void **state) {
    (void)state;
    struct bench bench;
    bench_init(&bench, 1);
    uint32_t x = bench_input(&bench, MM_F32, "1 2 3 3"), w = bench_input(&bench, MM_F32, "2 2 1 1");
    uint32_t y = BENCH_NODE(&bench, "Conv", "", x, w);
    check(&bench, BENCH_NODE(&bench, "Mul", "", y, bench_scalar(&bench, 2)), 2);
}

/* ---- BatchNormalization that is not folded */

static mm_status split(struct onnx_model *model, const struct onnx_pass_context *context,
                       mm_error *err) {
    mm_status status = mmi_onnx_fold_constants(model, context, err);
    return status == MM_OK ? mmi_onnx_decompose_batch_norm(model, context, err) : status;
}

static void test_split_norms(void **state) {
    (void)state;
    static const char *const shapes[] = {"2 6", "2 6 3", "2 6 2 3", "2 6 1 2 3"};
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
        struct bench bench;
        bench_init(&bench, 1);
        uint32_t x = bench_input(&bench, MM_F32, shapes[i]);
        bench_output(&bench, BENCH_NODE(&bench, "Relu", "", norm(&bench, x, "6")));
        bench_apply(&bench, split, TOLERANCE);
        assert_int_equal(bench_count(bench.model.main, NULL), 3);
        assert_string_equal(bench.model.main->nodes[0]->op->name, "Mul");
        assert_string_equal(bench.model.main->nodes[1]->op->name, "Add");
        bench_fini(&bench);
    }
}

/* The rank of the input, or its scale, is not known. */
static void test_whole_norms(void **state) {
    (void)state;
    struct bench bench;
    bench_init(&bench, 1);
    uint32_t x = bench_input(&bench, MM_F32, "2 6");
    uint32_t y = BENCH_NODE(&bench, "Abs", "", x);
    bench.model.inputs[0].rank = -1;
    bench_output(&bench, norm(&bench, y, "6"));
    uint32_t given = bench_input(&bench, MM_F32, "6"), w = bench_random(&bench, "6");
    bench_output(&bench, BENCH_NODE(&bench, "BatchNormalization", "", x, given, w, w, given));
    struct onnx_pass_context context = {.services = &bench.services};
    assert_int_equal(split(&bench.model, &context, &bench.err), MM_OK);
    assert_int_equal(bench_count(bench.model.main, "BatchNormalization"), 2);
    bench_fini(&bench);
}

/* From opset 15 on the numbers may be f32 and the data of another type. */
static void test_mixed_norms(void **state) {
    (void)state;
    static const int32_t dtypes[] = {MM_F64, MM_F16};
    for (size_t i = 0; i < 2; i++) {
        struct bench bench;
        bench_init(&bench, 1);
        bench_output(&bench, norm(&bench, bench_input(&bench, dtypes[i], "2 6 3"), "6"));
        bench_apply(&bench, split, TOLERANCE);
        assert_int_equal(bench_count(bench.model.main, "BatchNormalization"), 1);
        bench_fini(&bench);
    }
}

static void test_no_memory(void **state) {
    (void)state;
    for (uint64_t nth = 1, failed = true; failed; nth++) {
        struct bench bench;
        bench_init(&bench, 1);
        bench_output(&bench, norm(&bench, conv(&bench), "6"));
        bench_output(&bench, norm(&bench, bench_input(&bench, MM_F32, "1 6 2"), "6"));
        struct onnx_pass_context context = {.services = &bench.services};
        world_fail_alloc(&bench.world, nth);
        mm_status status = fold_affine(&bench.model, &context, &bench.err);
        status = status == MM_OK ? mmi_onnx_decompose_batch_norm(&bench.model, &context, &bench.err)
                                 : status;
        failed = world_failed(&bench.world);
        world_fail_alloc(&bench.world, 0);
        assert_int_equal(status, failed ? MM_NO_MEMORY : MM_OK);
        bench_fini(&bench);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_arithmetic),     cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_norm),           cmocka_unit_test(test_transposed),
        cmocka_unit_test(test_grouped),        cmocka_unit_test(test_linear),
        cmocka_unit_test(test_gemm_norm),      cmocka_unit_test(test_used_twice),
        cmocka_unit_test(test_used_in_branch), cmocka_unit_test(test_other_shapes),
        cmocka_unit_test(test_shared_weights), cmocka_unit_test(test_no_constant),
        cmocka_unit_test(test_split_norms),    cmocka_unit_test(test_whole_norms),
        cmocka_unit_test(test_mixed_norms),    cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
