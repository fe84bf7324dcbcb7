/* SPDX-License-Identifier: Apache-2.0 */
/* mm_evict: "ends in NONE: detached, pages returned", or it changed nothing. */
#include "fixture.h"

#include <string.h>

/* An eviction on a thread of its own. */
struct evictor {
    struct fixture *f;
    mm_model model;
    uint64_t deadline_ns;
    pthread_t thread;
    mm_status status;
};

static void *run_evictor(void *ctx) {
    struct evictor *evictor = ctx;
    evictor->status = mm_evict(evictor->f->mesh, evictor->model, evictor->deadline_ns, NULL);
    return NULL;
}

static void evictor_start(struct evictor *evictor) {
    assert_int_equal(pthread_create(&evictor->thread, NULL, run_evictor, evictor), 0);
}

static mm_status evictor_join(struct evictor *evictor) {
    pthread_join(evictor->thread, NULL);
    return evictor->status;
}

/* "ends in NONE: detached, pages returned" */
static void test_evict_returns_the_pages(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    mm_model model = fixture_gated(&f, "m", "weights_bytes 8m\nversion d\n");
    struct gate detach;
    gate_count(&f, &detach, MMI_ECHO_DETACH, "d");
    assert_ok(&f, mm_evict(f.mesh, model, MM_NO_WAIT, &f.err)); /* cold */
    assert_ok(&f, mm_evict(f.mesh, model, fixture_after(&f, S_NS), &f.err));
    for (uint64_t deadline_ns = 0; deadline_ns <= MM_NO_WAIT; deadline_ns++) {
        assert_ok(&f, fixture_infer(&f, model));
        assert_true(fixture_device(&f, "host").used_bytes >= 8 * MIB);
        assert_ok(&f, mm_evict(f.mesh, model, deadline_ns, &f.err));
        assert_int_equal(fixture_info(&f, model).state, MM_STATE_COLD);
        assert_int_equal(fixture_info(&f, model).weights_bytes, 8 * MIB); /* as prepared */
        assert_int_equal(fixture_device(&f, "host").used_bytes, 0);
        assert_int_equal(fixture_device(&f, "host").instances, 0);
    }
    assert_int_equal(gate_arrived(&detach), 2);
    assert_int_equal(fixture_events_of(&f, "detach", "m"), 2);
    assert_int_equal(fixture_info(&f, model).evictions, 2);
    assert_status(&f, mm_evict(f.mesh, (mm_model){1234567}, MM_NO_WAIT, &f.err), MM_STALE_HANDLE);
    fixture_close(&f);
}

/* "MM_NO_WAIT: only if it is idle, else MM_BUSY and nothing changed" */
static void test_evict_at_once_leaves_a_busy_model_unchanged(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    mm_model model = fixture_gated(&f, "m", "weights_bytes 64k\nversion b\n");
    struct gate attach, infer;
    gate_shut(&f, &attach, MMI_ECHO_ATTACH, "b");
    gate_shut(&f, &infer, MMI_ECHO_INFER, "b");
    struct asker asker = {.f = &f, .model = model};
    asker_start(&asker);
    gate_wait_arrived(&attach, 1);
    assert_status(&f, mm_evict(f.mesh, model, MM_NO_WAIT, &f.err), MM_BUSY); /* loading */
    assert_int_equal(fixture_info(&f, model).state, MM_STATE_LOADING);
    gate_open(&attach);
    gate_wait_arrived(&infer, 1);
    assert_status(&f, mm_evict(f.mesh, model, MM_NO_WAIT, &f.err), MM_BUSY); /* in use */
    assert_non_null(strstr(f.err.text, "model m"));
    assert_int_equal(fixture_info(&f, model).state, MM_STATE_READY);
    gate_open(&infer);
    assert_int_equal(asker_join(&asker), MM_OK);
    asker.deadline_ns = MM_NO_WAIT;
    assert_int_equal(asker_ask(&asker), MM_OK);
    assert_int_equal(fixture_info(&f, model).loads, 1);
    assert_int_equal(fixture_info(&f, model).evictions, 0);
    fixture_close(&f);
}

/* "One that has passed is MM_DEADLINE at once, and nothing was started": idle or cold. */
static void test_evict_after_its_deadline_starts_nothing(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    mm_model model = fixture_echo(&f, "m", "");
    assert_status(&f, mm_evict(f.mesh, model, WORLD_START_NS - 1, &f.err), MM_DEADLINE);
    assert_ok(&f, fixture_infer(&f, model));
    assert_status(&f, mm_evict(f.mesh, model, WORLD_START_NS - 1, &f.err), MM_DEADLINE);
    assert_non_null(strstr(f.err.text, "model m"));
    assert_int_equal(fixture_info(&f, model).state, MM_STATE_READY);
    assert_int_equal(fixture_info(&f, model).evictions, 0);
    fixture_close(&f);
}

