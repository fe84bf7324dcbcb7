/* SPDX-License-Identifier: Apache-2.0 */
#include "weather.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t fake_now(void *user) {
    struct weather *weather = user;
    return mmi_now(&weather->f->world.env.clock);
}

static int fault(void *user, const char *what) {
    struct weather *weather = user;
    int errnum = strcmp(what, "device") == 0 ? atomic_load(&weather->device_errnum) : 0;
    return errnum ? errnum : mmi_fault(&weather->f->world.env, what);
}

void weather_reopen(struct fixture *f, const mm_mesh_options *options, unsigned generation_bits,
                    struct weather *weather) {
    assert_int_equal(mm_mesh_free(&f->mesh), MM_OK);
    mm_mesh_options all = *options;
    all.allocator = &f->world.env.alloc;
    weather->f = f;
    struct mmi_world world = {
        .now = fake_now, .fault = fault, .user = weather, .generation_bits = generation_bits};
    assert_ok(f, mmi_mesh_create(&all, &world, &f->mesh, &f->err));
}

mm_mesh_options weather_options(mm_device_options *device, const char *name,
                                uint64_t budget_bytes) {
    *device = fixture_host(name, budget_bytes);
    mm_mesh_options options = MM_MESH_OPTIONS_INIT;
    options.devices = device;
    options.device_count = 1;
    options.min_residency_ns = 1;
    return options;
}

void weather_open(struct fixture *f, const char *name, uint64_t budget_bytes) {
    mm_device_options device;
    mm_mesh_options options = weather_options(&device, name, budget_bytes);
    fixture_open(f, &options);
}

static mm_model add(struct fixture *f, const char *name, const char *backend, unsigned mib,
                    unsigned seed) {
    char script[128];
    snprintf(script, sizeof(script), "weights_bytes %um\nseed %u\ncheck 0\nversion %s\n", mib, seed,
             name);
    mm_model_spec spec = fixture_spec(f, name, backend, script);
    return fixture_register(f, &spec);
}

mm_model weather_model(struct fixture *f, const char *name, unsigned mib, unsigned seed) {
    return add(f, name, "echo", mib, seed);
}

mm_model weather_gated(struct fixture *f, const char *name, unsigned mib, unsigned seed) {
    return add(f, name, "gated", mib, seed);
}

mm_status weather_infer_wide(struct fixture *f, mm_model model, unsigned width) {
    float *x = calloc(width, sizeof(*x));
    assert_non_null(x);
    mm_value input = {.name = "x",
                      .dtype = MM_F32,
                      .rank = 2,
                      .shape = {1, (int64_t)width},
                      .data = x,
                      .bytes = width * sizeof(*x)};
    mm_request request = MM_REQUEST_INIT;
    request.inputs = &input;
    request.input_count = 1;
    mm_response response = MM_RESPONSE_INIT;
    mm_status status = mm_infer(f->mesh, model, &request, &response, &f->err);
    if (status == MM_OK) {
        assert_memory_equal(response.outputs[0].data, x, input.bytes);
    }
    mm_response_free(&response);
    free(x);
    return status;
}

int32_t weather_state(struct fixture *f, mm_model model) {
    return fixture_info(f, model).state;
}

void caller_start(struct caller *caller, struct fixture *f, mm_model model) {
    *caller = (struct caller){.asker = {.f = f, .model = model}};
    caller->asker.order = &caller->order;
    asker_start(&caller->asker);
}

bool caller_ended(struct caller *caller) {
    struct fixture *f = caller->asker.f;
    pthread_mutex_lock(&f->mutex);
    bool ended = caller->order > 0;
    pthread_mutex_unlock(&f->mutex);
    return ended;
}

mm_status caller_join(struct caller *caller) {
    while (!caller_ended(caller)) {
        fixture_advance(caller->asker.f, MS_NS);
        sched_yield();
    }
    return asker_join(&caller->asker);
}
