/* SPDX-License-Identifier: Apache-2.0 */
/* Init, close, stop and fini; the lock, and the work that is done after releasing it. */
#include <residency/core.h>

#include <base/checked.h>

#include <malloc.h>
#include <string.h>

/* ---- Events and the log --------------------------------------------------------------------- */

void mmi_event(struct mmi_residency *res, enum mmi_event_kind kind, const struct mmi_model *model,
               const struct mmi_event *fields, const struct mmi_devstate *dev) {
    struct mmi_event event = *fields;
    event.kind = kind;
    event.time_ns = mmi_now(&res->env->clock);
    mmi_event_name(event.model, sizeof(event.model), model ? mmi_model_name(model) : "");
    mmi_event_name(event.device, sizeof(event.device), dev ? dev->device->name : "");
    mmi_events_push(&res->events, &event);
}

static mm_log_level level_of(const struct mmi_event *event) {
    switch (event->kind) {
    case MMI_EVENT_LOAD_FAILED:
    case MMI_EVENT_DEVICE_LOST:
    case MMI_EVENT_LEAK:
        return MM_LOG_WARNING;
    default:
        return MM_LOG_INFO;
    }
}

/* Decisions to the host's log, without the lock, one thread at a time. */
static void log_events(struct mmi_residency *res) {
    struct mmi_event event;
    uint64_t lost;
    while (mmi_events_next(&res->events, &res->log_cursor, &event, &lost)) {
        char line[512];
        struct mmi_text text;
        mmi_text_init(&text, line, sizeof(line));
        mmi_event_line(&event, &text);
        mmi_log(&res->env->log, level_of(&event), "%s", line);
    }
}

void mmi_trim_malloc(void) {
    malloc_trim(0);
}

/* ---- The lock ------------------------------------------------------------------------------- */

void mmi_res_lock(struct mmi_residency *res) {
    mmi_lock(&res->lock);
}

static void close_descriptions(struct mmi_residency *res) {
    while (res->description_bytes > res->config.description_budget_bytes) {
        struct mmi_list *node = mmi_list_pop(&res->closable);
        if (!node) {
            return;
        }
        struct mmi_version *version = MMI_CONTAINER(node, struct mmi_version, closable);
        res->description_bytes -= version->closable_bytes;
        mmi_opened_close_soon(res, version);
    }
}

/* Do one thing that must be done without the lock. false: nothing is left. */
static bool work_once(struct mmi_residency *res) {
    struct mmi_list *node;
    if ((node = mmi_list_pop(&res->detaching))) {
        struct mmi_instance *instance = MMI_CONTAINER(node, struct mmi_instance, queue);
        mmi_unlock(&res->lock);
        mmi_instance_detach(res, instance);
        mmi_lock(&res->lock);
        mmi_instance_detached(res, instance);
    } else if ((node = mmi_list_pop(&res->dropping))) {
        mmi_unlock(&res->lock);
        mmi_version_free(&res->env->alloc, MMI_CONTAINER(node, struct mmi_version, closable));
        mmi_lock(&res->lock);
    } else if ((node = mmi_list_pop(&res->closing))) {
        mmi_unlock(&res->lock);
        mmi_opened_close(&res->env->alloc, MMI_CONTAINER(node, struct mmi_opened, closing));
        mmi_lock(&res->lock);
    } else if ((node = mmi_list_pop(&res->trimmed))) {
        struct mmi_exec_slot *slot = MMI_CONTAINER(node, struct mmi_exec_slot, trimmed);
        mmi_unlock(&res->lock);
        slot->region.device->ops->unmap(&slot->region);
        mmi_lock(&res->lock);
        atomic_store(&slot->busy, 0);
    } else if (res->env->log.line && !res->logging && res->events.last > res->log_cursor) {
        res->logging = true;
        mmi_unlock(&res->lock);
        log_events(res);
        mmi_lock(&res->lock);
        res->logging = false;
        return false;
    } else {
        return false;
    }
    return true;
}

void mmi_work_off(struct mmi_residency *res) {
    res->jobs++; /* stop waits for what goes on here */
    do {
        close_descriptions(res);
    } while (work_once(res));
    res->jobs--;
    if (atomic_load(&res->closed)) {
        pthread_cond_broadcast(&res->quiet);
    }
}

void mmi_res_unlock(struct mmi_residency *res) {
    mmi_work_off(res);
    mmi_unlock(&res->lock);
}

