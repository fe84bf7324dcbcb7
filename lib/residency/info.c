/* SPDX-License-Identifier: Apache-2.0 */
/* Snapshots: what the info and stats calls show. */
#include <residency/core.h>

#include <base/checked.h>

/* Numbers of mm_model_state. */
enum {
    STATE_COLD,
    STATE_PREPARING,
    STATE_LOADING,
    STATE_READY,
    STATE_DRAINING,
    STATE_RECLAIMABLE,
    STATE_UNLOADING,
    STATE_FAILED
};

/* Derived from the states of version and instance. */
static int32_t state_of(const struct mmi_version *version, uint64_t now_ns) {
    if (version->instance) {
        switch (mmi_instance_state(version->instance)) {
        case MMI_LOADING:
            return STATE_LOADING;
        case MMI_READY:
            return STATE_READY;
        case MMI_DRAINING:
            return STATE_DRAINING;
        case MMI_RECLAIMABLE:
            return STATE_RECLAIMABLE;
        default:
            return STATE_UNLOADING;
        }
    }
    if (version->state == MMI_VERSION_PREPARING) {
        return STATE_PREPARING;
    }
    bool failed = version->failure.status != MM_OK && now_ns < version->failure.until_ns;
    return failed ? STATE_FAILED : STATE_COLD;
}

static void fill_instance(struct mmi_residency *res, const struct mmi_instance *instance,
                          struct mmi_model_info *info) {
    if (!instance) {
        return;
    }
    uint64_t served = mmi_slot_uses(instance->slot) - instance->uses_before;
    info->requests += served;
    info->hits += served;
    info->leases = (uint32_t)mmi_slot_leases(instance->slot);
    info->own_bytes = instance->own_bytes;
    if (instance->dev) {
        info->device = instance->dev->device->name;
        info->weights_bytes = instance->block.charged_bytes;
    }
    if (mmi_instance_state(instance) != MMI_LOADING) {
        info->idle_ns = info->leases ? 0 : mmi_instance_idle_ns(res, instance);
    }
}

static void fill_version(const struct mmi_version *version, struct mmi_model_info *info) {
    info->prepared = version->state == MMI_VERSION_PREPARED || version->keyed;
    info->version = version->number;
    info->weights_bytes = version->weights_bytes;
    info->activation_bytes = version->activation_bytes;
    info->load_ns = version->load_ns;
    info->prepare_ns = version->prepare_ns;
    info->failure = version->failure.status != MM_OK ? &version->failure : NULL;
    if (version->opened) {
        info->description_bytes = version->opened->host_bytes + version->opened->signatures->bytes;
        info->artifact_bytes = mmi_artifact_memory_bytes(version->opened->artifact);
    }
}

/* A running miss is counted in `granted` at once, in `served` only at its end: until then the
 * difference is too small by one. A reported number stays, so a counter never goes down. */
static uint64_t hits_of(uint64_t *reported, uint64_t served, uint64_t granted) {
    *reported = mmi_max_u64(*reported, mmi_sub_floor(served, granted));
    return *reported;
}

static void fill_model(struct mmi_residency *res, struct mmi_model *model,
                       struct mmi_model_info *info) {
    uint64_t now_ns = mmi_now(&res->env->clock);
    *info = (struct mmi_model_info){.state = state_of(model->current, now_ns),
                                    .name = mmi_model_name(model),
                                    .device = "",
                                    .pinned = model->settings.pinned,
                                    .updating = model->next != NULL,
                                    .evict_class = model->settings.evict_class,
                                    .queued = model->queued,
                                    .requests = model->served,
                                    .hits = model->served,
                                    .loads = model->loads,
                                    .evictions = model->evictions,
                                    .failures = model->failures,
                                    .now_ns = now_ns};
    fill_version(model->current, info);
    fill_instance(res, model->current->instance, info);
    info->hits = hits_of(&model->hits, info->hits, model->granted);
    info->requests = info->hits + model->misses;
}

mm_status mmi_model_info_get(struct mmi_residency *res, uint64_t id,
                             void (*visit)(void *ctx, const struct mmi_model_info *info),
                             void *ctx) {
    mmi_res_lock(res);
    struct mmi_model *model = mmi_catalog_get(&res->catalog, id);
    if (model) {
        struct mmi_model_info info;
        fill_model(res, model, &info);
        visit(ctx, &info);
    }
    mmi_res_unlock(res);
    return model ? MM_OK : mmi_no_model(id, NULL);
}

