/* SPDX-License-Identifier: Apache-2.0 */
#include <policy/placement.h>

/* Smaller is better. */
static int rank_of(const struct mmi_plan_output *plan) {
    switch (plan->verdict) {
    case MMI_PLAN_FITS:
        return 0;
    case MMI_PLAN_EVICT:
        return plan->draining ? 3 : 1;
    case MMI_PLAN_WAIT:
        return 2;
    case MMI_PLAN_STAY:
        return 4;
    case MMI_PLAN_RUNS:
        return 5;
    case MMI_PLAN_LEASED:
        return 6;
    case MMI_PLAN_STALLED:
        return 7;
    case MMI_PLAN_HELD:
        return 8;
    case MMI_PLAN_BARRED:
        return 9;
    default:
        return 10;
    }
}

static bool costs_less(const struct mmi_plan_output *a, const struct mmi_plan_output *b) {
    if (a->victim_class != b->victim_class) {
        return a->victim_class < b->victim_class;
    }
    if (a->victim_cost_ns != b->victim_cost_ns) {
        return a->victim_cost_ns < b->victim_cost_ns;
    }
    return a->victim_bytes < b->victim_bytes;
}

static bool better(const struct mmi_placement *a, const struct mmi_placement *b) {
    int rank_a = rank_of(&a->plan), rank_b = rank_of(&b->plan);
    if (rank_a != rank_b) {
        return rank_a < rank_b;
    }
    switch (a->plan.verdict) {
    case MMI_PLAN_FITS:
        return a->free_bytes > b->free_bytes;
    case MMI_PLAN_EVICT:
    case MMI_PLAN_LEASED:
        return costs_less(&a->plan, &b->plan);
    case MMI_PLAN_STAY:
        return a->plan.wait_until_ns < b->plan.wait_until_ns;
    default:
        return false;
    }
}

size_t mmi_place(const struct mmi_placement *devices, size_t count) {
    size_t best = count;
    for (size_t i = 0; i < count; i++) {
        if (devices[i].usable && (best == count || better(&devices[i], &devices[best]))) {
            best = i;
        }
    }
    return best;
}
