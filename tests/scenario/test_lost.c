/* SPDX-License-Identifier: Apache-2.0 */
/* Devices that fail or run out of memory, and where loads go when there are several. */
#include "weather.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* ---- Lost ------------------------------------------------------------------------------------ */

static void open_pods(struct fixture *f, uint64_t first_bytes, uint64_t second_bytes) {
    mm_device_options devices[2] = {fixture_host("sim/pod1", first_bytes),
                                    fixture_host("sim/pod2", second_bytes)};
    mm_mesh_options options = MM_MESH_OPTIONS_INIT;
    options.devices = devices;
    options.device_count = 2;
    options.min_residency_ns = 1;
    fixture_open(f, &options);
}

static bool is_lost(struct fixture *f, const char *name) {
    return fixture_device(f, name).lost;
}

/* "a device fails in the middle of a load: retryable status; the other devices serve" */
static void test_device_lost_at_any_call_of_a_load(void **state) {
    (void)state;
    bool hit = true;
    for (uint64_t nth = 1; hit; nth++) {
        struct fixture f;
        open_pods(&f, 32 * MIB, 16 * MIB);
        mm_model stays = weather_model(&f, "stays", 3, 1);
        mm_model_spec spec = fixture_spec(&f, "other", "echo", "weights_bytes 3m\nseed 2\n");
        spec.device = "pod2";
        mm_model other = fixture_register(&f, &spec);
        assert_ok(&f, fixture_infer(&f, stays));
        assert_string_equal(fixture_info(&f, stays).device, "pod1");
        assert_ok(&f, fixture_infer(&f, other));
        mm_model loads = fixture_echo(
            &f, "loads", "weights_bytes 9m\nactivation_bytes 3m\nscratch_more 2m\nseed 3\n");
        fixture_advance(&f, MS_NS); /* all of them may leave */
        world_fault(&f.world, "device", nth, ENODEV);
        mm_status status = fixture_infer(&f, loads);
        hit = world_failed(&f.world);
        world_fault(&f.world, NULL, 0, 0);
        if (status != MM_OK) { /* load and run go elsewhere by themselves */
            fail_msg("call %u: %s: %s", (unsigned)nth, mm_status_name(status), f.err.text);
        }
        assert_int_equal(is_lost(&f, "pod1"), hit);
        assert_false(is_lost(&f, "pod2"));
        mm_model all[3] = {other, loads, stays}; /* not all at once, where pod2 is all there is */
        for (int i = 0; i < 3; i++) {
            fixture_advance(&f, MS_NS);
            assert_ok(&f, fixture_infer(&f, all[i]));
            assert_string_equal(fixture_info(&f, all[i]).device, hit || i == 0 ? "pod2" : "pod1");
        }
        fixture_close(&f);
    }
}

/* "... or a run": it runs again elsewhere, and counts once */
static void test_device_lost_in_the_middle_of_a_run(void **state) {
    (void)state;
    struct fixture f;
    open_pods(&f, 32 * MIB, 16 * MIB);
    mm_model runs = fixture_echo(&f, "runs", "weights_bytes 3m\nactivation_bytes 3m\nseed 1\n");
    mm_model stays = weather_model(&f, "stays", 3, 2);
    assert_ok(&f, mm_load(f.mesh, runs, NULL, NULL, &f.err));
    assert_ok(&f, fixture_infer(&f, stays));
    assert_string_equal(fixture_info(&f, runs).device, "pod1");
    assert_string_equal(fixture_info(&f, stays).device, "pod1");
    world_fault(&f.world, "device", 1, ENODEV); /* the next call: scratch of this run */
    assert_ok(&f, fixture_infer(&f, runs));
    assert_true(is_lost(&f, "pod1"));
    assert_int_equal(fixture_info(&f, runs).requests, 1);
    assert_int_equal(fixture_stats(&f).failed, 0);
    assert_int_equal(fixture_events_of(&f, "device_lost", "runs"), 1);
    assert_int_equal(fixture_events_of(&f, "device_lost", "stays"), 1);
    assert_ok(&f, fixture_infer(&f, runs));
    assert_ok(&f, fixture_infer(&f, stays));
    assert_string_equal(fixture_info(&f, runs).device, "pod2");
    fixture_close(&f);
}

