/* SPDX-License-Identifier: Apache-2.0 */
/* A program that was compiled with older headers, where many structs are shorter, run with today's
 * library and a plugin that is as old. Behind each struct lie guard bytes: a library that reads on
 * finds rubbish there, and one that writes on is seen. A plain program: nothing of the tree but the
 * older headers is in it.
 *
 * Usage: program PLUGIN */
#include <modelmesh/modelmesh.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GUARD 0xa5
#define MIB (UINT64_C(1) << 20)
#define GUARDED(type)                                                                              \
    struct {                                                                                       \
        type it;                                                                                   \
        unsigned char guard[256];                                                                  \
    }

static mm_error err;

static void check(int good, int line, const char *what) {
    if (!good) {
        fprintf(stderr, "program.c:%d: %s (%s)\n", line, what, err.text);
        exit(1);
    }
}
#define CHECK(what) check((what), __LINE__, #what)
#define OK(call) CHECK((call) == MM_OK)

static int untouched(const unsigned char *guard, size_t bytes) {
    for (size_t i = 0; i < bytes; i++) {
        if (guard[i] != GUARD) {
            return 0;
        }
    }
    return 1;
}

/* As its INIT macro has it, with the guard behind. */
#define ARM(guarded, init)                                                                         \
    do {                                                                                           \
        memset(&(guarded), GUARD, sizeof(guarded));                                                \
        (guarded).it = init;                                                                       \
    } while (0)
#define CHECK_GUARD(guarded)                                                                       \
    CHECK((guarded).it.struct_size == sizeof((guarded).it) &&                                      \
          untouched((guarded).guard, sizeof((guarded).guard)))
/* The struct's first version is the one of these headers: what is shorter never was. */
#define CHECK_TOO_SHORT(guarded, call)                                                             \
    do {                                                                                           \
        (guarded).it.struct_size -= 8;                                                             \
        CHECK((call) == MM_INVALID_ARGUMENT);                                                      \
        (guarded).it.struct_size += 8;                                                             \
        CHECK_GUARD(guarded);                                                                      \
    } while (0)

/* ---- The headers ----------------------------------------------------------------------------- */

static uint64_t size_today(const char *name) {
    for (const mm_abi_entry *entry = mm_abi_table(NULL, NULL); entry->name; entry++) {
        if (strcmp(entry->name, name) == 0) {
            return entry->value;
        }
    }
    return 0;
}

#define SHORTER(type) CHECK(sizeof(type) < size_today(#type))
#define SAME(type) CHECK(sizeof(type) == size_today(#type))

static void check_headers(void) {
    uint32_t major, minor;
    mm_abi_table(&major, &minor);
    CHECK(major == MM_ABI_MAJOR && minor > MM_ABI_MINOR);
    SHORTER(mm_device_options);
    SHORTER(mm_mesh_options);
    SHORTER(mm_model_spec);
    SHORTER(mm_request);
    SHORTER(mm_async);
    SHORTER(mm_progress);
    SHORTER(mm_plan);
    SHORTER(mm_model_info);
    SHORTER(mm_mesh_stats);
    SHORTER(mm_cache_report);
    /* Without struct_size, or with nothing after the first version. */
    SAME(mm_error);
    SAME(mm_value);
    SAME(mm_value_info);
    SAME(mm_allocator);
    SAME(mm_log);
    SAME(mm_parallel);
    SAME(mm_response);
    SAME(mm_model_description);
    SAME(mm_device_stats);
    SAME(mm_event);
}

/* ---- The mesh -------------------------------------------------------------------------------- */

static const char *const device_names[] = {"sim/a", "sim/b", "host"};
static const char *const labels[] = {"a", "b", "host"};

static mm_mesh *make_mesh(void) {
    struct {
        mm_device_options list[3];
        unsigned char guard[256];
    } devices;
    memset(&devices, GUARD, sizeof(devices));
    for (unsigned i = 0; i < 3; i++) {
        devices.list[i] = (mm_device_options)MM_DEVICE_OPTIONS_INIT;
        devices.list[i].name = device_names[i];
        devices.list[i].budget_bytes = 16 * MIB;
    }
    GUARDED(mm_mesh_options) options;
    memset(&options, GUARD, sizeof(options));
    mm_mesh_options_init(&options.it, sizeof(options.it));
    CHECK_GUARD(options);
    options.it.devices = devices.list;
    options.it.device_count = 3;
    mm_mesh *mesh = NULL;
    CHECK_TOO_SHORT(options, mm_mesh_create(&options.it, &mesh, &err));
    devices.list[0].struct_size -= 8;
    CHECK(mm_mesh_create(&options.it, &mesh, &err) == MM_INVALID_ARGUMENT && mesh == NULL);
    devices.list[0].struct_size += 8;
    OK(mm_mesh_create(&options.it, &mesh, &err));
    CHECK_GUARD(options);
    CHECK(untouched(devices.guard, sizeof(devices.guard)));
    return mesh;
}

