/* SPDX-License-Identifier: Apache-2.0 */
/* Making and unmaking the whole. */
#include <residency/residency.h>

#include <residency/builds.h>
#include <residency/cleanup.h>
#include <residency/copies.h>
#include <residency/fit.h>
#include <residency/held.h>
#include <residency/instance.h>
#include <residency/load.h>
#include <residency/lock.h>
#include <residency/schedule.h>
#include <residency/scratch.h>
#include <residency/waiters.h>

#include <base/checked.h>
#include <pool/pool.h>

#include <string.h>

/* ---- Making ---------------------------------------------------------------------------------- */

static mm_status start_threads(struct mmi_residency *res, mm_error *err) {
    const struct mmi_residency_config *config = &res->config;
    struct mmi_env outliving = *res->env;
    outliving.alloc = config->outliving;
    MMI_TRY(mmi_completions_new(&outliving, &res->completions, err));
    if (!config->threads) {
        return MM_OK;
    }
    MMI_TRY(mmi_timer_thread_new(res->env, mmi_tick, res, &res->timers.thread, err));
    MMI_TRY(mmi_executor_new(res->env, "infer", config->infer_threads, &res->infer_executor, err));
    MMI_TRY(mmi_executor_new(res->env, "load", config->load_threads, &res->load_executor, err));
    MMI_TRY(
        mmi_executor_new(res->env, "prep", config->prepare_threads, &res->prepare_executor, err));
    MMI_TRY(
        mmi_executor_new(res->env, "clean", 1 + MMI_BYTES_WORKERS, &res->cleanup_executor, err));
    MMI_TRY(mmi_timer_thread_start(res->timers.thread, err));
    MMI_TRY(mmi_executor_start(res->infer_executor, err));
    MMI_TRY(mmi_executor_start(res->load_executor, err));
    MMI_TRY(mmi_executor_start(res->prepare_executor, err));
    return mmi_executor_start(res->cleanup_executor, err);
}

/* Those that there are: a failed start left some out. */
static void stop_threads(struct mmi_residency *res) {
    struct mmi_executor *executors[] = {res->prepare_executor, res->load_executor,
                                        res->infer_executor, res->cleanup_executor};
    for (size_t i = 0; i < sizeof(executors) / sizeof(executors[0]); i++) {
        if (executors[i]) {
            mmi_executor_stop(executors[i]);
        }
    }
    if (res->timers.thread) {
        mmi_timer_thread_stop(res->timers.thread);
    }
}

static mm_status init_device(struct mmi_residency *res, struct mmi_device *device, mm_error *err) {
    struct mmi_devstate *dev = &res->devices[res->device_count];
    dev->exec = mmi_alloc_aligned(&res->env->alloc, MMI_EXEC_SLOTS * sizeof(*dev->exec), 64);
    if (!dev->exec) {
        return mmi_fail(err, MM_NO_MEMORY, "device %s: out of memory", device->name);
    }
    for (unsigned i = 0; i < MMI_EXEC_SLOTS; i++) {
        mmi_list_init(&dev->exec[i].trimmed);
    }
    mmi_list_init(&dev->more);
    mmi_list_init(&dev->held);
    dev->device = device;
    dev->scratch_cap = UINT64_MAX;
    res->preparer.kinds |= (uint32_t)device->pub.kind;
    res->device_count++;
    return MM_OK;
}

static void init_lists(struct mmi_residency *res) {
    struct mmi_list *lists[] = {&res->marked,    &res->wanting,  &res->loads,   &res->runs,
                                &res->nested,    &res->stalled,  &res->blocked, &res->requests,
                                &res->detaching, &res->dropping, &res->closing, &res->trimmed,
                                &res->closable,  &res->tasks,    &res->orphans};
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        mmi_list_init(lists[i]);
    }
}

