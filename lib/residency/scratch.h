/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_RESIDENCY_SCRATCH_H
#define MMI_RESIDENCY_SCRATCH_H

/* Memory for activations that runs hold. Each device has exec slots; a run takes one whose memory
 * is large enough by an exchange, without a lock. What is held is charged to the arena. Idle slots
 * keep their memory while nobody wants the room; beyond the reserve they lose it before any model
 * leaves.
 *
 * A run that finds no memory waits for it as a claim: make_room.h. */

#include <residency/state.h>

/* Taken by a run beyond its slot; linked in devstate.more. */
struct mmi_scratch_more {
    struct mmi_list node;          /* of the device; locked */
    struct mmi_scratch_more *next; /* of the run */
    struct mmi_block block;
    struct mmi_region region;
};

/* ---- Slots, no lock ------------------------------------------------------------------------- */

/* An idle slot with at least so many bytes; NULL = none. */
struct mmi_exec_slot *mmi_scratch_take(struct mmi_devstate *dev, uint64_t bytes);
/* Any idle slot, one without memory if there is one; NULL = none. */
struct mmi_exec_slot *mmi_scratch_take_any(struct mmi_devstate *dev);
/* Back. true = somebody waits for it: lock and mark memory. */
bool mmi_scratch_give(struct mmi_devstate *dev, struct mmi_exec_slot *slot);

/* ---- Locked --------------------------------------------------------------------------------- */

/* Charge a block; false = it does not fit. */
bool mmi_scratch_charge(struct mmi_devstate *dev, uint64_t bytes, struct mmi_block *block);
void mmi_scratch_discharge(struct mmi_devstate *dev, struct mmi_block *block);
/* Idle scratch goes until no more than keep_bytes is held. true = some went. */
bool mmi_scratch_trim(struct mmi_residency *res, struct mmi_devstate *dev, uint64_t keep_bytes);
/* What runs hold, and idle slots too. */
void mmi_scratch_each_block(const struct mmi_devstate *dev, struct mmi_arena *arena,
                            void (*visit)(struct mmi_arena *arena, const struct mmi_block *block));
void mmi_scratch_unmap_all(struct mmi_devstate *dev); /* no lock; nothing runs */

/* Memory that was trimmed is not all back yet. */
static inline bool mmi_scratch_unmapping(const struct mmi_residency *res) {
    return res->unmapping > 0 || !mmi_list_empty(&res->trimmed);
}

#endif
