/* SPDX-License-Identifier: Apache-2.0 */
#include <residency/request.h>

#include <residency/builds.h>
#include <residency/copies.h>
#include <residency/frame.h>
#include <residency/instance.h>
#include <residency/load.h>
#include <residency/lock.h>
#include <residency/update.h>
#include <residency/waiters.h>

#include <base/checked.h>

/* ---- Beginning to wait ----------------------------------------------------------------------- */

static mm_status check(struct mmi_pending *pending, struct mmi_model **model, mm_error *err) {
    struct mmi_residency *res = pending->res;
    const struct mmi_request *request = &pending->request;
    *model = mmi_catalog_get(&res->catalog, request->id);
    const char *name = *model ? mmi_model_name(*model) : "";
    if (atomic_load(&res->closed)) {
        return mmi_fail(err, MM_CLOSED, "model %s: the mesh is closed", name);
    }
    if (!*model) {
        return mmi_catalog_no_model(request->id, err);
    }
    if (atomic_load(&pending->cancel.cancelled)) {
        mmi_count(&res->counters, MMI_COUNT_CANCELLED, 1);
        return mmi_fail(err, MM_CANCELLED, "model %s: cancelled", name);
    }
    if (request->deadline_ns && mmi_res_now(res) >= request->deadline_ns) {
        mmi_count(&res->counters, MMI_COUNT_DEADLINE, 1);
        return mmi_fail(err, MM_DEADLINE, "model %s: the deadline has passed", name);
    }
    return MM_OK;
}

/* Its wait is over, or there was none. */
static void finish(struct mmi_pending *pending, mm_status status) {
    struct mmi_residency *res = pending->res;
    struct mmi_admission *admission = &pending->admission;
    if (admission->lease.slot && !admission->hit) {
        admission->wait_ns = mmi_sub_floor(mmi_res_now(res), pending->begun_ns);
        mmi_histogram_add(&res->queue_time, admission->wait_ns);
    }
    pending->status = status;
    pending->ended(pending);
}

static void waiter_ended(struct mmi_waiter *waiter) {
    struct mmi_pending *pending = MMI_CONTAINER(waiter, struct mmi_pending, waiter);
    if (waiter->status != MM_OK) {
        pending->error = waiter->error;
    } else {
        bool hit = pending->admission.hit;
        pending->admission = waiter->admission;
        pending->admission.hit = hit;
        pending->opened = waiter->opened;
    }
    finish(pending, waiter->status);
}

static struct mmi_waiter *start(struct mmi_pending *pending, enum mmi_wait_kind kind,
                                const struct mmi_request *request) {
    pending->request = *request;
    pending->begun_ns = mmi_res_now(pending->res);
    pending->missed |= request->missed;
    pending->status = MM_PENDING;
    pending->admission = (struct mmi_admission){0};
    pending->opened = NULL;
    pending->waiter = (struct mmi_waiter){.kind = kind,
                                          .priority = request->priority,
                                          .to_run = request->to_run,
                                          .ended = waiter_ended,
                                          .blocked = pending->blocked,
                                          .op = pending->op};
    mmi_list_init(&pending->waiter.node);
    mmi_list_init(&pending->waiter.nested_node);
    return &pending->waiter;
}

/* Resident, or as good as. */
static bool is_hit(const struct mmi_residency *res, const struct mmi_model *model) {
    MMI_LIST_EACH(node, &model->current->copies) {
        const struct mmi_instance *instance = mmi_copy_of(node);
        if (mmi_instance_state(instance) == MMI_READY || mmi_instance_may_return(res, instance)) {
            return true;
        }
    }
    return false;
}

static void count_miss(struct mmi_residency *res, struct mmi_model *model) {
    model->misses++;
    mmi_count(&res->counters, MMI_COUNT_MISSES, 1);
    if (mmi_copies_count(model->current).loading > 0) {
        mmi_count(&res->counters, MMI_COUNT_JOINS, 1);
    }
}

