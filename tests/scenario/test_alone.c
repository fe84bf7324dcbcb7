/* SPDX-License-Identifier: Apache-2.0 */
/* MM_THREADS_NONE: a mesh without threads of its own. */
#include "scene.h"

#include <dirent.h>
#include <string.h>

static unsigned threads_here(void) {
    DIR *tasks = opendir("/proc/self/task");
    assert_non_null(tasks);
    unsigned count = 0;
    for (const struct dirent *task; (task = readdir(tasks)) != NULL;) {
        count += task->d_name[0] != '.';
    }
    closedir(tasks);
    return count;
}

static void open_alone(struct fixture *f) {
    mm_mesh_options options = MM_MESH_OPTIONS_INIT;
    options.infer_threads = MM_THREADS_NONE;
    fixture_open(f, &options);
}

/* "no thread of ours at all", whichever of the three says so, also when compute threads were
 * asked for. */
static void test_no_thread_is_started(void **state) {
    (void)state;
    unsigned before = threads_here();
    for (int i = 0; i < 3; i++) {
        struct fixture f;
        mm_mesh_options options = MM_MESH_OPTIONS_INIT;
        *(i == 0   ? &options.infer_threads
          : i == 1 ? &options.load_threads
                   : &options.prepare_threads) = MM_THREADS_NONE;
        options.compute_threads = 4;
        fixture_open(&f, &options);
        mm_model large = fixture_add(&f, "large", "weights_bytes 9m\ncheck 0\nseed 1\n");
        mm_model other = fixture_add(&f, "other", "weights_bytes 9m\ncheck 0\nseed 2\n");
        mm_model_spec spec = fixture_spec(&f, NULL, "echo", "weights_bytes 64k\nseed 3\n");
        assert_int_equal(scene_seed(&f, large), 1);
        fixture_advance(&f, 1000 * MS);
        assert_int_equal(scene_seed(&f, other), 2);
        assert_int_equal(mm_prepare(f.mesh, large, NULL, NULL, &f.err), MM_OK);
        assert_int_equal(mm_update(f.mesh, other, &spec, 0, NULL, NULL, &f.err), MM_OK);
        assert_int_equal(scene_hit(&f, other), 3);
        assert_int_equal(mm_load(f.mesh, large, NULL, NULL, &f.err), MM_OK);
        assert_int_equal(scene_hit(&f, large), 1);
        assert_int_equal(mm_evict(f.mesh, large, MM_NO_WAIT, &f.err), MM_OK);
        assert_int_equal(threads_here(), before);
        fixture_close(&f);
    }
}

/* ---- The lock -------------------------------------------------------------------------------- */

static uint32_t locks_of_load(struct fixture *f, const char *name, const char *script) {
    mm_model model = fixture_add(f, name, script);
    assert_int_equal(mm_prepare(f->mesh, model, NULL, NULL, &f->err), MM_OK);
    uint32_t before = mmi_tls()->locks_taken;
    assert_int_equal(mm_load(f->mesh, model, NULL, NULL, &f->err), MM_OK);
    return mmi_tls()->locks_taken - before;
}

/* Who waits for nothing but the load itself is not in the way of others with every piece. */
static void test_pieces_take_no_lock(void **state) {
    (void)state;
    struct fixture f;
    open_alone(&f);
    uint32_t one = locks_of_load(&f, "one", "weights_bytes 64k\ngroups 1\n");
    uint32_t many = locks_of_load(&f, "many", "weights_bytes 8m\ngroups 16\n");
    assert_true(many <= one + 2); /* it serves with the first, is complete later */
    fixture_close(&f);
}

/* ---- Who does the work ----------------------------------------------------------------------- */

/* A backend that notes who called. */
struct spy {
    struct mmi_echo_hooks hooks;
    unsigned calls[MMI_ECHO_SLOTS], strangers;
    pthread_t caller;
};
static struct spy *spy_of_init; /* init has no argument of ours */

static mm_status spy_on(void *user, enum mmi_echo_slot slot, const char *version, mm_error *err) {
    struct spy *spy = user;
    (void)version;
    (void)err;
    spy->calls[slot]++;
    spy->strangers += !pthread_equal(pthread_self(), spy->caller);
    return MM_OK;
}

