/* SPDX-License-Identifier: Apache-2.0 */
/* What the mesh promises about who is in memory: semantics of loads, victims, pins, deadlines. */
#include "fixture.h"

#include <errno.h>
#include <sched.h>
#include <string.h>

#define MODEL_5M "weights_bytes 5m\ncheck 0\n"

static void test_cold_then_hot(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    mm_model model = fixture_add(&f, "m", "weights_bytes 1m\nseed 7\n");
    bool hit = true;
    assert_int_equal(fixture_info(&f, model).state, MM_STATE_COLD);
    assert_int_equal(fixture_infer_until(&f, model, 7, 0, &hit), MM_OK);
    assert_false(hit);
    assert_int_equal(fixture_infer_until(&f, model, 7, 0, &hit), MM_OK);
    assert_true(hit);
    mm_model_info info = fixture_info(&f, model);
    assert_int_equal(info.state, MM_STATE_READY);
    assert_int_equal(info.loads, 1);
    assert_int_equal(info.requests, 2);
    assert_int_equal(info.hits, 1);
    assert_int_equal(mm_evict(f.mesh, model, MM_NO_WAIT, &f.err), MM_OK);
    assert_int_equal(fixture_info(&f, model).state, MM_STATE_COLD);
    assert_int_equal(fixture_device(&f, 0).used_bytes, 0);
    fixture_close(&f);
}

/* Least recently used leaves first; a hit counts as a use. */
static void test_lru_order(void **state) {
    (void)state;
    struct fixture f;
    mm_mesh_options options = MM_MESH_OPTIONS_INIT;
    options.min_residency_ns = 1;
    fixture_open(&f, &options);
    mm_model m[4];
    const char *names[4] = {"a", "b", "c", "d"};
    for (int i = 0; i < 4; i++) {
        m[i] = fixture_add(&f, names[i], MODEL_5M);
    }
    for (int i = 0; i < 3; i++) {
        assert_int_equal(fixture_infer(&f, m[i], -1), MM_OK);
        fixture_advance(&f, MS);
    }
    assert_int_equal(fixture_infer(&f, m[0], -1), MM_OK);
    fixture_advance(&f, MS);
    assert_int_equal(fixture_infer(&f, m[3], -1), MM_OK);
    assert_int_equal(fixture_info(&f, m[0]).state, MM_STATE_READY);
    assert_int_equal(fixture_info(&f, m[1]).state, MM_STATE_COLD);
    assert_int_equal(fixture_info(&f, m[2]).state, MM_STATE_READY);
    assert_int_equal(
        fixture_events(&f, "evict model=b device=host bytes=5242880", "for=d reason=budget"), 1);
    fixture_close(&f);
}

/* A class leaves before the one above it, whatever was used last; a request displaces its own class
 * or below. */
static void test_classes(void **state) {
    (void)state;
    struct fixture f;
    mm_mesh_options options = MM_MESH_OPTIONS_INIT;
    options.min_residency_ns = 1;
    fixture_open(&f, &options);
    mm_model high = fixture_add(&f, "high", MODEL_5M);
    mm_model low = fixture_add(&f, "low", MODEL_5M);
    mm_model normal = fixture_add(&f, "normal", MODEL_5M);
    mm_model next = fixture_add(&f, "next", MODEL_5M);
    mm_set_class(f.mesh, high, MM_CLASS_HIGH);
    mm_set_class(f.mesh, low, MM_CLASS_LOW);
    mm_model order[] = {high, normal, low};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(fixture_infer(&f, order[i], -1), MM_OK);
        fixture_advance(&f, MS);
    }
    assert_int_equal(fixture_infer(&f, next, -1), MM_OK);
    assert_int_equal(fixture_info(&f, low).state, MM_STATE_COLD);
    mm_set_class(f.mesh, next, MM_CLASS_HIGH);
    mm_set_class(f.mesh, normal, MM_CLASS_HIGH);
    assert_int_equal(fixture_infer(&f, low, -1), MM_ALL_PINNED);
    assert_int_equal(fixture_info(&f, high).state, MM_STATE_READY);
    assert_int_equal(fixture_stats(&f).evictions, 1);
    fixture_close(&f);
}

