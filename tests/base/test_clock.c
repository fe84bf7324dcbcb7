/* SPDX-License-Identifier: Apache-2.0 */
#include <base/clock.h>
#include <base/lock.h>
#include <support/world.h>

static void test_fake(void **state) {
    (void)state;
    struct world world;
    world_init(&world);
    const struct mmi_clock *clock = &world.env.clock;
    assert_int_equal(mmi_now(clock), WORLD_START_NS);
    assert_int_equal(mmi_ticks(clock), WORLD_START_NS);
    world_advance(&world, 5);
    assert_int_equal(mmi_now(clock), WORLD_START_NS + 5);
    assert_int_equal(mmi_ticks_to_ns(clock, mmi_ticks(clock)), WORLD_START_NS + 5);
    world_fini(&world);
}

/* A tick read between two looks at the clock never lies outside what the clock has shown. */
static void test_real_ticks(void **state) {
    (void)state;
    struct mmi_clock clock;
    mmi_clock_init(&clock, NULL, NULL);
    assert_int_equal(mmi_ticks_to_ns(&clock, clock.origin_ticks), clock.origin_ns);
    assert_int_equal(mmi_ticks_to_ns(&clock, 0), clock.tsc ? clock.origin_ns : 0);
    uint64_t last = clock.origin_ticks;
    for (int i = 0; i < 10000; i++) {
        uint64_t ticks = mmi_ticks(&clock);
        assert_true(ticks >= last);
        last = ticks;
        uint64_t ns = mmi_ticks_to_ns(&clock, ticks);
        assert_true(ns >= clock.origin_ns && ns <= mmi_now(&clock));
    }
}

struct waiter {
    struct world *world;
    struct mmi_lock lock;
    struct mmi_cond cond;
    uint64_t deadline_ns;
    bool waits, told, woke_by_deadline;
};

static void *wait_for_it(void *argument) {
    struct waiter *w = argument;
    const struct mmi_clock *clock = &w->world->env.clock;
    mmi_lock(&w->lock);
    w->waits = true;
    while (!w->told && (w->deadline_ns == 0 || mmi_now(clock) < w->deadline_ns)) {
        mmi_cond_wait(&w->cond, &w->lock, clock, w->deadline_ns);
    }
    w->woke_by_deadline = !w->told;
    mmi_unlock(&w->lock);
    return NULL;
}

static void wait_case(uint64_t deadline_ns, bool tell) {
    struct world world;
    world_init(&world);
    struct waiter w = {.world = &world, .deadline_ns = deadline_ns};
    mmi_lock_init(&w.lock, MMI_RANK_LEAF);
    assert_int_equal(mmi_cond_init(&w.cond, &world.env), 0);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, wait_for_it, &w), 0);
    if (tell) {
        mmi_lock(&w.lock);
        w.told = true;
        mmi_cond_signal(&w.cond);
        mmi_unlock(&w.lock);
    } else {
        world_advance(&world, 1000);
    }
    pthread_join(thread, NULL);
    assert_true(w.waits);
    assert_int_equal(w.woke_by_deadline, !tell);
    mmi_cond_fini(&w.cond);
    mmi_lock_fini(&w.lock);
    world_fini(&world);
}

static void test_wait(void **state) {
    (void)state;
    wait_case(0, true);
    wait_case(UINT64_MAX, true);
    wait_case(WORLD_START_NS + 1000, false);
}

static void test_real_deadline(void **state) {
    (void)state;
    struct mmi_clock clock;
    mmi_clock_init(&clock, NULL, NULL);
    struct mmi_lock lock;
    struct mmi_cond cond;
    mmi_lock_init(&lock, MMI_RANK_LEAF);
    assert_int_equal(mmi_cond_init(&cond, NULL), 0);
    mmi_lock(&lock);
    uint64_t deadline_ns = mmi_now(&clock) + 1000;
    while (mmi_now(&clock) < deadline_ns) {
        mmi_cond_wait(&cond, &lock, &clock, deadline_ns);
    }
    mmi_cond_wait(&cond, &lock, &clock, 1); /* long past: returns */
    mmi_unlock(&lock);
    mmi_cond_fini(&cond);
    mmi_lock_fini(&lock);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fake),
        cmocka_unit_test(test_real_ticks),
        cmocka_unit_test(test_wait),
        cmocka_unit_test(test_real_deadline),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
