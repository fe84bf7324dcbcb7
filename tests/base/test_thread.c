/* SPDX-License-Identifier: Apache-2.0 */
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
    world_fail_alloc(&world, 1);
    assert_int_equal(mmi_thread_start(&world.env, &thread, "load", 1, look, &seen, NULL),
                     MM_NO_MEMORY);
    assert_true(world_failed(&world));
    mmi_thread_join(&thread);
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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_name_and_signals),
        cmocka_unit_test(test_affinity),
        cmocka_unit_test(test_failures),
        cmocka_unit_test(test_thread_local),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
