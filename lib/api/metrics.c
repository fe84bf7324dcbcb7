/* SPDX-License-Identifier: Apache-2.0 */
/* Prometheus text: a snapshot of everything, formatted by observe/. */
#include <api/mesh.h>

#include <observe/metrics.h>

static const char *const state_names[] = {"cold",     "preparing",   "loading",   "ready",
                                          "draining", "reclaimable", "unloading", "failed"};
#define STATES (sizeof(state_names) / sizeof(state_names[0]))

struct snapshot {
    const mm_allocator *alloc;
    struct mmi_state_metrics states[STATES];
    struct mmi_device_metrics devices[MMI_MAX_DEVICES];
    size_t device_count;
    struct mmi_model_metrics *models;
    size_t model_count, model_room;
    uint64_t metadata_bytes; /* without this */
    bool failed;             /* out of memory */
};

static void add_model(void *ctx, uint64_t id, const struct mmi_model_info *info) {
    (void)id;
    struct snapshot *snapshot = ctx;
    snapshot->states[info->state].models++;
    char *name = NULL;
    if (!snapshot->failed &&
        mmi_grow(snapshot->alloc, (void **)&snapshot->models, &snapshot->model_room,
                 snapshot->model_count + 1, sizeof(*snapshot->models))) {
        name = mmi_copy_text(snapshot->alloc, info->name);
    }
    if (!name) {
        snapshot->failed = true;
        return;
    }
    snapshot->models[snapshot->model_count++] =
        (struct mmi_model_metrics){.name = name,
                                   .requests = info->requests,
                                   .hits = info->hits,
                                   .loads = info->loads,
                                   .evictions = info->evictions,
                                   .failures = info->failures,
                                   .resident_bytes = info->device[0] ? info->weights_bytes : 0};
}

static void take_devices(mm_mesh *mesh, struct snapshot *snapshot) {
    struct mmi_device_info info;
    for (size_t i = 0; mmi_device_info_get(&mesh->res, i, &info); i++) {
        snapshot->devices[i] =
            (struct mmi_device_metrics){.name = info.device->name,
                                        .budget_bytes = info.budget_bytes,
                                        .used_bytes = info.used_bytes,
                                        .weights_bytes = info.weights_bytes,
                                        .reclaimable_bytes = info.reclaimable_bytes,
                                        .scratch_bytes = info.scratch_bytes,
                                        .reserve_bytes = info.reserve_bytes,
                                        .peak_bytes = info.peak_bytes,
                                        .leaked_bytes = info.leaked_bytes,
                                        .instances = info.instances,
                                        .loads = info.loads,
                                        .evictions = info.evictions,
                                        .lost = atomic_load(&info.device->lost)};
        snapshot->device_count = i + 1;
    }
}

static void write_all(mm_mesh *mesh, const struct snapshot *snapshot, struct mmi_text *text) {
    struct mmi_mesh_info info;
    mmi_mesh_info_get(&mesh->res, &info);
    struct mmi_store_stats store = mmi_store_stats(mesh->store);
    struct mmi_metrics metrics = {.counts = info.counts,
                                  .queued = info.queued,
                                  .metadata_bytes = snapshot->metadata_bytes,
                                  .description_bytes = info.description_bytes,
                                  .artifact_bytes = store.temporary_bytes,
                                  .cache_bytes = store.cache_bytes,
                                  .states = snapshot->states,
                                  .state_count = STATES,
                                  .devices = snapshot->devices,
                                  .device_count = snapshot->device_count,
                                  .models = snapshot->models,
                                  .model_count = snapshot->model_count};
    mmi_histogram_read(&mesh->res.load_time, &metrics.load_time);
    mmi_histogram_read(&mesh->res.queue_time, &metrics.queue_time);
    mmi_histogram_read(&mesh->res.prepare_time, &metrics.prepare_time);
    mmi_metrics_write(&metrics, text);
}

uint64_t mm_metrics_text(mm_mesh *mesh, char *to, uint64_t room) {
    if (mmi_enter(mesh, NULL) != MM_OK || (room > 0 && !to)) {
        return 0;
    }
    struct mmi_text text;
    mmi_text_init(&text, to, (size_t)room);
    uint64_t metadata_bytes = atomic_load(&mesh->metadata_bytes) + mmi_buffers_bytes(mesh->buffers);
    struct snapshot *snapshot = mmi_alloc(&mesh->env.alloc, 1, sizeof(*snapshot));
    if (!snapshot) {
        return 0;
    }
    snapshot->alloc = &mesh->env.alloc;
    snapshot->metadata_bytes = metadata_bytes;
    for (size_t i = 0; i < STATES; i++) {
        snapshot->states[i].state = state_names[i];
    }
    mmi_models_visit(&mesh->res, add_model, snapshot);
    take_devices(mesh, snapshot);
    if (!snapshot->failed) {
        write_all(mesh, snapshot, &text);
    }
    uint64_t need = snapshot->failed ? 0 : text.need + 1;
    for (size_t i = 0; i < snapshot->model_count; i++) {
        mmi_free_text(snapshot->alloc, (char *)(uintptr_t)snapshot->models[i].name);
    }
    mmi_free(snapshot->alloc, snapshot->models, snapshot->model_room * sizeof(*snapshot->models));
    mmi_free(&mesh->env.alloc, snapshot, sizeof(*snapshot));
    return need;
}
