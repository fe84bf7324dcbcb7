/* SPDX-License-Identifier: Apache-2.0 */
/* Several copies of a model: when they come, who is asked, when they leave. */
#include "weather.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#define MOST_PODS 3

/* Pods of so many MiB; 0 = not there. */
static void open_pods(struct fixture *f, uint64_t first, uint64_t second, uint64_t third) {
    mm_device_options devices[MOST_PODS] = {fixture_host("sim/pod1", first * MIB),
                                            fixture_host("sim/pod2", second * MIB),
                                            fixture_host("sim/pod3", third * MIB)};
    mm_mesh_options options = MM_MESH_OPTIONS_INIT;
    options.devices = devices;
    options.device_count = third ? 3 : 2;
    options.min_residency_ns = 1;
    fixture_open(f, &options);
}

/* A model of 4 MiB; `lines` go into its script too. */
static mm_model_spec spec_of(struct fixture *f, const char *name, const char *lines,
                             uint32_t replicas, uint32_t least) {
    char script[256];
    snprintf(script, sizeof(script), "weights_bytes 4m\ncheck 0\nversion %s\n%s", name, lines);
    mm_model_spec spec = fixture_spec(f, name, "gated", script);
    spec.replicas = replicas;
    spec.min_replicas = least;
    return spec;
}

static mm_model add(struct fixture *f, const char *name, uint32_t replicas, uint32_t least) {
    mm_model_spec spec = spec_of(f, name, "", replicas, least);
    return fixture_register(f, &spec);
}

/* One request at a time on each copy. */
static mm_model add_serial(struct fixture *f, const char *name, uint32_t replicas) {
    mm_model_spec spec = spec_of(f, name, "", replicas, 0);
    spec.max_concurrency = 1;
    return fixture_register(f, &spec);
}

/* The only copy there may be, on this pod. */
static mm_model add_on(struct fixture *f, const char *name, const char *pod) {
    mm_model_spec spec = spec_of(f, name, "", 0, 0);
    spec.device = pod;
    return fixture_register(f, &spec);
}

/* ---- Looking --------------------------------------------------------------------------------- */

struct copies {
    mm_copy_info at[MOST_PODS];
    uint32_t count, ready;
};

static struct copies copies_of(struct fixture *f, mm_model model) {
    struct copies copies = {0};
    mm_model_info info = MM_MODEL_INFO_INIT;
    info.copies = copies.at;
    info.copy_capacity = MOST_PODS;
    assert_int_equal(mm_model_info_get(f->mesh, model, &info), MM_OK);
    copies.count = info.copy_count;
    for (uint32_t i = 0; i < info.copy_count && i < MOST_PODS; i++) {
        copies.ready += copies.at[i].state == MM_STATE_READY;
    }
    return copies;
}

static const mm_copy_info *copy_on(const struct copies *copies, const char *pod) {
    for (uint32_t i = 0; i < copies->count; i++) {
        if (strcmp(copies->at[i].device, pod) == 0) {
            return &copies->at[i];
        }
    }
    return NULL;
}

struct wish {
    struct fixture *f;
    mm_model model;
    uint32_t ready;
};

static bool are_ready(void *ctx) {
    struct wish *wish = ctx;
    struct copies copies = copies_of(wish->f, wish->model);
    return copies.ready == wish->ready && copies.count == wish->ready;
}

static void until_ready(struct fixture *f, mm_model model, uint32_t ready) {
    fixture_pass_time_until(f, are_ready, &(struct wish){f, model, ready});
    fixture_advance(f, MS_NS); /* all of them may leave */
}

/* Callers that wait inside the backend, one by one. */
static void start_inside(struct fixture *f, struct caller *callers, uint32_t count, mm_model model,
                         struct gate *gate) {
    unsigned before = gate_arrived(gate);
    for (uint32_t i = 0; i < count; i++) {
        caller_start(&callers[i], f, model);
        gate_wait_arrived(gate, before + i + 1);
    }
}

static void join_all(struct caller *callers, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        assert_int_equal(caller_join(&callers[i]), MM_OK);
    }
}

