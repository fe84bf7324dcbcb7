/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_POLICY_PLAN_H
#define MMI_POLICY_PLAN_H

/* The victim plan: a pure function from (snapshot, need, class, now) to who leaves, or why it
 * cannot be. The whole set is chosen before anybody leaves; where no set would do, nobody is named.
 *
 * What a set of leavers really frees (shared chunks!) is asked through `fit`, so that this module
 * needs no device and no arena of its own.
 *
 * The steps. Each adds its candidates to those of the steps before; the first that suffices decides
 * the verdict.
 *
 *   1   as it is                                       FITS
 *   2   + RECLAIMABLE, of any class                    FITS
 *   3   + DRAINING, whoever they are                   WAIT
 *   4   + idle                                         EVICT
 *   5   + idle that must stay a while yet              STAY
 *   6   + scratch of runs that go on                   RUNS
 *   7   + lingering, whoever they are                  WAIT
 *   8   + leased                                       LEASED
 *   9   + loading                                      WAIT
 *   10  + stalled: whose runs wait for memory too      STALLED
 *   11  + barred, the asker's own, of a higher class   BARRED
 *   -   not even then                                  HELD
 *
 * A stalled candidate counts in step 10 in whatever state it is. From step 2 on a candidate that is
 * barred or the asker's own counts in step 11 (but for DRAINING and lingering ones); from step 4 on
 * one of a higher class than the asker's does too.
 *
 * Within a step: spare copies first, then lower class, then the least recently used, then the
 * smaller index. (To learn how long to wait, step 5 goes by stay_until_ns.) Those that prove
 * unnecessary once enough were chosen are dropped again, latest chosen first, so that no victim
 * leaves in vain: of the victims none can be left out. */

#include <policy/policy.h>

#include <stddef.h>

enum mmi_verdict {
    MMI_PLAN_FITS,     /* now, once `victims` (all RECLAIMABLE; maybe none) are detached */
    MMI_PLAN_EVICT,    /* once `victims` (idle and RECLAIMABLE) have left; take them now. With
                          `draining`: what is DRAINING must leave too */
    MMI_PLAN_WAIT,     /* what is DRAINING or LOADING will do; no victims */
    MMI_PLAN_STAY,     /* idle ones would do, but must stay until wait_until_ns; no victims */
    MMI_PLAN_RUNS,     /* once runs that go on give their scratch back; no victims */
    MMI_PLAN_LEASED,   /* only with leased ones: `victims` is the set that is cheapest to drain */
    MMI_PLAN_STALLED,  /* only if others who wait for memory as well gave up; no victims */
    MMI_PLAN_BARRED,   /* even if all that may leave left: pins, higher classes or the asker's own
                          instance forbid it; no victims */
    MMI_PLAN_HELD,     /* not even if all candidates left: what is none of them holds the room (a
                          backend's own bytes); no victims */
    MMI_PLAN_TOO_LARGE /* larger than the device when empty; no victims */
};

/* How the plan asks for the effect of leaving. `ctx` is a fresh trial of the arena; what is
 * released in it at the end says nothing. Releasing more must never make fits() false. */
struct mmi_fit_query {
    void *ctx;
    void (*release)(void *ctx, const struct mmi_candidate *candidate);
    /* Undo release, if the need fits all the same: true. */
    bool (*keep)(void *ctx, const struct mmi_candidate *candidate);
    bool (*fits)(void *ctx); /* the need, with the reserve, after what was released */
};

/* A candidate's place among those that leave. */
struct mmi_plan_key {
    uint32_t rank; /* by step and, mostly, class */
    uint32_t at;   /* which candidate */
    uint64_t time;
};

struct mmi_plan_input {
    const struct mmi_candidate *candidates; /* [count] */
    struct mmi_plan_key *keys;              /* [count]: room for the plan's own use */
    size_t count;
    uint8_t evict_class; /* of who asks */
    bool fits_empty;     /* would it fit if the device were empty? */
    uint64_t now_ns;
    struct mmi_fit_query fit;
};

struct mmi_plan_output {
    uint32_t *victims; /* in: the caller's room for `count`. Out: indices, in order of leaving */
    size_t victim_count;
    enum mmi_verdict verdict;
    uint8_t victim_class; /* highest class among the victims */
    bool draining; /* EVICT, LEASED: with the victims gone, DRAINING or RUNNING must go too */
    uint64_t victim_bytes;   /* sum of the victims' bytes ... */
    uint64_t victim_cost_ns; /* ... and load costs. In all three RECLAIMABLE ones count nothing */
    uint64_t wait_until_ns; /* STAY: when enough may leave. LEASED: when all victims may; 0 = now */
};

/* Everything in *output is set. O(n + k log k) for k candidates looked at, mostly; never more than
 * O(n log n). No memory is taken. */
void mmi_plan(const struct mmi_plan_input *input, struct mmi_plan_output *output);

#endif
