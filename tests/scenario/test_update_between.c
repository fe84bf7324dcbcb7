/* SPDX-License-Identifier: Apache-2.0 */
/* Updates between which something comes: another update, a pin, a cancel. */
#include "scene.h"

struct scene {
    struct fixture f;
    mm_model model;
    mm_status status; /* of what came between */
};

static void open_scene(struct scene *scene) {
    fixture_open(&scene->f, NULL);
    scene->model = fixture_add_gated(&scene->f, "m", "weights_bytes 1m\nseed 1\n");
    scene->status = MM_PENDING;
    assert_int_equal(scene_seed(&scene->f, scene->model), 1);
}

/* An update that sets one limit, and what comes while it is read. */
static void update_with(struct scene *scene, void (*between)(void *ctx)) {
    mm_model_spec change = MM_MODEL_SPEC_INIT;
    change.max_concurrency = 2;
    world_between(&scene->f.world, 1, between, scene);
    assert_int_equal(mm_update(scene->f.mesh, scene->model, &change, 0, NULL, NULL, &scene->f.err),
                     MM_OK);
    assert_int_equal(scene->status, MM_OK);
}

static void update_data(void *ctx) {
    struct scene *scene = ctx;
    mm_model_spec spec = fixture_spec(&scene->f, NULL, "echo", "weights_bytes 1m\nseed 2\n");
    scene->status = mm_update(scene->f.mesh, scene->model, &spec, 0, NULL, NULL, &scene->f.err);
}

/* "What the spec leaves 0 or NULL stays as it was": as it is when the update begins. */
static void test_a_limit_does_not_bring_old_data_back(void **state) {
    (void)state;
    struct scene scene;
    open_scene(&scene);
    update_with(&scene, update_data);
    assert_int_equal(scene_seed(&scene.f, scene.model), 2);
    assert_int_equal(fixture_info(&scene.f, scene.model).version, 3);
    fixture_close(&scene.f);
}

static void pin(void *ctx) {
    struct scene *scene = ctx;
    scene->status = mm_pin(scene->f.mesh, scene->model);
    assert_int_equal(mm_set_class(scene->f.mesh, scene->model, MM_CLASS_HIGH), MM_OK);
}

static void test_a_limit_does_not_undo_a_pin(void **state) {
    (void)state;
    struct scene scene;
    open_scene(&scene);
    update_with(&scene, pin);
    mm_model_info info = fixture_info(&scene.f, scene.model);
    assert_int_equal(info.pinned, 1);
    assert_int_equal(info.evict_class, MM_CLASS_HIGH);
    assert_int_equal(mm_evict(scene.f.mesh, scene.model, MM_NO_WAIT, NULL), MM_PINNED);
    fixture_close(&scene.f);
}

static void test_a_cancelled_update_is_taken_back(void **state) {
    (void)state;
    const enum mmi_echo_slot slots[] = {MMI_ECHO_PREPARE, MMI_ECHO_ATTACH};
    for (int i = 0; i < 2; i++) {
        struct scene scene;
        mm_op *op = NULL;
        open_scene(&scene);
        uint64_t used = fixture_device(&scene.f, 0).used_bytes;
        gate_close(&scene.f, slots[i]);
        mm_model_spec spec = fixture_spec(&scene.f, NULL, "gated", "weights_bytes 1m\nseed 2\n");
        assert_int_equal(mm_update(scene.f.mesh, scene.model, &spec, 0, NULL, &op, &scene.f.err),
                         MM_OK);
        gate_wait(&scene.f, slots[i], 2);
        mm_op_cancel(op);
        assert_int_equal(mm_op_wait(op, 0, &scene.f.err), MM_CANCELLED);
        mm_op_free(op);
        assert_int_equal(fixture_info(&scene.f, scene.model).updating, 0);
        gate_open(&scene.f, slots[i]);
        scene_wait_used(&scene.f, used);
        assert_int_equal(scene_hit(&scene.f, scene.model), 1);
        update_data(&scene);
        assert_int_equal(scene.status, MM_OK);
        assert_int_equal(scene_seed(&scene.f, scene.model), 2);
        fixture_close(&scene.f);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_limit_does_not_bring_old_data_back),
        cmocka_unit_test(test_a_limit_does_not_undo_a_pin),
        cmocka_unit_test(test_a_cancelled_update_is_taken_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
