/* SPDX-License-Identifier: Apache-2.0 */
#include <residency/devices.h>

#include <residency/decisions.h>
#include <residency/fit.h>
#include <residency/frame.h>
#include <residency/instance.h>
#include <residency/lock.h>
#include <residency/scratch.h>

#include <base/checked.h>

#include <string.h>

struct mmi_devstate *mmi_dev_find(struct mmi_residency *res, const char *name) {
    for (size_t i = 0; i < res->device_count; i++) {
        if (strcmp(res->devices[i].device->name, name) == 0) {
            return &res->devices[i];
        }
    }
    return NULL;
}

/* ---- Budgets --------------------------------------------------------------------------------- */

static void wait_for_bytes(struct mmi_residency *res, uint64_t until_ns) {
    res->shrinking++;
    mmi_res_wait(res, &res->quiet, until_ns);
    res->shrinking--;
}

/* Some are being detached. *until_ns: for so long they come before others; 0: no longer. */
static bool some_detach(const struct mmi_residency *res, const struct mmi_devstate *dev,
                        uint64_t *until_ns) {
    bool some = false;
    *until_ns = 0;
    for (size_t i = 0; i < dev->instance_count; i++) {
        const struct mmi_instance *instance = dev->instances[i];
        if (mmi_instance_state(instance) == MMI_DETACHING) {
            uint64_t own_ns = mmi_lingers_from(res, instance);
            *until_ns = own_ns > mmi_res_now(res) ? mmi_max_u64(*until_ns, own_ns) : *until_ns;
            some = true;
        }
    }
    return some;
}

static void plan_shrink(struct mmi_residency *res, struct mmi_devstate *dev, uint64_t bytes,
                        struct mmi_plan_output *plan) {
    struct mmi_need need = {.shrink_bytes =
                                mmi_sub_floor(mmi_arena_capacity(dev->device->arena), bytes),
                            .at_once = true,
                            .evict_class = UINT8_MAX};
    mmi_scratch_trim(res, dev, 0);
    mmi_fit_plan(res, dev, &need, plan);
}

static bool is_granted(const struct mmi_plan_output *plan) {
    return (plan->verdict == MMI_PLAN_FITS || plan->verdict == MMI_PLAN_EVICT) && !plan->draining;
}

/* Victims leave, and their bytes belong to nobody from now on. What is being detached already comes
 * first, if that takes no longer than the grace: fewer leave then. Where nobody else would do, it
 * is waited for as long as it takes. */
static mm_status shrink(struct mmi_residency *res, struct mmi_devstate *dev, uint64_t bytes,
                        mm_error *err) {
    struct mmi_arena *arena = dev->device->arena;
    bool may_wait = !mmi_frame_in_slot(res);
    struct mmi_plan_output plan;
    uint64_t until_ns;
    plan_shrink(res, dev, bytes, &plan);
    while (may_wait && plan.verdict != MMI_PLAN_FITS && some_detach(res, dev, &until_ns) &&
           (until_ns || !is_granted(&plan))) {
        wait_for_bytes(res, until_ns);
        plan_shrink(res, dev, bytes, &plan);
    }
    if (!is_granted(&plan) || (plan.victim_count > 0 && !may_wait)) {
        return mmi_fail_room(err, MM_BUSY, mmi_arena_used(arena), bytes,
                             "device %s: what is in use or pinned does not fit %llu bytes",
                             dev->device->name, (unsigned long long)bytes);
    }
    mmi_arena_set_capacity(arena, bytes); /* first: nobody else may take what is freed now */
    for (size_t i = 0; i < plan.victim_count; i++) {
        mmi_instance_leave(res, mmi_fit_victim(res, plan.victims[i]), MMI_REASON_SHRINK, NULL);
    }
    return MM_OK;
}

/* Their memory is not back yet. */
static bool victims_left(const struct mmi_devstate *dev) {
    for (size_t i = 0; i < dev->instance_count; i++) {
        const struct mmi_instance *instance = dev->instances[i];
        enum mmi_instance_state state = mmi_instance_state(instance);
        if (instance->reason == MMI_REASON_SHRINK &&
            (state == MMI_LEAVING || state == MMI_DETACHING)) {
            return true;
        }
    }
    return false;
}

static mm_status set_budget(struct mmi_residency *res, struct mmi_devstate *dev, uint64_t bytes,
                            mm_error *err) {
    struct mmi_arena *arena = dev->device->arena;
    if (bytes < mmi_arena_capacity(arena)) {
        MMI_TRY(shrink(res, dev, bytes, err));
    } else if (!mmi_arena_set_capacity(arena, bytes)) {
        return mmi_fail(err, MM_NO_MEMORY, "device %s: out of memory", dev->device->name);
    }
    mmi_decided(res, MMI_EVENT_BUDGET, "", &(struct mmi_event){.bytes = bytes}, dev);
    mmi_mark_memory(res);
    while (!mmi_frame_in_slot(res) && (victims_left(dev) || mmi_scratch_unmapping(res))) {
        wait_for_bytes(res, 0);
    }
    return MM_OK;
}

mm_status mmi_device_budget(struct mmi_residency *res, const char *device, uint64_t budget_bytes,
                            mm_error *err) {
    struct mmi_devstate *dev = mmi_dev_find(res, device);
    if (!dev) {
        return mmi_fail(err, MM_NOT_FOUND, "device %s: there is none of this name", device);
    }
    /* What stands behind the budget grows before it does. */
    MMI_TRY(dev->device->ops->resize(dev->device, budget_bytes, err));
    mmi_res_lock(res);
    mm_status status = atomic_load(&res->closed)
                           ? mmi_fail(err, MM_CLOSED, "device %s: the mesh is closed", device)
                           : set_budget(res, dev, budget_bytes, err);
    mmi_res_unlock(res);
    return status;
}

/* ---- A lost device --------------------------------------------------------------------------- */

void mmi_device_check(struct mmi_residency *res, struct mmi_devstate *dev) {
    if (!atomic_load(&dev->device->lost)) {
        return;
    }
    for (size_t i = 0; i < dev->instance_count; i++) {
        mmi_instance_lost(res, dev->instances[i]);
    }
    mmi_mark_memory(res);
}

bool mmi_device_ask(struct mmi_residency *res, struct mmi_devstate *dev) {
    bool lost = dev->device->ops->probe(dev->device, NULL) == MM_DEVICE_LOST;
    if (lost) {
        mmi_res_lock(res);
        mmi_device_check(res, dev);
        mmi_res_unlock(res);
    }
    return lost;
}

mm_status mmi_device_claim(struct mmi_residency *res, struct mmi_devstate *dev, mm_status status,
                           mm_error *err) {
    if (status != MM_DEVICE_LOST || mmi_device_ask(res, dev)) {
        return status;
    }
    return mmi_fail(err, MM_BACKEND_FAILED,
                    "the backend says that device %s was lost, which it is not", dev->device->name);
}
