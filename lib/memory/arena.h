/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_MEMORY_ARENA_H
#define MMI_MEMORY_ARENA_H

/* Bookkeeping of one device's memory: who holds what, what is free, and what a set of victims would
 * free. Numbers only; no byte of the memory is touched and no driver is called.
 *
 * Two kinds of arena, one interface:
 *   PAGED    the kernel maps pages for us (host): the arena is a counter of 4 KiB pages.
 *   CHUNKED  the page table is ours (CUDA, sim): 2 MiB chunks, handed out by number, recycled for
 *            ever. A block of 2 MiB or more is a list of whole chunks, in any order: a request is
 *            refused if and only if its rounded size exceeds the free chunks. A smaller block (one
 *            that is below 2 MiB when rounded up to 256 bytes) lies inside one shared chunk, in the
 *            smallest hole that holds it; a shared chunk counts as used until its last block
 *            leaves, and its holes serve only small blocks.
 *
 * Why not a contiguous allocator: best fit on 80 GiB with models of 20 to 2000 MB fails at 84 %
 * fill although enough bytes are free; with chunks the fill is above 99 % (bench/memory).
 *
 * Thread safety: none; the caller serialises (the residency lock). Metadata is reserved before
 * state changes: a failed call changes nothing. give and trials never fail and never allocate. The
 * same calls in the same order always give the same chunks and offsets. */

#include <base/alloc.h>

#define MMI_CHUNK_BYTES (UINT64_C(2) << 20)
#define MMI_PAGE_BYTES UINT64_C(4096)
#define MMI_SMALL_STEP_BYTES UINT64_C(256) /* sizes and offsets of small blocks are multiples */

enum mmi_arena_kind { MMI_ARENA_PAGED, MMI_ARENA_CHUNKED };

/* What one holder has. Zeroed = nothing. */
struct mmi_block {
    uint64_t bytes;         /* as asked; 0 = no block */
    uint64_t charged_bytes; /* rounded: pages or chunks; for a small block its own rounded size */
    uint32_t *chunks;       /* CHUNKED, large: [chunk_count]; owned by the arena until given back */
    uint32_t chunk_count;
    uint32_t chunk;        /* CHUNKED, small: the shared chunk ... */
    uint64_t offset;       /* ... and where in it; a multiple of 256 */
    struct mmi_span *span; /* ... and the arena's own record of it */
    bool small;
};

struct mmi_arena;

/* capacity_bytes is rounded down to pages or chunks. `alloc` must outlive the arena. NULL = out of
 * memory, or more than 2^32 - 1 chunks. */
struct mmi_arena *mmi_arena_new(const mm_allocator *alloc, enum mmi_arena_kind kind,
                                uint64_t capacity_bytes);
/* NULL is fine. Blocks may still be out; they die with the arena and are not given back later. */
void mmi_arena_free(struct mmi_arena *arena);

enum mmi_arena_kind mmi_arena_kind_of(const struct mmi_arena *arena);
uint64_t mmi_arena_capacity(const struct mmi_arena *arena);
uint64_t mmi_arena_used(const struct mmi_arena *arena); /* pages or whole chunks in use, in bytes */
uint64_t mmi_arena_free_bytes(const struct mmi_arena *arena); /* capacity - used, never below 0 */
/* What a block of `bytes` charges at most: rounded pages or chunks; UINT64_MAX on overflow. */
uint64_t mmi_arena_rounded(const struct mmi_arena *arena, uint64_t bytes);

/* Move the limit. Below what is used is allowed: nothing fits until enough was given back, holes of
 * shared chunks included. Shrinking a CHUNKED arena retires free chunk numbers, the highest first,
 * and where those do not suffice the next ones that are given back. Growing brings retired numbers
 * back, the lowest first, then adds new ones at the end. Shrinking cannot fail. false = out of
 * memory or too many chunks, unchanged. */
bool mmi_arena_set_capacity(struct mmi_arena *arena, uint64_t capacity_bytes);

/* CHUNKED: for whoever keeps something physical behind each number. Every number is below the
 * bound, which never shrinks; a retired number is in no block and will be in none until the arena
 * grows. */
uint32_t mmi_arena_chunk_bound(const struct mmi_arena *arena);
bool mmi_arena_chunk_retired(const struct mmi_arena *arena, uint32_t chunk);

enum mmi_take { MMI_TAKE_OK, MMI_TAKE_NO_ROOM, MMI_TAKE_NO_MEMORY };
/* Fills *block on OK. bytes >= 1. */
enum mmi_take mmi_arena_take(struct mmi_arena *arena, uint64_t bytes, struct mmi_block *block);
/* Cannot fail, never allocates; *block is zeroed. A zeroed block does nothing. */
void mmi_arena_give(struct mmi_arena *arena, struct mmi_block *block);

/* Would `bytes` be granted now, with `reserve_bytes` left free besides, in whole pages or chunks?
 * The reserve binds also a small block that needs no chunk of its own. bytes 0: is the reserve
 * free? O(1) */
bool mmi_arena_fits(const struct mmi_arena *arena, uint64_t bytes, uint64_t reserve_bytes);

/* A trial answers "and if these left?" exactly: as mmi_arena_fits would after their give. Between
 * begin and end the arena does not change. One trial at a time per arena. begin, end: O(1).
 * Releasing and keeping a block: O(1). */
void mmi_trial_begin(struct mmi_arena *arena);
/* A block is released once; a zeroed block does nothing. */
void mmi_trial_release(struct mmi_arena *arena, const struct mmi_block *block);
/* Undo the release of a block in this trial (to drop a victim that proved unnecessary). */
void mmi_trial_keep(struct mmi_arena *arena, const struct mmi_block *block);
/* The same of a block that is not small, by its charged_bytes alone. */
void mmi_trial_release_bytes(struct mmi_arena *arena, uint64_t charged_bytes);
void mmi_trial_keep_bytes(struct mmi_arena *arena, uint64_t charged_bytes);
/* O(1) for PAGED and large. Small: O(released blocks), and O(blocks in it) for each chunk in which
 * one was released or kept since the last such call. */
bool mmi_trial_fits(const struct mmi_arena *arena, uint64_t bytes, uint64_t reserve_bytes);
uint64_t mmi_trial_free_bytes(const struct mmi_arena *arena); /* whole pages or chunks */
void mmi_trial_end(struct mmi_arena *arena);

/* Every invariant, by walking everything; for tests and debug builds. NULL = sound, else what
 * broke. */
const char *mmi_arena_validate(const struct mmi_arena *arena);

#endif
