/* SPDX-License-Identifier: Apache-2.0 */
/* What concerns all copies of a model: traffic on them while devices die, updates, the end. */
#include "pods.h"

#include <errno.h>

/* ---- A device is lost ------------------------------------------------------------------------ */

#define ASKERS 4

struct traffic {
    struct fixture *f;
    mm_model model;
    uint32_t until; /* so many were asked */
    _Atomic uint32_t asked, failed;
    _Atomic bool stop;
    pthread_t threads[ASKERS];
};

static void *ask_often(void *ctx) {
    struct traffic *traffic = ctx;
    while (!atomic_load(&traffic->stop)) {
        struct asker asker = {.f = traffic->f, .model = traffic->model};
        if (asker_ask(&asker) != MM_OK) {
            atomic_fetch_add(&traffic->failed, 1);
        }
        atomic_fetch_add(&traffic->asked, 1);
    }
    return NULL;
}

static void traffic_start(struct traffic *traffic, struct fixture *f, mm_model model) {
    *traffic = (struct traffic){.f = f, .model = model};
    for (int i = 0; i < ASKERS; i++) {
        assert_int_equal(pthread_create(&traffic->threads[i], NULL, ask_often, traffic), 0);
    }
}

static bool enough(void *ctx) {
    struct traffic *traffic = ctx;
    return atomic_load(&traffic->asked) >= traffic->until;
}

/* So many requests more. */
static void traffic_flow(struct traffic *traffic, uint32_t requests) {
    traffic->until = atomic_load(&traffic->asked) + requests;
    fixture_until(enough, traffic);
}

static void traffic_join(struct traffic *traffic) {
    atomic_store(&traffic->stop, true);
    for (int i = 0; i < ASKERS; i++) {
        pthread_join(traffic->threads[i], NULL);
    }
    assert_int_equal(atomic_load(&traffic->failed), 0);
}

static uint32_t lost_count(struct fixture *f) {
    return fixture_device(f, "pod1").lost + fixture_device(f, "pod2").lost +
           fixture_device(f, "pod3").lost;
}

/* "the death of a device leaves the others serving without a failed request": one of three, and
 * then one of two */
static void test_a_device_dies_under_traffic(void **state) {
    (void)state;
    struct fixture f;
    mm_model model = pods_serving(&f, "through_device 1\nactivation_bytes 64k\n");
    struct traffic traffic;
    traffic_start(&traffic, &f, model);
    for (uint32_t dead = 1; dead <= 2; dead++) {
        traffic_flow(&traffic, 200);
        world_fault(&f.world, "device", 1, ENODEV);
        traffic_flow(&traffic, 200);
        assert_int_equal(lost_count(&f), dead);
        pods_until_ready(&f, model, 3 - dead);
    }
    traffic_join(&traffic);
    assert_int_equal(fixture_stats(&f).failed, 0);
    assert_int_equal(fixture_stats(&f).requests, 1 + atomic_load(&traffic.asked));
    fixture_close(&f);
}

/* The same for an operation: it waits again, and ends once. */
static void test_a_device_dies_under_an_operation(void **state) {
    (void)state;
    struct fixture f;
    mm_model model = pods_serving(&f, "through_device 1\n");
    for (uint32_t dead = 1; dead <= 3; dead++) { /* the last one is missed */
        float x[4] = {1, 2, 3, 4};
        mm_value input = {.name = "x",
                          .dtype = MM_F32,
                          .rank = 2,
                          .shape = {1, 4},
                          .data = x,
                          .bytes = sizeof(x)};
        mm_request request = MM_REQUEST_INIT;
        request.inputs = &input;
        request.input_count = 1;
        mm_response response = MM_RESPONSE_INIT;
        mm_op *op;
        world_fault(&f.world, "device", 1, ENODEV);
        assert_ok(&f, mm_infer_async(f.mesh, model, &request, &response, NULL, &op, &f.err));
        assert_status(&f, mm_op_wait(op, 0, &f.err), dead < 3 ? MM_OK : MM_DEVICE_LOST);
        assert_int_equal(response.output_count, dead < 3 ? 2 : 0);
        mm_op_free(op);
        mm_response_free(&response);
        assert_int_equal(lost_count(&f), dead);
        pods_until_ready(&f, model, 3 - dead); /* what it had is gone, and takes no fault */
    }
    assert_int_equal(fixture_stats(&f).failed, 1);
    fixture_close(&f);
}

