/* SPDX-License-Identifier: Apache-2.0 */
/* Requests: threads, names, deadlines, how a blocking inference ends. */
#include "fixture.h"

#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#define CROWD 4

/* ---- Threads -------------------------------------------------------------------------------- */

/* "mm_infer on one model from many threads runs in parallel" */
static void test_infer_on_one_model_runs_in_parallel(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    mm_model model = fixture_gated(&f, "m", "weights_bytes 64k\nseed 3\nversion p\n");
    struct gate gate;
    gate_shut(&f, &gate, MMI_ECHO_INFER, "p");
    struct asker askers[CROWD];
    for (int i = 0; i < CROWD; i++) {
        askers[i] = (struct asker){.f = &f, .model = model};
        asker_start(&askers[i]);
    }
    gate_wait_arrived(&gate, CROWD); /* all inside at once */
    assert_int_equal(fixture_info(&f, model).leases, CROWD);
    assert_int_equal(fixture_info(&f, model).queued, 0);
    gate_open(&gate);
    for (int i = 0; i < CROWD; i++) {
        assert_int_equal(asker_join(&askers[i]), MM_OK);
    }
    assert_int_equal(fixture_info(&f, model).leases, 0);
    assert_int_equal(fixture_info(&f, model).loads, 1);
    fixture_close(&f);
}

/* One asker runs, the rest wait; each that is let through makes way for one. */
static void check_queue(struct fixture *f, mm_model model, struct gate *gate, unsigned limit) {
    struct asker askers[CROWD + 1];
    unsigned count = CROWD + 1;
    for (unsigned i = 0; i < count; i++) {
        askers[i] = (struct asker){.f = f, .model = model};
        asker_start(&askers[i]);
    }
    for (unsigned done = 0; done < count - limit; done++) {
        gate_wait_arrived(gate, limit + done);
        fixture_until_queued(f, model, count - limit - done);
        assert_int_equal(gate_arrived(gate), limit + done);
        gate_pass(gate, 1);
    }
    gate_open(gate);
    for (unsigned i = 0; i < count; i++) {
        assert_int_equal(asker_join(&askers[i]), MM_OK);
    }
    assert_int_equal(fixture_info(f, model).queued, 0);
}

/* "... unless its description says serial; then it queues" */
static void test_serial_model_queues(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    mm_model model = fixture_gated(&f, "m", "serial 1\nversion s\n");
    struct gate gate;
    gate_shut(&f, &gate, MMI_ECHO_INFER, "s");
    check_queue(&f, model, &gate, 1);
    fixture_close(&f);
}

/* "max_concurrency per model": so many at once, the rest queue */
static void test_max_concurrency_holds_the_rest_back(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    mm_model_spec spec = fixture_spec(&f, "m", "gated", "version c\n");
    spec.max_concurrency = 2;
    mm_model model = fixture_register(&f, &spec);
    struct gate gate;
    gate_shut(&f, &gate, MMI_ECHO_INFER, "c");
    check_queue(&f, model, &gate, 2);
    fixture_close(&f);
}

/* "max_queued per model (MM_OVERLOADED)": at once, and only this model */
static void test_max_queued_of_a_model_overloads_it_alone(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    mm_model_spec spec = fixture_spec(&f, "m", "gated", "version q\n");
    spec.max_queued = 2;
    mm_model model = fixture_register(&f, &spec);
    mm_model other = fixture_echo(&f, "other", "seed 1\n");
    struct gate gate;
    gate_shut(&f, &gate, MMI_ECHO_ATTACH, "q");
    struct asker waiting[2] = {{.f = &f, .model = model}, {.f = &f, .model = model}};
    asker_start(&waiting[0]);
    asker_start(&waiting[1]);
    gate_wait_arrived(&gate, 1);
    fixture_until_queued(&f, model, 2);
    assert_status(&f, fixture_infer(&f, model), MM_OVERLOADED);
    assert_non_null(strstr(f.err.text, "model m"));
    assert_ok(&f, fixture_infer(&f, other));
    gate_open(&gate);
    assert_int_equal(asker_join(&waiting[0]), MM_OK);
    assert_int_equal(asker_join(&waiting[1]), MM_OK);
    assert_ok(&f, fixture_infer(&f, model));
    fixture_close(&f);
}

