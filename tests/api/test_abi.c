/* SPDX-License-Identifier: Apache-2.0 */
/* The table of sizes and offsets, against a program that was made from the headers themselves.
 *
 * Usage: test_abi PROGRAM     (prints "mm_value.shape 24" for every struct and field) */
#include <support/world.h>

#include <modelmesh/modelmesh.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char *program;

static void test_table(void **state) {
    (void)state;
    FILE *lines = popen(program, "r");
    assert_non_null(lines);
    const mm_abi_entry *entry = mm_abi_table(NULL, NULL);
    unsigned count = 0;
    char name[128];
    uint64_t value;
    while (fscanf(lines, "%127s %" SCNu64, name, &value) == 2) {
        assert_non_null(entry->name);
        assert_string_equal(entry->name, name);
        assert_int_equal(entry->value, value);
        entry++;
        count++;
    }
    assert_int_equal(pclose(lines), 0);
    assert_null(entry->name);
    assert_true(count > 200);
}

static void test_versions(void **state) {
    (void)state;
    uint32_t major = 99, minor = 99;
    assert_ptr_equal(mm_abi_table(&major, &minor), mm_abi_table(NULL, NULL));
    assert_int_equal(major, MM_ABI_MAJOR);
    assert_int_equal(minor, MM_ABI_MINOR);
    char text[32];
    snprintf(text, sizeof(text), "%d.%d.%d", MM_VERSION_MAJOR, MM_VERSION_MINOR, MM_VERSION_PATCH);
    assert_string_equal(mm_version(), text);
    assert_string_equal(mm_version(), MM_VERSION_TEXT);
}

int main(int argc, char **argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: %s PROGRAM\n", argv[0]);
        return 2;
    }
    program = argv[1];
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_versions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
