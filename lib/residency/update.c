/* SPDX-License-Identifier: Apache-2.0 */
/* Models come, change and go.
 *
 * An update: (1) nothing is resident or loading: point to the new version. (2) Else prepare the new
 * one beside the old, (3) load it beside the old, (4) switch: new leases are of the new one, the
 * old drains. A failure in 2 or 3 drops the new one. With `replace` an impossible 3 makes the old
 * one leave first. */
#include <residency/core.h>

#include <string.h>

/* ---- Register ------------------------------------------------------------------------------- */

mm_status mmi_model_register(struct mmi_residency *res, const struct mmi_registration *registration,
                             uint64_t *id, mm_error *err) {
    struct mmi_version *version = mmi_version_new(&res->env->alloc, &registration->spec, 1);
    if (!version) {
        return mmi_fail(err, MM_NO_MEMORY, "model %s: out of memory", registration->name);
    }
    mmi_res_lock(res);
    struct mmi_model *model = NULL;
    mm_status status = atomic_load(&res->closed)
                           ? mmi_fail(err, MM_CLOSED, "the mesh is closed")
                           : mmi_catalog_add(&res->catalog, registration->name, &model, err);
    if (status != MM_OK) {
        mmi_res_unlock(res);
        mmi_version_free(&res->env->alloc, version);
        return status;
    }
    model->settings = version->settings = registration->settings;
    model->current = version;
    model->versions = 1;
    *id = atomic_load(&model->id);
    mmi_event(res, MMI_EVENT_REGISTER, model, &(struct mmi_event){0}, NULL);
    if (registration->preload) {
        model->wanted = true;
        mmi_advance(res, model);
    }
    mmi_res_unlock(res);
    return MM_OK;
}

mm_status mmi_model_set(struct mmi_residency *res, uint64_t id, const bool *pinned,
                        const uint32_t *evict_class) {
    mmi_res_lock(res);
    struct mmi_model *model = mmi_catalog_get(&res->catalog, id);
    if (model && pinned) {
        model->settings.pinned = *pinned;
        struct mmi_instance *instance = model->current->instance;
        if (*pinned && instance && !instance->taken &&
            mmi_instance_state(instance) == MMI_RECLAIMABLE) {
            mmi_instance_revive(res, instance); /* pinned bytes do not count as free */
        }
    }
    if (model && evict_class) {
        model->settings.evict_class = *evict_class;
    }
    if (model) {
        mmi_schedule(res); /* an unpinned one may be what a load waits for */
    }
    mmi_res_unlock(res);
    return model ? MM_OK : mmi_no_model(id, NULL);
}

/* ---- Abandoning a version ------------------------------------------------------------------- */

static void end_all(struct mmi_residency *res, struct mmi_list *waiters, mm_status status,
                    const mm_error *error) {
    MMI_LIST_EACH(node, waiters) {
        mmi_waiter_end(res, MMI_CONTAINER(node, struct mmi_waiter, node), status, error);
    }
}

/* No model points to it any more: its instance is detached after its last lease. */
static void abandon(struct mmi_residency *res, struct mmi_version *version, enum mmi_reason reason,
                    mm_status status) {
    struct mmi_instance *instance = version->instance;
    atomic_store(&version->abandoned, true);
    if (instance) {
        if (reason == MMI_REASON_UNREGISTER) {
            end_all(res, &instance->run_slot_waiters, status, NULL);
        }
        end_all(res, &instance->gone, status, NULL);
        mmi_instance_unpublish(instance);
        if (mmi_instance_state(instance) == MMI_LOADING) {
            instance->model = NULL;
            atomic_store(&instance->model_id, 0);
            mmi_load_cancel(res, instance);
        } else {
            instance->taken = true;
            mmi_instance_leave(res, instance, reason, true, NULL);
            if (version->instance == instance) {
                instance->model = NULL;
            }
            /* They request again, and get the new version. */
            end_all(res, &instance->run_slot_waiters, MM_NONE, NULL);
        }
    }
    mmi_version_unref(res, version);
}

