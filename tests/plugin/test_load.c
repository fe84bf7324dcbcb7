/* SPDX-License-Identifier: Apache-2.0 */

/* Backends from shared objects. Usage: test-plugin-load GOOD OTHER_ABI NO_TABLE NO_SYMBOL */

#include <plugin/tables.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char **objects;

static void expect(struct ground *ground, const char *path, mm_status status, const char *words) {
    mm_error err = {0};
    mm_status got = mmi_registry_load(ground->registry, path, &err);
    if (got != status) {
        fail_msg("%s: %s: %s", path, mm_status_name(got), err.text);
    }
    assert_int_equal(err.status, status);
    if (status != MM_OK) {
        assert_non_null(strstr(err.text, path));
        assert_non_null(strstr(err.text, words));
        assert_int_equal(mmi_registry_load(ground->registry, path, NULL), status);
    }
}

static void test_load(void **state) {
    (void)state;
    struct ground ground;
    ground_init(&ground);
    expect(&ground, objects[1], MM_OK, "");
    struct mmi_backend *backend;
    const mm_format *format;
    const struct mmi_format_query query = {.name = "a.plugged"};
    assert_int_equal(mmi_registry_find(ground.registry, &query, &backend, &format, NULL), MM_OK);
    assert_string_equal(backend->table->name, "plugged");
    expect(&ground, objects[1], MM_EXISTS, "plugged");
    ground_fini(&ground);
}

static void test_two_registries(void **state) {
    (void)state;
    struct ground first, second;
    ground_init(&first);
    ground_init(&second);
    expect(&first, objects[1], MM_OK, "");
    expect(&second, objects[1], MM_OK, "");
    ground_fini(&first);
    ground_fini(&second);
}

static void test_refused(void **state) {
    (void)state;
    struct ground ground;
    ground_init(&ground);
    char other[32];
    snprintf(other, sizeof(other), "ABI %d.%d", MM_BACKEND_ABI_MAJOR + 7, MM_BACKEND_ABI_MINOR);
    expect(&ground, objects[2], MM_ABI_MISMATCH, other);
    expect(&ground, objects[3], MM_BACKEND_FAILED, MM_BACKEND_ENTRY_NAME);
    expect(&ground, objects[4], MM_NOT_FOUND, MM_BACKEND_ENTRY_NAME);
    expect(&ground, "/nowhere/libmm.so", MM_NOT_FOUND, "No such file");
    expect(&ground, "libmm_that_nobody_has.so", MM_NOT_FOUND, "No such file");
    ground_fini(&ground);
}

/* A file that is there and no shared object. */
static void test_no_object(void **state) {
    (void)state;
    char path[] = "/tmp/mm-no-object-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "no object", 9), 9);
    close(fd);
    struct ground ground;
    ground_init(&ground);
    expect(&ground, path, MM_BACKEND_FAILED, "");
    ground_fini(&ground);
    unlink(path);
}

static void test_no_descriptors(void **state) {
    (void)state;
    struct ground ground;
    ground_init(&ground);
    world_fault(&ground.world, "open", 1, EMFILE);
    mm_error err = {0};
    assert_int_equal(mmi_registry_load(ground.registry, objects[1], &err), MM_NO_FDS);
    assert_non_null(strstr(err.text, objects[1]));
    expect(&ground, objects[1], MM_OK, "");
    ground_fini(&ground);
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
