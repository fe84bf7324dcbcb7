/* SPDX-License-Identifier: Apache-2.0 */
/* What fits: models, memory for activations, what is evicted and not yet needed. */
#include "weather.h"

#include <string.h>

/* ---- Too large ------------------------------------------------------------------------------- */

/* "larger than every device: MM_TOO_LARGE, both numbers, nobody evicted" */
static void test_too_large_for_every_device_evicts_nobody(void **state) {
    (void)state;
    struct fixture f;
    mm_device_options devices[2] = {fixture_host("host/a", 8 * MIB),
                                    fixture_host("host/b", 16 * MIB)};
    mm_mesh_options options = MM_MESH_OPTIONS_INIT;
    options.devices = devices;
    options.device_count = 2;
    fixture_open(&f, &options);
    mm_model small[2] = {weather_model(&f, "s", 7, 1), weather_model(&f, "t", 15, 2)};
    assert_ok(&f, fixture_infer(&f, small[1]));
    assert_ok(&f, fixture_infer(&f, small[0]));
    mm_model large = weather_model(&f, "large", 17, 3);
    assert_status(&f, fixture_infer(&f, large), MM_TOO_LARGE);
    assert_int_equal(f.err.needed_bytes, 17 * MIB);
    assert_int_equal(f.err.available_bytes, 16 * MIB);
    assert_non_null(strstr(f.err.text, "17825792"));
    assert_non_null(strstr(f.err.text, "16777216"));
    assert_int_equal(fixture_stats(&f).evictions, 0);
    assert_int_equal(weather_state(&f, small[0]), MM_STATE_READY);
    assert_int_equal(weather_state(&f, small[1]), MM_STATE_READY);
    fixture_close(&f);
}

/* ---- Activations ----------------------------------------------------------------------------- */

#define WIDE_MODEL "check 0\nactivation_per_element 1k\nseed 1\n"

/* "weights all pinned to the last byte, then an input 10x larger: MM_NO_ROOM_FOR_ACTIVATIONS,
 * instance READY, the next normal request succeeds" */
static void test_wide_input_beside_pinned_weights_is_refused(void **state) {
    (void)state;
    struct fixture f;
    weather_open(&f, "host", 16 * MIB);
    /* 4 elements take the last page. */
    mm_model a = fixture_echo(&f, "a", "weights_bytes 8384512\n" WIDE_MODEL);
    mm_model b = weather_model(&f, "b", 8, 2);
    mm_model models[2] = {a, b};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(mm_pin(f.mesh, models[i]), MM_OK);
        assert_ok(&f, fixture_infer(&f, models[i]));
    }
    assert_int_equal(fixture_device(&f, "host").used_bytes, 16 * MIB);
    for (int i = 0; i < 3; i++) {
        assert_status(&f, weather_infer_wide(&f, a, 40), MM_NO_ROOM_FOR_ACTIVATIONS);
        assert_int_equal(f.err.needed_bytes, 40 * 1024);
        assert_true(f.err.available_bytes < 40 * 1024);
        assert_int_equal(weather_state(&f, a), MM_STATE_READY);
        assert_ok(&f, fixture_infer(&f, a));
    }
    assert_int_equal(fixture_stats(&f).evictions, 0);
    assert_int_equal(fixture_info(&f, a).loads, 1);
    fixture_close(&f);
}

/* A request that no device has room for is refused before the model is loaded, and is nothing to
 * the next one. So is one for which there is no room for now. */
static void test_a_wide_first_request_spoils_nothing(void **state) {
    (void)state;
    struct fixture f;
    weather_open(&f, "host", 16 * MIB);
    mm_model a = fixture_echo(&f, "a", "weights_bytes 4m\n" WIDE_MODEL);
    mm_model b = weather_model(&f, "b", 8, 2);
    assert_status(&f, weather_infer_wide(&f, a, 40 * 1024), MM_TOO_LARGE);
    assert_int_equal(f.err.available_bytes, 16 * MIB);
    assert_true(f.err.needed_bytes >= 44 * MIB);
    assert_int_equal(fixture_info(&f, a).loads, 0);
    assert_ok(&f, fixture_infer(&f, a));
    assert_ok(&f, mm_evict(f.mesh, a, MM_NO_WAIT, &f.err));
    mm_model c = fixture_echo(&f, "c", "weights_bytes 4m\n" WIDE_MODEL);
    assert_int_equal(mm_pin(f.mesh, b), MM_OK);
    assert_ok(&f, fixture_infer(&f, b));
    assert_status(&f, weather_infer_wide(&f, c, 8 * 1024), MM_ALL_PINNED);
    assert_ok(&f, fixture_infer(&f, c));
    fixture_close(&f);
}

