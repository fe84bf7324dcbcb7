/* SPDX-License-Identifier: Apache-2.0 */
/* From a request to a load. mmi_advance compares what a model's waiters want with the states of its
 * version and instance, and takes the next step. Whoever changes one of these calls it again. */
#include <residency/core.h>

#include <base/checked.h>

/* ---- Holding descriptions ------------------------------------------------------------------- */

static uint64_t description_bytes(const struct mmi_version *version) {
    return version->opened->host_bytes + version->opened->signatures->bytes;
}

struct mmi_opened *mmi_opened_hold(struct mmi_residency *res, struct mmi_version *version) {
    struct mmi_opened *opened = version->opened;
    version->refs++;
    if (opened->users++ == 0 && mmi_list_linked(&version->closable)) {
        mmi_list_remove(&version->closable);
        res->description_bytes -= version->closable_bytes;
    }
    return opened;
}

void mmi_opened_drop(struct mmi_residency *res, struct mmi_opened *opened) {
    struct mmi_version *version = opened->version;
    if (--opened->users == 0) {
        if (version->opened != opened) {
            mmi_list_push_back(&res->closing, &opened->closing);
        } else if (version->refs > 1) {
            version->closable_bytes = description_bytes(version);
            res->description_bytes += version->closable_bytes;
            mmi_list_push_back(&res->closable, &version->closable);
        }
    }
    mmi_version_unref(res, version);
}

void mmi_opened_close_soon(struct mmi_residency *res, struct mmi_version *version) {
    struct mmi_opened *opened = version->opened;
    version->opened = NULL;
    version->state = MMI_VERSION_UNPREPARED;
    if (opened->users == 0) {
        mmi_list_push_back(&res->closing, &opened->closing);
    } /* else the last user closes it */
}

void mmi_version_unref(struct mmi_residency *res, struct mmi_version *version) {
    if (--version->refs > 0) {
        return;
    }
    if (mmi_list_linked(&version->closable)) {
        mmi_list_remove(&version->closable);
        res->description_bytes -= version->closable_bytes;
    }
    mmi_list_push_back(&res->dropping, &version->closable);
}

/* ---- Preparing ------------------------------------------------------------------------------ */

struct prepare_job {
    struct mmi_job job;
    struct mmi_version *version; /* one reference */
    uint64_t model_id;
    uint64_t begun_ns;
};

static bool prepare_cancelled(void *user) {
    struct prepare_job *prepare = user;
    return atomic_load(&prepare->job.res->closed) || atomic_load(&prepare->version->abandoned);
}

/* The model that this version still belongs to; NULL = none. */
static struct mmi_model *owner_of(struct mmi_residency *res, uint64_t id,
                                  const struct mmi_version *version) {
    struct mmi_model *model = mmi_catalog_get(&res->catalog, id);
    bool owned = model && (model->current == version || model->next == version);
    return owned ? model : NULL;
}

static void prepare_progress(void *user, uint32_t permille) {
    struct prepare_job *prepare = user;
    struct mmi_residency *res = prepare->job.res;
    atomic_store(&prepare->version->prepare_permille, permille);
    mmi_res_lock(res);
    struct mmi_model *model = owner_of(res, prepare->model_id, prepare->version);
    if (model) {
        mmi_waiters_notify(res, model);
    }
    mmi_res_unlock(res);
}

