/* SPDX-License-Identifier: Apache-2.0 */
#include <residency/make_room.h>

#include <residency/builds.h>
#include <residency/instance.h>
#include <residency/load.h>
#include <residency/lock.h>
#include <residency/place.h>
#include <residency/scratch.h>
#include <residency/scratch_claims.h>

#include <base/checked.h>

#include <inttypes.h>

/* ---- Loads: refusing ------------------------------------------------------------------------ */

static size_t largest_of(const struct mmi_residency *res, const struct mmi_placement *devices,
                         size_t largest) {
    for (size_t i = 0; i < res->device_count; i++) {
        if (devices[i].usable && mmi_arena_capacity(res->devices[i].device->arena) >
                                     mmi_arena_capacity(res->devices[largest].device->arena)) {
            largest = i;
        }
    }
    return largest;
}

static void refuse_there(struct mmi_residency *res, struct mmi_instance *instance,
                         const struct mmi_placement *devices, size_t chosen, mm_error *error) {
    bool too_large = devices[chosen].plan.verdict == MMI_PLAN_TOO_LARGE;
    if (too_large) { /* for all of them: the largest says what could have been had */
        chosen = largest_of(res, devices, chosen);
    }
    const struct mmi_devstate *dev = &res->devices[chosen];
    struct mmi_need need = mmi_instance_need(instance, dev);
    if (too_large) {
        mmi_fail_too_large(dev->device, need.bytes, need.activation_bytes, error);
        mmi_error_prefix(error, "model %s", instance->label);
    } else {
        uint64_t bytes = mmi_device_rounded(dev->device, need.bytes, need.activation_bytes);
        uint64_t free_bytes = devices[chosen].free_bytes;
        uint64_t kept = mmi_device_rounded(dev->device, 0, mmi_fit_reserve(dev));
        kept = mmi_sub_floor(kept, mmi_device_rounded(dev->device, 0, need.activation_bytes));
        mmi_fail_room(error, MM_ALL_PINNED, bytes, mmi_sub_floor(free_bytes, kept),
                      "model %s: needs %" PRIu64 " bytes on device %s, %" PRIu64
                      " are free, of which others' activations need %" PRIu64
                      ", and the rest is pinned, promised, its own or of a higher class",
                      instance->label, bytes, dev->device->name, free_bytes, kept);
    }
}

static void refuse_load(struct mmi_residency *res, struct mmi_instance *instance,
                        const struct mmi_placement *devices, size_t chosen) {
    mm_error error;
    if (chosen == res->device_count) {
        mmi_no_device(res, instance->version, instance->label, &error);
    } else {
        refuse_there(res, instance, devices, chosen, &error);
    }
    mmi_builds_expect_anew(instance->version);
    mmi_claim_drop(res, &instance->claim);
    mmi_load_refused(res, instance, &error);
}

/* ---- Loads: granting ------------------------------------------------------------------------ */

/* The load has its memory, or the victims whose memory it will have. */
static void grant(struct mmi_residency *res, struct mmi_instance *instance,
                  struct mmi_devstate *dev, const struct mmi_plan_output *plan) {
    struct mmi_build *build = mmi_version_build(instance->version, dev->device->pub.kind);
    mmi_claim_take_victims(res, dev, plan, &instance->claim.victims);
    mmi_claim_drop(res, &instance->claim);
    mmi_instance_granted(res, instance, dev, build);
    res->first_device = ((size_t)(dev - res->devices) + 1) % res->device_count;
    if (plan->victim_count == 0 && !mmi_load_take(res, instance)) {
        mm_error error;
        mmi_fail(&error, MM_NO_MEMORY, "model %s: out of memory", instance->label);
        mmi_load_refused(res, instance, &error);
        return;
    }
    mmi_load_start(res, instance);
}

/* The build for this kind is not open: it is prepared first, the device stays promised. */
static bool wants_build(struct mmi_residency *res, struct mmi_instance *instance,
                        const struct mmi_devstate *dev) {
    int32_t kind = dev->device->pub.kind;
    if (mmi_version_build(instance->version, kind)->state == MMI_BUILD_PREPARED) {
        instance->wanted_kind = 0;
        return false;
    }
    instance->wanted_kind = kind;
    mmi_mark_model(res, instance->model);
    return true;
}

