/* SPDX-License-Identifier: Apache-2.0 */
/* The states of an instance. Every transition is one function here or one call in load.c:
 *
 *   NONE -> LOADING          mmi_instance_new        a load was asked for
 *   LOADING -> READY         mmi_instance_ready      bytes are there, the backend attached
 *   LOADING -> FAILED        mmi_load_failed         its struct goes, the error stays behind
 *   LOADING -> NONE          mmi_instance_free       cancelled
 *   LOADING -> DETACHING     mmi_instance_detach_soon  attached, but its model went away
 *   READY -> DRAINING        mmi_instance_leave      refuses new leases
 *   DRAINING -> RECLAIMABLE  mmi_instance_settled    the last lease came back
 *   DRAINING -> READY        mmi_instance_revive     demand returned
 *   RECLAIMABLE -> READY     mmi_instance_revive     demand returned; no byte was moved
 *   RECLAIMABLE -> DETACHING mmi_instance_hand_over, mmi_instance_detach_soon
 *   any -> LOST              mmi_device_lost         the device is gone
 *   LOST -> DETACHING        mmi_instance_settled    the last lease came back
 *   DETACHING -> NONE        mmi_instance_detached   memory is back
 */
#include <residency/core.h>

#include <base/checked.h>

#include <string.h>

#define STAY_MAX_NS UINT64_C(100000000) /* min residency, unless told otherwise */

struct mmi_instance *mmi_instance_new(struct mmi_residency *res, struct mmi_model *model,
                                      struct mmi_version *version) {
    if (!mmi_room_reserve_lists(res) || !mmi_timer_promise(res)) {
        return NULL;
    }
    struct mmi_instance *instance = mmi_alloc(&res->env->alloc, 1, sizeof(*instance));
    struct mmi_slot *slot = instance ? mmi_slots_alloc(&res->slots, instance) : NULL;
    if (!slot) {
        mmi_free(&res->env->alloc, instance, sizeof(*instance));
        res->timers_promised--;
        return NULL;
    }
    mmi_slot_move(slot, MMI_LOADING);
    instance->slot = slot;
    instance->uses_before = mmi_slot_uses(slot);
    atomic_store(&instance->model_id, atomic_load(&model->id));
    instance->model = model;
    instance->version = version;
    instance->opened = mmi_opened_hold(res, version);
    version->instance = instance;
    mmi_list_init(&instance->on_device);
    mmi_list_init(&instance->queue);
    mmi_list_init(&instance->gone);
    mmi_list_init(&instance->run_slot_waiters);
    mmi_list_init(&instance->victims);
    instance->sequence = ++res->sequence;
    res->instances++;
    return instance;
}

/* Common to every end: the instance is freed. */
static void forget(struct mmi_residency *res, struct mmi_instance *instance) {
    struct mmi_version *version = instance->version;
    struct mmi_opened *opened = instance->opened;
    mmi_list_remove(&instance->queue);
    mmi_list_remove(&instance->on_device);
    mmi_timer_forget(res, &instance->timer);
    if (version->instance == instance) {
        version->instance = NULL;
    }
    MMI_LIST_EACH(node, &instance->gone) {
        mmi_waiter_end(res, MMI_CONTAINER(node, struct mmi_waiter, node), MM_OK, NULL);
    }
    uint64_t served = mmi_slot_uses(instance->slot) - instance->uses_before;
    *(instance->model ? &instance->model->served : &res->served) += served;
    mmi_slots_free(instance->slot);
    mmi_free(&res->env->alloc, instance, sizeof(*instance));
    mmi_opened_drop(res, opened);
    res->instances--;
    pthread_cond_broadcast(&res->quiet);
}

void mmi_instance_free(struct mmi_residency *res, struct mmi_instance *instance) {
    if (instance->dev) {
        mmi_arena_give(instance->dev->device->arena, &instance->block);
    }
    forget(res, instance);
}

/* ---- Becoming ready ------------------------------------------------------------------------- */

