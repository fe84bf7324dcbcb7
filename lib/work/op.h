/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_WORK_OP_H
#define MMI_WORK_OP_H

/* An asynchronous operation: progress, cancel, completion exactly once; and the completion queue,
 * which announces completed ones (callback thread, queue, eventfd). It knows nothing of models.
 *
 * Two references: the caller's handle and the work's. complete() is called once by the work,
 * which then gives up its reference. Order at completion: result stored, callback (on the
 * callback thread, in order of completion), then who waits, the queue and its eventfd. An op whose
 * handle was freed still completes, still calls back, and still comes through the queue, which
 * gives the handle back. Ops outlive the mesh: each holds the memory of the completion queue, and
 * with it the clock and the allocator, so wait, poll and free still work. */

#include <base/env.h>
#include <base/fork.h>
#include <base/status.h>

struct mmi_completions;
struct mm_op; /* modelmesh.h names it mm_op */

mm_status mmi_completions_new(const struct mmi_env *env, struct mmi_completions **completions,
                              mm_error *err);
void mmi_completions_free(struct mmi_completions *completions); /* after stop; NULL is fine */
/* Wait until the callbacks of all ops completed so far have returned; false: the deadline came
 * first. Not from a callback. */
bool mmi_completions_called(struct mmi_completions *completions, uint64_t deadline_ns);
/* Deliver every callback of ops completed so far, then join the thread and wait for cancels on
 * their way. All ops are complete, and nobody makes new ones. Not from a callback; may be
 * repeated. */
void mmi_completions_stop(struct mmi_completions *completions);
/* Made at first use; -1 when it cannot be made. Readable while ops are queued, and from stop on,
 * so that whoever polls it comes to see MM_CLOSED. Non-blocking: the host may read it, and need
 * not. */
int mmi_completions_eventfd(struct mmi_completions *completions);
/* Next queued op: MM_OK, MM_NONE, MM_CLOSED (stopped and empty). The caller's handle comes back,
 * also when it was freed meanwhile. */
mm_status mmi_completions_next(struct mmi_completions *completions, struct mm_op **op);
/* For as long as the completion queue's memory is there. */
mmi_fork_page *mmi_completions_parent(const struct mmi_completions *completions);
/* True on the thread that delivers callbacks. */
bool mmi_completions_is_current(const struct mmi_completions *completions);

struct mmi_op_config {
    void (*callback)(void *user, struct mm_op *op); /* NULL = none */
    void *user;
    bool queue; /* deliver through mmi_completions_next too */
    /* Called by mmi_op_cancel, once, begun while the op is incomplete, without a lock of this
     * module. The op lives for the time of the call, but its work may complete it meanwhile: find
     * the work through mmi_op_work, under the work's own lock. cancel_ctx stays valid until
     * mmi_completions_stop returned. */
    void (*cancel)(void *cancel_ctx, struct mm_op *op);
    void *cancel_ctx;
};
/* One op with both references. MM_NO_MEMORY; MM_NO_THREADS when it needs the callback thread and
 * that cannot start; MM_CLOSED after stop. */
mm_status mmi_op_new(struct mmi_completions *completions, const struct mmi_op_config *config,
                     struct mm_op **op, mm_error *err);
/* The work's end. error is copied; NULL for MM_OK, or to let the status speak for itself. Any
 * thread, under any lock of a lower rank than MMI_RANK_OPS. */
void mmi_op_complete(struct mm_op *op, mm_status status, const mm_error *error);
bool mmi_op_cancelled(const struct mm_op *op);
/* Seen by mmi_op_progress at once, each number on its own; kept at completion. */
void mmi_op_set_stage(struct mm_op *op, int32_t stage);
void mmi_op_set_progress(struct mm_op *op, uint32_t permille, uint64_t done_bytes,
                         uint64_t total_bytes);
/* A pointer for the work, written and read under the work's own lock; NULL at first. */
void mmi_op_set_work(struct mm_op *op, void *work);
void *mmi_op_work(const struct mm_op *op);

const struct mmi_completions *mmi_op_completions(const struct mm_op *op);

/* The caller's side; see modelmesh.h. In a child of the process that made it: MM_FORKED, nothing
 * is done. */
bool mmi_op_forked(const struct mm_op *op, mm_error *err);
mm_status mmi_op_wait(struct mm_op *op, uint64_t deadline_ns, mm_error *err);
mm_status mmi_op_poll(struct mm_op *op, mm_error *err);
void mmi_op_cancel(struct mm_op *op);
void mmi_op_progress(const struct mm_op *op, int32_t *stage, uint32_t *permille,
                     uint64_t *done_bytes, uint64_t *total_bytes);
void *mmi_op_user(const struct mm_op *op);
void mmi_op_free(struct mm_op *op); /* NULL is fine */
/* Drop an op that was never announced: both references, no callback. */
void mmi_op_discard(struct mm_op *op);

#endif
