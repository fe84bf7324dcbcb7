/* SPDX-License-Identifier: Apache-2.0 */
/* New versions of a model: update. */
#include "scene.h"

#include <stdio.h>

static mm_status update(struct fixture *f, mm_model model, uint32_t flags, const char *backend,
                        const char *lines) {
    mm_model_spec spec = fixture_spec(f, NULL, backend, lines);
    return mm_update(f->mesh, model, &spec, flags, NULL, NULL, &f->err);
}

static mm_op *update_async(struct fixture *f, mm_model model, uint32_t flags, const char *backend,
                           const char *lines) {
    mm_model_spec spec = fixture_spec(f, NULL, backend, lines);
    mm_op *op = NULL;
    assert_int_equal(mm_update(f->mesh, model, &spec, flags, NULL, &op, &f->err), MM_OK);
    assert_non_null(op);
    return op;
}

static mm_status finish(mm_op *op, mm_error *err) {
    mm_status status = mm_op_wait(op, 0, err);
    mm_op_free(op);
    return status;
}

/* ---- Cold, beside ---------------------------------------------------------------------------- */

/* "cold: only re-pointed": nothing is prepared or loaded, not even looked at. */
static void test_update_of_a_cold_model_only_repoints(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    mm_model model = fixture_add(&f, "m", "weights_bytes 1m\nseed 1\n");
    mm_model_spec nowhere = MM_MODEL_SPEC_INIT;
    nowhere.source = "/nowhere/at/all.echo";
    assert_int_equal(mm_update(f.mesh, model, &nowhere, 0, NULL, NULL, &f.err), MM_OK);
    assert_int_equal(update(&f, model, 0, "echo", "weights_bytes 1m\nseed 3\n"), MM_OK);
    mm_model_info info = fixture_info(&f, model);
    assert_int_equal(info.state, MM_STATE_COLD);
    assert_int_equal(info.version, 3);
    assert_int_equal(info.updating, 0);
    assert_int_equal(fixture_events(&f, "prepare_begin", NULL), 0);
    assert_int_equal(fixture_events(&f, "load_begin", NULL), 0);
    assert_int_equal(scene_seed(&f, model), 3);
    mm_model found;
    assert_int_equal(mm_find(f.mesh, "m", &found), MM_OK);
    assert_true(found.id == model.id); /* "the handle stays" */
    fixture_close(&f);
}

/* "loads beside the old": while the new one is on its way the old one answers, as a hit. */
static void test_update_loads_beside_the_old(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    mm_model model = fixture_add_gated(&f, "m", "weights_bytes 1m\nseed 1\n");
    assert_int_equal(scene_seed(&f, model), 1);
    uint64_t used = fixture_device(&f, 0).used_bytes;
    enum mmi_echo_slot slots[] = {MMI_ECHO_PREPARE, MMI_ECHO_OPEN, MMI_ECHO_ATTACH};
    for (int i = 0; i < 3; i++) {
        gate_close(&f, slots[i]);
        char lines[64];
        snprintf(lines, sizeof(lines), "weights_bytes 1m\nseed %d\n", i + 2);
        mm_op *op = update_async(&f, model, 0, "gated", lines);
        gate_wait(&f, slots[i], (unsigned)i + 2);
        assert_int_equal(fixture_info(&f, model).updating, 1);
        assert_int_equal(fixture_info(&f, model).state, MM_STATE_READY);
        assert_int_equal(mm_op_poll(op, NULL), MM_PENDING);
        assert_int_equal(scene_hit(&f, model), i + 1);
        gate_open(&f, slots[i]);
        assert_int_equal(finish(op, &f.err), MM_OK);
        assert_int_equal(scene_hit(&f, model), i + 2);
        assert_int_equal(fixture_info(&f, model).updating, 0);
        assert_int_equal(fixture_info(&f, model).version, i + 2);
    }
    scene_wait_used(&f, used); /* the old ones are gone */
    assert_int_equal(fixture_events(&f, "switch model=m", NULL), 3);
    assert_int_equal(fixture_events(&f, "evict model=m", "reason=update"), 3);
    fixture_close(&f);
}

