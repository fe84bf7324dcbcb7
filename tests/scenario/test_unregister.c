/* SPDX-License-Identifier: Apache-2.0 */
/* The end of a model: unregister. */
#include "scene.h"

#include <support/scratch.h>

#include <string.h>

static mm_model add_file(struct fixture *f, const char *path, const char *name) {
    mm_model_spec spec = MM_MODEL_SPEC_INIT;
    spec.name = name;
    spec.source = path;
    spec.backend = "gated";
    mm_model model;
    assert_int_equal(mm_register(f->mesh, &spec, &model, &f->err), MM_OK);
    return model;
}

static void assert_stale(struct fixture *f, mm_model model) {
    mm_model_info info = MM_MODEL_INFO_INIT;
    mm_plan plan = MM_PLAN_INIT;
    assert_int_equal(fixture_infer(f, model, -1), MM_STALE_HANDLE);
    assert_int_equal(mm_unregister(f->mesh, model, &f->err), MM_STALE_HANDLE);
    assert_int_equal(mm_load(f->mesh, model, NULL, NULL, &f->err), MM_STALE_HANDLE);
    assert_int_equal(mm_evict(f->mesh, model, MM_NO_WAIT, &f->err), MM_STALE_HANDLE);
    assert_int_equal(mm_pin(f->mesh, model), MM_STALE_HANDLE);
    assert_int_equal(mm_set_class(f->mesh, model, MM_CLASS_LOW), MM_STALE_HANDLE);
    assert_int_equal(mm_model_info_get(f->mesh, model, &info), MM_STALE_HANDLE);
    assert_int_equal(mm_plan_load(f->mesh, model, &plan, &f->err), MM_STALE_HANDLE);
    struct ask ask;
    ask_init(&ask, f, model);
    assert_int_equal(ask_async(&ask), MM_OK);
    assert_int_equal(mm_op_wait(ask.op, 0, &f->err), MM_STALE_HANDLE);
    ask_wait_called(&ask);
    ask_done(&ask);
}

/* "returns at once, the name is free; stale handle MM_STALE_HANDLE; running ones finish": while an
 * inference runs, and its memory follows it. */
static void test_running_requests_finish(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    mm_model model = fixture_add_gated(&f, "m", "weights_bytes 1m\nseed 1\n");
    gate_close(&f, MMI_ECHO_INFER);
    struct ask blocked, operation;
    struct call call;
    ask_init(&blocked, &f, model);
    ask_init(&operation, &f, model);
    call_ask(&call, &blocked);
    assert_int_equal(ask_async(&operation), MM_OK);
    gate_wait(&f, MMI_ECHO_INFER, 2);
    assert_int_equal(mm_unregister(f.mesh, model, &f.err), MM_OK);
    assert_stale(&f, model);
    mm_model again = fixture_add(&f, "m", "weights_bytes 1m\nseed 2\n");
    assert_true(again.id != model.id);
    assert_int_equal(scene_seed(&f, again), 2);
    assert_int_equal(fixture_device(&f, 0).instances, 2);
    gate_open(&f, MMI_ECHO_INFER);
    assert_int_equal(call_join(&call), MM_OK);
    assert_int_equal(mm_op_wait(operation.op, 0, &f.err), MM_OK);
    assert_int_equal(ask_seed(&blocked), 1);
    assert_int_equal(ask_seed(&operation), 1);
    ask_wait_called(&operation);
    ask_done(&blocked);
    ask_done(&operation);
    scene_wait_used(&f, MIB);
    assert_stale(&f, model);
    fixture_close(&f);
}

/* A running request asks for more scratch when its model is gone already, and when others are in
 * the way. */
static void test_running_requests_may_still_ask_for_scratch(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    mm_model model = fixture_add_gated(&f, "m", "weights_bytes 1m\nscratch_more 8m\nseed 1\n");
    mm_model idle = fixture_add(&f, "idle", "weights_bytes 10m\ncheck 0\nseed 2\n");
    assert_int_equal(scene_seed(&f, idle), 2);
    gate_close(&f, MMI_ECHO_INFER);
    struct ask ask;
    struct call call;
    ask_init(&ask, &f, model);
    call_ask(&call, &ask);
    gate_wait(&f, MMI_ECHO_INFER, 1);
    assert_int_equal(mm_unregister(f.mesh, model, &f.err), MM_OK);
    mm_model other = fixture_add(&f, "other", "weights_bytes 64k\nseed 3\n"); /* in its place */
    assert_int_equal(scene_seed(&f, other), 3);
    fixture_advance(&f, 1000 * MS);
    gate_open(&f, MMI_ECHO_INFER);
    assert_int_equal(call_join(&call), MM_OK);
    assert_int_equal(ask_seed(&ask), 1);
    ask_done(&ask);
    fixture_close(&f);
}

