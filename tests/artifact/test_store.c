/* SPDX-License-Identifier: Apache-2.0 */
#include <artifact/fixture.h>

#include <sys/mman.h>

static struct fixture g;

static int setup(void **state) {
    (void)state;
    fixture_init(&g);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    fixture_fini(&g);
    return 0;
}

static const struct model models[] = {
    {.number = 1, .weights_bytes = 0, .description_bytes = 0},
    {.number = 2, .weights_bytes = 0, .description_bytes = 100},
    {.number = 3, .weights_bytes = 1, .description_bytes = 1},
    {.number = 4, .weights_bytes = 4096, .description_bytes = 7, .group_bytes = 1000},
    {.number = 5, .weights_bytes = MIB, .description_bytes = 8, .group_bytes = MIB},
    {.number = 6, .weights_bytes = 2 * MIB + 12345, .description_bytes = 3000},
    {.number = 7, .weights_bytes = 3 * MIB, .description_bytes = 9, .group_bytes = 65536},
};
#define MODELS (sizeof(models) / sizeof(models[0]))

static void make_and_find_all(bool on_disk) {
    uint64_t memory = 0;
    for (size_t i = 0; i < MODELS; i++) {
        fixture_expect_none(&g, models[i].number);
        struct mmi_artifact *artifact;
        assert_int_equal(fixture_commit(&g, &models[i], &artifact), MM_OK);
        expect_whole(artifact, &models[i]);
        assert_int_equal(mmi_artifact_temporary_bytes(artifact),
                         on_disk ? 0 : stored_bytes(&models[i]));
        memory += mmi_artifact_temporary_bytes(artifact);
        mmi_artifact_release(artifact);
        fixture_expect(&g, &models[i]);
    }
    for (size_t i = 0; i < MODELS; i++) {
        fixture_expect(&g, &models[i]);
    }
    assert_int_equal(mmi_store_stats(g.store).temporary_bytes, memory);
    assert_int_equal(g.dropped, 0);
}

static void test_disk(void **state) {
    (void)state;
    fixture_open(&g);
    make_and_find_all(true);
    uint64_t bytes = 0;
    for (size_t i = 0; i < MODELS; i++) {
        char path[SCRATCH_ROOM];
        struct stat status;
        assert_int_equal(stat(entry_path(&g, models[i].number, path), &status), 0);
        assert_int_equal(status.st_size, file_bytes(&models[i]));
        assert_true((uint64_t)status.st_blocks * 512 >= file_bytes(&models[i])); /* allocated */
        bytes += file_bytes(&models[i]);
    }
    assert_int_equal(mmi_store_stats(g.store).cache_bytes, bytes);
    assert_int_equal(mmi_store_stats(g.store).entries, MODELS);
    fixture_reopen(&g);
    for (size_t i = 0; i < MODELS; i++) {
        fixture_expect(&g, &models[i]);
    }
    assert_int_equal(mmi_store_stats(g.store).cache_bytes, bytes);
    assert_int_equal(mmi_store_stats(g.store).entries, MODELS);
    assert_int_equal(count_files(g.cache, ".tmp"), 0);
}

static const uint8_t *map(const struct mmi_artifact *artifact, uint64_t bytes) {
    uint64_t offset;
    int fd = mmi_artifact_map_fd(artifact, &offset);
    assert_true(fd >= 0);
    assert_int_equal(offset % PAGE, 0);
    const uint8_t *mapped = mmap(NULL, bytes, PROT_READ, MAP_SHARED, fd, (off_t)offset);
    assert_ptr_not_equal(mapped, MAP_FAILED);
    return mapped;
}

