/* SPDX-License-Identifier: Apache-2.0 */
/* A hit: from a handle to a lease without a lock, an allocation or a system call.
 *
 *   1. handle -> model, which may have another tenant by now
 *   2. where a copy is, and its word, which may be of different moments: then the lease is refused
 *   3. the lease; from here on the instance stays
 *   4. the instance's model id must be the handle: this is where a stale handle ends
 *   5. a run slot, where concurrency is limited */
#include <residency/admission.h>

#include <residency/copies.h>
#include <residency/instance.h>
#include <residency/lock.h>

/* Slow: someone has to look at a slot that is on its way out, or wanted. */
static void settle(struct mmi_residency *res, struct mmi_slot *slot) {
    mmi_res_lock(res);
    mmi_instance_settle(res, slot);
    mmi_res_unlock(res);
}

static inline void lease_back(struct mmi_residency *res, const struct mmi_lease *lease) {
    struct mmi_slot *slot = lease->slot;
    if (__builtin_expect(mmi_lease_release(lease, mmi_ticks(&res->env->clock)), 0)) {
        settle(res, slot);
    }
}

static inline bool lease_copy(struct mmi_residency *res, uint64_t id, const struct mmi_hot *hot,
                              struct mmi_admission *admission) {
    struct mmi_slot *slot = atomic_load_explicit(&hot->slot, memory_order_acquire);
    uint64_t word = atomic_load_explicit(&hot->word, memory_order_acquire);
    if (!word || !slot) {
        return false;
    }
    struct mmi_lease *lease = &admission->lease;
    switch (mmi_lease_acquire(slot, word, mmi_lease_shard(&res->slots), lease)) {
    case MMI_REFUSED_AND_SETTLE:
        settle(res, slot);
        return false;
    case MMI_REFUSED:
        return false;
    case MMI_LEASED:
        break;
    }
    struct mmi_instance *instance = admission->instance = slot->owner;
    if (__builtin_expect(atomic_load_explicit(&instance->model_id, memory_order_relaxed) != id,
                         0)) {
        lease_back(res, lease);
        return false;
    }
    if (__builtin_expect(atomic_load_explicit(&instance->limit, memory_order_relaxed) == 0, 1)) {
        return true;
    }
    admission->run_slot = mmi_run_slot_try(instance);
    /* Without a run slot it was no use of the model. */
    if (!admission->run_slot && mmi_lease_undo(lease->slot, lease->shard)) {
        settle(res, slot);
    }
    return admission->run_slot;
}

/* Of several copies the one with the fewest runs, of those the near one, then any. */
static bool lease_best(struct mmi_residency *res, uint64_t id, uint32_t near,
                       const struct mmi_hot *copies, struct mmi_admission *admission) {
    size_t best = res->device_count;
    uint64_t fewest = 0;
    for (size_t i = 0; i < res->device_count; i++) {
        const struct mmi_slot *slot = atomic_load_explicit(&copies[i].slot, memory_order_acquire);
        if (slot && atomic_load_explicit(&copies[i].word, memory_order_acquire)) {
            uint64_t leases = mmi_slot_leases(slot);
            bool equal = leases == fewest && i + 1 == near;
            if (best == res->device_count || leases < fewest || equal) {
                best = i;
                fewest = leases;
            }
        }
    }
    if (best < res->device_count && lease_copy(res, id, &copies[best], admission)) {
        return true;
    }
    for (size_t i = 0; i < res->device_count; i++) {
        if (i != best && lease_copy(res, id, &copies[i], admission)) {
            return true;
        }
    }
    return false;
}

bool mmi_admission_try(struct mmi_residency *res, uint64_t id, uint32_t near,
                       struct mmi_admission *admission) {
    admission->run_slot = false;
    admission->hit = true;
    admission->wait_ns = 0;
    struct mmi_model *model = mmi_catalog_at(&res->catalog, id);
    bool leased = false;
    if (model) {
        const struct mmi_hot *copies = atomic_load_explicit(&model->copies, memory_order_acquire);
        leased = __builtin_expect(!copies, 1) ? lease_copy(res, id, &model->hot, admission)
                                              : lease_best(res, id, near, copies, admission);
    }
    if (!leased) {
        admission->lease.slot = NULL;
    }
    return leased;
}

static void give_run_slot(struct mmi_residency *res, struct mmi_instance *instance) {
    atomic_fetch_sub(&instance->running, 1);
    if (atomic_load(&instance->contended)) { /* after the subtraction: one sees the other */
        mmi_res_lock(res);
        mmi_mark_model(res, instance->model);
        mmi_res_unlock(res);
    }
}

void mmi_admission_return(struct mmi_residency *res, struct mmi_admission *admission) {
    if (admission->run_slot) {
        give_run_slot(res, admission->instance); /* the lease still holds it */
    }
    lease_back(res, &admission->lease);
}

uint32_t mmi_admission_place(const struct mmi_residency *res,
                             const struct mmi_admission *admission) {
    const struct mmi_instance *instance = admission->instance;
    bool takes = instance->opened->backend->table->flags & MM_BACKEND_DEVICE_VALUES &&
                 instance->dev->device->pub.kind != MM_DEVICE_HOST;
    return takes ? MM_ON_DEVICE(instance->dev - res->devices) : 0;
}

/* ---- Without a use --------------------------------------------------------------------------- */

void mmi_admission_undo(struct mmi_residency *res, struct mmi_admission *admission) {
    if (!admission->lease.slot) {
        return;
    }
    struct mmi_model *model = admission->instance->model;
    if (!admission->hit) { /* a miss that got it, and will not be served */
        *(model ? &model->granted : &res->granted) -= 1;
    }
    if (admission->run_slot) {
        atomic_fetch_sub(&admission->instance->running, 1);
        mmi_mark_model(res, model);
    }
    if (mmi_lease_undo(admission->lease.slot, admission->lease.shard)) {
        mmi_instance_settle(res, admission->lease.slot);
    }
    *admission = (struct mmi_admission){0};
}

bool mmi_admission_lost(struct mmi_residency *res, struct mmi_admission *admission,
                        struct mmi_request *request, mm_status status) {
    if (status != MM_DEVICE_LOST || !atomic_load(&admission->instance->dev->device->lost) ||
        ++request->losses >= res->device_count) {
        return false;
    }
    request->missed |= !admission->hit;
    mmi_res_lock(res);
    mmi_admission_undo(res, admission);
    mmi_res_unlock(res);
    return true;
}
