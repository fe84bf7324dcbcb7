/* SPDX-License-Identifier: Apache-2.0 */
/* Full disks, read-only disks, no descriptors: what is there serves, what is new goes to memory. */
#include <artifact/fixture.h>

#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>

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

static const struct model old = {.number = 1, .weights_bytes = 100 * KIB, .description_bytes = 60};
static const struct model new = {
    .number = 2, .weights_bytes = 2 * MIB + 99, .description_bytes = 60, .group_bytes = 300 * KIB};

/* Let each fault point named `what` fail once while `new` is made: it ends up in memory, told
 * once. */
static void expect_refuge(const char *what, int error, const char *told, uint64_t at_least) {
    uint64_t to_memory = 0;
    bool hit = true;
    for (uint64_t nth = 1; hit; nth++) {
        fixture_open(&g);
        fixture_expect(&g, &old);
        g.dropped = 0;
        struct mmi_artifact *artifact;
        world_fault(&g.world, what, nth, error);
        assert_int_equal(fixture_commit(&g, &new, &artifact), MM_OK);
        hit = world_failed(&g.world);
        world_fault(&g.world, NULL, 0, 0);
        if (mmi_artifact_temporary_bytes(artifact) > 0) {
            assert_true(hit);
            assert_int_equal(g.dropped, 1);
            assert_string_equal(g.dropped_what, told);
            assert_int_equal(g.dropped_bytes, new.weights_bytes);
            to_memory++;
        } else {
            assert_int_equal(g.dropped, 0); /* some can be done without */
        }
        expect_whole(artifact, &new);
        mmi_artifact_release(artifact);
        fixture_expect(&g, &new);
        fixture_expect(&g, &old);
        g.dropped_bytes = 0;
        fixture_close(&g);
        assert_int_equal(count_files(g.cache, ".tmp"), 0);
        char path[SCRATCH_ROOM];
        unlink(entry_path(&g, new.number, path));
    }
    assert_true(to_memory >= at_least);
}

static void test_refusals_at_every_point(void **state) {
    (void)state;
    fixture_open(&g);
    fixture_make(&g, &old);
    fixture_close(&g);
    /* Two allocations, three MiB of weights, tail, header. */
    expect_refuge("write", ENOSPC, "cache_full", 7);
    expect_refuge("write", EDQUOT, "cache_full", 7);
    expect_refuge("write", EROFS, "cache_read_only", 7);
    expect_refuge("write", EIO, "cache_failed", 7);
    expect_refuge("open", EROFS, "cache_read_only", 2);
    expect_refuge("open", EACCES, "cache_read_only", 2);
    expect_refuge("sync", EIO, "cache_failed", 1);
    expect_refuge("rename", EIO, "cache_failed", 1);
    expect_refuge("read", EIO, "cache_failed", 5); /* reading back */
}

/* From the nth write on every write finds the disk full, also in memory. */
static uint64_t writes_left;
static int disk_fills(void *user, const char *what) {
    (void)user;
    bool is_write = strcmp(what, "write") == 0;
    writes_left -= is_write && writes_left > 0;
    return is_write && writes_left == 0 ? ENOSPC : 0;
}

static void test_no_room_anywhere(void **state) {
    (void)state;
    fixture_open(&g);
    fixture_make(&g, &old);
    struct mmi_artifact *artifact;
    int (*fault)(void *user, const char *what) = g.world.env.fault;
    for (uint64_t nth = 1; nth <= 7; nth++) { /* also late, with weights in the file already */
        writes_left = nth;
        g.world.env.fault = disk_fills;
        assert_int_equal(fixture_commit(&g, &new, &artifact), MM_NO_SPACE);
        g.world.env.fault = fault;
        assert_non_null(strstr(g.err.text, g.cache));
        assert_non_null(strstr(g.err.text, "No space left"));
        assert_int_equal(g.err.needed_bytes, stored_bytes(&new));
        assert_true(g.err.available_bytes > 0);
        assert_int_equal(mmi_store_stats(g.store).temporary_bytes, 0);
    }
    fixture_expect(&g, &old);
    fixture_make(&g, &new);
}

