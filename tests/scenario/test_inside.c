/* SPDX-License-Identifier: Apache-2.0 */
/* Calls from inside a backend's infer. */
#include "weather.h"

#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

/* What the calls from inside came to. Each scene is one function run there, once. */
struct scene {
    struct fixture f;
    struct gate gate; /* asked until the mesh is gone */
    mm_model own, other, cold;
    void (*play)(struct scene *scene);
    bool played;
    _Atomic bool begun, over;
    mm_status infer, evict_own, stop, free_, close, wait, no_wait, evict, shrink;
    mm_mesh *kept;
    mm_op *op;
};

static mm_status inside(void *user, mm_error *err) {
    struct scene *scene = user;
    (void)err;
    if (!scene->played) {
        scene->played = true;
        scene->play(scene);
    }
    return MM_OK;
}

/* Runs `play` inside own's infer; the answer must be right all the same. */
static void check_scene(struct scene *scene, const char *backend, const char *own_script,
                        void (*play)(struct scene *scene)) {
    memset(scene, 0, sizeof(*scene));
    weather_open(&scene->f, "host", 16 * MIB);
    mm_model_spec spec = fixture_spec(&scene->f, "own", backend, own_script);
    scene->own = fixture_register(&scene->f, &spec);
    scene->other = weather_model(&scene->f, "other", 1, 2);
    scene->cold = weather_model(&scene->f, "cold", 9, 3);
    scene->play = play;
    assert_ok(&scene->f, fixture_infer(&scene->f, scene->other));
    gate_count(&scene->f, &scene->gate, MMI_ECHO_INFER, "own");
    scene->gate.user = scene;
    scene->gate.inside = inside;
    struct asker asker = {.f = &scene->f, .model = scene->own};
    assert_int_equal(asker_ask(&asker), MM_OK);
    assert_true(scene->played);
}

#define OWN_SCRIPT "weights_bytes 9m\ncheck 0\nseed 1\nversion own\n"

/* ---- Refused, and works ---------------------------------------------------------------------- */

static void play_refused(struct scene *scene) {
    struct fixture *f = &scene->f;
    struct asker asker = {.f = f, .model = scene->other};
    scene->infer = asker_ask(&asker);
    scene->evict_own = mm_evict(f->mesh, scene->own, MM_NO_WAIT, NULL);
    scene->stop = mm_mesh_stop(f->mesh, 0);
    scene->kept = f->mesh;
    scene->free_ = mm_mesh_free(&scene->kept);
}

static void check_refused(struct scene *scene) {
    assert_int_equal(scene->evict_own, MM_BUSY);
    assert_int_equal(scene->stop, MM_BUSY);
    assert_int_equal(scene->free_, MM_BUSY);
    assert_ptr_equal(scene->kept, scene->f.mesh);
    assert_int_equal(weather_state(&scene->f, scene->own), MM_STATE_READY);
    assert_ok(&scene->f, fixture_infer(&scene->f, scene->own)); /* not closed either */
    fixture_close(&scene->f);
}

/* "from inside a backend's infer: infer without `nested`, evict itself, stop, free:
 * MM_INVALID_STATE, MM_BUSY, refused, refused (pointer kept)" */
static void test_inside_infer_is_refused_without_nested(void **state) {
    (void)state;
    struct scene scene;
    check_scene(&scene, "gated", OWN_SCRIPT, play_refused);
    assert_int_equal(scene.infer, MM_INVALID_STATE);
    check_refused(&scene);
}

static void test_inside_a_nested_backend_infer_works(void **state) {
    (void)state;
    struct scene scene;
    check_scene(&scene, "gated-nested", OWN_SCRIPT, play_refused);
    assert_int_equal(scene.infer, MM_OK);
    check_refused(&scene);
}

static void play_evict_waiting(struct scene *scene) {
    scene->evict_own = mm_evict(scene->f.mesh, scene->own, fixture_after(&scene->f, S_NS), NULL);
}

/* "evict itself: MM_BUSY", also with a deadline: at once, for nobody moves the clock here */
static void test_inside_evict_of_itself_does_not_wait(void **state) {
    (void)state;
    struct scene scene;
    check_scene(&scene, "gated", OWN_SCRIPT, play_evict_waiting);
    assert_int_equal(scene.evict_own, MM_BUSY);
    fixture_close(&scene.f);
}

static void play_close(struct scene *scene) {
    scene->close = mm_mesh_close(scene->f.mesh);
}

/* "close: works"; the running inference finishes */
static void test_inside_close_works(void **state) {
    (void)state;
    struct scene scene;
    check_scene(&scene, "gated", OWN_SCRIPT, play_close);
    assert_int_equal(scene.close, MM_OK);
    assert_status(&scene.f, fixture_infer(&scene.f, scene.own), MM_CLOSED);
    fixture_close(&scene.f);
}

