/* SPDX-License-Identifier: Apache-2.0 */
/* Who leaves for whom: classes, use, residency, grace, coming back; memory for activations. */
#include "weather.h"

#include <sched.h>
#include <stdio.h>
#include <string.h>

static uint64_t seed;

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
    mm_device_options device;
    mm_mesh_options options = weather_options(&device, "host", 16 * MIB);
    fixture_open(&f, &options);
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

/* "... with an idle victim it succeeds at once" */
static void test_wide_input_displaces_an_idle_model(void **state) {
    (void)state;
    struct fixture f;
    mm_device_options device;
    mm_mesh_options options = weather_options(&device, "host", 16 * MIB);
    fixture_open(&f, &options);
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
    mm_device_options device;
    mm_mesh_options options = weather_options(&device, "host", 16 * MIB);
    fixture_open(&f, &options);
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
    mm_device_options device;
    mm_mesh_options options = weather_options(&device, "host", 16 * MIB);
    fixture_open(&f, &options);
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
    mm_device_options device;
    mm_mesh_options options = weather_options(&device, "host", 16 * MIB);
    fixture_open(&f, &options);
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
    mm_device_options device;
    mm_mesh_options options = weather_options(&device, "host", LRU_ROOM * MIB);
    fixture_open(&f, &options);
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

/* ---- Grace and drain ------------------------------------------------------------------------- */

/* "If all that would do are leased, the request waits; after a grace the cheapest sufficient set
 * drains: its leases finish, its new requests queue." */
static void test_grace_then_the_cheapest_set_drains(void **state) {
    (void)state;
    struct fixture f;
    mm_device_options device;
    mm_mesh_options options = weather_options(&device, "host", 16 * MIB);
    fixture_open(&f, &options);
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

/* "grace": a lease that ends within it makes a drain needless. */
static void test_a_lease_that_ends_in_time_is_not_drained(void **state) {
    (void)state;
    struct fixture f;
    mm_device_options device;
    mm_mesh_options options = weather_options(&device, "host", 16 * MIB);
    fixture_open(&f, &options);
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
    assert_int_equal(caller_join(&on_b), MM_OK);
    assert_int_equal(fixture_events_of(&f, "drain", "a"), 0);
    assert_int_equal(fixture_events_of(&f, "evict", "a"), 1);
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
    assert_int_equal(fixture_device(&r.f, "host").reclaimable_bytes, 0);
    assert_int_equal(fixture_events_of(&r.f, "revive", "b"), 1);
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

int main(int argc, char **argv) {
    seed = test_seed(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_too_large_for_every_device_evicts_nobody),
        cmocka_unit_test(test_wide_input_beside_pinned_weights_is_refused),
        cmocka_unit_test(test_wide_input_displaces_an_idle_model),
        cmocka_unit_test(test_reserve_follows_the_residents),
        cmocka_unit_test(test_scratch_is_shared_and_trimmed_first),
        cmocka_unit_test(test_two_closed_loops_finish),
        cmocka_unit_test(test_two_closed_loops_honour_a_given_residency),
        cmocka_unit_test(test_victims_by_class_then_by_use),
        cmocka_unit_test(test_lru_is_exact_across_threads),
        cmocka_unit_test(test_a_miss_waits_out_min_residency),
        cmocka_unit_test(test_grace_then_the_cheapest_set_drains),
        cmocka_unit_test(test_a_lease_that_ends_in_time_is_not_drained),
        cmocka_unit_test(test_reclaimable_comes_back_without_io),
        cmocka_unit_test(test_looking_at_a_reclaimable_model_leaves_it),
        cmocka_unit_test(test_idle_evict_hands_bytes_back_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
