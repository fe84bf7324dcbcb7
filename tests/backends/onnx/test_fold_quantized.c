/* SPDX-License-Identifier: Apache-2.0 */

/* Functions and moves between DequantizeLinear and QuantizeLinear become integer operators, whose
 * results are what they were. Usage: [SEED] */

#include "qdq.h"

#include <stdlib.h>

static uint64_t first_seed = 1;

/* ---- Functions */

static void test_functions(void **state) {
    (void)state;
    static const struct {
        const char *type, *attributes, *folded;
        uint32_t inputs;
    } cases[] = {
        {"Add", "", "QLinearAdd", 2},
        {"Mul", "", "QLinearMul", 2},
        {"Sigmoid", "", "QLinearSigmoid", 1},
        {"LeakyRelu", "alpha=0.25", "QLinearLeakyRelu", 1},
        {"Softmax", "axis=1", "QLinearSoftmax", 1},
        {"GlobalAveragePool", "", "QLinearGlobalAveragePool", 1},
        {"AveragePool", "kernel_shape=[2,2] pads=[1,0,0,1] strides=[2,1]", "QLinearAveragePool", 1},
        {"AveragePool", "kernel_shape=[3,2] ceil_mode=1 count_include_pad=1 dilations=[1,2]",
         "QLinearAveragePool", 1},
        {"Concat", "axis=2", "QLinearConcat", 2},
    };
    const struct qdq_scaling other = {MM_U8, 30, 0.01F}, y_other = {MM_U8, 3, 0.004F};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        for (uint32_t relu = 0; relu < 2; relu++) {
            struct bench bench;
            bench_init(&bench, i + 1);
            uint32_t x[] = {qdq_input(&bench, &qdq_x_u8, "2 3 5 6"),
                            qdq_input(&bench, &other, "2 3 5 6")};
            uint32_t y = bench_node(&bench, cases[i].type, cases[i].attributes, x, cases[i].inputs);
            y = relu ? BENCH_NODE(&bench, "Relu", "", y) : y;
            qdq_expect(&bench, qdq_quantize(&bench, y, relu ? &qdq_y_u8 : &y_other),
                       cases[i].folded);
        }
    }
}

static void test_where(void **state) {
    (void)state;
    struct bench bench;
    const struct qdq_scaling other = {MM_U8, 30, 0.01F};
    bench_init(&bench, 1);
    uint32_t x = qdq_input(&bench, &qdq_x_u8, "2 3"), z = qdq_weights(&bench, &other, "3");
    uint32_t y = BENCH_NODE(&bench, "Where", "", bench_input(&bench, MM_BOOL, "2 1"), x, z);
    qdq_expect(&bench, qdq_quantize(&bench, y, &qdq_y_u8), "QLinearWhere");
    bench_init(&bench, 1); /* without arithmetic */
    x = qdq_input(&bench, &qdq_x_u8, "2 3");
    z = qdq_weights(&bench, &qdq_x_u8, "3");
    y = BENCH_NODE(&bench, "Where", "", bench_input(&bench, MM_BOOL, "2 1"), x, z);
    qdq_expect(&bench, qdq_quantize(&bench, y, &qdq_x_u8), "Where");
}

/* Zero points that are not there; x that is added to itself. */
static void test_without_zero_points(void **state) {
    (void)state;
    struct bench bench;
    bench_init(&bench, 1);
    uint32_t scale = bench_scalar(&bench, 0.02F);
    uint32_t x =
        BENCH_NODE(&bench, "DequantizeLinear", "", bench_input(&bench, MM_U8, "2 3"), scale);
    uint32_t y = BENCH_NODE(&bench, "Add", "", x, x);
    qdq_expect(&bench, BENCH_NODE(&bench, "QuantizeLinear", "", y, bench_scalar(&bench, 0.03F)),
               "QLinearAdd");
}

static void test_functions_not(void **state) {
    (void)state;
    struct bench bench;
    bench_init(&bench, 1); /* types that are not all the same */
    uint32_t y = BENCH_NODE(&bench, "Add", "", qdq_input(&bench, &qdq_x_u8, "2 3"),
                            qdq_input(&bench, &qdq_x_i8, "2 3"));
    qdq_expect_not(&bench, qdq_quantize(&bench, y, &qdq_y_u8));
    bench_init(&bench, 1);
    y = BENCH_NODE(&bench, "Add", "", qdq_input(&bench, &qdq_x_u8, "2 3"),
                   qdq_input(&bench, &qdq_x_u8, "2 3"));
    qdq_expect_not(&bench, qdq_quantize(&bench, y, &qdq_y_i8));
    bench_init(&bench, 1); /* one is f32 */
    y = BENCH_NODE(&bench, "Mul", "", qdq_input(&bench, &qdq_x_u8, "2 3"),
                   bench_random(&bench, "3"));
    qdq_expect_not(&bench, qdq_quantize(&bench, y, &qdq_y_u8));
    bench_init(&bench, 1); /* several scales */
    y = BENCH_NODE(&bench, "Add", "", qdq_input(&bench, &qdq_x_i8, "2 3"),
                   qdq_weights_along(&bench, &qdq_x_i8, "2 3", 1, 3));
    qdq_expect_not(&bench, qdq_quantize(&bench, y, &qdq_y_i8));
}