/* ---- All other verbs ------------------------------------------------------------------------- */

static void play_looking(struct scene *scene) {
    struct fixture *f = &scene->f;
    mm_model found;
    char text[64];
    mm_plan plan = MM_PLAN_INIT;
    assert_int_equal(mm_find(f->mesh, "own", &found), MM_OK);
    assert_int_equal(found.id, scene->own.id);
    assert_int_equal(fixture_info(f, scene->own).leases, 1);
    assert_int_equal(fixture_stats(f).models, 3);
    assert_int_equal(mm_models(f->mesh, &found, 1), 3);
    assert_true(mm_metrics_text(f->mesh, text, sizeof(text)) > sizeof(text));
    assert_true(fixture_events_of(f, "load_end", "own") <= 1);
    assert_ok(f, mm_plan_load(f->mesh, scene->cold, &plan, &f->err));
    assert_ok(f, mm_plan_load(f->mesh, scene->own, &plan, &f->err));
    assert_int_equal(plan.resident, 1);
}

static void play_changing(struct scene *scene) {
    struct fixture *f = &scene->f;
    mm_model_spec spec = fixture_spec(f, "fresh", "echo", "seed 9\n");
    mm_model fresh = fixture_register(f, &spec);
    assert_ok(f, mm_unregister(f->mesh, fresh, &f->err));
    assert_int_equal(mm_pin(f->mesh, scene->own), MM_OK);
    assert_int_equal(mm_unpin(f->mesh, scene->own), MM_OK);
    assert_int_equal(mm_set_class(f->mesh, scene->own, MM_CLASS_LOW), MM_OK);
    assert_ok(f, mm_evict(f->mesh, scene->other, MM_NO_WAIT, &f->err));
    assert_int_equal(weather_state(f, scene->other), MM_STATE_COLD);
    assert_status(f, mm_device_set_budget(f->mesh, "host", 4 * MIB, &f->err), MM_BUSY);
    assert_ok(f, mm_device_set_budget(f->mesh, "host", 18 * MIB, &f->err));
    assert_ok(f, mm_load(f->mesh, scene->other, NULL, &scene->op, &f->err));
}

static void play_unregister(struct scene *scene) {
    struct fixture *f = &scene->f;
    assert_ok(f, mm_unregister(f->mesh, scene->own, &f->err));
    mm_model found;
    assert_int_equal(mm_find(f->mesh, "own", &found), MM_NOT_FOUND);
}

/* "(all verbs)": looking and changing work as anywhere, no lock is held by the caller */
static void test_inside_looking_works(void **state) {
    (void)state;
    struct scene scene;
    check_scene(&scene, "gated", OWN_SCRIPT, play_looking);
    fixture_close(&scene.f);
}

static void test_inside_changing_works(void **state) {
    (void)state;
    struct scene scene;
    check_scene(&scene, "gated", OWN_SCRIPT, play_changing);
    assert_int_equal(mm_op_wait(scene.op, 0, NULL), MM_OK);
    mm_op_free(scene.op);
    fixture_close(&scene.f);
}

/* "unregister: running ones finish", itself included */
static void test_inside_unregister_of_itself_works(void **state) {
    (void)state;
    struct scene scene;
    check_scene(&scene, "gated", OWN_SCRIPT, play_unregister);
    assert_status(&scene.f, fixture_infer(&scene.f, scene.own), MM_STALE_HANDLE);
    fixture_close(&scene.f);
}

/* ---- Other slots ----------------------------------------------------------------------------- */

static void play_blocking(struct scene *scene) {
    struct fixture *f = &scene->f;
    struct asker asker = {.f = f, .model = scene->cold};
    scene->infer = asker_ask(&asker);
    assert_status(f, mm_load(f->mesh, scene->cold, NULL, NULL, &f->err), MM_INVALID_STATE);
    assert_non_null(strstr(f->err.text, "mm_load: "));
    assert_status(f, mm_prepare(f->mesh, scene->cold, NULL, NULL, &f->err), MM_INVALID_STATE);
    assert_ok(f, mm_load(f->mesh, scene->cold, NULL, &scene->op, &f->err));
    scene->wait = mm_op_wait(scene->op, 0, NULL);
    scene->no_wait = mm_op_wait(scene->op, MM_NO_WAIT, NULL);
    scene->evict = mm_evict(f->mesh, scene->other, MM_NO_WAIT, NULL);
    scene->shrink = mm_device_set_budget(f->mesh, "host", 8 * MIB, NULL);
    scene->kept = f->mesh;
    scene->free_ = mm_mesh_free(&scene->kept);
    scene->stop = mm_mesh_stop(f->mesh, 0);
}