/* "... with an idle victim it succeeds at once" */
/* What a backend says of a typical request is a guess: no reason to refuse a load whose own
 * requests may be smaller. */
static void test_a_guess_refuses_no_load(void **state) {
    (void)state;
    struct fixture f;
    weather_open(&f, "host", 16 * MIB);
    mm_model model = fixture_echo(&f, "m", "weights_bytes 4m\ncheck 0\nactivation_bytes 64m\n");
    mm_model idle = weather_model(&f, "idle", 8, 1);
    assert_ok(&f, fixture_infer(&f, idle));
    assert_ok(&f, mm_load(f.mesh, model, NULL, NULL, &f.err));
    assert_int_equal(weather_state(&f, model), MM_STATE_READY);
    assert_int_equal(weather_state(&f, idle), MM_STATE_READY);
    mm_model small = weather_model(&f, "small", 2, 2); /* nothing is kept free for the guess */
    assert_ok(&f, fixture_infer(&f, small));
    assert_int_equal(weather_state(&f, model), MM_STATE_READY);
    assert_int_equal(weather_state(&f, idle), MM_STATE_READY);
    assert_status(&f, fixture_infer(&f, model), MM_NO_ROOM_FOR_ACTIVATIONS); /* this one is not */
    assert_int_equal(weather_state(&f, model), MM_STATE_READY);
    fixture_close(&f);
}

static void test_wide_input_displaces_an_idle_model(void **state) {
    (void)state;
    struct fixture f;
    weather_open(&f, "host", 16 * MIB);
    mm_model a = fixture_echo(&f, "a", "weights_bytes 8384512\n" WIDE_MODEL);
    mm_model b = weather_model(&f, "b", 8, 2);
    assert_int_equal(mm_pin(f.mesh, a), MM_OK);
    assert_ok(&f, fixture_infer(&f, a));
    assert_ok(&f, fixture_infer(&f, b));
    fixture_advance(&f, MS_NS);
    assert_ok(&f, weather_infer_wide(&f, a, 40));
    assert_int_equal(weather_state(&f, b), MM_STATE_COLD);
    assert_int_equal(fixture_events(&f, "evict", "model=b", "reason=activations"), 1);
    fixture_close(&f);
}

/* "Each device keeps one reserve: the largest execution high-water mark among its residents (before
 * a first run: the backend's estimate)" */
static void test_reserve_follows_the_residents(void **state) {
    (void)state;
    struct fixture f;
    weather_open(&f, "host", 16 * MIB);
    mm_model a = fixture_echo(&f, "a", "weights_bytes 1m\nactivation_bytes 2m\nseed 1\n");
    mm_model b = fixture_echo(&f, "b",
                              "weights_bytes 1m\nactivation_bytes 1m\n"
                              "activation_per_element 1m\nseed 2\n");
    assert_ok(&f, mm_load(f.mesh, a, NULL, NULL, &f.err));
    assert_int_equal(fixture_device(&f, "host").reserve_bytes, 2 * MIB);
    assert_int_equal(fixture_device(&f, "host").scratch_bytes, 0);
    assert_ok(&f, mm_load(f.mesh, b, NULL, NULL, &f.err));
    assert_int_equal(fixture_device(&f, "host").reserve_bytes, 2 * MIB);
    assert_ok(&f, fixture_infer(&f, b)); /* measured: 1 + 4 MiB */
    assert_int_equal(fixture_device(&f, "host").reserve_bytes, 5 * MIB);
    assert_int_equal(fixture_info(&f, b).activation_bytes, 5 * MIB);
    assert_ok(&f, mm_evict(f.mesh, b, MM_NO_WAIT, &f.err));
    assert_int_equal(fixture_device(&f, "host").reserve_bytes, 2 * MIB);
    /* 1 MiB of weights and 2 of reserve are kept: 13 fit, 14 do not without a's leaving. */
    mm_model fits = weather_model(&f, "fits", 13, 3);
    assert_ok(&f, fixture_infer(&f, fits));
    assert_int_equal(fixture_stats(&f).evictions, 1);
    assert_ok(&f, fixture_infer(&f, a)); /* the reserve was really there */
    assert_int_equal(fixture_stats(&f).evictions, 1);
    assert_ok(&f, mm_evict(f.mesh, fits, MM_NO_WAIT, &f.err));
    fixture_advance(&f, MS_NS);
    mm_model more = weather_model(&f, "more", 14, 4);
    assert_ok(&f, fixture_infer(&f, more));
    assert_int_equal(weather_state(&f, a), MM_STATE_COLD);
    fixture_close(&f);
}