/* As many copies, by requests that queue at this gate. */
static void spread(struct fixture *f, struct gate *infer, mm_model model, uint32_t count) {
    struct caller callers[MOST_PODS];
    start_inside(f, callers, count, model, infer);
    gate_open(infer);
    join_all(callers, count);
    assert_int_equal(copies_of(f, model).ready, count);
}

/* ---- Coming ---------------------------------------------------------------------------------- */

/* "min_replicas: copies once it is resident" */
static void test_the_least_comes_by_itself(void **state) {
    (void)state;
    for (uint32_t least = 2; least <= 3; least++) {
        struct fixture f;
        open_pods(&f, 16, 16, 16);
        mm_model model = add(&f, "m", 3, least);
        assert_int_equal(copies_of(&f, model).count, 0); /* registering loads nothing */
        assert_ok(&f, fixture_infer(&f, model));
        until_ready(&f, model, least);
        struct copies copies = copies_of(&f, model);
        for (uint32_t i = 1; i < copies.count; i++) {
            assert_string_not_equal(copies.at[i].device, copies.at[i - 1].device);
        }
        for (int i = 0; i < 9; i++) {
            fixture_advance(&f, 200 * MS_NS);
            assert_ok(&f, fixture_infer(&f, model));
        }
        assert_int_equal(fixture_stats(&f).loads, least);
        fixture_close(&f);
    }
}

/* "... when requests queue": not before */
static void test_without_a_queue_there_is_one(void **state) {
    (void)state;
    struct fixture f;
    open_pods(&f, 16, 16, 16);
    mm_model model = add_serial(&f, "m", 3);
    for (int i = 0; i < 9; i++) {
        assert_ok(&f, fixture_infer(&f, model));
        fixture_advance(&f, 200 * MS_NS);
    }
    assert_int_equal(copies_of(&f, model).count, 1);
    assert_int_equal(fixture_stats(&f).loads, 1);
    fixture_close(&f);
}

/* "another copy is loaded when requests queue": up to `replicas`, each takes one */
static void test_a_queue_brings_copies(void **state) {
    (void)state;
    struct fixture f;
    open_pods(&f, 16, 16, 16);
    mm_model model = add_serial(&f, "m", 3);
    struct gate infer;
    struct caller callers[4];
    gate_shut(&f, &infer, MMI_ECHO_INFER, "m");
    start_inside(&f, callers, 3, model, &infer);
    struct copies copies = copies_of(&f, model);
    assert_int_equal(copies.ready, 3);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(copies.at[i].leases, 1);
    }
    caller_start(&callers[3], &f, model);
    fixture_until_queued(&f, model, 1);
    gate_open(&infer);
    join_all(callers, 4);
    assert_int_equal(fixture_stats(&f).loads, 3);
    fixture_close(&f);
}

/* One a device: more than there are devices are as many as there are. */
static void test_more_than_devices(void **state) {
    (void)state;
    struct fixture f;
    open_pods(&f, 16, 16, 0);
    mm_model model = add(&f, "m", 9, 9);
    assert_ok(&f, fixture_infer(&f, model));
    until_ready(&f, model, 2);
    for (int i = 0; i < 9; i++) {
        fixture_advance(&f, 200 * MS_NS);
        assert_ok(&f, fixture_infer(&f, model));
    }
    assert_int_equal(fixture_stats(&f).loads, 2);
    fixture_close(&f);
}

static mm_status fails_later(void *user, mm_error *err) {
    return ++*(unsigned *)user == 1 ? MM_OK : mmi_fail(err, MM_BACKEND_FAILED, "not here");
}

/* A further copy that cannot be loaded is nobody's failure. */
static void test_a_copy_that_fails_to_load(void **state) {
    (void)state;
    struct fixture f;
    open_pods(&f, 16, 16, 0);
    mm_model model = add(&f, "m", 2, 2);
    struct gate attach;
    unsigned calls = 0;
    gate_count(&f, &attach, MMI_ECHO_ATTACH, "m");
    attach.inside = fails_later;
    attach.user = &calls;
    for (int i = 0; i < 9; i++) {
        assert_ok(&f, fixture_infer(&f, model));
        fixture_advance(&f, 10 * MS_NS);
    }
    assert_int_equal(fixture_stats(&f).failed, 0);
    assert_int_equal(fixture_info(&f, model).state, MM_STATE_READY);
    fixture_close(&f);
}