/* ---- Init ----------------------------------------------------------------------------------- */

static uint64_t tick(void *ctx, uint64_t now_ns) {
    struct mmi_residency *res = ctx;
    mmi_res_lock(res);
    mmi_timers_run(res, now_ns);
    mmi_work_off(res);
    uint64_t next_ns = mmi_timers_next(res);
    mmi_unlock(&res->lock);
    return next_ns;
}

static mm_status start_threads(struct mmi_residency *res, mm_error *err) {
    const struct mmi_residency_config *config = &res->config;
    struct mmi_env outliving = *res->env;
    outliving.alloc = config->outliving;
    MMI_TRY(mmi_completions_new(&outliving, &res->completions, err));
    if (!config->threads) {
        return MM_OK;
    }
    MMI_TRY(mmi_timer_thread_new(res->env, tick, res, &res->timer_thread, err));
    MMI_TRY(mmi_executor_new(res->env, "infer", config->infer_threads, &res->infer_executor, err));
    MMI_TRY(mmi_executor_new(res->env, "load", config->load_threads, &res->load_executor, err));
    MMI_TRY(
        mmi_executor_new(res->env, "prep", config->prepare_threads, &res->prepare_executor, err));
    MMI_TRY(mmi_timer_thread_start(res->timer_thread, err));
    MMI_TRY(mmi_executor_start(res->infer_executor, err));
    MMI_TRY(mmi_executor_start(res->load_executor, err));
    return mmi_executor_start(res->prepare_executor, err);
}

/* Only those that exist: a start may have failed halfway. */
static void stop_threads(struct mmi_residency *res) {
    struct mmi_executor *executors[] = {res->prepare_executor, res->load_executor,
                                        res->infer_executor};
    for (size_t i = 0; i < sizeof(executors) / sizeof(executors[0]); i++) {
        if (executors[i]) {
            mmi_executor_stop(executors[i]);
        }
    }
    if (res->timer_thread) {
        mmi_timer_thread_stop(res->timer_thread);
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
    mmi_list_init(&dev->instances);
    mmi_cond_init(&dev->scratch_freed);
    dev->device = device;
    res->device_count++;
    return MM_OK;
}

static void init_lists(struct mmi_residency *res) {
    struct mmi_list *lists[] = {&res->load_queue, &res->detaching, &res->dropping,   &res->closing,
                                &res->closable,   &res->trimmed,   &res->in_executor};
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        mmi_list_init(lists[i]);
    }
}

static mm_status init_parts(struct mmi_residency *res, mm_error *err) {
    const struct mmi_env *env = res->env;
    const struct mmi_residency_config *config = &res->config;
    unsigned cpus = mmi_cpus_allowed();
    mmi_slots_init(&res->slots, &env->alloc, &res->lock, cpus, config->generation_bits);
    MMI_TRY(mmi_catalog_init(&res->catalog, &env->alloc, config->max_models,
                             config->generation_bits, err));
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
    res->config = *config;
    mmi_lock_init(&res->lock, MMI_RANK_RESIDENCY);
    mmi_cond_init(&res->quiet);
    init_lists(res);
    mmi_heap_init(&res->timers, &env->alloc);
    res->preparer = (struct mmi_preparer){.env = env,
                                          .registry = config->registry,
                                          .store = config->store,
                                          .device_kind = config->devices[0]->pub.kind,
                                          .max_signatures = config->max_signatures,
                                          .budget_bytes = config->prepare_budget_bytes};
    mmi_preparer_init(&res->preparer);
    mm_status status = init_parts(res, err);
    if (status != MM_OK) {
        for (size_t i = res->device_count; i < config->device_count; i++) {
            mmi_device_close(config->devices[i]); /* the others go with the rest */
        }
        stop_threads(res);
        mmi_residency_fini(res);
    }
    return status;
}

/* ---- Close, stop, fini ---------------------------------------------------------------------- */

static void close_version(struct mmi_residency *res, struct mmi_version *version) {
    if (!version) {
        return;
    }
    struct mmi_instance *instance = version->instance;
    atomic_store(&version->abandoned, true);
    if (!instance) {
        return;
    }
    mmi_instance_unpublish(instance);
    MMI_LIST_EACH(node, &instance->run_slot_waiters) {
        mmi_waiter_end(res, MMI_CONTAINER(node, struct mmi_waiter, node), MM_CLOSED, NULL);
    }
    MMI_LIST_EACH(node, &instance->gone) {
        mmi_waiter_end(res, MMI_CONTAINER(node, struct mmi_waiter, node), MM_CLOSED, NULL);
    }
    if (mmi_instance_state(instance) == MMI_LOADING) {
        mmi_load_cancel(res, instance);
    }
}

