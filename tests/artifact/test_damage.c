/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever becomes of an entry's file: it is served whole, or not at all and made again. */
#include <artifact/fixture.h>

static struct fixture g;
static uint64_t seed;

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

/* Small enough to flip every part of it, with padding behind weights and description. */
static const struct model small = {
    .number = 1, .weights_bytes = 9000, .description_bytes = 333, .group_bytes = 700};
/* More than one checksum of weights. */
static const struct model large = {
    .number = 2, .weights_bytes = 2 * MIB + 5000, .description_bytes = 50};

/* The damaged entry is not served, a new one takes its place, and that is served. */
static void expect_rebuilt(const struct model *model) {
    fixture_expect_none(&g, model->number);
    fixture_make(&g, model);
    fixture_expect(&g, model);
}

static void test_flipped_bits(void **state) {
    (void)state;
    fixture_open(&g);
    char path[SCRATCH_ROOM];
    uint64_t random = seed;
    fixture_make(&g, &small);
    entry_path(&g, small.number, path);
    uint64_t step = 1;
    for (uint64_t at = 0; at < file_bytes(&small); at += step) {
        uint8_t bits = (uint8_t)(1u << test_random_below(&random, 8));
        file_flip(path, at, bits);
        fixture_expect_none(&g, small.number);
        file_flip(path, at, bits);
        fixture_expect(&g, &small);
        /* Every byte of header, ends and tail; samples of the rest. */
        bool dense = at < 100 || at + 400 > file_bytes(&small);
        step = dense ? 1 : 1 + test_random_below(&random, 40);
    }
    fixture_make(&g, &large);
    entry_path(&g, large.number, path);
    for (int i = 0; i < 20; i++) {
        file_flip(path, test_random_below(&random, file_bytes(&large)), 0x10);
        expect_rebuilt(&large);
    }
    assert_int_equal(mmi_store_stats(g.store).temporary_bytes, 0);
    assert_int_equal(count_files(g.cache, ".tmp"), 0);
}

/* Held before: the damage is found at the next hold. */
static void test_damage_under_an_artifact(void **state) {
    (void)state;
    fixture_open(&g);
    struct mmi_artifact *artifact;
    char path[SCRATCH_ROOM];
    assert_int_equal(fixture_commit(&g, &small, &artifact), MM_OK);
    expect_whole(artifact, &small);
    entry_path(&g, small.number, path);
    file_flip(path, 5000, 1);
    assert_int_equal(mmi_artifact_hold(artifact, &g.err), MM_NONE);
    expect_rebuilt(&small);
    expect_whole(artifact, &small); /* another file, the same bytes: preparing is deterministic */
    /* Other bytes under the same key are somebody's mistake, and not these weights. */
    struct model other = small;
    other.description_bytes++;
    assert_int_equal(unlink(path), 0);
    fixture_make(&g, &other);
    assert_int_equal(mmi_artifact_hold(artifact, &g.err), MM_NONE);
    mmi_artifact_release(artifact);
}

static void test_truncation(void **state) {
    (void)state;
    fixture_open(&g);
    char path[SCRATCH_ROOM];
    uint64_t random = seed;
    uint64_t whole = file_bytes(&small);
    uint64_t cuts[60] = {0, 1, 87, 88, 4095, 4096, 4097, whole - 1, whole + 1, whole + PAGE};
    for (size_t i = 10; i < 60; i++) {
        cuts[i] = test_random_below(&random, whole);
    }
    entry_path(&g, small.number, path);
    fixture_make(&g, &small);
    for (size_t i = 0; i < 60; i++) {
        assert_int_equal(truncate(path, (off_t)cuts[i]), 0);
        expect_rebuilt(&small);
    }
    /* Cut and grown again: the right size, zeroes inside. */
    for (size_t i = 10; i < 60; i++) {
        assert_int_equal(truncate(path, (off_t)cuts[i]), 0);
        assert_int_equal(truncate(path, (off_t)whole), 0);
        expect_rebuilt(&small);
    }
}