/* "running ones finish on the old": whose memory follows them. */
static void test_running_requests_finish_on_the_old(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    mm_model model = fixture_add_gated(&f, "m", "weights_bytes 1m\nseed 1\n");
    gate_close(&f, MMI_ECHO_INFER);
    struct ask running;
    struct call call;
    ask_init(&running, &f, model);
    call_ask(&call, &running);
    gate_wait(&f, MMI_ECHO_INFER, 1);
    assert_int_equal(update(&f, model, 0, "echo", "weights_bytes 1m\nseed 2\n"), MM_OK);
    assert_int_equal(scene_hit(&f, model), 2);
    assert_int_equal(fixture_device(&f, 0).instances, 2);
    gate_open(&f, MMI_ECHO_INFER);
    assert_int_equal(call_join(&call), MM_OK);
    assert_int_equal(ask_seed(&running), 1);
    ask_done(&running);
    scene_wait_used(&f, MIB);
    fixture_close(&f);
}

/* ---- Queued requests ------------------------------------------------------------------------- */

/* "queued requests take the new": those that wait for a load of the old. Large and small, because
 * a small one is loaded on a waiting caller's own thread. */
static void test_requests_that_wait_for_a_load_take_the_new(void **state) {
    (void)state;
    const char *old[] = {"weights_bytes 1m\nseed 1\n", "weights_bytes 4k\nseed 1\n"};
    const char *next[] = {"weights_bytes 1m\nseed 2\n", "weights_bytes 4k\nseed 2\n"};
    for (int i = 0; i < 2; i++) {
        struct fixture f;
        fixture_open(&f, NULL);
        mm_model model = fixture_add_gated(&f, "m", old[i]);
        gate_close(&f, MMI_ECHO_ATTACH);
        struct ask ask;
        struct call call;
        ask_init(&ask, &f, model);
        call_ask(&call, &ask);
        gate_wait(&f, MMI_ECHO_ATTACH, 1);
        wait_queued(&f, 1);
        assert_int_equal(update(&f, model, 0, "echo", next[i]), MM_OK);
        gate_open(&f, MMI_ECHO_ATTACH);
        assert_int_equal(call_join(&call), MM_OK);
        assert_int_equal(ask_seed(&ask), 2);
        ask_done(&ask);
        assert_int_equal(scene_hit(&f, model), 2);
        fixture_close(&f);
    }
}

/* Updates in quick succession: a request sees the version that it waits for given up twice. The
 * third update waits, and so does the fourth, in its place. */
static void test_requests_do_not_wait_for_ever_for_updates(void **state) {
    (void)state;
    for (int fails = 0; fails < 2; fails++) {
        struct fixture f;
        fixture_open(&f, NULL);
        mm_model model = fixture_add_gated(&f, "m", "weights_bytes 1m\nseed 1\n");
        gate_close(&f, MMI_ECHO_PREPARE);
        struct ask ask;
        struct call call;
        ask_init(&ask, &f, model);
        call_ask(&call, &ask);
        gate_wait(&f, MMI_ECHO_PREPARE, 1);
        assert_int_equal(update(&f, model, 0, "gated", "weights_bytes 1m\nseed 2\n"), MM_OK);
        const char *third = fails ? "weights_bytes 1m\nfail_attach -1 MM_IO\nseed 3\n"
                                  : "weights_bytes 1m\nseed 3\n";
        assert_int_equal(update(&f, model, 0, "gated", third), MM_OK);
        mm_op *given_up = update_async(&f, model, 0, "gated", "weights_bytes 1m\nseed 4\n");
        mm_op *last = update_async(&f, model, 0, "gated", "weights_bytes 1m\nseed 5\n");
        assert_int_equal(finish(given_up, &f.err), MM_CANCELLED);
        assert_int_equal(mm_op_poll(last, NULL), MM_PENDING);
        assert_int_equal(fixture_info(&f, model).updating, 1);
        gate_open(&f, MMI_ECHO_PREPARE);
        mm_status status = call_join(&call);
        if (fails && status != MM_OK) {
            assert_int_equal(status, MM_IO);
        } else { /* of one that fails it may come too late to be told: between two waits */
            assert_int_equal(status, MM_OK);
            assert_int_equal(ask_seed(&ask), fails ? 5 : 3);
        }
        assert_int_equal(finish(last, &f.err), MM_OK);
        assert_int_equal(scene_seed(&f, model), 5);
        assert_int_equal(fixture_info(&f, model).version, 5);
        ask_done(&ask);
        fixture_close(&f);
    }
}

