/* SPDX-License-Identifier: Apache-2.0 */
#include <residency/claims.h>

#include <residency/instance.h>

#include <base/checked.h>

/* ---- The queue ------------------------------------------------------------------------------- */

void mmi_claim_add(struct mmi_list *list, struct mmi_claim *claim) {
    struct mmi_list *at = list;
    while (at->prev != list) {
        const struct mmi_claim *before = mmi_claim_of(at->prev);
        if (before->priority > claim->priority ||
            (before->priority == claim->priority && before->sequence < claim->sequence)) {
            break;
        }
        at = at->prev;
    }
    mmi_list_insert(at, &claim->node);
}

void mmi_claim_drop(struct mmi_residency *res, struct mmi_claim *claim) {
    mmi_list_remove(&claim->node);
    mmi_timer_unset(&res->timers, &claim->timer);
    claim->starved_ns = 0;
    mmi_mark_memory(res);
}

void mmi_claim_raise(struct mmi_residency *res, struct mmi_claim *claim, int32_t priority) {
    claim->priority = priority;
    if (mmi_list_linked(&claim->node)) {
        mmi_list_remove(&claim->node);
        mmi_claim_add(&res->loads, claim);
        mmi_mark_memory(res);
    }
}

#define PRESS_NS UINT64_C(250000000) /* and as long not */

/* ---- Waiting -------------------------------------------------------------------------------- */

static void look_again(void *ctx, struct mmi_timer *timer) {
    (void)timer;
    mmi_mark_memory(ctx);
}

void mmi_claim_look_at(struct mmi_residency *res, struct mmi_claim *claim, uint64_t at_ns) {
    claim->timer.fire = look_again;
    mmi_timer_set(&res->timers, &claim->timer, at_ns);
}

bool mmi_claim_presses(const struct mmi_residency *res, const struct mmi_claim *claim,
                       uint64_t *until_ns) {
    uint64_t since_ns = mmi_add_cap(claim->starved_ns, res->config.drain_grace_ns);
    uint64_t now_ns = mmi_res_now(res);
    if (!claim->starved_ns || now_ns < since_ns) {
        return false;
    }
    uint64_t turn = (now_ns - since_ns) / PRESS_NS;
    *until_ns = mmi_add_cap(since_ns, (turn + 1) * PRESS_NS);
    return turn % 2 == 0;
}

bool mmi_claim_starves(struct mmi_residency *res, struct mmi_claim *claim, uint64_t earliest_ns) {
    uint64_t now_ns = mmi_res_now(res);
    if (claim->starved_ns == 0) {
        claim->starved_ns = now_ns;
    }
    uint64_t until_ns = mmi_add_cap(claim->starved_ns, res->config.drain_grace_ns);
    until_ns = mmi_max_u64(until_ns, earliest_ns);
    if (now_ns < until_ns) {
        mmi_claim_look_at(res, claim, until_ns);
    }
    return now_ns >= until_ns;
}

/* Only leased ones would do: after a grace they drain, so that the claim comes to its turn. */
static void starve(struct mmi_residency *res, struct mmi_claim *claim,
                   const struct mmi_plan_output *plan, enum mmi_reason reason, const char *name) {
    if (!mmi_claim_starves(res, claim, plan->wait_until_ns)) {
        return;
    }
    for (size_t i = 0; i < plan->victim_count; i++) {
        struct mmi_instance *victim = mmi_fit_victim(res, plan->victims[i]);
        mmi_instance_drain(res, victim, reason, name);
        victim->for_claim = true;
    }
}

enum mmi_outcome mmi_claim_wait(struct mmi_residency *res, struct mmi_claim *claim,
                                struct mmi_devstate *dev, const struct mmi_plan_output *plan,
                                enum mmi_reason reason, const char *name) {
    bool waits = plan->verdict == MMI_PLAN_STAY || plan->verdict == MMI_PLAN_WAIT;
    if (waits && plan->wait_until_ns) {
        mmi_claim_look_at(res, claim, plan->wait_until_ns);
    } else if (plan->verdict == MMI_PLAN_LEASED) {
        starve(res, claim, plan, reason, name);
    }
    dev->needed_round = res->round;
    dev->promised = true;
    return MMI_CLAIM_WAITS;
}

void mmi_claim_evict(struct mmi_residency *res, struct mmi_devstate *dev,
                     const struct mmi_need *need, struct mmi_plan_output *plan,
                     enum mmi_reason reason, const char *name) {
    for (size_t i = 0; i < plan->victim_count; i++) {
        mmi_instance_drain(res, mmi_fit_victim(res, plan->victims[i]), reason, name);
    }
    mmi_fit_plan(res, dev, need, plan);
}

void mmi_claim_take_victims(struct mmi_residency *res, struct mmi_devstate *dev,
                            const struct mmi_plan_output *plan, struct mmi_list *victims) {
    dev->taking = plan->victim_count > 0;
    dev->promised |= dev->taking; /* for the rest of this pass, too */
    for (size_t i = 0; i < plan->victim_count; i++) {
        mmi_instance_hand_over(res, mmi_fit_victim(res, plan->victims[i]), victims);
    }
}

mm_status mmi_claim_status(enum mmi_verdict verdict) {
    switch (verdict) {
    case MMI_PLAN_FITS:
    case MMI_PLAN_EVICT:
        return MM_OK;
    case MMI_PLAN_WAIT:
    case MMI_PLAN_STAY:
    case MMI_PLAN_RUNS:
    case MMI_PLAN_LEASED:
    case MMI_PLAN_STALLED:
        return MM_BUSY;
    case MMI_PLAN_BARRED:
    case MMI_PLAN_HELD:
        return MM_ALL_PINNED;
    case MMI_PLAN_TOO_LARGE:
        break;
    }
    return MM_TOO_LARGE;
}
