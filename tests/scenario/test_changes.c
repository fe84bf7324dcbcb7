/* SPDX-License-Identifier: Apache-2.0 */
/* A source that is replaced without mm_update: what each value of spec.source_changes does. */
#include "scene.h"

#include <support/scratch.h>

#include <string.h>

#define SCRIPT(seed) "echo1\nweights_bytes 1m\nseed " #seed "\n"
#define BAD "echo1\nweights_bytes 1m\nseed x\n" /* as long as a good one */

struct changing {
    struct fixture f;
    struct scratch scratch;
    char path[SCRATCH_ROOM];
    mm_model_spec spec;
    mm_model model, other;
};

/* ---- A source with a file beside it --------------------------------------------------------- */

/* Reads more.bin, where there is one, before it does what echo does. */
static mm_status prepare_beside(void *state, const mm_source *source, const char *config,
                                int32_t kind, const mm_sink *sink, mm_error *err) {
    mm_source more;
    char byte;
    if (source->open(source->ctx, "more.bin", &more, err) == MM_OK) {
        MMI_TRY(more.read(more.ctx, 0, &byte, 1, err));
    }
    return mmi_backend_echo.prepare(state, source, config, kind, sink, err);
}

/* ---- The stage ------------------------------------------------------------------------------ */

static void write_source(struct changing *c, const char *text) {
    scratch_text(&c->scratch, "m.echo", text);
}

/* The same through a rename: another inode. */
static void rename_source(struct changing *c, const char *text) {
    char from[SCRATCH_ROOM];
    scratch_text(&c->scratch, "new", text);
    assert_int_equal(rename(scratch_path(&c->scratch, "new", from), c->path), 0);
}

static void (*const replacing[])(struct changing *c, const char *text) = {write_source,
                                                                          rename_source};
#define WAYS (sizeof(replacing) / sizeof(replacing[0]))

static void changing_mesh(struct changing *c, const mm_mesh_options *options) {
    fixture_open(&c->f, options);
    scratch_init(&c->scratch);
    write_source(c, SCRIPT(1));
    c->spec = (mm_model_spec)MM_MODEL_SPEC_INIT;
    c->spec.name = "m";
    c->spec.source = scratch_path(&c->scratch, "m.echo", c->path);
    c->spec.backend = "echo";
}

static void changing_register(struct changing *c, int32_t changes) {
    c->spec.source_changes = changes;
    assert_int_equal(mm_register(c->f.mesh, &c->spec, &c->model, &c->f.err), MM_OK);
    assert_int_equal(scene_seed(&c->f, c->model), 1);
    c->other = fixture_add(&c->f, "other", "weights_bytes 1m\nseed 9\n");
}

/* Registered from content 1, and resident. */
static void changing_open(struct changing *c, int32_t changes) {
    mm_mesh_options options = MM_MESH_OPTIONS_INIT;
    options.artifact_budget_bytes = MIB * 3 / 2;
    options.description_budget_bytes = 1;
    changing_mesh(c, &options);
    changing_register(c, changes);
}

static void changing_close(struct changing *c) {
    fixture_close(&c->f);
    scratch_fini(&c->scratch);
}

static void evict(struct changing *c) {
    assert_int_equal(mm_evict(c->f.mesh, c->model, MM_NO_WAIT, &c->f.err), MM_OK);
}

/* Evicted; with dropped its prepared bytes are gone, too. */
static void put_away(struct changing *c, bool dropped) {
    evict(c);
    if (dropped) {
        assert_int_equal(scene_seed(&c->f, c->other), 9);
        assert_int_equal(mm_evict(c->f.mesh, c->other, MM_NO_WAIT, &c->f.err), MM_OK);
    }
}

static void expect_status(struct changing *c, mm_status status) {
    assert_int_equal(fixture_infer(&c->f, c->model, -1), status);
}

/* Follows: what goes on is over, also what does not delay a request. */
static bool is_settled(void *ctx) {
    struct changing *c = ctx;
    return !fixture_info(&c->f, c->model).updating;
}

/* ---- Serve the old -------------------------------------------------------------------------- */

static void test_the_old_is_served_by_default(void **state) {
    (void)state;
    for (size_t way = 0; way < WAYS; way++) {
        for (int32_t changes = MM_CHANGES_DEFAULT; changes <= MM_CHANGES_SERVE_OLD; changes++) {
            struct changing c;
            changing_open(&c, changes);
            assert_int_equal(fixture_info(&c.f, c.model).source_changes, MM_CHANGES_SERVE_OLD);
            replacing[way](&c, SCRIPT(2));
            assert_int_equal(scene_hit(&c.f, c.model), 1);
            put_away(&c, false);
            assert_int_equal(scene_seed(&c.f, c.model), 1);
            put_away(&c, true);
            expect_status(&c, MM_SOURCE_CHANGED);
            changing_close(&c);
        }
    }
}

