/* SPDX-License-Identifier: Apache-2.0 */
/* How requests get what they need: at once, blocking, or with a call when it is there. */
#include <residency/ask.h>
#include <residency/hot.h>

#include <base/checked.h>

/* ---- Leases and turns ----------------------------------------------------------------------- */

void mmi_settle_slot(struct mmi_residency *res, struct mmi_slot *slot) {
    mmi_res_lock(res);
    struct mmi_instance *instance = slot->owner;
    mmi_instance_settled(res, instance, mmi_slot_settle(slot));
    mmi_res_unlock(res);
}

static bool try_turn(struct mmi_instance *instance) {
    uint32_t limit = atomic_load(&instance->limit);
    uint32_t running = atomic_load(&instance->running);
    while (running < limit) {
        if (atomic_compare_exchange_weak(&instance->running, &running, running + 1)) {
            return true;
        }
    }
    return false;
}

/* Locked: turns that are free go to those who wait, first come first served within a priority. */
static void hand_out_turns(struct mmi_residency *res, struct mmi_instance *instance) {
    while (!mmi_list_empty(&instance->gate) && try_turn(instance)) {
        struct mmi_waiter *waiter = MMI_CONTAINER(instance->gate.next, struct mmi_waiter, node);
        mmi_waiter_end(res, waiter, MM_OK, NULL);
    }
}

static void give_turn(struct mmi_residency *res, struct mmi_instance *instance) {
    atomic_fetch_sub(&instance->running, 1);
    if (atomic_load(&instance->gated) > 0) { /* after the subtraction: one sees the other */
        mmi_res_lock(res);
        hand_out_turns(res, instance);
        mmi_res_unlock(res);
    }
}

void mmi_ticket_return(struct mmi_residency *res, struct mmi_ticket *ticket) {
    if (ticket->turn) {
        give_turn(res, ticket->instance); /* the lease still holds it */
    }
    mmi_lease_back(res, &ticket->lease);
}

void mmi_lease_back_locked(struct mmi_residency *res, const struct mmi_lease *lease) {
    struct mmi_slot *slot = lease->slot;
    if (mmi_lease_release(lease, mmi_ticks(&res->env->clock))) {
        mmi_instance_settled(res, slot->owner, mmi_slot_settle(slot));
    }
}

void mmi_ticket_return_locked(struct mmi_residency *res, struct mmi_ticket *ticket) {
    if (ticket->turn) {
        atomic_fetch_sub(&ticket->instance->running, 1);
        hand_out_turns(res, ticket->instance);
    }
    mmi_lease_back_locked(res, &ticket->lease);
}

struct mmi_opened *mmi_ticket_opened(const struct mmi_ticket *ticket) {
    return ticket->instance->opened;
}

bool mmi_ticket_hot(struct mmi_residency *res, uint64_t id, struct mmi_ticket *ticket) {
    ticket->turn = false;
    ticket->hit = true;
    ticket->wait_ns = 0;
    if (!mmi_hot_lease(res, id, &ticket->lease, &ticket->instance)) {
        return false;
    }
    if (__builtin_expect(atomic_load_explicit(&ticket->instance->limit, memory_order_relaxed) == 0,
                         1)) {
        return true;
    }
    ticket->turn = try_turn(ticket->instance);
    /* Without a turn it was no use of the model. */
    if (!ticket->turn && mmi_lease_undo(ticket->lease.slot, ticket->lease.shard)) {
        mmi_settle_slot(res, ticket->lease.slot);
    }
    return ticket->turn;
}

/* ---- Entering ------------------------------------------------------------------------------- */

mm_status mmi_no_model(uint64_t id, mm_error *err) {
    return mmi_fail(err, id ? MM_STALE_HANDLE : MM_INVALID_ARGUMENT,
                    id ? "the model of this handle was unregistered" : "model: no handle");
}

/* Resident, or as good as. */
static bool is_hit(const struct mmi_model *model) {
    const struct mmi_instance *instance = model->current->instance;
    if (!instance || instance->taken) {
        return false;
    }
    enum mmi_instance_state state = mmi_instance_state(instance);
    return state == MMI_READY || state == MMI_DRAINING || state == MMI_RECLAIMABLE;
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
    if (waiter->waiting && waiter->want == MMI_WANT_LEASE && !moving) {
        mm_error error;
        mmi_fail(&error, MM_BUSY,
                 "model %s: a nested request would have to wait for others to leave",
                 mmi_model_name(waiter->model));
        mmi_waiter_end(res, waiter, MM_BUSY, &error);
    }
}

