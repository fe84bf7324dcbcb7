/* SPDX-License-Identifier: Apache-2.0 */
#include <residency/info.h>

#include <residency/claims.h>
#include <residency/builds.h>
#include <residency/copies.h>
#include <residency/fit.h>
#include <residency/place.h>
#include <residency/lock.h>

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
    STATE_FAILED,
    STATES
};

/* ---- Models ---------------------------------------------------------------------------------- */

static int32_t copy_state(const struct mmi_instance *instance) {
    switch (mmi_instance_state(instance)) {
    case MMI_LOADING:
        return STATE_LOADING;
    case MMI_READY:
        return STATE_READY;
    case MMI_DRAINING:
    case MMI_LEAVING:
        return STATE_DRAINING;
    case MMI_RECLAIMABLE:
        return STATE_RECLAIMABLE;
    default:
        return STATE_UNLOADING;
    }
}

/* Which of several copies stands for the model: serving before coming, coming before going. */
static int rank_of(int32_t state) {
    static const int ranks[STATES] = {[STATE_READY] = 5,
                                      [STATE_DRAINING] = 4,
                                      [STATE_RECLAIMABLE] = 3,
                                      [STATE_LOADING] = 2,
                                      [STATE_UNLOADING] = 1};
    return ranks[state];
}

static const struct mmi_failure *failure_of(const struct mmi_version *version) {
    if (version->failure.status != MM_OK) {
        return &version->failure;
    }
    for (uint32_t i = 0; i < version->build_count; i++) {
        if (version->builds[i]->failure.status != MM_OK) {
            return &version->builds[i]->failure;
        }
    }
    return NULL;
}

/* Derived from the charts, stored nowhere. */
static int32_t state_of(const struct mmi_version *version, uint64_t now_ns) {
    int32_t best = STATE_COLD;
    MMI_LIST_EACH(node, &version->copies) {
        int32_t state = copy_state(mmi_copy_of(node));
        best = rank_of(state) > rank_of(best) ? state : best;
    }
    if (best != STATE_COLD) {
        return best;
    }
    if (mmi_version_preparing(version)) {
        return STATE_PREPARING;
    }
    const struct mmi_failure *failure = failure_of(version);
    return failure && mmi_failure_holds(failure, now_ns) ? STATE_FAILED : STATE_COLD;
}

static uint64_t served_by(const struct mmi_instance *instance) {
    return mmi_slot_uses(instance->slot) - instance->uses_before;
}

static void fill_copy(struct mmi_residency *res, const struct mmi_instance *instance,
                      struct mmi_copy_info *copy) {
    bool loading = mmi_instance_state(instance) == MMI_LOADING;
    *copy = (struct mmi_copy_info){.device = instance->dev ? instance->dev->device->name : "",
                                   .state = copy_state(instance),
                                   .leases = (uint32_t)mmi_slot_leases(instance->slot),
                                   .requests = served_by(instance),
                                   .weights_bytes = instance->block.charged_bytes};
    copy->idle_ns = loading || copy->leases ? 0 : mmi_instance_idle_ns(res, instance);
}

static void fill_copies(struct mmi_residency *res, const struct mmi_version *version,
                        struct mmi_model_info *info) {
    int shown = 0;
    MMI_LIST_EACH(node, &version->copies) {
        const struct mmi_instance *instance = mmi_copy_of(node);
        if (info->copy_count == MMI_MAX_DEVICES) {
            return;
        }
        struct mmi_copy_info *copy = &info->copies[info->copy_count++];
        fill_copy(res, instance, copy);
        info->leases += copy->leases;
        if (rank_of(copy->state) > shown) { /* the numbers of one stand for all */
            shown = rank_of(copy->state);
            info->device = copy->device;
            info->own_bytes = instance->own_bytes;
            info->idle_ns = copy->idle_ns;
            info->weights_bytes = instance->dev ? copy->weights_bytes : info->weights_bytes;
        }
    }
}