/* The same where the old one left first, because both do not fit. */
static void test_requests_do_not_wait_for_ever_for_replacements(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    mm_model model = fixture_add_gated(&f, "m", "weights_bytes 9m\ncheck 0\nseed 1\n");
    assert_int_equal(scene_seed(&f, model), 1);
    fixture_advance(&f, 1000 * MS);
    gate_close(&f, MMI_ECHO_ATTACH);
    mm_op *ops[4];
    struct ask ask;
    struct call call;
    for (int i = 0; i < 4; i++) {
        char lines[64];
        snprintf(lines, sizeof(lines), "weights_bytes 9m\ncheck 0\nseed %d\n", i + 2);
        ops[i] = update_async(&f, model, MM_UPDATE_REPLACE, "gated", lines);
        if (i == 0) { /* the old one is gone before anybody waits */
            gate_wait(&f, MMI_ECHO_ATTACH, 2);
            ask_init(&ask, &f, model);
            call_ask(&call, &ask);
            wait_queued(&f, 2); /* the update and the request */
        }
    }
    for (int i = 0; i < 3; i++) {
        assert_int_equal(finish(ops[i], &f.err), MM_CANCELLED);
    }
    assert_int_equal(mm_op_poll(ops[3], NULL), MM_PENDING);
    gate_open(&f, MMI_ECHO_ATTACH);
    assert_int_equal(call_join(&call), MM_OK);
    assert_int_equal(ask_seed(&ask), 4);
    fixture_advance(&f, 1000 * MS);
    assert_int_equal(finish(ops[3], &f.err), MM_OK);
    assert_int_equal(scene_seed(&f, model), 5);
    ask_done(&ask);
    fixture_close(&f);
}

/* Who asks what a model takes waits for no copy: nothing is loaded for it, no update is held. */
static void test_descriptions_hold_no_update(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    mm_model model = fixture_add_gated(&f, "m", "weights_bytes 1m\nseed 1\n");
    gate_close(&f, MMI_ECHO_PREPARE);
    mm_op *prepared = NULL;
    assert_int_equal(mm_prepare(f.mesh, model, NULL, &prepared, &f.err), MM_OK);
    gate_wait(&f, MMI_ECHO_PREPARE, 1);
    for (int i = 0; i < 5; i++) {
        char lines[64];
        snprintf(lines, sizeof(lines), "weights_bytes 1m\nseed %d\n", i + 2);
        assert_int_equal(update(&f, model, 0, "gated", lines), MM_OK);
    }
    gate_open(&f, MMI_ECHO_PREPARE);
    assert_int_equal(finish(prepared, &f.err), MM_OK);
    assert_int_equal(fixture_events(&f, "load_begin", NULL), 0);
    fixture_close(&f);
}

/* "queued requests take the new": those that wait for their turn on a serial model, blocked callers
 * and operations alike. The one that runs finishes on the old. */
static void test_requests_that_wait_for_their_turn_take_the_new(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    mm_model model = fixture_add_gated(&f, "m", "weights_bytes 1m\nserial 1\nseed 1\n");
    gate_close(&f, MMI_ECHO_INFER);
    struct ask running, queued, operation;
    struct call first, second;
    ask_init(&running, &f, model);
    ask_init(&queued, &f, model);
    ask_init(&operation, &f, model);
    call_ask(&first, &running);
    gate_wait(&f, MMI_ECHO_INFER, 1);
    call_ask(&second, &queued);
    assert_int_equal(ask_async(&operation), MM_OK);
    wait_queued(&f, 2);
    assert_int_equal(update(&f, model, 0, "echo", "weights_bytes 1m\nserial 1\nseed 2\n"), MM_OK);
    assert_int_equal(call_join(&second), MM_OK); /* although the old one still runs */
    assert_int_equal(ask_seed(&queued), 2);
    assert_int_equal(mm_op_wait(operation.op, 0, &f.err), MM_OK);
    assert_int_equal(ask_seed(&operation), 2);
    gate_open(&f, MMI_ECHO_INFER);
    assert_int_equal(call_join(&first), MM_OK);
    assert_int_equal(ask_seed(&running), 1);
    ask_wait_called(&operation);
    ask_done(&running);
    ask_done(&queued);
    ask_done(&operation);
    fixture_close(&f);
}

