/* SPDX-License-Identifier: Apache-2.0 */

/* The timer_thread on a clock that the test moves: never early, never forgotten. */

#include <support/world.h>
#include <work/timer_thread.h>

#include <errno.h>
#include <semaphore.h>
#include <stdlib.h>

#define MAX_TICKS 64

struct scene {
    struct world world;
    struct mmi_timer_thread *timer_thread;
    sem_t ticked;
    pthread_mutex_t mutex;   /* guards all below */
    uint64_t due[MAX_TICKS]; /* what the owner waits for, as residency's heap would */
    unsigned due_count, tick_count;
    uint64_t fired[MAX_TICKS]; /* the times due, in the order of firing */
    unsigned fired_count;
    uint64_t arm_inside_ns; /* comes up during the next tick, after it looked; 0 = no */
};

/* The earliest of due[], taken out if it is not after now; 0 = none. */
static uint64_t take_first(struct scene *scene, uint64_t now_ns, bool *taken) {
    unsigned first = 0;
    *taken = false;
    if (scene->due_count == 0) {
        return 0;
    }
    for (unsigned i = 1; i < scene->due_count; i++) {
        if (scene->due[i] < scene->due[first]) {
            first = i;
        }
    }
    uint64_t at_ns = scene->due[first];
    if (at_ns <= now_ns) {
        scene->due[first] = scene->due[--scene->due_count];
        *taken = true;
    }
    return at_ns;
}

static uint64_t tick(void *ctx, uint64_t now_ns) {
    struct scene *scene = ctx;
    pthread_mutex_lock(&scene->mutex);
    scene->tick_count++;
    bool taken;
    uint64_t at_ns;
    while ((at_ns = take_first(scene, now_ns, &taken)) != 0 && taken) {
        scene->fired[scene->fired_count++] = at_ns;
        sem_post(&scene->ticked);
    }
    if (scene->arm_inside_ns) {
        scene->due[scene->due_count++] = scene->arm_inside_ns;
        mmi_timer_thread_arm(scene->timer_thread, scene->arm_inside_ns);
        scene->arm_inside_ns = 0;
    }
    pthread_mutex_unlock(&scene->mutex);
    return at_ns;
}

static void scene_init(struct scene *scene) {
    *scene = (struct scene){.due_count = 0};
    world_init(&scene->world);
    sem_init(&scene->ticked, 0, 0);
    pthread_mutex_init(&scene->mutex, NULL);
    assert_int_equal(
        mmi_timer_thread_new(&scene->world.env, tick, scene, &scene->timer_thread, NULL), MM_OK);
}

static void scene_start(struct scene *scene) {
    assert_int_equal(mmi_timer_thread_start(scene->timer_thread, NULL), MM_OK);
}

static void scene_fini(struct scene *scene) {
    mmi_timer_thread_stop(scene->timer_thread);
    mmi_timer_thread_free(scene->timer_thread);
    world_fini(&scene->world);
}

static void want(struct scene *scene, uint64_t at_ns) {
    pthread_mutex_lock(&scene->mutex);
    scene->due[scene->due_count++] = at_ns;
    pthread_mutex_unlock(&scene->mutex);
    mmi_timer_thread_arm(scene->timer_thread, at_ns);
}

static void await(struct scene *scene, unsigned count) {
    for (unsigned i = 0; i < count; i++) {
        sem_wait(&scene->ticked);
    }
}

static unsigned fired(struct scene *scene) {
    pthread_mutex_lock(&scene->mutex);
    unsigned count = scene->fired_count;
    pthread_mutex_unlock(&scene->mutex);
    return count;
}

static void test_in_order_and_not_early(void **state) {
    (void)state;
    struct scene scene;
    scene_init(&scene);
    scene_start(&scene);
    want(&scene, WORLD_START_NS + 300);
    want(&scene, WORLD_START_NS + 100); /* earlier than what is armed */
    want(&scene, WORLD_START_NS + 200); /* not earlier */
    world_advance(&scene.world, 99);
    assert_int_equal(fired(&scene), 0);
    world_advance(&scene.world, 1);
    await(&scene, 1);
    assert_int_equal(fired(&scene), 1);
    world_advance(&scene.world, 500); /* both that are left, in one tick or two */
    await(&scene, 2);
    assert_int_equal(scene.fired[0], WORLD_START_NS + 100);
    assert_int_equal(scene.fired[1], WORLD_START_NS + 200);
    assert_int_equal(scene.fired[2], WORLD_START_NS + 300);
    want(&scene, 1); /* long past */
    await(&scene, 1);
    scene_fini(&scene);
    assert_int_equal(scene.fired_count, 4);
}

