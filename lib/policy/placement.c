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

static int compare(uint64_t a, uint64_t b) {
    return (a > b) - (a < b);
}

static int compare_cost(const struct mmi_plan_output *a, const struct mmi_plan_output *b) {
    int order = compare(a->victim_class, b->victim_class);
    order = order ? order : compare(a->victim_cost_ns, b->victim_cost_ns);
    return order ? order : compare(a->victim_bytes, b->victim_bytes);
}

static bool better(const struct mmi_placement *a, const struct mmi_placement *b) {
    int rank_a = rank_of(&a->plan), rank_b = rank_of(&b->plan);
    if (rank_a != rank_b) {
        return rank_a < rank_b;
    }
    int order = 0;
    if (a->plan.verdict == MMI_PLAN_EVICT || a->plan.verdict == MMI_PLAN_LEASED) {
        order = compare_cost(&a->plan, &b->plan);
    } else if (a->plan.verdict == MMI_PLAN_STAY) {
        order = compare(a->plan.wait_until_ns, b->plan.wait_until_ns);
    }
    return order ? order < 0 : a->free_bytes > b->free_bytes;
}

size_t mmi_place(const struct mmi_placement *devices, size_t count, size_t first) {
    size_t best = count;
    for (size_t k = 0; k < count; k++) {
        size_t i = (first + k) % count;
        if (devices[i].usable && (best == count || better(&devices[i], &devices[best]))) {
            best = i;
        }
    }
    return best;
}