static mm_status check_ask(struct mmi_residency *res, const struct mmi_ask *ask,
                           struct mmi_model **model, mm_error *err) {
    if (atomic_load(&res->closed)) {
        return mmi_fail(err, MM_CLOSED, "the mesh is closed");
    }
    *model = mmi_catalog_get(&res->catalog, ask->id);
    if (!*model) {
        return mmi_no_model(ask->id, err);
    }
    if (ask->deadline_ns && mmi_now(&res->env->clock) >= ask->deadline_ns) {
        mmi_count(&res->counters, MMI_COUNT_DEADLINE, 1);
        return mmi_fail(err, MM_DEADLINE, "model %s: the deadline has passed",
                        mmi_model_name(*model));
    }
    return MM_OK;
}

mm_status mmi_ask_enter(struct mmi_residency *res, struct mmi_waiter *waiter,
                        const struct mmi_ask *ask, bool retry, bool *hit, mm_error *err) {
    struct mmi_model *model = NULL;
    MMI_TRY(check_ask(res, ask, &model, err));
    if (retry) {
        mmi_failure_clear(&res->env->alloc, &model->current->failure);
    }
    *hit = is_hit(model);
    if (waiter->want == MMI_WANT_LEASE) {
        count_arrival(res, model, *hit);
    }
    if (ask->no_wait && !*hit && waiter->want != MMI_WANT_PREPARED) {
        return mmi_fail(err, MM_NOT_RESIDENT, "model %s: not resident", mmi_model_name(model));
    }
    waiter->model = model;
    waiter->priority = ask->priority;
    MMI_TRY(mmi_waiter_add(res, waiter, &model->waiters, ask->deadline_ns, err));
    waiter->counts_as_miss = waiter->want == MMI_WANT_LEASE && !*hit;
    bool nested = ask->nested; /* a pending one may be gone after this, its ask too */
    mmi_waiters_told(res, model);
    mmi_advance(res, model);
    if (nested) { /* a blocked caller's: it is still there */
        refuse_nested(res, waiter);
    }
    return MM_OK;
}

/* Enter and block until the end. */
static mm_status ask_blocking(struct mmi_residency *res, struct mmi_waiter *waiter,
                              const struct mmi_ask *ask, bool retry, bool *hit, mm_error *err) {
    pthread_cond_t wake;
    mmi_cond_init(&wake);
    waiter->wake = &wake;
    mmi_res_lock(res);
    mm_status status = mmi_ask_enter(res, waiter, ask, retry, hit, err);
    if (status == MM_OK) {
        mmi_waiter_block(res, waiter);
        status = waiter->status == MM_OK ? MM_OK : mmi_error_copy(err, &waiter->error);
    }
    mmi_res_unlock(res);
    pthread_cond_destroy(&wake);
    return status;
}

/* ---- Blocking ------------------------------------------------------------------------------- */