/* "max_queued per model and mesh (MM_OVERLOADED)" */
static void test_max_queued_of_the_mesh_counts_all_models(void **state) {
    (void)state;
    struct fixture f;
    mm_mesh_options options = MM_MESH_OPTIONS_INIT;
    options.max_queued = 2;
    fixture_open(&f, &options);
    struct gate gates[2];
    struct asker waiting[2];
    static const char *const versions[] = {"a", "b"};
    for (int i = 0; i < 2; i++) {
        char script[32];
        snprintf(script, sizeof(script), "version %s\n", versions[i]);
        gate_shut(&f, &gates[i], MMI_ECHO_ATTACH, versions[i]);
        waiting[i] = (struct asker){.f = &f, .model = fixture_gated(&f, versions[i], script)};
        asker_start(&waiting[i]);
        gate_wait_arrived(&gates[i], 1);
    }
    mm_model third = fixture_echo(&f, "third", "");
    assert_status(&f, fixture_infer(&f, third), MM_OVERLOADED);
    for (int i = 0; i < 2; i++) {
        gate_open(&gates[i]);
        assert_int_equal(asker_join(&waiting[i]), MM_OK);
    }
    assert_ok(&f, fixture_infer(&f, third));
    fixture_close(&f);
}

/* ---- Names, strings, arrays ----------------------------------------------------------------- */

/* "UTF-8, NUL-terminated, <= 255 bytes" */
static void test_names_are_utf8_of_at_most_255_bytes(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    char name[MM_NAME_BYTES + 1];
    memset(name, 'n', sizeof(name));
    name[MM_NAME_BYTES] = '\0'; /* 256 bytes */
    mm_model_spec spec = fixture_spec(&f, name, "echo", "seed 5\n");
    mm_model model = {0};
    static const char *const wrong[] = {"", "\xff", "a\xc3", "\xc0\x80", "\xed\xa0\x80"};
    for (size_t i = 0; i <= sizeof(wrong) / sizeof(wrong[0]); i++) {
        spec.name = i == 0 ? name : wrong[i - 1];
        assert_status(&f, mm_register(f.mesh, &spec, &model, &f.err), MM_INVALID_ARGUMENT);
        assert_non_null(strstr(f.err.text, "spec.name"));
        assert_int_equal(model.id, 0);
    }
    name[MM_NAME_BYTES - 1] = '\0';
    spec.name = name;
    model = fixture_register(&f, &spec);
    assert_string_equal(fixture_info(&f, model).name, name);
    assert_ok(&f, fixture_infer(&f, model));
    mm_model_spec greek = fixture_spec(&f, "\xce\xbc/\xce\xbb", "echo", "seed 6\n");
    assert_ok(&f, fixture_infer(&f, fixture_register(&f, &greek)));
    fixture_close(&f);
}

/* "copied on entry. Input arrays are read until return" */
static void test_strings_are_copied_on_entry(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    char name[] = "first", backend[] = "echo", device[] = "host", format[] = "echo", config[] = "";
    mm_model_spec spec = fixture_spec(&f, "first", "echo", "seed 5\n");
    spec.name = name;
    spec.backend = backend;
    spec.device = device;
    spec.format = format;
    spec.config = config;
    mm_model model = fixture_register(&f, &spec), found = {0};
    mm_model_spec twin = fixture_spec(&f, "first", "echo", "seed 5\n");
    assert_status(&f, mm_register(f.mesh, &twin, &found, &f.err), MM_EXISTS);
    memset(name, '#', sizeof(name) - 1);
    memset(backend, '#', sizeof(backend) - 1);
    memset(device, '#', sizeof(device) - 1);
    memset(format, '#', sizeof(format) - 1);
    memset(&spec, 0xee, sizeof(spec));
    assert_int_equal(mm_find(f.mesh, "first", &found), MM_OK);
    assert_int_equal(found.id, model.id);
    assert_int_equal(mm_find(f.mesh, "#####", &found), MM_NOT_FOUND);
    assert_ok(&f, fixture_infer(&f, model));
    fixture_close(&f);
}

