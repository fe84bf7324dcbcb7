/* SPDX-License-Identifier: Apache-2.0 */

/* Every way in which a table can be wrong, field by field: refused, and by the field's name. */

#include <plugin/tables.h>

#include <stdio.h>
#include <string.h>

/* Each fault changes one thing of a good table or of its only format. */
#define FAULTS(X)                                                                                  \
    X(backend.struct_size, t->struct_size--)                                                       \
    X(backend.struct_size, t->struct_size = 0)                                                     \
    X(backend.struct_size, t->struct_size = offsetof(mm_backend, infer))                           \
    X(backend.struct_size, t->struct_size = UINT32_MAX)                                            \
    X(name, t->name = NULL)                                                                        \
    X(name, t->name = "")                                                                          \
    X(name, t->name = "two words")                                                                 \
    X(name, t->name = "a,b")                                                                       \
    X(name, t->name = "0123456789012345678901234567890123456789012345678901234567890123")          \
    X(version, t->version = NULL)                                                                  \
    X(version, t->version = "")                                                                    \
    X(formats, t->formats = NULL)                                                                  \
    X(format_count, t->format_count = 0)                                                           \
    X(formats[0].name, f->name = NULL)                                                             \
    X(formats[0].name, f->name = "tab\t")                                                          \
    X(formats[0].version, f->version = "")                                                         \
    X(formats[0].suffix, f->suffix = "")                                                           \
    X(formats[0].magic, f->magic = NULL)                                                           \
    X(formats[0].magic, f->magic_bytes = 0)                                                        \
    X(formats[0].magic_bytes, f->magic_bytes = MMI_FORMAT_HEAD_BYTES + 1)                          \
    X(formats[0].reserved, f->reserved = 1)                                                        \
    X(flags, t->flags = 1u << 30)                                                                  \
    X(device_kinds, t->device_kinds = 0)                                                           \
    X(device_kinds, t->device_kinds = 1u << 20)                                                    \
    X(open, t->open = NULL)                                                                        \
    X(close, t->close = NULL)                                                                      \
    X(size, t->size = NULL)                                                                        \
    X(attach, t->attach = NULL)                                                                    \
    X(detach, t->detach = NULL)                                                                    \
    X(infer, t->infer = NULL)                                                                      \
    X(fini, t->init = init)                                                                        \
    X(init, t->fini = t->close)                                                                    \
    X(own_bytes, t->flags = MM_BACKEND_OWN_MEMORY)                                                 \
    X(own_bytes, t->own_bytes = own_bytes)

static mm_status init(void *state, const mm_services *services, mm_error *err) {
    (void)state, (void)services, (void)err;
    return MM_OK;
}

static uint64_t own_bytes(void *instance) {
    (void)instance;
    return 0;
}

enum {
#define COUNT(field, change) +1
    FAULT_COUNT = FAULTS(COUNT)
#undef COUNT
};

/* Do the fault of this number; returns the field's name. */
static const char *spoil(unsigned number, mm_backend *t, mm_format *f) {
    unsigned at = 0;
#define SPOIL(field, change)                                                                       \
    if (at++ == number) {                                                                          \
        change;                                                                                    \
        return #field;                                                                             \
    }
    FAULTS(SPOIL)
#undef SPOIL
    (void)f;
    return NULL;
}

static void test_faults(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture);
    for (unsigned i = 0; i < FAULT_COUNT; i++) {
        mm_format format = {"good", "1", ".good", "GOOD", 4, 0};
        mm_backend table = plain_table("good", &format, 1);
        const char *field = spoil(i, &table, &format);
        mm_error err = {0};
        assert_int_equal(mmi_registry_add(fixture.registry, &table, &err), MM_INVALID_ARGUMENT);
        assert_int_equal(err.status, MM_INVALID_ARGUMENT);
        if (strncmp(err.text, field, strlen(field)) != 0) {
            fail_msg("%s is wrong, but the error says: %s", field, err.text);
        }
        assert_int_equal(mmi_registry_add(fixture.registry, &table, NULL), MM_INVALID_ARGUMENT);
    }
    assert_int_equal(mmi_registry_add(fixture.registry, NULL, NULL), MM_INVALID_ARGUMENT);
    fixture_fini(&fixture);
}

