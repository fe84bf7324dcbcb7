/* SPDX-License-Identifier: Apache-2.0 */
/* One model is being detached, and that takes long: nobody else waits for it who need not. */
#include "weather.h"

#include <unistd.h>

struct scene {
    struct fixture f;
    struct gate gate; /* at the detach of `slow` */
    mm_device_options device;
    mm_model slow, idle;
};

/* 6 MiB: slow has 1 of them and is being detached, idle has 3. */
static void open_scene(struct scene *scene) {
    struct fixture *f = &scene->f;
    mm_mesh_options options = weather_options(&scene->device, "host", 6 * MIB);
    fixture_open(f, &options);
    mm_model_spec spec =
        fixture_spec(f, "slow", "gated", "weights_bytes 1m\ncheck 0\nseed 1\nversion slow\n");
    scene->slow = fixture_register(f, &spec);
    scene->idle = weather_model(f, "idle", 3, 2);
    assert_ok(f, fixture_infer(f, scene->slow));
    assert_ok(f, fixture_infer(f, scene->idle));
    fixture_advance(f, 1); /* both may leave */
    gate_shut(f, &scene->gate, MMI_ECHO_DETACH, "slow");
    assert_ok(f, mm_unregister(f->mesh, scene->slow, &f->err));
    gate_wait_arrived(&scene->gate, 1);
}

static void close_scene(struct scene *scene) {
    gate_open(&scene->gate);
    fixture_close(&scene->f);
}

/* "MM_NO_WAIT: only if it is idle ...; its detaching is waited for" */
static void test_an_idle_model_is_evicted_beside_it(void **state) {
    (void)state;
    struct scene scene;
    open_scene(&scene);
    assert_ok(&scene.f, mm_evict(scene.f.mesh, scene.idle, MM_NO_WAIT, &scene.f.err));
    assert_ok(&scene.f, fixture_infer(&scene.f, scene.idle));
    assert_ok(&scene.f, mm_evict(scene.f.mesh, scene.idle, 0, &scene.f.err));
    assert_int_equal(fixture_device(&scene.f, "host").used_bytes, MIB);
    close_scene(&scene);
}

/* It is waited for while it has not taken longer than the grace, then who is idle leaves. */
static void test_a_budget_takes_who_is_idle(void **state) {
    (void)state;
    struct scene scene;
    open_scene(&scene);
    fixture_advance(&scene.f, 10 * MS_NS);
    assert_ok(&scene.f, mm_device_set_budget(scene.f.mesh, "host", 3 * MIB, &scene.f.err));
    assert_int_equal(weather_state(&scene.f, scene.idle), MM_STATE_COLD);
    close_scene(&scene);
}

static void test_a_budget_spares_who_is_idle(void **state) {
    (void)state;
    struct scene scene;
    open_scene(&scene);
    gate_open(&scene.gate);
    assert_ok(&scene.f,
              mm_device_set_budget(scene.f.mesh, "host", 3 * MIB + MIB / 2, &scene.f.err));
    assert_int_equal(weather_state(&scene.f, scene.idle), MM_STATE_READY);
    close_scene(&scene);
}

struct shrinking {
    struct fixture *f;
    pthread_t thread;
    mm_status status;
};

static void *shrink(void *ctx) {
    struct shrinking *shrinking = ctx;
    shrinking->status = mm_device_set_budget(shrinking->f->mesh, "host", 2 * MIB, NULL);
    return NULL;
}

