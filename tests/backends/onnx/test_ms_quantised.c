/* SPDX-License-Identifier: Apache-2.0 */

/* Operators of com.microsoft that make f32 of quantised numbers. Numbers by hand and, from the
 * formulas, by numpy. */

#include "one_node.h"

#define MS "com.microsoft/"
#define LSTM_INPUTS                                                                                \
    "f32[3,2,2] 1 -2 0.5 0 3 1 -1 2 0 1 2 -1 | i8[1,2,4] 10 -20 30 40 -50 60 70 -80 | "            \
    "i8[1,1,4] 100 -100 50 25 | f32[1,8] 0.1 0.2 -0.1 0 0 0 0.3 0.1 | i32[2] 3 2 | "               \
    "f32[1,2,1] 0.5 -0.25 | f32[1,2,1] 1 0 | - | f32[1] 0.01 | i8[1] 0 | f32[1] 0.02 | i8[1] 0"

static const struct one_case cases[] = {
    {MS "MatMulIntegerToFloat", "",
     "u8[3,2] 10 250 3 7 0 130 | i8[2,3] 5 -3 2 -128 127 0 | f32[] 2 | f32[3] 0.5 0.25 1 | "
     "u8[] 130 | i8[3] 1 -2 0 | f32[3] 1 -1 0.5",
     "f32[3,3] -15959 7799 -479.5 15360 -7871 -507.5 -519 64 -519.5", 0},
    /* a vector; the largest products there are, which 16 bits do not hold */
    {MS "MatMulIntegerToFloat", "",
     "u8[4] 255 255 255 255 | i8[4,1] -128 -128 -128 -128 | f32[1] 1 | f32[1] 1", "f32[1] -130560",
     0},
    {MS "MatMulIntegerToFloat", "", "i8[1,2] -128 1 | i8[2,1] -128 1 | f32[1] 1 | f32[] 1 | i8[] 1",
     "f32[1,1] 16512", 0},
    /* stacks, with scales of their own */
    {MS "MatMulIntegerToFloat", "",
     "u8[2,1,1] 3 4 | u8[2,1,2] 1 2 3 4 | f32[] 1 | f32[2,1,2] 1 2 0.5 4 | - | u8[2,1,2] 0 1 2 0",
     "f32[2,1,2] 3 6 2 64", 0},
    {MS "MatMulIntegerToFloat", "", "u8[2,0] | u8[0,2] | f32[] 1 | f32[] 1 | - | - | f32[2] 5 6",
     "f32[2,2] 5 6 5 6", 0},
    {MS "MatMulIntegerToFloat", "", "u8[0,2] | u8[2,2] .. | f32[] 1 | f32[] 1", "f32[0,2]", 0},
    {MS "DynamicQuantizeMatMul", "",
     "f32[2,3] 1 -1.2 0.5 0.25 0 -0.75 | u8[3,2] 10 200 128 0 255 100 | f32[1] 0.5 | u8[1] 128 | "
     "f32[2] 1 2",
     "f32[2,2] -26.2714 107.773 -61.4239 21.5153", 1e-4},
    {MS "DynamicQuantizeMatMul", "", "f32[1,2] 0 0 | i8[2,1] 1 2 | f32[] 1", "f32[1,1] 0", 0},
    {MS "DynamicQuantizeMatMul", "", "f32[0,2] | i8[2,1] 1 2 | f32[] 1", "f32[0,1]", 0},
    {MS "MatMulInteger16", "", "i16[1,2] -32768 2 | i16[2,2] 3 -32768 4 5",
     "i32[1,2] -98296 1073741834", 0},
    {MS "MatMulInteger16", "", "u16[2,1,1] 65535 2 | u16[1,1] 65535",
     "u32[2,1,1] 4294836225 131070", 0},
    {MS "MatMulInteger16", "", "u16[1,1] 65535 | i16[1,1] -2", "i32[1,1] -131070", 0},
    /* two sequences, of which one ends before the other */
    {MS "DynamicQuantizeLSTM", "hidden_size=1", LSTM_INPUTS,
     "f32[3,1,2,1] 0.0855759 0.0471616 0.445953 -0.174564 0.320502 0 | "
     "f32[1,2,1] 0.320502 -0.174564 | f32[1,2,1] 0.813301 -0.216633",
     1e-4},
    {MS "DynamicQuantizeLSTM", "hidden_size=1 direction=reverse", LSTM_INPUTS,
     "f32[3,1,2,1] 0.116341 0.00336261 0.289095 -0.155353 0.218427 0 | "
     "f32[1,2,1] 0.116341 0.00336261 | f32[1,2,1] 1.1126 0.00559697",
     1e-4},
    /* scales and zero points by column */
    {MS "DynamicQuantizeLSTM", "hidden_size=1",
     "f32[3,2,2] 1 -2 0.5 0 3 1 -1 2 0 1 2 -1 | u8[1,2,4] 110 80 130 140 50 160 170 20 | "
     "u8[1,1,4] 200 0 150 125 | - | - | - | - | - | f32[1,4] 0.01 0.02 0.005 0.01 | "
     "u8[1,4] 100 100 100 100 | f32[1,4] 0.01 0.005 0.02 0.01 | u8[1,4] 100 100 100 100",
     "f32[3,1,2,1] 0.0354797 0.0461636 0.293891 -0.169907 0.123979 0.0588078", 1e-4},
    {MS "DynamicQuantizeLSTM", "hidden_size=1",
     "f32[0,2,1] | i8[1,1,4] .. | i8[1,1,4] .. | - | - | f32[1,2,1] 1 2 | - | - | f32[1] 1 | "
     "i8[1] 0 | f32[1] 1 | i8[1] 0",
     "f32[0,1,2,1] | f32[1,2,1] 1 2", 0},
    /* the second word is behind the end that the mask says */
    {MS "QAttention", "num_heads=2",
     "u8[1,2,2] 100 130 128 90 | i8[2,6] 10 -20 30 5 0 -7 4 8 -16 9 3 20 | "
     "f32[6] 0.1 0 0.2 0 -0.1 1 | f32[] 0.1 | f32[] 0.05 | i32[1] 1 | u8[] 128 | i8[] 1",
     "f32[1,2,2] 0.06 2.31 0.06 2.31", 1e-4},
    {MS "QAttention", "num_heads=2 unidirectional=1",
     "u8[1,2,2] 100 130 128 90 | u8[2,6] 30 0 50 25 20 13 24 28 4 29 23 40 | "
     "f32[6] 0.1 0 0.2 0 -0.1 1 | f32[1] 0.1 | f32[6] 0.01 0.02 0.03 0.04 0.05 0.06 | - | "
     "u8[1] 128 | u8[6] 20 20 20 20 20 20 | f32[2,1,2,1,1] 0.5 -1 2 0.25",
     "f32[1,2,2] 0.710754 1.64344 0.420913 -0.815541 | "
     "f32[2,1,2,3,1] 0.5 -2.416 2.024 -1 -0.488 -1.368 2 -0.07 -0.67 0.25 2.416 -3.56",
     1e-4},
    {MS "QEmbedLayerNormalization", "epsilon=0.5",
     "i32[1,2] 2 0 | i32[1,2] 1 0 | i8[3,2] 0 10 100 -50 7 8 | i8[2,2] 1 2 3 -4 | "
     "i8[2,2] 10 0 0 20 | i8[2] 10 20 | i8[2] 0 -5 | i32[1,2] 1 1 | f32[] 0.5 | f32[] 1 | "
     "f32[1] 0.25 | f32[] 0.1 | f32[] 0.2 | i8[] 1 | i8[] 0 | i8[1] 2 | i8[] 0 | i8[] -5",
     "f32[1,2,2] 0.0228602 1.95428 1.954 -1.908 | i32[1] 2", 1e-4},
};

