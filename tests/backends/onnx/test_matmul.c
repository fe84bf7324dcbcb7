/* SPDX-License-Identifier: Apache-2.0 */

/* MatMul, Gemm and Linear. Numbers from numpy; random ones against sums written out.
 * Usage: test_matmul [SEED] */

#include "one_node.h"

#include <backends/onnx/operators/matmul.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

static uint64_t seed;

static int64_t between(int64_t min, int64_t max) {
    return min + (int64_t)test_random_below(&seed, (uint64_t)(max - min + 1));
}

/* ---- Written down */

static void test_matmul(void **state) {
    (void)state;
    one_expect("MatMul", "", "f32[2,3] .. | f32[3,2] ..", "f32[2,2] 10 13 28 40");
    one_expect("MatMul", "", "f64[3] .. | f64[3] ..", "f64[] 5");
    one_expect("MatMul", "", "f32[2,3] .. | f32[3] ..", "f32[2] 5 14");
    one_expect("MatMul", "", "f32[3] .. | f32[3,2] ..", "f32[2] 10 13");
    one_expect("MatMul", "", "f32[2] .. | f32[3,2,2] ..", "f32[3,2] 2 3 6 7 10 11");
    one_expect("MatMul", "", "f32[2,1,2] .. | f32[2,2,1] ..", "f32[2,1,1] 1 13");
    one_expect("MatMul", "", "f32[2,1,1,2] .. | f32[2,2,1] ..", "f32[2,2,1,1] 1 3 3 13");
    /* integers wrap around */
    one_expect("MatMul", "", "i32[1,2] 2147483647 -3 | i32[2,1] 2 5", "i32[1,1] -17");
    one_expect("MatMul", "", "u32[1,2] 4294967295 1 | u32[2,1] 2 5", "u32[1,1] 3");
    one_expect("MatMul", "", "i64[1,2] 4611686018427387904 7 | i64[2,1] 4 -2", "i64[1,1] -14");
    one_expect("MatMul", "", "u64[1,2] -1 1 | u64[2,1] 3 5", "u64[1,1] 2");
    /* 1 2 and 3 4: 11, as f16, as bf16 */
    one_expect("MatMul", "", "f16[1,2] 15360 16384 | f16[2,1] 16896 17408", "f16[1,1] 18816");
    one_expect("MatMul", "", "bf16[1,2] 16256 16384 | bf16[2,1] 16448 16512", "bf16[1,1] 16688");
    one_expect("MatMul", "", "f32[2,0] | f32[0,3]", "f32[2,3] 0 0 0 0 0 0");
    one_expect("MatMul", "", "f16[2,0] | f16[0,3]", "f16[2,3] 0 0 0 0 0 0");
    one_expect("MatMul", "", "f32[9,0] | f32[0,1]", "f32[9,1] 0 0 0 0 0 0 0 0 0");
    one_expect("MatMul", "", "f32[0,2] | f32[2,3] ..", "f32[0,3]");
    one_expect("MatMul", "", "f32[5,0,2] | f32[2,3] ..", "f32[5,0,3]");
}

