/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_MEMORY_NAIVE_H
#define TESTS_MEMORY_NAIVE_H

/* A chunked arena as a plain map: who owns which cell of which chunk. It does not choose places; it
 * follows those that the arena chose, checks each of them, and knows what must be refused. Every
 * call asserts. */

#include <memory/arena.h>
#include <support/world.h>

#define NAIVE_CHUNKS 24
#define NAIVE_CELLS 8192
#define NAIVE_BLOCKS 512

struct naive {
    struct mmi_arena *arena;
    uint64_t capacity, used; /* chunks */
    /* Sizes that are asked for, rounded up to 256 bytes, must be a multiple of this. */
    uint64_t cell_bytes;
    uint32_t cells;                            /* in a chunk */
    uint16_t owner[NAIVE_CHUNKS][NAIVE_CELLS]; /* 1 + block; 0 = nobody */
    bool retired[NAIVE_CHUNKS];
    uint32_t bound;
    struct mmi_block blocks[NAIVE_BLOCKS];
    uint32_t count;
    bool gone[NAIVE_BLOCKS]; /* blocks that a trial released */
};

/* The arena stays the caller's. */
void naive_init(struct naive *naive, struct mmi_arena *arena, uint64_t cell_bytes);
enum mmi_take naive_take(struct naive *naive, uint64_t bytes);
void naive_give(struct naive *naive, uint32_t block); /* the last block takes its place */
bool naive_set_capacity(struct naive *naive, uint64_t chunks);

/* What mmi_arena_fits must say after the `gone` blocks were given back. */
bool naive_fits(const struct naive *naive, uint64_t bytes, uint64_t reserve_bytes);
uint64_t naive_used(const struct naive *naive); /* chunks, without the `gone` blocks */
/* validate, and every number that the arena shows. */
void naive_check(const struct naive *naive);

#endif
