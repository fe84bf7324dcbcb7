/* SPDX-License-Identifier: Apache-2.0 */
#include <residency/fit.h>
#include <residency/scratch.h>

#include <base/checked.h>

/* ---- Room for plans ------------------------------------------------------------------------- */

struct room {
    void **array;
    size_t item_bytes;
};

#define ROOMS 5u

static void list_rooms(struct mmi_residency *res, struct room rooms[ROOMS]) {
    rooms[0] = (struct room){(void **)&res->candidates, sizeof(*res->candidates)};
    rooms[1] = (struct room){(void **)&res->planned, sizeof(*res->planned)};
    rooms[2] = (struct room){(void **)&res->victims, sizeof(*res->victims)};
    rooms[3] = (struct room){(void **)&res->largest, sizeof(*res->largest)};
    rooms[4] = (struct room){(void **)&res->plan_keys, sizeof(*res->plan_keys)};
}

bool mmi_fit_reserve_room(struct mmi_residency *res) {
    struct room rooms[ROOMS];
    list_rooms(res, rooms);
    size_t need = (size_t)res->instances + 2; /* one more, and the scratch of runs */
    for (unsigned i = 0; i < ROOMS; i++) {
        if (!mmi_grow(&res->env->alloc, rooms[i].array, &res->plan_room[i], need,
                      rooms[i].item_bytes)) {
            return false;
        }
    }
    for (size_t i = 0; i < res->device_count; i++) {
        struct mmi_devstate *dev = &res->devices[i];
        if (!mmi_grow(&res->env->alloc, (void **)&dev->instances, &dev->instance_room, need,
                      sizeof(struct mmi_instance *))) {
            return false;
        }
    }
    return true;
}

void mmi_fit_free_room(struct mmi_residency *res) {
    struct room rooms[ROOMS];
    list_rooms(res, rooms);
    for (unsigned i = 0; i < ROOMS; i++) {
        mmi_free(&res->env->alloc, *rooms[i].array, res->plan_room[i] * rooms[i].item_bytes);
    }
    for (size_t i = 0; i < res->device_count; i++) {
        struct mmi_devstate *dev = &res->devices[i];
        mmi_free(&res->env->alloc, dev->instances, dev->instance_room * sizeof(*dev->instances));
    }
}

/* ---- The snapshot --------------------------------------------------------------------------- */

double mmi_instance_heat(const struct mmi_residency *res, const struct mmi_instance *instance) {
    uint64_t uses = mmi_slot_uses(instance->slot) - instance->uses_before;
    uint64_t age_ns = mmi_sub_floor(mmi_res_now(res), instance->ready_ns);
    return (double)uses * 1e9 / (double)mmi_max_u64(age_ns, 1000000);
}

uint64_t mmi_instance_idle_ns(const struct mmi_residency *res,
                              const struct mmi_instance *instance) {
    uint64_t used_ns = mmi_ticks_to_ns(&res->env->clock, mmi_slot_last_used(instance->slot));
    return mmi_sub_floor(mmi_res_now(res), used_ns);
}

uint64_t mmi_lingers_from(const struct mmi_residency *res, const struct mmi_instance *instance) {
    return mmi_add_cap(instance->leaving_ns, res->config.drain_grace_ns);
}

static enum mmi_candidate_state candidate_state(const struct mmi_residency *res,
                                                const struct mmi_instance *instance,
                                                const struct mmi_need *need) {
    switch (mmi_instance_state(instance)) {
    case MMI_READY:
        return mmi_slot_leases(instance->slot) == 0 || (need->asks && mmi_slot_want(instance->slot))
                   ? MMI_CANDIDATE_IDLE
                   : MMI_CANDIDATE_LEASED;
    case MMI_RECLAIMABLE:
        return MMI_CANDIDATE_RECLAIMABLE;
    case MMI_LOADING:
        if (!atomic_load(&instance->cancelled)) {
            return MMI_CANDIDATE_LOADING;
        }
        break;
    default: /* DRAINING, LEAVING, LOST, DETACHING: its bytes come by themselves */
        break;
    }
    bool lingers = need->at_once || mmi_res_now(res) >= mmi_lingers_from(res, instance);
    return lingers ? MMI_CANDIDATE_LINGERING : MMI_CANDIDATE_DRAINING;
}

/* Each copy's share of what all of them do: one that just came is not cold. */
static double heat_of_share(const struct mmi_residency *res, const struct mmi_version *version) {
    double heat = 0;
    uint32_t count = 0;
    MMI_LIST_EACH(node, &version->copies) {
        heat += mmi_instance_heat(res, MMI_CONTAINER(node, struct mmi_instance, copy));
        count++;
    }
    return count ? heat / count : 0;
}