/* ---- Refuse --------------------------------------------------------------------------------- */

static void test_a_load_is_refused(void **state) {
    (void)state;
    for (int i = 0; i < 4; i++) {
        bool dropped = i & 1;
        struct changing c;
        changing_open(&c, MM_CHANGES_REFUSE);
        assert_int_equal(fixture_info(&c.f, c.model).source_changes, MM_CHANGES_REFUSE);
        put_away(&c, dropped);
        assert_int_equal(scene_seed(&c.f, c.model), 1); /* nothing changed */
        replacing[i / 2](&c, SCRIPT(2));
        assert_int_equal(scene_hit(&c.f, c.model), 1);
        put_away(&c, dropped);
        uint64_t failures = fixture_info(&c.f, c.model).failures;
        expect_status(&c, MM_SOURCE_CHANGED);
        assert_non_null(strstr(c.f.err.text, c.path));
        mm_model_info info = fixture_info(&c.f, c.model);
        assert_int_equal(info.state, MM_STATE_FAILED);
        assert_int_equal(info.error.status, MM_SOURCE_CHANGED);
        assert_int_equal(info.failures, failures + 1);
        assert_int_equal(fixture_events(&c.f, "refuse model=m", "MM_SOURCE_CHANGED"), !dropped);
        expect_status(&c, MM_SOURCE_CHANGED); /* remembered */
        assert_true(c.f.err.retry_after_ns > 0);
        assert_int_equal(fixture_info(&c.f, c.model).failures, failures + 1);
        replacing[i / 2](&c, SCRIPT(1));
        fixture_advance(&c.f, 1000 * MS);
        assert_int_equal(scene_seed(&c.f, c.model), 1); /* the old content is back */
        assert_int_equal(fixture_info(&c.f, c.model).version, 1);
        changing_close(&c);
    }
}

static void test_a_source_that_is_gone_is_refused(void **state) {
    (void)state;
    struct changing c;
    changing_open(&c, MM_CHANGES_REFUSE);
    assert_int_equal(unlink(c.path), 0);
    assert_int_equal(scene_hit(&c.f, c.model), 1);
    evict(&c);
    expect_status(&c, MM_NOT_FOUND);
    assert_non_null(strstr(c.f.err.text, c.path));
    changing_close(&c);
}

/* ---- Follow --------------------------------------------------------------------------------- */

static void test_the_new_is_taken(void **state) {
    (void)state;
    for (int i = 0; i < 4; i++) {
        bool dropped = i & 1;
        struct changing c;
        changing_open(&c, MM_CHANGES_FOLLOW);
        replacing[i / 2](&c, SCRIPT(2));
        assert_int_equal(scene_hit(&c.f, c.model), 1);
        put_away(&c, dropped);
        assert_int_equal(scene_seed(&c.f, c.model), 2);
        mm_model_info info = fixture_info(&c.f, c.model);
        assert_int_equal(info.version, 2);
        assert_int_equal(info.source_changes, MM_CHANGES_FOLLOW);
        assert_int_equal(info.requests, 3); /* counters go on */
        assert_int_equal(info.hits, 1);
        assert_int_equal(info.loads, 2);
        assert_int_equal(info.error.status, MM_OK);
        assert_int_equal(fixture_events(&c.f, "update model=m", "reason=source_changed"), 1);
        assert_int_equal(fixture_events(&c.f, "switch model=m", NULL), 1);
        put_away(&c, dropped);
        assert_int_equal(scene_seed(&c.f, c.model), 2); /* as it is, no update */
        assert_int_equal(fixture_info(&c.f, c.model).version, 2);
        assert_int_equal(fixture_events(&c.f, "update model=m", NULL), 1);
        changing_close(&c);
    }
}

