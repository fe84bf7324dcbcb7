/* SPDX-License-Identifier: Apache-2.0 */
/* The end of a mesh: close, stop, free. */
#include "scene.h"

#include <sched.h>
#include <string.h>
#include <sys/mman.h>

/* ---- Close ----------------------------------------------------------------------------------- */

struct eviction {
    struct fixture *f;
    mm_model model;
};

static mm_status evict_in_time(void *ctx) {
    struct eviction *eviction = ctx;
    return mm_evict(eviction->f->mesh, eviction->model,
                    fixture_after(eviction->f, 3600 * 1000 * MS), NULL);
}

static void assert_closed(struct fixture *f, mm_model model) {
    struct ask ask;
    mm_op *op = NULL;
    mm_model other;
    mm_binding *binding;
    mm_model_description *description;
    mm_model_spec spec = fixture_spec(f, "new", "echo", "weights_bytes 1m\n");
    ask_init(&ask, f, model);
    assert_int_equal(ask_infer(&ask), MM_CLOSED);
    assert_int_equal(ask.err.status, MM_CLOSED);
    assert_int_equal(ask_async(&ask), MM_CLOSED);
    assert_int_equal(mm_load(f->mesh, model, NULL, NULL, NULL), MM_CLOSED);
    assert_int_equal(mm_load(f->mesh, model, NULL, &op, NULL), MM_CLOSED);
    assert_int_equal(mm_prepare(f->mesh, model, NULL, NULL, NULL), MM_CLOSED);
    assert_int_equal(mm_prepare(f->mesh, model, NULL, &op, NULL), MM_CLOSED);
    assert_null(op);
    assert_int_equal(mm_register(f->mesh, &spec, &other, NULL), MM_CLOSED);
    spec.name = NULL;
    assert_int_equal(mm_update(f->mesh, model, &spec, 0, NULL, NULL, NULL), MM_CLOSED);
    assert_int_equal(mm_update(f->mesh, model, &spec, 0, NULL, &op, NULL), MM_CLOSED);
    assert_int_equal(mm_evict(f->mesh, model, MM_NO_WAIT, NULL), MM_CLOSED);
    assert_int_equal(mm_evict(f->mesh, model, 0, NULL), MM_CLOSED);
    assert_int_equal(mm_device_set_budget(f->mesh, "host", 64 * MIB, NULL), MM_CLOSED);
    assert_int_equal(mm_model_describe(f->mesh, model, 0, &description, NULL), MM_CLOSED);
    assert_int_equal(mm_bind(f->mesh, model, NULL, 0, NULL, 0, &binding, NULL), MM_CLOSED);
    assert_null(op);
}

/* "close never blocks: new calls, waiters, queued ops end MM_CLOSED, running inferences finish":
 * with one of each waiting. */