static void test_gemm(void **state) {
    (void)state;
    one_expect("Gemm", "", "f32[2,3] .. | f32[3,2] ..", "f32[2,2] 10 13 28 40");
    one_expect("Gemm", "transA=1", "f32[3,2] .. | f32[3,2] ..", "f32[2,2] 20 26 26 35");
    one_expect("Gemm", "transB=1", "f32[2,3] .. | f32[2,3] ..", "f32[2,2] 5 14 14 50");
    one_expect("Gemm", "transA=1 transB=1", "f64[3,2] .. | f64[2,3] ..", "f64[2,2] 10 28 13 40");
    one_expect("Gemm", "", "f32[2,3] .. | f32[3,2] .. | f32[] 1", "f32[2,2] 11 14 29 41");
    one_expect("Gemm", "", "f32[2,3] .. | f32[3,2] .. | f32[1] 1", "f32[2,2] 11 14 29 41");
    one_expect("Gemm", "", "f32[2,3] .. | f32[3,2] .. | f32[2] 1 2", "f32[2,2] 11 15 29 42");
    one_expect("Gemm", "", "f32[2,3] .. | f32[3,2] .. | f32[2,1] 1 2", "f32[2,2] 11 14 30 42");
    one_expect("Gemm", "", "f32[2,3] .. | f32[3,2] .. | f32[1,2] 1 2", "f32[2,2] 11 15 29 42");
    one_expect("Gemm", "alpha=0.5 beta=2.0", "f32[2,3] .. | f32[3,2] .. | f32[2,2] ..",
               "f32[2,2] 5 8.5 18 26");
    one_expect("Gemm", "alpha=2.0 beta=0.0", "f32[2,3] .. | f32[3,2] ..", "f32[2,2] 20 26 56 80");
    one_expect("Gemm", "alpha=2.0", "f32[1,2] .. | f32[2,2] .. | f32[1,1] 1", "f32[1,2] 5 7");
    one_expect("Gemm", "alpha=2.0 beta=3.0", "i32[1,2] .. | i32[2,2] .. | i32[2] 1 -1",
               "i32[1,2] 7 3");
    /* 1 2 and 3 4, + 1: 12 as f16 */
    one_expect("Gemm", "", "f16[1,2] 15360 16384 | f16[2,1] 16896 17408 | f16[1] 15360",
               "f16[1,1] 18944");
    one_expect("Gemm", "", "f32[2,0] | f32[0,2] | f32[2] 1 2", "f32[2,2] 1 2 1 2");
}

/* ---- Against sums written out */

/* Element (i, j) of a matrix at `at`, or of its transposed. */
static double element(const double *at, int64_t columns, bool transposed, int64_t i, int64_t j) {
    return transposed ? at[j * columns + i] : at[i * columns + j];
}

static void check(const struct one_node *one, uint64_t i, double wanted) {
    double got = mmi_onnx_float_at(&one->outputs[0], i);
    if (got != wanted) {
        fail_msg("%s of %s: element %d is %g, not %g", one->op->name,
                 mm_dtype_text(one->inputs[0].dtype), (int)i, got, wanted);
    }
}

static int32_t choose_type(void) {
    static const int32_t dtypes[] = {MM_F32, MM_F32,  MM_F32, MM_F64,
                                     MM_F16, MM_BF16, MM_I32, MM_I64};
    return dtypes[between(0, 7)];
}

static void test_random_stacks(void **state) {
    (void)state;
    for (int round = 0; round < 300; round++) {
        struct one_node one;
        int32_t dtype = choose_type();
        int64_t m = between(1, 20), k = between(1, 70), n = between(1, 40);
        int64_t stack[2] = {between(1, 3), between(1, 3)};
        int64_t a[4] = {between(0, 1) ? stack[0] : 1, between(0, 1) ? stack[1] : 1, m, k};
        int64_t b[4] = {a[0] == 1 ? stack[0] : 1, between(0, 1) || a[1] == 1 ? stack[1] : 1, k, n};
        one_init(&one, "MatMul", "");
        const double *left = one_numbers(&one, dtype, 4, a, &seed);
        const double *right = one_numbers(&one, dtype, 4, b, &seed);
        assert_int_equal(one_run(&one, 1), MM_OK);
        const int64_t shape[4] = {stack[0], stack[1], m, n};
        assert_memory_equal(one.outputs[0].shape, shape, sizeof(shape));
        for (int64_t i = 0; i < stack[0] * stack[1] * m * n; i++) {
            int64_t outer = i / (stack[1] * m * n), inner = i / (m * n) % stack[1];
            int64_t of_a = (outer % a[0] * a[1] + inner % a[1]) * m * k;
            int64_t of_b = (outer % b[0] * b[1] + inner % b[1]) * k * n;
            double sum = 0;
            for (int64_t l = 0; l < k; l++) {
                sum += left[of_a + i / n % m * k + l] * right[of_b + l * n + i % n];
            }
            check(&one, (uint64_t)i, sum);
        }
        one_fini(&one);
    }
}

