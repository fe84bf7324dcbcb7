/* SPDX-License-Identifier: Apache-2.0 */
#include <artifact/fixture.h>
#include <support/served.h>

static struct fixture g;
static const struct mmi_hash content = {0x1234, 0x5678};

static int setup(void **state) {
    (void)state;
    fixture_init(&g);
    scratch_text(&g.scratch, "m.onnx", "main");
    scratch_text(&g.scratch, "a.bin", "sibling a");
    scratch_text(&g.scratch, "b.bin", "sibling b");
    return 0;
}

static int teardown(void **state) {
    (void)state;
    fixture_fini(&g);
    return 0;
}

/* The source of m.onnx with the siblings open whose names follow, once all are old enough to be
 * remembered. */
static struct mmi_source *open_aged(const char *first, const char *second) {
    char path[SCRATCH_ROOM];
    scratch_path(&g.scratch, "m.onnx", path);
    for (;;) {
        struct mmi_source *source;
        assert_int_equal(mmi_source_open(&g.world.env, path, NULL, &source, &g.err), MM_OK);
        const mm_source *reader = mmi_source_reader(source);
        mm_source sibling;
        if (first) {
            assert_int_equal(reader->open(reader->ctx, first, &sibling, &g.err), MM_OK);
        }
        if (second) {
            assert_int_equal(reader->open(reader->ctx, second, &sibling, &g.err), MM_OK);
        }
        bool aged = true;
        struct mmi_source_file file;
        for (size_t i = 0; mmi_source_file(source, i, &file); i++) {
            aged = aged && file.identity.strong;
        }
        if (aged) {
            return source;
        }
        mmi_source_close(source);
    }
}

static void remember(const char *first, const char *second) {
    struct mmi_source *source = open_aged(first, second);
    mmi_store_remember(g.store, source, content);
    mmi_source_close(source);
}

static bool recall(void) {
    struct mmi_hash found = {0, 0};
    struct mmi_source *source = open_aged(NULL, NULL);
    bool known = mmi_store_recall(g.store, source, &found);
    if (known) {
        assert_memory_equal(&found, &content, sizeof(content));
    }
    mmi_source_close(source);
    return known;
}

static void recall_through_changes(void) {
    assert_false(recall());
    remember(NULL, NULL);
    assert_true(recall());
    remember("a.bin", "b.bin");
    assert_true(recall());
    scratch_text(&g.scratch, "b.bin", "another b");
    assert_false(recall());
    remember("a.bin", "b.bin");
    assert_true(recall());
    char path[SCRATCH_ROOM];
    assert_int_equal(unlink(scratch_path(&g.scratch, "a.bin", path)), 0);
    assert_false(recall());
    remember("b.bin", NULL);
    assert_true(recall());
    scratch_text(&g.scratch, "m.onnx", "niam"); /* the same size */
    assert_false(recall());
    remember("b.bin", NULL);
    assert_true(recall());
}

static void test_in_the_cache_directory(void **state) {
    (void)state;
    fixture_open(&g);
    recall_through_changes();
    fixture_reopen(&g);
    assert_true(recall());
    assert_int_equal(count_files(g.cache, ".mms"), 1); /* a changed source takes its old place */
    assert_int_equal(count_files(g.cache, ".tmp"), 0);
}

static void test_in_memory(void **state) {
    (void)state;
    g.config.cache_dir = NULL;
    fixture_open(&g);
    recall_through_changes();
    fixture_reopen(&g);
    assert_false(recall());
}

static void test_read_only_directory(void **state) {
    (void)state;
    fixture_open(&g);
    const char *faults[] = {"open", "write", "rename"};
    for (size_t i = 0; i < 3; i++) {
        struct mmi_source *source = open_aged("a.bin", NULL);
        world_fault(&g.world, faults[i], 1, EROFS);
        mmi_store_remember(g.store, source, content);
        assert_true(world_failed(&g.world));
        world_fault(&g.world, NULL, 0, 0);
        mmi_source_close(source);
        assert_int_equal(count_files(g.cache, ".mms"), 0);
        assert_int_equal(count_files(g.cache, ".tmp"), 0);
        assert_true(recall());
        fixture_reopen(&g);
    }
}