/* "LOST from anywhere, then DETACHING once its leases are gone": who runs meanwhile finishes */
static void test_runs_on_a_lost_device_finish_before_it_is_left(void **state) {
    (void)state;
    struct fixture f;
    open_pods(&f, 32 * MIB, 16 * MIB);
    mm_model runs = weather_gated(&f, "runs", 3, 1);
    mm_model loads = weather_model(&f, "loads", 3, 2);
    struct gate infer, detach;
    gate_shut(&f, &infer, MMI_ECHO_INFER, "runs");
    gate_count(&f, &detach, MMI_ECHO_DETACH, "runs");
    struct caller caller;
    caller_start(&caller, &f, runs);
    gate_wait_arrived(&infer, 1);
    world_fault(&f.world, "device", 1, ENODEV);
    assert_ok(&f, fixture_infer(&f, loads));
    assert_true(is_lost(&f, "pod1"));
    assert_int_equal(gate_arrived(&detach), 0);
    gate_open(&infer);
    assert_int_equal(caller_join(&caller), MM_OK);
    gate_wait_arrived(&detach, 1);
    assert_ok(&f, fixture_infer(&f, runs));
    assert_string_equal(fixture_info(&f, runs).device, "pod2");
    fixture_close(&f);
}

/* A backend that says that a device was lost is not believed: the device is asked. Its model has
 * failed, and nobody else. */
static void test_a_backend_that_lies_about_its_device(void **state) {
    (void)state;
    struct fixture f;
    open_pods(&f, 32 * MIB, 16 * MIB);
    mm_model stays = weather_model(&f, "stays", 3, 2);
    mm_model loads = fixture_echo(&f, "loads", "fail_attach 1 MM_DEVICE_LOST\n");
    mm_model runs = fixture_echo(&f, "runs", "fail_infer 1 MM_DEVICE_LOST\n");
    assert_ok(&f, fixture_infer(&f, stays));
    assert_status(&f, fixture_infer(&f, loads), MM_BACKEND_FAILED);
    assert_non_null(strstr(f.err.text, "says that device pod1 was lost, which it is not"));
    assert_status(&f, fixture_infer(&f, loads), MM_BACKEND_FAILED); /* remembered */
    assert_int_equal(fixture_events_of(&f, "load_begin", "loads"), 1);
    assert_status(&f, fixture_infer(&f, runs), MM_BACKEND_FAILED);
    assert_non_null(strstr(f.err.text, "says that device pod1 was lost, which it is not"));
    assert_ok(&f, fixture_infer(&f, runs));
    fixture_advance(&f, 100 * S_NS); /* beyond the back-off */
    assert_ok(&f, fixture_infer(&f, loads));
    assert_ok(&f, fixture_infer(&f, stays));
    assert_int_equal(fixture_stats(&f).loads, 3);
    assert_false(is_lost(&f, "pod1"));
    assert_int_equal(fixture_events(&f, "device_lost", NULL, NULL), 0);
    fixture_close(&f);
}

/* A device that cannot be asked just now is not lost either. */
static void test_a_device_that_cannot_be_asked(void **state) {
    (void)state;
    struct fixture f;
    open_pods(&f, 32 * MIB, 16 * MIB);
    mm_model runs = fixture_echo(&f, "runs", "fail_infer 1 MM_DEVICE_LOST\n");
    assert_ok(&f, mm_load(f.mesh, runs, NULL, NULL, &f.err));
    struct asker asker = {.f = &f, .model = runs};
    world_fault(&f.world, "device", 2, ENOMEM); /* after the run's stream was opened: the probe */
    assert_int_equal(asker_ask(&asker), MM_BACKEND_FAILED);
    assert_true(world_failed(&f.world));
    assert_false(is_lost(&f, "pod1"));
    assert_ok(&f, fixture_infer(&f, runs));
    fixture_close(&f);
}

/* It says so because it is so: only the backend has seen it. */
struct death {
    struct fixture *f;
    bool died;
};

static mm_status dies(void *user, mm_error *err) {
    struct death *death = user;
    if (death->died) {
        return MM_OK;
    }
    death->died = true;
    world_fault(&death->f->world, "device", 1, ENODEV); /* the probe */
    return mmi_fail(err, MM_DEVICE_LOST, "it does not answer");
}

/* A load goes elsewhere by itself, a run too. */
static void check_death_in(enum mmi_echo_slot slot) {
    struct fixture f;
    open_pods(&f, 32 * MIB, 16 * MIB);
    mm_model stays = weather_model(&f, "stays", 3, 2);
    mm_model dying = weather_gated(&f, "dying", 3, 1);
    assert_ok(&f, fixture_infer(&f, stays));
    struct death death = {.f = &f};
    struct gate gate = {0};
    gate_count(&f, &gate, slot, "dying");
    gate.inside = dies;
    gate.user = &death;
    assert_ok(&f, fixture_infer(&f, dying));
    assert_true(is_lost(&f, "pod1"));
    assert_int_equal(fixture_events_of(&f, "device_lost", "stays"), 1);
    assert_ok(&f, fixture_infer(&f, dying));
    assert_ok(&f, fixture_infer(&f, stays));
    assert_string_equal(fixture_info(&f, dying).device, "pod2");
    assert_string_equal(fixture_info(&f, stays).device, "pod2");
    fixture_close(&f);
}