/* What cannot be prepared is not taken: the old serves while there is something of it. */
static void test_a_bad_new_one_leaves_the_old(void **state) {
    (void)state;
    struct changing c;
    changing_open(&c, MM_CHANGES_FOLLOW);
    write_source(&c, BAD);
    put_away(&c, false);
    assert_int_equal(scene_seed(&c.f, c.model), 1);
    mm_model_info info = fixture_info(&c.f, c.model);
    assert_int_equal(info.state, MM_STATE_READY);
    assert_int_equal(info.version, 1);
    assert_int_equal(info.error.status, MM_INVALID_MODEL); /* why it was not taken */
    assert_true(info.retry_after_ns > 0);
    evict(&c);
    assert_int_equal(scene_seed(&c.f, c.model), 1); /* and not tried again before its time */
    assert_int_equal(fixture_events(&c.f, "update model=m", NULL), 1);
    fixture_advance(&c.f, 1000 * MS);
    evict(&c);
    assert_int_equal(scene_seed(&c.f, c.model), 1);
    assert_int_equal(fixture_events(&c.f, "update model=m", NULL), 2);
    put_away(&c, true);
    expect_status(&c, MM_INVALID_MODEL); /* nothing of the old is left */
    write_source(&c, SCRIPT(3));
    mm_async retry = MM_ASYNC_INIT;
    retry.flags = MM_ASYNC_RETRY;
    assert_int_equal(mm_load(c.f.mesh, c.model, &retry, NULL, &c.f.err), MM_OK);
    assert_int_equal(scene_hit(&c.f, c.model), 3);
    assert_int_equal(fixture_info(&c.f, c.model).error.status, MM_OK);
    changing_close(&c);
}

static void test_a_source_that_is_gone_is_not_followed(void **state) {
    (void)state;
    struct changing c;
    changing_open(&c, MM_CHANGES_FOLLOW);
    assert_int_equal(unlink(c.path), 0);
    put_away(&c, false);
    assert_int_equal(scene_seed(&c.f, c.model), 1);
    assert_int_equal(fixture_info(&c.f, c.model).error.status, MM_NOT_FOUND);
    write_source(&c, SCRIPT(2));
    fixture_advance(&c.f, 1000 * MS);
    evict(&c);
    assert_int_equal(scene_seed(&c.f, c.model), 2);
    changing_close(&c);
}

/* Preparing alone does not load. */
static void test_a_description_follows_without_a_load(void **state) {
    (void)state;
    struct changing c;
    changing_open(&c, MM_CHANGES_FOLLOW);
    write_source(&c, SCRIPT(2));
    put_away(&c, true);
    uint64_t loads = fixture_stats(&c.f).loads;
    assert_int_equal(mm_prepare(c.f.mesh, c.model, NULL, NULL, &c.f.err), MM_OK);
    assert_int_equal(fixture_info(&c.f, c.model).version, 2);
    assert_int_equal(fixture_stats(&c.f).loads, loads);
    assert_int_equal(scene_seed(&c.f, c.model), 2);
    changing_close(&c);
}

/* A further copy is a load, too: the new content comes beside the old, which serves meanwhile. */
static void test_a_further_copy_brings_the_new(void **state) {
    (void)state;
    struct changing c;
    mm_device_options devices[] = {MM_DEVICE_OPTIONS_INIT, MM_DEVICE_OPTIONS_INIT};
    devices[0].name = "host/a";
    devices[1].name = "host/b";
    devices[0].budget_bytes = devices[1].budget_bytes = 8 * MIB;
    mm_mesh_options options = MM_MESH_OPTIONS_INIT;
    options.devices = devices;
    options.device_count = 2;
    changing_mesh(&c, &options);
    mm_model_spec full = fixture_spec(&c.f, "full", "echo", "weights_bytes 7600k\nseed 5\n");
    full.device = "b";
    full.flags = MM_MODEL_PINNED;
    mm_model filler;
    assert_int_equal(mm_register(c.f.mesh, &full, &filler, &c.f.err), MM_OK);
    assert_int_equal(scene_seed(&c.f, filler), 5);
    c.spec.replicas = c.spec.min_replicas = 2;
    c.spec.device = NULL;
    changing_register(&c, MM_CHANGES_FOLLOW);
    write_source(&c, SCRIPT(2));
    assert_int_equal(scene_hit(&c.f, c.model), 1);
    assert_int_equal(fixture_info(&c.f, c.model).copy_count, 1);
    assert_int_equal(mm_unregister(c.f.mesh, filler, &c.f.err), MM_OK);
    while (fixture_info(&c.f, c.model).version == 1) {
        fixture_advance(&c.f, 10 * MS);
        int64_t seed = scene_seed(&c.f, c.model);
        assert_true(seed == 1 || seed == 2);
    }
    assert_int_equal(scene_seed(&c.f, c.model), 2);
    assert_int_equal(fixture_info(&c.f, c.model).failures, 0);
    changing_close(&c);
}

/* ---- Updates -------------------------------------------------------------------------------- */

