/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_RESIDENCY_SCRATCH_H
#define MMI_RESIDENCY_SCRATCH_H

/* What one run holds of a device's scratch memory. */

#include <residency/core.h>

struct mmi_scratch_more {
    struct mmi_scratch_more *next;
    struct mmi_block block;
    struct mmi_region region;
};

struct mmi_scratch {
    struct mmi_devstate *dev;
    const struct mmi_instance *instance; /* for whom; leased */
    bool no_wait;                        /* do not wait for other runs: MM_BUSY */
    struct mmi_exec_slot *slot;          /* NULL: no memory was needed */
    struct mmi_scratch_more *more;
    uint64_t more_bytes;
};

/* bytes 0: nothing is held. May evict idle models and wait for other runs.
 * MM_NO_ROOM_FOR_ACTIVATIONS with both numbers, MM_BUSY, MM_DEADLINE, MM_NO_MEMORY,
 * MM_DEVICE_LOST. No lock. */
mm_status mmi_scratch_get(struct mmi_residency *res, struct mmi_scratch *scratch, uint64_t bytes,
                          uint64_t deadline_ns, mm_error *err);
/* More during the run, without waiting for others; NULL = no room. */
void *mmi_scratch_more(struct mmi_residency *res, struct mmi_scratch *scratch, uint64_t bytes);
void mmi_scratch_give(struct mmi_residency *res, struct mmi_scratch *scratch);

#endif