static void test_a_backend_that_tells_the_truth(void **state) {
    (void)state;
    check_death_in(MMI_ECHO_INFER);
    check_death_in(MMI_ECHO_ATTACH);
}

/* The only device is lost: MM_DEVICE_LOST for all, no waiting. */
static void test_the_last_device_is_lost(void **state) {
    (void)state;
    struct fixture f;
    weather_open(&f, "sim", 16 * MIB);
    mm_model a = weather_model(&f, "a", 3, 1), b = weather_model(&f, "b", 3, 2);
    assert_ok(&f, fixture_infer(&f, a));
    world_fault(&f.world, "device", 1, ENODEV);
    assert_status(&f, fixture_infer(&f, b), MM_DEVICE_LOST);
    assert_status(&f, fixture_infer(&f, a), MM_DEVICE_LOST);
    assert_non_null(strstr(f.err.text, "model a"));
    fixture_close(&f);
}

/* ---- Out of memory --------------------------------------------------------------------------- */

/* "Out of memory on a device: one wider plan, one retry": an idle model leaves, it succeeds */
static void test_out_of_memory_is_retried_with_a_wider_plan(void **state) {
    (void)state;
    struct fixture f;
    weather_open(&f, "sim", 16 * MIB);
    mm_model idle = weather_model(&f, "idle", 6, 1), loads = weather_model(&f, "loads", 6, 2);
    assert_ok(&f, fixture_infer(&f, idle));
    fixture_advance(&f, MS_NS);
    assert_ok(&f, mm_prepare(f.mesh, loads, NULL, NULL, &f.err));
    world_fault(&f.world, "device", 1, ENOMEM);
    assert_ok(&f, fixture_infer(&f, loads));
    assert_true(world_failed(&f.world));
    assert_int_equal(weather_state(&f, idle), MM_STATE_COLD);
    assert_int_equal(fixture_events(&f, "evict", "model=idle", "reason=memory"), 1);
    assert_int_equal(fixture_stats(&f).load_failures, 0);
    fixture_close(&f);
}

/* The wider plan is one for what there is: a model of more than half the device gets its retry. */
static void test_out_of_memory_of_a_large_model_is_retried(void **state) {
    (void)state;
    struct fixture f;
    weather_open(&f, "sim", 16 * MIB);
    mm_model idle = weather_model(&f, "idle", 2, 1), loads = weather_model(&f, "loads", 12, 2);
    assert_ok(&f, fixture_infer(&f, idle));
    fixture_advance(&f, MS_NS);
    assert_ok(&f, mm_prepare(f.mesh, loads, NULL, NULL, &f.err));
    world_fault(&f.world, "device", 1, ENOMEM);
    assert_ok(&f, fixture_infer(&f, loads));
    assert_int_equal(fixture_info(&f, loads).weights_bytes, 12 * MIB);
    fixture_close(&f);
}

/* ... and so does one without weights. */
static void test_out_of_memory_of_a_model_without_weights_is_retried(void **state) {
    (void)state;
    struct fixture f;
    weather_open(&f, "sim", 16 * MIB);
    mm_model model = fixture_echo(&f, "m", "fail_attach 1 MM_NO_MEMORY\nseed 1\n");
    assert_ok(&f, fixture_infer(&f, model));
    assert_int_equal(fixture_events_of(&f, "load_begin", "m"), 2);
    fixture_close(&f);
}

