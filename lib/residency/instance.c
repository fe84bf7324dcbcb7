/* SPDX-License-Identifier: Apache-2.0 */
#include <residency/instance.h>

#include <residency/builds.h>
#include <residency/copies.h>
#include <residency/decisions.h>
#include <residency/fit.h>
#include <residency/frame.h>

#include <base/checked.h>

#include <malloc.h>
#include <stdio.h>
#include <string.h>

#define IDLE_LOOK_NS UINT64_C(1000000)
#define STAY_MAX_NS UINT64_C(100000000) /* min residency, unless told otherwise */

static struct mmi_slot *reserve(struct mmi_residency *res, struct mmi_instance *instance) {
    if (!mmi_timer_promise(&res->timers)) {
        return NULL;
    }
    if (!mmi_timer_promise(&res->timers)) { /* of the claim; of the idle time */
        res->timers.promised--;
        return NULL;
    }
    struct mmi_slot *slot = mmi_slots_alloc(&res->slots, instance);
    if (!slot) {
        res->timers.promised -= 2;
    }
    return slot;
}

struct mmi_instance *mmi_instance_new(struct mmi_residency *res, struct mmi_model *model,
                                      struct mmi_version *version) {
    struct mmi_instance *instance = mmi_fit_reserve_room(res)
                                        ? mmi_alloc_aligned(&res->env->alloc, sizeof(*instance), 64)
                                        : NULL;
    bool waitable = instance && mmi_cond_init(&instance->arrival, res->env) == 0;
    struct mmi_slot *slot = waitable ? reserve(res, instance) : NULL;
    if (!slot) {
        if (waitable) {
            mmi_cond_fini(&instance->arrival);
        }
        mmi_free(&res->env->alloc, instance, sizeof(*instance));
        return NULL;
    }
    mmi_slot_move(slot, MMI_LOADING);
    instance->res = res;
    instance->slot = slot;
    instance->uses_before = mmi_slot_uses(slot);
    atomic_store(&instance->model_id, atomic_load(&model->id));
    instance->model = model;
    mmi_event_name(instance->label, sizeof(instance->label), mmi_model_name(model));
    instance->version = version;
    version->refs++;
    mmi_list_push_back(&version->copies, &instance->copy);
    mmi_list_init(&instance->queue);
    mmi_list_init(&instance->parked);
    mmi_list_init(&instance->claim.node);
    mmi_list_init(&instance->claim.victims);
    instance->claim.sequence = ++res->sequence;
    mmi_list_push_back(&model->instances, &instance->of_model);
    res->instances++;
    mmi_mark_instance(res, instance);
    return instance;
}

/* There is room: mmi_fit_reserve_room. */
static void enter_device(struct mmi_instance *instance, struct mmi_devstate *dev) {
    instance->dev = dev;
    instance->on_device = dev->instance_count;
    dev->instances[dev->instance_count++] = instance;
}

static void exit_device(struct mmi_instance *instance) {
    struct mmi_devstate *dev = instance->dev;
    struct mmi_instance *last = dev->instances[--dev->instance_count];
    dev->instances[instance->on_device] = last;
    last->on_device = instance->on_device;
    instance->dev = NULL;
}

/* What every way out shares: from now on there is no such instance. */
static void forget(struct mmi_residency *res, struct mmi_instance *instance) {
    struct mmi_version *version = instance->version;
    struct mmi_opened *opened = instance->opened;
    if (instance->dev) {
        exit_device(instance);
    }
    mmi_list_remove(&instance->queue);
    mmi_list_remove(&instance->copy);
    mmi_list_remove(&instance->claim.node);
    mmi_timer_forget(&res->timers, &instance->idle);
    mmi_timer_forget(&res->timers, &instance->claim.timer);
    uint64_t served = mmi_slot_uses(instance->slot) - instance->uses_before;
    mmi_mark_instance(res, instance);
    mmi_list_remove(&instance->of_model);
    if (instance->model) {
        instance->model->served += served;
    } else {
        res->served += served;
    }
    mmi_slots_free(instance->slot);
    mmi_cond_fini(&instance->arrival);
    mmi_free(&res->env->alloc, instance, sizeof(*instance));
    if (opened) {
        mmi_opened_drop(res, opened);
    }
    mmi_version_unref(res, version);
    res->instances--;
    mmi_cond_broadcast(&res->quiet);
}