static void test_cases(void **state) {
    (void)state;
    one_expect_all(cases, sizeof(cases) / sizeof(cases[0]));
}

static void test_products(void **state) {
    (void)state;
    one_refuse(MS "MatMulIntegerToFloat", "", "u8[1,2] .. | u8[3,1] .. | f32[] 1 | f32[] 1",
               MM_INVALID_MODEL, "its left matrix has 2 columns, its right one 3 rows");
    one_refuse(MS "MatMulIntegerToFloat", "", "u8[1,1] 1 | u8[1,1] 1 | f32[2] 1 1 | f32[] 1",
               MM_INVALID_MODEL, "its input 2 is f32 with 1 axes and 2 elements; f32, 1 or 1,");
    one_refuse(MS "MatMulIntegerToFloat", "", "u8[1,1] 1 | u8[1,2] 1 1 | f32[] 1 | f32[3] 1 1 1",
               MM_INVALID_MODEL, "its input 3 is f32 with 1 axes and 3 elements; f32, 1 or 2,");
    one_refuse(MS "MatMulIntegerToFloat", "",
               "u8[1,1] 1 | i8[1,1] 1 | f32[] 1 | f32[] 1 | i8[] 1 | i8[] 1", MM_INVALID_MODEL,
               "its input 4 is i8");
    one_refuse(MS "MatMulIntegerToFloat", "",
               "u8[1,1] 1 | i8[1,1] 1 | f32[] 1 | f32[] 1 | - | - | f32[2] 1 1", MM_INVALID_MODEL,
               "its bias is f32 with 1 axes and 2 elements; f32, one of 1 wanted");
    one_refuse(MS "MatMulIntegerToFloat", "", "f32[1,1] 1 | i8[1,1] 1 | f32[] 1 | f32[] 1",
               MM_UNSUPPORTED, "f32");
    one_refuse(MS "MatMulIntegerToFloat", "", "u8[1,1] 1 | i8[1,1] 1 | - | f32[] 1",
               MM_INVALID_MODEL, "input 2 is left out");
    one_refuse(MS "MatMulIntegerToFloat", "",
               "u8[0,4611686018427387904] | u8[4611686018427387904,0] | f32[] 1 | f32[] 1",
               MM_TOO_LARGE, "its matrices are too large");
    one_refuse(MS "DynamicQuantizeMatMul", "", "u8[1,1] 1 | i8[1,1] 1 | f32[] 1", MM_UNSUPPORTED,
               "u8");
    one_refuse(MS "DynamicQuantizeMatMul", "", "f32[1,1] 1 | i8[1,1] 1 | f32[] 1 | u8[] 1",
               MM_INVALID_MODEL, "its input 3 is u8");
    one_refuse(MS "MatMulInteger16", "", "i16[1,1] 1 | i8[1,1] 1", MM_UNSUPPORTED, "i8");
}

