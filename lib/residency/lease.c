/* SPDX-License-Identifier: Apache-2.0 */
#include <residency/lease.h>

#include <base/checked.h>

#include <assert.h>

#define SLOTS_PER_SEGMENT 16u
#define MAX_SLOTS (1u << (MMI_WORD_GENERATION_SHIFT - MMI_WORD_NUMBER_SHIFT))

struct mmi_segment {
    struct mmi_segment *next;
    _Alignas(MMI_LINE_BYTES) unsigned char slots[];
};

static uint64_t word_of(const struct mmi_slot *slot, enum mmi_instance_state state) {
    uint64_t word = atomic_load_explicit(&slot->st, memory_order_relaxed);
    return (word & ~(uint64_t)MMI_WORD_STATE) | state;
}

static void store_state(struct mmi_slot *slot, enum mmi_instance_state state) {
    atomic_store_explicit(&slot->st, word_of(slot, state), memory_order_seq_cst);
}

/* ---- The table ------------------------------------------------------------------------------ */

static size_t slot_bytes(const struct mmi_slots *slots) {
    return sizeof(struct mmi_slot) + slots->shard_count * sizeof(struct mmi_shard);
}

static size_t segment_bytes(const struct mmi_slots *slots) {
    return sizeof(struct mmi_segment) + SLOTS_PER_SEGMENT * slot_bytes(slots);
}

void mmi_slots_init(struct mmi_slots *slots, const mm_allocator *alloc, const struct mmi_lock *lock,
                    unsigned cpus, unsigned generation_bits) {
    unsigned bits = generation_bits ? generation_bits : 32;
    assert(bits <= 32);
    *slots = (struct mmi_slots){.alloc = alloc,
                                .lock = lock,
                                .shard_count = 1,
                                .max_generation = (UINT64_C(1) << bits) - 1};
    while (slots->shard_count < cpus && slots->shard_count < MMI_MAX_SHARDS) {
        slots->shard_count *= 2;
    }
}

void mmi_slots_fini(struct mmi_slots *slots) {
    size_t bytes = segment_bytes(slots);
    while (slots->segments) {
        struct mmi_segment *segment = slots->segments;
        slots->segments = segment->next;
        mmi_free(slots->alloc, segment, bytes);
    }
    slots->free = NULL;
}

static bool add_segment(struct mmi_slots *slots) {
    if (slots->slot_count > MAX_SLOTS - SLOTS_PER_SEGMENT) {
        return false;
    }
    struct mmi_segment *segment =
        mmi_alloc_aligned(slots->alloc, segment_bytes(slots), MMI_LINE_BYTES);
    if (!segment) {
        return false;
    }
    segment->next = slots->segments;
    slots->segments = segment;
    for (uint32_t i = SLOTS_PER_SEGMENT; i-- > 0;) {
        struct mmi_slot *slot = (void *)(segment->slots + i * slot_bytes(slots));
        uint64_t number = slots->slot_count + i;
        /* Generations begin at 1, or the first slot's first word would be 0. */
        atomic_init(&slot->st, UINT64_C(1) << MMI_WORD_GENERATION_SHIFT |
                                   number << MMI_WORD_NUMBER_SHIFT | MMI_NONE);
        slot->table = slots;
        slot->next_free = slots->free;
        slots->free = slot;
    }
    slots->slot_count += SLOTS_PER_SEGMENT;
    return true;
}

struct mmi_slot *mmi_slots_alloc(struct mmi_slots *slots, void *owner) {
    mmi_assert_held(slots->lock);
    if (!slots->free && !add_segment(slots)) {
        return NULL;
    }
    struct mmi_slot *slot = slots->free;
    slots->free = slot->next_free;
    slot->next_free = NULL;
    slot->owner = owner;
    atomic_store_explicit(&slot->wanted, 0, memory_order_relaxed);
    /* Not the counts: a stale reader may have an add under way. */
    for (unsigned i = 0; i < slots->shard_count; i++) {
        atomic_store_explicit(&slot->shards[i].last_used, 0, memory_order_relaxed);
    }
    return slot;
}

void mmi_slots_free(struct mmi_slot *slot) {
    struct mmi_slots *slots = slot->table;
    mmi_assert_held(slots->lock);
    enum mmi_instance_state state = mmi_slot_state(slot);
    assert(state == MMI_NONE || state == MMI_LOADING || state == MMI_DETACHING ||
           state == MMI_FAILED);
    (void)state;
    slot->owner = NULL;
    uint64_t none = word_of(slot, MMI_NONE);
    if (none >> MMI_WORD_GENERATION_SHIFT == slots->max_generation) {
        atomic_store_explicit(&slot->st, none, memory_order_seq_cst);
        slots->retired_count++;
        return;
    }
    atomic_store_explicit(&slot->st, none + (UINT64_C(1) << MMI_WORD_GENERATION_SHIFT),
                          memory_order_seq_cst);
    slot->next_free = slots->free;
    slots->free = slot;
}

/* ---- Leases --------------------------------------------------------------------------------- */