static void test_foreign_files(void **state) {
    (void)state;
    fixture_open(&g);
    char path[SCRATCH_ROOM], other[SCRATCH_ROOM];
    struct model twin = small;
    twin.number = 3;
    fixture_make(&g, &small);
    fixture_make(&g, &twin);
    /* Another key's entry, whole but in the wrong place. */
    assert_int_equal(rename(entry_path(&g, 3, other), entry_path(&g, small.number, path)), 0);
    expect_rebuilt(&small);
    /* Another format version: its name differs, so it is not even looked at. */
    char foreign[SCRATCH_ROOM];
    strcpy(foreign, path);
    memcpy(strstr(foreign, ".v1."), ".v2.", 4);
    assert_int_equal(rename(path, foreign), 0);
    expect_rebuilt(&small);
    assert_int_equal(access(foreign, F_OK), 0);
    /* The same inside of a file of our name: version, byte order, magic. */
    uint8_t page[PAGE];
    file_read(path, page, sizeof(page));
    for (uint64_t at = 0; at < 16; at += 4) {
        file_flip(path, at, 3);
        expect_rebuilt(&small);
    }
    /* No file at all. */
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkdir(path, 0700), 0);
    fixture_expect_none(&g, small.number);
    fixture_make(&g, &small); /* cannot be replaced by a file: in memory */
    assert_string_equal(g.dropped_what, "cache_failed");
    fixture_expect(&g, &small);
    assert_int_equal(rmdir(path), 0);
    fixture_reopen(&g);
    assert_int_equal(symlink(foreign, path), 0);
    fixture_expect_none(&g, small.number);
    fixture_make(&g, &small);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0);
    fixture_expect_none(&g, small.number); /* and does not hang */
    fixture_make(&g, &small);
    fixture_expect(&g, &small);
}

/* Random bytes with our names. */
static void test_random_files(void **state) {
    (void)state;
    fixture_open(&g);
    char path[SCRATCH_ROOM];
    uint64_t random = seed;
    static uint8_t bytes[20000];
    for (int round = 0; round < 50; round++) {
        size_t count = test_random_below(&random, sizeof(bytes));
        for (size_t i = 0; i < count; i++) {
            bytes[i] = (uint8_t)test_random(&random);
        }
        int fd = open(entry_path(&g, small.number, path), O_WRONLY | O_CREAT | O_TRUNC, 0600);
        assert_true(fd >= 0);
        assert_int_equal(write(fd, bytes, count), count);
        close(fd);
        fixture_expect_none(&g, small.number);
    }
    fixture_make(&g, &small);
}

/* Reads at the fault points since the last call. */
static uint64_t reads;
static int count_reads(void *user, const char *what) {
    (void)user;
    reads += strcmp(what, "read") == 0;
    return 0;
}

static uint64_t reads_to_find(const struct model *model) {
    reads = 0;
    g.world.env.fault = count_reads;
    struct mmi_artifact *artifact;
    assert_int_equal(fixture_find(&g, model->number, &artifact), MM_OK);
    uint64_t count = reads;
    assert_int_equal(mmi_artifact_hold(artifact, &g.err), MM_OK);
    assert_int_equal(reads, count + 1); /* a hold looks at the header, no more */
    mmi_artifact_unhold(artifact);
    mmi_artifact_release(artifact);
    return count;
}

static void test_checked_once_a_boot(void **state) {
    (void)state;
    const uint64_t plain = 2, checking = 2 + 3; /* header, tail; three MiB */
    fixture_open(&g);
    fixture_make(&g, &large);
    assert_int_equal(reads_to_find(&large), plain); /* checked when it was written */
    fixture_reopen(&g);
    assert_int_equal(reads_to_find(&large), plain); /* by another process of this boot */
    g.config.boot_id = "the next boot";
    fixture_reopen(&g);
    assert_int_equal(reads_to_find(&large), checking);
    assert_int_equal(reads_to_find(&large), plain);
    fixture_reopen(&g);
    assert_int_equal(reads_to_find(&large), plain);
    /* Any write takes the mark away, also one that changes nothing. */
    char path[SCRATCH_ROOM];
    file_flip(entry_path(&g, large.number, path), 5000, 0);
    assert_int_equal(reads_to_find(&large), checking);
    assert_int_equal(reads_to_find(&large), plain);
    g.config.boot_id = NULL; /* the kernel's */
    fixture_reopen(&g);
    assert_int_equal(reads_to_find(&large), checking);
    fixture_reopen(&g);
    assert_int_equal(reads_to_find(&large), plain);
}