static mm_status spy_init(void *backend_state, const mm_services *services, mm_error *err) {
    return mmi_echo_init(backend_state, services, &spy_of_init->hooks, err);
}

/* "Loads run on the caller": every slot of the backend, of large models too. */
static void test_all_work_is_done_on_the_caller(void **state) {
    (void)state;
    struct fixture f;
    open_alone(&f);
    struct spy spy = {.hooks = {&spy, spy_on}, .caller = pthread_self()};
    mm_backend table = mmi_backend_echo;
    table.name = "spy";
    table.init = spy_init;
    spy_of_init = &spy;
    assert_int_equal(mm_backend_register(f.mesh, &table, &f.err), MM_OK);
    mm_model models[2];
    for (int i = 0; i < 2; i++) {
        mm_model_spec spec =
            fixture_spec(&f, i ? "b" : "a", "spy", "weights_bytes 9m\ncheck 0\nseed 1\n");
        assert_int_equal(mm_register(f.mesh, &spec, &models[i], &f.err), MM_OK);
    }
    for (int i = 0; i < 4; i++) {
        assert_int_equal(scene_seed(&f, models[i % 2]), 1);
        fixture_advance(&f, 1000 * MS);
    }
    assert_int_equal(spy.calls[MMI_ECHO_ATTACH], 4);
    assert_int_equal(spy.calls[MMI_ECHO_DETACH], 3);
    assert_int_equal(spy.calls[MMI_ECHO_INFER], 4);
    assert_true(spy.calls[MMI_ECHO_PREPARE] >= 1);
    assert_int_equal(spy.strangers, 0);
    fixture_close(&f);
}

/* "async calls unsupported", and what else needs a thread; nothing is left of the attempt. */
static void test_what_needs_a_thread_is_unsupported(void **state) {
    (void)state;
    struct fixture f;
    open_alone(&f);
    mm_model model = fixture_add(&f, "m", "weights_bytes 1m\nseed 1\n");
    mm_model_spec spec = fixture_spec(&f, NULL, "echo", "weights_bytes 1m\nseed 2\n");
    struct ask ask;
    mm_op *op = NULL;
    mm_model other;
    ask_init(&ask, &f, model);
    for (int hot = 0; hot < 2; hot++) {
        assert_int_equal(ask_async(&ask), MM_UNSUPPORTED);
        assert_int_equal(ask.err.status, MM_UNSUPPORTED);
        assert_int_equal(mm_load(f.mesh, model, NULL, &op, &f.err), MM_UNSUPPORTED);
        assert_int_equal(mm_prepare(f.mesh, model, NULL, &op, &f.err), MM_UNSUPPORTED);
        assert_int_equal(mm_update(f.mesh, model, &spec, 0, NULL, &op, &f.err), MM_UNSUPPORTED);
        assert_null(op);
        assert_int_equal(scene_seed(&f, model), 1);
    }
    spec.name = "other";
    spec.flags = MM_MODEL_PRELOAD;
    assert_int_equal(mm_register(f.mesh, &spec, &other, &f.err), MM_UNSUPPORTED);
    spec.flags = 0;
    spec.idle_ttl_ns = MS;
    assert_int_equal(mm_register(f.mesh, &spec, &other, &f.err), MM_UNSUPPORTED);
    assert_int_equal(mm_find(f.mesh, "other", &other), MM_NOT_FOUND);
    spec.name = NULL;
    assert_int_equal(mm_update(f.mesh, model, &spec, 0, NULL, NULL, &f.err), MM_UNSUPPORTED);
    assert_int_equal(scene_hit(&f, model), 1);
    fixture_close(&f);
}

/* ---- Time ------------------------------------------------------------------------------------ */

static void assert_expires(struct fixture *f, mm_model model) {
    struct ask late;
    struct call call;
    ask_init(&late, f, model);
    late.request.deadline_ns = mmi_now(&f->world.env.clock) + 5 * MS;
    call_ask(&call, &late);
    assert_int_equal(call_join_with_time(&call, f), MM_DEADLINE);
    assert_int_equal(late.err.status, MM_DEADLINE);
}