static void fill_version(struct mmi_version *version, struct mmi_model_info *info) {
    info->version = version->number;
    info->load_ns = version->load_ns;
    info->failure = failure_of(version);
    if (!info->failure && version->follow.status != MM_OK) {
        info->failure = &version->follow;
    }
    for (uint32_t i = 0; i < version->build_count; i++) {
        const struct mmi_build *build = version->builds[i];
        info->prepared |= build->state == MMI_BUILD_PREPARED || build->keyed;
        info->weights_bytes = mmi_max_u64(info->weights_bytes, build->weights_bytes);
        info->activation_bytes = mmi_max_u64(info->activation_bytes, build->activation_bytes);
        info->prepare_ns = mmi_max_u64(info->prepare_ns, build->prepare_ns);
        if (build->opened) {
            info->description_bytes += mmi_opened_bytes(build->opened);
            info->artifact_bytes += mmi_artifact_temporary_bytes(build->opened->artifact);
        }
    }
}

/* Leases given back by all instances that count for it, old versions' too. */
static uint64_t served_of(const struct mmi_model *model) {
    uint64_t served = model->served;
    MMI_LIST_EACH(node, &model->instances) {
        served += served_by(MMI_CONTAINER(node, struct mmi_instance, of_model));
    }
    return served;
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
                                    .updating = model->next && !atomic_load(&res->closed),
                                    .evict_class = model->settings.evict_class,
                                    .changes = model->settings.changes,
                                    .queued = model->queued,
                                    .loads = model->loads,
                                    .evictions = model->evictions,
                                    .failures = model->failures,
                                    .now_ns = now_ns};
    fill_version(model->current, info);
    fill_copies(res, model->current, info);
    info->hits = hits_of(&model->hits, served_of(model), model->granted);
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
    return model ? MM_OK : mmi_catalog_no_model(id, NULL);
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

uint64_t mmi_build_activation_bytes(struct mmi_residency *res, const struct mmi_build *build) {
    mmi_res_lock(res);
    uint64_t bytes = build->activation_bytes;
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
                                     .reserve_bytes = mmi_fit_reserve(dev),
                                     .peak_bytes = dev->peak_bytes,
                                     .leaked_bytes = dev->leaked_bytes,
                                     .loads = dev->loads,
                                     .evictions = dev->evictions};
    info->instances = dev->instance_count;
    for (size_t i = 0; i < dev->instance_count; i++) {
        const struct mmi_instance *instance = dev->instances[i];
        info->weights_bytes += instance->block.charged_bytes;
        if (mmi_instance_state(instance) == MMI_RECLAIMABLE) {
            info->reclaimable_bytes += instance->block.charged_bytes;
        }
    }
    mmi_res_unlock(res);
    return true;
}

void mmi_mesh_info_get(struct mmi_residency *res, struct mmi_mesh_info *info) {
    *info = (struct mmi_mesh_info){0};
    mmi_res_lock(res);
    uint64_t served = res->served, granted = res->granted;
    struct mmi_model *model = NULL;
    while ((model = mmi_catalog_next(&res->catalog, model))) {
        served += served_of(model);
        granted += model->granted;
    }
    MMI_LIST_EACH(node, &res->orphans) {
        served += served_by(MMI_CONTAINER(node, struct mmi_instance, of_model));
    }
    for (size_t i = 0; i < res->device_count; i++) {
        const struct mmi_devstate *dev = &res->devices[i];
        for (size_t at = 0; at < dev->instance_count; at++) {
            info->resident += mmi_instance_state(dev->instances[at]) == MMI_READY;
        }
    }
    info->models = res->catalog.count;
    info->queued = res->queued;
    info->description_bytes = res->description_bytes;
    mmi_counters_read(&res->counters, hits_of(&res->hits, served, granted), &info->counts);
    mmi_res_unlock(res);
}

/* ---- Plans ----------------------------------------------------------------------------------- */

static void visit_victims(struct mmi_residency *res, const struct mmi_plan_output *plan,
                          struct mmi_plan_info *info, const struct mmi_victim_visitor *visitor) {
    for (size_t i = 0; i < plan->victim_count && i < visitor->most; i++) {
        const struct mmi_instance *instance = mmi_fit_victim(res, plan->victims[i]);
        const struct mmi_model *model = instance->model;
        struct mmi_victim_info victim = {.name = model ? mmi_model_name(model) : instance->label,
                                         .bytes = instance->block.charged_bytes,
                                         .idle_ns = mmi_instance_idle_ns(res, instance),
                                         .evict_class = model ? model->settings.evict_class : 0,
                                         .leased = mmi_slot_leases(instance->slot) > 0};
        visitor->visit(visitor->ctx, i, &victim);
    }
    info->victim_count = plan->victim_count;
}

