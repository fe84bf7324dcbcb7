/* SPDX-License-Identifier: Apache-2.0 */
#include <residency/update.h>

#include <residency/builds.h>
#include <residency/copies.h>
#include <residency/decisions.h>
#include <residency/instance.h>
#include <residency/load.h>
#include <residency/preparing.h>
#include <residency/waiters.h>

#define MOST_SUPERSEDED 2u

/* Those that serve as soon as they can, those that load are cancelled. */
static void leave_copies(struct mmi_residency *res, struct mmi_version *version,
                         enum mmi_reason reason, const char *for_whom) {
    MMI_LIST_EACH(node, &version->copies) {
        struct mmi_instance *instance = mmi_copy_of(node);
        if (mmi_instance_state(instance) == MMI_LOADING) {
            mmi_load_cancel(res, instance);
        } else {
            mmi_instance_leave(res, instance, reason, for_whom);
        }
    }
}

void mmi_version_abandon(struct mmi_residency *res, struct mmi_version *version,
                         enum mmi_reason reason) {
    atomic_store(&version->abandoned, true);
    mmi_preparer_look(&res->preparer);
    mmi_memory_end(&version->spec->memory);
    version->refs++; /* the last copy may take the others along */
    leave_copies(res, version, reason, NULL);
    mmi_version_unref(res, version);
    mmi_version_unref(res, version);
}

static void switch_version(struct mmi_residency *res, struct mmi_model *model,
                           struct mmi_version *version) {
    struct mmi_version *old = model->current;
    model->current = version;
    model->next = NULL;
    model->update = MMI_UPDATE_NONE;
    model->held = false;
    model->settings = version->settings;
    model->copy_until_ns = 0;
    atomic_store(&model->copies, model->settings.replicas > 1 ? model->copies_memory : NULL);
    MMI_LIST_EACH(node, &version->copies) {
        if (mmi_instance_state(mmi_copy_of(node)) == MMI_READY) {
            mmi_copy_publish(res, mmi_copy_of(node));
            mmi_instance_watch_idle(res, mmi_copy_of(node));
        }
    }
    mmi_count(&res->counters, MMI_COUNT_UPDATES, 1);
    mmi_decided(res, MMI_EVENT_SWITCH, mmi_model_name(model), &(struct mmi_event){0}, NULL);
    mmi_version_abandon(res, old, MMI_REASON_UPDATE);
    mmi_waiters_end(res, &model->updating, MM_OK, NULL);
    mmi_mark_model(res, model);
}

static void drop_next(struct mmi_residency *res, struct mmi_model *model) {
    struct mmi_version *next = model->next;
    model->next = NULL;
    model->update = MMI_UPDATE_NONE;
    model->held = false;
    mmi_version_abandon(res, next, MMI_REASON_UPDATE);
    mmi_mark_model(res, model);
}

void mmi_update_failed(struct mmi_residency *res, struct mmi_model *model, const mm_error *error) {
    bool crowded = error->status == MM_ALL_PINNED; /* MM_TOO_LARGE: not even alone */
    if (crowded && model->update == MMI_UPDATE_BESIDE_OR_REPLACE &&
        !mmi_list_empty(&model->current->copies)) {
        model->update = MMI_UPDATE_REPLACE;
        mmi_mark_model(res, model);
        return;
    }
    if (model->update == MMI_UPDATE_FOLLOW) { /* the old one serves, for a while without a look */
        mmi_failure_set(&res->env->alloc, &model->current->follow, error, mmi_res_now(res),
                        res->config.backoff_first_ns, res->config.backoff_max_ns);
    }
    mm_error shown = *error;
    if (crowded && !mmi_list_empty(&model->current->copies)) {
        shown.status = MM_TOO_LARGE; /* beside the old one it is, whatever else is pinned */
    }
    drop_next(res, model);
    mmi_waiters_end(res, &model->updating, (mm_status)shown.status, &shown);
}

/* The old copies leave. true = they are gone. */
static bool clear_old(struct mmi_residency *res, struct mmi_model *model) {
    leave_copies(res, model->current, MMI_REASON_UPDATE, mmi_model_name(model));
    return mmi_list_empty(&model->current->copies);
}

static bool fail_refused(struct mmi_residency *res, struct mmi_model *model) {
    mm_error error;
    bool refused = mmi_version_refused(res, model->next, &error);
    if (refused) {
        mmi_update_failed(res, model, &error);
    }
    return refused;
}

static bool fail_remembered(struct mmi_residency *res, struct mmi_model *model,
                            const struct mmi_failure *failure) {
    mm_error error;
    bool holds = failure && mmi_failure_recall(res, failure, &error);
    if (holds) {
        mmi_update_failed(res, model, &error);
    }
    return holds;
}

/* The kind for which a copy of it waits; 0 = none does. */
static int32_t wanted_kind(const struct mmi_version *version) {
    MMI_LIST_EACH(node, &version->copies) {
        const struct mmi_instance *instance = mmi_copy_of(node);
        if (!instance->dev && instance->wanted_kind) {
            return instance->wanted_kind;
        }
    }
    return 0;
}

static bool any_ready(const struct mmi_version *version) {
    return mmi_copies_count(version).ready > 0;
}