/* Asks for the need, then with too little room, then with enough. */
static void check_text_call(uint64_t (*call)(const void *ctx, char *text, uint64_t room),
                            const void *ctx) {
    static char text[65536], less[65536];
    uint64_t need = call(ctx, NULL, 0);
    assert_in_range(need, 2, sizeof(text));
    assert_int_equal(call(ctx, text, need), need);
    assert_int_equal(strlen(text), need - 1); /* the NUL is part of the need */
    memset(less, '#', sizeof(less));
    assert_int_equal(call(ctx, less, need / 2), need);
    assert_int_equal(strlen(less), need / 2 - 1);
    assert_memory_equal(less, text, need / 2 - 1);
    assert_int_equal(less[need / 2], '#');
}

static uint64_t event_text(const void *ctx, char *text, uint64_t room) {
    return mm_event_text(ctx, text, room);
}

static uint64_t metrics_text(const void *ctx, char *text, uint64_t room) {
    const struct fixture *f = ctx;
    return mm_metrics_text(f->mesh, text, room);
}

/* "Text calls: the need is returned, NULL asks for it" */
static void test_text_calls_return_the_need(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    assert_ok(&f, fixture_infer(&f, fixture_echo(&f, "m", "weights_bytes 1m\n")));
    mm_event event;
    uint64_t cursor = 0;
    assert_int_equal(mm_events_next(f.mesh, &cursor, &event, NULL), MM_OK);
    check_text_call(event_text, &event);
    check_text_call(metrics_text, &f);
    fixture_close(&f);
}

/* "{0} is no model": MM_INVALID_ARGUMENT, not a stale handle; and the other way round */
static void test_no_handle_is_not_a_stale_one(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    mm_model models[] = {{0}, fixture_echo(&f, "m", "")};
    assert_ok(&f, mm_unregister(f.mesh, models[1], &f.err));
    static const mm_status wanted[] = {MM_INVALID_ARGUMENT, MM_STALE_HANDLE};
    for (int i = 0; i < 2; i++) {
        mm_model_info info = MM_MODEL_INFO_INIT;
        mm_plan plan = MM_PLAN_INIT;
        mm_op *op = NULL;
        assert_status(&f, fixture_infer(&f, models[i]), wanted[i]);
        assert_status(&f, mm_load(f.mesh, models[i], NULL, NULL, &f.err), wanted[i]);
        assert_status(&f, mm_evict(f.mesh, models[i], MM_NO_WAIT, &f.err), wanted[i]);
        assert_status(&f, mm_unregister(f.mesh, models[i], &f.err), wanted[i]);
        assert_status(&f, mm_plan_load(f.mesh, models[i], &plan, &f.err), wanted[i]);
        assert_int_equal(mm_model_info_get(f.mesh, models[i], &info), wanted[i]);
        assert_int_equal(mm_pin(f.mesh, models[i]), wanted[i]);
        assert_int_equal(mm_set_class(f.mesh, models[i], MM_CLASS_LOW), wanted[i]);
        assert_ok(&f, mm_prepare(f.mesh, models[i], NULL, &op, &f.err));
        assert_status(&f, mm_op_wait(op, 0, &f.err), wanted[i]);
        mm_op_free(op);
    }
    fixture_close(&f);
}

/* ---- Deadlines ------------------------------------------------------------------------------ */