static void test_what_is_not_remembered(void **state) {
    (void)state;
    fixture_open(&g);
    struct mmi_source *source;
    struct mmi_hash found;
    struct mmi_memory memory = {.data = "x", .bytes = 1};
    assert_int_equal(mmi_source_open(&g.world.env, NULL, &memory, &source, &g.err), MM_OK);
    mmi_store_remember(g.store, source, content);
    assert_false(mmi_store_recall(g.store, source, &found));
    mmi_source_close(source);
    /* A file that may be written again within the same tick of its times. */
    char path[SCRATCH_ROOM];
    struct mmi_identity identity;
    scratch_path(&g.scratch, "m.onnx", path);
    do {
        scratch_text(&g.scratch, "m.onnx", "young");
        assert_int_equal(mmi_source_open(&g.world.env, path, NULL, &source, &g.err), MM_OK);
        identity = mmi_source_identity(source);
        if (!identity.strong) {
            mmi_store_remember(g.store, source, content);
        }
        mmi_source_close(source);
    } while (identity.strong);
    assert_false(recall());
}

/* ---- A kind of its own ---------------------------------------------------------------------- */

static bool recall_served(struct served *served) {
    struct mmi_hash found = {0, 0};
    struct mmi_source *source;
    assert_int_equal(served_open(&g.world.env, served, &source, &g.err), MM_OK);
    bool known = mmi_store_recall(g.store, source, &found);
    assert_true(!known || mmi_hash_equal(found, content));
    assert_int_equal(served->arrived, 0); /* no byte was read for it */
    mmi_source_close(source);
    return known;
}

static void remember_served(struct served *served) {
    struct mmi_source *source;
    assert_int_equal(served_open(&g.world.env, served, &source, &g.err), MM_OK);
    mmi_store_remember(g.store, source, content);
    mmi_source_close(source);
}

/* An entity tag tells what times tell of a file, here and after a restart; another address, another
 * tag or another length is another content. */
static void test_an_entity_tag(void **state) {
    (void)state;
    for (int on_disk = 1; on_disk >= 0; on_disk--) {
        g.config.cache_dir = on_disk ? g.config.cache_dir : NULL;
        fixture_open(&g);
        const struct served first = {.address = "served://a/m",
                                     .tag = "v1",
                                     .bytes = (const uint8_t *)"main",
                                     .count = 4,
                                     .fails_at = UINT64_MAX};
        struct served served = first;
        assert_false(recall_served(&served));
        remember_served(&served);
        assert_true(recall_served(&served));
        fixture_reopen(&g);
        assert_int_equal(recall_served(&served), on_disk);
        remember_served(&served);
        served.address = "served://b/m";
        assert_false(recall_served(&served));
        served = first;
        served.tag = "v2";
        assert_false(recall_served(&served));
        served = first;
        served.count = 3;
        assert_false(recall_served(&served));
        served = first;
        assert_true(recall_served(&served));
        fixture_close(&g);
    }
}

/* Without a tag only reading tells: such a source is never taken for what it was. */
static void test_no_entity_tag(void **state) {
    (void)state;
    fixture_open(&g);
    struct served served = {.address = "served://a/m",
                            .bytes = (const uint8_t *)"main",
                            .count = 4,
                            .fails_at = UINT64_MAX};
    remember_served(&served);
    assert_false(recall_served(&served));
    fixture_reopen(&g);
    assert_false(recall_served(&served));
    assert_int_equal(count_files(g.cache, ".mms"), 0);
    served.tag = "v1"; /* once it had one, and lost it again */
    remember_served(&served);
    assert_true(recall_served(&served));
    served.tag = NULL;
    assert_false(recall_served(&served));
}