mm_status mmi_ask_prepared(struct mmi_residency *res, const struct mmi_ask *ask, bool retry,
                           struct mmi_opened **opened, mm_error *err) {
    struct mmi_waiter waiter = {.want = MMI_WANT_PREPARED};
    bool hit;
    MMI_TRY(ask_blocking(res, &waiter, ask, retry, &hit, err));
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

mm_status mmi_ask_resident(struct mmi_residency *res, const struct mmi_ask *ask, bool retry,
                           mm_error *err) {
    struct mmi_waiter waiter = {.want = MMI_WANT_RESIDENT};
    bool hit;
    return ask_blocking(res, &waiter, ask, retry, &hit, err);
}

/* The turn, once there is a lease. MM_NONE: an update took over meanwhile; ask again. */
static mm_status wait_turn(struct mmi_residency *res, const struct mmi_ask *ask,
                           struct mmi_ticket *ticket, mm_error *err) {
    struct mmi_instance *instance = ticket->instance;
    if (atomic_load(&instance->limit) == 0) {
        return MM_OK;
    }
    ticket->turn = try_turn(instance);
    if (ticket->turn) {
        return MM_OK;
    }
    if (ask->no_wait || mmi_frame_inside(res, ask->id)) {
        return mmi_fail(err, MM_BUSY, "as many requests run on it as may");
    }
    pthread_cond_t wake;
    mmi_cond_init(&wake);
    struct mmi_waiter waiter = {.want = MMI_WANT_TURN, .priority = ask->priority, .wake = &wake};
    mmi_res_lock(res);
    mm_status status = mmi_gate_enter(res, instance, &waiter, ask->deadline_ns, err);
    if (status == MM_OK) {
        mmi_waiter_block(res, &waiter);
        bool failed = waiter.status != MM_OK && waiter.status != MM_NONE;
        status = failed ? mmi_error_copy(err, &waiter.error) : waiter.status;
    }
    mmi_res_unlock(res);
    pthread_cond_destroy(&wake);
    ticket->turn = status == MM_OK;
    return status;
}

mm_status mmi_gate_enter(struct mmi_residency *res, struct mmi_instance *instance,
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
    MMI_TRY(mmi_waiter_add(res, waiter, &instance->gate, deadline_ns, err));
    atomic_fetch_add(&instance->gated, 1);
    hand_out_turns(res, instance);
    return MM_OK;
}

void mmi_ticket_waited(struct mmi_residency *res, struct mmi_ticket *ticket, uint64_t begun_ns) {
    ticket->wait_ns = mmi_sub_floor(mmi_now(&res->env->clock), begun_ns);
    mmi_histogram_add(&res->queue_time, ticket->wait_ns);
}

mm_status mmi_ticket_wait(struct mmi_residency *res, const struct mmi_ask *ask,
                          struct mmi_ticket *ticket, mm_error *err) {
    uint64_t begun_ns = mmi_now(&res->env->clock);
    mm_status status;
    do {
        struct mmi_waiter waiter = {.want = MMI_WANT_LEASE};
        *ticket = (struct mmi_ticket){0};
        MMI_TRY(ask_blocking(res, &waiter, ask, false, &ticket->hit, err));
        ticket->lease = waiter.lease;
        ticket->instance = waiter.instance;
        status = wait_turn(res, ask, ticket, err);
        if (status != MM_OK) {
            mmi_lease_back(res, &ticket->lease);
        }
    } while (status == MM_NONE);
    MMI_TRY(status);
    if (!ticket->hit) {
        mmi_ticket_waited(res, ticket, begun_ns);
    }
    return MM_OK;
}

/* ---- Updates -------------------------------------------------------------------------------- */

mm_status mmi_ask_version(struct mmi_residency *res, const struct mmi_registration *registration,
                          struct mmi_version **version, mm_error *err) {
    *version = mmi_version_new(&res->env->alloc, &registration->spec, 0);
    if (!*version) {
        return mmi_fail(err, MM_NO_MEMORY, "update: out of memory");
    }
    (*version)->settings = registration->settings;
    return MM_OK;
}

mm_status mmi_ask_update_enter(struct mmi_residency *res, struct mmi_waiter *waiter,
                               const struct mmi_ask *ask, struct mmi_version *version, bool replace,
                               mm_error *err) {
    struct mmi_model *model = NULL;
    mm_status status = check_ask(res, ask, &model, err);
    if (status != MM_OK) {
        mmi_version_unref(res, version);
        return status;
    }
    waiter->want = MMI_WANT_SWITCH;
    waiter->model = model;
    waiter->priority = ask->priority;
    struct mmi_list none; /* reserve its place before anything changes */
    mmi_list_init(&none);
    status = mmi_waiter_add(res, waiter, &none, ask->deadline_ns, err);
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

mm_status mmi_ask_update(struct mmi_residency *res, const struct mmi_ask *ask,
                         const struct mmi_registration *registration, bool replace, mm_error *err) {
    struct mmi_version *version;
    MMI_TRY(mmi_ask_version(res, registration, &version, err));
    pthread_cond_t wake;
    mmi_cond_init(&wake);
    struct mmi_waiter waiter = {.wake = &wake};
    mmi_res_lock(res);
    mm_status status = mmi_ask_update_enter(res, &waiter, ask, version, replace, err);
    if (status == MM_OK) {
        mmi_waiter_block(res, &waiter);
        status = waiter.status == MM_OK ? MM_OK : mmi_error_copy(err, &waiter.error);
    }
    mmi_res_unlock(res);
    pthread_cond_destroy(&wake);
    return status;
}
