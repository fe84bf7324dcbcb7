/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_POLICY_PLACEMENT_H
#define MMI_POLICY_PLACEMENT_H

/* Which device takes a model. Better to worse, in each the most free bytes, then whose turn it is:
 *
 *   FITS
 *   EVICT                 lowest class of victims, then load cost, then bytes
 *   WAIT
 *   EVICT with draining   as EVICT: it costs victims and waits besides
 *   STAY                  soonest
 *   RUNS
 *   LEASED                as EVICT
 *   STALLED, HELD, BARRED, TOO_LARGE  only when there is nothing better, in this order
 *
 * The class comes first because it says whose absence matters more, whatever a reload costs. */

#include <policy/plan.h>

/* One device. */
struct mmi_placement {
    struct mmi_plan_output plan;
    uint64_t free_bytes; /* RECLAIMABLE ones counted in */
    bool usable; /* false: lost, excluded by the model's spec, or promised to an earlier waiter */
};

/* Index of the best; `count` when none is usable. `first` (below count): whose turn it is; the
 * others follow it in order, from the last to the first again. */
size_t mmi_place(const struct mmi_placement *devices, size_t count, size_t first);

#endif
