/* SPDX-License-Identifier: Apache-2.0 */
/* Making room: who leaves for whom, on which device. Plans are pure (policy/); here they are
 * carried out.
 *
 *   1. loads that wait for memory are looked at in order: higher priority, then first come
 *   2. each device is a candidate placement: fits, fits if these leave, later, never
 *   3. the best one is taken: victims leave, or a timer is set, or the load is refused
 *   4. a device that a load waits for is promised to it: later loads do not overtake it there
 */
#include <residency/core.h>

#include <base/checked.h>

#include <inttypes.h>
#include <string.h>

#define QUICK_BYTES (UINT64_C(256) << 10)

/* ---- Snapshot and fit query ----------------------------------------------------------------- */

bool mmi_room_reserve_lists(struct mmi_residency *res) {
    size_t need = (size_t)res->instances + 1;
    size_t *room = res->plan_capacity;
    const mm_allocator *alloc = &res->env->alloc;
    return mmi_grow(alloc, (void **)&res->candidates, &room[0], need, sizeof(*res->candidates)) &&
           mmi_grow(alloc, (void **)&res->planned, &room[1], need, sizeof(struct mmi_instance *)) &&
           mmi_grow(alloc, (void **)&res->victims, &room[2], need, sizeof(*res->victims)) &&
           mmi_grow(alloc, (void **)&res->released, &room[3], need, sizeof(*res->released));
}

struct mmi_instance *mmi_room_victim(struct mmi_residency *res, uint32_t index) {
    return res->planned[index];
}

static enum mmi_candidate_state candidate_state(const struct mmi_instance *instance) {
    switch (mmi_instance_state(instance)) {
    case MMI_READY:
        return mmi_slot_leases(instance->slot) ? MMI_CANDIDATE_LEASED : MMI_CANDIDATE_IDLE;
    case MMI_RECLAIMABLE:
        return MMI_CANDIDATE_RECLAIMABLE;
    case MMI_LOADING:
        return MMI_CANDIDATE_LOADING;
    default:
        return MMI_CANDIDATE_DRAINING; /* DRAINING, DETACHING, LOST: its bytes come by themselves */
    }
}

static size_t snapshot(struct mmi_residency *res, struct mmi_devstate *dev,
                       const struct mmi_need *need) {
    size_t count = 0;
    MMI_LIST_EACH(node, &dev->instances) {
        struct mmi_instance *instance = MMI_CONTAINER(node, struct mmi_instance, on_device);
        const struct mmi_model *model = instance->model;
        res->planned[count] = instance;
        res->released[count] = false;
        res->candidates[count] =
            (struct mmi_candidate){.index = (uint32_t)count,
                                   .evict_class = model ? (uint8_t)model->settings.evict_class : 0,
                                   .pinned = model && model->settings.pinned,
                                   .self = need->self && model == need->self,
                                   .state = (uint8_t)candidate_state(instance),
                                   .last_used = mmi_slot_last_used(instance->slot),
                                   .bytes = instance->block.charged_bytes,
                                   .load_cost_ns = instance->load_ns,
                                   .uses = 0,
                                   .stay_until_ns = instance->stay_until_ns};
        count++;
    }
    return count;
}

struct fit {
    struct mmi_residency *res;
    struct mmi_devstate *dev;
    const struct mmi_need *need;
    size_t count;
};

static void fit_release(void *ctx, const struct mmi_candidate *candidate) {
    struct fit *fit = ctx;
    struct mmi_instance *instance = fit->res->planned[candidate->index];
    fit->res->released[candidate->index] = true;
    if (instance->block.bytes) {
        mmi_trial_release(fit->dev->device->arena, &instance->block);
    }
}

static void fit_keep(void *ctx, const struct mmi_candidate *candidate) {
    struct fit *fit = ctx;
    struct mmi_instance *instance = fit->res->planned[candidate->index];
    fit->res->released[candidate->index] = false;
    if (instance->block.bytes) {
        mmi_trial_keep(fit->dev->device->arena, &instance->block);
    }
}

