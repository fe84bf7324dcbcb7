/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_RESIDENCY_CLAIMS_H
#define MMI_RESIDENCY_CLAIMS_H

/* Claims on memory: their queues, and what a plan's verdict means for one. Locked. */

#include <residency/fit.h>

/* How a claim fared. */
enum mmi_outcome {
    MMI_CLAIM_OVER,   /* it has its memory, or was refused: it is no claim any more */
    MMI_CLAIM_WAITS,  /* for what is known to come */
    MMI_CLAIM_STALLED /* for others that wait as well */
};

static inline struct mmi_claim *mmi_claim_of(struct mmi_list *node) {
    return MMI_CONTAINER(node, struct mmi_claim, node);
}

/* Behind all of the same priority that came before. */
void mmi_claim_add(struct mmi_list *list, struct mmi_claim *claim);
/* Out of the queue, without memory. */
void mmi_claim_drop(struct mmi_residency *res, struct mmi_claim *claim);
/* Raise a load's priority. */
void mmi_claim_raise(struct mmi_residency *res, struct mmi_claim *claim, int32_t priority);

/* It waits for others who go on, and not since now: the grace is over, and so is earliest_ns. Else
 * it is looked at again then. */
bool mmi_claim_starves(struct mmi_residency *res, struct mmi_claim *claim, uint64_t earliest_ns);
/* It starves, and others give way to it: by turns, so that it does not stall them where what it
 * waits for is one long run. *until_ns: when the turn ends, if it starves. */
bool mmi_claim_presses(const struct mmi_residency *res, const struct mmi_claim *claim,
                       uint64_t *until_ns);
void mmi_claim_look_at(struct mmi_residency *res, struct mmi_claim *claim, uint64_t at_ns);

/* It waits as the plan says: until a time, until what leaves has left, or until leased ones, which
 * drain after a grace. The device is promised to it. reason, name: why and for whom they leave. */
enum mmi_outcome mmi_claim_wait(struct mmi_residency *res, struct mmi_claim *claim,
                                struct mmi_devstate *dev, const struct mmi_plan_output *plan,
                                enum mmi_reason reason, const char *name);
/* Idle victims leave; a lease may come in between, so it is planned again. */
void mmi_claim_evict(struct mmi_residency *res, struct mmi_devstate *dev,
                     const struct mmi_need *need, struct mmi_plan_output *plan,
                     enum mmi_reason reason, const char *name);
/* All victims are RECLAIMABLE: they go to `victims`, whose owner detaches them and has their memory
 * then. Meanwhile the device is `taking`. */
void mmi_claim_take_victims(struct mmi_residency *res, struct mmi_devstate *dev,
                            const struct mmi_plan_output *plan, struct mmi_list *victims);

/* What a caller who does not wait is told. */
mm_status mmi_claim_status(enum mmi_verdict verdict);

#endif
