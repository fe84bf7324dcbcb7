/* SPDX-License-Identifier: Apache-2.0 */
/* Whoever waits comes to an end, also when what he waits for changes its mind: it is told to leave,
 * replaced, unregistered, or stays after all. */
#include "weather.h"

#include <sched.h>
#include <stdio.h>
#include <string.h>

/* ---- Requests of any width ------------------------------------------------------------------- */

#define WIDTH 8192u

/* x f32 [1, width], blocking on a thread of its own, or an operation. */
struct wide {
    struct fixture *f;
    mm_model model;
    pthread_t thread;
    float x[WIDTH];
    mm_value input;
    mm_request request;
    mm_response response;
    mm_op *op;
    mm_status status;
    mm_error err;
    _Atomic bool ended;
    _Atomic unsigned called;
};

static void wide_init(struct wide *wide, struct fixture *f, mm_model model, unsigned width) {
    *wide = (struct wide){.f = f, .model = model};
    wide->input = (mm_value){.name = "x",
                             .dtype = MM_F32,
                             .rank = 2,
                             .shape = {1, (int64_t)width},
                             .data = wide->x,
                             .bytes = width * sizeof(wide->x[0])};
    wide->request = (mm_request)MM_REQUEST_INIT;
    wide->request.inputs = &wide->input;
    wide->request.input_count = 1;
    wide->response = (mm_response)MM_RESPONSE_INIT;
}

static void *run_wide(void *ctx) {
    struct wide *wide = ctx;
    wide->status =
        mm_infer(wide->f->mesh, wide->model, &wide->request, &wide->response, &wide->err);
    mm_response_free(&wide->response);
    atomic_store(&wide->ended, true);
    return NULL;
}

static void wide_start(struct wide *wide) {
    assert_int_equal(pthread_create(&wide->thread, NULL, run_wide, wide), 0);
}

static bool wide_ended(void *ctx) {
    return atomic_load(&((struct wide *)ctx)->ended);
}

/* While time passes. */
static mm_status wide_join(struct wide *wide) {
    fixture_pass_time_until(wide->f, wide_ended, wide);
    pthread_join(wide->thread, NULL);
    return wide->status;
}

static void on_end(void *user, mm_op *op) {
    struct wide *wide = user;
    wide->status = mm_op_poll(op, NULL);
    atomic_fetch_add(&wide->called, 1);
}

static mm_status wide_async(struct wide *wide) {
    mm_async async = MM_ASYNC_INIT;
    async.callback = on_end;
    async.user = wide;
    return mm_infer_async(wide->f->mesh, wide->model, &wide->request, &wide->response, &async,
                          &wide->op, &wide->err);
}

/* ---- A run that waits for memory, on an instance that is to leave ---------------------------- */

/* 8 MiB: `waits` and `runs` of 1 MiB each. A run of `runs` has 1 MiB of activations and stands at
 * a gate; a request to `waits` needs more than is left beside that. */
struct squeeze {
    struct fixture f;
    mm_model waits, runs, loads;
    struct gate infer;
    struct caller running;
    struct wide waiting, loading;
};

static void squeeze_open(struct squeeze *s, int32_t evict_class) {
    mm_device_options device;
    mm_mesh_options options = weather_options(&device, "host", 8 * MIB);
    options.infer_threads = 2;
    fixture_open(&s->f, &options);
    struct fixture *f = &s->f;
    mm_model_spec spec = fixture_spec(
        f, "waits", "gated",
        "weights_bytes 1m\ncheck 0\nactivation_per_element 1k\nseed 1\nversion waits\n");
    spec.evict_class = evict_class;
    s->waits = fixture_register(f, &spec);
    s->runs =
        fixture_gated(f, "runs", "weights_bytes 1m\nactivation_bytes 1m\nseed 2\nversion runs\n");
    s->loads = fixture_echo(f, "loads", "weights_bytes 5m\ncheck 0\nseed 3\n");
    gate_shut(f, &s->infer, MMI_ECHO_INFER, "runs");
    caller_start(&s->running, f, s->runs);
    gate_wait_arrived(&s->infer, 1);
}