/* ---- Without waiting ------------------------------------------------------------------------- */

static void revive_one(struct mmi_residency *res, struct mmi_model *model) {
    if (mmi_copies_count(model->current).ready > 0) {
        return;
    }
    MMI_LIST_EACH(node, &model->current->copies) {
        if (mmi_instance_may_return(res, mmi_copy_of(node))) {
            mmi_instance_revive(res, mmi_copy_of(node));
            return;
        }
    }
}

static mm_status take_now(struct mmi_pending *pending, struct mmi_model *model, bool hit,
                          mm_error *err) {
    struct mmi_residency *res = pending->res;
    const char *name = mmi_model_name(model);
    if (pending->waiter.kind == MMI_WAIT_PREPARED) {
        struct mmi_build *build = mmi_version_described(model->current);
        if (!build) {
            return mmi_fail(err, MM_NOT_RESIDENT, "model %s: not prepared", name);
        }
        pending->opened = mmi_opened_hold(res, build);
        return MM_OK;
    }
    if (!hit) {
        return mmi_fail(err, MM_NOT_RESIDENT, "model %s: not resident", name);
    }
    revive_one(res, model);
    if (pending->waiter.kind == MMI_WAIT_RUN &&
        !mmi_copy_admit(res, model->current, &pending->admission)) {
        return mmi_fail(err, MM_BUSY, "model %s: as many requests run on it as may", name);
    }
    pending->admission.hit = !pending->missed;
    model->granted += pending->waiter.kind == MMI_WAIT_RUN && pending->missed;
    return MM_OK;
}

/* ---- For a model ----------------------------------------------------------------------------- */

static void forget_failures(struct mmi_residency *res, struct mmi_version *version) {
    mmi_failure_clear(&res->env->alloc, &version->failure);
    mmi_failure_clear(&res->env->alloc, &version->follow);
    for (uint32_t i = 0; i < version->build_count; i++) {
        mmi_failure_clear(&res->env->alloc, &version->builds[i]->failure);
    }
}

/* Ends at once, or later. */
static void begin(struct mmi_pending *pending, enum mmi_wait_kind kind,
                  const struct mmi_request *request, bool retry) {
    struct mmi_residency *res = pending->res;
    struct mmi_waiter *waiter = start(pending, kind, request);
    struct mmi_model *model;
    mm_status status = check(pending, &model, &pending->error);
    if (status != MM_OK) {
        finish(pending, status);
        return;
    }
    if (retry) {
        forget_failures(res, model->current);
    }
    bool hit = is_hit(res, model);
    if (kind == MMI_WAIT_RUN && !hit && !pending->missed) {
        pending->missed = true;
        count_miss(res, model);
    }
    pending->admission.hit = hit && !pending->missed;
    if (request->no_wait) {
        finish(pending, take_now(pending, model, hit, &pending->error));
        return;
    }
    waiter->model = model;
    waiter->counts_as_miss = kind == MMI_WAIT_RUN && pending->missed;
    status = mmi_waiter_add(res, waiter, &model->waiters, request->deadline_ns, &pending->error);
    if (status != MM_OK) {
        finish(pending, status);
        return;
    }
    if (request->nested) {
        mmi_list_push_back(&res->nested, &waiter->nested_node);
    }
    mmi_mark_model(res, model);
}

void mmi_pending_begin_again(struct mmi_pending *pending) {
    struct mmi_request request = pending->request;
    begin(pending, MMI_WAIT_RUN, &request, false);
}

/* What the update leaves as it was is taken from the version that is the newest when it begins:
 * false = that is another by now than the one that it was completed from. */
static bool complete_update(const struct mmi_model *model, struct mmi_version *version) {
    const struct mmi_version *newest = model->next ? model->next : model->current;
    if (version->base == 0) {
        return true;
    }
    if (version->keeps_class) {
        version->settings.evict_class = newest->settings.evict_class;
    }
    version->settings.pinned |= newest->settings.pinned;
    return version->base == newest->number;
}

