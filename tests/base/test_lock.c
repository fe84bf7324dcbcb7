/* SPDX-License-Identifier: Apache-2.0 */
#include <base/clock.h>
#include <base/lock.h>
#include <base/thread.h>
#include <support/world.h>

#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define THREADS 4
#define ROUNDS 5000

struct shared {
    struct mmi_lock lock;
    uint64_t sum;
};

static void add(void *ctx) {
    struct shared *shared = ctx;
    for (int i = 0; i < ROUNDS; i++) {
        mmi_lock(&shared->lock);
        mmi_assert_held(&shared->lock);
        shared->sum++;
        mmi_unlock(&shared->lock);
    }
    mmi_assert_no_locks();
}

static void test_excludes(void **state) {
    (void)state;
    struct world world;
    world_init(&world);
    struct shared shared = {.sum = 0};
    mmi_lock_init(&shared.lock, MMI_RANK_LEAF);
    add(&shared);
    assert_int_equal(shared.lock.contended, 0); /* alone, nobody waits */
    struct mmi_thread threads[THREADS];
    for (unsigned i = 0; i < THREADS; i++) {
        assert_int_equal(mmi_thread_start(&world.env, &threads[i], "add", i, add, &shared, NULL),
                         MM_OK);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        mmi_thread_join(&threads[i]);
    }
    assert_int_equal(shared.sum, (THREADS + 1) * ROUNDS);
    mmi_lock_fini(&shared.lock);
    world_fini(&world);
}

struct duel {
    struct mmi_lock lock;
    atomic_bool coming;
};

static void come(void *ctx) {
    struct duel *duel = ctx;
    atomic_store(&duel->coming, true);
    mmi_lock(&duel->lock);
    mmi_unlock(&duel->lock);
}

/* Somebody who comes while the lock is held is counted. Where the scheduler lets the other thread
 * come too late, the round is played again. */
static void test_contention_is_counted(void **state) {
    (void)state;
    struct world world;
    world_init(&world);
    struct duel duel = {.coming = false};
    mmi_lock_init(&duel.lock, MMI_RANK_LEAF);
    uint64_t counted = 0;
    for (int rounds = 0; rounds < 100000 && counted == 0; rounds++) {
        struct mmi_thread other;
        atomic_store(&duel.coming, false);
        mmi_lock(&duel.lock);
        assert_int_equal(mmi_thread_start(&world.env, &other, "come", 0, come, &duel, NULL), MM_OK);
        while (!atomic_load(&duel.coming)) {
            sched_yield();
        }
        for (int i = 0; i < rounds; i++) {
            sched_yield();
        }
        mmi_unlock(&duel.lock);
        mmi_thread_join(&other);
        counted = duel.lock.contended;
    }
    assert_int_equal(counted, 1);
    mmi_lock_fini(&duel.lock);
    world_fini(&world);
}

static void test_rising_ranks(void **state) {
    (void)state;
    struct mmi_lock low, middle, high;
    mmi_lock_init(&low, MMI_RANK_RESIDENCY);
    mmi_lock_init(&middle, MMI_RANK_OPS);
    mmi_lock_init(&high, MMI_RANK_LEAF);
    mmi_lock(&low);
    mmi_lock(&middle);
    mmi_lock(&high);
    mmi_unlock(&middle); /* given back in any order */
    mmi_assert_held(&low);
    mmi_assert_held(&high);
    mmi_unlock(&low);
    mmi_unlock(&high);
    mmi_assert_no_locks();
    mmi_lock_fini(&low);
    mmi_lock_fini(&middle);
    mmi_lock_fini(&high);
}

#ifndef NDEBUG

static struct mmi_lock inner, outer, twin;

static void falling(void) {
    mmi_lock(&inner);
    mmi_lock(&outer);
}
static void same_rank(void) {
    mmi_lock(&inner);
    mmi_lock(&twin);
}
static void twice(void) {
    mmi_lock(&inner);
    mmi_lock(&inner);
}
static void unlock_unheld(void) {
    mmi_unlock(&inner);
}
static void claim_unheld(void) {
    mmi_assert_held(&inner);
}
static void claim_none(void) {
    mmi_lock(&inner);
    mmi_assert_no_locks();
}
static void wait_with_another(void) {
    struct mmi_clock clock;
    struct mmi_cond cond;
    mmi_clock_init(&clock, NULL, NULL);
    mmi_cond_init(&cond, NULL);
    mmi_lock(&outer);
    mmi_lock(&inner);
    mmi_cond_wait(&cond, &inner, &clock, 1);
}

/* In a child of its own, silenced, without a core file. */
static void aborts(void (*misdeed)(void)) {
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        signal(SIGABRT, SIG_DFL);
        close(STDERR_FILENO);
        misdeed();
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

static void test_violations_abort(void **state) {
    (void)state;
    mmi_lock_init(&outer, MMI_RANK_OPS);
    mmi_lock_init(&inner, MMI_RANK_DEVICE);
    mmi_lock_init(&twin, MMI_RANK_DEVICE);
    void (*const misdeeds[])(void) = {
        falling, same_rank, twice, unlock_unheld, claim_unheld, claim_none, wait_with_another};
    for (size_t i = 0; i < sizeof(misdeeds) / sizeof(misdeeds[0]); i++) {
        aborts(misdeeds[i]);
    }
}

#else

static void test_violations_abort(void **state) {
    (void)state;
    skip(); /* release builds check nothing */
}

#endif

static void test_wait(void **state) {
    (void)state;
    struct world world;
    world_init(&world);
    struct mmi_lock lock;
    struct mmi_cond cond;
    mmi_lock_init(&lock, MMI_RANK_OPS);
    assert_int_equal(mmi_cond_init(&cond, &world.env), 0);
    mmi_lock(&lock);
    mmi_cond_wait(&cond, &lock, &world.env.clock, WORLD_START_NS + 1);
    mmi_assert_held(&lock);
    mmi_unlock(&lock);
    mmi_cond_fini(&cond);
    mmi_lock_fini(&lock);
    world_fini(&world);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_violations_abort), /* first: it forks, and no thread has run yet */
        cmocka_unit_test(test_excludes),         cmocka_unit_test(test_contention_is_counted),
        cmocka_unit_test(test_rising_ranks),     cmocka_unit_test(test_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