/* A change while it is read shows, with and without a tag. */
static void test_a_served_source_that_changes(void **state) {
    (void)state;
    struct served served = {.address = "served://a/m",
                            .tag = "v1",
                            .bytes = (const uint8_t *)"main",
                            .count = 4,
                            .fails_at = UINT64_MAX};
    struct mmi_source *source;
    assert_int_equal(served_open(&g.world.env, &served, &source, &g.err), MM_OK);
    assert_true(mmi_source_unchanged(source));
    served.tag = "v2";
    assert_false(mmi_source_unchanged(source));
    mmi_source_close(source);
    served.tag = NULL;
    assert_int_equal(served_open(&g.world.env, &served, &source, &g.err), MM_OK);
    assert_true(mmi_source_unchanged(source));
    served.count = 3;
    assert_false(mmi_source_unchanged(source));
    mmi_source_close(source);
}

/* ---- Damage --------------------------------------------------------------------------------- */

static const char *record_path(char *path) {
    DIR *listing = opendir(g.cache);
    assert_non_null(listing);
    for (const struct dirent *entry; (entry = readdir(listing)) != NULL;) {
        if (strstr(entry->d_name, ".mms")) {
            char name[300];
            snprintf(name, sizeof(name), "cache/%s", entry->d_name);
            scratch_path(&g.scratch, name, path);
        }
    }
    closedir(listing);
    return path;
}

static void test_damaged_records(void **state) {
    (void)state;
    fixture_open(&g);
    remember("a.bin", "b.bin");
    char path[SCRATCH_ROOM];
    uint8_t bytes[1024];
    size_t count = file_read(record_path(path), bytes, sizeof(bytes));
    for (size_t i = 0; i < count; i++) {
        file_flip(path, i, (uint8_t)(1u << (i % 8)));
        assert_false(recall());
        file_flip(path, i, (uint8_t)(1u << (i % 8)));
    }
    assert_true(recall());
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(truncate(path, (off_t)i), 0);
        assert_false(recall());
        file_patch(path, 0, bytes, count);
    }
    assert_int_equal(truncate(path, (off_t)count + 1), 0);
    assert_false(recall());
    remember("a.bin", "b.bin"); /* and it is mended */
    assert_true(recall());
}

static void test_out_of_memory(void **state) {
    (void)state;
    for (int on_disk = 1; on_disk >= 0; on_disk--) {
        fixture_open(&g);
        bool hit = true;
        for (uint64_t nth = 1; hit; nth++) {
            struct mmi_source *source = open_aged("a.bin", NULL);
            struct mmi_hash found;
            world_fail_alloc(&g.world, nth);
            mmi_store_remember(g.store, source, content);
            bool known = mmi_store_recall(g.store, source, &found);
            hit = world_failed(&g.world);
            world_fail_alloc(&g.world, 0);
            assert_true(hit || known);
            mmi_source_close(source);
        }
        fixture_close(&g);
        g.config.cache_dir = NULL;
    }
}

/* A limit of the process for files: it is remembered in memory, and no signal comes. */
static void test_no_file_may_be_so_long(void **state) {
    (void)state;
    fixture_open(&g);
    struct mmi_source *source = open_aged("a.bin", NULL);
    struct mmi_hash found;
    limit_files(16);
    mmi_store_remember(g.store, source, content);
    limit_files(0);
    assert_int_equal(count_files(g.cache, ".mms"), 0);
    assert_int_equal(count_files(g.cache, ".tmp"), 0);
    assert_true(mmi_store_recall(g.store, source, &found));
    assert_true(mmi_hash_equal(found, content));
    mmi_source_close(source);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_in_the_cache_directory, setup, teardown),
        cmocka_unit_test_setup_teardown(test_in_memory, setup, teardown),
        cmocka_unit_test_setup_teardown(test_read_only_directory, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_is_not_remembered, setup, teardown),
        cmocka_unit_test_setup_teardown(test_an_entity_tag, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_entity_tag, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_served_source_that_changes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_damaged_records, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_file_may_be_so_long, setup, teardown),
        cmocka_unit_test_setup_teardown(test_out_of_memory, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
