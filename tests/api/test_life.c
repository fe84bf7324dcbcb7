/* SPDX-License-Identifier: Apache-2.0 */
/* The lives of models, operations and meshes: update, unregister, async, close, fork, nesting. */
#include "fixture.h"

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- Models ---------------------------------------------------------------------------------- */

/* Cold: only re-pointed. Resident: the new version takes over; the handle stays. */
static void test_update(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    mm_model model = fixture_add(&f, "m", "weights_bytes 1m\nseed 1\n");
    mm_model_spec spec = fixture_spec(&f, NULL, "echo", "weights_bytes 1m\nseed 2\n");
    assert_int_equal(mm_update(f.mesh, model, &spec, 0, NULL, NULL, &f.err), MM_OK);
    assert_int_equal(fixture_info(&f, model).state, MM_STATE_COLD);
    assert_int_equal(fixture_infer(&f, model, 2), MM_OK);
    mm_model_spec third = fixture_spec(&f, "m", "echo", "weights_bytes 2m\nseed 3\n");
    assert_int_equal(mm_update(f.mesh, model, &third, 0, NULL, NULL, &f.err), MM_OK);
    assert_int_equal(fixture_info(&f, model).state, MM_STATE_READY);
    assert_int_equal(fixture_info(&f, model).version, 3);
    assert_int_equal(fixture_infer(&f, model, 3), MM_OK);
    fixture_close(&f);
}

/* Both do not fit: MM_TOO_LARGE and the old serves, unless MM_UPDATE_REPLACE; a failure leaves the
 * old. */
static void test_update_without_room(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    mm_model model = fixture_add(&f, "m", "weights_bytes 9m\ncheck 0\nseed 1\n");
    assert_int_equal(fixture_infer(&f, model, 1), MM_OK);
    mm_model_spec spec = fixture_spec(&f, NULL, "echo", "weights_bytes 9m\ncheck 0\nseed 2\n");
    assert_int_equal(mm_update(f.mesh, model, &spec, 0, NULL, NULL, &f.err), MM_TOO_LARGE);
    assert_int_equal(fixture_infer(&f, model, 1), MM_OK);
    assert_int_equal(mm_update(f.mesh, model, &spec, MM_UPDATE_REPLACE, NULL, NULL, &f.err), MM_OK);
    assert_int_equal(fixture_infer(&f, model, 2), MM_OK);
    mm_model_spec bad = fixture_spec(&f, NULL, "echo", "weights_bytes 1m\nfail_attach -1 MM_IO\n");
    assert_int_equal(mm_update(f.mesh, model, &bad, 0, NULL, NULL, &f.err), MM_IO);
    assert_int_equal(fixture_infer(&f, model, 2), MM_OK);
    assert_int_equal(fixture_info(&f, model).updating, 0);
    fixture_close(&f);
}

/* A changed signature: old bindings are stale. Bindings survive eviction. */
static void test_bindings(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    mm_model model = fixture_add(&f, "m", "weights_bytes 1m\nseed 1\n");
    const char *inputs[] = {"x"}, *outputs[] = {"z", "y"}, *wrong[] = {"w"};
    mm_binding *binding = NULL;
    assert_int_equal(mm_bind(f.mesh, model, wrong, 1, NULL, 0, &binding, &f.err),
                     MM_INVALID_ARGUMENT);
    assert_int_equal(mm_bind(f.mesh, model, inputs, 1, outputs, 2, &binding, &f.err), MM_OK);
    float x[4] = {5, 6, 7, 8};
    mm_value in = {.dtype = MM_F32, .rank = 2, .shape = {1, 4}, .data = x, .bytes = 16};
    mm_request request = MM_REQUEST_INIT;
    request.inputs = &in;
    request.input_count = 1;
    request.binding = binding;
    for (int round = 0; round < 2; round++) {
        mm_response response = MM_RESPONSE_INIT;
        assert_int_equal(mm_infer(f.mesh, model, &request, &response, &f.err), MM_OK);
        assert_int_equal(response.output_count, 2);
        assert_string_equal(response.outputs[0].name, "z");
        assert_memory_equal(response.outputs[1].data, x, 16);
        mm_response_free(&response);
        assert_int_equal(mm_evict(f.mesh, model, MM_NO_WAIT, &f.err), MM_OK);
    }
    mm_model_spec spec = fixture_spec(&f, NULL, "echo", "weights_bytes 1m\nio two\n");
    assert_int_equal(mm_update(f.mesh, model, &spec, 0, NULL, NULL, &f.err), MM_OK);
    mm_response response = MM_RESPONSE_INIT;
    assert_int_equal(mm_infer(f.mesh, model, &request, &response, &f.err), MM_STALE_BINDING);
    mm_binding_free(binding);
    fixture_close(&f);
}

