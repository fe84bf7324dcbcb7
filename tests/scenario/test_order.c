/* SPDX-License-Identifier: Apache-2.0 */
/* Who goes first, who leaves first: priority, class, pins, preload, idle time. */
#include "fixture.h"

#include <stdio.h>
#include <string.h>

/* One device of so many MiB. */
static void open_mib(struct fixture *f, uint64_t mib) {
    mm_mesh_options options = MM_MESH_OPTIONS_INIT;
    mm_device_options host = fixture_host("host", mib * MIB);
    options.devices = &host;
    options.device_count = 1;
    fixture_open(f, &options);
}

static mm_model add(struct fixture *f, const char *name, uint64_t mib, mm_class evict_class,
                    uint32_t flags) {
    char script[64];
    snprintf(script, sizeof(script), "weights_bytes %um\nseed %u\n", (unsigned)mib,
             (unsigned)name[0]);
    mm_model_spec spec = fixture_spec(f, name, "echo", script);
    spec.evict_class = evict_class;
    spec.flags = flags;
    return fixture_register(f, &spec);
}

/* ---- Priority ------------------------------------------------------------------------------- */

struct ended {
    struct fixture *f;
    const unsigned *order;
    unsigned count;
};

static bool have_ended(void *ctx) {
    struct ended *ended = ctx;
    pthread_mutex_lock(&ended->f->mutex);
    bool reached = *ended->order == ended->count;
    pthread_mutex_unlock(&ended->f->mutex);
    return reached;
}

/* "request.priority orders waiting requests", first come first served within one */
static void test_priority_orders_requests_that_wait(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    mm_model model = fixture_gated(&f, "m", "serial 1\nversion o\n");
    struct gate gate;
    gate_shut(&f, &gate, MMI_ECHO_INFER, "o");
    unsigned order = 0;
    static const int32_t priorities[] = {0, 0, 5, -1, 5, INT32_MAX, INT32_MIN};
    static const unsigned places[] = {1, 5, 3, 6, 4, 2, 7};
    enum { COUNT = sizeof(places) / sizeof(places[0]) };
    struct asker askers[COUNT];
    for (unsigned i = 0; i < COUNT; i++) {
        askers[i] =
            (struct asker){.f = &f, .model = model, .priority = priorities[i], .order = &order};
        asker_start(&askers[i]);
        if (i == 0) {
            gate_wait_arrived(&gate, 1);
        } else {
            fixture_until_queued(&f, model, i);
        }
    }
    for (unsigned i = 1; i <= COUNT; i++) {
        gate_wait_arrived(&gate, i);
        gate_pass(&gate, 1);
        fixture_until(have_ended, &(struct ended){&f, &order, i});
    }
    for (unsigned i = 0; i < COUNT; i++) {
        assert_int_equal(asker_join(&askers[i]), MM_OK);
        assert_int_equal(askers[i].place, places[i]);
    }
    fixture_close(&f);
}

/* "the request waits, first come first served within its priority": the same for memory */
static void test_priority_orders_loads_that_wait_for_memory(void **state) {
    (void)state;
    struct fixture f;
    open_mib(&f, 4);
    mm_model first = fixture_gated(&f, "first", "weights_bytes 3m\nseed 1\nversion f\n");
    mm_model early = add(&f, "early", 3, 0, 0), urgent = add(&f, "urgent", 3, 0, 0);
    struct gate gate;
    gate_shut(&f, &gate, MMI_ECHO_INFER, "f");
    unsigned order = 0;
    struct asker askers[3] = {{.f = &f, .model = first, .order = &order},
                              {.f = &f, .model = early, .priority = 1, .order = &order},
                              {.f = &f, .model = urgent, .priority = 2, .order = &order}};
    asker_start(&askers[0]);
    gate_wait_arrived(&gate, 1);
    asker_start(&askers[1]);
    fixture_until_state(&f, early, MM_STATE_LOADING);
    asker_start(&askers[2]);
    fixture_until_state(&f, urgent, MM_STATE_LOADING);
    assert_int_equal(fixture_events(&f, "load_begin", NULL, NULL), 1);
    gate_open(&gate);
    fixture_pass_time_until(&f, have_ended, &(struct ended){&f, &order, 3});
    for (int i = 0; i < 3; i++) {
        assert_int_equal(asker_join(&askers[i]), MM_OK);
    }
    assert_true(fixture_first_event(&f, "load_begin", "urgent") <
                fixture_first_event(&f, "load_begin", "early"));
    fixture_close(&f);
}

