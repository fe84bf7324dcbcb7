/* SPDX-License-Identifier: Apache-2.0 */

/* The QLinear operators of com.microsoft, and QGemm. Numbers by hand. */

#include "one_node.h"

static const struct one_case cases[] = {
    /* -1 + 4, 1 + 4, 0 + 4 ... in steps of 2: ties go to the even one, then the zero point */
    {"com.microsoft/QLinearAdd", "",
     "u8[3] 126 130 128 | f32[] 0.5 | u8[] 128 | u8[2,1] 4 0 | f32[] 1 | - | f32[] 2 | u8[1] 10",
     "u8[2,3] 12 12 12 10 10 10", 0},
    {"com.microsoft/QLinearAdd", "",
     "i8[4] 127 -128 3 -3 | f32[1] 1 | - | i8[4] 100 -100 0 0 | f32[] 1 | i8[] 0 | f32[] 2",
     "i8[4] 114 -114 2 -2", 0},
    {"com.microsoft/QLinearAdd", "",
     "i8[2] 127 -128 | f32[] 1 | - | i8[] 5 | f32[] 2 | i8[] 5 | f32[] 0.5 | i8[] 1",
     "i8[2] 127 -128", 0},
    {"com.microsoft/QLinearAdd", "",
     "u8[0,2] | f32[] 1 | - | u8[2] 1 2 | f32[] 1 | - | f32[] 1 | -", "u8[0,2]", 0},
    {"com.microsoft/QLinearMul", "",
     "u8[2,1] 3 7 | f32[] 0.5 | u8[] 1 | u8[2] 2 4 | f32[] 0.25 | - | f32[] 1 | u8[] 7",
     "u8[2,2] 7 8 9 10", 0},
    {"com.microsoft/QLinearMul", "",
     "i8[3] -20 20 1 | f32[] 1 | i8[] 0 | i8[] 10 | f32[] 1 | i8[] 0 | f32[] 1 | i8[] -3",
     "i8[3] -128 127 7", 0},
    {"com.microsoft/QLinearWhere", "",
     "bool[2] 1 0 | u8[2] 10 20 | f32[] 1 | u8[] 10 | u8[] 7 | f32[] 2 | u8[] 0 | f32[] 4 | u8[] 1",
     "u8[2] 1 5", 0},
    {"com.microsoft/QLinearSigmoid", "",
     "i8[3] -8 0 8 | f32[] 0.5 | - | f32[] 0.00390625 | i8[] -128", "i8[3] -123 0 123", 0},
    {"com.microsoft/QLinearSigmoid", "", "u8[2] 0 255 | f32[] 1 | u8[] 128 | f32[] 0.00390625 | -",
     "u8[2] 0 255", 0},
    {"com.microsoft/QLinearLeakyRelu", "alpha=0.5",
     "u8[4] 126 125 123 130 | f32[] 1 | u8[] 128 | f32[] 1 | u8[] 3", "u8[4] 2 1 1 5", 0},
    {"com.microsoft/QLinearLeakyRelu", "", "i8[2] -100 9 | f32[] 1 | - | f32[] 0.25", "i8[2] -4 36",
     0},
    {"com.microsoft/QLinearSoftmax", "opset=13",
     "u8[1,2] 3 4 | f32[] 1 | u8[] 3 | f32[] 0.00390625 | u8[] 0", "u8[1,2] 69 187", 0},
    {"com.microsoft/QLinearSoftmax", "opset=13 axis=1",
     "i8[1,2,2] 1 2 1 2 | f32[] 1 | - | f32[] 0.00390625 | i8[] -128", "i8[1,2,2] 0 0 0 0", 0},
    {"com.microsoft/QLinearSoftmax", "opset=12 axis=1",
     "u8[1,2,2] 9 9 9 9 | f32[] 1 | - | f32[] 0.00390625 | u8[] 0", "u8[1,2,2] 64 64 64 64", 0},
    {"com.microsoft/QLinearAveragePool", "kernel_shape=[1,2] strides=[1,2]",
     "u8[1,1,1,4] 2 3 5 10 | f32[] 1 | u8[] 1 | f32[] 1 | u8[] 4", "u8[1,1,1,2] 6 10", 0},
    {"com.microsoft/QLinearAveragePool", "kernel_shape=[1,2] strides=[1,2] channels_last=1",
     "i8[1,1,4,2] 1 -10 2 -20 4 -30 9 -50 | f32[] 1 | - | f32[] 1 | i8[] 0",
     "i8[1,1,2,2] 2 -15 6 -40", 0},
    {"com.microsoft/QLinearAveragePool", "kernel_shape=[2] pads=[1,0]",
     "u8[1,1,2] 5 7 | f32[] 1 | u8[] 1 | f32[] 1 | -", "u8[1,1,2] 4 5", 0},
    {"com.microsoft/QLinearAveragePool", "kernel_shape=[2] pads=[1,0] count_include_pad=1",
     "u8[1,1,2] 5 7 | f32[] 1 | u8[] 1 | f32[] 1 | -", "u8[1,1,2] 2 5", 0},
    {"com.microsoft/QLinearAveragePool", "kernel_shape=[2] strides=[2] ceil_mode=1",
     "u8[1,1,3] 5 7 9 | f32[] 2 | u8[] 1 | f32[] 1 | -", "u8[1,1,2] 10 16", 0},
    {"com.microsoft/QLinearGlobalAveragePool", "",
     "u8[1,2,1,2] 1 2 3 6 | f32[] 1 | u8[] 0 | f32[] 1 | u8[] 0", "u8[1,2,1,1] 2 4", 0},
    {"com.microsoft/QLinearGlobalAveragePool", "channels_last=1",
     "i8[2,2,1,3] 1 2 3 3 6 -9 0 10 20 2 30 -20 | f32[] 1 | i8[] 0 | f32[] 1 | i8[] 1",
     "i8[2,1,1,3] 3 5 -2 2 21 1", 0},
    {"com.microsoft/QLinearConcat", "axis=1",
     "f32[] 1 | u8[] 10 | u8[2,1] 3 5 | f32[] 0.5 | u8[] 0 | u8[2,2] 128 129 130 127 | f32[1] 2 | "
     "u8[1] 128",
     "u8[2,3] 12 10 12 12 14 8", 0},
    {"com.microsoft/QLinearConcat", "axis=-1",
     "f32[] 1 | - | i8[1] -3 | f32[] 0.5 | - | i8[0] | f32[] 1 | - | i8[2] 100 -100 | f32[] 2",
     "i8[3] -2 127 -128", 0},
    /* one scale for each column of b; with and without a scale of the result */
    {"com.microsoft/QGemm", "",
     "u8[1,2] 3 5 | f32[] 0.5 | u8[] 1 | i8[2,2] 1 -1 2 3 | f32[2] 0.5 1 | i8[] 0 | i32[2] 1 -3 | "
     "f32[] 1 | u8[] 10",
     "u8[1,2] 13 14", 0},
    {"com.microsoft/QGemm", "",
     "u8[1,2] 3 5 | f32[] 0.5 | u8[] 1 | i8[2,2] 1 -1 2 3 | f32[2] 0.5 1 | i8[] 0 | i32[2] 1 -3",
     "f32[1,2] 2.75 3.5", 0},
    /* one zero point for each column of b; the type of a where the result has none */
    {"com.microsoft/QGemm", "transA=1 transB=1 alpha=2.0",
     "i8[2,1] 2 4 | f32[] 1 | - | u8[2,2] 3 4 7 8 | f32[] 1 | u8[2] 2 7 | i32[1,1] 1 | f32[] 4",
     "i8[1,2] 6 2", 0},
    {"com.microsoft/QGemm", "",
     "u8[2,1] 255 1 | f32[] 1 | u8[] 0 | i8[1,2] -128 127 | f32[] 1 | i8[] 0 | i32[2,1] 0 130 | "
     "f32[] 1 | u8[] 0",
     "u8[2,2] 0 255 2 255", 0},
    {"com.microsoft/QGemm", "", /* u8 into i8 */
     "u8[1,1] 255 | f32[] 1 | u8[] 0 | u8[1,2] 0 255 | f32[] 1 | u8[] 128 | - | f32[] 256 | "
     "i8[] -3",
     "i8[1,2] -128 124", 0},
    {"com.microsoft/QGemm", "",
     "u8[1,0] | f32[] 1 | u8[] 1 | i8[0,2] | f32[] 0.5 | i8[] 0 | i32[2] 3 4 | f32[] 1 | u8[] 1",
     "u8[1,2] 3 3", 0},
};