/* Pins: never chosen; MM_ALL_PINNED with both numbers, nobody evicted; evict is MM_PINNED. */
static void test_pins(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    mm_model a = fixture_add(&f, "a", "weights_bytes 9m\ncheck 0\n");
    mm_model b = fixture_add(&f, "b", "weights_bytes 9m\ncheck 0\n");
    assert_int_equal(mm_pin(f.mesh, a), MM_OK);
    assert_int_equal(fixture_info(&f, a).state, MM_STATE_COLD);
    assert_int_equal(fixture_infer(&f, a, -1), MM_OK);
    fixture_advance(&f, 1000 * MS);
    assert_int_equal(fixture_infer(&f, b, -1), MM_ALL_PINNED);
    assert_true(f.err.needed_bytes >= 9 * MIB);
    assert_int_equal(mm_evict(f.mesh, a, MM_NO_WAIT, &f.err), MM_PINNED);
    assert_int_equal(fixture_info(&f, a).state, MM_STATE_READY);
    assert_int_equal(mm_unpin(f.mesh, a), MM_OK);
    assert_int_equal(fixture_infer(&f, b, -1), MM_OK);
    assert_int_equal(fixture_info(&f, a).state, MM_STATE_COLD);
    fixture_close(&f);
}

/* Larger than every device: both numbers, nobody evicted. */
static void test_too_large(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    mm_model small = fixture_add(&f, "small", MODEL_5M);
    mm_model large = fixture_add(&f, "large", "weights_bytes 17m\ncheck 0\n");
    assert_int_equal(fixture_infer(&f, small, -1), MM_OK);
    assert_int_equal(fixture_infer(&f, large, -1), MM_TOO_LARGE);
    assert_int_equal(f.err.available_bytes, 16 * MIB);
    assert_int_equal(f.err.needed_bytes, 17 * MIB);
    assert_int_equal(fixture_info(&f, small).state, MM_STATE_READY);
    assert_int_equal(fixture_stats(&f).evictions, 0);
    fixture_close(&f);
}

/* A past deadline starts nothing; MM_NO_WAIT only if hot; a deadline bounds the wait, not the
 * load. */
static void test_deadlines(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    mm_model model = fixture_add_gated(&f, "m", "weights_bytes 1m\nseed 3\n");
    assert_int_equal(fixture_infer_until(&f, model, 3, WORLD_START_NS - 1, NULL), MM_DEADLINE);
    assert_int_equal(fixture_infer_until(&f, model, 3, MM_NO_WAIT, NULL), MM_NOT_RESIDENT);
    assert_int_equal(fixture_stats(&f).prepares, 0);
    gate_close(&f, MMI_ECHO_ATTACH);
    struct caller caller = {0};
    caller_start(&caller, &f, model, 3, WORLD_START_NS + 50 * MS);
    gate_wait(&f, MMI_ECHO_ATTACH, 1);
    fixture_advance(&f, 60 * MS);
    assert_int_equal(caller_join(&caller), MM_DEADLINE);
    assert_int_equal(fixture_info(&f, model).state, MM_STATE_LOADING);
    gate_open(&f, MMI_ECHO_ATTACH);
    assert_int_equal(fixture_infer(&f, model, 3), MM_OK);
    assert_int_equal(fixture_info(&f, model).loads, 1);
    assert_int_equal(fixture_infer_until(&f, model, 3, MM_NO_WAIT, NULL), MM_OK);
    fixture_close(&f);
}

/* One load however many wait. */
static void test_single_flight(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    mm_model model = fixture_add_gated(&f, "m", "weights_bytes 1m\nseed 4\n");
    gate_close(&f, MMI_ECHO_ATTACH);
    struct caller callers[6] = {0};
    for (int i = 0; i < 6; i++) {
        caller_start(&callers[i], &f, model, 4, 0);
    }
    wait_queued(&f, 6);
    gate_open(&f, MMI_ECHO_ATTACH);
    for (int i = 0; i < 6; i++) {
        assert_int_equal(caller_join(&callers[i]), MM_OK);
    }
    assert_int_equal(fixture_info(&f, model).loads, 1);
    assert_int_equal(fixture_info(&f, model).leases, 0);
    fixture_close(&f);
}