/* Neither there nor failed. */
static bool to_come(const struct mmi_residency *res, const struct mmi_version *version) {
    bool failed = version->refusal.status != MM_OK ||
                  mmi_failure_holds(&version->failure, mmi_res_now(res)) ||
                  mmi_version_bad_build(res, version, UINT32_MAX);
    return !failed && !any_ready(version);
}

/* Where updates come faster than versions can be loaded, requests would wait for ever: the version
 * that they wait for is given up a few times, then it is loaded first. */
static bool must_be_held(const struct mmi_residency *res, struct mmi_model *model,
                         const struct mmi_version *awaited) {
    if (!mmi_waiters_to_run(model) || !to_come(res, awaited)) {
        model->superseded = 0;
        return false;
    }
    if (model->superseded == MOST_SUPERSEDED) {
        return true;
    }
    model->superseded++;
    return false;
}

void mmi_update_step(struct mmi_residency *res, struct mmi_model *model) {
    struct mmi_version *next = model->next;
    if (!next || model->held) {
        return;
    }
    struct mmi_copies_count copies = mmi_copies_count(next);
    bool follows_cold = model->update == MMI_UPDATE_FOLLOW && !any_ready(model->current);
    if (copies.ready > 0 || (follows_cold && mmi_version_described(next))) {
        switch_version(res, model, next);
        return;
    }
    if (fail_refused(res, model)) {
        return;
    }
    if (model->update == MMI_UPDATE_REPLACE && !clear_old(res, model)) {
        return;
    }
    if (mmi_version_preparing(next) ||
        fail_remembered(res, model, mmi_version_bad_build(res, next, UINT32_MAX)) ||
        fail_remembered(res, model, &next->failure)) {
        return;
    }
    bool begins = copies.loading == 0 && copies.leaving == 0;
    int32_t kind = begins ? mmi_prepare_kind(res, next) : wanted_kind(next);
    if (!kind) {
        return; /* its load waits for memory; the description may be closed meanwhile */
    }
    mm_error error;
    mm_status status = MM_OK;
    struct mmi_build *build = mmi_version_build(next, kind);
    if (build->state != MMI_BUILD_PREPARED) {
        status = mmi_prepare_begin(res, model, build, kind, &error);
    } else if (begins) {
        status = mmi_load_begin(res, model, next, mmi_waiters_priority(&model->waiters, 0), &error);
    }
    if (status != MM_OK) {
        mmi_update_failed(res, model, &error);
    }
}

bool mmi_update_waits(const struct mmi_residency *res, const struct mmi_model *model) {
    return model->held && to_come(res, model->current);
}

void mmi_update_go_on(struct mmi_residency *res, struct mmi_model *model) {
    if (!model->held) {
        return;
    }
    model->held = false;
    model->superseded = 0;
    mmi_mark_model(res, model);
    if (!any_ready(model->current)) { /* who waited was told why */
        switch_version(res, model, model->next);
    }
}

/* An update that goes on gives way to another. */
static void give_up_next(struct mmi_residency *res, struct mmi_model *model) {
    mm_error error;
    mmi_fail(&error, MM_CANCELLED, "model %s: another update took the place of this one",
             mmi_model_name(model));
    mmi_waiters_end(res, &model->updating, MM_CANCELLED, &error);
}

bool mmi_update_begin(struct mmi_residency *res, struct mmi_model *model,
                      struct mmi_version *version, bool replace) {
    mmi_decided(res, MMI_EVENT_UPDATE, mmi_model_name(model), &(struct mmi_event){0}, NULL);
    version->number = ++model->versions;
    bool was_replacing = model->update == MMI_UPDATE_REPLACE && !model->held;
    bool held = was_replacing && must_be_held(res, model, model->next);
    if (model->next) {
        give_up_next(res, model);
        if (held) { /* the old one is gone: what requests wait for is the current one now */
            switch_version(res, model, model->next);
        } else {
            drop_next(res, model);
        }
    }
    mmi_mark_model(res, model);
    was_replacing = was_replacing && !held;
    bool cold = !any_ready(model->current) && !was_replacing;
    held = held || (cold && must_be_held(res, model, model->current));
    if (cold && !held) {
        switch_version(res, model, version);
        return false;
    }
    model->next = version;
    model->held = held;
    model->update = was_replacing ? MMI_UPDATE_REPLACE
                    : replace     ? MMI_UPDATE_BESIDE_OR_REPLACE
                                  : MMI_UPDATE_BESIDE;
    return true;
}

mm_status mmi_update_follow(struct mmi_residency *res, struct mmi_model *model, mm_error *err) {
    struct mmi_version *version =
        mmi_version_new(&res->env->alloc, model->current->spec, model->versions + 1);
    if (!version) {
        return mmi_fail(err, MM_NO_MEMORY, "model %s: out of memory", mmi_model_name(model));
    }
    version->settings = model->current->settings;
    model->versions++;
    model->next = version;
    model->update = MMI_UPDATE_FOLLOW;
    mmi_decided(res, MMI_EVENT_UPDATE, mmi_model_name(model),
                &(struct mmi_event){.reason = "source_changed"}, NULL);
    mmi_mark_model(res, model);
    return MM_OK;
}
