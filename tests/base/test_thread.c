/* SPDX-License-Identifier: Apache-2.0 */
#include <base/lock.h>
#include <base/thread.h>
#include <support/world.h>

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <string.h>

struct seen {
    int runs;
    char name[16];
    sigset_t blocked;
    cpu_set_t cpus;
    struct mmi_tls *tls;
    unsigned number;
};

static void look(void *ctx) {
    struct seen *seen = ctx;
    seen->runs++;
    pthread_getname_np(pthread_self(), seen->name, sizeof(seen->name));
    pthread_sigmask(SIG_SETMASK, NULL, &seen->blocked);
    sched_getaffinity(0, sizeof(seen->cpus), &seen->cpus);
    seen->tls = mmi_tls();
    mmi_thread_shard(MMI_MAX_SHARDS);
    seen->number = seen->tls->shard;
}

static struct seen run_one(struct world *world, const char *role, unsigned number) {
    struct seen seen = {.runs = 0};
    struct mmi_thread thread;
    mm_error err;
    assert_int_equal(mmi_thread_start(&world->env, &thread, role, number, look, &seen, &err),
                     MM_OK);
    assert_true(thread.running);
    mmi_thread_join(&thread);
    mmi_thread_join(&thread); /* once is enough */
    assert_false(thread.running);
    assert_int_equal(seen.runs, 1);
    return seen;
}

static void test_name_and_signals(void **state) {
    (void)state;
    struct world world;
    world_init(&world);
    sigset_t before, after;
    pthread_sigmask(SIG_SETMASK, NULL, &before);
    struct seen seen = run_one(&world, "load", 3);
    assert_string_equal(seen.name, "mm-load-3");
    const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGCHLD, SIGPIPE, SIGALRM, SIGPROF};
    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
        assert_true(sigismember(&seen.blocked, signals[i]));
    }
    pthread_sigmask(SIG_SETMASK, NULL, &after); /* the caller's are as they were */
    for (int s = 1; s < SIGRTMAX; s++) {
        assert_int_equal(sigismember(&before, s), sigismember(&after, s));
    }
    strcpy(world.env.thread_prefix, "gateway");
    assert_string_equal(run_one(&world, "completions", 12).name, "gateway-complet");
    world_fini(&world);
}

static void test_affinity(void **state) {
    (void)state;
    struct world world;
    world_init(&world);
    cpu_set_t allowed;
    sched_getaffinity(0, sizeof(allowed), &allowed);
    int cpu = 0;
    while (!CPU_ISSET((unsigned)cpu, &allowed)) {
        cpu++;
    }
    world.env.cpus = &cpu;
    world.env.cpu_count = 1;
    struct seen seen = run_one(&world, "infer", 0);
    assert_int_equal(CPU_COUNT(&seen.cpus), 1);
    assert_true(CPU_ISSET((unsigned)cpu, &seen.cpus));
    const int wrong[] = {-1, CPU_SETSIZE};
    for (size_t i = 0; i < 2; i++) {
        struct mmi_thread thread;
        mm_error err;
        world.env.cpus = &wrong[i];
        assert_int_equal(mmi_thread_start(&world.env, &thread, "infer", 0, look, &seen, &err),
                         MM_NO_THREADS);
        assert_string_equal(err.text, "thread infer-0: Invalid argument");
        assert_false(thread.running);
    }
    world_fini(&world);
}

static void test_failures(void **state) {
    (void)state;
    struct world world;
    world_init(&world);
    struct mmi_thread thread;
    struct seen seen = {.runs = 0};
    mm_error err;
    world_fault(&world, "thread", 1, EAGAIN);
    assert_int_equal(mmi_thread_start(&world.env, &thread, "load", 1, look, &seen, &err),
                     MM_NO_THREADS);
    assert_true(world_failed(&world));
    assert_string_equal(err.text, "thread load-1: Resource temporarily unavailable");
    mmi_thread_join(&thread); /* never started: nothing to wait for */
    assert_int_equal(seen.runs, 0);
    world_fini(&world);
}