/* ---- No room --------------------------------------------------------------------------------- */

/* "both do not fit: MM_TOO_LARGE and the old serves": with both numbers, and nobody left for it. */
static void test_both_do_not_fit_and_the_old_serves(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    mm_model model = fixture_add(&f, "m", "weights_bytes 9m\ncheck 0\nseed 1\n");
    mm_model beside = fixture_add(&f, "beside", "weights_bytes 1m\nseed 7\n");
    assert_int_equal(scene_seed(&f, model), 1);
    assert_int_equal(scene_seed(&f, beside), 7);
    fixture_advance(&f, 1000 * MS); /* nothing is kept by min residency */
    assert_int_equal(update(&f, model, 0, "echo", "weights_bytes 9m\ncheck 0\nseed 2\n"),
                     MM_TOO_LARGE);
    assert_true(f.err.needed_bytes >= 9 * MIB);
    assert_true(f.err.available_bytes < 9 * MIB);
    assert_int_equal(scene_hit(&f, model), 1);
    assert_int_equal(scene_hit(&f, beside), 7);
    assert_int_equal(fixture_info(&f, model).updating, 0);
    assert_int_equal(fixture_info(&f, model).version, 1);
    assert_int_equal(fixture_stats(&f).evictions, 0);
    /* An idle other one does make room. */
    assert_int_equal(update(&f, model, 0, "echo", "weights_bytes 6600k\ncheck 0\nseed 3\n"), MM_OK);
    assert_int_equal(scene_hit(&f, model), 3);
    assert_int_equal(fixture_info(&f, beside).state, MM_STATE_COLD);
    fixture_close(&f);
}

/* "unless MM_UPDATE_REPLACE": the old one leaves when its requests have ended; those that come
 * meanwhile wait and take the new. */
static void test_replace_unloads_the_old_first(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    mm_model model = fixture_add_gated(&f, "m", "weights_bytes 9m\ncheck 0\nseed 1\n");
    gate_close(&f, MMI_ECHO_INFER);
    struct ask running, queued;
    struct call first, second;
    ask_init(&running, &f, model);
    ask_init(&queued, &f, model);
    call_ask(&first, &running);
    gate_wait(&f, MMI_ECHO_INFER, 1);
    mm_op *op =
        update_async(&f, model, MM_UPDATE_REPLACE, "echo", "weights_bytes 9m\ncheck 0\nseed 2\n");
    scene_wait_state(&f, model, MM_STATE_DRAINING); /* it was found not to fit */
    call_ask(&second, &queued);
    wait_queued(&f, 2); /* the update and the request */
    assert_int_equal(mm_op_poll(op, NULL), MM_PENDING);
    gate_open(&f, MMI_ECHO_INFER);
    assert_int_equal(call_join(&first), MM_OK);
    assert_int_equal(call_join(&second), MM_OK);
    assert_int_equal(finish(op, &f.err), MM_OK);
    assert_int_equal(ask_seed(&running), 1);
    assert_int_equal(ask_seed(&queued), 2);
    ask_done(&running);
    ask_done(&queued);
    fixture_close(&f);
}

/* ... unless the new one could not be loaded even then. */
static void test_nothing_is_unloaded_for_one_that_never_fits(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    mm_model model = fixture_add(&f, "m", "weights_bytes 9m\ncheck 0\nseed 1\n");
    assert_int_equal(scene_seed(&f, model), 1);
    fixture_advance(&f, 1000 * MS);
    assert_int_equal(
        update(&f, model, MM_UPDATE_REPLACE, "echo", "weights_bytes 99m\ncheck 0\nseed 2\n"),
        MM_TOO_LARGE);
    assert_int_equal(scene_hit(&f, model), 1);
    assert_int_equal(fixture_stats(&f).evictions, 0);
    fixture_close(&f);
}

/* Where both fit, REPLACE changes nothing: beside the old, and the new one's failure leaves it. */
static void test_replace_loads_beside_where_both_fit(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    mm_model model = fixture_add_gated(&f, "m", "weights_bytes 1m\nseed 1\n");
    assert_int_equal(scene_seed(&f, model), 1);
    gate_close(&f, MMI_ECHO_ATTACH);
    mm_op *op = update_async(&f, model, MM_UPDATE_REPLACE, "gated",
                             "weights_bytes 1m\nfail_attach -1 MM_IO\nseed 2\n");
    gate_wait(&f, MMI_ECHO_ATTACH, 2);
    assert_int_equal(scene_hit(&f, model), 1);
    gate_open(&f, MMI_ECHO_ATTACH);
    assert_int_equal(finish(op, &f.err), MM_IO);
    assert_int_equal(scene_hit(&f, model), 1);
    fixture_close(&f);
}