/* "more only while executing": one run after another shares the scratch, runs at once have their
 * own; what is beyond the reserve goes before any model does. */
static void test_scratch_is_shared_and_trimmed_first(void **state) {
    (void)state;
    struct fixture f;
    weather_open(&f, "host", 16 * MIB);
    static const char script[] = "weights_bytes 1m\nactivation_bytes 4m\nseed 5\nversion a\n";
    mm_model a = fixture_gated(&f, "a", script);
    mm_model b = fixture_echo(&f, "b", "weights_bytes 1m\nactivation_bytes 4m\nseed 6\n");
    assert_ok(&f, mm_load(f.mesh, a, NULL, NULL, &f.err));
    assert_ok(&f, fixture_infer(&f, b));
    assert_int_equal(fixture_device(&f, "host").scratch_bytes, 4 * MIB);
    struct gate gate;
    gate_shut(&f, &gate, MMI_ECHO_INFER, "a");
    struct caller callers[2];
    caller_start(&callers[0], &f, a);
    gate_wait_arrived(&gate, 1);
    assert_int_equal(fixture_device(&f, "host").scratch_bytes, 4 * MIB);
    caller_start(&callers[1], &f, a);
    gate_wait_arrived(&gate, 2);
    assert_int_equal(fixture_device(&f, "host").scratch_bytes, 8 * MIB);
    assert_int_equal(fixture_device(&f, "host").reserve_bytes, 4 * MIB);
    gate_open(&gate);
    assert_int_equal(caller_join(&callers[0]), MM_OK);
    assert_int_equal(caller_join(&callers[1]), MM_OK);
    mm_model c = weather_model(&f, "c", 8, 7);
    assert_ok(&f, fixture_infer(&f, c)); /* 1 + 1 + 8 + the reserve of 4 */
    assert_int_equal(fixture_stats(&f).evictions, 0);
    assert_int_equal(fixture_device(&f, "host").scratch_bytes, 4 * MIB);
    fixture_close(&f);
}

/* ---- Reclaimable ----------------------------------------------------------------------------- */

/* a (6 MiB) is leased and drains on request, b (6 MiB) is idle; c (12 MiB) needs both. */
struct reclaim {
    struct fixture f;
    mm_model a, b, c;
    struct gate gate;
    struct caller on_a, on_c;
    pthread_t evictor;
};

static void *evict_a(void *ctx) {
    struct reclaim *reclaim = ctx;
    mm_evict(reclaim->f.mesh, reclaim->a, 0, NULL);
    return NULL;
}

static void reclaim_begin(struct reclaim *r, bool idle_evict) {
    mm_device_options device;
    mm_mesh_options options = weather_options(&device, "host", 16 * MIB);
    options.idle_evict = idle_evict;
    fixture_open(&r->f, &options);
    r->a = weather_gated(&r->f, "a", 6, 1);
    r->b = weather_model(&r->f, "b", 6, 2);
    r->c = weather_model(&r->f, "c", 12, 3);
    gate_shut(&r->f, &r->gate, MMI_ECHO_INFER, "a");
    assert_ok(&r->f, fixture_infer(&r->f, r->b));
    caller_start(&r->on_a, &r->f, r->a);
    gate_wait_arrived(&r->gate, 1);
    fixture_advance(&r->f, MS_NS);
    pthread_create(&r->evictor, NULL, evict_a, r);
    fixture_until_state(&r->f, r->a, MM_STATE_DRAINING);
    assert_ok(&r->f, mm_prepare(r->f.mesh, r->c, NULL, NULL, &r->f.err));
    caller_start(&r->on_c, &r->f, r->c);
    fixture_until_state(&r->f, r->c, MM_STATE_LOADING);
}

