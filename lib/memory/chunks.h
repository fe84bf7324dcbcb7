/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_MEMORY_CHUNKS_H
#define MMI_MEMORY_CHUNKS_H

/* The stock of chunk numbers of a CHUNKED arena: which are free, in the order in which they are
 * handed out (last in, first out: what was just unmapped is mapped next). Inside memory/ only. */

#include <base/alloc.h>
#include <base/list.h>

enum mmi_chunk_state {
    MMI_CHUNK_FREE,
    MMI_CHUNK_LARGE,  /* in a run */
    MMI_CHUNK_SHARED, /* holds small blocks */
    MMI_CHUNK_RETIRED /* beyond the capacity */
};

/* The chunks of one large block; mmi_block.chunks is `numbers`. */
struct mmi_run {
    struct mmi_list node; /* in mmi_arena.runs */
    uint32_t count;
    uint32_t numbers[];
};

/* Invariant: free[0 .. free_count) are exactly the numbers whose state is FREE. */
struct mmi_chunks {
    const mm_allocator *alloc;
    uint8_t *state; /* [bound] of mmi_chunk_state */
    uint32_t *free; /* a stack with room for every number, so that a push cannot fail */
    size_t state_capacity, free_capacity;
    uint32_t free_count;
    uint32_t bound;
};

void mmi_chunks_init(struct mmi_chunks *chunks, const mm_allocator *alloc);
void mmi_chunks_fini(struct mmi_chunks *chunks);

/* `count` more free numbers: retired ones, lowest first, then new ones. false = out of memory or
 * numbers, unchanged. */
bool mmi_chunks_add(struct mmi_chunks *chunks, uint64_t count);
/* Retire `count` <= free_count free numbers, highest first. */
void mmi_chunks_retire(struct mmi_chunks *chunks, uint32_t count);

/* Take `count` <= free_count numbers for `state`. */
void mmi_chunks_pop(struct mmi_chunks *chunks, uint32_t *numbers, uint32_t count,
                    enum mmi_chunk_state state);
/* Give numbers back; the first `retire` of them are retired instead. */
void mmi_chunks_push(struct mmi_chunks *chunks, const uint32_t *numbers, uint32_t count,
                     uint32_t retire);

/* The numbers lie in the run itself and are not set. NULL = out of memory. */
struct mmi_run *mmi_run_new(const mm_allocator *alloc, uint32_t count);
void mmi_run_free(const mm_allocator *alloc, struct mmi_run *run);

#endif
