/* SPDX-License-Identifier: Apache-2.0 */
/* Callers' values: what is well formed, and what a declared input takes. */
#include <api/value.h>

#include <support/world.h>

static float numbers[64];

static mm_value tensor(int32_t dtype, uint32_t rank, const int64_t *shape) {
    mm_value value = {.dtype = dtype, .rank = rank, .data = numbers};
    for (uint32_t i = 0; i < rank; i++) {
        value.shape[i] = shape[i];
    }
    value.bytes = mm_dtype_bytes(dtype, mm_shape_elements(rank, shape));
    return value;
}

static mm_value f32(int64_t rows, int64_t columns) {
    return tensor(MM_F32, 2, (int64_t[]){rows, columns});
}

static void check_ok(const mm_value *value) {
    mm_error err = {0};
    if (mmi_value_check(value, "x", &err) != MM_OK) {
        fail_msg("%s", err.text);
    }
    assert_int_equal(mmi_value_check_slow(value, "x", NULL), MM_OK);
}

static void check_wrong(const mm_value *value, const char *text) {
    mm_error err = {0};
    assert_int_equal(mmi_value_check(value, "x", &err), MM_INVALID_ARGUMENT);
    assert_string_equal(err.text, text);
    assert_int_equal(err.status, MM_INVALID_ARGUMENT);
    assert_int_equal(mmi_value_check(value, "x", NULL), MM_INVALID_ARGUMENT);
}

/* ---- Well formed ---------------------------------------------------------------------------- */

static void test_tensors(void **state) {
    (void)state;
    mm_value value = f32(2, 3);
    assert_true(mmi_value_plain(&value));
    check_ok(&value);
    value = tensor(MM_F64, 0, NULL);
    check_ok(&value);
    value = tensor(MM_I4, 1, (int64_t[]){3});
    assert_int_equal(value.bytes, 2);
    check_ok(&value);
    value = tensor(MM_U8, 8, (int64_t[]){1, 2, 1, 2, 1, 2, 1, 2});
    check_ok(&value);
    value = tensor(MM_F32, 3, (int64_t[]){INT64_MAX, 0, INT64_MAX});
    value.data = NULL;
    check_ok(&value);
}

static void test_wrong_tensors(void **state) {
    (void)state;
    mm_value value = f32(2, 3);
    value.bytes = 23;
    check_wrong(&value, "value x: bytes is 23, its shape needs 24");
    value.bytes = 25;
    check_wrong(&value, "value x: bytes is 25, its shape needs 24");
    value = f32(2, 3);
    value.data = NULL;
    check_wrong(&value, "value x: data is NULL with 24 bytes");
    value = f32(2, 3);
    value.shape[1] = -1;
    check_wrong(&value, "value x: an axis is negative, or the shape overflows");
    value = f32(INT64_MAX, 4);
    check_wrong(&value, "value x: an axis is negative, or the shape overflows");
    value = f32(INT64_MAX, 2);
    value.bytes = UINT64_MAX;
    check_wrong(&value, "value x: the shape overflows");
    value = f32(2, 3);
    value.rank = 9;
    check_wrong(&value, "value x: rank 9, at most 8 is possible");
    value = f32(2, 3);
    value.dtype = 27;
    check_wrong(&value, "value x: unknown dtype 27");
    value = f32(0, 3);
    value.dtype = MM_DTYPE_NONE;
    check_wrong(&value, "value x: unknown dtype 0");
    value.kind = 4;
    check_wrong(&value, "value x: unknown kind 4");
    value.kind = -1;
    check_wrong(&value, "value x: unknown kind -1");
}

static void test_strings(void **state) {
    (void)state;
    uint64_t offsets[] = {0, 3, 3, 8};
    char text[] = "onethree";
    mm_value value = {
        .dtype = MM_STRING, .rank = 1, .shape = {3}, .data = text, .bytes = 8, .offsets = offsets};
    check_ok(&value);
    value.bytes = 9;
    check_wrong(&value, "value x: offsets do not go from 0 to bytes");
    value.bytes = 8;
    offsets[0] = 1;
    check_wrong(&value, "value x: offsets do not go from 0 to bytes");
    offsets[0] = 0;
    offsets[2] = 9;
    check_wrong(&value, "value x: offsets[2] is beyond the next");
    offsets[2] = 2;
    check_wrong(&value, "value x: offsets[1] is beyond the next");
    value.offsets = NULL;
    check_wrong(&value, "value x: strings without offsets");
    value.data = NULL;
    check_wrong(&value, "value x: data is NULL with 8 bytes");
    uint64_t none[] = {0};
    value = (mm_value){.dtype = MM_STRING, .rank = 1, .offsets = none};
    check_ok(&value);
}

