/* SPDX-License-Identifier: Apache-2.0 */
/* How requests get what they need: at once, or by waiting. */
#include <residency/request.h>
#include <residency/hot.h>

#include <base/checked.h>

/* ---- Leases and run slots ------------------------------------------------------------------- */

void mmi_settle_slot(struct mmi_residency *res, struct mmi_slot *slot) {
    mmi_res_lock(res);
    struct mmi_instance *instance = slot->owner;
    mmi_instance_settled(res, instance, mmi_slot_settle(slot));
    mmi_res_unlock(res);
}

static bool try_run_slot(struct mmi_instance *instance) {
    uint32_t limit = atomic_load(&instance->concurrency_limit);
    uint32_t running = atomic_load(&instance->running);
    while (running < limit) {
        if (atomic_compare_exchange_weak(&instance->running, &running, running + 1)) {
            return true;
        }
    }
    return false;
}

/* Locked: free run slots go to those who wait, first come first served within a priority. */
static void hand_out_run_slots(struct mmi_residency *res, struct mmi_instance *instance) {
    while (!mmi_list_empty(&instance->run_slot_waiters) && try_run_slot(instance)) {
        struct mmi_waiter *waiter =
            MMI_CONTAINER(instance->run_slot_waiters.next, struct mmi_waiter, node);
        mmi_waiter_end(res, waiter, MM_OK, NULL);
    }
}

static void give_run_slot(struct mmi_residency *res, struct mmi_instance *instance) {
    atomic_fetch_sub(&instance->running, 1);
    /* After the subtraction: either we see the waiter, or it sees the free slot. */
    if (atomic_load(&instance->run_slot_waiting) > 0) {
        mmi_res_lock(res);
        hand_out_run_slots(res, instance);
        mmi_res_unlock(res);
    }
}

void mmi_admission_return(struct mmi_residency *res, struct mmi_admission *admission) {
    if (admission->run_slot) {
        give_run_slot(res, admission->instance); /* the lease still holds it */
    }
    mmi_lease_back(res, &admission->lease);
}

void mmi_lease_back_locked(struct mmi_residency *res, const struct mmi_lease *lease) {
    struct mmi_slot *slot = lease->slot;
    if (mmi_lease_release(lease, mmi_ticks(&res->env->clock))) {
        mmi_instance_settled(res, slot->owner, mmi_slot_settle(slot));
    }
}

void mmi_admission_return_locked(struct mmi_residency *res, struct mmi_admission *admission) {
    if (admission->run_slot) {
        atomic_fetch_sub(&admission->instance->running, 1);
        hand_out_run_slots(res, admission->instance);
    }
    mmi_lease_back_locked(res, &admission->lease);
}

struct mmi_opened *mmi_admission_opened(const struct mmi_admission *admission) {
    return admission->instance->opened;
}

bool mmi_admission_try(struct mmi_residency *res, uint64_t id, struct mmi_admission *admission) {
    admission->run_slot = false;
    admission->hit = true;
    admission->wait_ns = 0;
    if (!mmi_hot_lease(res, id, &admission->lease, &admission->instance)) {
        return false;
    }
    if (__builtin_expect(atomic_load_explicit(&admission->instance->concurrency_limit,
                                              memory_order_relaxed) == 0,
                         1)) {
        return true;
    }
    admission->run_slot = try_run_slot(admission->instance);
    /* Without a run slot it does not count as a use. */
    if (!admission->run_slot && mmi_lease_undo(admission->lease.slot, admission->lease.shard)) {
        mmi_settle_slot(res, admission->lease.slot);
    }
    return admission->run_slot;
}

/* ---- Entering ------------------------------------------------------------------------------- */

mm_status mmi_no_model(uint64_t id, mm_error *err) {
    return mmi_fail(err, id ? MM_STALE_HANDLE : MM_INVALID_ARGUMENT,
                    id ? "the model of this handle was unregistered" : "model: no handle");
}

