/* SPDX-License-Identifier: Apache-2.0 */
/* Who leaves for whom, and when: classes, use, residency, grace. */
#include "weather.h"

#include <sched.h>
#include <stdio.h>
#include <string.h>

static uint64_t seed;

/* ---- Two that do not fit together ----------------------------------------------------------- */

struct loop {
    pthread_t thread;
    struct fixture *f;
    const struct loop *other;
    mm_model model;
    unsigned failed, runs;
    _Atomic bool ended;
};

static void *run_loop(void *ctx) {
    struct loop *loop = ctx;
    for (int i = 0; i < 200; i++) {
        struct asker asker = {.f = loop->f, .model = loop->model};
        loop->failed += asker_ask(&asker) != MM_OK;
    }
    atomic_store(&loop->ended, true);
    return NULL;
}

static mm_status attaching(void *user, mm_error *err) {
    (void)err;
    fixture_advance(user, MS_NS);
    return MM_OK;
}

/* Every 20th run lasts until the other one's load drains this model: they really are in each
 * other's way, however the threads are scheduled. */
static mm_status running(void *user, mm_error *err) {
    struct loop *loop = user;
    (void)err;
    fixture_advance(loop->f, MS_NS);
    if (++loop->runs % 20 == 0) {
        while (!atomic_load(&loop->other->ended) &&
               fixture_info(loop->f, loop->model).state == MM_STATE_READY) {
            sched_yield();
        }
    }
    return MM_OK;
}

/* No instance left before its time: min(twice its own load time, 100 ms), or `stay_ns`. */
static void check_stays(struct fixture *f, uint64_t stay_ns) {
    uint64_t cursor = 0, lost, until_ns[2] = {0, 0};
    unsigned evictions = 0;
    mm_event event;
    while (mm_events_next(f->mesh, &cursor, &event, &lost) == MM_OK) {
        assert_int_equal(lost, 0);
        uint64_t *until = &until_ns[event.model[0] == 'b'];
        if (event.kind == MM_EVENT_LOAD_END) {
            uint64_t twice = 2 * event.duration_ns;
            uint64_t stay = stay_ns ? stay_ns : twice < 100 * MS_NS ? twice : 100 * MS_NS;
            *until = event.time_ns + stay;
        } else if (event.kind == MM_EVENT_EVICT) {
            assert_true(event.time_ns >= *until);
            evictions++;
        }
    }
    assert_true(evictions >= 10);
    assert_int_equal(evictions, fixture_stats(f).evictions);
}

static void check_two_loops(uint64_t stay_ns) {
    struct fixture f;
    mm_device_options device;
    mm_mesh_options options = weather_options(&device, "host", 16 * MIB);
    options.min_residency_ns = stay_ns;
    options.event_capacity = 65536;
    fixture_open(&f, &options);
    struct loop loops[2] = {{.f = &f, .model = weather_gated(&f, "a", 9, 1)},
                            {.f = &f, .model = weather_gated(&f, "b", 9, 2)}};
    struct gate attach[2], infer[2]; /* each takes 1 ms */
    for (int i = 0; i < 2; i++) {
        loops[i].other = &loops[1 - i];
        gate_count(&f, &attach[i], MMI_ECHO_ATTACH, i ? "b" : "a");
        attach[i].user = &f;
        attach[i].inside = attaching;
        gate_count(&f, &infer[i], MMI_ECHO_INFER, i ? "b" : "a");
        infer[i].user = &loops[i];
        infer[i].inside = running;
    }
    for (int i = 0; i < 2; i++) {
        pthread_create(&loops[i].thread, NULL, run_loop, &loops[i]);
    }
    while (!atomic_load(&loops[0].ended) || !atomic_load(&loops[1].ended)) {
        fixture_advance(&f, MS_NS / 16);
        sched_yield();
    }
    for (int i = 0; i < 2; i++) {
        pthread_join(loops[i].thread, NULL);
        assert_int_equal(loops[i].failed, 0);
        assert_int_equal(fixture_info(&f, loops[i].model).requests, 200);
    }
    check_stays(&f, stay_ns);
    fixture_close(&f);
}

