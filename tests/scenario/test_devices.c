/* SPDX-License-Identifier: Apache-2.0 */
/* Devices and their budgets. */
#include "fixture.h"

#include <device/memory_info.h>

#include <stdio.h>
#include <string.h>

static void open_devices(struct fixture *f, const mm_device_options *devices, uint32_t count) {
    mm_mesh_options options = MM_MESH_OPTIONS_INIT;
    options.devices = devices;
    options.device_count = count;
    fixture_open(f, &options);
}

static mm_model add(struct fixture *f, const char *name, uint64_t mib, const char *device) {
    char script[64];
    snprintf(script, sizeof(script), "weights_bytes %um\nseed %u\n", (unsigned)mib,
             (unsigned)name[0]);
    mm_model_spec spec = fixture_spec(f, name, "echo", script);
    spec.device = device;
    return fixture_register(f, &spec);
}

/* "none: one host device with half of the smaller of MemAvailable and the cgroup's limit,
 * reported" */
static void test_without_devices_there_is_one_host(void **state) {
    (void)state;
    mm_mesh *mesh = NULL;
    uint64_t before = mmi_host_default_budget();
    assert_int_equal(mm_mesh_create(NULL, &mesh, NULL), MM_OK);
    uint64_t after = mmi_host_default_budget();
    mm_device_stats device;
    mm_mesh_stats stats = MM_MESH_STATS_INIT;
    stats.devices = &device;
    stats.device_capacity = 1;
    assert_int_equal(mm_mesh_stats_get(mesh, &stats), MM_OK);
    assert_int_equal(stats.device_count, 1);
    assert_string_equal(device.name, "host");
    assert_int_equal(device.used_bytes, 0);
    uint64_t low = before < after ? before : after, high = before < after ? after : before;
    /* Others take memory meanwhile: near what it is now. */
    assert_in_range(device.budget_bytes, low / 2, high * 2);
    assert_int_equal(mm_mesh_free(&mesh), MM_OK);
}

/* "Several host devices are allowed"; names are labels, and distinct */
static void test_several_host_devices(void **state) {
    (void)state;
    struct fixture f;
    mm_device_options devices[] = {fixture_host("host/a", 4 * MIB), fixture_host("host/b", 4 * MIB),
                                   fixture_host("host", 4 * MIB)};
    open_devices(&f, devices, 3);
    mm_model anywhere[3] = {add(&f, "1", 3, NULL), add(&f, "2", 3, NULL), add(&f, "3", 3, NULL)};
    for (int i = 0; i < 3; i++) { /* a load goes where it fits */
        assert_ok(&f, fixture_infer(&f, anywhere[i]));
    }
    assert_int_equal(fixture_events(&f, "evict", NULL, NULL), 0);
    assert_int_equal(fixture_device(&f, "a").instances, 1);
    assert_int_equal(fixture_device(&f, "b").instances, 1);
    assert_int_equal(fixture_device(&f, "host").instances, 1);
    fixture_advance(&f, S_NS);
    mm_model bound = add(&f, "bound", 3, "b");
    assert_ok(&f, fixture_infer(&f, bound));
    assert_string_equal(fixture_info(&f, bound).device, "b");
    assert_int_equal(fixture_events(&f, "evict", NULL, "device=b"), 1);
    mm_model_spec spec = fixture_spec(&f, "lost", "echo", "");
    spec.device = "c";
    mm_model lost;
    assert_status(&f, mm_register(f.mesh, &spec, &lost, &f.err), MM_NOT_FOUND);
    assert_non_null(strstr(f.err.text, "c"));
    fixture_close(&f);
}