/* Resident, or can be revived. */
static bool is_hit(const struct mmi_model *model) {
    const struct mmi_instance *instance = model->current->instance;
    if (!instance || instance->taken) {
        return false;
    }
    enum mmi_instance_state state = mmi_instance_state(instance);
    return state == MMI_READY || state == MMI_DRAINING || state == MMI_RECLAIMABLE;
}

/* Available without a wait: mmi_advance gives it at once. */
static bool is_there(const struct mmi_model *model, enum mmi_wait_kind kind) {
    return kind == MMI_WAIT_PREPARED
               ? model->current->state == MMI_VERSION_PREPARED && !model->replacing
               : is_hit(model);
}

static void count_arrival(struct mmi_residency *res, struct mmi_model *model, bool hit) {
    if (hit) {
        return; /* counted by its lease */
    }
    const struct mmi_instance *instance = model->current->instance;
    model->misses++;
    mmi_count(&res->counters, MMI_COUNT_MISSES, 1);
    if (instance && mmi_instance_state(instance) == MMI_LOADING) {
        mmi_count(&res->counters, MMI_COUNT_JOINS, 1);
    }
}

/* A nested miss must not wait for others to leave: they may wait for us. */
static void refuse_nested(struct mmi_residency *res, struct mmi_waiter *waiter) {
    const struct mmi_instance *instance = waiter->waiting ? waiter->model->current->instance : NULL;
    bool moving = !instance || (mmi_instance_state(instance) == MMI_LOADING && !instance->queued);
    if (waiter->waiting && waiter->kind == MMI_WAIT_LEASE && !moving) {
        mm_error error;
        mmi_fail(&error, MM_BUSY,
                 "model %s: a nested request would have to wait for others to leave",
                 mmi_model_name(waiter->model));
        mmi_waiter_end(res, waiter, MM_BUSY, &error);
    }
}

mm_status mmi_request_check(struct mmi_residency *res, const struct mmi_request *request,
                            struct mmi_model **model, mm_error *err) {
    if (atomic_load(&res->closed)) {
        return mmi_fail(err, MM_CLOSED, "the mesh is closed");
    }
    *model = mmi_catalog_get(&res->catalog, request->id);
    if (!*model) {
        return mmi_no_model(request->id, err);
    }
    if (request->deadline_ns && mmi_now(&res->env->clock) >= request->deadline_ns) {
        mmi_count(&res->counters, MMI_COUNT_DEADLINE, 1);
        return mmi_fail(err, MM_DEADLINE, "model %s: the deadline has passed",
                        mmi_model_name(*model));
    }
    return MM_OK;
}

mm_status mmi_request_enter(struct mmi_residency *res, struct mmi_waiter *waiter,
                            const struct mmi_request *request, bool retry, bool *hit,
                            mm_error *err) {
    struct mmi_model *model = NULL;
    MMI_TRY(mmi_request_check(res, request, &model, err));
    if (retry) {
        mmi_failure_clear(&res->env->alloc, &model->current->failure);
    }
    *hit = is_hit(model);
    if (waiter->kind == MMI_WAIT_LEASE) {
        count_arrival(res, model, *hit);
    }
    if (request->no_wait && !is_there(model, waiter->kind)) {
        return mmi_fail(err, MM_NOT_RESIDENT, "model %s: not %s", mmi_model_name(model),
                        waiter->kind == MMI_WAIT_PREPARED ? "prepared" : "resident");
    }
    waiter->model = model;
    waiter->priority = request->priority;
    MMI_TRY(mmi_waiter_add(res, waiter, &model->waiters, request->deadline_ns, err));
    waiter->counts_as_miss = waiter->kind == MMI_WAIT_LEASE && !*hit;
    /* Read now: a pending waiter may be gone after mmi_advance, and its request too. */
    bool nested = request->nested;
    mmi_waiters_notify(res, model);
    mmi_advance(res, model);
    if (nested) { /* a blocked caller's: it is still there */
        refuse_nested(res, waiter);
    }
    return MM_OK;
}