/* Evict: MM_NO_WAIT = if idle, else MM_BUSY and unchanged; else it waits, and at the deadline the
 * model serves on. */
static void test_evict_busy(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    mm_model model = fixture_add_gated(&f, "m", "weights_bytes 1m\nseed 5\n");
    assert_int_equal(mm_evict(f.mesh, model, MM_NO_WAIT, &f.err), MM_OK);
    gate_close(&f, MMI_ECHO_INFER);
    struct caller caller = {0};
    caller_start(&caller, &f, model, 5, 0);
    gate_wait(&f, MMI_ECHO_INFER, 1);
    assert_int_equal(mm_evict(f.mesh, model, MM_NO_WAIT, &f.err), MM_BUSY);
    assert_int_equal(fixture_info(&f, model).state, MM_STATE_READY);
    assert_int_equal(fixture_info(&f, model).leases, 1);
    gate_open(&f, MMI_ECHO_INFER);
    assert_int_equal(caller_join(&caller), MM_OK);
    assert_int_equal(mm_evict(f.mesh, model, fixture_after(&f, 1000 * MS), &f.err), MM_OK);
    assert_int_equal(fixture_info(&f, model).state, MM_STATE_COLD);
    fixture_close(&f);
}

struct evictor {
    struct fixture *f;
    mm_model model;
    mm_status status;
};

static void *run_evictor(void *ctx) {
    struct evictor *evictor = ctx;
    evictor->status =
        mm_evict(evictor->f->mesh, evictor->model, fixture_after(evictor->f, 100 * MS), NULL);
    return NULL;
}

static bool is_draining(void *ctx) {
    struct evictor *evictor = ctx;
    return fixture_info(evictor->f, evictor->model).state == MM_STATE_DRAINING;
}

static void test_evict_at_its_deadline(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    mm_model model = fixture_add_gated(&f, "m", "weights_bytes 1m\nseed 5\n");
    gate_close(&f, MMI_ECHO_INFER);
    struct caller running = {0}, queued = {0};
    caller_start(&running, &f, model, 5, 0);
    gate_wait(&f, MMI_ECHO_INFER, 1);
    struct evictor evictor = {&f, model, MM_OK};
    pthread_t thread;
    pthread_create(&thread, NULL, run_evictor, &evictor);
    wait_until(is_draining, &evictor);
    caller_start(&queued, &f, model, 5, 0); /* refused a lease: it waits */
    wait_queued(&f, 2);
    fixture_advance(&f, 200 * MS);
    pthread_join(thread, NULL);
    assert_int_equal(evictor.status, MM_DEADLINE);
    gate_open(&f, MMI_ECHO_INFER);
    assert_int_equal(caller_join(&running), MM_OK);
    assert_int_equal(caller_join(&queued), MM_OK);
    assert_int_equal(fixture_info(&f, model).loads, 1);
    fixture_close(&f);
}

/* A load that only leased models could make room for waits a grace, then drains the cheapest set;
 * their new requests queue and are served afterwards. */
static void test_grace_and_drain(void **state) {
    (void)state;
    struct fixture f;
    mm_mesh_options options = MM_MESH_OPTIONS_INIT;
    options.min_residency_ns = 1;
    fixture_open(&f, &options);
    mm_model a = fixture_add_gated(&f, "a", "weights_bytes 9m\ncheck 0\nseed 1\n");
    mm_model b = fixture_add(&f, "b", "weights_bytes 9m\ncheck 0\nseed 2\n");
    gate_close(&f, MMI_ECHO_INFER);
    struct caller on_a = {0}, on_b = {0}, again = {0};
    caller_start(&on_a, &f, a, 1, 0);
    gate_wait(&f, MMI_ECHO_INFER, 1);
    fixture_advance(&f, MS);
    caller_start(&on_b, &f, b, 2, 0);
    wait_queued(&f, 1);
    assert_int_equal(fixture_info(&f, a).state, MM_STATE_READY);
    fixture_advance(&f, 11 * MS); /* the grace is 10 ms, from when the load was looked at */
    struct evictor seen = {&f, a, MM_OK};
    while (!is_draining(&seen)) {
        fixture_advance(&f, MS);
        sched_yield();
    }
    caller_start(&again, &f, a, 1, 0);
    wait_queued(&f, 2);
    gate_open(&f, MMI_ECHO_INFER);
    assert_int_equal(caller_join(&on_a), MM_OK);
    assert_int_equal(caller_join(&on_b), MM_OK);
    fixture_advance(&f, 1000 * MS);
    assert_int_equal(caller_join(&again), MM_OK);
    assert_int_equal(fixture_info(&f, a).loads, 2);
    fixture_close(&f);
}

