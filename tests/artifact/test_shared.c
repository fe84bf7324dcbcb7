/* SPDX-License-Identifier: Apache-2.0 */
/* One directory, several processes; one store, several threads. */
#include <artifact/fixture.h>

#include <pthread.h>
#include <sys/file.h>
#include <sys/wait.h>

#define NUMBERS 8u
#define WORKERS 4
#define STEPS 150

static struct fixture g;
static uint64_t seed;

static int setup(void **state) {
    (void)state;
    fixture_init(&g);
    g.config.dropped = NULL; /* it counts without a lock */
    return 0;
}

static int teardown(void **state) {
    (void)state;
    fixture_fini(&g);
    return 0;
}

static struct model model_of(uint64_t number) {
    return (struct model){.number = number,
                          .weights_bytes = 30000 + number * 4096,
                          .description_bytes = 40 + number,
                          .group_bytes = 10000};
}

/* Right bytes, without asserts: runs in children and threads. */
static bool is_whole(struct mmi_artifact *artifact, const struct model *model) {
    mm_artifact view = mmi_artifact_view(artifact);
    uint8_t got[65536], expected[65536];
    model_bytes(~model->number, 0, expected, model->description_bytes);
    if (view.weights_bytes != model->weights_bytes ||
        view.description_bytes != model->description_bytes ||
        memcmp(view.description, expected, model->description_bytes) != 0) {
        return false;
    }
    mm_error err;
    mm_status status = mmi_artifact_hold(artifact, &err);
    if (status != MM_OK) {
        return status == MM_NONE; /* evicted by somebody */
    }
    model_bytes(model->number, 0, expected, model->weights_bytes);
    bool right = mmi_artifact_read(artifact, 0, got, model->weights_bytes, &err) == MM_OK &&
                 memcmp(got, expected, model->weights_bytes) == 0;
    mmi_artifact_unhold(artifact);
    return right;
}

static mm_status make(struct mmi_store *store, const struct model *model,
                      struct mmi_artifact **artifact) {
    struct mmi_writer *writer;
    struct mmi_writer_config config = {0};
    mm_error err;
    mm_status status = mmi_writer_open(store, &config, &writer, &err);
    if (status != MM_OK) {
        return status;
    }
    status = model_prepare(model, mmi_writer_sink(writer), &err);
    if (status != MM_OK) {
        mmi_writer_abort(writer);
        return status;
    }
    struct mmi_key key = key_of(model->number);
    return mmi_writer_commit(writer, &key, artifact, &err);
}

static bool work(struct mmi_store *store, uint64_t random) {
    for (int step = 0; step < STEPS; step++) {
        struct model model = model_of(test_random_below(&random, NUMBERS));
        struct mmi_key key = key_of(model.number);
        struct mmi_artifact *artifact;
        mm_error err;
        mm_status status = test_random_below(&random, 4) == 0
                               ? MM_NONE
                               : mmi_store_find(store, &key, &artifact, &err);
        if (status == MM_NONE) {
            status = make(store, &model, &artifact);
        }
        if (status == MM_NO_SPACE) {
            continue; /* all memory is held at this moment */
        }
        bool whole = status == MM_OK && is_whole(artifact, &model);
        mmi_artifact_release(status == MM_OK ? artifact : NULL);
        if (!whole) {
            return false;
        }
    }
    return true;
}

