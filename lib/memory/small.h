/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_MEMORY_SMALL_H
#define MMI_MEMORY_SMALL_H

/* Small blocks inside shared chunks. Lengths are in units of 256 bytes, 8192 to a chunk. Inside
 * memory/ only.
 *
 * A shared chunk is cut into spans, blocks and holes, which cover it without gap; two holes are
 * never neighbours. Every hole is also in the bin of its exact length, so the smallest hole that
 * holds a block is the first of the first filled bin at or above its length. */

#include <memory/chunks.h>

#define MMI_SMALL_UNITS 8192u /* MMI_CHUNK_BYTES / MMI_SMALL_STEP_BYTES */

struct mmi_shared {
    struct mmi_list node;  /* in mmi_small.shared */
    struct mmi_list spans; /* by offset */
    uint32_t chunk;
    uint32_t live; /* blocks in it; never 0 between calls */
    /* Valid where trial is the running trial's number. */
    uint64_t trial;
    struct mmi_shared *trial_next; /* in mmi_arena.trial_shared */
    uint32_t trial_live;           /* blocks that stay; 0 = the chunk becomes free */
    uint32_t trial_gap;            /* longest run of holes and released blocks */
};

struct mmi_span {
    struct mmi_list order;            /* in its chunk */
    struct mmi_span *previous, *next; /* a hole: in its bin */
    struct mmi_shared *home;
    uint32_t offset, units;
    bool hole;
    uint64_t trial; /* the trial that released this block */
};

struct mmi_small {
    const mm_allocator *alloc;
    struct mmi_list shared;
    uint64_t filled[MMI_SMALL_UNITS / 64]; /* bit n: bins[n] is not empty */
    struct mmi_span *bins[MMI_SMALL_UNITS];
};

struct mmi_small *mmi_small_new(const mm_allocator *alloc); /* NULL = out of memory */
void mmi_small_free(struct mmi_small *small); /* blocks may still be out; NULL is fine */

/* The shortest length >= `units` that holes exist of, MMI_SMALL_UNITS when there is none. */
uint32_t mmi_small_next_bin(const struct mmi_small *small, uint32_t units);

/* A block of 1 .. MMI_SMALL_UNITS - 1 units. Without a hole for it, a free chunk is opened, which
 * must exist; *opened says so. NULL = out of memory, unchanged. */
struct mmi_span *mmi_small_take(struct mmi_small *small, struct mmi_chunks *chunks, uint32_t units,
                                bool *opened);
/* true: that was the last block in its chunk, and the caller gives *chunk back to the stock. */
bool mmi_small_give(struct mmi_small *small, struct mmi_span *span, uint32_t *chunk);

#endif