/* false: it was refused at once, which is an end, too. */
static bool squeeze_begin(struct squeeze *s, int32_t evict_class, unsigned kib) {
    squeeze_open(s, evict_class);
    assert_ok(&s->f, fixture_infer(&s->f, s->waits));
    fixture_advance(&s->f, MS_NS);
    wide_init(&s->waiting, &s->f, s->waits, kib);
    wide_start(&s->waiting);
    while (!wide_ended(&s->waiting) && fixture_info(&s->f, s->waits).queued == 0) {
        sched_yield();
    }
    return !wide_ended(&s->waiting);
}

static void squeeze_end(struct squeeze *s, bool registered) {
    gate_open(&s->infer);
    mm_status status = wide_join(&s->waiting);
    if (status != MM_OK && status != MM_NO_ROOM_FOR_ACTIVATIONS &&
        !(status == MM_UNREGISTERED && !registered)) {
        fail_msg("%s: %s", mm_status_name(status), s->waiting.err.text);
    }
    assert_int_equal(caller_join(&s->running), MM_OK);
    fixture_advance(&s->f, S_NS);
    assert_ok(&s->f, fixture_infer(&s->f, s->runs));
    fixture_advance(&s->f, S_NS);
    if (registered) {
        assert_ok(&s->f, fixture_infer(&s->f, s->waits));
    }
    assert_int_equal(fixture_stats(&s->f).queued, 0);
    fixture_close(&s->f);
}

/* What is done to `waits` meanwhile. */
typedef void (*deed_fn)(struct squeeze *s);

static bool is_told(void *ctx) {
    struct squeeze *s = ctx;
    return wide_ended(&s->waiting) || weather_state(&s->f, s->waits) != MM_STATE_READY;
}

static void by_a_load(struct squeeze *s) {
    wide_init(&s->loading, &s->f, s->loads, 4);
    wide_start(&s->loading);
    fixture_until_state(&s->f, s->loads, MM_STATE_LOADING);
    for (int i = 0; i < 200 && !is_told(s); i++) { /* beyond the grace */
        fixture_advance(&s->f, MS_NS);
    }
    gate_open(&s->infer);
    assert_int_equal(wide_join(&s->loading), MM_OK);
}

static void by_an_unregister(struct squeeze *s) {
    assert_ok(&s->f, mm_unregister(s->f.mesh, s->waits, &s->f.err));
}

static void by_an_update(struct squeeze *s) {
    mm_model_spec spec =
        fixture_spec(&s->f, "waits", "echo", "weights_bytes 1m\ncheck 0\nseed 4\n");
    spec.name = NULL;
    mm_op *op;
    assert_ok(&s->f,
              mm_update(s->f.mesh, s->waits, &spec, MM_UPDATE_REPLACE, NULL, &op, &s->f.err));
    gate_open(&s->infer);
    while (mm_op_poll(op, NULL) == MM_PENDING) {
        fixture_advance(&s->f, MS_NS);
        sched_yield();
    }
    assert_ok(&s->f, mm_op_poll(op, &s->f.err));
    mm_op_free(op);
}

static void by_a_budget(struct squeeze *s) {
    mm_status status = mm_device_set_budget(s->f.mesh, "host", 5 * MIB, &s->f.err);
    assert_true(status == MM_OK || status == MM_BUSY);
}

struct eviction {
    struct fixture *f;
    mm_model model;
    uint64_t deadline_ns;
    mm_status status;
    pthread_t thread;
};

static void *run_eviction(void *ctx) {
    struct eviction *eviction = ctx;
    eviction->status = mm_evict(eviction->f->mesh, eviction->model, eviction->deadline_ns, NULL);
    return NULL;
}

static void eviction_start(struct eviction *eviction, struct fixture *f, mm_model model,
                           uint64_t deadline_ns) {
    *eviction = (struct eviction){.f = f, .model = model, .deadline_ns = deadline_ns};
    assert_int_equal(pthread_create(&eviction->thread, NULL, run_eviction, eviction), 0);
}

static mm_status eviction_join(struct eviction *eviction) {
    pthread_join(eviction->thread, NULL);
    return eviction->status;
}

static void by_an_eviction(struct squeeze *s) {
    struct eviction eviction;
    eviction_start(&eviction, &s->f, s->waits, 0);
    fixture_until(is_told, s);
    gate_open(&s->infer);
    wide_join(&s->waiting);
    assert_int_equal(eviction_join(&eviction), MM_OK);
    wide_init(&s->waiting, &s->f, s->runs, 4); /* squeeze_end waits for somebody */
    wide_start(&s->waiting);
}