/* "refuses new leases and waits"; who came meanwhile waits for the next load */
static void test_evict_waits_for_those_that_run(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    mm_model model = fixture_gated(&f, "m", "weights_bytes 64k\nversion w\n");
    struct gate infer;
    gate_shut(&f, &infer, MMI_ECHO_INFER, "w");
    struct asker runs = {.f = &f, .model = model}, late = runs;
    asker_start(&runs);
    gate_wait_arrived(&infer, 1);
    struct evictor evictor = {.f = &f, .model = model, .deadline_ns = fixture_after(&f, S_NS)};
    evictor_start(&evictor);
    fixture_until_state(&f, model, MM_STATE_DRAINING);
    asker_start(&late);
    fixture_until_queued(&f, model, 2); /* it, and the eviction */
    struct asker hasty = {.f = &f, .model = model, .deadline_ns = MM_NO_WAIT};
    assert_int_equal(asker_ask(&hasty), MM_NOT_RESIDENT);
    assert_int_equal(gate_arrived(&infer), 1);
    gate_open(&infer);
    assert_int_equal(asker_join(&runs), MM_OK);
    assert_int_equal(evictor_join(&evictor), MM_OK);
    assert_int_equal(asker_join(&late), MM_OK);
    assert_int_equal(fixture_info(&f, model).loads, 2);
    assert_int_equal(fixture_info(&f, model).evictions, 1);
    fixture_close(&f);
}

/* "at the deadline MM_DEADLINE, and it serves on"; who queued meanwhile is served without a load */
static void test_evict_serves_on_at_the_deadline(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    mm_model model = fixture_gated(&f, "m", "weights_bytes 64k\nversion x\n");
    struct gate infer;
    gate_shut(&f, &infer, MMI_ECHO_INFER, "x");
    struct asker runs = {.f = &f, .model = model}, late = runs;
    asker_start(&runs);
    gate_wait_arrived(&infer, 1);
    /* Two at once: the longer one keeps it draining. */
    struct evictor brief = {.f = &f, .model = model, .deadline_ns = fixture_after(&f, S_NS)};
    struct evictor patient = {.f = &f, .model = model, .deadline_ns = fixture_after(&f, 2 * S_NS)};
    evictor_start(&brief);
    evictor_start(&patient);
    fixture_until_queued(&f, model, 2);
    asker_start(&late);
    fixture_until_queued(&f, model, 3);
    fixture_advance(&f, S_NS);
    assert_int_equal(evictor_join(&brief), MM_DEADLINE);
    assert_int_equal(fixture_info(&f, model).state, MM_STATE_DRAINING);
    fixture_advance(&f, S_NS);
    assert_int_equal(evictor_join(&patient), MM_DEADLINE);
    gate_wait_arrived(&infer, 2); /* the late one, beside the first */
    assert_int_equal(fixture_info(&f, model).state, MM_STATE_READY);
    gate_open(&infer);
    assert_int_equal(asker_join(&runs), MM_OK);
    assert_int_equal(asker_join(&late), MM_OK);
    assert_int_equal(fixture_info(&f, model).loads, 1);
    assert_int_equal(fixture_info(&f, model).evictions, 0);
    fixture_close(&f);
}

/* ... also when nobody wants it but the run that stood in its way. */
static void test_evict_that_gives_up_leaves_it_ready(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    mm_model model = fixture_gated(&f, "m", "weights_bytes 64k\nversion x\n");
    struct gate infer;
    gate_shut(&f, &infer, MMI_ECHO_INFER, "x");
    struct asker runs = {.f = &f, .model = model};
    asker_start(&runs);
    gate_wait_arrived(&infer, 1);
    struct evictor evictor = {.f = &f, .model = model, .deadline_ns = fixture_after(&f, S_NS)};
    evictor_start(&evictor);
    fixture_until_state(&f, model, MM_STATE_DRAINING);
    fixture_advance(&f, S_NS);
    assert_int_equal(evictor_join(&evictor), MM_DEADLINE);
    assert_int_equal(fixture_info(&f, model).state, MM_STATE_READY);
    gate_open(&infer);
    assert_int_equal(asker_join(&runs), MM_OK);
    assert_int_equal(fixture_info(&f, model).state, MM_STATE_READY);
    assert_int_equal(fixture_info(&f, model).evictions, 0);
    fixture_close(&f);
}

