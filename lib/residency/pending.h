/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_RESIDENCY_PENDING_H
#define MMI_RESIDENCY_PENDING_H

/* Requests of operations: they wait as all do, and for a thread besides. */

#include <residency/request.h>

/* For an operation, which finds it from now on. MM_NO_MEMORY, MM_CLOSED. A stop waits until
 * fini. */
mm_status mmi_pending_init(struct mmi_residency *res, struct mmi_pending *pending, struct mm_op *op,
                           void (*ended)(struct mmi_pending *pending), mm_error *err);
void mmi_pending_fini(struct mmi_pending *pending);        /* no lock held */
void mmi_pending_fini_locked(struct mmi_pending *pending); /* inside `ended` */
/* Wait for a thread of the infer executor: task->run is called there. When the deadline passes or
 * the op is cancelled before, `ended` is called instead. An admission that it has is lost when the
 * instance is to leave before a thread comes; then it waits for another. _locked: inside
 * `ended`. */
void mmi_pending_queue(struct mmi_pending *pending, struct mmi_task *task,
                       const struct mmi_request *request);
void mmi_pending_queue_locked(struct mmi_pending *pending, struct mmi_task *task,
                              const struct mmi_request *request);
void mmi_pending_running(struct mmi_pending *pending); /* first thing in task->run */
/* From now on it is cancelled: what it waits for ends, its run is asked to. */
void mmi_pending_cancel(struct mmi_residency *res, struct mm_op *op);
/* Locked: end the operations that wait for a thread. */
void mmi_pendings_close(struct mmi_residency *res);

#endif