void mmi_instance_publish(struct mmi_residency *res, struct mmi_instance *instance) {
    struct mmi_model *model = instance->model;
    if (!model || model->current != instance->version || atomic_load(&res->closed)) {
        return;
    }
    bool serial = instance->opened->description.flags & MM_DESCRIPTION_SERIAL;
    atomic_store(&instance->concurrency_limit, serial ? 1 : model->settings.max_concurrency);
    atomic_store(&model->hot_slot, instance->slot);
    atomic_store(&model->hot_word, instance->word);
    if (model->settings.idle_ttl_ns) {
        instance->timer.fire = mmi_idle_fire;
        mmi_timer_set(res, &instance->timer,
                      mmi_add_cap(mmi_now(&res->env->clock), model->settings.idle_ttl_ns));
    }
}

void mmi_instance_unpublish(struct mmi_instance *instance) {
    struct mmi_model *model = instance->model;
    if (model && atomic_load(&model->hot_word) == instance->word) {
        atomic_store(&model->hot_word, 0);
    }
}

void mmi_instance_ready(struct mmi_residency *res, struct mmi_instance *instance) {
    struct mmi_model *model = instance->model;
    uint64_t now_ns = mmi_now(&res->env->clock);
    instance->ready_ns = now_ns;
    instance->load_ns = now_ns - instance->begun_ns;
    uint64_t stay_ns = model ? model->settings.min_residency_ns : 0;
    if (stay_ns == 0) {
        stay_ns = res->config.min_residency_ns;
    }
    if (stay_ns == 0) {
        stay_ns = mmi_min_u64(2 * instance->load_ns, STAY_MAX_NS);
    }
    instance->stay_until_ns = mmi_add_cap(now_ns, stay_ns);
    instance->version->load_ns = instance->load_ns;
    mmi_failure_clear(&res->env->alloc, &instance->version->failure);
    instance->dev->loads++;
    instance->word = mmi_slot_ready(instance->slot, mmi_ticks(&res->env->clock));
    if (model) {
        model->loads++;
    }
    mmi_count(&res->counters, MMI_COUNT_LOADS, 1);
    mmi_count(&res->counters, MMI_COUNT_LOADED_BYTES, instance->region.bytes);
    mmi_histogram_add(&res->load_time, instance->load_ns);
    mmi_event(res, MMI_EVENT_LOAD_END, model,
              &(struct mmi_event){.bytes = instance->block.charged_bytes,
                                  .duration_ns = instance->load_ns},
              instance->dev);
    mmi_instance_publish(res, instance);
}

void mmi_instance_revive(struct mmi_residency *res, struct mmi_instance *instance) {
    mmi_slot_revive(instance->slot);
    instance->taken = false;
    mmi_count(&res->counters, MMI_COUNT_REVIVALS, 1);
    mmi_event(res, MMI_EVENT_REVIVE, instance->model,
              &(struct mmi_event){.bytes = instance->block.charged_bytes}, instance->dev);
    mmi_instance_publish(res, instance);
}

/* ---- Leaving -------------------------------------------------------------------------------- */

uint64_t mmi_instance_idle_ns(const struct mmi_residency *res,
                              const struct mmi_instance *instance) {
    uint64_t used_ns = mmi_ticks_to_ns(&res->env->clock, mmi_slot_last_used(instance->slot));
    return mmi_sub_floor(mmi_now(&res->env->clock), used_ns);
}

static void count_eviction(struct mmi_residency *res, struct mmi_instance *instance) {
    mmi_count_eviction(&res->counters, instance->reason);
    instance->dev->evictions++;
    if (instance->model) {
        instance->model->evictions++;
    }
    struct mmi_event event = {.bytes = instance->block.charged_bytes,
                              .idle_ns = mmi_instance_idle_ns(res, instance)};
    mmi_event_name(event.other, sizeof(event.other), instance->other);
    mmi_event_name(event.policy, sizeof(event.policy), res->config.policy->name);
    mmi_event_name(event.reason, sizeof(event.reason), mmi_reason_text(instance->reason));
    mmi_event(res, MMI_EVENT_EVICT, instance->model, &event, instance->dev);
}