/* ---- Room ------------------------------------------------------------------------------------ */

/* "a spare copy is the first to leave", before one that was used longer ago */
static void test_a_spare_copy_leaves_first(void **state) {
    (void)state;
    struct fixture f;
    open_pods(&f, 8, 13, 0);
    mm_model other = add_on(&f, "other", "pod2"), model = add_serial(&f, "m", 2);
    assert_ok(&f, fixture_infer(&f, other));
    fixture_advance(&f, MS_NS);
    struct gate infer;
    gate_shut(&f, &infer, MMI_ECHO_INFER, "m");
    spread(&f, &infer, model, 2);
    fixture_advance(&f, MS_NS);
    mm_model comes[2] = {add_on(&f, "c1", "pod2"), add_on(&f, "c2", "pod2")};
    assert_ok(&f, fixture_infer(&f, comes[0])); /* there is room for three */
    assert_int_equal(copies_of(&f, model).ready, 2);
    fixture_advance(&f, MS_NS);
    assert_ok(&f, fixture_infer(&f, comes[1]));
    assert_int_equal(weather_state(&f, other), MM_STATE_READY);
    assert_int_equal(copies_of(&f, model).ready, 1);
    assert_ok(&f, fixture_infer(&f, model));
    fixture_close(&f);
}

/* "without evicting anybody hotter than the copy would be" */
static void test_nobody_hotter_leaves_for_a_copy(void **state) {
    (void)state;
    struct fixture f;
    open_pods(&f, 6, 6, 0);
    mm_model hot = add_on(&f, "hot", "pod2"), model = add_serial(&f, "m", 2);
    for (int i = 0; i < 50; i++) {
        assert_ok(&f, fixture_infer(&f, hot));
    }
    assert_ok(&f, fixture_infer(&f, model));
    fixture_advance(&f, MS_NS);
    struct gate infer;
    struct caller callers[2];
    gate_shut(&f, &infer, MMI_ECHO_INFER, "m");
    start_inside(&f, callers, 1, model, &infer);
    caller_start(&callers[1], &f, model);
    fixture_until_queued(&f, model, 1);
    assert_int_equal(copies_of(&f, model).count, 1);
    assert_int_equal(weather_state(&f, hot), MM_STATE_READY);
    gate_open(&infer);
    join_all(callers, 2);
    assert_int_equal(fixture_stats(&f).evictions, 0);
    for (int i = 0; i < 2000; i++) { /* now it is the other way round */
        assert_ok(&f, fixture_infer(&f, model));
    }
    fixture_advance(&f, 200 * MS_NS);
    struct gate again;
    gate_shut(&f, &again, MMI_ECHO_INFER, "m");
    spread(&f, &again, model, 2);
    assert_int_equal(weather_state(&f, hot), MM_STATE_COLD);
    fixture_close(&f);
}

struct pair {
    struct fixture *f;
    mm_model a, b;
};

static bool both_rest(void *ctx) {
    const struct pair *pair = ctx;
    return copies_of(pair->f, pair->a).ready + copies_of(pair->f, pair->b).ready == 2;
}

/* Two models whose copies do not all fit do not chase each other's away for ever. */
static void test_the_least_of_two_models_comes_to_rest(void **state) {
    (void)state;
    struct fixture f;
    open_pods(&f, 6, 6, 0);
    mm_model a = add(&f, "a", 2, 2), b = add(&f, "b", 2, 2);
    assert_ok(&f, fixture_infer(&f, a));
    until_ready(&f, a, 2);
    assert_ok(&f, fixture_infer(&f, b));
    for (int i = 0; i < 200; i++) {
        fixture_advance(&f, 50 * MS_NS);
        sched_yield();
        assert_int_equal(mm_pin(f.mesh, a), MM_OK); /* so that both are looked at */
        assert_int_equal(mm_unpin(f.mesh, a), MM_OK);
    }
    struct pair pair = {&f, a, b};
    fixture_until(both_rest, &pair);
    assert_true(fixture_stats(&f).loads <= 4);
    fixture_close(&f);
}