/* One descriptor for all, no name in the folder, and pages as of an entry. */
static void test_temporary(void **state) {
    (void)state;
    g.config.cache_dir = NULL;
    for (int in_memory = 0; in_memory < 2; in_memory++) {
        fixture_open(&g);
        make_and_find_all(false);
        assert_int_equal(open_descriptors(), g.descriptors + 1);
        assert_int_equal(count_files(g.scratch.path, ""), 0);
        struct mmi_artifact *artifact;
        assert_int_equal(fixture_find(&g, 6, &artifact), MM_OK);
        assert_int_equal(mmi_artifact_hold(artifact, &g.err), MM_OK);
        const uint8_t *mapped = map(artifact, models[5].weights_bytes);
        expect_bytes(6, mapped, models[5].weights_bytes);
        munmap((void *)(uintptr_t)mapped, models[5].weights_bytes);
        mmi_artifact_unhold(artifact);
        mmi_artifact_release(artifact);
        fixture_close(&g);
        assert_int_equal(open_descriptors(), g.descriptors);
        g.config.temporary_dir = NULL;
    }
}

/* A folder that cannot be used: in memory, told in the log only. */
static void test_no_temporary_folder(void **state) {
    (void)state;
    g.config.cache_dir = NULL;
    g.config.temporary_dir = "/nowhere/at/all";
    fixture_open(&g);
    make_and_find_all(false);
}

/* What refuses later: room in the folder, room in memory too, descriptors. */
static void test_temporary_refusals(void **state) {
    (void)state;
    const struct model *model = &models[5];
    g.config.cache_dir = NULL;
    fixture_open(&g);
    struct mmi_artifact *artifact;
    const struct {
        const char *point;
        uint64_t nth;
        int error;
        mm_status status;
        const char *text;
    } cases[] = {
        {"open", 1, EMFILE, MM_NO_FDS, "Too many open files"},
        {"write", 1, ENOSPC, MM_OK, ""}, /* room in the folder; memory has some */
        {"write", 2, EIO, MM_IO, "prepared weights: Input/output error"},
        {"open", 1, EIO, MM_OK, ""},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        world_fault(&g.world, cases[i].point, cases[i].nth, cases[i].error);
        assert_int_equal(fixture_commit(&g, model, &artifact), cases[i].status);
        assert_true(world_failed(&g.world));
        world_fault(&g.world, NULL, 0, 0);
        if (cases[i].status == MM_OK) {
            expect_whole(artifact, model);
            mmi_artifact_release(artifact);
        } else {
            assert_non_null(strstr(g.err.text, cases[i].text));
            assert_int_equal(mmi_store_stats(g.store).temporary_bytes, 0);
        }
        fixture_reopen(&g);
    }
}

static void test_map(void **state) {
    (void)state;
    const struct model *model = &models[5];
    fixture_open(&g);
    fixture_make(&g, model);
    struct mmi_artifact *artifact;
    assert_int_equal(fixture_find(&g, model->number, &artifact), MM_OK);
    assert_int_equal(open_descriptors(), g.descriptors); /* none until it is held */
    assert_int_equal(mmi_artifact_hold(artifact, &g.err), MM_OK);
    assert_int_equal(mmi_artifact_hold(artifact, &g.err), MM_OK);
    assert_int_equal(open_descriptors(), g.descriptors + 1);
    const uint8_t *mapped = map(artifact, model->weights_bytes);
    mmi_artifact_unhold(artifact);
    assert_int_equal(open_descriptors(), g.descriptors + 1);
    /* Held and mapped, it outlives its entry. */
    char path[SCRATCH_ROOM];
    assert_int_equal(unlink(entry_path(&g, model->number, path)), 0);
    expect_weights(artifact, model);
    mmi_artifact_unhold(artifact);
    expect_bytes(model->number, mapped, model->weights_bytes);
    munmap((void *)(uintptr_t)mapped, model->weights_bytes);
    assert_int_equal(mmi_artifact_hold(artifact, &g.err), MM_NONE);
    expect_view(artifact, model);
    mmi_artifact_release(artifact);
    /* Mapping may be switched off. */
    g.config.map = false;
    fixture_reopen(&g);
    assert_int_equal(fixture_commit(&g, model, &artifact), MM_OK);
    assert_int_equal(mmi_artifact_hold(artifact, &g.err), MM_OK);
    uint64_t offset;
    assert_int_equal(mmi_artifact_map_fd(artifact, &offset), -1);
    expect_weights(artifact, model);
    mmi_artifact_unhold(artifact);
    mmi_artifact_release(artifact);
}

