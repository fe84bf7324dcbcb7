/* SPDX-License-Identifier: Apache-2.0 */

/* QuantizeLinear, DequantizeLinear, DynamicQuantizeLinear. */

#include "one_node.h"

#include <backends/onnx/operators/number.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

static void test_quantize(void **state) {
    (void)state;
    /* ties to even before the zero point is added; within the range */
    one_expect("QuantizeLinear", "", "f32[8] 1 3 5 -1 -3 1000 -1000 0 | f32[] 2 | u8[] 1",
               "u8[8] 1 3 3 1 0 255 0 1");
    one_expect("QuantizeLinear", "", "f32[3] 1e30 -inf nan | f32[] 1 | i8[] 5", "i8[3] 127 -128 5");
    one_expect("QuantizeLinear", "", "f32[2] 2.5 300 | f32[1] 1", "u8[2] 2 255");
    one_expect("QuantizeLinear", "output_dtype=5", "f32[2] 2.5 40000 | f32[] 1", "i16[2] 2 32767");
    one_expect("QuantizeLinear", "", "f32[3] 9 -9 3 | f32[] 1 | i4[] 0", "i4[3] 7 8 3");
    one_expect("QuantizeLinear", "", "f32[3] 9 -9 1 | f32[] 1 | i2[] 0", "i2[3] 1 2 1");
    one_expect("QuantizeLinear", "output_dtype=25", "f32[3] 9 -9 1 | f32[] 1", "u2[3] 3 0 1");
    one_expect("QuantizeLinear", "axis=0", "f32[2,2] 2 4 9 12 | f32[2] 2 3 | u8[2] 0 10",
               "u8[2,2] 1 2 13 14");
    one_expect("QuantizeLinear", "", "f32[2,2] 2 6 4 9 | f32[2] 2 3", "u8[2,2] 1 2 2 3");
    one_expect("QuantizeLinear", "block_size=2 axis=-1",
               "f32[2,3] 2 4 9 6 3 8 | f32[2,2] 2 3 3 4 | u8[2,2] 0 1 2 3", "u8[2,3] 1 2 4 4 3 5");
    one_expect("QuantizeLinear", "block_size=2 axis=0", "f32[3,1] 2 4 9 | f32[2,1] 2 3",
               "u8[3,1] 1 2 3");
    one_expect("QuantizeLinear", "", "i32[2] 10 -7 | f32[] 2 | i8[] 0", "i8[2] 5 -4");
    one_expect("QuantizeLinear", "", "f32[3] 1 1000 -3 | f32[] 1 | f8e4m3fn[] 0",
               "f8e4m3fn[3] 56 126 196");
    one_expect("QuantizeLinear", "saturate=0", "f32[1] 1000 | f32[] 1 | f8e4m3fn[] 0",
               "f8e4m3fn[1] 127");
    one_expect("QuantizeLinear", "output_dtype=23", "f32[3] 1 100 -3 | f32[] 1",
               "f4e2m1[3] 2 7 13");
    one_expect("QuantizeLinear", "", "f32[2] 8 6 | f8e8m0[] 128", "u8[2] 4 3");
    one_expect("QuantizeLinear", "", "f32[0] | f32[] 1 | i4[] 0", "i4[0]");
}

/* 2049 / 2 in f16 is 1024, for f16 has no 2049. */
static void test_precision(void **state) {
    (void)state;
    one_expect("QuantizeLinear", "", "f32[1] 2051 | f16[] 15360 | u16[] 0", "u16[1] 2052");
    one_expect("QuantizeLinear", "precision=1", "f32[1] 2051 | f16[] 15360 | u16[] 0",
               "u16[1] 2051");
    one_expect("QuantizeLinear", "precision=10", "f32[1] 2049 | f32[] 1 | u16[] 0", "u16[1] 2048");
    one_refuse("QuantizeLinear", "precision=7", "f32[1] 2049 | f32[] 1", MM_UNSUPPORTED,
               "attribute precision is 7 (i64)");
}

static void test_dequantize(void **state) {
    (void)state;
    one_expect("DequantizeLinear", "", "u8[3] 0 3 255 | f32[] 2 | u8[] 128",
               "f32[3] -256 -250 254");
    one_expect("DequantizeLinear", "", "i32[2] 7 -3 | f32[] 0.5", "f32[2] 3.5 -1.5");
    one_expect("DequantizeLinear", "axis=0", "i8[2,2] 1 2 3 4 | f32[2] 1 2 | i8[2] 0 1",
               "f32[2,2] 1 2 4 6");
    one_expect("DequantizeLinear", "block_size=2", "i4[2,3] 1 2 3 15 14 13 | f32[2,2] 1 2 3 4",
               "f32[2,3] 1 2 6 -3 -6 -12");
    one_expect("DequantizeLinear", "", "u2[3] 0 1 3 | f32[] 2 | u2[] 1", "f32[3] -2 0 4");
    one_expect("DequantizeLinear", "", "i2[3] 0 1 3 | f32[] 2 | i2[] 1", "f32[3] -2 0 -4");
    one_expect("DequantizeLinear", "", "f4e2m1[2] 7 9 | f32[] 2", "f32[2] 12 -1");
    one_expect("DequantizeLinear", "", "f8e5m2[2] 60 188 | f32[] 2", "f32[2] 2 -2");
    one_expect("DequantizeLinear", "", "u16[1] 65535 | f16[] 15360 | u16[] 65534", "f16[1] 15360");
    one_expect("DequantizeLinear", "output_dtype=1", "i8[1] 3 | f16[] 16384", "f32[1] 6");
    one_expect("DequantizeLinear", "output_dtype=1", "i8[1] 3 | f8e8m0[] 128", "f32[1] 6");
    one_expect("DequantizeLinear", "opset=10", "u8[2,2] 1 2 3 4 | f32[] 2", "f32[2,2] 2 4 6 8");
}