/* Memory for activations: one reserve a device; an input too large for what is left is refused, the
 * instance stays, the next normal request succeeds; with an idle victim it succeeds at once. */
static void test_activations(void **state) {
    (void)state;
    struct fixture f;
    mm_mesh_options options = MM_MESH_OPTIONS_INIT;
    options.min_residency_ns = 1;
    fixture_open(&f, &options);
    mm_model a = fixture_add(
        &f, "a", "weights_bytes 9m\ncheck 0\nactivation_bytes 64k\nactivation_per_element 1m\n");
    mm_model b = fixture_add(&f, "b", "weights_bytes 2m\ncheck 0\n");
    assert_int_equal(mm_pin(f.mesh, a), MM_OK);
    assert_int_equal(fixture_infer(&f, a, -1), MM_OK); /* 4 elements: 4 MiB */
    assert_true(fixture_device(&f, 0).reserve_bytes >= 4 * MIB);
    assert_int_equal(fixture_infer(&f, b, -1), MM_OK);
    fixture_advance(&f, MS);
    float x[16] = {0};
    mm_value in = {
        .name = "x", .dtype = MM_F32, .rank = 2, .shape = {1, 6}, .data = x, .bytes = 24};
    mm_request request = MM_REQUEST_INIT;
    request.inputs = &in;
    request.input_count = 1;
    mm_response response = MM_RESPONSE_INIT;
    assert_int_equal(mm_infer(f.mesh, a, &request, &response, &f.err), MM_OK);
    assert_int_equal(fixture_info(&f, b).state, MM_STATE_COLD);
    mm_response_free(&response);
    in.shape[1] = 16;
    in.bytes = 64;
    assert_int_equal(mm_infer(f.mesh, a, &request, &response, &f.err), MM_NO_ROOM_FOR_ACTIVATIONS);
    assert_true(f.err.needed_bytes > f.err.available_bytes);
    assert_int_equal(fixture_info(&f, a).state, MM_STATE_READY);
    assert_int_equal(fixture_infer(&f, a, -1), MM_OK);
    fixture_close(&f);
}

/* Failures are remembered with growing back-off; a load with RETRY clears them. */
static void test_failures(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    mm_model model = fixture_add(&f, "m", "weights_bytes 1m\nfail_attach 3 MM_IO\nseed 2\n");
    assert_int_equal(fixture_infer(&f, model, 2), MM_IO);
    assert_int_equal(fixture_infer(&f, model, 2), MM_IO);
    assert_int_equal(f.err.retry_after_ns, 100 * MS);
    assert_int_equal(fixture_info(&f, model).state, MM_STATE_FAILED);
    assert_int_equal(fixture_stats(&f).load_failures, 1);
    fixture_advance(&f, 101 * MS);
    assert_int_equal(fixture_infer(&f, model, 2), MM_IO);
    assert_int_equal(fixture_stats(&f).load_failures, 2);
    assert_int_equal(fixture_infer(&f, model, 2), MM_IO);
    assert_int_equal(f.err.retry_after_ns, 200 * MS);
    mm_async retry = MM_ASYNC_INIT;
    retry.flags = MM_ASYNC_RETRY;
    assert_int_equal(mm_load(f.mesh, model, &retry, NULL, &f.err), MM_IO);
    assert_int_equal(mm_load(f.mesh, model, &retry, NULL, &f.err), MM_OK);
    assert_int_equal(fixture_infer(&f, model, 2), MM_OK);
    fixture_close(&f);
}

