/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- The gated backend ----------------------------------------------------------------------- */

static struct gate *current_gate; /* of the fixture whose mesh is being made */

static mm_status on_slot(void *user, enum mmi_echo_slot slot, const char *version, mm_error *err) {
    (void)version;
    struct gate *gate = user;
    if (slot == MMI_ECHO_INFER && gate->inside) {
        mm_status status = gate->inside(gate->user);
        if (status != MM_OK) {
            return mmi_fail(err, status, "inside");
        }
    }
    pthread_mutex_lock(&gate->mutex);
    gate->arrived[slot]++;
    pthread_cond_broadcast(&gate->changed);
    while (gate->closed[slot]) {
        pthread_cond_wait(&gate->changed, &gate->mutex);
    }
    pthread_mutex_unlock(&gate->mutex);
    return MM_OK;
}

static mm_status gated_init(void *state, const mm_services *services, mm_error *err) {
    static struct mmi_echo_hooks hooks;
    hooks = (struct mmi_echo_hooks){current_gate, on_slot};
    return mmi_echo_init(state, services, &hooks, err);
}

void gate_close(struct fixture *f, enum mmi_echo_slot slot) {
    pthread_mutex_lock(&f->gate.mutex);
    f->gate.closed[slot] = true;
    pthread_mutex_unlock(&f->gate.mutex);
}

void gate_open(struct fixture *f, enum mmi_echo_slot slot) {
    pthread_mutex_lock(&f->gate.mutex);
    f->gate.closed[slot] = false;
    pthread_cond_broadcast(&f->gate.changed);
    pthread_mutex_unlock(&f->gate.mutex);
}

void gate_wait(struct fixture *f, enum mmi_echo_slot slot, unsigned count) {
    pthread_mutex_lock(&f->gate.mutex);
    while (f->gate.arrived[slot] < count) {
        pthread_cond_wait(&f->gate.changed, &f->gate.mutex);
    }
    pthread_mutex_unlock(&f->gate.mutex);
}

/* ---- The mesh -------------------------------------------------------------------------------- */

static uint64_t fake_now(void *user) {
    struct fixture *f = user;
    return mmi_now(&f->world.env.clock);
}

static int fault(void *user, const char *what) {
    struct fixture *f = user;
    return mmi_fault(&f->world.env, what);
}

void fixture_open_with(struct fixture *f, const mm_mesh_options *options, unsigned generation_bits,
                       bool real_clock) {
    memset(f, 0, sizeof(*f));
    world_init(&f->world);
    f->real_clock = real_clock;
    pthread_mutex_init(&f->gate.mutex, NULL);
    pthread_cond_init(&f->gate.changed, NULL);
    mm_device_options host = MM_DEVICE_OPTIONS_INIT;
    host.name = "host";
    host.budget_bytes = 16 * MIB;
    mm_mesh_options all = MM_MESH_OPTIONS_INIT;
    if (options) {
        all = *options;
    }
    if (!all.devices) {
        all.devices = &host;
        all.device_count = 1;
    }
    all.allocator = &f->world.env.alloc;
    struct mmi_world world = {.now = real_clock ? NULL : fake_now,
                              .fault = fault,
                              .user = f,
                              .generation_bits = generation_bits};
    mm_status status = mmi_mesh_create(&all, &world, &f->mesh, &f->err);
    if (status != MM_OK) {
        fail_msg("create: %s", f->err.text);
    }
    static mm_backend gated, gated_nested;
    gated = mmi_backend_echo;
    gated.name = "gated";
    gated.init = gated_init;
    gated_nested = gated;
    gated_nested.name = "gated-nested";
    gated_nested.flags = MM_BACKEND_NESTED;
    current_gate = &f->gate;
    assert_int_equal(mm_backend_register(f->mesh, &gated, &f->err), MM_OK);
    assert_int_equal(mm_backend_register(f->mesh, &gated_nested, &f->err), MM_OK);
}

void fixture_open(struct fixture *f, const mm_mesh_options *options) {
    fixture_open_with(f, options, 0, false);
}

void fixture_close(struct fixture *f) {
    if (f->mesh) {
        assert_int_equal(mm_mesh_free(&f->mesh), MM_OK);
        assert_null(f->mesh);
    }
    for (unsigned i = 0; i < f->script_count; i++) {
        free(f->scripts[i]);
    }
    pthread_mutex_destroy(&f->gate.mutex);
    pthread_cond_destroy(&f->gate.changed);
    world_fini(&f->world);
}

void fixture_advance(struct fixture *f, uint64_t ns) {
    world_advance(&f->world, ns);
}

uint64_t fixture_after(const struct fixture *f, uint64_t ns) {
    return mmi_now(&f->mesh->env.clock) + ns;
}

mm_model_spec fixture_spec(struct fixture *f, const char *name, const char *backend,
                           const char *lines) {
    bool nested = strcmp(backend, "echo-nested") == 0;
    assert_true(f->script_count < SCRIPTS);
    size_t bytes = strlen(lines) + 16;
    char *script = malloc(bytes);
    f->scripts[f->script_count++] = script;
    snprintf(script, bytes, "%s\n%s", nested ? "echon" : "echo1", lines);
    mm_model_spec spec = MM_MODEL_SPEC_INIT;
    spec.name = name;
    spec.backend = backend;
    spec.data = script;
    spec.data_bytes = strlen(script);
    return spec;
}