/* ---- Coming --------------------------------------------------------------------------------- */

void mmi_instance_granted(struct mmi_residency *res, struct mmi_instance *instance,
                          struct mmi_devstate *dev, struct mmi_build *build) {
    enter_device(instance, dev);
    instance->build = build;
    instance->opened = mmi_opened_hold(res, build);
    bool serial = instance->opened->description.flags & MM_DESCRIPTION_SERIAL;
    uint32_t limit = instance->version->settings.max_concurrency;
    atomic_store(&instance->limit, serial ? 1 : limit);
    mmi_fit_activation(instance, mmi_build_activation(build, dev, mmi_build_bytes(build)));
    atomic_store(&instance->measured, build->activation_measured);
    instance->begun_ns = mmi_res_now(res);
    mmi_mark_instance(res, instance);
}

void mmi_instance_ungranted(struct mmi_residency *res, struct mmi_instance *instance) {
    mmi_arena_give(instance->dev->device->arena, &instance->block);
    exit_device(instance);
    mmi_opened_drop(res, instance->opened);
    instance->opened = NULL;
    instance->build = NULL;
    mmi_mark_instance(res, instance);
}

void mmi_instance_free(struct mmi_residency *res, struct mmi_instance *instance) {
    if (instance->dev) {
        mmi_arena_give(instance->dev->device->arena, &instance->block);
    }
    forget(res, instance);
}

static uint64_t idle_of(const struct mmi_residency *res, const struct mmi_instance *instance) {
    return mmi_slot_leases(instance->slot) > 0 ? 0 : mmi_instance_idle_ns(res, instance);
}

/* Since the last request to any copy. One that came for the least number of copies and was never
 * asked does not make the model any younger: else two would take turns for ever. */
static uint64_t version_idle_ns(const struct mmi_residency *res,
                                const struct mmi_version *version) {
    uint64_t asked_ns = UINT64_MAX, longest_ns = 0;
    MMI_LIST_EACH(node, &version->copies) {
        const struct mmi_instance *copy = mmi_copy_of(node);
        if (mmi_instance_state(copy) == MMI_READY) {
            uint64_t idle_ns = idle_of(res, copy);
            bool asked = idle_ns == 0 || mmi_slot_uses(copy->slot) > 0;
            asked_ns = asked ? mmi_min_u64(asked_ns, idle_ns) : asked_ns;
            longest_ns = mmi_max_u64(longest_ns, idle_ns);
        }
    }
    return asked_ns != UINT64_MAX ? asked_ns : longest_ns;
}

/* A copy that gets its weights leaves with the others when it has them: if they went before it, it
 * would bring them back. */
static bool one_is_coming(const struct mmi_version *version) {
    bool coming = false;
    MMI_LIST_EACH(node, &version->copies) {
        const struct mmi_instance *copy = mmi_copy_of(node);
        coming |= mmi_instance_state(copy) == MMI_LOADING && copy->dev;
    }
    return coming;
}

static void leave_idle(struct mmi_residency *res, const struct mmi_version *version) {
    MMI_LIST_EACH(node, &version->copies) {
        struct mmi_instance *copy = mmi_copy_of(node);
        if (mmi_instance_state(copy) == MMI_READY) {
            mmi_instance_leave(res, copy, MMI_REASON_IDLE, NULL);
        }
    }
}