static void test_random_gemms(void **state) {
    (void)state;
    for (int round = 0; round < 300; round++) {
        struct one_node one;
        char attributes[80];
        int32_t dtype = choose_type();
        int64_t m = between(1, 20), k = between(1, 70), n = between(1, 40);
        bool trans_a = between(0, 1), trans_b = between(0, 1), scaled = between(0, 1);
        const int64_t a[] = {trans_a ? k : m, trans_a ? m : k},
                      b[] = {trans_b ? n : k, trans_b ? k : n};
        const int64_t c[] = {between(0, 1) ? m : 1, between(0, 1) ? n : 1};
        snprintf(attributes, sizeof(attributes), "transA=%d transB=%d alpha=%s beta=%s", trans_a,
                 trans_b, scaled ? "2.0" : "1.0", scaled ? "-3.0" : "1.0");
        one_init(&one, "Gemm", attributes);
        const double *left = one_numbers(&one, dtype, 2, a, &seed);
        const double *right = one_numbers(&one, dtype, 2, b, &seed);
        const double *added = one_numbers(&one, dtype, 2, c, &seed);
        assert_int_equal(one_run(&one, 1), MM_OK);
        for (int64_t i = 0; i < m * n; i++) {
            double sum = 0, plus = added[i / n % c[0] * c[1] + i % n % c[1]];
            for (int64_t l = 0; l < k; l++) {
                sum += element(left, a[1], trans_a, i / n, l) *
                       element(right, b[1], trans_b, l, i % n);
            }
            check(&one, (uint64_t)i, scaled ? 2 * sum - 3 * plus : sum + plus);
        }
        one_fini(&one);
    }
}

/* ---- Linear */

/* Replace the matrix that was put in last by its panels. */
static void pack_last(struct one_node *one, bool transposed) {
    struct onnx_tensor *w = &one->inputs[one->x.input_count - 1];
    uint64_t k = (uint64_t)w->shape[transposed], n = (uint64_t)w->shape[!transposed];
    uint64_t bytes = mmi_onnx_panel_bytes(k, n);
    float *panels = mmi_onnx_take_data(&one->bench.arena, bytes);
    assert_int_equal(bytes, (n + 15) / 16 * 16 * k * sizeof(float));
    assert_non_null(panels);
    mmi_onnx_pack_panels(w->data, k, n, transposed, panels);
    for (uint64_t i = 0; i < bytes / sizeof(float); i++) {
        uint64_t row = i / 16 % k, column = i / 16 / k * 16 + i % 16;
        uint64_t at = transposed ? column * k + row : row * n + column;
        assert_true(panels[i] == (column < n ? ((const float *)w->data)[at] : 0));
    }
    *w = (struct onnx_tensor){.dtype = MM_F32,
                              .rank = 2,
                              .shape = {(int64_t)k, (int64_t)n},
                              .elements = k * n,
                              .bytes = bytes,
                              .data = panels,
                              .layout = ONNX_PANELS,
                              .known = 1};
}

static void init_linear(struct one_node *one) {
    one_init(one, "Identity", ""); /* ours are not in files */
    one->op = mmi_onnx_find_operator("mmi", "Linear");
    assert_non_null(one->op);
    assert_null(mmi_onnx_find_operator("", "Linear"));
    one->node.params = mmi_onnx_take(&one->bench.arena, 1, one->op->params_bytes);
    assert_non_null(one->node.params);
}

