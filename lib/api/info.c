/* SPDX-License-Identifier: Apache-2.0 */
/* Information on models, devices, plans, decisions and caches. */
#include <api/mesh.h>

#include <artifact/verify.h>
#include <base/checked.h>
#include <base/text.h>

#include <string.h>

static void copy_name(char *to, size_t room, const char *from) {
    struct mmi_text text;
    mmi_text_init(&text, to, room);
    mmi_text_add(&text, "%s", from);
}

/* ---- Models --------------------------------------------------------------------------------- */

static void fill_copies(mm_model_info *info, const struct mmi_model_info *from) {
    info->copy_count = from->copy_count;
    for (uint32_t i = 0; i < from->copy_count && i < info->copy_capacity; i++) {
        const struct mmi_copy_info *copy = &from->copies[i];
        info->copies[i] = (mm_copy_info){.state = copy->state,
                                         .leases = copy->leases,
                                         .requests = copy->requests,
                                         .weights_bytes = copy->weights_bytes,
                                         .idle_ns = copy->idle_ns};
        copy_name(info->copies[i].device, sizeof(info->copies[i].device), copy->device);
    }
}

static void fill_info(void *ctx, const struct mmi_model_info *from) {
    mm_model_info *info = ctx;
    info->state = from->state;
    copy_name(info->name, sizeof(info->name), from->name);
    copy_name(info->device, sizeof(info->device), from->device);
    info->pinned = from->pinned;
    info->updating = from->updating;
    info->prepared = from->prepared;
    info->evict_class = mmi_class_to_abi(from->evict_class);
    info->source_changes = mmi_changes_to_abi(from->changes);
    info->leases = from->leases;
    info->queued = from->queued;
    info->version = from->version;
    info->weights_bytes = from->weights_bytes;
    info->activation_bytes = from->activation_bytes;
    info->own_bytes = from->own_bytes;
    info->description_bytes = from->description_bytes;
    info->artifact_bytes = from->artifact_bytes;
    info->idle_ns = from->idle_ns;
    info->requests = from->requests;
    info->hits = from->hits;
    info->loads = from->loads;
    info->evictions = from->evictions;
    info->failures = from->failures;
    info->load_ns = from->load_ns;
    info->prepare_ns = from->prepare_ns;
    fill_copies(info, from);
    if (from->failure) {
        mmi_failure_get(from->failure, from->now_ns, &info->error);
        info->retry_after_ns = info->error.retry_after_ns;
    }
}

mm_status mm_model_info_get(mm_mesh *mesh, mm_model model, mm_model_info *info) {
    MMI_TRY(mmi_enter(mesh, NULL));
    MMI_TRY(mmi_sized_check(info, MMI_MODEL_INFO_SIZES, "info", NULL));
    if (!model.id) {
        return MM_INVALID_ARGUMENT;
    }
    mm_model_info filled = MM_MODEL_INFO_INIT;
    if (info->struct_size >= offsetof(mm_model_info, copy_count)) {
        filled.copies = info->copies;
        filled.copy_capacity = info->copies ? info->copy_capacity : 0;
    }
    MMI_TRY(mmi_model_info_get(&mesh->res, model.id, fill_info, &filled));
    mmi_sized_write(info, &filled, MMI_MODEL_INFO_SIZES);
    return MM_OK;
}

struct id_list {
    mm_model *models;
    uint64_t capacity, count;
};

static void list_id(void *ctx, uint64_t id, const struct mmi_model_info *from) {
    (void)from;
    struct id_list *list = ctx;
    if (list->count < list->capacity) {
        list->models[list->count].id = id;
    }
    list->count++;
}

uint64_t mm_models(mm_mesh *mesh, mm_model *models, uint64_t capacity) {
    if (mmi_enter(mesh, NULL) != MM_OK) {
        return 0;
    }
    struct id_list list = {models, models ? capacity : 0, 0};
    mmi_models_visit(&mesh->res, list_id, &list);
    return list.count;
}

/* ---- The mesh ------------------------------------------------------------------------------- */

static void fill_device(const struct mmi_device_info *from, mm_device_stats *stats) {
    *stats = (mm_device_stats){.kind = from->device->pub.kind,
                               .lost = atomic_load(&from->device->lost),
                               .budget_bytes = from->budget_bytes,
                               .used_bytes = from->used_bytes,
                               .weights_bytes = from->weights_bytes,
                               .reclaimable_bytes = from->reclaimable_bytes,
                               .scratch_bytes = from->scratch_bytes,
                               .reserve_bytes = from->reserve_bytes,
                               .peak_bytes = from->peak_bytes,
                               .leaked_bytes = from->leaked_bytes,
                               .loads = from->loads,
                               .evictions = from->evictions,
                               .instances = from->instances};
    copy_name(stats->name, sizeof(stats->name), from->device->name);
}

static void fill_stats(mm_mesh *mesh, mm_mesh_stats *stats) {
    struct mmi_mesh_info info;
    mmi_mesh_info_get(&mesh->res, &info);
    struct mmi_store_stats store = mmi_store_stats(mesh->store);
    const uint64_t *counts = info.counts.counts;
    stats->models = info.models;
    stats->resident = info.resident;
    stats->requests = info.counts.requests;
    stats->hits = info.counts.hits;
    stats->misses = counts[MMI_COUNT_MISSES];
    stats->joins = counts[MMI_COUNT_JOINS];
    stats->failed = counts[MMI_COUNT_FAILED];
    stats->loads = counts[MMI_COUNT_LOADS];
    stats->load_failures = counts[MMI_COUNT_LOAD_FAILURES];
    stats->evictions = info.counts.evictions_all;
    stats->revivals = counts[MMI_COUNT_REVIVALS];
    stats->refusals = counts[MMI_COUNT_REFUSALS];
    stats->prepares = counts[MMI_COUNT_PREPARES];
    stats->bytes_loaded = counts[MMI_COUNT_LOADED_BYTES];
    stats->queued = info.queued;
    stats->metadata_bytes = atomic_load(&mesh->metadata_bytes) + mmi_buffers_bytes(mesh->buffers);
    stats->description_bytes = info.description_bytes;
    stats->artifact_bytes = store.temporary_bytes;
    stats->cache_bytes = store.cache_bytes;
}