static void prepare_ended(struct prepare_job *prepare, mm_status status,
                          const struct mmi_prepared *prepared, const mm_error *error) {
    struct mmi_residency *res = prepare->job.res;
    struct mmi_version *version = prepare->version;
    struct mmi_model *model = owner_of(res, prepare->model_id, version);
    uint64_t now_ns = mmi_now(&res->env->clock);
    version->prepare_ns = now_ns - prepare->begun_ns;
    if (status == MM_OK) {
        mmi_version_commit(version, prepared);
        mmi_count(&res->counters, MMI_COUNT_PREPARES, prepared->made);
        mmi_histogram_add(&res->prepare_time, version->prepare_ns);
        mmi_opened_hold(res, version); /* hold and drop: unused so far, so it becomes closable */
        mmi_opened_drop(res, version->opened);
    } else if (status == MM_CANCELLED) {
        version->state = MMI_VERSION_UNPREPARED;
    } else {
        version->state = MMI_VERSION_BAD;
        mmi_failure_set(&res->env->alloc, &version->failure, error, now_ns,
                        res->config.backoff_first_ns, res->config.backoff_max_ns);
        mmi_count(&res->counters, MMI_COUNT_PREPARE_FAILURES, 1);
    }
    mmi_event(res, MMI_EVENT_PREPARE_END, model,
              &(struct mmi_event){.status = status,
                                  .bytes = version->weights_bytes,
                                  .duration_ns = version->prepare_ns},
              NULL);
    if (model && model->next == version) {
        if (status == MM_OK) {
            mmi_update_go_on(res, model);
        } else {
            mmi_update_failed(res, model, status, error);
        }
    } else if (model) {
        model->failures += status != MM_OK;
        if (status != MM_OK && status != MM_CANCELLED) {
            model->wanted = false;
        }
        mmi_advance(res, model);
    }
}

static void prepare_run(struct mmi_job *job) {
    struct prepare_job *prepare = MMI_CONTAINER(job, struct prepare_job, job);
    struct mmi_residency *res = job->res;
    struct mmi_prepare_watch watch = {prepare_cancelled, prepare_progress, prepare};
    struct mmi_prepared prepared;
    mm_error error;
    mm_status status =
        mmi_version_open(&res->preparer, prepare->version, &watch, &prepared, &error);
    mmi_res_lock(res);
    prepare_ended(prepare, status, &prepared, &error);
    mmi_version_unref(res, prepare->version);
    res->jobs--;
    mmi_free(&res->env->alloc, prepare, sizeof(*prepare));
    pthread_cond_broadcast(&res->quiet);
    mmi_res_unlock(res);
}

static void job_task(struct mmi_task *task) {
    struct mmi_job *job = MMI_CONTAINER(task, struct mmi_job, task);
    job->run(job);
}

void mmi_job_init(struct mmi_residency *res, struct mmi_job *job, void (*run)(struct mmi_job *job),
                  int32_t priority) {
    *job = (struct mmi_job){.res = res, .run = run};
    job->task.run = job_task;
    job->task.priority = priority;
}

mm_status mmi_prepare_begin(struct mmi_residency *res, struct mmi_model *model,
                            struct mmi_version *version, mm_error *err) {
    struct prepare_job *prepare = mmi_alloc(&res->env->alloc, 1, sizeof(*prepare));
    if (!prepare) {
        return mmi_fail(err, MM_NO_MEMORY, "model %s: out of memory", mmi_model_name(model));
    }
    mmi_job_init(res, &prepare->job, prepare_run, mmi_waiters_priority(model, 0));
    prepare->version = version;
    prepare->model_id = atomic_load(&model->id);
    prepare->begun_ns = mmi_now(&res->env->clock);
    version->refs++;
    version->state = MMI_VERSION_PREPARING;
    atomic_store(&version->prepare_permille, 0);
    mmi_event(res, MMI_EVENT_PREPARE_BEGIN, model, &(struct mmi_event){0}, NULL);
    mmi_waiters_notify(res, model);
    res->jobs++;
    /* A known artifact opens in less time than a thread takes to wake. */
    if (!mmi_job_start(res, &prepare->job, model, res->prepare_executor, version->keyed)) {
        res->jobs--;
        version->refs--;
        version->state = MMI_VERSION_UNPREPARED;
        mmi_free(&res->env->alloc, prepare, sizeof(*prepare));
        return mmi_fail(err, MM_UNSUPPORTED, "model %s: there is no thread to prepare it",
                        mmi_model_name(model));
    }
    return MM_OK;
}

/* ---- Next step of a model ------------------------------------------------------------------- */