static mm_model add(struct fixture *f, const char *name, const char *backend, const char *lines) {
    mm_model_spec spec = fixture_spec(f, name, backend, lines);
    mm_model model = {0};
    mm_status status = mm_register(f->mesh, &spec, &model, &f->err);
    if (status != MM_OK) {
        fail_msg("register %s: %s", name, f->err.text);
    }
    return model;
}

mm_model fixture_add(struct fixture *f, const char *name, const char *lines) {
    return add(f, name, "echo", lines);
}

mm_model fixture_add_gated(struct fixture *f, const char *name, const char *lines) {
    return add(f, name, "gated", lines);
}

/* ---- Requests -------------------------------------------------------------------------------- */

static mm_status infer(struct fixture *f, mm_model model, int seed, const mm_request *base,
                       bool *hit, mm_error *err) {
    float x[4] = {1, 2, 3, (float)seed};
    mm_value in = {
        .name = "x", .dtype = MM_F32, .rank = 2, .shape = {1, 4}, .data = x, .bytes = sizeof(x)};
    mm_request request = *base;
    request.inputs = &in;
    request.input_count = 1;
    mm_response response = MM_RESPONSE_INIT;
    mm_status status = mm_infer(f->mesh, model, &request, &response, err);
    if (hit) {
        *hit = response.flags & MM_RESPONSE_HIT;
    }
    if (status == MM_OK && seed >= 0) {
        assert_int_equal(response.output_count, 2);
        assert_memory_equal(response.outputs[0].data, x, sizeof(x));
        int64_t z[2];
        memcpy(z, response.outputs[1].data, sizeof(z));
        assert_int_equal(z[1], seed);
    }
    mm_response_free(&response);
    return status;
}

mm_status fixture_infer_until(struct fixture *f, mm_model model, int seed, uint64_t deadline_ns,
                              bool *hit) {
    mm_request request = MM_REQUEST_INIT;
    request.deadline_ns = deadline_ns;
    return infer(f, model, seed, &request, hit, &f->err);
}

mm_status fixture_infer(struct fixture *f, mm_model model, int seed) {
    return fixture_infer_until(f, model, seed, 0, NULL);
}

static void *run_caller(void *ctx) {
    struct caller *caller = ctx;
    mm_request request = MM_REQUEST_INIT;
    request.deadline_ns = caller->deadline_ns;
    request.priority = caller->priority;
    caller->status = infer(caller->f, caller->model, caller->seed, &request, NULL, &caller->err);
    return NULL;
}

void caller_start(struct caller *caller, struct fixture *f, mm_model model, int seed,
                  uint64_t deadline_ns) {
    int32_t priority = caller->priority;
    *caller = (struct caller){
        .f = f, .model = model, .seed = seed, .deadline_ns = deadline_ns, .priority = priority};
    assert_int_equal(pthread_create(&caller->thread, NULL, run_caller, caller), 0);
}

mm_status caller_join(struct caller *caller) {
    pthread_join(caller->thread, NULL);
    return caller->status;
}

/* ---- Looking --------------------------------------------------------------------------------- */

void wait_until(bool (*done)(void *ctx), void *ctx) {
    while (!done(ctx)) {
        sched_yield();
    }
}

struct queued {
    struct fixture *f;
    uint64_t count;
};

static bool queued(void *ctx) {
    struct queued *wanted = ctx;
    return fixture_stats(wanted->f).queued >= wanted->count;
}

void wait_queued(struct fixture *f, uint64_t count) {
    wait_until(queued, &(struct queued){f, count});
}

mm_model_info fixture_info(struct fixture *f, mm_model model) {
    mm_model_info info = MM_MODEL_INFO_INIT;
    assert_int_equal(mm_model_info_get(f->mesh, model, &info), MM_OK);
    return info;
}

mm_device_stats fixture_device(struct fixture *f, uint32_t index) {
    mm_device_stats devices[8];
    mm_mesh_stats stats = MM_MESH_STATS_INIT;
    stats.devices = devices;
    stats.device_capacity = 8;
    assert_int_equal(mm_mesh_stats_get(f->mesh, &stats), MM_OK);
    assert_true(index < stats.device_count);
    return devices[index];
}

mm_mesh_stats fixture_stats(struct fixture *f) {
    mm_mesh_stats stats = MM_MESH_STATS_INIT;
    assert_int_equal(mm_mesh_stats_get(f->mesh, &stats), MM_OK);
    return stats;
}

unsigned fixture_events(struct fixture *f, const char *a, const char *b) {
    uint64_t cursor = 0;
    unsigned count = 0;
    mm_event event;
    while (mm_events_next(f->mesh, &cursor, &event, NULL) == MM_OK) {
        char line[512];
        mm_event_text(&event, line, sizeof(line));
        count += (!a || strstr(line, a)) && (!b || strstr(line, b));
    }
    return count;
}
