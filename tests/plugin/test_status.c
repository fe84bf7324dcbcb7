/* SPDX-License-Identifier: Apache-2.0 */

/* What becomes of what a backend answers: every slot, every status, and numbers that are none. */

#include <base/status.h>
#include <plugin/status.h>
#include <plugin/tables.h>

#include <stdio.h>
#include <string.h>

static const struct {
    mm_status status;
    const char *name;
} statuses[] = {
#define STATUS(name, value, text) {name, #name},
    MM_STATUS_MAP(STATUS)
#undef STATUS
        {(mm_status)-1, "MM_?"},
    {(mm_status)9999, "MM_?"},
    {MM_STATUS_MAX, "MM_?"},
};
#define STATUSES (sizeof(statuses) / sizeof(statuses[0]))

/* What backend.h says at each slot, in words. */
#define ANY "MM_OK MM_UNSUPPORTED MM_BACKEND_FAILED MM_IO MM_NO_MEMORY MM_NO_FDS MM_NO_THREADS "
static const struct {
    const char *name, *answers;
} slots[MMI_SLOTS] = {
    [MMI_SLOT_INIT] = {"init", ANY "MM_NOT_FOUND MM_ABI_MISMATCH "},
    [MMI_SLOT_PREPARE] = {"prepare",
                          ANY "MM_INVALID_ARGUMENT MM_INVALID_MODEL MM_NOT_FOUND MM_SOURCE_CHANGED "
                              "MM_CORRUPT MM_TOO_LARGE MM_NO_SPACE MM_CANCELLED "},
    [MMI_SLOT_OPEN] = {"open", ANY "MM_INVALID_ARGUMENT MM_INVALID_MODEL MM_CORRUPT MM_NOT_FOUND "
                                   "MM_SOURCE_CHANGED "},
    [MMI_SLOT_SIZE] = {"size", ANY "MM_INVALID_ARGUMENT MM_INVALID_MODEL MM_TOO_LARGE "},
    [MMI_SLOT_ATTACH] = {"attach", ANY "MM_INVALID_MODEL MM_CORRUPT MM_NOT_FOUND MM_SOURCE_CHANGED "
                                       "MM_DEVICE_LOST MM_CANCELLED "},
    [MMI_SLOT_INFER] = {"infer",
                        ANY "MM_INVALID_ARGUMENT MM_INVALID_MODEL MM_CORRUPT MM_BUFFER_TOO_SMALL "
                            "MM_NO_ROOM_FOR_ACTIVATIONS MM_DEVICE_LOST MM_CANCELLED "},
};
static const char nested_answers[] =
    "MM_BUSY MM_OVERLOADED MM_NOT_RESIDENT MM_TOO_LARGE MM_ALL_PINNED ";

static bool is_among(const char *name, const char *list) {
    char word[64];
    snprintf(word, sizeof(word), "%s ", name);
    return strstr(list, word) != NULL;
}

static bool is_expected(enum mmi_backend_slot slot, const char *name, bool nested) {
    return is_among(name, slots[slot].answers) ||
           (nested && slot == MMI_SLOT_INFER && is_among(name, nested_answers));
}

static struct mmi_backend backend_of(mm_backend *table, bool nested) {
    *table = plain_table("mine", NULL, 0);
    table->flags = nested ? MM_BACKEND_NESTED : 0;
    return (struct mmi_backend){.table = table};
}

static void check_taken(enum mmi_backend_slot slot, mm_status status, const mm_error *err,
                        const char *text) {
    char wanted[200];
    snprintf(wanted, sizeof(wanted), "backend mine: %s failed: %s", slots[slot].name,
             mm_status_text(status));
    assert_int_equal(err->status, status);
    assert_string_equal(err->text, text[0] ? text : wanted);
}

static void check_refused(enum mmi_backend_slot slot, size_t i, const mm_error *err,
                          const char *text) {
    char wanted[200];
    snprintf(wanted, sizeof(wanted), "backend mine: %s answered %s (%d: %s), which it may not%s%s",
             slots[slot].name, statuses[i].name, (int)statuses[i].status,
             mm_status_text(statuses[i].status), text[0] ? ": " : "", text);
    assert_int_equal(err->status, MM_BACKEND_FAILED);
    assert_string_equal(err->text, wanted);
}