/* ---- Failure --------------------------------------------------------------------------------- */

/* "failure: the old serves": whatever fails, as a hit, and what was made for the new is gone. */
static void test_failure_of_the_new_leaves_the_old(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    mm_model model = fixture_add(&f, "m", "weights_bytes 1m\nseed 1\n");
    assert_int_equal(scene_seed(&f, model), 1);
    uint64_t used = fixture_device(&f, 0).used_bytes;
    const struct {
        const char *lines;
        mm_status status;
    } bad[] = {{"weights_bytes 1m\nfail_prepare -1 MM_UNSUPPORTED\n", MM_UNSUPPORTED},
               {"weights_bytes 1m\nfail_open -1 MM_INVALID_MODEL\n", MM_INVALID_MODEL},
               {"weights_bytes 1m\nfail_attach -1 MM_BACKEND_FAILED\n", MM_BACKEND_FAILED},
               {"no such line\n", MM_INVALID_MODEL},
               {"weights_bytes 64m\n", MM_TOO_LARGE}};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        for (uint32_t flags = 0; flags <= MM_UPDATE_REPLACE; flags++) {
            mm_status status = update(&f, model, flags, "echo", bad[i].lines);
            assert_int_equal(status, bad[i].status);
            assert_int_equal(f.err.status, bad[i].status);
            assert_int_equal(scene_seed(&f, model), 1);
            assert_int_equal(fixture_info(&f, model).updating, 0);
        }
    }
    scene_wait_used(&f, used);
    assert_int_equal(fixture_info(&f, model).retry_after_ns, 0); /* no failure of the old */
    assert_int_equal(update(&f, model, 0, "echo", "weights_bytes 1m\nseed 2\n"), MM_OK);
    assert_int_equal(scene_hit(&f, model), 2);
    fixture_close(&f);
}

/* "failure: the old serves", also when it had to leave first: it comes back for who waits. */
static void test_failure_after_a_replace_brings_the_old_back(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    mm_model model = fixture_add(&f, "m", "weights_bytes 9m\ncheck 0\nseed 1\n");
    assert_int_equal(scene_seed(&f, model), 1);
    gate_close(&f, MMI_ECHO_ATTACH);
    mm_op *op = update_async(&f, model, MM_UPDATE_REPLACE, "gated",
                             "weights_bytes 9m\ncheck 0\nfail_attach -1 MM_IO\nseed 2\n");
    gate_wait(&f, MMI_ECHO_ATTACH, 1);
    struct ask queued;
    struct call call;
    ask_init(&queued, &f, model);
    call_ask(&call, &queued);
    wait_queued(&f, 2);
    gate_open(&f, MMI_ECHO_ATTACH);
    assert_int_equal(finish(op, &f.err), MM_IO);
    assert_int_equal(call_join(&call), MM_OK);
    assert_int_equal(ask_seed(&queued), 1);
    ask_done(&queued);
    assert_int_equal(scene_hit(&f, model), 1);
    fixture_close(&f);
}

static bool was_refused(void *ctx) {
    return fixture_events(ctx, "refuse", NULL) > 0;
}

/* The same when the old one was evicted meanwhile and is loading again as that is decided. */
static void test_replace_of_one_that_loads_again(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    mm_model model = fixture_add_gated(&f, "m", "weights_bytes 9m\ncheck 0\nseed 1\n");
    assert_int_equal(scene_seed(&f, model), 1);
    gate_close(&f, MMI_ECHO_PREPARE);
    mm_op *op = update_async(&f, model, MM_UPDATE_REPLACE, "gated", "weights_bytes 64m\nseed 2\n");
    gate_wait(&f, MMI_ECHO_PREPARE, 2);
    assert_int_equal(mm_evict(f.mesh, model, MM_NO_WAIT, &f.err), MM_OK);
    gate_close(&f, MMI_ECHO_ATTACH);
    struct ask queued;
    struct call call;
    ask_init(&queued, &f, model);
    call_ask(&call, &queued);
    gate_wait(&f, MMI_ECHO_ATTACH, 2);
    gate_open(&f, MMI_ECHO_PREPARE); /* it turns out to be too large */
    wait_until(was_refused, &f);
    gate_open(&f, MMI_ECHO_ATTACH);
    assert_int_equal(finish(op, &f.err), MM_TOO_LARGE);
    assert_int_equal(call_join(&call), MM_OK);
    assert_int_equal(ask_seed(&queued), 1);
    ask_done(&queued);
    assert_int_equal(scene_hit(&f, model), 1);
    fixture_close(&f);
}