/* ---- Class ---------------------------------------------------------------------------------- */

/* "a model's evict_class orders victims": the lower class leaves first, however fresh */
static void test_the_lower_class_leaves_first(void **state) {
    (void)state;
    struct fixture f;
    open_mib(&f, 4);
    mm_model high = add(&f, "high", 1, MM_CLASS_HIGH, 0);
    mm_model normal = add(&f, "normal", 1, MM_CLASS_DEFAULT, 0);
    mm_model low = add(&f, "low", 1, MM_CLASS_LOW, 0);
    mm_model third = add(&f, "third", 1, MM_CLASS_NORMAL, 0);
    mm_model in_order[] = {high, normal, third, low};
    for (int i = 0; i < 4; i++) {
        assert_ok(&f, fixture_infer(&f, in_order[i]));
        fixture_advance(&f, MS_NS);
    }
    mm_model guest = add(&f, "guest", 2, MM_CLASS_NORMAL, 0);
    assert_ok(&f, fixture_infer(&f, guest));
    assert_int_equal(fixture_events(&f, "evict", "model=low", "for=guest"), 1);
    assert_int_equal(fixture_events(&f, "evict", "model=normal", "for=guest"), 1);
    assert_int_equal(fixture_events(&f, "evict", NULL, NULL), 2);
    assert_int_equal(fixture_info(&f, high).state, MM_STATE_READY);
    fixture_close(&f);
}

/* "a request displaces its own class or below"; "Independent" of the priority */
static void test_priority_does_not_displace_a_higher_class(void **state) {
    (void)state;
    struct fixture f;
    open_mib(&f, 4);
    mm_model normal = add(&f, "normal", 3, MM_CLASS_NORMAL, 0);
    mm_model low = add(&f, "low", 3, MM_CLASS_LOW, 0);
    mm_model high = add(&f, "high", 3, MM_CLASS_HIGH, 0);
    assert_ok(&f, fixture_infer(&f, normal));
    fixture_advance(&f, S_NS);
    struct asker asker = {.f = &f, .model = low, .priority = INT32_MAX};
    assert_int_equal(asker_ask(&asker), MM_ALL_PINNED);
    assert_int_equal(fixture_events(&f, "evict", NULL, NULL), 0);
    asker.model = high;
    asker.priority = INT32_MIN;
    assert_int_equal(asker_ask(&asker), MM_OK);
    assert_int_equal(fixture_events(&f, "evict", "model=normal", "for=high"), 1);
    fixture_close(&f);
}

/* mm_set_class counts from the next decision on */
static void test_set_class_counts_at_once(void **state) {
    (void)state;
    struct fixture f;
    open_mib(&f, 4);
    mm_model a = add(&f, "a", 2, MM_CLASS_LOW, 0), b = add(&f, "b", 2, MM_CLASS_NORMAL, 0);
    mm_model guest = add(&f, "guest", 2, MM_CLASS_NORMAL, 0);
    assert_ok(&f, fixture_infer(&f, a));
    assert_ok(&f, fixture_infer(&f, b));
    fixture_advance(&f, S_NS);
    assert_int_equal(mm_set_class(f.mesh, a, MM_CLASS_HIGH), MM_OK);
    assert_int_equal(mm_set_class(f.mesh, b, MM_CLASS_LOW), MM_OK);
    assert_int_equal(fixture_info(&f, a).evict_class, MM_CLASS_HIGH);
    assert_ok(&f, fixture_infer(&f, guest));
    assert_int_equal(fixture_events(&f, "evict", "model=b", "for=guest"), 1);
    assert_int_equal(fixture_info(&f, a).state, MM_STATE_READY);
    assert_int_equal(mm_set_class(f.mesh, a, 4), MM_INVALID_ARGUMENT);
    assert_int_equal(mm_set_class(f.mesh, a, -1), MM_INVALID_ARGUMENT);
    assert_int_equal(mm_set_class(f.mesh, (mm_model){12345}, MM_CLASS_LOW), MM_STALE_HANDLE);
    fixture_close(&f);
}

