/* SPDX-License-Identifier: Apache-2.0 */

/* What clients call, and what they check of the answers. */

#include "soak.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WAIT_NS (20 * FIELD_MS)

/* ---- Models ------------------------------------------------------------------------------------
 * The seed of a model's weights tells whose they are: {life: 32 bits, revision: 24, name: 8}. A
 * life is one registration; revisions rise, over all lives of a name. */

static uint64_t seed_of(uint64_t life, uint64_t revision, uint64_t name) {
    return (life << 32) | (revision << 8) | name;
}
static uint64_t life_of(uint64_t seed) {
    return seed >> 32;
}
static uint64_t revision_of(uint64_t seed) {
    return (seed >> 8) & 0xffffff;
}
static uint64_t name_of(uint64_t seed) {
    return seed % SOAK_SEED_NAMES;
}

/* ---- Statuses ------------------------------------------------------------------------------- */

static const mm_status of_infer[] = {MM_STALE_HANDLE, MM_UNREGISTERED, MM_IO,
                                     MM_TOO_LARGE,    MM_ALL_PINNED,   MM_NO_ROOM_FOR_ACTIVATIONS,
                                     MM_DEADLINE,     MM_CANCELLED,    MM_OK};
static const mm_status of_no_wait[] = {MM_STALE_HANDLE,
                                       MM_UNREGISTERED,
                                       MM_NOT_RESIDENT,
                                       MM_BUSY,
                                       MM_NO_ROOM_FOR_ACTIVATIONS,
                                       MM_CANCELLED,
                                       MM_OK};
static const mm_status of_load[] = {MM_STALE_HANDLE, MM_UNREGISTERED, MM_IO, MM_TOO_LARGE,
                                    MM_ALL_PINNED,   MM_CANCELLED,    MM_OK};
static const mm_status of_prepare[] = {MM_STALE_HANDLE, MM_UNREGISTERED, MM_CANCELLED, MM_OK};
static const mm_status of_update[] = {MM_STALE_HANDLE, MM_UNREGISTERED, MM_IO, MM_TOO_LARGE,
                                      MM_ALL_PINNED,   MM_CANCELLED,    MM_OK};
static const mm_status of_evict[] = {MM_STALE_HANDLE, MM_UNREGISTERED, MM_BUSY,
                                     MM_DEADLINE,     MM_PINNED,       MM_OK};
static const mm_status of_budget[] = {MM_BUSY, MM_OK};
static const mm_status of_look[] = {MM_STALE_HANDLE, MM_OK};
static const mm_status of_plan[] = {MM_BUSY, MM_TOO_LARGE, MM_ALL_PINNED, MM_OK};

/* The lists end with MM_OK, which each call may give. */
static void expect_status(struct soak *soak, const char *what, mm_status status,
                          const mm_status *allowed, const mm_error *err) {
    atomic_fetch_add(&soak->statuses[status <= MM_FORKED ? status : MM_FORKED], 1);
    size_t i = 0;
    while (allowed[i] != status && allowed[i] != MM_OK) {
        i++;
    }
    if (allowed[i] != status) {
        field_trouble(&soak->field, "%s: %s: %s", what, mm_status_name(status),
                      err ? err->text : "");
    }
}

/* ---- Answers -------------------------------------------------------------------------------- */

static void expect_answer(struct soak *soak, const struct target *target,
                          const struct field_request *request) {
    uint64_t seed = field_answer(request, soak->scene->weights_of);
    uint64_t started = atomic_load(&soak->entries[target->name].started);
    if (seed == UINT64_MAX || name_of(seed) != target->name || life_of(seed) != target->life ||
        revision_of(seed) < target->confirmed || revision_of(seed) > started) {
        field_trouble(&soak->field,
                      "name %llu life %llu revisions %llu to %llu were answered by name %llu life "
                      "%llu revision %llu",
                      (unsigned long long)target->name, (unsigned long long)target->life,
                      (unsigned long long)target->confirmed, (unsigned long long)started,
                      (unsigned long long)name_of(seed), (unsigned long long)life_of(seed),
                      (unsigned long long)revision_of(seed));
    }
    atomic_fetch_add(&soak->answered, 1);
    atomic_fetch_add(&soak->hits, (request->response.flags & MM_RESPONSE_HIT) != 0);
}

static void raise_confirmed(struct entry *entry, uint64_t revision) {
    uint64_t before = atomic_load(&entry->confirmed);
    while (before < revision &&
           !atomic_compare_exchange_weak(&entry->confirmed, &before, revision)) {}
}

/* ---- Specs ---------------------------------------------------------------------------------- */

