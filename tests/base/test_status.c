/* SPDX-License-Identifier: Apache-2.0 */
#include <base/status.h>
#include <support/world.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

static void test_fail(void **state) {
    (void)state;
    mm_error err;
    memset(&err, 0xff, sizeof(err));
    assert_int_equal(mmi_fail(&err, MM_BUSY, "model %s: %d leases", "ocr", 3), MM_BUSY);
    assert_int_equal(err.status, MM_BUSY);
    assert_int_equal(err.reserved, 0);
    assert_int_equal(err.retry_after_ns, 0);
    assert_int_equal(err.needed_bytes, 0);
    assert_int_equal(err.available_bytes, 0);
    assert_string_equal(err.text, "model ocr: 3 leases");
    assert_int_equal(mmi_fail(NULL, MM_BUSY, "nobody asks"), MM_BUSY);
    mmi_fail(&err, MM_IO, "model %s", "two\nlines\x01\x7f\xc3\xa9");
    assert_string_equal(err.text, "model two lines \x7f\xc3\xa9");
    assert_int_equal(mmi_fail(&err, MM_IO, "%1000s", "end"), MM_IO);
    assert_int_equal(strlen(err.text), MM_ERROR_TEXT_BYTES - 1);
}

static void test_room(void **state) {
    (void)state;
    mm_error err;
    assert_int_equal(mmi_fail_room(&err, MM_TOO_LARGE, 7, 5, "too large"), MM_TOO_LARGE);
    assert_int_equal(err.needed_bytes, 7);
    assert_int_equal(err.available_bytes, 5);
    assert_int_equal(mmi_fail_room(NULL, MM_TOO_LARGE, 7, 5, "too large"), MM_TOO_LARGE);
}

static void test_errno(void **state) {
    (void)state;
    const struct {
        int errnum;
        mm_status status;
    } rows[] = {
        {EMFILE, MM_NO_FDS},   {ENFILE, MM_NO_FDS},    {ENOSPC, MM_NO_SPACE},
        {EDQUOT, MM_NO_SPACE}, {ENOMEM, MM_NO_MEMORY}, {EACCES, MM_IO},
    };
    mm_error err;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(mmi_fail_errno(&err, MM_IO, rows[i].errnum, "x"), rows[i].status);
        assert_int_equal(err.status, rows[i].status);
        assert_int_equal(mmi_fail_errno(NULL, MM_IO, rows[i].errnum, "x"), rows[i].status);
    }
    mmi_fail_errno(&err, MM_IO, EACCES, "open %s", "/x");
    assert_string_equal(err.text, "open /x: Permission denied");
    mmi_fail_errno(&err, MM_IO, 123456, "open");
    assert_string_equal(err.text, "open: unknown error");
    mmi_fail_errno(&err, MM_IO, EACCES, "%476s", "a"); /* room for ": P" and the end, no more */
    assert_string_equal(err.text + 475, "a: P");
}

static void test_copy_and_prefix(void **state) {
    (void)state;
    mm_error from;
    mm_error to;
    mmi_fail_room(&from, MM_NO_MEMORY, 1, 2, "inner");
    assert_int_equal(mmi_error_copy(&to, &from), MM_NO_MEMORY);
    assert_int_equal(mmi_error_copy(NULL, &from), MM_NO_MEMORY);
    mmi_error_prefix(&to, "model %s", "ocr");
    assert_string_equal(to.text, "model ocr: inner");
    assert_int_equal(to.needed_bytes, 1);
    mmi_error_prefix(NULL, "model %s", "ocr");
    mmi_error_prefix(&to, "%600s", "long");
    assert_int_equal(strlen(to.text), MM_ERROR_TEXT_BYTES - 1);
}

static mm_status tries(mm_status status, bool *went_on) {
    *went_on = false;
    MMI_TRY(status);
    *went_on = true;
    return MM_OK;
}

static void test_try(void **state) {
    (void)state;
    bool went_on;
    assert_int_equal(tries(MM_BUSY, &went_on), MM_BUSY);
    assert_false(went_on);
    assert_int_equal(tries(MM_OK, &went_on), MM_OK);
    assert_true(went_on);
}

static void test_texts(void **state) {
    (void)state;
    assert_string_equal(mm_status_text(MM_PINNED), "the model is pinned");
    assert_string_equal(mm_status_name(MM_PINNED), "MM_PINNED");
    assert_string_equal(mm_status_text(12345), "unknown status");
    assert_string_equal(mm_status_name(-1), "MM_?");
    assert_string_equal(mm_dtype_text(MM_BF16), "bf16");
    assert_string_equal(mm_dtype_text(0), "?");
    char text[32];
    snprintf(text, sizeof(text), "%d.%d.%d", MM_VERSION_MAJOR, MM_VERSION_MINOR, MM_VERSION_PATCH);
    assert_string_equal(MM_VERSION_TEXT, text);
}

static void test_elements(void **state) {
    (void)state;
    assert_int_equal(mm_shape_elements(0, NULL), 1);
    assert_int_equal(mm_shape_elements(3, (const int64_t[]){2, 3, 4}), 24);
    assert_int_equal(mm_shape_elements(3, (const int64_t[]){INT64_MAX, INT64_MAX, 0}), 0);
    assert_true(mm_shape_elements(2, (const int64_t[]){INT64_MAX, 4}) == UINT64_MAX);
    assert_true(mm_shape_elements(2, (const int64_t[]){0, -1}) == UINT64_MAX);
}

static void test_dtype_bytes(void **state) {
    (void)state;
    assert_int_equal(mm_dtype_bytes(MM_F32, 3), 12);
    assert_int_equal(mm_dtype_bytes(MM_C128, 3), 48);
    assert_int_equal(mm_dtype_bytes(MM_BOOL, 3), 3);
    assert_int_equal(mm_dtype_bytes(MM_U4, 3), 2);
    assert_int_equal(mm_dtype_bytes(MM_I2, 4), 1);
    assert_int_equal(mm_dtype_bytes(MM_I2, 5), 2);
    assert_true(mm_dtype_bytes(MM_U4, UINT64_MAX) == (UINT64_C(1) << 63));
    assert_int_equal(mm_dtype_bytes(MM_STRING, 3), 0);
    assert_int_equal(mm_dtype_bytes(99, 3), 0);
    assert_int_equal(mm_dtype_bytes(MM_I8, 0), 0);
    assert_true(mm_dtype_bytes(MM_F64, UINT64_MAX / 4) == UINT64_MAX);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fail),     cmocka_unit_test(test_room),
        cmocka_unit_test(test_errno),    cmocka_unit_test(test_copy_and_prefix),
        cmocka_unit_test(test_try),      cmocka_unit_test(test_texts),
        cmocka_unit_test(test_elements), cmocka_unit_test(test_dtype_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
