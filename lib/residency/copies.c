/* SPDX-License-Identifier: Apache-2.0 */
#include <residency/copies.h>

/* ---- Where requests look --------------------------------------------------------------------- */

static void set_hot(struct mmi_hot *hot, struct mmi_slot *slot, uint64_t word) {
    atomic_store(&hot->slot, slot);
    atomic_store(&hot->word, word);
}

void mmi_copy_publish(struct mmi_residency *res, struct mmi_instance *instance) {
    struct mmi_model *model = instance->model;
    if (!model || model->current != instance->version || atomic_load(&res->closed)) {
        return;
    }
    struct mmi_hot *copies = atomic_load(&model->copies);
    if (copies) {
        set_hot(&copies[instance->dev - res->devices], instance->slot, instance->word);
    }
    set_hot(&model->hot, instance->slot, instance->word);
}

/* Another copy takes its place, if there is one. */
void mmi_copy_unpublish(struct mmi_residency *res, struct mmi_instance *instance) {
    struct mmi_model *model = instance->model;
    if (!model) {
        return;
    }
    struct mmi_hot *copies = atomic_load(&model->copies);
    if (copies && instance->dev) {
        struct mmi_hot *place = &copies[instance->dev - res->devices];
        if (atomic_load(&place->word) == instance->word) {
            atomic_store(&place->word, 0);
        }
    }
    if (atomic_load(&model->hot.word) != instance->word) {
        return;
    }
    atomic_store(&model->hot.word, 0);
    for (size_t i = 0; copies && i < res->device_count; i++) {
        uint64_t word = atomic_load(&copies[i].word);
        if (word) {
            set_hot(&model->hot, atomic_load(&copies[i].slot), word);
            return;
        }
    }
}

/* ---- Who takes the next request -------------------------------------------------------------- */

bool mmi_run_slot_try(struct mmi_instance *instance) {
    uint32_t limit = atomic_load(&instance->limit);
    uint32_t running = atomic_load(&instance->running);
    while (running < limit) {
        if (atomic_compare_exchange_weak(&instance->running, &running, running + 1)) {
            return true;
        }
    }
    return false;
}

static struct mmi_instance *least_busy(const struct mmi_version *version) {
    struct mmi_instance *best = NULL;
    uint64_t fewest = 0;
    MMI_LIST_EACH(node, &version->copies) {
        struct mmi_instance *instance = mmi_copy_of(node);
        uint32_t limit = atomic_load(&instance->limit);
        bool open = mmi_instance_state(instance) == MMI_READY &&
                    (limit == 0 || atomic_load(&instance->running) < limit);
        uint64_t leases = open ? mmi_slot_leases(instance->slot) : 0;
        if (open && (!best || leases < fewest)) {
            best = instance;
            fewest = leases;
        }
    }
    return best;
}

bool mmi_copy_admit(struct mmi_residency *res, struct mmi_version *version,
                    struct mmi_admission *admission) {
    struct mmi_instance *instance;
    while ((instance = least_busy(version))) {
        bool limited = atomic_load(&instance->limit) > 0;
        if (limited && !mmi_run_slot_try(instance)) {
            continue; /* a hit took it meanwhile */
        }
        mmi_lease_grant(instance->slot, mmi_lease_shard(&res->slots), &admission->lease);
        admission->instance = instance;
        admission->run_slot = limited;
        return true;
    }
    return false;
}

struct mmi_copies_count mmi_copies_count(const struct mmi_version *version) {
    struct mmi_copies_count count = {0};
    MMI_LIST_EACH(node, &version->copies) {
        switch (mmi_instance_state(mmi_copy_of(node))) {
        case MMI_READY:
            count.ready++;
            break;
        case MMI_LOADING:
            count.loading++;
            break;
        default:
            count.leaving++;
        }
    }
    return count;
}

bool mmi_copy_on(const struct mmi_version *version, const struct mmi_devstate *dev) {
    MMI_LIST_EACH(node, &version->copies) {
        const struct mmi_instance *instance = mmi_copy_of(node);
        if (instance->dev == dev) {
            return true;
        }
    }
    return false;
}