/* What create refuses, named. */
static void test_devices_that_cannot_be(void **state) {
    (void)state;
    struct {
        mm_device_options devices[2];
        uint32_t count;
        mm_status status;
        const char *word;
    } cases[] = {
        {{fixture_host("host", 4 * MIB), fixture_host("host", 4 * MIB)},
         2,
         MM_INVALID_ARGUMENT,
         "devices[1]"},
        {{fixture_host("host/x", 4 * MIB), fixture_host("sim/x", 4 * MIB)},
         2,
         MM_INVALID_ARGUMENT,
         "devices[1]"},
        {{fixture_host("host", 1)}, 1, MM_INVALID_ARGUMENT, "budget_bytes"},
        {{fixture_host("", 4 * MIB)}, 1, MM_INVALID_ARGUMENT, "name"},
        {{fixture_host(NULL, 4 * MIB)}, 1, MM_INVALID_ARGUMENT, "name"},
        {{fixture_host("host", 4 * MIB)}, 65, MM_INVALID_ARGUMENT, "device_count"},
        {{fixture_host("host", 4 * MIB)}, 0, MM_INVALID_ARGUMENT, "device_count"},
        {{fixture_host("abacus", 4 * MIB)}, 1, MM_INVALID_ARGUMENT, "abacus"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        mm_mesh_options options = MM_MESH_OPTIONS_INIT;
        options.devices = cases[i].devices;
        options.device_count = cases[i].count;
        mm_mesh *mesh = NULL;
        mm_error err = {0};
        mm_status status = mm_mesh_create(&options, &mesh, &err);
        if (status != cases[i].status || !strstr(err.text, cases[i].word)) {
            fail_msg("case %zu: %s: %s", i, mm_status_name(status), err.text);
        }
        assert_null(mesh);
    }
}

/* ---- Budgets -------------------------------------------------------------------------------- */

/* "mm_device_set_budget evicts down": what policy chooses, until the rest fits; at once */
static void test_a_smaller_budget_evicts_down(void **state) {
    (void)state;
    struct fixture f;
    mm_device_options host = fixture_host("host", 16 * MIB);
    open_devices(&f, &host, 1);
    mm_model models[4];
    static const char *const names[] = {"1", "2", "3", "4"};
    for (int i = 0; i < 4; i++) {
        models[i] = add(&f, names[i], 3, NULL);
        assert_ok(&f, fixture_infer(&f, models[i]));
        fixture_advance(&f, MS_NS);
    }
    assert_ok(&f, fixture_infer(&f, models[0])); /* the oldest is the freshest now */
    assert_ok(&f, mm_device_set_budget(f.mesh, "host", 7 * MIB, &f.err));
    mm_device_stats device = fixture_device(&f, "host");
    assert_int_equal(device.budget_bytes, 7 * MIB);
    assert_true(device.used_bytes <= 7 * MIB);
    assert_int_equal(device.instances, 2);
    static const mm_model_state states[] = {MM_STATE_READY, MM_STATE_COLD, MM_STATE_COLD,
                                            MM_STATE_READY};
    for (int i = 0; i < 4; i++) {
        assert_int_equal(fixture_info(&f, models[i]).state, states[i]);
    }
    assert_int_equal(fixture_events(&f, "budget", "device=host", NULL), 1);
    assert_int_equal(fixture_events(&f, "detach", NULL, NULL), 2); /* their memory is back */
    mm_model large = add(&f, "large", 8, NULL);
    assert_status(&f, fixture_infer(&f, large), MM_TOO_LARGE);
    assert_ok(&f, mm_device_set_budget(f.mesh, "host", 10 * MIB, &f.err));
    fixture_advance(&f, S_NS);
    assert_ok(&f, fixture_infer(&f, large)); /* growing counts at once */
    fixture_close(&f);
}

/* "or says MM_BUSY": "what is leased or pinned stands in the way ... and the old budget holds" */
static void test_a_budget_below_what_must_stay_is_busy(void **state) {
    (void)state;
    struct fixture f;
    mm_device_options host = fixture_host("host", 16 * MIB);
    open_devices(&f, &host, 1);
    mm_model pinned = add(&f, "pinned", 3, NULL), idle = add(&f, "idle", 3, NULL);
    mm_model leased = fixture_gated(&f, "leased", "weights_bytes 3m\nversion l\n");
    assert_int_equal(mm_pin(f.mesh, pinned), MM_OK);
    assert_ok(&f, fixture_infer(&f, pinned));
    assert_ok(&f, fixture_infer(&f, idle));
    struct gate gate;
    gate_shut(&f, &gate, MMI_ECHO_INFER, "l");
    struct asker asker = {.f = &f, .model = leased};
    asker_start(&asker);
    gate_wait_arrived(&gate, 1);
    assert_status(&f, mm_device_set_budget(f.mesh, "host", 5 * MIB, &f.err), MM_BUSY);
    assert_int_equal(fixture_device(&f, "host").budget_bytes, 16 * MIB);
    assert_int_equal(fixture_device(&f, "host").instances, 3); /* nobody left for nothing */
    assert_ok(&f, mm_device_set_budget(f.mesh, "host", 7 * MIB, &f.err));
    assert_int_equal(fixture_info(&f, idle).state, MM_STATE_COLD);
    assert_int_equal(fixture_info(&f, leased).state, MM_STATE_READY);
    gate_open(&gate);
    assert_int_equal(asker_join(&asker), MM_OK);
    assert_ok(&f, mm_device_set_budget(f.mesh, "host", 5 * MIB, &f.err));
    assert_int_equal(fixture_info(&f, leased).state, MM_STATE_COLD);
    assert_status(&f, mm_device_set_budget(f.mesh, "host", 2 * MIB, &f.err), MM_BUSY);
    assert_ok(&f, fixture_infer(&f, pinned));
    fixture_close(&f);
}

/* A load that waits for room goes on when the budget grows. */
static void test_a_larger_budget_lets_a_waiting_load_go_on(void **state) {
    (void)state;
    struct fixture f;
    mm_device_options host = fixture_host("host", 4 * MIB);
    open_devices(&f, &host, 1);
    mm_model leased = fixture_gated(&f, "leased", "weights_bytes 3m\nversion l\n");
    mm_model waits = add(&f, "waits", 3, NULL);
    struct gate gate;
    gate_shut(&f, &gate, MMI_ECHO_INFER, "l");
    struct asker askers[2] = {{.f = &f, .model = leased}, {.f = &f, .model = waits}};
    asker_start(&askers[0]);
    gate_wait_arrived(&gate, 1);
    asker_start(&askers[1]);
    fixture_until_state(&f, waits, MM_STATE_LOADING);
    assert_ok(&f, mm_device_set_budget(f.mesh, "host", 8 * MIB, &f.err));
    assert_int_equal(asker_join(&askers[1]), MM_OK);
    assert_int_equal(fixture_info(&f, leased).leases, 1);
    gate_open(&gate);
    assert_int_equal(asker_join(&askers[0]), MM_OK);
    assert_int_equal(fixture_events(&f, "evict", NULL, NULL), 0);
    fixture_close(&f);
}

/* The same on a device whose memory is made of chunks. */
static void test_budgets_of_a_simulated_device(void **state) {
    (void)state;
    struct fixture f;
    mm_device_options sim = fixture_host("sim", 12 * MIB);
    open_devices(&f, &sim, 1);
    mm_model a = add(&f, "a", 4, NULL), b = add(&f, "b", 4, NULL), c = add(&f, "c", 4, NULL);
    assert_ok(&f, fixture_infer(&f, a));
    fixture_advance(&f, S_NS);
    assert_ok(&f, fixture_infer(&f, b));
    assert_ok(&f, mm_device_set_budget(f.mesh, "sim", 4 * MIB, &f.err));
    assert_int_equal(fixture_info(&f, a).state, MM_STATE_COLD);
    assert_int_equal(fixture_device(&f, "sim").used_bytes, 4 * MIB);
    assert_ok(&f, fixture_infer(&f, b));
    assert_ok(&f, mm_device_set_budget(f.mesh, "sim", 24 * MIB, &f.err));
    assert_ok(&f, fixture_infer(&f, a));
    assert_ok(&f, fixture_infer(&f, c));
    assert_int_equal(fixture_device(&f, "sim").instances, 3);
    fixture_close(&f);
}

static void test_budgets_that_cannot_be(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    assert_status(&f, mm_device_set_budget(f.mesh, "host", 2 * MIB - 1, &f.err),
                  MM_INVALID_ARGUMENT);
    assert_non_null(strstr(f.err.text, "budget_bytes"));
    assert_status(&f, mm_device_set_budget(f.mesh, "moon", 4 * MIB, &f.err), MM_NOT_FOUND);
    assert_non_null(strstr(f.err.text, "moon"));
    assert_status(&f, mm_device_set_budget(f.mesh, NULL, 4 * MIB, &f.err), MM_INVALID_ARGUMENT);
    assert_status(&f, mm_device_set_budget(NULL, "host", 4 * MIB, &f.err), MM_INVALID_ARGUMENT);
    assert_int_equal(fixture_device(&f, "host").budget_bytes, 64 * MIB);
    fixture_close(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_without_devices_there_is_one_host),
        cmocka_unit_test(test_several_host_devices),
        cmocka_unit_test(test_devices_that_cannot_be),
        cmocka_unit_test(test_a_smaller_budget_evicts_down),
        cmocka_unit_test(test_a_budget_below_what_must_stay_is_busy),
        cmocka_unit_test(test_a_larger_budget_lets_a_waiting_load_go_on),
        cmocka_unit_test(test_budgets_of_a_simulated_device),
        cmocka_unit_test(test_budgets_that_cannot_be),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