/* The name is free at return; the handle is stale; waiters end MM_UNREGISTERED; running ones
 * finish. */
static void test_unregister(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    mm_model running = fixture_add_gated(&f, "running", "weights_bytes 1m\nseed 1\n");
    mm_model loading = fixture_add_gated(&f, "loading", "weights_bytes 1m\nseed 2\n");
    struct caller on_running = {0}, on_loading = {0};
    gate_close(&f, MMI_ECHO_INFER);
    caller_start(&on_running, &f, running, 1, 0);
    gate_wait(&f, MMI_ECHO_INFER, 1);
    gate_close(&f, MMI_ECHO_ATTACH);
    caller_start(&on_loading, &f, loading, 2, 0);
    gate_wait(&f, MMI_ECHO_ATTACH, 2);
    wait_queued(&f, 1);
    assert_int_equal(mm_unregister(f.mesh, running, &f.err), MM_OK);
    assert_int_equal(mm_unregister(f.mesh, loading, &f.err), MM_OK);
    assert_int_equal(caller_join(&on_loading), MM_UNREGISTERED);
    assert_int_equal(fixture_infer(&f, running, 1), MM_STALE_HANDLE);
    assert_int_equal(mm_unregister(f.mesh, running, &f.err), MM_STALE_HANDLE);
    mm_model again = fixture_add(&f, "running", "weights_bytes 1m\nseed 9\n");
    mm_model found;
    assert_int_equal(mm_find(f.mesh, "running", &found), MM_OK);
    assert_true(found.id == again.id && found.id != running.id);
    assert_int_equal(fixture_infer(&f, again, 9), MM_OK);
    gate_open(&f, MMI_ECHO_INFER);
    gate_open(&f, MMI_ECHO_ATTACH);
    assert_int_equal(caller_join(&on_running), MM_OK);
    assert_int_equal(mm_find(f.mesh, "loading", &found), MM_NOT_FOUND);
    fixture_close(&f);
}

/* The same name registered and unregistered again and again, generations of 8 bits: a stale handle
 * never reaches another model. */
static void test_stale_handles(void **state) {
    (void)state;
    struct fixture f;
    fixture_open_with(&f, NULL, 8, false);
    mm_model_spec specs[2] = {fixture_spec(&f, "m", "echo", "weights_bytes 64k\nseed 0\n"),
                              fixture_spec(&f, "m", "echo", "weights_bytes 64k\nseed 1\n")};
    mm_model old[600];
    for (int i = 0; i < 600; i++) {
        assert_int_equal(mm_register(f.mesh, &specs[i % 2], &old[i], &f.err), MM_OK);
        if (i % 7 == 0) {
            assert_int_equal(fixture_infer(&f, old[i], i % 2), MM_OK);
        }
        assert_int_equal(mm_unregister(f.mesh, old[i], &f.err), MM_OK);
    }
    mm_model last;
    assert_int_equal(mm_register(f.mesh, &specs[0], &last, &f.err), MM_OK);
    assert_int_equal(fixture_infer(&f, last, 0), MM_OK);
    for (int i = 0; i < 600; i++) {
        assert_true(old[i].id != last.id);
        assert_int_equal(fixture_infer(&f, old[i], -1), MM_STALE_HANDLE);
    }
    fixture_close(&f);
}

/* ---- Operations ------------------------------------------------------------------------------ */

struct called {
    _Atomic unsigned times;
    mm_status status;
};

static void on_done(void *user, mm_op *op) {
    struct called *called = user;
    called->status = mm_op_poll(op, NULL);
    atomic_fetch_add(&called->times, 1);
}