#define TAIL "f32[1] 1 | i8[1] 0 | f32[1] 1 | i8[1] 0"

static void test_lstm(void **state) {
    (void)state;
    one_refuse(MS "DynamicQuantizeLSTM", "",
               "f32[1,1,1] 1 | i8[1,1,4] .. | i8[1,1,4] .. | - | - | - | - | - | f32[1] 1 | "
               "i8[1] 0 | f32[4] 1 1 1 1 | i8[1] 0",
               MM_INVALID_MODEL,
               "its input 10 is f32 with 1 axes and 4 elements; f32 [1] or [1, 4]");
    one_refuse(MS "DynamicQuantizeLSTM", "",
               "f32[1,1,1] 1 | i8[1,1,4] .. | i8[1,1,4] .. | - | - | - | - | - | f32[1] 1 | "
               "u8[1] 0 | f32[1] 1 | i8[1] 0",
               MM_INVALID_MODEL, "its input 9 is u8");
    one_refuse(MS "DynamicQuantizeLSTM", "", "f32[1,1,1] 1 | i8[1,1,4] .. | i8[1,1,4] ..",
               MM_INVALID_MODEL, "its input 8 is");
    one_refuse(MS "DynamicQuantizeLSTM", "",
               "f32[1,1,2] 1 1 | i8[1,1,4] .. | i8[1,1,4] .. | - | - | - | - | - | " TAIL,
               MM_INVALID_MODEL, "axis 2 of its W has 1 elements, 2 wanted");
    one_refuse(MS "DynamicQuantizeLSTM", "",
               "f32[1,1,1] 1 | i8[1,1,5] .. | i8[1,1,4] .. | - | - | - | - | - | " TAIL,
               MM_INVALID_MODEL, "of its W");
    one_refuse(MS "DynamicQuantizeLSTM", "",
               "f32[1,1,1] 1 | i8[4] .. | i8[1,1,4] .. | - | - | - | - | - | " TAIL,
               MM_INVALID_MODEL, "its input 1 has 1 axes, 3 wanted");
    one_refuse(MS "DynamicQuantizeLSTM", "layout=1",
               "f32[1,1,1] 1 | i8[1,1,4] .. | i8[1,1,4] .. | - | - | - | - | - | " TAIL,
               MM_INVALID_MODEL, "layout");
    one_refuse(MS "DynamicQuantizeLSTM", "",
               "f32[1,1,1] 1 | i8[1,1,4] .. | i8[1,1,4] .. | - | i32[1] 2 | - | - | - | " TAIL,
               MM_INVALID_ARGUMENT, "sequence_lens[0] is 2, 0 to 1 wanted");
    one_refuse(MS "DynamicQuantizeLSTM", "",
               "f32[1,0,2305843009213693952] | i8[1,2305843009213693952,0] | i8[1,0,0] | - | - | "
               "- | - | - | " TAIL,
               MM_TOO_LARGE, "too large");
}