static void test_cases(void **state) {
    (void)state;
    one_expect_all(cases, sizeof(cases) / sizeof(cases[0]));
}

static void test_refusals(void **state) {
    (void)state;
    one_refuse("com.microsoft/QLinearAdd", "",
               "u8[1] 1 | f32[2] 1 1 | - | u8[1] 1 | f32[] 1 | - | f32[] 1 | -", MM_INVALID_MODEL,
               "its input 1 is f32 with 1 axes and 2 elements, one f32 wanted");
    one_refuse("com.microsoft/QLinearAdd", "",
               "u8[1] 1 | f32[] 1 | - | u8[1] 1 | f32[] 1 | i8[] 1 | f32[] 1 | -", MM_INVALID_MODEL,
               "its input 5 is i8");
    one_refuse("com.microsoft/QLinearAdd", "",
               "u8[1] 1 | f32[] 1 | - | i8[1] 1 | f32[] 1 | - | f32[] 1 | -", MM_INVALID_MODEL,
               "its input 3 is i8, u8 wanted");
    one_refuse("com.microsoft/QLinearAdd", "",
               "u8[1] 1 | f32[] 1 | - | - | f32[] 1 | - | f32[] 1 | -", MM_INVALID_MODEL,
               "its input 3 is left out");
    one_refuse("com.microsoft/QLinearMul", "",
               "u8[1] 1 | f32[] 1 | - | u8[1] 1 | f32[] 1 | - | f32[] 1 | u8[2] 1 2",
               MM_INVALID_MODEL, "its input 7 is u8 with 1 axes and 2 elements");
    one_refuse("com.microsoft/QLinearSigmoid", "", "u8[1] 1 | - | - | f32[] 1 | -",
               MM_INVALID_MODEL, "its input 1, a scale, is left out");
    one_refuse("com.microsoft/QLinearSigmoid", "", "f32[1] 1 | f32[] 1 | - | f32[] 1 | -",
               MM_UNSUPPORTED, "is f32");
    one_refuse("com.microsoft/QLinearSoftmax", "", "u8[1] 1 | f32[] 1 | - | f32[] 1 | u8[] 0",
               MM_INVALID_MODEL, "attribute opset is missing");
    one_refuse("com.microsoft/QLinearGlobalAveragePool", "channels_last=1",
               "u8[1] 1 | f32[] 1 | - | f32[] 1 | u8[] 0", MM_INVALID_MODEL, "2 or more wanted");
    one_refuse("com.microsoft/QLinearConcat", "axis=0",
               "f32[] 1 | - | u8[1,2] 1 2 | f32[] 1 | - | u8[1,3] .. | f32[] 1 | -",
               MM_INVALID_MODEL, "its input 5 has the shape [1, 3], its input 2 [1, 2]");
    one_refuse("com.microsoft/QLinearConcat", "axis=0",
               "f32[] 1 | - | u8[2] 1 2 | f32[] 1 | - | i8[2] 1 2 | f32[] 1 | -", MM_INVALID_MODEL,
               "its input 5 is i8, u8 wanted");
    one_refuse("com.microsoft/QLinearConcat", "axis=0",
               "f32[] 1 | - | u8[2] 1 2 | f32[] 1 | - | u8[2] 1 2 | - | -", MM_INVALID_MODEL,
               "its input 6, a scale, is left out");
    one_refuse("com.microsoft/QLinearConcat", "axis=1", "f32[] 1 | - | u8[2] 1 2 | f32[] 1 | -",
               MM_INVALID_MODEL, "axis");
}