static void end_prepared(struct mmi_residency *res, struct mmi_model *model) {
    MMI_LIST_EACH(node, &model->waiters) {
        struct mmi_waiter *waiter = MMI_CONTAINER(node, struct mmi_waiter, node);
        if (waiter->kind == MMI_WAIT_PREPARED) {
            waiter->opened = mmi_opened_hold(res, model->current);
            mmi_waiter_end(res, waiter, MM_OK, NULL);
        }
    }
}

static void end_resident(struct mmi_residency *res, struct mmi_model *model) {
    struct mmi_instance *instance = model->current->instance;
    MMI_LIST_EACH(node, &model->waiters) {
        struct mmi_waiter *waiter = MMI_CONTAINER(node, struct mmi_waiter, node);
        if (waiter->kind == MMI_WAIT_LEASE) {
            mmi_lease_grant(instance->slot, mmi_lease_shard(&res->slots), &waiter->lease);
            waiter->instance = instance;
            model->granted += waiter->counts_as_miss;
        }
        mmi_waiter_end(res, waiter, MM_OK, NULL);
    }
    model->wanted = false;
}

/* A remembered failure is still in force. */
static bool refused(struct mmi_residency *res, struct mmi_model *model) {
    struct mmi_version *version = model->current;
    uint64_t now_ns = mmi_now(&res->env->clock);
    if (version->failure.status == MM_OK || now_ns >= version->failure.until_ns) {
        return false;
    }
    mm_error error;
    mm_status status = mmi_failure_get(&version->failure, now_ns, &error);
    model->wanted = false;
    mmi_waiters_fail(res, model, status, &error);
    return true;
}

static void advance_instance(struct mmi_residency *res, struct mmi_model *model) {
    struct mmi_instance *instance = model->current->instance;
    enum mmi_instance_state state = mmi_instance_state(instance);
    if ((state == MMI_DRAINING || state == MMI_RECLAIMABLE) && !instance->taken) {
        mmi_instance_revive(res, instance);
        state = MMI_READY;
    }
    if (state == MMI_READY) {
        end_resident(res, model);
    } else if (state == MMI_LOADING) {
        mmi_load_raise(res, instance, mmi_waiters_priority(model, instance->priority));
    } /* else: mmi_instance_detached comes back here */
}

static void advance_version(struct mmi_residency *res, struct mmi_model *model) {
    struct mmi_version *version = model->current;
    mm_error error;
    mm_status status = MM_OK;
    if (version->state == MMI_VERSION_PREPARED) {
        if (mmi_list_empty(&model->waiters) && !model->wanted) {
            return;
        }
        if (!refused(res, model)) {
            status = mmi_load_begin(res, model, version, mmi_waiters_priority(model, 0), &error);
        }
    } else if (version->state != MMI_VERSION_PREPARING && !refused(res, model)) {
        status = mmi_prepare_begin(res, model, version, &error);
    }
    if (status != MM_OK) {
        mmi_waiters_fail(res, model, status, &error);
    }
}

void mmi_advance(struct mmi_residency *res, struct mmi_model *model) {
    if (atomic_load(&res->closed)) {
        mmi_waiters_fail(res, model, MM_CLOSED, NULL);
        return;
    }
    if (model->replacing) { /* they get the new version */
        mmi_update_go_on(res, model);
        return;
    }
    if (mmi_list_empty(&model->waiters) && !model->wanted) {
        return;
    }
    if (model->current->state == MMI_VERSION_PREPARED) {
        end_prepared(res, model);
    }
    if (model->current->instance) {
        advance_instance(res, model);
    } else {
        advance_version(res, model);
    }
}

/* ---- Loads: begin, raise, fail, cancel ------------------------------------------------------ */

/* Behind all of the same priority that came before. */
static void enter_load_queue(struct mmi_residency *res, struct mmi_instance *instance) {
    struct mmi_list *at = &res->load_queue;
    while (at->prev != &res->load_queue) {
        struct mmi_instance *before = MMI_CONTAINER(at->prev, struct mmi_instance, queue);
        if (before->priority > instance->priority ||
            (before->priority == instance->priority && before->sequence < instance->sequence)) {
            break;
        }
        at = at->prev;
    }
    mmi_list_insert(at, &instance->queue);
    instance->queued = true;
}