/* A copy that found no place comes when there is one, without a request. */
static void test_the_least_comes_when_there_is_room(void **state) {
    (void)state;
    struct fixture f;
    open_pods(&f, 6, 6, 0);
    mm_model_spec spec = spec_of(&f, "stays", "", 0, 0);
    spec.device = "pod2";
    spec.flags = MM_MODEL_PINNED;
    mm_model stays = fixture_register(&f, &spec), model = add(&f, "m", 2, 2);
    assert_ok(&f, fixture_infer(&f, stays));
    assert_ok(&f, fixture_infer(&f, model));
    fixture_advance(&f, 10 * S_NS);
    assert_int_equal(copies_of(&f, model).count, 1);
    assert_ok(&f, mm_unregister(f.mesh, stays, &f.err));
    until_ready(&f, model, 2);
    fixture_close(&f);
}

/* ---- Asked ----------------------------------------------------------------------------------- */

/* "a request goes to the copy with the fewest running" */
static void test_the_fewest_running(void **state) {
    (void)state;
    struct fixture f;
    open_pods(&f, 16, 16, 16);
    mm_model model = add(&f, "m", 3, 3);
    assert_ok(&f, fixture_infer(&f, model));
    until_ready(&f, model, 3);
    struct gate infer;
    struct caller callers[6];
    gate_shut(&f, &infer, MMI_ECHO_INFER, "m");
    for (uint32_t round = 0; round < 2; round++) {
        start_inside(&f, &callers[3 * round], 3, model, &infer);
        struct copies copies = copies_of(&f, model);
        for (int i = 0; i < 3; i++) {
            assert_int_equal(copies.at[i].leases, round + 1);
        }
    }
    assert_int_equal(fixture_info(&f, model).leases, 6);
    gate_open(&infer);
    join_all(callers, 6);
    fixture_close(&f);
}

/* mm_model_info: every copy, as far as there is room for them. */
static void test_every_copy_is_shown(void **state) {
    (void)state;
    struct fixture f;
    open_pods(&f, 16, 16, 16);
    mm_model model = add(&f, "m", 3, 3);
    assert_ok(&f, fixture_infer(&f, model));
    until_ready(&f, model, 3);
    for (int i = 0; i < 9; i++) {
        assert_ok(&f, fixture_infer(&f, model));
    }
    struct copies copies = copies_of(&f, model);
    uint64_t requests = 0;
    for (int i = 0; i < 3; i++) {
        char pod[8];
        snprintf(pod, sizeof(pod), "pod%d", i + 1);
        const mm_copy_info *copy = copy_on(&copies, pod);
        assert_non_null(copy);
        assert_int_equal(copy->state, MM_STATE_READY);
        assert_int_equal(copy->weights_bytes, 4 * MIB);
        assert_int_equal(copy->leases, 0);
        requests += copy->requests;
    }
    assert_int_equal(requests, 10);
    mm_copy_info few[2] = {{.leases = 77}, {.leases = 77}};
    mm_model_info info = MM_MODEL_INFO_INIT;
    info.copies = few;
    info.copy_capacity = 1;
    assert_int_equal(mm_model_info_get(f.mesh, model, &info), MM_OK);
    assert_int_equal(info.copy_count, 3);
    assert_int_equal(few[0].leases, 0);
    assert_int_equal(few[1].leases, 77);
    fixture_close(&f);
}

/* ---- A device is lost ------------------------------------------------------------------------ */

#define ASKERS 4

struct traffic {
    struct fixture *f;
    mm_model model;
    uint32_t until; /* so many were asked */
    _Atomic uint32_t asked, failed;
    _Atomic bool stop;
    pthread_t threads[ASKERS];
};

