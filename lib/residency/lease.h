/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_RESIDENCY_LEASE_H
#define MMI_RESIDENCY_LEASE_H

/* The lease: the right to use an instance. While one is held, the instance keeps its bytes.
 *
 * Each instance has a slot: one state word, and one line per shard with a count of leases. Threads
 * use their own shard, so two that use the same model share no line that either of them writes.
 *
 *   acquire  add 1 to a shard; if the word is {READY, generation}: leased. Else undo like a release
 *   release  subtract 1 from that shard; if the word says DRAINING, LEAVING or LOST, or if the slot
 *            is wanted and no lease is out: lock, settle
 *   drain    locked: store DRAINING, settle     (for good: LEAVING; a lost device: LOST)
 *   settle   locked: if one of the three, and every shard, read one by one, is 0: store what's next
 *   revive   locked: if DRAINING or RECLAIMABLE: store READY
 *   want     locked: of a READY one: store that, scan. A settle that finds no lease says so, once
 *
 * Why it holds. Every access to a word or a count is seq_cst, so all of them lie in one order.
 *   1. No lease outlives its bytes. Let a scan find a shard at 0. An add before that was undone
 *      before. An add after it comes after the store of DRAINING too, so the load that follows the
 *      add finds the word not READY, and the add is undone. A shard once found at 0 stays without a
 *      lease until a revive, which waits for the lock: the scan needs no snapshot.
 *   2. No wake-up is lost. After its subtraction a thread loads the word. READY, or any state but
 *      the three: the next DRAINING is stored later, so the scan behind it finds the subtraction.
 *      One of the three: the thread scans itself. The lock orders the scans, so the last one finds
 *      all zeros, and only one of them stores what is next. The same holds of a slot that is
 *      wanted, with that flag in place of the word.
 *   3. No lease on a stranger. A word holds the slot's number and generation, so no two lives of
 *      any slots ever share one, and a word kept too long is refused. Until it is undone, its add
 *      may hold up a drain of the slot's new tenant: hence a refused acquire may have to settle as
 *      well.
 * Counts are never reset or moved: threads migrate, so a lease remembers its shard. */

#include <base/alloc.h>
#include <base/lock.h>
#include <base/thread.h>

#include <stdatomic.h>

/* The life of an instance. Who may take which edge: the chart of the instance. */
enum mmi_instance_state {
    MMI_NONE,        /* the slot is free */
    MMI_LOADING,     /* bytes are on their way */
    MMI_READY,       /* leases are given */
    MMI_DRAINING,    /* no new ones; it waits for the last to come back. May return to READY */
    MMI_LEAVING,     /* the same, with no way back */
    MMI_RECLAIMABLE, /* no lease is out; the bytes are still there, and count as free */
    MMI_DETACHING,   /* the bytes are being taken */
    MMI_FAILED,      /* the load failed; no bytes */
    MMI_LOST         /* the device is gone; it waits for the last lease to come back */
};

/* A state word: the state in bits 0..7, the slot's number in 8..31, its generation in 32..63. It is
 * never 0, so 0 stands for "no such instance" and is always refused. */
#define MMI_WORD_STATE 0xffu
#define MMI_WORD_NUMBER_SHIFT 8
#define MMI_WORD_GENERATION_SHIFT 32

#define MMI_LINE_BYTES 64

/* Leases out in the low half, leases that were given back in the high half: counting uses costs no
 * operation of its own. */
#define MMI_COUNT_LEASES UINT64_C(0xffffffff)
#define MMI_COUNT_USE (UINT64_C(1) << 32)

struct mmi_shard {
    _Alignas(MMI_LINE_BYTES) _Atomic uint64_t count;
    _Atomic uint64_t last_used; /* ticks */
};

struct mmi_slot {
    _Alignas(MMI_LINE_BYTES) _Atomic uint64_t st; /* written under the residency lock */
    _Atomic uint64_t wanted; /* somebody waits until no lease is out, though it stays READY */
    void *owner;             /* who holds a lease may read it; written before READY is stored */
    struct mmi_slots *table;
    struct mmi_slot *next_free;
    struct mmi_shard shards[]; /* [table->shard_count] */
};

/* All slots of a mesh. A slot never moves and is never freed before fini, so that a stale reader
 * may touch it at any time; they are reused, so there are about as many as instances were ever
 * present at once. Alloc, free and every "locked" call: under the residency lock. */
struct mmi_slots {
    const mm_allocator *alloc;
    const struct mmi_lock *lock; /* the residency lock, to assert that it is held */
    unsigned shard_count;        /* a power of two */
    uint64_t max_generation;
    struct mmi_slot *free;
    struct mmi_segment *segments;
    uint32_t slot_count;    /* slots made so far */
    uint32_t retired_count; /* of them out of use for ever: their generations are used up */
};

/* cpus: threads that run at once. generation_bits: 1 .. 32 (tests: 8), 0 = 32. Allocates
 * nothing. */
void mmi_slots_init(struct mmi_slots *slots, const mm_allocator *alloc, const struct mmi_lock *lock,
                    unsigned cpus, unsigned generation_bits);
/* No thread may touch a slot any more. */
void mmi_slots_fini(struct mmi_slots *slots);

/* A slot in state NONE that nobody leases, last used at 0; NULL = out of memory. */
struct mmi_slot *mmi_slots_alloc(struct mmi_slots *slots, void *owner);
/* Locked, from NONE, LOADING, DETACHING or FAILED. Every word of the slot so far is void. */
void mmi_slots_free(struct mmi_slot *slot);

/* ---- The hot path: no lock, no allocation, no system call ----------------------------------- */