static const char *script_text(struct client *client, uint64_t seed) {
    struct soak *soak = client->soak;
    struct script *script = malloc(sizeof(*script));
    bool fixed = name_of(seed) < FIXED;
    int length =
        snprintf(script->text, ANY_BYTES, "echo1\nweights_bytes %llu\nseed %llu\nversion %s\n",
                 (unsigned long long)soak->scene->weights_of(seed), (unsigned long long)seed,
                 fixed ? FIELD_PINNED : "free");
    soak->scene->script(seed, script->text + length, ANY_BYTES - (size_t)length);
    script->next = atomic_load(&soak->scripts);
    while (!atomic_compare_exchange_weak(&soak->scripts, &script->next, script)) {}
    return script->text;
}

static mm_model_spec make_spec(struct client *client, uint64_t seed) {
    const struct soak_scene *scene = client->soak->scene;
    mm_model_spec spec = MM_MODEL_SPEC_INIT;
    const char *text = script_text(client, seed);
    spec.data = text;
    spec.data_bytes = strlen(text);
    spec.backend = "watched";
    if (name_of(seed) < FIXED) {
        spec.flags = MM_MODEL_PINNED;
        spec.device = scene->devices[0].name;
    } else {
        scene->settle(client, name_of(seed), &spec);
    }
    return spec;
}

static void text_of_name(uint64_t name, char text[16]) {
    snprintf(text, 16, "m/%llu", (unsigned long long)name);
}

/* ---- Calls: what is registered -------------------------------------------------------------- */

static struct target take_target(struct client *client) {
    uint64_t names = client->soak->scene->names;
    uint64_t name =
        soak_below(client, 3) ? soak_below(client, names) : soak_below(client, names / 6 + 1);
    struct entry *entry = &client->soak->entries[name];
    pthread_mutex_lock(&entry->mutex);
    struct target target = {entry->model, name, entry->life, atomic_load(&entry->confirmed)};
    pthread_mutex_unlock(&entry->mutex);
    return target;
}

void soak_register(struct client *client, uint64_t name) {
    struct soak *soak = client->soak;
    struct entry *entry = &soak->entries[name];
    mm_error err;
    char text[16];
    text_of_name(name, text);
    pthread_mutex_lock(&entry->mutex);
    mm_model found = {0};
    bool there = entry->model.id != 0;
    if (mm_find(soak->field.mesh, text, &found) != (there ? MM_OK : MM_NOT_FOUND) ||
        found.id != entry->model.id) {
        field_trouble(&soak->field, "find %s: %#llx instead of %#llx", text,
                      (unsigned long long)found.id, (unsigned long long)entry->model.id);
    }
    uint64_t life = atomic_fetch_add(&soak->lives, 1) + 1;
    uint64_t revision = atomic_fetch_add(&entry->started, 1) + 1;
    mm_model_spec spec = make_spec(client, seed_of(life, revision, name));
    spec.name = text;
    mm_model model = {0};
    mm_status status = mm_register(soak->field.mesh, &spec, &model, &err);
    if (status != (there ? MM_EXISTS : MM_OK)) {
        field_trouble(&soak->field, "register %s: %s", text, err.text);
    } else if (!there) {
        entry->model = model;
        entry->life = life;
        raise_confirmed(entry, revision);
    }
    pthread_mutex_unlock(&entry->mutex);
}

static void do_unregister(struct client *client, uint64_t name) {
    struct soak *soak = client->soak;
    struct entry *entry = &soak->entries[name];
    pthread_mutex_lock(&entry->mutex);
    mm_status status = mm_unregister(soak->field.mesh, entry->model, NULL);
    if (entry->model.id != 0 && status != MM_OK) {
        field_trouble(&soak->field, "unregister: %s", mm_status_name(status));
    }
    entry->model.id = 0;
    pthread_mutex_unlock(&entry->mutex);
}

static void do_change(struct client *client) {
    uint64_t name = FIXED + soak_below(client, client->soak->scene->names - FIXED);
    if (soak_chance(client, 40)) {
        do_unregister(client, name);
    }
    soak_register(client, name);
}

/* Of half the names: who waits on the others is not freed by that. */
static void do_again(struct client *client) {
    uint64_t half = client->soak->scene->names / 2;
    uint64_t name = half + soak_below(client, half);
    do_unregister(client, name);
    soak_register(client, name);
}

/* ---- Calls: requests ------------------------------------------------------------------------ */

void soak_begin(struct client *client, const char *what) {
    atomic_store(&client->since_ns, soak_now(client));
    atomic_store(&client->call, what);
}

uint64_t soak_now(const struct client *client) {
    return mmi_now(&client->soak->field.mesh->env.clock);
}

