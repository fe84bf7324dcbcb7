/* SPDX-License-Identifier: Apache-2.0 */
#include <residency/preparing.h>

#include <residency/builds.h>
#include <residency/checking.h>
#include <residency/decisions.h>
#include <residency/frame.h>
#include <residency/lock.h>
#include <residency/waiters.h>

#include <assert.h>
#include <string.h>

struct preparation {
    struct mmi_task task;
    struct mmi_residency *res;
    struct mmi_build *build; /* one reference to its version */
    int32_t kind;
    uint64_t model_id;
    uint64_t begun_ns;
    bool by_caller; /* a caller's thread does it */
    char label[64];
};

int32_t mmi_prepare_kind(const struct mmi_residency *res, const struct mmi_version *version) {
    const char *wanted = version->spec->device;
    for (size_t i = 0; i < res->device_count; i++) {
        const struct mmi_device *device = res->devices[i].device;
        if (!atomic_load(&device->lost) && (!wanted || strcmp(wanted, device->name) == 0)) {
            return device->pub.kind;
        }
    }
    return res->devices[0].device->pub.kind;
}

static bool cancelled(void *user) {
    const struct preparation *preparation = user;
    const struct mmi_build *build = preparation->build;
    return atomic_load(&preparation->res->closed) || atomic_load(&build->unwanted) ||
           atomic_load(&build->version->abandoned);
}

/* The model that this version still belongs to; NULL = none. */
static struct mmi_model *owner_of(const struct preparation *preparation) {
    const struct mmi_version *version = preparation->build->version;
    struct mmi_model *model = mmi_catalog_get(&preparation->res->catalog, preparation->model_id);
    bool owned = model && (model->current == version || model->next == version);
    return owned ? model : NULL;
}

static void show_progress(const struct preparation *preparation) {
    struct mmi_residency *res = preparation->res;
    if (!atomic_load(&res->watched)) {
        return; /* mostly: the lock is not taken for nobody */
    }
    mmi_res_lock(res);
    const struct mmi_model *model = owner_of(preparation);
    if (model) {
        mmi_waiters_progress(model);
    }
    mmi_res_unlock(res);
}

static void progress(void *user, uint32_t permille) {
    struct preparation *preparation = user;
    atomic_store(&preparation->build->prepare_permille, permille);
    show_progress(preparation);
}

/* Shown once a MiB: a parser may read a few bytes at a time. */
static void source_read(void *user, uint64_t bytes) {
    struct preparation *preparation = user;
    uint64_t before = atomic_fetch_add(&preparation->build->read_bytes, bytes);
    if (before >> 20 != (before + bytes) >> 20) {
        show_progress(preparation);
    }
}

static void remember(struct mmi_residency *res, struct mmi_build *build, const mm_error *error) {
    build->state = MMI_BUILD_BAD;
    mmi_failure_set(&res->env->alloc, &build->failure, error, mmi_res_now(res),
                    res->config.backoff_first_ns, res->config.backoff_max_ns);
    mmi_count(&res->counters, MMI_COUNT_PREPARE_FAILURES, 1);
}

static void ended(struct preparation *preparation, mm_status status,
                  const struct mmi_prepared *prepared, const mm_error *error) {
    struct mmi_residency *res = preparation->res;
    struct mmi_build *build = preparation->build;
    struct mmi_model *model = owner_of(preparation);
    build->prepare_ns = mmi_res_now(res) - preparation->begun_ns;
    if (status == MM_OK) {
        mmi_build_commit(build, prepared);
        mmi_count(&res->counters, MMI_COUNT_PREPARES, prepared->made);
        mmi_histogram_add(&res->prepare_time, build->prepare_ns);
        mmi_opened_hold(res, build); /* and drop: unused so far, so it counts as closable */
        mmi_opened_drop(res, build->opened);
    } else if (status == MM_CANCELLED) {
        build->state = MMI_BUILD_UNPREPARED;
    } else {
        remember(res, build, error);
        if (model && model->current == build->version) {
            model->failures++;
            if (status == MM_SOURCE_CHANGED) {
                mmi_check_changed(res, model);
            }
        }
    }
    mmi_decided(res, MMI_EVENT_PREPARE_END, preparation->label,
                &(struct mmi_event){.status = status,
                                    .bytes = build->weights_bytes,
                                    .duration_ns = build->prepare_ns},
                NULL);
    mmi_mark_model(res, model);
    mmi_mark_memory(res); /* a load may have waited for this build */
}

static void run(struct mmi_task *task) {
    struct preparation *preparation = MMI_CONTAINER(task, struct preparation, task);
    struct mmi_residency *res = preparation->res;
    struct mmi_prepare_watch watch = {cancelled, progress, source_read, preparation,
                                      preparation->by_caller};
    struct mmi_prepared prepared;
    mm_error error;
    struct mmi_frame frame;
    mmi_frame_enter(&frame, res, preparation->model_id, MMI_FRAME_SLOT);
    mm_status status = mmi_build_open(&res->preparer, preparation->build, preparation->kind, &watch,
                                      &prepared, &error);
    mmi_frame_leave(&frame);
    if (preparation->by_caller && status == MM_NONE) { /* to be prepared, which takes long */
        preparation->by_caller = false;
        mmi_executor_submit(res->prepare_executor, task);
        return;
    }
    if (status != MM_OK) {
        mmi_error_prefix(&error, "model %s", preparation->label);
    }
    mmi_res_lock(res);
    ended(preparation, status, &prepared, &error);
    mmi_version_unref(res, preparation->build->version);
    mmi_free(&res->env->alloc, preparation, sizeof(*preparation));
    mmi_task_done(res);
    mmi_res_unlock(res);
}

mm_status mmi_prepare_begin(struct mmi_residency *res, struct mmi_model *model,
                            struct mmi_build *build, int32_t kind, mm_error *err) {
    assert(build->version->refs > 0);
    struct preparation *preparation = mmi_alloc(&res->env->alloc, 1, sizeof(*preparation));
    if (!preparation) {
        return mmi_fail(err, MM_NO_MEMORY, "model %s: out of memory", mmi_model_name(model));
    }
    *preparation = (struct preparation){.task = {.run = run},
                                        .res = res,
                                        .build = build,
                                        .kind = kind,
                                        .model_id = atomic_load(&model->id),
                                        .begun_ns = mmi_res_now(res)};
    preparation->task.priority = mmi_waiters_priority(&model->waiters, 0);
    mmi_event_name(preparation->label, sizeof(preparation->label), mmi_model_name(model));
    build->version->refs++;
    build->state = MMI_BUILD_PREPARING;
    build->preparing_kind = kind;
    atomic_store(&build->unwanted, false);
    atomic_store(&build->prepare_permille, 0);
    atomic_store(&build->read_bytes, 0);
    mmi_decided(res, MMI_EVENT_PREPARE_BEGIN, preparation->label, &(struct mmi_event){0}, NULL);
    mmi_waiters_progress(model);
    /* A known artifact opens in less time than a thread takes to wake. */
    if (mmi_assign(res, &preparation->task, model, res->prepare_executor, build->keyed)) {
        preparation->by_caller = true; /* who takes it under the lock; an executor did not wait */
    }
    return MM_OK;
}

void mmi_prepare_unwanted(struct mmi_residency *res, struct mmi_version *version) {
    for (uint32_t i = 0; i < version->build_count; i++) {
        struct mmi_build *build = version->builds[i];
        atomic_store(&build->unwanted, build->state == MMI_BUILD_PREPARING);
    }
    mmi_preparer_look(&res->preparer);
}