static void test_an_update_leaves_or_resets_it(void **state) {
    (void)state;
    struct changing c;
    changing_open(&c, MM_CHANGES_REFUSE);
    mm_model_spec spec = MM_MODEL_SPEC_INIT;
    write_source(&c, SCRIPT(2));
    evict(&c);
    expect_status(&c, MM_SOURCE_CHANGED);
    assert_int_equal(mm_update(c.f.mesh, c.model, &spec, 0, NULL, NULL, &c.f.err), MM_OK);
    assert_int_equal(fixture_info(&c.f, c.model).source_changes, MM_CHANGES_REFUSE);
    assert_int_equal(scene_seed(&c.f, c.model), 2);
    spec.source_changes = MM_CHANGES_FOLLOW;
    assert_int_equal(mm_update(c.f.mesh, c.model, &spec, 0, NULL, NULL, &c.f.err), MM_OK);
    assert_int_equal(fixture_info(&c.f, c.model).source_changes, MM_CHANGES_FOLLOW);
    write_source(&c, SCRIPT(3));
    evict(&c);
    assert_int_equal(scene_seed(&c.f, c.model), 3);
    c.spec.name = NULL;
    c.spec.source_changes = MM_CHANGES_DEFAULT;
    assert_int_equal(mm_update(c.f.mesh, c.model, &c.spec, MM_UPDATE_RESET, NULL, NULL, &c.f.err),
                     MM_OK);
    assert_int_equal(fixture_info(&c.f, c.model).source_changes, MM_CHANGES_SERVE_OLD);
    changing_close(&c);
}

/* An mm_update comes while the new content is being prepared: it is what counts. */
static void test_an_update_meanwhile_wins(void **state) {
    (void)state;
    struct changing c;
    changing_mesh(&c, NULL);
    c.spec.backend = "gated";
    changing_register(&c, MM_CHANGES_FOLLOW);
    write_source(&c, SCRIPT(2));
    evict(&c);
    gate_close(&c.f, MMI_ECHO_PREPARE);
    struct caller caller;
    caller_start(&caller, &c.f, c.model, 3, 0);
    gate_wait(&c.f, MMI_ECHO_PREPARE, 2);
    assert_true(fixture_info(&c.f, c.model).updating);
    scratch_text(&c.scratch, "third.echo", SCRIPT(3));
    char path[SCRATCH_ROOM];
    mm_model_spec spec = MM_MODEL_SPEC_INIT;
    spec.source = scratch_path(&c.scratch, "third.echo", path);
    spec.backend = "echo";
    assert_int_equal(mm_update(c.f.mesh, c.model, &spec, 0, NULL, NULL, &c.f.err), MM_OK);
    gate_open(&c.f, MMI_ECHO_PREPARE);
    assert_int_equal(caller_join(&caller), MM_OK);
    assert_int_equal(scene_hit(&c.f, c.model), 3);
    assert_int_equal(fixture_info(&c.f, c.model).version, 3);
    assert_int_equal(fixture_info(&c.f, c.model).source_changes, MM_CHANGES_FOLLOW);
    changing_close(&c);
}

/* Unregistered while the new content is being prepared: waiters are told, nothing is left. */
static void test_unregister_meanwhile(void **state) {
    (void)state;
    struct changing c;
    changing_mesh(&c, NULL);
    c.spec.backend = "gated";
    changing_register(&c, MM_CHANGES_FOLLOW);
    write_source(&c, SCRIPT(2));
    evict(&c);
    gate_close(&c.f, MMI_ECHO_PREPARE);
    struct caller caller;
    caller_start(&caller, &c.f, c.model, -1, 0);
    gate_wait(&c.f, MMI_ECHO_PREPARE, 2);
    assert_int_equal(mm_unregister(c.f.mesh, c.model, &c.f.err), MM_OK);
    assert_int_equal(caller_join(&caller), MM_UNREGISTERED);
    gate_open(&c.f, MMI_ECHO_PREPARE);
    changing_close(&c);
}

/* ---- Other sources -------------------------------------------------------------------------- */

static void test_a_folder(void **state) {
    (void)state;
    struct changing c;
    changing_mesh(&c, NULL);
    scratch_folder(&c.scratch, "f");
    scratch_folder(&c.scratch, "f/1");
    scratch_text(&c.scratch, "f/1/model.onnx", SCRIPT(1));
    char path[SCRATCH_ROOM];
    c.spec.source = scratch_path(&c.scratch, "f", path);
    changing_register(&c, MM_CHANGES_FOLLOW);
    scratch_folder(&c.scratch, "f/2");
    evict(&c);
    assert_int_equal(scene_seed(&c.f, c.model), 1);
    scratch_text(&c.scratch, "f/2/model.onnx", SCRIPT(2)); /* a higher number */
    evict(&c);
    assert_int_equal(scene_seed(&c.f, c.model), 2);
    assert_int_equal(fixture_info(&c.f, c.model).version, 2);
    changing_close(&c);
}

