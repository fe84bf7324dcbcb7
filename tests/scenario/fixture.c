/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Gates ----------------------------------------------------------------------------------- */

static void pass_gate(struct fixture *f, struct gate *gate) {
    gate->arrived++;
    pthread_cond_broadcast(&f->changed);
    while (!gate->open && gate->passes == 0) {
        pthread_cond_wait(&f->changed, &f->mutex);
    }
    gate->passes -= !gate->open;
    gate->passed++;
}

static mm_status on_slot(void *user, enum mmi_echo_slot slot, const char *version, mm_error *err) {
    struct fixture *f = user;
    mm_status status = MM_OK;
    pthread_mutex_lock(&f->mutex);
    for (unsigned i = 0; i < f->gate_count && status == MM_OK; i++) {
        struct gate *gate = f->gates[i];
        if (gate->slot != slot || strcmp(gate->version, version) != 0) {
            continue;
        }
        if (gate->inside) {
            pthread_mutex_unlock(&f->mutex);
            status = gate->inside(gate->user, err);
            pthread_mutex_lock(&f->mutex);
        }
        pass_gate(f, gate);
    }
    pthread_mutex_unlock(&f->mutex);
    return status;
}

void gate_shut(struct fixture *f, struct gate *gate, enum mmi_echo_slot slot, const char *version) {
    *gate = (struct gate){.f = f, .version = version, .slot = slot};
    pthread_mutex_lock(&f->mutex);
    assert_true(f->gate_count < FIXTURE_GATES);
    f->gates[f->gate_count++] = gate;
    pthread_mutex_unlock(&f->mutex);
}

void gate_count(struct fixture *f, struct gate *gate, enum mmi_echo_slot slot,
                const char *version) {
    gate_shut(f, gate, slot, version);
    gate_open(gate);
}

void gate_open(struct gate *gate) {
    pthread_mutex_lock(&gate->f->mutex);
    gate->open = true;
    pthread_cond_broadcast(&gate->f->changed);
    pthread_mutex_unlock(&gate->f->mutex);
}

void gate_pass(struct gate *gate, unsigned count) {
    pthread_mutex_lock(&gate->f->mutex);
    gate->passes += count;
    pthread_cond_broadcast(&gate->f->changed);
    pthread_mutex_unlock(&gate->f->mutex);
}

void gate_wait_arrived(struct gate *gate, unsigned count) {
    pthread_mutex_lock(&gate->f->mutex);
    while (gate->arrived < count) {
        pthread_cond_wait(&gate->f->changed, &gate->f->mutex);
    }
    pthread_mutex_unlock(&gate->f->mutex);
}

unsigned gate_arrived(struct gate *gate) {
    pthread_mutex_lock(&gate->f->mutex);
    unsigned arrived = gate->arrived;
    pthread_mutex_unlock(&gate->f->mutex);
    return arrived;
}

/* ---- The mesh -------------------------------------------------------------------------------- */

static struct fixture *opening; /* whose backends are being registered: init has no other way */

static mm_status gated_init(void *state, const mm_services *services, mm_error *err) {
    return mmi_echo_init(state, services, &opening->hooks, err);
}

static uint64_t fake_now(void *user) {
    struct fixture *f = user;
    return mmi_now(&f->world.env.clock);
}

static int fault(void *user, const char *what) {
    struct fixture *f = user;
    return mmi_fault(&f->world.env, what);
}

static void register_backends(struct fixture *f) {
    f->hooks = (struct mmi_echo_hooks){f, on_slot};
    f->gated = mmi_backend_echo;
    f->gated.name = "gated";
    f->gated.init = gated_init;
    f->gated_nested = f->gated;
    f->gated_nested.name = "gated-nested";
    f->gated_nested.flags = MM_BACKEND_NESTED;
    opening = f;
    assert_ok(f, mm_backend_register(f->mesh, &f->gated, &f->err));
    assert_ok(f, mm_backend_register(f->mesh, &f->gated_nested, &f->err));
    opening = NULL;
}

mm_device_options fixture_host(const char *name, uint64_t budget_bytes) {
    mm_device_options device = MM_DEVICE_OPTIONS_INIT;
    device.name = name;
    device.budget_bytes = budget_bytes;
    return device;
}

void fixture_open(struct fixture *f, const mm_mesh_options *options) {
    memset(f, 0, sizeof(*f));
    world_init(&f->world);
    pthread_mutex_init(&f->mutex, NULL);
    pthread_cond_init(&f->changed, NULL);
    mm_mesh_options all = MM_MESH_OPTIONS_INIT;
    if (options) {
        all = *options;
    }
    mm_device_options host = fixture_host("host", 64 * MIB);
    if (!all.devices) {
        all.devices = &host;
        all.device_count = 1;
    }
    all.allocator = &f->world.env.alloc;
    struct mmi_world world = {.now = fake_now, .fault = fault, .user = f};
    assert_ok(f, mmi_mesh_create(&all, &world, &f->mesh, &f->err));
    register_backends(f);
}