/* Nobody's clock matters: not the time that files bear, nor the one of the process. */
static void test_clock(void **state) {
    (void)state;
    const int64_t year = 365 * 24 * 3600;
    fixture_open(&g);
    fixture_make(&g, &small);
    fixture_make(&g, &large);
    const int64_t shifts[] = {-year, year, -60 * year, 0};
    for (size_t i = 0; i < 4; i++) {
        const char *names[] = {entry_path(&g, small.number, (char[SCRATCH_ROOM]){0}),
                               scratch_path(&g.scratch, "cache/lock", (char[SCRATCH_ROOM]){0})};
        for (size_t k = 0; k < 2; k++) {
            struct timespec times[2] = {{.tv_sec = time(NULL) + shifts[i]},
                                        {.tv_sec = time(NULL) + shifts[i]}};
            assert_int_equal(utimensat(AT_FDCWD, names[k], times, 0), 0);
        }
        fixture_reopen(&g);
        fixture_expect(&g, &small);
        fixture_expect(&g, &large);
    }
}

static uint64_t progressed;
static void on_progress(void *user, uint64_t done, uint64_t total) {
    (void)user;
    assert_true(done >= progressed && done <= total);
    progressed = done;
}

static mm_status verify(struct mmi_verify_report *report) {
    progressed = 0;
    return mmi_cache_verify(&g.world.env, g.cache, on_progress, NULL, report, &g.err);
}

static void test_verify(void **state) {
    (void)state;
    struct mmi_verify_report report;
    assert_int_equal(verify(&report), MM_NOT_FOUND); /* and does not make it */
    assert_int_equal(verify(&report), MM_NOT_FOUND);
    fixture_open(&g);
    assert_int_equal(verify(&report), MM_OK);
    assert_int_equal(report.entries, 0);
    struct model twin = small;
    twin.number = 3;
    fixture_make(&g, &small);
    fixture_make(&g, &large);
    fixture_make(&g, &twin);
    assert_int_equal(verify(&report), MM_OK);
    assert_int_equal(report.entries, 3);
    assert_int_equal(report.bytes, 2 * file_bytes(&small) + file_bytes(&large));
    assert_int_equal(progressed, report.bytes);
    assert_int_equal(report.damaged + report.removed + report.foreign + report.leftovers, 0);
    char path[SCRATCH_ROOM], foreign[SCRATCH_ROOM];
    /* Below the kernel, so to say: damage that leaves the file's times alone. */
    struct stat status;
    entry_path(&g, large.number, path);
    assert_int_equal(stat(path, &status), 0);
    file_flip(path, MIB + 5000, 1);
    struct timespec times[2] = {status.st_atim, status.st_mtim};
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
    entry_path(&g, 3, path);
    strcpy(foreign, path);
    memcpy(strstr(foreign, ".v1."), ".v7.", 4);
    assert_int_equal(rename(path, foreign), 0);
    scratch_text(&g.scratch, "cache/0123456789abcdef.tmp", "left");
    scratch_text(&g.scratch, "cache/somebody's", "else");
    assert_int_equal(verify(&report), MM_OK);
    assert_int_equal(report.entries, 2);
    assert_int_equal(report.damaged, 1);
    assert_int_equal(report.removed, 1);
    assert_int_equal(report.foreign, 1);
    assert_int_equal(report.leftovers, 1);
    fixture_expect_none(&g, large.number);
    fixture_expect(&g, &small);
    assert_int_equal(access(foreign, F_OK), 0);
    assert_int_equal(count_files(g.cache, "'s"), 1);
    world_fault(&g.world, "open", 3, EMFILE); /* after the boot and the lock */
    assert_int_equal(verify(&report), MM_NO_FDS);
    world_fault(&g.world, NULL, 0, 0);
    assert_int_equal(chmod(g.cache, 0755), 0);
    assert_int_equal(verify(&report), MM_CACHE_NOT_OWNED);
    for (uint64_t nth = 1, failed = 1; failed; nth++) {
        assert_int_equal(chmod(g.cache, 0700), 0);
        world_fail_alloc(&g.world, nth);
        mm_status got = verify(&report);
        failed = world_failed(&g.world);
        world_fail_alloc(&g.world, 0);
        assert_int_equal(got, failed ? MM_NO_MEMORY : MM_OK);
        assert_int_equal(report.damaged, 0);
    }
}

int main(int argc, char **argv) {
    seed = test_seed(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_flipped_bits, setup, teardown),
        cmocka_unit_test_setup_teardown(test_damage_under_an_artifact, setup, teardown),
        cmocka_unit_test_setup_teardown(test_truncation, setup, teardown),
        cmocka_unit_test_setup_teardown(test_foreign_files, setup, teardown),
        cmocka_unit_test_setup_teardown(test_random_files, setup, teardown),
        cmocka_unit_test_setup_teardown(test_checked_once_a_boot, setup, teardown),
        cmocka_unit_test_setup_teardown(test_clock, setup, teardown),
        cmocka_unit_test_setup_teardown(test_verify, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
