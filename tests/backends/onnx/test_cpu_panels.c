/* SPDX-License-Identifier: Apache-2.0 */
/* The fast kernels of Linear by narrow panels, and of Cast, against the plain ones. */
#include "cpu_compare.h"

#include <base/checked.h>
#include <backends/onnx/operators/cast.h>
#include <backends/onnx/operators/number.h>
#include <backends/onnx/operators/panels.h>

#include <math.h>
#include <string.h>

static uint64_t seed;

static const int32_t types[] = {MM_F16, MM_BF16, MM_I8, MM_I4};

struct shape {
    int64_t m, k, n, block; /* block 0: there are no scales */
    bool zeros, bias;
};

/* A matrix [rows, columns] of random numbers as panels, the next input. */
static void panels_input(struct comparison *c, int32_t dtype, int64_t rows, int64_t columns) {
    uint64_t k = (uint64_t)rows, n = (uint64_t)columns;
    uint64_t bytes = mmi_onnx_narrow_panel_bytes(dtype, k, n);
    struct onnx_tensor tensor;
    int32_t plain_type = dtype == MM_I4 ? MM_I8 : dtype;
    assert_int_equal(
        mmi_onnx_tensor_set(&tensor, plain_type, 2, (const int64_t[]){rows, columns}, NULL), MM_OK);
    void *plain = mmi_onnx_take_data(&c->arena, tensor.bytes);
    void *panels = mmi_onnx_take_data(&c->arena, bytes);
    float number;
    for (uint64_t i = 0; i < tensor.elements; i++) {
        if (mmi_onnx_has_scaled_panels(dtype)) {
            int64_t from = dtype == MM_I4 ? 8 : 128;
            ((int8_t *)plain)[i] = (int8_t)(compare_below(c, 2 * from) - from);
        } else {
            number = (float)compare_below(c, 1 << 12) / (1 << 11) - 1;
            mmi_onnx_convert(MM_F32, &number, 1, dtype,
                             (uint8_t *)plain + i * mmi_onnx_element_bytes(dtype));
        }
    }
    if (dtype == MM_I4) {
        mmi_onnx_pack_i4(plain, k, n, panels);
    } else {
        mmi_onnx_pack_narrow(dtype, plain, k, n, panels);
    }
    struct onnx_tensor *input = &c->inputs[c->input_count++];
    *input = tensor;
    input->dtype = dtype;
    input->layout = ONNX_PANELS;
    input->data = panels;
    input->bytes = bytes;
}

static void check_linear(struct comparison *c, int32_t dtype, const struct shape *s) {
    const struct onnx_linear params = {
        .activation = {.function = s->m % 3 == 0 ? ONNX_F_Relu : ONNX_F_NONE}, .block = s->block};
    bool scaled = mmi_onnx_has_scaled_panels(dtype);
    compare_start(c, &mmi_onnx_op_Linear, &params);
    COMPARE_INPUT(c, s->m, s->k);
    panels_input(c, dtype, s->k, s->n);
    if (s->bias) {
        COMPARE_INPUT(c, s->n);
    } else {
        compare_no_input(c);
    }
    if (scaled) {
        int64_t rows = (int64_t)mmi_div_up((uint64_t)s->k, (uint64_t)s->block);
        panels_input(c, MM_F32, rows, s->n);
    }
    if (scaled && s->zeros) {
        panels_input(c, MM_I8, (s->k + s->block - 1) / s->block, s->n);
    }
    c->floor = (double)s->k * (dtype == MM_I8 ? 256 : dtype == MM_I4 ? 136 : 1);
    assert_true(compare_run(c));
}

static int64_t random_block(struct comparison *c, int32_t dtype, int64_t k) {
    if (!mmi_onnx_has_scaled_panels(dtype)) {
        return 0;
    }
    switch (compare_below(c, 4)) {
    case 0:
        return k + compare_below(c, 9); /* one scale for a column */
    case 1:
        return 16;
    case 2:
        return 32;
    default:
        return dtype == MM_I4 ? 8 : 1 + compare_below(c, k);
    }
}

static void narrow_linear_of_random_shapes(void **state) {
    (void)state;
    struct comparison c;
    compare_init(&c, seed);
    for (uint32_t i = 0; i < 400; i++) {
        int32_t dtype = types[i % 4];
        struct shape s = {.m = 1 + compare_below(&c, i % 8 < 4 ? 17 : 2),
                          .k = 1 + compare_below(&c, i % 5 == 0 ? 900 : 70),
                          .n = 1 + compare_below(&c, i % 3 == 0 ? 200 : 17),
                          .zeros = compare_below(&c, 2) == 0,
                          .bias = compare_below(&c, 2) == 0};
        s.block = random_block(&c, dtype, s.k);
        check_linear(&c, dtype, &s);
    }
    compare_fini(&c);
}

/* Every number of rows and columns of a tile, and one more. */
static void narrow_linear_of_small_shapes(void **state) {
    (void)state;
    struct comparison c;
    compare_init(&c, seed);
    for (int64_t m = 1; m <= 17; m += m < 8 ? 1 : 3) {
        for (int64_t n = 1; n <= 17; n += n < 4 ? 1 : 4) {
            for (uint32_t i = 0; i < 4; i++) {
                bool scaled = mmi_onnx_has_scaled_panels(types[i]);
                const struct shape s = {m, 33, n, scaled ? 16 : 0, n % 2 == 0, m % 2 == 0};
                check_linear(&c, types[i], &s);
            }
        }
    }
    compare_fini(&c);
}

