/* SPDX-License-Identifier: Apache-2.0 */
/* Memory for activations. Each device has exec slots; a run takes one with enough memory by an
 * atomic exchange, without a lock. What is held is charged to the arena. Idle slots keep their
 * memory until it is needed; beyond the reserve they lose it before any model leaves. */
#include <residency/scratch.h>

#include <base/checked.h>

#include <inttypes.h>

/* ---- Slots ---------------------------------------------------------------------------------- */

static bool exec_take(struct mmi_exec_slot *slot) {
    uint32_t idle = 0;
    return atomic_load(&slot->busy) == 0 && atomic_compare_exchange_strong(&slot->busy, &idle, 1);
}

static struct mmi_exec_slot *take_ready(struct mmi_devstate *dev, uint64_t bytes) {
    unsigned hint = mmi_thread_shard(MMI_EXEC_SLOTS);
    for (unsigned i = 0; i < MMI_EXEC_SLOTS; i++) {
        struct mmi_exec_slot *slot = &dev->exec[(hint + i) % MMI_EXEC_SLOTS];
        if (atomic_load_explicit(&slot->bytes, memory_order_relaxed) >= bytes && exec_take(slot)) {
            if (atomic_load(&slot->bytes) >= bytes) {
                return slot;
            }
            atomic_store(&slot->busy, 0);
        }
    }
    return NULL;
}

/* An idle slot, one without memory if there is one. */
static struct mmi_exec_slot *take_any(struct mmi_devstate *dev) {
    for (int with_memory = 0; with_memory < 2; with_memory++) {
        for (unsigned i = 0; i < MMI_EXEC_SLOTS; i++) {
            struct mmi_exec_slot *slot = &dev->exec[i];
            bool has = atomic_load_explicit(&slot->bytes, memory_order_relaxed) > 0;
            if (has == with_memory && exec_take(slot)) {
                return slot;
            }
        }
    }
    return NULL;
}

static void give_block(struct mmi_devstate *dev, struct mmi_block *block) {
    dev->scratch_bytes -= block->charged_bytes;
    mmi_arena_give(dev->device->arena, block);
}

bool mmi_scratch_trim(struct mmi_residency *res, struct mmi_devstate *dev, uint64_t keep_bytes) {
    uint64_t keep = keep_bytes ? mmi_arena_rounded(dev->device->arena, keep_bytes) : 0;
    bool trimmed = false;
    for (unsigned i = 0; i < MMI_EXEC_SLOTS && dev->scratch_bytes > keep; i++) {
        struct mmi_exec_slot *slot = &dev->exec[i];
        if (atomic_load_explicit(&slot->bytes, memory_order_relaxed) > 0 && exec_take(slot)) {
            atomic_store(&slot->bytes, 0);
            give_block(dev, &slot->block);
            mmi_list_push_back(&res->trimmed, &slot->trimmed);
            trimmed = true;
        }
    }
    return trimmed;
}

/* Does a run or a load wait for scratch that other runs hold? */
static bool is_wanted(const struct mmi_devstate *dev) {
    return atomic_load(&dev->scratch_waiters) > 0 || atomic_load(&dev->scratch_wanted);
}

/* Locked: waiting runs and loads try again. */
void mmi_scratch_changed(struct mmi_residency *res, struct mmi_devstate *dev) {
    atomic_store(&dev->scratch_wanted, false);
    pthread_cond_broadcast(&dev->scratch_freed);
    mmi_schedule(res);
}

void mmi_scratch_unmap_all(struct mmi_devstate *dev) {
    for (unsigned i = 0; i < MMI_EXEC_SLOTS; i++) {
        struct mmi_exec_slot *slot = &dev->exec[i];
        dev->device->ops->unmap(&slot->region);
        give_block(dev, &slot->block);
        atomic_store(&slot->bytes, 0);
    }
}

/* ---- Making room ---------------------------------------------------------------------------- */

struct scratch_request {
    struct mmi_residency *res;
    struct mmi_devstate *dev;
    const struct mmi_instance *instance;
    uint64_t bytes;
    struct mmi_block *block;
};

/* Locked: its model may be unregistered while it waits. */
static const char *name_of(const struct scratch_request *request) {
    return request->instance->model ? mmi_model_name(request->instance->model) : "";
}

static bool take_block(const struct scratch_request *request) {
    struct mmi_devstate *dev = request->dev;
    struct mmi_arena *arena = dev->device->arena;
    if (!mmi_arena_fits(arena, request->bytes, dev->leaked_bytes) ||
        mmi_arena_take(arena, request->bytes, request->block) != MMI_TAKE_OK) {
        return false;
    }
    dev->scratch_bytes += request->block->charged_bytes;
    dev->peak_bytes = mmi_max_u64(dev->peak_bytes, mmi_arena_used(arena));
    return true;
}

