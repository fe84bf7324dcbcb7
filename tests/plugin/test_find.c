/* SPDX-License-Identifier: Apache-2.0 */

/* Which backend and format a model gets: by names, suffix, first bytes. */

#include <plugin/tables.h>

#include <string.h>

static const mm_format red_formats[] = {
    {"red", "1", ".red", "RED", 3, 0},
    {"red-long", "1", ".dark.red", "REDDEST", 7, 0},
    {"shared", "1", ".shared", "SHARED", 6, 0},
};
static const mm_format blue_formats[] = {
    {"blue", "2", ".blue", NULL, 0, 0},
    {"shared", "2", ".shared", "SHARED", 6, 0},
};
static const mm_format mute_formats[] = {
    {.name = "mute"}, /* found by its name alone */
};

struct case_ {
    struct mmi_format_query query;
    mm_status status;
    const char *backend, *format; /* the answer; or words of the error */
};

#define HEAD(text) .head = text, .head_bytes = sizeof(text) - 1

static const struct case_ cases[] = {
    /* Suffix: the longest. */
    {{.name = "a.red"}, MM_OK, "red", "red"},
    {{.name = "models/a.dark.red"}, MM_OK, "red", "red-long"},
    {{.name = "a.blue"}, MM_OK, "blue", "blue"},
    {{.name = "a.blue", HEAD("REDDEST")}, MM_OK, "blue", "blue"},
    {{.name = "a.shared"}, MM_AMBIGUOUS, "red", "blue"},
    {{.name = "a.shared", .backend = "blue"}, MM_OK, "blue", "shared"},
    /* First bytes: the longest, and only once they are there. */
    {{.name = "a.bin"}, MM_NONE, "a.bin", "format"},
    {{.name = NULL}, MM_NONE, "format", "format"},
    {{.name = "red"}, MM_NONE, "red", "format"},
    {{.name = "a.bin", HEAD("RED and more")}, MM_OK, "red", "red"},
    {{.name = NULL, HEAD("REDDEST")}, MM_OK, "red", "red-long"},
    {{.name = NULL, HEAD("SHARED")}, MM_AMBIGUOUS, "red", "blue"},
    {{.name = "a.bin", HEAD("RE")}, MM_NOT_FOUND, "a.bin", "no backend"},
    {{.name = "a.bin", HEAD("")}, MM_NOT_FOUND, "a.bin", "no backend"},
    /* The format's name: nothing else counts. */
    {{.name = "a.blue", .format = "red"}, MM_OK, "red", "red"},
    {{.name = "a.blue", .format = "shared"}, MM_AMBIGUOUS, "red", "blue"},
    {{.name = "a.blue", .format = "shared", .backend = "red"}, MM_OK, "red", "shared"},
    {{.format = "mute"}, MM_OK, "mute", "mute"},
    {{.name = "a.red", .format = "green"}, MM_NOT_FOUND, "green", "format"},
    {{.name = "a.red", .format = "blue", .backend = "red"}, MM_NOT_FOUND, "red", "blue"},
    /* The backend's name: of what it knows; if that is one format, that. */
    {{.name = "a.red", .backend = "mute"}, MM_OK, "mute", "mute"},
    {{.name = "a.bin", .backend = "red"}, MM_NONE, "a.bin", "format"},
    {{.name = "a.bin", .backend = "red", HEAD("RED")}, MM_OK, "red", "red"},
    {{.name = "a.bin", .backend = "red", HEAD("x")}, MM_NOT_FOUND, "red", "a.bin"},
    {{.name = "a.bin", .backend = "blue", HEAD("RED")}, MM_NOT_FOUND, "blue", "a.bin"},
    {{.name = "a.red", .backend = "green"}, MM_NOT_FOUND, "green", "backend"},
};

static void test_find(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture);
    const mm_backend tables[] = {
        plain_table("red", red_formats, 3),
        plain_table("blue", blue_formats, 2),
        plain_table("mute", mute_formats, 1),
    };
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(mmi_registry_add(fixture.registry, &tables[i], NULL), MM_OK);
    }
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct case_ *c = &cases[i];
        struct mmi_backend *backend = NULL;
        const mm_format *format = NULL;
        mm_error err = {0};
        mm_status status = mmi_registry_find(fixture.registry, &c->query, &backend, &format, &err);
        if (status != c->status) {
            fail_msg("case %u: %s: %s", i, mm_status_name(status), err.text);
        }
        assert_int_equal(mmi_registry_find(fixture.registry, &c->query, &backend, &format, NULL),
                         status);
        if (status == MM_OK) {
            assert_string_equal(backend->table->name, c->backend);
            assert_string_equal(format->name, c->format);
        } else if (!strstr(err.text, c->backend) || !strstr(err.text, c->format)) {
            fail_msg("case %u: %s and %s expected in: %s", i, c->backend, c->format, err.text);
        } else {
            assert_null(backend);
        }
    }
    fixture_fini(&fixture);
}

static void test_nothing(void **state) {
    (void)state;
    struct fixture fixture;
    struct mmi_backend *backend;
    const mm_format *format;
    fixture_init(&fixture);
    const struct mmi_format_query query = {.name = "a.red"};
    assert_int_equal(mmi_registry_find(fixture.registry, &query, &backend, &format, NULL),
                     MM_NOT_FOUND);
    fixture_fini(&fixture);
}

/* The built-ins among themselves: each of their names, suffixes and first bytes leads home. */
static void test_builtins(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture);
    for (unsigned i = 0; mmi_builtin_backends[i]; i++) {
        assert_int_equal(mmi_registry_add(fixture.registry, mmi_builtin_backends[i], NULL), MM_OK);
    }
    for (unsigned i = 0; mmi_builtin_backends[i]; i++) {
        const mm_backend *table = mmi_builtin_backends[i];
        for (uint32_t f = 0; f < table->format_count; f++) {
            const mm_format *format = &table->formats[f];
            const struct mmi_format_query queries[] = {
                {.format = format->name},
                {.name = format->suffix},
                {.head = format->magic, .head_bytes = format->magic_bytes},
            };
            for (unsigned q = 0; q < 3; q++) {
                struct mmi_backend *found;
                const mm_format *found_format;
                bool asks = queries[q].format || queries[q].name || queries[q].head;
                if (asks) {
                    assert_int_equal(mmi_registry_find(fixture.registry, &queries[q], &found,
                                                       &found_format, NULL),
                                     MM_OK);
                    assert_string_equal(found->table->name, table->name);
                    assert_string_equal(found_format->name, format->name);
                }
            }
        }
    }
    fixture_fini(&fixture);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_find),
        cmocka_unit_test(test_nothing),
        cmocka_unit_test(test_builtins),
    };
    return cmocka_run_group_tests_name("plugin-find", tests, NULL, NULL);
}
