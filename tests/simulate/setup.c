/* SPDX-License-Identifier: Apache-2.0 */
/* The mesh, its devices, its models and where they come from. */
#include "sim.h"

#include <base/checked.h>
#include <base/status.h>

#include <stdio.h>
#include <string.h>

#define MIB (UINT64_C(1) << 20)

const char *const setup_models[MOST_MODELS] = {"m0", "m1", "m2", "m3", "m4", "m5", "m6", "m7"};
const char *const setup_devices[MOST_DEVICES] = {"d0", "d1", "d2"};

static uint64_t now(void *user) {
    return ((const struct sim *)user)->now_ns;
}

static mm_status create(struct sim *sim, mm_error *err) {
    const struct scenario *s = sim->scenario;
    mm_device_options devices[MOST_DEVICES];
    char names[MOST_DEVICES][16], cache[DISK_PATH_BYTES];
    for (uint32_t i = 0; i < s->device_count; i++) {
        snprintf(names[i], sizeof(names[i]), "%s/d%u", s->devices[i].sim ? "sim" : "host", i);
        devices[i] = (mm_device_options)MM_DEVICE_OPTIONS_INIT;
        devices[i].name = names[i];
        devices[i].budget_bytes = s->devices[i].budget_bytes;
        devices[i].sim_ns_per_mib = s->devices[i].in_ns_per_mib;
        devices[i].sim_out_ns_per_mib = s->devices[i].out_ns_per_mib;
        devices[i].sim_copy_latency_ns = s->devices[i].latency_ns;
        devices[i].sim_load_delay_ns = s->devices[i].load_delay_ns;
        sim->most_budget[i] = s->devices[i].budget_bytes;
    }
    mm_mesh_options options = MM_MESH_OPTIONS_INIT;
    options.devices = devices;
    options.device_count = s->device_count;
    options.allocator = &sim->alloc;
    options.compute_threads = 1;
    options.infer_threads = s->no_threads ? MM_THREADS_NONE : s->infer_threads;
    options.load_threads = s->load_threads;
    options.prepare_threads = s->prepare_threads;
    options.idle_evict = s->idle_evict;
    options.artifact_budget_bytes = s->artifact_budget_bytes;
    options.tmp_dir = ""; /* memory: nothing waits for a disk */
    if (s->cache) {
        disk_cache_path(cache);
        options.cache_dir = cache;
        options.cache_budget_bytes = s->cache_budget_bytes;
    }
    options.max_signatures = s->max_signatures;
    options.description_budget_bytes = s->description_budget_bytes;
    options.prepare_budget_bytes = s->prepare_budget_bytes;
    options.drain_grace_ns = s->drain_grace_ns;
    options.min_residency_ns = s->min_residency_ns;
    options.backoff_first_ns = s->backoff_first_ns;
    options.max_queued = s->max_queued;
    options.event_capacity = 512;
    options.boot_id = "simulated";
    struct mmi_world world = {.now = now,
                              .fault = faults_hook,
                              .user = sim,
                              .generation_bits = s->generation_bits,
                              .threads = &sim->threads};
    return mmi_mesh_create(&options, &world, &sim->mesh, err);
}

static mm_status add_backends(struct sim *sim, mm_error *err) {
    const mm_backend *const tables[] = {&backend_plain, &backend_own, &backend_nested};
    for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
        MMI_TRY(mm_backend_register(sim->mesh, tables[i], err));
    }
    return MM_OK;
}

void setup_source(struct sim *sim, uint32_t model, uint32_t number, mm_model_spec *spec,
                  struct life *life) {
    const struct model_plan *plan = &sim->scenario->models[model];
    const struct content *content = &plan->contents[number % MOST_CONTENTS];
    *life = (struct life){.content = content->id, .begun_step = sim->step};
    if (plan->file) {
        disk_model_path(model, sim->model_paths[model]);
        spec->source = sim->model_paths[model];
        life->content = 0;
        life->numbers = 1u << sim->file_number[model];
    } else {
        spec->data = content;
        spec->data_bytes = sizeof(*content);
    }
}

mm_model_spec setup_spec(struct sim *sim, uint32_t model, uint32_t number, struct life *life) {
    static const char *const backends[FLAVORS] = {"sim", "sim-own", "sim-nested"};
    const struct model_plan *plan = &sim->scenario->models[model];
    mm_model_spec spec = MM_MODEL_SPEC_INIT;
    spec.name = setup_models[model];
    setup_source(sim, model, number, &spec, life);
    spec.backend = backends[plan->flavor];
    spec.device = plan->device >= 0 ? setup_devices[plan->device] : NULL;
    spec.evict_class = plan->evict_class;
    spec.source_changes = plan->file ? MM_CHANGES_DEFAULT : plan->source_changes;
    spec.max_concurrency = plan->max_concurrency;
    spec.max_queued = plan->max_queued;
    spec.idle_ttl_ns = plan->idle_ttl_ns;
    spec.min_residency_ns = plan->min_residency_ns;
    spec.warm_up = plan->warm ? "x=1x1;x=1x2" : NULL;
    spec.flags = (plan->pinned ? MM_MODEL_PINNED : 0u) | (plan->preload ? MM_MODEL_PRELOAD : 0u);
    spec.replicas = sim->no_replicas ? 0 : plan->replicas;
    spec.min_replicas = (uint32_t)mmi_min_u64(spec.replicas, plan->min_replicas);
    return spec;
}

struct registration *setup_enroll(struct sim *sim, uint32_t model, uint32_t number,
                                  mm_status *status, mm_error *err) {
    if (sim->registration_count == MOST_REGISTRATIONS) {
        *status = MM_OK;
        return NULL;
    }
    struct registration *registration = &sim->registrations[sim->registration_count++];
    *registration = (struct registration){.model = model, .life_count = 1};
    mm_model_spec spec = setup_spec(sim, model, number, &registration->lives[0]);
    registration->lives[0].ended = registration->lives[0].worked = true;
    registration->lives[0].ended_step = sim->step;
    registration->surely_pinned = sim->scenario->models[model].pinned; /* until somebody unpins */
    *status = mm_register(sim->mesh, &spec, &registration->handle, err);
    if (*status == MM_UNSUPPORTED && spec.replicas > 1) {
        sim->no_replicas = true;
        spec.replicas = spec.min_replicas = 0;
        *status = mm_register(sim->mesh, &spec, &registration->handle, err);
    }
    if (*status != MM_OK) {
        return NULL;
    }
    registration->registered = true;
    sim->current_of[model] = registration;
    return registration;
}

void setup_mesh(struct sim *sim) {
    mm_error err = {0};
    sim->quiet_faults = !sim->scenario->faulty_setup;
    mm_status status = create(sim, &err);
    if (status != MM_OK) {
        sim->mesh = NULL;
    } else {
        status = add_backends(sim, &err);
    }
    for (uint32_t m = 0; m < sim->scenario->model_count && status == MM_OK; m++) {
        if (scenario_uses(sim->scenario, m)) {
            setup_enroll(sim, m, 0, &status, &err);
        }
    }
    if (status != MM_OK) {
        story(sim, "setting up: %s", err.text);
        if (!faults_explain(sim, status)) {
            sim_fail(sim, "status", "setting up: %s: %s", mm_status_name(status), err.text);
        }
        mm_mesh_free(&sim->mesh);
        sim->mesh = NULL;
    } else {
        values_begin_mesh(sim);
    }
    if (sim->quiet_faults) {
        memset(sim->counts, 0, sizeof(sim->counts));
        sim->quiet_faults = false;
    }
    sim->created = true;
}
