/* SPDX-License-Identifier: Apache-2.0 */
#include <work/op_state.h>

#include <sys/eventfd.h>
#include <unistd.h>

/* ---- Queue ---------------------------------------------------------------------------------- */

/* Readable or not is set anew at every change: the host may have read the descriptor meanwhile. */
static void show_queue(struct mmi_completions *completions) {
    mmi_assert_held(&completions->lock);
    if (completions->fd < 0) {
        return;
    }
    uint64_t count = 1;
    ssize_t moved;
    if (!mmi_list_empty(&completions->queue) || completions->stopping) {
        moved = write(completions->fd, &count, sizeof(count));
    } else {
        moved = read(completions->fd, &count, sizeof(count));
    }
    (void)moved; /* EAGAIN is fine: a full one is readable, an empty one is not */
}

int mmi_completions_eventfd(struct mmi_completions *completions) {
    mmi_lock(&completions->lock);
    if (completions->fd < 0) {
        completions->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        show_queue(completions);
    }
    int fd = completions->fd;
    mmi_unlock(&completions->lock);
    return fd;
}

mm_status mmi_completions_next(struct mmi_completions *completions, struct mm_op **op) {
    mmi_lock(&completions->lock);
    mm_status status = completions->stopping ? MM_CLOSED : MM_NONE;
    struct mmi_list *first = mmi_list_pop(&completions->queue);
    if (first) {
        *op = MMI_CONTAINER(first, struct mm_op, queued);
        (*op)->fetched = true;
        (*op)->detached = false; /* whoever freed it early has it back */
        status = MM_OK;
        show_queue(completions);
    }
    mmi_unlock(&completions->lock);
    return status;
}

/* To who waits and to the queue, after the callback. */
static void deliver(struct mmi_completions *completions, struct mm_op *op) {
    mmi_assert_held(&completions->lock);
    atomic_store_explicit(&op->delivered, true, memory_order_release);
    mmi_cond_broadcast(&op->completed);
    if (op->config.queue) {
        mmi_list_push_back(&completions->queue, &op->queued);
        show_queue(completions);
    }
}

void mmi_completions_announce(struct mmi_completions *completions, struct mm_op *op) {
    if (op->config.callback) {
        mmi_list_push_back(&completions->calls, &op->call);
        mmi_cond_signal(&completions->called);
    } else {
        deliver(completions, op);
    }
}

/* ---- Callbacks ------------------------------------------------------------------------------- */

static void callback_main(void *ctx) {
    struct mmi_completions *completions = ctx;
    mmi_tls()->delivers = completions;
    mmi_lock(&completions->lock);
    for (;;) {
        struct mmi_list *first = mmi_list_pop(&completions->calls);
        if (first) {
            struct mm_op *op = MMI_CONTAINER(first, struct mm_op, call);
            completions->calling = true;
            mmi_unlock(&completions->lock);
            op->config.callback(op->config.user, op);
            mmi_lock(&completions->lock);
            deliver(completions, op);
            mmi_unlock(&completions->lock);
            mmi_op_unref(op);
            mmi_lock(&completions->lock);
            completions->calling = false;
            mmi_cond_broadcast(&completions->quiet);
        } else if (!completions->stopping) {
            mmi_cond_wait(&completions->called, &completions->lock, &completions->env.clock, 0);
        } else {
            break;
        }
    }
    mmi_unlock(&completions->lock);
}

mm_status mmi_completions_need_thread(struct mmi_completions *completions, mm_error *err) {
    mmi_assert_held(&completions->lock);
    if (completions->thread.running) {
        return MM_OK;
    }
    return mmi_thread_start(&completions->env, &completions->thread, "callback", 0, callback_main,
                            completions, err);
}

mmi_fork_page *mmi_completions_parent(const struct mmi_completions *completions) {
    return completions->parent;
}

bool mmi_completions_is_current(const struct mmi_completions *completions) {
    return mmi_tls()->delivers == completions;
}