static void test_close_ends_what_waits_and_lets_finish_what_runs(void **state) {
    (void)state;
    struct fixture f;
    mm_mesh_options options = MM_MESH_OPTIONS_INIT;
    options.infer_threads = 1;
    fixture_open(&f, &options);
    mm_model busy = fixture_add_gated(&f, "busy", "weights_bytes 1m\nserial 1\nseed 1\n");
    mm_model free_model = fixture_add(&f, "free", "weights_bytes 1m\nseed 2\n");
    mm_model cold = fixture_add_gated(&f, "cold", "weights_bytes 1m\nseed 3\n");
    assert_int_equal(scene_seed(&f, free_model), 2);
    struct ask running, queued, turn, loading;
    struct call second, third, fourth;
    ask_init(&running, &f, busy);
    ask_init(&queued, &f, free_model);
    ask_init(&turn, &f, busy);
    ask_init(&loading, &f, cold);
    assert_int_equal(mm_load(f.mesh, busy, NULL, NULL, &f.err), MM_OK);
    gate_close(&f, MMI_ECHO_INFER);
    gate_close(&f, MMI_ECHO_ATTACH);
    assert_int_equal(ask_async(&running), MM_OK); /* holds the only thread */
    gate_wait(&f, MMI_ECHO_INFER, 1);
    assert_int_equal(ask_async(&queued), MM_OK); /* hot, but no thread to run on */
    call_ask(&second, &turn);
    call_ask(&third, &loading);
    gate_wait(&f, MMI_ECHO_ATTACH, 2);
    mm_op *load, *update;
    assert_int_equal(mm_load(f.mesh, cold, NULL, &load, &f.err), MM_OK);
    mm_model_spec spec = fixture_spec(&f, NULL, "gated", "weights_bytes 1m\nseed 4\n");
    assert_int_equal(mm_update(f.mesh, busy, &spec, 0, NULL, &update, &f.err), MM_OK);
    struct eviction eviction = {&f, busy};
    call_start(&fourth, evict_in_time, &eviction);
    wait_queued(&f, 5); /* turn, load by a caller and by an op, update, eviction */

    assert_int_equal(mm_mesh_close(f.mesh), MM_OK);
    assert_int_equal(mm_op_wait(queued.op, 0, &f.err), MM_CLOSED);
    assert_int_equal(call_join(&second), MM_CLOSED);
    assert_int_equal(call_join(&third), MM_CLOSED);
    assert_int_equal(call_join(&fourth), MM_CLOSED);
    assert_int_equal(mm_op_wait(load, 0, &f.err), MM_CLOSED);
    assert_int_equal(mm_op_wait(update, 0, &f.err), MM_CLOSED);
    assert_int_equal(mm_op_poll(running.op, NULL), MM_PENDING);
    assert_closed(&f, busy);
    assert_closed(&f, free_model);
    assert_int_equal(mm_mesh_close(f.mesh), MM_OK); /* "may be repeated" */
    gate_open(&f, MMI_ECHO_INFER);
    gate_open(&f, MMI_ECHO_ATTACH);
    assert_int_equal(mm_op_wait(running.op, 0, &f.err), MM_OK);
    assert_int_equal(ask_seed(&running), 1);
    assert_int_equal(mm_mesh_stop(f.mesh, 0), MM_OK);
    assert_int_equal(ask_called(&running), 1);
    assert_int_equal(ask_called(&queued), 1);
    assert_int_equal(fixture_device(&f, 0).used_bytes - fixture_device(&f, 0).scratch_bytes, 0);
    ask_done(&running);
    ask_done(&queued);
    mm_op_free(load);
    mm_op_free(update);
    fixture_close(&f);
}

/* ---- Stop ------------------------------------------------------------------------------------ */

struct stopping {
    struct fixture *f;
    uint64_t deadline_ns;
};

static mm_status stop(void *ctx) {
    struct stopping *stopping = ctx;
    return mm_mesh_stop(stopping->f->mesh, stopping->deadline_ns);
}

static bool is_closed(void *ctx) {
    const struct fixture *f = ctx;
    return atomic_load(&f->mesh->res.closed);
}

/* "stop joins, may be repeated": with a deadline that passes, by two threads at once, and once
 * more. */
static void test_stop_waits_until_its_deadline(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    mm_model model = fixture_add_gated(&f, "m", "weights_bytes 1m\nseed 1\n");
    gate_close(&f, MMI_ECHO_INFER);
    struct ask ask;
    struct call asking, bounded, calls[2];
    ask_init(&ask, &f, model);
    call_ask(&asking, &ask);
    gate_wait(&f, MMI_ECHO_INFER, 1);
    struct stopping soon = {&f, fixture_after(&f, 5 * MS)}, whenever = {&f, 0};
    call_start(&bounded, stop, &soon);
    wait_until(is_closed, &f); /* it has begun */
    assert_int_equal(call_join_with_time(&bounded, &f), MM_DEADLINE);
    assert_closed(&f, model); /* stop begins with close */
    call_start(&calls[0], stop, &whenever);
    call_start(&calls[1], stop, &whenever);
    gate_open(&f, MMI_ECHO_INFER);
    assert_int_equal(call_join(&asking), MM_OK);
    assert_int_equal(ask_seed(&ask), 1);
    assert_int_equal(call_join(&calls[0]), MM_OK);
    assert_int_equal(call_join(&calls[1]), MM_OK);
    assert_int_equal(mm_mesh_stop(f.mesh, 0), MM_OK);
    assert_int_equal(mm_mesh_stop(f.mesh, MM_NO_WAIT), MM_OK);
    mm_op *op;
    assert_int_equal(mm_ops_next(f.mesh, &op), MM_CLOSED);
    ask_done(&ask);
    fixture_close(&f);
}

