/* SPDX-License-Identifier: Apache-2.0 */
#include <residency/core.h>

#include <base/checked.h>

static void expire(struct mmi_residency *res, struct mmi_timer *timer, uint64_t now_ns) {
    (void)now_ns;
    struct mmi_waiter *waiter = MMI_CONTAINER(timer, struct mmi_waiter, timer);
    mmi_count(&res->counters, MMI_COUNT_DEADLINE, 1);
    mm_error error;
    mmi_fail(&error, MM_DEADLINE, "model %s: the deadline passed while waiting",
             waiter->model ? mmi_model_name(waiter->model) : "");
    if (waiter->kind == MMI_WAIT_GONE) {
        mmi_evict_expired(res, waiter->instance);
        mmi_fail(&error, MM_DEADLINE, "model %s: still in use when the deadline passed",
                 mmi_model_name(waiter->model));
    }
    mmi_waiter_end(res, waiter, MM_DEADLINE, &error);
}

/* Behind all of the same priority. */
static void insert(struct mmi_list *list, struct mmi_waiter *waiter) {
    struct mmi_list *at = list;
    while (at->prev != list &&
           MMI_CONTAINER(at->prev, struct mmi_waiter, node)->priority < waiter->priority) {
        at = at->prev;
    }
    mmi_list_insert(at, &waiter->node);
}

mm_status mmi_waiter_add(struct mmi_residency *res, struct mmi_waiter *waiter,
                         struct mmi_list *list, uint64_t deadline_ns, mm_error *err) {
    struct mmi_model *model = waiter->model;
    bool request = waiter->kind <= MMI_WAIT_RUN_SLOT;
    uint32_t limit =
        model->settings.max_queued ? model->settings.max_queued : res->config.max_queued;
    if (request && (model->queued >= limit || res->queued >= res->config.max_queued)) {
        mmi_count(&res->counters, MMI_COUNT_OVERLOADED, 1);
        return mmi_fail(err, MM_OVERLOADED,
                        "model %s: %u requests wait for it and %u in all; the limits are %u and %u",
                        mmi_model_name(model), model->queued, res->queued, limit,
                        res->config.max_queued);
    }
    if (!mmi_timer_promise(res)) {
        return mmi_fail(err, MM_NO_MEMORY, "model %s: out of memory", mmi_model_name(model));
    }
    waiter->timer.fire = expire;
    waiter->done = false;
    waiter->waiting = true;
    insert(list, waiter);
    model->queued++;
    res->queued++;
    if (deadline_ns) {
        mmi_timer_set(res, &waiter->timer, deadline_ns);
    }
    return MM_OK;
}

void mmi_waiter_end(struct mmi_residency *res, struct mmi_waiter *waiter, mm_status status,
                    const mm_error *error) {
    mmi_list_remove(&waiter->node);
    mmi_timer_forget(res, &waiter->timer);
    waiter->model->queued--;
    res->queued--;
    if (waiter->kind == MMI_WAIT_RUN_SLOT) {
        atomic_fetch_sub(&waiter->instance->run_slot_waiting, 1);
    }
    waiter->waiting = false;
    waiter->done = true;
    waiter->status = status;
    if (status != MM_OK) {
        if (error) {
            waiter->error = *error;
        } else {
            mmi_fail(&waiter->error, status, "model %s: %s", mmi_model_name(waiter->model),
                     mm_status_text(status));
        }
    }
    if (waiter->wake) {
        pthread_cond_signal(waiter->wake);
    } else {
        waiter->ended(waiter);
    }
}

void mmi_waiter_block(struct mmi_residency *res, struct mmi_waiter *waiter) {
    while (!waiter->done || waiter->job) {
        if (waiter->job) {
            struct mmi_job *job = waiter->job;
            waiter->job = NULL;
            mmi_res_unlock(res);
            job->run(job);
            mmi_res_lock(res);
            continue;
        }
        mmi_work_off(res); /* do pending work before sleeping */
        if (waiter->done || waiter->job) {
            continue;
        }
        uint64_t until_ns = res->config.threads ? 0 : mmi_timers_next(res);
        mmi_lock_wait(&res->lock, waiter->wake, &res->env->clock, until_ns);
        if (!res->config.threads) {
            mmi_timers_run(res, mmi_now(&res->env->clock));
        }
    }
}

/* Numbers of mm_stage. */
enum { STAGE_PREPARING = 1, STAGE_WAITING = 2, STAGE_LOADING = 3 };

static void notify(const struct mmi_list *waiters, const struct mmi_version *version) {
    const struct mmi_instance *instance = version->instance;
    int32_t stage = STAGE_WAITING;
    uint64_t permille = 0, done = 0, total = 0;
    if (version->state == MMI_VERSION_PREPARING) {
        stage = STAGE_PREPARING;
        permille = atomic_load(&version->prepare_permille);
    } else if (instance && !instance->queued && mmi_instance_state(instance) == MMI_LOADING) {
        stage = STAGE_LOADING;
        done = atomic_load(&instance->done_bytes);
        total = version->weights_bytes;
        permille = total ? done * 1000 / total : 0;
    }
    MMI_LIST_EACH(node, waiters) {
        struct mm_op *op = MMI_CONTAINER(node, struct mmi_waiter, node)->op;
        if (op) {
            mmi_op_set_stage(op, stage);
            mmi_op_set_progress(op, (uint32_t)permille, done, total);
        }
    }
}

void mmi_waiters_notify(struct mmi_residency *res, struct mmi_model *model) {
    (void)res;
    notify(&model->waiters, model->current);
    if (model->next) {
        notify(&model->updating, model->next);
    }
}

int32_t mmi_waiters_priority(const struct mmi_model *model, int32_t fallback) {
    if (mmi_list_empty(&model->waiters)) {
        return fallback;
    }
    int32_t first = MMI_CONTAINER(model->waiters.next, struct mmi_waiter, node)->priority;
    return first > fallback ? first : fallback;
}

void mmi_waiters_fail(struct mmi_residency *res, struct mmi_model *model, mm_status status,
                      const mm_error *error) {
    MMI_LIST_EACH(node, &model->waiters) {
        mmi_waiter_end(res, MMI_CONTAINER(node, struct mmi_waiter, node), status, error);
    }
}

/* Give the job to a blocked caller among these. */
static bool hand_over(const struct mmi_residency *res, struct mmi_list *waiters,
                      struct mmi_job *job) {
    MMI_LIST_EACH(node, waiters) {
        struct mmi_waiter *waiter = MMI_CONTAINER(node, struct mmi_waiter, node);
        /* With a deadline it must be able to leave, unless there is nobody else. */
        bool free = waiter->wake && !waiter->job;
        if (free && (!res->config.threads || !waiter->timer.node.place)) {
            waiter->job = job;
            job->claimed = true;
            pthread_cond_signal(waiter->wake);
            return true;
        }
    }
    return false;
}

bool mmi_job_start(struct mmi_residency *res, struct mmi_job *job, struct mmi_model *model,
                   struct mmi_executor *executor, bool inline_ok) {
    if (model && (inline_ok || !res->config.threads) && hand_over(res, &model->waiters, job)) {
        return true;
    }
    if (!res->config.threads) { /* whoever updates it does the work for the new version */
        return model && hand_over(res, &model->updating, job);
    }
    mmi_executor_submit(executor, &job->task);
    return true;
}
