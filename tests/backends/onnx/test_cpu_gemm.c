/* SPDX-License-Identifier: Apache-2.0 */
/* The fast kernels of Linear and MatMul against the plain ones. */
#include "cpu_compare.h"

#include <backends/onnx/operators/matmul.h>

#include <math.h>

static uint64_t seed;

/* A Linear of x [..., k] and [k, n]. */
static void check_linear(struct comparison *c, uint32_t rank, const int64_t *x, int64_t n,
                         bool bias, struct onnx_activation activation) {
    const struct onnx_linear sizes = {.activation = {.function = ONNX_F_NONE}};
    const struct onnx_linear params = {.activation = activation};
    int64_t k = x[rank - 1];
    compare_start(c, &mmi_onnx_op_Linear, &params);
    c->size_params = &sizes;
    compare_input(c, rank, x, -1, 1);
    const float *plain = COMPARE_INPUT(c, k, n);
    uint64_t bytes = mmi_onnx_panel_bytes((uint64_t)k, (uint64_t)n);
    float *panels = mmi_onnx_take_data(&c->arena, bytes);
    assert_non_null(panels);
    mmi_onnx_pack_panels(plain, (uint64_t)k, (uint64_t)n, false, panels);
    c->inputs[1].data = panels;
    c->inputs[1].bytes = bytes;
    c->inputs[1].layout = ONNX_PANELS;
    if (bias) {
        COMPARE_INPUT(c, n);
    }
    assert_true(compare_run(c));
}

static void linear_of_random_shapes(void **state) {
    (void)state;
    static const int32_t functions[] = {ONNX_F_NONE,    ONNX_F_Relu,        ONNX_F_Clip,
                                        ONNX_F_Sigmoid, ONNX_F_HardSigmoid, ONNX_F_HardSwish,
                                        ONNX_F_Swish,   ONNX_F_Tanh,        ONNX_F_LeakyRelu};
    struct comparison c;
    compare_init(&c, seed);
    for (uint32_t i = 0; i < 300; i++) {
        int64_t x[] = {1 + compare_below(&c, 3), 1 + compare_below(&c, i % 3 == 0 ? 40 : 8),
                       1 + compare_below(&c, i % 5 == 0 ? 900 : 40)};
        uint32_t rank = 1 + (uint32_t)compare_below(&c, 3);
        struct onnx_activation activation = {
            .function = functions[compare_below(&c, 9)], .a = -0.3f, .b = 0.4f};
        check_linear(&c, rank, x + 3 - rank, 1 + compare_below(&c, i % 4 == 0 ? 150 : 20),
                     compare_below(&c, 2) == 0, activation);
    }
    compare_fini(&c);
}

/* Split among tasks by rows, and by columns. */
static void linear_on_several_threads(void **state) {
    (void)state;
    struct comparison c;
    compare_init(&c, seed);
    check_linear(&c, 2, (const int64_t[]){157, 257}, 130, true,
                 (struct onnx_activation){.function = ONNX_F_Tanh});
    check_linear(&c, 2, (const int64_t[]){7, 600}, 1001, true,
                 (struct onnx_activation){.function = ONNX_F_NONE});
    check_linear(&c, 2, (const int64_t[]){1, 2048}, 1999, true,
                 (struct onnx_activation){.function = ONNX_F_Relu});
    compare_fini(&c);
}

/* Batched matrices whose batch axes are equal, 1, or missing. */
static void add_stacks(struct comparison *c, int64_t m, int64_t k, int64_t n) {
    int64_t a[5], b[5];
    uint32_t leading = (uint32_t)compare_below(c, 4);
    for (uint32_t i = 0; i < leading; i++) {
        int64_t length = 1 + compare_below(c, 3);
        int64_t kind = compare_below(c, 3);
        a[i] = kind == 1 ? 1 : length;
        b[i] = kind == 2 ? 1 : length;
    }
    a[leading] = m;
    a[leading + 1] = b[leading] = k;
    b[leading + 1] = n;
    uint32_t fewer_a = (uint32_t)compare_below(c, leading + 1);
    uint32_t fewer_b = fewer_a > 0 ? 0 : (uint32_t)compare_below(c, leading + 1);
    compare_input(c, leading + 2 - fewer_a, a + fewer_a, -1, 1);
    compare_input(c, leading + 2 - fewer_b, b + fewer_b, -1, 1);
}

static void matmul_of_random_shapes(void **state) {
    (void)state;
    static const char no_params;
    struct comparison c;
    compare_init(&c, seed);
    for (uint32_t i = 0; i < 300; i++) {
        compare_start(&c, &mmi_onnx_op_MatMul, &no_params);
        c.size_params = &no_params + 1;
        int64_t m = 1 + compare_below(&c, i % 3 == 0 ? 40 : 5), k = 1 + compare_below(&c, 50);
        int64_t n = 1 + compare_below(&c, i % 4 == 0 ? 300 : 30);
        k = i % 10 == 0 ? 400 + k : k;
        if (i % 7 == 0) { /* vectors */
            compare_input(&c, i % 2 ? 1 : 2, i % 2 ? &k : (const int64_t[]){m, k}, -1, 1);
            compare_input(&c, i % 2 ? 2 : 1, i % 2 ? (const int64_t[]){k, n} : &k, -1, 1);
        } else {
            add_stacks(&c, m, k, n);
        }
        assert_true(compare_run(&c));
    }
    compare_fini(&c);
}

static void matmul_on_several_threads(void **state) {
    (void)state;
    static const char no_params;
    static const int64_t shapes[][4] = {
        {1, 130, 300, 250}, {12, 40, 64, 50}, {1, 2, 3000, 1700}, {1, 500, 200, 9}};
    struct comparison c;
    compare_init(&c, seed);
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
        const int64_t *s = shapes[i];
        compare_start(&c, &mmi_onnx_op_MatMul, &no_params);
        c.size_params = &no_params + 1;
        COMPARE_INPUT(&c, s[0], s[1], s[2]);
        COMPARE_INPUT(&c, s[0], s[2], s[3]);
        assert_true(compare_run(&c));
    }
    compare_fini(&c);
}

/* NaN and infinity do not spread through the padding of a panel. */
static void nan_stays_in_its_row(void **state) {
    (void)state;
    static const char no_params;
    struct comparison c;
    compare_init(&c, seed);
    compare_start(&c, &mmi_onnx_op_MatMul, &no_params);
    float *a = COMPARE_INPUT(&c, 9, 20);
    float *b = COMPARE_INPUT(&c, 20, 21);
    a[3 * 20 + 5] = NAN;
    a[7 * 20] = INFINITY;
    b[4 * 21 + 20] = -INFINITY;
    assert_true(compare_run(&c));
    compare_fini(&c);
}

int main(int argc, char **argv) {
    seed = test_seed(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(linear_of_random_shapes), cmocka_unit_test(linear_on_several_threads),
        cmocka_unit_test(matmul_of_random_shapes), cmocka_unit_test(matmul_on_several_threads),
        cmocka_unit_test(nan_stays_in_its_row),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