static uint64_t some_deadline(struct client *client) {
    uint64_t dice = soak_below(client, 20);
    return dice == 0   ? MM_NO_WAIT
           : dice == 1 ? 2 /* long ago */
           : dice < 6  ? soak_now(client) + soak_below(client, WAIT_NS)
                       : 0;
}

static void do_infer(struct client *client) {
    struct soak *soak = client->soak;
    struct target target = take_target(client);
    if (target.model.id == 0) {
        return;
    }
    struct field_request request;
    mm_error err;
    field_request_init(&request, (float)target.name, some_deadline(client));
    request.request.priority = (int32_t)soak_below(client, 3) - 1;
    bool no_wait = request.request.deadline_ns == MM_NO_WAIT;
    atomic_fetch_add(&soak->asked, 1);
    mm_status status =
        mm_infer(soak->field.mesh, target.model, &request.request, &request.response, &err);
    expect_status(soak, no_wait ? "infer, no wait" : "infer", status,
                  no_wait ? of_no_wait : of_infer, &err);
    if (status == MM_OK) {
        expect_answer(soak, &target, &request);
    }
    mm_response_free(&request.response);
}

static void async_ended(void *user, mm_op *op) {
    struct async *async = user;
    struct soak *soak = async->soak;
    mm_error err;
    mm_status status = mm_op_poll(op, &err);
    if (async->infers) {
        bool no_wait = async->request.request.deadline_ns == MM_NO_WAIT;
        expect_status(soak, "infer_async", status, no_wait ? of_no_wait : of_infer, &err);
        if (status == MM_OK) {
            expect_answer(soak, &async->target, &async->request);
        }
        mm_response_free(&async->request.response);
    } else {
        expect_status(soak, "load", status, of_load, &err);
    }
    atomic_store(&async->busy, false); /* from here on it may be used again */
}

static struct async *free_async(struct client *client) {
    struct async *async = &client->ops[soak_below(client, OPEN_OPS)];
    if (atomic_load(&async->busy)) {
        return NULL;
    }
    mm_op_free(async->op);
    async->op = NULL;
    return async;
}

static void do_async(struct client *client) {
    struct soak *soak = client->soak;
    struct async *async = free_async(client);
    struct target target = take_target(client);
    if (!async || target.model.id == 0) {
        return;
    }
    mm_async how = MM_ASYNC_INIT;
    how.callback = async_ended;
    how.user = async;
    how.flags = soak_chance(client, 20) ? MM_ASYNC_RETRY : 0;
    async->soak = soak;
    async->target = target;
    async->infers = soak_chance(client, 70);
    atomic_store(&async->busy, true);
    mm_error err;
    mm_status status;
    if (async->infers) {
        how.flags = 0;
        field_request_init(&async->request, (float)target.name, some_deadline(client));
        atomic_fetch_add(&soak->asked, 1);
        status = mm_infer_async(soak->field.mesh, target.model, &async->request.request,
                                &async->request.response, &how, &async->op, &err);
    } else if (soak_chance(client, 50)) {
        status = mm_load(soak->field.mesh, target.model, &how, &async->op, &err);
    } else {
        status = mm_prepare(soak->field.mesh, target.model, &how, &async->op, &err);
    }
    if (status != MM_OK) {
        atomic_store(&async->busy, false);
        field_trouble(&soak->field, "an op was not begun: %s", err.text);
    } else if (soak_chance(client, 10)) {
        mm_op_free(async->op); /* detached: it goes on */
        async->op = NULL;
    }
}

static void do_cancel(struct client *client) {
    struct async *async = &client->ops[soak_below(client, OPEN_OPS)];
    mm_progress progress = MM_PROGRESS_INIT;
    if (async->op) {
        mm_op_progress(async->op, &progress);
        mm_op_cancel(async->op);
    }
}

static void do_wait(struct client *client) {
    struct async *async = &client->ops[soak_below(client, OPEN_OPS)];
    if (async->op) {
        mm_op_wait(async->op, soak_chance(client, 50) ? soak_now(client) + FIELD_MS : 0, NULL);
    }
}

static void do_load(struct client *client) {
    struct soak *soak = client->soak;
    struct target target = take_target(client);
    mm_error err;
    mm_async how = MM_ASYNC_INIT;
    how.flags = soak_chance(client, 50) ? MM_ASYNC_RETRY : 0;
    if (target.model.id == 0) {
        return;
    }
    if (soak_chance(client, 50)) {
        expect_status(soak, "load", mm_load(soak->field.mesh, target.model, &how, NULL, &err),
                      of_load, &err);
    } else {
        expect_status(soak, "prepare", mm_prepare(soak->field.mesh, target.model, &how, NULL, &err),
                      of_prepare, &err);
    }
}