static mm_status init_parts(struct mmi_residency *res, mm_error *err) {
    const struct mmi_env *env = res->env;
    const struct mmi_residency_config *config = &res->config;
    mmi_slots_init(&res->slots, &env->alloc, &res->lock, mmi_cpus_allowed(),
                   config->generation_bits);
    struct mmi_catalog_config catalog = {.max_models = config->max_models,
                                         .devices = (uint32_t)config->device_count,
                                         .generation_bits = config->generation_bits,
                                         .salt = config->salt};
    MMI_TRY(mmi_catalog_init(&res->catalog, &env->alloc, &catalog, err));
    if (!mmi_timer_promise(&res->timers) || !mmi_timer_promise(&res->timers)) {
        return mmi_fail(err, MM_NO_MEMORY, "timers: out of memory");
    }
    if (!mmi_events_init(&res->events, &env->alloc, config->event_capacity)) {
        return mmi_fail(err, MM_NO_MEMORY, "decision log: out of memory");
    }
    for (size_t i = 0; i < config->device_count; i++) {
        MMI_TRY(init_device(res, config->devices[i], err));
    }
    return start_threads(res, err);
}

mm_status mmi_residency_init(struct mmi_residency *res, const struct mmi_env *env,
                             const struct mmi_residency_config *config, mm_error *err) {
    memset(res, 0, sizeof(*res));
    res->env = env;
    res->schedule = mmi_schedule;
    res->config = *config;
    res->round = 1; /* 0: a device that no claim ever waited for */
    mmi_lock_init(&res->lock, MMI_RANK_RESIDENCY);
    mmi_cond_init(&res->quiet, env);
    init_lists(res);
    mmi_timers_init(&res->timers, &env->alloc);
    mmi_cleanup_init(res);
    res->preparer = (struct mmi_preparer){.env = env,
                                          .registry = config->registry,
                                          .store = config->store,
                                          .max_signatures = config->max_signatures,
                                          .budget_bytes = config->prepare_budget_bytes};
    mmi_preparer_init(&res->preparer);
    mm_status status = init_parts(res, err);
    if (status != MM_OK) {
        for (size_t i = res->device_count; i < config->device_count; i++) {
            mmi_device_close(config->devices[i]); /* the others go with the rest */
        }
        stop_threads(res);
        res->joining = true; /* what is left is done here */
        mmi_residency_fini(res);
    }
    return status;
}

/* ---- Unmaking -------------------------------------------------------------------------------- */

static void close_version(struct mmi_residency *res, struct mmi_version *version) {
    if (!version) {
        return;
    }
    atomic_store(&version->abandoned, true);
    mmi_memory_end(&version->spec->memory); /* the caller's: nobody will read them any more */
    MMI_LIST_EACH(node, &version->copies) {
        struct mmi_instance *instance = mmi_copy_of(node);
        mmi_copy_unpublish(res, instance);
        if (mmi_instance_state(instance) == MMI_LOADING) {
            mmi_load_cancel(res, instance);
        }
    }
}

void mmi_residency_close(struct mmi_residency *res) {
    mmi_lock(&res->lock);
    atomic_store(&res->closed, true);
    struct mmi_model *model = NULL;
    while ((model = mmi_catalog_next(&res->catalog, model))) {
        model->preload = false;
        mmi_waiters_end(res, &model->waiters, MM_CLOSED, NULL);
        mmi_waiters_end(res, &model->updating, MM_CLOSED, NULL);
        mmi_waiters_end(res, &model->evicting, MM_CLOSED, NULL);
        close_version(res, model->current);
        close_version(res, model->next);
    }
    mmi_preparer_look(&res->preparer);
    mmi_waiters_end(res, &res->stalled, MM_CLOSED, NULL);
    mmi_pendings_close(res);
    mmi_cond_broadcast(&res->quiet);
    mmi_unlock(&res->lock); /* what is to be detached waits for stop: close does not block */
}

static void leave_all(struct mmi_residency *res) {
    for (size_t i = 0; i < res->device_count; i++) {
        const struct mmi_devstate *dev = &res->devices[i];
        for (size_t at = 0; at < dev->instance_count; at++) {
            mmi_instance_leave(res, dev->instances[at], MMI_REASON_CLOSE, NULL);
        }
    }
}

/* Without threads nobody else may be left to do it. */
static bool run_a_task(struct mmi_residency *res) {
    struct mmi_list *node = mmi_list_pop(&res->tasks);
    if (!node) {
        return false;
    }
    struct mmi_task *task = MMI_CONTAINER(node, struct mmi_task, node);
    mmi_unlock(&res->lock);
    task->run(task);
    mmi_lock(&res->lock);
    return true;
}