/* "past = MM_DEADLINE at once, nothing started" */
static void test_a_past_deadline_starts_nothing(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    mm_model model = fixture_echo(&f, "m", "");
    struct asker late = {.f = &f, .model = model, .deadline_ns = WORLD_START_NS};
    assert_int_equal(asker_ask(&late), MM_DEADLINE);
    mm_async async = MM_ASYNC_INIT;
    async.deadline_ns = WORLD_START_NS - 1;
    assert_status(&f, mm_load(f.mesh, model, &async, NULL, &f.err), MM_DEADLINE);
    assert_status(&f, mm_prepare(f.mesh, model, &async, NULL, &f.err), MM_DEADLINE);
    mm_model_description *description = NULL;
    assert_status(&f, mm_model_describe(f.mesh, model, async.deadline_ns, &description, &f.err),
                  MM_DEADLINE);
    assert_null(description);
    mm_op *op = NULL;
    assert_ok(&f, mm_load(f.mesh, model, &async, &op, &f.err));
    assert_status(&f, mm_op_wait(op, 0, &f.err), MM_DEADLINE);
    mm_op_free(op);
    assert_int_equal(fixture_events_of(&f, NULL, "m"), 1); /* its registration */
    assert_int_equal(fixture_info(&f, model).state, MM_STATE_COLD);
    assert_ok(&f, fixture_infer(&f, model));
    assert_int_equal(asker_ask(&late), MM_DEADLINE); /* hot as well */
    fixture_close(&f);
}

/* "absolute CLOCK_MONOTONIC"; "A deadline bounds a caller's wait, not the load" */
static void test_the_load_goes_on_after_the_waiter_left(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    mm_model model = fixture_gated(&f, "m", "weights_bytes 64k\nversion l\n");
    struct gate gate;
    gate_shut(&f, &gate, MMI_ECHO_ATTACH, "l");
    struct asker asker = {.f = &f, .model = model, .deadline_ns = WORLD_START_NS + 5 * MS_NS};
    asker_start(&asker);
    gate_wait_arrived(&gate, 1);
    fixture_until_queued(&f, model, 1);
    fixture_advance(&f, 5 * MS_NS);
    assert_int_equal(asker_join(&asker), MM_DEADLINE);
    assert_int_equal(fixture_info(&f, model).state, MM_STATE_LOADING);
    gate_open(&gate);
    fixture_until_state(&f, model, MM_STATE_READY);
    asker.deadline_ns = 0;
    assert_int_equal(asker_ask(&asker), MM_OK);
    assert_true(asker.flags & MM_RESPONSE_HIT);
    assert_int_equal(fixture_info(&f, model).loads, 1);
    fixture_close(&f);
}

/* "It bounds waiting; a kernel that runs is not interrupted" */
static void test_a_running_kernel_outlives_its_deadline(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    mm_model model = fixture_gated(&f, "m", "activation_bytes 64k\nversion k\n");
    struct gate gate;
    gate_shut(&f, &gate, MMI_ECHO_INFER, "k");
    struct asker asker = {.f = &f, .model = model, .deadline_ns = WORLD_START_NS + MS_NS};
    asker_start(&asker);
    gate_wait_arrived(&gate, 1);
    fixture_advance(&f, S_NS);
    gate_open(&gate);
    assert_int_equal(asker_join(&asker), MM_OK);
    fixture_close(&f);
}

static mm_status ask_now(struct fixture *f, mm_model model, uint32_t *flags) {
    struct asker asker = {.f = f, .model = model, .deadline_ns = MM_NO_WAIT};
    asker_ask(&asker);
    f->err = asker.err;
    *flags = asker.flags;
    return asker.status;
}

