/* SPDX-License-Identifier: Apache-2.0 */

/* parallel_for: each item once, whoever runs it; nesting, sharing, missing threads. */

#include <base/thread.h>
#include <pool/pool.h>
#include <support/world.h>

#include <errno.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define MAX_ITEMS 5000

static uint64_t seed;

/* Every start of a thread is counted; from `refuse_from` on (0 = the first) they are refused. */
struct starts {
    _Atomic unsigned asked;
    unsigned refuse_from;
};

static int count_start(void *user, const char *what) {
    struct starts *starts = user;
    if (strcmp(what, "thread") != 0) {
        return 0;
    }
    return atomic_fetch_add(&starts->asked, 1) >= starts->refuse_from ? EAGAIN : 0;
}

static struct mmi_pool *pool_of(struct world *world, uint32_t threads) {
    struct mmi_pool *pool;
    assert_int_equal(mmi_pool_new(&world->env, threads, NULL, &pool, NULL), MM_OK);
    return pool;
}

/* ---- Bodies ---------------------------------------------------------------------------------- */

/* Some work that the compiler cannot see through. */
static void toil(uint64_t turns) {
    for (volatile uint64_t i = 0; i < turns; i++) {}
}

struct tally {
    _Atomic unsigned *seen;
    uint64_t turns; /* of work, at most */
    pthread_t caller;
    _Atomic unsigned elsewhere; /* items not run by the caller */
};

static void tally_body(void *ctx, uint64_t i) {
    struct tally *tally = ctx;
    toil(tally->turns > 0 ? (i * 7919) % tally->turns : 0);
    atomic_fetch_add(&tally->seen[i], 1);
    mmi_tls()->backend_bytes += (int64_t)i;
    if (!pthread_equal(pthread_self(), tally->caller)) {
        atomic_fetch_add(&tally->elsewhere, 1);
    }
}

/* Run `count` items and check that each ran once, and that what backends allocate in them is on the
 * caller's account. Returns how many ran elsewhere. */
static unsigned run_tally(struct mmi_pool *pool, uint64_t count, uint64_t turns) {
    struct tally tally = {
        .seen = calloc(count + 1, sizeof(*tally.seen)), .turns = turns, .caller = pthread_self()};
    int64_t before = mmi_tls()->backend_bytes;
    mmi_pool_run(pool, count, tally_body, &tally);
    int64_t sum = (int64_t)(count * (count - 1) / 2);
    assert_int_equal(mmi_tls()->backend_bytes - before, count > 0 ? sum : 0);
    for (uint64_t i = 0; i < count; i++) {
        assert_int_equal(tally.seen[i], 1);
    }
    assert_int_equal(tally.seen[count], 0);
    free(tally.seen);
    return tally.elsewhere;
}

/* ---- Tests ----------------------------------------------------------------------------------- */

static void test_random_sizes(void **state) {
    (void)state;
    struct world world;
    world_init(&world);
    uint64_t random = seed;
    for (uint32_t threads = 1; threads <= 5; threads++) {
        struct mmi_pool *pool = pool_of(&world, threads);
        assert_int_equal(mmi_pool_threads(pool), threads);
        run_tally(pool, 0, 0);
        for (unsigned round = 0; round < 150; round++) {
            uint64_t limit = test_random_below(&random, 4) == 0 ? MAX_ITEMS : 70;
            run_tally(pool, test_random_below(&random, limit), test_random_below(&random, 200));
        }
        mmi_pool_free(pool);
    }
    world_fini(&world);
}

static void order_body(void *ctx, uint64_t i) {
    uint64_t *next = ctx;
    assert_int_equal(i, *next);
    (*next)++;
}

static void test_one_thread_is_a_loop(void **state) {
    (void)state;
    struct world world;
    world_init(&world);
    struct starts starts = {.refuse_from = 0};
    world.env.fault = count_start;
    world.env.fault_user = &starts;
    struct mmi_pool *pool = pool_of(&world, 1);
    uint64_t next = 0;
    mmi_pool_run(pool, 100, order_body, &next);
    assert_int_equal(next, 100);
    mmi_pool_free(pool);
    /* Nor does a pool of several start any before something is worth sharing. */
    pool = pool_of(&world, 4);
    next = 0;
    mmi_pool_run(pool, 1, order_body, &next);
    assert_int_equal(next, 1);
    mmi_pool_free(pool);
    assert_int_equal(starts.asked, 0);
    mmi_pool_free(NULL);
    world_fini(&world);
}

/* Each of the items waits until all are running: they must be on as many threads. */
struct meeting {
    pthread_barrier_t all;
    uint64_t turns; /* item 0 arrives late: the others, or the caller, have gone to sleep */
};

static void meeting_body(void *ctx, uint64_t i) {
    struct meeting *meeting = ctx;
    toil(i == 0 ? meeting->turns : 0);
    pthread_barrier_wait(&meeting->all);
    toil(i != 0 ? meeting->turns : 0);
}