/* Takes over the version's reference, also when it fails. false: nothing was begun, the update has
 * to be read anew. */
static bool begin_update(struct mmi_pending *pending, const struct mmi_request *request,
                         struct mmi_version *version, bool replace) {
    struct mmi_residency *res = pending->res;
    struct mmi_waiter *waiter = start(pending, MMI_WAIT_SWITCH, request);
    struct mmi_model *model = NULL;
    mm_status status = check(pending, &model, &pending->error);
    if (status == MM_OK && !complete_update(model, version)) {
        mmi_version_unref(res, version);
        return false;
    }
    if (status == MM_OK && version->settings.replicas > 1 &&
        !mmi_model_want_copies(&res->catalog, model)) {
        status = mmi_fail(&pending->error, MM_NO_MEMORY, "update: out of memory");
    }
    if (status == MM_OK) { /* its place is reserved before anything changes */
        struct mmi_list none;
        mmi_list_init(&none);
        waiter->model = model;
        status = mmi_waiter_add(res, waiter, &none, request->deadline_ns, &pending->error);
        mmi_list_remove(&waiter->node);
    }
    if (status != MM_OK) {
        mmi_version_unref(res, version);
        finish(pending, status);
        return true;
    }
    bool waits = mmi_update_begin(res, model, version, replace);
    mmi_list_push_back(&model->updating, &waiter->node);
    if (!waits) {
        mmi_waiter_end(res, waiter, MM_OK, NULL);
    }
    return true;
}

/* ---- Blocking -------------------------------------------------------------------------------- */

static void wake(struct mmi_pending *pending) {
    pending->done = true;
    mmi_cond_signal(&pending->blocked->wake);
}

/* On the caller's stack. Locked after. */
static void enter(struct mmi_residency *res, struct mmi_pending *pending,
                  struct mmi_blocked *blocked) {
    *blocked = (struct mmi_blocked){0};
    mmi_list_init(&blocked->node);
    mmi_cond_init(&blocked->wake, res->env);
    *pending = (struct mmi_pending){.res = res, .ended = wake, .blocked = blocked};
    mmi_res_lock(res);
}

static mm_status leave(struct mmi_pending *pending, mm_error *err) {
    struct mmi_residency *res = pending->res;
    if (!pending->done) { /* else, without threads, it would do others' work first */
        mmi_block(res, pending->blocked, &pending->done);
    }
    mmi_res_unlock(res);
    mmi_cond_fini(&pending->blocked->wake);
    return pending->status == MM_OK ? MM_OK : mmi_error_copy(err, &pending->error);
}

static mm_status wait_for(struct mmi_residency *res, struct mmi_pending *pending,
                          enum mmi_wait_kind kind, const struct mmi_request *request, bool retry,
                          mm_error *err) {
    struct mmi_blocked blocked;
    enter(res, pending, &blocked);
    begin(pending, kind, request, retry);
    return leave(pending, err);
}

mm_status mmi_request_prepared(struct mmi_residency *res, const struct mmi_request *request,
                               bool retry, struct mmi_opened **opened, mm_error *err) {
    struct mmi_pending pending;
    MMI_TRY(wait_for(res, &pending, MMI_WAIT_PREPARED, request, retry, err));
    *opened = pending.opened;
    return MM_OK;
}

mm_status mmi_request_resident(struct mmi_residency *res, const struct mmi_request *request,
                               bool retry, mm_error *err) {
    struct mmi_pending pending;
    return wait_for(res, &pending, MMI_WAIT_RESIDENT, request, retry, err);
}

mm_status mmi_admission_wait(struct mmi_residency *res, const struct mmi_request *request,
                             struct mmi_admission *admission, mm_error *err) {
    struct mmi_pending pending;
    MMI_TRY(wait_for(res, &pending, MMI_WAIT_RUN, request, false, err));
    *admission = pending.admission;
    return MM_OK;
}

