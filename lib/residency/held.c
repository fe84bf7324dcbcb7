/* SPDX-License-Identifier: Apache-2.0 */
#include <residency/held.h>

#include <residency/cleanup.h>
#include <residency/devices.h>
#include <residency/lock.h>
#include <residency/scratch_claims.h>

#include <inttypes.h>

static mm_status refusal(const struct mmi_scratch_claim *claim, enum mmi_verdict verdict,
                         mm_error *err) {
    static const char *const texts[] = {"", "others use what it needs for now",
                                        "what would have to leave may not"};
    const struct mmi_device *device = claim->dev->device;
    mm_status status = verdict == MMI_PLAN_EVICT ? MM_BUSY : mmi_claim_status(verdict);
    uint64_t free_bytes = mmi_arena_free_bytes(device->arena);
    if (status == MM_OK) { /* but there was no memory for the bookkeeping */
        return mmi_fail(err, MM_NO_MEMORY, "device %s: out of memory", device->name);
    }
    if (status == MM_TOO_LARGE) {
        return mmi_fail_room(err, status, claim->bytes, mmi_arena_capacity(device->arena),
                             "device %s: %" PRIu64 " bytes are more than its budget of %" PRIu64,
                             device->name, claim->bytes, mmi_arena_capacity(device->arena));
    }
    return mmi_fail_room(err, status, claim->bytes, free_bytes,
                         "device %s: %" PRIu64 " bytes, %" PRIu64 " free: %s", device->name,
                         claim->bytes, free_bytes, texts[status == MM_BUSY ? 1 : 2]);
}

/* Locked, but while victims are detached. */
static mm_status claim_block(struct mmi_residency *res, struct mmi_scratch_claim *claim,
                             mm_error *err) {
    enum mmi_verdict verdict;
    if (atomic_load(&res->closed)) {
        return mmi_fail(err, MM_CLOSED, "device %s: the mesh is closed", claim->dev->device->name);
    }
    if (!mmi_scratch_claim_now(res, claim, &verdict)) {
        return refusal(claim, verdict, err);
    }
    if (mmi_list_empty(&claim->claim.victims)) {
        return MM_OK;
    }
    mmi_res_unlock(res);
    mmi_detach_victims(res, &claim->claim.victims);
    mmi_res_lock(res);
    return mmi_scratch_claim_take(res, claim) ? MM_OK : refusal(claim, MMI_PLAN_WAIT, err);
}

/* It is mapped no more. */
static void discharge(struct mmi_residency *res, struct mmi_devstate *dev, struct mmi_held *held) {
    mmi_res_lock(res);
    dev->held_bytes -= held->block.charged_bytes;
    mmi_arena_give(dev->device->arena, &held->block);
    mmi_mark_memory(res);
    mmi_device_check(res, dev);
    mmi_res_unlock(res);
    mmi_free(&res->env->alloc, held, sizeof(*held));
}

static mm_status claim(struct mmi_residency *res, struct mmi_devstate *dev, uint64_t bytes,
                       struct mmi_held *held, mm_error *err) {
    struct mmi_scratch_claim claim = {
        .dev = dev, .bytes = bytes, .at_once = true, .block = &held->block};
    mmi_list_init(&claim.claim.node);
    mmi_list_init(&claim.claim.victims);
    mmi_res_lock(res);
    mm_status status = claim_block(res, &claim, err);
    if (status == MM_OK) { /* not the scratch of a run, which comes back by itself */
        dev->scratch_bytes -= held->block.charged_bytes;
        dev->held_bytes += held->block.charged_bytes;
    }
    mmi_res_unlock(res);
    return status;
}

mm_status mmi_held_alloc(struct mmi_residency *res, struct mmi_devstate *dev, uint64_t bytes,
                         void **memory, mm_error *err) {
    struct mmi_device *device = dev->device;
    struct mmi_held *held = mmi_alloc(&res->env->alloc, 1, sizeof(*held));
    if (!held) {
        return mmi_fail(err, MM_NO_MEMORY, "device %s: out of memory", device->name);
    }
    mm_status status = claim(res, dev, bytes, held, err);
    if (status != MM_OK) {
        mmi_free(&res->env->alloc, held, sizeof(*held));
        return status;
    }
    status = device->ops->map(device, &held->block, &held->region, err);
    if (status != MM_OK) {
        discharge(res, dev, held);
        return status;
    }
    *memory = held->region.base;
    mmi_res_lock(res);
    mmi_list_push_back(&dev->held, &held->node);
    mmi_res_unlock(res);
    return MM_OK;
}

/* Locked. The latest first: most often it is one of those. */
static struct mmi_held *take_out(struct mmi_devstate *dev, const void *memory) {
    for (struct mmi_list *node = dev->held.prev; node != &dev->held; node = node->prev) {
        struct mmi_held *held = MMI_CONTAINER(node, struct mmi_held, node);
        if (held->region.base == memory) {
            mmi_list_remove(node);
            return held;
        }
    }
    return NULL;
}

bool mmi_held_free(struct mmi_residency *res, struct mmi_devstate *dev, const void *memory) {
    mmi_res_lock(res);
    struct mmi_held *held = take_out(dev, memory);
    mmi_res_unlock(res);
    if (!held) {
        return false;
    }
    dev->device->ops->unmap(&held->region);
    discharge(res, dev, held);
    return true;
}

void mmi_held_free_all(struct mmi_residency *res, struct mmi_devstate *dev) {
    uint64_t count = 0, bytes = 0;
    MMI_LIST_EACH(node, &dev->held) {
        struct mmi_held *held = MMI_CONTAINER(node, struct mmi_held, node);
        count++;
        bytes += held->block.bytes;
        dev->device->ops->unmap(&held->region);
        mmi_arena_give(dev->device->arena, &held->block);
        mmi_free(&res->env->alloc, held, sizeof(*held));
    }
    if (count > 0) {
        mmi_log(&res->env->log, MM_LOG_WARNING,
                "device %s: %" PRIu64 " allocations of %" PRIu64 " bytes were not freed",
                dev->device->name, count, bytes);
    }
}