/* ---- Calls: updates ------------------------------------------------------------------------- */

static void do_update(struct client *client) {
    struct soak *soak = client->soak;
    struct target target = take_target(client);
    struct entry *entry = &soak->entries[target.name];
    if (target.model.id == 0 || target.name < FIXED || atomic_exchange(&entry->updating, true)) {
        return;
    }
    uint64_t revision = atomic_fetch_add(&entry->started, 1) + 1;
    mm_model_spec spec = make_spec(client, seed_of(target.life, revision, target.name));
    spec.flags &= ~(uint32_t)MM_MODEL_PRELOAD;
    mm_error err;
    mm_op *op = NULL;
    bool waits = soak_chance(client, 50);
    mm_status status =
        mm_update(soak->field.mesh, target.model, &spec,
                  soak_chance(client, 50) ? MM_UPDATE_REPLACE : 0, NULL, waits ? NULL : &op, &err);
    if (op) {
        if (soak_chance(client, 20)) {
            mm_op_cancel(op);
        }
        status = mm_op_wait(op, 0, &err);
        mm_op_free(op);
    }
    expect_status(soak, "update", status, of_update, &err);
    if (status == MM_OK) {
        raise_confirmed(entry, revision);
    }
    atomic_store(&entry->updating, false);
}

/* ---- Calls: residency ----------------------------------------------------------------------- */

static void do_evict(struct client *client) {
    struct soak *soak = client->soak;
    struct target target = take_target(client);
    if (target.model.id == 0) {
        return;
    }
    mm_error err;
    uint64_t dice = soak_below(client, 10);
    uint64_t deadline_ns = dice < 5   ? MM_NO_WAIT
                           : dice < 9 ? soak_now(client) + soak_below(client, WAIT_NS)
                                      : 0;
    mm_status status = mm_evict(soak->field.mesh, target.model, deadline_ns, &err);
    expect_status(soak, "evict", status, of_evict, &err);
    bool late = status == MM_DEADLINE && soak_now(client) >= deadline_ns;
    if (target.name < FIXED && status != MM_PINNED && !late) {
        field_trouble(&soak->field, "evict of a pinned model: %s", mm_status_name(status));
    }
}

static void do_set(struct client *client) {
    struct soak *soak = client->soak;
    mm_mesh *mesh = soak->field.mesh;
    struct target target = take_target(client);
    if (target.model.id == 0 || target.name < FIXED) {
        return;
    }
    uint64_t dice = soak_below(client, 10);
    mm_status status = dice == 0 ? mm_pin(mesh, target.model)
                       : dice < 4
                           ? mm_unpin(mesh, target.model)
                           : mm_set_class(mesh, target.model, (int32_t)soak_below(client, 4));
    expect_status(soak, "pin, unpin, set_class", status, of_look, NULL);
}

static void do_budget(struct client *client) {
    struct soak *soak = client->soak;
    const struct soak_device *device =
        &soak->scene->devices[soak_below(client, soak->scene->device_count)];
    uint64_t mib = device->least_mib + soak_below(client, device->most_mib - device->least_mib + 1);
    mm_error err;
    expect_status(soak, "set_budget",
                  mm_device_set_budget(soak->field.mesh, device->name, mib * FIELD_MIB, &err),
                  of_budget, &err);
}

/* ---- Calls: looking -------------------------------------------------------------------------- */

static void do_plan(struct client *client) {
    struct soak *soak = client->soak;
    struct target target = take_target(client);
    mm_victim victims[8];
    mm_plan plan = MM_PLAN_INIT;
    plan.victims = victims;
    plan.victim_capacity = 8;
    mm_error err;
    if (target.model.id == 0) {
        return;
    }
    mm_status status = mm_plan_load(soak->field.mesh, target.model, &plan, &err);
    expect_status(soak, "plan_load", status, of_look, &err);
    if (status != MM_OK) {
        return;
    }
    expect_status(soak, "plan", (mm_status)plan.status, of_plan, NULL);
    for (uint32_t i = 0; i < plan.victim_count && i < 8; i++) {
        for (uint64_t name = 0; name < FIXED; name++) {
            char text[16];
            text_of_name(name, text);
            if (strcmp(victims[i].name, text) == 0) {
                field_trouble(&soak->field, "plan: %s is pinned", text);
            }
        }
    }
}

