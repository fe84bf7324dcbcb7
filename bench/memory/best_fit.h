/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_MEMORY_BEST_FIT_H
#define BENCH_MEMORY_BEST_FIT_H

/* What the arena is not: one range, a block is one piece of it, in the smallest gap that holds it.
 * For comparison. */

#include <stdbool.h>
#include <stdint.h>

#define BEST_FIT_BLOCKS 8192

struct best_fit {
    uint64_t capacity_bytes;
    uint32_t count;
    struct {
        uint64_t offset, bytes;
    } blocks[BEST_FIT_BLOCKS]; /* by offset */
};

bool best_fit_take(struct best_fit *range, uint64_t bytes, uint64_t *offset);
void best_fit_give(struct best_fit *range, uint64_t offset);

#endif