static void test_read_past_the_end(void **state) {
    (void)state;
    fixture_open(&g);
    for (int on_disk = 1; on_disk >= 0; on_disk--) {
        struct mmi_artifact *artifact;
        uint8_t byte;
        assert_int_equal(fixture_commit(&g, &models[3], &artifact), MM_OK);
        assert_int_equal(mmi_artifact_hold(artifact, &g.err), MM_OK);
        assert_int_equal(mmi_artifact_read(artifact, 4096, &byte, 0, &g.err), MM_OK);
        assert_int_equal(mmi_artifact_read(artifact, 4096, &byte, 1, &g.err), MM_INVALID_ARGUMENT);
        assert_int_equal(mmi_artifact_read(artifact, UINT64_MAX, &byte, 2, &g.err),
                         MM_INVALID_ARGUMENT);
        mmi_artifact_unhold(artifact);
        mmi_artifact_release(artifact);
        g.config.cache_dir = NULL;
        fixture_reopen(&g);
    }
}

static void test_bare(void **state) {
    (void)state;
    struct mmi_artifact *artifact;
    assert_int_equal(mmi_artifact_bare(&g.world.env, "hello", 5, &artifact, &g.err), MM_OK);
    mm_artifact view = mmi_artifact_view(artifact);
    assert_int_equal(view.description_bytes, 5);
    assert_memory_equal(view.description, "hello", 5);
    assert_int_equal(view.weights_bytes, 0);
    assert_int_equal(view.group_count, 0);
    assert_int_equal(mmi_artifact_temporary_bytes(artifact), 0);
    assert_int_equal(mmi_artifact_hold(artifact, &g.err), MM_OK);
    uint64_t offset;
    assert_int_equal(mmi_artifact_map_fd(artifact, &offset), -1);
    mmi_artifact_unhold(artifact);
    mmi_artifact_retain(artifact);
    mmi_artifact_release(artifact);
    mmi_artifact_release(artifact);
    mmi_artifact_release(NULL);
    assert_int_equal(mmi_artifact_bare(&g.world.env, NULL, 0, &artifact, &g.err), MM_OK);
    mmi_artifact_release(artifact);
    assert_int_equal(mmi_artifact_bare(&g.world.env, "", UINT64_MAX, &artifact, &g.err),
                     MM_NO_MEMORY);
    mmi_writer_abort(NULL);
    mmi_store_close(NULL);
}

static struct mmi_writer *open_writer(void) {
    struct mmi_writer *writer;
    struct mmi_writer_config config = {0};
    assert_int_equal(mmi_writer_open(g.store, &config, &writer, &g.err), MM_OK);
    assert_false(mmi_writer_sink(writer)->cancelled(mmi_writer_sink(writer)->ctx));
    mmi_writer_sink(writer)->progress(mmi_writer_sink(writer)->ctx, 500);
    return writer;
}