/* Deadlines need no thread: while another caller loads, and while others hold the room. */
static void test_deadlines_still_work(void **state) {
    (void)state;
    struct fixture f;
    open_alone(&f);
    mm_model model = fixture_add_gated(&f, "m", "weights_bytes 9m\ncheck 0\nseed 1\n");
    mm_model other = fixture_add(&f, "other", "weights_bytes 9m\ncheck 0\nseed 2\n");
    struct ask ask;
    struct call call;
    ask_init(&ask, &f, model);
    gate_close(&f, MMI_ECHO_ATTACH);
    gate_close(&f, MMI_ECHO_INFER);
    call_ask(&call, &ask);
    gate_wait(&f, MMI_ECHO_ATTACH, 1);
    assert_expires(&f, model);
    assert_expires(&f, other); /* the only room is being loaded into */
    gate_open(&f, MMI_ECHO_ATTACH);
    gate_wait(&f, MMI_ECHO_INFER, 1);
    assert_expires(&f, other); /* ... is in use */
    gate_open(&f, MMI_ECHO_INFER);
    assert_int_equal(call_join(&call), MM_OK);
    assert_int_equal(ask_seed(&ask), 1);
    ask_done(&ask);
    fixture_advance(&f, 1000 * MS); /* its load took time: it may stay for a while */
    assert_int_equal(scene_seed(&f, other), 2);
    assert_int_equal(fixture_stats(&f).queued, 0);
    fixture_close(&f);
}

/* So does the grace: who waits for room drains those in the way by himself. */
static void test_grace_still_works(void **state) {
    (void)state;
    struct fixture f;
    open_alone(&f);
    mm_model model = fixture_add_gated(&f, "m", "weights_bytes 9m\ncheck 0\nseed 1\n");
    mm_model other = fixture_add(&f, "other", "weights_bytes 9m\ncheck 0\nseed 2\n");
    struct ask running, waiting;
    struct call first, second;
    ask_init(&running, &f, model);
    ask_init(&waiting, &f, other);
    gate_close(&f, MMI_ECHO_INFER);
    call_ask(&first, &running);
    gate_wait(&f, MMI_ECHO_INFER, 1);
    call_ask(&second, &waiting);
    wait_queued(&f, 1);
    while (fixture_info(&f, model).state != MM_STATE_DRAINING) {
        fixture_advance(&f, MS);
    }
    gate_open(&f, MMI_ECHO_INFER);
    assert_int_equal(call_join(&first), MM_OK);
    assert_int_equal(call_join(&second), MM_OK);
    assert_int_equal(ask_seed(&waiting), 2);
    ask_done(&running);
    ask_done(&waiting);
    fixture_close(&f);
}

/* Single flight holds: many callers, one load, done by one of them. */
static void test_callers_share_one_load(void **state) {
    (void)state;
    struct fixture f;
    open_alone(&f);
    mm_model model = fixture_add_gated(&f, "m", "weights_bytes 1m\nseed 1\n");
    struct ask asks[4];
    struct call calls[4];
    gate_close(&f, MMI_ECHO_ATTACH);
    for (int i = 0; i < 4; i++) {
        ask_init(&asks[i], &f, model);
        call_ask(&calls[i], &asks[i]);
    }
    gate_wait(&f, MMI_ECHO_ATTACH, 1);
    wait_queued(&f, 4);
    gate_open(&f, MMI_ECHO_ATTACH);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(call_join(&calls[i]), MM_OK);
        assert_int_equal(ask_seed(&asks[i]), 1);
        ask_done(&asks[i]);
    }
    assert_int_equal(fixture_info(&f, model).loads, 1);
    fixture_close(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_thread_is_started),
        cmocka_unit_test(test_pieces_take_no_lock),
        cmocka_unit_test(test_all_work_is_done_on_the_caller),
        cmocka_unit_test(test_what_needs_a_thread_is_unsupported),
        cmocka_unit_test(test_deadlines_still_work),
        cmocka_unit_test(test_grace_still_works),
        cmocka_unit_test(test_callers_share_one_load),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
