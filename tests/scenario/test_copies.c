/* SPDX-License-Identifier: Apache-2.0 */
/* Several copies of a model: when they come, where, who is asked, who leaves first. */
#include "pods.h"

#include <sched.h>
#include <stdio.h>
#include <string.h>

static const mm_copy_info *copy_on(const struct copies *copies, const char *pod) {
    for (uint32_t i = 0; i < copies->count; i++) {
        if (strcmp(copies->at[i].device, pod) == 0) {
            return &copies->at[i];
        }
    }
    return NULL;
}

/* As many copies, by requests that queue at this gate. */
static void spread(struct fixture *f, struct gate *infer, mm_model model, uint32_t count) {
    struct caller callers[PODS_MAX];
    pods_start_inside(f, callers, count, model, infer);
    gate_open(infer);
    pods_join(callers, count);
    assert_int_equal(pods_copies(f, model).ready, count);
}

/* ---- Coming ---------------------------------------------------------------------------------- */

/* "min_replicas: copies once it is resident" */
static void test_the_least_comes_by_itself(void **state) {
    (void)state;
    for (uint32_t least = 2; least <= 3; least++) {
        struct fixture f;
        pods_open(&f, 16, 16, 16);
        mm_model model = pods_add(&f, "m", 3, least);
        assert_int_equal(pods_copies(&f, model).count, 0); /* registering loads nothing */
        assert_ok(&f, fixture_infer(&f, model));
        pods_until_ready(&f, model, least);
        struct copies copies = pods_copies(&f, model);
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
    pods_open(&f, 16, 16, 16);
    mm_model model = pods_add_serial(&f, "m", 3);
    for (int i = 0; i < 9; i++) {
        assert_ok(&f, fixture_infer(&f, model));
        fixture_advance(&f, 200 * MS_NS);
    }
    assert_int_equal(pods_copies(&f, model).count, 1);
    assert_int_equal(fixture_stats(&f).loads, 1);
    fixture_close(&f);
}

/* "another copy is loaded when requests queue": up to `replicas`, each takes one */
static void test_a_queue_brings_copies(void **state) {
    (void)state;
    struct fixture f;
    pods_open(&f, 16, 16, 16);
    mm_model model = pods_add_serial(&f, "m", 3);
    struct gate infer;
    struct caller callers[4];
    gate_shut(&f, &infer, MMI_ECHO_INFER, "m");
    pods_start_inside(&f, callers, 3, model, &infer);
    struct copies copies = pods_copies(&f, model);
    assert_int_equal(copies.ready, 3);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(copies.at[i].leases, 1);
    }
    caller_start(&callers[3], &f, model);
    fixture_until_queued(&f, model, 1);
    gate_open(&infer);
    pods_join(callers, 4);
    assert_int_equal(fixture_stats(&f).loads, 3);
    fixture_close(&f);
}

/* One a device: more than there are devices are as many as there are. */
static void test_more_than_devices(void **state) {
    (void)state;
    struct fixture f;
    pods_open(&f, 16, 16, 0);
    mm_model model = pods_add(&f, "m", 9, 9);
    assert_ok(&f, fixture_infer(&f, model));
    pods_until_ready(&f, model, 2);
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
    pods_open(&f, 16, 16, 0);
    mm_model model = pods_add(&f, "m", 2, 2);
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
    pods_open(&f, 8, 13, 0);
    mm_model other = pods_add_on(&f, "other", "pod2"), model = pods_add_serial(&f, "m", 2);
    assert_ok(&f, fixture_infer(&f, other));
    fixture_advance(&f, MS_NS);
    struct gate infer;
    gate_shut(&f, &infer, MMI_ECHO_INFER, "m");
    spread(&f, &infer, model, 2);
    fixture_advance(&f, MS_NS);
    mm_model comes[2] = {pods_add_on(&f, "c1", "pod2"), pods_add_on(&f, "c2", "pod2")};
    assert_ok(&f, fixture_infer(&f, comes[0])); /* there is room for three */
    assert_int_equal(pods_copies(&f, model).ready, 2);
    fixture_advance(&f, MS_NS);
    assert_ok(&f, fixture_infer(&f, comes[1]));
    assert_int_equal(weather_state(&f, other), MM_STATE_READY);
    assert_int_equal(pods_copies(&f, model).ready, 1);
    assert_ok(&f, fixture_infer(&f, model));
    fixture_close(&f);
}

/* "without evicting anybody hotter than the copy would be" */
static void test_nobody_hotter_leaves_for_a_copy(void **state) {
    (void)state;
    struct fixture f;
    pods_open(&f, 6, 6, 0);
    mm_model hot = pods_add_on(&f, "hot", "pod2"), model = pods_add_serial(&f, "m", 2);
    for (int i = 0; i < 50; i++) {
        assert_ok(&f, fixture_infer(&f, hot));
    }
    assert_ok(&f, fixture_infer(&f, model));
    fixture_advance(&f, MS_NS);
    struct gate infer;
    struct caller callers[2];
    gate_shut(&f, &infer, MMI_ECHO_INFER, "m");
    pods_start_inside(&f, callers, 1, model, &infer);
    caller_start(&callers[1], &f, model);
    fixture_until_queued(&f, model, 1);
    assert_int_equal(pods_copies(&f, model).count, 1);
    assert_int_equal(weather_state(&f, hot), MM_STATE_READY);
    gate_open(&infer);
    pods_join(callers, 2);
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
    return pods_copies(pair->f, pair->a).ready + pods_copies(pair->f, pair->b).ready == 2;
}