static void linger(void *user, mm_op *op) {
    struct fixture *f = user;
    (void)op;
    pthread_mutex_lock(&f->gate.mutex);
    f->gate.arrived[MMI_ECHO_SLOTS - 1]++;
    pthread_cond_broadcast(&f->gate.changed);
    while (f->gate.closed[MMI_ECHO_SLOTS - 1]) {
        pthread_cond_wait(&f->gate.changed, &f->gate.mutex);
    }
    pthread_mutex_unlock(&f->gate.mutex);
}

/* The deadline bounds the wait for a callback, too. */
static void test_stop_while_a_callback_lingers(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    mm_model model = fixture_add(&f, "m", "weights_bytes 1m\n");
    gate_close(&f, MMI_ECHO_SLOTS - 1); /* the callback's: no model of this mesh is gated */
    mm_async async = MM_ASYNC_INIT;
    async.callback = linger;
    async.user = &f;
    mm_op *op;
    assert_int_equal(mm_load(f.mesh, model, &async, &op, &f.err), MM_OK);
    gate_wait(&f, MMI_ECHO_SLOTS - 1, 1);
    assert_int_equal(mm_mesh_stop(f.mesh, MM_NO_WAIT), MM_BUSY);
    struct stopping soon = {&f, fixture_after(&f, 5 * MS)};
    struct call bounded;
    call_start(&bounded, stop, &soon);
    assert_int_equal(call_join_with_time(&bounded, &f), MM_DEADLINE);
    gate_open(&f, MMI_ECHO_SLOTS - 1);
    assert_int_equal(mm_mesh_stop(f.mesh, 0), MM_OK);
    assert_int_equal(mm_op_wait(op, 0, &f.err), MM_OK);
    mm_op_free(op);
    fixture_close(&f);
}

/* Bytes of an update that a close ended: nobody reads them when its op is over. */
static void test_close_gives_an_updates_bytes_back(void **state) {
    (void)state;
    const enum mmi_echo_slot slots[] = {MMI_ECHO_PREPARE, MMI_ECHO_OPEN, MMI_ECHO_ATTACH};
    for (int i = 0; i < 3; i++) {
        struct fixture f;
        fixture_open(&f, NULL);
        mm_model model = fixture_add_gated(&f, "m", "weights_bytes 1m\nseed 1\n");
        assert_int_equal(scene_seed(&f, model), 1);
        mm_model_spec spec = fixture_spec(&f, NULL, "gated", "weights_bytes 1m\nseed 2\n");
        void *bytes = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        assert_true(bytes != MAP_FAILED && spec.data_bytes <= 4096);
        spec.data = memcpy(bytes, spec.data, spec.data_bytes);
        gate_close(&f, slots[i]);
        mm_op *op;
        assert_int_equal(mm_update(f.mesh, model, &spec, 0, NULL, &op, &f.err), MM_OK);
        gate_wait(&f, slots[i], 2);
        assert_int_equal(mm_mesh_close(f.mesh), MM_OK);
        assert_int_equal(mm_op_wait(op, 0, &f.err), MM_CLOSED);
        mm_op_free(op);
        munmap(bytes, 4096);
        gate_open(&f, slots[i]);
        fixture_close(&f);
    }
}

