/* SPDX-License-Identifier: Apache-2.0 */
#include <residency/waiters.h>

/* What it waits for may have to change now: an eviction that gave up lets its instance serve on. */
static void left(struct mmi_residency *res, struct mmi_waiter *waiter) {
    mmi_mark_model(res, waiter->model);
    if (waiter->kind == MMI_WAIT_SCRATCH) {
        mmi_mark_memory(res);
    }
}

static const char *name_of(const struct mmi_waiter *waiter) {
    return waiter->model ? mmi_model_name(waiter->model) : "";
}

static void expire(void *ctx, struct mmi_timer *timer) {
    struct mmi_residency *res = ctx;
    struct mmi_waiter *waiter = MMI_CONTAINER(timer, struct mmi_waiter, timer);
    mmi_count(&res->counters, MMI_COUNT_DEADLINE, 1);
    mm_error error;
    mmi_fail(&error, MM_DEADLINE, "model %s: the deadline passed while waiting", name_of(waiter));
    mmi_waiter_end(res, waiter, MM_DEADLINE, &error);
}

/* Behind all of the same priority. */
static void insert(struct mmi_list *list, struct mmi_waiter *waiter) {
    struct mmi_list *at = list;
    while (at->prev != list && mmi_waiter_of(at->prev)->priority < waiter->priority) {
        at = at->prev;
    }
    mmi_list_insert(at, &waiter->node);
}

/* An eviction and an update are no requests. */
static bool is_exempt(const struct mmi_waiter *waiter) {
    return waiter->kind == MMI_WAIT_SWITCH || waiter->kind == MMI_WAIT_GONE;
}

static uint32_t count(const struct mmi_list *list) {
    uint32_t members = 0;
    MMI_LIST_EACH(node, list) {
        members++;
    }
    return members;
}

/* Requests are limited; who waits for an eviction, an update or with a lease in hand is not. */
static mm_status check_limits(struct mmi_residency *res, const struct mmi_waiter *waiter,
                              mm_error *err) {
    const struct mmi_model *model = waiter->model;
    if (waiter->kind > MMI_WAIT_RUN) {
        return MM_OK;
    }
    uint32_t most = res->config.max_queued;
    uint32_t limit = model->settings.max_queued ? model->settings.max_queued : most;
    uint32_t waiting = model->queued, all = res->queued - res->exempt;
    if (waiting >= limit) {
        waiting -= count(&model->updating) + count(&model->evicting);
    }
    if (waiting < limit && all < most) {
        return MM_OK;
    }
    mmi_count(&res->counters, MMI_COUNT_OVERLOADED, 1);
    return mmi_fail(err, MM_OVERLOADED,
                    "model %s: %u requests wait for it and %u in all; the limits are %u and %u",
                    mmi_model_name(model), waiting, all, limit, most);
}

mm_status mmi_waiter_add(struct mmi_residency *res, struct mmi_waiter *waiter,
                         struct mmi_list *list, uint64_t deadline_ns, mm_error *err) {
    MMI_TRY(check_limits(res, waiter, err));
    if (!mmi_timer_promise(&res->timers)) {
        return mmi_fail(err, MM_NO_MEMORY, "model %s: out of memory", name_of(waiter));
    }
    waiter->timer.fire = expire;
    waiter->waiting = true;
    mmi_list_init(&waiter->nested_node);
    insert(list, waiter);
    if (waiter->model) {
        waiter->model->queued++;
    }
    res->queued++;
    res->exempt += is_exempt(waiter);
    atomic_fetch_add(&res->watched, waiter->op != NULL);
    if (deadline_ns) {
        mmi_timer_set(&res->timers, &waiter->timer, deadline_ns);
    }
    return MM_OK;
}

void mmi_waiter_end(struct mmi_residency *res, struct mmi_waiter *waiter, mm_status status,
                    const mm_error *error) {
    mmi_list_remove(&waiter->node);
    mmi_list_remove(&waiter->nested_node);
    mmi_timer_forget(&res->timers, &waiter->timer);
    if (waiter->model) {
        waiter->model->queued--;
    }
    res->queued--;
    res->exempt -= is_exempt(waiter);
    atomic_fetch_sub(&res->watched, waiter->op != NULL);
    waiter->waiting = false;
    waiter->status = status;
    if (status != MM_OK) {
        left(res, waiter);
        if (error) {
            waiter->error = *error;
        } else {
            mmi_fail(&waiter->error, status, "model %s: %s", name_of(waiter),
                     mm_status_text(status));
        }
    }
    waiter->ended(waiter);
}