/* With a load blocked, resident models are served without one contended lock. */
static void test_loads_do_not_disturb(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    mm_model hot = fixture_add(&f, "hot", "weights_bytes 1m\nseed 1\n");
    mm_model cold = fixture_add_gated(&f, "cold", "weights_bytes 1m\nseed 2\n");
    assert_int_equal(fixture_infer(&f, hot, 1), MM_OK);
    gate_close(&f, MMI_ECHO_ATTACH);
    struct caller caller = {0};
    caller_start(&caller, &f, cold, 2, 0);
    gate_wait(&f, MMI_ECHO_ATTACH, 1);
    wait_queued(&f, 1);
    uint64_t contended = f.mesh->res.lock.contended;
    for (int i = 0; i < 10000; i++) {
        assert_int_equal(fixture_infer(&f, hot, 1), MM_OK);
    }
    assert_int_equal(f.mesh->res.lock.contended, contended);
    gate_open(&f, MMI_ECHO_ATTACH);
    assert_int_equal(caller_join(&caller), MM_OK);
    fixture_close(&f);
}

/* Idle time: evicted after it, not before; the memory is back. */
static bool is_cold(void *ctx) {
    struct evictor *evictor = ctx;
    return fixture_info(evictor->f, evictor->model).state == MM_STATE_COLD;
}

static void test_idle_time(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    mm_model_spec spec = fixture_spec(&f, "m", "echo", "weights_bytes 1m\nseed 6\n");
    spec.idle_ttl_ns = 1000 * MS;
    mm_model model;
    assert_int_equal(mm_register(f.mesh, &spec, &model, &f.err), MM_OK);
    assert_int_equal(fixture_infer(&f, model, 6), MM_OK);
    fixture_advance(&f, 900 * MS);
    assert_int_equal(fixture_infer(&f, model, 6), MM_OK);
    fixture_advance(&f, 900 * MS);
    assert_int_equal(fixture_info(&f, model).state, MM_STATE_READY);
    fixture_advance(&f, 200 * MS);
    wait_until(is_cold, &(struct evictor){&f, model, MM_OK});
    assert_int_equal(fixture_events(&f, "evict model=m", "reason=idle"), 1);
    fixture_close(&f);
}

/* Several devices: a load goes where it fits, else where eviction costs least. */
static void test_placement(void **state) {
    (void)state;
    struct fixture f;
    mm_device_options devices[2] = {MM_DEVICE_OPTIONS_INIT, MM_DEVICE_OPTIONS_INIT};
    devices[0].name = "sim/pod1";
    devices[0].budget_bytes = 8 * MIB;
    devices[1].name = "sim/pod2";
    devices[1].budget_bytes = 8 * MIB;
    mm_mesh_options options = MM_MESH_OPTIONS_INIT;
    options.devices = devices;
    options.device_count = 2;
    fixture_open(&f, &options);
    mm_model a = fixture_add(&f, "a", "weights_bytes 6m\nseed 1\n");
    mm_model b = fixture_add(&f, "b", "weights_bytes 6m\nseed 2\n");
    mm_model c = fixture_add(&f, "c", "weights_bytes 2m\nseed 3\n");
    assert_int_equal(fixture_infer(&f, a, 1), MM_OK);
    assert_int_equal(fixture_infer(&f, b, 2), MM_OK);
    assert_int_equal(fixture_infer(&f, c, 3), MM_OK);
    assert_string_not_equal(fixture_info(&f, a).device, fixture_info(&f, b).device);
    assert_int_equal(fixture_stats(&f).evictions, 0);
    fixture_close(&f);
}