/* Arguments: a foreign name, a stale handle, unknown flags; the model is as it was. */
/* What the spec does not say is as it was; RESET: it is the default. */
static void test_zeros_are_as_it_was(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    mm_model_spec spec = fixture_spec(&f, "m", "echo", "weights_bytes 1m\nseed 1\n");
    spec.flags = MM_MODEL_PINNED;
    spec.evict_class = MM_CLASS_HIGH;
    spec.max_queued = 7;
    mm_model model;
    assert_int_equal(mm_register(f.mesh, &spec, &model, &f.err), MM_OK);
    assert_int_equal(scene_seed(&f, model), 1);
    mm_model_spec change = MM_MODEL_SPEC_INIT;
    change.max_concurrency = 2;
    assert_int_equal(mm_update(f.mesh, model, &change, 0, NULL, NULL, &f.err), MM_OK);
    assert_int_equal(scene_seed(&f, model), 1); /* the source too */
    mm_model_info info = fixture_info(&f, model);
    assert_int_equal(info.version, 2);
    assert_int_equal(info.pinned, 1);
    assert_int_equal(info.evict_class, MM_CLASS_HIGH);
    assert_int_equal(mm_update(f.mesh, model, &change, MM_UPDATE_RESET, NULL, NULL, &f.err),
                     MM_INVALID_ARGUMENT); /* then it needs a source */
    spec = fixture_spec(&f, NULL, "echo", "weights_bytes 1m\nseed 2\n");
    assert_int_equal(mm_update(f.mesh, model, &spec, MM_UPDATE_RESET, NULL, NULL, &f.err), MM_OK);
    assert_int_equal(scene_seed(&f, model), 2);
    info = fixture_info(&f, model);
    assert_int_equal(info.pinned, 0);
    assert_int_equal(info.evict_class, MM_CLASS_NORMAL);
    fixture_close(&f);
}

static void note_end(void *user, mm_op *op) {
    atomic_store((_Atomic int *)user, mm_op_poll(op, NULL));
}

/* As the other asynchronous calls: a callback, the queue, a deadline of the wait. */
static void test_update_takes_an_async(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    mm_model model = fixture_add(&f, "m", "weights_bytes 1m\nseed 1\n");
    assert_int_equal(scene_seed(&f, model), 1);
    mm_model_spec spec = fixture_spec(&f, NULL, "echo", "weights_bytes 1m\nseed 2\n");
    _Atomic int ended = MM_PENDING;
    mm_async async = MM_ASYNC_INIT;
    async.callback = note_end;
    async.user = &ended;
    async.flags = MM_ASYNC_QUEUE;
    mm_op *op, *fetched;
    assert_int_equal(mm_update(f.mesh, model, &spec, 0, &async, &op, &f.err), MM_OK);
    assert_int_equal(mm_op_wait(op, 0, &f.err), MM_OK);
    assert_int_equal(atomic_load(&ended), MM_OK);
    assert_int_equal(mm_ops_next(f.mesh, &fetched), MM_OK);
    assert_ptr_equal(fetched, op);
    mm_op_free(op);
    assert_int_equal(scene_seed(&f, model), 2);
    async.deadline_ns = 2; /* long past */
    assert_int_equal(mm_update(f.mesh, model, &spec, 0, &async, NULL, &f.err), MM_DEADLINE);
    async.deadline_ns = MM_NO_WAIT;
    assert_int_equal(mm_update(f.mesh, model, &spec, 0, &async, NULL, &f.err), MM_INVALID_ARGUMENT);
    fixture_close(&f);
}