/* What must stay free for activations: the largest need among those that remain, the newcomer
 * included, less what is held for scratch already; and what leaked. */
static uint64_t reserve_left(const struct fit *fit) {
    const struct mmi_devstate *dev = fit->dev;
    const struct mmi_arena *arena = dev->device->arena;
    uint64_t largest = fit->need->activation_bytes;
    for (size_t i = 0; i < fit->count; i++) {
        if (!fit->res->released[i]) {
            largest = mmi_max_u64(largest, atomic_load(&fit->res->planned[i]->activation_bytes));
        }
    }
    uint64_t reserve = largest ? mmi_arena_rounded(arena, largest) : 0;
    return mmi_add_cap(mmi_sub_floor(reserve, dev->scratch_bytes), dev->leaked_bytes);
}

static bool fit_holds(void *ctx) {
    const struct fit *fit = ctx;
    const struct mmi_arena *arena = fit->dev->device->arena;
    const struct mmi_need *need = fit->need;
    if (need->scratch) {
        return mmi_trial_fits(arena, need->bytes, fit->dev->leaked_bytes);
    }
    uint64_t reserve = reserve_left(fit);
    if (need->bytes == 0) {
        return mmi_trial_free_bytes(arena) >= mmi_add_cap(need->shrink_bytes, reserve);
    }
    return mmi_trial_fits(arena, need->bytes, reserve);
}

uint64_t mmi_room_reserve(const struct mmi_residency *res, const struct mmi_devstate *dev) {
    (void)res;
    uint64_t largest = 0;
    MMI_LIST_EACH(node, &dev->instances) {
        struct mmi_instance *instance = MMI_CONTAINER(node, struct mmi_instance, on_device);
        largest = mmi_max_u64(largest, atomic_load(&instance->activation_bytes));
    }
    return largest;
}

static bool fits_empty(const struct mmi_devstate *dev, const struct mmi_need *need) {
    const struct mmi_arena *arena = dev->device->arena;
    uint64_t bytes = need->bytes ? mmi_arena_rounded(arena, need->bytes) : 0;
    uint64_t activations =
        need->activation_bytes ? mmi_arena_rounded(arena, need->activation_bytes) : 0;
    uint64_t all = mmi_add_cap(mmi_add_cap(bytes, activations), need->shrink_bytes);
    return all <= mmi_arena_capacity(arena);
}

void mmi_room_plan(struct mmi_residency *res, struct mmi_devstate *dev, const struct mmi_need *need,
                   struct mmi_plan_output *plan) {
    struct fit fit = {res, dev, need, snapshot(res, dev, need)};
    struct mmi_plan_input input = {
        .policy = res->config.policy,
        .candidates = res->candidates,
        .count = fit.count,
        .evict_class = need->evict_class,
        .fits_empty = fits_empty(dev, need),
        .now_ns = mmi_now(&res->env->clock),
        .now_ticks = mmi_ticks(&res->env->clock),
        .fit = {&fit, fit_release, fit_keep, fit_holds},
    };
    plan->victims = res->victims;
    mmi_trial_begin(dev->device->arena);
    mmi_plan(&input, plan);
    mmi_trial_end(dev->device->arena);
}

/* ---- Candidate placements ------------------------------------------------------------------- */

bool mmi_dev_usable(const struct mmi_residency *res, const struct mmi_devstate *dev,
                    const struct mmi_version *version) {
    (void)res;
    const char *wanted = version->spec->device;
    uint32_t kinds = version->opened ? version->opened->backend->table->device_kinds : UINT32_MAX;
    return !atomic_load(&dev->device->lost) && (kinds & (uint32_t)dev->device->pub.kind) &&
           (!wanted || strcmp(wanted, dev->device->name) == 0);
}