static void test_thread_local(void **state) {
    (void)state;
    struct world world;
    world_init(&world);
    unsigned mine = mmi_thread_shard(MMI_MAX_SHARDS);
    assert_int_equal(mmi_thread_shard(MMI_MAX_SHARDS), mine);
    assert_int_equal(mmi_thread_shard(1), 0);
    assert_ptr_equal(mmi_tls(), mmi_tls());
    /* Threads are numbered in turn, round and round. */
    unsigned last = mmi_tls()->shard;
    for (unsigned i = 0; i < MMI_MAX_SHARDS + 2; i++) {
        unsigned number = run_one(&world, "x", i).number;
        assert_int_equal(number, last % MMI_MAX_SHARDS + 1);
        last = number;
    }
    world_fini(&world);
}

/* Threads of a test: started ones run at once. */
struct mine {
    int starts, joins, waits, wakes, pauses;
    int refuse;
    struct mmi_cond *waited;
    char name[16];
};

static int mine_start(void *user, const char *name, void (*run)(void *ctx), void *ctx,
                      void **thread) {
    struct mine *mine = user;
    if (mine->refuse) {
        return mine->refuse;
    }
    mine->starts++;
    strcpy(mine->name, name);
    *thread = mine;
    run(ctx);
    return 0;
}

static void mine_join(void *user, void *thread) {
    struct mine *mine = user;
    assert_ptr_equal(thread, mine);
    mine->joins++;
}

static void mine_wait(void *user, struct mmi_cond *cond, uint64_t deadline_ns) {
    struct mine *mine = user;
    mmi_assert_no_locks();
    assert_int_equal(mmi_tls()->locks, 0);
    assert_int_equal(deadline_ns, 7);
    mine->waited = cond;
    mine->waits++;
}

static void mine_wake(void *user, struct mmi_cond *cond, bool all) {
    struct mine *mine = user;
    assert_ptr_equal(cond, mine->waited);
    mine->wakes += all ? 100 : 1;
}

static void mine_pause(void *user) {
    struct mine *mine = user;
    assert_int_equal(mmi_tls()->locks, 0);
    mine->pauses++;
}

static void test_in_place_of_the_systems(void **state) {
    (void)state;
    struct mine mine = {0};
    const struct mmi_threads threads = {&mine,     mine_start, mine_join,
                                        mine_wait, mine_wake,  mine_pause};
    struct world world;
    world_init(&world);
    world.env.threads = &threads;
    struct seen seen = {.runs = 0};
    struct mmi_thread thread;
    mm_error err;
    mine.refuse = EAGAIN;
    assert_int_equal(mmi_thread_start(&world.env, &thread, "load", 1, look, &seen, &err),
                     MM_NO_THREADS);
    assert_string_equal(err.text, "thread load-1: Resource temporarily unavailable");
    mine.refuse = 0;
    assert_int_equal(mmi_thread_start(&world.env, &thread, "load", 1, look, &seen, &err), MM_OK);
    assert_string_equal(mine.name, "mm-load-1");
    assert_int_equal(seen.runs, 1);
    assert_ptr_equal(seen.tls, mmi_tls());
    mmi_thread_join(&thread);
    mmi_thread_join(&thread);
    assert_int_equal(mine.joins, 1);

    struct mmi_lock outer, inner;
    struct mmi_cond cond;
    mmi_lock_init(&outer, MMI_RANK_OPS);
    mmi_lock_init(&inner, MMI_RANK_LEAF);
    assert_int_equal(mmi_cond_init(&cond, &world.env), 0);
    mmi_lock(&inner);
    mmi_cond_wait(&cond, &inner, &world.env.clock, 7);
    mmi_cond_signal(&cond);
    mmi_cond_broadcast(&cond);
    mmi_unlock(&inner);
    assert_int_equal(mine.waits, 1);
    assert_int_equal(mine.wakes, 101);
    assert_int_equal(mine.pauses, 0); /* this thread is the system's */
    mmi_tls()->threads = &threads;
    mmi_lock(&outer);
    mmi_lock(&inner);
    mmi_unlock(&inner);
    assert_int_equal(mine.pauses, 0);
    mmi_unlock(&outer);
    assert_int_equal(mine.pauses, 1);
    mmi_tls()->threads = NULL;
    mmi_cond_fini(&cond);
    mmi_lock_fini(&inner);
    mmi_lock_fini(&outer);
    world_fini(&world);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_name_and_signals),
        cmocka_unit_test(test_affinity),
        cmocka_unit_test(test_failures),
        cmocka_unit_test(test_thread_local),
        cmocka_unit_test(test_in_place_of_the_systems),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