/* "two models each over half the budget, two closed loops: both finish 200 requests, none fails; a
 * miss waits out min_residency (default: twice the victim's own load time, at most 100 ms)" */
static void test_two_closed_loops_finish(void **state) {
    (void)state;
    check_two_loops(0);
}

static void test_two_closed_loops_honour_a_given_residency(void **state) {
    (void)state;
    check_two_loops(5 * MS_NS);
}

/* ---- Victims --------------------------------------------------------------------------------- */

/* "lower class first, then the policy; a request displaces its own class or below, never itself;
 * never pinned" */
static void test_victims_by_class_then_by_use(void **state) {
    (void)state;
    struct fixture f;
    weather_open(&f, "host", 16 * MIB);
    static const struct {
        const char *name;
        int32_t evict_class;
    } models[] = {{"high", MM_CLASS_HIGH},
                  {"n-old", MM_CLASS_NORMAL},
                  {"low-old", MM_CLASS_LOW},
                  {"n-new", MM_CLASS_NORMAL},
                  {"low-new", MM_CLASS_LOW}};
    mm_model handles[5];
    for (int i = 0; i < 5; i++) {
        handles[i] = weather_model(&f, models[i].name, 3, 10 + (unsigned)i);
        assert_int_equal(mm_set_class(f.mesh, handles[i], models[i].evict_class), MM_OK);
        assert_ok(&f, fixture_infer(&f, handles[i]));
        fixture_advance(&f, MS_NS);
    }
    static const int order[] = {2, 4, 1, 3}; /* low-old, low-new, n-old, n-new; never high */
    mm_model pinned[5];
    for (int i = 0; i < 4; i++) {
        char name[8];
        snprintf(name, sizeof(name), "new%d", i);
        pinned[i] = weather_model(&f, name, 3, 20 + (unsigned)i);
        assert_int_equal(mm_pin(f.mesh, pinned[i]), MM_OK);
        assert_ok(&f, fixture_infer(&f, pinned[i]));
        fixture_advance(&f, MS_NS);
        for (int k = 0; k < 4; k++) {
            assert_int_equal(weather_state(&f, handles[order[k]]),
                             k <= i ? MM_STATE_COLD : MM_STATE_READY);
        }
    }
    pinned[4] = weather_model(&f, "last", 3, 30);
    assert_status(&f, fixture_infer(&f, pinned[4]), MM_ALL_PINNED);
    assert_int_equal(weather_state(&f, handles[0]), MM_STATE_READY);
    assert_int_equal(mm_set_class(f.mesh, pinned[4], MM_CLASS_HIGH), MM_OK);
    assert_ok(&f, fixture_infer(&f, pinned[4]));
    assert_int_equal(weather_state(&f, handles[0]), MM_STATE_COLD);
    fixture_close(&f);
}

#define LRU_MODELS 12
#define LRU_ROOM 8

/* "LRU is exact": a use on any thread counts at once, against a list. */
static void test_lru_is_exact_across_threads(void **state) {
    (void)state;
    struct fixture f;
    weather_open(&f, "host", LRU_ROOM * MIB);
    mm_model models[LRU_MODELS];
    uint64_t used[LRU_MODELS] = {0}; /* 0 = not resident */
    for (unsigned i = 0; i < LRU_MODELS; i++) {
        char name[8];
        snprintf(name, sizeof(name), "m%u", i);
        models[i] = weather_model(&f, name, 1, i);
    }
    unsigned resident = 0;
    uint64_t random = seed;
    for (uint64_t now = 1; now <= 400; now++) {
        uint64_t pick = test_random_below(&random, LRU_MODELS);
        struct asker asker = {.f = &f, .model = models[pick]};
        if (test_random_below(&random, 2)) {
            asker_start(&asker);
            asker_join(&asker);
        } else {
            asker_ask(&asker);
        }
        assert_int_equal(asker.status, MM_OK);
        assert_int_equal(!(asker.flags & MM_RESPONSE_HIT), used[pick] == 0);
        fixture_advance(&f, 2);
        if (used[pick] == 0 && resident++ == LRU_ROOM) {
            unsigned oldest = LRU_MODELS;
            for (unsigned i = 0; i < LRU_MODELS; i++) {
                if (used[i] && (oldest == LRU_MODELS || used[i] < used[oldest])) {
                    oldest = i;
                }
            }
            used[oldest] = 0;
            resident--;
        }
        used[pick] = now;
        for (unsigned i = 0; i < LRU_MODELS; i++) {
            assert_int_equal(weather_state(&f, models[i]),
                             used[i] ? MM_STATE_READY : MM_STATE_COLD);
        }
    }
    fixture_close(&f);
}

