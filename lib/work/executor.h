/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_WORK_EXECUTOR_H
#define MMI_WORK_EXECUTOR_H

/* An executor: a queue of tasks and the threads that run them, highest priority first, first come
 * first served within one priority. It knows nothing of models. Threads start with the first
 * task and stay; an idle executor wakes nobody. A task that no thread will ever take runs on the
 * caller that submits it: without threads, before a start that succeeded, and after stop. */

#include <base/env.h>
#include <base/list.h>
#include <base/status.h>

/* Embedded in whatever the work belongs to; the executor never frees it. Zeroed before its first
 * submit; may be submitted again once it runs. */
struct mmi_task {
    struct mmi_list node;
    struct mmi_list level;              /* only the first of its priority is linked */
    void (*run)(struct mmi_task *task); /* may free the task; no lock held */
    int32_t priority;
    bool queued; /* under the executor's lock */
};

struct mmi_executor;

/* role names the threads. threads: at most; 0 = none. */
mm_status mmi_executor_new(const struct mmi_env *env, const char *role, uint32_t threads,
                           struct mmi_executor **executor, mm_error *err);
void mmi_executor_free(struct mmi_executor *executor); /* after stop; NULL is fine */
/* Make sure that at least one thread exists, so that submit need not run anything. MM_NO_THREADS;
 * after stop MM_CLOSED. Further threads are started by submit as they are needed; failing to start
 * those is no error. */
mm_status mmi_executor_start(struct mmi_executor *executor, mm_error *err);
/* Any thread; under any lock of a lower rank than MMI_RANK_EXECUTOR once a thread exists. */
void mmi_executor_submit(struct mmi_executor *executor, struct mmi_task *task);
/* Take a task out again. false: it already runs, or ran, or was never submitted. */
bool mmi_executor_remove(struct mmi_executor *executor, struct mmi_task *task);
/* Move a queued task to a higher priority, behind those who have it already; no-op when it is not
 * queued or already as high. */
void mmi_executor_raise(struct mmi_executor *executor, struct mmi_task *task, int32_t priority);
/* Run everything still queued, then end and join the threads; later submits run on the caller.
 * Not from a task; may be repeated. */
void mmi_executor_stop(struct mmi_executor *executor);
uint32_t mmi_executor_threads(struct mmi_executor *executor); /* running now */

#endif