static void test_rules_of_the_sink(void **state) {
    (void)state;
    for (int on_disk = 1; on_disk >= 0; on_disk--) {
        fixture_open(&g);
        struct mmi_key key = key_of(1);
        struct mmi_artifact *artifact;
        struct mmi_writer *writer = open_writer();
        const mm_sink *sink = mmi_writer_sink(writer);
        assert_int_equal(sink->weights(sink->ctx, "x", 1, &g.err), MM_BACKEND_FAILED);
        assert_int_equal(sink->group(sink->ctx, &g.err), MM_BACKEND_FAILED);
        assert_int_equal(sink->expect(sink->ctx, UINT64_MAX, &g.err), MM_BACKEND_FAILED);
        assert_int_equal(sink->expect(sink->ctx, 3, &g.err), MM_OK);
        assert_int_equal(sink->expect(sink->ctx, 3, &g.err), MM_BACKEND_FAILED);
        assert_int_equal(sink->weights(sink->ctx, "ab", 2, &g.err), MM_OK);
        assert_int_equal(sink->weights(sink->ctx, "cd", 2, &g.err), MM_BACKEND_FAILED);
        assert_int_equal(sink->group(sink->ctx, &g.err), MM_OK);
        assert_int_equal(sink->group(sink->ctx, &g.err), MM_BACKEND_FAILED);
        assert_int_equal(sink->describe(sink->ctx, "d", 1, &g.err), MM_OK);
        assert_int_equal(sink->describe(sink->ctx, "d", 1, &g.err), MM_BACKEND_FAILED);
        assert_int_equal(mmi_writer_commit(writer, &key, &artifact, &g.err), MM_BACKEND_FAILED);
        assert_non_null(strstr(g.err.text, "2 of 3 bytes"));
        writer = open_writer(); /* without a description */
        assert_int_equal(mmi_writer_commit(writer, &key, &artifact, &g.err), MM_BACKEND_FAILED);
        writer = open_writer(); /* expecting nothing is expecting 0 */
        sink = mmi_writer_sink(writer);
        assert_int_equal(sink->describe(sink->ctx, NULL, 0, &g.err), MM_OK);
        assert_int_equal(mmi_writer_commit(writer, &key, &artifact, &g.err), MM_OK);
        expect_whole(artifact, &models[0]);
        mmi_artifact_release(artifact);
        fixture_close(&g);
        assert_int_equal(count_files(g.cache, ".tmp"), 0);
        g.config.cache_dir = NULL;
    }
}

static bool say_cancelled(void *user) {
    ++*(int *)user;
    return true;
}

static void count_progress(void *user, uint32_t permille) {
    *(int *)user += (int)permille;
}

static void test_what_is_passed_through(void **state) {
    (void)state;
    fixture_open(&g);
    int calls = 0;
    struct mmi_writer_config config = {say_cancelled, count_progress, &calls};
    struct mmi_writer *writer;
    assert_int_equal(mmi_writer_open(g.store, &config, &writer, &g.err), MM_OK);
    const mm_sink *sink = mmi_writer_sink(writer);
    assert_true(sink->cancelled(sink->ctx));
    sink->progress(sink->ctx, 10);
    assert_int_equal(calls, 11);
    assert_int_equal(sink->expect(sink->ctx, MIB, &g.err), MM_OK);
    assert_int_equal(count_files(g.cache, ".tmp"), 1);
    mmi_writer_abort(writer);
    assert_int_equal(count_files(g.cache, ".tmp"), 0);
}

static void test_first_commit_wins(void **state) {
    (void)state;
    for (int on_disk = 1; on_disk >= 0; on_disk--) {
        fixture_open(&g);
        const struct model *model = &models[5];
        struct mmi_key key = key_of(model->number);
        struct mmi_writer *writers[2] = {open_writer(), open_writer()};
        struct mmi_artifact *artifacts[2];
        char path[SCRATCH_ROOM];
        struct stat first, second;
        for (int i = 0; i < 2; i++) {
            assert_int_equal(model_prepare(model, mmi_writer_sink(writers[i]), &g.err), MM_OK);
        }
        entry_path(&g, model->number, path);
        assert_int_equal(mmi_writer_commit(writers[0], &key, &artifacts[0], &g.err), MM_OK);
        assert_int_equal(stat(path, &first), on_disk ? 0 : -1);
        assert_int_equal(mmi_writer_commit(writers[1], &key, &artifacts[1], &g.err), MM_OK);
        assert_int_equal(stat(path, &second), on_disk ? 0 : -1);
        if (on_disk) {
            assert_int_equal(first.st_ino, second.st_ino);
        } else {
            assert_ptr_equal(artifacts[0], artifacts[1]);
            assert_int_equal(mmi_store_stats(g.store).temporary_bytes, stored_bytes(model));
        }
        for (int i = 0; i < 2; i++) {
            expect_whole(artifacts[i], model);
            mmi_artifact_release(artifacts[i]);
        }
        fixture_close(&g);
        unlink(path);
        g.config.cache_dir = NULL;
    }
}