/* A deadline that has passed starts nothing; MM_NO_WAIT closes, and stops if nothing runs. */
static void test_stop_at_once(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    mm_model model = fixture_add_gated(&f, "m", "weights_bytes 1m\nseed 1\n");
    gate_close(&f, MMI_ECHO_INFER);
    struct ask ask;
    struct call asking;
    ask_init(&ask, &f, model);
    call_ask(&asking, &ask);
    gate_wait(&f, MMI_ECHO_INFER, 1);
    assert_int_equal(mm_mesh_stop(f.mesh, fixture_after(&f, 0)), MM_DEADLINE);
    assert_false(is_closed(&f));
    assert_int_equal(mm_mesh_stop(f.mesh, MM_NO_WAIT), MM_BUSY);
    assert_closed(&f, model);
    gate_open(&f, MMI_ECHO_INFER);
    assert_int_equal(call_join(&asking), MM_OK);
    assert_int_equal(mm_mesh_stop(f.mesh, 0), MM_OK);
    assert_int_equal(mm_mesh_stop(f.mesh, MM_NO_WAIT), MM_OK);
    ask_done(&ask);
    fixture_close(&f);
}

struct inside {
    struct fixture *f;
    mm_model own;
    mm_mesh *kept;
    mm_status stop, stop_soon, free, close, infer;
    unsigned times;
};

static mm_status end_from_inside(void *user) {
    struct inside *inside = user;
    if (inside->times++ > 0) {
        return MM_OK;
    }
    inside->kept = inside->f->mesh;
    inside->stop = mm_mesh_stop(inside->f->mesh, 0);
    inside->stop_soon = mm_mesh_stop(inside->f->mesh, MM_NO_WAIT);
    inside->free = mm_mesh_free(&inside->kept);
    return MM_OK;
}

/* "stop MM_BUSY from inside infer", free too, pointer kept; and nothing was begun by it. */
static void test_stop_and_free_from_inside_an_infer_are_refused(void **state) {
    (void)state;
    const char *backends[] = {"gated", "gated-nested"};
    for (int i = 0; i < 4; i++) {
        struct fixture f;
        fixture_open(&f, NULL);
        mm_model_spec spec = fixture_spec(&f, "m", backends[i % 2], "weights_bytes 1m\nseed 1\n");
        struct inside inside = {.f = &f};
        assert_int_equal(mm_register(f.mesh, &spec, &inside.own, &f.err), MM_OK);
        f.gate.user = &inside;
        f.gate.inside = end_from_inside;
        if (i < 2) {
            assert_int_equal(scene_seed(&f, inside.own), 1);
        } else {
            struct ask ask;
            ask_init(&ask, &f, inside.own);
            assert_int_equal(ask_async(&ask), MM_OK);
            assert_int_equal(mm_op_wait(ask.op, 0, &f.err), MM_OK);
            ask_wait_called(&ask);
            ask_done(&ask);
        }
        assert_int_equal(inside.stop, MM_BUSY);
        assert_int_equal(inside.stop_soon, MM_BUSY);
        assert_int_equal(inside.free, MM_BUSY);
        assert_ptr_equal(inside.kept, f.mesh);
        assert_int_equal(scene_hit(&f, inside.own), 1);
        fixture_close(&f);
    }
}

static mm_status close_from_inside(void *user) {
    struct inside *inside = user;
    if (inside->times++ == 0) {
        inside->close = mm_mesh_close(inside->f->mesh);
        inside->infer = fixture_infer(inside->f, inside->own, -1);
    }
    return MM_OK;
}

/* From inside an infer close works: that one finishes. */
static void test_close_from_inside_an_infer_works(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    mm_model_spec spec = fixture_spec(&f, "m", "gated-nested", "weights_bytes 1m\nseed 1\n");
    struct inside inside = {.f = &f};
    assert_int_equal(mm_register(f.mesh, &spec, &inside.own, &f.err), MM_OK);
    f.gate.user = &inside;
    f.gate.inside = close_from_inside;
    assert_int_equal(scene_seed(&f, inside.own), 1);
    assert_int_equal(inside.close, MM_OK);
    assert_int_equal(inside.infer, MM_CLOSED);
    assert_closed(&f, inside.own);
    fixture_close(&f);
}

