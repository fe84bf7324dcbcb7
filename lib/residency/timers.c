/* SPDX-License-Identifier: Apache-2.0 */
#include <residency/timers.h>

#include <base/list.h>

void mmi_timers_init(struct mmi_timers *timers, const mm_allocator *alloc) {
    *timers = (struct mmi_timers){0};
    mmi_heap_init(&timers->heap, alloc);
}

void mmi_timers_fini(struct mmi_timers *timers) {
    mmi_heap_fini(&timers->heap);
}

bool mmi_timer_promise(struct mmi_timers *timers) {
    if (!mmi_heap_reserve(&timers->heap, timers->promised + 1 - timers->heap.count)) {
        return false;
    }
    timers->promised++;
    return true;
}

void mmi_timer_forget(struct mmi_timers *timers, struct mmi_timer *timer) {
    mmi_timer_unset(timers, timer);
    timers->promised--;
}

void mmi_timer_set(struct mmi_timers *timers, struct mmi_timer *timer, uint64_t at_ns) {
    mmi_heap_remove(&timers->heap, &timer->node);
    timer->node.key = at_ns;
    mmi_heap_add(&timers->heap, &timer->node); /* promised */
    if (mmi_heap_top(&timers->heap) == &timer->node) {
        timers->earlier = true;
        if (timers->thread) {
            mmi_timer_thread_arm(timers->thread, at_ns);
        }
    }
}

void mmi_timer_unset(struct mmi_timers *timers, struct mmi_timer *timer) {
    mmi_heap_remove(&timers->heap, &timer->node);
}

void mmi_timers_fire(struct mmi_timers *timers, void *ctx, uint64_t now_ns) {
    struct mmi_heap_node *node;
    while ((node = mmi_heap_top(&timers->heap)) && node->key <= now_ns) {
        struct mmi_timer *timer = MMI_CONTAINER(node, struct mmi_timer, node);
        mmi_heap_remove(&timers->heap, node);
        timer->fire(ctx, timer);
    }
}

uint64_t mmi_timers_next(const struct mmi_timers *timers) {
    struct mmi_heap_node *node = mmi_heap_top(&timers->heap);
    return node ? node->key : 0;
}
