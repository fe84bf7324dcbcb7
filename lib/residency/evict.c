/* SPDX-License-Identifier: Apache-2.0 */
/* Evictions that no load asks for: mm_evict, a smaller budget, idle time, a lost device. */
#include <residency/request.h>

#include <base/checked.h>

#include <inttypes.h>
#include <string.h>

/* ---- Evict ---------------------------------------------------------------------------------- */

/* READY again; serves those who queued meanwhile. */
static void take_back(struct mmi_residency *res, struct mmi_instance *instance) {
    if (mmi_instance_state(instance) == MMI_DRAINING) {
        mmi_instance_revive(res, instance);
        if (instance->model) {
            mmi_advance(res, instance->model);
        }
    }
}

/* The last eviction that waited for this instance gave up. */
void mmi_evict_expired(struct mmi_residency *res, struct mmi_instance *instance) {
    bool last = instance->gone.next->next == &instance->gone;
    if (last && instance->reason == MMI_REASON_REQUEST) {
        take_back(res, instance);
    }
}

static mm_status in_use(const struct mmi_model *model, mm_error *err) {
    return mmi_fail(err, MM_BUSY, "model %s: in use", mmi_model_name(model));
}

/* Only if it is idle. */
static mm_status evict_now(struct mmi_residency *res, struct mmi_model *model,
                           struct mmi_instance *instance, mm_error *err) {
    enum mmi_instance_state state = mmi_instance_state(instance);
    if (state == MMI_RECLAIMABLE) {
        mmi_instance_leave(res, instance, MMI_REASON_REQUEST, true, NULL);
        return MM_OK;
    }
    if (state == MMI_DETACHING) {
        return MM_OK; /* work_off or its loader detaches it */
    }
    if (state != MMI_READY || mmi_slot_leases(instance->slot) > 0) {
        return in_use(model, err);
    }
    mmi_instance_unpublish(instance);
    enum mmi_settled settled = mmi_slot_drain(instance->slot);
    if (settled == MMI_UNSETTLED) { /* a lease came in between: undo */
        mmi_slot_revive(instance->slot);
        mmi_instance_publish(res, instance);
        return in_use(model, err);
    }
    mmi_timer_unset(res, &instance->timer);
    instance->reason = MMI_REASON_REQUEST;
    instance->other[0] = '\0';
    instance->taken = true;
    mmi_instance_settled(res, instance, settled);
    return MM_OK;
}

/* Wait until this instance is gone. */
static mm_status wait_gone(struct mmi_residency *res, struct mmi_model *model,
                           struct mmi_instance *instance, uint64_t deadline_ns, mm_error *err) {
    pthread_cond_t wake;
    mmi_cond_init(&wake);
    struct mmi_waiter waiter = {
        .kind = MMI_WAIT_GONE, .model = model, .instance = instance, .wake = &wake};
    mm_status status = mmi_waiter_add(res, &waiter, &instance->gone, deadline_ns, err);
    if (status == MM_OK) {
        mmi_waiter_block(res, &waiter);
        status = waiter.status == MM_OK ? MM_OK : mmi_error_copy(err, &waiter.error);
    }
    pthread_cond_destroy(&wake);
    return status;
}

/* Wait until a load in progress has ended, successfully or not. */
static mm_status wait_loaded(struct mmi_residency *res, struct mmi_model *model,
                             uint64_t deadline_ns, mm_error *err) {
    pthread_cond_t wake;
    mmi_cond_init(&wake);
    struct mmi_waiter waiter = {.kind = MMI_WAIT_RESIDENT, .model = model, .wake = &wake};
    mm_status status = mmi_waiter_add(res, &waiter, &model->waiters, deadline_ns, err);
    if (status == MM_OK) {
        mmi_waiter_block(res, &waiter);
        if (waiter.status == MM_DEADLINE) {
            status = mmi_error_copy(err, &waiter.error);
        }
    }
    pthread_cond_destroy(&wake);
    return status;
}

/* One step towards NONE; MM_PENDING: look again. */
static mm_status evict_step(struct mmi_residency *res, struct mmi_model *model,
                            const struct mmi_request *request, mm_error *err) {
    struct mmi_instance *instance = model->current->instance;
    if (request->no_wait) {
        MMI_TRY(evict_now(res, model, instance, err));
    } else if (mmi_instance_state(instance) == MMI_LOADING) {
        MMI_TRY(wait_loaded(res, model, request->deadline_ns, err));
        return MM_PENDING;
    } else {
        mmi_instance_leave(res, instance, MMI_REASON_REQUEST, true, NULL);
    }
    /* From here on the instance may go at any moment, which ends the waiter. */
    MMI_TRY(wait_gone(res, model, instance, request->deadline_ns, err));
    return MM_OK;
}

static mm_status evict_locked(struct mmi_residency *res, const struct mmi_request *request,
                              mm_error *err) {
    for (;;) {
        struct mmi_model *model = NULL;
        MMI_TRY(mmi_request_check(res, request, &model, err));
        if (model->settings.pinned) {
            return mmi_fail(err, MM_PINNED, "model %s: pinned", mmi_model_name(model));
        }
        if (!model->current->instance) {
            return MM_OK;
        }
        if (mmi_frame_inside(res, request->id)) {
            return in_use(model, err);
        }
        mm_status status = evict_step(res, model, request, err);
        if (status != MM_PENDING) {
            return status;
        }
    }
}