/* Idle models make room, by the same rule as for a load. */
static enum mmi_verdict displace(const struct scratch_request *request) {
    struct mmi_residency *res = request->res;
    const struct mmi_model *model = request->instance->model;
    /* A run that outlives its model keeps the class it came with. */
    const struct mmi_settings *settings =
        model ? &model->settings : &request->instance->version->settings;
    struct mmi_need need = {.bytes = request->bytes,
                            .scratch = true,
                            .evict_class = (uint8_t)settings->evict_class,
                            .self = model};
    struct mmi_plan_output plan;
    mmi_room_plan(res, request->dev, &need, &plan);
    if (plan.verdict != MMI_PLAN_FITS && plan.verdict != MMI_PLAN_EVICT) {
        return plan.verdict;
    }
    const char *other = name_of(request);
    struct mmi_list leaving;
    mmi_list_init(&leaving);
    for (size_t i = 0; i < plan.victim_count;
         i++) { /* leaving may start another plan: note the victims first */
        mmi_list_push_back(&leaving, &mmi_room_victim(res, plan.victims[i])->queue);
    }
    struct mmi_list *node;
    while ((node = mmi_list_pop(&leaving))) {
        struct mmi_instance *victim = MMI_CONTAINER(node, struct mmi_instance, queue);
        mmi_instance_leave(res, victim, MMI_REASON_ACTIVATIONS, true, other);
    }
    return plan.verdict;
}

/* Locked, after a trim: what is still held belongs to runs, which will give it back. */
static bool others_run(const struct mmi_devstate *dev) {
    return dev->scratch_bytes > 0;
}

static mm_status no_room(const struct scratch_request *request, mm_error *err) {
    const struct mmi_arena *arena = request->dev->device->arena;
    uint64_t free_bytes = mmi_arena_free_bytes(arena);
    return mmi_fail_room(err, MM_NO_ROOM_FOR_ACTIVATIONS, request->bytes, free_bytes,
                         "model %s: this request needs %" PRIu64
                         " bytes for activations, device %s has %" PRIu64 " free",
                         name_of(request), request->bytes, request->dev->device->name, free_bytes);
}

static mm_status busy(const struct scratch_request *request, mm_error *err) {
    return mmi_fail(err, MM_BUSY, "model %s: others hold the scratch memory that it needs",
                    name_of(request));
}

/* Locked. Until there is a block, an error, or the deadline. */
static mm_status make_room(const struct scratch_request *request, uint64_t deadline_ns, bool wait,
                           mm_error *err) {
    struct mmi_residency *res = request->res;
    struct mmi_devstate *dev = request->dev;
    for (;;) {
        if (take_block(request)) {
            return MM_OK;
        }
        if (mmi_scratch_trim(res, dev, 0) && take_block(request)) {
            return MM_OK;
        }
        if (request->bytes > mmi_arena_capacity(dev->device->arena)) {
            return no_room(request, err);
        }
        enum mmi_verdict verdict = displace(request);
        mmi_work_off(res); /* detaches who left */
        if (verdict == MMI_PLAN_FITS || verdict == MMI_PLAN_EVICT) {
            continue;
        }
        bool later = verdict == MMI_PLAN_WAIT || verdict == MMI_PLAN_STAY || others_run(dev);
        if (!wait || !later) {
            return take_block(request) ? MM_OK : later ? busy(request, err) : no_room(request, err);
        }
        if (deadline_ns && mmi_now(&res->env->clock) >= deadline_ns) {
            mmi_count(&res->counters, MMI_COUNT_DEADLINE, 1);
            return mmi_fail(err, MM_DEADLINE,
                            "model %s: the deadline passed while it waited for "
                            "scratch memory",
                            name_of(request));
        }
        uint64_t recheck_ns = mmi_add_cap(mmi_now(&res->env->clock), res->config.drain_grace_ns);
        if (deadline_ns && deadline_ns < recheck_ns) {
            recheck_ns = deadline_ns;
        }
        mmi_lock_wait(&res->lock, &dev->scratch_freed, &res->env->clock, recheck_ns);
    }
}

/* ---- Get and give --------------------------------------------------------------------------- */

