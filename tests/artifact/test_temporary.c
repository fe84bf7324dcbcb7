/* SPDX-License-Identifier: Apache-2.0 */
/* Weights outside the cache directory: who is kept, and where they go when a place refuses. */
#include <artifact/fixture.h>
#include <artifact/state.h>

#define MANY 40u

static struct fixture g;

static int setup(void **state) {
    (void)state;
    fixture_init(&g);
    g.config.cache_dir = NULL;
    return 0;
}

static int teardown(void **state) {
    (void)state;
    limit_files(0);
    fixture_fini(&g);
    return 0;
}

static struct model sized(uint64_t number, uint64_t bytes) {
    return (struct model){.number = number, .weights_bytes = bytes, .description_bytes = 9};
}

static struct mmi_artifact *make(uint64_t number, uint64_t bytes) {
    struct model model = sized(number, bytes);
    struct mmi_artifact *artifact = NULL;
    mm_status status = fixture_commit(&g, &model, &artifact);
    if (status != MM_OK) {
        fail_msg("model %d: %s", (int)number, g.err.text);
    }
    expect_view(artifact, &model);
    return artifact;
}

static struct mmi_artifact *make_held(uint64_t number, uint64_t bytes) {
    struct model model = sized(number, bytes);
    struct mmi_artifact *artifact = make(number, bytes);
    assert_int_equal(mmi_artifact_hold(artifact, &g.err), MM_OK);
    expect_weights(artifact, &model);
    return artifact;
}

static void let_go(struct mmi_artifact *artifact) {
    mmi_artifact_unhold(artifact);
    mmi_artifact_release(artifact);
}

/* "what finds no room in that budget is not kept", also beside a directory that is full: who may be
 * loaded is not for the budget to say. */
static void test_full_directory(void **state) {
    (void)state;
    g.config.cache_dir = g.cache;
    g.config.cache_budget_bytes = PAGE;
    g.config.temporary_budget_bytes = 2 * MIB;
    fixture_open(&g);
    struct mmi_artifact *held[4];
    for (unsigned i = 0; i < 4; i++) {
        held[i] = make_held(i + 1, MIB);
    }
    struct mmi_artifact *large = make_held(9, 5 * MIB);
    assert_int_equal(mmi_store_stats(g.store).temporary_bytes, 9 * MIB);
    let_go(large);
    for (unsigned i = 0; i < 4; i++) {
        let_go(held[i]);
    }
    assert_int_equal(mmi_store_stats(g.store).temporary_bytes, 2 * MIB);
}

/* A limit for one file is none for all of them together. */
static void test_limit_of_one_file(void **state) {
    (void)state;
    for (int in_memory = 0; in_memory < 2; in_memory++) {
        g.config.temporary_dir = in_memory ? NULL : g.scratch.path;
        fixture_open(&g);
        limit_files(4 * MIB);
        for (unsigned i = 0; i < 8; i++) {
            mmi_artifact_release(make(i, 3 * MIB));
        }
        for (unsigned i = 0; i < 8; i++) {
            struct model model = sized(i, 3 * MIB);
            fixture_expect(&g, &model);
        }
        struct mmi_artifact *artifact;
        assert_int_equal(fixture_find(&g, 7, &artifact), MM_OK);
        assert_true(mmi_artifact_is_mappable(artifact));
        mmi_artifact_release(artifact);
        assert_int_equal(open_descriptors(), g.descriptors + 8);
        limit_files(0);
        fixture_close(&g);
    }
}

/* Nor do many take all descriptors of the process: what nobody holds makes way. */
static void test_many_files(void **state) {
    (void)state;
    g.config.temporary_budget_bytes = UINT64_C(1) << 30;
    fixture_open(&g);
    limit_files(64 * KIB);
    struct mmi_artifact *held = make_held(99, 40 * KIB);
    for (unsigned i = 0; i < MANY; i++) {
        struct mmi_artifact *artifact = make_held(i, 40 * KIB);
        assert_false(artifact->room.in_memory);
        let_go(artifact);
    }
    assert_int_equal(open_descriptors(), g.descriptors + MMI_TEMPORARY_FILES);
    assert_int_equal(g.dropped, MANY + 1 - MMI_TEMPORARY_FILES);
    assert_string_equal(g.dropped_what, "tmp_full");
    let_go(held);
}

