/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_POLICY_PLAN_H
#define MMI_POLICY_PLAN_H

/* The victim plan: a pure function from (snapshot, need, class, now) to who leaves, or why it
 * cannot be. The whole set is chosen before anybody leaves; where no set would do, nobody is named.
 *
 * What a set of victims really frees (shared chunks!) is asked through `fit`, so that this module
 * needs no device and no arena of its own.
 *
 * The steps. Each adds its candidates to those of the steps before; the first that suffices decides
 * the verdict.
 *
 *   1  as it is                                        FITS
 *   2  + RECLAIMABLE, of any class                     FITS
 *   3  + DRAINING, whoever they are                    WAIT
 *   4  + idle                                          EVICT
 *   5  + idle that must stay a while yet               STAY
 *   6  + leased                                        LEASED
 *   7  + loading                                       WAIT
 *   8  + pinned, the requester's, of a higher class    PINNED
 *   -  not even then                                   HELD
 *
 * From step 2 on a candidate that is pinned or the requester's own belongs to step 8, whatever its
 * state (except DRAINING); from step 4 on also one of a higher class than the requester's.
 *
 * Within a step: lower class first, then the policy's order, then the smaller index. (Step 5
 * goes by stay_until_ns, to find out how long to wait.) Once enough are chosen, those that are not
 * needed are dropped again, latest chosen first: the victims are minimal, none can be left out. */

#include <policy/policy.h>

#include <stddef.h>

enum mmi_verdict {
    MMI_PLAN_FITS,     /* now, once `victims` (all RECLAIMABLE; maybe none) are detached */
    MMI_PLAN_EVICT,    /* once `victims` (idle and RECLAIMABLE) have left; take them now. With
                        `draining`: what is DRAINING must leave too */
    MMI_PLAN_WAIT,     /* what is DRAINING or LOADING will do; no victims */
    MMI_PLAN_STAY,     /* idle ones would do, but must stay until wait_until_ns; no victims */
    MMI_PLAN_LEASED,   /* only with leased ones: `victims` is the set that is cheapest to drain */
    MMI_PLAN_HELD,     /* not even if all candidates left: something else holds the memory (scratch
                        in use, a promise, a backend's own bytes); no victims */
    MMI_PLAN_PINNED,   /* even if all that may leave left: pins, higher classes or the requester's
                        own instance forbid it; no victims */
    MMI_PLAN_TOO_LARGE /* larger than the device when empty; no victims */
};

/* How the plan learns what leaving would free. `ctx` is a fresh trial of the arena; its state after
 * the plan has no meaning. Releasing more must never make fits() false. */
struct mmi_fit_query {
    void *ctx;
    void (*release)(void *ctx, const struct mmi_candidate *candidate);
    void (*keep)(void *ctx, const struct mmi_candidate *candidate); /* undo release */
    bool (*fits)(void *ctx); /* the need, with the reserve, after what was released */
};

struct mmi_plan_input {
    const struct mmi_policy *policy;
    struct mmi_candidate *candidates; /* [count]; reordered in place */
    size_t count;
    uint8_t evict_class; /* of the requester */
    bool fits_empty;     /* would it fit if the device were empty? */
    uint64_t now_ns, now_ticks;
    struct mmi_fit_query fit;
};

struct mmi_plan_output {
    uint32_t *victims; /* in: the caller's room for `count`. Out: indices, in order of leaving */
    size_t victim_count;
    enum mmi_verdict verdict;
    uint8_t victim_class;  /* highest class among the victims */
    bool draining;         /* EVICT, LEASED: with the victims gone, what is DRAINING must go too */
    uint64_t victim_bytes; /* sum of the victims' bytes ... */
    uint64_t victim_cost_ns; /* ... and load costs. In all three RECLAIMABLE ones count nothing */
    uint64_t wait_until_ns; /* STAY: when enough may leave. LEASED: when all victims may; 0 = now */
};

/* Everything in *output is set. O(n + k log n) for k candidates looked at; no memory is taken. */
void mmi_plan(const struct mmi_plan_input *input, struct mmi_plan_output *output);

#endif
