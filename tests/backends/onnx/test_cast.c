/* SPDX-License-Identifier: Apache-2.0 */

/* Casts of every type to every other, and the floats of 16 bits to the last one. */

#include "one_node.h"

#include <backends/onnx/operators/number.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

static const int32_t dtypes[] = {MM_F32,  MM_U8,  MM_I8,  MM_U16, MM_I16, MM_I32, MM_I64,
                                 MM_BOOL, MM_F16, MM_F64, MM_U32, MM_U64, MM_BF16};
#define DTYPES (sizeof(dtypes) / sizeof(dtypes[0]))

/* What a number that is of type `from` becomes, by the rules and not by the code. */
static double cast_of(double number, int32_t to) {
    if (to == MM_BOOL) {
        return number != 0;
    }
    if (ONNX_FLOATS >> to & 1) {
        return to == MM_F16 && number >= 65520 ? INFINITY : number;
    }
    double range = ldexp(1, (int)mmi_onnx_element_bytes(to) * 8), whole = trunc(number);
    double min = ONNX_SIGNED >> to & 1 ? -range / 2 : 0;
    if (whole < min) {
        return whole + ceil((min - whole) / range) * range;
    }
    return whole - floor((whole - min) / range) * range;
}

static void test_all_pairs(void **state) {
    static const double numbers[] = {0, 1, 2, 100, 1.75, 0.5, 200, 40000, -1, -100, -1.75, -0.0};
    uint32_t pairs = 0;
    (void)state;
    for (size_t f = 0; f < DTYPES; f++) {
        for (size_t t = 0; t < DTYPES; t++) {
            uint64_t from[1024], to[1024];
            struct onnx_tensor input = {.dtype = dtypes[f], .data = from};
            struct onnx_tensor output = {.dtype = dtypes[t], .data = to};
            uint64_t count = 1000; /* not one chunk */
            for (uint64_t i = 0; i < count; i++) {
                double number = numbers[i % (sizeof(numbers) / sizeof(numbers[0]))];
                number = dtypes[f] == MM_U64 ? fabs(number) : number;
                mmi_onnx_convert(MM_F64, &number, 1, dtypes[f],
                                 (uint8_t *)from + i * mmi_onnx_element_bytes(dtypes[f]));
            }
            mmi_onnx_convert(dtypes[f], from, count, dtypes[t], to);
            for (uint64_t i = 0; i < count; i++) {
                double number = mmi_onnx_float_at(&input, i);
                double wanted = cast_of(number, dtypes[t]);
                bool near = fabs(wanted) > 20000; /* not every float has it */
                double got = mmi_onnx_float_at(&output, i);
                if (got != wanted && !(near && fabs(got - wanted) <= 0.01 * fabs(wanted))) {
                    fail_msg("%s %g to %s: %g, not %g", mm_dtype_text(dtypes[f]), number,
                             mm_dtype_text(dtypes[t]), got, wanted);
                }
            }
            pairs++;
        }
    }
    assert_int_equal(pairs, DTYPES * DTYPES);
}

static void test_in_place(void **state) {
    static const int32_t pairs[][2] = {{MM_F32, MM_I32}, {MM_I32, MM_F32}, {MM_F64, MM_I64},
                                       {MM_U64, MM_F64}, {MM_F16, MM_I16}, {MM_BF16, MM_F16},
                                       {MM_I8, MM_BOOL}, {MM_F32, MM_F32}};
    (void)state;
    for (size_t p = 0; p < sizeof(pairs) / sizeof(pairs[0]); p++) {
        uint64_t data[1024];
        struct onnx_tensor output = {.dtype = pairs[p][1], .data = data};
        for (int64_t i = 0; i < 1000; i++) {
            int64_t number = i % 100;
            mmi_onnx_convert(MM_I64, &number, 1, pairs[p][0],
                             (uint8_t *)data + (uint64_t)i * mmi_onnx_element_bytes(pairs[p][0]));
        }
        mmi_onnx_convert(pairs[p][0], data, 1000, pairs[p][1], data);
        for (uint64_t i = 0; i < 1000; i++) {
            double wanted = cast_of((double)(i % 100), pairs[p][1]);
            assert_true(mmi_onnx_float_at(&output, i) == wanted);
        }
    }
}

/* ---- Floats of 16 bits ----------------------------------------------------------------------- */

static uint16_t short_of(double value, int32_t from, int32_t to) {
    uint64_t number;
    uint16_t bits;
    mmi_onnx_convert(MM_F64, &value, 1, from, &number);
    mmi_onnx_convert(from, &number, 1, to, &bits);
    return bits;
}