/* "... one retry, then failure remembered" with back-off; a load with RETRY clears it */
static void test_out_of_memory_twice_is_a_remembered_failure(void **state) {
    (void)state;
    struct fixture f;
    struct weather weather = {0};
    mm_device_options device;
    mm_mesh_options options = weather_options(&device, "sim", 16 * MIB);
    fixture_open(&f, NULL);
    weather_reopen(&f, &options, 0, &weather);
    mm_model model = weather_model(&f, "m", 3, 1);
    assert_ok(&f, mm_prepare(f.mesh, model, NULL, NULL, &f.err));
    atomic_store(&weather.device_errnum, ENOMEM);
    assert_status(&f, fixture_infer(&f, model), MM_NO_MEMORY);
    assert_int_equal(fixture_stats(&f).load_failures, 1);
    assert_int_equal(fixture_events_of(&f, "load_begin", "m"), 2);
    atomic_store(&weather.device_errnum, 0);
    assert_status(&f, fixture_infer(&f, model), MM_NO_MEMORY); /* remembered */
    assert_true(f.err.retry_after_ns > 0);
    assert_int_equal(fixture_events_of(&f, "load_begin", "m"), 2);
    assert_int_equal(weather_state(&f, model), MM_STATE_FAILED);
    mm_async retry = MM_ASYNC_INIT;
    retry.flags = MM_ASYNC_RETRY;
    assert_ok(&f, mm_load(f.mesh, model, &retry, NULL, &f.err));
    assert_ok(&f, fixture_infer(&f, model));
    assert_int_equal(fixture_device(&f, "sim").used_bytes, 4 * MIB);
    fixture_close(&f);
}

/* ---- Placement ------------------------------------------------------------------------------- */

static mm_status attach_takes_long(void *user, mm_error *err) {
    (void)err;
    fixture_advance(user, 50 * MS_NS);
    return MM_OK;
}

/* "a load goes where it fits, else where eviction costs least" */
static void test_load_goes_where_it_fits_else_where_eviction_costs_least(void **state) {
    (void)state;
    struct fixture f;
    open_pods(&f, 16 * MIB, 16 * MIB);
    struct gate gate;
    gate_count(&f, &gate, MMI_ECHO_ATTACH, "dear");
    gate.user = &f;
    gate.inside = attach_takes_long;
    mm_model dear = weather_gated(&f, "dear", 12, 1), cheap = weather_model(&f, "cheap", 12, 2);
    assert_ok(&f, fixture_infer(&f, dear));
    fixture_advance(&f, 200 * MS_NS);
    assert_ok(&f, fixture_infer(&f, cheap)); /* where it fits */
    assert_string_not_equal(fixture_info(&f, dear).device, fixture_info(&f, cheap).device);
    fixture_advance(&f, 200 * MS_NS); /* `dear` was used longest ago */
    mm_model small = weather_model(&f, "small", 2, 3), large = weather_model(&f, "large", 12, 4);
    assert_ok(&f, fixture_infer(&f, small));
    assert_int_equal(fixture_stats(&f).evictions, 0);
    fixture_advance(&f, 200 * MS_NS);
    assert_ok(&f, fixture_infer(&f, large));
    assert_int_equal(weather_state(&f, cheap), MM_STATE_COLD);
    assert_int_equal(weather_state(&f, dear), MM_STATE_READY);
    fixture_close(&f);
}

/* "spec.device: else that one": it stays there even when another one has room */
static void test_a_named_device_is_the_only_one(void **state) {
    (void)state;
    struct fixture f;
    open_pods(&f, 8 * MIB, 32 * MIB);
    mm_model models[2];
    for (unsigned i = 0; i < 2; i++) {
        char script[64];
        snprintf(script, sizeof(script), "weights_bytes 6m\ncheck 0\nseed %u\n", i);
        mm_model_spec spec = fixture_spec(&f, i ? "b" : "a", "echo", script);
        spec.device = "pod1";
        models[i] = fixture_register(&f, &spec);
        assert_ok(&f, fixture_infer(&f, models[i]));
        assert_string_equal(fixture_info(&f, models[i]).device, "pod1");
        fixture_advance(&f, MS_NS);
    }
    assert_int_equal(weather_state(&f, models[0]), MM_STATE_COLD);
    fixture_close(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_device_lost_at_any_call_of_a_load),
        cmocka_unit_test(test_device_lost_in_the_middle_of_a_run),
        cmocka_unit_test(test_runs_on_a_lost_device_finish_before_it_is_left),
        cmocka_unit_test(test_a_backend_that_lies_about_its_device),
        cmocka_unit_test(test_a_device_that_cannot_be_asked),
        cmocka_unit_test(test_a_backend_that_tells_the_truth),
        cmocka_unit_test(test_the_last_device_is_lost),
        cmocka_unit_test(test_out_of_memory_is_retried_with_a_wider_plan),
        cmocka_unit_test(test_out_of_memory_of_a_large_model_is_retried),
        cmocka_unit_test(test_out_of_memory_of_a_model_without_weights_is_retried),
        cmocka_unit_test(test_out_of_memory_twice_is_a_remembered_failure),
        cmocka_unit_test(test_load_goes_where_it_fits_else_where_eviction_costs_least),
        cmocka_unit_test(test_a_named_device_is_the_only_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