/* "A model that is loading is waited for in the same way." */
static void test_evict_waits_for_a_load(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    mm_model model = fixture_gated(&f, "m", "weights_bytes 64k\nversion l\n");
    struct gate attach;
    gate_shut(&f, &attach, MMI_ECHO_ATTACH, "l");
    mm_op *op;
    assert_ok(&f, mm_load(f.mesh, model, NULL, &op, &f.err));
    gate_wait_arrived(&attach, 1);
    struct evictor brief = {.f = &f, .model = model, .deadline_ns = fixture_after(&f, S_NS)};
    struct evictor patient = {.f = &f, .model = model, .deadline_ns = fixture_after(&f, 60 * S_NS)};
    evictor_start(&brief);
    evictor_start(&patient);
    fixture_until_queued(&f, model, 3);
    fixture_advance(&f, S_NS);
    assert_int_equal(evictor_join(&brief), MM_DEADLINE);
    assert_int_equal(fixture_info(&f, model).state, MM_STATE_LOADING);
    gate_open(&attach);
    assert_status(&f, mm_op_wait(op, 0, &f.err), MM_OK);
    assert_int_equal(evictor_join(&patient), MM_OK);
    assert_int_equal(fixture_info(&f, model).state, MM_STATE_COLD);
    assert_int_equal(fixture_device(&f, "host").used_bytes, 0);
    mm_op_free(op);
    fixture_close(&f);
}

/* "Of a pinned model: MM_PINNED", busy, idle or cold */
static void test_evict_of_a_pinned_model(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    mm_model model = fixture_gated(&f, "m", "version p\n");
    struct gate infer;
    gate_shut(&f, &infer, MMI_ECHO_INFER, "p");
    assert_int_equal(mm_pin(f.mesh, model), MM_OK);
    struct asker asker = {.f = &f, .model = model};
    asker_start(&asker);
    gate_wait_arrived(&infer, 1);
    assert_status(&f, mm_evict(f.mesh, model, MM_NO_WAIT, &f.err), MM_PINNED);
    assert_status(&f, mm_evict(f.mesh, model, fixture_after(&f, S_NS), &f.err), MM_PINNED);
    gate_open(&infer);
    assert_int_equal(asker_join(&asker), MM_OK);
    assert_status(&f, mm_evict(f.mesh, model, MM_NO_WAIT, &f.err), MM_PINNED);
    assert_status(&f, mm_evict(f.mesh, model, fixture_after(&f, S_NS), &f.err), MM_PINNED);
    assert_int_equal(fixture_info(&f, model).state, MM_STATE_READY);
    assert_int_equal(mm_unpin(f.mesh, model), MM_OK);
    assert_ok(&f, mm_evict(f.mesh, model, MM_NO_WAIT, &f.err));
    fixture_close(&f);
}

/* "Only policy eviction rests in RECLAIMABLE": it answers without a load; mm_evict ends its rest */
static void test_only_policy_eviction_rests_in_reclaimable(void **state) {
    (void)state;
    struct fixture f;
    mm_mesh_options options = MM_MESH_OPTIONS_INIT;
    mm_device_options host = fixture_host("host", 6 * MIB);
    options.devices = &host;
    options.device_count = 1;
    fixture_open(&f, &options);
    mm_model busy = fixture_gated(&f, "busy", "weights_bytes 3m\nseed 1\nversion r\n");
    mm_model idle = fixture_echo(&f, "idle", "weights_bytes 2m\nseed 2\n");
    mm_model guest = fixture_echo(&f, "guest", "weights_bytes 5m\nseed 3\n");
    struct gate infer;
    gate_shut(&f, &infer, MMI_ECHO_INFER, "r");
    assert_ok(&f, fixture_infer(&f, idle));
    struct asker runs = {.f = &f, .model = busy}, waits = {.f = &f, .model = guest};
    asker_start(&runs);
    gate_wait_arrived(&infer, 1);
    waits.deadline_ns = WORLD_START_NS + S_NS;
    asker_start(&waits); /* needs both; after the grace both are chosen, one still runs */
    fixture_until_state(&f, guest, MM_STATE_LOADING);
    fixture_advance(&f, 100 * MS_NS);
    fixture_until_state(&f, busy, MM_STATE_DRAINING);
    int32_t state_of_idle = fixture_info(&f, idle).state;
    assert_true(state_of_idle != MM_STATE_READY);
    assert_ok(&f, mm_evict(f.mesh, idle, MM_NO_WAIT, &f.err));
    assert_int_equal(fixture_info(&f, idle).state, MM_STATE_COLD);
    gate_open(&infer);
    assert_int_equal(asker_join(&runs), MM_OK);
    assert_int_equal(asker_join(&waits), MM_OK);
    fixture_close(&f);
}