static bool three_serve(void *ctx) {
    const struct pair *pair = ctx;
    return pods_copies(pair->f, pair->a).ready + pods_copies(pair->f, pair->b).ready == 3;
}

/* Two models whose copies do not all fit do not chase each other's away for ever. */
static void test_the_least_of_two_models_comes_to_rest(void **state) {
    (void)state;
    struct fixture f;
    pods_open(&f, 6, 6, 0);
    mm_model a = pods_add(&f, "a", 2, 2), b = pods_add(&f, "b", 2, 2);
    assert_ok(&f, fixture_infer(&f, a));
    pods_until_ready(&f, a, 2);
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
    pods_open(&f, 6, 6, 0);
    mm_model_spec spec = pods_spec(&f, "stays", "", 0, 0);
    spec.device = "pod2";
    spec.flags = MM_MODEL_PINNED;
    mm_model stays = fixture_register(&f, &spec), model = pods_add(&f, "m", 2, 2);
    assert_ok(&f, fixture_infer(&f, stays));
    assert_ok(&f, fixture_infer(&f, model));
    fixture_advance(&f, 10 * S_NS);
    assert_int_equal(pods_copies(&f, model).count, 1);
    assert_ok(&f, mm_unregister(f.mesh, stays, &f.err));
    pods_until_ready(&f, model, 2);
    fixture_close(&f);
}

/* Two copies see the same room. The second is planned again once the first has it, as the copy that
 * it is: it lets stay who is hotter, and nobody was refused anything. */
static void test_a_copy_behind_another_evicts_nobody_hotter(void **state) {
    (void)state;
    struct fixture f;
    pods_open(&f, 16, 6, 0);
    mm_model hot = pods_add_on(&f, "hot", "pod2"), a = pods_add(&f, "a", 2, 2),
             b = pods_add(&f, "b", 2, 2);
    for (int i = 0; i < 200; i++) {
        assert_ok(&f, fixture_infer(&f, hot));
    }
    assert_ok(&f, fixture_infer(&f, a));
    assert_ok(&f, fixture_infer(&f, b));
    fixture_advance(&f, S_NS);
    assert_ok(&f, mm_device_set_budget(f.mesh, "pod2", 10 * MIB, &f.err));
    struct pair pair = {&f, a, b};
    fixture_pass_time_until(&f, three_serve, &pair);
    fixture_advance(&f, S_NS);
    assert_int_equal(weather_state(&f, hot), MM_STATE_READY);
    assert_int_equal(fixture_stats(&f).evictions, 0);
    assert_int_equal(fixture_stats(&f).refusals, 0);
    assert_int_equal(fixture_events(&f, "refuse", NULL, NULL), 0);
    fixture_close(&f);
}

/* 0: it sleeps for good. */
static uint64_t next_timer(struct fixture *f) {
    mmi_lock(&f->mesh->res.lock);
    uint64_t next_ns = mmi_timers_next(&f->mesh->res.timers);
    mmi_unlock(&f->mesh->res.lock);
    return next_ns;
}

static bool is_long_asleep(void *ctx) {
    uint64_t next_ns = next_timer(ctx);
    return next_ns == 0 || next_ns > fixture_after(ctx, S_NS);
}

/* Held back only by who must stay a while: it comes when that is over, though nothing else
 * happens. */
static void test_the_least_comes_after_a_min_residency(void **state) {
    (void)state;
    struct fixture f;
    pods_open_staying(&f, 6, 6, 0, 10 * S_NS);
    mm_model stays = pods_add_on(&f, "stays", "pod2"), model = pods_add(&f, "m", 2, 2);
    assert_ok(&f, fixture_infer(&f, stays));
    uint64_t loaded_ns = fixture_after(&f, 0);
    for (int i = 0; i < 50; i++) {
        assert_ok(&f, fixture_infer(&f, model));
    }
    fixture_advance(&f, S_NS);
    fixture_until(is_long_asleep, &f);
    assert_int_equal(pods_copies(&f, model).count, 1);
    assert_int_equal(next_timer(&f), loaded_ns + 10 * S_NS);
    fixture_advance(&f, 9 * S_NS);
    pods_until_ready(&f, model, 2);
    assert_int_equal(weather_state(&f, stays), MM_STATE_COLD);
    fixture_close(&f);
}

