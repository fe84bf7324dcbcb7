/* SPDX-License-Identifier: Apache-2.0 */
/* A day in the life of a store, again and again, with the 1st, 2nd, 3rd ... allocation or system
 * call failing, or the process dying right there. */
#include <artifact/fixture.h>

#include <sys/wait.h>

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
    {.number = 1, .weights_bytes = MIB + 10, .description_bytes = 70, .group_bytes = 300 * KIB},
    {.number = 2, .weights_bytes = 3000, .description_bytes = 10},
};
#define MODELS (sizeof(models) / sizeof(models[0]))

/* No asserts: what fails here is a status that the caller judges. The first that is not MM_OK. */
static mm_status use(struct mmi_artifact *artifact) {
    mm_status status = mmi_artifact_hold(artifact, &g.err);
    if (status == MM_OK) {
        uint8_t bytes[100];
        status = mmi_artifact_read(artifact, 0, bytes, sizeof(bytes), &g.err);
        mmi_artifact_unhold(artifact);
    }
    mmi_artifact_release(artifact);
    return status;
}

static mm_status find_or_make(const struct model *model) {
    struct mmi_artifact *artifact;
    mm_status status = fixture_find(&g, model->number, &artifact);
    if (status == MM_NONE) {
        status = fixture_commit(&g, model, &artifact);
    }
    return status == MM_OK ? use(artifact) : status;
}

static mm_status live(void) {
    mm_status status = fixture_try_open(&g);
    for (size_t i = 0; i < MODELS && status == MM_OK; i++) {
        status = find_or_make(&models[i]);
    }
    return status;
}

/* Whatever happened: what is there is whole, what is not can be made. */
static void expect_sound(void) {
    fixture_open(&g);
    assert_int_equal(count_files(g.cache, ".tmp"), 0);
    for (size_t i = 0; i < MODELS; i++) {
        struct mmi_artifact *artifact;
        mm_status status = fixture_find(&g, models[i].number, &artifact);
        if (status == MM_NONE) {
            status = fixture_commit(&g, &models[i], &artifact);
        }
        assert_int_equal(status, MM_OK);
        expect_whole(artifact, &models[i]);
        mmi_artifact_release(artifact);
    }
    fixture_close(&g);
}

/* Before each life: nothing, or an entry with damage in it, or all there. */
enum { EMPTY, DAMAGED, FULL, BEGINNINGS };

static void begin(int how) {
    char path[SCRATCH_ROOM];
    for (size_t i = 0; i < MODELS; i++) {
        unlink(entry_path(&g, models[i].number, path));
    }
    if (how != EMPTY) {
        fixture_open(&g);
        for (size_t i = 0; i < MODELS; i++) {
            fixture_make(&g, &models[i]);
        }
        fixture_close(&g);
    }
    if (how == DAMAGED) {
        file_flip(entry_path(&g, models[0].number, path), 70000, 1);
        file_flip(entry_path(&g, models[1].number, path), 50, 1);
    }
}

static void test_allocations(void **state) {
    (void)state;
    for (int memory_only = 0; memory_only < 2; memory_only++) {
        for (int how = 0; how < (memory_only ? 1 : BEGINNINGS); how++) {
            bool hit = true;
            for (uint64_t nth = 1; hit; nth++) {
                begin(how);
                g.config.cache_dir = memory_only ? NULL : g.cache;
                world_fail_alloc(&g.world, nth);
                mm_status status = live();
                hit = world_failed(&g.world);
                world_fail_alloc(&g.world, 0);
                assert_true(status == MM_OK || (hit && status == MM_NO_MEMORY));
                fixture_close(&g);
                assert_int_equal(world_live_bytes(&g.world), 0);
                g.config.cache_dir = g.cache;
                expect_sound();
            }
        }
    }
}

/* one, other: what may come of it, if anything does. */
static void fail_each(const char *what, int error, mm_status one, mm_status other) {
    for (int how = 0; how < BEGINNINGS; how++) {
        bool hit = true;
        for (uint64_t nth = 1; hit; nth++) {
            begin(how);
            world_fault(&g.world, what, nth, error);
            mm_status status = live();
            hit = world_failed(&g.world);
            world_fault(&g.world, NULL, 0, 0);
            assert_true(status == MM_OK || (hit && (status == one || status == other)));
            fixture_close(&g);
            assert_int_equal(open_descriptors(), g.descriptors);
            expect_sound();
        }
    }
}

static void test_system_calls(void **state) {
    (void)state;
    fixture_open(&g);
    fixture_close(&g); /* the directory is there; making it is another test's */
    fail_each("open", EIO, MM_NONE, MM_NONE); /* of a hold: its file cannot be read */
    fail_each("open", EMFILE, MM_NO_FDS, MM_NO_FDS);
    fail_each("read", EIO, MM_NONE, MM_IO);
    fail_each("write", EIO, MM_OK, MM_OK);
    fail_each("sync", EIO, MM_OK, MM_OK);
    fail_each("rename", EIO, MM_OK, MM_OK);
}

static uint64_t until_death;
static int die(void *user, const char *what) {
    (void)user;
    (void)what;
    if (--until_death == 0) {
        _exit(77);
    }
    return 0;
}

static void test_death_at_every_point(void **state) {
    (void)state;
    for (int how = 0; how < BEGINNINGS; how++) {
        int code = 77;
        for (uint64_t nth = 1; code == 77; nth++) {
            begin(how);
            pid_t child = fork();
            assert_true(child >= 0);
            if (child == 0) {
                until_death = nth;
                g.world.env.fault = die;
                _exit(live() == MM_OK ? 0 : 1);
            }
            int status;
            assert_int_equal(waitpid(child, &status, 0), child);
            assert_true(WIFEXITED(status));
            code = WEXITSTATUS(status);
            expect_sound();
        }
        assert_int_equal(code, 0);
    }
}

/* What a living writer is at work on is no leftover. */
static void test_leftovers(void **state) {
    (void)state;
    struct mmi_writer *writer;
    struct mmi_writer_config config = {0};
    fixture_open(&g);
    assert_int_equal(mmi_writer_open(g.store, &config, &writer, &g.err), MM_OK);
    const mm_sink *sink = mmi_writer_sink(writer);
    assert_int_equal(sink->expect(sink->ctx, 10, &g.err), MM_OK);
    scratch_text(&g.scratch, "cache/00000000deadbeef.tmp", "of a dead writer");
    scratch_text(&g.scratch, "cache/mine.tmp", "not ours");
    struct mmi_store *second;
    assert_int_equal(mmi_store_open(&g.world.env, &g.config, &second, &g.err), MM_OK);
    assert_int_equal(count_files(g.cache, ".tmp"), 2);
    assert_int_equal(sink->weights(sink->ctx, "0123456789", 10, &g.err), MM_OK);
    assert_int_equal(sink->describe(sink->ctx, "", 0, &g.err), MM_OK);
    struct mmi_key key = key_of(5);
    struct mmi_artifact *artifact, *found;
    assert_int_equal(mmi_writer_commit(writer, &key, &artifact, &g.err), MM_OK);
    assert_int_equal(mmi_store_find(second, &key, &found, &g.err), MM_OK);
    mmi_artifact_release(artifact);
    mmi_artifact_release(found);
    mmi_store_close(second);
    assert_int_equal(count_files(g.cache, ".tmp"), 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_allocations, setup, teardown),
        cmocka_unit_test_setup_teardown(test_system_calls, setup, teardown),
        cmocka_unit_test_setup_teardown(test_death_at_every_point, setup, teardown),
        cmocka_unit_test_setup_teardown(test_leftovers, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
