/* SPDX-License-Identifier: Apache-2.0 */

/* Types of 8 bits and fewer: what their bits mean, casts to and from them, and what moves them. */

#include "one_node.h"

#include <backends/onnx/operators/number.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

struct type {
    int32_t dtype;
    int fraction, bias, bits;
    double max;
    bool one_zero; /* no -0 */
};
static const struct type types[] = {
    {MM_F8E4M3FN, 3, 7, 8, 448, false},  {MM_F8E4M3FNUZ, 3, 8, 8, 240, true},
    {MM_F8E5M2, 2, 15, 8, 57344, false}, {MM_F8E5M2FNUZ, 2, 16, 8, 57344, true},
    {MM_F4E2M1, 1, 1, 4, 6, false},
};
#define TYPES (sizeof(types) / sizeof(types[0]))

/* What `bits` mean by the definition of the format; NaN and infinity apart. */
static double meaning(const struct type *type, uint32_t bits) {
    uint32_t sign = bits >> (type->bits - 1), size = bits & ((1u << (type->bits - 1)) - 1);
    int exponent = (int)(size >> type->fraction);
    double fraction = (double)(size & ((1u << type->fraction) - 1)) / (1 << type->fraction);
    double value = exponent == 0 ? ldexp(fraction, 1 - type->bias)
                                 : ldexp(1 + fraction, exponent - type->bias);
    return sign ? -value : value;
}

static bool is_number(const struct type *type, uint32_t bits) {
    return fabs(meaning(type, bits)) <= type->max &&
           !(type->one_zero && bits == 1u << (type->bits - 1));
}

static void test_meaning(void **state) {
    (void)state;
    for (size_t t = 0; t < TYPES; t++) {
        for (uint32_t bits = 0; bits < 1u << types[t].bits; bits++) {
            double value = (double)mmi_onnx_narrow_value(types[t].dtype, (uint8_t)bits);
            uint8_t byte = (uint8_t)bits;
            struct onnx_tensor tensor = {.dtype = types[t].dtype, .data = &byte};
            if (is_number(&types[t], bits)) {
                assert_true(value == meaning(&types[t], bits));
                assert_true(!signbit(value) == !signbit(meaning(&types[t], bits)));
                assert_true(mmi_onnx_float_at(&tensor, 0) == value);
            } else {
                bool infinity = types[t].dtype == MM_F8E5M2 && (bits & 0x7f) == 0x7c;
                assert_true(infinity ? isinf(value) : isnan(value));
            }
        }
    }
    for (uint32_t bits = 0; bits < 255; bits++) {
        double value = (double)mmi_onnx_narrow_value(MM_F8E8M0, (uint8_t)bits);
        assert_true(value == ldexp(1, (int)bits - 127));
    }
    assert_true(isnan(mmi_onnx_narrow_value(MM_F8E8M0, 255)));
}

static uint8_t narrow(double value, int32_t from, int32_t to, int32_t saturate, int32_t round) {
    const struct onnx_narrowing how = {round, saturate};
    uint64_t wide;
    uint8_t bits = 0xee;
    mmi_onnx_convert(MM_F64, &value, 1, from, &wide);
    mmi_onnx_convert_by(&(struct onnx_conversion){from, to, &how}, &wide, 1, &bits);
    return bits;
}

/* Each number, what lies in the middle between it and the next one, and just beside the middle. */
static void test_rounding(void **state) {
    (void)state;
    for (size_t t = 0; t < TYPES; t++) {
        const struct type *type = &types[t];
        uint32_t sign = 1u << (type->bits - 1);
        for (uint32_t bits = 0; bits < sign && is_number(type, bits); bits++) {
            bool last = bits + 1 == sign || !is_number(type, bits + 1);
            double low = meaning(type, bits);
            double step = last ? low - meaning(type, bits - 1) : meaning(type, bits + 1) - low;
            double middle = low + step / 2;
            uint32_t next = last ? bits : bits + 1, even = bits & 1 ? next : bits;
            assert_int_equal(narrow(low, MM_F32, type->dtype, 1, 0), bits);
            assert_int_equal(narrow(low, MM_F64, type->dtype, 0, 0), bits);
            assert_int_equal(narrow(middle, MM_F32, type->dtype, 1, 0), even);
            assert_int_equal(narrow(middle, MM_F16, type->dtype, 1, 0), even);
            assert_int_equal(narrow(nextafter(middle, INFINITY), MM_F64, type->dtype, 1, 0), next);
            assert_int_equal(narrow(nextafter(middle, 0), MM_F64, type->dtype, 1, 0), bits);
            uint32_t minus = type->one_zero && bits == 0 ? 0 : bits | sign;
            assert_int_equal(narrow(-low, MM_F32, type->dtype, 1, 0), minus);
        }
    }
}