/* Scratch that is kept only to save time goes before any model does. */
static bool trim_all(struct mmi_residency *res, uint64_t activation_bytes) {
    bool trimmed = false;
    for (size_t i = 0; i < res->device_count; i++) {
        struct mmi_devstate *dev = &res->devices[i];
        if (dev->scratch_bytes > 0) {
            uint64_t reserve = mmi_max_u64(activation_bytes, mmi_fit_reserve(dev));
            trimmed |= mmi_scratch_trim(res, dev, reserve);
        }
    }
    return trimmed;
}

/* What runs may hold when a load has what it needs: never less than one of them. */
static uint64_t scratch_beside(const struct mmi_devstate *dev, const struct mmi_need *need) {
    struct mmi_arena *arena = dev->device->arena;
    uint64_t others = mmi_sub_floor(mmi_arena_used(arena), dev->scratch_bytes);
    uint64_t left = mmi_sub_floor(mmi_arena_capacity(arena), others);
    uint64_t largest = mmi_max_u64(need->activation_bytes, mmi_fit_reserve(dev));
    return mmi_max_u64(mmi_sub_floor(left, mmi_arena_rounded(arena, need->bytes)),
                       mmi_arena_rounded(arena, largest));
}

/* Where runs always begin before enough is free, a load starves: after the grace those that begin
 * share what it leaves, every other moment. */
static void cap_scratch(struct mmi_residency *res, struct mmi_instance *instance,
                        struct mmi_devstate *dev) {
    struct mmi_need need = mmi_instance_need(instance, dev);
    struct mmi_claim *claim = &instance->claim;
    uint64_t until_ns;
    if (!mmi_claim_starves(res, claim, 0)) {
        return;
    }
    if (mmi_claim_presses(res, claim, &until_ns)) {
        dev->scratch_cap = mmi_min_u64(dev->scratch_cap, scratch_beside(dev, &need));
    }
    mmi_claim_look_at(res, claim, until_ns);
}

/* Until none starves there any more. */
static void uncap_scratch(struct mmi_residency *res, struct mmi_devstate *dev) {
    if (dev->scratch_cap == UINT64_MAX) {
        return;
    }
    MMI_LIST_EACH(node, &res->loads) {
        const struct mmi_claim *claim = mmi_claim_of(node);
        const struct mmi_instance *instance = MMI_CONTAINER(claim, struct mmi_instance, claim);
        uint64_t until_ns;
        if (mmi_claim_presses(res, claim, &until_ns) &&
            mmi_device_usable(res, dev, instance->version)) {
            return;
        }
    }
    dev->scratch_cap = UINT64_MAX;
    mmi_mark_memory(res); /* runs may go on */
}

/* Runs that wait come first everywhere where it could be loaded. */
static void starve_behind_runs(struct mmi_residency *res, struct mmi_instance *instance) {
    for (size_t i = 0; i < res->device_count; i++) {
        struct mmi_devstate *dev = &res->devices[i];
        if (dev->promised_to_run && mmi_device_usable(res, dev, instance->version)) {
            cap_scratch(res, instance, dev);
        }
    }
}

/* Runs hold the room: what idle slots hold goes, and it is looked at again when one ends. */
static void want_scratch(struct mmi_residency *res, struct mmi_instance *instance,
                         struct mmi_devstate *dev) {
    mmi_scratch_needed(dev);
    cap_scratch(res, instance, dev);
    if (mmi_scratch_trim(res, dev, 0)) {
        mmi_mark_memory(res);
    }
}

static enum mmi_reason reason_of(const struct mmi_instance *instance) {
    return instance->attempts > 0 ? MMI_REASON_MEMORY : MMI_REASON_BUDGET;
}