size_t mmi_room_placements(struct mmi_residency *res, const struct mmi_version *version,
                           const struct mmi_need *need, struct mmi_placement *placements) {
    for (size_t i = 0; i < res->device_count; i++) {
        struct mmi_devstate *dev = &res->devices[i];
        placements[i] =
            (struct mmi_placement){.usable = mmi_dev_usable(res, dev, version) && !dev->claimed,
                                   .free_bytes = mmi_arena_free_bytes(dev->device->arena)};
        if (placements[i].usable) {
            mmi_room_plan(res, dev, need, &placements[i].plan);
        }
    }
    size_t chosen = mmi_place(placements, res->device_count);
    if (chosen < res->device_count) {
        mmi_room_plan(res, &res->devices[chosen], need, &placements[chosen].plan);
    }
    return chosen;
}

static size_t largest_placement(const struct mmi_residency *res,
                                const struct mmi_placement *placements, size_t largest) {
    for (size_t i = 0; i < res->device_count; i++) {
        if (placements[i].usable && mmi_arena_capacity(res->devices[i].device->arena) >
                                        mmi_arena_capacity(res->devices[largest].device->arena)) {
            largest = i;
        }
    }
    return largest;
}

void mmi_room_refusal(struct mmi_residency *res, const struct mmi_model *model,
                      const struct mmi_need *need, const struct mmi_placement *placements,
                      size_t chosen, mm_error *error) {
    const char *name = model ? mmi_model_name(model) : "";
    if (chosen == res->device_count) {
        bool lost = false;
        for (size_t i = 0; i < res->device_count; i++) {
            lost |= atomic_load(&res->devices[i].device->lost);
        }
        if (lost) {
            mmi_fail(error, MM_DEVICE_LOST, "model %s: its device was lost", name);
        } else {
            mmi_fail(error, MM_UNSUPPORTED, "model %s: no device that its backend can use", name);
        }
        return;
    }
    uint64_t bytes = mmi_add_cap(need->bytes, need->activation_bytes);
    bool too_large = placements[chosen].plan.verdict == MMI_PLAN_TOO_LARGE;
    if (too_large) { /* too large for all: report the largest */
        chosen = largest_placement(res, placements, chosen);
    }
    const struct mmi_device *device = res->devices[chosen].device;
    uint64_t capacity = mmi_arena_capacity(device->arena);
    if (too_large) {
        mmi_fail_room(error, MM_TOO_LARGE, bytes, capacity,
                      "model %s: needs %" PRIu64 " bytes of weights and %" PRIu64
                      " of activations, device %s has %" PRIu64,
                      name, need->bytes, need->activation_bytes, device->name, capacity);
    } else {
        mmi_fail_room(error, MM_ALL_PINNED, bytes, placements[chosen].free_bytes,
                      "model %s: needs %" PRIu64 " bytes on device %s, %" PRIu64
                      " are free and the rest is pinned, promised or of a higher class",
                      name, bytes, device->name, placements[chosen].free_bytes);
    }
}

/* ---- Granting ------------------------------------------------------------------------------- */

static struct mmi_need need_of(const struct mmi_instance *instance) {
    const struct mmi_version *version = instance->version;
    uint64_t bytes = mmi_max_u64(instance->opened->description.weights_bytes, version->own_bytes);
    return (struct mmi_need){
        .bytes = mmi_max_u64(1, mmi_add_cap(bytes, instance->extra_bytes)),
        .activation_bytes = version->activation_bytes,
        .evict_class = instance->model ? (uint8_t)instance->model->settings.evict_class : 0,
        .self = instance->model};
}

/* Small and mapped loads are faster than waking a thread. */
static bool quick(const struct mmi_instance *instance) {
    if (instance->dev->device->pub.kind != MM_DEVICE_HOST) {
        return false;
    }
    bool in_file = mmi_artifact_memory_bytes(instance->opened->artifact) == 0; /* or dropped */
    return in_file || instance->opened->description.weights_bytes <= QUICK_BYTES;
}

