/* SPDX-License-Identifier: Apache-2.0 */
/* A device that works on its own: loads and runs put copies on its streams, and overlap. Time
 * stands still but where a test moves it, so what happens at once is seen to. */
#include "fixture.h"

#include <device/sim.h>

#include <sched.h>
#include <string.h>

#define LATENCY_NS (5 * MS_NS)

static struct mmi_device *open_sim(struct fixture *f, const mm_device_options *sim) {
    mm_device_options device = *sim;
    mm_mesh_options options = MM_MESH_OPTIONS_INIT;
    device.struct_size = sizeof(device);
    device.name = "sim";
    device.budget_bytes = 64 * MIB;
    options.devices = &device;
    options.device_count = 1;
    fixture_open(f, &options);
    return f->mesh->res.devices[0].device;
}

/* ---- What is on the device's streams --------------------------------------------------------- */

struct put {
    struct mmi_device *device;
    uint64_t wanted;
};

/* Operations that were ever put on them. */
static bool is_put(void *ctx) {
    const struct put *put = ctx;
    struct mmi_sim *sim = put->device->impl;
    uint64_t count = 0;
    mmi_lock(&sim->lock);
    MMI_LIST_EACH(node, &sim->streams) {
        count += MMI_CONTAINER(node, struct mmi_stream, node)->put;
    }
    mmi_unlock(&sim->lock);
    assert_true(count <= put->wanted);
    return count == put->wanted;
}

static void wait_put(struct mmi_device *device, uint64_t count) {
    fixture_until(is_put, &(struct put){device, count});
}

/* ---- Loads ----------------------------------------------------------------------------------- */

/* Two pieces are on the stream, and the next is put when the first is there. */
static void test_a_load_reads_ahead(void **state) {
    (void)state;
    struct fixture f;
    struct mmi_device *device = open_sim(&f, &(mm_device_options){.sim_ns_per_mib = MS_NS});
    mm_model model = fixture_echo(&f, "m", "weights_bytes 18m\n");
    struct asker asker = {.f = &f, .model = model};
    asker_start(&asker);
    for (unsigned put = 2; put < 5; put++) {
        wait_put(device, put);
        fixture_advance(&f, 4 * MS_NS); /* the oldest 4 MiB are there */
    }
    wait_put(device, 5); /* with the last 2 MiB */
    fixture_advance(&f, 6 * MS_NS);
    assert_int_equal(asker_join(&asker), MM_OK);
    fixture_close(&f);
}

static void test_the_delay_of_a_load(void **state) {
    (void)state;
    struct fixture f;
    struct mmi_device *device =
        open_sim(&f, &(mm_device_options){.sim_load_delay_ns = 500 * MS_NS,
                                          .sim_ns_per_mib = MS_NS,
                                          .sim_copy_latency_ns = LATENCY_NS});
    mm_model model = fixture_echo(&f, "m", "weights_bytes 2m\n");
    struct asker asker = {.f = &f, .model = model};
    asker_start(&asker);
    wait_put(device, 2); /* the delay, and the copy */
    fixture_advance(&f, 507 * MS_NS - 1);
    for (int i = 0; i < 20; i++) { /* time enough to be wrong */
        sched_yield();
    }
    assert_int_equal(fixture_info(&f, model).state, MM_STATE_LOADING);
    fixture_advance(&f, 1);
    assert_int_equal(asker_join(&asker), MM_OK);
    assert_int_equal(asker.wait_ns, 507 * MS_NS);
    fixture_close(&f);
}

/* "a hit with a deadline of 100 ms took 500 ms" */
static void test_scratch_has_no_delay_of_a_load(void **state) {
    (void)state;
    struct fixture f;
    struct mmi_device *device =
        open_sim(&f, &(mm_device_options){.sim_load_delay_ns = 500 * MS_NS});
    mm_model model =
        fixture_echo(&f, "m", "weights_bytes 1m\nactivation_per_element 1m\nscratch_more 3m\n");
    struct asker cold = {.f = &f, .model = model};
    asker_start(&cold);
    wait_put(device, 2);
    fixture_advance(&f, 500 * MS_NS);
    assert_int_equal(asker_join(&cold), MM_OK);
    assert_ok(&f, mm_device_set_budget(f.mesh, "sim", 12 * MIB, &f.err)); /* scratch goes */
    assert_ok(&f, mm_device_set_budget(f.mesh, "sim", 64 * MIB, &f.err));
    struct asker hit = {.f = &f, .model = model, .deadline_ns = fixture_after(&f, 100 * MS_NS)};
    assert_int_equal(asker_ask(&hit), MM_OK); /* while time stands still */
    fixture_close(&f);
}

/* ---- Runs ------------------------------------------------------------------------------------ */

static void load(struct fixture *f, struct mmi_device *device, mm_model model) {
    struct asker asker = {.f = f, .model = model};
    asker_start(&asker);
    wait_put(device, 1); /* weights */
    fixture_advance(f, LATENCY_NS);
    wait_put(device, 3); /* in and out */
    fixture_advance(f, 2 * LATENCY_NS);
    assert_int_equal(asker_join(&asker), MM_OK);
}

static void test_runs_overlap(void **state) {
    (void)state;
    struct fixture f;
    struct mmi_device *device =
        open_sim(&f, &(mm_device_options){.sim_copy_latency_ns = LATENCY_NS});
    mm_model model = fixture_echo(&f, "m", "weights_bytes 1m\nthrough_device 1\n");
    load(&f, device, model);
    uint64_t begin_ns = f.world.now_ns;
    struct asker a = {.f = &f, .model = model}, b = {.f = &f, .model = model};
    asker_start(&a);
    asker_start(&b);
    wait_put(device, 7);
    fixture_advance(&f, 2 * LATENCY_NS);
    assert_int_equal(asker_join(&a), MM_OK);
    assert_int_equal(asker_join(&b), MM_OK);
    assert_int_equal(f.world.now_ns - begin_ns, 10 * MS_NS); /* of two runs of 10 ms */
    fixture_close(&f);
}

static void test_a_read_before_its_event_is_reported(void **state) {
    (void)state;
    struct fixture f;
    struct mmi_device *device =
        open_sim(&f, &(mm_device_options){.sim_copy_latency_ns = LATENCY_NS});
    mm_model model = fixture_echo(&f, "m", "weights_bytes 1m\nthrough_device 2\n");
    struct asker asker = {.f = &f, .model = model};
    asker_start(&asker);
    wait_put(device, 1);
    fixture_advance(&f, LATENCY_NS);
    wait_put(device, 2); /* the copy in, that nobody waited for: the host does */
    fixture_advance(&f, LATENCY_NS);
    assert_int_equal(asker_join(&asker), MM_BACKEND_FAILED); /* its mistake */
    assert_non_null(strstr(asker.err.text, "the host reads bytes 0 to 16"));
    assert_non_null(strstr(asker.err.text, "without having waited for stream"));
    fixture_close(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_load_reads_ahead),
        cmocka_unit_test(test_the_delay_of_a_load),
        cmocka_unit_test(test_scratch_has_no_delay_of_a_load),
        cmocka_unit_test(test_runs_overlap),
        cmocka_unit_test(test_a_read_before_its_event_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
