/* SPDX-License-Identifier: Apache-2.0 */

/* Numbers of every type as f64 and back. */

#include <backends/onnx/operators/widen.h>
#include <support/world.h>

#include <math.h>
#include <string.h>

static uint16_t narrow_short(int32_t dtype, double number) {
    uint16_t bits;
    mmi_onnx_narrow(&number, 1, dtype, &bits);
    return bits;
}

/* All 65,536 of them come back as they were. */
static void test_all_shorts(void **state) {
    (void)state;
    static const int32_t dtypes[] = {MM_F16, MM_BF16};
    for (uint32_t i = 0; i < 2 * 65536; i++) {
        uint16_t bits = (uint16_t)i;
        double number;
        mmi_onnx_widen(dtypes[i >> 16], &bits, 1, &number);
        uint16_t back = narrow_short(dtypes[i >> 16], number);
        uint16_t infinity = i >> 16 ? 0x7f80 : 0x7c00;
        bool is_nan = (bits & 0x7fff) > infinity;
        assert_true(is_nan == (isnan(number) != 0));
        assert_true(is_nan ? (back & 0x7fff) > infinity : back == bits);
    }
}

static void test_rounding(void **state) {
    (void)state;
    static const struct {
        int32_t dtype;
        uint16_t bits;
        double number;
    } cases[] = {
        {MM_F16, 0x3c00, 1 + 0x1p-11},           /* a tie, to even */
        {MM_F16, 0x3c02, 1 + 0x1p-10 + 0x1p-11}, /* a tie, to even */
        {MM_F16, 0x3c01, 1 + 0x1.2p-11},
        {MM_F16, 0x4000, 2 - 0x1p-12}, /* carries into the exponent */
        {MM_F16, 0x7bff, 65519.99},
        {MM_F16, 0x7c00, 65520},
        {MM_F16, 0xfc00, -1e300},
        {MM_F16, 0x0001, 0x1p-24},
        {MM_F16, 0x0000, 0x1p-25},
        {MM_F16, 0x0001, 0x1.1p-25},
        {MM_F16, 0x0400, 0x1p-14 - 0x1p-26}, /* from below the normal ones up to them */
        {MM_F16, 0x8000, -0.0},
        {MM_F16, 0x8000, -1e-300},
        {MM_F16, 0x7c00, INFINITY},
        {MM_BF16, 0x3f80, 1 + 0x1p-8},
        {MM_BF16, 0x3f82, 1 + 0x1.8p-7},
        {MM_BF16, 0x7f7f, 0x1.fefffp127},
        {MM_BF16, 0x7f80, 0x1.ffp127},
        {MM_BF16, 0x0001, 0x1p-133},
        {MM_BF16, 0xff80, -INFINITY},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(narrow_short(cases[i].dtype, cases[i].number), cases[i].bits);
    }
}

static void test_integers(void **state) {
    (void)state;
    static const double numbers[] = {-1e30, -1.5, -0.5, 0.5, 2.5, 3.5, 1e30, NAN};
    static const struct {
        int32_t dtype;
        int64_t least, most;
    } types[] = {{MM_I8, INT8_MIN, INT8_MAX},    {MM_U8, 0, UINT8_MAX},
                 {MM_I16, INT16_MIN, INT16_MAX}, {MM_U16, 0, UINT16_MAX},
                 {MM_I32, INT32_MIN, INT32_MAX}, {MM_U32, 0, UINT32_MAX},
                 {MM_I64, INT64_MIN, INT64_MAX}};
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        int64_t raw[8];
        const int64_t below = types[i].least < 0 ? -2 : 0;
        const int64_t wanted[] = {types[i].least, below, 0, 0, 2, 4, types[i].most, 0};
        mmi_onnx_narrow(numbers, 8, types[i].dtype, raw);
        const struct onnx_tensor tensor = {.dtype = types[i].dtype, .data = raw};
        for (uint64_t j = 0; j < 8; j++) {
            assert_true(mmi_onnx_int_at(&tensor, j) == wanted[j]);
        }
        assert_true(mmi_onnx_is_number(types[i].dtype));
    }
    uint64_t large[8];
    mmi_onnx_narrow(numbers, 8, MM_U64, large);
    static const uint64_t wanted[] = {0, 0, 0, 0, 2, 4, UINT64_MAX, 0};
    assert_memory_equal(large, wanted, sizeof(wanted));
    uint8_t bools[8];
    mmi_onnx_narrow((const double[]){0, -0.0, 0.25, NAN}, 4, MM_BOOL, bools);
    assert_memory_equal(bools, ((const uint8_t[]){0, 0, 1, 1}), 4);
    assert_false(mmi_onnx_is_number(MM_BOOL));
    assert_false(mmi_onnx_is_number(MM_STRING));
    assert_false(mmi_onnx_is_number(MM_C64));
}

static void test_floats(void **state) {
    (void)state;
    static const double numbers[] = {0.1, -3, INFINITY, 1e300};
    float singles[4];
    double doubles[4];
    mmi_onnx_narrow(numbers, 4, MM_F32, singles);
    mmi_onnx_narrow(numbers, 4, MM_F64, doubles);
    assert_memory_equal(doubles, numbers, sizeof(numbers));
    assert_true(singles[0] == 0.1f && singles[1] == -3 && isinf(singles[2]) && isinf(singles[3]));
    mmi_onnx_widen(MM_F32, singles, 2, doubles);
    assert_true(doubles[0] == (double)0.1f && doubles[1] == -3);
    const int16_t shorts[] = {-7, 9};
    mmi_onnx_widen(MM_I16, shorts, 2, doubles);
    assert_true(doubles[0] == -7 && doubles[1] == 9);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_shorts),
        cmocka_unit_test(test_rounding),
        cmocka_unit_test(test_integers),
        cmocka_unit_test(test_floats),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