static void test_memory_budget(void **state) {
    (void)state;
    const struct model small[3] = {{.number = 11, .weights_bytes = MIB, .description_bytes = 9},
                                   {.number = 12, .weights_bytes = MIB, .description_bytes = 9},
                                   {.number = 13, .weights_bytes = MIB, .description_bytes = 9}};
    const struct model large = {.number = 14, .weights_bytes = 2 * MIB};
    g.config.cache_dir = NULL;
    g.config.temporary_budget_bytes = 2 * MIB;
    fixture_open(&g);
    struct mmi_artifact *artifacts[3], *passing;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(fixture_commit(&g, &small[i], &artifacts[i]), MM_OK);
    }
    /* The second is the least recently used now. */
    assert_int_equal(mmi_artifact_hold(artifacts[0], &g.err), MM_OK);
    assert_int_equal(fixture_commit(&g, &small[2], &artifacts[2]), MM_OK);
    assert_int_equal(g.dropped, 1);
    assert_int_equal(g.dropped_bytes, MIB);
    assert_string_equal(g.dropped_what, "artifact_budget");
    /* Its weights are gone, its description stays. */
    fixture_expect_none(&g, 12);
    assert_int_equal(mmi_artifact_hold(artifacts[1], &g.err), MM_NONE);
    assert_int_equal(mmi_artifact_temporary_bytes(artifacts[1]), 0);
    expect_view(artifacts[1], &small[1]);
    /* Who is held stays, and nobody leaves for what finds no room: that is there for one load. */
    assert_int_equal(fixture_commit(&g, &large, &passing), MM_OK);
    assert_int_equal(g.dropped, 1);
    assert_int_equal(mmi_store_stats(g.store).temporary_bytes, 4 * MIB);
    assert_int_equal(mmi_artifact_hold(passing, &g.err), MM_OK);
    mmi_artifact_unhold(passing);
    mmi_artifact_release(passing);
    assert_int_equal(g.dropped, 2);
    assert_int_equal(mmi_store_stats(g.store).temporary_bytes, 2 * MIB);
    expect_weights(artifacts[0], &small[0]);
    mmi_artifact_unhold(artifacts[0]);
    fixture_make(&g, &large);
    assert_int_equal(g.dropped, 4);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(mmi_artifact_hold(artifacts[i], &g.err), MM_NONE);
        mmi_artifact_release(artifacts[i]);
    }
    assert_int_equal(mmi_store_stats(g.store).temporary_bytes, 2 * MIB);
}