/* All copies leave together, or one that nobody needs. */
static void idle_fire(void *ctx, struct mmi_timer *timer) {
    struct mmi_residency *res = ctx;
    struct mmi_instance *instance = MMI_CONTAINER(timer, struct mmi_instance, idle);
    const struct mmi_model *model = instance->model;
    if (!model || mmi_instance_state(instance) != MMI_READY) {
        return;
    }
    if (model->settings.pinned) {
        return; /* watched again when it is not */
    }
    uint64_t ttl_ns = model->settings.idle_ttl_ns;
    uint64_t model_ns = version_idle_ns(res, instance->version);
    uint64_t own_ns = idle_of(res, instance);
    uint64_t least = mmi_max_u64(1, model->settings.min_replicas);
    if (model_ns >= ttl_ns && one_is_coming(instance->version)) {
        mmi_timer_set(&res->timers, timer, mmi_add_cap(mmi_res_now(res), ttl_ns));
    } else if (model_ns >= ttl_ns) {
        leave_idle(res, instance->version);
    } else if (own_ns >= ttl_ns && mmi_copies_count(instance->version).ready > least) {
        mmi_instance_leave(res, instance, MMI_REASON_IDLE, NULL);
    } else {
        uint64_t idle_ns = own_ns < ttl_ns ? own_ns : model_ns;
        mmi_timer_set(&res->timers, timer, mmi_add_cap(mmi_res_now(res), ttl_ns - idle_ns));
    }
}

void mmi_instance_watch_idle(struct mmi_residency *res, struct mmi_instance *instance) {
    uint64_t ttl_ns = instance->version->settings.idle_ttl_ns;
    bool pinned = instance->model && instance->model->settings.pinned;
    if (ttl_ns && !pinned && mmi_instance_state(instance) == MMI_READY) {
        instance->idle.fire = idle_fire;
        mmi_timer_set(&res->timers, &instance->idle, mmi_add_cap(mmi_res_now(res), ttl_ns));
    }
}

static void serve(struct mmi_residency *res, struct mmi_instance *instance) {
    mmi_copy_publish(res, instance);
    mmi_instance_watch_idle(res, instance);
    mmi_mark_instance(res, instance);
}

static void measure_load(struct mmi_residency *res, struct mmi_instance *instance,
                         uint64_t now_ns) {
    instance->load_ns = now_ns - instance->begun_ns;
    instance->version->load_ns = instance->load_ns;
    uint64_t stay_ns = instance->version->settings.min_residency_ns;
    if (stay_ns == 0) {
        stay_ns = res->config.min_residency_ns;
    }
    if (stay_ns == 0) {
        stay_ns = mmi_min_u64(2 * instance->load_ns, STAY_MAX_NS);
    }
    instance->stay_until_ns = mmi_add_cap(now_ns, stay_ns);
}

void mmi_instance_ready(struct mmi_residency *res, struct mmi_instance *instance) {
    instance->ready_ns = mmi_res_now(res);
    measure_load(res, instance, instance->ready_ns);
    mmi_failure_clear(&res->env->alloc, &instance->version->failure);
    instance->dev->loads++;
    if (instance->model) {
        instance->model->loads++;
    }
    mmi_count(&res->counters, MMI_COUNT_LOADS, 1);
    mmi_count(&res->counters, MMI_COUNT_LOADED_BYTES, instance->region.bytes);
    mmi_decided(
        res, MMI_EVENT_LOAD_END, instance->label,
        &(struct mmi_event){.time_ns = instance->ready_ns, /* what stay_until_ns counts from */
                            .bytes = instance->block.charged_bytes,
                            .duration_ns = instance->load_ns},
        instance->dev);
    instance->word = mmi_slot_ready(instance->slot, mmi_ticks(&res->env->clock));
    serve(res, instance);
}

void mmi_instance_complete(struct mmi_residency *res, struct mmi_instance *instance) {
    if (instance->load_lease.slot) { /* it served before */
        measure_load(res, instance, mmi_res_now(res));
    }
    mmi_histogram_add(&res->load_time, instance->load_ns);
}