/* ---- Moves */

static uint32_t moved(struct bench *bench, uint32_t way, uint32_t x) {
    switch (way) {
    case 0:
        return BENCH_NODE(bench, "Reshape", "", x, bench_ints(bench, "3 -1"));
    case 1:
        return BENCH_NODE(bench, "Flatten", "axis=2", x);
    case 2:
        return BENCH_NODE(bench, "Transpose", "perm=[0,2,3,1]", x);
    case 3:
        return BENCH_NODE(bench, "Squeeze", "", x, bench_ints(bench, "0"));
    case 4:
        return BENCH_NODE(bench, "Unsqueeze", "", x, bench_ints(bench, "1"));
    case 5:
        return BENCH_NODE(bench, "Slice", "", x, bench_ints(bench, "1"), bench_ints(bench, "3"),
                          bench_ints(bench, "2"));
    case 6:
        return BENCH_NODE(bench, "Gather", "axis=1", x, bench_ints(bench, "2 0"));
    case 7:
        return BENCH_NODE(bench, "Expand", "", x, bench_ints(bench, "2 3 4 6"));
    case 8:
        return BENCH_NODE(bench, "Tile", "", x, bench_ints(bench, "1 2 1 1"));
    case 9:
        return BENCH_NODE(bench, "MaxPool", "kernel_shape=[2,3] pads=[1,1,0,1]", x);
    case 10:
        return BENCH_NODE(bench, "DepthToSpace", "blocksize=1", x);
    case 11:
        return BENCH_NODE(bench, "SpaceToDepth", "blocksize=2", x);
    default:
        return BENCH_NODE(bench, "Concat", "axis=1", x, qdq_weights(bench, &qdq_x_i8, "1 2 4 6"));
    }
}

static void test_moves(void **state) {
    (void)state;
    static const char *const names[] = {
        "Reshape", "Flatten", "Transpose", "Squeeze",      "Unsqueeze",    "Slice", "Gather",
        "Expand",  "Tile",    "MaxPool",   "DepthToSpace", "SpaceToDepth", "Concat"};
    for (uint32_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct bench bench;
        bench_init(&bench, 1);
        uint32_t y = moved(&bench, i, qdq_input(&bench, &qdq_x_i8, "1 3 4 6"));
        qdq_expect(&bench, qdq_quantize(&bench, y, &qdq_x_i8), names[i]);
        if (i == 12) {
            continue; /* becomes QLinearConcat */
        }
        struct qdq_scaling other = qdq_x_i8; /* scales that are not the same */
        other.scale *= 1.5F;
        bench_init(&bench, 1);
        y = moved(&bench, i, qdq_input(&bench, &qdq_x_i8, "1 3 4 6"));
        qdq_expect_not(&bench, qdq_quantize(&bench, y, &other));
        other = qdq_x_i8;
        other.zero++;
        bench_init(&bench, 1);
        y = moved(&bench, i, qdq_input(&bench, &qdq_x_i8, "1 3 4 6"));
        qdq_expect_not(&bench, qdq_quantize(&bench, y, &other));
    }
}

static void test_split(void **state) {
    (void)state;
    struct bench bench;
    bench_init(&bench, 1);
    uint32_t y = BENCH_NODE(&bench, "Split", "axis=1", qdq_input(&bench, &qdq_x_i8, "2 6"));
    uint32_t others[] = {bench_more_output(&bench), bench_more_output(&bench)};
    bench_output(&bench,
                 qdq_quantize(&bench, others[1], &qdq_x_i8)); /* nobody reads the other one */
    qdq_expect(&bench, qdq_quantize(&bench, y, &qdq_x_i8), "Split");
    bench_init(&bench, 1);
    y = BENCH_NODE(&bench, "Split", "axis=1", qdq_input(&bench, &qdq_x_i8, "2 6"));
    bench_output(&bench, bench_more_output(&bench));
    qdq_expect_not(&bench, qdq_quantize(&bench, y, &qdq_x_i8));
}

/* The indices of maxima stay what they are. */
static void test_max_indices(void **state) {
    (void)state;
    struct bench bench;
    bench_init(&bench, 1);
    uint32_t y = BENCH_NODE(&bench, "MaxPool", "kernel_shape=[2,2]",
                            qdq_input(&bench, &qdq_x_i8, "1 2 5 5"));
    bench_output(&bench, bench_more_output(&bench));
    qdq_expect(&bench, qdq_quantize(&bench, y, &qdq_x_i8), "MaxPool");
}