static void test_async(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    mm_model model = fixture_add_gated(&f, "m", "weights_bytes 1m\nseed 1\n");
    float x[4] = {1, 2, 3, 4};
    mm_value in = {
        .name = "x", .dtype = MM_F32, .rank = 2, .shape = {1, 4}, .data = x, .bytes = 16};
    mm_request request = MM_REQUEST_INIT;
    request.inputs = &in;
    request.input_count = 1;
    mm_response response = MM_RESPONSE_INIT;
    struct called called = {0};
    mm_async async = MM_ASYNC_INIT;
    async.callback = on_done;
    async.user = &called;
    async.flags = MM_ASYNC_QUEUE;
    mm_op *op, *next;
    gate_close(&f, MMI_ECHO_ATTACH);
    assert_int_equal(mm_infer_async(f.mesh, model, &request, &response, &async, &op, &f.err),
                     MM_OK);
    assert_int_equal(mm_op_poll(op, NULL), MM_PENDING);
    assert_int_equal(mm_ops_next(f.mesh, &next), MM_NONE);
    gate_wait(&f, MMI_ECHO_ATTACH, 1);
    mm_progress progress = MM_PROGRESS_INIT;
    assert_int_equal(mm_op_progress(op, &progress), MM_OK);
    assert_int_equal(progress.stage, MM_STAGE_LOADING);
    gate_open(&f, MMI_ECHO_ATTACH);
    assert_int_equal(mm_op_wait(op, 0, &f.err), MM_OK);
    assert_memory_equal(response.outputs[0].data, x, 16);
    while (atomic_load(&called.times) == 0) {
        sched_yield();
    }
    assert_int_equal(called.status, MM_OK);
    assert_int_equal(mm_ops_next(f.mesh, &next), MM_OK);
    assert_ptr_equal(next, op);
    assert_int_equal(mm_ops_next(f.mesh, &next), MM_NONE);
    mm_op_progress(op, &progress);
    assert_int_equal(progress.stage, MM_STAGE_DONE);
    mm_op_free(op);
    mm_response_free(&response);
    fixture_close(&f);
    assert_int_equal(atomic_load(&called.times), 1);
}

/* Cancel: ends waiting, and with nobody else waiting the load too. Free while running: detached,
 * the callback still comes once. */
static void test_cancel(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    mm_model model = fixture_add_gated(&f, "m", "weights_bytes 1m\nseed 1\n");
    mm_op *op;
    gate_close(&f, MMI_ECHO_ATTACH);
    assert_int_equal(mm_load(f.mesh, model, NULL, &op, &f.err), MM_OK);
    gate_wait(&f, MMI_ECHO_ATTACH, 1);
    mm_op_cancel(op);
    assert_int_equal(mm_op_wait(op, 0, &f.err), MM_CANCELLED);
    mm_op_free(op);
    struct called called = {0};
    mm_async async = MM_ASYNC_INIT;
    async.callback = on_done;
    async.user = &called;
    assert_int_equal(mm_load(f.mesh, model, &async, &op, &f.err), MM_OK);
    mm_op_free(op);
    gate_open(&f, MMI_ECHO_ATTACH);
    while (atomic_load(&called.times) == 0) {
        sched_yield();
    }
    assert_int_equal(called.status, MM_OK);
    assert_int_equal(fixture_info(&f, model).state, MM_STATE_READY);
    fixture_close(&f);
}

#define CROWD 200
/* Many async waiters on one load, all but one expiring in its tick: each completes once. */
static void test_crowd(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    mm_model model = fixture_add_gated(&f, "m", "weights_bytes 1m\nseed 1\n");
    float x[4] = {1, 2, 3, 4};
    mm_value in = {
        .name = "x", .dtype = MM_F32, .rank = 2, .shape = {1, 4}, .data = x, .bytes = 16};
    static mm_response responses[CROWD];
    static struct called called[CROWD];
    static mm_op *ops[CROWD];
    memset(called, 0, sizeof(called));
    gate_close(&f, MMI_ECHO_ATTACH);
    for (int i = 0; i < CROWD; i++) {
        mm_request request = MM_REQUEST_INIT;
        request.inputs = &in;
        request.input_count = 1;
        request.deadline_ns = i == 0 ? 0 : WORLD_START_NS + 5 * MS;
        responses[i] = (mm_response)MM_RESPONSE_INIT;
        mm_async async = MM_ASYNC_INIT;
        async.callback = on_done;
        async.user = &called[i];
        assert_int_equal(
            mm_infer_async(f.mesh, model, &request, &responses[i], &async, &ops[i], NULL), MM_OK);
    }
    gate_wait(&f, MMI_ECHO_ATTACH, 1);
    fixture_advance(&f, 6 * MS);
    gate_open(&f, MMI_ECHO_ATTACH);
    unsigned good = 0;
    for (int i = 0; i < CROWD; i++) {
        mm_status status = mm_op_wait(ops[i], 0, NULL);
        assert_true(status == MM_OK || (i > 0 && status == MM_DEADLINE));
        good += status == MM_OK;
        mm_op_free(ops[i]);
        mm_response_free(&responses[i]);
    }
    assert_true(good >= 1);
    assert_int_equal(fixture_info(&f, model).loads, 1);
    assert_int_equal(mm_mesh_stop(f.mesh, 0), MM_OK);
    for (int i = 0; i < CROWD; i++) {
        assert_int_equal(atomic_load(&called[i].times), 1);
    }
    fixture_close(&f);
}