/* Each, and what lies in the middle between it and the next one, and just beside the middle. */
static void check_short(int32_t dtype, uint16_t infinity) {
    for (uint32_t bits = 0; bits < infinity; bits++) {
        const uint16_t pair[] = {(uint16_t)bits, (uint16_t)(bits + 1)};
        struct onnx_tensor tensor = {.dtype = dtype, .data = pair};
        float loaded;
        double low = mmi_onnx_float_at(&tensor, 0), high = mmi_onnx_float_at(&tensor, 1);
        mmi_onnx_convert(dtype, pair, 1, MM_F32, &loaded);
        assert_true((double)loaded == low);
        assert_int_equal(short_of(low, MM_F32, dtype), bits);
        assert_int_equal(short_of(-low, MM_F32, dtype), bits | 0x8000);
        assert_int_equal(short_of(low, MM_F64, dtype), bits);
        if (bits + 1 == infinity) { /* where the next one would be */
            high = low + (low - mmi_onnx_float_at(
                                    &(struct onnx_tensor){
                                        .dtype = dtype, .data = &(uint16_t){(uint16_t)(bits - 1)}},
                                    0));
        }
        double middle = low + (high - low) / 2;
        uint32_t even = bits & 1 ? bits + 1 : bits;
        assert_int_equal(short_of(middle, MM_F32, dtype), even);
        assert_int_equal(short_of(middle, MM_F64, dtype), even);
        assert_int_equal(short_of(nextafter(middle, INFINITY), MM_F64, dtype), bits + 1);
        assert_int_equal(short_of(nextafter(middle, 0), MM_F64, dtype), bits);
        double above = (double)nextafterf((float)middle, INFINITY);
        assert_int_equal(short_of(above, MM_F32, dtype), bits + 1);
        assert_int_equal(short_of((double)nextafterf((float)middle, 0), MM_F32, dtype), bits);
    }
}

static void test_short_floats(void **state) {
    static const int32_t shorts[] = {MM_F16, MM_BF16};
    static const uint16_t infinities[] = {0x7c00, 0x7f80};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        check_short(shorts[i], infinities[i]);
        static const int32_t wide[] = {MM_F32, MM_F64};
        for (size_t j = 0; j < 2; j++) {
            assert_int_equal(short_of(INFINITY, wide[j], shorts[i]), infinities[i]);
            assert_int_equal(short_of(-INFINITY, wide[j], shorts[i]), infinities[i] | 0x8000);
            uint16_t bits = short_of(NAN, wide[j], shorts[i]) & 0x7fff;
            assert_true(bits > infinities[i]);
        }
        float loaded;
        uint16_t nan = (uint16_t)(infinities[i] + 1);
        mmi_onnx_convert(shorts[i], &nan, 1, MM_F32, &loaded);
        assert_true(isnan(loaded));
        mmi_onnx_convert(shorts[i], &infinities[i], 1, MM_F32, &loaded);
        assert_true(isinf(loaded));
    }
    assert_int_equal(short_of(1e300, MM_F64, MM_F16), 0x7c00);
    assert_int_equal(short_of(1e-300, MM_F64, MM_F16), 0);
}

/* ---- The operators --------------------------------------------------------------------------- */

static void test_operators(void **state) {
    (void)state;
    one_expect("Cast", "to=7", "f32[5] 1.9 -1.9 nan inf 1e30", "i64[5] 1 -1 0 0 0");
    one_expect("Cast", "to=3", "i32[3] 200 -129 5", "i8[3] -56 127 5");
    one_expect("Cast", "to=13", "f64[2] 18446744073709549568 3", "u64[2] 18446744073709549568 3");
    one_expect("Cast", "to=1", "u64[1] 18446744073709551615", "f32[1] 1.8446744073709552e19");
    one_expect("Cast", "to=1", "i64[1] 16777217", "f32[1] 16777216");
    one_expect("Cast", "to=9", "f32[4] 0.25 -0 nan 2", "bool[4] 1 0 1 1");
    one_expect("Cast", "to=1", "bool[2,1] 1 0", "f32[2,1] 1 0");
    one_expect("Cast", "to=1 saturate=0", "f32[] 3", "f32[] 3");
    one_expect("Cast", "to=6", "f16[0,2]", "i32[0,2]");
    one_expect("CastLike", "", "f32[2] 1.5 -2.5 | i32[0]", "i32[2] 1 -2");
    one_expect("BitCast", "to=6", "f32[2] 1 -2", "i32[2] 1065353216 -1073741824");
    one_expect("BitCast", "to=2", "i8[1] -1", "u8[1] 255");
}

static void test_bad(void **state) {
    (void)state;
    one_refuse("Cast", "", "f32[1] 1", MM_INVALID_MODEL, "attribute to is 0, a type wanted");
    one_refuse("Cast", "to=99", "f32[1] 1", MM_INVALID_MODEL, "attribute to is 99");
    one_refuse("Cast", "to=14", "f32[1] 1", MM_UNSUPPORTED, "a cast to c64");
    one_refuse("Cast", "to=1", "c64[1] 1", MM_UNSUPPORTED, "its input 0 is c64");
    one_refuse("CastLike", "", "f32[1] 1 | c128[0]", MM_UNSUPPORTED, "a cast to c128");
    one_refuse("Cast", "to=17 opset=18 saturate=0", "f32[1] 1", MM_INVALID_MODEL, "saturate");
    one_refuse("Cast", "to=24 round_mode=even", "f32[1] 1", MM_UNSUPPORTED, "round_mode is 'even'");
    one_refuse("BitCast", "to=7", "f32[1] 1", MM_INVALID_MODEL, "f32 and i64 differ in width");
    one_refuse("BitCast", "to=8", "f32[1] 1", MM_UNSUPPORTED, "the bits of f32 as string");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_pairs),    cmocka_unit_test(test_in_place),
        cmocka_unit_test(test_short_floats), cmocka_unit_test(test_operators),
        cmocka_unit_test(test_bad),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
