/* SPDX-License-Identifier: Apache-2.0 */
/* Extents of files without names: where they lie, and what becomes of limits. */
#include <artifact/fixture.h>
#include <artifact/io.h>
#include <artifact/temporary_file.h>

#include <signal.h>
#include <sys/mman.h>
#include <sys/time.h>

#define EXTENTS 70u
#define STEPS 3000
#define LIMIT (3 * MIB)

static struct fixture g;
static struct mmi_temporary_place place;
static uint64_t seed;

static int setup(void **state) {
    (void)state;
    fixture_init(&g);
    assert_int_equal(mmi_temporary_place_init(&g.world.env, g.scratch.path, &place, &g.err), MM_OK);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    limit_files(0);
    mmi_temporary_place_close(&place);
    fixture_fini(&g);
    return 0;
}

static bool overlap(const struct mmi_extent *a, const struct mmi_extent *b) {
    return a->file == b->file && a->offset < b->offset + b->bytes &&
           b->offset < a->offset + a->bytes;
}

static void check(struct mmi_extent *const extents[EXTENTS]) {
    for (size_t i = 0; i < EXTENTS; i++) {
        const struct mmi_extent *extent = extents[i];
        if (!extent) {
            continue;
        }
        assert_true(extent->offset + extent->bytes <= LIMIT);
        assert_int_equal(extent->offset % (extent->bytes >= 2 * MIB ? 2 * MIB : PAGE), 0);
        for (size_t j = i + 1; j < EXTENTS; j++) {
            assert_false(extents[j] && overlap(extent, extents[j]));
        }
        uint64_t word;
        assert_int_equal(mmi_extent_read(extent, extent->bytes - 8, &word, 8), 0);
        assert_int_equal(word, (uintptr_t)extent);
    }
}

/* Taken and given at random, in files of 3 MiB: none overlap, what was written stays, and there are
 * no more files than needed: one extent in each, or none in the first, at worst. */
static void test_at_random(void **state) {
    (void)state;
    uint64_t random = seed;
    struct mmi_extent *extents[EXTENTS] = {NULL};
    limit_files(LIMIT);
    size_t refused = 0, count = 0;
    for (int step = 0; step < STEPS; step++) {
        size_t i = test_random_below(&random, EXTENTS);
        if (extents[i]) {
            mmi_extent_give(extents[i]);
            extents[i] = NULL;
            count--;
        } else {
            uint64_t least = step % 2 ? 1 : MIB;
            uint64_t bytes = least + test_random_below(&random, step % 2 ? 300 * KIB : 2 * MIB);
            int error = mmi_temporary_place_take(&place, bytes, &extents[i]);
            assert_true(error == 0 || error == ENOSPC);
            if (error == 0) {
                uint64_t word = (uintptr_t)extents[i];
                assert_int_equal(mmi_extent_write(extents[i], extents[i]->bytes - 8, &word, 8), 0);
                count++;
            } else {
                assert_int_equal(place.file_count, MMI_TEMPORARY_FILES);
                refused++;
            }
        }
        check(extents);
        assert_true(place.file_count <= count + 1);
        assert_int_equal(open_descriptors(), g.descriptors + place.file_count);
    }
    assert_true(refused > 0 && refused < STEPS / 3);
    for (size_t i = 0; i < EXTENTS; i++) {
        mmi_extent_give(extents[i]);
    }
    assert_int_equal(place.file_count, 1);
}

/* A file system that wants no file so long is as a limit of the process. */
static void test_file_system_limit(void **state) {
    (void)state;
    struct mmi_extent *extents[3], *none;
    assert_int_equal(mmi_temporary_place_take(&place, MIB, &extents[0]), 0);
    for (int i = 1; i <= 2; i++) {
        world_fault(&g.world, "write", i == 1 ? 1 : 0, EFBIG);
        assert_int_equal(mmi_temporary_place_take(&place, MIB, &extents[i]), 0);
        assert_int_equal(place.file_count, 2);
        assert_true(extents[i]->file != extents[0]->file); /* it remembers */
    }
    for (int i = 0; i < 3; i++) {
        mmi_extent_give(extents[i]);
    }
    world_fault(&g.world, "write", 1, EFBIG); /* alone in its file: no other will do */
    assert_int_equal(mmi_temporary_place_take(&place, MIB, &none), EFBIG);
    assert_int_equal(mmi_temporary_place_take(&place, UINT64_MAX, &none), EFBIG);
    assert_int_equal(mmi_temporary_place_take_pages(&place, UINT64_MAX, &none), ENOMEM);
}

