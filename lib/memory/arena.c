/* SPDX-License-Identifier: Apache-2.0 */
#include <base/checked.h>
#include <memory/arena_state.h>

#include <assert.h>

struct mmi_arena *mmi_arena_new(const mm_allocator *alloc, enum mmi_arena_kind kind,
                                uint64_t capacity_bytes) {
    struct mmi_arena *arena = mmi_alloc(alloc, 1, sizeof *arena);
    if (!arena) {
        return NULL;
    }
    arena->alloc = alloc;
    arena->kind = kind;
    arena->unit_bytes = kind == MMI_ARENA_PAGED ? MMI_PAGE_BYTES : MMI_CHUNK_BYTES;
    mmi_chunks_init(&arena->chunks, alloc);
    mmi_list_init(&arena->runs);
    if (kind == MMI_ARENA_CHUNKED) {
        arena->small = mmi_small_new(alloc);
    }
    if ((kind == MMI_ARENA_CHUNKED && !arena->small) ||
        !mmi_arena_set_capacity(arena, capacity_bytes)) {
        mmi_arena_free(arena);
        return NULL;
    }
    return arena;
}

void mmi_arena_free(struct mmi_arena *arena) {
    if (!arena) {
        return;
    }
    MMI_LIST_EACH(link, &arena->runs) {
        mmi_run_free(arena->alloc, MMI_CONTAINER(link, struct mmi_run, node));
    }
    mmi_small_free(arena->small);
    mmi_chunks_fini(&arena->chunks);
    mmi_free(arena->alloc, arena, sizeof *arena);
}

enum mmi_arena_kind mmi_arena_kind_of(const struct mmi_arena *arena) {
    return arena->kind;
}

uint64_t mmi_arena_capacity(const struct mmi_arena *arena) {
    return arena->capacity * arena->unit_bytes;
}

uint64_t mmi_arena_used(const struct mmi_arena *arena) {
    return arena->used * arena->unit_bytes;
}

uint64_t mmi_arena_free_bytes(const struct mmi_arena *arena) {
    return mmi_sub_floor(arena->capacity, arena->used) * arena->unit_bytes;
}

uint64_t mmi_arena_rounded(const struct mmi_arena *arena, uint64_t bytes) {
    uint64_t rounded;
    return mmi_round_up(bytes, arena->unit_bytes, &rounded) ? rounded : UINT64_MAX;
}

uint32_t mmi_arena_chunk_bound(const struct mmi_arena *arena) {
    return arena->chunks.bound;
}

bool mmi_arena_chunk_retired(const struct mmi_arena *arena, uint32_t chunk) {
    assert(chunk < arena->chunks.bound);
    return arena->chunks.state[chunk] == MMI_CHUNK_RETIRED;
}

bool mmi_arena_set_capacity(struct mmi_arena *arena, uint64_t capacity_bytes) {
    assert(!arena->in_trial);
    uint64_t capacity = capacity_bytes / arena->unit_bytes;
    if (arena->kind == MMI_ARENA_CHUNKED) {
        uint64_t have = arena->chunks.free_count + arena->used;
        uint64_t need = mmi_max_u64(capacity, arena->used);
        if (need > have && !mmi_chunks_add(&arena->chunks, need - have)) {
            return false;
        }
        if (need < have) {
            mmi_chunks_retire(&arena->chunks, (uint32_t)(have - need));
        }
    }
    arena->capacity = capacity;
    return true;
}

bool mmi_arena_fits(const struct mmi_arena *arena, uint64_t bytes, uint64_t reserve_bytes) {
    uint32_t small_units = mmi_arena_small_units(arena, bytes);
    bool in_hole =
        small_units > 0 && mmi_small_next_bin(arena->small, small_units) < MMI_SMALL_UNITS;
    uint64_t units = in_hole ? 0 : mmi_arena_units(arena, bytes);
    return mmi_arena_room(arena, arena->used, units, reserve_bytes);
}

static enum mmi_take take_small(struct mmi_arena *arena, uint32_t units, struct mmi_block *block) {
    bool opened;
    struct mmi_span *span = mmi_small_take(arena->small, &arena->chunks, units, &opened);
    if (!span) {
        return MMI_TAKE_NO_MEMORY;
    }
    arena->used += opened;
    block->charged_bytes = units * MMI_SMALL_STEP_BYTES;
    block->chunk = span->home->chunk;
    block->offset = span->offset * MMI_SMALL_STEP_BYTES;
    block->span = span;
    block->small = true;
    return MMI_TAKE_OK;
}

static enum mmi_take take_large(struct mmi_arena *arena, uint64_t units, struct mmi_block *block) {
    if (arena->kind == MMI_ARENA_CHUNKED) {
        uint32_t count = (uint32_t)units; /* it fits, so it is below the bound */
        struct mmi_run *run = mmi_run_new(arena->alloc, count);
        if (!run) {
            return MMI_TAKE_NO_MEMORY;
        }
        mmi_chunks_pop(&arena->chunks, run->numbers, count, MMI_CHUNK_LARGE);
        mmi_list_init(&run->node);
        mmi_list_push_back(&arena->runs, &run->node);
        block->chunks = run->numbers;
        block->chunk_count = count;
    }
    arena->used += units;
    block->charged_bytes = units * arena->unit_bytes;
    return MMI_TAKE_OK;
}

enum mmi_take mmi_arena_take(struct mmi_arena *arena, uint64_t bytes, struct mmi_block *block) {
    assert(bytes > 0 && !arena->in_trial);
    if (!mmi_arena_fits(arena, bytes, 0)) {
        return MMI_TAKE_NO_ROOM;
    }
    struct mmi_block taken = {.bytes = bytes};
    uint32_t small_units = mmi_arena_small_units(arena, bytes);
    enum mmi_take result = small_units > 0
                               ? take_small(arena, small_units, &taken)
                               : take_large(arena, mmi_arena_units(arena, bytes), &taken);
    if (result == MMI_TAKE_OK) {
        *block = taken;
    }
    return result;
}

static void give_chunks(struct mmi_arena *arena, const uint32_t *numbers, uint32_t count) {
    uint64_t excess = mmi_sub_floor(arena->used, arena->capacity);
    mmi_chunks_push(&arena->chunks, numbers, count, (uint32_t)mmi_min_u64(excess, count));
    arena->used -= count;
}

void mmi_arena_give(struct mmi_arena *arena, struct mmi_block *block) {
    assert(!arena->in_trial);
    uint32_t chunk;
    if (block->small) {
        if (mmi_small_give(arena->small, block->span, &chunk)) {
            give_chunks(arena, &chunk, 1);
        }
    } else if (block->chunks) {
        struct mmi_run *run = MMI_CONTAINER(block->chunks, struct mmi_run, numbers);
        give_chunks(arena, run->numbers, run->count);
        mmi_list_remove(&run->node);
        mmi_run_free(arena->alloc, run);
    } else {
        arena->used -= block->charged_bytes / arena->unit_bytes;
    }
    *block = (struct mmi_block){0};
}