/* "larger than all of that budget": there until it is held no more; nobody leaves for it. */
static void test_larger_than_the_memory_budget(void **state) {
    (void)state;
    const struct model small = {.number = 15, .weights_bytes = MIB, .description_bytes = 9};
    const struct model large[2] = {{.number = 16, .weights_bytes = 3 * MIB},
                                   {.number = 17, .weights_bytes = 4 * MIB}};
    g.config.cache_dir = NULL;
    g.config.temporary_budget_bytes = 2 * MIB;
    fixture_open(&g);
    fixture_make(&g, &small);
    struct mmi_artifact *artifacts[2];
    assert_int_equal(fixture_commit(&g, &large[0], &artifacts[0]), MM_OK);
    assert_int_equal(mmi_artifact_temporary_bytes(artifacts[0]), 3 * MIB);
    for (int i = 0; i < 2; i++) { /* two loads at once */
        assert_int_equal(mmi_artifact_hold(artifacts[0], &g.err), MM_OK);
    }
    assert_int_equal(fixture_commit(&g, &large[1], &artifacts[1]), MM_OK);
    assert_int_equal(mmi_store_stats(g.store).temporary_bytes, 8 * MIB);
    mmi_artifact_unhold(artifacts[0]);
    expect_weights(artifacts[0], &large[0]);
    assert_int_equal(g.dropped, 0);
    mmi_artifact_unhold(artifacts[0]);
    assert_int_equal(g.dropped, 1);
    assert_int_equal(g.dropped_bytes, 3 * MIB);
    assert_string_equal(g.dropped_what, "artifact_budget");
    fixture_expect_none(&g, 16);
    assert_int_equal(mmi_artifact_hold(artifacts[0], &g.err), MM_NONE);
    mmi_artifact_release(artifacts[0]);
    /* One that nobody held yet makes way for the next. */
    fixture_expect(&g, &large[1]); /* and was held there */
    fixture_expect_none(&g, 17);
    mmi_artifact_release(artifacts[1]);
    assert_int_equal(fixture_commit(&g, &large[1], &artifacts[1]), MM_OK);
    assert_int_equal(fixture_commit(&g, &large[0], &artifacts[0]), MM_OK);
    assert_int_equal(mmi_artifact_temporary_bytes(artifacts[1]), 0);
    mmi_artifact_release(artifacts[0]);
    mmi_artifact_release(artifacts[1]);
    assert_int_equal(mmi_store_stats(g.store).temporary_bytes, 4 * MIB);
    fixture_expect(&g, &small);
}

static void test_cache_budget(void **state) {
    (void)state;
    const struct model small[4] = {{.number = 21, .weights_bytes = 64 * KIB},
                                   {.number = 22, .weights_bytes = 64 * KIB},
                                   {.number = 23, .weights_bytes = 64 * KIB},
                                   {.number = 24, .weights_bytes = 64 * KIB}};
    const struct model large = {.number = 25, .weights_bytes = 256 * KIB};
    g.config.cache_budget_bytes = 3 * file_bytes(&small[0]);
    fixture_open(&g);
    for (int i = 0; i < 3; i++) {
        fixture_make(&g, &small[i]);
    }
    fixture_expect(&g, &small[0]); /* 22 is the least recently used */
    assert_int_equal(g.dropped, 0);
    fixture_make(&g, &small[3]);
    assert_int_equal(g.dropped_bytes, file_bytes(&small[0]));
    assert_string_equal(g.dropped_what, "cache_budget");
    fixture_expect_none(&g, 22);
    fixture_expect(&g, &small[0]);
    fixture_expect(&g, &small[2]);
    fixture_expect(&g, &small[3]);
    /* Larger than the whole budget: kept in memory, nobody leaves. */
    fixture_make(&g, &large);
    assert_string_equal(g.dropped_what, "cache_full");
    assert_int_equal(count_files(g.cache, ".mma"), 3);
    assert_int_equal(mmi_store_stats(g.store).temporary_bytes, 256 * KIB);
    fixture_expect(&g, &large);
    /* A smaller budget is kept from the next entry on. */
    g.config.cache_budget_bytes = file_bytes(&small[0]);
    fixture_reopen(&g);
    fixture_make(&g, &small[1]);
    assert_int_equal(count_files(g.cache, ".mma"), 1);
    assert_int_equal(mmi_store_stats(g.store).entries, 1);
}

