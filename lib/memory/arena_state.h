/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_MEMORY_ARENA_STATE_H
#define MMI_MEMORY_ARENA_STATE_H

/* What an arena is made of. Inside memory/ only.
 *
 * Both kinds count units: pages or chunks. A CHUNKED arena keeps one number for each unit besides:
 *     free numbers == capacity - used, 0 where more is used than the capacity
 *     used         == numbers in runs + shared chunks */

#include <memory/arena.h>
#include <memory/small.h>

struct mmi_arena {
    const mm_allocator *alloc;
    enum mmi_arena_kind kind;
    uint64_t unit_bytes;
    uint64_t capacity, used; /* units */

    struct mmi_chunks chunks;
    struct mmi_list runs;    /* the large blocks */
    struct mmi_small *small; /* CHUNKED; else NULL */

    bool in_trial;
    uint64_t trial;                  /* number of the running or last trial; the first is 1 */
    uint64_t trial_freed;            /* units */
    struct mmi_shared *trial_shared; /* chunks that a released block lies in */
};

/* At most 2^52: sums of a few cannot overflow. */
static inline uint64_t mmi_arena_units(const struct mmi_arena *arena, uint64_t bytes) {
    return bytes / arena->unit_bytes + (bytes % arena->unit_bytes != 0);
}

/* Length of the block in its shared chunk; 0 = not a small block. */
static inline uint32_t mmi_arena_small_units(const struct mmi_arena *arena, uint64_t bytes) {
    if (arena->kind != MMI_ARENA_CHUNKED || bytes > MMI_CHUNK_BYTES - MMI_SMALL_STEP_BYTES) {
        return 0;
    }
    return (uint32_t)((bytes + MMI_SMALL_STEP_BYTES - 1) / MMI_SMALL_STEP_BYTES);
}

/* Would `units` more leave the reserve free, were `used` in use? */
static inline bool mmi_arena_room(const struct mmi_arena *arena, uint64_t used, uint64_t units,
                                  uint64_t reserve_bytes) {
    return used <= arena->capacity &&
           units + mmi_arena_units(arena, reserve_bytes) <= arena->capacity - used;
}

#endif
