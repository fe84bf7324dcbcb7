/* SPDX-License-Identifier: Apache-2.0 */
/* "NULL, zero, absurd sizes in any argument: MM_INVALID_ARGUMENT naming the parameter; free of NULL
 * does nothing". One row a refusal. argv: the public headers; each function in them has a row. */
#include "weather.h"

#include <modelmesh/backend.h>

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const *headers;
static int header_count;

/* ---- Rows ------------------------------------------------------------------------------------ */

static char seen[8192]; /* " mm_infer mm_load ... " */

/* The row's call is text: "mm_infer(...)". */
static void note(const char *call) {
    size_t length = strcspn(call, "(");
    char name[64];
    snprintf(name, sizeof(name), " %.*s ", (int)length, call);
    if (!strstr(seen, name)) {
        assert_true(strlen(seen) + length + 3 < sizeof(seen));
        strcat(seen, name);
    }
}

static void check(const char *call, mm_status status, mm_status wanted, const char *word,
                  const mm_error *err) {
    note(call);
    if (status != wanted) {
        fail_msg("%s: %s, not %s: %s", call, mm_status_name(status), mm_status_name(wanted),
                 err->text);
    }
    if (word && (err->status != (int32_t)wanted || !strstr(err->text, word))) {
        fail_msg("%s: \"%s\" does not name %s", call, err->text, word);
    }
}