bool mmi_instance_evicted(const struct mmi_instance *instance) {
    MMI_LIST_EACH(node, &instance->model->evicting) {
        const struct mmi_waiter *waiter = MMI_CONTAINER(node, struct mmi_waiter, node);
        if (instance->claim.sequence <= waiter->until) {
            return true;
        }
    }
    return false;
}

bool mmi_instance_may_return(const struct mmi_residency *res, const struct mmi_instance *instance) {
    enum mmi_instance_state state = mmi_instance_state(instance);
    return (state == MMI_DRAINING || state == MMI_RECLAIMABLE) && instance->model &&
           !mmi_instance_evicted(instance) &&
           !(instance->for_claim && instance->dev->needed_round == res->round) &&
           !atomic_load(&res->closed);
}

void mmi_instance_revive(struct mmi_residency *res, struct mmi_instance *instance) {
    mmi_slot_revive(instance->slot);
    mmi_count(&res->counters, MMI_COUNT_REVIVALS, 1);
    mmi_decided(res, MMI_EVENT_REVIVE, instance->label,
                &(struct mmi_event){.bytes = instance->block.charged_bytes}, instance->dev);
    serve(res, instance);
}

/* ---- Going ---------------------------------------------------------------------------------- */

static struct mmi_event leaving_event(const struct mmi_instance *instance) {
    struct mmi_event event = {.bytes = instance->block.charged_bytes};
    mmi_event_name(event.other, sizeof(event.other), instance->other);
    mmi_event_name(event.reason, sizeof(event.reason), mmi_reason_text(instance->reason));
    return event;
}

static void count_eviction(struct mmi_residency *res, struct mmi_instance *instance) {
    mmi_count_eviction(&res->counters, instance->reason);
    instance->dev->evictions++;
    if (instance->model) {
        instance->model->evictions++;
    }
    struct mmi_event event = leaving_event(instance);
    event.idle_ns = mmi_instance_idle_ns(res, instance);
    mmi_event_name(event.policy, sizeof(event.policy), MMI_POLICY_NAME);
    mmi_decided(res, MMI_EVENT_EVICT, instance->label, &event, instance->dev);
}

static void begin_detach(struct mmi_residency *res, struct mmi_instance *instance) {
    mmi_slot_move(instance->slot, MMI_DETACHING);
    instance->leaving_ns = mmi_res_now(res);
}

static void detach_later(struct mmi_residency *res, struct mmi_instance *instance) {
    begin_detach(res, instance);
    mmi_list_remove(&instance->queue);
    mmi_list_push_back(&res->detaching, &instance->queue);
    mmi_mark_instance(res, instance);
}

static void look_now(void *ctx, struct mmi_timer *timer) {
    (void)timer;
    mmi_mark_memory(ctx);
}

/* Who waits for memory may take one that became idle. Where models become idle all the time that is
 * not looked at each time: a look goes through all of them. */
static void look_soon(struct mmi_residency *res) {
    uint64_t now_ns = mmi_res_now(res);
    if (now_ns >= res->idle_look_ns) {
        res->idle_look_ns = mmi_add_cap(now_ns, IDLE_LOOK_NS);
        mmi_mark_memory(res);
    } else if (!mmi_timer_is_set(&res->idle_timer)) {
        res->idle_timer.fire = look_now;
        mmi_timer_set(&res->timers, &res->idle_timer, res->idle_look_ns);
    }
}

/* What a settle of its slot brought about. */
static void settled(struct mmi_residency *res, struct mmi_instance *instance,
                    enum mmi_settled settled, bool was_lost) {
    if (settled == MMI_UNSETTLED) {
        return;
    }
    if (settled == MMI_SETTLED_IDLE) {
        look_soon(res);
        return;
    }
    if (!was_lost) {
        count_eviction(res, instance);
    }
    bool rests = settled == MMI_SETTLED_RECLAIMABLE && !res->config.idle_evict && instance->model &&
                 !mmi_instance_evicted(instance) && !atomic_load(&res->closed);
    if (rests) {
        mmi_mark_instance(res, instance);
    } else {
        detach_later(res, instance);
    }
}