static mm_status get_slow(struct mmi_residency *res, struct mmi_scratch *scratch, uint64_t bytes,
                          uint64_t deadline_ns, mm_error *err) {
    struct mmi_devstate *dev = scratch->dev;
    struct mmi_block block = {0};
    struct scratch_request request = {res, dev, scratch->instance, bytes, &block};
    mmi_res_lock(res);
    atomic_fetch_add(&dev->scratch_waiters, 1);
    mm_status status = MM_OK;
    struct mmi_exec_slot *slot;
    while (!(slot = take_any(dev)) && status == MM_OK) {
        if (scratch->no_wait) {
            status = busy(&request, err);
        } else if (deadline_ns && mmi_now(&res->env->clock) >= deadline_ns) {
            status = mmi_fail(err, MM_DEADLINE, "the deadline passed while waiting to run");
        } else {
            mmi_lock_wait(&res->lock, &dev->scratch_freed, &res->env->clock, deadline_ns);
        }
    }
    if (slot) {
        struct mmi_region old = slot->region; /* unmapped before the new one is mapped */
        slot->region = (struct mmi_region){0};
        atomic_store(&slot->bytes, 0);
        give_block(dev, &slot->block);
        mmi_res_unlock(res);
        dev->device->ops->unmap(&old);
        mmi_res_lock(res);
        status = make_room(&request, deadline_ns, !scratch->no_wait, err);
    }
    atomic_fetch_sub(&dev->scratch_waiters, 1);
    mmi_res_unlock(res);
    if (status == MM_OK) {
        status = dev->device->ops->map(dev->device, &block, &slot->region, err);
        if (status != MM_OK) {
            mmi_res_lock(res);
            give_block(dev, &block);
            mmi_res_unlock(res);
        }
    }
    if (status == MM_OK) {
        slot->block = block;
        atomic_store(&slot->bytes, slot->region.bytes);
        scratch->slot = slot;
    } else if (slot) { /* empty now: what it held is for others */
        atomic_store(&slot->busy, 0);
        mmi_res_lock(res);
        mmi_scratch_changed(res, dev);
        mmi_res_unlock(res);
    }
    return status;
}

mm_status mmi_scratch_get(struct mmi_residency *res, struct mmi_scratch *scratch, uint64_t bytes,
                          uint64_t deadline_ns, mm_error *err) {
    if (bytes == 0) {
        return MM_OK;
    }
    scratch->slot = take_ready(scratch->dev, bytes);
    return scratch->slot ? MM_OK : get_slow(res, scratch, bytes, deadline_ns, err);
}

void *mmi_scratch_more(struct mmi_residency *res, struct mmi_scratch *scratch, uint64_t bytes) {
    struct mmi_scratch_more *more = mmi_alloc(&res->env->alloc, 1, sizeof(*more));
    if (!more || bytes == 0) {
        mmi_free(&res->env->alloc, more, sizeof(*more));
        return NULL;
    }
    struct scratch_request request = {res, scratch->dev, scratch->instance, bytes, &more->block};
    mmi_res_lock(res);
    mm_status status = make_room(&request, 0, false, NULL);
    mmi_res_unlock(res);
    if (status == MM_OK) {
        status =
            scratch->dev->device->ops->map(scratch->dev->device, &more->block, &more->region, NULL);
    }
    if (status != MM_OK) {
        mmi_res_lock(res);
        give_block(scratch->dev, &more->block);
        mmi_res_unlock(res);
        mmi_free(&res->env->alloc, more, sizeof(*more));
        return NULL;
    }
    more->next = scratch->more;
    scratch->more = more;
    scratch->more_bytes = mmi_add_cap(scratch->more_bytes, bytes);
    return more->region.base;
}

static void give_more(struct mmi_residency *res, struct mmi_scratch *scratch) {
    while (scratch->more) {
        struct mmi_scratch_more *more = scratch->more;
        scratch->more = more->next;
        scratch->dev->device->ops->unmap(&more->region);
        mmi_res_lock(res);
        give_block(scratch->dev, &more->block);
        mmi_res_unlock(res);
        mmi_free(&res->env->alloc, more, sizeof(*more));
    }
}

void mmi_scratch_give(struct mmi_residency *res, struct mmi_scratch *scratch) {
    struct mmi_devstate *dev = scratch->dev;
    bool changed = scratch->more != NULL;
    give_more(res, scratch);
    if (scratch->slot) {
        /* Before reading the waiters: one of the two sees the other (both seq_cst). */
        atomic_store(&scratch->slot->busy, 0);
    }
    if (changed || (scratch->slot && is_wanted(dev))) {
        mmi_res_lock(res);
        mmi_scratch_changed(res, dev);
        mmi_res_unlock(res);
    }
}
