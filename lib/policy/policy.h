/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_POLICY_POLICY_H
#define MMI_POLICY_POLICY_H

/* What a decision about memory is made from. Pure: a snapshot and `now` in, an answer out. */

#include <stdbool.h>
#include <stdint.h>

enum mmi_candidate_state {
    MMI_CANDIDATE_IDLE,        /* READY, no lease */
    MMI_CANDIDATE_LEASED,      /* READY, in use now */
    MMI_CANDIDATE_DRAINING,    /* on its way out: its bytes come without asking */
    MMI_CANDIDATE_RECLAIMABLE, /* its bytes count as free */
    MMI_CANDIDATE_LOADING,     /* cannot leave now, but will be READY later */
    MMI_CANDIDATE_RUNNING,     /* no instance: the scratch of runs that go on. It comes back when
                                  they end, and cannot be a victim */
    MMI_CANDIDATE_LINGERING /* DRAINING, but a long run holds it: better than to drain one more */
};

/* One instance on one device, as the residency core sees it at `now`. */
struct mmi_candidate {
    uint32_t index;      /* the caller's, different for each; comes back in the answer */
    uint8_t state;       /* enum mmi_candidate_state */
    uint8_t evict_class; /* 0 low, 1 normal, 2 high */
    bool barred;         /* may not be chosen: pinned, or worth more than what it would leave for */
    bool self;           /* of the model that asks: never its own victim */
    bool stalled;        /* a run on it waits for memory too: it cannot be counted on to end */
    bool spare;          /* its model has other copies: the first to leave */
    uint64_t last_used;  /* ticks; larger = later */
    uint64_t bytes;      /* charged on this device */
    uint64_t load_cost_ns;  /* what a reload would cost; 0 = unknown */
    uint64_t stay_until_ns; /* min residency: not before this time; 0 = any time */
};

/* The order of leaving among equals is that of the last use. */
#define MMI_POLICY_NAME "lru"

#endif
