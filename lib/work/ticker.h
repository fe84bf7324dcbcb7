/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_WORK_TICKER_H
#define MMI_WORK_TICKER_H

/* One thread that calls back at a time. It exists from the first start on and sleeps without a
 * timeout while nothing is armed. */

#include <base/env.h>
#include <base/status.h>

struct mmi_ticker;

/* tick(ctx, now) does what is due and returns the next time to be called, 0 = none. No lock
 * held. What was armed while it ran stands beside what it returns: the earlier one counts. */
mm_status mmi_ticker_new(const struct mmi_env *env, uint64_t (*tick)(void *ctx, uint64_t now_ns),
                         void *ctx, struct mmi_ticker **ticker, mm_error *err);
void mmi_ticker_free(struct mmi_ticker *ticker); /* after stop; NULL is fine */
/* Idempotent. MM_NO_THREADS; after stop MM_CLOSED. */
mm_status mmi_ticker_start(struct mmi_ticker *ticker, mm_error *err);
/* Be called no later than at_ns (> 0). Cheap when an earlier time is armed already. Any thread,
 * under any lock of a lower rank than MMI_RANK_TICKER. Before start it is remembered, after stop
 * ignored. */
void mmi_ticker_arm(struct mmi_ticker *ticker, uint64_t at_ns);
void mmi_ticker_stop(struct mmi_ticker *ticker); /* joins; not from tick; idempotent */

#endif