/* ---- The mesh -------------------------------------------------------------------------------- */

static void test_deadline_after(void **state) {
    (void)state;
    struct mmi_clock clock;
    mmi_clock_init(&clock, NULL, NULL);
    uint64_t before_ns = mmi_now(&clock);
    uint64_t deadline_ns = mm_deadline_after(MS);
    assert_in_range(deadline_ns - MS, before_ns, mmi_now(&clock));
    assert_true(mm_deadline_after(UINT64_MAX) == UINT64_MAX);
    assert_true(mm_deadline_after(UINT64_MAX - 1) == UINT64_MAX);
}

/* close: waiters end MM_CLOSED, running inferences finish, new calls are refused; stop with a
 * bound. */
static void test_close_and_stop(void **state) {
    (void)state;
    struct fixture f;
    fixture_open_with(&f, NULL, 0, true);
    mm_model running = fixture_add_gated(&f, "running", "weights_bytes 1m\nseed 1\n");
    mm_model loading = fixture_add_gated(&f, "loading", "weights_bytes 1m\nseed 2\n");
    struct caller on_running = {0}, on_loading = {0};
    gate_close(&f, MMI_ECHO_INFER);
    caller_start(&on_running, &f, running, 1, 0);
    gate_wait(&f, MMI_ECHO_INFER, 1);
    gate_close(&f, MMI_ECHO_ATTACH);
    caller_start(&on_loading, &f, loading, 2, 0);
    gate_wait(&f, MMI_ECHO_ATTACH, 2);
    wait_queued(&f, 1);
    assert_int_equal(mm_mesh_close(f.mesh), MM_OK);
    assert_int_equal(mm_mesh_close(f.mesh), MM_OK);
    assert_int_equal(caller_join(&on_loading), MM_CLOSED);
    assert_int_equal(fixture_infer(&f, loading, 2), MM_CLOSED);
    assert_int_equal(mm_mesh_stop(f.mesh, mm_deadline_after(MS)), MM_DEADLINE);
    gate_open(&f, MMI_ECHO_ATTACH);
    gate_open(&f, MMI_ECHO_INFER);
    assert_int_equal(caller_join(&on_running), MM_OK);
    assert_int_equal(mm_mesh_stop(f.mesh, 0), MM_OK);
    assert_int_equal(mm_mesh_stop(f.mesh, 0), MM_OK);
    fixture_close(&f);
}

/* ThreadSanitizer refuses threads in a child of a threaded process. */
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define CHILD_MAY_START_THREADS false
#endif
#endif
#ifndef CHILD_MAY_START_THREADS
#define CHILD_MAY_START_THREADS true
#endif

static bool own_mesh_in_child(void) {
    mm_mesh *own = NULL;
    return mm_mesh_create(NULL, &own, NULL) == MM_OK && mm_mesh_free(&own) == MM_OK;
}

