/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_WORK_OP_STATE_H
#define MMI_WORK_OP_STATE_H

/* What op.c and completion_queue.c share. The completion queue's lock guards its ops too: an op
 * changes a few times in its life, and one lock makes "completed, queued, announced" one step. */

#include <base/list.h>
#include <base/lock.h>
#include <base/thread.h>
#include <work/op.h>

#include <stdatomic.h>

struct mmi_completions {
    struct mmi_env env; /* a copy: ops outlive the mesh's */
    mmi_fork_page *parent;
    _Atomic uint32_t refs;  /* the mesh's, and one of each op */
    struct mmi_lock lock;   /* guards all below, and in each op what says so */
    struct mmi_cond called; /* a callback is due, or stopping */
    struct mmi_cond quiet;  /* `cancels` is 0, or a callback has returned */
    struct mmi_list calls; /* completed ops whose callback is due; each with the work's reference */
    struct mmi_list queue; /* delivered ops to be fetched; held by the caller's handle */
    uint32_t cancels;      /* cancel functions running */
    int fd;                /* -1 = not made */
    bool stopping, calling; /* calling: a callback runs */
    struct mmi_thread thread;
};

struct mm_op {
    struct mmi_completions *completions;
    struct mmi_op_config config;
    void *work;
    _Atomic uint32_t refs;
    _Atomic int32_t stage;
    _Atomic uint32_t permille;
    _Atomic uint64_t done_bytes, total_bytes;
    atomic_bool cancelled;
    atomic_bool complete;  /* released after status and error are written, for good */
    atomic_bool delivered; /* its callback has returned, or it has none: who waits is told */
    mm_status status;
    mm_error error;
    struct mmi_cond completed;
    struct mmi_list call, queued; /* under the completion queue's lock */
    bool detached;                /* the same; the handle was freed ... */
    bool fetched;                 /* ... for good, unless it is still to come through the queue */
};

void mmi_completions_unref(struct mmi_completions *completions);
/* All three with the lock held. Start the callback thread unless it runs. */
mm_status mmi_completions_need_thread(struct mmi_completions *completions, mm_error *err);
/* The op is complete: have it called back, then delivered, as it wishes. */
void mmi_completions_announce(struct mmi_completions *completions, struct mm_op *op);

void mmi_op_unref(struct mm_op *op);

#endif