static void check_stats(mm_mesh *mesh, uint64_t models) {
    GUARDED(mm_mesh_stats) stats;
    ARM(stats, (mm_mesh_stats)MM_MESH_STATS_INIT);
    OK(mm_mesh_stats_get(mesh, &stats.it));
    CHECK_GUARD(stats);
    CHECK(stats.it.models == models && stats.it.device_count == 3);
    CHECK_TOO_SHORT(stats, mm_mesh_stats_get(mesh, &stats.it));
}

/* ---- Models ---------------------------------------------------------------------------------- */

struct bytes {
    char magic[7];
    char factor[sizeof(float)];
};

static struct bytes content(float factor) {
    struct bytes bytes;
    memcpy(bytes.magic, "older1\n", sizeof(bytes.magic));
    memcpy(bytes.factor, &factor, sizeof(factor));
    return bytes;
}

typedef GUARDED(mm_model_spec) guarded_spec;

static void fill_spec(guarded_spec *spec, const char *name, const char *device,
                      const struct bytes *bytes) {
    memset(spec, GUARD, sizeof(*spec));
    mm_model_spec_init(&spec->it, sizeof(spec->it));
    CHECK_GUARD(*spec);
    spec->it.name = name;
    spec->it.device = device;
    spec->it.data = bytes;
    spec->it.data_bytes = sizeof(*bytes);
}

static mm_model add(mm_mesh *mesh, const char *name, const char *device,
                    const struct bytes *bytes) {
    guarded_spec spec;
    fill_spec(&spec, name, device, bytes);
    mm_model model = {0};
    CHECK_TOO_SHORT(spec, mm_register(mesh, &spec.it, &model, &err));
    OK(mm_register(mesh, &spec.it, &model, &err));
    CHECK_GUARD(spec);
    return model;
}

static void update(mm_mesh *mesh, mm_model model, const char *device, const struct bytes *bytes) {
    guarded_spec spec;
    fill_spec(&spec, NULL, device, bytes);
    OK(mm_update(mesh, model, &spec.it, 0, NULL, NULL, &err));
    CHECK_GUARD(spec);
}

static void check_info(mm_mesh *mesh, mm_model model, const char *name, const char *device) {
    GUARDED(mm_model_info) info;
    ARM(info, (mm_model_info)MM_MODEL_INFO_INIT);
    OK(mm_model_info_get(mesh, model, &info.it));
    CHECK_GUARD(info);
    CHECK(strcmp(info.it.name, name) == 0 && strcmp(info.it.device, device) == 0);
    CHECK(info.it.state == (device[0] ? MM_STATE_READY : MM_STATE_COLD));
    CHECK(info.it.retry_after_ns == 0);
    CHECK_TOO_SHORT(info, mm_model_info_get(mesh, model, &info.it));
}

static void check_plan(mm_mesh *mesh, mm_model model, const char *device) {
    GUARDED(mm_plan) plan;
    ARM(plan, (mm_plan)MM_PLAN_INIT);
    OK(mm_plan_load(mesh, model, &plan.it, &err));
    CHECK_GUARD(plan);
    CHECK(plan.it.status == MM_OK && strcmp(plan.it.device, device) == 0);
    CHECK_TOO_SHORT(plan, mm_plan_load(mesh, model, &plan.it, &err));
}

/* ---- Requests -------------------------------------------------------------------------------- */

static float x[4] = {1, 2, 3, 4};
static const mm_value input = {
    .name = "x", .dtype = MM_F32, .rank = 1, .shape = {4}, .data = x, .bytes = sizeof(x)};

typedef GUARDED(mm_request) guarded_request;
typedef GUARDED(mm_response) guarded_response;

static void check_answer(guarded_response *response, float factor) {
    CHECK_GUARD(*response);
    CHECK(response->it.output_count == 2 && response->it.outputs[0].bytes == sizeof(x));
    const float *y = response->it.outputs[0].data;
    for (unsigned i = 0; i < 4; i++) {
        CHECK(y[i] == x[i] * factor);
    }
    int64_t n;
    memcpy(&n, response->it.outputs[1].data, sizeof(n));
    CHECK(n == 4);
    mm_response_free(&response->it);
    CHECK_GUARD(*response);
}

