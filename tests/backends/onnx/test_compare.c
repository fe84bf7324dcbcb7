/* SPDX-License-Identifier: Apache-2.0 */

/* What gives bool, and what takes it. Numbers from ONNX Runtime 1.31.1 and onnx's reference
 * evaluator. */

#include "one_node.h"

static const struct one_case comparisons[] = {
    {"Equal", "", "f32[5] 1 2 3 nan -0 | f32[5] 2 2 2 nan 0", "bool[5] 0 1 0 0 1", 0},
    {"Greater", "", "f32[5] 1 2 3 nan -0 | f32[5] 2 2 2 nan 0", "bool[5] 0 0 1 0 0", 0},
    {"GreaterOrEqual", "", "f32[5] 1 2 3 nan -0 | f32[5] 2 2 2 nan 0", "bool[5] 0 1 1 0 1", 0},
    {"Less", "", "f32[5] 1 2 3 nan -0 | f32[5] 2 2 2 nan 0", "bool[5] 1 0 0 0 0", 0},
    {"LessOrEqual", "", "f32[5] 1 2 3 nan -0 | f32[5] 2 2 2 nan 0", "bool[5] 1 1 0 0 1", 0},
    {"Less", "", "f64[3] 1 2 3 | f64[] 2", "bool[3] 1 0 0", 0},
    {"Less", "", "f16[3] 15360 16384 16896 | f16[] 16384", "bool[3] 1 0 0", 0},
    {"Less", "", "i8[3] 1 2 3 | i8[] 2", "bool[3] 1 0 0", 0},
    {"Less", "", "i16[3] 1 2 3 | i16[] 2", "bool[3] 1 0 0", 0},
    {"Less", "", "i32[3] 1 2 3 | i32[] 2", "bool[3] 1 0 0", 0},
    {"Less", "", "i64[3] 1 2 3 | i64[] 2", "bool[3] 1 0 0", 0},
    {"Less", "", "u8[3] 1 2 3 | u8[] 2", "bool[3] 1 0 0", 0},
    {"Less", "", "u16[3] 1 2 3 | u16[] 2", "bool[3] 1 0 0", 0},
    {"Less", "", "u32[3] 1 2 3 | u32[] 2", "bool[3] 1 0 0", 0},
    {"Less", "", "u64[3] 1 2 3 | u64[] 2", "bool[3] 1 0 0", 0},
    {"Equal", "", "bool[3] 1 0 1 | bool[3] 1 1 0", "bool[3] 1 0 0", 0},
    {"Greater", "", "u64[2] 9223372036854775808 1 | u64[2] 1 9223372036854775808", "bool[2] 1 0",
     0},
    {"Greater", "", "i64[2] -1 1 | i64[2] 1 -1", "bool[2] 0 1", 0},
    {"Equal", "", "i64[1] 9007199254740993 | i64[1] 9007199254740992", "bool[1] 0", 0},
    {"And", "", "bool[2,2] 0 0 1 1 | bool[2] 0 1", "bool[2,2] 0 0 0 1", 0},
    {"Or", "", "bool[2,2] 0 0 1 1 | bool[2] 0 1", "bool[2,2] 0 1 1 1", 0},
    {"Xor", "", "bool[2,2] 0 0 1 1 | bool[2] 0 1", "bool[2,2] 0 1 1 0", 0},
    {"Not", "", "bool[2,2] 0 0 1 1", "bool[2,2] 1 1 0 0", 0},
    {"IsNaN", "", "f32[3] 1 nan inf", "bool[3] 0 1 0", 0},
    {"IsNaN", "", "f64[2] 1 nan", "bool[2] 0 1", 0},
    {"IsNaN", "", "f16[2] 15360 32256", "bool[2] 0 1", 0},
    {"IsInf", "", "f32[4] 1 nan inf -inf", "bool[4] 0 0 1 1", 0},
    {"IsInf", "detect_negative=0", "f32[4] 1 nan inf -inf", "bool[4] 0 0 1 0", 0},
    {"IsInf", "detect_positive=0", "f32[4] 1 nan inf -inf", "bool[4] 0 0 0 1", 0},
    {"Where", "", "bool[2,2] 1 0 0 1 | f32[2,2] 1 2 3 4 | f32[2,2] 5 6 7 8", "f32[2,2] 1 6 7 4", 0},
    {"Where", "", "bool[2,1] 1 0 | i64[3] 1 2 3 | i64[] 0", "i64[2,3] 1 2 3 0 0 0", 0},
    {"Where", "", "bool[2,1] 1 0 | u8[] 7 | u8[] 9", "u8[2,1] 7 9", 0},
    {"Where", "", "bool[2] 1 0 | f16[2] 15360 16384 | f16[2] 16896 17408", "f16[2] 15360 17408", 0},
    {"Where", "", "bool[2] 1 0 | bool[2] 0 0 | bool[2] 1 1", "bool[2] 0 1", 0},
    {"Where", "", "bool[] 1 | f32[2] 1 2 | f32[2] 3 4", "f32[2] 1 2", 0},
};