static void test_threads_help(void **state) {
    (void)state;
    struct world world;
    world_init(&world);
    struct mmi_pool *pool = pool_of(&world, 3);
    struct meeting meeting = {.turns = 0};
    pthread_barrier_init(&meeting.all, NULL, 3);
    uint64_t random = seed;
    for (unsigned round = 0; round < 200; round++) {
        meeting.turns = test_random_below(&random, 2) * test_random_below(&random, 50000);
        mmi_pool_run(pool, 3, meeting_body, &meeting);
        toil(test_random_below(&random, 2) * test_random_below(&random, 100000));
    }
    pthread_barrier_destroy(&meeting.all);
    mmi_pool_free(pool);
    world_fini(&world);
}

struct nest {
    struct mmi_pool *pool;
    _Atomic uint64_t sum;
};
struct nest_inner {
    struct nest *nest;
    pthread_t outer;
    uint64_t next;
};

static void nest_inner_body(void *ctx, uint64_t i) {
    struct nest_inner *inner = ctx;
    assert_true(pthread_equal(inner->outer, pthread_self()));
    assert_int_equal(i, inner->next++);
    atomic_fetch_add(&inner->nest->sum, i);
}

static void nest_body(void *ctx, uint64_t i) {
    struct nest *nest = ctx;
    struct nest_inner inner = {nest, pthread_self(), 0};
    mmi_pool_run(nest->pool, i % 8, nest_inner_body, &inner);
    assert_int_equal(inner.next, i % 8);
}

static void test_nested_runs_alone(void **state) {
    (void)state;
    struct world world;
    world_init(&world);
    struct nest nest = {.pool = pool_of(&world, 4)};
    for (unsigned round = 0; round < 50; round++) {
        nest.sum = 0;
        mmi_pool_run(nest.pool, 64, nest_body, &nest);
        assert_int_equal(nest.sum, 8 * (0 + 0 + 1 + 3 + 6 + 10 + 15 + 21));
        assert_false(mmi_tls()->inside_body);
    }
    mmi_pool_free(nest.pool);
    world_fini(&world);
}

static void frame_body(void *ctx, uint64_t i) {
    (void)i;
    toil(2000);
    assert_ptr_equal(mmi_tls()->frame, ctx);
}

static void test_bodies_are_in_the_callers_frame(void **state) {
    (void)state;
    struct world world;
    world_init(&world);
    struct mmi_pool *pool = pool_of(&world, 3);
    for (uintptr_t call = 0; call < 50; call++) {
        const struct mmi_frame *frame = (const struct mmi_frame *)(call * 16);
        mmi_tls()->frame = frame;
        mmi_pool_run(pool, 32, frame_body, (void *)(call * 16));
        assert_ptr_equal(mmi_tls()->frame, frame);
    }
    mmi_tls()->frame = NULL;
    mmi_pool_free(pool);
    world_fini(&world);
}

/* ---- Several callers ------------------------------------------------------------------------- */

struct caller {
    struct mmi_pool *pool;
    uint64_t random;
    pthread_t thread;
};

static void *caller_main(void *ctx) {
    struct caller *caller = ctx;
    for (unsigned round = 0; round < 300; round++) {
        run_tally(caller->pool, test_random_below(&caller->random, 100),
                  test_random_below(&caller->random, 300));
    }
    return NULL;
}

static void test_callers_share(void **state) {
    (void)state;
    struct world world;
    world_init(&world);
    for (uint32_t threads = 2; threads <= 4; threads++) {
        struct mmi_pool *pool = pool_of(&world, threads);
        struct caller callers[4];
        for (unsigned i = 0; i < 4; i++) {
            callers[i] = (struct caller){.pool = pool, .random = seed + i};
            pthread_create(&callers[i].thread, NULL, caller_main, &callers[i]);
        }
        for (unsigned i = 0; i < 4; i++) {
            pthread_join(callers[i].thread, NULL);
        }
        mmi_pool_free(pool);
    }
    world_fini(&world);
}

struct jam {
    struct mmi_pool *pool;
    sem_t arrived, leave;
};

static void jam_body(void *ctx, uint64_t i) {
    (void)i;
    struct jam *jam = ctx;
    sem_post(&jam->arrived);
    sem_wait(&jam->leave);
}

static void *jam_main(void *ctx) {
    struct jam *jam = ctx;
    mmi_pool_run(jam->pool, 2, jam_body, jam);
    return NULL;
}

/* The only worker is held by one caller's body: another caller does not wait for it. */
static void test_nobody_waits_for_a_busy_thread(void **state) {
    (void)state;
    struct world world;
    world_init(&world);
    struct jam jam = {.pool = pool_of(&world, 2)};
    sem_init(&jam.arrived, 0, 0);
    sem_init(&jam.leave, 0, 0);
    pthread_t thread;
    pthread_create(&thread, NULL, jam_main, &jam);
    sem_wait(&jam.arrived);
    sem_wait(&jam.arrived);
    for (uint64_t count = 1; count < 100; count++) {
        assert_int_equal(run_tally(jam.pool, count, 0), 0);
    }
    sem_post(&jam.leave);
    sem_post(&jam.leave);
    pthread_join(thread, NULL);
    mmi_pool_free(jam.pool);
    world_fini(&world);
}

