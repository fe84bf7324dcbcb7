/* SPDX-License-Identifier: Apache-2.0 */
/* Operations that have begun and do not wait for anything yet. */
#include "fixture.h"

#include <sched.h>
#include <string.h>
#include <time.h>

/* A request, x f32 [1, 4], and what becomes of it. */
struct asked {
    float x[4];
    mm_value input;
    mm_request request;
    mm_response response;
    mm_op *op;
    _Atomic unsigned called;
};

static void count_call(void *user, mm_op *op) {
    struct asked *asked = user;
    (void)op;
    atomic_fetch_add(&asked->called, 1);
}

static mm_status begin(struct asked *asked, mm_mesh *mesh, mm_model model, uint64_t deadline_ns) {
    asked->input = (mm_value){.name = "x",
                              .dtype = MM_F32,
                              .rank = 2,
                              .shape = {1, 4},
                              .data = asked->x,
                              .bytes = sizeof(asked->x)};
    asked->request = (mm_request)MM_REQUEST_INIT;
    asked->request.inputs = &asked->input;
    asked->request.input_count = 1;
    asked->request.deadline_ns = deadline_ns;
    asked->response = (mm_response)MM_RESPONSE_INIT;
    mm_async async = MM_ASYNC_INIT;
    async.callback = count_call;
    async.user = asked;
    return mm_infer_async(mesh, model, &asked->request, &asked->response, &async, &asked->op, NULL);
}

/* ---- Cancelled ------------------------------------------------------------------------------- */

/* While the request is checked, before it waits for the model: nothing is loaded for it. */
static void test_a_cancelled_check_loads_nothing(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    mm_model model = fixture_gated(&f, "m", "weights_bytes 64k\nversion m\n");
    struct gate size;
    gate_shut(&f, &size, MMI_ECHO_SIZE, "m");
    static struct asked asked;
    assert_int_equal(begin(&asked, f.mesh, model, 0), MM_OK);
    gate_wait_arrived(&size, 1);
    mm_op_cancel(asked.op);
    gate_open(&size);
    assert_status(&f, mm_op_wait(asked.op, 0, &f.err), MM_CANCELLED);
    assert_int_equal(fixture_events_of(&f, "load_begin", "m"), 0);
    assert_int_equal(atomic_load(&asked.called), 1);
    mm_op_free(asked.op);
    fixture_close(&f);
}

/* ---- Stopped --------------------------------------------------------------------------------- */

/* A mesh whose clock holds one thread there, in mm_infer_async. */
struct held {
    struct fixture f; /* for its scripts */
    mm_mesh *mesh;
    mm_model model;
    struct asked asked;
    _Atomic bool holds, arrived, stopped;
    mm_status begun;
};

static _Thread_local bool is_held;

static uint64_t held_now(void *user) {
    struct held *held = user;
    while (is_held && atomic_load(&held->holds)) {
        atomic_store(&held->arrived, true);
        sched_yield();
    }
    return S_NS;
}

static void *begin_held(void *ctx) {
    struct held *held = ctx;
    is_held = true;
    held->begun = begin(&held->asked, held->mesh, held->model, 100 * S_NS);
    return NULL;
}

static void *stop_held(void *ctx) {
    struct held *held = ctx;
    mm_mesh_stop(held->mesh, 0);
    atomic_store(&held->stopped, true);
    return NULL;
}

static void held_open(struct held *held) {
    fixture_open(&held->f, NULL);
    mm_device_options device = fixture_host("host", 8 * MIB);
    mm_mesh_options options = MM_MESH_OPTIONS_INIT;
    options.devices = &device;
    options.device_count = 1;
    struct mmi_world world = {.now = held_now, .user = held};
    assert_int_equal(mmi_mesh_create(&options, &world, &held->mesh, NULL), MM_OK);
    mm_model_spec spec = fixture_spec(&held->f, "m", "echo", "weights_bytes 64k\n");
    assert_int_equal(mm_register(held->mesh, &spec, &held->model, NULL), MM_OK);
    atomic_store(&held->holds, true);
}

/* A stop waits for it, and then its callback comes. */
static void test_stop_waits_for_an_operation_that_begins(void **state) {
    (void)state;
    static struct held held;
    held_open(&held);
    pthread_t beginner, stopper;
    assert_int_equal(pthread_create(&beginner, NULL, begin_held, &held), 0);
    while (!atomic_load(&held.arrived)) {
        sched_yield();
    }
    assert_int_equal(pthread_create(&stopper, NULL, stop_held, &held), 0);
    while (mm_prepare(held.mesh, held.model, NULL, NULL, NULL) != MM_CLOSED) {
        sched_yield();
    }
    for (int i = 0; i < 300; i++) { /* it would be over by now */
        assert_false(atomic_load(&held.stopped));
        nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
    }
    atomic_store(&held.holds, false);
    pthread_join(beginner, NULL);
    pthread_join(stopper, NULL);
    assert_int_equal(held.begun, MM_OK);
    assert_int_equal(atomic_load(&held.asked.called), 1);
    assert_int_equal(mm_op_poll(held.asked.op, NULL), MM_CLOSED);
    mm_op_free(held.asked.op);
    assert_int_equal(mm_mesh_free(&held.mesh), MM_OK);
    fixture_close(&held.f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_cancelled_check_loads_nothing),
        cmocka_unit_test(test_stop_waits_for_an_operation_that_begins),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