/* Its model is served without it. */
static bool is_spare(const struct mmi_instance *instance) {
    uint32_t ready = 0;
    if (!instance->model || instance->model->settings.replicas <= 1) {
        return false;
    }
    const struct mmi_list *copies = &instance->version->copies;
    MMI_LIST_EACH(node, copies) {
        ready += mmi_instance_state(MMI_CONTAINER(node, struct mmi_instance, copy)) == MMI_READY;
    }
    return ready > mmi_max_u64(1, instance->version->settings.min_replicas);
}

static void candidate_of(const struct mmi_residency *res, const struct mmi_instance *instance,
                         const struct mmi_need *need, struct mmi_candidate *candidate) {
    const struct mmi_model *model = instance->model;
    bool hotter = need->heat > 0 && heat_of_share(res, instance->version) >= need->heat;
    *candidate =
        (struct mmi_candidate){.evict_class = model ? (uint8_t)model->settings.evict_class : 0,
                               .barred = (model && model->settings.pinned) || hotter,
                               .self = need->self && model == need->self,
                               .stalled = need->scratch && instance->stalled > 0,
                               .spare = is_spare(instance),
                               .state = (uint8_t)candidate_state(res, instance, need),
                               .last_used = mmi_slot_last_used(instance->slot),
                               .bytes = instance->block.charged_bytes,
                               .load_cost_ns = instance->load_ns,
                               .stay_until_ns = need->shrink_bytes ? 0 : instance->stay_until_ns};
}

struct query {
    struct mmi_residency *res;
    struct mmi_devstate *dev;
    const struct mmi_need *need;
    size_t count;      /* instances */
    size_t heap_count; /* of res->largest */
    uint64_t scratch_bytes;
    uint64_t most_activation_bytes; /* of all of them */
    uint64_t lingers_ns; /* when the first of those that drain lingers; 0 = none drains */
};

static void sink(struct query *query, size_t parent) {
    struct mmi_planned_bytes *heap = query->res->largest;
    for (;;) {
        size_t first = parent;
        for (size_t child = 2 * parent + 1; child <= 2 * parent + 2 && child < query->heap_count;
             child++) {
            if (heap[child].bytes > heap[first].bytes) {
                first = child;
            }
        }
        if (first == parent) {
            return;
        }
        struct mmi_planned_bytes held = heap[first];
        heap[first] = heap[parent];
        heap[parent] = held;
        parent = first;
    }
}

static void rise(struct query *query, size_t child) {
    struct mmi_planned_bytes *heap = query->res->largest;
    while (child > 0 && heap[child].bytes > heap[(child - 1) / 2].bytes) {
        struct mmi_planned_bytes held = heap[child];
        heap[child] = heap[(child - 1) / 2];
        heap[(child - 1) / 2] = held;
        child = (child - 1) / 2;
    }
}

/* What is read of one for a candidate lies far apart. It is asked for some candidates before, and
 * what the instance points to later than the instance: else each would wait for memory. */
#define AHEAD 12u

static void ask_ahead(const struct mmi_residency *res, const struct mmi_devstate *dev, size_t at) {
    if (at + 2 * AHEAD < dev->instance_count) {
        const struct mmi_instance *instance = dev->instances[at + 2 * AHEAD];
        __builtin_prefetch(instance);
        __builtin_prefetch(&instance->block);
    }
    if (at + AHEAD < dev->instance_count) {
        const struct mmi_instance *instance = dev->instances[at + AHEAD];
        __builtin_prefetch(instance->slot);
        for (unsigned i = 0; i < res->slots.shard_count; i++) {
            __builtin_prefetch(&instance->slot->shards[i]);
        }
        if (instance->model) {
            __builtin_prefetch(&instance->model->settings);
        }
    }
}

static void expect_lingering(struct query *query, const struct mmi_instance *instance) {
    uint64_t at_ns = mmi_lingers_from(query->res, instance);
    query->lingers_ns = query->lingers_ns ? mmi_min_u64(query->lingers_ns, at_ns) : at_ns;
}