/* Give the memory of the victims, all RECLAIMABLE, to the newcomer. */
static void grant(struct mmi_residency *res, struct mmi_instance *instance,
                  struct mmi_devstate *dev, const struct mmi_plan_output *plan) {
    struct mmi_need need = need_of(instance);
    for (size_t i = 0; i < plan->victim_count; i++) {
        mmi_instance_hand_over(res, res->planned[plan->victims[i]], &instance->victims);
    }
    mmi_list_remove(&instance->queue);
    mmi_timer_unset(res, &instance->timer);
    instance->queued = false;
    instance->dev = dev;
    struct mmi_arena *arena = dev->device->arena;
    uint64_t bytes = mmi_max_u64(1, need.bytes - instance->extra_bytes);
    bool taken = mmi_arena_take(arena, bytes, &instance->block) == MMI_TAKE_OK;
    dev->peak_bytes = mmi_max_u64(dev->peak_bytes, mmi_arena_used(arena));
    if (!taken) {
        mm_error error;
        mmi_fail(&error, MM_NO_MEMORY, "model %s: out of memory", mmi_model_name(instance->model));
        mmi_list_move_all(&res->detaching, &instance->victims);
        mmi_load_failed(res, instance, &error, true);
        return;
    }
    atomic_store(&instance->activation_bytes, need.activation_bytes);
    atomic_store(&instance->measured, instance->version->activation_measured);
    mmi_list_push_back(&dev->instances, &instance->on_device);
    instance->begun_ns = mmi_now(&res->env->clock);
    mmi_event(res, MMI_EVENT_LOAD_BEGIN, instance->model,
              &(struct mmi_event){.bytes = instance->block.charged_bytes}, dev);
    mmi_waiters_notify(res, instance->model);
    res->jobs++;
    if (!mmi_job_start(res, &instance->job, instance->model, res->load_executor, quick(instance))) {
        res->jobs--;
        mm_error error;
        mmi_fail(&error, MM_CANCELLED, "model %s: nobody is left to load it",
                 mmi_model_name(instance->model));
        mmi_list_move_all(&res->detaching, &instance->victims);
        mmi_load_failed(res, instance, &error, false);
    }
}

static void victims_leave(struct mmi_residency *res, const struct mmi_instance *instance,
                          const struct mmi_plan_output *plan, bool taken) {
    enum mmi_reason reason = instance->retried ? MMI_REASON_MEMORY : MMI_REASON_BUDGET;
    const char *other = instance->model ? mmi_model_name(instance->model) : "";
    for (size_t i = 0; i < plan->victim_count; i++) {
        struct mmi_instance *victim = res->planned[plan->victims[i]];
        if (mmi_instance_state(victim) == MMI_READY) {
            mmi_instance_leave(res, victim, reason, taken, other);
        }
    }
}

static void wake_at(struct mmi_residency *res, struct mmi_timer *timer, uint64_t now_ns) {
    (void)timer;
    (void)now_ns;
    mmi_schedule(res);
}

static void look_again_at(struct mmi_residency *res, struct mmi_instance *instance,
                          uint64_t at_ns) {
    instance->timer.fire = wake_at;
    mmi_timer_set(res, &instance->timer, at_ns);
}

/* Only leased victims would do: after a grace they drain, so that the load is not starved. */
static void starve(struct mmi_residency *res, struct mmi_instance *instance,
                   const struct mmi_plan_output *plan) {
    uint64_t now_ns = mmi_now(&res->env->clock);
    if (instance->starved_ns == 0) {
        instance->starved_ns = now_ns;
    }
    uint64_t until_ns = mmi_add_cap(instance->starved_ns, res->config.drain_grace_ns);
    if (plan->wait_until_ns > until_ns) {
        until_ns = plan->wait_until_ns;
    }
    if (now_ns >= until_ns) {
        victims_leave(res, instance, plan, true);
    } else {
        look_again_at(res, instance, until_ns);
    }
}

static bool fits_as_it_is(const struct mmi_residency *res, const struct mmi_placement *placements,
                          size_t chosen) {
    return chosen < res->device_count && placements[chosen].plan.verdict == MMI_PLAN_FITS &&
           placements[chosen].plan.victim_count == 0;
}

/* Idle scratch is freed before any model leaves. */
static bool trim_all(struct mmi_residency *res, uint64_t activation_bytes) {
    bool trimmed = false;
    for (size_t i = 0; i < res->device_count; i++) {
        struct mmi_devstate *dev = &res->devices[i];
        uint64_t reserve = mmi_max_u64(activation_bytes, mmi_room_reserve(res, dev));
        trimmed |= mmi_scratch_trim(res, dev, reserve);
    }
    return trimmed;
}