static void test_linear(void **state) {
    (void)state;
    for (int round = 0; round < 200; round++) {
        struct one_node one;
        bool transposed = between(0, 1), biased = between(0, 1), relu = between(0, 1);
        int64_t m = between(1, 20), k = between(1, 70), n = between(1, 50);
        const int64_t x[] = {1, m, k}, w[] = {transposed ? n : k, transposed ? k : n};
        init_linear(&one);
        if (relu) {
            ((struct onnx_linear *)one.node.params)->activation.function = ONNX_F_Relu;
        }
        const double *left = one_numbers(&one, MM_F32, 3, x, &seed);
        const double *right = one_numbers(&one, MM_F32, 2, w, &seed);
        pack_last(&one, transposed);
        const double *bias = biased ? one_numbers(&one, MM_F32, 1, &n, &seed) : NULL;
        assert_int_equal(one_run(&one, 1), MM_OK);
        assert_int_equal(one.outputs[0].rank, 3);
        for (int64_t i = 0; i < m * n; i++) {
            double sum = bias ? bias[i % n] : 0;
            for (int64_t l = 0; l < k; l++) {
                sum += left[i / n * k + l] * element(right, w[1], transposed, l, i % n);
            }
            check(&one, (uint64_t)i, relu && sum < 0 ? 0 : sum);
        }
        one_fini(&one);
    }
}

static void test_panel_bytes(void **state) {
    (void)state;
    assert_int_equal(mmi_onnx_panel_bytes(120, 6625), UINT64_C(120) * 6640 * 4);
    assert_int_equal(mmi_onnx_panel_bytes(3, 16), 192);
    assert_int_equal(mmi_onnx_panel_bytes(0, 16), 0);
    assert_true(mmi_onnx_panel_bytes(UINT64_C(1) << 40, UINT64_C(1) << 40) == UINT64_MAX);
    assert_true(mmi_onnx_panel_bytes(UINT64_MAX / 4, 1) == UINT64_MAX);
}

/* PP-OCRv4 rec, Magika, ResNet50: the last element against its sum. */
static void test_real_shapes(void **state) {
    (void)state;
    static const int64_t cases[][7] = {
        {1, 1, 40, 120, 1, 120, 360},  {1, 8, 40, 15, 8, 15, 40},
        {1, 8, 40, 40, 8, 40, 15},     {1, 1, 40, 120, 1, 120, 6625},
        {1, 1, 2048, 257, 1, 257, 64}, {1, 1, 1, 2048, 1, 2048, 1000}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct one_node one;
        const int64_t *c = cases[i], *b = c + 4;
        one_init(&one, "MatMul", "");
        const double *left = one_numbers(&one, MM_F32, 4, c, &seed);
        const double *right = one_numbers(&one, MM_F32, 3, b, &seed);
        assert_int_equal(one_run(&one, 1), MM_OK);
        const int64_t shape[] = {c[0], c[1], c[2], c[6]};
        assert_memory_equal(one.outputs[0].shape, shape, sizeof(shape));
        left += (c[1] * c[2] - 1) * c[3];
        right += (c[4] - 1) * c[5] * c[6];
        double sum = 0;
        for (int64_t l = 0; l < c[3]; l++) {
            sum += left[l] * right[l * c[6] + c[6] - 1];
        }
        check(&one, one.outputs[0].elements - 1, sum);
        one_fini(&one);
    }
}

/* ---- Bad input */