/* Split among tasks by rows and by columns; several blocks of rows of either matrix. */
static void narrow_linear_on_several_threads(void **state) {
    (void)state;
    struct comparison c;
    compare_init(&c, seed);
    for (uint32_t i = 0; i < 4; i++) {
        int64_t block = mmi_onnx_has_scaled_panels(types[i]) ? 32 : 0;
        check_linear(&c, types[i], &(const struct shape){157, 257, 130, block, true, true});
        check_linear(&c, types[i], &(const struct shape){700, 390, 40, block, false, true});
        check_linear(&c, types[i], &(const struct shape){7, 600, 1001, block, true, false});
        check_linear(&c, types[i], &(const struct shape){1, 2050, 1999, block, true, true});
    }
    compare_fini(&c);
}

/* What is no finite number spreads to the columns that the plain kernel says. */
static void infinite_activations(void **state) {
    (void)state;
    struct comparison c;
    compare_init(&c, seed);
    for (uint32_t i = 0; i < 3 * 4; i++) {
        const struct onnx_linear params = {.block = 32};
        const struct onnx_linear floats = {.block = 0};
        bool scaled = mmi_onnx_has_scaled_panels(types[i % 4]);
        compare_start(&c, &mmi_onnx_op_Linear, scaled ? &params : &floats);
        float *a = COMPARE_INPUT(&c, 1, 90);
        a[40] = i < 4 ? INFINITY : i < 8 ? -INFINITY : NAN;
        panels_input(&c, types[i % 4], 90, 75);
        compare_no_input(&c);
        if (scaled) {
            panels_input(&c, MM_F32, 3, 75);
        }
        c.floor = 90 * 256;
        assert_true(compare_run(&c));
    }
    compare_fini(&c);
}

static void check_cast(struct comparison *c, int32_t from, int32_t to, const void *data,
                       int64_t count) {
    const struct onnx_cast params = {.to = to};
    compare_start(c, &mmi_onnx_op_Cast, &params);
    compare_known_input(c, from, data, count);
    c->inputs[0].known = 0;
    c->tolerance = 0;
    assert_true(compare_run(c));
}

/* All that there are to f32; and f32 of all exponents and signs, with what is near a tie. */
static void casts(void **state) {
    (void)state;
    struct comparison c;
    compare_init(&c, seed);
    static uint16_t all[65536];
    static uint32_t some[65536];
    for (uint32_t i = 0; i < 65536; i++) {
        uint32_t near = (uint32_t)compare_below(&c, 3) - 1;
        all[i] = (uint16_t)i;
        some[i] = (i << 16) + ((i & 1 ? 0x1000u : 0x8000u) + near);
    }
    check_cast(&c, MM_F16, MM_F32, all, 65536);
    check_cast(&c, MM_BF16, MM_F32, all, 65536);
    check_cast(&c, MM_F32, MM_F16, some, 65536);
    check_cast(&c, MM_F32, MM_BF16, some, 65536);
    for (int64_t count = 1; count < 20; count++) {
        check_cast(&c, MM_F16, MM_F32, all + 0x3c00, count);
        check_cast(&c, MM_BF16, MM_F32, all + 0x3c00, count);
        check_cast(&c, MM_F32, MM_F16, some + 0x3f80, count);
        check_cast(&c, MM_F32, MM_BF16, some + 0x3f80, count);
    }
    compare_fini(&c);
}

/* Against sums in f64 of numbers that are written down here once more. */
static void numbers_of_panels(void **state) {
    (void)state;
    static const int8_t numbers[9 * 2] = {-8, 7, 6,  -5, 4, 3,  -2, 1,  0,
                                          -1, 2, -3, 4,  5, -6, 7,  -7, 1};
    float scales[32] = {0.5F, 0.25F}, wide[9 * ONNX_NR];
    int8_t zeros[32] = {1, -2};
    scales[16] = 2;
    scales[17] = 4;
    zeros[16] = -1;
    uint32_t words[2 * ONNX_NR];
    mmi_onnx_pack_i4(numbers, 9, 2, words);
    const struct onnx_panels i4 = {MM_I4, words, 9, 8, scales, zeros};
    mmi_onnx_widen_panel(&i4, 0, wide);
    for (uint32_t k = 0; k < 9; k++) {
        for (uint32_t n = 0; n < 2; n++) {
            uint32_t at = k / 8 * ONNX_NR + n;
            double wanted = (double)(numbers[2 * k + n] - zeros[at]) * (double)scales[at];
            assert_true((double)wide[k * ONNX_NR + n] == wanted);
        }
        assert_true(wide[k * ONNX_NR + 2] == 0);
    }
    assert_int_equal(mmi_onnx_narrow_panel_bytes(MM_I4, 9, 17), 2 * 2 * 16 * 4);
    assert_int_equal(mmi_onnx_narrow_panel_bytes(MM_F16, 3, 16), 96);
    assert_int_equal(mmi_onnx_narrow_panel_bytes(MM_I8, 0, 5), 0);
    assert_true(mmi_onnx_narrow_panel_bytes(MM_I8, UINT64_MAX / 4, 1) == UINT64_MAX);
}

int main(int argc, char **argv) {
    seed = test_seed(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(narrow_linear_of_random_shapes),
        cmocka_unit_test(narrow_linear_of_small_shapes),
        cmocka_unit_test(narrow_linear_on_several_threads),
        cmocka_unit_test(infinite_activations),
        cmocka_unit_test(casts),
        cmocka_unit_test(numbers_of_panels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