/* Whatever it is told, and whether it will fit or never: a run that waits for memory never waits
 * for its own instance to leave. */
static void check_deed(deed_fn deed, bool registered) {
    static const int32_t classes[] = {MM_CLASS_LOW, MM_CLASS_NORMAL};
    static const unsigned kib[] = {5600, 6400}; /* beside `runs` without its run; not beside it */
    for (int i = 0; i < 4; i++) {
        static struct squeeze s;
        if (squeeze_begin(&s, classes[i % 2], kib[i / 2])) {
            deed(&s);
            squeeze_end(&s, registered);
        } else {
            assert_int_equal(s.waiting.status, MM_NO_ROOM_FOR_ACTIVATIONS);
            assert_int_equal(kib[i / 2], 6400);
            squeeze_end(&s, true);
        }
    }
}

static void test_a_waiting_run_told_to_leave_by_a_load(void **state) {
    (void)state;
    check_deed(by_a_load, true);
}

static void test_a_waiting_run_told_to_leave_by_an_unregister(void **state) {
    (void)state;
    check_deed(by_an_unregister, false);
}

static void test_a_waiting_run_told_to_leave_by_an_update(void **state) {
    (void)state;
    check_deed(by_an_update, true);
}

static void test_a_waiting_run_while_the_budget_shrinks(void **state) {
    (void)state;
    check_deed(by_a_budget, true);
}

static void test_a_waiting_run_told_to_leave_by_an_eviction(void **state) {
    (void)state;
    check_deed(by_an_eviction, true);
}

/* ---- Cancelled between two waits ------------------------------------------------------------- */

/* While the backend prepares, opens, attaches or sizes for it; after that it would wait for memory
 * that nobody gives back. */
static void test_a_cancel_between_two_waits_is_not_lost(void **state) {
    (void)state;
    static const enum mmi_echo_slot slots[] = {MMI_ECHO_PREPARE, MMI_ECHO_OPEN, MMI_ECHO_ATTACH,
                                               MMI_ECHO_SIZE};
    for (size_t i = 0; i < sizeof(slots) / sizeof(slots[0]); i++) {
        static struct squeeze s;
        squeeze_open(&s, MM_CLASS_NORMAL);
        struct gate gate, infer;
        if (slots[i] == MMI_ECHO_SIZE) { /* while it has its lease: it is resident already */
            assert_ok(&s.f, mm_load(s.f.mesh, s.waits, NULL, NULL, &s.f.err));
        }
        gate_shut(&s.f, &gate, slots[i], "waits");
        gate_count(&s.f, &infer, MMI_ECHO_INFER, "waits");
        wide_init(&s.waiting, &s.f, s.waits, 5600);
        assert_ok(&s.f, wide_async(&s.waiting));
        gate_wait_arrived(&gate, 1);
        mm_op_cancel(s.waiting.op);
        gate_open(&gate);
        assert_status(&s.f, mm_op_wait(s.waiting.op, 0, &s.f.err), MM_CANCELLED);
        assert_int_equal(gate_arrived(&infer), 0);
        assert_int_equal(atomic_load(&s.waiting.called), 1);
        mm_op_free(s.waiting.op);
        gate_open(&s.infer);
        assert_int_equal(caller_join(&s.running), MM_OK);
        fixture_close(&s.f);
    }
}

/* ---- Who drained and stays ------------------------------------------------------------------- */

/* Two loads wait for a model that drains: its own next one, which is over as soon as it serves on,
 * and another's, which goes on to wait for the bytes. */