static void fill_plan(struct mmi_residency *res, const struct mmi_load_query *query,
                      struct mmi_plan_info *info, const struct mmi_victim_visitor *visitor) {
    struct mmi_placement placements[MMI_MAX_DEVICES];
    size_t chosen = mmi_place_load(res, query, placements);
    size_t shown = chosen < res->device_count ? chosen : 0;
    struct mmi_need need = mmi_load_need(query, &res->devices[shown], &info->estimated);
    info->needed_bytes = mmi_add_cap(need.bytes, need.activation_bytes);
    bool promised = mmi_promised(res, query->version, &need); /* then it is after earlier loads */
    if (chosen == res->device_count) {
        bool too_large = !promised && mmi_promised(res, query->version, NULL);
        bool busy = promised || !mmi_list_empty(&query->version->copies); /* it comes or goes */
        mm_error unused;
        info->status = busy        ? MM_BUSY
                       : too_large ? MM_TOO_LARGE
                                   : mmi_no_device(res, query->version, "", &unused);
        return;
    }
    const struct mmi_device *device = res->devices[chosen].device;
    info->status = mmi_claim_status(placements[chosen].plan.verdict);
    if (promised && (info->status == MM_ALL_PINNED || info->status == MM_TOO_LARGE)) {
        info->status = MM_BUSY;
        return;
    }
    info->free_bytes = mmi_arena_free_bytes(device->arena);
    info->needed_bytes = mmi_device_rounded(device, need.bytes, need.activation_bytes);
    if (info->status == MM_OK || info->status == MM_BUSY) {
        info->device = device->name;
    }
    visit_victims(res, &placements[chosen].plan, info, visitor);
}

static struct mmi_instance *resident_copy(const struct mmi_version *version) {
    MMI_LIST_EACH(node, &version->copies) {
        struct mmi_instance *instance = mmi_copy_of(node);
        enum mmi_instance_state state = mmi_instance_state(instance);
        if (state == MMI_READY || state == MMI_DRAINING || state == MMI_RECLAIMABLE) {
            return instance;
        }
    }
    return NULL;
}

static bool was_prepared(const struct mmi_version *version) {
    for (uint32_t i = 0; i < version->build_count; i++) {
        if (version->builds[i]->keyed || version->builds[i]->bare) {
            return true;
        }
    }
    return false;
}

/* The size of a source that was never prepared, as a guess of what it will need. */
static mm_status guess_bytes(struct mmi_residency *res, uint64_t id, uint64_t *bytes,
                             mm_error *err) {
    mmi_res_lock(res);
    struct mmi_model *model = mmi_catalog_get(&res->catalog, id);
    struct mmi_version *version = model ? model->current : NULL;
    bool unknown = version && !was_prepared(version);
    char label[64];
    if (unknown) {
        version->refs++;
        mmi_event_name(label, sizeof(label), mmi_model_name(model));
    }
    mmi_res_unlock(res);
    if (!unknown) {
        return model ? MM_OK : mmi_catalog_no_model(id, err);
    }
    struct mmi_source *source = NULL;
    struct mmi_spec *spec = version->spec;
    mm_status status = mmi_source_open(res->env, spec->source, &spec->memory, &source, err);
    if (status == MM_OK) {
        *bytes = mmi_source_reader(source)->bytes;
    } else {
        mmi_error_prefix(err, "model %s", label);
    }
    mmi_source_close(source);
    mmi_res_lock(res);
    mmi_version_unref(res, version);
    mmi_res_unlock(res);
    return status;
}

mm_status mmi_plan_info_get(struct mmi_residency *res, uint64_t id, struct mmi_plan_info *info,
                            const struct mmi_victim_visitor *visitor, mm_error *err) {
    *info = (struct mmi_plan_info){.device = ""};
    uint64_t guess = 0;
    MMI_TRY(guess_bytes(res, id, &guess, err));
    mmi_res_lock(res);
    struct mmi_model *model = mmi_catalog_get(&res->catalog, id);
    if (!model) {
        mmi_res_unlock(res);
        return mmi_catalog_no_model(id, err);
    }
    const struct mmi_instance *instance = resident_copy(model->current);
    if (instance) {
        info->resident = true;
        info->device = instance->dev->device->name;
        info->needed_bytes = instance->block.charged_bytes;
    } else {
        struct mmi_load_query query = {
            .model = model, .version = model->current, .guess_bytes = guess};
        fill_plan(res, &query, info, visitor);
    }
    mmi_res_unlock(res);
    return MM_OK;
}