/* Devices that are as good as each other take turns. */
static void test_equal_devices_take_turns(void **state) {
    (void)state;
    struct fixture f;
    pods_open(&f, 16, 16, 16);
    static const char *const pods[] = {"pod1", "pod2", "pod3"};
    for (int i = 0; i < 6; i++) {
        char name[8];
        snprintf(name, sizeof(name), "m%d", i);
        mm_model model = pods_add(&f, name, 0, 0);
        assert_ok(&f, fixture_infer(&f, model));
        assert_string_equal(fixture_info(&f, model).device, pods[i % 3]);
        assert_ok(&f, mm_unregister(f.mesh, model, &f.err)); /* all are empty again */
        fixture_until(pods_are_empty, &f);
    }
    fixture_close(&f);
}

/* ---- Asked ----------------------------------------------------------------------------------- */

/* "a request goes to the copy with the fewest running" */
static void test_the_fewest_running(void **state) {
    (void)state;
    struct fixture f;
    mm_model model = pods_serving(&f, "");
    struct gate infer;
    struct caller callers[6];
    gate_shut(&f, &infer, MMI_ECHO_INFER, "m");
    for (uint32_t round = 0; round < 2; round++) {
        pods_start_inside(&f, &callers[3 * round], 3, model, &infer);
        struct copies copies = pods_copies(&f, model);
        for (int i = 0; i < 3; i++) {
            assert_int_equal(copies.at[i].leases, round + 1);
        }
    }
    assert_int_equal(fixture_info(&f, model).leases, 6);
    gate_open(&infer);
    pods_join(callers, 6);
    fixture_close(&f);
}

/* mm_model_info: every copy, as far as there is room for them. */
static void test_every_copy_is_shown(void **state) {
    (void)state;
    struct fixture f;
    mm_model model = pods_serving(&f, "");
    for (int i = 0; i < 9; i++) {
        assert_ok(&f, fixture_infer(&f, model));
    }
    struct copies copies = pods_copies(&f, model);
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

struct loads {
    struct fixture *f;
    mm_model model;
    uint64_t wanted;
};

static bool is_cold(void *ctx) {
    const struct loads *loads = ctx;
    return fixture_info(loads->f, loads->model).state == MM_STATE_COLD;
}

/* Idle time is the model's: without requests all of its copies leave, and none comes again for the
 * least number of them. One that was never asked stays as long as the others are. */
static void test_idle_copies_leave_for_good(void **state) {
    (void)state;
    struct fixture f;
    pods_open(&f, 6, 6, 0);
    mm_model_spec spec = pods_spec(&f, "m", "", 2, 2);
    spec.idle_ttl_ns = S_NS;
    mm_model model = fixture_register(&f, &spec);
    assert_ok(&f, fixture_infer(&f, model));
    pods_until_ready(&f, model, 2);
    for (int i = 0; i < 20; i++) {
        fixture_advance(&f, S_NS / 4);
        assert_ok(&f, fixture_infer(&f, model));
    }
    assert_int_equal(pods_copies(&f, model).ready, 2);
    assert_int_equal(fixture_info(&f, model).loads, 2);
    for (int i = 0; i < 20; i++) {
        fixture_advance(&f, S_NS / 4);
    }
    fixture_pass_time_until(&f, is_cold, &(struct loads){.f = &f, .model = model});
    for (int i = 0; i < 20; i++) {
        fixture_advance(&f, S_NS / 4);
    }
    assert_int_equal(pods_copies(&f, model).count, 0);
    assert_int_equal(fixture_info(&f, model).loads, 2);
    assert_int_equal(fixture_info(&f, model).evictions, 2);
    assert_ok(&f, fixture_infer(&f, model));
    fixture_close(&f);
}

static bool has_loaded(void *ctx) {
    const struct loads *loads = ctx;
    return fixture_info(loads->f, loads->model).loads == loads->wanted;
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
    mm_model_spec spec = pods_spec(&f, "m", "", 2, 2);
    spec.idle_ttl_ns = MS_NS;
    mm_model model = fixture_register(&f, &spec);
    struct caller caller;
    caller_start(&caller, &f, model);
    fixture_pass_time_until(&f, has_loaded, &(struct loads){&f, model, 2});
    assert_int_equal(caller_join(&caller), MM_OK);
    for (int i = 0; i < 20; i++) {
        fixture_advance(&f, MS_NS);
    }
    fixture_pass_time_until(&f, is_cold, &(struct loads){.f = &f, .model = model});
    for (int i = 0; i < 20; i++) {
        fixture_advance(&f, MS_NS);
    }
    assert_int_equal(pods_copies(&f, model).count, 0);
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
        cmocka_unit_test(test_a_copy_behind_another_evicts_nobody_hotter),
        cmocka_unit_test(test_the_least_comes_after_a_min_residency),
        cmocka_unit_test(test_equal_devices_take_turns),
        cmocka_unit_test(test_the_fewest_running),
        cmocka_unit_test(test_every_copy_is_shown),
        cmocka_unit_test(test_idle_copies_leave_for_good),
        cmocka_unit_test(test_idle_copies_leave_though_loads_are_slow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