static void test_directory(void **state) {
    (void)state;
    struct stat status;
    fixture_open(&g);
    assert_int_equal(stat(g.cache, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0700); /* made */
    fixture_close(&g);
    const mode_t refused[] = {0755, 0750, 0701, 0777, 0770};
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        assert_int_equal(chmod(g.cache, refused[i]), 0);
        assert_int_equal(fixture_try_open(&g), MM_CACHE_NOT_OWNED);
        assert_non_null(strstr(g.err.text, g.cache));
    }
    assert_int_equal(chmod(g.cache, 0500), 0);
    fixture_open(&g);
    fixture_close(&g);
    assert_int_equal(chmod(g.cache, 0700), 0);
    if (geteuid() == 0) {
        assert_int_equal(chown(g.cache, 1, 1), 0);
        assert_int_equal(fixture_try_open(&g), MM_CACHE_NOT_OWNED);
        assert_int_equal(chown(g.cache, 0, 0), 0);
    }
    char path[SCRATCH_ROOM];
    g.config.cache_dir = scratch_path(&g.scratch, "no/parent", path);
    assert_int_equal(fixture_try_open(&g), MM_NOT_FOUND);
    scratch_text(&g.scratch, "file", "");
    g.config.cache_dir = scratch_path(&g.scratch, "file", path);
    assert_int_equal(fixture_try_open(&g), MM_CACHE_NOT_OWNED);
    world_fault(&g.world, "write", 1, EROFS);
    g.config.cache_dir = scratch_path(&g.scratch, "new", path);
    assert_int_equal(fixture_try_open(&g), MM_IO);
}

/* A relative cache_dir stays where it was when the process walks away. */
static void test_relative_directory(void **state) {
    (void)state;
    char before[4096];
    assert_non_null(getcwd(before, sizeof(before)));
    assert_int_equal(chdir(g.scratch.path), 0);
    g.config.cache_dir = "cache";
    fixture_open(&g);
    assert_int_equal(chdir(before), 0);
    fixture_make(&g, &models[3]);
    fixture_expect(&g, &models[3]);
    assert_int_equal(count_files(g.cache, ".mma"), 1);
}

static void test_hashes(void **state) {
    (void)state;
    struct mmi_hash all[] = {mmi_target_hash("onnx", "1", "avx2", ""),
                             mmi_target_hash("onnx", "1", "avx", "2"),
                             mmi_target_hash("onnx", "1", "avx2", "x"),
                             mmi_target_hash("onnx1", "", "avx2", ""),
                             mmi_target_hash("onnx", "", "avx2", "1"),
                             mmi_target_hash("onnx", "1", "neon", ""),
                             mmi_target_hash(NULL, NULL, NULL, NULL),
                             mmi_hash128("a", 1),
                             mmi_hash128("b", 1),
                             mmi_hash128("", 0)};
    size_t count = sizeof(all) / sizeof(all[0]);
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < i; k++) {
            assert_false(all[i].low == all[k].low || all[i].high == all[k].high);
        }
    }
    struct mmi_hash empty = mmi_target_hash("", "", "", ""), null = all[6];
    assert_memory_equal(&empty, &null, sizeof(empty));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_disk, setup, teardown),
        cmocka_unit_test_setup_teardown(test_temporary, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_temporary_folder, setup, teardown),
        cmocka_unit_test_setup_teardown(test_temporary_refusals, setup, teardown),
        cmocka_unit_test_setup_teardown(test_map, setup, teardown),
        cmocka_unit_test_setup_teardown(test_read_past_the_end, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bare, setup, teardown),
        cmocka_unit_test_setup_teardown(test_rules_of_the_sink, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_is_passed_through, setup, teardown),
        cmocka_unit_test_setup_teardown(test_first_commit_wins, setup, teardown),
        cmocka_unit_test_setup_teardown(test_memory_budget, setup, teardown),
        cmocka_unit_test_setup_teardown(test_larger_than_the_memory_budget, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cache_budget, setup, teardown),
        cmocka_unit_test_setup_teardown(test_directory, setup, teardown),
        cmocka_unit_test_setup_teardown(test_relative_directory, setup, teardown),
        cmocka_unit_test_setup_teardown(test_hashes, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