/* ---- Waiters --------------------------------------------------------------------------------- */

/* Once already: `ms` long, and gone again. */
static void load_before(struct fixture *f, mm_model model, uint64_t ms) {
    struct ask ask;
    struct call call;
    ask_init(&ask, f, model);
    gate_close(f, MMI_ECHO_ATTACH);
    call_ask(&call, &ask);
    gate_wait(f, MMI_ECHO_ATTACH, 1);
    fixture_advance(f, ms * MS);
    gate_open(f, MMI_ECHO_ATTACH);
    assert_int_equal(call_join(&call), MM_OK);
    ask_done(&ask);
    assert_int_equal(fixture_info(f, model).load_ns, ms * MS);
    assert_int_equal(mm_evict(f->mesh, model, MM_NO_WAIT, &f->err), MM_OK);
}

/* "waiters MM_UNREGISTERED": callers, inferences, loads, preparations; each op once. */
static void waiters_end(enum mmi_echo_slot slot, uint64_t loaded_ms) {
    struct fixture f;
    fixture_open(&f, NULL);
    mm_model model = fixture_add_gated(&f, "m", "weights_bytes 4k\nseed 1\n");
    if (loaded_ms) {
        load_before(&f, model, loaded_ms);
    }
    gate_close(&f, slot);
    struct ask blocked, operation;
    struct call call;
    mm_op *load, *prepare = NULL;
    ask_init(&blocked, &f, model);
    ask_init(&operation, &f, model);
    call_ask(&call, &blocked);
    gate_wait(&f, slot, loaded_ms ? 2 : 1);
    assert_int_equal(ask_async(&operation), MM_OK);
    assert_int_equal(mm_load(f.mesh, model, NULL, &load, &f.err), MM_OK);
    bool prepared = slot == MMI_ECHO_ATTACH;
    if (!prepared) {
        assert_int_equal(mm_prepare(f.mesh, model, NULL, &prepare, &f.err), MM_OK);
    }
    wait_queued(&f, prepared ? 3 : 4);
    assert_int_equal(mm_unregister(f.mesh, model, &f.err), MM_OK);
    assert_int_equal(call_join(&call), MM_UNREGISTERED); /* although the slot still blocks */
    assert_int_equal(blocked.err.status, MM_UNREGISTERED);
    assert_int_equal(mm_op_wait(operation.op, 0, &f.err), MM_UNREGISTERED);
    assert_int_equal(mm_op_wait(load, 0, &f.err), MM_UNREGISTERED);
    if (prepare) {
        assert_int_equal(mm_op_wait(prepare, 0, &f.err), MM_UNREGISTERED);
    }
    ask_wait_called(&operation);
    assert_int_equal(operation.told, MM_UNREGISTERED);
    assert_int_equal(fixture_stats(&f).queued, 0);
    gate_open(&f, slot);
    mm_op_free(load);
    mm_op_free(prepare);
    assert_int_equal(mm_mesh_stop(f.mesh, 0), MM_OK);
    assert_int_equal(ask_called(&operation), 1);
    assert_int_equal(fixture_device(&f, 0).used_bytes, 0);
    ask_done(&operation);
    fixture_close(&f);
}

static void test_waiters_of_a_load_end_unregistered(void **state) {
    (void)state;
    waiters_end(MMI_ECHO_ATTACH, 0);
}

/* Who asked must not be given a load to do from which it cannot be called away. */
static void test_waiters_of_a_load_known_to_be_slow_end_unregistered(void **state) {
    (void)state;
    waiters_end(MMI_ECHO_ATTACH, 10);
}

static void test_waiters_of_a_preparation_end_unregistered(void **state) {
    (void)state;
    waiters_end(MMI_ECHO_PREPARE, 0);
}

struct eviction {
    struct fixture *f;
    mm_model model;
};

static mm_status evict_in_time(void *ctx) {
    struct eviction *eviction = ctx;
    return mm_evict(eviction->f->mesh, eviction->model,
                    fixture_after(eviction->f, 3600 * 1000 * MS), NULL);
}

