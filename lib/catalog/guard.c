/* SPDX-License-Identifier: Apache-2.0 */
#include <catalog/guard.h>

void mmi_guard_init(struct mmi_guard *guard, const mm_allocator *alloc, unsigned shard_count) {
    *guard = (struct mmi_guard){.alloc = alloc, .shard_count = shard_count};
}

void mmi_guard_fini(struct mmi_guard *guard) {
    while (guard->retired) {
        struct mmi_retired *node = guard->retired;
        guard->retired = node->next;
        mmi_free(guard->alloc, node->memory, node->bytes);
    }
}

/* Shards that no reader is in now, as bits. */
static uint64_t quiet_shards(struct mmi_guard *guard) {
    uint64_t quiet = 0;
    for (unsigned i = 0; i < guard->shard_count; i++) {
        if (atomic_load_explicit(&guard->shards[i].readers, memory_order_seq_cst) == 0) {
            quiet |= UINT64_C(1) << i;
        }
    }
    return quiet;
}

void mmi_guard_retire(struct mmi_guard *guard, struct mmi_retired *node, void *memory,
                      size_t bytes) {
    uint64_t all = UINT64_MAX >> (64 - guard->shard_count);
    *node = (struct mmi_retired){guard->retired, memory, bytes, all};
    guard->retired = node;
    uint64_t quiet = quiet_shards(guard);
    for (struct mmi_retired **at = &guard->retired; *at;) {
        struct mmi_retired *item = *at;
        item->pending &= ~quiet;
        if (item->pending) {
            at = &item->next;
        } else {
            *at = item->next;
            mmi_free(guard->alloc, item->memory, item->bytes);
        }
    }
}