static void test_beyond(void **state) {
    /* NaN, what is too large, infinity, -infinity; once saturated and once not */
    static const struct {
        int32_t dtype;
        uint8_t saturated[4], not_saturated[4];
    } cases[] = {
        {MM_F8E4M3FN, {0x7f, 0x7e, 0x7e, 0xfe}, {0x7f, 0x7f, 0x7f, 0xff}},
        {MM_F8E4M3FNUZ, {0x80, 0x7f, 0x7f, 0xff}, {0x80, 0x80, 0x80, 0x80}},
        {MM_F8E5M2, {0x7e, 0x7b, 0x7b, 0xfb}, {0x7e, 0x7c, 0x7c, 0xfc}},
        {MM_F8E5M2FNUZ, {0x80, 0x7f, 0x7f, 0xff}, {0x80, 0x80, 0x80, 0x80}},
        {MM_F4E2M1, {0x08, 0x07, 0x07, 0x0f}, {0x08, 0x07, 0x07, 0x0f}},
    };
    const double values[4] = {(double)NAN, 1e6, (double)INFINITY, -(double)INFINITY};
    (void)state;
    for (size_t c = 0; c < sizeof(cases) / sizeof(cases[0]); c++) {
        for (size_t i = 0; i < 4; i++) {
            double value = i == 0 ? copysign(values[i], 1) : values[i];
            assert_int_equal(narrow(value, MM_F32, cases[c].dtype, 1, 0), cases[c].saturated[i]);
            assert_int_equal(narrow(value, MM_F32, cases[c].dtype, 0, 0),
                             cases[c].not_saturated[i]);
        }
    }
    assert_int_equal(narrow(464, MM_F32, MM_F8E4M3FN, 0, 0), 0x7e); /* a tie, to even */
    assert_int_equal(narrow(464.001, MM_F64, MM_F8E4M3FN, 0, 0), 0x7f);
}

static void test_powers(void **state) {
    enum { UP = ONNX_ROUND_UP, DOWN = ONNX_ROUND_DOWN, NEAREST = ONNX_ROUND_NEAREST };
    (void)state;
    for (int i = -126; i < 127; i++) {
        double power = ldexp(1, i), above = ldexp(1.25, i), middle = ldexp(1.5, i);
        int bits = i + 127;
        for (int32_t mode = UP; mode <= NEAREST; mode++) {
            assert_int_equal(narrow(power, MM_F32, MM_F8E8M0, 1, mode), bits);
        }
        assert_int_equal(narrow(above, MM_F32, MM_F8E8M0, 1, UP), bits + 1);
        assert_int_equal(narrow(above, MM_F32, MM_F8E8M0, 1, DOWN), bits);
        assert_int_equal(narrow(above, MM_F32, MM_F8E8M0, 1, NEAREST), bits);
        assert_int_equal(narrow(middle, MM_F32, MM_F8E8M0, 1, NEAREST), bits + 1);
    }
    assert_int_equal(narrow(0x1p-127, MM_F32, MM_F8E8M0, 0, UP), 0);
    assert_int_equal(narrow(0x1.4p-127, MM_F32, MM_F8E8M0, 0, UP), 1);
    assert_int_equal(narrow(0x1.4p-127, MM_F32, MM_F8E8M0, 0, NEAREST), 0);
    assert_int_equal(narrow(0x1.8p-127, MM_F32, MM_F8E8M0, 0, NEAREST), 1);
    assert_int_equal(narrow(0, MM_F32, MM_F8E8M0, 1, UP), 0);
    assert_int_equal(narrow(0, MM_F32, MM_F8E8M0, 0, NEAREST), 255);
    assert_int_equal(narrow(0x1.8p127, MM_F32, MM_F8E8M0, 1, UP), 254);
    assert_int_equal(narrow(0x1.8p127, MM_F32, MM_F8E8M0, 0, NEAREST), 255);
    assert_int_equal(narrow((double)INFINITY, MM_F32, MM_F8E8M0, 1, UP), 254);
    assert_int_equal(narrow((double)INFINITY, MM_F32, MM_F8E8M0, 0, NEAREST), 255);
    assert_int_equal(narrow((double)NAN, MM_F32, MM_F8E8M0, 1, UP), 255);
}

