/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_RESIDENCY_LOCK_H
#define MMI_RESIDENCY_LOCK_H

/* The residency lock, and who does what must be done without it. Nobody lets go of the lock with
 * marks left: unlock and wait call the scheduler first (residency.schedule). The one exception is
 * the end of mmi_residency_close: a stop, which comes next, works them off. */

#include <residency/state.h>

void mmi_res_lock(struct mmi_residency *res);
/* Works the marks off, then unlocks. */
void mmi_res_unlock(struct mmi_residency *res);
/* Works the marks off, then waits for the condition or the deadline (0 = none), or less. */
void mmi_res_wait(struct mmi_residency *res, struct mmi_cond *cond, uint64_t deadline_ns);

/* Sleep until *done, doing what this caller is given meanwhile. Locked before and after. */
void mmi_block(struct mmi_residency *res, struct mmi_blocked *blocked, const bool *done);
/* All callers that sleep look again. */
void mmi_wake_blocked(struct mmi_residency *res);

/* Have a task done: by a caller that sleeps on this model when `quick` (true) or when there are no
 * threads, else by the executor. It counts as a job until mmi_task_done. Such a caller is not told
 * of an end by others before the task is over: it must not take long. */
bool mmi_assign(struct mmi_residency *res, struct mmi_task *task, const struct mmi_model *model,
                struct mmi_executor *executor, bool quick);
void mmi_task_done(struct mmi_residency *res); /* locked */
/* Is there somebody who will do what is assigned? Without threads only a caller that sleeps. */
bool mmi_can_assign(const struct mmi_residency *res);

#endif