mm_status mmi_model_evict(struct mmi_residency *res, const struct mmi_request *request,
                          mm_error *err) {
    mmi_res_lock(res);
    mm_status status = evict_locked(res, request, err);
    mmi_res_unlock(res);
    return status;
}

/* ---- Idle time to live ---------------------------------------------------------------------- */

void mmi_idle_fire(struct mmi_residency *res, struct mmi_timer *timer, uint64_t now_ns) {
    struct mmi_instance *instance = MMI_CONTAINER(timer, struct mmi_instance, timer);
    const struct mmi_model *model = instance->model;
    if (!model || mmi_instance_state(instance) != MMI_READY) {
        return;
    }
    uint64_t idle_ns = mmi_instance_idle_ns(res, instance);
    if (model->settings.pinned || mmi_slot_leases(instance->slot) > 0) {
        idle_ns = 0;
    }
    if (idle_ns >= model->settings.idle_ttl_ns) {
        mmi_instance_leave(res, instance, MMI_REASON_IDLE, true, NULL);
    } else {
        mmi_timer_set(res, timer, mmi_add_cap(now_ns, model->settings.idle_ttl_ns - idle_ns));
    }
}

/* ---- Budgets -------------------------------------------------------------------------------- */

struct mmi_devstate *mmi_dev_find(struct mmi_residency *res, const char *name) {
    for (size_t i = 0; i < res->device_count; i++) {
        if (strcmp(res->devices[i].device->name, name) == 0) {
            return &res->devices[i];
        }
    }
    return NULL;
}

static mm_status shrink(struct mmi_residency *res, struct mmi_devstate *dev, uint64_t bytes,
                        mm_error *err) {
    struct mmi_arena *arena = dev->device->arena;
    uint64_t before = mmi_arena_capacity(arena);
    struct mmi_need need = {.shrink_bytes = before - bytes, .evict_class = UINT8_MAX};
    mmi_scratch_trim(res, dev, 0);
    struct mmi_plan_output plan;
    mmi_room_plan(res, dev, &need, &plan);
    if (plan.verdict != MMI_PLAN_FITS && plan.verdict != MMI_PLAN_EVICT) {
        return mmi_fail_room(err, MM_BUSY, mmi_arena_used(arena), bytes,
                             "device %s: what is in use or pinned does not fit %" PRIu64 " bytes",
                             dev->device->name, bytes);
    }
    mmi_arena_set_capacity(arena, bytes); /* first: nobody else may take what is freed now */
    struct mmi_list leaving;
    mmi_list_init(&leaving);
    for (size_t i = 0; i < plan.victim_count; i++) {
        mmi_list_push_back(&leaving, &mmi_room_victim(res, plan.victims[i])->queue);
    }
    struct mmi_list *node;
    while ((node = mmi_list_pop(&leaving))) {
        mmi_instance_leave(res, MMI_CONTAINER(node, struct mmi_instance, queue), MMI_REASON_SHRINK,
                           true, NULL);
    }
    mmi_work_off(res);
    return MM_OK;
}

static mm_status set_budget(struct mmi_residency *res, struct mmi_devstate *dev, uint64_t bytes,
                            mm_error *err) {
    struct mmi_arena *arena = dev->device->arena;
    if (bytes < mmi_arena_capacity(arena)) {
        MMI_TRY(shrink(res, dev, bytes, err));
    } else if (!mmi_arena_set_capacity(arena, bytes)) {
        return mmi_fail(err, MM_NO_MEMORY, "device %s: out of memory", dev->device->name);
    }
    mmi_event(res, MMI_EVENT_BUDGET, NULL, &(struct mmi_event){.bytes = bytes}, dev);
    mmi_schedule(res);
    return MM_OK;
}

mm_status mmi_device_budget(struct mmi_residency *res, const char *device, uint64_t budget_bytes,
                            mm_error *err) {
    struct mmi_devstate *dev = mmi_dev_find(res, device);
    if (!dev) {
        return mmi_fail(err, MM_NOT_FOUND, "no device %s", device);
    }
    /* The device grows before its budget does. */
    MMI_TRY(dev->device->ops->resize(dev->device, budget_bytes, err));
    mmi_res_lock(res);
    mm_status status = atomic_load(&res->closed) ? mmi_fail(err, MM_CLOSED, "the mesh is closed")
                                                 : set_budget(res, dev, budget_bytes, err);
    mmi_res_unlock(res);
    return status;
}

/* ---- Lost devices --------------------------------------------------------------------------- */

void mmi_device_lost(struct mmi_residency *res, struct mmi_devstate *dev) {
    if (!atomic_load(&dev->device->lost)) {
        return; /* only a backend claims so */
    }
    MMI_LIST_EACH(node, &dev->instances) {
        struct mmi_instance *instance = MMI_CONTAINER(node, struct mmi_instance, on_device);
        enum mmi_instance_state state = mmi_instance_state(instance);
        if (state != MMI_READY && state != MMI_DRAINING && state != MMI_RECLAIMABLE) {
            continue; /* LOADING finds out by itself */
        }
        mmi_instance_unpublish(instance);
        mmi_timer_unset(res, &instance->timer);
        instance->reason = MMI_REASON_DEVICE_LOST;
        instance->taken = true;
        mmi_event(res, MMI_EVENT_DEVICE_LOST, instance->model,
                  &(struct mmi_event){.bytes = instance->block.charged_bytes}, dev);
        mmi_instance_settled(res, instance, mmi_slot_lost(instance->slot));
    }
}