/* Nor a limit that no file of the weights can keep: pages of the process have none. */
static void test_larger_than_any_file(void **state) {
    (void)state;
    for (int in_memory = 0; in_memory < 2; in_memory++) {
        g.config.temporary_dir = in_memory ? NULL : g.scratch.path;
        fixture_open(&g);
        mmi_artifact_release(make(1, 100 * KIB));
        limit_files(MIB);
        struct mmi_artifact *artifact = make_held(2, 3 * MIB);
        assert_true(artifact->room.in_memory);
        assert_false(mmi_artifact_is_mappable(artifact));
        uint64_t offset;
        assert_int_equal(mmi_artifact_map_fd(artifact, &offset), -1);
        let_go(artifact);
        assert_int_equal(g.dropped, 0); /* in vain */
        struct model model = sized(3, 3 * MIB);
        world_fault(&g.world, "map", 1, ENOMEM);
        assert_int_equal(fixture_commit(&g, &model, &artifact), MM_NO_SPACE);
        assert_int_equal(g.err.needed_bytes, 3 * MIB);
        assert_int_equal(g.err.available_bytes, MIB);
        assert_non_null(strstr(g.err.text, "RLIMIT_FSIZE of the process is 1048576"));
        assert_non_null(strstr(g.err.text, in_memory ? "memory" : g.scratch.path));
        assert_int_equal(mmi_store_stats(g.store).temporary_bytes, 3 * MIB + 100 * KIB);
        limit_files(0);
        fixture_close(&g);
    }
}

/* A sandbox without memfd_create. */
static void test_no_files_in_memory(void **state) {
    (void)state;
    g.config.temporary_dir = NULL;
    fixture_open(&g);
    const int errors[] = {ENOSYS, EPERM, EACCES};
    for (unsigned i = 0; i < 3; i++) {
        world_fault(&g.world, "open", 1, errors[i]);
        struct mmi_artifact *artifact = make_held(i, 100 * KIB);
        assert_true(world_failed(&g.world));
        assert_false(mmi_artifact_is_mappable(artifact));
        let_go(artifact);
    }
    assert_int_equal(mmi_store_stats(g.store).temporary_bytes, 300 * KIB);
    assert_int_equal(open_descriptors(), g.descriptors);
}

/* A limit that comes when the room was taken already is a refusal, not SIGXFSZ. */
static void test_limit_comes_late(void **state) {
    (void)state;
    fixture_open(&g);
    struct mmi_writer *writer;
    struct mmi_writer_config config = {0};
    struct model model = sized(5, MIB);
    assert_int_equal(mmi_writer_open(g.store, &config, &writer, &g.err), MM_OK);
    const mm_sink *sink = mmi_writer_sink(writer);
    uint8_t *bytes = malloc(MIB);
    model_bytes(5, 0, bytes, MIB);
    assert_int_equal(sink->expect(sink->ctx, MIB, &g.err), MM_OK);
    assert_int_equal(sink->weights(sink->ctx, bytes, MIB / 2, &g.err), MM_OK);
    limit_files(MIB / 2);
    assert_int_equal(sink->weights(sink->ctx, bytes + MIB / 2, MIB / 2, &g.err), MM_OK);
    model_bytes(~UINT64_C(5), 0, bytes, 9);
    assert_int_equal(sink->describe(sink->ctx, bytes, 9, &g.err), MM_OK);
    free(bytes);
    struct mmi_key key = key_of(5);
    struct mmi_artifact *artifact;
    assert_int_equal(mmi_writer_commit(writer, &key, &artifact, &g.err), MM_OK);
    expect_whole(artifact, &model);
    mmi_artifact_release(artifact);
}