static void *ask_often(void *ctx) {
    struct traffic *traffic = ctx;
    while (!atomic_load(&traffic->stop)) {
        struct asker asker = {.f = traffic->f, .model = traffic->model};
        if (asker_ask(&asker) != MM_OK) {
            atomic_fetch_add(&traffic->failed, 1);
        }
        atomic_fetch_add(&traffic->asked, 1);
    }
    return NULL;
}

static void traffic_start(struct traffic *traffic, struct fixture *f, mm_model model) {
    *traffic = (struct traffic){.f = f, .model = model};
    for (int i = 0; i < ASKERS; i++) {
        assert_int_equal(pthread_create(&traffic->threads[i], NULL, ask_often, traffic), 0);
    }
}

static bool enough(void *ctx) {
    struct traffic *traffic = ctx;
    return atomic_load(&traffic->asked) >= traffic->until;
}

/* So many requests more. */
static void traffic_flow(struct traffic *traffic, uint32_t requests) {
    traffic->until = atomic_load(&traffic->asked) + requests;
    fixture_until(enough, traffic);
}

static void traffic_join(struct traffic *traffic) {
    atomic_store(&traffic->stop, true);
    for (int i = 0; i < ASKERS; i++) {
        pthread_join(traffic->threads[i], NULL);
    }
    assert_int_equal(atomic_load(&traffic->failed), 0);
}

static uint32_t lost_count(struct fixture *f) {
    return fixture_device(f, "pod1").lost + fixture_device(f, "pod2").lost +
           fixture_device(f, "pod3").lost;
}

/* "the death of a device leaves the others serving without a failed request": one of three, and
 * then one of two */
static void test_a_device_dies_under_traffic(void **state) {
    (void)state;
    struct fixture f;
    open_pods(&f, 16, 16, 16);
    mm_model_spec spec = spec_of(&f, "m", "through_device 1\nactivation_bytes 64k\n", 3, 3);
    mm_model model = fixture_register(&f, &spec);
    assert_ok(&f, fixture_infer(&f, model));
    until_ready(&f, model, 3);
    struct traffic traffic;
    traffic_start(&traffic, &f, model);
    for (uint32_t dead = 1; dead <= 2; dead++) {
        traffic_flow(&traffic, 200);
        world_fault(&f.world, "device", 1, ENODEV);
        traffic_flow(&traffic, 200);
        assert_int_equal(lost_count(&f), dead);
        until_ready(&f, model, 3 - dead);
    }
    traffic_join(&traffic);
    assert_int_equal(fixture_stats(&f).failed, 0);
    assert_int_equal(fixture_stats(&f).requests, 1 + atomic_load(&traffic.asked));
    fixture_close(&f);
}

/* The same for an operation: it waits again, and ends once. */
static void test_a_device_dies_under_an_operation(void **state) {
    (void)state;
    struct fixture f;
    open_pods(&f, 16, 16, 16);
    mm_model_spec spec = spec_of(&f, "m", "through_device 1\n", 3, 3);
    mm_model model = fixture_register(&f, &spec);
    assert_ok(&f, fixture_infer(&f, model));
    until_ready(&f, model, 3);
    for (uint32_t dead = 1; dead <= 3; dead++) { /* the last one is missed */
        float x[4] = {1, 2, 3, 4};
        mm_value input = {.name = "x",
                          .dtype = MM_F32,
                          .rank = 2,
                          .shape = {1, 4},
                          .data = x,
                          .bytes = sizeof(x)};
        mm_request request = MM_REQUEST_INIT;
        request.inputs = &input;
        request.input_count = 1;
        mm_response response = MM_RESPONSE_INIT;
        mm_op *op;
        world_fault(&f.world, "device", 1, ENODEV);
        assert_ok(&f, mm_infer_async(f.mesh, model, &request, &response, NULL, &op, &f.err));
        assert_status(&f, mm_op_wait(op, 0, &f.err), dead < 3 ? MM_OK : MM_DEVICE_LOST);
        assert_int_equal(response.output_count, dead < 3 ? 2 : 0);
        mm_op_free(op);
        mm_response_free(&response);
        assert_int_equal(lost_count(&f), dead);
        until_ready(&f, model, 3 - dead); /* what it had is gone, and takes no fault */
    }
    assert_int_equal(fixture_stats(&f).failed, 1);
    fixture_close(&f);
}