static void test_sequences(void **state) {
    (void)state;
    mm_value items[] = {f32(1, 2), f32(3, 4)};
    mm_value value = {.kind = MM_SEQUENCE, .items = items, .item_count = 2};
    check_ok(&value);
    items[1].bytes--;
    check_wrong(&value, "value x: bytes is 47, its shape needs 48");
    value.items = NULL;
    check_wrong(&value, "value x: items is NULL");
    value.item_count = 0;
    check_ok(&value);
    value.kind = MM_OPTIONAL;
    check_ok(&value);
    value.items = items;
    value.item_count = 1;
    check_ok(&value);
    value.item_count = 2;
    check_wrong(&value, "value x: an optional has one item at most");
}

static void test_maps(void **state) {
    (void)state;
    int64_t shape[] = {3, 2};
    mm_value three[] = {f32(1, 1), f32(1, 1), f32(1, 1)};
    mm_value items[] = {tensor(MM_I64, 1, shape), tensor(MM_F32, 2, shape)};
    mm_value value = {.kind = MM_MAP, .items = items, .item_count = 2};
    check_ok(&value);
    items[1] = (mm_value){.kind = MM_SEQUENCE, .items = three, .item_count = 3};
    check_ok(&value);
    items[1].item_count = 2;
    check_wrong(&value, "value x: a map has as many values as keys");
    items[1] = tensor(MM_F32, 1, (int64_t[]){4});
    check_wrong(&value, "value x: a map has as many values as keys");
    items[1] = tensor(MM_F32, 0, NULL);
    check_wrong(&value, "value x: a map's values are a sequence or a tensor");
    items[1] = (mm_value){.kind = MM_OPTIONAL};
    check_wrong(&value, "value x: a map's values are a sequence or a tensor");
    items[1] = tensor(MM_F32, 2, shape);
    items[0] = tensor(MM_I64, 2, shape);
    check_wrong(&value, "value x: a map has two items, the first a tensor of keys of rank 1");
    value.item_count = 1;
    check_wrong(&value, "value x: a map has two items, the first a tensor of keys of rank 1");
    value.item_count = 0;
    value.items = NULL;
    check_wrong(&value, "value x: a map has two items, the first a tensor of keys of rank 1");
    items[0] = tensor(MM_I64, 1, (int64_t[]){-3});
    items[1] = tensor(MM_F32, 1, (int64_t[]){-3});
    value = (mm_value){.kind = MM_MAP, .items = items, .item_count = 2};
    check_wrong(&value, "value x: an axis is negative, or the shape overflows");
}

static void test_depth(void **state) {
    (void)state;
    mm_value nest[66];
    nest[0] = f32(1, 1);
    for (int i = 1; i < 66; i++) {
        nest[i] = (mm_value){.kind = MM_SEQUENCE, .items = &nest[i - 1], .item_count = 1};
    }
    check_ok(&nest[64]);
    check_wrong(&nest[65], "value x: nested deeper than 64");
    /* One that contains itself ends too. */
    mm_value loop = {.kind = MM_SEQUENCE, .items = &loop, .item_count = 1};
    check_wrong(&loop, "value x: nested deeper than 64");
}

/* ---- What an input takes -------------------------------------------------------------------- */

static void matches(const mm_value *value, const mm_value_info *info) {
    mm_error err = {0};
    if (mmi_value_matches(value, info, &err) != MM_OK) {
        fail_msg("%s", err.text);
    }
}

static void mismatches(const mm_value *value, const mm_value_info *info, const char *text) {
    mm_error err = {0};
    assert_int_equal(mmi_value_matches(value, info, &err), MM_INVALID_ARGUMENT);
    assert_string_equal(err.text, text);
    assert_int_equal(mmi_value_matches(value, info, NULL), MM_INVALID_ARGUMENT);
}

static void test_declared_tensor(void **state) {
    (void)state;
    mm_value_info info = {.name = "x", .dtype = MM_F32, .rank = 3, .shape = {1, -1, 640}};
    mm_value value = tensor(MM_F32, 3, (int64_t[]){1, 7, 640});
    matches(&value, &info);
    value.shape[2] = 320;
    mismatches(&value, &info, "input x: got f32[1, 7, 320], wanted f32[1, ?, 640]");
    value.shape[2] = 640;
    value.dtype = MM_F16;
    mismatches(&value, &info, "input x: got f16[1, 7, 640], wanted f32[1, ?, 640]");
    value = f32(1, 7);
    mismatches(&value, &info, "input x: got f32[1, 7], wanted f32[1, ?, 640]");
    value = (mm_value){.kind = MM_SEQUENCE};
    mismatches(&value, &info, "input x: got sequence, wanted f32[1, ?, 640]");
    value = (mm_value){.kind = MM_OPTIONAL};
    mismatches(&value, &info, "input x: got optional, wanted f32[1, ?, 640]");
    info.flags = MM_VALUE_INFO_OPTIONAL;
    matches(&value, &info);
    info = (mm_value_info){.name = "x", .dtype = MM_F32, .rank = -1};
    value = f32(5, 6);
    matches(&value, &info);
    value.dtype = MM_I32;
    mismatches(&value, &info, "input x: got i32[5, 6], wanted f32 of any rank");
    info.rank = 0;
    info.dtype = MM_I32;
    mismatches(&value, &info, "input x: got i32[5, 6], wanted i32[]");
}