/* ---- Elements that share bytes --------------------------------------------------------------- */

static void test_packed(void **state) {
    static const int32_t packed[] = {MM_I4, MM_U4, MM_I2, MM_U2, MM_F4E2M1};
    uint8_t bytes[1001], again[1001], wide[1001];
    (void)state;
    for (size_t t = 0; t < sizeof(packed) / sizeof(packed[0]); t++) {
        uint32_t bits = mmi_onnx_packed_bits(packed[t]);
        for (uint64_t count = 0; count <= 1001; count += count < 9 ? 1 : 124) {
            memset(bytes, 0xff, sizeof(bytes));
            for (uint64_t i = 0; i < count; i++) {
                wide[i] = (uint8_t)(i * 37 >> 2 & ((1u << bits) - 1));
            }
            mmi_onnx_pack_bits(packed[t], wide, count, bytes);
            mmi_onnx_unpack_bits(packed[t], bytes, count, again);
            assert_memory_equal(wide, again, count);
            assert_int_equal(bytes[mm_dtype_bytes(packed[t], count)], 0xff);
        }
    }
    assert_int_equal(mmi_onnx_packed_value(MM_I4, 15), -1);
    assert_int_equal(mmi_onnx_packed_value(MM_I2, 2), -2);
    assert_int_equal(mmi_onnx_packed_value(MM_U2, 7), 3);
}

static void test_moving_bits(void **state) {
    uint8_t from[] = {0x21, 0x43, 0x65}, to[] = {0xff, 0xff, 0xff};
    (void)state;
    mmi_onnx_move_bits(MM_I4, from, 1, to, 2, 3);
    assert_memory_equal(to, ((const uint8_t[]){0xff, 0x32, 0xf4}), 3);
    mmi_onnx_move_bits(MM_U2, from, 2, to, 1, 2);
    assert_memory_equal(to, ((const uint8_t[]){0xcb, 0x32, 0xf4}), 3);
}

static void test_casts(void **state) {
    (void)state;
    one_expect("Cast", "to=22", "f32[5] -9 7 8 -1.9 2.5", "i4[5] 7 7 8 15 2");
    one_expect("Cast", "to=21", "i32[3] -1 16 17", "u4[3] 15 0 1");
    one_expect("Cast", "to=26", "f16[5] 16384 15360 0 48128 49152", "i2[5] 2 1 0 3 2");
    one_expect("Cast", "to=25", "i64[5] 4 5 6 7 8", "u2[5] 0 1 2 3 0");
    one_expect("Cast", "to=3", "i4[3] 7 8 15", "i8[3] 7 -8 -1");
    one_expect("Cast", "to=1", "u4[3] 7 8 15", "f32[3] 7 8 15");
    one_expect("Cast", "to=26", "i4[3] 7 8 15", "i2[3] 3 0 3");
    one_expect("Cast", "to=21", "i4[3] 7 8 15", "u4[3] 7 8 15");
    one_expect("Cast", "to=9", "i2[3] 3 0 1", "bool[3] 1 0 1");
    one_expect("Cast", "to=23", "f32[6] 0.3 -7 2.5 5 nan 1.75", "f4e2m1[6] 1 15 4 6 8 4");
    one_expect("Cast", "to=1", "f4e2m1[8] 0 1 2 3 4 5 6 15", "f32[8] 0 0.5 1 1.5 2 3 4 -6");
    one_expect("Cast", "to=17", "f32[3] 1 1000 -0", "f8e4m3fn[3] 56 126 128");
    one_expect("Cast", "to=17 saturate=0", "f32[2] 1000 -1000", "f8e4m3fn[2] 127 255");
    one_expect("Cast", "to=24 round_mode=down", "f32[2] 3 4", "f8e8m0[2] 128 129");
    one_expect("Cast", "to=24", "f32[2] 3 4", "f8e8m0[2] 129 129");
    one_expect("Cast", "to=20", "f8e5m2[2] 60 188", "f8e5m2fnuz[2] 64 192");
    one_expect("CastLike", "saturate=0", "f32[1] 1e9 | f8e5m2[0]", "f8e5m2[1] 124");
    one_expect("CastLike", "", "f64[2] 1 -1 | u2[1] 0", "u2[2] 1 3");
    one_expect("BitCast", "to=21", "i4[3] 1 15 8", "u4[3] 1 15 8");
    one_expect("BitCast", "to=19", "i8[1] -1", "f8e5m2[1] 255");
    one_refuse("BitCast", "to=21", "i2[4] 1 2 3 1", MM_INVALID_MODEL, "i2 and u4 differ");
}