/* ---- All at once ----------------------------------------------------------------------------- */

static uint64_t used_bytes(struct fixture *f) {
    return fixture_device(f, "pod1").used_bytes + fixture_device(f, "pod2").used_bytes +
           fixture_device(f, "pod3").used_bytes;
}

static bool is_one_each(void *ctx) {
    return used_bytes(ctx) == 3 * 4 * MIB;
}

static bool is_empty(void *ctx) {
    return used_bytes(ctx) == 0;
}

/* "Versions switch all copies": no old answer after the update, and the least comes back */
static void test_an_update_switches_all(void **state) {
    (void)state;
    struct fixture f;
    open_pods(&f, 16, 16, 16);
    mm_model_spec old = spec_of(&f, "m", "seed 1\n", 3, 3);
    mm_model model = fixture_register(&f, &old);
    assert_ok(&f, fixture_infer(&f, model));
    until_ready(&f, model, 3);
    mm_model_spec next = spec_of(&f, "m", "seed 2\n", 0, 0);
    assert_ok(&f, mm_update(f.mesh, model, &next, 0, NULL, NULL, &f.err));
    struct traffic traffic;
    traffic_start(&traffic, &f, model); /* asks for the seed of the script given last */
    traffic_flow(&traffic, 200);
    traffic_join(&traffic);
    until_ready(&f, model, 3);
    assert_int_equal(fixture_info(&f, model).version, 2);
    assert_int_equal(fixture_stats(&f).loads, 6);
    fixture_until(is_one_each, &f); /* the old ones are detached */
    fixture_close(&f);
}

/* Evicted and unregistered are all of them, at once. */
static void test_all_leave(void **state) {
    (void)state;
    struct fixture f;
    open_pods(&f, 16, 16, 16);
    mm_model model = add(&f, "m", 3, 3);
    for (int i = 0; i < 2; i++) {
        assert_ok(&f, fixture_infer(&f, model));
        until_ready(&f, model, 3);
        assert_ok(&f, mm_evict(f.mesh, model, i ? MM_NO_WAIT : 0, &f.err));
        fixture_until(is_empty, &f);
        assert_int_equal(copies_of(&f, model).count, 0); /* they do not come back by themselves */
    }
    assert_ok(&f, fixture_infer(&f, model));
    until_ready(&f, model, 3);
    struct gate infer;
    struct caller callers[3];
    gate_shut(&f, &infer, MMI_ECHO_INFER, "m");
    start_inside(&f, callers, 3, model, &infer);
    assert_status(&f, mm_evict(f.mesh, model, MM_NO_WAIT, &f.err), MM_BUSY);
    assert_ok(&f, mm_unregister(f.mesh, model, &f.err));
    assert_status(&f, fixture_infer(&f, model), MM_STALE_HANDLE);
    gate_open(&infer);
    join_all(callers, 3);
    fixture_until(is_empty, &f);
    fixture_close(&f);
}

/* A pin holds every copy. */
static void test_pinned_copies_stay(void **state) {
    (void)state;
    struct fixture f;
    open_pods(&f, 6, 6, 0);
    mm_model model = add(&f, "m", 2, 2), other = add(&f, "other", 0, 0);
    assert_int_equal(mm_pin(f.mesh, model), MM_OK);
    assert_ok(&f, fixture_infer(&f, model));
    until_ready(&f, model, 2);
    assert_status(&f, fixture_infer(&f, other), MM_ALL_PINNED);
    assert_status(&f, mm_evict(f.mesh, model, 0, &f.err), MM_PINNED);
    assert_int_equal(copies_of(&f, model).ready, 2);
    assert_int_equal(mm_unpin(f.mesh, model), MM_OK);
    assert_ok(&f, fixture_infer(&f, other));
    assert_int_equal(copies_of(&f, model).ready, 1);
    assert_ok(&f, fixture_infer(&f, model));
    fixture_close(&f);
}

/* Idle time is the model's: without requests all of its copies leave, and none comes again for the
 * least number of them. One that was never asked stays as long as the others are. */