/* ---- The host's threads ---------------------------------------------------------------------- */

struct host {
    unsigned calls;
    uint32_t threads;
    uint64_t count;
};

/* Runs backwards, so that it cannot be taken for ours. */
static void host_run(void *user, uint32_t threads, uint64_t count,
                     void (*body)(void *ctx, uint64_t i), void *ctx) {
    struct host *host = user;
    host->calls++;
    host->threads = threads;
    host->count = count;
    while (count > 0) {
        body(ctx, --count);
    }
}

static void test_hosts_own(void **state) {
    (void)state;
    struct world world;
    world_init(&world);
    struct starts starts = {.refuse_from = 0};
    world.env.fault = count_start;
    world.env.fault_user = &starts;
    struct host host = {0};
    const mm_parallel parallel = {&host, host_run};
    struct mmi_pool *pool;
    assert_int_equal(mmi_pool_new(&world.env, 6, &parallel, &pool, NULL), MM_OK);
    run_tally(pool, 40, 0);
    assert_int_equal(host.calls, 1);
    assert_int_equal(host.threads, 6);
    assert_int_equal(host.count, 40);
    struct nest nest = {.pool = pool};
    mmi_pool_run(pool, 64, nest_body, &nest); /* the inner ones do not reach the host */
    assert_int_equal(host.calls, 2);
    assert_false(mmi_tls()->inside_body);
    mmi_tls()->frame = (const struct mmi_frame *)(uintptr_t)64;
    mmi_pool_run(pool, 4, frame_body, (void *)(uintptr_t)64);
    mmi_tls()->frame = NULL;
    mmi_pool_free(pool);
    assert_int_equal(starts.asked, 0);
    world_fini(&world);
}

/* ---- Failure --------------------------------------------------------------------------------- */

static void test_refused_threads(void **state) {
    (void)state;
    struct world world;
    world_init(&world);
    for (unsigned from = 0; from < 4; from++) {
        struct starts starts = {.refuse_from = from};
        world.env.fault = count_start;
        world.env.fault_user = &starts;
        struct mmi_pool *pool = pool_of(&world, 4);
        for (unsigned round = 0; round < 20; round++) {
            unsigned elsewhere = run_tally(pool, 64, 100);
            if (from == 0) {
                assert_int_equal(elsewhere, 0);
            }
        }
        /* The workers are asked for once, not at every call. */
        assert_int_equal(starts.asked, from < 3 ? from + 1 : 3);
        mmi_pool_free(pool);
    }
    world_fini(&world);
}

static void test_bad_counts(void **state) {
    (void)state;
    struct world world;
    world_init(&world);
    struct mmi_pool *pool = NULL;
    mm_error err;
    assert_int_equal(mmi_pool_new(&world.env, 0, NULL, &pool, &err), MM_INVALID_ARGUMENT);
    assert_int_equal(mmi_pool_new(&world.env, MMI_POOL_MAX_THREADS + 1, NULL, &pool, &err),
                     MM_INVALID_ARGUMENT);
    assert_non_null(strstr(err.text, "compute threads"));
    assert_null(pool);
    world_fini(&world);
}

static void test_every_allocation_fails(void **state) {
    (void)state;
    struct world world;
    world_init(&world);
    for (uint64_t nth = 1;; nth++) {
        world_fail_alloc(&world, nth);
        struct mmi_pool *pool = NULL;
        mm_error err;
        mm_status status = mmi_pool_new(&world.env, 3, NULL, &pool, &err);
        if (status == MM_OK) {
            run_tally(pool, 64, 50); /* threads that find no memory are threads that are missing */
            mmi_pool_free(pool);
        } else {
            assert_int_equal(status, MM_NO_MEMORY);
            assert_null(pool);
        }
        world_fail_alloc(&world, 0);
        assert_int_equal(world_live_bytes(&world), 0);
        if (!world_failed(&world)) {
            assert_true(nth > 3);
            break;
        }
    }
    world_fini(&world);
}

int main(int argc, char **argv) {
    seed = test_seed(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_sizes),
        cmocka_unit_test(test_one_thread_is_a_loop),
        cmocka_unit_test(test_threads_help),
        cmocka_unit_test(test_nested_runs_alone),
        cmocka_unit_test(test_bodies_are_in_the_callers_frame),
        cmocka_unit_test(test_callers_share),
        cmocka_unit_test(test_nobody_waits_for_a_busy_thread),
        cmocka_unit_test(test_hosts_own),
        cmocka_unit_test(test_refused_threads),
        cmocka_unit_test(test_bad_counts),
        cmocka_unit_test(test_every_allocation_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
