/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_POLICY_POLICY_H
#define MMI_POLICY_POLICY_H

/* Who leaves first. Pure: decides from a snapshot and `now`, changes nothing, takes no lock. */

#include <stdbool.h>
#include <stdint.h>

enum mmi_candidate_state {
    MMI_CANDIDATE_IDLE,        /* READY, no lease */
    MMI_CANDIDATE_LEASED,      /* READY, in use now */
    MMI_CANDIDATE_DRAINING,    /* on its way out: its bytes will be free anyway */
    MMI_CANDIDATE_RECLAIMABLE, /* its bytes count as free */
    MMI_CANDIDATE_LOADING      /* cannot leave now, but will be READY later */
};

/* One instance on one device, as the residency core sees it at `now`. */
struct mmi_candidate {
    uint32_t index;         /* the caller's, different for each; comes back in the answer */
    uint8_t state;          /* enum mmi_candidate_state */
    uint8_t evict_class;    /* 0 low, 1 normal, 2 high */
    bool pinned;            /* its model is pinned */
    bool self;              /* of the requesting model: never its own victim */
    uint64_t last_used;     /* ticks; larger = later */
    uint64_t bytes;         /* charged on this device */
    uint64_t load_cost_ns;  /* what a reload would cost; 0 = unknown */
    uint64_t uses;          /* since it was loaded */
    uint64_t stay_until_ns; /* min residency: not before this time; 0 = any time */
};

/* A policy orders candidates: negative = `a` leaves before `b`, 0 = no opinion (the smaller index
 * leaves first then). Pins, classes and states are not its business. */
struct mmi_policy {
    const char *name; /* "lru" */
    int (*compare)(const struct mmi_candidate *a, const struct mmi_candidate *b,
                   uint64_t now_ticks);
};

extern const struct mmi_policy mmi_policy_lru;

/* By name; a NULL name is the default, "lru". NULL = no such policy. */
const struct mmi_policy *mmi_policy_find(const char *name);

#endif