static void test_refusals(void **state) {
    (void)state;
    one_refuse("MatMul", "", "f32[2,3] .. | f32[2,3] ..", MM_INVALID_MODEL,
               "its left matrix has 3 columns, its right one 2 rows");
    one_refuse("MatMul", "", "f32[] 1 | f32[2] ..", MM_INVALID_MODEL, "its input 0 has no axes");
    one_refuse("MatMul", "", "f32[2] .. | f32[] 1", MM_INVALID_MODEL, "its input 1 has no axes");
    one_refuse("MatMul", "", "f32[2,1,2] .. | f32[3,2,1] ..", MM_INVALID_MODEL,
               "its stacks of matrices cannot be broadcast");
    one_refuse("MatMul", "", "u8[2] .. | u8[2] ..", MM_UNSUPPORTED, "its input 0 is u8");
    one_refuse("MatMul", "", "f32[2] .. | i32[2] ..", MM_INVALID_MODEL, "its input 1 is i32");
    one_refuse("Gemm", "", "f32[2,3] .. | f32[2,3] ..", MM_INVALID_MODEL,
               "its left matrix has 3 columns, its right one 2 rows");
    one_refuse("Gemm", "", "f32[1,2,3] .. | f32[3,2] ..", MM_INVALID_MODEL,
               "its inputs have 3 and 2 axes, 2 wanted");
    one_refuse("Gemm", "", "f32[2,3] .. | f32[3,2] .. | f32[3] ..", MM_INVALID_MODEL,
               "its third input cannot be broadcast to [2, 2]");
    one_refuse("Gemm", "", "f32[2,3] .. | f32[3,2] .. | f32[1,2,2] ..", MM_INVALID_MODEL,
               "its third input cannot be broadcast");
    one_refuse("Gemm", "alpha=half", "f32[2,3] .. | f32[3,2] ..", MM_INVALID_MODEL,
               "attribute alpha has type 3");
}

static void refuse_linear(const int64_t *w, bool panels, int64_t bias, mm_status status,
                          const char *text) {
    struct one_node one;
    init_linear(&one);
    one_numbers(&one, bias == 0 ? MM_F64 : MM_F32, 2, (const int64_t[]){2, 3}, &seed);
    one_numbers(&one, MM_F32, 2, w, &seed);
    if (panels) {
        pack_last(&one, false);
    }
    one_numbers(&one, MM_F32, 1, &bias, &seed);
    assert_int_equal(one_run(&one, 1), status);
    assert_non_null(strstr(one.bench.err.text, text));
    one_fini(&one);
}

static void test_linear_refusals(void **state) {
    (void)state;
    const int64_t right[] = {3, 5}, wrong[] = {4, 5};
    refuse_linear(right, true, 0, MM_UNSUPPORTED, "its inputs are not all f32");
    refuse_linear(right, false, 5, MM_INVALID_MODEL, "its weights no panels");
    refuse_linear(wrong, true, 5, MM_INVALID_MODEL,
                  "its input has rows of 3 elements, its weights want 4");
    refuse_linear(right, true, 4, MM_INVALID_MODEL, "its bias has 4 elements, 5 wanted");
}

static void test_det(void **state) {
    (void)state;
    one_expect("Det", "", "f32[2,2,2] 1 2 3 4 0 1 1 0", "f32[2] -2 -1");
    one_expect("Det", "", "f64[3,3] 0 2 0 1 0 0 0 0 3", "f64[] -6");
    one_expect_near("Det", "", "f32[2,2] 1 2 2 4", "f32[] 0", 1e-6);
    one_expect("Det", "", "f32[2,0,0]", "f32[2] 1 1");
    one_refuse("Det", "", "f32[2,3] ..", MM_INVALID_MODEL, "a stack of squares wanted");
    one_refuse("Det", "", "f32[3] ..", MM_INVALID_MODEL, "its input has 1 axes");
    one_refuse("Det", "", "i64[2,2] ..", MM_UNSUPPORTED, "its input 0 is i64");
}

static void test_out_of_memory(void **state) {
    (void)state;
    struct one_node one;
    one_init(&one, "MatMul", "");
    one_input(&one, MM_F16, 2, (const int64_t[]){9, 500}, NULL);
    one_input(&one, MM_F16, 2, (const int64_t[]){500, 9}, NULL);
    one_run_out_of_memory(&one, 1);
    one_fini(&one);
}

int main(int argc, char **argv) {
    seed = test_seed(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_matmul),          cmocka_unit_test(test_gemm),
        cmocka_unit_test(test_random_stacks),   cmocka_unit_test(test_random_gemms),
        cmocka_unit_test(test_linear),          cmocka_unit_test(test_panel_bytes),
        cmocka_unit_test(test_real_shapes),     cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_linear_refusals), cmocka_unit_test(test_det),
        cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
