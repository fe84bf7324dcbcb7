/* SPDX-License-Identifier: Apache-2.0 */
#include <residency/scratch.h>

#include <base/checked.h>

static bool take(struct mmi_exec_slot *slot) {
    uint32_t idle = 0;
    return atomic_load(&slot->busy) == 0 && atomic_compare_exchange_strong(&slot->busy, &idle, 1);
}

struct mmi_exec_slot *mmi_scratch_take(struct mmi_devstate *dev, uint64_t bytes) {
    unsigned hint = mmi_thread_shard(MMI_EXEC_SLOTS);
    for (unsigned i = 0; i < MMI_EXEC_SLOTS; i++) {
        struct mmi_exec_slot *slot = &dev->exec[(hint + i) % MMI_EXEC_SLOTS];
        if (atomic_load_explicit(&slot->bytes, memory_order_relaxed) >= bytes && take(slot)) {
            if (atomic_load(&slot->bytes) >= bytes) {
                return slot;
            }
            atomic_store(&slot->busy, 0);
        }
    }
    return NULL;
}

struct mmi_exec_slot *mmi_scratch_take_any(struct mmi_devstate *dev) {
    for (int with_memory = 0; with_memory < 2; with_memory++) {
        for (unsigned i = 0; i < MMI_EXEC_SLOTS; i++) {
            struct mmi_exec_slot *slot = &dev->exec[i];
            bool has = atomic_load_explicit(&slot->bytes, memory_order_relaxed) > 0;
            if (has == with_memory && take(slot)) {
                return slot;
            }
        }
    }
    return NULL;
}

bool mmi_scratch_give(struct mmi_devstate *dev, struct mmi_exec_slot *slot) {
    /* Before the look at who waits: one of the two sees the other (both seq_cst). */
    atomic_store(&slot->busy, 0);
    return atomic_load(&dev->scratch_wanted);
}

bool mmi_scratch_charge(struct mmi_devstate *dev, uint64_t bytes, struct mmi_block *block) {
    struct mmi_arena *arena = dev->device->arena;
    if (!mmi_arena_fits(arena, bytes, dev->leaked_bytes) ||
        mmi_arena_take(arena, bytes, block) != MMI_TAKE_OK) {
        return false;
    }
    dev->scratch_bytes += block->charged_bytes;
    dev->peak_bytes = mmi_max_u64(dev->peak_bytes, mmi_arena_used(arena));
    return true;
}

void mmi_scratch_discharge(struct mmi_devstate *dev, struct mmi_block *block) {
    dev->scratch_bytes -= block->charged_bytes;
    mmi_arena_give(dev->device->arena, block);
}

bool mmi_scratch_trim(struct mmi_residency *res, struct mmi_devstate *dev, uint64_t keep_bytes) {
    uint64_t keep = keep_bytes ? mmi_arena_rounded(dev->device->arena, keep_bytes) : 0;
    bool trimmed = false;
    for (unsigned i = 0; i < MMI_EXEC_SLOTS && dev->scratch_bytes > keep; i++) {
        struct mmi_exec_slot *slot = &dev->exec[i];
        if (atomic_load_explicit(&slot->bytes, memory_order_relaxed) > 0 && take(slot)) {
            atomic_store(&slot->bytes, 0);
            mmi_scratch_discharge(dev, &slot->block);
            mmi_list_push_back(&res->trimmed, &slot->trimmed);
            trimmed = true;
        }
    }
    return trimmed;
}

void mmi_scratch_each_block(const struct mmi_devstate *dev, struct mmi_arena *arena,
                            void (*visit)(struct mmi_arena *arena, const struct mmi_block *block)) {
    for (unsigned i = 0; i < MMI_EXEC_SLOTS; i++) {
        if (dev->exec[i].block.bytes) {
            visit(arena, &dev->exec[i].block);
        }
    }
    MMI_LIST_EACH(node, &dev->more) {
        struct mmi_scratch_more *more = MMI_CONTAINER(node, struct mmi_scratch_more, node);
        if (more->block.bytes) {
            visit(arena, &more->block);
        }
    }
}

void mmi_scratch_unmap_all(struct mmi_devstate *dev) {
    for (unsigned i = 0; i < MMI_EXEC_SLOTS; i++) {
        struct mmi_exec_slot *slot = &dev->exec[i];
        dev->device->ops->unmap(&slot->region);
        mmi_scratch_discharge(dev, &slot->block);
        atomic_store(&slot->bytes, 0);
    }
}