/* A lost device takes its instances down; their models load elsewhere. */
static void test_lost_device(void **state) {
    (void)state;
    struct fixture f;
    mm_device_options devices[2] = {MM_DEVICE_OPTIONS_INIT, MM_DEVICE_OPTIONS_INIT};
    devices[0].name = "sim/pod1";
    devices[0].budget_bytes = 16 * MIB;
    devices[1].name = "sim/pod2";
    devices[1].budget_bytes = 8 * MIB;
    mm_mesh_options options = MM_MESH_OPTIONS_INIT;
    options.devices = devices;
    options.device_count = 2;
    fixture_open(&f, &options);
    mm_model a = fixture_add(&f, "a", "weights_bytes 3m\nseed 1\n");
    mm_model b = fixture_add(&f, "b", "weights_bytes 3m\nseed 2\n");
    assert_int_equal(fixture_infer(&f, a, 1), MM_OK);
    assert_string_equal(fixture_info(&f, a).device, "pod1");
    world_fault(&f.world, "device", 1, ENODEV); /* pod1 has most room, so b's load finds out */
    assert_int_equal(fixture_infer(&f, b, 2), MM_OK);
    assert_string_equal(fixture_info(&f, b).device, "pod2");
    assert_int_equal(fixture_infer(&f, a, 1), MM_OK);
    assert_string_equal(fixture_info(&f, a).device, "pod2");
    assert_int_equal(fixture_device(&f, 0).lost, 1);
    fixture_close(&f);
}

/* Out of memory on a device: one wider plan, one retry. */
static void test_out_of_memory(void **state) {
    (void)state;
    struct fixture f;
    mm_mesh_options options = MM_MESH_OPTIONS_INIT;
    options.min_residency_ns = 1;
    fixture_open(&f, &options);
    mm_model a = fixture_add(&f, "a", MODEL_5M);
    mm_model b = fixture_add(&f, "b", MODEL_5M);
    assert_int_equal(fixture_infer(&f, a, -1), MM_OK);
    fixture_advance(&f, MS);
    assert_int_equal(mm_prepare(f.mesh, b, NULL, NULL, &f.err), MM_OK);
    world_fault(&f.world, "device", 1, ENOMEM);
    assert_int_equal(fixture_infer(&f, b, -1), MM_OK);
    assert_int_equal(fixture_stats(&f).load_failures, 0);
    fixture_close(&f);
}

struct level {
    struct fixture *f;
    uint64_t bytes;
};

static bool no_more_than(void *ctx) {
    struct level *level = ctx;
    return world_live_bytes(&level->f->world) <= level->bytes;
}

/* Loads and evictions again and again: what the mesh holds is the same at the end of each. */
static void test_no_growth(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    mm_model m[3];
    const char *names[3] = {"a", "b", "c"};
    for (int i = 0; i < 3; i++) {
        m[i] = fixture_add(&f, names[i], "weights_bytes 300k\ncheck 0\n");
    }
    uint64_t live = 0;
    for (int round = 0; round < 100; round++) {
        for (int i = 0; i < 3; i++) {
            assert_int_equal(fixture_infer(&f, m[i], -1), MM_OK);
            assert_int_equal(mm_evict(f.mesh, m[i], MM_NO_WAIT, &f.err), MM_OK);
        }
        if (round == 1) {
            live = world_live_bytes(&f.world);
        }
    }
    struct level level = {&f, live}; /* an executor may hold a few bytes for a moment longer */
    wait_until(no_more_than, &level);
    assert_int_equal(fixture_device(&f, 0).weights_bytes, 0);
    fixture_close(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cold_then_hot),
        cmocka_unit_test(test_lru_order),
        cmocka_unit_test(test_classes),
        cmocka_unit_test(test_pins),
        cmocka_unit_test(test_too_large),
        cmocka_unit_test(test_deadlines),
        cmocka_unit_test(test_single_flight),
        cmocka_unit_test(test_evict_busy),
        cmocka_unit_test(test_evict_at_its_deadline),
        cmocka_unit_test(test_grace_and_drain),
        cmocka_unit_test(test_activations),
        cmocka_unit_test(test_failures),
        cmocka_unit_test(test_loads_do_not_disturb),
        cmocka_unit_test(test_idle_time),
        cmocka_unit_test(test_placement),
        cmocka_unit_test(test_lost_device),
        cmocka_unit_test(test_out_of_memory),
        cmocka_unit_test(test_no_growth),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
