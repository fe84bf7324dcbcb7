/* SPDX-License-Identifier: Apache-2.0 */
/* The fast kernels of reductions and of Softmax against the plain ones. */
#include "cpu_compare.h"

#include <backends/onnx/operators/norm.h>
#include <backends/onnx/operators/reduce.h>
#include <backends/onnx/operators/softmax.h>

#include <math.h>

static uint64_t seed;

static const struct onnx_operator *const reductions[] = {
    &mmi_onnx_op_ReduceMean, &mmi_onnx_op_ReduceSum, &mmi_onnx_op_ReduceMax};

static void reduce(struct comparison *c, const struct onnx_operator *op,
                   const struct onnx_reduce *params, const int64_t *axes, int64_t count) {
    compare_start(c, op, params);
    c->size_params = params;
    COMPARE_INPUT(c, 1 + compare_below(c, 4), 1 + compare_below(c, 9), 1 + compare_below(c, 12),
                  1 + compare_below(c, 50));
    if (axes) {
        compare_known_input(c, MM_I64, axes, count);
    }
}

static void reductions_over_the_last_axes(void **state) {
    (void)state;
    static const int64_t axes[] = {-1, -2, 1, 0};
    struct comparison c;
    compare_init(&c, seed);
    for (uint32_t i = 0; i < 120; i++) {
        struct onnx_reduce params = {.keepdims = compare_below(&c, 2) == 0};
        int64_t count = compare_below(&c, 5);
        reduce(&c, reductions[i % 3], &params, count > 0 ? axes : NULL, count);
        assert_true(compare_run(&c));
    }
    compare_fini(&c);
}

static void other_reductions_are_left_to_the_plain_kernels(void **state) {
    (void)state;
    static const int64_t axes[] = {1, 0};
    struct comparison c;
    compare_init(&c, seed);
    struct onnx_reduce params = {.noop_with_empty_axes = true};
    compare_start(&c, &mmi_onnx_op_ReduceSum, &params);
    COMPARE_INPUT(&c, 3, 4);
    assert_false(compare_run(&c));
    for (int64_t count = 1; count <= 2; count++) {
        compare_start(&c, &mmi_onnx_op_ReduceMean, &params);
        COMPARE_INPUT(&c, 3, 4, 5);
        compare_known_input(&c, MM_I64, axes, count);
        assert_false(compare_run(&c));
    }
    compare_fini(&c);
}

static void reductions_on_several_threads(void **state) {
    (void)state;
    static const int64_t last = 2;
    const struct onnx_reduce params = {.keepdims = true};
    struct comparison c;
    compare_init(&c, seed);
    for (uint32_t i = 0; i < 3; i++) {
        compare_start(&c, reductions[i], &params);
        c.size_params = &params;
        COMPARE_INPUT(&c, 50, 101, 401);
        compare_known_input(&c, MM_I64, &last, 1);
        assert_true(compare_run(&c));
    }
    compare_fini(&c);
}

static void softmax_of_columns(void **state) {
    (void)state;
    struct comparison c;
    compare_init(&c, seed);
    for (uint32_t i = 0; i < 80; i++) {
        struct onnx_softmax params = {.axis = i % 2};
        const int64_t shape[] = {1 + compare_below(&c, 5), 1 + compare_below(&c, 30),
                                 1 + compare_below(&c, i % 9 == 0 ? 300 : 40)};
        compare_start(&c, &mmi_onnx_op_Softmax, &params);
        c.floor = 0;
        float *x = compare_input(&c, 3, shape, -20, 20);
        x[0] = i % 5 == 0 ? -INFINITY : i % 7 == 0 ? NAN : x[0];
        assert_true(compare_run(&c));
    }
    compare_fini(&c);
}

static void softmax_of_rows(void **state) {
    (void)state;
    struct comparison c;
    compare_init(&c, seed);
    for (uint32_t i = 0; i < 80; i++) {
        struct onnx_softmax params = {.axis = i % 4 == 0 ? 1 : -1, .flatten = i % 4 == 0};
        const int64_t shape[] = {1 + compare_below(&c, 5), 1 + compare_below(&c, 5),
                                 1 + compare_below(&c, i % 9 == 0 ? 900 : 40)};
        compare_start(&c, &mmi_onnx_op_Softmax, &params);
        c.floor = 0;
        float *x = compare_input(&c, 3, shape, -20, 20);
        x[0] = i % 5 == 0 ? -INFINITY : x[0];
        assert_true(compare_run(&c));
    }
    struct onnx_softmax params = {.axis = -1};
    compare_start(&c, &mmi_onnx_op_Softmax, &params);
    COMPARE_INPUT(&c, 60, 6625);
    assert_true(compare_run(&c));
    compare_start(&c, &mmi_onnx_op_Softmax, &params);
    float *x = COMPARE_INPUT(&c, 3, 20);
    x[25] = NAN;
    x[45] = INFINITY;
    assert_true(compare_run(&c));
    compare_fini(&c);
}

static void layer_norm_of_rows(void **state) {
    (void)state;
    struct comparison c;
    compare_init(&c, seed);
    for (uint32_t i = 0; i < 80; i++) {
        struct onnx_layer_norm params = {.axis = i % 3 == 0 ? 1 : -1, .epsilon = 1e-5f};
        const int64_t shape[] = {1 + compare_below(&c, i % 9 == 0 ? 200 : 5),
                                 1 + compare_below(&c, 5), 2 + compare_below(&c, 400)};
        uint32_t whole = i % 3 == 0;
        compare_start(&c, &mmi_onnx_op_LayerNormalization, &params);
        c.tolerance = 5e-6;
        compare_input(&c, 3, shape, -3, 5);
        compare_input(&c, 1 + whole, shape + 2 - whole, -1, 1);
        if (i % 2) {
            compare_input(&c, 1 + whole, shape + 2 - whole, -1, 1);
        }
        assert_true(compare_run(&c));
    }
    struct onnx_layer_norm params = {.axis = -1, .epsilon = 1e-5f};
    compare_start(&c, &mmi_onnx_op_LayerNormalization, &params);
    COMPARE_INPUT(&c, 4, 4);
    COMPARE_INPUT(&c, 4, 1);
    assert_false(compare_run(&c)); /* a scale of its own for each row */
    compare_fini(&c);
}

int main(int argc, char **argv) {
    seed = test_seed(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reductions_over_the_last_axes),
        cmocka_unit_test(other_reductions_are_left_to_the_plain_kernels),
        cmocka_unit_test(reductions_on_several_threads),
        cmocka_unit_test(softmax_of_rows),
        cmocka_unit_test(softmax_of_columns),
        cmocka_unit_test(layer_norm_of_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