mm_status mmi_load_begin(struct mmi_residency *res, struct mmi_model *model,
                         struct mmi_version *version, int32_t priority, mm_error *err) {
    struct mmi_instance *instance = mmi_instance_new(res, model, version);
    if (!instance) {
        return mmi_fail(err, MM_NO_MEMORY, "model %s: out of memory", mmi_model_name(model));
    }
    instance->priority = priority;
    instance->for_update = model->next == version;
    mmi_job_init(res, &instance->job, mmi_load_run, priority);
    enter_load_queue(res, instance);
    mmi_schedule(res);
    return MM_OK;
}

void mmi_load_again(struct mmi_residency *res, struct mmi_instance *instance) {
    instance->dev = NULL;
    instance->starved_ns = 0;
    instance->job.claimed = false;
    enter_load_queue(res, instance);
    mmi_schedule(res);
}

void mmi_load_raise(struct mmi_residency *res, struct mmi_instance *instance, int32_t priority) {
    if (priority <= instance->priority) {
        return;
    }
    instance->priority = priority;
    if (instance->queued) {
        mmi_list_remove(&instance->queue);
        enter_load_queue(res, instance);
        mmi_schedule(res);
    } else if (!instance->job.claimed && res->config.threads) {
        mmi_executor_raise(res->load_executor, &instance->job.task, priority);
    }
}

void mmi_load_failed(struct mmi_residency *res, struct mmi_instance *instance,
                     const mm_error *error, bool remember) {
    struct mmi_model *model = instance->model;
    struct mmi_version *version = instance->version;
    mm_error copy = *error;
    mmi_event(res, remember ? MMI_EVENT_LOAD_FAILED : MMI_EVENT_REFUSE, model,
              &(struct mmi_event){.status = copy.status, .bytes = version->weights_bytes},
              instance->dev);
    mmi_count(&res->counters, remember ? MMI_COUNT_LOAD_FAILURES : MMI_COUNT_REFUSALS, 1);
    if (remember) {
        mmi_failure_set(&res->env->alloc, &version->failure, &copy, mmi_now(&res->env->clock),
                        res->config.backoff_first_ns, res->config.backoff_max_ns);
        mmi_slot_move(instance->slot, MMI_FAILED);
    }
    bool current = model && model->current == version;
    bool next = model && model->next == version;
    mmi_instance_free(res, instance);
    if (current) {
        model->failures++;
        model->wanted = false;
        if (model->replacing) {
            mmi_update_go_on(res, model);
        } else {
            mmi_waiters_fail(res, model, (mm_status)copy.status, &copy);
        }
    } else if (next) {
        mmi_update_failed(res, model, (mm_status)copy.status, &copy);
    }
}

void mmi_load_cancel(struct mmi_residency *res, struct mmi_instance *instance) {
    atomic_store(&instance->cancelled, true);
    if (instance->queued) {
        mmi_instance_free(res, instance); /* it never got memory */
        mmi_schedule(res);
    } else if (!instance->job.claimed && res->config.threads &&
               mmi_executor_remove(res->load_executor, &instance->job.task)) {
        /* It was to detach its victims: let whoever unlocks do it. */
        mmi_list_move_all(&res->detaching, &instance->victims);
        res->jobs--;
        mmi_instance_free(res, instance);
        mmi_schedule(res);
    } /* else: it ends by itself, soon */
}

void mmi_load_unwanted(struct mmi_residency *res, struct mmi_model *model) {
    struct mmi_instance *instance = model->current ? model->current->instance : NULL;
    if (instance && mmi_list_empty(&model->waiters) && !model->wanted &&
        mmi_instance_state(instance) == MMI_LOADING) {
        mmi_load_cancel(res, instance);
    }
}
