/* SPDX-License-Identifier: Apache-2.0 */
#include "naive.h"

#include <string.h>

static uint64_t ceil_div(uint64_t a, uint64_t b) {
    return a / b + (a % b != 0);
}

static bool is_small(uint64_t bytes) {
    return bytes > 0 &&
           ceil_div(bytes, MMI_SMALL_STEP_BYTES) * MMI_SMALL_STEP_BYTES < MMI_CHUNK_BYTES;
}

static void learn_retired(struct naive *naive) {
    naive->bound = mmi_arena_chunk_bound(naive->arena);
    assert_true(naive->bound <= NAIVE_CHUNKS);
    for (uint32_t chunk = 0; chunk < naive->bound; chunk++) {
        naive->retired[chunk] = mmi_arena_chunk_retired(naive->arena, chunk);
    }
}

void naive_init(struct naive *naive, struct mmi_arena *arena, uint64_t cell_bytes) {
    naive->arena = arena;
    naive->capacity = mmi_arena_capacity(arena) / MMI_CHUNK_BYTES;
    naive->used = 0;
    naive->cell_bytes = cell_bytes;
    naive->cells = (uint32_t)(MMI_CHUNK_BYTES / cell_bytes);
    naive->count = 0;
    for (uint32_t chunk = 0; chunk < NAIVE_CHUNKS; chunk++) {
        memset(naive->owner[chunk], 0, naive->cells * sizeof naive->owner[chunk][0]);
    }
    memset(naive->gone, 0, sizeof naive->gone);
    learn_retired(naive);
}

/* Owned, by a block that is not gone. */
static bool held(const struct naive *naive, uint32_t chunk, uint32_t cell) {
    uint16_t owner = naive->owner[chunk][cell];
    return owner != 0 && !naive->gone[owner - 1];
}

static bool chunk_used(const struct naive *naive, uint32_t chunk) {
    for (uint32_t cell = 0; cell < naive->cells; cell++) {
        if (held(naive, chunk, cell)) {
            return true;
        }
    }
    return false;
}

uint64_t naive_used(const struct naive *naive) {
    uint64_t used = 0;
    for (uint32_t chunk = 0; chunk < naive->bound; chunk++) {
        used += chunk_used(naive, chunk);
    }
    return used;
}

/* Cells of the smallest gap of at least `need` cells in a chunk that small blocks share; 0 = none.
 * A large block leaves no gap in its chunks. */
static uint32_t smallest_gap(const struct naive *naive, uint32_t need) {
    uint32_t best = 0;
    for (uint32_t chunk = 0; chunk < naive->bound; chunk++) {
        if (!chunk_used(naive, chunk)) {
            continue;
        }
        uint32_t gap = 0;
        for (uint32_t cell = 0; cell <= naive->cells; cell++) {
            if (cell < naive->cells && !held(naive, chunk, cell)) {
                gap++;
                continue;
            }
            if (gap >= need && (best == 0 || gap < best)) {
                best = gap;
            }
            gap = 0;
        }
    }
    return best;
}

static uint32_t cells_of(const struct naive *naive, uint64_t bytes) {
    return (uint32_t)ceil_div(bytes, naive->cell_bytes);
}

bool naive_fits(const struct naive *naive, uint64_t bytes, uint64_t reserve_bytes) {
    uint64_t used = naive_used(naive);
    bool in_gap = is_small(bytes) && smallest_gap(naive, cells_of(naive, bytes)) > 0;
    uint64_t need = in_gap ? 0 : ceil_div(bytes, MMI_CHUNK_BYTES);
    return used + need + ceil_div(reserve_bytes, MMI_CHUNK_BYTES) <= naive->capacity;
}

static void own(struct naive *naive, uint32_t chunk, uint32_t from, uint32_t count,
                uint16_t owner) {
    assert_true(chunk < naive->bound);
    assert_false(naive->retired[chunk]);
    for (uint32_t cell = from; cell < from + count; cell++) {
        assert_true((naive->owner[chunk][cell] == 0) == (owner != 0));
        naive->owner[chunk][cell] = owner;
    }
}

/* Gives the cells of a block to `owner`: 1 + block, or 0. */
static void mark(struct naive *naive, const struct mmi_block *block, uint16_t owner) {
    if (block->small) {
        own(naive, block->chunk, (uint32_t)(block->offset / naive->cell_bytes),
            cells_of(naive, block->bytes), owner);
        return;
    }
    for (uint32_t i = 0; i < block->chunk_count; i++) {
        own(naive, block->chunks[i], 0, naive->cells, owner);
    }
}

static uint32_t gap_around(const struct naive *naive, uint32_t chunk, uint32_t cell) {
    uint32_t from = cell;
    uint32_t to = cell;
    while (from > 0 && !held(naive, chunk, from - 1)) {
        from--;
    }
    while (to < naive->cells && !held(naive, chunk, to)) {
        to++;
    }
    return to - from;
}