static void test_idle_copies_leave_for_good(void **state) {
    (void)state;
    struct fixture f;
    open_pods(&f, 6, 6, 0);
    mm_model_spec spec = spec_of(&f, "m", "", 2, 2);
    spec.idle_ttl_ns = S_NS;
    mm_model model = fixture_register(&f, &spec);
    assert_ok(&f, fixture_infer(&f, model));
    until_ready(&f, model, 2);
    for (int i = 0; i < 20; i++) {
        fixture_advance(&f, S_NS / 4);
        assert_ok(&f, fixture_infer(&f, model));
    }
    assert_int_equal(copies_of(&f, model).ready, 2);
    assert_int_equal(fixture_info(&f, model).loads, 2);
    for (int i = 0; i < 20; i++) {
        fixture_advance(&f, S_NS / 4);
    }
    fixture_until_state(&f, model, MM_STATE_COLD);
    for (int i = 0; i < 20; i++) {
        fixture_advance(&f, S_NS / 4);
    }
    assert_int_equal(copies_of(&f, model).count, 0);
    assert_int_equal(fixture_info(&f, model).loads, 2);
    assert_int_equal(fixture_info(&f, model).evictions, 2);
    assert_ok(&f, fixture_infer(&f, model));
    fixture_close(&f);
}

static bool has_loaded(void *ctx) {
    struct wish *wish = ctx;
    return fixture_info(wish->f, wish->model).loads == wish->ready;
}

/* ... also when it takes longer to load one than it may be idle. */
static void test_idle_copies_leave_though_loads_are_slow(void **state) {
    (void)state;
    struct fixture f;
    mm_device_options devices[2] = {fixture_host("sim/pod1", 6 * MIB),
                                    fixture_host("sim/pod2", 6 * MIB)};
    devices[0].sim_load_delay_ns = devices[1].sim_load_delay_ns = 10 * MS_NS;
    mm_mesh_options options = MM_MESH_OPTIONS_INIT;
    options.devices = devices;
    options.device_count = 2;
    options.min_residency_ns = 1;
    fixture_open(&f, &options);
    mm_model_spec spec = spec_of(&f, "m", "", 2, 2);
    spec.idle_ttl_ns = MS_NS;
    mm_model model = fixture_register(&f, &spec);
    struct caller caller;
    caller_start(&caller, &f, model);
    fixture_pass_time_until(&f, has_loaded, &(struct wish){&f, model, 2});
    assert_int_equal(caller_join(&caller), MM_OK);
    for (int i = 0; i < 20; i++) {
        fixture_advance(&f, MS_NS);
    }
    fixture_until_state(&f, model, MM_STATE_COLD);
    for (int i = 0; i < 20; i++) {
        fixture_advance(&f, MS_NS);
    }
    assert_int_equal(copies_of(&f, model).count, 0);
    assert_int_equal(fixture_info(&f, model).loads, 2);
    fixture_close(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_least_comes_by_itself),
        cmocka_unit_test(test_without_a_queue_there_is_one),
        cmocka_unit_test(test_a_queue_brings_copies),
        cmocka_unit_test(test_more_than_devices),
        cmocka_unit_test(test_a_copy_that_fails_to_load),
        cmocka_unit_test(test_a_spare_copy_leaves_first),
        cmocka_unit_test(test_nobody_hotter_leaves_for_a_copy),
        cmocka_unit_test(test_the_least_of_two_models_comes_to_rest),
        cmocka_unit_test(test_the_least_comes_when_there_is_room),
        cmocka_unit_test(test_the_fewest_running),
        cmocka_unit_test(test_every_copy_is_shown),
        cmocka_unit_test(test_a_device_dies_under_traffic),
        cmocka_unit_test(test_a_device_dies_under_an_operation),
        cmocka_unit_test(test_an_update_switches_all),
        cmocka_unit_test(test_all_leave),
        cmocka_unit_test(test_pinned_copies_stay),
        cmocka_unit_test(test_idle_copies_leave_for_good),
        cmocka_unit_test(test_idle_copies_leave_though_loads_are_slow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