static void test_loads_go_on_when_an_eviction_gives_up(void **state) {
    (void)state;
    struct fixture f;
    mm_device_options device;
    mm_mesh_options options = weather_options(&device, "host", 16 * MIB);
    fixture_open(&f, &options);
    mm_model leaves = weather_gated(&f, "leaves", 10, 1), other = weather_model(&f, "other", 10, 2);
    struct gate infer;
    gate_shut(&f, &infer, MMI_ECHO_INFER, "leaves");
    struct caller on_leaves, on_other;
    struct eviction eviction;
    mm_op *own;
    assert_ok(&f, mm_prepare(f.mesh, other, NULL, NULL, &f.err));
    caller_start(&on_leaves, &f, leaves);
    gate_wait_arrived(&infer, 1);
    eviction_start(&eviction, &f, leaves, fixture_after(&f, 5 * MS_NS)); /* within the grace */
    fixture_until_state(&f, leaves, MM_STATE_DRAINING);
    assert_ok(&f, mm_load(f.mesh, leaves, NULL, &own, &f.err));
    caller_start(&on_other, &f, other);
    fixture_until_state(&f, other, MM_STATE_LOADING);
    assert_int_equal(mm_op_poll(own, NULL), MM_PENDING);
    fixture_advance(&f, 5 * MS_NS);
    assert_int_equal(eviction_join(&eviction), MM_DEADLINE);
    gate_open(&infer);
    assert_int_equal(caller_join(&on_leaves), MM_OK);
    assert_int_equal(caller_join(&on_other), MM_OK);
    while (mm_op_poll(own, NULL) == MM_PENDING) {
        fixture_advance(&f, MS_NS);
        sched_yield();
    }
    assert_ok(&f, mm_op_poll(own, &f.err));
    mm_op_free(own);
    fixture_close(&f);
}

/* ... alone, it is over while the run that stood in the eviction's way still goes on. */
static void test_its_own_load_is_over_when_an_eviction_gives_up(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    mm_model model = weather_gated(&f, "m", 1, 1);
    struct gate infer;
    gate_shut(&f, &infer, MMI_ECHO_INFER, "m");
    struct caller running;
    struct eviction eviction;
    mm_op *load;
    caller_start(&running, &f, model);
    gate_wait_arrived(&infer, 1);
    eviction_start(&eviction, &f, model, fixture_after(&f, S_NS));
    fixture_until_state(&f, model, MM_STATE_DRAINING);
    assert_ok(&f, mm_load(f.mesh, model, NULL, &load, &f.err));
    fixture_until_queued(&f, model, 2);
    fixture_advance(&f, S_NS);
    assert_int_equal(eviction_join(&eviction), MM_DEADLINE);
    assert_ok(&f, mm_op_wait(load, 0, &f.err));
    assert_int_equal(weather_state(&f, model), MM_STATE_READY);
    mm_op_free(load);
    gate_open(&infer);
    assert_int_equal(caller_join(&running), MM_OK);
    assert_int_equal(fixture_info(&f, model).loads, 1);
    fixture_close(&f);
}

/* ---- Without threads ------------------------------------------------------------------------- */

#define ROUNDS 100

static void *ask_again_and_again(void *ctx) {
    struct wide *wide = ctx;
    for (int i = 0; i < ROUNDS && wide->status == MM_OK; i++) {
        wide->status =
            mm_infer(wide->f->mesh, wide->model, &wide->request, &wide->response, &wide->err);
        mm_response_free(&wide->response);
    }
    return NULL;
}

/* Without threads the callers prepare and load, whichever version an update has just made the
 * current one. */
static void test_without_threads_updates_disturb_no_request(void **state) {
    (void)state;
    struct fixture f;
    mm_mesh_options options = MM_MESH_OPTIONS_INIT;
    options.load_threads = MM_THREADS_NONE;
    fixture_open(&f, &options);
    mm_model model = fixture_echo(&f, "m", "weights_bytes 64k\nversion v\n");
    static struct wide askers[2];
    for (int i = 0; i < 2; i++) {
        wide_init(&askers[i], &f, model, 4);
        assert_int_equal(pthread_create(&askers[i].thread, NULL, ask_again_and_again, &askers[i]),
                         0);
    }
    for (int i = 0; i < ROUNDS; i++) {
        char script[64];
        snprintf(script, sizeof(script), "weights_bytes 64k\nseed %d\n", i);
        mm_model_spec spec = fixture_spec(&f, NULL, "echo", script);
        assert_ok(
            &f, mm_update(f.mesh, model, &spec, i % 2 ? MM_UPDATE_REPLACE : 0, NULL, NULL, &f.err));
        if (i % 3 == 0) {
            mm_evict(f.mesh, model, MM_NO_WAIT, NULL); /* the next one only repoints */
        }
    }
    for (int i = 0; i < 2; i++) {
        pthread_join(askers[i].thread, NULL);
        if (askers[i].status != MM_OK) {
            fail_msg("%s: %s", mm_status_name(askers[i].status), askers[i].err.text);
        }
    }
    fixture_close(&f);
}