static void assert_no_leases(struct fixture *f) {
    mm_model models[FIXTURE_SCRIPTS];
    uint64_t count = mm_models(f->mesh, models, FIXTURE_SCRIPTS);
    for (uint64_t i = 0; i < count && i < FIXTURE_SCRIPTS; i++) {
        assert_int_equal(fixture_info(f, models[i]).leases, 0);
    }
}

void fixture_close(struct fixture *f) {
    if (f->mesh) {
        assert_no_leases(f);
        assert_int_equal(mm_mesh_free(&f->mesh), MM_OK);
        assert_null(f->mesh);
    }
    for (unsigned i = 0; i < f->script_count; i++) {
        free(f->scripts[i].text);
    }
    pthread_cond_destroy(&f->changed);
    pthread_mutex_destroy(&f->mutex);
    world_fini(&f->world);
}

void fixture_advance(struct fixture *f, uint64_t ns) {
    world_advance(&f->world, ns);
}

uint64_t fixture_after(const struct fixture *f, uint64_t ns) {
    return mmi_now(&f->mesh->env.clock) + ns;
}

/* ---- Models ---------------------------------------------------------------------------------- */

static const char *magic_of(const char *backend) {
    return strcmp(backend, "echo-nested") == 0   ? "echon"
           : strcmp(backend, "echo-own") == 0    ? "echoo"
           : strcmp(backend, "echo-device") == 0 ? "echod"
                                                 : "echo1";
}

mm_model_spec fixture_spec(struct fixture *f, const char *name, const char *backend,
                           const char *script) {
    assert_true(f->script_count < FIXTURE_SCRIPTS);
    struct fixture_script *kept = &f->scripts[f->script_count++];
    size_t room = strlen(script) + MMI_ECHO_MAGIC_BYTES + 1;
    kept->text = malloc(room);
    assert_non_null(kept->text);
    snprintf(kept->text, room, "%s\n%s", magic_of(backend), script);
    snprintf(kept->name, sizeof(kept->name), "%s", name ? name : "");
    assert_ok(f, mmi_echo_parse(script, strlen(script), "script", &kept->parsed, &f->err));
    mm_model_spec spec = MM_MODEL_SPEC_INIT;
    spec.name = name;
    spec.backend = backend;
    spec.data = kept->text;
    spec.data_bytes = room - 1;
    return spec;
}

mm_model fixture_register(struct fixture *f, const mm_model_spec *spec) {
    mm_model model = {0};
    assert_ok(f, mm_register(f->mesh, spec, &model, &f->err));
    assert_true(model.id != 0);
    return model;
}

mm_model fixture_echo(struct fixture *f, const char *name, const char *script) {
    mm_model_spec spec = fixture_spec(f, name, "echo", script);
    return fixture_register(f, &spec);
}

mm_model fixture_gated(struct fixture *f, const char *name, const char *script) {
    mm_model_spec spec = fixture_spec(f, name, "gated", script);
    return fixture_register(f, &spec);
}

/* ---- Requests -------------------------------------------------------------------------------- */

/* By the name under which the model is registered: the script given last counts. */
static const struct mmi_echo_script *script_of(struct fixture *f, mm_model model) {
    mm_model_info info = MM_MODEL_INFO_INIT;
    if (mm_model_info_get(f->mesh, model, &info) != MM_OK) {
        return NULL;
    }
    for (unsigned i = f->script_count; i > 0; i--) {
        if (strcmp(f->scripts[i - 1].name, info.name) == 0) {
            return &f->scripts[i - 1].parsed;
        }
    }
    return NULL;
}

/* On threads of the test nothing may be asserted: a wrong answer is a status. */
static mm_status check_answer(struct fixture *f, mm_model model, const float *x,
                              const mm_response *response, mm_error *err) {
    const struct mmi_echo_script *script = script_of(f, model);
    if (!script) {
        return MM_OK; /* unregistered meanwhile */
    }
    if (response->output_count != 2 || response->outputs[0].bytes != 4 * sizeof(*x) ||
        memcmp(response->outputs[0].data, x, 4 * sizeof(*x)) != 0) {
        return mmi_fail(err, MM_CORRUPT, "y is not x");
    }
    int64_t z[2];
    memcpy(z, response->outputs[1].data, sizeof(z));
    if (z[0] != mmi_echo_checksum(script->seed, script->weights_bytes) ||
        z[1] != (int64_t)script->seed) {
        return mmi_fail(err, MM_CORRUPT, "z tells other weights: seed %lld", (long long)z[1]);
    }
    return MM_OK;
}