/* ---- Callbacks ------------------------------------------------------------------------------- */

struct callback {
    struct fixture *f;
    mm_model model, registered;
    mm_mesh *kept;
    mm_status stop, free, infer, registering;
    pthread_t thread;
    _Atomic unsigned times;
};

static void call_everything(void *user, mm_op *op) {
    struct callback *callback = user;
    mm_mesh *mesh = callback->f->mesh;
    callback->kept = mesh;
    callback->thread = pthread_self();
    callback->stop = mm_mesh_stop(mesh, 0);
    callback->free = mm_mesh_free(&callback->kept);
    callback->infer = fixture_infer(callback->f, callback->model, 1);
    mm_model_spec spec = fixture_spec(callback->f, "from-a-callback", "echo", "weights_bytes 1m\n");
    callback->registering = mm_register(mesh, &spec, &callback->registered, NULL);
    mm_op_free(op); /* "a callback may free its op" */
    atomic_fetch_add(&callback->times, 1);
}

static bool was_called(void *ctx) {
    return atomic_load(&((struct callback *)ctx)->times) > 0;
}

/* "callbacks ... may call anything but stop and free": those are MM_BUSY there. */
static void test_stop_and_free_from_inside_a_callback_are_refused(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    struct callback callback = {.f = &f};
    callback.model = fixture_add(&f, "m", "weights_bytes 1m\nseed 1\n");
    mm_async async = MM_ASYNC_INIT;
    async.callback = call_everything;
    async.user = &callback;
    mm_op *op;
    assert_int_equal(mm_load(f.mesh, callback.model, &async, &op, &f.err), MM_OK);
    wait_until(was_called, &callback);
    assert_int_equal(callback.stop, MM_BUSY);
    assert_int_equal(callback.free, MM_BUSY);
    assert_ptr_equal(callback.kept, f.mesh);
    assert_int_equal(callback.infer, MM_OK);
    assert_int_equal(callback.registering, MM_OK);
    assert_false(pthread_equal(callback.thread, pthread_self()));
    assert_int_equal(scene_hit(&f, callback.model), 1);
    fixture_close(&f);
}

/* ---- Free ------------------------------------------------------------------------------------ */

static mm_status free_mesh(void *ctx) {
    struct fixture *f = ctx;
    return mm_mesh_free(&f->mesh);
}

/* "free of the mesh with ops running: cancels, waits, completes each once". "Open ops, bindings and
 * responses survive it". */
static void test_free_completes_every_op_once(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    mm_model model = fixture_add_gated(&f, "m", "weights_bytes 1m\nseed 1\n");
    mm_binding *binding;
    mm_model_description *description;
    assert_int_equal(mm_bind(f.mesh, model, (const char *[]){"x"}, 1, NULL, 0, &binding, &f.err),
                     MM_OK);
    assert_int_equal(mm_model_describe(f.mesh, model, 0, &description, &f.err), MM_OK);
    assert_int_equal(mm_load(f.mesh, model, NULL, NULL, &f.err), MM_OK);
    mm_model cold = fixture_add_gated(&f, "cold", "weights_bytes 1m\nseed 2\n");
    struct ask running, waiting[8];
    struct call freeing;
    ask_init(&running, &f, model);
    gate_close(&f, MMI_ECHO_INFER);
    gate_close(&f, MMI_ECHO_ATTACH);
    assert_int_equal(ask_async(&running), MM_OK);
    gate_wait(&f, MMI_ECHO_INFER, 1);
    for (int i = 0; i < 8; i++) {
        ask_init(&waiting[i], &f, cold);
        assert_int_equal(ask_async(&waiting[i]), MM_OK);
    }
    gate_wait(&f, MMI_ECHO_ATTACH, 2);
    call_start(&freeing, free_mesh, &f);
    for (int i = 0; i < 8; i++) {
        assert_int_equal(mm_op_wait(waiting[i].op, 0, &f.err), MM_CLOSED);
    }
    assert_int_equal(mm_op_poll(running.op, NULL), MM_PENDING);
    gate_open(&f, MMI_ECHO_ATTACH);
    gate_open(&f, MMI_ECHO_INFER);
    assert_int_equal(call_join(&freeing), MM_OK);
    assert_null(f.mesh);
    assert_int_equal(mm_op_wait(running.op, 0, &f.err), MM_OK);
    assert_int_equal(ask_seed(&running), 1);
    assert_int_equal(ask_called(&running), 1);
    assert_int_equal(running.told, MM_OK);
    for (int i = 0; i < 8; i++) {
        assert_int_equal(ask_called(&waiting[i]), 1);
        assert_int_equal(waiting[i].told, MM_CLOSED);
        mm_op_cancel(waiting[i].op); /* late, and harmless */
        assert_ptr_equal(mm_op_user(waiting[i].op), &waiting[i]);
        ask_done(&waiting[i]);
    }
    assert_string_equal(description->inputs[0].name, "x");
    mm_description_free(description);
    mm_binding_free(binding);
    ask_done(&running);
    fixture_close(&f);
}

