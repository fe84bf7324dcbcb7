/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_RESIDENCY_HELD_H
#define MMI_RESIDENCY_HELD_H

/* Memory of devices that callers allocate for their values. It is charged to the budget like any
 * other, and nobody else can make it leave: plans see it as a part of the device that is gone. */

#include <residency/state.h>

struct mmi_held {
    struct mmi_list node; /* devstate.held */
    struct mmi_block block;
    struct mmi_region region;
};

/* Idle models leave for it, as for the activations of a model of normal class; nobody is waited
 * for. MM_BUSY, MM_TOO_LARGE, MM_ALL_PINNED, MM_NO_MEMORY, MM_DEVICE_LOST, MM_CLOSED. No lock. */
mm_status mmi_held_alloc(struct mmi_residency *res, struct mmi_devstate *dev, uint64_t bytes,
                         void **memory, mm_error *err);
/* All that any stream does with it is over. false = it is none of these. No lock. */
bool mmi_held_free(struct mmi_residency *res, struct mmi_devstate *dev, const void *memory);
/* What is left at the end; the log says so. */
void mmi_held_free_all(struct mmi_residency *res, struct mmi_devstate *dev);

#endif
