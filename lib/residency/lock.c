/* SPDX-License-Identifier: Apache-2.0 */
#include <residency/lock.h>

/* ---- The lock -------------------------------------------------------------------------------- */

void mmi_res_lock(struct mmi_residency *res) {
    mmi_lock(&res->lock);
}

void mmi_res_unlock(struct mmi_residency *res) {
    res->schedule(res);
    mmi_unlock(&res->lock);
}

void mmi_res_wait(struct mmi_residency *res, struct mmi_cond *cond, uint64_t deadline_ns) {
    if (res->schedule(res)) {
        return; /* perhaps what the caller waits for */
    }
    if (!res->config.threads) { /* nobody else looks at the timers */
        uint64_t next_ns = mmi_timers_next(&res->timers);
        if (next_ns && (deadline_ns == 0 || next_ns < deadline_ns)) {
            deadline_ns = next_ns;
        }
    }
    mmi_cond_wait(cond, &res->lock, &res->env->clock, deadline_ns);
    if (!res->config.threads) {
        mmi_timers_fire(&res->timers, res, mmi_res_now(res));
    }
}

void mmi_wake_blocked(struct mmi_residency *res) {
    MMI_LIST_EACH(node, &res->blocked) {
        mmi_cond_signal(&MMI_CONTAINER(node, struct mmi_blocked, node)->wake);
    }
    mmi_cond_broadcast(&res->quiet); /* a stop does what is left, too */
}

/* ---- Callers that sleep --------------------------------------------------------------------- */

static struct mmi_task *next_task(struct mmi_residency *res, struct mmi_blocked *blocked) {
    struct mmi_task *task = blocked->task;
    blocked->task = NULL;
    if (!task) {
        struct mmi_list *node = mmi_list_pop(&res->tasks);
        task = node ? MMI_CONTAINER(node, struct mmi_task, node) : NULL;
    }
    return task;
}

void mmi_block(struct mmi_residency *res, struct mmi_blocked *blocked, const bool *done) {
    mmi_list_push_back(&res->blocked, &blocked->node);
    if (!res->config.threads) {
        mmi_mark_memory(res); /* loads may wait for somebody who does them */
    }
    for (;;) {
        res->schedule(res); /* nobody sleeps on what it should have done */
        struct mmi_task *task = next_task(res, blocked);
        if (task) {
            mmi_unlock(&res->lock);
            task->run(task);
            mmi_lock(&res->lock);
        } else if (*done) {
            break;
        } else {
            mmi_res_wait(res, &blocked->wake, 0);
        }
    }
    mmi_list_remove(&blocked->node);
}

/* Who sleeps on this model and need not leave at a deadline. */
static struct mmi_blocked *find_blocked(const struct mmi_list *waiters) {
    MMI_LIST_EACH(node, waiters) {
        const struct mmi_waiter *waiter = MMI_CONTAINER(node, struct mmi_waiter, node);
        if (waiter->blocked && !waiter->blocked->task && !mmi_timer_is_set(&waiter->timer)) {
            return waiter->blocked;
        }
    }
    return NULL;
}

bool mmi_can_assign(const struct mmi_residency *res) {
    return res->config.threads || !mmi_list_empty(&res->blocked);
}

bool mmi_assign(struct mmi_residency *res, struct mmi_task *task, const struct mmi_model *model,
                struct mmi_executor *executor, bool quick) {
    res->jobs++;
    if (!res->config.threads) {
        mmi_list_push_back(&res->tasks, &task->node);
        mmi_wake_blocked(res);
        return false;
    }
    struct mmi_blocked *blocked = quick && model ? find_blocked(&model->waiters) : NULL;
    if (blocked) {
        blocked->task = task;
        mmi_cond_signal(&blocked->wake);
    } else {
        mmi_executor_submit(executor, task);
    }
    return blocked != NULL;
}

void mmi_task_done(struct mmi_residency *res) {
    res->jobs--;
    mmi_cond_broadcast(&res->quiet);
}
