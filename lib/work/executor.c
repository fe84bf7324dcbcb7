/* SPDX-License-Identifier: Apache-2.0 */
#include <base/lock.h>
#include <base/thread.h>
#include <work/executor.h>

#include <stdio.h>

struct mmi_executor {
    const struct mmi_env *env;
    char role[16];
    struct mmi_lock lock;      /* guards all below */
    struct mmi_cond submitted; /* or stopping */
    struct mmi_list queue;     /* of tasks, in the order in which they will run */
    struct mmi_list levels; /* the first task of each priority: a submit passes levels, not tasks */
    uint32_t queued;        /* tasks in the queue */
    uint32_t max;           /* threads */
    uint32_t started;       /* handles in `threads` to join */
    uint32_t alive, running; /* threads not yet ended; of them, those inside a task */
    bool stopping;
    struct mmi_thread threads[];
};

/* ---- Queue ---------------------------------------------------------------------------------- */

static struct mmi_task *of_node(struct mmi_list *node) {
    return MMI_CONTAINER(node, struct mmi_task, node);
}

static struct mmi_task *of_level(struct mmi_list *level) {
    return MMI_CONTAINER(level, struct mmi_task, level);
}

/* Behind all of its priority: before the first of the next lower one. */
static void enqueue(struct mmi_executor *executor, struct mmi_task *task) {
    struct mmi_list *lower = executor->levels.next;
    while (lower != &executor->levels && of_level(lower)->priority >= task->priority) {
        lower = lower->next;
    }
    bool has_level =
        lower->prev != &executor->levels && of_level(lower->prev)->priority == task->priority;
    mmi_list_init(&task->level);
    if (!has_level) {
        mmi_list_insert(lower, &task->level);
    }
    mmi_list_insert(lower == &executor->levels ? &executor->queue : &of_level(lower)->node,
                    &task->node);
    task->queued = true;
    executor->queued++;
}

static void dequeue(struct mmi_executor *executor, struct mmi_task *task) {
    struct mmi_list *next = task->node.next;
    if (mmi_list_linked(&task->level)) {
        if (next != &executor->queue && of_node(next)->priority == task->priority) {
            mmi_list_insert(&task->level, &of_node(next)->level); /* it is the first now */
        }
        mmi_list_remove(&task->level);
    }
    mmi_list_remove(&task->node);
    task->queued = false;
    executor->queued--;
}

/* ---- Threads -------------------------------------------------------------------------------- */

static void executor_main(void *ctx) {
    struct mmi_executor *executor = ctx;
    mmi_lock(&executor->lock);
    for (;;) {
        if (!mmi_list_empty(&executor->queue)) {
            struct mmi_task *task = of_node(executor->queue.next);
            dequeue(executor, task);
            executor->running++;
            mmi_unlock(&executor->lock);
            task->run(task); /* it may be gone now */
            mmi_assert_no_locks();
            mmi_lock(&executor->lock);
            executor->running--;
        } else if (!executor->stopping) {
            mmi_cond_wait(&executor->submitted, &executor->lock, &executor->env->clock, 0);
        } else {
            break;
        }
    }
    executor->alive--;
    mmi_unlock(&executor->lock);
}

static mm_status start_thread(struct mmi_executor *executor, mm_error *err) {
    mmi_assert_held(&executor->lock);
    if (executor->started == executor->max) {
        return mmi_fail(err, MM_NO_THREADS, "executor %s: told to have no threads", executor->role);
    }
    MMI_TRY(mmi_thread_start(executor->env, &executor->threads[executor->started], executor->role,
                             executor->started, executor_main, executor, err));
    executor->started++;
    executor->alive++;
    return MM_OK;
}

mm_status mmi_executor_start(struct mmi_executor *executor, mm_error *err) {
    mm_status status = MM_OK;
    mmi_lock(&executor->lock);
    if (executor->stopping) {
        status = mmi_fail(err, MM_CLOSED, "executor %s: stopped", executor->role);
    } else if (executor->alive == 0) {
        status = start_thread(executor, err);
    }
    mmi_unlock(&executor->lock);
    return status;
}

void mmi_executor_submit(struct mmi_executor *executor, struct mmi_task *task) {
    mmi_lock(&executor->lock);
    if (executor->alive == 0) {
        mmi_unlock(&executor->lock);
        mmi_assert_no_locks();
        task->run(task);
        return;
    }
    enqueue(executor, task);
    bool all_busy = executor->queued > executor->alive - executor->running;
    if (all_busy && !executor->stopping && executor->started < executor->max) {
        start_thread(executor, NULL); /* an executor with fewer threads is slower, not wrong */
    }
    mmi_cond_signal(&executor->submitted);
    mmi_unlock(&executor->lock);
}

bool mmi_executor_remove(struct mmi_executor *executor, struct mmi_task *task) {
    mmi_lock(&executor->lock);
    bool removed = task->queued;
    if (removed) {
        dequeue(executor, task);
    }
    mmi_unlock(&executor->lock);
    return removed;
}

void mmi_executor_raise(struct mmi_executor *executor, struct mmi_task *task, int32_t priority) {
    mmi_lock(&executor->lock);
    if (task->queued && task->priority < priority) {
        dequeue(executor, task);
        task->priority = priority;
        enqueue(executor, task);
    }
    mmi_unlock(&executor->lock);
}

uint32_t mmi_executor_threads(struct mmi_executor *executor) {
    mmi_lock(&executor->lock);
    uint32_t alive = executor->alive;
    mmi_unlock(&executor->lock);
    return alive;
}

/* ---- Creation and end ----------------------------------------------------------------------- */

static size_t executor_bytes(uint32_t threads) {
    return sizeof(struct mmi_executor) + threads * sizeof(struct mmi_thread);
}

mm_status mmi_executor_new(const struct mmi_env *env, const char *role, uint32_t threads,
                           struct mmi_executor **executor, mm_error *err) {
    struct mmi_executor *made = mmi_alloc(&env->alloc, 1, executor_bytes(threads));
    if (!made || mmi_cond_init(&made->submitted, env) != 0) {
        mmi_free(&env->alloc, made, executor_bytes(threads));
        return mmi_fail(err, MM_NO_MEMORY, "executor %s: out of memory", role);
    }
    made->env = env;
    snprintf(made->role, sizeof(made->role), "%s", role);
    mmi_lock_init(&made->lock, MMI_RANK_EXECUTOR);
    mmi_list_init(&made->queue);
    mmi_list_init(&made->levels);
    made->max = threads;
    *executor = made;
    return MM_OK;
}

void mmi_executor_stop(struct mmi_executor *executor) {
    mmi_lock(&executor->lock);
    executor->stopping = true; /* from here on `started` does not change */
    mmi_cond_broadcast(&executor->submitted);
    mmi_unlock(&executor->lock);
    for (uint32_t i = 0; i < executor->started; i++) {
        mmi_thread_join(&executor->threads[i]);
    }
}

void mmi_executor_free(struct mmi_executor *executor) {
    if (executor) {
        mmi_cond_fini(&executor->submitted);
        mmi_lock_fini(&executor->lock);
        mmi_free(&executor->env->alloc, executor, executor_bytes(executor->max));
    }
}