mm_status asker_ask(struct asker *asker) {
    float x[4] = {1, 2, 3, (float)(asker->model.id % 1000)};
    mm_value input = {
        .name = "x", .dtype = MM_F32, .rank = 2, .shape = {1, 4}, .data = x, .bytes = sizeof(x)};
    mm_request request = MM_REQUEST_INIT;
    request.inputs = &input;
    request.input_count = 1;
    request.deadline_ns = asker->deadline_ns;
    request.priority = asker->priority;
    mm_response response = MM_RESPONSE_INIT;
    asker->status = mm_infer(asker->f->mesh, asker->model, &request, &response, &asker->err);
    asker->flags = response.flags;
    asker->wait_ns = response.wait_ns;
    if (asker->status == MM_OK) {
        asker->status = check_answer(asker->f, asker->model, x, &response, &asker->err);
    }
    mm_response_free(&response);
    if (asker->order) {
        pthread_mutex_lock(&asker->f->mutex);
        asker->place = ++*asker->order;
        pthread_mutex_unlock(&asker->f->mutex);
    }
    return asker->status;
}

static void *run_asker(void *asker) {
    asker_ask(asker);
    return NULL;
}

void asker_start(struct asker *asker) {
    assert_int_equal(pthread_create(&asker->thread, NULL, run_asker, asker), 0);
}

mm_status asker_join(struct asker *asker) {
    pthread_join(asker->thread, NULL);
    return asker->status;
}

mm_status fixture_infer(struct fixture *f, mm_model model) {
    struct asker asker = {.f = f, .model = model};
    asker_ask(&asker);
    f->err = asker.err;
    return asker.status;
}

/* ---- Looking --------------------------------------------------------------------------------- */

void fixture_until(bool (*done)(void *ctx), void *ctx) {
    while (!done(ctx)) {
        sched_yield();
    }
}

void fixture_pass_time_until(struct fixture *f, bool (*done)(void *ctx), void *ctx) {
    while (!done(ctx)) {
        fixture_advance(f, MS_NS);
        sched_yield();
    }
}

struct wish {
    struct fixture *f;
    mm_model model;
    uint32_t queued;
    mm_model_state state;
};

static bool is_queued(void *ctx) {
    struct wish *wish = ctx;
    return fixture_info(wish->f, wish->model).queued == wish->queued;
}

static bool is_in_state(void *ctx) {
    struct wish *wish = ctx;
    return fixture_info(wish->f, wish->model).state == (int32_t)wish->state;
}

void fixture_until_queued(struct fixture *f, mm_model model, uint32_t count) {
    fixture_until(is_queued, &(struct wish){.f = f, .model = model, .queued = count});
}

void fixture_until_state(struct fixture *f, mm_model model, mm_model_state state) {
    fixture_until(is_in_state, &(struct wish){.f = f, .model = model, .state = state});
}

mm_model_info fixture_info(struct fixture *f, mm_model model) {
    mm_model_info info = MM_MODEL_INFO_INIT;
    assert_int_equal(mm_model_info_get(f->mesh, model, &info), MM_OK);
    return info;
}

mm_mesh_stats fixture_stats(struct fixture *f) {
    mm_mesh_stats stats = MM_MESH_STATS_INIT;
    assert_int_equal(mm_mesh_stats_get(f->mesh, &stats), MM_OK);
    return stats;
}

mm_device_stats fixture_device(struct fixture *f, const char *name) {
    mm_device_stats devices[8];
    mm_mesh_stats stats = MM_MESH_STATS_INIT;
    stats.devices = devices;
    stats.device_capacity = 8;
    assert_int_equal(mm_mesh_stats_get(f->mesh, &stats), MM_OK);
    uint32_t i = 0;
    while (i < stats.device_count && strcmp(devices[i].name, name) != 0) {
        i++;
    }
    assert_true(i < stats.device_count);
    return devices[i];
}

static bool has_word(const char *line, const char *word) {
    size_t bytes = word ? strlen(word) : 0;
    for (const char *at = line; word && (at = strstr(at, word)); at++) {
        bool begins = at == line || at[-1] == ' ';
        if (begins && (at[bytes] == ' ' || at[bytes] == '\0')) {
            return true;
        }
    }
    return !word;
}

static unsigned count_events(struct fixture *f, const char *const words[3], uint64_t *first) {
    uint64_t cursor = 0;
    unsigned count = 0;
    mm_event event;
    while (mm_events_next(f->mesh, &cursor, &event, NULL) == MM_OK) {
        char line[512];
        mm_event_text(&event, line, sizeof(line));
        if (has_word(line, words[0]) && has_word(line, words[1]) && has_word(line, words[2])) {
            *first = count++ == 0 ? event.sequence : *first;
        }
    }
    return count;
}

unsigned fixture_events(struct fixture *f, const char *kind, const char *word, const char *other) {
    return count_events(f, (const char *const[]){kind, word, other}, &(uint64_t){0});
}

#define MODEL_WORD_BYTES (sizeof("model=") + MM_NAME_BYTES)

unsigned fixture_events_of(struct fixture *f, const char *kind, const char *name) {
    char model[MODEL_WORD_BYTES];
    snprintf(model, sizeof(model), "model=%s", name);
    return fixture_events(f, kind, model, NULL);
}

uint64_t fixture_first_event(struct fixture *f, const char *kind, const char *name) {
    char model[MODEL_WORD_BYTES];
    snprintf(model, sizeof(model), "model=%s", name);
    uint64_t first = 0;
    count_events(f, (const char *const[]){kind, model, NULL}, &first);
    return first;
}
