/* SPDX-License-Identifier: Apache-2.0 */

/* Backends from shared objects. Usage: test-plugin-load GOOD OTHER_ABI NO_TABLE NO_SYMBOL */

#include <plugin/tables.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char **objects;

static void expect(struct fixture *fixture, const char *path, mm_status status, const char *words) {
    mm_error err = {0};
    mm_status got = mmi_registry_load(fixture->registry, path, &err);
    if (got != status) {
        fail_msg("%s: %s: %s", path, mm_status_name(got), err.text);
    }
    assert_int_equal(err.status, status);
    if (status != MM_OK) {
        assert_non_null(strstr(err.text, path));
        assert_non_null(strstr(err.text, words));
        assert_int_equal(mmi_registry_load(fixture->registry, path, NULL), status);
    }
}

static void test_load(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture);
    expect(&fixture, objects[1], MM_OK, "");
    struct mmi_backend *backend;
    const mm_format *format;
    const struct mmi_format_query query = {.name = "a.plugged"};
    assert_int_equal(mmi_registry_find(fixture.registry, &query, &backend, &format, NULL), MM_OK);
    assert_string_equal(backend->table->name, "plugged");
    expect(&fixture, objects[1], MM_EXISTS, "plugged");
    fixture_fini(&fixture);
}

static void test_two_registries(void **state) {
    (void)state;
    struct fixture first, second;
    fixture_init(&first);
    fixture_init(&second);
    expect(&first, objects[1], MM_OK, "");
    expect(&second, objects[1], MM_OK, "");
    fixture_fini(&first);
    fixture_fini(&second);
}

static void test_refused(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture);
    char other[32];
    snprintf(other, sizeof(other), "ABI %d.%d", MM_BACKEND_ABI_MAJOR + 7, MM_BACKEND_ABI_MINOR);
    expect(&fixture, objects[2], MM_ABI_MISMATCH, other);
    expect(&fixture, objects[3], MM_BACKEND_FAILED, MM_BACKEND_ENTRY_NAME);
    expect(&fixture, objects[4], MM_NOT_FOUND, MM_BACKEND_ENTRY_NAME);
    expect(&fixture, "/nowhere/libmm.so", MM_NOT_FOUND, "No such file");
    expect(&fixture, "libmm_that_nobody_has.so", MM_NOT_FOUND, "No such file");
    fixture_fini(&fixture);
}

/* A file that is there and no shared object. */
static void test_no_object(void **state) {
    (void)state;
    char path[] = "/tmp/mm-no-object-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "no object", 9), 9);
    close(fd);
    struct fixture fixture;
    fixture_init(&fixture);
    expect(&fixture, path, MM_BACKEND_FAILED, "");
    fixture_fini(&fixture);
    unlink(path);
}

static void test_no_descriptors(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture);
    world_fault(&fixture.world, "open", 1, EMFILE);
    mm_error err = {0};
    assert_int_equal(mmi_registry_load(fixture.registry, objects[1], &err), MM_NO_FDS);
    assert_non_null(strstr(err.text, objects[1]));
    expect(&fixture, objects[1], MM_OK, "");
    fixture_fini(&fixture);
}

int main(int argc, char **argv) {
    if (argc != 5) {
        print_error("usage: %s GOOD OTHER_ABI NO_TABLE NO_SYMBOL\n", argv[0]);
        return 2;
    }
    objects = argv;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_load),           cmocka_unit_test(test_two_registries),
        cmocka_unit_test(test_refused),        cmocka_unit_test(test_no_object),
        cmocka_unit_test(test_no_descriptors),
    };
    return cmocka_run_group_tests_name("plugin-load", tests, NULL, NULL);
}