static void test_armed_before_start(void **state) {
    (void)state;
    struct scene scene;
    scene_init(&scene);
    want(&scene, WORLD_START_NS);
    scene_start(&scene);
    scene_start(&scene);
    await(&scene, 1);
    scene_fini(&scene);
}

/* What is armed inside a tick and what the tick returns: the earlier counts, the other is not
 * lost. */
static void test_armed_inside_a_tick(void **state) {
    (void)state;
    struct scene scene;
    scene_init(&scene);
    scene_start(&scene);
    pthread_mutex_lock(&scene.mutex);
    scene.arm_inside_ns = WORLD_START_NS + 20;
    scene.due[scene.due_count++] = WORLD_START_NS + 30;
    pthread_mutex_unlock(&scene.mutex);
    want(&scene, WORLD_START_NS + 10);
    world_advance(&scene.world, 10);
    await(&scene, 1);
    world_advance(&scene.world, 10);
    await(&scene, 1);
    world_advance(&scene.world, 10);
    await(&scene, 1);
    scene_fini(&scene);
    assert_int_equal(scene.fired_count, 3);
}

static void test_stop_while_armed(void **state) {
    (void)state;
    struct scene scene;
    scene_init(&scene);
    scene_start(&scene);
    want(&scene, WORLD_START_NS + 1000);
    mmi_timer_thread_stop(scene.timer_thread);
    mmi_timer_thread_stop(scene.timer_thread);
    world_advance(&scene.world, 2000);
    mmi_timer_thread_arm(scene.timer_thread, 1); /* ignored */
    assert_int_equal(mmi_timer_thread_start(scene.timer_thread, NULL), MM_CLOSED);
    scene_fini(&scene);
    assert_int_equal(scene.tick_count, 0);
}

static void test_never_started(void **state) {
    (void)state;
    struct scene scene;
    scene_init(&scene);
    mmi_timer_thread_arm(scene.timer_thread, 1);
    scene_fini(&scene);
    assert_int_equal(scene.tick_count, 0);
    mmi_timer_thread_free(NULL);
}

static void test_refusals(void **state) {
    (void)state;
    struct scene scene;
    scene_init(&scene);
    world_fault(&scene.world, "thread", 1, EAGAIN);
    mm_error err;
    assert_int_equal(mmi_timer_thread_start(scene.timer_thread, &err), MM_NO_THREADS);
    want(&scene, 1);
    scene_start(&scene);
    await(&scene, 1);
    world_fail_alloc(&scene.world, 1);
    struct mmi_timer_thread *none = NULL;
    assert_int_equal(mmi_timer_thread_new(&scene.world.env, tick, &scene, &none, &err),
                     MM_NO_MEMORY);
    assert_null(none);
    scene_fini(&scene);
}

static void test_real_clock(void **state) {
    (void)state;
    struct scene scene;
    scene_init(&scene);
    mmi_clock_init(&scene.world.env.clock, NULL, NULL);
    scene_start(&scene);
    uint64_t at_ns = mmi_now(&scene.world.env.clock) + 1000000;
    want(&scene, at_ns);
    await(&scene, 1);
    assert_true(mmi_now(&scene.world.env.clock) >= at_ns);
    scene_fini(&scene);
}

struct armer {
    struct scene *scene;
    uint64_t random;
    pthread_t thread;
};

static void *armer_main(void *ctx) {
    struct armer *armer = ctx;
    for (unsigned i = 0; i < MAX_TICKS / 4; i++) {
        want(armer->scene, WORLD_START_NS + test_random_below(&armer->random, 1000));
        world_advance(&armer->scene->world, test_random_below(&armer->random, 40));
    }
    return NULL;
}

static void test_many_armers(void **state) {
    (void)state;
    struct scene scene;
    scene_init(&scene);
    scene_start(&scene);
    struct armer armers[3];
    for (unsigned i = 0; i < 3; i++) {
        armers[i] = (struct armer){.scene = &scene, .random = i};
        pthread_create(&armers[i].thread, NULL, armer_main, &armers[i]);
    }
    for (unsigned i = 0; i < 3; i++) {
        pthread_join(armers[i].thread, NULL);
    }
    world_advance(&scene.world, 1000);
    await(&scene, 3 * (MAX_TICKS / 4));
    scene_fini(&scene);
    assert_int_equal(scene.due_count, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_in_order_and_not_early),
        cmocka_unit_test(test_armed_before_start),
        cmocka_unit_test(test_armed_inside_a_tick),
        cmocka_unit_test(test_stop_while_armed),
        cmocka_unit_test(test_never_started),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_real_clock),
        cmocka_unit_test(test_many_armers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