static void test_declared_others(void **state) {
    (void)state;
    mm_value_info info = {.name = "x", .kind = MM_SEQUENCE, .dtype = MM_F32, .rank = -1};
    mm_value items[] = {f32(1, 2), f32(3, 4)};
    mm_value sequence = {.kind = MM_SEQUENCE, .items = items, .item_count = 2};
    mm_value optional = {.kind = MM_OPTIONAL, .items = items, .item_count = 1};
    mm_value single = f32(1, 2);
    matches(&sequence, &info);
    mismatches(&single, &info, "input x: got f32[1, 2], wanted sequence of f32");
    mismatches(&optional, &info, "input x: got optional, wanted sequence of f32");
    items[1] = tensor(MM_I64, 0, NULL);
    mismatches(&sequence, &info, "input x: got sequence of i64, wanted sequence of f32");

    info.kind = MM_OPTIONAL;
    matches(&optional, &info);
    matches(&single, &info);
    matches(&(mm_value){.kind = MM_OPTIONAL}, &info);
    mismatches(&sequence, &info, "input x: got sequence of i64, wanted optional of f32");
    items[0] = items[1];
    mismatches(&optional, &info, "input x: got optional of i64, wanted optional of f32");
    mismatches(&items[0], &info, "input x: got i64[], wanted optional of f32");

    info = (mm_value_info){.name = "x", .kind = MM_MAP, .rank = -1};
    mm_value map = {.kind = MM_MAP, .items = items, .item_count = 2};
    matches(&map, &info);
    mismatches(&sequence, &info, "input x: got sequence, wanted map");
}

/* ---- At random ------------------------------------------------------------------------------ */

static uint64_t seed;

__extension__ typedef unsigned __int128 wide;

/* The same again, slowly and in wide numbers. */
static bool naive(const mm_value *value) {
    static const uint8_t bits[] = {
#define BITS(name, number, count, text) [number] = count,
        MM_DTYPE_MAP(BITS)
#undef BITS
    };
    if (value->rank > MM_MAX_RANK || value->dtype < 1 ||
        (size_t)value->dtype >= sizeof(bits) / sizeof(bits[0])) {
        return false;
    }
    wide elements = 1;
    bool empty = false;
    for (uint32_t i = 0; i < value->rank; i++) {
        if (value->shape[i] < 0) {
            return false;
        }
        empty |= value->shape[i] == 0;
        elements *= (wide)value->shape[i];
        if (elements > UINT64_MAX) {
            elements = UINT64_MAX; /* sticks: too many, unless there are none */
        }
    }
    if (empty) {
        return value->bytes == 0;
    }
    wide needed = (elements * bits[value->dtype] + 7) / 8;
    return elements < UINT64_MAX && needed < UINT64_MAX && needed == value->bytes &&
           (value->data || value->bytes == 0);
}

static void test_at_random(void **state) {
    (void)state;
    uint64_t random = seed;
    unsigned good = 0, bad = 0;
    static const int64_t axes[] = {0, 1, 1, 2, 3, 4, 7, -1, INT64_MAX, INT64_C(1) << 32};
    for (int round = 0; round < 200000; round++) {
        mm_value value = {.dtype = (int32_t)test_random_below(&random, 29) - 1,
                          .rank = (uint32_t)test_random_below(&random, 5),
                          .data = test_random_below(&random, 16) ? numbers : NULL};
        if (value.dtype == MM_STRING) {
            continue;
        }
        uint64_t choices = test_random_below(&random, 4) ? 7 : 10;
        for (uint32_t i = 0; i < value.rank; i++) {
            value.shape[i] = axes[test_random_below(&random, choices)];
        }
        value.bytes = mm_dtype_bytes(value.dtype, mm_shape_elements(value.rank, value.shape));
        if (test_random_below(&random, 8) == 0) {
            value.bytes += test_random_below(&random, 3) - 1;
        }
        bool expected = naive(&value);
        assert_int_equal(mmi_value_check(&value, "x", NULL) == MM_OK, expected);
        assert_int_equal(mmi_value_check_slow(&value, "x", NULL) == MM_OK, expected);
        *(expected ? &good : &bad) += 1;
    }
    assert_true(good > 1000 && bad > 1000);
}

int main(int argc, char **argv) {
    seed = test_seed(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tensors),
        cmocka_unit_test(test_wrong_tensors),
        cmocka_unit_test(test_strings),
        cmocka_unit_test(test_sequences),
        cmocka_unit_test(test_maps),
        cmocka_unit_test(test_depth),
        cmocka_unit_test(test_declared_tensor),
        cmocka_unit_test(test_declared_others),
        cmocka_unit_test(test_at_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