static void check_update_during(enum mmi_echo_slot slot) {
    struct fixture f;
    mm_mesh_options options = MM_MESH_OPTIONS_INIT;
    options.load_threads = MM_THREADS_NONE;
    fixture_open(&f, &options);
    mm_model model = fixture_gated(&f, "m", "weights_bytes 64k\nversion old\n");
    struct gate gate;
    gate_shut(&f, &gate, slot, "old");
    static struct wide askers[2];
    for (int i = 0; i < 2; i++) {
        wide_init(&askers[i], &f, model, 4);
        wide_start(&askers[i]);
        fixture_until_queued(&f, model, (uint32_t)i + 1);
    }
    gate_wait_arrived(&gate, 1);
    mm_model_spec spec =
        fixture_spec(&f, NULL, "gated", "weights_bytes 64k\nseed 2\nversion new\n");
    assert_ok(&f, mm_update(f.mesh, model, &spec, MM_UPDATE_REPLACE, NULL, NULL, &f.err));
    gate_open(&gate);
    for (int i = 0; i < 2; i++) {
        if (wide_join(&askers[i]) != MM_OK) {
            fail_msg("%s: %s", mm_status_name(askers[i].status), askers[i].err.text);
        }
    }
    fixture_close(&f);
}

/* ... also while a caller prepares or loads the old version, and another waits for that. */
static void test_without_threads_an_update_during_the_work(void **state) {
    (void)state;
    check_update_during(MMI_ECHO_PREPARE);
    check_update_during(MMI_ECHO_OPEN);
}

/* ---- Stop ------------------------------------------------------------------------------------ */

#define BURST 16

struct burst {
    struct wide wide[BURST];
    unsigned begun;
    pthread_t thread;
};

static void *run_burst(void *ctx) {
    struct burst *burst = ctx;
    while (burst->begun < BURST && wide_async(&burst->wide[burst->begun]) == MM_OK) {
        burst->begun++;
    }
    return NULL;
}

/* Stop, while operations are made and have not waited for anything yet: each callback comes. */
static void test_stop_while_operations_begin(void **state) {
    (void)state;
    for (int round = 0; round < 30; round++) {
        struct fixture f;
        fixture_open(&f, NULL);
        mm_model model = fixture_echo(&f, "m", "weights_bytes 64k\n");
        if (round % 2) {
            assert_ok(&f, fixture_infer(&f, model));
        }
        static struct burst bursts[2];
        for (int i = 0; i < 2; i++) {
            bursts[i].begun = 0;
            for (int j = 0; j < BURST; j++) {
                wide_init(&bursts[i].wide[j], &f, model, 4);
            }
            assert_int_equal(pthread_create(&bursts[i].thread, NULL, run_burst, &bursts[i]), 0);
        }
        for (int i = 0; i < round % 5; i++) {
            sched_yield();
        }
        assert_int_equal(mm_mesh_stop(f.mesh, 0), MM_OK);
        for (int i = 0; i < 2; i++) {
            pthread_join(bursts[i].thread, NULL);
            for (unsigned j = 0; j < bursts[i].begun; j++) {
                struct wide *wide = &bursts[i].wide[j];
                mm_status status = mm_op_wait(wide->op, 0, NULL);
                assert_true(status == MM_OK || status == MM_CLOSED);
                assert_int_equal(atomic_load(&wide->called), 1);
                mm_op_free(wide->op);
                mm_response_free(&wide->response);
            }
        }
        fixture_close(&f);
    }
}

/* ---- What an update and an unregister leave -------------------------------------------------- */

static bool has_two_detached(void *ctx) {
    return fixture_events_of(ctx, "detach", "m") == 2;
}

/* Requests and hits are the model's, whichever version answered; what happens to a version that is
 * not current any more, or whose model is gone, is told under the model's name. */
