/* SPDX-License-Identifier: Apache-2.0 */
/* Cancelled loads and preparations: what goes on for nobody ends, what others wait for goes on. */
#include "fixture.h"

struct scene {
    struct fixture f;
    struct gate gate; /* at the preparation of `slow` */
    mm_model slow, other;
};

/* One thread prepares, and it is at `slow`. */
static mm_op *open_scene(struct scene *scene) {
    struct fixture *f = &scene->f;
    mm_mesh_options options = MM_MESH_OPTIONS_INIT;
    options.prepare_threads = 1;
    fixture_open(f, &options);
    scene->slow = fixture_gated(f, "slow", "weights_bytes 64k\nseed 1\nversion slow\n");
    scene->other = fixture_gated(f, "other", "weights_bytes 64k\nseed 2\nversion other\n");
    gate_shut(f, &scene->gate, MMI_ECHO_PREPARE, "slow");
    mm_op *op = NULL;
    assert_ok(f, mm_load(f->mesh, scene->slow, NULL, &op, &f->err));
    gate_wait_arrived(&scene->gate, 1);
    return op;
}

static mm_op *begin(struct fixture *f, mm_model model,
                    mm_status (*call)(mm_mesh *mesh, mm_model model, const mm_async *async,
                                      mm_op **op, mm_error *err)) {
    mm_op *op = NULL;
    assert_ok(f, call(f->mesh, model, NULL, &op, &f->err));
    return op;
}

static void end(struct fixture *f, mm_op *op, mm_status wanted) {
    assert_status(f, mm_op_wait(op, 0, &f->err), wanted);
    mm_op_free(op);
}

static void cancel(struct fixture *f, mm_op *op) {
    mm_op_cancel(op);
    end(f, op, MM_CANCELLED);
}

static void test_a_preparation_for_nobody_ends(void **state) {
    (void)state;
    struct scene scene;
    struct fixture *f = &scene.f;
    mm_op *op = open_scene(&scene);
    cancel(f, op);
    mm_op *next = begin(f, scene.other, mm_load);
    gate_open(&scene.gate); /* the backend goes on, asks, and ends */
    end(f, next, MM_OK);
    assert_int_equal(fixture_events(f, "prepare_end", "model=slow", "status=MM_CANCELLED"), 1);
    assert_int_equal(fixture_stats(f).prepares, 1);
    assert_ok(f, fixture_infer(f, scene.slow)); /* nothing was remembered */
    fixture_close(f);
}

static void test_a_preparation_for_another_goes_on(void **state) {
    (void)state;
    struct scene scene;
    struct fixture *f = &scene.f;
    mm_op *op = open_scene(&scene);
    mm_op *others = begin(f, scene.slow, mm_prepare);
    cancel(f, op);
    gate_open(&scene.gate);
    end(f, others, MM_OK);
    assert_int_equal(gate_arrived(&scene.gate), 1);
    assert_ok(f, fixture_infer(f, scene.slow));
    fixture_close(f);
}

/* Told to end, and wanted again before it has: who came last gets a preparation of its own. */
static void test_wanted_again_while_it_ends(void **state) {
    (void)state;
    struct scene scene;
    struct fixture *f = &scene.f;
    mm_op *op = open_scene(&scene);
    cancel(f, op);
    mm_op *again = begin(f, scene.slow, mm_load);
    gate_open(&scene.gate);
    end(f, again, MM_OK);
    assert_int_equal(gate_arrived(&scene.gate), 2);
    assert_int_equal(fixture_stats(f).prepares, 1);
    assert_ok(f, fixture_infer(f, scene.slow));
    fixture_close(f);
}

/* Queued behind another, and cancelled: the backend does not hear of it. */
static void test_a_queued_preparation_for_nobody_is_not_begun(void **state) {
    (void)state;
    struct scene scene;
    struct fixture *f = &scene.f;
    struct gate of_other;
    mm_op *op = open_scene(&scene);
    gate_count(f, &of_other, MMI_ECHO_PREPARE, "other");
    mm_op *queued = begin(f, scene.other, mm_prepare);
    cancel(f, queued);
    gate_open(&scene.gate);
    end(f, op, MM_OK);
    fixture_until_queued(f, scene.other, 0);
    mm_op *last = begin(f, scene.slow, mm_prepare);
    end(f, last, MM_OK);
    assert_int_equal(gate_arrived(&of_other), 0);
    assert_ok(f, fixture_infer(f, scene.other));
    fixture_close(f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_preparation_for_nobody_ends),
        cmocka_unit_test(test_a_preparation_for_another_goes_on),
        cmocka_unit_test(test_wanted_again_while_it_ends),
        cmocka_unit_test(test_a_queued_preparation_for_nobody_is_not_begun),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