static void test_comparisons(void **state) {
    (void)state;
    one_expect_all(comparisons, sizeof(comparisons) / sizeof(comparisons[0]));
}

/* Any bits of a width, in stretches and broadcast. */
static void test_where(void **state) {
    (void)state;
    one_expect("Where", "", "bool[2,1] 1 0 | f8e4m3fn[2] 7 8 | f8e4m3fn[] 9",
               "f8e4m3fn[2,2] 7 8 9 9");
    one_expect("Where", "", "bool[0] | i64[1] 7 | i64[] 9", "i64[0]");
    one_expect("Where", "", "bool[3] 0 2 255 | u16[3] 1 2 3 | u16[3] 4 5 6", "u16[3] 4 2 3");
    struct one_node one;
    static const int64_t shape[] = {7, 100}, row[] = {100};
    uint8_t truth[700];
    for (uint32_t i = 0; i < 700; i++) {
        truth[i] = i % 3 == 0;
    }
    one_init(&one, "Where", "");
    one_input(&one, MM_BOOL, 2, shape, truth);
    one_input(&one, MM_F32, 2, shape, NULL);
    one_input(&one, MM_F32, 1, row, NULL);
    assert_int_equal(one_run(&one, 1), MM_OK);
    for (uint32_t i = 0; i < 700; i++) {
        double wanted = truth[i] ? i + 1 : i % 100 + 1;
        assert_true(mmi_onnx_float_at(&one.outputs[0], i) == wanted);
    }
    one_fini(&one);
}

static void test_bad(void **state) {
    (void)state;
    one_refuse("Less", "", "string[1] a | string[1] b", MM_UNSUPPORTED, "its input 0 is string");
    one_refuse("Greater", "", "bool[1] 1 | bool[1] 0", MM_UNSUPPORTED, "its input 0 is bool");
    one_refuse("Equal", "", "f32[1] 1 | i32[1] 0", MM_INVALID_MODEL,
               "its input 1 is i32, its input 0 f32");
    one_refuse("And", "", "f32[1] 1 | f32[1] 0", MM_UNSUPPORTED,
               "its input 0 is f32, one of bool wanted");
    one_refuse("Not", "", "u8[1] 1", MM_UNSUPPORTED, "its input 0 is u8");
    one_refuse("IsNaN", "", "i32[1] 1", MM_UNSUPPORTED, "its input 0 is i32");
    one_refuse("IsInf", "detect_negative=x", "f32[1] 1", MM_INVALID_MODEL, "detect_negative");
    one_refuse("Less", "", "f32[2] .. | f32[3] ..", MM_INVALID_MODEL, "do not broadcast");
    one_refuse("Where", "", "f32[1] 1 | f32[1] 1 | f32[1] 1", MM_UNSUPPORTED, "its input 0 is f32");
    one_refuse("Where", "", "bool[1] 1 | f32[1] 1 | f64[1] 1", MM_INVALID_MODEL,
               "its input 2 is f64, its input 1 f32");
    one_refuse("Where", "", "bool[1] 1 | u4[1] | u4[1]", MM_UNSUPPORTED, "u4");
    one_refuse("Where", "", "bool[2] 1 1 | f32[3] .. | f32[1] 1", MM_INVALID_MODEL,
               "shapes [2] and [3]");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_comparisons),
        cmocka_unit_test(test_where),
        cmocka_unit_test(test_bad),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