/* Siblings belong to the content: one that changes, goes or comes back is seen; one written again
 * with the same bytes, or a main file that is, is no change. */
static void test_files_beside(void **state) {
    (void)state;
    static const mm_format format = {.name = "beside", .suffix = ".beside"};
    for (int32_t changes = MM_CHANGES_REFUSE; changes <= MM_CHANGES_FOLLOW; changes++) {
        struct changing c;
        changing_mesh(&c, NULL);
        mm_backend beside = mmi_backend_echo;
        beside.name = "reads-more";
        beside.formats = &format;
        beside.format_count = 1;
        beside.prepare = prepare_beside;
        assert_int_equal(mm_backend_register(c.f.mesh, &beside, &c.f.err), MM_OK);
        c.spec.backend = "reads-more";
        scratch_text(&c.scratch, "more.bin", "a");
        changing_register(&c, changes);
        scratch_text(&c.scratch, "more.bin", "a");
        rename_source(&c, SCRIPT(1));
        evict(&c);
        assert_int_equal(scene_seed(&c.f, c.model), 1);
        assert_int_equal(fixture_info(&c.f, c.model).version, 1);
        bool follows = changes == MM_CHANGES_FOLLOW;
        scratch_text(&c.scratch, "more.bin", "b");
        evict(&c);
        expect_status(&c, follows ? MM_OK : MM_SOURCE_CHANGED);
        assert_int_equal(fixture_info(&c.f, c.model).version, follows ? 2 : 1);
        char path[SCRATCH_ROOM];
        assert_int_equal(unlink(scratch_path(&c.scratch, "more.bin", path)), 0);
        fixture_advance(&c.f, 1000 * MS);
        evict(&c);
        expect_status(&c, follows ? MM_OK : MM_SOURCE_CHANGED);
        assert_int_equal(fixture_info(&c.f, c.model).version, follows ? 3 : 1);
        changing_close(&c);
    }
}

static void test_bytes_in_memory(void **state) {
    (void)state;
    for (int32_t changes = MM_CHANGES_REFUSE; changes <= MM_CHANGES_FOLLOW; changes++) {
        struct changing c;
        changing_mesh(&c, NULL);
        char text[] = SCRIPT(1);
        c.spec.source = NULL;
        c.spec.data = text;
        c.spec.data_bytes = strlen(text);
        changing_register(&c, changes);
        evict(&c);
        assert_int_equal(scene_seed(&c.f, c.model), 1);
        memcpy(text, SCRIPT(2), sizeof(text));
        evict(&c);
        if (changes == MM_CHANGES_REFUSE) {
            expect_status(&c, MM_SOURCE_CHANGED);
        } else {
            assert_int_equal(scene_seed(&c.f, c.model), 2);
        }
        changing_close(&c);
    }
}

static void test_without_threads(void **state) {
    (void)state;
    struct changing c;
    mm_mesh_options options = MM_MESH_OPTIONS_INIT;
    options.load_threads = MM_THREADS_NONE;
    changing_mesh(&c, &options);
    changing_register(&c, MM_CHANGES_FOLLOW);
    write_source(&c, SCRIPT(2));
    evict(&c);
    assert_int_equal(scene_seed(&c.f, c.model), 2);
    write_source(&c, BAD);
    evict(&c);
    assert_int_equal(scene_seed(&c.f, c.model), 2);
    wait_until(is_settled, &c);
    changing_close(&c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_old_is_served_by_default),
        cmocka_unit_test(test_a_load_is_refused),
        cmocka_unit_test(test_a_source_that_is_gone_is_refused),
        cmocka_unit_test(test_the_new_is_taken),
        cmocka_unit_test(test_a_bad_new_one_leaves_the_old),
        cmocka_unit_test(test_a_source_that_is_gone_is_not_followed),
        cmocka_unit_test(test_a_description_follows_without_a_load),
        cmocka_unit_test(test_a_further_copy_brings_the_new),
        cmocka_unit_test(test_an_update_leaves_or_resets_it),
        cmocka_unit_test(test_an_update_meanwhile_wins),
        cmocka_unit_test(test_unregister_meanwhile),
        cmocka_unit_test(test_a_folder),
        cmocka_unit_test(test_files_beside),
        cmocka_unit_test(test_bytes_in_memory),
        cmocka_unit_test(test_without_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