void mmi_residency_close(struct mmi_residency *res) {
    mmi_lock(&res->lock);
    atomic_store(&res->closed, true);
    struct mmi_model *model = NULL;
    while ((model = mmi_catalog_next(&res->catalog, model))) {
        model->wanted = false;
        mmi_waiters_fail(res, model, MM_CLOSED, NULL);
        MMI_LIST_EACH(node, &model->updating) {
            mmi_waiter_end(res, MMI_CONTAINER(node, struct mmi_waiter, node), MM_CLOSED, NULL);
        }
        close_version(res, model->current);
        close_version(res, model->next);
    }
    mmi_pendings_close(res);
    for (size_t i = 0; i < res->device_count; i++) {
        pthread_cond_broadcast(&res->devices[i].scratch_freed);
    }
    pthread_cond_broadcast(&res->quiet);
    mmi_unlock(&res->lock); /* what is to be detached waits for stop: close does not block */
}

static void leave_all(struct mmi_residency *res) {
    for (size_t i = 0; i < res->device_count; i++) {
        MMI_LIST_EACH(node, &res->devices[i].instances) {
            mmi_instance_leave(res, MMI_CONTAINER(node, struct mmi_instance, on_device),
                               MMI_REASON_CLOSE, true, NULL);
        }
    }
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
    pthread_cond_broadcast(&res->quiet);
    return true;
}

static bool has_passed(const struct mmi_residency *res, uint64_t deadline_ns) {
    return deadline_ns && mmi_now(&res->env->clock) >= deadline_ns;
}

mm_status mmi_residency_stop(struct mmi_residency *res, uint64_t deadline_ns, bool no_wait) {
    if (has_passed(res, deadline_ns)) {
        return MM_DEADLINE;
    }
    mmi_residency_close(res);
    mmi_res_lock(res);
    mm_status status = MM_OK;
    for (;;) {
        leave_all(res);
        mmi_work_off(res);
        if (res->instances == 0 && res->jobs == 0 && threads_ended(res)) {
            break;
        }
        if (no_wait || has_passed(res, deadline_ns)) {
            status = no_wait ? MM_BUSY : MM_DEADLINE;
            break;
        }
        mmi_lock_wait(&res->lock, &res->quiet, &res->env->clock, deadline_ns);
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
        mmi_catalog_remove(&res->catalog, model);
    }
}

void mmi_residency_fini(struct mmi_residency *res) {
    mmi_executor_free(res->prepare_executor);
    mmi_executor_free(res->load_executor);
    mmi_executor_free(res->infer_executor);
    mmi_timer_thread_free(res->timer_thread);
    if (res->events.ring) {
        mmi_lock(&res->lock);
        free_models(res);
        mmi_res_unlock(res);
    }
    for (size_t i = 0; i < res->device_count; i++) {
        struct mmi_devstate *dev = &res->devices[i];
        mmi_scratch_unmap_all(dev);
        mmi_free(&res->env->alloc, dev->exec, MMI_EXEC_SLOTS * sizeof(*dev->exec));
        pthread_cond_destroy(&dev->scratch_freed);
        mmi_device_close(dev->device);
    }
    const mm_allocator *alloc = &res->env->alloc;
    mmi_free(alloc, res->candidates, res->plan_capacity[0] * sizeof(*res->candidates));
    mmi_free(alloc, res->planned, res->plan_capacity[1] * sizeof(struct mmi_instance *));
    mmi_free(alloc, res->victims, res->plan_capacity[2] * sizeof(*res->victims));
    mmi_free(alloc, res->released, res->plan_capacity[3] * sizeof(*res->released));
    mmi_completions_free(res->completions);
    mmi_events_fini(&res->events);
    mmi_catalog_fini(&res->catalog);
    mmi_slots_fini(&res->slots);
    mmi_heap_fini(&res->timers);
    mmi_preparer_fini(&res->preparer);
    pthread_cond_destroy(&res->quiet);
    mmi_lock_fini(&res->lock);
}
