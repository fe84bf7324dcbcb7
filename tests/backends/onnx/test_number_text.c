/* SPDX-License-Identifier: Apache-2.0 */

/* Cast between numbers and text. */

#include "one_node.h"

#include <backends/onnx/operators/number.h>

#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static void test_writing(void **state) {
    (void)state;
    one_expect("Cast", "to=8", "f32[6] 0.1 1.5 -2 1e-7 123456789 0.0001",
               "string[6] 0.1 1.5 -2.0 1e-07 123456790.0 0.0001");
    one_expect("Cast", "to=8", "f32[5] 314.15926 1e15 1e16 3e38 1.25e-5",
               "string[5] 314.15927 1000000000000000.0 1e+16 3e+38 1.25e-05");
    one_expect("Cast", "to=8", "f32[5] nan inf -inf 0 -0", "string[5] NaN INF -INF 0.0 -0.0");
    one_expect("Cast", "to=8", "f64[4] 0.1 123456789.125 1e300 5e-324",
               "string[4] 0.1 123456789.125 1e+300 5e-324");
    one_expect("Cast", "to=8", "f16[3] 15360 11878 31743", "string[3] 1.0 0.1 65500.0");
    one_expect("Cast", "to=8", "i64[2] -9223372036854775808 7", "string[2] -9223372036854775808 7");
    one_expect("Cast", "to=8", "u64[1] 18446744073709551615", "string[1] 18446744073709551615");
    one_expect("Cast", "to=8", "bool[2] 1 0", "string[2] 1 0");
    one_expect("Cast", "to=8", "i4[2] 15 7", "string[2] -1 7");
    one_expect("Cast", "to=8", "f8e5m2[1] 60", "string[1] 1.0");
    one_expect("CastLike", "", "i32[2] 5 -6 | string[1] x", "string[2] 5 -6");
    one_expect("Cast", "to=8", "string[2] ab c", "string[2] ab c");
    one_expect("Cast", "to=8", "f32[0]", "string[0]");
}

static void test_reading(void **state) {
    (void)state;
    one_expect("Cast", "to=1", "string[6] 3.14 1000 1e-5 1E8 +INF -inf",
               "f32[6] 3.14 1000 1e-5 1e8 inf -inf");
    one_expect("Cast", "to=11", "string[2] 0.1 Inf", "f64[2] 0.1 inf");
    one_expect("Cast", "to=9", "string[3] 0 1 NaN", "bool[3] 0 1 1");
    one_expect("Cast", "to=7", "string[3] 9223372036854775807 -5 100.5",
               "i64[3] 9223372036854775807 -5 100");
    one_expect("Cast", "to=13", "string[1] 18446744073709551615", "u64[1] 18446744073709551615");
    one_expect("Cast", "to=3", "string[2] -128 12", "i8[2] -128 12");
    one_expect("Cast", "to=10", "string[2] 0.1 65504", "f16[2] 11878 31743");
    one_expect("Cast", "to=22", "string[3] -1 7 3", "i4[3] 15 7 3");
    one_expect("Cast", "to=17", "string[1] 1000", "f8e4m3fn[1] 126");
    one_expect("Cast", "to=17 saturate=0", "string[1] 1000", "f8e4m3fn[1] 127");
    one_refuse("Cast", "to=1", "string[2] 1 hello", MM_INVALID_ARGUMENT,
               "element 1 of its input, 'hello', is no number");
    one_refuse("Cast", "to=7", "string[1] 1x", MM_INVALID_ARGUMENT, "'1x', is no number");
}

/* Blanks around are no matter; nothing, a NUL or a very long text is no number. */
static void check_text(const char *text, uint64_t bytes, bool is_number) {
    struct one_node one;
    const struct onnx_string string = {text, bytes};
    one_init(&one, "Cast", "to=6");
    one_input(&one, MM_STRING, 1, (const int64_t[]){1}, &string);
    assert_int_equal(one_run(&one, 1), is_number ? MM_OK : MM_INVALID_ARGUMENT);
    assert_true(!is_number || mmi_onnx_int_at(&one.outputs[0], 0) == 12);
    one_fini(&one);
}

static void test_odd_text(void **state) {
    static char long_text[1000];
    (void)state;
    memset(long_text, '1', sizeof(long_text));
    check_text(" 12\t\n", 5, true);
    check_text("123", 2, true);
    check_text("", 0, false);
    check_text(NULL, 0, false);
    check_text("  ", 2, false);
    check_text("12\0", 3, false);
    check_text(long_text, sizeof(long_text), false);
}

/* Every f16 and many f32 come back as they were. */
static void test_both_ways(void **state) {
    enum { COUNT = 3000 };
    float numbers[COUNT];
    uint64_t seed = 7;
    (void)state;
    for (uint64_t i = 0; i < COUNT; i++) {
        uint32_t bits = (uint32_t)test_random_below(&seed, 0x7f800000);
        memcpy(&numbers[i], &bits, sizeof(bits));
    }
    struct one_node one, back;
    one_init(&one, "Cast", "to=8");
    one_input(&one, MM_F32, 1, (const int64_t[]){COUNT}, numbers);
    assert_int_equal(one_run(&one, 1), MM_OK);
    one_init(&back, "Cast", "to=1");
    one_input(&back, MM_STRING, 1, (const int64_t[]){COUNT}, one.outputs[0].data);
    assert_int_equal(one_run(&back, 1), MM_OK);
    assert_memory_equal(back.outputs[0].data, numbers, sizeof(numbers));
    one_fini(&one);
    one_fini(&back);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_writing),
        cmocka_unit_test(test_reading),
        cmocka_unit_test(test_odd_text),
        cmocka_unit_test(test_both_ways),
    };
    setlocale(LC_ALL, ""); /* a program's own locale is no matter */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