static void expect_no_wait(struct fixture *f, mm_model model, mm_status prepared,
                           mm_status loaded) {
    mm_async async = MM_ASYNC_INIT;
    mm_model_description *description = NULL;
    mm_op *op;
    async.deadline_ns = MM_NO_WAIT;
    assert_status(f, mm_model_describe(f->mesh, model, MM_NO_WAIT, &description, &f->err),
                  prepared);
    mm_description_free(description);
    assert_status(f, mm_prepare(f->mesh, model, &async, NULL, &f->err), prepared);
    assert_status(f, mm_load(f->mesh, model, &async, NULL, &f->err), loaded);
    assert_ok(f, mm_load(f->mesh, model, &async, &op, &f->err));
    assert_status(f, mm_op_wait(op, 0, &f->err), loaded);
    mm_op_free(op);
}

/* "MM_NO_WAIT = only what can be had at once": nothing is started for it */
static void test_no_wait_starts_nothing(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    mm_model model = fixture_echo(&f, "m", "seed 1\n");
    expect_no_wait(&f, model, MM_NOT_RESIDENT, MM_NOT_RESIDENT);
    assert_non_null(strstr(f.err.text, "model m"));
    assert_int_equal(fixture_info(&f, model).prepared, 0);
    assert_ok(&f, mm_prepare(f.mesh, model, NULL, NULL, &f.err));
    expect_no_wait(&f, model, MM_OK, MM_NOT_RESIDENT);
    assert_int_equal(fixture_info(&f, model).state, MM_STATE_COLD);
    assert_ok(&f, mm_load(f.mesh, model, NULL, NULL, &f.err));
    expect_no_wait(&f, model, MM_OK, MM_OK);
    assert_int_equal(fixture_info(&f, model).loads, 1);
    fixture_close(&f);
}

/* "MM_NO_WAIT = only if hot" */
static void test_no_wait_answers_only_if_hot(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    mm_model model = fixture_gated(&f, "m", "serial 1\nversion n\n");
    struct gate attach, infer;
    gate_shut(&f, &attach, MMI_ECHO_ATTACH, "n");
    gate_shut(&f, &infer, MMI_ECHO_INFER, "n");
    uint32_t flags;
    assert_status(&f, ask_now(&f, model, &flags), MM_NOT_RESIDENT);
    assert_int_equal(fixture_info(&f, model).state, MM_STATE_COLD);
    assert_int_equal(fixture_events_of(&f, "prepare_begin", "m"), 0);
    struct asker asker = {.f = &f, .model = model};
    asker_start(&asker);
    gate_wait_arrived(&attach, 1);
    assert_status(&f, ask_now(&f, model, &flags), MM_NOT_RESIDENT); /* loading */
    gate_open(&attach);
    gate_wait_arrived(&infer, 1);
    assert_status(&f, ask_now(&f, model, &flags), MM_BUSY); /* resident, not free */
    gate_open(&infer);
    assert_int_equal(asker_join(&asker), MM_OK);
    assert_ok(&f, ask_now(&f, model, &flags));
    assert_true(flags & MM_RESPONSE_HIT);
    fixture_close(&f);
}

/* "MM_NO_WAIT = answer only if the model is resident and free": not even for scratch memory */
static void test_no_wait_does_not_wait_for_scratch(void **state) {
    (void)state;
    struct fixture f;
    mm_mesh_options options = MM_MESH_OPTIONS_INIT;
    mm_device_options host = fixture_host("host", 4 * MIB);
    options.devices = &host;
    options.device_count = 1;
    fixture_open(&f, &options);
    mm_model model = fixture_gated(&f, "m", "weights_bytes 64k\nactivation_bytes 3m\nversion w\n");
    struct gate gate;
    gate_shut(&f, &gate, MMI_ECHO_INFER, "w");
    struct asker asker = {.f = &f, .model = model};
    asker_start(&asker);
    gate_wait_arrived(&gate, 1); /* it has all the scratch there is */
    uint32_t flags;
    assert_status(&f, ask_now(&f, model, &flags), MM_BUSY);
    gate_open(&gate);
    assert_int_equal(asker_join(&asker), MM_OK);
    assert_ok(&f, ask_now(&f, model, &flags));
    fixture_close(&f);
}