static void check_all(bool nested, const char *text) {
    mm_backend table;
    struct mmi_backend backend = backend_of(&table, nested);
    for (enum mmi_backend_slot slot = 0; slot < MMI_SLOTS; slot++) {
        for (size_t i = 0; i < STATUSES; i++) {
            mm_status status = statuses[i].status;
            bool may = is_expected(slot, statuses[i].name, nested);
            mm_error err = {.status = MM_PINNED};
            snprintf(err.text, sizeof(err.text), "%s", text);
            assert_int_equal(mmi_slot_may(&table, slot, status), may);
            assert_int_equal(mmi_slot_status(&backend, slot, status, &err),
                             may ? status : MM_BACKEND_FAILED);
            assert_int_equal(mmi_slot_status(&backend, slot, status, NULL),
                             may ? status : MM_BACKEND_FAILED);
            if (status == MM_OK) {
                assert_int_equal(err.status, MM_PINNED);
                assert_string_equal(err.text, text);
            } else if (may) {
                check_taken(slot, status, &err, text);
            } else {
                check_refused(slot, i, &err, text);
            }
        }
    }
}

static void test_every_status_of_every_slot(void **state) {
    (void)state;
    check_all(false, "");
    check_all(false, "its own words");
    check_all(true, "");
    check_all(true, "its own words");
}

/* What leads the library's own decisions, and how its calls end, no slot may answer. */
static void test_what_nobody_may_answer(void **state) {
    (void)state;
    static const mm_status never[] = {
        MM_NONE,         MM_PENDING, MM_CLOSED,         MM_STALE_HANDLE, MM_STALE_BINDING,
        MM_UNREGISTERED, MM_FORKED,  MM_INVALID_STATE,  MM_DEADLINE,     MM_EXISTS,
        MM_AMBIGUOUS,    MM_PINNED,  MM_CACHE_NOT_OWNED};
    mm_backend table;
    struct mmi_backend backend = backend_of(&table, true);
    for (enum mmi_backend_slot slot = 0; slot < MMI_SLOTS; slot++) {
        for (size_t i = 0; i < sizeof(never) / sizeof(never[0]); i++) {
            assert_int_equal(mmi_slot_status(&backend, slot, never[i], NULL), MM_BACKEND_FAILED);
        }
    }
}

/* Text without an end, with line breaks; numbers that mean nothing for the status. */
static void test_what_it_wrote_is_tidied(void **state) {
    (void)state;
    mm_backend table;
    struct mmi_backend backend = backend_of(&table, false);
    mm_error err = {.reserved = 3, .retry_after_ns = 4, .needed_bytes = 5, .available_bytes = 6};
    memset(err.text, 'x', sizeof(err.text));
    err.text[1] = '\n';
    assert_int_equal(mmi_slot_status(&backend, MMI_SLOT_INFER, MM_IO, &err), MM_IO);
    assert_int_equal(strlen(err.text), sizeof(err.text) - 1);
    assert_int_equal(err.text[1], ' ');
    assert_int_equal(err.reserved, 0);
    assert_int_equal(err.retry_after_ns, 0);
    assert_int_equal(err.needed_bytes, 0);
    assert_int_equal(err.available_bytes, 0);
    memset(err.text, 'y', sizeof(err.text));
    assert_int_equal(mmi_slot_status(&backend, MMI_SLOT_INFER, MM_NONE, &err), MM_BACKEND_FAILED);
    assert_non_null(memchr(err.text, '\0', sizeof(err.text)));
    assert_non_null(strstr(err.text, "backend mine: infer answered MM_NONE (67: nothing there)"));
}

static void test_byte_counts_stay_where_they_mean_something(void **state) {
    (void)state;
    static const mm_status counting[] = {MM_BUFFER_TOO_SMALL, MM_NO_ROOM_FOR_ACTIVATIONS,
                                         MM_NO_MEMORY};
    mm_backend table;
    struct mmi_backend backend = backend_of(&table, false);
    for (size_t i = 0; i < sizeof(counting) / sizeof(counting[0]); i++) {
        mm_error err = {.needed_bytes = 5, .available_bytes = 6};
        assert_int_equal(mmi_slot_status(&backend, MMI_SLOT_INFER, counting[i], &err), counting[i]);
        assert_int_equal(err.needed_bytes, 5);
        assert_int_equal(err.available_bytes, 6);
        assert_true(err.text[0] != '\0');
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_status_of_every_slot),
        cmocka_unit_test(test_what_nobody_may_answer),
        cmocka_unit_test(test_what_it_wrote_is_tidied),
        cmocka_unit_test(test_byte_counts_stay_where_they_mean_something),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