/* Enter and block until the end. */
static mm_status request_blocking(struct mmi_residency *res, struct mmi_waiter *waiter,
                                  const struct mmi_request *request, bool retry, bool *hit,
                                  mm_error *err) {
    pthread_cond_t wake;
    mmi_cond_init(&wake);
    waiter->wake = &wake;
    mmi_res_lock(res);
    mm_status status = mmi_request_enter(res, waiter, request, retry, hit, err);
    if (status == MM_OK) {
        mmi_waiter_block(res, waiter);
        status = waiter->status == MM_OK ? MM_OK : mmi_error_copy(err, &waiter->error);
    }
    mmi_res_unlock(res);
    pthread_cond_destroy(&wake);
    return status;
}

/* ---- Blocking ------------------------------------------------------------------------------- */

mm_status mmi_request_prepared(struct mmi_residency *res, const struct mmi_request *request,
                               bool retry, struct mmi_opened **opened, mm_error *err) {
    struct mmi_waiter waiter = {.kind = MMI_WAIT_PREPARED};
    bool hit;
    MMI_TRY(request_blocking(res, &waiter, request, retry, &hit, err));
    *opened = waiter.opened;
    return MM_OK;
}

void mmi_res_drop_locked(struct mmi_residency *res, struct mmi_opened *opened) {
    mmi_opened_drop(res, opened);
}

void mmi_res_drop(struct mmi_residency *res, struct mmi_opened *opened) {
    mmi_res_lock(res);
    mmi_opened_drop(res, opened);
    mmi_res_unlock(res);
}

mm_status mmi_request_resident(struct mmi_residency *res, const struct mmi_request *request,
                               bool retry, mm_error *err) {
    struct mmi_waiter waiter = {.kind = MMI_WAIT_RESIDENT};
    bool hit;
    return request_blocking(res, &waiter, request, retry, &hit, err);
}

/* The run slot, once there is a lease. MM_NONE: an update took over meanwhile; request again. */
static mm_status wait_run_slot(struct mmi_residency *res, const struct mmi_request *request,
                               struct mmi_admission *admission, mm_error *err) {
    struct mmi_instance *instance = admission->instance;
    if (atomic_load(&instance->concurrency_limit) == 0) {
        return MM_OK;
    }
    admission->run_slot = try_run_slot(instance);
    if (admission->run_slot) {
        return MM_OK;
    }
    if (request->no_wait || mmi_frame_inside(res, request->id)) {
        return mmi_fail(err, MM_BUSY, "as many requests run on it as may");
    }
    pthread_cond_t wake;
    mmi_cond_init(&wake);
    struct mmi_waiter waiter = {
        .kind = MMI_WAIT_RUN_SLOT, .priority = request->priority, .wake = &wake};
    mmi_res_lock(res);
    mm_status status = mmi_run_slot_enter(res, instance, &waiter, request->deadline_ns, err);
    if (status == MM_OK) {
        mmi_waiter_block(res, &waiter);
        bool failed = waiter.status != MM_OK && waiter.status != MM_NONE;
        status = failed ? mmi_error_copy(err, &waiter.error) : waiter.status;
    }
    mmi_res_unlock(res);
    pthread_cond_destroy(&wake);
    admission->run_slot = status == MM_OK;
    return status;
}

mm_status mmi_run_slot_enter(struct mmi_residency *res, struct mmi_instance *instance,
                             struct mmi_waiter *waiter, uint64_t deadline_ns, mm_error *err) {
    if (!instance->model) {
        return instance->reason == MMI_REASON_UPDATE
                   ? MM_NONE
                   : mmi_fail(err, MM_UNREGISTERED, "the model was unregistered");
    }
    if (atomic_load(&res->closed)) {
        return mmi_fail(err, MM_CLOSED, "the mesh is closed");
    }
    waiter->model = instance->model;
    waiter->instance = instance;
    MMI_TRY(mmi_waiter_add(res, waiter, &instance->run_slot_waiters, deadline_ns, err));
    atomic_fetch_add(&instance->run_slot_waiting, 1);
    hand_out_run_slots(res, instance);
    return MM_OK;
}

