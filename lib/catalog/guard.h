/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_CATALOG_GUARD_H
#define MMI_CATALOG_GUARD_H

/* Memory that readers look at without a lock, and that a writer replaces: freed once no reader can
 * still hold it.
 *
 * A reader adds 1 to its shard before it loads a pointer and subtracts it afterwards. A writer
 * first unpublishes the memory, then retires it. A shard found at 0 after that holds no reader of
 * it, for a reader that comes later loads the new pointer (everything is seq_cst); once each shard
 * was found at 0, at whatever times, the memory is free. The same argument as for leases
 * (residency/lease.h). Nobody waits: each retire looks at what earlier ones left. */

#include <base/alloc.h>
#include <base/thread.h>

#include <stdatomic.h>

struct mmi_guard_shard {
    _Alignas(64) _Atomic uint64_t readers;
};

/* Lies in the memory itself, where no reader looks, so that retiring allocates nothing. */
struct mmi_retired {
    struct mmi_retired *next;
    void *memory;
    size_t bytes;
    uint64_t pending; /* bit per shard not yet found at 0 */
};

struct mmi_guard {
    const mm_allocator *alloc;
    unsigned shard_count;
    struct mmi_retired *retired;
    struct mmi_guard_shard shards[MMI_MAX_SHARDS];
};

void mmi_guard_init(struct mmi_guard *guard, const mm_allocator *alloc, unsigned shard_count);
void mmi_guard_fini(struct mmi_guard *guard); /* no reader is left */

static inline unsigned mmi_guard_enter(struct mmi_guard *guard) {
    unsigned shard = mmi_thread_shard(guard->shard_count);
    atomic_fetch_add_explicit(&guard->shards[shard].readers, 1, memory_order_seq_cst);
    return shard;
}
static inline void mmi_guard_leave(struct mmi_guard *guard, unsigned shard) {
    atomic_fetch_sub_explicit(&guard->shards[shard].readers, 1, memory_order_seq_cst);
}

/* Writers, serialised by the caller. `node` is in `memory`. */
void mmi_guard_retire(struct mmi_guard *guard, struct mmi_retired *node, void *memory,
                      size_t bytes);

#endif