/* Its thread may be the one that would have to do what is waited for. */
static void test_inside_other_slots_blocking_calls_are_refused(void **state) {
    (void)state;
    const enum mmi_echo_slot slots[] = {MMI_ECHO_PREPARE, MMI_ECHO_OPEN, MMI_ECHO_SIZE,
                                        MMI_ECHO_ATTACH, MMI_ECHO_DETACH};
    for (unsigned i = 0; i < sizeof(slots) / sizeof(slots[0]); i++) {
        struct scene scene = {.infer = MM_OK, .stop = MM_OK, .play = play_blocking};
        struct fixture *f = &scene.f;
        weather_open(f, "host", 32 * MIB);
        mm_model_spec spec = fixture_spec(f, "own", "gated-nested", OWN_SCRIPT);
        scene.own = fixture_register(f, &spec);
        scene.cold = weather_model(f, "cold", 1, 3);
        scene.other = weather_model(f, "other", 9, 4);
        assert_ok(f, fixture_infer(f, scene.other));
        gate_count(f, &scene.gate, slots[i], "own");
        scene.gate.user = &scene;
        scene.gate.inside = inside;
        assert_ok(f, fixture_infer(f, scene.own));
        assert_ok(f, mm_evict(f->mesh, scene.own, 0, &f->err));
        assert_true(scene.played);
        assert_int_equal(scene.infer, MM_INVALID_STATE);
        assert_int_equal(scene.stop, MM_BUSY);
        assert_int_equal(scene.free_, MM_BUSY);
        assert_int_equal(scene.evict, MM_BUSY);
        assert_int_equal(scene.shrink, MM_BUSY);
        assert_int_equal(weather_state(f, scene.other), MM_STATE_READY);
        if (slots[i] == MMI_ECHO_PREPARE) { /* in the others the load may be over by then */
            assert_int_equal(scene.wait, MM_INVALID_STATE);
            assert_int_equal(scene.no_wait, MM_PENDING);
        }
        assert_ok(f, mm_op_wait(scene.op, 0, &f->err));
        mm_op_free(scene.op);
        assert_ok(f, fixture_infer(f, scene.cold));
        fixture_close(f);
    }
}

/* ---- The host's log, and close --------------------------------------------------------------- */

static struct scene *told; /* whose calls a line of the log, or a close, makes */

static void play_told(void) {
    struct scene *scene = told;
    if (!scene || atomic_exchange(&scene->begun, true)) {
        return;
    }
    struct fixture *f = &scene->f;
    struct asker asker = {.f = f, .model = scene->other};
    scene->infer = asker_ask(&asker);
    scene->evict = mm_evict(f->mesh, scene->other, MM_NO_WAIT, NULL);
    scene->shrink = mm_device_set_budget(f->mesh, "host", 8 * MIB, NULL);
    scene->kept = f->mesh;
    scene->free_ = mm_mesh_free(&scene->kept);
    scene->stop = mm_mesh_stop(f->mesh, 0);
    mm_model found;
    assert_int_equal(mm_find(f->mesh, "other", &found), MM_OK);
    atomic_store(&scene->over, true);
}

static void check_told(struct scene *scene) {
    struct fixture *f = &scene->f;
    while (!atomic_load(&scene->over)) {
        usleep(1000); /* it is another thread's */
    }
    assert_int_equal(scene->infer, MM_INVALID_STATE);
    assert_int_equal(scene->evict, MM_BUSY);
    assert_int_equal(scene->shrink, MM_BUSY);
    assert_int_equal(scene->free_, MM_BUSY);
    assert_int_equal(scene->stop, MM_BUSY);
    assert_ok(f, fixture_infer(f, scene->other));
    fixture_close(f);
    told = NULL;
}

static void hear(void *user, int32_t level, const char *text) {
    (void)user;
    (void)level;
    if (strstr(text, "unregister") && strstr(text, "own")) {
        play_told();
    }
}

static void test_inside_a_line_of_the_log_blocking_calls_are_refused(void **state) {
    (void)state;
    struct scene scene = {.infer = MM_OK};
    struct fixture *f = &scene.f;
    mm_device_options device;
    mm_mesh_options options = weather_options(&device, "host", 32 * MIB);
    options.log = (mm_log){.line = hear, .level = MM_LOG_INFO};
    fixture_open(f, &options);
    scene.own = weather_model(f, "own", 1, 3);
    scene.other = weather_model(f, "other", 9, 4);
    assert_ok(f, fixture_infer(f, scene.other));
    told = &scene;
    assert_ok(f, mm_unregister(f->mesh, scene.own, &f->err));
    check_told(&scene);
}