/* ---- Creation and end ----------------------------------------------------------------------- */

mm_status mmi_completions_new(const struct mmi_env *env, struct mmi_completions **completions,
                              mm_error *err) {
    struct mmi_completions *made = mmi_alloc(&env->alloc, 1, sizeof(*made));
    if (!made) {
        return mmi_fail(err, MM_NO_MEMORY, "operations: out of memory");
    }
    mm_status status = mmi_fork_page_new(&made->parent, err);
    if (status != MM_OK) {
        goto no_page;
    }
    status = MM_NO_MEMORY;
    if (mmi_cond_init(&made->called, env) != 0) {
        goto no_called;
    }
    if (mmi_cond_init(&made->quiet, env) != 0) {
        goto no_quiet;
    }
    made->env = *env;
    atomic_init(&made->refs, 1);
    mmi_lock_init(&made->lock, MMI_RANK_OPS);
    mmi_list_init(&made->calls);
    mmi_list_init(&made->queue);
    made->fd = -1;
    *completions = made;
    return MM_OK;
no_quiet:
    mmi_cond_fini(&made->called);
no_called:
    mmi_fork_page_free(made->parent);
    mmi_fail(err, status, "operations: out of memory");
no_page:
    mmi_free(&env->alloc, made, sizeof(*made));
    return status;
}

bool mmi_completions_called(struct mmi_completions *completions, uint64_t deadline_ns) {
    const struct mmi_clock *clock = &completions->env.clock;
    bool over;
    mmi_lock(&completions->lock);
    while (!(over = mmi_list_empty(&completions->calls) && !completions->calling) &&
           (deadline_ns == 0 || mmi_now(clock) < deadline_ns)) {
        mmi_cond_wait(&completions->quiet, &completions->lock, clock, deadline_ns);
    }
    mmi_unlock(&completions->lock);
    return over;
}

void mmi_completions_stop(struct mmi_completions *completions) {
    mmi_lock(&completions->lock);
    completions->stopping = true;
    show_queue(completions);
    mmi_cond_signal(&completions->called);
    mmi_unlock(&completions->lock);
    mmi_thread_join(&completions->thread);
    /* No further one begins: every op is complete. */
    mmi_lock(&completions->lock);
    while (completions->cancels > 0) {
        mmi_cond_wait(&completions->quiet, &completions->lock, &completions->env.clock, 0);
    }
    mmi_unlock(&completions->lock);
}

void mmi_completions_unref(struct mmi_completions *completions) {
    if (atomic_fetch_sub(&completions->refs, 1) == 1) {
        mm_allocator alloc = completions->env.alloc;
        mmi_cond_fini(&completions->called);
        mmi_cond_fini(&completions->quiet);
        mmi_lock_fini(&completions->lock);
        mmi_fork_page_free(completions->parent);
        mmi_free(&alloc, completions, sizeof(*completions));
    }
}

/* Nobody will fetch them: those whose handle was freed go. */
static void drop_unfetched(struct mmi_completions *completions, struct mmi_list *unfetched) {
    struct mmi_list *node;
    while ((node = mmi_list_pop(unfetched))) {
        struct mm_op *op = MMI_CONTAINER(node, struct mm_op, queued);
        mmi_lock(&completions->lock);
        op->fetched = true;
        bool gone = op->detached;
        mmi_unlock(&completions->lock);
        if (gone) {
            mmi_op_unref(op);
        }
    }
}

void mmi_completions_free(struct mmi_completions *completions) {
    if (!completions) {
        return;
    }
    struct mmi_list unfetched;
    mmi_list_init(&unfetched);
    mmi_lock(&completions->lock);
    int fd = completions->fd;
    completions->fd = -1;
    mmi_list_move_all(&unfetched, &completions->queue);
    mmi_unlock(&completions->lock);
    drop_unfetched(completions, &unfetched);
    if (fd >= 0) {
        close(fd);
    }
    mmi_completions_unref(completions);
}