mm_status mmi_model_unregister(struct mmi_residency *res, uint64_t id, mm_error *err) {
    mmi_res_lock(res);
    struct mmi_model *model = mmi_catalog_get(&res->catalog, id);
    if (!model) {
        mmi_res_unlock(res);
        return mmi_no_model(id, err);
    }
    mmi_event(res, MMI_EVENT_UNREGISTER, model, &(struct mmi_event){0}, NULL);
    model->wanted = false;
    mmi_waiters_fail(res, model, MM_UNREGISTERED, NULL);
    end_all(res, &model->updating, MM_UNREGISTERED, NULL);
    struct mmi_version *next = model->next;
    struct mmi_version *current = model->current;
    model->next = NULL;
    if (next) {
        abandon(res, next, MMI_REASON_UNREGISTER, MM_UNREGISTERED);
    }
    abandon(res, current, MMI_REASON_UNREGISTER, MM_UNREGISTERED);
    model->current = NULL;
    res->served += model->served;
    res->granted += model->granted;
    mmi_catalog_remove(&res->catalog, model);
    mmi_schedule(res);
    mmi_res_unlock(res);
    return MM_OK;
}

/* ---- Update --------------------------------------------------------------------------------- */

static void switch_version(struct mmi_residency *res, struct mmi_model *model,
                           struct mmi_version *version) {
    struct mmi_version *old = model->current;
    model->current = version;
    model->next = NULL;
    model->replacing = false;
    model->settings = version->settings;
    if (version->instance && mmi_instance_state(version->instance) == MMI_READY) {
        mmi_instance_publish(res, version->instance);
    }
    mmi_count(&res->counters, MMI_COUNT_UPDATES, 1);
    mmi_event(res, MMI_EVENT_SWITCH, model, &(struct mmi_event){.bytes = version->weights_bytes},
              NULL);
    abandon(res, old, MMI_REASON_UPDATE, MM_OK);
    end_all(res, &model->updating, MM_OK, NULL);
}

void mmi_update_ready(struct mmi_residency *res, struct mmi_model *model) {
    switch_version(res, model, model->next);
}

void mmi_update_failed(struct mmi_residency *res, struct mmi_model *model, mm_status status,
                       const mm_error *error) {
    struct mmi_instance *old = model->current->instance;
    bool crowded = status == MM_ALL_PINNED || status == MM_TOO_LARGE;
    if (crowded && model->replace && old) {
        model->replace = false;
        model->replacing = true;
        if (mmi_instance_state(old) == MMI_LOADING) { /* again: it was evicted meanwhile */
            mmi_load_cancel(res, old);
        }
        mmi_update_go_on(res, model);
        return;
    }
    mm_error shown = *error;
    if (crowded) { /* beside the old one it is too large, whatever else is pinned */
        shown.status = MM_TOO_LARGE;
    }
    struct mmi_version *next = model->next;
    model->next = NULL;
    model->replacing = false;
    abandon(res, next, MMI_REASON_UPDATE, MM_CANCELLED);
    end_all(res, &model->updating, (mm_status)shown.status, &shown);
    mmi_advance(res, model); /* those who wait get the old one */
}

void mmi_update_go_on(struct mmi_residency *res, struct mmi_model *model) {
    struct mmi_version *next = model->next;
    struct mmi_instance *old = model->current->instance;
    if (!next || next->instance) {
        return;
    }
    if (model->replacing && old) { /* its end leads back here */
        mmi_instance_leave(res, old, MMI_REASON_UPDATE, true, mmi_model_name(model));
        return;
    }
    mm_error error;
    mm_status status = MM_OK;
    if (next->state == MMI_VERSION_PREPARED) {
        status = mmi_load_begin(res, model, next, mmi_waiters_priority(model, 0), &error);
    } else if (next->state != MMI_VERSION_PREPARING) {
        status = mmi_prepare_begin(res, model, next, &error);
    }
    if (status != MM_OK) {
        mmi_update_failed(res, model, status, &error);
    }
}

mm_status mmi_update_begin(struct mmi_residency *res, struct mmi_model *model,
                           struct mmi_version *version, bool replace) {
    mmi_event(res, MMI_EVENT_UPDATE, model, &(struct mmi_event){0}, NULL);
    version->number = ++model->versions;
    if (model->next) {
        struct mmi_version *superseded = model->next;
        model->next = NULL;
        end_all(res, &model->updating, MM_CANCELLED, NULL);
        abandon(res, superseded, MMI_REASON_UPDATE, MM_CANCELLED);
    }
    struct mmi_instance *instance = model->current->instance;
    if ((!instance || mmi_instance_state(instance) != MMI_READY) && !model->replacing) {
        switch_version(res, model, version);
        mmi_advance(res, model); /* those who waited for the old one get the new */
        return MM_OK;
    }
    model->next = version;
    model->replace = replace;
    return MM_PENDING;
}