static void test_good(void **state) {
    (void)state;
    const mm_format format = {"good", "1", ".good", "GOOD", 4, 0};
    mm_backend table = plain_table("good", &format, 1);
    mm_backend copy;
    assert_int_equal(mmi_backend_read(&table, &copy, NULL), MM_OK);
    table.flags = MM_BACKEND_OWN_MEMORY | MM_BACKEND_NESTED;
    table.own_bytes = own_bytes;
    table.init = init;
    table.fini = table.close;
    assert_int_equal(mmi_backend_read(&table, &copy, NULL), MM_OK);
    assert_memory_equal(&copy, &table, sizeof(table));
}

/* A table of an older minor ends before the slots that came later; one that is longer than ours has
 * nothing there. */
static void test_sizes(void **state) {
    (void)state;
    const mm_format format = {"good", "1", ".good", "GOOD", 4, 0};
    struct {
        mm_backend table;
        uint64_t later[2];
    } grown = {.table = plain_table("good", &format, 1)};
    mm_backend copy;
    mm_error err = {0};
    grown.table.abi_minor = 0;
    grown.table.struct_size = offsetof(mm_backend, own_bytes);
    grown.table.own_bytes = own_bytes; /* lies behind the table */
    assert_int_equal(mmi_backend_read(&grown.table, &copy, &err), MM_OK);
    assert_ptr_equal(copy.infer, grown.table.infer);
    assert_null(copy.own_bytes);
    grown.table.flags = MM_BACKEND_OWN_MEMORY;
    assert_int_equal(mmi_backend_read(&grown.table, &copy, &err), MM_INVALID_ARGUMENT);
    assert_non_null(strstr(err.text, "own_bytes"));
    grown.table.struct_size = sizeof(grown);
    assert_int_equal(mmi_backend_read(&grown.table, &copy, &err), MM_OK);
    assert_ptr_equal(copy.own_bytes, own_bytes);
    grown.later[1] = 1;
    assert_int_equal(mmi_backend_read(&grown.table, &copy, &err), MM_INVALID_ARGUMENT);
    assert_non_null(strstr(err.text, "backend.struct_size"));
}

/* The registry keeps a copy: what the caller does to its table later changes nothing. */
static void test_copy(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture);
    const mm_format format = {.name = "good"};
    mm_backend table = plain_table("good", &format, 1);
    mm_backend whole = table;
    table.struct_size = offsetof(mm_backend, own_bytes);
    table.own_bytes = own_bytes;
    assert_int_equal(mmi_registry_add(fixture.registry, &table, NULL), MM_OK);
    memset(&table, 0xa5, sizeof(table));
    struct mmi_backend *backend;
    const mm_format *found;
    const struct mmi_format_query query = {.format = "good"};
    assert_int_equal(mmi_registry_find(fixture.registry, &query, &backend, &found, NULL), MM_OK);
    assert_ptr_equal(found, &format);
    assert_ptr_equal(backend->table->infer, whole.infer);
    assert_null(backend->table->own_bytes);
    fixture_fini(&fixture);
}

static void check_abi(uint32_t major, uint32_t minor) {
    const mm_format format = {.name = "good"};
    mm_backend table = plain_table("good", &format, 1);
    table.abi_major = major;
    table.abi_minor = minor;
    table.struct_size = 12; /* of another ABI nothing more is looked at */
    mm_error err = {0};
    mm_backend copy;
    assert_int_equal(mmi_backend_read(&table, &copy, &err), MM_ABI_MISMATCH);
    char theirs[32], ours[32];
    snprintf(theirs, sizeof(theirs), "ABI %u.%u", major, minor);
    snprintf(ours, sizeof(ours), "has %d.%d", MM_BACKEND_ABI_MAJOR, MM_BACKEND_ABI_MINOR);
    assert_non_null(strstr(err.text, theirs));
    assert_non_null(strstr(err.text, ours));
}

static void test_abi(void **state) {
    (void)state;
    check_abi(MM_BACKEND_ABI_MAJOR + 1, 0);
    check_abi(MM_BACKEND_ABI_MAJOR, MM_BACKEND_ABI_MINOR + 1);
    check_abi(UINT32_MAX, UINT32_MAX);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good), cmocka_unit_test(test_faults), cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_copy), cmocka_unit_test(test_abi),
    };
    return cmocka_run_group_tests_name("plugin-check", tests, NULL, NULL);
}
