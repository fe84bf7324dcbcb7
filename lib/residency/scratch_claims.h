/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_RESIDENCY_SCRATCH_CLAIMS_H
#define MMI_RESIDENCY_SCRATCH_CLAIMS_H

/* Runs that need memory for activations which no idle slot has; and callers who allocate memory for
 * values, who never wait. Locked.
 *
 * Why no two wait for each other. A run that waits counts only on runs that have theirs, on granted
 * loads, and on instances none of whose runs waits like itself; all of these end by themselves,
 * since calls from inside a backend never wait for memory. Where that would not do, it is stalled:
 * when nothing else moves on its device, the last of those is refused. */

#include <residency/claims.h>

/* A run that wants scratch, or a caller memory. The run's own, on its stack. */
struct mmi_scratch_claim {
    struct mmi_claim claim;
    struct mmi_waiter waiter; /* MMI_WAIT_SCRATCH */
    struct mmi_devstate *dev;
    struct mmi_instance *instance; /* whose run; NULL: a caller's */
    uint64_t bytes;
    bool at_once;               /* nobody will wait for it */
    bool begins;                /* the run's first memory: not while a load starves for it */
    bool slot_wanted;           /* an exec slot too, not just a block */
    struct mmi_exec_slot *slot; /* granted: with a block that is not mapped yet */
    struct mmi_block *block; /* without slot_wanted: where it goes, known to the device already */
};

/* Try to get memory without waiting for anybody: idle victims leave. false = not now, as *verdict
 * says; FITS: there was no memory for the bookkeeping. */
bool mmi_scratch_claim_now(struct mmi_residency *res, struct mmi_scratch_claim *claim,
                           enum mmi_verdict *verdict);
/* It could be had by waiting. */
static inline bool mmi_scratch_later(enum mmi_verdict verdict) {
    return verdict == MMI_PLAN_EVICT || mmi_claim_status(verdict) == MM_BUSY;
}
/* A granted claim, whose victims are detached: its memory. Locked; false = it is not to be had. */
bool mmi_scratch_claim_take(struct mmi_residency *res, struct mmi_scratch_claim *claim);
/* What the refusal of a run says. */
mm_status mmi_scratch_refusal(const struct mmi_scratch_claim *claim, mm_error *err);
/* One pass over all that wait, in order. */
void mmi_scratch_claims_try(struct mmi_residency *res);
/* Somebody waits for runs to end. Said before the look at who runs: one sees the other. */
void mmi_scratch_needed(struct mmi_devstate *dev);

#endif