size_t mmi_models_visit(struct mmi_residency *res,
                        void (*visit)(void *ctx, uint64_t id, const struct mmi_model_info *info),
                        void *ctx) {
    mmi_res_lock(res);
    size_t count = 0;
    struct mmi_model *model = NULL;
    while ((model = mmi_catalog_next(&res->catalog, model))) {
        struct mmi_model_info info;
        fill_model(res, model, &info);
        visit(ctx, atomic_load(&model->id), &info);
        count++;
    }
    mmi_res_unlock(res);
    return count;
}

uint64_t mmi_version_activation_bytes(struct mmi_residency *res,
                                      const struct mmi_version *version) {
    mmi_res_lock(res);
    uint64_t bytes = version->activation_bytes;
    mmi_res_unlock(res);
    return bytes;
}

bool mmi_device_info_get(struct mmi_residency *res, size_t index, struct mmi_device_info *info) {
    if (index >= res->device_count) {
        return false;
    }
    mmi_res_lock(res);
    struct mmi_devstate *dev = &res->devices[index];
    const struct mmi_arena *arena = dev->device->arena;
    *info = (struct mmi_device_info){.device = dev->device,
                                     .budget_bytes = mmi_arena_capacity(arena),
                                     .used_bytes = mmi_arena_used(arena),
                                     .scratch_bytes = dev->scratch_bytes,
                                     .reserve_bytes = mmi_room_reserve(res, dev),
                                     .peak_bytes = dev->peak_bytes,
                                     .leaked_bytes = dev->leaked_bytes,
                                     .loads = dev->loads,
                                     .evictions = dev->evictions};
    MMI_LIST_EACH(node, &dev->instances) {
        struct mmi_instance *instance = MMI_CONTAINER(node, struct mmi_instance, on_device);
        info->weights_bytes += instance->block.charged_bytes;
        if (mmi_instance_state(instance) == MMI_RECLAIMABLE) {
            info->reclaimable_bytes += instance->block.charged_bytes;
        }
        info->instances++;
    }
    mmi_res_unlock(res);
    return true;
}

void mmi_mesh_info_get(struct mmi_residency *res, struct mmi_mesh_info *info) {
    *info = (struct mmi_mesh_info){0};
    mmi_counters_sum(&res->counters, &info->counts);
    mmi_res_lock(res);
    uint64_t served = res->served, granted = res->granted;
    struct mmi_model *model = NULL;
    while ((model = mmi_catalog_next(&res->catalog, model))) {
        served += model->served;
        granted += model->granted;
    }
    for (size_t i = 0; i < res->device_count; i++) {
        MMI_LIST_EACH(node, &res->devices[i].instances) {
            struct mmi_instance *instance = MMI_CONTAINER(node, struct mmi_instance, on_device);
            served += mmi_slot_uses(instance->slot) - instance->uses_before;
            info->resident += mmi_instance_state(instance) == MMI_READY;
        }
    }
    info->models = res->catalog.count;
    info->queued = res->queued;
    info->description_bytes = res->description_bytes;
    info->counts.hits = hits_of(&res->hits, served, granted);
    mmi_res_unlock(res);
    info->counts.requests = info->counts.hits + info->counts.counts[MMI_COUNT_MISSES];
}

/* ---- Plans ---------------------------------------------------------------------------------- */

static mm_status status_of(enum mmi_verdict verdict) {
    switch (verdict) {
    case MMI_PLAN_FITS:
    case MMI_PLAN_EVICT:
        return MM_OK;
    case MMI_PLAN_WAIT:
    case MMI_PLAN_STAY:
    case MMI_PLAN_LEASED:
    case MMI_PLAN_HELD:
        return MM_BUSY;
    case MMI_PLAN_PINNED:
        return MM_ALL_PINNED;
    case MMI_PLAN_TOO_LARGE:
        break;
    }
    return MM_TOO_LARGE;
}

static void visit_victims(struct mmi_residency *res, const struct mmi_plan_output *plan,
                          struct mmi_plan_info *info,
                          void (*visit)(void *ctx, size_t i, const struct mmi_victim_info *victim),
                          void *ctx) {
    for (size_t i = 0; i < plan->victim_count; i++) {
        const struct mmi_instance *instance = mmi_room_victim(res, plan->victims[i]);
        const struct mmi_model *model = instance->model;
        struct mmi_victim_info victim = {.name = model ? mmi_model_name(model) : "",
                                         .bytes = instance->block.charged_bytes,
                                         .idle_ns = mmi_instance_idle_ns(res, instance),
                                         .evict_class = model ? model->settings.evict_class : 0,
                                         .leased = mmi_slot_leases(instance->slot) > 0};
        visit(ctx, i, &victim);
    }
    info->victim_count = plan->victim_count;
}

