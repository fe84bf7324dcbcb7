/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_RESIDENCY_COPIES_H
#define MMI_RESIDENCY_COPIES_H

/* The copies of a model: where requests find the resident ones without a lock, and which of them
 * takes the next. Locked, but for mmi_copies_lease. */

#include <residency/state.h>

/* Requests find it from now on, if it is of its model's current version. */
void mmi_copy_publish(struct mmi_residency *res, struct mmi_instance *instance);
void mmi_copy_unpublish(struct mmi_residency *res, struct mmi_instance *instance);

/* The READY copy of a version with the fewest runs, of those with a free slot: lease and slot are
 * taken. false: there is none. */
bool mmi_copy_admit(struct mmi_residency *res, struct mmi_version *version,
                    struct mmi_admission *admission);
/* A slot of an instance whose concurrency is limited. false: none is free. Any thread. */
bool mmi_run_slot_try(struct mmi_instance *instance);

struct mmi_copies_count {
    uint32_t ready, loading, leaving; /* loading: with memory or waiting for it */
};
struct mmi_copies_count mmi_copies_count(const struct mmi_version *version);
/* A copy, not on its way out, on this device? */
bool mmi_copy_on(const struct mmi_version *version, const struct mmi_devstate *dev);

static inline struct mmi_instance *mmi_copy_of(struct mmi_list *node) {
    return MMI_CONTAINER(node, struct mmi_instance, copy);
}

#endif