/* Without threads the line is written by who made the call, here inside of an infer. */
static void test_inside_a_line_inside_of_infer_blocking_calls_are_refused(void **state) {
    (void)state;
    struct scene scene = {.infer = MM_OK, .play = play_unregister};
    struct fixture *f = &scene.f;
    mm_device_options device;
    mm_mesh_options options = weather_options(&device, "host", 32 * MIB);
    options.log = (mm_log){.line = hear, .level = MM_LOG_INFO};
    options.infer_threads = MM_THREADS_NONE;
    fixture_open(f, &options);
    mm_model_spec spec = fixture_spec(f, "own", "gated-nested", OWN_SCRIPT);
    scene.own = fixture_register(f, &spec);
    scene.other = weather_model(f, "other", 9, 4);
    assert_ok(f, fixture_infer(f, scene.other));
    gate_count(f, &scene.gate, MMI_ECHO_INFER, "own");
    scene.gate.user = &scene;
    scene.gate.inside = inside;
    told = &scene;
    struct asker asker = {.f = f, .model = scene.own};
    assert_int_equal(asker_ask(&asker), MM_OK);
    check_told(&scene);
}

static void closing_close(void *model) {
    play_told();
    mmi_backend_echo.close(model);
}

static void test_inside_close_blocking_calls_are_refused(void **state) {
    (void)state;
    struct scene scene = {.infer = MM_OK};
    struct fixture *f = &scene.f;
    static mm_backend closing;
    closing = mmi_backend_echo;
    closing.name = "closing";
    closing.close = closing_close;
    weather_open(f, "host", 32 * MIB);
    assert_ok(f, mm_backend_register(f->mesh, &closing, &f->err));
    mm_model_spec spec = fixture_spec(f, "own", "closing", "weights_bytes 64k\n");
    scene.own = fixture_register(f, &spec);
    scene.other = weather_model(f, "other", 9, 4);
    assert_ok(f, fixture_infer(f, scene.other));
    assert_ok(f, fixture_infer(f, scene.own));
    told = &scene;
    assert_ok(f, mm_unregister(f->mesh, scene.own, &f->err));
    check_told(&scene);
}

/* ---- Nested misses --------------------------------------------------------------------------- */

static void play_cold(struct scene *scene) {
    struct asker asker = {.f = &scene->f, .model = scene->cold};
    scene->infer = asker_ask(&asker);
}

/* "infer nested whose miss would wait for a drain: MM_BUSY at once" */
static void test_nested_miss_that_would_wait_for_a_drain_is_busy(void **state) {
    (void)state;
    struct scene scene; /* 9 MiB are leased by the run itself, 9 are wanted, 16 is all */
    check_scene(&scene, "gated-nested", OWN_SCRIPT, play_cold);
    assert_int_equal(scene.infer, MM_BUSY);
    assert_int_equal(weather_state(&scene.f, scene.own), MM_STATE_READY);
    assert_int_equal(fixture_events_of(&scene.f, "drain", "own"), 0);
    assert_ok(&scene.f, mm_evict(scene.f.mesh, scene.own, MM_NO_WAIT, &scene.f.err));
    assert_ok(&scene.f, fixture_infer(&scene.f, scene.cold)); /* it is nothing to remember */
    fixture_close(&scene.f);
}

/* "... A backend that calls back must say nested": a miss is served if idle ones make room */
static void test_nested_miss_displaces_idle_models(void **state) {
    (void)state;
    struct scene scene;
    check_scene(&scene, "gated-nested", "weights_bytes 6m\ncheck 0\nseed 1\nversion own\n",
                play_cold);
    assert_int_equal(scene.infer, MM_OK);
    assert_int_equal(weather_state(&scene.f, scene.cold), MM_STATE_READY);
    fixture_close(&scene.f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_inside_infer_is_refused_without_nested),
        cmocka_unit_test(test_inside_a_nested_backend_infer_works),
        cmocka_unit_test(test_inside_evict_of_itself_does_not_wait),
        cmocka_unit_test(test_inside_close_works),
        cmocka_unit_test(test_inside_looking_works),
        cmocka_unit_test(test_inside_changing_works),
        cmocka_unit_test(test_inside_unregister_of_itself_works),
        cmocka_unit_test(test_inside_other_slots_blocking_calls_are_refused),
        cmocka_unit_test(test_inside_a_line_of_the_log_blocking_calls_are_refused),
        cmocka_unit_test(test_inside_a_line_inside_of_infer_blocking_calls_are_refused),
        cmocka_unit_test(test_inside_close_blocking_calls_are_refused),
        cmocka_unit_test(test_nested_miss_that_would_wait_for_a_drain_is_busy),
        cmocka_unit_test(test_nested_miss_displaces_idle_models),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
