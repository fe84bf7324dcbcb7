/* SPDX-License-Identifier: Apache-2.0 */
#include <residency/models.h>

#include <residency/builds.h>
#include <residency/copies.h>
#include <residency/decisions.h>
#include <residency/instance.h>
#include <residency/lock.h>
#include <residency/update.h>
#include <residency/waiters.h>

static mm_status add(struct mmi_residency *res, const struct mmi_registration *registration,
                     struct mmi_model **model, mm_error *err) {
    if (atomic_load(&res->closed)) {
        return mmi_fail(err, MM_CLOSED, "model %s: the mesh is closed", registration->name);
    }
    MMI_TRY(mmi_catalog_add(&res->catalog, registration->name, model, err));
    if (registration->settings.replicas > 1 && !mmi_model_want_copies(&res->catalog, *model)) {
        mmi_catalog_remove(&res->catalog, *model);
        return mmi_fail(err, MM_NO_MEMORY, "model %s: out of memory", registration->name);
    }
    return MM_OK;
}

mm_status mmi_model_register(struct mmi_residency *res, const struct mmi_registration *registration,
                             uint64_t *id, mm_error *err) {
    struct mmi_version *version = mmi_version_new(&res->env->alloc, &registration->spec, 1);
    if (!version) {
        return mmi_fail(err, MM_NO_MEMORY, "model %s: out of memory", registration->name);
    }
    mmi_res_lock(res);
    struct mmi_model *model = NULL;
    mm_status status = add(res, registration, &model, err);
    if (status != MM_OK) {
        mmi_res_unlock(res);
        mmi_version_free(&res->env->alloc, version);
        return status;
    }
    model->settings = version->settings = registration->settings;
    atomic_store(&model->copies, model->settings.replicas > 1 ? model->copies_memory : NULL);
    model->current = version;
    model->versions = 1;
    *id = atomic_load(&model->id);
    mmi_decided(res, MMI_EVENT_REGISTER, mmi_model_name(model), &(struct mmi_event){0}, NULL);
    if (registration->preload) {
        model->preload = true;
        mmi_mark_model(res, model);
    }
    mmi_res_unlock(res);
    return MM_OK;
}

/* All that is left of it is being detached: an eviction has done its work. */
static bool is_going(const struct mmi_model *model) {
    bool going = !mmi_list_empty(&model->instances);
    MMI_LIST_EACH(node, &model->instances) {
        const struct mmi_instance *instance = MMI_CONTAINER(node, struct mmi_instance, of_model);
        going = going && mmi_instance_state(instance) == MMI_DETACHING;
    }
    return going;
}

/* A pin takes back what is on its way out, whoever wanted it out. */
static void set_pinned(struct mmi_residency *res, struct mmi_model *model, bool pinned) {
    if (pinned && !is_going(model)) {
        mmi_waiters_end(res, &model->evicting, MM_PINNED, NULL);
    }
    model->settings.pinned = model->current->settings.pinned = pinned;
    if (model->next) { /* an update that goes on does not undo it */
        model->next->settings.pinned = pinned;
    }
    MMI_LIST_EACH(node, &model->current->copies) {
        struct mmi_instance *instance = mmi_copy_of(node);
        instance->for_claim &= !pinned;
        if (pinned && mmi_instance_may_return(res, instance)) {
            mmi_instance_revive(res, instance); /* pinned bytes do not count as free */
        }
        mmi_instance_watch_idle(res, instance);
    }
}

static void set_class(struct mmi_model *model, uint32_t evict_class) {
    model->settings.evict_class = model->current->settings.evict_class = evict_class;
    if (model->next) {
        model->next->settings.evict_class = evict_class;
    }
}

mm_status mmi_model_set(struct mmi_residency *res, uint64_t id, const bool *pinned,
                        const uint32_t *evict_class) {
    mmi_res_lock(res);
    struct mmi_model *model = mmi_catalog_get(&res->catalog, id);
    if (model && pinned) {
        set_pinned(res, model, *pinned);
    }
    if (model && evict_class) {
        set_class(model, *evict_class);
    }
    if (model) {
        mmi_mark_memory(res); /* an unpinned one may be what a load waits for */
    }
    mmi_res_unlock(res);
    return model ? MM_OK : mmi_catalog_no_model(id, NULL);
}

/* Instances outlive the model: they count for the mesh from now on. */
static void let_go(struct mmi_residency *res, struct mmi_model *model) {
    MMI_LIST_EACH(node, &model->instances) {
        struct mmi_instance *instance = MMI_CONTAINER(node, struct mmi_instance, of_model);
        mmi_copy_unpublish(res, instance);
        mmi_parked_revoke(&instance->parked, MM_UNREGISTERED);
        atomic_store(&instance->model_id, 0);
        instance->model = NULL;
        mmi_list_remove(&instance->of_model);
        mmi_list_push_back(&res->orphans, &instance->of_model);
    }
}

/* Runs that wait for scratch did not begin. */
static void end_stalled(struct mmi_residency *res, const struct mmi_model *model) {
    MMI_LIST_EACH(node, &res->stalled) {
        struct mmi_waiter *waiter = mmi_waiter_of(node);
        if (waiter->model == model) {
            mmi_waiter_end(res, waiter, MM_UNREGISTERED, NULL);
        }
    }
}

mm_status mmi_model_unregister(struct mmi_residency *res, uint64_t id, mm_error *err) {
    mmi_res_lock(res);
    struct mmi_model *model = mmi_catalog_get(&res->catalog, id);
    if (!model) {
        mmi_res_unlock(res);
        return mmi_catalog_no_model(id, err);
    }
    mmi_decided(res, MMI_EVENT_UNREGISTER, mmi_model_name(model), &(struct mmi_event){0}, NULL);
    model->preload = false;
    mmi_waiters_end(res, &model->waiters, MM_UNREGISTERED, NULL);
    mmi_waiters_end(res, &model->updating, MM_UNREGISTERED, NULL);
    mmi_waiters_end(res, &model->evicting, MM_UNREGISTERED, NULL);
    mmi_parked_revoke(&model->parked, MM_UNREGISTERED);
    end_stalled(res, model);
    struct mmi_version *next = model->next, *current = model->current;
    model->next = NULL;
    if (next) {
        mmi_version_abandon(res, next, MMI_REASON_UNREGISTER);
    }
    mmi_version_abandon(res, current, MMI_REASON_UNREGISTER);
    let_go(res, model);
    model->current = NULL;
    res->served += model->served;
    res->granted += model->granted;
    mmi_list_remove(&model->marked);
    mmi_list_remove(&model->wanting);
    mmi_catalog_remove(&res->catalog, model);
    mmi_mark_memory(res);
    mmi_res_unlock(res);
    return MM_OK;
}

struct mmi_version *mmi_model_hold_version(struct mmi_residency *res, uint64_t id,
                                           struct mmi_settings *settings) {
    mmi_res_lock(res);
    struct mmi_model *model = mmi_catalog_get(&res->catalog, id);
    struct mmi_version *version = model ? model->next ? model->next : model->current : NULL;
    if (version) {
        version->refs++;
        *settings = version->settings;
    }
    mmi_res_unlock(res);
    return version;
}

void mmi_model_drop_version(struct mmi_residency *res, struct mmi_version *version) {
    mmi_res_lock(res);
    mmi_version_unref(res, version);
    mmi_res_unlock(res);
}