/* The call is refused like this, its error names `word`; NULL = it has none. */
#define ROW(wanted, word, call)                                                                    \
    do {                                                                                           \
        memset(err, 0, sizeof(*err));                                                              \
        mm_status row_status = (call);                                                             \
        check(#call, row_status, wanted, word, err);                                               \
    } while (0)
#define BAD(word, call) ROW(MM_INVALID_ARGUMENT, word, call)
/* The call does nothing bad. */
#define FINE(call)                                                                                 \
    do {                                                                                           \
        call;                                                                                      \
        note(#call);                                                                               \
    } while (0)

static char long_name[MM_NAME_BYTES + 1];

/* ---- Mesh ------------------------------------------------------------------------------------ */

#define OPTIONS_WITH(...) (&(mm_mesh_options){.struct_size = sizeof(mm_mesh_options), __VA_ARGS__})
#define DEVICE_WITH(...)                                                                           \
    .device_count = 1, .devices = &(mm_device_options) {                                           \
        .struct_size = sizeof(mm_device_options), __VA_ARGS__                                      \
    }

static void *refuse_absurd(void *user, size_t bytes, size_t align) {
    (void)user;
    (void)align;
    return bytes > 256 * MIB ? NULL : aligned_alloc(align, (bytes + align - 1) / align * align);
}

static void give(void *user, void *memory, size_t bytes) {
    (void)user;
    (void)bytes;
    free(memory);
}

static void test_arguments_of_create(void **state) {
    (void)state;
    mm_error error, *err = &error;
    mm_mesh *mesh = NULL;
    mm_allocator half = {.alloc = refuse_absurd};
    mm_parallel no_run = {0};
    BAD("mesh", mm_mesh_create(NULL, NULL, err));
    BAD("struct_size", mm_mesh_create(&(mm_mesh_options){0}, &mesh, err));
    BAD("struct_size", mm_mesh_create(&(mm_mesh_options){.struct_size = UINT32_MAX}, &mesh, err));
    BAD("allocator", mm_mesh_create(OPTIONS_WITH(.allocator = &half), &mesh, err));
    BAD("parallel", mm_mesh_create(OPTIONS_WITH(.parallel = &no_run), &mesh, err));
    BAD("cpus", mm_mesh_create(OPTIONS_WITH(.cpu_count = 2), &mesh, err));
    BAD("thread_prefix", mm_mesh_create(OPTIONS_WITH(.thread_prefix = "eightbyt"), &mesh, err));
    BAD("map_cache", mm_mesh_create(OPTIONS_WITH(.map_cache = 2), &mesh, err));
    BAD("policy", mm_mesh_create(OPTIONS_WITH(.policy = "random"), &mesh, err));
    BAD("flags", mm_mesh_create(OPTIONS_WITH(.flags = 1), &mesh, err));
    BAD("infer_threads", mm_mesh_create(OPTIONS_WITH(.infer_threads = 4097), &mesh, err));
    BAD("load_threads", mm_mesh_create(OPTIONS_WITH(.load_threads = 1u << 31), &mesh, err));
    BAD("prepare_threads", mm_mesh_create(OPTIONS_WITH(.prepare_threads = 99999), &mesh, err));
    BAD("max_signatures", mm_mesh_create(OPTIONS_WITH(.max_signatures = 65537), &mesh, err));
    mm_device_options many[65] = {{0}};
    BAD("device_count", mm_mesh_create(OPTIONS_WITH(.devices = many), &mesh, err));
    BAD("device_count",
        mm_mesh_create(OPTIONS_WITH(.devices = many, .device_count = 65), &mesh, err));
    BAD("devices[0].struct_size",
        mm_mesh_create(OPTIONS_WITH(.devices = many, .device_count = 1), &mesh, err));
    BAD("devices[0].name",
        mm_mesh_create(OPTIONS_WITH(DEVICE_WITH(.budget_bytes = 4 * MIB)), &mesh, err));
    BAD("devices[0].name",
        mm_mesh_create(OPTIONS_WITH(DEVICE_WITH(.name = "", .budget_bytes = 4 * MIB)), &mesh, err));
    BAD("devices[0].name",
        mm_mesh_create(OPTIONS_WITH(DEVICE_WITH(.name = "tape", .budget_bytes = 4 * MIB)), &mesh,
                       err));
    BAD("devices[0].name",
        mm_mesh_create(OPTIONS_WITH(DEVICE_WITH(.name = long_name, .budget_bytes = 4 * MIB)), &mesh,
                       err));
    BAD("devices[0].budget_bytes",
        mm_mesh_create(OPTIONS_WITH(DEVICE_WITH(.name = "host")), &mesh, err));
    BAD("budget_bytes",
        mm_mesh_create(OPTIONS_WITH(DEVICE_WITH(.name = "sim", .budget_bytes = UINT64_MAX)), &mesh,
                       err));
    assert_null(mesh); /* written on success only */
    mm_allocator small = {NULL, refuse_absurd, give};
    mm_status status =
        mm_mesh_create(OPTIONS_WITH(.allocator = &small, .event_capacity = UINT32_MAX), &mesh, err);
    assert_true(status == MM_NO_MEMORY || status == MM_INVALID_ARGUMENT);
    FINE(mm_mesh_options_init(NULL, sizeof(mm_mesh_options)));
    FINE(mm_model_spec_init(NULL, sizeof(mm_model_spec)));
}

static void test_arguments_of_the_mesh(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    mm_error *err = &f.err;
    mm_mesh *none = NULL;
    BAD(NULL, mm_mesh_close(NULL));
    BAD(NULL, mm_mesh_stop(NULL, 0));
    ROW(MM_OK, NULL, mm_mesh_free(NULL));
    ROW(MM_OK, NULL, mm_mesh_free(&none));
    BAD("mesh", mm_device_set_budget(NULL, "host", 4 * MIB, err));
    BAD("device", mm_device_set_budget(f.mesh, NULL, 4 * MIB, err));
    BAD("budget_bytes", mm_device_set_budget(f.mesh, "host", 0, err));
    ROW(MM_NOT_FOUND, "tape", mm_device_set_budget(f.mesh, "tape", 4 * MIB, err));
    void *memory = NULL;
    BAD("mesh", mm_device_alloc(NULL, MM_ON_DEVICE(0), 8, &memory, err));
    BAD("location", mm_device_alloc(f.mesh, 0, 8, &memory, err));
    BAD("bytes", mm_device_alloc(f.mesh, MM_ON_DEVICE(0), 0, &memory, err));
    BAD("memory", mm_device_alloc(f.mesh, MM_ON_DEVICE(0), 8, NULL, err));
    BAD(NULL, mm_device_free(NULL, MM_ON_DEVICE(0), memory));
    BAD(NULL, mm_device_free(f.mesh, 0, memory));
    ROW(MM_NOT_FOUND, NULL, mm_device_free(f.mesh, MM_ON_DEVICE(0), &memory));
    const mm_value value = {.bytes = 8};
    BAD("mesh", mm_value_copy(NULL, &value, &value, NULL, err));
    BAD("from", mm_value_copy(f.mesh, NULL, &value, NULL, err));
    BAD("to", mm_value_copy(f.mesh, &value, NULL, NULL, err));
    BAD("data", mm_value_copy(f.mesh, &value, &value, NULL, err));
    mm_op *op;
    BAD(NULL, mm_ops_next(NULL, &op));
    BAD(NULL, mm_ops_next(f.mesh, NULL));
    assert_int_equal(mm_ops_eventfd(NULL), -1);
    note("mm_ops_eventfd");
    BAD("mesh", mm_backend_register(NULL, &mmi_backend_echo, err));
    BAD("backend", mm_backend_register(f.mesh, NULL, err));
    mm_backend no_size = {.abi_major = MM_BACKEND_ABI_MAJOR};
    BAD("backend.struct_size", mm_backend_register(f.mesh, &no_size, err));
    BAD("mesh", mm_backend_load(NULL, "x.so", err));
    BAD("path", mm_backend_load(f.mesh, NULL, err));
    BAD("path", mm_backend_load(f.mesh, "", err));
    fixture_close(&f);
}

/* ---- Models ---------------------------------------------------------------------------------- */

static void rows_of_specs(struct fixture *f, mm_error *err) {
    mm_model model = {77};
    mm_model_spec good = fixture_spec(f, "m", "echo", ""), spec = good;
    BAD("mesh", mm_register(NULL, &good, &model, err));
    BAD("spec", mm_register(f->mesh, NULL, &model, err));
    BAD("model", mm_register(f->mesh, &good, NULL, err));
    BAD("spec.struct_size", mm_register(f->mesh, &(mm_model_spec){0}, &model, err));
#define SPEC(word, field, value)                                                                   \
    do {                                                                                           \
        spec = good;                                                                               \
        spec.field = value;                                                                        \
        BAD(word, mm_register(f->mesh, &spec, &model, err));                                       \
    } while (0)
    SPEC("spec.struct_size", struct_size, UINT32_MAX);
    SPEC("spec.name", name, NULL);
    SPEC("spec.name", name, "");
    SPEC("spec.name", name, long_name);
    SPEC("spec.name", name, "\xff");
    SPEC("spec.flags", flags, 4);
    SPEC("spec.source", source, "also");
    SPEC("spec.source", data, NULL);
    SPEC("spec.data_bytes", data_bytes, 0);
    SPEC("spec.data_bytes", data_bytes, UINT64_MAX);
    SPEC("spec.data_bytes", data_bytes, (uint64_t)INT64_MAX + 1);
    SPEC("spec.evict_class", evict_class, 4);
    SPEC("spec.evict_class", evict_class, -1);
    SPEC("spec.source_changes", source_changes, 4);
    SPEC("spec.source_changes", source_changes, -1);
#undef SPEC
    spec = good;
    spec.min_replicas = 2;
    BAD("spec.min_replicas", mm_register(f->mesh, &spec, &model, err));
    spec = good;
    spec.backend = "tape";
    ROW(MM_NOT_FOUND, "spec.backend", mm_register(f->mesh, &spec, &model, err));
    spec = good;
    spec.device = "tape";
    ROW(MM_NOT_FOUND, "spec.device", mm_register(f->mesh, &spec, &model, err));
    spec = (mm_model_spec)MM_MODEL_SPEC_INIT;
    spec.name = "m";
    spec.source = "";
    BAD("spec.source", mm_register(f->mesh, &spec, &model, err));
    assert_int_equal(model.id, 77); /* written on success only */
    assert_int_equal(fixture_stats(f).models, 0);
}

/* A handle that is none: {0} is no argument, any other was never given out. */
static void rows_of_handles(struct fixture *f, mm_mesh *mesh, mm_model no, mm_status wanted,
                            const char *word, mm_error *err) {
    mm_model_spec spec = fixture_spec(f, NULL, "echo", "");
    char *report = NULL;
    mm_model_description *description;
    mm_model_info info = MM_MODEL_INFO_INIT;
    mm_plan plan = MM_PLAN_INIT;
    mm_binding *binding;
    mm_request request = MM_REQUEST_INIT;
    mm_response response = MM_RESPONSE_INIT;
    mm_value value = {0};
    uint32_t count;
    ROW(wanted, word, mm_update(mesh, no, &spec, 0, NULL, NULL, err));
    ROW(wanted, word, mm_unregister(mesh, no, err));
    ROW(wanted, NULL, mm_pin(mesh, no));
    ROW(wanted, NULL, mm_unpin(mesh, no));
    ROW(wanted, NULL, mm_set_class(mesh, no, MM_CLASS_LOW));
    ROW(wanted, word, mm_model_describe(mesh, no, 0, &description, err));
    ROW(wanted, word, mm_infer(mesh, no, &request, &response, err));
    ROW(wanted, word, mm_output_bytes(mesh, no, &request, &value, NULL, 1, &count, err));
    ROW(wanted, word, mm_model_report(mesh, no, &request, &report, err));
    ROW(wanted, word, mm_bind(mesh, no, NULL, 0, NULL, 0, &binding, err));
    ROW(wanted, word, mm_load(mesh, no, NULL, NULL, err));
    ROW(wanted, word, mm_prepare(mesh, no, NULL, NULL, err));
    ROW(wanted, word, mm_evict(mesh, no, MM_NO_WAIT, err));
    ROW(wanted, word, mm_plan_load(mesh, no, &plan, err));
    ROW(wanted, NULL, mm_model_info_get(mesh, no, &info));
}

static void test_arguments_of_models(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    mm_error *err = &f.err;
    rows_of_specs(&f, err);
    mm_model model = fixture_echo(&f, "m", "seed 1\n"), found = {77};
    rows_of_handles(&f, NULL, model, MM_INVALID_ARGUMENT, "mesh", err);
    rows_of_handles(&f, f.mesh, (mm_model){0}, MM_INVALID_ARGUMENT, "model", err);
    rows_of_handles(&f, f.mesh, (mm_model){UINT64_MAX}, MM_STALE_HANDLE, "", err);
    rows_of_handles(&f, f.mesh, (mm_model){model.id + (UINT64_C(1) << 32)}, MM_STALE_HANDLE, "",
                    err);
    BAD(NULL, mm_find(NULL, "m", &found));
    BAD(NULL, mm_find(f.mesh, NULL, &found));
    BAD(NULL, mm_find(f.mesh, "m", NULL));
    ROW(MM_NOT_FOUND, NULL, mm_find(f.mesh, "", &found));
    ROW(MM_NOT_FOUND, NULL, mm_find(f.mesh, long_name, &found));
    BAD(NULL, mm_set_class(f.mesh, model, 4));
    BAD(NULL, mm_set_class(f.mesh, model, INT32_MIN));
    mm_model_spec spec = fixture_spec(&f, NULL, "echo", "seed 2\n");
    BAD("spec", mm_update(f.mesh, model, NULL, 0, NULL, NULL, err));
    BAD("spec.struct_size", mm_update(f.mesh, model, &(mm_model_spec){0}, 0, NULL, NULL, err));
    BAD("flags", mm_update(f.mesh, model, &spec, UINT32_MAX, NULL, NULL, err));
    spec.name = "other";
    BAD("spec.name", mm_update(f.mesh, model, &spec, 0, NULL, NULL, err));
    BAD("description", mm_model_describe(f.mesh, model, 0, NULL, err));
    FINE(mm_description_free(NULL));
    assert_ok(&f, fixture_infer(&f, model)); /* nothing of it harmed the model */
    fixture_close(&f);
}

/* ---- Requests -------------------------------------------------------------------------------- */

struct form {
    float x[4];
    mm_value input;
    mm_request request;
    mm_response response;
};

static void form_init(struct form *form) {
    *form = (struct form){.request = MM_REQUEST_INIT, .response = MM_RESPONSE_INIT};
    form->input = (mm_value){.name = "x",
                             .dtype = MM_F32,
                             .rank = 2,
                             .shape = {1, 4},
                             .data = form->x,
                             .bytes = sizeof(form->x)};
    form->request.inputs = &form->input;
    form->request.input_count = 1;
}

#define FORM(word, field, value)                                                                   \
    do {                                                                                           \
        form_init(&form);                                                                          \
        form.field = value;                                                                        \
        BAD(word, mm_infer(f.mesh, model, &form.request, &form.response, err));                    \
    } while (0)

/* "wrong name, dtype, rank, shape: MM_INVALID_ARGUMENT, the value, got and wanted" */
static void check_wrong_values(bool hot) {
    struct fixture f;
    fixture_open(&f, NULL);
    mm_error *err = &f.err;
    mm_model model = fixture_echo(&f, "m", "weights_bytes 64k\nseed 1\n");
    struct form form;
    if (hot) {
        assert_ok(&f, fixture_infer(&f, model));
    }
    FORM("no input y", input.name, "y");
    FORM("inputs[0].name", input.name, NULL);
    FORM("got i32", input.dtype, MM_I32);
    FORM("wanted f32", input.dtype, MM_I32);
    FORM("x", input.dtype, 99);
    FORM("x", input.dtype, -1);
    FORM("x", input.kind, 77);
    FORM("x", input.kind, MM_SEQUENCE);
    form_init(&form);
    form.input.rank = 1;
    form.input.shape[0] = 4;
    BAD("got f32[4], wanted f32[", mm_infer(f.mesh, model, &form.request, &form.response, err));
    FORM("x", input.rank, 9);
    FORM("x", input.rank, UINT32_MAX);
    FORM("x", input.shape[0], -1);
    FORM("x", input.shape[1], 5);
    FORM("x", input.shape[0], INT64_MAX);
    FORM("x", input.bytes, 15);
    FORM("x", input.bytes, UINT64_MAX);
    FORM("x", input.data, NULL);
    FORM("request.inputs", request.inputs, NULL);
    FORM("x: missing", request.input_count, 0);
    FORM("request.input_count", request.input_count, UINT32_MAX);
    FORM("request.struct_size", request.struct_size, 0);
    FORM("request.outputs", request.output_count, 1);
    FORM("response.struct_size", response.struct_size, 0);
    FORM("response.outputs", response.output_capacity, 1);
    static const char *const unknown[] = {"q"}, *const twice[] = {"y", "y"}, *const null[] = {NULL};
    form_init(&form);
    form.request.outputs = unknown;
    form.request.output_count = 1;
    BAD("no output q", mm_infer(f.mesh, model, &form.request, &form.response, err));
    form.request.output_count = UINT32_MAX;
    BAD("request.output_count", mm_infer(f.mesh, model, &form.request, &form.response, err));
    form.request.outputs = twice;
    form.request.output_count = 2;
    BAD("output y", mm_infer(f.mesh, model, &form.request, &form.response, err));
    form.request.outputs = null;
    form.request.output_count = 1;
    BAD("outputs[0]", mm_infer(f.mesh, model, &form.request, &form.response, err));
    form_init(&form);
    mm_value both[2] = {form.input, form.input};
    form.request.inputs = both;
    form.request.input_count = 2;
    BAD(NULL, mm_infer(f.mesh, model, &form.request, &form.response, err));
    assert_int_equal(fixture_stats(&f).loads, hot); /* a bad request loads nothing */
    assert_ok(&f, fixture_infer(&f, model));
    fixture_close(&f);
}

static void test_wrong_values_to_a_resident_model(void **state) {
    (void)state;
    check_wrong_values(true);
}

static void test_wrong_values_to_a_cold_model(void **state) {
    (void)state;
    check_wrong_values(false);
}

static void test_arguments_of_requests(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    mm_error *err = &f.err;
    mm_model model = fixture_echo(&f, "m", "seed 1\n");
    struct form form;
    form_init(&form);
    mm_value values[2] = {{0}};
    mm_op *op = NULL;
    uint32_t count;
    BAD("request", mm_infer(f.mesh, model, NULL, &form.response, err));
    BAD("response", mm_infer(f.mesh, model, &form.request, NULL, err));
    BAD("mesh", mm_infer_async(NULL, model, &form.request, &form.response, NULL, &op, err));
    BAD("request", mm_infer_async(f.mesh, model, NULL, &form.response, NULL, &op, err));
    BAD("response", mm_infer_async(f.mesh, model, &form.request, NULL, NULL, &op, err));
    BAD("op", mm_infer_async(f.mesh, model, &form.request, &form.response, NULL, NULL, err));
    mm_async async = {0};
    BAD("async.struct_size",
        mm_infer_async(f.mesh, model, &form.request, &form.response, &async, &op, err));
    BAD("async.struct_size", mm_load(f.mesh, model, &async, NULL, err));
    BAD("async.struct_size", mm_prepare(f.mesh, model, &async, &op, err));
    async = (mm_async)MM_ASYNC_INIT;
    async.flags = 1u << 31;
    BAD("async.flags",
        mm_infer_async(f.mesh, model, &form.request, &form.response, &async, &op, err));
    assert_null(op);
    char *report = NULL;
    BAD("request", mm_model_report(f.mesh, model, NULL, &report, err));
    BAD("report", mm_model_report(f.mesh, model, &form.request, NULL, err));
    FINE(mm_report_free(NULL));
    BAD("request", mm_output_bytes(f.mesh, model, NULL, values, NULL, 2, &count, err));
    BAD("outputs", mm_output_bytes(f.mesh, model, &form.request, NULL, NULL, 2, &count, err));
    BAD("count", mm_output_bytes(f.mesh, model, &form.request, values, NULL, 2, NULL, err));
    ROW(MM_BUFFER_TOO_SMALL, "capacity",
        mm_output_bytes(f.mesh, model, &form.request, NULL, NULL, 0, &count, err));
    mm_binding *binding = NULL;
    static const char *const x[] = {"x"}, *const null[] = {NULL}, *const unknown[] = {"q"};
    BAD("binding", mm_bind(f.mesh, model, x, 1, NULL, 0, NULL, err));
    BAD("inputs", mm_bind(f.mesh, model, NULL, 1, NULL, 0, &binding, err));
    BAD("outputs", mm_bind(f.mesh, model, x, 1, NULL, 1, &binding, err));
    BAD("inputs[0]", mm_bind(f.mesh, model, null, 1, NULL, 0, &binding, err));
    BAD("q", mm_bind(f.mesh, model, unknown, 1, NULL, 0, &binding, err));
    BAD("x", mm_bind(f.mesh, model, NULL, 0, NULL, 0, &binding, err));
    BAD(NULL, mm_bind(f.mesh, model, x, UINT32_MAX, NULL, 0, &binding, err));
    BAD(NULL, mm_bind(f.mesh, model, x, 1, x, UINT32_MAX, &binding, err));
    assert_null(binding);
    FINE(mm_binding_free(NULL));
    FINE(mm_response_free(NULL));
    BAD("op", mm_op_wait(NULL, 0, err));
    BAD("op", mm_op_poll(NULL, err));
    FINE(mm_op_cancel(NULL));
    FINE(mm_op_free(NULL));
    mm_progress progress = MM_PROGRESS_INIT;
    BAD(NULL, mm_op_progress(NULL, &progress));
    assert_null(mm_op_user(NULL));
    note("mm_op_user");
    assert_ok(&f, mm_infer_async(f.mesh, model, &form.request, &form.response, NULL, &op, err));
    BAD(NULL, mm_op_progress(op, NULL));
    BAD(NULL, mm_op_progress(op, &(mm_progress){0}));
    assert_int_equal(mm_op_wait(op, 0, NULL), MM_OK);
    mm_op_free(op);
    mm_response_free(&form.response);
    BAD(NULL, mm_infer(f.mesh, (mm_model){0}, &form.request, &form.response, NULL)); /* err NULL */
    fixture_close(&f);
}

/* ---- Looking, and what needs no mesh --------------------------------------------------------- */

static void test_arguments_of_looking(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    mm_error *err = &f.err;
    mm_model model = fixture_echo(&f, "m", "seed 1\n"), handles[1];
    mm_model_info info = {0};
    mm_mesh_stats stats = {0};
    mm_plan plan = {0};
    mm_event event;
    uint64_t cursor = 0;
    char text[8];
    BAD(NULL, mm_model_info_get(f.mesh, model, NULL));
    BAD(NULL, mm_model_info_get(f.mesh, model, &info));
    BAD(NULL, mm_mesh_stats_get(NULL, &stats));
    BAD(NULL, mm_mesh_stats_get(f.mesh, NULL));
    BAD(NULL, mm_mesh_stats_get(f.mesh, &stats));
    BAD("plan", mm_plan_load(f.mesh, model, NULL, err));
    BAD("plan.struct_size", mm_plan_load(f.mesh, model, &plan, err));
    BAD(NULL, mm_events_next(NULL, &cursor, &event, NULL));
    BAD(NULL, mm_events_next(f.mesh, NULL, &event, NULL));
    BAD(NULL, mm_events_next(f.mesh, &cursor, NULL, NULL));
    assert_int_equal(mm_models(NULL, handles, 1), 0);
    assert_int_equal(mm_models(f.mesh, NULL, 0), 1);
    assert_int_equal(mm_models(f.mesh, NULL, UINT64_MAX), 1);
    note("mm_models");
    assert_int_equal(mm_metrics_text(NULL, text, sizeof(text)), 0);
    assert_true(mm_metrics_text(f.mesh, NULL, 0) > sizeof(text));
    note("mm_metrics_text");
    assert_int_equal(mm_event_text(NULL, text, sizeof(text)), 0);
    note("mm_event_text");
    fixture_close(&f);
}

static void test_arguments_of_calls_without_a_mesh(void **state) {
    (void)state;
    mm_error error, *err = &error;
    mm_cache_report report = MM_CACHE_REPORT_INIT, no_size = {0};
    BAD("cache_dir", mm_cache_verify(NULL, NULL, NULL, &report, err));
    BAD("cache_dir", mm_cache_verify("", NULL, NULL, &report, err));
    BAD("report", mm_cache_verify("/nowhere", NULL, NULL, NULL, err));
    BAD("report.struct_size", mm_cache_verify("/nowhere", NULL, NULL, &no_size, err));
    mm_value value = {0};
    struct DLManagedTensorVersioned *managed;
    BAD("managed", mm_value_from_dlpack(NULL, &value, err));
    BAD("value", mm_value_to_dlpack(NULL, NULL, NULL, &managed, err));
    BAD("managed", mm_value_to_dlpack(&value, NULL, NULL, NULL, err));
    assert_int_equal(mm_shape_elements(1, (const int64_t[]){-1}), UINT64_MAX);
    assert_int_equal(mm_shape_elements(2, (const int64_t[]){INT64_MAX, 3}), UINT64_MAX);
    note("mm_shape_elements");
    assert_int_equal(mm_dtype_bytes(MM_C128, UINT64_MAX), UINT64_MAX);
    assert_int_equal(mm_dtype_bytes(99, 5), 0);
    note("mm_dtype_bytes");
    assert_string_equal(mm_dtype_text(-1), "?");
    note("mm_dtype_text");
    assert_string_equal(mm_status_name(INT32_MIN), "MM_?");
    note("mm_status_name");
    assert_string_equal(mm_status_text(99), "unknown status");
    note("mm_status_text");
    assert_true(mm_deadline_after(UINT64_MAX) == UINT64_MAX);
    note("mm_deadline_after");
    assert_non_null(mm_version());
    note("mm_version");
    assert_non_null(mm_abi_table(NULL, NULL));
    note("mm_abi_table");
}

/* ---- Every function -------------------------------------------------------------------------- */

/* The name before the next parenthesis; NULL when it is no declaration of one of ours. */
static bool function_at(const char *text, char *name, size_t room) {
    const char *end = strchr(text, '(');
    const char *semicolon = strchr(text, ';');
    if (!end || (semicolon && semicolon < end)) {
        return false;
    }
    const char *begin = end;
    while (begin > text && (isalnum((unsigned char)begin[-1]) || begin[-1] == '_')) {
        begin--;
    }
    snprintf(name, room, "%.*s", (int)(end - begin), begin);
    return strncmp(name, "mm_", 3) == 0;
}

static void test_every_public_function_has_a_row(void **state) {
    (void)state;
    unsigned functions = 0;
    for (int i = 0; i < header_count; i++) {
        static char text[131072];
        FILE *file = fopen(headers[i], "r");
        assert_non_null(file);
        size_t bytes = fread(text, 1, sizeof(text) - 1, file);
        fclose(file);
        assert_true(bytes < sizeof(text) - 1);
        text[bytes] = '\0';
        for (const char *at = text; (at = strstr(at, "\nMM_API ")); at++) {
            char name[64], word[66];
            if (function_at(at, name, sizeof(name))) {
                snprintf(word, sizeof(word), " %s ", name);
                functions++;
                if (!strstr(seen, word)) {
                    fail_msg("%s has no row", name);
                }
            }
        }
    }
    assert_true(header_count == 0 || functions > 50);
}

int main(int argc, char **argv) {
    headers = (const char *const *)argv + 1;
    header_count = argc - 1;
    memset(long_name, 'n', MM_NAME_BYTES);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_arguments_of_create),
        cmocka_unit_test(test_arguments_of_the_mesh),
        cmocka_unit_test(test_arguments_of_models),
        cmocka_unit_test(test_wrong_values_to_a_resident_model),
        cmocka_unit_test(test_wrong_values_to_a_cold_model),
        cmocka_unit_test(test_arguments_of_requests),
        cmocka_unit_test(test_arguments_of_looking),
        cmocka_unit_test(test_arguments_of_calls_without_a_mesh),
        cmocka_unit_test(test_every_public_function_has_a_row), /* last */
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
