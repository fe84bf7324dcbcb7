/* SPDX-License-Identifier: Apache-2.0 */
/* A fork: every call in the child is refused. */
#include "scene.h"

#include <support/scratch.h>

#include <sys/wait.h>

/* A child of a process with threads makes a mesh with threads of its own. */
const char *__tsan_default_options(void);
const char *__tsan_default_options(void) {
    return "die_after_fork=0";
}

/* In a child no assertion of cmocka may run: it says where it failed and ends. */
#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            static const char text[] = __FILE__ ": child: " #condition "\n";                       \
            ssize_t written = write(2, text, sizeof(text) - 1);                                    \
            _exit(written > 0 ? 1 : 2);                                                            \
        }                                                                                          \
    } while (0)

/* Runs it in a child: the status with which that ended, 0 = well. A child that hangs is killed. */
static int in_child(void (*run)(void *ctx), void *ctx) {
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        alarm(30);
        run(ctx);
        _exit(0);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

struct family {
    struct fixture f;
    mm_model model;
    struct ask ask;
    mm_binding *binding;
    mm_model_description *description;
    mm_op *load;
    char cache[SCRATCH_ROOM];
};

static void call_about_models(void *ctx) {
    struct family *family = ctx;
    mm_mesh *mesh = family->f.mesh;
    mm_model model = family->model, found = {0};
    mm_model_spec spec = MM_MODEL_SPEC_INIT;
    spec.name = "new";
    spec.source = "/nowhere";
    mm_error err = {0};
    mm_op *op = NULL;
    CHECK(mm_register(mesh, &spec, &found, &err) == MM_FORKED);
    CHECK(err.status == MM_FORKED);
    spec.name = NULL;
    CHECK(mm_update(mesh, model, &spec, 0, NULL, NULL, &err) == MM_FORKED);
    CHECK(mm_update(mesh, model, &spec, 0, NULL, &op, &err) == MM_FORKED);
    CHECK(mm_unregister(mesh, model, &err) == MM_FORKED);
    CHECK(mm_find(mesh, "m", &found) == MM_FORKED);
    CHECK(mm_pin(mesh, model) == MM_FORKED);
    CHECK(mm_unpin(mesh, model) == MM_FORKED);
    CHECK(mm_set_class(mesh, model, MM_CLASS_HIGH) == MM_FORKED);
    CHECK(mm_load(mesh, model, NULL, NULL, &err) == MM_FORKED);
    CHECK(mm_load(mesh, model, NULL, &op, &err) == MM_FORKED);
    CHECK(mm_prepare(mesh, model, NULL, NULL, &err) == MM_FORKED);
    CHECK(mm_prepare(mesh, model, NULL, &op, &err) == MM_FORKED);
    CHECK(mm_evict(mesh, model, MM_NO_WAIT, &err) == MM_FORKED);
    CHECK(mm_evict(mesh, model, 0, &err) == MM_FORKED);
    CHECK(!op && !found.id);
}

static void call_about_requests(void *ctx) {
    struct family *family = ctx;
    mm_mesh *mesh = family->f.mesh;
    mm_model model = family->model;
    struct ask ask = family->ask;
    ask.request.inputs = &ask.in;
    mm_error err;
    mm_binding *binding;
    mm_model_description *description;
    mm_op *op;
    uint32_t count;
    CHECK(ask_infer(&ask) == MM_FORKED);
    ask.request.deadline_ns = MM_NO_WAIT;
    CHECK(ask_infer(&ask) == MM_FORKED);
    ask.request.deadline_ns = 1;
    CHECK(ask_infer(&ask) == MM_FORKED);
    CHECK(mm_infer_async(mesh, model, &ask.request, &ask.response, NULL, &op, &err) == MM_FORKED);
    CHECK(mm_output_bytes(mesh, model, &ask.request, NULL, NULL, 0, &count, &err) == MM_FORKED);
    CHECK(mm_bind(mesh, model, NULL, 0, NULL, 0, &binding, &err) == MM_FORKED);
    CHECK(mm_model_describe(mesh, model, 0, &description, &err) == MM_FORKED);
    CHECK(mm_ops_next(mesh, &op) == MM_FORKED);
    CHECK(mm_ops_eventfd(mesh) == -1);
    /* What is the caller's own may be looked at and freed: a copy. */
    CHECK(family->description->input_count == 1);
    mm_description_free(family->description);
    mm_binding_free(family->binding);
}

static void call_about_the_mesh(void *ctx) {
    struct family *family = ctx;
    mm_mesh *mesh = family->f.mesh;
    mm_model model = family->model, models[4];
    mm_error err;
    mm_model_info info = MM_MODEL_INFO_INIT;
    mm_mesh_stats stats = MM_MESH_STATS_INIT;
    mm_plan plan = MM_PLAN_INIT;
    mm_event event;
    uint64_t cursor = 0;
    CHECK(mm_model_info_get(mesh, model, &info) == MM_FORKED);
    CHECK(mm_mesh_stats_get(mesh, &stats) == MM_FORKED);
    CHECK(mm_plan_load(mesh, model, &plan, &err) == MM_FORKED);
    CHECK(mm_events_next(mesh, &cursor, &event, NULL) == MM_FORKED);
    CHECK(mm_models(mesh, models, 4) == 0);
    CHECK(mm_metrics_text(mesh, NULL, 0) == 0);
    CHECK(mm_device_set_budget(mesh, "host", 64 * MIB, &err) == MM_FORKED);
    void *memory = NULL;
    const mm_value value = {0};
    CHECK(mm_device_alloc(mesh, MM_ON_DEVICE(0), 8, &memory, &err) == MM_FORKED);
    CHECK(mm_device_free(mesh, MM_ON_DEVICE(0), memory) == MM_FORKED);
    CHECK(mm_value_copy(mesh, &value, &value, NULL, &err) == MM_FORKED);
    CHECK(mm_backend_register(mesh, &mmi_backend_echo, &err) == MM_FORKED);
    CHECK(mm_backend_load(mesh, "/nowhere.so", &err) == MM_FORKED);
    CHECK(mm_mesh_close(mesh) == MM_FORKED);
    CHECK(mm_mesh_stop(mesh, 0) == MM_FORKED);
    CHECK(mm_mesh_stop(mesh, MM_NO_WAIT) == MM_FORKED);
    CHECK(mm_mesh_free(&mesh) == MM_FORKED);
    CHECK(mesh == family->f.mesh);
}

/* An operation that will never complete here: nobody waits for it. */
static void call_about_operations(void *ctx) {
    struct family *family = ctx;
    mm_progress progress = MM_PROGRESS_INIT;
    mm_error err = {0};
    CHECK(mm_op_poll(family->load, &err) == MM_FORKED);
    CHECK(err.status == MM_FORKED);
    CHECK(mm_op_wait(family->load, MM_NO_WAIT, NULL) == MM_FORKED);
    CHECK(mm_op_wait(family->load, 0, NULL) == MM_FORKED);
    CHECK(mm_op_progress(family->load, &progress) == MM_FORKED);
    mm_op_cancel(family->load);
    mm_op_free(family->load);
}

/* "the child may create its own mesh": with the parent's cache, whose entries serve it. */
static void have_an_own_mesh(void *ctx) {
    struct family *family = ctx;
    static const char script[] = "echo1\nweights_bytes 1m\nseed 1\n";
    mm_mesh_options options = MM_MESH_OPTIONS_INIT;
    mm_device_options host = MM_DEVICE_OPTIONS_INIT;
    host.name = "host";
    host.budget_bytes = 16 * MIB;
    options.devices = &host;
    options.device_count = 1;
    options.cache_dir = family->cache;
    mm_mesh *mesh = NULL;
    CHECK(mm_mesh_create(&options, &mesh, NULL) == MM_OK);
    mm_model_spec spec = MM_MODEL_SPEC_INIT;
    spec.name = "m";
    spec.data = script;
    spec.data_bytes = sizeof(script) - 1;
    spec.backend = "echo";
    mm_model model;
    CHECK(mm_register(mesh, &spec, &model, NULL) == MM_OK);
    struct ask ask;
    ask_init(&ask, &family->f, model);
    CHECK(mm_infer(mesh, model, &ask.request, &ask.response, &ask.err) == MM_OK);
    mm_response_free(&ask.response);
    mm_op *op;
    CHECK(mm_load(mesh, model, NULL, &op, NULL) == MM_OK);
    CHECK(mm_op_wait(op, 0, NULL) == MM_OK);
    mm_op_free(op);
    mm_mesh_stats stats = MM_MESH_STATS_INIT;
    CHECK(mm_mesh_stats_get(mesh, &stats) == MM_OK);
    CHECK(stats.prepares == 0);
    CHECK(mm_mesh_free(&mesh) == MM_OK);
    call_about_the_mesh(family); /* the parent's is still the parent's */
}

static void family_open(struct family *family, struct scratch *scratch) {
    scratch_init(scratch);
    scratch_folder(scratch, "cache");
    scratch_path(scratch, "cache", family->cache);
    mm_mesh_options options = MM_MESH_OPTIONS_INIT;
    options.cache_dir = family->cache;
    fixture_open_with(&family->f, &options, 0, true);
    struct fixture *f = &family->f;
    family->model = fixture_add(f, "m", "weights_bytes 1m\nseed 1\n");
    assert_int_equal(scene_seed(f, family->model), 1);
    ask_init(&family->ask, f, family->model);
    assert_int_equal(mm_bind(f->mesh, family->model, NULL, 0, NULL, 0, &family->binding, &f->err),
                     MM_INVALID_ARGUMENT);
    assert_int_equal(mm_bind(f->mesh, family->model, (const char *[]){"x"}, 1, NULL, 0,
                             &family->binding, &f->err),
                     MM_OK);
    assert_int_equal(mm_model_describe(f->mesh, family->model, 0, &family->description, &f->err),
                     MM_OK);
    mm_model blocked = fixture_add_gated(f, "blocked", "weights_bytes 1m\nseed 2\n");
    gate_close(f, MMI_ECHO_ATTACH);
    assert_int_equal(mm_load(f->mesh, blocked, NULL, &family->load, &f->err), MM_OK);
    gate_wait(f, MMI_ECHO_ATTACH, 1);
}

static void family_close(struct family *family, struct scratch *scratch) {
    struct fixture *f = &family->f;
    gate_open(f, MMI_ECHO_ATTACH);
    assert_int_equal(mm_op_wait(family->load, 0, &f->err), MM_OK);
    assert_int_equal(scene_hit(f, family->model), 1); /* "the parent unaffected" */
    mm_op_free(family->load);
    mm_binding_free(family->binding);
    mm_description_free(family->description);
    fixture_close(f);
    scratch_fini(scratch);
}

static void in_a_child_of_a_family(void (*run)(void *ctx)) {
    struct family family;
    struct scratch scratch;
    family_open(&family, &scratch);
    int status = in_child(run, &family);
    family_close(&family, &scratch);
    assert_int_equal(status, 0);
}

/* "every call in the child is MM_FORKED", while threads of the parent are at work. */
static void test_calls_about_models_are_forked(void **state) {
    (void)state;
    in_a_child_of_a_family(call_about_models);
}

static void test_calls_about_requests_are_forked(void **state) {
    (void)state;
    in_a_child_of_a_family(call_about_requests);
}

/* "free included". */
static void test_calls_about_the_mesh_are_forked(void **state) {
    (void)state;
    in_a_child_of_a_family(call_about_the_mesh);
}

static void test_calls_about_operations_are_forked(void **state) {
    (void)state;
    in_a_child_of_a_family(call_about_operations);
}

static void test_child_may_have_its_own_mesh(void **state) {
    (void)state;
    in_a_child_of_a_family(have_an_own_mesh);
}

/* "no file removed": the child ends with exit handlers and all, the parent's cache is whole. */
static void end_politely(void *ctx) {
    struct family *family = ctx;
    mm_mesh *mesh = family->f.mesh;
    CHECK(mm_mesh_free(&mesh) == MM_FORKED);
}

static void test_child_removes_no_file(void **state) {
    (void)state;
    struct family family;
    struct scratch scratch;
    family_open(&family, &scratch);
    size_t entries = count_files(family.cache, "");
    assert_true(entries > 0);
    assert_int_equal(in_child(end_politely, &family), 0);
    assert_int_equal(count_files(family.cache, ""), entries);
    assert_int_equal(mm_evict(family.f.mesh, family.model, MM_NO_WAIT, &family.f.err), MM_OK);
    assert_int_equal(scene_seed(&family.f, family.model), 1);
    assert_int_equal(fixture_stats(&family.f).prepares, 2); /* it and the blocked one, once each */
    family_close(&family, &scratch);
}

/* A fork at any moment: while another thread holds the locks of the mesh. */
struct traffic {
    struct fixture *f;
    mm_model model;
    _Atomic bool stop;
};

static mm_status keep_it_busy(void *ctx) {
    struct traffic *traffic = ctx;
    while (!atomic_load(&traffic->stop)) {
        assert_int_equal(scene_seed(traffic->f, traffic->model), 1);
        assert_int_equal(mm_evict(traffic->f->mesh, traffic->model, MM_NO_WAIT, NULL), MM_OK);
    }
    return MM_OK;
}

static void only_free(void *ctx) {
    mm_mesh *mesh = ((struct traffic *)ctx)->f->mesh;
    CHECK(mm_mesh_close(mesh) == MM_FORKED);
    CHECK(mm_mesh_free(&mesh) == MM_FORKED);
}

static void test_fork_while_locks_are_held(void **state) {
    (void)state;
    struct fixture f;
    fixture_open_with(&f, NULL, 0, true);
    struct traffic traffic = {.f = &f};
    traffic.model = fixture_add(&f, "m", "weights_bytes 64k\nseed 1\n");
    struct call call;
    call_start(&call, keep_it_busy, &traffic);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(in_child(only_free, &traffic), 0);
    }
    atomic_store(&traffic.stop, true);
    assert_int_equal(call_join(&call), MM_OK);
    fixture_close(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_calls_about_models_are_forked),
        cmocka_unit_test(test_calls_about_requests_are_forked),
        cmocka_unit_test(test_calls_about_the_mesh_are_forked),
        cmocka_unit_test(test_calls_about_operations_are_forked),
        cmocka_unit_test(test_child_may_have_its_own_mesh),
        cmocka_unit_test(test_child_removes_no_file),
        cmocka_unit_test(test_fork_while_locks_are_held),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