static void test_update_checks_its_arguments(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    mm_model model = fixture_add(&f, "m", "weights_bytes 1m\nseed 1\n");
    mm_model other = fixture_add(&f, "other", "weights_bytes 1m\nseed 2\n");
    mm_model_spec spec = fixture_spec(&f, "other", "echo", "weights_bytes 1m\nseed 3\n");
    assert_int_equal(mm_update(f.mesh, model, &spec, 0, NULL, NULL, &f.err), MM_INVALID_ARGUMENT);
    spec.name = NULL;
    assert_int_equal(mm_update(f.mesh, model, &spec, 4, NULL, NULL, &f.err), MM_INVALID_ARGUMENT);
    assert_int_equal(mm_update(f.mesh, model, NULL, 0, NULL, NULL, &f.err), MM_INVALID_ARGUMENT);
    assert_int_equal(mm_unregister(f.mesh, other, &f.err), MM_OK);
    assert_int_equal(mm_update(f.mesh, other, &spec, 0, NULL, NULL, &f.err), MM_STALE_HANDLE);
    assert_int_equal(scene_seed(&f, model), 1);
    fixture_close(&f);
}

/* ---- Bindings -------------------------------------------------------------------------------- */

/* "changed signature: old bindings get MM_STALE_BINDING", from both forms of the call and however
 * the model is; an unchanged one keeps them good; a new binding is good again. */
static void test_changed_signature_makes_bindings_stale(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    mm_model model = fixture_add(&f, "m", "weights_bytes 1m\nseed 1\n");
    mm_binding *binding;
    assert_int_equal(mm_bind(f.mesh, model, (const char *[]){"x"}, 1, NULL, 0, &binding, &f.err),
                     MM_OK);
    struct ask ask;
    ask_init(&ask, &f, model);
    ask.request.binding = binding;
    assert_int_equal(update(&f, model, 0, "echo", "weights_bytes 2m\nseed 2\n"), MM_OK);
    assert_int_equal(ask_infer(&ask), MM_OK);
    assert_int_equal(ask_seed(&ask), 2);
    ask_done(&ask);
    const char *changed[] = {"weights_bytes 1m\nseed 3\ndtype f64\n",
                             "weights_bytes 1m\nseed 4\nio two\n"};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(update(&f, model, 0, "echo", changed[i]), MM_OK);
        for (int cold = 0; cold < 2; cold++) {
            assert_int_equal(ask_infer(&ask), MM_STALE_BINDING);
            assert_int_equal(ask_async(&ask), MM_OK);
            assert_int_equal(mm_op_wait(ask.op, 0, &f.err), MM_STALE_BINDING);
            ask_wait_called(&ask);
            ask.called = 0;
            ask_done(&ask);
            assert_int_equal(mm_evict(f.mesh, model, MM_NO_WAIT, &f.err), MM_OK);
        }
        assert_int_equal(fixture_info(&f, model).state, MM_STATE_COLD); /* loaded for nobody */
    }
    mm_binding_free(binding);
    assert_int_equal(update(&f, model, 0, "echo", "weights_bytes 1m\nseed 5\n"), MM_OK);
    assert_int_equal(mm_bind(f.mesh, model, (const char *[]){"x"}, 1, NULL, 0, &binding, &f.err),
                     MM_OK);
    ask.request.binding = binding;
    assert_int_equal(ask_infer(&ask), MM_OK);
    assert_int_equal(ask_seed(&ask), 5);
    ask_done(&ask);
    mm_binding_free(binding);
    fixture_close(&f);
}

/* ---- One after the other --------------------------------------------------------------------- */

/* Two updates in a row: the later one supersedes the earlier, which ends MM_CANCELLED wherever it
 * was; its content never answers. */