/* Nobody else is there who could leave: it takes as long as the detach does. */
static void test_a_budget_waits_for_what_it_needs(void **state) {
    (void)state;
    struct fixture f;
    struct gate gate;
    weather_open(&f, "host", 6 * MIB);
    mm_model_spec spec =
        fixture_spec(&f, "slow", "gated", "weights_bytes 3m\ncheck 0\nversion slow\n");
    mm_model slow = fixture_register(&f, &spec);
    assert_ok(&f, fixture_infer(&f, slow));
    gate_shut(&f, &gate, MMI_ECHO_DETACH, "slow");
    assert_ok(&f, mm_unregister(f.mesh, slow, &f.err));
    gate_wait_arrived(&gate, 1);
    fixture_advance(&f, S_NS); /* the grace is over */
    struct shrinking shrinking = {.f = &f, .status = MM_NONE};
    assert_int_equal(pthread_create(&shrinking.thread, NULL, shrink, &shrinking), 0);
    usleep(20000);
    gate_open(&gate);
    pthread_join(shrinking.thread, NULL);
    assert_int_equal(shrinking.status, MM_OK);
    fixture_close(&f);
}

static void test_memory_for_values_takes_who_is_idle(void **state) {
    (void)state;
    struct scene scene;
    void *memory = NULL;
    open_scene(&scene);
    assert_ok(&scene.f,
              mm_device_alloc(scene.f.mesh, MM_ON_DEVICE(0), 3 * MIB, &memory, &scene.f.err));
    assert_int_equal(weather_state(&scene.f, scene.idle), MM_STATE_COLD);
    assert_int_equal(mm_device_free(scene.f.mesh, MM_ON_DEVICE(0), memory), MM_OK);
    close_scene(&scene);
}

/* "with an idle victim it succeeds at once": without waiting, and for no longer than the grace. */
static void test_activations_take_who_is_idle(void **state) {
    (void)state;
    for (int no_wait = 0; no_wait < 2; no_wait++) {
        struct scene scene;
        open_scene(&scene);
        struct fixture *f = &scene.f;
        mm_model wide = fixture_echo(f, "wide",
                                     "weights_bytes 1m\ncheck 0\nactivation_per_element "
                                     "512k\nseed 3\n");
        mm_load(f->mesh, wide, NULL, NULL, &f->err);
        fixture_advance(f, 10 * MS_NS);
        struct asker asker = {.f = f, .model = wide, .deadline_ns = no_wait ? MM_NO_WAIT : 0};
        assert_ok(f, asker_ask(&asker));
        assert_int_equal(weather_state(f, scene.idle), MM_STATE_COLD);
        close_scene(&scene);
    }
}

struct eviction {
    struct fixture *f;
    mm_model model;
    pthread_t thread;
    mm_status status;
};

static void *evict(void *ctx) {
    struct eviction *eviction = ctx;
    eviction->status = mm_evict(eviction->f->mesh, eviction->model, 0, NULL);
    return NULL;
}

/* Nothing is left that a pin could keep. */
static void test_a_pin_does_not_end_an_eviction_that_is_done(void **state) {
    (void)state;
    struct fixture f;
    struct gate gate;
    fixture_open(&f, NULL);
    mm_model model = fixture_gated(&f, "m", "weights_bytes 64k\nversion m\n");
    assert_ok(&f, fixture_infer(&f, model));
    gate_shut(&f, &gate, MMI_ECHO_DETACH, "m");
    struct eviction eviction = {&f, model, .status = MM_NONE};
    assert_int_equal(pthread_create(&eviction.thread, NULL, evict, &eviction), 0);
    gate_wait_arrived(&gate, 1);
    assert_int_equal(mm_pin(f.mesh, model), MM_OK);
    gate_open(&gate);
    pthread_join(eviction.thread, NULL);
    assert_int_equal(eviction.status, MM_OK);
    assert_int_equal(weather_state(&f, model), MM_STATE_COLD);
    assert_int_equal(fixture_info(&f, model).evictions, 1);
    fixture_close(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_idle_model_is_evicted_beside_it),
        cmocka_unit_test(test_a_budget_takes_who_is_idle),
        cmocka_unit_test(test_a_budget_spares_who_is_idle),
        cmocka_unit_test(test_a_budget_waits_for_what_it_needs),
        cmocka_unit_test(test_memory_for_values_takes_who_is_idle),
        cmocka_unit_test(test_activations_take_who_is_idle),
        cmocka_unit_test(test_a_pin_does_not_end_an_eviction_that_is_done),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