void mmi_instance_settle(struct mmi_residency *res, struct mmi_slot *slot) {
    struct mmi_instance *instance = slot->owner;
    bool lost = mmi_slot_state(slot) == MMI_LOST;
    settled(res, instance, mmi_slot_settle(slot), lost);
}

static void stop_serving(struct mmi_residency *res, struct mmi_instance *instance,
                         enum mmi_reason reason, const char *for_whom) {
    mmi_copy_unpublish(res, instance);
    mmi_timer_unset(&res->timers, &instance->idle);
    instance->reason = reason;
    instance->for_claim = false;
    instance->leaving_ns = mmi_res_now(res);
    mmi_event_name(instance->other, sizeof(instance->other), for_whom);
}

/* No new leases; a drain is logged where it waits for old ones. */
static void begun_to_leave(struct mmi_residency *res, struct mmi_instance *instance,
                           enum mmi_settled outcome) {
    if (outcome == MMI_UNSETTLED) {
        struct mmi_event event = leaving_event(instance);
        mmi_decided(res, MMI_EVENT_DRAIN, instance->label, &event, instance->dev);
        mmi_mark_instance(res, instance);
    }
    settled(res, instance, outcome, false);
}

void mmi_instance_drain(struct mmi_residency *res, struct mmi_instance *instance,
                        enum mmi_reason reason, const char *for_whom) {
    if (mmi_instance_state(instance) != MMI_READY) {
        return;
    }
    stop_serving(res, instance, reason, for_whom);
    begun_to_leave(res, instance, mmi_slot_drain(instance->slot));
}

void mmi_instance_leave(struct mmi_residency *res, struct mmi_instance *instance,
                        enum mmi_reason reason, const char *for_whom) {
    enum mmi_instance_state state = mmi_instance_state(instance);
    if (state == MMI_RECLAIMABLE) { /* evicted already, and counted */
        instance->reason = reason;
        detach_later(res, instance);
        return;
    }
    if (state != MMI_READY && state != MMI_DRAINING) {
        return;
    }
    stop_serving(res, instance, reason, for_whom);
    begun_to_leave(res, instance, mmi_slot_leave(instance->slot));
}

void mmi_parked_revoke(struct mmi_list *parked, mm_status status) {
    MMI_LIST_EACH(node, parked) {
        struct mmi_parked *each = MMI_CONTAINER(node, struct mmi_parked, node);
        each->revoke(each, status);
    }
}

static bool is_idle(const struct mmi_instance *instance) {
    enum mmi_instance_state state = mmi_instance_state(instance);
    return (state == MMI_READY && mmi_slot_leases(instance->slot) == 0) ||
           state == MMI_RECLAIMABLE || state == MMI_DETACHING;
}

/* As if nothing had been. */
static void undrain(struct mmi_residency *res, struct mmi_list *from, struct mmi_list *to) {
    for (struct mmi_list *node = from; node != to; node = node->next) {
        struct mmi_instance *instance = mmi_copy_of(node);
        if (instance->reason == MMI_REASON_COUNT && mmi_slot_revive(instance->slot)) {
            serve(res, instance);
        }
    }
}

