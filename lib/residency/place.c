/* SPDX-License-Identifier: Apache-2.0 */
#include <residency/place.h>

#include <residency/builds.h>
#include <residency/copies.h>

#include <base/checked.h>

#include <string.h>

bool mmi_device_usable(const struct mmi_residency *res, const struct mmi_devstate *dev,
                       struct mmi_version *version) {
    const char *wanted = version->spec->device;
    const struct mmi_build *described = mmi_version_described(version);
    uint32_t kinds = described ? described->opened->backend->table->device_kinds : UINT32_MAX;
    int32_t kind = dev->device->pub.kind;
    if (atomic_load(&dev->device->lost) || !(kinds & (uint32_t)kind) ||
        (wanted && strcmp(wanted, dev->device->name) != 0) || mmi_copy_on(version, dev)) {
        return false;
    }
    return !mmi_version_bad_build(res, version, (uint32_t)kind);
}

/* The build for a kind; while that was never prepared, one whose sizes are a good guess. */
static const struct mmi_build *sizes_of(struct mmi_version *version, int32_t kind,
                                        bool *estimated) {
    const struct mmi_build *guess = NULL;
    *estimated = false;
    for (uint32_t i = 0; i < version->build_count; i++) {
        const struct mmi_build *build = version->builds[i];
        bool sized = build->keyed || build->bare;
        if (sized && (build->kinds & (uint32_t)kind)) {
            return build;
        }
        guess = sized ? build : guess;
    }
    *estimated = true;
    return guess;
}

struct mmi_need mmi_load_need(const struct mmi_load_query *query, const struct mmi_devstate *dev,
                              bool *estimated) {
    const struct mmi_model *model = query->model;
    const struct mmi_build *build = sizes_of(query->version, dev->device->pub.kind, estimated);
    uint64_t bytes = build ? mmi_build_bytes(build) : query->guess_bytes;
    bytes = mmi_max_u64(1, mmi_add_cap(bytes, query->extra_bytes));
    return (struct mmi_need){.bytes = bytes,
                             .activation_bytes =
                                 build ? mmi_build_activation(build, dev, bytes) : 0,
                             .evict_class = model ? (uint8_t)model->settings.evict_class : 0,
                             .asks = query->asks,
                             .heat = query->heat,
                             .self = model};
}

size_t mmi_place_load(struct mmi_residency *res, const struct mmi_load_query *query,
                      struct mmi_placement *devices) {
    bool estimated;
    for (size_t i = 0; i < res->device_count; i++) {
        struct mmi_devstate *dev = &res->devices[i];
        devices[i] = (struct mmi_placement){.usable = !dev->promised &&
                                                      mmi_device_usable(res, dev, query->version),
                                            .free_bytes = mmi_arena_free_bytes(dev->device->arena)};
        if (devices[i].usable) {
            struct mmi_need need = mmi_load_need(query, dev, &estimated);
            mmi_fit_plan(res, dev, &need, &devices[i].plan);
        }
    }
    size_t chosen = mmi_place(devices, res->device_count, res->first_device);
    if (chosen < res->device_count && res->device_count > 1) {
        struct mmi_need need = mmi_load_need(query, &res->devices[chosen], &estimated);
        mmi_fit_plan(res, &res->devices[chosen], &need, &devices[chosen].plan);
    }
    return chosen;
}

/* As often used as each of so many copies would be. */
static double heat_of_each(const struct mmi_version *version, uint32_t count) {
    double heat = 0;
    MMI_LIST_EACH(node, &version->copies) {
        heat += mmi_instance_heat(mmi_copy_of(node)->res, mmi_copy_of(node));
    }
    return heat / count;
}

struct mmi_load_query mmi_load_query_of(const struct mmi_instance *instance) {
    const struct mmi_version *version = instance->version;
    struct mmi_copies_count copies = mmi_copies_count(version);
    struct mmi_load_query query = {.asks = true,
                                   .model = instance->model,
                                   .version = instance->version,
                                   .further = copies.ready > 0,
                                   .extra_bytes = instance->extra_bytes};
    if (query.further) {
        query.heat = heat_of_each(version, copies.ready + copies.loading + copies.leaving);
    }
    return query;
}

struct mmi_load_query mmi_load_query_further(struct mmi_model *model) {
    struct mmi_version *version = model->current;
    struct mmi_copies_count copies = mmi_copies_count(version);
    uint32_t count = copies.ready + copies.loading + copies.leaving;
    return (struct mmi_load_query){.model = model,
                                   .version = version,
                                   .further = true,
                                   .heat = heat_of_each(version, count + 1)};
}

bool mmi_load_worth(const struct mmi_load_query *query, const struct mmi_plan_output *plan) {
    return !query->further || plan->verdict == MMI_PLAN_FITS ||
           (plan->verdict == MMI_PLAN_EVICT && !plan->draining && query->heat > 0);
}

struct mmi_need mmi_instance_need(const struct mmi_instance *instance,
                                  const struct mmi_devstate *dev) {
    struct mmi_load_query query = mmi_load_query_of(instance);
    bool estimated;
    return mmi_load_need(&query, dev, &estimated);
}

bool mmi_promised(const struct mmi_residency *res, struct mmi_version *version,
                  const struct mmi_need *need) {
    for (size_t i = 0; i < res->device_count; i++) {
        const struct mmi_devstate *dev = &res->devices[i];
        if (dev->promised && mmi_device_usable(res, dev, version) &&
            (!need || mmi_fit_empty(dev, need))) {
            return true;
        }
    }
    return false;
}

mm_status mmi_no_device(const struct mmi_residency *res, const struct mmi_version *version,
                        const char *name, mm_error *err) {
    bool lost = false;
    for (size_t i = 0; i < res->device_count; i++) {
        lost |= atomic_load(&res->devices[i].device->lost);
    }
    const struct mmi_failure *bad = mmi_version_bad_build(res, version, UINT32_MAX);
    if (bad) {
        return mmi_failure_get(bad, mmi_res_now(res), err);
    }
    return lost ? mmi_fail(err, MM_DEVICE_LOST, "model %s: its device was lost", name)
                : mmi_fail(err, MM_UNSUPPORTED, "model %s: no device that its backend can use",
                           name);
}