static void check_small(const struct naive *naive, const struct mmi_block *block) {
    assert_true(block->small);
    assert_null(block->chunks);
    assert_int_equal(block->charged_bytes, ceil_div(block->bytes, 256) * 256);
    assert_int_equal(block->offset % naive->cell_bytes, 0);
    assert_true(block->offset + block->charged_bytes <= MMI_CHUNK_BYTES);
    uint32_t gap = smallest_gap(naive, cells_of(naive, block->bytes));
    if (gap > 0) {
        assert_true(chunk_used(naive, block->chunk));
        uint32_t cell = (uint32_t)(block->offset / naive->cell_bytes);
        assert_int_equal(gap_around(naive, block->chunk, cell), gap);
    } else {
        assert_false(chunk_used(naive, block->chunk));
    }
}

enum mmi_take naive_take(struct naive *naive, uint64_t bytes) {
    assert_true(naive->count < NAIVE_BLOCKS);
    bool fits = naive_fits(naive, bytes, 0);
    assert_int_equal(mmi_arena_fits(naive->arena, bytes, 0), fits);
    struct mmi_block *block = &naive->blocks[naive->count];
    memset(block, 0x5a, sizeof *block);
    struct mmi_block before = *block;
    enum mmi_take result = mmi_arena_take(naive->arena, bytes, block);
    if (result != MMI_TAKE_OK) {
        assert_true(result == MMI_TAKE_NO_MEMORY || !fits);
        assert_memory_equal(block, &before, sizeof before);
        return result;
    }
    assert_true(fits);
    assert_int_equal(block->bytes, bytes);
    if (is_small(bytes)) {
        check_small(naive, block);
    } else {
        assert_false(block->small);
        assert_int_equal(block->chunk_count, ceil_div(bytes, MMI_CHUNK_BYTES));
        assert_int_equal(block->charged_bytes, block->chunk_count * MMI_CHUNK_BYTES);
    }
    mark(naive, block, (uint16_t)++naive->count);
    naive->used = naive_used(naive);
    return MMI_TAKE_OK;
}

void naive_give(struct naive *naive, uint32_t index) {
    struct mmi_block *block = &naive->blocks[index];
    mark(naive, block, 0);
    mmi_arena_give(naive->arena, block);
    static const struct mmi_block nothing;
    assert_memory_equal(block, &nothing, sizeof nothing);
    struct mmi_block *last = &naive->blocks[--naive->count];
    if (last != block) {
        mark(naive, last, 0);
        mark(naive, last, (uint16_t)(index + 1));
        *block = *last;
    }
    naive->used = naive_used(naive);
    learn_retired(naive);
}

bool naive_set_capacity(struct naive *naive, uint64_t chunks) {
    bool before[NAIVE_CHUNKS];
    memcpy(before, naive->retired, sizeof before);
    uint32_t bound = naive->bound;
    /* Anything below a whole chunk is rounded away. */
    if (!mmi_arena_set_capacity(naive->arena, chunks * MMI_CHUNK_BYTES + 4095)) {
        return false;
    }
    naive->capacity = chunks;
    learn_retired(naive);
    assert_true(naive->bound >= bound);
    uint32_t lowest_retired = UINT32_MAX;
    uint32_t highest_revived = 0;
    for (uint32_t chunk = 0; chunk < bound; chunk++) {
        if (naive->retired[chunk]) {
            lowest_retired = lowest_retired < chunk ? lowest_retired : chunk;
            assert_true(before[chunk] || !chunk_used(naive, chunk));
        } else if (before[chunk]) {
            highest_revived = chunk;
        }
    }
    for (uint32_t chunk = 0; chunk < bound; chunk++) {
        bool newly = naive->retired[chunk] && !before[chunk];
        for (uint32_t above = chunk + 1; newly && above < bound; above++) {
            assert_true(naive->retired[above] || chunk_used(naive, above));
        }
        assert_true(!naive->retired[chunk] || chunk >= highest_revived);
    }
    assert_true(naive->bound == bound || lowest_retired == UINT32_MAX);
    return true;
}

void naive_check(const struct naive *naive) {
    const char *broken = mmi_arena_validate(naive->arena);
    if (broken) {
        fail_msg("%s", broken);
    }
    uint64_t free_chunks = naive->capacity > naive->used ? naive->capacity - naive->used : 0;
    assert_int_equal(mmi_arena_capacity(naive->arena), naive->capacity * MMI_CHUNK_BYTES);
    assert_int_equal(mmi_arena_used(naive->arena), naive->used * MMI_CHUNK_BYTES);
    assert_int_equal(mmi_arena_free_bytes(naive->arena), free_chunks * MMI_CHUNK_BYTES);
    uint64_t living = 0;
    for (uint32_t chunk = 0; chunk < naive->bound; chunk++) {
        living += !naive->retired[chunk];
    }
    assert_int_equal(living, naive->used + free_chunks);
}