static void test_attention(void **state) {
    (void)state;
    one_refuse(MS "QAttention", "num_heads=1",
               "u8[1,1,1] 1 | i8[1,3] .. | f32[3] .. | f32[] 1 | f32[2] 1 1", MM_INVALID_MODEL,
               "its input 4 is f32 with 1 axes and 2 elements; f32, 1 or 3,");
    one_refuse(MS "QAttention", "num_heads=2",
               "u8[1,1,1] 1 | i8[1,3] .. | f32[3] .. | f32[] 1 | f32[] 1", MM_INVALID_MODEL,
               "its weights have 3 columns");
    one_refuse(MS "QAttention", "num_heads=1",
               "u8[1,1,1] 1 | i8[1,3] .. | f32[2] .. | f32[] 1 | f32[] 1", MM_INVALID_MODEL,
               "its bias has 2 elements, 3 wanted");
    one_refuse(MS "QAttention", "num_heads=1",
               "u8[1,1,1] 1 | i8[1,3] .. | f32[3] .. | f32[] 1 | f32[] 1 | - | i8[] 0",
               MM_INVALID_MODEL, "its input 6 is i8");
    one_refuse(MS "QAttention", "num_heads=1 do_rotary=1",
               "u8[1,1,1] 1 | i8[1,3] .. | f32[3] .. | f32[] 1 | f32[] 1", MM_UNSUPPORTED,
               "do_rotary 1");
    one_refuse(MS "QAttention", "num_heads=1",
               "f32[1,1,1] 1 | i8[1,3] .. | f32[3] .. | f32[] 1 | f32[] 1", MM_UNSUPPORTED, "f32");
    one_refuse(MS "QEmbedLayerNormalization", "",
               "i32[1,1] 3 | - | u8[3,1] .. | u8[1,1] 0 | - | u8[1] 1 | u8[1] 0 | - | f32[] 1 | "
               "f32[] 1 | - | f32[] 1 | f32[] 1 | u8[] 0 | u8[] 0 | - | u8[] 0 | u8[] 0",
               MM_INVALID_ARGUMENT, "index 3 is outside of its input 2, which has 3 rows");
    one_refuse(MS "QEmbedLayerNormalization", "",
               "i32[1,1] 0 | - | u8[3,1] .. | u8[1,1] 0 | - | u8[1] 1 | u8[1] 0 | - | f32[] 1 | "
               "f32[] 1 | - | f32[] 1 | f32[] 1 | u8[] 0 | u8[] 0 | - | u8[] 0 | i8[] 0",
               MM_INVALID_MODEL, "its input 17 is i8 with 0 axes and 1 elements, one u8 wanted");
    one_refuse(MS "QEmbedLayerNormalization", "",
               "i32[1,1] 0 | - | u8[3,1] .. | u8[1,1] 0 | - | u8[1] 1 | u8[1] 0", MM_INVALID_MODEL,
               "its input 8");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),
        cmocka_unit_test(test_products),
        cmocka_unit_test(test_lstm),
        cmocka_unit_test(test_attention),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