static void test_movement(void **state) {
    (void)state;
    one_expect("Transpose", "", "i4[2,3] 1 2 3 4 5 6", "i4[3,2] 1 4 2 5 3 6");
    one_expect("Transpose", "perm=[1,0,2]", "u2[3,1,3] 0 1 2 3 0 1 2 3 0",
               "u2[1,3,3] 0 1 2 3 0 1 2 3 0");
    one_expect("Transpose", "", "u4[0,3]", "u4[3,0]");
    one_expect("Pad", "", "i4[3] 1 2 3 | i64[2] 1 2 | i4[] 9", "i4[6] 9 1 2 3 9 9");
    one_expect("Pad", "", "u2[3] 1 2 3 | i64[2] 0 2", "u2[5] 1 2 3 0 0");
    one_expect("Pad", "mode=edge", "f4e2m1[2] 1 2 | i64[2] 1 1", "f4e2m1[4] 1 1 2 2");
    one_expect("Pad", "", "f8e5m2[2] 1 2 | i64[2] 1 0 | f8e5m2[] 60", "f8e5m2[3] 60 1 2");
    one_expect("Flatten", "", "u4[3,1,3] ..", "u4[3,3] ..");
    one_expect("Squeeze", "", "i2[1,3] 1 2 3", "i2[3] 1 2 3");
    one_expect("Unsqueeze", "", "f4e2m1[3] 1 2 3 | i64[1] 0", "f4e2m1[1,3] 1 2 3");
    one_expect("Identity", "", "i4[3] 1 2 3", "i4[3] 1 2 3");
    one_expect("Shape", "", "i4[3,5] ..", "i64[2] 3 5");
    one_expect("Size", "", "u2[3,5] ..", "i64[] 15");
    one_expect("ConstantOfShape", "; value i4[1] 9", "i64[1] 3", "i4[3] 9 9 9");
    one_expect("ConstantOfShape", "; value u2[1] 2", "i64[2] 1 3", "u2[1,3] 2 2 2");
    one_expect("ConstantOfShape", "; value u2[1] 2", "i64[1] 0", "u2[0]");
    one_refuse("Pad", "", "i4[3] 1 2 3 | i64[2] 1 2 | u8[] 9", MM_INVALID_MODEL,
               "its input 2 is u8, its input 0 i4");
    one_refuse("Transpose", "perm=[0,0]", "i4[3,1] 1 2 3", MM_INVALID_MODEL, "no order of 2 axes");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_meaning), cmocka_unit_test(test_rounding),
        cmocka_unit_test(test_beyond),  cmocka_unit_test(test_powers),
        cmocka_unit_test(test_packed),  cmocka_unit_test(test_moving_bits),
        cmocka_unit_test(test_casts),   cmocka_unit_test(test_movement),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
