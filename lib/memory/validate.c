/* SPDX-License-Identifier: Apache-2.0 */
#include <base/checked.h>
#include <memory/arena_state.h>

/* Each check returns NULL when sound, else what broke. */

/* Marks a chunk number that was met, in its state, until the walk ends: nothing may be met twice,
 * and a check that allocates would disturb the tests that make allocations fail. */
#define SEEN 0x80u

static bool meet(const struct mmi_chunks *chunks, uint32_t number, enum mmi_chunk_state state) {
    if (number >= chunks->bound || chunks->state[number] != state) {
        return false;
    }
    chunks->state[number] |= SEEN;
    return true;
}

static const char *check_span(const struct mmi_small *small, const struct mmi_span *span) {
    if (span->units == 0 || span->units >= MMI_SMALL_UNITS) {
        return "a span has an impossible length";
    }
    if (!span->hole) {
        return NULL;
    }
    const struct mmi_span *bin = small->bins[span->units];
    if (span->previous ? span->previous->next != span : bin != span) {
        return "a hole is not in the bin of its length";
    }
    if (span->next && (span->next->previous != span || span->next->units != span->units)) {
        return "a bin is broken";
    }
    return NULL;
}

/* Adds the chunk's holes to *holes. */
static const char *check_shared(const struct mmi_small *small, const struct mmi_shared *shared,
                                uint64_t *holes) {
    uint32_t offset = 0;
    uint32_t live = 0;
    bool after_hole = false;
    MMI_LIST_EACH(link, &shared->spans) {
        const struct mmi_span *span = MMI_CONTAINER(link, struct mmi_span, order);
        const char *broken = check_span(small, span);
        if (broken) {
            return broken;
        }
        if (span->home != shared || span->offset != offset) {
            return "the spans of a chunk do not follow one another";
        }
        if (span->hole && after_hole) {
            return "two holes are neighbours";
        }
        after_hole = span->hole;
        offset += span->units;
        live += !span->hole;
        *holes += span->hole;
    }
    if (offset != MMI_SMALL_UNITS) {
        return "the spans of a chunk do not cover it";
    }
    if (live == 0 || live != shared->live) {
        return "a shared chunk has no blocks, or not those counted";
    }
    return NULL;
}

/* Every hole of a chunk was found in its bin; equal counts say that the bins hold nothing else. */
static const char *check_bins(const struct mmi_small *small, uint64_t holes) {
    for (uint32_t from = 0; from < MMI_SMALL_UNITS; from += 64) {
        uint64_t filled = 0;
        for (uint32_t bit = 0; bit < 64; bit++) {
            filled |= (uint64_t)(small->bins[from + bit] != NULL) << bit;
        }
        if (filled != small->filled[from / 64]) {
            return "the map of filled bins is wrong";
        }
        for (; filled; filled &= filled - 1) {
            const struct mmi_span *hole = small->bins[from + (uint32_t)__builtin_ctzll(filled)];
            for (; hole; hole = hole->next) {
                holes--;
            }
        }
    }
    return holes == 0 ? NULL : "a bin holds what no chunk does";
}

/* Walks every holder of chunk numbers, marks the numbers and counts those in use. */
static const char *check_holders(const struct mmi_arena *arena, uint64_t *used) {
    const struct mmi_chunks *chunks = &arena->chunks;
    for (uint32_t i = 0; i < chunks->free_count; i++) {
        if (!meet(chunks, chunks->free[i], MMI_CHUNK_FREE)) {
            return "the stock holds a chunk that is not free, or twice";
        }
    }
    MMI_LIST_EACH(run_link, &arena->runs) {
        const struct mmi_run *run = MMI_CONTAINER(run_link, struct mmi_run, node);
        for (uint32_t i = 0; i < run->count; i++) {
            if (!meet(chunks, run->numbers[i], MMI_CHUNK_LARGE)) {
                return "a large block holds a chunk that is not its own";
            }
        }
        *used += run->count;
    }
    uint64_t holes = 0;
    MMI_LIST_EACH(link, &arena->small->shared) {
        const struct mmi_shared *shared = MMI_CONTAINER(link, struct mmi_shared, node);
        if (!meet(chunks, shared->chunk, MMI_CHUNK_SHARED)) {
            return "small blocks lie in a chunk that is not theirs";
        }
        const char *broken = check_shared(arena->small, shared, &holes);
        if (broken) {
            return broken;
        }
        *used += 1;
    }
    return check_bins(arena->small, holes);
}

const char *mmi_arena_validate(const struct mmi_arena *arena) {
    if (arena->kind == MMI_ARENA_PAGED) {
        return arena->chunks.bound || arena->small ? "a paged arena has chunks" : NULL;
    }
    const struct mmi_chunks *chunks = &arena->chunks;
    uint64_t used = 0;
    const char *broken = check_holders(arena, &used);
    bool lost = false;
    for (uint32_t number = 0; number < chunks->bound; number++) {
        lost |= !(chunks->state[number] & SEEN) && chunks->state[number] != MMI_CHUNK_RETIRED;
        chunks->state[number] &= (uint8_t)~SEEN;
    }
    if (broken) {
        return broken;
    }
    if (lost) {
        return "nobody holds a chunk that is neither free nor retired";
    }
    if (used != arena->used) {
        return "the chunks in use are not those counted";
    }
    if (chunks->free_count != mmi_sub_floor(arena->capacity, arena->used)) {
        return "the free chunks are not what the capacity leaves";
    }
    return NULL;
}