/* ---- From inside ---------------------------------------------------------------------------- */

struct inside {
    struct fixture *f;
    mm_model outer, self, other;
    mm_status self_now, self_later, other_now, self_load, nested;
    mm_status outer_now, outer_later;
};

static mm_status evict_inside(void *user, mm_error *err) {
    struct inside *in = user;
    (void)err;
    in->self_now = mm_evict(in->f->mesh, in->self, MM_NO_WAIT, NULL);
    in->self_later = mm_evict(in->f->mesh, in->self, fixture_after(in->f, S_NS), NULL);
    in->other_now = mm_evict(in->f->mesh, in->other, MM_NO_WAIT, NULL);
    if (in->outer.id) {
        in->outer_now = mm_evict(in->f->mesh, in->outer, MM_NO_WAIT, NULL);
        in->outer_later = mm_evict(in->f->mesh, in->outer, fixture_after(in->f, S_NS), NULL);
    }
    return MM_OK;
}

/* "evict itself: MM_BUSY"; another idle one works */
static void test_evict_from_inside_its_own_infer_is_busy(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    mm_model self = fixture_gated(&f, "self", "version s\n"), other = fixture_echo(&f, "other", "");
    assert_ok(&f, fixture_infer(&f, other));
    struct inside in = {.f = &f, .self = self, .other = other};
    struct gate gate;
    gate_count(&f, &gate, MMI_ECHO_INFER, "s");
    gate.inside = evict_inside;
    gate.user = &in;
    assert_ok(&f, fixture_infer(&f, self));
    assert_int_equal(in.self_now, MM_BUSY);
    assert_int_equal(in.self_later, MM_BUSY);
    assert_int_equal(in.other_now, MM_OK);
    assert_int_equal(fixture_info(&f, other).state, MM_STATE_COLD);
    fixture_close(&f);
}

static mm_status infer_inside(void *user, mm_error *err) {
    struct inside *in = user;
    (void)err;
    struct asker asker = {.f = in->f, .model = in->self};
    in->nested = asker_ask(&asker);
    return MM_OK;
}

/* The same through a nested request: the outer model is in use by this very thread. */
static void test_evict_of_an_outer_model_is_busy(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    mm_model_spec spec = fixture_spec(&f, "outer", "gated-nested", "version o\n");
    mm_model outer = fixture_register(&f, &spec);
    mm_model self = fixture_gated(&f, "self", "version s\n"), other = fixture_echo(&f, "other", "");
    struct inside in = {.f = &f, .outer = outer, .self = self, .other = other};
    struct gate outside, inner;
    gate_count(&f, &outside, MMI_ECHO_INFER, "o");
    outside.inside = infer_inside;
    outside.user = &in;
    gate_count(&f, &inner, MMI_ECHO_INFER, "s");
    inner.inside = evict_inside;
    inner.user = &in;
    assert_ok(&f, fixture_infer(&f, self));
    assert_ok(&f, fixture_infer(&f, outer));
    assert_int_equal(in.nested, MM_OK);
    assert_int_equal(in.self_now, MM_BUSY);
    assert_int_equal(in.outer_now, MM_BUSY);
    assert_int_equal(in.outer_later, MM_BUSY);
    fixture_close(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_evict_returns_the_pages),
        cmocka_unit_test(test_evict_at_once_leaves_a_busy_model_unchanged),
        cmocka_unit_test(test_evict_after_its_deadline_starts_nothing),
        cmocka_unit_test(test_evict_waits_for_those_that_run),
        cmocka_unit_test(test_evict_serves_on_at_the_deadline),
        cmocka_unit_test(test_evict_that_gives_up_leaves_it_ready),
        cmocka_unit_test(test_evict_waits_for_a_load),
        cmocka_unit_test(test_evict_of_a_pinned_model),
        cmocka_unit_test(test_only_policy_eviction_rests_in_reclaimable),
        cmocka_unit_test(test_evict_from_inside_its_own_infer_is_busy),
        cmocka_unit_test(test_evict_of_an_outer_model_is_busy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
