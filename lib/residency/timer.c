/* SPDX-License-Identifier: Apache-2.0 */
#include <residency/core.h>

bool mmi_timer_promise(struct mmi_residency *res) {
    if (!mmi_heap_reserve(&res->timers, res->timers_promised + 1 - res->timers.count)) {
        return false;
    }
    res->timers_promised++;
    return true;
}

void mmi_timer_forget(struct mmi_residency *res, struct mmi_timer *timer) {
    mmi_timer_unset(res, timer);
    res->timers_promised--;
}

void mmi_timer_set(struct mmi_residency *res, struct mmi_timer *timer, uint64_t at_ns) {
    mmi_heap_remove(&res->timers, &timer->node);
    timer->node.key = at_ns;
    mmi_heap_add(&res->timers, &timer->node); /* promised */
    if (res->config.threads && mmi_heap_top(&res->timers) == &timer->node) {
        mmi_timer_thread_arm(res->timer_thread, at_ns);
    }
}

void mmi_timer_unset(struct mmi_residency *res, struct mmi_timer *timer) {
    mmi_heap_remove(&res->timers, &timer->node);
}

void mmi_timers_run(struct mmi_residency *res, uint64_t now_ns) {
    struct mmi_heap_node *node;
    while ((node = mmi_heap_top(&res->timers)) && node->key <= now_ns) {
        struct mmi_timer *timer = MMI_CONTAINER(node, struct mmi_timer, node);
        mmi_heap_remove(&res->timers, node);
        timer->fire(res, timer, now_ns);
    }
}

uint64_t mmi_timers_next(const struct mmi_residency *res) {
    struct mmi_heap_node *node = mmi_heap_top(&res->timers);
    return node ? node->key : 0;
}
