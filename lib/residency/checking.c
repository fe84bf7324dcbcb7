/* SPDX-License-Identifier: Apache-2.0 */
#include <residency/checking.h>

#include <residency/builds.h>
#include <residency/decisions.h>
#include <residency/lock.h>
#include <residency/waiters.h>

struct check {
    struct mmi_task task;
    struct mmi_residency *res;
    struct mmi_version *version; /* one reference */
    uint64_t model_id;
    char label[64];
};

static bool cancelled(void *user) {
    const struct check *check = user;
    return atomic_load(&check->res->closed) || atomic_load(&check->version->abandoned);
}

static void note_read(void *user, uint64_t bytes) {
    (void)user;
    (void)bytes;
}

static bool may_follow(const struct mmi_residency *res, const struct mmi_model *model) {
    return model->settings.changes == MMI_CHANGES_FOLLOW && !model->next &&
           !mmi_failure_holds(&model->current->follow, mmi_res_now(res));
}

bool mmi_check_needed(const struct mmi_residency *res, const struct mmi_model *model) {
    return model->current->content_known &&
           (model->settings.changes == MMI_CHANGES_REFUSE || may_follow(res, model));
}

void mmi_check_changed(const struct mmi_residency *res, const struct mmi_model *model) {
    if (model->current->content_known && may_follow(res, model)) {
        model->current->source = MMI_SOURCE_CHANGED;
    }
}

static void remember(struct mmi_residency *res, struct mmi_failure *failure,
                     const mm_error *error) {
    mmi_failure_set(&res->env->alloc, failure, error, mmi_res_now(res),
                    res->config.backoff_first_ns, res->config.backoff_max_ns);
}

static void refuse(struct check *check, struct mmi_model *model, const mm_error *error) {
    struct mmi_residency *res = check->res;
    mmi_decided(res, MMI_EVENT_REFUSE, check->label, &(struct mmi_event){.status = error->status},
                NULL);
    remember(res, &check->version->failure, error);
    model->failures++;
}

static void ended(struct check *check, mm_status status, const mm_error *error) {
    struct mmi_residency *res = check->res;
    struct mmi_version *version = check->version;
    struct mmi_model *model = mmi_catalog_get(&res->catalog, check->model_id);
    version->source = MMI_SOURCE_UNKNOWN;
    if (!model || model->current != version) {
        return;
    }
    if (status == MM_OK) {
        version->source = MMI_SOURCE_SAME;
        mmi_failure_clear(&res->env->alloc, &version->follow);
    } else if (model->settings.changes == MMI_CHANGES_REFUSE && status != MM_CANCELLED) {
        refuse(check, model, error);
    } else if (status == MM_SOURCE_CHANGED) {
        mmi_check_changed(res, model);
    } else if (status != MM_CANCELLED) {
        remember(res, &version->follow, error);
    }
    mmi_mark_model(res, model);
}

static void run(struct mmi_task *task) {
    struct check *check = MMI_CONTAINER(task, struct check, task);
    struct mmi_residency *res = check->res;
    struct mmi_prepare_watch watch = {cancelled, NULL, note_read, check, false};
    mm_error error = {0};
    mm_status status = mmi_version_compare(&res->preparer, check->version, &watch, &error);
    if (status != MM_OK) {
        mmi_error_prefix(&error, "model %s", check->label);
    }
    mmi_res_lock(res);
    ended(check, status, &error);
    mmi_version_unref(res, check->version);
    mmi_free(&res->env->alloc, check, sizeof(*check));
    mmi_task_done(res);
    mmi_res_unlock(res);
}

mm_status mmi_check_begin(struct mmi_residency *res, struct mmi_model *model, mm_error *err) {
    struct check *check = mmi_alloc(&res->env->alloc, 1, sizeof(*check));
    if (!check) {
        return mmi_fail(err, MM_NO_MEMORY, "model %s: out of memory", mmi_model_name(model));
    }
    *check = (struct check){.task = {.run = run},
                            .res = res,
                            .version = model->current,
                            .model_id = atomic_load(&model->id)};
    check->task.priority = mmi_waiters_priority(&model->waiters, 0);
    mmi_event_name(check->label, sizeof(check->label), mmi_model_name(model));
    model->current->refs++;
    model->current->source = MMI_SOURCE_CHECKING;
    /* Of a file most often no more than its identity. */
    bool quick = check->version->spec->source != NULL;
    mmi_assign(res, &check->task, model, res->prepare_executor, quick);
    return MM_OK;
}
