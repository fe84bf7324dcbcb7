/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_WORK_TIMER_THREAD_H
#define MMI_WORK_TIMER_THREAD_H

/* One thread that calls back at a time. It exists from the first start on and sleeps without a
 * timeout while nothing is armed. */

#include <base/env.h>
#include <base/status.h>

struct mmi_timer_thread;

/* tick(ctx, now) does what is due and returns the next time to be called, 0 = none. No lock held.
 * If a time was armed while it ran, the earlier of the two counts. */
mm_status mmi_timer_thread_new(const struct mmi_env *env,
                               uint64_t (*tick)(void *ctx, uint64_t now_ns), void *ctx,
                               struct mmi_timer_thread **timer_thread, mm_error *err);
void mmi_timer_thread_free(struct mmi_timer_thread *timer_thread); /* after stop; NULL is fine */
/* Idempotent. MM_NO_THREADS; after stop MM_CLOSED. */
mm_status mmi_timer_thread_start(struct mmi_timer_thread *timer_thread, mm_error *err);
/* Be called no later than at_ns (> 0). Cheap when an earlier time is armed already. Any thread,
 * under any lock of a lower rank than MMI_RANK_TIMER_THREAD. Before start it is remembered, after
 * stop ignored. */
void mmi_timer_thread_arm(struct mmi_timer_thread *timer_thread, uint64_t at_ns);
void mmi_timer_thread_stop(
    struct mmi_timer_thread *timer_thread); /* joins; not from tick; idempotent */

#endif
