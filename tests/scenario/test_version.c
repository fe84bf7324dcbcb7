/* SPDX-License-Identifier: Apache-2.0 */
/* A version is its content; registering looks at no file. */
#include "scene.h"

#include <support/scratch.h>

#include <errno.h>
#include <string.h>

static mm_model_spec of_file(const char *path) {
    mm_model_spec spec = MM_MODEL_SPEC_INIT;
    spec.name = "m";
    spec.source = path;
    spec.backend = "echo"; /* "gated" claims the same */
    return spec;
}

/* Of models that are not resident, no description is kept and one artifact at most. */
static mm_mesh_options forgetful(void) {
    mm_mesh_options options = MM_MESH_OPTIONS_INIT;
    options.artifact_budget_bytes = MIB * 3 / 2;
    options.description_budget_bytes = 1;
    return options;
}

/* Evicted, and its artifact pushed out by another's. */
static void forget(struct fixture *f, mm_model model, mm_model other) {
    assert_int_equal(mm_evict(f->mesh, model, MM_NO_WAIT, &f->err), MM_OK);
    assert_int_equal(mm_evict(f->mesh, other, MM_NO_WAIT, &f->err), MM_OK);
    assert_int_equal(scene_seed(f, other), 9);
    assert_int_equal(mm_evict(f->mesh, other, MM_NO_WAIT, &f->err), MM_OK);
    assert_true(fixture_stats(f).artifact_bytes <= MIB * 3 / 2);
}

#define ONE "echo1\nweights_bytes 1m\nseed 1\n"
#define TWO "echo1\nweights_bytes 1m\nseed 2\n"

/* "a changed source is seen by update only": neither by a hit nor by a reload. */
static void test_changed_source_is_seen_by_update_only(void **state) {
    (void)state;
    struct fixture f;
    struct scratch scratch;
    char path[SCRATCH_ROOM];
    scratch_init(&scratch);
    fixture_open(&f, NULL);
    scratch_text(&scratch, "m.echo", ONE);
    mm_model_spec spec = of_file(scratch_path(&scratch, "m.echo", path));
    mm_model model;
    assert_int_equal(mm_register(f.mesh, &spec, &model, &f.err), MM_OK);
    assert_int_equal(scene_seed(&f, model), 1);
    scratch_text(&scratch, "m.echo", TWO);
    assert_int_equal(scene_hit(&f, model), 1);
    assert_int_equal(mm_evict(f.mesh, model, MM_NO_WAIT, &f.err), MM_OK);
    assert_int_equal(scene_seed(&f, model), 1);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mm_evict(f.mesh, model, MM_NO_WAIT, &f.err), MM_OK);
    assert_int_equal(scene_seed(&f, model), 1);
    assert_int_equal(fixture_stats(&f).prepares, 1);
    scratch_text(&scratch, "m.echo", TWO);
    spec.name = NULL;
    assert_int_equal(mm_update(f.mesh, model, &spec, 0, NULL, NULL, &f.err), MM_OK);
    assert_int_equal(scene_hit(&f, model), 2);
    fixture_close(&f);
    scratch_fini(&scratch);
}

/* "artifact gone and source different: MM_SOURCE_CHANGED": while it is resident it answers; later
 * it fails rather than become another. The old content brings it back, an update the new one. */
static void test_gone_artifact_and_changed_source_is_refused(void **state) {
    (void)state;
    struct fixture f;
    struct scratch scratch;
    char path[SCRATCH_ROOM];
    mm_mesh_options options = forgetful();
    scratch_init(&scratch);
    fixture_open(&f, &options);
    scratch_text(&scratch, "m.echo", ONE);
    mm_model_spec spec = of_file(scratch_path(&scratch, "m.echo", path));
    mm_model model;
    assert_int_equal(mm_register(f.mesh, &spec, &model, &f.err), MM_OK);
    assert_int_equal(scene_seed(&f, model), 1);
    mm_model other = fixture_add(&f, "other", "weights_bytes 1m\nseed 9\n");
    scratch_text(&scratch, "m.echo", TWO);
    assert_int_equal(scene_hit(&f, model), 1);
    forget(&f, model, other);
    assert_int_equal(fixture_events(&f, "artifact_dropped", NULL), 1);
    for (int i = 0; i < 2; i++) { /* it is remembered, and still so after the back-off */
        assert_int_equal(fixture_infer(&f, model, 1), MM_SOURCE_CHANGED);
        assert_non_null(strstr(f.err.text, path));
        assert_true(f.err.retry_after_ns > 0 || i == 0);
        fixture_advance(&f, i * 1000 * MS);
    }
    assert_int_equal(fixture_infer(&f, model, 1), MM_SOURCE_CHANGED);
    scratch_text(&scratch, "m.echo", ONE);
    mm_async retry = MM_ASYNC_INIT;
    retry.flags = MM_ASYNC_RETRY;
    assert_int_equal(mm_load(f.mesh, model, &retry, NULL, &f.err), MM_OK);
    assert_int_equal(scene_hit(&f, model), 1);
    scratch_text(&scratch, "m.echo", TWO);
    spec.name = NULL;
    assert_int_equal(mm_update(f.mesh, model, &spec, 0, NULL, NULL, &f.err), MM_OK);
    assert_int_equal(scene_hit(&f, model), 2);
    fixture_close(&f);
    scratch_fini(&scratch);
}