static void test_counters_and_names_outlive_a_version(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    mm_model model = fixture_gated(&f, "m", "weights_bytes 64k\nversion old\n");
    assert_ok(&f, fixture_infer(&f, model));
    struct gate old, new;
    gate_shut(&f, &old, MMI_ECHO_INFER, "old");
    gate_shut(&f, &new, MMI_ECHO_INFER, "new");
    static struct wide first, second;
    wide_init(&first, &f, model, 4);
    wide_init(&second, &f, model, 4);
    wide_start(&first);
    gate_wait_arrived(&old, 1);
    mm_model_spec spec =
        fixture_spec(&f, NULL, "gated", "weights_bytes 64k\nseed 2\nversion new\n");
    assert_ok(&f, mm_update(f.mesh, model, &spec, 0, NULL, NULL, &f.err));
    wide_start(&second);
    gate_wait_arrived(&new, 1);
    assert_int_equal(fixture_events_of(&f, "detach", "m"), 0);
    gate_open(&old);
    assert_int_equal(wide_join(&first), MM_OK);
    mm_model_info info = fixture_info(&f, model);
    assert_int_equal(info.hits, 1); /* counted at their end */
    assert_int_equal(info.requests, 2);
    gate_pass(&new, 1);
    assert_int_equal(wide_join(&second), MM_OK);
    info = fixture_info(&f, model);
    assert_int_equal(info.hits, 2);
    assert_int_equal(info.requests, 3);
    wide_init(&second, &f, model, 4);
    wide_start(&second);
    gate_wait_arrived(&new, 2);
    assert_ok(&f, mm_unregister(f.mesh, model, &f.err));
    gate_open(&new);
    assert_int_equal(wide_join(&second), MM_OK);
    fixture_until(has_two_detached, &f);
    assert_int_equal(fixture_stats(&f).requests, 4);
    assert_int_equal(fixture_stats(&f).hits, 3);
    fixture_close(&f);
}

/* ---- Handles --------------------------------------------------------------------------------- */

/* A handle is of one mesh: on another one it is stale, also where that has as many models. */
static void test_a_handle_of_another_mesh_is_stale(void **state) {
    (void)state;
    struct fixture a, b;
    fixture_open(&a, NULL);
    fixture_open(&b, NULL);
    mm_model in_a = fixture_echo(&a, "m", "seed 1\n"), in_b = fixture_echo(&b, "m", "seed 2\n");
    mm_model_info info = MM_MODEL_INFO_INIT;
    assert_true(in_a.id != in_b.id);
    assert_ok(&b, fixture_infer(&b, in_b));
    assert_status(&b, mm_load(b.mesh, in_a, NULL, NULL, &b.err), MM_STALE_HANDLE);
    assert_status(&b, mm_model_info_get(b.mesh, in_a, &info), MM_STALE_HANDLE);
    assert_status(&b, mm_evict(b.mesh, in_a, MM_NO_WAIT, &b.err), MM_STALE_HANDLE);
    assert_status(&b, mm_unregister(b.mesh, in_a, &b.err), MM_STALE_HANDLE);
    static struct wide wide;
    wide_init(&wide, &b, in_a, 4);
    run_wide(&wide);
    assert_int_equal(wide.status, MM_STALE_HANDLE);
    assert_ok(&a, fixture_infer(&a, in_a));
    assert_ok(&b, fixture_infer(&b, in_b));
    fixture_close(&a);
    fixture_close(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_waiting_run_told_to_leave_by_a_load),
        cmocka_unit_test(test_a_waiting_run_told_to_leave_by_an_unregister),
        cmocka_unit_test(test_a_waiting_run_told_to_leave_by_an_update),
        cmocka_unit_test(test_a_waiting_run_while_the_budget_shrinks),
        cmocka_unit_test(test_a_waiting_run_told_to_leave_by_an_eviction),
        cmocka_unit_test(test_a_cancel_between_two_waits_is_not_lost),
        cmocka_unit_test(test_loads_go_on_when_an_eviction_gives_up),
        cmocka_unit_test(test_its_own_load_is_over_when_an_eviction_gives_up),
        cmocka_unit_test(test_without_threads_updates_disturb_no_request),
        cmocka_unit_test(test_without_threads_an_update_during_the_work),
        cmocka_unit_test(test_stop_while_operations_begin),
        cmocka_unit_test(test_counters_and_names_outlive_a_version),
        cmocka_unit_test(test_a_handle_of_another_mesh_is_stale),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