mm_status mm_mesh_stats_get(mm_mesh *mesh, mm_mesh_stats *stats) {
    MMI_TRY(mmi_enter(mesh, NULL));
    mm_mesh_stats filled;
    MMI_TRY(mmi_sized_read(&filled, stats, MMI_MESH_STATS_SIZES, "stats", NULL));
    fill_stats(mesh, &filled);
    struct mmi_device_info info;
    for (uint32_t i = 0; mmi_device_info_get(&mesh->res, i, &info); i++) {
        if (filled.devices && i < filled.device_capacity) {
            fill_device(&info, &filled.devices[i]);
        }
        filled.device_count = i + 1;
    }
    mmi_sized_write(stats, &filled, MMI_MESH_STATS_SIZES);
    return MM_OK;
}

/* ---- Plans ---------------------------------------------------------------------------------- */

static void fill_victim(void *ctx, size_t i, const struct mmi_victim_info *from) {
    mm_plan *plan = ctx;
    mm_victim *victim = &plan->victims[i];
    *victim = (mm_victim){.bytes = from->bytes,
                          .idle_ns = from->idle_ns,
                          .evict_class = mmi_class_to_abi(from->evict_class),
                          .leased = from->leased};
    copy_name(victim->name, sizeof(victim->name), from->name);
}

mm_status mm_plan_load(mm_mesh *mesh, mm_model model, mm_plan *plan, mm_error *err) {
    MMI_TRY(mmi_enter(mesh, err));
    mm_plan filled;
    MMI_TRY(mmi_sized_read(&filled, plan, MMI_PLAN_SIZES, "plan", err));
    if (!model.id) {
        return mmi_fail(err, MM_INVALID_ARGUMENT, "model: no handle");
    }
    struct mmi_plan_info info;
    struct mmi_victim_visitor visitor = {fill_victim, &filled,
                                         filled.victims ? filled.victim_capacity : 0};
    MMI_TRY(mmi_plan_info_get(&mesh->res, model.id, &info, &visitor, err));
    filled.status = info.status;
    copy_name(filled.device, sizeof(filled.device), info.device);
    filled.needed_bytes = info.needed_bytes;
    filled.free_bytes = info.free_bytes;
    filled.estimated = info.estimated;
    filled.resident = info.resident;
    filled.victim_count = (uint32_t)info.victim_count;
    mmi_sized_write(plan, &filled, MMI_PLAN_SIZES);
    return MM_OK;
}

/* ---- Decisions ------------------------------------------------------------------------------ */

_Static_assert(sizeof(mm_event) == sizeof(struct mmi_event), "one layout for both");

mm_status mm_events_next(mm_mesh *mesh, uint64_t *cursor, mm_event *event, uint64_t *lost) {
    MMI_TRY(mmi_enter(mesh, NULL));
    if (!cursor || !event) {
        return MM_INVALID_ARGUMENT;
    }
    struct mmi_event next;
    uint64_t overwritten = 0;
    bool found = mmi_events_next(&mesh->res.events, cursor, &next, &overwritten);
    if (lost) {
        *lost = overwritten;
    }
    if (!found) {
        return MM_NONE;
    }
    memcpy(event, &next, sizeof(*event));
    return MM_OK;
}

uint64_t mm_event_text(const mm_event *event, char *text, uint64_t room) {
    if (!event || (room > 0 && !text)) {
        return 0;
    }
    struct mmi_event copy;
    memcpy(&copy, event, sizeof(copy));
    /* From the caller: may not be terminated. */
    copy.model[sizeof(copy.model) - 1] = copy.other[sizeof(copy.other) - 1] = '\0';
    copy.device[sizeof(copy.device) - 1] = copy.policy[sizeof(copy.policy) - 1] = '\0';
    copy.reason[sizeof(copy.reason) - 1] = '\0';
    struct mmi_text out;
    mmi_text_init(&out, text, (size_t)room);
    mmi_event_line(&copy, &out);
    return out.need + 1;
}

/* ---- Caches --------------------------------------------------------------------------------- */

mm_status mm_cache_verify(const char *cache_dir,
                          void (*progress)(void *user, uint64_t done, uint64_t total), void *user,
                          mm_cache_report *report, mm_error *err) {
    if (!cache_dir || !cache_dir[0]) {
        return mmi_fail(err, MM_INVALID_ARGUMENT, "cache_dir: %s", cache_dir ? "empty" : "NULL");
    }
    MMI_TRY(mmi_sized_check(report, MMI_CACHE_REPORT_SIZES, "report", err));
    struct mmi_env env = {.alloc = mmi_malloc_allocator, .thread_prefix = "mm"};
    mmi_clock_init(&env.clock, NULL, NULL);
    struct mmi_verify_report found = {0};
    MMI_TRY(mmi_cache_verify(&env, cache_dir, progress, user, &found, err));
    mm_cache_report filled = {.entries = found.entries,
                              .bytes = found.bytes,
                              .damaged = found.damaged,
                              .removed = found.removed,
                              .foreign = found.foreign,
                              .leftovers = found.leftovers};
    mmi_sized_write(report, &filled, MMI_CACHE_REPORT_SIZES);
    return MM_OK;
}