/* The disk is full: what nobody holds is given back first, the least recently used first. */
static void test_full_disk(void **state) {
    (void)state;
    fixture_open(&g);
    struct mmi_artifact *held = make_held(1, 100 * KIB);
    for (uint64_t i = 2; i <= 4; i++) {
        mmi_artifact_release(make(i, 200 * KIB));
    }
    world_fault(&g.world, "write", 1, ENOSPC);
    struct mmi_artifact *artifact = make_held(5, 300 * KIB);
    assert_false(artifact->room.in_memory);
    assert_int_equal(g.dropped, 2);
    assert_int_equal(g.dropped_bytes, 400 * KIB);
    assert_string_equal(g.dropped_what, "tmp_full");
    fixture_expect_none(&g, 2);
    fixture_expect_none(&g, 3);
    struct model first = sized(1, 100 * KIB), last = sized(4, 200 * KIB);
    expect_weights(held, &first);
    fixture_expect(&g, &last);
    let_go(artifact);
    let_go(held);
}

/* Room that was there, and is not when it is written to: also the second half moves to memory. */
static void test_disk_fills_under_the_writer(void **state) {
    (void)state;
    fixture_open(&g);
    struct model model = sized(1, 500 * KIB);
    for (uint64_t nth = 2; nth <= 6; nth++) { /* 1: the allocation */
        world_fault(&g.world, "write", nth, ENOSPC);
        struct mmi_artifact *artifact = make(nth, 500 * KIB);
        assert_true(world_failed(&g.world));
        assert_true(artifact->room.in_memory);
        model.number = nth;
        expect_whole(artifact, &model);
        mmi_artifact_release(artifact);
    }
    assert_int_equal(mmi_store_stats(g.store).temporary_bytes, 5 * 500 * KIB);
    assert_int_equal(g.dropped, 0);
}

/* "in memory where the folder refuses": less is kept there than a disk would keep. */
static void test_memory_has_a_budget_of_its_own(void **state) {
    (void)state;
    g.config.temporary_dir = "/nowhere/at/all";
    g.config.temporary_budget_bytes = 64 * MIB;
    g.config.memory_budget_bytes = 2 * MIB;
    fixture_open(&g);
    for (uint64_t i = 1; i <= 4; i++) {
        mmi_artifact_release(make(i, MIB));
    }
    assert_int_equal(mmi_store_stats(g.store).temporary_bytes, 2 * MIB);
    assert_int_equal(g.dropped, 2);
    struct mmi_artifact *held = make_held(5, MIB), *large = make_held(6, 2 * MIB);
    assert_int_equal(mmi_store_stats(g.store).temporary_bytes, 4 * MIB);
    let_go(large);
    assert_int_equal(mmi_store_stats(g.store).temporary_bytes, 2 * MIB);
    fixture_expect_none(&g, 6);
    let_go(held);
    /* By choice all of it may be memory. */
    g.config.temporary_dir = NULL;
    g.config.memory_budget_bytes = 0;
    fixture_reopen(&g);
    for (uint64_t i = 1; i <= 8; i++) {
        mmi_artifact_release(make(i, MIB));
    }
    assert_int_equal(mmi_store_stats(g.store).temporary_bytes, 8 * MIB);
}

static void test_no_weights(void **state) {
    (void)state;
    fixture_open(&g);
    for (uint64_t i = 0; i < 100; i++) {
        struct mmi_artifact *artifact = make_held(i, 0);
        assert_null(artifact->room.extent);
        let_go(artifact);
    }
    assert_int_equal(open_descriptors(), g.descriptors); /* nor a file */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_full_directory, setup, teardown),
        cmocka_unit_test_setup_teardown(test_limit_of_one_file, setup, teardown),
        cmocka_unit_test_setup_teardown(test_many_files, setup, teardown),
        cmocka_unit_test_setup_teardown(test_larger_than_any_file, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_files_in_memory, setup, teardown),
        cmocka_unit_test_setup_teardown(test_limit_comes_late, setup, teardown),
        cmocka_unit_test_setup_teardown(test_full_disk, setup, teardown),
        cmocka_unit_test_setup_teardown(test_disk_fills_under_the_writer, setup, teardown),
        cmocka_unit_test_setup_teardown(test_memory_has_a_budget_of_its_own, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_weights, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