void mmi_instance_leave(struct mmi_residency *res, struct mmi_instance *instance,
                        enum mmi_reason reason, bool taken, const char *other) {
    enum mmi_instance_state state = mmi_instance_state(instance);
    if (state != MMI_READY && state != MMI_DRAINING && state != MMI_RECLAIMABLE) {
        return;
    }
    instance->taken |= taken;
    if (state != MMI_READY && !taken) {
        return;
    }
    instance->reason = reason;
    mmi_event_name(instance->other, sizeof(instance->other), other);
    if (state == MMI_RECLAIMABLE) {
        mmi_instance_detach_soon(res, instance);
    } else if (state == MMI_READY) {
        mmi_instance_unpublish(instance);
        mmi_timer_unset(res, &instance->timer);
        enum mmi_settled settled = mmi_slot_drain(instance->slot);
        if (settled == MMI_UNSETTLED) {
            struct mmi_event event = {.bytes = instance->block.charged_bytes};
            mmi_event_name(event.other, sizeof(event.other), other);
            mmi_event_name(event.reason, sizeof(event.reason), mmi_reason_text(reason));
            mmi_event(res, MMI_EVENT_DRAIN, instance->model, &event, instance->dev);
        }
        mmi_instance_settled(res, instance, settled);
    }
}

void mmi_instance_settled(struct mmi_residency *res, struct mmi_instance *instance,
                          enum mmi_settled settled) {
    if (settled == MMI_SETTLED_DETACHING) {
        mmi_list_remove(&instance->queue);
        mmi_list_push_back(&res->detaching, &instance->queue);
    } else if (settled == MMI_SETTLED_RECLAIMABLE) {
        count_eviction(res, instance);
        struct mmi_model *model = instance->model;
        if (instance->taken || !model || res->config.idle_evict || atomic_load(&res->closed)) {
            mmi_instance_detach_soon(res, instance);
        } else {
            uint64_t id = atomic_load(&model->id);
            mmi_schedule(res);
            /* First the load that its bytes were for, then those who requested it meanwhile. */
            if (mmi_catalog_get(&res->catalog, id) == model) {
                mmi_advance(res, model);
            }
        }
    }
}

void mmi_instance_hand_over(struct mmi_residency *res, struct mmi_instance *instance,
                            struct mmi_list *list) {
    (void)res;
    mmi_slot_move(instance->slot, MMI_DETACHING);
    mmi_arena_give(instance->dev->device->arena, &instance->block);
    mmi_list_remove(&instance->on_device);
    mmi_list_push_back(list, &instance->queue);
}

void mmi_instance_detach_soon(struct mmi_residency *res, struct mmi_instance *instance) {
    mmi_slot_move(instance->slot, MMI_DETACHING);
    mmi_list_remove(&instance->queue);
    mmi_list_push_back(&res->detaching, &instance->queue);
}

void mmi_instance_detach(struct mmi_residency *res, struct mmi_instance *instance) {
    struct mmi_backend *backend = instance->opened->backend;
    if (instance->attached) {
        int64_t before = mmi_tls()->backend_bytes;
        backend->table->detach(instance->state);
        instance->backend_bytes += mmi_tls()->backend_bytes - before;
        instance->attached = false;
    }
    mmi_free(&res->env->alloc, instance->state, backend->table->instance_bytes);
    instance->state = NULL;
    if (instance->region.device) {
        instance->dev->device->ops->unmap(&instance->region);
    }
    if (backend->table->flags & MM_BACKEND_MALLOC) {
        mmi_trim_malloc();
    }
}

/* What the backend allocated for it and did not free is still in use: it is charged to the
 * device. */
static void charge_leak(struct mmi_residency *res, struct mmi_instance *instance) {
    if (instance->backend_bytes <= 0) {
        return;
    }
    struct mmi_devstate *dev = instance->dev;
    dev->leaked_bytes += (uint64_t)instance->backend_bytes;
    struct mmi_event event = {.bytes = (uint64_t)instance->backend_bytes};
    mmi_event_name(event.reason, sizeof(event.reason), instance->opened->backend->table->name);
    mmi_event(res, MMI_EVENT_LEAK, instance->model, &event, dev);
}

void mmi_instance_detached(struct mmi_residency *res, struct mmi_instance *instance) {
    struct mmi_model *model = instance->model;
    uint64_t id = atomic_load(&instance->model_id);
    charge_leak(res, instance);
    mmi_event(res, MMI_EVENT_DETACH, model, &(struct mmi_event){.bytes = instance->region.bytes},
              instance->dev);
    mmi_arena_give(instance->dev->device->arena, &instance->block); /* none after a hand-over */
    pthread_cond_broadcast(&instance->dev->scratch_freed);
    forget(res, instance);
    mmi_schedule(res);
    if (model && mmi_catalog_get(&res->catalog, id) == model) {
        mmi_advance(res, model);
    }
}