/* An unchanged source whose artifact is gone is prepared again, to the same content. */
static void test_gone_artifact_is_prepared_again(void **state) {
    (void)state;
    struct fixture f;
    struct scratch scratch;
    char path[SCRATCH_ROOM];
    mm_mesh_options options = forgetful();
    scratch_init(&scratch);
    fixture_open(&f, &options);
    scratch_text(&scratch, "m.echo", ONE);
    mm_model_spec spec = of_file(scratch_path(&scratch, "m.echo", path));
    mm_model model;
    assert_int_equal(mm_register(f.mesh, &spec, &model, &f.err), MM_OK);
    mm_model other = fixture_add(&f, "other", "weights_bytes 1m\nseed 9\n");
    for (uint64_t i = 1; i <= 3; i++) {
        assert_int_equal(scene_seed(&f, model), 1);
        assert_int_equal(fixture_stats(&f).prepares, 2 * i - 1);
        forget(&f, model, other);
    }
    assert_int_equal(fixture_info(&f, model).version, 1);
    fixture_close(&f);
    scratch_fini(&scratch);
}

/* ---- Registering ----------------------------------------------------------------------------- */

/* "Register: touches no file": with every file operation about to fail, with sources that are not
 * there, and with one whose opening would block for ever. The same for an update of a cold one. */
static void test_register_touches_no_file(void **state) {
    (void)state;
    struct fixture f;
    struct scratch scratch;
    char fifo[SCRATCH_ROOM], name[32];
    scratch_init(&scratch);
    fixture_open(&f, NULL);
    assert_int_equal(mkfifo(scratch_path(&scratch, "m.echo", fifo), 0600), 0);
    size_t descriptors = open_descriptors();
    world_fault(&f.world, NULL, 1, EIO);
    for (int i = 0; i < 1000; i++) {
        snprintf(name, sizeof(name), "model/%d", i);
        mm_model_spec spec = of_file(i % 2 ? fifo : "/nowhere/m.echo");
        spec.name = name;
        mm_model model, found;
        assert_int_equal(mm_register(f.mesh, &spec, &model, &f.err), MM_OK);
        assert_int_equal(mm_find(f.mesh, name, &found), MM_OK);
        assert_true(found.id == model.id);
        spec.name = NULL;
        assert_int_equal(mm_update(f.mesh, model, &spec, 0, NULL, NULL, &f.err), MM_OK);
        assert_int_equal(fixture_info(&f, model).state, MM_STATE_COLD);
    }
    assert_false(world_failed(&f.world)); /* no fault point was even reached */
    world_fault(&f.world, NULL, 0, 0);
    assert_int_equal(open_descriptors(), descriptors);
    assert_int_equal(fixture_stats(&f).models, 1000);
    assert_int_equal(fixture_stats(&f).prepares, 0);
    mm_model first;
    assert_int_equal(mm_find(f.mesh, "model/0", &first), MM_OK);
    assert_int_equal(fixture_infer(&f, first, -1), MM_NOT_FOUND); /* now it looks */
    fixture_close(&f);
    scratch_fini(&scratch);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_changed_source_is_seen_by_update_only),
        cmocka_unit_test(test_gone_artifact_and_changed_source_is_refused),
        cmocka_unit_test(test_gone_artifact_is_prepared_again),
        cmocka_unit_test(test_register_touches_no_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