mm_status mmi_request_update(struct mmi_residency *res, const struct mmi_request *request,
                             struct mmi_version *version, bool replace, bool *begun,
                             mm_error *err) {
    struct mmi_pending pending;
    struct mmi_blocked blocked;
    enter(res, &pending, &blocked);
    *begun = begin_update(&pending, request, version, replace);
    if (!*begun) {
        pending.done = true;
        pending.status = MM_OK;
    }
    return leave(&pending, err);
}

void mmi_res_drop_locked(struct mmi_residency *res, struct mmi_opened *opened) {
    mmi_opened_drop(res, opened);
}

void mmi_res_drop(struct mmi_residency *res, struct mmi_opened *opened) {
    mmi_res_lock(res);
    mmi_opened_drop(res, opened);
    mmi_res_unlock(res);
}

/* ---- Evict ----------------------------------------------------------------------------------- */

static mm_status begin_evict(struct mmi_pending *pending, const struct mmi_request *request,
                             mm_error *err) {
    struct mmi_residency *res = pending->res;
    struct mmi_waiter *waiter = start(pending, MMI_WAIT_GONE, request);
    struct mmi_model *model;
    MMI_TRY(check(pending, &model, err));
    if (model->settings.pinned) {
        return mmi_fail(err, MM_PINNED, "model %s: pinned", mmi_model_name(model));
    }
    if (mmi_list_empty(&model->instances)) {
        finish(pending, MM_OK);
        return MM_OK;
    }
    /* From inside a run nobody may be waited for: they may wait for this one. From inside another
     * call nothing may be, not even a detach. */
    bool at_once = request->no_wait || request->nested;
    if (mmi_frame_in_slot(res) || (at_once && !mmi_instances_evict_idle(res, model))) {
        return mmi_fail(err, MM_BUSY, "model %s: in use, or being loaded", mmi_model_name(model));
    }
    waiter->model = model;
    waiter->until = res->sequence;
    MMI_TRY(mmi_waiter_add(res, waiter, &model->evicting, request->deadline_ns, err));
    mmi_mark_model(res, model);
    return MM_OK;
}

mm_status mmi_model_evict(struct mmi_residency *res, const struct mmi_request *request,
                          mm_error *err) {
    struct mmi_pending pending;
    struct mmi_blocked blocked;
    enter(res, &pending, &blocked);
    mm_status status = begin_evict(&pending, request, &pending.error);
    if (status != MM_OK) {
        finish(&pending, status);
    }
    return leave(&pending, err);
}

/* ---- Of operations --------------------------------------------------------------------------- */

static void begin_unlocked(struct mmi_pending *pending, enum mmi_wait_kind kind,
                           const struct mmi_request *request, bool retry) {
    struct mmi_residency *res = pending->res;
    mmi_res_lock(res);
    begin(pending, kind, request, retry);
    mmi_res_unlock(res);
}

void mmi_pending_prepared(struct mmi_pending *pending, const struct mmi_request *request,
                          bool retry) {
    begin_unlocked(pending, MMI_WAIT_PREPARED, request, retry);
}

void mmi_pending_resident(struct mmi_pending *pending, const struct mmi_request *request,
                          bool retry) {
    begin_unlocked(pending, MMI_WAIT_RESIDENT, request, retry);
}

void mmi_pending_admission(struct mmi_pending *pending, const struct mmi_request *request) {
    begin_unlocked(pending, MMI_WAIT_RUN, request, false);
}

bool mmi_pending_update(struct mmi_pending *pending, const struct mmi_request *request,
                        struct mmi_version *version, bool replace) {
    struct mmi_residency *res = pending->res;
    mmi_res_lock(res);
    bool begun = begin_update(pending, request, version, replace);
    mmi_res_unlock(res);
    return begun;
}