/* A backend that goes on although it was told of a failure makes nothing of it. */
static void test_going_on_after_a_failure(void **state) {
    (void)state;
    fixture_open(&g);
    int (*fault)(void *user, const char *what) = g.world.env.fault;
    for (uint64_t nth = 1; nth <= 3; nth++) {
        struct mmi_writer *writer;
        struct mmi_writer_config config = {0};
        assert_int_equal(mmi_writer_open(g.store, &config, &writer, &g.err), MM_OK);
        const mm_sink *sink = mmi_writer_sink(writer);
        writes_left = nth;
        g.world.env.fault = disk_fills;
        mm_status status = sink->expect(sink->ctx, 3 * MIB, &g.err);
        uint8_t *bytes = calloc(3, MIB);
        for (int i = 0; i < 3; i++) {
            mm_status next = sink->weights(sink->ctx, bytes, MIB, &g.err);
            assert_true(status == MM_OK || next == MM_BACKEND_FAILED);
            status = next;
        }
        assert_int_equal(sink->describe(sink->ctx, "", 0, &g.err), MM_OK);
        free(bytes);
        assert_int_equal(writes_left, 0);
        g.world.env.fault = fault;
        struct mmi_key key = key_of(9);
        struct mmi_artifact *artifact;
        assert_int_equal(mmi_writer_commit(writer, &key, &artifact, &g.err), MM_BACKEND_FAILED);
    }
}

static void test_no_descriptors(void **state) {
    (void)state;
    fixture_open(&g);
    struct mmi_artifact *artifact, *none;
    assert_int_equal(fixture_commit(&g, &old, &artifact), MM_OK);
    struct rlimit limit, before;
    int next_free = dup(0);
    close(next_free);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    limit = before;
    limit.rlim_cur = (rlim_t)next_free;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_int_equal(mmi_artifact_hold(artifact, &g.err), MM_NO_FDS);
    assert_int_equal(fixture_find(&g, old.number, &none), MM_NO_FDS);
    assert_int_equal(fixture_commit(&g, &new, &none), MM_NO_FDS);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    expect_whole(artifact, &old);
    mmi_artifact_release(artifact);
    fixture_make(&g, &new);
    assert_int_equal(g.dropped, 0);
}

static uint64_t reads;
static int count_reads(void *user, const char *what) {
    (void)user;
    reads += strcmp(what, "read") == 0;
    return 0;
}

/* A file system of 512 KiB, then the same one read-only. */
static void test_real_file_system(void **state) {
    (void)state;
    char mount_point[SCRATCH_ROOM], cache[SCRATCH_ROOM];
    scratch_folder(&g.scratch, "disk");
    scratch_path(&g.scratch, "disk", mount_point);
    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("tmpfs", mount_point, "tmpfs", 0, "size=512k,mode=0700") != 0) {
        skip();
    }
    g.config.cache_dir = scratch_path(&g.scratch, "disk/cache", cache);
    fixture_open(&g);
    fixture_make(&g, &old);
    fixture_make(&g, &new);
    assert_string_equal(g.dropped_what, "cache_full");
    fixture_expect(&g, &old);
    assert_int_equal(count_files(cache, ".tmp"), 0);
    assert_int_equal(mount(NULL, mount_point, NULL, MS_REMOUNT | MS_RDONLY, NULL), 0);
    g.config.boot_id = "another"; /* so it was not checked in this one */
    fixture_reopen(&g);
    int (*fault)(void *user, const char *what) = g.world.env.fault;
    g.world.env.fault = count_reads;
    const uint64_t expected[] = {4, 3,
                                 3}; /* header, tail, weights; header and weights of the hold */
    for (int i = 0; i < 3; i++) {
        reads = 0;
        fixture_expect(&g, &old);
        assert_int_equal(reads, expected[i] + 1);
    }
    g.world.env.fault = fault;
    fixture_expect_none(&g, new.number);
    fixture_make(&g, &new);
    assert_string_equal(g.dropped_what, "cache_read_only");
    fixture_expect(&g, &new);
    struct mmi_verify_report report;
    assert_int_equal(mmi_cache_verify(&g.world.env, cache, NULL, NULL, &report, &g.err), MM_OK);
    assert_int_equal(report.entries, 1);
    fixture_close(&g);
    assert_int_equal(umount(mount_point), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_refusals_at_every_point, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_room_anywhere, setup, teardown),
        cmocka_unit_test_setup_teardown(test_going_on_after_a_failure, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_descriptors, setup, teardown),
        cmocka_unit_test_setup_teardown(test_real_file_system, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