/* error NULL: a status alone. Who begins a new wait on the model's list meanwhile stays. */
static void end_all(struct mmi_residency *res, struct mmi_list *ending, mm_status status,
                    const mm_error *error) {
    mm_error copy;
    if (error) { /* it may lie in something that goes with one of them */
        copy = *error;
        error = &copy;
    }
    while (!mmi_list_empty(ending)) {
        mmi_waiter_end(res, mmi_waiter_of(ending->next), status, error);
    }
}

void mmi_waiters_end(struct mmi_residency *res, struct mmi_list *list, mm_status status,
                     const mm_error *error) {
    struct mmi_list ending;
    mmi_list_init(&ending);
    mmi_list_move_all(&ending, list);
    end_all(res, &ending, status, error);
}

void mmi_loads_refused(struct mmi_residency *res, struct mmi_model *model, const mm_error *error) {
    struct mmi_list ending;
    mmi_list_init(&ending);
    model->preload = false;
    MMI_LIST_EACH(node, &model->waiters) {
        if (mmi_waiter_of(node)->kind != MMI_WAIT_PREPARED) {
            mmi_list_remove(node);
            mmi_list_push_back(&ending, node);
        }
    }
    end_all(res, &ending, (mm_status)error->status, error);
}

bool mmi_waiters_to_run(const struct mmi_model *model) {
    bool any = false;
    MMI_LIST_EACH(node, &model->waiters) {
        const struct mmi_waiter *waiter = mmi_waiter_of(node);
        any |= waiter->kind != MMI_WAIT_PREPARED || waiter->to_run;
    }
    return any;
}

int32_t mmi_waiters_priority(const struct mmi_list *list, int32_t fallback) {
    return mmi_list_empty(list) ? fallback : mmi_waiter_of(list->next)->priority;
}

/* ---- Progress ------------------------------------------------------------------------------- */

/* Numbers of mm_stage. */
enum { STAGE_PREPARING = 1, STAGE_WAITING = 2, STAGE_LOADING = 3 };

struct progress {
    int32_t stage;
    uint64_t permille, done, total;
};

static struct progress progress_of(const struct mmi_version *version) {
    if (version->source == MMI_SOURCE_CHECKING) {
        return (struct progress){.stage = STAGE_PREPARING};
    }
    for (uint32_t i = 0; i < version->build_count; i++) {
        const struct mmi_build *build = version->builds[i];
        if (build->state == MMI_BUILD_PREPARING) {
            return (struct progress){STAGE_PREPARING, atomic_load(&build->prepare_permille),
                                     atomic_load(&build->read_bytes), 0};
        }
    }
    MMI_LIST_EACH(node, &version->copies) {
        const struct mmi_instance *instance = MMI_CONTAINER(node, struct mmi_instance, copy);
        if (instance->dev && mmi_instance_state(instance) == MMI_LOADING) {
            uint64_t done = atomic_load(&instance->done_bytes);
            uint64_t total = instance->build->weights_bytes;
            return (struct progress){STAGE_LOADING, total ? done * 1000 / total : 0, done, total};
        }
    }
    return (struct progress){.stage = STAGE_WAITING};
}

static void show(const struct mmi_list *waiters, const struct mmi_version *version) {
    struct progress progress = progress_of(version);
    MMI_LIST_EACH(node, waiters) {
        struct mm_op *op = mmi_waiter_of(node)->op;
        if (op) {
            mmi_op_set_stage(op, progress.stage);
            mmi_op_set_progress(op, (uint32_t)progress.permille, progress.done, progress.total);
        }
    }
}

void mmi_waiters_progress(const struct mmi_model *model) {
    if (!mmi_list_empty(&model->waiters)) {
        show(&model->waiters, model->current);
    }
    if (model->next) {
        show(&model->updating, model->next);
    }
}