/* When it first happened to this model. */
static uint64_t event_time(struct fixture *f, mm_event_kind kind, const char *name) {
    uint64_t cursor = 0;
    mm_event event;
    while (mm_events_next(f->mesh, &cursor, &event, NULL) == MM_OK) {
        if (event.kind == (int32_t)kind && strcmp(event.model, name) == 0) {
            return event.time_ns;
        }
    }
    fail_msg("no event %d of %s", (int)kind, name);
    return 0;
}

/* "a miss waits out min_residency": of the model, else of the mesh */
static void test_a_miss_waits_out_min_residency(void **state) {
    (void)state;
    struct fixture f;
    mm_device_options device;
    mm_mesh_options options = weather_options(&device, "host", 16 * MIB);
    options.min_residency_ns = 50 * MS_NS;
    fixture_open(&f, &options);
    mm_model a = weather_model(&f, "a", 9, 1);
    mm_model_spec spec = fixture_spec(&f, "b", "echo", "weights_bytes 9m\nseed 2\ncheck 0\n");
    spec.min_residency_ns = 200 * MS_NS;
    mm_model b = fixture_register(&f, &spec);
    assert_ok(&f, fixture_infer(&f, a));
    struct asker late = {.f = &f, .model = b, .deadline_ns = WORLD_START_NS + 40 * MS_NS};
    asker_start(&late);
    fixture_until_queued(&f, b, 1);
    fixture_until_state(&f, b, MM_STATE_LOADING);
    fixture_advance(&f, 40 * MS_NS);
    assert_int_equal(asker_join(&late), MM_DEADLINE);
    assert_int_equal(weather_state(&f, a), MM_STATE_READY);
    struct caller on_b, on_a;
    caller_start(&on_b, &f, b);
    assert_int_equal(caller_join(&on_b), MM_OK);
    /* Waiting is no load time, else two that displace each other would wait longer each time. */
    assert_true(fixture_info(&f, b).load_ns <=
                event_time(&f, MM_EVENT_LOAD_END, "b") - event_time(&f, MM_EVENT_EVICT, "a"));
    caller_start(&on_a, &f, a);
    assert_int_equal(caller_join(&on_a), MM_OK);
    uint64_t a_ns = event_time(&f, MM_EVENT_LOAD_END, "a");
    uint64_t b_ns = event_time(&f, MM_EVENT_LOAD_END, "b");
    assert_true(event_time(&f, MM_EVENT_EVICT, "a") >= a_ns + 50 * MS_NS);
    assert_true(event_time(&f, MM_EVENT_EVICT, "b") >= b_ns + 200 * MS_NS);
    fixture_close(&f);
}

/* min_residency protects from loads; a smaller budget is the host's word, and holds at once. */
static void test_a_smaller_budget_does_not_wait_out_min_residency(void **state) {
    (void)state;
    struct fixture f;
    mm_device_options device;
    mm_mesh_options options = weather_options(&device, "host", 16 * MIB);
    options.min_residency_ns = 3600 * S_NS;
    fixture_open(&f, &options);
    mm_model a = weather_model(&f, "a", 5, 1), b = weather_model(&f, "b", 5, 2);
    assert_ok(&f, fixture_infer(&f, a));
    assert_ok(&f, fixture_infer(&f, b));
    assert_ok(&f, mm_device_set_budget(f.mesh, "host", 8 * MIB, &f.err));
    assert_int_equal(weather_state(&f, a), MM_STATE_COLD);
    assert_int_equal(weather_state(&f, b), MM_STATE_READY);
    assert_true(fixture_device(&f, "host").used_bytes <= 8 * MIB);
    assert_ok(&f, mm_pin(f.mesh, b));
    assert_status(&f, mm_device_set_budget(f.mesh, "host", 4 * MIB, &f.err), MM_BUSY);
    assert_ok(&f, fixture_infer(&f, b));
    fixture_close(&f);
}