/* "free of NULL does nothing". */
static void test_free_of_nothing_does_nothing(void **state) {
    (void)state;
    mm_mesh *none = NULL;
    assert_int_equal(mm_mesh_free(NULL), MM_OK);
    assert_int_equal(mm_mesh_free(&none), MM_OK);
    assert_int_equal(mm_mesh_close(NULL), MM_INVALID_ARGUMENT);
    assert_int_equal(mm_mesh_stop(NULL, 0), MM_INVALID_ARGUMENT);
    mm_op_free(NULL);
    mm_op_cancel(NULL);
    mm_binding_free(NULL);
    mm_response_free(NULL);
    mm_description_free(NULL);
}

/* Close at any moment of some traffic: every call ends, with an answer or MM_CLOSED. */
static mm_status ask_until_closed(void *ctx) {
    struct ask *ask = ctx;
    mm_status status;
    while ((status = ask_infer(ask)) == MM_OK) {
        assert_int_equal(ask_seed(ask), 1);
        mm_response_free(&ask->response);
    }
    return status;
}

static void test_close_in_the_middle_of_traffic(void **state) {
    (void)state;
    for (int round = 0; round < 20; round++) {
        struct fixture f;
        fixture_open(&f, NULL);
        mm_model model = fixture_add(&f, "m", "weights_bytes 64k\nseed 1\n");
        struct ask asks[2];
        struct call calls[2];
        for (int i = 0; i < 2; i++) {
            ask_init(&asks[i], &f, model);
            call_start(&calls[i], ask_until_closed, &asks[i]);
        }
        while (round % 2 && fixture_info(&f, model).requests < 10) {
            sched_yield();
        }
        assert_int_equal(mm_mesh_close(f.mesh), MM_OK);
        for (int i = 0; i < 2; i++) {
            assert_int_equal(call_join(&calls[i]), MM_CLOSED);
        }
        fixture_close(&f);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_close_ends_what_waits_and_lets_finish_what_runs),
        cmocka_unit_test(test_stop_waits_until_its_deadline),
        cmocka_unit_test(test_stop_while_a_callback_lingers),
        cmocka_unit_test(test_close_gives_an_updates_bytes_back),
        cmocka_unit_test(test_stop_at_once),
        cmocka_unit_test(test_stop_and_free_from_inside_an_infer_are_refused),
        cmocka_unit_test(test_close_from_inside_an_infer_works),
        cmocka_unit_test(test_stop_and_free_from_inside_a_callback_are_refused),
        cmocka_unit_test(test_free_completes_every_op_once),
        cmocka_unit_test(test_free_of_nothing_does_nothing),
        cmocka_unit_test(test_close_in_the_middle_of_traffic),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
