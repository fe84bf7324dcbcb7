/* SPDX-License-Identifier: Apache-2.0 */
#include <base/checked.h>
#include <work/op_state.h>

#include <assert.h>

/* ---- Creation and end ----------------------------------------------------------------------- */

mm_status mmi_op_new(struct mmi_completions *completions, const struct mmi_op_config *config,
                     struct mm_op **op, mm_error *err) {
    const mm_allocator *alloc = &completions->env.alloc;
    struct mm_op *made = mmi_alloc(alloc, 1, sizeof(*made));
    if (!made || mmi_cond_init(&made->completed, &completions->env) != 0) {
        mmi_free(alloc, made, sizeof(*made));
        return mmi_fail(err, MM_NO_MEMORY, "operation: out of memory");
    }
    made->completions = completions;
    made->config = *config;
    mmi_list_init(&made->call);
    mmi_list_init(&made->queued);
    atomic_init(&made->refs, 2);
    atomic_fetch_add(&completions->refs, 1);
    mm_status status = MM_OK;
    mmi_lock(&completions->lock);
    if (completions->stopping) {
        status = mmi_fail(err, MM_CLOSED, "operation: the mesh is closed");
    } else if (config->callback) {
        status = mmi_completions_need_thread(completions, err);
    }
    mmi_unlock(&completions->lock);
    if (status != MM_OK) {
        mmi_op_discard(made);
        return status;
    }
    *op = made;
    return MM_OK;
}

static void destroy(struct mm_op *op) {
    struct mmi_completions *completions = op->completions;
    mmi_cond_fini(&op->completed);
    mmi_free(&completions->env.alloc, op, sizeof(*op));
    mmi_completions_unref(completions);
}

void mmi_op_unref(struct mm_op *op) {
    if (atomic_fetch_sub(&op->refs, 1) == 1) {
        destroy(op);
    }
}

void mmi_op_free(struct mm_op *op) {
    if (!op) {
        return;
    }
    mmi_lock(&op->completions->lock);
    op->detached = true;
    bool to_come = op->config.queue && !op->fetched; /* the queue gives the handle back */
    mmi_unlock(&op->completions->lock);
    if (!to_come) {
        mmi_op_unref(op);
    }
}

void mmi_op_discard(struct mm_op *op) {
    assert(!atomic_load(&op->complete));
    destroy(op);
}

/* ---- The work's side ------------------------------------------------------------------------- */

void mmi_op_complete(struct mm_op *op, mm_status status, const mm_error *error) {
    struct mmi_completions *completions = op->completions;
    mmi_lock(&completions->lock);
    assert(!atomic_load(&op->complete));
    op->status = status;
    if (error) {
        mmi_error_copy(&op->error, error);
    } else if (status != MM_OK) {
        mmi_fail(&op->error, status, "%s", mm_status_text(status));
    }
    atomic_store_explicit(&op->complete, true, memory_order_release);
    mmi_cond_broadcast(&op->completed); /* a callback may wait for it */
    mmi_completions_announce(completions, op);
    bool called_back = op->config.callback != NULL;
    mmi_unlock(&completions->lock);
    if (!called_back) { /* else the completion queue has the work's reference */
        mmi_op_unref(op);
    }
}

bool mmi_op_cancelled(const struct mm_op *op) {
    return atomic_load_explicit(&op->cancelled, memory_order_acquire);
}

void mmi_op_set_stage(struct mm_op *op, int32_t stage) {
    atomic_store_explicit(&op->stage, stage, memory_order_relaxed);
}

void mmi_op_set_progress(struct mm_op *op, uint32_t permille, uint64_t done_bytes,
                         uint64_t total_bytes) {
    atomic_store_explicit(&op->permille, permille, memory_order_relaxed);
    atomic_store_explicit(&op->done_bytes, done_bytes, memory_order_relaxed);
    atomic_store_explicit(&op->total_bytes, total_bytes, memory_order_relaxed);
}

void mmi_op_set_work(struct mm_op *op, void *work) {
    op->work = work;
}

void *mmi_op_work(const struct mm_op *op) {
    return op->work;
}

const struct mmi_completions *mmi_op_completions(const struct mm_op *op) {
    return op->completions;
}

/* ---- The caller's side ----------------------------------------------------------------------- */

bool mmi_op_forked(const struct mm_op *op, mm_error *err) {
    if (!mmi_forked(op->completions->parent)) {
        return false;
    }
    mmi_fail(err, MM_FORKED, "this operation belongs to the parent process");
    return true;
}

/* On the thread of callbacks an op is over when it is complete: its own callback asks, or one that
 * has to return before that op's can be called. */
static bool is_over(const struct mm_op *op) {
    return atomic_load_explicit(&op->delivered, memory_order_acquire) ||
           (atomic_load_explicit(&op->complete, memory_order_acquire) &&
            mmi_completions_is_current(op->completions));
}

mm_status mmi_op_poll(struct mm_op *op, mm_error *err) {
    if (!is_over(op)) {
        return mmi_fail(err, MM_PENDING, "not complete yet");
    }
    if (op->status != MM_OK && err) {
        mmi_error_copy(err, &op->error);
    }
    return op->status;
}

mm_status mmi_op_wait(struct mm_op *op, uint64_t deadline_ns, mm_error *err) {
    struct mmi_completions *completions = op->completions;
    const struct mmi_clock *clock = &completions->env.clock;
    mmi_lock(&completions->lock);
    while (!is_over(op) && (deadline_ns == 0 || mmi_now(clock) < deadline_ns)) {
        mmi_cond_wait(&op->completed, &completions->lock, clock, deadline_ns);
    }
    mmi_unlock(&completions->lock);
    return mmi_op_poll(op, err);
}

void mmi_op_cancel(struct mm_op *op) {
    struct mmi_completions *completions = op->completions;
    mmi_lock(&completions->lock);
    bool first = !atomic_load(&op->complete) && !atomic_load(&op->cancelled);
    if (first) {
        atomic_store_explicit(&op->cancelled, true, memory_order_release);
        atomic_fetch_add(&op->refs, 1);
        completions->cancels++;
    }
    mmi_unlock(&completions->lock);
    if (!first) {
        return;
    }
    if (op->config.cancel) {
        op->config.cancel(op->config.cancel_ctx, op);
    }
    mmi_lock(&completions->lock);
    if (--completions->cancels == 0) {
        mmi_cond_broadcast(&completions->quiet);
    }
    mmi_unlock(&completions->lock);
    mmi_op_unref(op);
}

void mmi_op_progress(const struct mm_op *op, int32_t *stage, uint32_t *permille,
                     uint64_t *done_bytes, uint64_t *total_bytes) {
    *stage = atomic_load_explicit(&op->stage, memory_order_relaxed);
    *permille = atomic_load_explicit(&op->permille, memory_order_relaxed);
    *done_bytes = atomic_load_explicit(&op->done_bytes, memory_order_relaxed);
    *total_bytes = atomic_load_explicit(&op->total_bytes, memory_order_relaxed);
}

void *mmi_op_user(const struct mm_op *op) {
    return op->config.user;
}