static void test_dynamic(void **state) {
    (void)state;
    one_expect("DynamicQuantizeLinear", "", "f32[3] 0 255 51", "u8[3] 0 255 51 | f32[] 1 | u8[] 0");
    one_expect("DynamicQuantizeLinear", "", "f32[2] -255 0", "u8[2] 0 255 | f32[] 1 | u8[] 255");
    one_expect("DynamicQuantizeLinear", "", "f32[2] 0 0", "u8[2] 0 0 | f32[] 1 | u8[] 0");
    one_expect("DynamicQuantizeLinear", "", "f32[0]", "u8[0] | f32[] 1 | u8[] 0");
    one_refuse("DynamicQuantizeLinear", "", "f16[1] 1", MM_UNSUPPORTED, "its input 0 is f16");
}

static void test_bad(void **state) {
    static const char type[] = "QuantizeLinear";
    (void)state;
    one_refuse(type, "axis=2", "f32[2,2] .. | f32[2] 1 2", MM_INVALID_MODEL, "axis 2 of a tensor");
    one_refuse(type, "", "f32[2,2] .. | f32[3] 1 2 3", MM_INVALID_MODEL, "its scale has 1 axes");
    one_refuse(type, "", "f32[2,2] .. | f32[2] 1 2 | u8[1] 1", MM_INVALID_MODEL,
               "its zero point 1 and 1");
    one_refuse(type, "block_size=-1", "f32[2,2] .. | f32[2,1] 1 2", MM_INVALID_MODEL,
               "block_size is -1");
    one_refuse(type, "block_size=1", "f32[2,2] .. | f32[2,1] 1 2", MM_INVALID_MODEL,
               "its scale has 2 axes");
    one_refuse(type, "block_size=2", "f32[2,2] .. | f32[] 1", MM_INVALID_MODEL, "its scale has 0");
    one_refuse(type, "output_dtype=2", "f32[1] 1 | f32[] 1 | i8[] 0", MM_INVALID_MODEL,
               "output_dtype u8");
    one_refuse(type, "output_dtype=1", "f32[1] 1 | f32[] 1", MM_UNSUPPORTED,
               "attribute output_dtype is 1 (f32)");
    one_refuse(type, "", "f64[1] 1 | f32[] 1", MM_UNSUPPORTED, "its input 0 is f64");
    one_refuse("DequantizeLinear", "", "u8[1] 1 | f32[] 1 | i8[] 0", MM_INVALID_MODEL,
               "its zero point is i8, its input u8");
    one_refuse("DequantizeLinear", "", "u8[1] 1 | f8e8m0[] 1", MM_INVALID_MODEL,
               "without attribute output_dtype");
    one_refuse("DequantizeLinear", "", "f32[1] 1 | f32[] 1", MM_UNSUPPORTED, "its input 0 is f32");
    one_refuse("DequantizeLinear", "opset=12 axis=0", "u8[1] 1 | f32[] 1", MM_INVALID_MODEL,
               "attribute axis");
}

/* Long tensors, each granularity, along an axis in the middle and the last one, against the
 * formula. */
static void check_long(uint64_t c) {
    enum { A = 7, B = 390, BLOCK = 16, BLOCKS = 25 };
    static const int32_t dtypes[] = {MM_U8, MM_I8, MM_I4, MM_U2, MM_I16};
    const int64_t inner = (int64_t)c;
    const int64_t shape[] = {A, B, inner}, blocks[] = {A, BLOCKS, inner}, slices[] = {B};
    uint64_t seed = 3;
    for (int form = 0; form < 3; form++) {
        for (size_t t = 0; t < sizeof(dtypes) / sizeof(dtypes[0]); t++) {
            struct one_node one;
            one_init(&one, "DequantizeLinear", form == 2 ? "block_size=16" : "");
            const double *x = one_numbers(&one, dtypes[t], 3, shape, &seed);
            const struct onnx_tensor *input = &one.inputs[0];
            uint32_t rank = form == 2 ? 3 : (uint32_t)form;
            const int64_t *own = form == 2 ? blocks : slices;
            const double *scale = one_numbers(&one, MM_F32, rank, own, &seed);
            one_numbers(&one, dtypes[t], rank, own, &seed);
            const struct onnx_tensor *zero = &one.inputs[2];
            assert_non_null(x);
            assert_int_equal(one_run(&one, 1), MM_OK);
            for (uint64_t i = 0; i < A * B * c; i++) {
                uint64_t slice = i / c % B;
                uint64_t at = form == 0   ? 0
                              : form == 1 ? slice
                                          : (i / c / B * BLOCKS + slice / BLOCK) * c + i % c;
                double wanted =
                    (mmi_onnx_float_at(input, i) - mmi_onnx_float_at(zero, at)) * scale[at];
                assert_true(mmi_onnx_float_at(&one.outputs[0], i) == wanted);
            }
            one_fini(&one);
        }
    }
}

static void test_long(void **state) {
    (void)state;
    check_long(1);
    check_long(5);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_quantize),   cmocka_unit_test(test_precision),
        cmocka_unit_test(test_dequantize), cmocka_unit_test(test_dynamic),
        cmocka_unit_test(test_bad),        cmocka_unit_test(test_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