static void work_in_processes(void) {
    pid_t children[WORKERS];
    for (uint64_t i = 0; i < WORKERS; i++) {
        children[i] = fork();
        assert_true(children[i] >= 0);
        if (children[i] == 0) {
            struct mmi_store *store;
            bool fine = mmi_store_open(&g.world.env, &g.config, &store, NULL) == MM_OK &&
                        work(store, seed + i);
            _exit(fine ? 0 : 1);
        }
    }
    for (int i = 0; i < WORKERS; i++) {
        int status;
        assert_int_equal(waitpid(children[i], &status, 0), children[i]);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    struct mmi_verify_report report;
    assert_int_equal(mmi_cache_verify(&g.world.env, g.cache, NULL, NULL, &report, &g.err), MM_OK);
    assert_int_equal(report.damaged + report.leftovers, 0);
    if (g.config.cache_budget_bytes > 0) {
        assert_true(report.bytes <= g.config.cache_budget_bytes);
    } else {
        assert_int_equal(report.entries, NUMBERS);
    }
}

static void test_processes(void **state) {
    (void)state;
    work_in_processes();
}

static void test_processes_on_a_budget(void **state) {
    (void)state;
    g.config.cache_budget_bytes = 200 * KIB;
    work_in_processes();
}

/* A process that knows nothing of the others: what all of them agree on is the order of use. */
static void test_use_counts_are_shared(void **state) {
    (void)state;
    struct mmi_store *second;
    struct model models[4];
    for (uint64_t i = 0; i < 4; i++) {
        models[i] = (struct model){.number = i, .weights_bytes = 64 * KIB};
    }
    g.config.cache_budget_bytes = 3 * file_bytes(&models[0]);
    fixture_open(&g);
    assert_int_equal(mmi_store_open(&g.world.env, &g.config, &second, &g.err), MM_OK);
    for (int i = 0; i < 3; i++) {
        fixture_make(&g, &models[i]);
    }
    struct mmi_artifact *artifact;
    struct mmi_key key = key_of(0);
    assert_int_equal(mmi_store_find(second, &key, &artifact, &g.err), MM_OK);
    mmi_artifact_release(artifact);
    fixture_make(&g, &models[3]);
    fixture_expect(&g, &models[0]); /* used by the other last */
    fixture_expect_none(&g, 1);
    mmi_store_close(second);
}

static bool locked_while_taking;
static int look_at_lock(void *user, const char *what) {
    (void)user;
    if (strcmp(what, "write") == 0 && !locked_while_taking) { /* the first: room is allocated */
        char path[SCRATCH_ROOM];
        int lock = open(scratch_path(&g.scratch, "cache/lock", path), O_RDONLY);
        locked_while_taking = flock(lock, LOCK_EX | LOCK_NB) != 0;
        assert_true(locked_while_taking);
        close(lock);
    }
    return 0;
}

/* Between counting what is there and taking room beside it nobody else counts. */
static void test_room_is_taken_under_the_lock(void **state) {
    (void)state;
    struct model model = model_of(1);
    g.config.cache_budget_bytes = 200 * KIB;
    fixture_open(&g);
    g.world.env.fault = look_at_lock;
    fixture_make(&g, &model);
    assert_true(locked_while_taking);
}

struct thread {
    pthread_t id;
    uint64_t random;
    bool fine;
};

static void *work_in_thread(void *ctx) {
    struct thread *thread = ctx;
    thread->fine = work(g.store, thread->random);
    return NULL;
}

static void work_in_threads(void) {
    fixture_open(&g);
    struct thread threads[WORKERS];
    for (uint64_t i = 0; i < WORKERS; i++) {
        threads[i] = (struct thread){.random = seed + 100 + i};
        assert_int_equal(pthread_create(&threads[i].id, NULL, work_in_thread, &threads[i]), 0);
    }
    for (int i = 0; i < WORKERS; i++) {
        pthread_join(threads[i].id, NULL);
        assert_true(threads[i].fine);
    }
}

static void test_threads_on_disk(void **state) {
    (void)state;
    g.config.cache_budget_bytes = 200 * KIB;
    work_in_threads();
}

static void test_threads_in_memory(void **state) {
    (void)state;
    g.config.cache_dir = NULL;
    g.config.temporary_budget_bytes = 200 * KIB;
    work_in_threads();
}

int main(int argc, char **argv) {
    seed = test_seed(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_processes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_processes_on_a_budget, setup, teardown),
        cmocka_unit_test_setup_teardown(test_use_counts_are_shared, setup, teardown),
        cmocka_unit_test_setup_teardown(test_room_is_taken_under_the_lock, setup, teardown),
        cmocka_unit_test_setup_teardown(test_threads_on_disk, setup, teardown),
        cmocka_unit_test_setup_teardown(test_threads_in_memory, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