/* ---- Pins ----------------------------------------------------------------------------------- */

/* "a flag; loads nothing; survives reload" */
static void test_a_pin_is_a_flag_that_survives_reload(void **state) {
    (void)state;
    struct fixture f;
    open_mib(&f, 4);
    mm_model a = add(&f, "a", 3, 0, 0), b = add(&f, "b", 3, 0, 0);
    assert_int_equal(mm_pin(f.mesh, a), MM_OK);
    assert_int_equal(mm_pin(f.mesh, a), MM_OK);
    assert_int_equal(fixture_info(&f, a).pinned, 1);
    assert_int_equal(fixture_info(&f, a).state, MM_STATE_COLD);
    assert_int_equal(fixture_events_of(&f, NULL, "a"), 1); /* its registration */
    assert_ok(&f, fixture_infer(&f, b));                   /* a cold pin keeps nobody out */
    assert_ok(&f, fixture_infer(&f, a));
    assert_status(&f, fixture_infer(&f, b), MM_ALL_PINNED);
    assert_ok(&f, fixture_infer(&f, a));
    assert_int_equal(fixture_info(&f, a).loads, 1);
    /* A device that shrinks to nothing for it cannot; unpinned it leaves, pinned again it
     * returns. */
    assert_int_equal(mm_unpin(f.mesh, a), MM_OK);
    assert_int_equal(mm_unpin(f.mesh, a), MM_OK);
    assert_ok(&f, mm_evict(f.mesh, a, MM_NO_WAIT, &f.err));
    assert_int_equal(mm_pin(f.mesh, a), MM_OK);
    assert_ok(&f, mm_load(f.mesh, a, NULL, NULL, &f.err));
    assert_int_equal(fixture_info(&f, a).pinned, 1);
    assert_status(&f, fixture_infer(&f, b), MM_ALL_PINNED);
    assert_int_equal(mm_pin(f.mesh, (mm_model){0}), MM_INVALID_ARGUMENT);
    fixture_close(&f);
}

/* "A load that pins alone make impossible: MM_ALL_PINNED", nobody evicted, possible once
 * unpinned */
static void test_pins_that_make_a_load_impossible(void **state) {
    (void)state;
    struct fixture f;
    open_mib(&f, 6);
    mm_model pinned = add(&f, "pinned", 3, 0, MM_MODEL_PINNED), idle = add(&f, "idle", 2, 0, 0);
    mm_model guest = add(&f, "guest", 4, 0, 0);
    assert_ok(&f, fixture_infer(&f, pinned));
    assert_ok(&f, fixture_infer(&f, idle));
    fixture_advance(&f, S_NS);
    assert_status(&f, fixture_infer(&f, guest), MM_ALL_PINNED);
    assert_true(f.err.needed_bytes >= 4 * MIB);
    assert_int_equal(f.err.retry_after_ns, 0);
    assert_int_equal(fixture_events(&f, "evict", NULL, NULL), 0);
    assert_int_equal(fixture_events(&f, "refuse", "model=guest", NULL), 1);
    assert_int_equal(mm_unpin(f.mesh, pinned), MM_OK);
    assert_ok(&f, fixture_infer(&f, guest)); /* a refusal is not remembered */
    assert_int_equal(fixture_events(&f, "evict", "model=pinned", "for=guest"), 1);
    fixture_close(&f);
}

/* ---- Preload, idle time --------------------------------------------------------------------- */

/* "load right after registering", in the background */
static void test_preload_loads_right_after_registering(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    mm_model_spec spec = fixture_spec(&f, "m", "gated", "weights_bytes 1m\nversion l\n");
    spec.flags = MM_MODEL_PRELOAD;
    struct gate gate;
    gate_shut(&f, &gate, MMI_ECHO_ATTACH, "l");
    mm_model model = fixture_register(&f, &spec); /* returns before it is loaded */
    gate_wait_arrived(&gate, 1);
    assert_int_equal(fixture_info(&f, model).state, MM_STATE_LOADING);
    gate_open(&gate);
    fixture_until_state(&f, model, MM_STATE_READY);
    struct asker asker = {.f = &f, .model = model};
    assert_int_equal(asker_ask(&asker), MM_OK);
    assert_true(asker.flags & MM_RESPONSE_HIT);
    assert_int_equal(fixture_info(&f, model).loads, 1);
    /* It is no pin: it leaves like any other and does not come back by itself. */
    assert_ok(&f, mm_evict(f.mesh, model, MM_NO_WAIT, &f.err));
    assert_int_equal(fixture_info(&f, model).state, MM_STATE_COLD);
    fixture_close(&f);
}