void mmi_admission_waited(struct mmi_residency *res, struct mmi_admission *admission,
                          uint64_t begun_ns) {
    admission->wait_ns = mmi_sub_floor(mmi_now(&res->env->clock), begun_ns);
    mmi_histogram_add(&res->queue_time, admission->wait_ns);
}

mm_status mmi_admission_wait(struct mmi_residency *res, const struct mmi_request *request,
                             struct mmi_admission *admission, mm_error *err) {
    uint64_t begun_ns = mmi_now(&res->env->clock);
    mm_status status;
    do {
        struct mmi_waiter waiter = {.kind = MMI_WAIT_LEASE};
        *admission = (struct mmi_admission){0};
        MMI_TRY(request_blocking(res, &waiter, request, false, &admission->hit, err));
        admission->lease = waiter.lease;
        admission->instance = waiter.instance;
        status = wait_run_slot(res, request, admission, err);
        if (status != MM_OK) {
            mmi_lease_back(res, &admission->lease);
        }
    } while (status == MM_NONE);
    MMI_TRY(status);
    if (!admission->hit) {
        mmi_admission_waited(res, admission, begun_ns);
    }
    return MM_OK;
}

/* ---- Updates -------------------------------------------------------------------------------- */

mm_status mmi_request_version(struct mmi_residency *res,
                              const struct mmi_registration *registration,
                              struct mmi_version **version, mm_error *err) {
    *version = mmi_version_new(&res->env->alloc, &registration->spec, 0);
    if (!*version) {
        return mmi_fail(err, MM_NO_MEMORY, "update: out of memory");
    }
    (*version)->settings = registration->settings;
    return MM_OK;
}

mm_status mmi_request_update_enter(struct mmi_residency *res, struct mmi_waiter *waiter,
                                   const struct mmi_request *request, struct mmi_version *version,
                                   bool replace, mm_error *err) {
    struct mmi_model *model = NULL;
    mm_status status = mmi_request_check(res, request, &model, err);
    if (status != MM_OK) {
        mmi_version_unref(res, version);
        return status;
    }
    waiter->kind = MMI_WAIT_SWITCH;
    waiter->model = model;
    waiter->priority = request->priority;
    struct mmi_list none; /* reserve its place before anything changes */
    mmi_list_init(&none);
    status = mmi_waiter_add(res, waiter, &none, request->deadline_ns, err);
    if (status != MM_OK) {
        mmi_version_unref(res, version);
        return status;
    }
    status = mmi_update_begin(res, model, version, replace);
    mmi_list_remove(&waiter->node);
    mmi_list_push_back(&model->updating, &waiter->node);
    if (status == MM_OK) {
        mmi_waiter_end(res, waiter, MM_OK, NULL);
    } else {
        mmi_update_go_on(res, model);
    }
    return MM_OK;
}

mm_status mmi_request_update(struct mmi_residency *res, const struct mmi_request *request,
                             const struct mmi_registration *registration, bool replace,
                             mm_error *err) {
    struct mmi_version *version;
    MMI_TRY(mmi_request_version(res, registration, &version, err));
    pthread_cond_t wake;
    mmi_cond_init(&wake);
    struct mmi_waiter waiter = {.wake = &wake};
    mmi_res_lock(res);
    mm_status status = mmi_request_update_enter(res, &waiter, request, version, replace, err);
    if (status == MM_OK) {
        mmi_waiter_block(res, &waiter);
        status = waiter.status == MM_OK ? MM_OK : mmi_error_copy(err, &waiter.error);
    }
    mmi_res_unlock(res);
    pthread_cond_destroy(&wake);
    return status;
}