static void test_pages(void **state) {
    (void)state;
    struct mmi_extent *pages, *extent;
    assert_int_equal(mmi_temporary_place_take(&place, 10 * PAGE, &extent), 0);
    assert_int_equal(mmi_extent_write(extent, 8 * PAGE, "in the file", 12), 0);
    assert_int_equal(mmi_temporary_place_take_pages(&place, 10 * PAGE, &pages), 0);
    assert_int_equal(mmi_extent_copy(pages, extent), 0);
    char text[12];
    assert_int_equal(mmi_extent_read(pages, 8 * PAGE, text, sizeof(text)), 0);
    assert_string_equal(text, "in the file");
    uint64_t offset;
    assert_int_equal(mmi_extent_fd(pages, &offset), -1);
    assert_true(mmi_extent_fd(extent, &offset) >= 0);
    mmi_extent_give(pages);
    mmi_extent_give(extent);
    mmi_extent_give(NULL);
}

/* "a relative one made absolute", also one that is not there; one that is too long is told. */
static void test_relative(void **state) {
    (void)state;
    char here[SCRATCH_ROOM], text[SCRATCH_ROOM];
    assert_non_null(getcwd(here, sizeof(here)));
    assert_int_equal(chdir(g.scratch.path), 0);
    struct mmi_temporary_place relative;
    assert_int_equal(mmi_temporary_place_init(&g.world.env, "later", &relative, &g.err), MM_OK);
    assert_int_equal(chdir(here), 0);
    assert_string_equal(mmi_temporary_place_name(&relative),
                        scratch_path(&g.scratch, "later", text));
    struct mmi_extent *extent;
    assert_int_equal(mmi_temporary_place_take(&relative, 1, &extent), ENOENT);
    scratch_folder(&g.scratch, "later");
    assert_int_equal(mmi_temporary_place_take(&relative, 1, &extent), 0);
    mmi_extent_give(extent);
    mmi_temporary_place_close(&relative);
    char *long_path = calloc(2, 4096);
    memset(long_path, 'x', 4100);
    assert_int_equal(mmi_temporary_place_init(&g.world.env, long_path, &relative, &g.err),
                     MM_INVALID_ARGUMENT);
    free(long_path);
}

static _Atomic unsigned alarms;
static void on_alarm(int number) {
    (void)number;
    alarms++;
}

/* A timer that comes all the time, as a profiler's, holds nobody up for ever. */
static void test_signals(void **state) {
    (void)state;
    struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART}, before;
    assert_int_equal(sigaction(SIGALRM, &action, &before), 0);
    struct itimerval often = {{0, 200}, {0, 200}}, never = {0};
    int fd;
    assert_int_equal(mmi_io_open_memory(&g.world.env, &fd), 0);
    assert_int_equal(setitimer(ITIMER_REAL, &often, NULL), 0);
    int error = mmi_io_allocate(&g.world.env, fd, 0, 100 * MIB);
    assert_int_equal(setitimer(ITIMER_REAL, &never, NULL), 0);
    assert_int_equal(sigaction(SIGALRM, &before, NULL), 0);
    assert_int_equal(error, 0);
    struct stat status;
    assert_int_equal(fstat(fd, &status), 0);
    assert_int_equal(status.st_size, 100 * MIB);
    mmi_io_close(fd);
}

int main(int argc, char **argv) {
    seed = test_seed(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_at_random, setup, teardown),
        cmocka_unit_test_setup_teardown(test_file_system_limit, setup, teardown),
        cmocka_unit_test_setup_teardown(test_pages, setup, teardown),
        cmocka_unit_test_setup_teardown(test_relative, setup, teardown),
        cmocka_unit_test_setup_teardown(test_signals, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