static void test_the_later_of_two_updates_supersedes(void **state) {
    (void)state;
    enum mmi_echo_slot slots[] = {MMI_ECHO_PREPARE, MMI_ECHO_ATTACH};
    for (int i = 0; i < 2; i++) {
        struct fixture f;
        fixture_open(&f, NULL);
        mm_model model = fixture_add_gated(&f, "m", "weights_bytes 1m\nseed 1\n");
        assert_int_equal(scene_seed(&f, model), 1);
        uint64_t used = fixture_device(&f, 0).used_bytes;
        gate_close(&f, slots[i]);
        mm_op *first = update_async(&f, model, 0, "gated", "weights_bytes 1m\nseed 2\n");
        gate_wait(&f, slots[i], 2);
        mm_op *second = update_async(&f, model, 0, "echo", "weights_bytes 1m\nseed 3\n");
        assert_int_equal(finish(first, &f.err), MM_CANCELLED);
        assert_non_null(strstr(f.err.text, "model m: another update took the place of this one"));
        if (slots[i] == MMI_ECHO_ATTACH) { /* the only thread that prepares is still at it */
            assert_int_equal(finish(second, &f.err), MM_OK);
            assert_int_equal(scene_hit(&f, model), 3);
            gate_open(&f, slots[i]);
        } else {
            assert_int_equal(scene_hit(&f, model), 1);
            gate_open(&f, slots[i]);
            assert_int_equal(finish(second, &f.err), MM_OK);
        }
        assert_int_equal(scene_hit(&f, model), 3);
        assert_int_equal(fixture_info(&f, model).version, 3);
        scene_wait_used(&f, used); /* the first one's load gave up */
        fixture_close(&f);
    }
}

struct traffic {
    struct fixture *f;
    mm_model model;
    _Atomic int64_t oldest, newest; /* seeds that may answer */
    _Atomic bool stop;
};

static mm_status ask_all_the_time(void *ctx) {
    struct traffic *traffic = ctx;
    uint64_t answers = 0;
    while (!atomic_load(&traffic->stop) || answers == 0) {
        int64_t oldest = atomic_load(&traffic->oldest);
        int64_t seed = scene_seed(traffic->f, traffic->model);
        int64_t newest = atomic_load(&traffic->newest);
        assert_in_range(seed, oldest, newest);
        answers++;
    }
    return MM_OK;
}

/* Under traffic: no request fails, none is answered by a version older than the last one that was
 * decided before it came. */
static void test_requests_never_fail_for_an_update(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    struct traffic traffic = {.f = &f};
    traffic.model = fixture_add(&f, "m", "weights_bytes 64k\nseed 0\n");
    struct call calls[2];
    for (int i = 0; i < 2; i++) {
        call_start(&calls[i], ask_all_the_time, &traffic);
    }
    for (int i = 1; i <= 40; i++) {
        char lines[64];
        snprintf(lines, sizeof(lines), "weights_bytes %dk\nseed %d\n", 64 + i % 3, i);
        atomic_store(&traffic.newest, i);
        assert_int_equal(update(&f, traffic.model, (uint32_t)i % 2, "echo", lines), MM_OK);
        atomic_store(&traffic.oldest, i);
    }
    atomic_store(&traffic.stop, true);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(call_join(&calls[i]), MM_OK);
    }
    assert_int_equal(fixture_stats(&f).failed, 0);
    fixture_close(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_update_of_a_cold_model_only_repoints),
        cmocka_unit_test(test_update_loads_beside_the_old),
        cmocka_unit_test(test_running_requests_finish_on_the_old),
        cmocka_unit_test(test_requests_that_wait_for_a_load_take_the_new),
        cmocka_unit_test(test_requests_do_not_wait_for_ever_for_updates),
        cmocka_unit_test(test_requests_do_not_wait_for_ever_for_replacements),
        cmocka_unit_test(test_descriptions_hold_no_update),
        cmocka_unit_test(test_requests_that_wait_for_their_turn_take_the_new),
        cmocka_unit_test(test_both_do_not_fit_and_the_old_serves),
        cmocka_unit_test(test_replace_unloads_the_old_first),
        cmocka_unit_test(test_nothing_is_unloaded_for_one_that_never_fits),
        cmocka_unit_test(test_replace_loads_beside_where_both_fit),
        cmocka_unit_test(test_failure_of_the_new_leaves_the_old),
        cmocka_unit_test(test_failure_after_a_replace_brings_the_old_back),
        cmocka_unit_test(test_replace_of_one_that_loads_again),
        cmocka_unit_test(test_zeros_are_as_it_was),
        cmocka_unit_test(test_update_takes_an_async),
        cmocka_unit_test(test_update_checks_its_arguments),
        cmocka_unit_test(test_changed_signature_makes_bindings_stale),
        cmocka_unit_test(test_the_later_of_two_updates_supersedes),
        cmocka_unit_test(test_requests_never_fail_for_an_update),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