/* Rubbish behind the request must not become a deadline. */
static void ask(mm_mesh *mesh, mm_model model, mm_binding *binding, float factor) {
    guarded_request request;
    guarded_response response;
    ARM(request, (mm_request)MM_REQUEST_INIT);
    ARM(response, (mm_response)MM_RESPONSE_INIT);
    request.it.inputs = &input;
    request.it.input_count = 1;
    request.it.binding = binding;
    OK(mm_infer(mesh, model, &request.it, &response.it, &err));
    CHECK_GUARD(request);
    check_answer(&response, factor);
    CHECK_TOO_SHORT(request, mm_infer(mesh, model, &request.it, &response.it, &err));
    CHECK_TOO_SHORT(response, mm_infer(mesh, model, &request.it, &response.it, &err));
}

static void ask_bound(mm_mesh *mesh, mm_model model, float factor) {
    const char *const names[] = {"x"};
    mm_binding *binding;
    OK(mm_bind(mesh, model, names, 1, NULL, 0, &binding, &err));
    ask(mesh, model, binding, factor);
    mm_binding_free(binding);
}

static void check_progress(mm_op *op) {
    GUARDED(mm_progress) progress;
    ARM(progress, (mm_progress)MM_PROGRESS_INIT);
    OK(mm_op_progress(op, &progress.it));
    CHECK_GUARD(progress);
    CHECK(progress.it.stage == MM_STAGE_DONE && progress.it.permille == 1000);
    CHECK_TOO_SHORT(progress, mm_op_progress(op, &progress.it));
}

/* Rubbish behind the options of an op must not be called. */
static void ask_later(mm_mesh *mesh, mm_model model, float factor) {
    GUARDED(mm_async) async;
    guarded_request request;
    guarded_response response;
    ARM(async, (mm_async)MM_ASYNC_INIT);
    ARM(request, (mm_request)MM_REQUEST_INIT);
    ARM(response, (mm_response)MM_RESPONSE_INIT);
    async.it.flags = MM_ASYNC_QUEUE;
    request.it.inputs = &input;
    request.it.input_count = 1;
    mm_op *op, *completed;
    CHECK_TOO_SHORT(async, mm_load(mesh, model, &async.it, &op, &err));
    OK(mm_load(mesh, model, &async.it, &op, &err));
    OK(mm_op_wait(op, 0, &err));
    OK(mm_ops_next(mesh, &completed));
    CHECK(completed == op && mm_op_user(op) == NULL);
    check_progress(op);
    mm_op_free(op);
    OK(mm_infer_async(mesh, model, &request.it, &response.it, &async.it, &op, &err));
    OK(mm_op_wait(op, 0, &err));
    OK(mm_ops_next(mesh, &completed));
    check_progress(op);
    mm_op_free(op);
    CHECK_GUARD(async);
    CHECK_GUARD(request);
    check_answer(&response, factor);
}

/* ---- Caches ---------------------------------------------------------------------------------- */

static void check_cache(void) {
    char folder[] = "/tmp/mm-older-XXXXXX";
    CHECK(mkdtemp(folder) != NULL);
    GUARDED(mm_cache_report) report;
    ARM(report, (mm_cache_report)MM_CACHE_REPORT_INIT);
    OK(mm_cache_verify(folder, NULL, NULL, &report.it, &err));
    CHECK_GUARD(report);
    CHECK(report.it.entries == 0);
    CHECK_TOO_SHORT(report, mm_cache_verify(folder, NULL, NULL, &report.it, &err));
    rmdir(folder);
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    check_headers();
    mm_mesh *mesh = make_mesh();
    OK(mm_backend_load(mesh, argv[1], &err));
    const struct bytes by_two = content(2), by_three = content(3);
    mm_model models[3];
    for (unsigned i = 0; i < 3; i++) {
        char name[16];
        snprintf(name, sizeof(name), "model-%u", i);
        models[i] = add(mesh, name, labels[i], &by_two);
        check_info(mesh, models[i], name, "");
        ask(mesh, models[i], NULL, 2);
        check_info(mesh, models[i], name, labels[i]);
        check_plan(mesh, models[i], labels[i]);
        ask_bound(mesh, models[i], 2);
        ask_later(mesh, models[i], 2);
        update(mesh, models[i], labels[i], &by_three);
        ask(mesh, models[i], NULL, 3);
    }
    check_stats(mesh, 3);
    for (unsigned i = 0; i < 3; i++) {
        OK(mm_evict(mesh, models[i], 0, &err));
        OK(mm_unregister(mesh, models[i], &err));
    }
    check_stats(mesh, 0);
    check_cache();
    OK(mm_mesh_free(&mesh));
    puts("a program and a plugin of older headers run");
    return 0;
}