static void add_candidate(struct query *query, uint32_t index) {
    struct mmi_residency *res = query->res;
    struct mmi_instance *instance = query->dev->instances[index];
    uint64_t bytes = atomic_load_explicit(&instance->activation_bytes, memory_order_relaxed);
    if (bytes > query->need->activation_bytes) { /* others do not decide what is kept free */
        res->largest[query->heap_count++] = (struct mmi_planned_bytes){bytes, index};
    }
    query->most_activation_bytes = mmi_max_u64(query->most_activation_bytes, bytes);
    candidate_of(res, instance, query->need, &res->candidates[index]);
    if (res->candidates[index].state == MMI_CANDIDATE_DRAINING) {
        expect_lingering(query, instance);
    }
    res->candidates[index].index = index;
    res->planned[index] =
        (struct mmi_planned){.instance = instance, .small = instance->block.small};
}

static struct query take_snapshot(struct mmi_residency *res, struct mmi_devstate *dev,
                                  const struct mmi_need *need) {
    struct query query = {.res = res, .dev = dev, .need = need};
    query.scratch_bytes = dev->scratch_bytes;
    for (; query.count < dev->instance_count; query.count++) {
        ask_ahead(res, dev, query.count);
        add_candidate(&query, (uint32_t)query.count);
    }
    for (size_t i = query.heap_count / 2; i-- > 0;) {
        sink(&query, i);
    }
    dev->most_activation_bytes = query.most_activation_bytes;
    if (dev->scratch_bytes > 0) { /* one more that is no instance: the scratch of runs */
        res->planned[query.count] = (struct mmi_planned){0};
        res->candidates[query.count] = (struct mmi_candidate){.index = (uint32_t)query.count,
                                                              .state = MMI_CANDIDATE_RUNNING,
                                                              .bytes = dev->scratch_bytes};
    }
    return query;
}

/* ---- The query ------------------------------------------------------------------------------ */

static void fit_release(void *ctx, const struct mmi_candidate *candidate) {
    struct query *query = ctx;
    struct mmi_planned *planned = &query->res->planned[candidate->index];
    struct mmi_arena *arena = query->dev->device->arena;
    if (!planned->instance) {
        mmi_scratch_each_block(query->dev, arena, mmi_trial_release);
        query->scratch_bytes = 0;
        return;
    }
    planned->state = MMI_PLANNED_RELEASED;
    if (planned->small) {
        mmi_trial_release(arena, &planned->instance->block);
    } else { /* the instance is not touched again: with thousands of victims that is what counts */
        mmi_trial_release_bytes(arena, candidate->bytes);
    }
}

static void undo_release(struct query *query, const struct mmi_candidate *candidate) {
    struct mmi_residency *res = query->res;
    struct mmi_planned *planned = &res->planned[candidate->index];
    struct mmi_arena *arena = query->dev->device->arena;
    if (!planned->instance) {
        mmi_scratch_each_block(query->dev, arena, mmi_trial_keep);
        query->scratch_bytes = query->dev->scratch_bytes;
        return;
    }
    if (planned->state == MMI_PLANNED_POPPED) {
        const struct mmi_instance *instance = planned->instance;
        uint64_t bytes = atomic_load_explicit(&instance->activation_bytes, memory_order_relaxed);
        res->largest[query->heap_count] = (struct mmi_planned_bytes){bytes, candidate->index};
        rise(query, query->heap_count++);
    }
    planned->state = MMI_PLANNED_KEPT;
    if (planned->small) {
        mmi_trial_keep(arena, &planned->instance->block);
    } else {
        mmi_trial_keep_bytes(arena, candidate->bytes);
    }
}

/* Without its bytes there is not even room for the need alone. */
static bool clearly_needed(const struct query *query, const struct mmi_candidate *candidate) {
    const struct mmi_planned *planned = &query->res->planned[candidate->index];
    uint64_t bytes = query->need->bytes;
    return planned->instance && !planned->small && bytes > MMI_CHUNK_BYTES &&
           candidate->bytes > mmi_sub_floor(mmi_trial_free_bytes(query->dev->device->arena), bytes);
}

/* The largest high-water mark among those that remain, if it is more than the newcomer's. */
static uint64_t largest_kept(struct query *query) {
    struct mmi_planned_bytes *heap = query->res->largest;
    while (query->heap_count > 0) {
        struct mmi_planned *planned = &query->res->planned[heap[0].index];
        if (planned->state == MMI_PLANNED_KEPT) {
            return heap[0].bytes;
        }
        planned->state = MMI_PLANNED_POPPED;
        heap[0] = heap[--query->heap_count];
        sink(query, 0);
    }
    return 0;
}

/* Of the largest run's memory, what is not held as scratch. A small block lies in a chunk with
 * others: it counts by what can be used of it, not by what rounding would make of it. */
static uint64_t beyond_scratch(const struct mmi_devstate *dev, uint64_t largest,
                               uint64_t scratch_bytes) {
    if (largest <= scratch_bytes) {
        return 0;
    }
    return mmi_sub_floor(mmi_arena_rounded(dev->device->arena, largest), scratch_bytes);
}