void mmi_lease_grant(struct mmi_slot *slot, unsigned shard, struct mmi_lease *lease) {
    mmi_assert_held(slot->table->lock);
    assert(mmi_slot_state(slot) == MMI_LOADING || mmi_slot_state(slot) == MMI_READY);
    *lease = (struct mmi_lease){slot, &slot->shards[shard]};
    atomic_fetch_add_explicit(&lease->shard->count, 1, memory_order_seq_cst);
}

bool mmi_slot_is_idle(const struct mmi_slot *slot) {
    for (unsigned i = 0; i < slot->table->shard_count; i++) {
        uint64_t count = atomic_load_explicit(&slot->shards[i].count, memory_order_seq_cst);
        if (count & MMI_COUNT_LEASES) {
            return false;
        }
    }
    return true;
}

enum mmi_settled mmi_slot_settle(struct mmi_slot *slot) {
    mmi_assert_held(slot->table->lock);
    enum mmi_instance_state state = mmi_slot_state(slot);
    bool leaving = state == MMI_LEAVING || state == MMI_LOST;
    bool wanted = state == MMI_READY && atomic_load_explicit(&slot->wanted, memory_order_seq_cst);
    if ((state != MMI_DRAINING && !leaving && !wanted) || !mmi_slot_is_idle(slot)) {
        return MMI_UNSETTLED;
    }
    if (wanted) {
        atomic_store_explicit(&slot->wanted, 0, memory_order_seq_cst);
        return MMI_SETTLED_IDLE;
    }
    store_state(slot, leaving ? MMI_DETACHING : MMI_RECLAIMABLE);
    return leaving ? MMI_SETTLED_DETACHING : MMI_SETTLED_RECLAIMABLE;
}

bool mmi_slot_want(struct mmi_slot *slot) {
    assert(mmi_slot_state(slot) == MMI_READY);
    atomic_store_explicit(&slot->wanted, 1, memory_order_seq_cst);
    return mmi_slot_settle(slot) == MMI_SETTLED_IDLE;
}

enum mmi_settled mmi_slot_drain(struct mmi_slot *slot) {
    assert(mmi_slot_state(slot) == MMI_READY);
    store_state(slot, MMI_DRAINING);
    return mmi_slot_settle(slot);
}

enum mmi_settled mmi_slot_leave(struct mmi_slot *slot) {
    enum mmi_instance_state state = mmi_slot_state(slot);
    assert(state == MMI_READY || state == MMI_DRAINING || state == MMI_RECLAIMABLE);
    (void)state;
    store_state(slot, MMI_LEAVING);
    return mmi_slot_settle(slot);
}

enum mmi_settled mmi_slot_lost(struct mmi_slot *slot) {
    assert(mmi_slot_state(slot) >= MMI_LOADING && mmi_slot_state(slot) <= MMI_RECLAIMABLE);
    store_state(slot, MMI_LOST);
    return mmi_slot_settle(slot);
}

bool mmi_slot_revive(struct mmi_slot *slot) {
    mmi_assert_held(slot->table->lock);
    enum mmi_instance_state state = mmi_slot_state(slot);
    if (state != MMI_DRAINING && state != MMI_RECLAIMABLE) {
        return false;
    }
    store_state(slot, MMI_READY);
    return true;
}

uint64_t mmi_slot_ready(struct mmi_slot *slot, uint64_t ticks) {
    mmi_assert_held(slot->table->lock);
    assert(mmi_slot_state(slot) == MMI_LOADING);
    atomic_store_explicit(&slot->shards[0].last_used, ticks, memory_order_relaxed);
    store_state(slot, MMI_READY);
    return word_of(slot, MMI_READY);
}

void mmi_slot_move(struct mmi_slot *slot, enum mmi_instance_state state) {
    mmi_assert_held(slot->table->lock);
    assert(state == MMI_LOADING || state == MMI_DETACHING || state == MMI_FAILED);
    store_state(slot, state);
}

/* ---- Snapshots ------------------------------------------------------------------------------ */

uint64_t mmi_slot_leases(const struct mmi_slot *slot) {
    uint64_t sum = 0;
    for (unsigned i = 0; i < slot->table->shard_count; i++) {
        sum +=
            atomic_load_explicit(&slot->shards[i].count, memory_order_relaxed) & MMI_COUNT_LEASES;
    }
    return sum;
}

uint64_t mmi_slot_last_used(const struct mmi_slot *slot) {
    uint64_t last = 0;
    for (unsigned i = 0; i < slot->table->shard_count; i++) {
        last = mmi_max_u64(last,
                           atomic_load_explicit(&slot->shards[i].last_used, memory_order_relaxed));
    }
    return last;
}

uint64_t mmi_slot_uses(const struct mmi_slot *slot) {
    uint64_t sum = 0;
    for (unsigned i = 0; i < slot->table->shard_count; i++) {
        sum += atomic_load_explicit(&slot->shards[i].count, memory_order_relaxed) >> 32;
    }
    return sum;
}