static void reclaim_end(struct reclaim *r) {
    gate_open(&r->gate);
    assert_int_equal(caller_join(&r->on_a), MM_OK);
    assert_int_equal(caller_join(&r->on_c), MM_OK);
    pthread_join(r->evictor, NULL);
    fixture_close(&r->f);
}

/* "RECLAIMABLE: demand returns: READY, no I/O"; "MM_RESPONSE_HIT: resident (or reclaimable)" */
static void test_reclaimable_comes_back_without_io(void **state) {
    (void)state;
    struct reclaim r;
    reclaim_begin(&r, false);
    fixture_until_state(&r.f, r.b, MM_STATE_RECLAIMABLE);
    assert_int_equal(fixture_device(&r.f, "host").reclaimable_bytes, 6 * MIB);
    uint64_t loaded = fixture_stats(&r.f).bytes_loaded;
    struct asker asker = {.f = &r.f, .model = r.b};
    assert_int_equal(asker_ask(&asker), MM_OK);
    assert_true(asker.flags & MM_RESPONSE_HIT);
    assert_int_equal(fixture_stats(&r.f).bytes_loaded, loaded);
    assert_int_equal(fixture_stats(&r.f).revivals, 1);
    assert_int_equal(fixture_info(&r.f, r.b).loads, 1);
    assert_int_equal(fixture_events_of(&r.f, "revive", "b"), 1);
    fixture_until_state(&r.f, r.b, MM_STATE_RECLAIMABLE); /* again: the load still wants it */
    reclaim_end(&r);
}

/* Demand is a request or a load. Who only asks about the model brings nothing back. */
static void test_looking_at_a_reclaimable_model_leaves_it(void **state) {
    (void)state;
    struct reclaim r;
    reclaim_begin(&r, false);
    fixture_until_state(&r.f, r.b, MM_STATE_RECLAIMABLE);
    float x[4] = {0};
    mm_value input = {
        .name = "x", .dtype = MM_F32, .rank = 2, .shape = {1, 4}, .data = x, .bytes = sizeof(x)};
    mm_value outputs[2];
    mm_request request = MM_REQUEST_INIT;
    request.inputs = &input;
    request.input_count = 1;
    uint32_t count;
    mm_model_description *description;
    assert_ok(&r.f, mm_model_describe(r.f.mesh, r.b, 0, &description, &r.f.err));
    mm_description_free(description);
    assert_ok(&r.f, mm_prepare(r.f.mesh, r.b, NULL, NULL, &r.f.err));
    assert_ok(&r.f, mm_output_bytes(r.f.mesh, r.b, &request, outputs, NULL, 2, &count, &r.f.err));
    assert_int_equal(fixture_info(&r.f, r.b).state, MM_STATE_RECLAIMABLE);
    assert_int_equal(fixture_stats(&r.f).revivals, 0);
    reclaim_end(&r);
}

/* "idle_evict 1: hand evicted bytes back at once instead of when they are wanted" */
static void test_idle_evict_hands_bytes_back_at_once(void **state) {
    (void)state;
    struct reclaim r;
    reclaim_begin(&r, true);
    fixture_until_state(&r.f, r.b, MM_STATE_COLD);
    assert_int_equal(fixture_device(&r.f, "host").reclaimable_bytes, 0);
    assert_int_equal(fixture_device(&r.f, "host").used_bytes, 6 * MIB);
    assert_int_equal(fixture_events_of(&r.f, "detach", "b"), 1);
    reclaim_end(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_too_large_for_every_device_evicts_nobody),
        cmocka_unit_test(test_wide_input_beside_pinned_weights_is_refused),
        cmocka_unit_test(test_a_wide_first_request_spoils_nothing),
        cmocka_unit_test(test_a_guess_refuses_no_load),
        cmocka_unit_test(test_wide_input_displaces_an_idle_model),
        cmocka_unit_test(test_reserve_follows_the_residents),
        cmocka_unit_test(test_scratch_is_shared_and_trimmed_first),
        cmocka_unit_test(test_reclaimable_comes_back_without_io),
        cmocka_unit_test(test_looking_at_a_reclaimable_model_leaves_it),
        cmocka_unit_test(test_idle_evict_hands_bytes_back_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
