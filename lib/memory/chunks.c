/* SPDX-License-Identifier: Apache-2.0 */
#include <base/checked.h>
#include <memory/chunks.h>

#include <assert.h>
#include <string.h>

void mmi_chunks_init(struct mmi_chunks *chunks, const mm_allocator *alloc) {
    *chunks = (struct mmi_chunks){.alloc = alloc};
}

void mmi_chunks_fini(struct mmi_chunks *chunks) {
    mmi_free(chunks->alloc, chunks->state, chunks->state_capacity * sizeof *chunks->state);
    mmi_free(chunks->alloc, chunks->free, chunks->free_capacity * sizeof *chunks->free);
}

/* Room for numbers below `bound` in both arrays. Where only the first could grow, nothing but spare
 * room is left behind. */
static bool reserve(struct mmi_chunks *chunks, uint64_t bound) {
    if (bound > UINT32_MAX) {
        return false;
    }
    void *state = chunks->state;
    void *stack = chunks->free;
    bool grown =
        mmi_grow(chunks->alloc, &state, &chunks->state_capacity, bound, sizeof *chunks->state) &&
        mmi_grow(chunks->alloc, &stack, &chunks->free_capacity, bound, sizeof *chunks->free);
    chunks->state = state;
    chunks->free = stack;
    return grown;
}

bool mmi_chunks_add(struct mmi_chunks *chunks, uint64_t count) {
    uint64_t fresh = count;
    uint32_t revive_end = 0;
    for (; revive_end < chunks->bound && fresh > 0; revive_end++) {
        fresh -= chunks->state[revive_end] == MMI_CHUNK_RETIRED;
    }
    uint64_t bound;
    if (!mmi_add(chunks->bound, fresh, &bound) || !reserve(chunks, bound)) {
        return false;
    }
    /* Downwards, so that the lowest is handed out first. */
    for (uint32_t number = (uint32_t)bound; number-- > 0;) {
        bool revived = number < revive_end && chunks->state[number] == MMI_CHUNK_RETIRED;
        if (number >= chunks->bound || revived) {
            chunks->state[number] = MMI_CHUNK_FREE;
            chunks->free[chunks->free_count++] = number;
        }
    }
    chunks->bound = (uint32_t)bound;
    return true;
}

void mmi_chunks_retire(struct mmi_chunks *chunks, uint32_t count) {
    assert(count <= chunks->free_count);
    uint32_t left = count;
    for (uint32_t number = chunks->bound; left > 0 && number-- > 0;) {
        if (chunks->state[number] == MMI_CHUNK_FREE) {
            chunks->state[number] = MMI_CHUNK_RETIRED;
            left--;
        }
    }
    uint32_t kept = 0;
    for (uint32_t i = 0; i < chunks->free_count; i++) {
        if (chunks->state[chunks->free[i]] == MMI_CHUNK_FREE) {
            chunks->free[kept++] = chunks->free[i];
        }
    }
    chunks->free_count = kept;
}

/* `state` points to bytes, which may alias anything: kept in a local, nothing is read twice. */
static void set_state(struct mmi_chunks *chunks, const uint32_t *numbers, uint32_t count,
                      enum mmi_chunk_state state) {
    uint8_t *states = chunks->state;
    for (uint32_t i = 0; i < count; i++) {
        assert(states[numbers[i]] != state); /* nothing is given or taken twice */
        states[numbers[i]] = (uint8_t)state;
    }
}

void mmi_chunks_pop(struct mmi_chunks *chunks, uint32_t *numbers, uint32_t count,
                    enum mmi_chunk_state state) {
    assert(count <= chunks->free_count);
    chunks->free_count -= count;
    memcpy(numbers, chunks->free + chunks->free_count, count * sizeof *numbers);
    set_state(chunks, numbers, count, state);
}

void mmi_chunks_push(struct mmi_chunks *chunks, const uint32_t *numbers, uint32_t count,
                     uint32_t retire) {
    set_state(chunks, numbers, retire, MMI_CHUNK_RETIRED);
    numbers += retire;
    count -= retire;
    set_state(chunks, numbers, count, MMI_CHUNK_FREE);
    memcpy(chunks->free + chunks->free_count, numbers, count * sizeof *numbers);
    chunks->free_count += count;
}

static size_t run_bytes(uint32_t count) {
    return sizeof(struct mmi_run) + (size_t)count * sizeof(uint32_t);
}

struct mmi_run *mmi_run_new(const mm_allocator *alloc, uint32_t count) {
    struct mmi_run *run = mmi_alloc(alloc, 1, run_bytes(count));
    if (run) {
        run->count = count;
    }
    return run;
}

void mmi_run_free(const mm_allocator *alloc, struct mmi_run *run) {
    mmi_free(alloc, run, run_bytes(run->count));
}