/* Locked before and after. A callback takes as long as it likes: the deadline bounds that, too. */
static bool callbacks_ended(struct mmi_residency *res, uint64_t deadline_ns) {
    mmi_unlock(&res->lock);
    bool ended = mmi_completions_called(res->completions, deadline_ns);
    mmi_lock(&res->lock);
    return ended;
}

/* Locked before and after. One thread joins them; whoever else stops waits for it. */
static bool threads_ended(struct mmi_residency *res) {
    if (res->joining) {
        return res->joined;
    }
    res->joining = true;
    mmi_unlock(&res->lock);
    stop_threads(res);
    mmi_completions_stop(res->completions); /* last: it delivers what the others completed */
    mmi_lock(&res->lock);
    res->joined = true;
    mmi_cond_broadcast(&res->quiet);
    return true;
}

static bool is_over(struct mmi_residency *res) {
    return res->instances == 0 && res->jobs == 0 && mmi_list_empty(&res->requests) &&
           !mmi_cleanup_due(res);
}

mm_status mmi_residency_stop(struct mmi_residency *res, uint64_t deadline_ns, bool no_wait) {
    if (deadline_ns && mmi_res_now(res) >= deadline_ns) {
        return MM_DEADLINE; /* nothing was started */
    }
    mmi_residency_close(res);
    atomic_store(&res->stopping, true);
    mmi_res_lock(res);
    leave_all(res); /* a load that ends after this leaves by itself */
    mm_status status = MM_PENDING;
    bool called = false;
    while (status == MM_PENDING) {
        mmi_schedule(res);
        if (run_a_task(res)) {
            continue;
        }
        bool over = is_over(res);
        if (over && !called) {
            called = callbacks_ended(res, no_wait ? UINT64_C(1) : deadline_ns);
            over = called && is_over(res); /* a callback may have left something to do */
        }
        if (over && threads_ended(res)) {
            status = MM_OK;
        } else if (no_wait && !over) {
            status = MM_BUSY;
        } else if (deadline_ns && mmi_res_now(res) >= deadline_ns) {
            status = MM_DEADLINE;
        } else {
            mmi_res_wait(res, &res->quiet, deadline_ns);
        }
    }
    mmi_res_unlock(res);
    return status;
}

static void free_models(struct mmi_residency *res) {
    struct mmi_model *model = NULL;
    while ((model = mmi_catalog_next(&res->catalog, model))) { /* its number stays */
        if (model->next) {
            mmi_version_unref(res, model->next);
        }
        mmi_version_unref(res, model->current);
        mmi_list_remove(&model->marked);
        mmi_list_remove(&model->wanting);
        mmi_catalog_remove(&res->catalog, model);
    }
}

static void free_threads(struct mmi_residency *res) {
    mmi_executor_free(res->prepare_executor);
    mmi_executor_free(res->load_executor);
    mmi_executor_free(res->infer_executor);
    mmi_executor_free(res->cleanup_executor);
    mmi_timer_thread_free(res->timers.thread);
    res->timers.thread = NULL;
}

void mmi_residency_fini(struct mmi_residency *res) {
    free_threads(res);
    if (res->events.ring) {
        mmi_lock(&res->lock);
        free_models(res);
        mmi_res_unlock(res); /* frees what that let go of */
    }
    for (size_t i = 0; i < res->device_count; i++) {
        struct mmi_devstate *dev = &res->devices[i];
        mmi_scratch_unmap_all(dev);
        mmi_held_free_all(res, dev);
        mmi_free(&res->env->alloc, dev->exec, MMI_EXEC_SLOTS * sizeof(*dev->exec));
        mmi_device_close(dev->device);
    }
    mmi_fit_free_room(res);
    mmi_completions_free(res->completions);
    mmi_events_fini(&res->events);
    mmi_catalog_fini(&res->catalog);
    mmi_slots_fini(&res->slots);
    mmi_timers_fini(&res->timers);
    mmi_preparer_fini(&res->preparer);
    mmi_cond_fini(&res->quiet);
    mmi_lock_fini(&res->lock);
}