/* ---- Grace and drain ------------------------------------------------------------------------- */

/* "If all that would do are leased, the request waits; after a grace the cheapest sufficient set
 * drains: its leases finish, its new requests queue." */
static void test_grace_then_the_cheapest_set_drains(void **state) {
    (void)state;
    struct fixture f;
    weather_open(&f, "host", 16 * MIB);
    mm_model small = weather_gated(&f, "small", 4, 1); /* used first, but it would not suffice */
    mm_model large = weather_gated(&f, "large", 8, 2);
    mm_model wanted = weather_model(&f, "wanted", 10, 3);
    struct gate gates[2];
    struct caller running[2], on_wanted, again;
    mm_model leased[2] = {small, large};
    for (int i = 0; i < 2; i++) {
        gate_shut(&f, &gates[i], MMI_ECHO_INFER, i ? "large" : "small");
        caller_start(&running[i], &f, leased[i]);
        gate_wait_arrived(&gates[i], 1);
        fixture_advance(&f, MS_NS);
    }
    assert_ok(&f, mm_prepare(f.mesh, wanted, NULL, NULL, &f.err));
    caller_start(&on_wanted, &f, wanted);
    fixture_until_state(&f, wanted, MM_STATE_LOADING);
    fixture_advance(&f, 9 * MS_NS);
    assert_int_equal(weather_state(&f, large), MM_STATE_READY);
    fixture_advance(&f, 1 * MS_NS);
    fixture_until_state(&f, large, MM_STATE_DRAINING);
    assert_int_equal(weather_state(&f, small), MM_STATE_READY);
    assert_int_equal(fixture_events(&f, "drain", "model=large", "for=wanted"), 1);
    caller_start(&again, &f, large);
    fixture_until_queued(&f, large, 1);
    assert_false(caller_ended(&on_wanted));
    gate_open(&gates[1]);
    assert_int_equal(caller_join(&running[1]), MM_OK);
    assert_int_equal(caller_join(&on_wanted), MM_OK);
    assert_int_equal(caller_join(&again), MM_OK);
    assert_int_equal(fixture_info(&f, large).loads, 2);
    assert_int_equal(weather_state(&f, small), MM_STATE_READY);
    gate_open(&gates[0]);
    assert_int_equal(caller_join(&running[0]), MM_OK);
    fixture_close(&f);
}

/* "grace": a lease that ends within it makes a drain needless, and the load goes on at once: no
 * time passes. */
static void test_a_lease_that_ends_in_time_is_not_drained(void **state) {
    (void)state;
    struct fixture f;
    weather_open(&f, "host", 16 * MIB);
    mm_model a = weather_gated(&f, "a", 9, 1), b = weather_model(&f, "b", 9, 2);
    struct gate gate;
    gate_shut(&f, &gate, MMI_ECHO_INFER, "a");
    struct caller on_a, on_b;
    caller_start(&on_a, &f, a);
    gate_wait_arrived(&gate, 1);
    fixture_advance(&f, MS_NS);
    assert_ok(&f, mm_prepare(f.mesh, b, NULL, NULL, &f.err));
    caller_start(&on_b, &f, b);
    fixture_until_state(&f, b, MM_STATE_LOADING);
    fixture_advance(&f, 5 * MS_NS);
    gate_open(&gate);
    assert_int_equal(asker_join(&on_a.asker), MM_OK);
    assert_int_equal(asker_join(&on_b.asker), MM_OK);
    assert_int_equal(fixture_events_of(&f, "drain", "a"), 0);
    assert_int_equal(fixture_events_of(&f, "evict", "a"), 1);
    fixture_close(&f);
}