static void do_info(struct client *client) {
    struct soak *soak = client->soak;
    struct target target = take_target(client);
    mm_model_info info = MM_MODEL_INFO_INIT;
    char text[16];
    text_of_name(target.name, text);
    if (target.model.id == 0) {
        return;
    }
    mm_status status = mm_model_info_get(soak->field.mesh, target.model, &info);
    expect_status(soak, "info", status, of_look, NULL);
    if (status == MM_OK && (strcmp(info.name, text) != 0 || info.hits > info.requests)) {
        field_trouble(&soak->field, "info of %s: name %s, %llu hits, %llu requests", text,
                      info.name, (unsigned long long)info.hits, (unsigned long long)info.requests);
    }
}

static void do_stats(struct client *client) {
    struct soak *soak = client->soak;
    mm_device_stats devices[MAX_DEVICES];
    mm_mesh_stats stats = MM_MESH_STATS_INIT;
    stats.devices = devices;
    stats.device_capacity = MAX_DEVICES;
    if (mm_mesh_stats_get(soak->field.mesh, &stats) != MM_OK ||
        stats.device_count != soak->scene->device_count ||
        stats.requests != stats.hits + stats.misses) {
        field_trouble(&soak->field, "stats: %llu requests, %llu hits, %llu misses",
                      (unsigned long long)stats.requests, (unsigned long long)stats.hits,
                      (unsigned long long)stats.misses);
    }
    mm_model models[NAMES];
    if (mm_models(soak->field.mesh, models, NAMES) > NAMES) {
        field_trouble(&soak->field, "more models than names");
    }
    uint64_t cursor = 0;
    mm_event event;
    for (int i = 0; i < 20 && mm_events_next(soak->field.mesh, &cursor, &event, NULL) == MM_OK;
         i++) {}
    if (soak_chance(client, 10) && mm_metrics_text(soak->field.mesh, NULL, 0) == 0) {
        field_trouble(&soak->field, "metrics: no text");
    }
}

static void do_describe(struct client *client) {
    struct soak *soak = client->soak;
    struct target target = take_target(client);
    mm_model_description *description = NULL;
    mm_error err;
    if (target.model.id == 0) {
        return;
    }
    mm_status status = mm_model_describe(soak->field.mesh, target.model, 0, &description, &err);
    expect_status(soak, "describe", status, of_prepare, &err);
    if (status == MM_OK) {
        if (description->input_count != 1 || description->output_count != 2) {
            field_trouble(&soak->field, "describe: %u inputs", description->input_count);
        }
        mm_description_free(description);
    }
}

static void do_sizes(struct client *client) {
    struct soak *soak = client->soak;
    struct target target = take_target(client);
    if (target.model.id == 0) {
        return;
    }
    struct field_request request;
    mm_value outputs[2];
    uint8_t exactness[2];
    uint32_t count = 0;
    mm_error err;
    field_request_init(&request, 0, 0);
    mm_status status = mm_output_bytes(soak->field.mesh, target.model, &request.request, outputs,
                                       exactness, 2, &count, &err);
    expect_status(soak, "output_bytes", status, of_prepare, &err);
    if (status == MM_OK && (count != 2 || outputs[0].bytes != sizeof(request.x))) {
        field_trouble(&soak->field, "output_bytes: %u outputs", count);
    }
}

/* ---- One of them ----------------------------------------------------------------------------- */

struct call {
    const char *name;
    void (*run)(struct client *client);
};
static const struct call calls[SOAK_CALLS] = {
    [SOAK_INFER] = {"infer", do_infer},
    [SOAK_ASYNC] = {"an operation", do_async},
    [SOAK_CANCEL] = {"cancel", do_cancel},
    [SOAK_WAIT] = {"wait for an op", do_wait},
    [SOAK_LOAD] = {"load, prepare", do_load},
    [SOAK_CHANGE] = {"register", do_change},
    [SOAK_AGAIN] = {"register anew", do_again},
    [SOAK_UPDATE] = {"update", do_update},
    [SOAK_EVICT] = {"evict", do_evict},
    [SOAK_SET] = {"set", do_set},
    [SOAK_BUDGET] = {"set_budget", do_budget},
    [SOAK_PLAN] = {"plan_load", do_plan},
    [SOAK_INFO] = {"info", do_info},
    [SOAK_STATS] = {"stats", do_stats},
    [SOAK_DESCRIBE] = {"describe", do_describe},
    [SOAK_SIZES] = {"output_bytes", do_sizes},
};

void soak_call(struct client *client) {
    uint64_t dice = soak_below(client, 1000);
    unsigned which = 0;
    while (dice >= client->soak->scene->shares[which]) {
        dice -= client->soak->scene->shares[which++];
    }
    soak_begin(client, calls[which].name);
    calls[which].run(client);
    soak_begin(client, NULL);
}