static void fill_plan(struct mmi_residency *res, const struct mmi_model *model,
                      uint64_t guess_bytes, struct mmi_plan_info *info,
                      void (*visit)(void *ctx, size_t i, const struct mmi_victim_info *victim),
                      void *ctx) {
    const struct mmi_version *version = model->current;
    uint64_t bytes = mmi_max_u64(version->weights_bytes, version->own_bytes);
    info->estimated = !version->keyed && version->state != MMI_VERSION_PREPARED;
    if (info->estimated) {
        bytes = guess_bytes;
    }
    struct mmi_need need = {.bytes = mmi_max_u64(1, bytes),
                            .activation_bytes = version->activation_bytes,
                            .evict_class = (uint8_t)model->settings.evict_class,
                            .self = model};
    info->needed_bytes = mmi_add_cap(need.bytes, need.activation_bytes);
    struct mmi_placement placements[MMI_MAX_DEVICES];
    size_t chosen = mmi_room_placements(res, version, &need, placements);
    bool promised = mmi_room_promised(res, version, &need); /* then it is after earlier loads */
    if (chosen == res->device_count) {
        bool too_large = !promised && mmi_room_promised(res, version, NULL);
        info->status = promised ? MM_BUSY : too_large ? MM_TOO_LARGE : MM_DEVICE_LOST;
        return;
    }
    const struct mmi_device *device = res->devices[chosen].device;
    info->status = status_of(placements[chosen].plan.verdict);
    if (promised && (info->status == MM_ALL_PINNED || info->status == MM_TOO_LARGE)) {
        info->status = MM_BUSY;
        return;
    }
    info->free_bytes = mmi_arena_free_bytes(device->arena);
    info->needed_bytes =
        mmi_arena_rounded(device->arena, need.bytes) +
        (need.activation_bytes ? mmi_arena_rounded(device->arena, need.activation_bytes) : 0);
    if (info->status == MM_OK || info->status == MM_BUSY) {
        info->device = device->name;
    }
    visit_victims(res, &placements[chosen].plan, info, visit, ctx);
}

mm_status mmi_plan_info_get(struct mmi_residency *res, uint64_t id, struct mmi_plan_info *info,
                            void (*visit)(void *ctx, size_t i,
                                          const struct mmi_victim_info *victim),
                            void *ctx, mm_error *err) {
    *info = (struct mmi_plan_info){.device = ""};
    uint64_t guess_bytes = 0;
    MMI_TRY(mmi_model_source_bytes(res, id, &guess_bytes, err));
    mmi_res_lock(res);
    struct mmi_model *model = mmi_catalog_get(&res->catalog, id);
    if (!model) {
        mmi_res_unlock(res);
        return mmi_no_model(id, err);
    }
    const struct mmi_instance *instance = model->current->instance;
    if (instance && !instance->taken && mmi_instance_state(instance) != MMI_LOADING) {
        info->resident = true;
        info->device = instance->dev->device->name;
        info->needed_bytes = instance->block.charged_bytes;
    } else {
        fill_plan(res, model, guess_bytes, info, visit, ctx);
    }
    mmi_res_unlock(res);
    return MM_OK;
}

/* The size of a source that was never prepared, as a guess of what it will need. */
mm_status mmi_model_source_bytes(struct mmi_residency *res, uint64_t id, uint64_t *bytes,
                                 mm_error *err) {
    mmi_res_lock(res);
    struct mmi_model *model = mmi_catalog_get(&res->catalog, id);
    struct mmi_version *version = model ? model->current : NULL;
    bool unknown = version && !version->keyed && version->state != MMI_VERSION_PREPARED;
    if (unknown) {
        version->refs++;
    }
    mmi_res_unlock(res);
    if (!unknown) {
        return model ? MM_OK : mmi_no_model(id, err);
    }
    struct mmi_source *source = NULL;
    const struct mmi_spec *spec = version->spec;
    mm_status status =
        mmi_source_open(res->env, spec->source, spec->data, spec->data_bytes, &source, err);
    if (status == MM_OK) {
        *bytes = mmi_source_reader(source)->bytes;
    }
    mmi_source_close(source);
    mmi_res_lock(res);
    mmi_version_unref(res, version);
    mmi_res_unlock(res);
    return status;
}