/* ---- How a blocking inference ends ---------------------------------------------------------- */

/* "ends by answer, error, deadline, unregister or close": here the last two; what runs finishes */
static void check_end(bool by_close) {
    struct fixture f;
    fixture_open(&f, NULL);
    mm_model loading = fixture_gated(&f, "loading", "version e\n");
    mm_model serial = fixture_gated(&f, "serial", "serial 1\nversion r\n");
    struct gate attach, infer;
    gate_shut(&f, &attach, MMI_ECHO_ATTACH, "e");
    gate_shut(&f, &infer, MMI_ECHO_INFER, "r");
    struct asker runs = {.f = &f, .model = serial};
    struct asker waits[3] = {
        {.f = &f, .model = serial}, {.f = &f, .model = loading}, {.f = &f, .model = loading}};
    asker_start(&runs);
    gate_wait_arrived(&infer, 1);
    for (int i = 0; i < 3; i++) {
        asker_start(&waits[i]);
    }
    gate_wait_arrived(&attach, 1);
    fixture_until_queued(&f, serial, 1);
    fixture_until_queued(&f, loading, 2);
    mm_status wanted = by_close ? MM_CLOSED : MM_UNREGISTERED;
    if (by_close) {
        assert_int_equal(mm_mesh_close(f.mesh), MM_OK);
        assert_status(&f, fixture_infer(&f, loading), MM_CLOSED);
    } else {
        assert_ok(&f, mm_unregister(f.mesh, serial, &f.err));
        assert_ok(&f, mm_unregister(f.mesh, loading, &f.err));
        assert_status(&f, fixture_infer(&f, loading), MM_STALE_HANDLE);
    }
    assert_int_equal(asker_join(&waits[0]), wanted);
    gate_open(&attach); /* one of the two may be loading it itself */
    assert_int_equal(asker_join(&waits[1]), wanted);
    assert_int_equal(asker_join(&waits[2]), wanted);
    gate_open(&infer);
    assert_int_equal(asker_join(&runs), MM_OK);
    fixture_close(&f);
}

static void test_blocking_infer_ends_by_unregister(void **state) {
    (void)state;
    check_end(false);
}

static void test_blocking_infer_ends_by_close(void **state) {
    (void)state;
    check_end(true);
}

struct runs {
    struct fixture *f;
    mm_model model;
    uint32_t count;
};

static bool has_leases(void *ctx) {
    struct runs *runs = ctx;
    return fixture_info(runs->f, runs->model).leases == runs->count;
}

/* unregister: "running ones finish", and who waits is told, also for activation memory. */
static void test_a_run_that_waits_for_memory_ends_by_unregister(void **state) {
    (void)state;
    struct fixture f;
    mm_mesh_options options = MM_MESH_OPTIONS_INIT;
    mm_device_options host = fixture_host("host", 4 * MIB);
    options.devices = &host;
    options.device_count = 1;
    fixture_open(&f, &options);
    mm_model model = fixture_gated(&f, "m", "weights_bytes 64k\nactivation_bytes 3m\nversion u\n");
    struct gate gate;
    gate_shut(&f, &gate, MMI_ECHO_INFER, "u");
    struct asker askers[2] = {{.f = &f, .model = model}, {.f = &f, .model = model}};
    asker_start(&askers[0]);
    gate_wait_arrived(&gate, 1);
    asker_start(&askers[1]);
    fixture_until(has_leases, &(struct runs){&f, model, 2});
    assert_ok(&f, mm_unregister(f.mesh, model, &f.err));
    mm_model heir = fixture_echo(&f, "heir", "seed 9\n"); /* may take its place in the catalog */
    assert_int_equal(asker_join(&askers[1]), MM_UNREGISTERED);
    gate_open(&gate);
    assert_int_equal(asker_join(&askers[0]), MM_OK);
    assert_ok(&f, fixture_infer(&f, heir));
    fixture_close(&f);
}

static void ignore(int signal) {
    (void)signal;
}