/* Windows that see nothing but padding. */
static void test_max_of_nothing(void **state) {
    (void)state;
    static const struct qdq_scaling *const scalings[] = {&qdq_x_i8, &qdq_x_u8};
    for (size_t i = 0; i < 2; i++) {
        struct bench bench;
        bench_init(&bench, 1);
        uint32_t x = qdq_input(&bench, scalings[i], "1 2 3 3");
        uint32_t y = BENCH_NODE(&bench, "MaxPool", "kernel_shape=[1,1] pads=[1,1,1,1]", x);
        qdq_expect(&bench, qdq_quantize(&bench, y, scalings[i]), "MaxPool");
    }
}

/* 0 is the zero point; 0.06 are three quanta; 0.05 are no whole ones, and 9 too many. */
static void test_pad(void **state) {
    (void)state;
    static const float paddings[] = {0, 0.06F, 0.05F, 9};
    struct bench bench;
    for (uint32_t i = 0; i < 4; i++) {
        bench_init(&bench, 1);
        uint32_t x = qdq_input(&bench, &qdq_x_i8, "2 3");
        uint32_t y = BENCH_NODE(&bench, "Pad", "", x, bench_ints(&bench, "1 0 0 2"),
                                bench_scalar(&bench, paddings[i]));
        y = qdq_quantize(&bench, y, &qdq_x_i8);
        if (i < 2) {
            qdq_expect(&bench, y, "Pad");
        } else {
            qdq_expect_not(&bench, y);
        }
    }
    for (uint32_t i = 0; i < 2; i++) {
        bench_init(&bench, 1);
        uint32_t x = qdq_input(&bench, &qdq_x_i8, "2 3"), pads = bench_ints(&bench, "1 0 0 2");
        uint32_t y = i ? BENCH_NODE(&bench, "Pad", "mode=edge", x, pads, bench_scalar(&bench, 9))
                       : BENCH_NODE(&bench, "Pad", "", x, pads);
        qdq_expect(&bench, qdq_quantize(&bench, y, &qdq_x_i8), "Pad");
    }
}

/* ---- Pairs */

static void test_pairs(void **state) {
    (void)state;
    struct bench bench;
    bench_init(&bench, 1); /* quantised again by the same numbers */
    uint32_t x = bench_input(&bench, MM_I8, "2 40");
    qdq_expect(&bench, qdq_quantize(&bench, qdq_dequantize(&bench, x, &qdq_x_i8), &qdq_x_i8), "");
    bench_init(&bench, 1);
    qdq_expect_not(&bench, qdq_quantize(&bench, qdq_input(&bench, &qdq_x_i8, "2 40"), &qdq_y_i8));
    bench_init(&bench, 1); /* rounds */
    x = bench_input(&bench, MM_F32, "2 3");
    bench_output(&bench, qdq_dequantize(&bench, qdq_quantize(&bench, x, &qdq_x_i8), &qdq_x_i8));
    qdq_apply(&bench);
    assert_int_equal(bench_count(bench.model.main, NULL), 2);
    bench_fini(&bench);
}

/* ---- At random */

/* Functions compute as before: every element is the same. */
static void test_random_functions(void **state) {
    (void)state;
    static const char *const types[] = {"Add", "Mul", "Sigmoid", "Softmax"};
    for (uint64_t seed = first_seed; seed < first_seed + 200; seed++) {
        struct bench bench;
        bench_init(&bench, seed);
        struct qdq_scaling x = qdq_random_scaling(&bench), z = qdq_random_scaling(&bench);
        struct qdq_scaling y = qdq_random_scaling(&bench);
        y.dtype = z.dtype = x.dtype;
        y.zero = z.zero = x.zero;
        uint32_t inputs[] = {qdq_input(&bench, &x, "3 40"), qdq_input(&bench, &z, "3 40")};
        uint32_t made = bench_node(&bench, types[seed % 4], "", inputs, seed % 4 < 2 ? 2 : 1);
        bench_output(&bench, qdq_quantize(&bench, made, &y));
        assert_int_equal(qdq_apply(&bench).different, 0);
        assert_int_equal(bench_count(bench.model.main, NULL), 1);
        bench_fini(&bench);
    }
}

int main(int argc, char **argv) {
    first_seed = argc > 1 ? strtoull(argv[1], NULL, 10) : first_seed;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_functions),
        cmocka_unit_test(test_where),
        cmocka_unit_test(test_without_zero_points),
        cmocka_unit_test(test_functions_not),
        cmocka_unit_test(test_moves),
        cmocka_unit_test(test_split),
        cmocka_unit_test(test_max_indices),
        cmocka_unit_test(test_max_of_nothing),
        cmocka_unit_test(test_pad),
        cmocka_unit_test(test_pairs),
        cmocka_unit_test(test_random_functions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