/* What must stay free for activations: the largest need among those that remain, the newcomer
 * included, less what is held for scratch already; and what leaked. */
static uint64_t reserve_left(const struct query *query, uint64_t largest) {
    uint64_t reserve = beyond_scratch(query->dev, largest, query->scratch_bytes);
    return mmi_add_cap(reserve, query->dev->leaked_bytes);
}

static bool fits_beside(const struct query *query, uint64_t largest) {
    const struct mmi_arena *arena = query->dev->device->arena;
    const struct mmi_need *need = query->need;
    if (need->scratch) {
        return mmi_trial_fits(arena, need->bytes, query->dev->leaked_bytes);
    }
    uint64_t reserve = reserve_left(query, largest);
    if (need->bytes == 0) {
        return mmi_trial_free_bytes(arena) >= mmi_add_cap(need->shrink_bytes, reserve);
    }
    return mmi_trial_fits(arena, need->bytes, reserve);
}

/* Mostly it does not, whoever remains: then it does not matter who that is. */
static bool fit_fits(void *ctx) {
    struct query *query = ctx;
    uint64_t own = query->need->activation_bytes;
    if (!fits_beside(query, own)) {
        return false;
    }
    uint64_t largest = query->need->scratch ? 0 : largest_kept(query);
    return largest <= own || fits_beside(query, largest);
}

static bool fit_keep(void *ctx, const struct mmi_candidate *candidate) {
    if (clearly_needed(ctx, candidate)) {
        return false;
    }
    undo_release(ctx, candidate);
    if (fit_fits(ctx)) {
        return true;
    }
    fit_release(ctx, candidate);
    return false;
}

bool mmi_fit_empty(const struct mmi_devstate *dev, const struct mmi_need *need) {
    const struct mmi_arena *arena = dev->device->arena;
    uint64_t all = mmi_device_rounded(dev->device, need->bytes, need->activation_bytes);
    return mmi_add_cap(all, need->shrink_bytes) <= mmi_arena_capacity(arena);
}

uint64_t mmi_fit_reserve(const struct mmi_devstate *dev) {
    uint64_t largest = 0;
    for (size_t i = 0; i < dev->instance_count; i++) {
        largest = mmi_max_u64(largest, atomic_load(&dev->instances[i]->activation_bytes));
    }
    return largest;
}

void mmi_fit_activation(struct mmi_instance *instance, uint64_t bytes) {
    struct mmi_devstate *dev = instance->dev;
    atomic_store(&instance->activation_bytes, bytes);
    dev->most_activation_bytes = mmi_max_u64(dev->most_activation_bytes, bytes);
}

struct mmi_instance *mmi_fit_victim(const struct mmi_residency *res, uint32_t index) {
    return res->planned[index].instance;
}

/* Room for everything, whatever is to be kept free: most loads need no snapshot of who is there. */
static bool fits_easily(const struct mmi_devstate *dev, const struct mmi_need *need) {
    const struct mmi_arena *arena = dev->device->arena;
    if (need->bytes == 0) {
        return false;
    }
    uint64_t largest = mmi_max_u64(need->activation_bytes, dev->most_activation_bytes);
    uint64_t reserve = need->scratch ? 0 : beyond_scratch(dev, largest, dev->scratch_bytes);
    return mmi_arena_fits(arena, need->bytes, mmi_add_cap(reserve, dev->leaked_bytes));
}

void mmi_fit_plan(struct mmi_residency *res, struct mmi_devstate *dev, const struct mmi_need *need,
                  struct mmi_plan_output *plan) {
    if (fits_easily(dev, need)) {
        *plan = (struct mmi_plan_output){.victims = res->victims, .verdict = MMI_PLAN_FITS};
        return;
    }
    struct query query = take_snapshot(res, dev, need);
    struct mmi_plan_input input = {
        .candidates = res->candidates,
        .keys = res->plan_keys,
        .count = query.count + (dev->scratch_bytes > 0),
        .evict_class = need->evict_class,
        .fits_empty = mmi_fit_empty(dev, need),
        .now_ns = mmi_res_now(res),
        .fit = {&query, fit_release, fit_keep, fit_fits},
    };
    plan->victims = res->victims;
    mmi_trial_begin(dev->device->arena);
    mmi_plan(&input, plan);
    mmi_trial_end(dev->device->arena);
    if (plan->verdict == MMI_PLAN_WAIT) {
        plan->wait_until_ns = query.lingers_ns; /* another may do then */
    }
}