/* In a child every call is MM_FORKED, free included; the child may make its own mesh. */
static void test_fork(void **state) {
    (void)state;
    struct fixture f;
    fixture_open_with(&f, NULL, 0, true);
    mm_model model = fixture_add(&f, "m", "weights_bytes 1m\nseed 1\n");
    assert_int_equal(fixture_infer(&f, model, 1), MM_OK);
    pid_t child = fork();
    if (child == 0) {
        mm_mesh *kept = f.mesh;
        mm_model found;
        bool good = fixture_infer(&f, model, -1) == MM_FORKED &&
                    mm_evict(f.mesh, model, MM_NO_WAIT, NULL) == MM_FORKED &&
                    mm_find(f.mesh, "m", &found) == MM_FORKED &&
                    mm_mesh_close(f.mesh) == MM_FORKED && mm_mesh_free(&kept) == MM_FORKED &&
                    kept && (!CHILD_MAY_START_THREADS || own_mesh_in_child());
        _exit(good ? 0 : 1);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(fixture_infer(&f, model, 1), MM_OK);
    fixture_close(&f);
}

/* No threads of ours: the caller does the work; async calls are unsupported. */
static void test_no_threads(void **state) {
    (void)state;
    struct fixture f;
    mm_mesh_options options = MM_MESH_OPTIONS_INIT;
    options.infer_threads = MM_THREADS_NONE;
    options.min_residency_ns = 1;
    fixture_open(&f, &options);
    const char *names[3] = {"a", "b", "c"};
    mm_model m[3];
    for (int i = 0; i < 3; i++) {
        m[i] = fixture_add(&f, names[i], "weights_bytes 7m\ncheck 0\n");
    }
    for (int i = 0; i < 9; i++) {
        fixture_advance(&f, MS);
        assert_int_equal(fixture_infer(&f, m[i % 3], -1), MM_OK);
    }
    mm_op *op;
    assert_int_equal(mm_load(f.mesh, m[0], NULL, &op, &f.err), MM_UNSUPPORTED);
    mm_model_spec spec = fixture_spec(&f, "p", "echo", "weights_bytes 1m\n");
    spec.flags = MM_MODEL_PRELOAD;
    mm_model model;
    assert_int_equal(mm_register(f.mesh, &spec, &model, &f.err), MM_UNSUPPORTED);
    fixture_close(&f);
}

/* Two meshes in one process know nothing of each other. */
static void test_two_meshes(void **state) {
    (void)state;
    struct fixture a, b;
    fixture_open(&a, NULL);
    fixture_open(&b, NULL);
    mm_model in_a = fixture_add(&a, "m", "weights_bytes 1m\nseed 1\n");
    mm_model in_b = fixture_add(&b, "m", "weights_bytes 1m\nseed 2\n");
    assert_int_equal(fixture_infer(&a, in_a, 1), MM_OK);
    assert_int_equal(fixture_infer(&b, in_b, 2), MM_OK);
    assert_int_equal(mm_mesh_free(&a.mesh), MM_OK);
    assert_int_equal(fixture_infer(&b, in_b, 2), MM_OK);
    fixture_close(&a);
    fixture_close(&b);
}

/* ---- From inside ----------------------------------------------------------------------------- */

struct inside {
    struct fixture *f;
    mm_model own, other;
    mm_status infer, evict, stop, free, close;
};

static mm_status call_back(void *user) {
    struct inside *inside = user;
    struct fixture *f = inside->f;
    f->gate.inside = NULL; /* once */
    mm_mesh *mesh = f->mesh;
    inside->infer = fixture_infer(f, inside->other, -1);
    inside->evict = mm_evict(f->mesh, inside->own, MM_NO_WAIT, NULL);
    inside->stop = mm_mesh_stop(f->mesh, 0);
    inside->free = mm_mesh_free(&mesh);
    return MM_OK;
}

/* A backend that did not say `nested` gets MM_INVALID_STATE; evicting itself, stop and free
 * MM_BUSY. */
static void test_from_inside(void **state) {
    (void)state;
    for (int nested = 0; nested < 2; nested++) {
        struct fixture f;
        fixture_open(&f, NULL);
        mm_model_spec spec = fixture_spec(&f, "own", nested ? "gated-nested" : "gated",
                                          "weights_bytes 1m\nseed 1\n");
        struct inside inside = {.f = &f};
        assert_int_equal(mm_register(f.mesh, &spec, &inside.own, &f.err), MM_OK);
        inside.other = fixture_add(&f, "other", "weights_bytes 1m\nseed 2\n");
        f.gate.user = &inside;
        f.gate.inside = call_back;
        assert_int_equal(fixture_infer(&f, inside.own, 1), MM_OK);
        assert_int_equal(inside.infer, nested ? MM_OK : MM_INVALID_STATE);
        assert_int_equal(inside.evict, MM_BUSY);
        assert_int_equal(inside.stop, MM_BUSY);
        assert_int_equal(inside.free, MM_BUSY);
        fixture_close(&f);
    }
}

/* A nested miss that would wait for others to leave is MM_BUSY at once. */
static void test_nested_miss(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    mm_model_spec spec =
        fixture_spec(&f, "own", "gated-nested", "weights_bytes 9m\ncheck 0\nseed 1\n");
    struct inside inside = {.f = &f};
    assert_int_equal(mm_register(f.mesh, &spec, &inside.own, &f.err), MM_OK);
    inside.other = fixture_add(&f, "other", "weights_bytes 9m\ncheck 0\nseed 2\n");
    f.gate.user = &inside;
    f.gate.inside = call_back;
    assert_int_equal(fixture_infer(&f, inside.own, 1), MM_OK);
    assert_int_equal(inside.infer, MM_BUSY);
    fixture_close(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_update),         cmocka_unit_test(test_update_without_room),
        cmocka_unit_test(test_bindings),       cmocka_unit_test(test_unregister),
        cmocka_unit_test(test_stale_handles),  cmocka_unit_test(test_async),
        cmocka_unit_test(test_cancel),         cmocka_unit_test(test_crowd),
        cmocka_unit_test(test_deadline_after), cmocka_unit_test(test_close_and_stop),
        cmocka_unit_test(test_fork),           cmocka_unit_test(test_no_threads),
        cmocka_unit_test(test_two_meshes),     cmocka_unit_test(test_from_inside),
        cmocka_unit_test(test_nested_miss),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
