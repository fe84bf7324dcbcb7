/* SPDX-License-Identifier: Apache-2.0 */
#include <work/op_state.h>

#include <sys/eventfd.h>
#include <unistd.h>

/* ---- The queue ------------------------------------------------------------------------------- */

/* Readable or not is set anew at every change: the host may have read the descriptor meanwhile. */
static void show_queue(struct mmi_board *board) {
    mmi_assert_held(&board->lock);
    if (board->fd < 0) {
        return;
    }
    uint64_t count = 1;
    ssize_t moved;
    if (!mmi_list_empty(&board->queue) || board->stopping) {
        moved = write(board->fd, &count, sizeof(count));
    } else {
        moved = read(board->fd, &count, sizeof(count));
    }
    (void)moved; /* full is readable, empty is not: both are what is wanted */
}

int mmi_board_eventfd(struct mmi_board *board) {
    mmi_lock(&board->lock);
    if (board->fd < 0) {
        board->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        show_queue(board);
    }
    int fd = board->fd;
    mmi_unlock(&board->lock);
    return fd;
}

mm_status mmi_board_next(struct mmi_board *board, struct mm_op **op) {
    mmi_lock(&board->lock);
    mm_status status = board->stopping ? MM_CLOSED : MM_NONE;
    struct mmi_list *first = mmi_list_pop(&board->queue);
    if (first) {
        *op = MMI_CONTAINER(first, struct mm_op, queued);
        status = MM_OK;
        show_queue(board);
    }
    mmi_unlock(&board->lock);
    return status;
}

void mmi_board_withdraw(struct mmi_board *board, struct mm_op *op) {
    if (mmi_list_linked(&op->queued)) {
        mmi_list_remove(&op->queued);
        show_queue(board);
    }
}

void mmi_board_announce(struct mmi_board *board, struct mm_op *op) {
    if (op->config.queue && !op->detached) {
        mmi_list_push_back(&board->queue, &op->queued);
        show_queue(board);
    }
    if (op->config.callback) {
        mmi_list_push_back(&board->calls, &op->call);
        pthread_cond_signal(&board->called);
    }
}

/* ---- Callbacks ------------------------------------------------------------------------------- */

static void board_main(void *ctx) {
    struct mmi_board *board = ctx;
    atomic_store(&board->self, pthread_self());
    mmi_lock(&board->lock);
    for (;;) {
        struct mmi_list *first = mmi_list_pop(&board->calls);
        if (first) {
            struct mm_op *op = MMI_CONTAINER(first, struct mm_op, call);
            mmi_unlock(&board->lock);
            op->config.callback(op->config.user, op);
            mmi_op_unref(op);
            mmi_lock(&board->lock);
        } else if (!board->stopping) {
            mmi_lock_wait(&board->lock, &board->called, &board->env.clock, 0);
        } else {
            break;
        }
    }
    mmi_unlock(&board->lock);
    atomic_store(&board->self, 0);
}

mm_status mmi_board_need_thread(struct mmi_board *board, mm_error *err) {
    mmi_assert_held(&board->lock);
    if (board->thread.running) {
        return MM_OK;
    }
    return mmi_thread_start(&board->env, &board->thread, "callback", 0, board_main, board, err);
}

mmi_fork_page *mmi_board_parent(const struct mmi_board *board) {
    return board->parent;
}

bool mmi_board_is_current(const struct mmi_board *board) {
    return pthread_equal(atomic_load(&board->self), pthread_self());
}

/* ---- Life ------------------------------------------------------------------------------------ */

mm_status mmi_board_new(const struct mmi_env *env, struct mmi_board **board, mm_error *err) {
    struct mmi_board *made = mmi_alloc(&env->alloc, 1, sizeof(*made));
    if (!made) {
        return mmi_fail(err, MM_NO_MEMORY, "operations: out of memory");
    }
    mm_status status = mmi_fork_page_new(&made->parent, err);
    if (status != MM_OK) {
        goto no_page;
    }
    status = MM_NO_MEMORY;
    if (mmi_cond_init(&made->called) != 0) {
        goto no_called;
    }
    if (mmi_cond_init(&made->quiet) != 0) {
        goto no_quiet;
    }
    made->env = *env;
    atomic_init(&made->refs, 1);
    mmi_lock_init(&made->lock, MMI_RANK_OPS);
    mmi_list_init(&made->calls);
    mmi_list_init(&made->queue);
    made->fd = -1;
    *board = made;
    return MM_OK;
no_quiet:
    pthread_cond_destroy(&made->called);
no_called:
    mmi_fork_page_free(made->parent);
    mmi_fail(err, status, "operations: out of memory");
no_page:
    mmi_free(&env->alloc, made, sizeof(*made));
    return status;
}

void mmi_board_stop(struct mmi_board *board) {
    mmi_lock(&board->lock);
    board->stopping = true;
    show_queue(board);
    pthread_cond_signal(&board->called);
    mmi_unlock(&board->lock);
    mmi_thread_join(&board->thread);
    /* No further one begins: every op is complete. */
    mmi_lock(&board->lock);
    while (board->cancels > 0) {
        mmi_lock_wait(&board->lock, &board->quiet, &board->env.clock, 0);
    }
    mmi_unlock(&board->lock);
}

void mmi_board_unref(struct mmi_board *board) {
    if (atomic_fetch_sub(&board->refs, 1) == 1) {
        mm_allocator alloc = board->env.alloc;
        pthread_cond_destroy(&board->called);
        pthread_cond_destroy(&board->quiet);
        mmi_lock_fini(&board->lock);
        mmi_fork_page_free(board->parent);
        mmi_free(&alloc, board, sizeof(*board));
    }
}

void mmi_board_free(struct mmi_board *board) {
    if (!board) {
        return;
    }
    mmi_lock(&board->lock);
    int fd = board->fd;
    board->fd = -1;
    mmi_unlock(&board->lock);
    if (fd >= 0) {
        close(fd);
    }
    mmi_board_unref(board);
}