/* ---- All at once ----------------------------------------------------------------------------- */

static bool is_one_each(void *ctx) {
    return pods_used_bytes(ctx) == 3 * 4 * MIB;
}

/* "Versions switch all copies": no old answer after the update, and the least comes back */
static void test_an_update_switches_all(void **state) {
    (void)state;
    struct fixture f;
    mm_model model = pods_serving(&f, "seed 1\n");
    mm_model_spec next = pods_spec(&f, "m", "seed 2\n", 0, 0);
    assert_ok(&f, mm_update(f.mesh, model, &next, 0, NULL, NULL, &f.err));
    struct traffic traffic;
    traffic_start(&traffic, &f, model); /* asks for the seed of the script given last */
    traffic_flow(&traffic, 200);
    traffic_join(&traffic);
    pods_until_ready(&f, model, 3);
    assert_int_equal(fixture_info(&f, model).version, 2);
    assert_int_equal(fixture_stats(&f).loads, 6);
    fixture_until(is_one_each, &f); /* the old ones are detached */
    fixture_close(&f);
}

/* Evicted and unregistered are all of them, at once. */
static void test_all_leave(void **state) {
    (void)state;
    struct fixture f;
    pods_open(&f, 16, 16, 16);
    mm_model model = pods_add(&f, "m", 3, 3);
    for (int i = 0; i < 2; i++) {
        assert_ok(&f, fixture_infer(&f, model));
        pods_until_ready(&f, model, 3);
        assert_ok(&f, mm_evict(f.mesh, model, i ? MM_NO_WAIT : 0, &f.err));
        fixture_until(pods_are_empty, &f);
        assert_int_equal(pods_copies(&f, model).count, 0); /* they do not come back by themselves */
    }
    assert_ok(&f, fixture_infer(&f, model));
    pods_until_ready(&f, model, 3);
    struct gate infer;
    struct caller callers[3];
    gate_shut(&f, &infer, MMI_ECHO_INFER, "m");
    pods_start_inside(&f, callers, 3, model, &infer);
    assert_status(&f, mm_evict(f.mesh, model, MM_NO_WAIT, &f.err), MM_BUSY);
    assert_ok(&f, mm_unregister(f.mesh, model, &f.err));
    assert_status(&f, fixture_infer(&f, model), MM_STALE_HANDLE);
    gate_open(&infer);
    pods_join(callers, 3);
    fixture_until(pods_are_empty, &f);
    fixture_close(&f);
}

/* A pin holds every copy. */
static void test_pinned_copies_stay(void **state) {
    (void)state;
    struct fixture f;
    pods_open(&f, 6, 6, 0);
    mm_model model = pods_add(&f, "m", 2, 2), other = pods_add(&f, "other", 0, 0);
    assert_int_equal(mm_pin(f.mesh, model), MM_OK);
    assert_ok(&f, fixture_infer(&f, model));
    pods_until_ready(&f, model, 2);
    assert_status(&f, fixture_infer(&f, other), MM_ALL_PINNED);
    assert_status(&f, mm_evict(f.mesh, model, 0, &f.err), MM_PINNED);
    assert_int_equal(pods_copies(&f, model).ready, 2);
    assert_int_equal(mm_unpin(f.mesh, model), MM_OK);
    assert_ok(&f, fixture_infer(&f, other));
    assert_int_equal(pods_copies(&f, model).ready, 1);
    assert_ok(&f, fixture_infer(&f, model));
    fixture_close(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_device_dies_under_traffic),
        cmocka_unit_test(test_a_device_dies_under_an_operation),
        cmocka_unit_test(test_an_update_switches_all),
        cmocka_unit_test(test_all_leave),
        cmocka_unit_test(test_pinned_copies_stay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
