/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_RESIDENCY_HOT_H
#define MMI_RESIDENCY_HOT_H

/* A hit: from a handle to a lease without a lock, an allocation or a system call.
 *
 *   1. handle -> model, which may have another tenant by now
 *   2. its hot slot and word, which may be of different moments: then the lease is refused
 *   3. the lease; from here on the instance stays
 *   4. the instance's model id must be the handle: this is where a stale handle ends */

#include <residency/core.h>

/* Slow path: settle a slot that is draining. */
void mmi_settle_slot(struct mmi_residency *res, struct mmi_slot *slot);

static inline void mmi_lease_back(struct mmi_residency *res, const struct mmi_lease *lease) {
    struct mmi_slot *slot = lease->slot;
    if (__builtin_expect(mmi_lease_release(lease, mmi_ticks(&res->env->clock)), 0)) {
        mmi_settle_slot(res, slot);
    }
}

static inline bool mmi_hot_lease(struct mmi_residency *res, uint64_t id, struct mmi_lease *lease,
                                 struct mmi_instance **instance) {
    struct mmi_model *model = mmi_catalog_at(&res->catalog, id);
    if (!model) {
        return false;
    }
    struct mmi_slot *slot = atomic_load_explicit(&model->hot_slot, memory_order_acquire);
    uint64_t word = atomic_load_explicit(&model->hot_word, memory_order_acquire);
    if (!word || !slot) {
        return false;
    }
    switch (mmi_lease_acquire(slot, word, mmi_lease_shard(&res->slots), lease)) {
    case MMI_REFUSED_AND_SETTLE:
        mmi_settle_slot(res, slot);
        return false;
    case MMI_REFUSED:
        return false;
    case MMI_LEASED:
        break;
    }
    *instance = slot->owner;
    if (__builtin_expect(atomic_load_explicit(&(*instance)->model_id, memory_order_relaxed) != id,
                         0)) {
        mmi_lease_back(res, lease);
        return false;
    }
    return true;
}

#endif