/* The best device that there is. chosen: device_count = none. */
static enum mmi_outcome settle_load(struct mmi_residency *res, struct mmi_instance *instance,
                                    struct mmi_placement *devices, size_t chosen) {
    struct mmi_devstate *dev = &res->devices[chosen];
    struct mmi_need need = mmi_instance_need(instance, dev);
    struct mmi_plan_output *plan = &devices[chosen].plan;
    if (plan->verdict == MMI_PLAN_EVICT) {
        mmi_claim_evict(res, dev, &need, plan, reason_of(instance), instance->label);
    }
    switch (plan->verdict) {
    case MMI_PLAN_FITS:
        if (!wants_build(res, instance, dev)) {
            grant(res, instance, dev, plan);
            return MMI_CLAIM_OVER;
        }
        break; /* the device stays promised */
    case MMI_PLAN_BARRED:
    case MMI_PLAN_HELD:
    case MMI_PLAN_TOO_LARGE:
        if (mmi_promised(res, instance->version, &need)) {
            return MMI_CLAIM_STALLED; /* its turn comes, on a device that is promised */
        }
        refuse_load(res, instance, devices, chosen);
        return MMI_CLAIM_OVER;
    case MMI_PLAN_RUNS:
        want_scratch(res, instance, dev);
        break;
    default:
        break;
    }
    return mmi_claim_wait(res, &instance->claim, dev, plan, reason_of(instance), instance->label);
}

static bool fits_as_it_is(const struct mmi_residency *res, const struct mmi_placement *devices,
                          size_t chosen) {
    return chosen < res->device_count && devices[chosen].plan.verdict == MMI_PLAN_FITS &&
           devices[chosen].plan.victim_count == 0;
}

static enum mmi_outcome try_load(struct mmi_residency *res, struct mmi_instance *instance) {
    struct mmi_placement devices[MMI_MAX_DEVICES];
    if (!mmi_can_assign(res)) {
        return MMI_CLAIM_STALLED; /* without threads: until a caller comes */
    }
    struct mmi_load_query query = mmi_load_query_of(instance);
    size_t chosen = mmi_place_load(res, &query, devices);
    if (!fits_as_it_is(res, devices, chosen) &&
        trim_all(res, mmi_instance_need(instance, &res->devices[0]).activation_bytes)) {
        chosen = mmi_place_load(res, &query, devices);
    }
    bool placed = chosen < res->device_count;
    if (placed && mmi_load_worth(&query, &devices[chosen].plan)) {
        return settle_load(res, instance, devices, chosen);
    }
    if (!placed && mmi_promised(res, instance->version, NULL)) {
        starve_behind_runs(res, instance);
        return MMI_CLAIM_STALLED;
    }
    refuse_load(res, instance, devices, chosen);
    return MMI_CLAIM_OVER;
}

/* ---- The pass ------------------------------------------------------------------------------- */

static struct mmi_instance *load_of(struct mmi_claim *claim) {
    return MMI_CONTAINER(claim, struct mmi_instance, claim);
}

/* The first load that this pass did not look at: one may end others. */
static struct mmi_instance *next_load(struct mmi_residency *res) {
    MMI_LIST_EACH(node, &res->loads) {
        struct mmi_claim *claim = mmi_claim_of(node);
        if (claim->round != res->round) {
            claim->round = res->round;
            return load_of(claim);
        }
    }
    return NULL;
}

/* What was on its way out for a claim is not needed any more: it may come back. */
static void release_needed(struct mmi_residency *res, struct mmi_devstate *dev) {
    for (size_t i = 0; i < dev->instance_count; i++) {
        struct mmi_instance *instance = dev->instances[i];
        if (mmi_instance_may_return(res, instance)) {
            mmi_mark_model(res, instance->model);
        }
    }
}

void mmi_make_room(struct mmi_residency *res) {
    if (atomic_load(&res->closed)) {
        return;
    }
    bool was_needed[MMI_MAX_DEVICES];
    for (size_t i = 0; i < res->device_count; i++) {
        struct mmi_devstate *dev = &res->devices[i];
        was_needed[i] = dev->needed_round == res->round;
        dev->promised = dev->taking;
        dev->promised_to_run = false;
        dev->scratch_needed = false;
    }
    res->round++;
    mmi_scratch_claims_try(res);
    struct mmi_instance *instance;
    while ((instance = next_load(res))) {
        try_load(res, instance);
    }
    for (size_t i = 0; i < res->device_count; i++) {
        atomic_store(&res->devices[i].scratch_wanted, res->devices[i].scratch_needed);
        uncap_scratch(res, &res->devices[i]);
        if (was_needed[i] && res->devices[i].needed_round != res->round) {
            release_needed(res, &res->devices[i]);
        }
    }
}