bool mmi_instances_evict_idle(struct mmi_residency *res, struct mmi_model *model) {
    struct mmi_list *copies = &model->current->copies;
    bool idle = !model->next || mmi_list_empty(&model->next->copies);
    MMI_LIST_EACH(node, copies) {
        idle = idle && is_idle(mmi_copy_of(node));
    }
    if (!idle) {
        return false;
    }
    MMI_LIST_EACH(node, copies) {
        struct mmi_instance *instance = mmi_copy_of(node);
        if (mmi_instance_state(instance) == MMI_READY) {
            stop_serving(res, instance, MMI_REASON_COUNT, NULL);   /* not decided yet */
            if (mmi_slot_drain(instance->slot) == MMI_UNSETTLED) { /* a lease came in between */
                undrain(res, copies->next, node->next);
                return false;
            }
        }
    }
    MMI_LIST_EACH(node, copies) {
        struct mmi_instance *instance = mmi_copy_of(node);
        if (mmi_instance_state(instance) == MMI_RECLAIMABLE) {
            if (instance->reason == MMI_REASON_COUNT) {
                instance->reason = MMI_REASON_REQUEST;
                count_eviction(res, instance);
            }
            detach_later(res, instance);
        }
    }
    return true;
}

void mmi_instance_lost(struct mmi_residency *res, struct mmi_instance *instance) {
    enum mmi_instance_state state = mmi_instance_state(instance);
    if (state != MMI_READY && state != MMI_DRAINING && state != MMI_LEAVING &&
        state != MMI_RECLAIMABLE) {
        return; /* LOADING finds out by itself */
    }
    stop_serving(res, instance, MMI_REASON_DEVICE_LOST, NULL);
    mmi_decided(res, MMI_EVENT_DEVICE_LOST, instance->label,
                &(struct mmi_event){.bytes = instance->block.charged_bytes}, instance->dev);
    mmi_mark_instance(res, instance);
    settled(res, instance, mmi_slot_lost(instance->slot), true);
}

void mmi_instance_hand_over(struct mmi_residency *res, struct mmi_instance *instance,
                            struct mmi_list *list) {
    begin_detach(res, instance);
    mmi_list_push_back(list, &instance->queue);
    mmi_mark_model(res, instance->model);
}

void mmi_instance_detach(struct mmi_residency *res, struct mmi_instance *instance) {
    struct mmi_backend *backend = instance->opened->backend;
    if (instance->attached) {
        int64_t before = mmi_tls()->backend_bytes;
        struct mmi_frame frame;
        mmi_frame_enter(&frame, res, atomic_load(&instance->model_id), MMI_FRAME_SLOT);
        backend->table->detach(instance->state);
        mmi_frame_leave(&frame);
        instance->backend_bytes += mmi_tls()->backend_bytes - before;
        instance->attached = false;
    }
    mmi_free(&res->env->alloc, instance->state, backend->table->instance_bytes);
    instance->state = NULL;
    if (instance->region.device) {
        instance->dev->device->ops->unmap(&instance->region);
    }
    if (instance->holds_artifact) {
        mmi_artifact_unhold(instance->opened->artifact);
        instance->holds_artifact = false;
    }
    if (backend->table->flags & MM_BACKEND_MALLOC) {
        malloc_trim(0);
    }
}

/* What the backend allocated for it and did not free stays in use: it counts against the device. */
static void charge_leak(struct mmi_residency *res, struct mmi_instance *instance) {
    if (instance->backend_bytes <= 0) {
        return;
    }
    struct mmi_devstate *dev = instance->dev;
    dev->leaked_bytes += (uint64_t)instance->backend_bytes;
    struct mmi_event event = {.bytes = (uint64_t)instance->backend_bytes};
    snprintf(event.reason, sizeof(event.reason), "not freed by %.18s",
             instance->opened->backend->table->name);
    mmi_decided(res, MMI_EVENT_LEAK, instance->label, &event, dev);
}

void mmi_instance_detached(struct mmi_residency *res, struct mmi_instance *instance) {
    charge_leak(res, instance);
    mmi_decided(res, MMI_EVENT_DETACH, instance->label,
                &(struct mmi_event){.bytes = instance->build->weights_bytes}, instance->dev);
    mmi_arena_give(instance->dev->device->arena, &instance->block);
    forget(res, instance);
}