/* "waiters MM_UNREGISTERED": for their turn, for an update, for an eviction. */
static void test_other_waiters_end_unregistered(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    mm_model model = fixture_add_gated(&f, "m", "weights_bytes 1m\nserial 1\nseed 1\n");
    struct ask running, turn, operation;
    struct call first, second, third;
    ask_init(&running, &f, model);
    ask_init(&turn, &f, model);
    ask_init(&operation, &f, model);
    gate_close(&f, MMI_ECHO_INFER);
    call_ask(&first, &running);
    gate_wait(&f, MMI_ECHO_INFER, 1);
    call_ask(&second, &turn);
    assert_int_equal(ask_async(&operation), MM_OK);
    wait_queued(&f, 2);
    gate_close(&f, MMI_ECHO_ATTACH);
    mm_model_spec spec = fixture_spec(&f, NULL, "gated", "weights_bytes 1m\nseed 2\n");
    mm_op *update;
    assert_int_equal(mm_update(f.mesh, model, &spec, 0, NULL, &update, &f.err), MM_OK);
    gate_wait(&f, MMI_ECHO_ATTACH, 2);
    struct eviction eviction = {&f, model};
    call_start(&third, evict_in_time, &eviction);
    wait_queued(&f, 4);
    assert_int_equal(mm_unregister(f.mesh, model, &f.err), MM_OK);
    assert_int_equal(call_join(&second), MM_UNREGISTERED);
    assert_int_equal(mm_op_wait(operation.op, 0, &f.err), MM_UNREGISTERED);
    assert_int_equal(mm_op_wait(update, 0, &f.err), MM_UNREGISTERED);
    assert_int_equal(call_join(&third), MM_UNREGISTERED);
    gate_open(&f, MMI_ECHO_ATTACH);
    gate_open(&f, MMI_ECHO_INFER);
    assert_int_equal(call_join(&first), MM_OK);
    assert_int_equal(ask_seed(&running), 1);
    ask_wait_called(&operation);
    ask_done(&running);
    ask_done(&operation);
    mm_op_free(update);
    scene_wait_used(&f, 0);
    fixture_close(&f);
}

/* ---- The source ------------------------------------------------------------------------------ */

/* "the source may be deleted after return": while it is read, while it loads, while it runs. */
static void test_source_may_be_deleted_after_return(void **state) {
    (void)state;
    enum mmi_echo_slot slots[] = {MMI_ECHO_PREPARE, MMI_ECHO_OPEN, MMI_ECHO_ATTACH, MMI_ECHO_INFER};
    for (size_t i = 0; i < sizeof(slots) / sizeof(slots[0]); i++) {
        struct fixture f;
        struct scratch scratch;
        char path[SCRATCH_ROOM];
        scratch_init(&scratch);
        fixture_open(&f, NULL);
        scratch_text(&scratch, "m.echo", "echo1\nweights_bytes 1m\nseed 1\n");
        mm_model model = add_file(&f, scratch_path(&scratch, "m.echo", path), "m");
        gate_close(&f, slots[i]);
        struct ask ask;
        struct call call;
        ask_init(&ask, &f, model);
        call_ask(&call, &ask);
        gate_wait(&f, slots[i], 1);
        assert_int_equal(mm_unregister(f.mesh, model, &f.err), MM_OK);
        assert_int_equal(truncate(path, 0), 0);
        assert_int_equal(unlink(path), 0);
        gate_open(&f, slots[i]);
        mm_status status = call_join(&call);
        assert_int_equal(status, slots[i] == MMI_ECHO_INFER ? MM_OK : MM_UNREGISTERED);
        if (status == MM_OK) {
            assert_int_equal(ask_seed(&ask), 1);
        }
        ask_done(&ask);
        scene_wait_used(&f, 0);
        fixture_close(&f);
        scratch_fini(&scratch);
    }
}

/* "the source may be deleted after return": bytes in the caller's memory that no request uses. */
static void test_idle_data_may_be_deleted_after_return(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    char *data = strdup("echo1\nweights_bytes 1m\nseed 1\n");
    mm_model_spec spec = MM_MODEL_SPEC_INIT;
    spec.name = "m";
    spec.data = data;
    spec.data_bytes = strlen(data);
    spec.backend = "echo";
    mm_model model;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(mm_register(f.mesh, &spec, &model, &f.err), MM_OK);
        assert_int_equal(scene_seed(&f, model), 1);
        assert_int_equal(mm_unregister(f.mesh, model, &f.err), MM_OK);
    }
    memset(data, 'x', strlen(data));
    free(data);
    assert_stale(&f, model);
    fixture_close(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_running_requests_finish),
        cmocka_unit_test(test_running_requests_may_still_ask_for_scratch),
        cmocka_unit_test(test_waiters_of_a_load_end_unregistered),
        cmocka_unit_test(test_waiters_of_a_load_known_to_be_slow_end_unregistered),
        cmocka_unit_test(test_waiters_of_a_preparation_end_unregistered),
        cmocka_unit_test(test_other_waiters_end_unregistered),
        cmocka_unit_test(test_source_may_be_deleted_after_return),
        cmocka_unit_test(test_idle_data_may_be_deleted_after_return),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
