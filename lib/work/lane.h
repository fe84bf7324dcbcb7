/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_WORK_LANE_H
#define MMI_WORK_LANE_H

/* A lane: a queue of stages and the threads that run them, highest priority first, first come
 * first served within one priority. It knows nothing of models. Threads start with the first
 * stage and stay; an idle lane wakes nobody. A stage that no thread will ever take runs on the
 * caller that pushes it: on a lane of no threads, before a start that succeeded, after stop. */

#include <base/env.h>
#include <base/list.h>
#include <base/status.h>

/* Embedded in whatever the work belongs to; the lane never frees it. Zeroed before its first
 * push; may be pushed again once it runs. */
struct mmi_stage {
    struct mmi_list node;
    struct mmi_list level;                /* only the first of its priority is linked */
    void (*run)(struct mmi_stage *stage); /* may free the stage; no lock held */
    int32_t priority;
    bool queued; /* under the lane's lock */
};

struct mmi_lane;

/* role names the threads. threads: at most; 0 = none. */
mm_status mmi_lane_new(const struct mmi_env *env, const char *role, uint32_t threads,
                       struct mmi_lane **lane, mm_error *err);
void mmi_lane_free(struct mmi_lane *lane); /* after stop; NULL is fine */
/* Make sure that at least one thread exists, so that push need not run anything. MM_NO_THREADS;
 * after stop MM_CLOSED. Further threads are started by push as they are needed; failing to start
 * those is no error. */
mm_status mmi_lane_start(struct mmi_lane *lane, mm_error *err);
/* Any thread, under any lock of a lower rank than MMI_RANK_LANE while the lane has a thread. */
void mmi_lane_push(struct mmi_lane *lane, struct mmi_stage *stage);
/* Take a stage out again. false: it already runs, or ran, or was never pushed. */
bool mmi_lane_remove(struct mmi_lane *lane, struct mmi_stage *stage);
/* Move a queued stage to a higher priority, behind those who have it already; no-op when it is not
 * queued or already as high. */
void mmi_lane_raise(struct mmi_lane *lane, struct mmi_stage *stage, int32_t priority);
/* Run everything still queued, then end and join the threads; later pushes run on the caller.
 * Not from a stage; may be repeated. */
void mmi_lane_stop(struct mmi_lane *lane);
uint32_t mmi_lane_threads(struct mmi_lane *lane); /* running now */

#endif