/* "EINTR never surfaces" */
static void test_signals_do_not_end_a_wait(void **state) {
    (void)state;
    struct sigaction action = {.sa_handler = ignore}, before; /* no SA_RESTART */
    sigaction(SIGUSR1, &action, &before);
    struct fixture f;
    fixture_open(&f, NULL);
    mm_model model = fixture_gated(&f, "m", "version i\n");
    struct gate gate;
    gate_shut(&f, &gate, MMI_ECHO_ATTACH, "i");
    struct asker askers[CROWD];
    for (int i = 0; i < CROWD; i++) {
        askers[i] = (struct asker){.f = &f, .model = model};
        asker_start(&askers[i]);
    }
    fixture_until_queued(&f, model, CROWD);
    for (int i = 0; i < 10 * CROWD; i++) {
        assert_int_equal(pthread_kill(askers[i % CROWD].thread, SIGUSR1), 0);
        sched_yield();
    }
    assert_int_equal(fixture_info(&f, model).queued, CROWD);
    gate_open(&gate);
    for (int i = 0; i < CROWD; i++) {
        assert_int_equal(asker_join(&askers[i]), MM_OK);
    }
    fixture_close(&f);
    sigaction(SIGUSR1, &before, NULL);
}

/* What was told of hits stays true while a miss runs, which counts as served only at its end. */
static void test_hits_never_go_down(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    mm_model model = fixture_gated(&f, "m", "version o\n");
    assert_int_equal(fixture_infer(&f, model), MM_OK);
    assert_int_equal(fixture_infer(&f, model), MM_OK);
    assert_int_equal(fixture_info(&f, model).hits, 1);
    assert_int_equal(fixture_stats(&f).hits, 1);
    assert_int_equal(mm_evict(f.mesh, model, MM_NO_WAIT, &f.err), MM_OK);
    struct gate gate;
    gate_shut(&f, &gate, MMI_ECHO_INFER, "o");
    struct asker asker = {.f = &f, .model = model};
    asker_start(&asker);
    gate_wait_arrived(&gate, 1);
    assert_int_equal(fixture_info(&f, model).hits, 1);
    assert_int_equal(fixture_stats(&f).hits, 1);
    gate_open(&gate);
    assert_int_equal(asker_join(&asker), MM_OK);
    assert_int_equal(fixture_info(&f, model).hits, 1);
    assert_int_equal(fixture_info(&f, model).requests, 3);
    fixture_close(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_infer_on_one_model_runs_in_parallel),
        cmocka_unit_test(test_serial_model_queues),
        cmocka_unit_test(test_max_concurrency_holds_the_rest_back),
        cmocka_unit_test(test_max_queued_of_a_model_overloads_it_alone),
        cmocka_unit_test(test_max_queued_of_the_mesh_counts_all_models),
        cmocka_unit_test(test_names_are_utf8_of_at_most_255_bytes),
        cmocka_unit_test(test_strings_are_copied_on_entry),
        cmocka_unit_test(test_text_calls_return_the_need),
        cmocka_unit_test(test_no_handle_is_not_a_stale_one),
        cmocka_unit_test(test_a_past_deadline_starts_nothing),
        cmocka_unit_test(test_the_load_goes_on_after_the_waiter_left),
        cmocka_unit_test(test_a_running_kernel_outlives_its_deadline),
        cmocka_unit_test(test_no_wait_starts_nothing),
        cmocka_unit_test(test_no_wait_answers_only_if_hot),
        cmocka_unit_test(test_no_wait_does_not_wait_for_scratch),
        cmocka_unit_test(test_blocking_infer_ends_by_unregister),
        cmocka_unit_test(test_blocking_infer_ends_by_close),
        cmocka_unit_test(test_a_run_that_waits_for_memory_ends_by_unregister),
        cmocka_unit_test(test_signals_do_not_end_a_wait),
        cmocka_unit_test(test_hits_never_go_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