static void test_bad_gemm(void **state) {
    (void)state;
    one_refuse("com.microsoft/QGemm", "",
               "u8[1,1] 1 | f32[] 1 | u8[] 0 | i8[1,2] 1 2 | f32[3] 1 1 1 | i8[] 0",
               MM_INVALID_MODEL, "its input 4 is f32 with 1 axes and 3 elements; f32, 1 or 2");
    one_refuse("com.microsoft/QGemm", "",
               "u8[1,1] 1 | f32[2] 1 1 | u8[] 0 | i8[1,2] 1 2 | f32[] 1 | i8[] 0", MM_INVALID_MODEL,
               "its input 1 is f32 with 1 axes and 2 elements");
    one_refuse("com.microsoft/QGemm", "",
               "u8[1,1] 1 | f32[] 1 | u8[] 0 | i8[1,2] 1 2 | f32[] 1 | u8[] 0", MM_INVALID_MODEL,
               "its input 5 is u8");
    one_refuse("com.microsoft/QGemm", "",
               "u8[1,1] 1 | f32[] 1 | u8[] 0 | i8[2,2] 1 2 3 4 | f32[] 1 | i8[] 0",
               MM_INVALID_MODEL, "its left matrix has 1 columns, its right one 2 rows");
    one_refuse("com.microsoft/QGemm", "",
               "u8[1,1] 1 | f32[] 1 | u8[] 0 | i8[1,2] 1 2 | f32[] 1 | i8[] 0 | i32[3] 1 2 3",
               MM_INVALID_MODEL, "its third input cannot be broadcast");
    one_refuse("com.microsoft/QGemm", "",
               "u8[1,1] 1 | f32[] 1 | u8[] 0 | i8[1,2] 1 2 | f32[] 1 | i8[] 0 | f32[2] 1 2",
               MM_UNSUPPORTED, "is f32");
    one_refuse("com.microsoft/QGemm", "",
               "u8[1,1] 1 | f32[] 1 | u8[] 0 | i8[1,2] 1 2 | f32[] 1 | i8[] 0 | - | - | u8[] 0",
               MM_INVALID_MODEL, "its input 8 is there, its scale is not");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_bad_gemm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