/* idle_ttl_ns: "evict after this long without a request": the last request counts, not the load */
static void test_idle_time_counts_from_the_last_request(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    mm_model_spec spec = fixture_spec(&f, "m", "echo", "weights_bytes 1m\n");
    spec.idle_ttl_ns = S_NS;
    mm_model model = fixture_register(&f, &spec), other = fixture_echo(&f, "other", "");
    assert_ok(&f, fixture_infer(&f, other));
    assert_ok(&f, fixture_infer(&f, model));
    for (int i = 0; i < 3; i++) {
        fixture_advance(&f, S_NS * 3 / 4);
        struct asker asker = {.f = &f, .model = model, .deadline_ns = MM_NO_WAIT};
        assert_int_equal(asker_ask(&asker), MM_OK);
    }
    fixture_advance(&f, S_NS);
    fixture_until_state(&f, model, MM_STATE_COLD);
    assert_int_equal(fixture_events(&f, "evict", "model=m", "reason=idle"), 1);
    assert_int_equal(fixture_info(&f, other).state, MM_STATE_READY); /* it has no such time */
    assert_ok(&f, fixture_infer(&f, model));
    assert_int_equal(fixture_info(&f, model).loads, 2);
    fixture_advance(&f, S_NS);
    fixture_until_state(&f, model, MM_STATE_COLD); /* and again */
    fixture_close(&f);
}

/* Neither one in use nor a pinned one is evicted for idle time; both are once they may be. */
static void test_idle_time_spares_what_runs_or_is_pinned(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    mm_model_spec spec = fixture_spec(&f, "runs", "gated", "version t\n");
    spec.idle_ttl_ns = S_NS;
    mm_model runs = fixture_register(&f, &spec);
    spec = fixture_spec(&f, "pinned", "echo", "seed 2\n");
    spec.idle_ttl_ns = S_NS;
    spec.flags = MM_MODEL_PINNED;
    mm_model pinned = fixture_register(&f, &spec);
    spec = fixture_spec(&f, "watch", "echo", "seed 3\n");
    spec.idle_ttl_ns = S_NS;
    mm_model watch = fixture_register(&f, &spec);
    struct gate gate;
    gate_shut(&f, &gate, MMI_ECHO_INFER, "t");
    struct asker asker = {.f = &f, .model = runs};
    asker_start(&asker);
    gate_wait_arrived(&gate, 1);
    assert_ok(&f, fixture_infer(&f, pinned));
    assert_ok(&f, fixture_infer(&f, watch));
    fixture_advance(&f, 10 * S_NS);
    fixture_until_state(&f, watch, MM_STATE_COLD); /* the timers have fired */
    assert_int_equal(fixture_info(&f, runs).state, MM_STATE_READY);
    assert_int_equal(fixture_info(&f, pinned).state, MM_STATE_READY);
    gate_open(&gate);
    assert_int_equal(asker_join(&asker), MM_OK);
    assert_int_equal(mm_unpin(f.mesh, pinned), MM_OK);
    fixture_advance(&f, 2 * S_NS);
    fixture_until_state(&f, runs, MM_STATE_COLD);
    fixture_until_state(&f, pinned, MM_STATE_COLD);
    fixture_close(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_priority_orders_requests_that_wait),
        cmocka_unit_test(test_priority_orders_loads_that_wait_for_memory),
        cmocka_unit_test(test_the_lower_class_leaves_first),
        cmocka_unit_test(test_priority_does_not_displace_a_higher_class),
        cmocka_unit_test(test_set_class_counts_at_once),
        cmocka_unit_test(test_a_pin_is_a_flag_that_survives_reload),
        cmocka_unit_test(test_pins_that_make_a_load_impossible),
        cmocka_unit_test(test_preload_loads_right_after_registering),
        cmocka_unit_test(test_idle_time_counts_from_the_last_request),
        cmocka_unit_test(test_idle_time_spares_what_runs_or_is_pinned),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
