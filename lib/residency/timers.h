/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_RESIDENCY_TIMERS_H
#define MMI_RESIDENCY_TIMERS_H

/* Deadlines, grace periods, idle times: one heap, under the residency lock, so a timer never fires
 * for something that is just being freed. One thread sleeps until the earliest; with none armed it
 * sleeps for good. */

#include <base/heap.h>
#include <work/timer_thread.h>

struct mmi_timers {
    struct mmi_heap heap;
    size_t promised;
    struct mmi_timer_thread *thread; /* NULL: blocked callers look at the timers themselves ... */
    bool earlier;                    /* ... and have to look again */
};

struct mmi_timer {
    struct mmi_heap_node node; /* key: when */
    void (*fire)(void *ctx, struct mmi_timer *timer);
};

void mmi_timers_init(struct mmi_timers *timers, const mm_allocator *alloc);
void mmi_timers_fini(struct mmi_timers *timers);
/* Room for one more timer in the heap, so that setting it cannot fail. false = out of memory. */
bool mmi_timer_promise(struct mmi_timers *timers);
/* Unset, and the promise returned. */
void mmi_timer_forget(struct mmi_timers *timers, struct mmi_timer *timer);
void mmi_timer_set(struct mmi_timers *timers, struct mmi_timer *timer, uint64_t at_ns);
void mmi_timer_unset(struct mmi_timers *timers, struct mmi_timer *timer);
static inline bool mmi_timer_is_set(const struct mmi_timer *timer) {
    return timer->node.place != 0;
}
/* Call what is due; ctx is passed on. */
void mmi_timers_fire(struct mmi_timers *timers, void *ctx, uint64_t now_ns);
uint64_t mmi_timers_next(const struct mmi_timers *timers); /* 0 = none is set */

#endif
