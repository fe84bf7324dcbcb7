/* SPDX-License-Identifier: Apache-2.0 */
/* A load beside runs that hold, one after the other, the room that it needs. */
#include "weather.h"

#include <unistd.h>

#define RUNS 4u
#define ASKERS 16u

/* 6 MiB: busy has 2 of them and 1 more in each run, cold needs 2. Four run, the others wait for one
 * of these to end: when a few have, cold is loaded before the rest of them. */
static void test_a_load_comes_to_its_turn_between_runs(void **state) {
    (void)state;
    struct fixture f;
    struct gate gate;
    mm_device_options device;
    mm_mesh_options options = weather_options(&device, "host", 6 * MIB);
    fixture_open(&f, &options);
    mm_model_spec spec = fixture_spec(
        &f, "busy", "gated", "weights_bytes 2m\ncheck 0\nactivation_bytes 1m\nversion busy\n");
    mm_model busy = fixture_register(&f, &spec), cold = weather_model(&f, "cold", 2, 1);
    assert_ok(&f, fixture_infer(&f, busy));
    gate_shut(&f, &gate, MMI_ECHO_INFER, "busy");
    struct asker askers[ASKERS];
    for (unsigned i = 0; i < ASKERS; i++) {
        askers[i] = (struct asker){.f = &f, .model = busy};
        asker_start(&askers[i]);
    }
    gate_wait_arrived(&gate, RUNS);
    struct caller caller;
    caller_start(&caller, &f, cold);
    fixture_until_queued(&f, cold, 1);
    fixture_until_state(&f, cold, MM_STATE_LOADING);
    fixture_advance(&f, 10 * MS_NS);
    unsigned passed = 0;
    while (!caller_ended(&caller) && passed < 8) {
        gate_pass(&gate, 1);
        gate_wait_arrived(&gate, RUNS + passed / 2); /* at least every other one is followed */
        passed++;
        for (int i = 0; i < 20 && !caller_ended(&caller); i++) {
            fixture_advance(&f, MS_NS);
            usleep(1000);
        }
    }
    assert_true(caller_ended(&caller));
    assert_int_equal(caller_join(&caller), MM_OK);
    assert_int_equal(weather_state(&f, busy), MM_STATE_READY);
    gate_open(&gate);
    for (unsigned i = 0; i < ASKERS; i++) {
        assert_int_equal(asker_join(&askers[i]), MM_OK);
    }
    fixture_close(&f);
}

/* 7 MiB, both pinned: two runs of `long` hold 4, and cold waits for one of these to end. There is
 * room for a run of `other`, which gets it now and then. */
static void test_long_runs_do_not_stall_others(void **state) {
    (void)state;
    struct fixture f;
    struct gate gate;
    mm_device_options device;
    mm_mesh_options options = weather_options(&device, "host", 7 * MIB);
    fixture_open(&f, &options);
    mm_model_spec spec = fixture_spec(
        &f, "long", "gated", "weights_bytes 1m\ncheck 0\nactivation_bytes 2m\nversion long\n");
    mm_model longs = fixture_register(&f, &spec);
    mm_model other =
        fixture_echo(&f, "other", "weights_bytes 512k\ncheck 0\nactivation_bytes 1m\n");
    mm_model cold = weather_model(&f, "cold", 3, 1);
    assert_ok(&f, fixture_infer(&f, longs));
    assert_ok(&f, fixture_infer(&f, other));
    assert_int_equal(mm_pin(f.mesh, longs), MM_OK);
    assert_int_equal(mm_pin(f.mesh, other), MM_OK);
    gate_shut(&f, &gate, MMI_ECHO_INFER, "long");
    struct asker askers[2] = {{.f = &f, .model = longs}, {.f = &f, .model = longs}};
    asker_start(&askers[0]);
    asker_start(&askers[1]);
    gate_wait_arrived(&gate, 2);
    struct caller on_cold, on_other;
    caller_start(&on_cold, &f, cold);
    fixture_until_queued(&f, cold, 1);
    fixture_until_state(&f, cold, MM_STATE_LOADING);
    fixture_advance(&f, 10 * MS_NS);
    caller_start(&on_other, &f, other);
    assert_int_equal(caller_join(&on_other), MM_OK); /* while the long ones run */
    assert_false(caller_ended(&on_cold));
    gate_open(&gate);
    assert_int_equal(caller_join(&on_cold), MM_OK);
    assert_int_equal(asker_join(&askers[0]), MM_OK);
    assert_int_equal(asker_join(&askers[1]), MM_OK);
    fixture_close(&f);
}

/* On a device of chunks a small block of scratch is the room that runs need, though it shares its
 * chunk: both models and a run of either fit into 6 MiB. */
static void test_small_scratch_is_counted_once(void **state) {
    (void)state;
    struct fixture f;
    mm_device_options device;
    mm_mesh_options options = weather_options(&device, "sim", 6 * MIB);
    fixture_open(&f, &options);
    static const char script[] = "weights_bytes 2m\ncheck 0\nactivation_bytes 10\n";
    mm_model a = fixture_echo(&f, "a", script), b = fixture_echo(&f, "b", script);
    assert_ok(&f, fixture_infer(&f, a));
    assert_ok(&f, fixture_infer(&f, b));
    assert_int_equal(weather_state(&f, a), MM_STATE_READY);
    assert_int_equal(fixture_device(&f, "sim").evictions, 0);
    assert_ok(&f, mm_evict(f.mesh, b, MM_NO_WAIT, &f.err));
    assert_ok(&f, mm_device_set_budget(f.mesh, "sim", 4 * MIB, &f.err));
    assert_ok(&f, fixture_infer(&f, a));
    fixture_close(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_load_comes_to_its_turn_between_runs),
        cmocka_unit_test(test_long_runs_do_not_stall_others),
        cmocka_unit_test(test_small_scratch_is_counted_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