/* Look at one load. true: it got its memory or was refused. false: it waits. */
static bool try_grant(struct mmi_residency *res, struct mmi_instance *instance) {
    struct mmi_need need = need_of(instance);
    struct mmi_placement placements[MMI_MAX_DEVICES];
    size_t chosen = mmi_room_placements(res, instance->version, &need, placements);
    if (!fits_as_it_is(res, placements, chosen) && trim_all(res, need.activation_bytes)) {
        chosen = mmi_room_placements(res, instance->version, &need, placements);
    }
    struct mmi_devstate *dev = &res->devices[chosen];
    if (chosen < res->device_count && placements[chosen].plan.verdict == MMI_PLAN_EVICT) {
        victims_leave(res, instance, &placements[chosen].plan, false);
        /* Again: a lease may have come in between. */
        mmi_room_plan(res, dev, &need, &placements[chosen].plan);
    }
    if (chosen == res->device_count && mmi_room_promised(res, instance->version, NULL)) {
        return false;
    }
    enum mmi_verdict verdict =
        chosen < res->device_count ? placements[chosen].plan.verdict : MMI_PLAN_TOO_LARGE;
    switch (verdict) {
    case MMI_PLAN_FITS:
        grant(res, instance, dev, &placements[chosen].plan);
        return true;
    case MMI_PLAN_EVICT: /* what is DRAINING must go first */
    case MMI_PLAN_WAIT:
        break;
    case MMI_PLAN_STAY:
        look_again_at(res, instance, placements[chosen].plan.wait_until_ns);
        break;
    case MMI_PLAN_LEASED:
        starve(res, instance, &placements[chosen].plan);
        break;
    case MMI_PLAN_HELD:
        /* Before checking who runs: one sees the other. */
        atomic_store(&dev->scratch_wanted, true);
        if (mmi_scratch_trim(res, dev, 0)) {
            res->schedule_again = true;
            break;
        }
        if (dev->scratch_bytes > 0) {
            break; /* runs end and give their scratch back */
        }          /* fall through */
    case MMI_PLAN_PINNED:
    case MMI_PLAN_TOO_LARGE: {
        if (mmi_room_promised(res, instance->version, &need)) {
            return false; /* a device promised to an earlier load may do later */
        }
        mm_error error;
        mmi_room_refusal(res, instance->model, &need, placements, chosen, &error);
        mmi_list_remove(&instance->queue);
        instance->queued = false;
        mmi_load_failed(res, instance, &error, false);
        return true;
    }
    }
    dev->claimed = true;
    return false;
}

bool mmi_room_promised(const struct mmi_residency *res, const struct mmi_version *version,
                       const struct mmi_need *need) {
    for (size_t i = 0; i < res->device_count; i++) {
        const struct mmi_devstate *dev = &res->devices[i];
        if (dev->claimed && mmi_dev_usable(res, dev, version) && (!need || fits_empty(dev, need))) {
            return true;
        }
    }
    return false;
}

/* The first load in the queue that was not looked at in this round. */
static struct mmi_instance *next_load(struct mmi_residency *res, uint64_t round) {
    MMI_LIST_EACH(node, &res->load_queue) {
        struct mmi_instance *instance = MMI_CONTAINER(node, struct mmi_instance, queue);
        if (instance->round != round) {
            return instance;
        }
    }
    return NULL;
}

void mmi_schedule(struct mmi_residency *res) {
    res->schedule_again = true;
    if (res->scheduling) {
        return; /* the running call goes round once more */
    }
    res->scheduling = true;
    while (res->schedule_again) {
        res->schedule_again = false;
        res->round++;
        for (size_t i = 0; i < res->device_count; i++) {
            res->devices[i].claimed = false;
        }
        struct mmi_instance *instance;
        while ((instance = next_load(res, res->round))) {
            instance->round = res->round;
            try_grant(res, instance);
        }
    }
    res->scheduling = false;
}