/* The one that becomes idle first will do, wherever it is and whoever was chosen to drain. */
static void test_the_first_that_becomes_idle_leaves(void **state) {
    (void)state;
    for (int devices = 1; devices < 3; devices++) {
        struct fixture f;
        mm_device_options device[2] = {fixture_host("sim/pod1", 16 * MIB / (uint64_t)devices),
                                       fixture_host("sim/pod2", 8 * MIB)};
        mm_mesh_options options = MM_MESH_OPTIONS_INIT;
        options.devices = device;
        options.device_count = (uint32_t)devices;
        options.min_residency_ns = 1;
        fixture_open(&f, &options);
        mm_model leased[2] = {weather_gated(&f, "long", 7, 1), weather_gated(&f, "short", 7, 2)};
        mm_model wanted = weather_model(&f, "wanted", 7, 3);
        struct gate gates[2];
        struct caller running[2], on_wanted;
        for (int i = 0; i < 2; i++) {
            gate_shut(&f, &gates[i], MMI_ECHO_INFER, i ? "short" : "long");
            caller_start(&running[i], &f, leased[i]);
            gate_wait_arrived(&gates[i], 1);
            fixture_advance(&f, MS_NS);
        }
        assert_ok(&f, mm_prepare(f.mesh, wanted, NULL, NULL, &f.err));
        caller_start(&on_wanted, &f, wanted);
        fixture_until_state(&f, wanted, MM_STATE_LOADING);
        for (int i = 0; i < 40; i++) { /* the grace is over: one drains, for as long as it runs */
            fixture_advance(&f, MS_NS);
        }
        gate_open(&gates[1]);
        assert_int_equal(asker_join(&running[1].asker), MM_OK);
        assert_int_equal(caller_join(&on_wanted), MM_OK);
        gate_open(&gates[0]);
        assert_int_equal(asker_join(&running[0].asker), MM_OK);
        assert_int_equal(fixture_info(&f, leased[1]).evictions, 1);
        assert_ok(&f, fixture_infer(&f, leased[0])); /* its bytes are still there */
        assert_int_equal(fixture_info(&f, leased[0]).loads, 1);
        fixture_close(&f);
    }
}

/* A load that waits for memory, and for which nobody waits any more, is in nobody's way. */
static void test_a_load_that_nobody_waits_for_gives_way(void **state) {
    (void)state;
    struct fixture f;
    weather_open(&f, "host", 16 * MIB);
    mm_model busy = weather_gated(&f, "busy", 9, 1), large = weather_model(&f, "large", 9, 2),
             small = weather_model(&f, "small", 1, 3);
    struct gate gate;
    gate_shut(&f, &gate, MMI_ECHO_INFER, "busy");
    struct caller on_busy;
    caller_start(&on_busy, &f, busy);
    gate_wait_arrived(&gate, 1);
    struct asker late = {.f = &f, .model = large, .deadline_ns = fixture_after(&f, 5 * MS_NS)};
    asker_start(&late);
    fixture_until_state(&f, large, MM_STATE_LOADING);
    fixture_advance(&f, 5 * MS_NS);
    assert_int_equal(asker_join(&late), MM_DEADLINE);
    assert_ok(&f, fixture_infer(&f, small)); /* no time passes, and busy is not done */
    assert_int_equal(weather_state(&f, busy), MM_STATE_READY);
    gate_open(&gate);
    assert_int_equal(asker_join(&on_busy.asker), MM_OK);
    fixture_close(&f);
}

int main(int argc, char **argv) {
    seed = test_seed(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_two_closed_loops_finish),
        cmocka_unit_test(test_two_closed_loops_honour_a_given_residency),
        cmocka_unit_test(test_victims_by_class_then_by_use),
        cmocka_unit_test(test_lru_is_exact_across_threads),
        cmocka_unit_test(test_a_miss_waits_out_min_residency),
        cmocka_unit_test(test_a_smaller_budget_does_not_wait_out_min_residency),
        cmocka_unit_test(test_grace_then_the_cheapest_set_drains),
        cmocka_unit_test(test_a_lease_that_ends_in_time_is_not_drained),
        cmocka_unit_test(test_the_first_that_becomes_idle_leaves),
        cmocka_unit_test(test_a_load_that_nobody_waits_for_gives_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