struct mmi_lease {
    struct mmi_slot *slot;
    struct mmi_shard *shard;
};

enum mmi_acquired {
    MMI_LEASED,
    MMI_REFUSED,           /* not resident under this word */
    MMI_REFUSED_AND_SETTLE /* the same, and: take the residency lock, call mmi_slot_settle */
};

/* The calling thread's shard in this table. */
static inline unsigned mmi_lease_shard(const struct mmi_slots *slots) {
    return mmi_thread_shard(slots->shard_count);
}

/* No lease is out: the scan. */
bool mmi_slot_is_idle(const struct mmi_slot *slot);

/* Is somebody waiting for this slot to become idle? true = lock and settle. */
static inline bool mmi_lease_watched(struct mmi_slot *slot) {
    uint64_t state = atomic_load_explicit(&slot->st, memory_order_seq_cst) & MMI_WORD_STATE;
    if (state == MMI_DRAINING || state == MMI_LEAVING || state == MMI_LOST) {
        return true;
    }
    /* Who finds others at work leaves it to them: a busy model is no reason for the lock. */
    return __builtin_expect(atomic_load_explicit(&slot->wanted, memory_order_seq_cst) != 0, 0) &&
           mmi_slot_is_idle(slot);
}

/* Undo one add. true = take the residency lock and call mmi_slot_settle. */
static inline bool mmi_lease_undo(struct mmi_slot *slot, struct mmi_shard *shard) {
    atomic_fetch_sub_explicit(&shard->count, 1, memory_order_seq_cst);
    return mmi_lease_watched(slot);
}

/* ready_word: what mmi_slot_ready returned, or 0. A refusal is no use of the model: last_used
 * stays. */
static inline enum mmi_acquired mmi_lease_acquire(struct mmi_slot *slot, uint64_t ready_word,
                                                  unsigned shard, struct mmi_lease *lease) {
    struct mmi_shard *mine = &slot->shards[shard];
    atomic_fetch_add_explicit(&mine->count, 1, memory_order_seq_cst);
    if (__builtin_expect(atomic_load_explicit(&slot->st, memory_order_seq_cst) == ready_word, 1)) {
        *lease = (struct mmi_lease){slot, mine};
        return MMI_LEASED;
    }
    return mmi_lease_undo(slot, mine) ? MMI_REFUSED_AND_SETTLE : MMI_REFUSED;
}

/* From any thread. true = take the residency lock and call mmi_slot_settle(slot). The use is stored
 * before the subtraction, so whoever finds the shard at 0 finds the use too. */
static inline bool mmi_lease_release(const struct mmi_lease *lease, uint64_t ticks) {
    atomic_store_explicit(&lease->shard->last_used, ticks, memory_order_relaxed);
    atomic_fetch_add_explicit(&lease->shard->count, MMI_COUNT_USE - 1, memory_order_seq_cst);
    return mmi_lease_watched(lease->slot);
}

/* ---- Locked --------------------------------------------------------------------------------- */

/* What a scan brought about. Who gets one but the first has the next step to do. */
enum mmi_settled {
    MMI_UNSETTLED,           /* nothing: in use still, or no drain going on */
    MMI_SETTLED_IDLE,        /* it is READY, was wanted, and is not any more */
    MMI_SETTLED_RECLAIMABLE, /* it was DRAINING, is RECLAIMABLE */
    MMI_SETTLED_DETACHING    /* it was LEAVING or LOST, is DETACHING: the caller takes its bytes */
};

/* A lease without asking: for waiters, just before or after READY is stored, and for a load that
 * must not lose its place while it moves bytes. State LOADING or READY. */
void mmi_lease_grant(struct mmi_slot *slot, unsigned shard, struct mmi_lease *lease);

/* From LOADING. last_used becomes `ticks`. Returns the word that acquires from now on. */
uint64_t mmi_slot_ready(struct mmi_slot *slot, uint64_t ticks);
/* READY and leased: whose release leaves no lease is to settle. true = none is out already. */
bool mmi_slot_want(struct mmi_slot *slot);
/* From READY. */
enum mmi_settled mmi_slot_drain(struct mmi_slot *slot);
/* To LEAVING, from READY, DRAINING, RECLAIMABLE. */
enum mmi_settled mmi_slot_leave(struct mmi_slot *slot);
/* To LOST, from LOADING, READY, DRAINING, LEAVING, RECLAIMABLE. A loader that holds no lease is not
 * waited for. */
enum mmi_settled mmi_slot_lost(struct mmi_slot *slot);
/* From any state, also when the slot has a new tenant by now. */
enum mmi_settled mmi_slot_settle(struct mmi_slot *slot);
/* false = neither DRAINING nor RECLAIMABLE. The ready word is the one of before. */
bool mmi_slot_revive(struct mmi_slot *slot);
/* The edges that concern no lease, to LOADING, DETACHING or FAILED. */
void mmi_slot_move(struct mmi_slot *slot, enum mmi_instance_state state);

/* ---- From anywhere: a snapshot, for plans and for show -------------------------------------- */

static inline enum mmi_instance_state mmi_slot_state(const struct mmi_slot *slot) {
    return (enum mmi_instance_state)(atomic_load_explicit(&slot->st, memory_order_relaxed) &
                                     MMI_WORD_STATE);
}
/* Leases out, an acquire that is about to be refused among them. */
uint64_t mmi_slot_leases(const struct mmi_slot *slot);
/* Leases given back so far, by all tenants of the slot, modulo 2^32 a shard. */
uint64_t mmi_slot_uses(const struct mmi_slot *slot);
/* Ticks of the latest release. */
uint64_t mmi_slot_last_used(const struct mmi_slot *slot);

#endif
