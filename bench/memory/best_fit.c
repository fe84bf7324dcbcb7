/* SPDX-License-Identifier: Apache-2.0 */
#include "best_fit.h"

#include <string.h>

bool best_fit_take(struct best_fit *range, uint64_t bytes, uint64_t *offset) {
    uint64_t best_gap = UINT64_MAX;
    uint32_t best = 0;
    uint64_t from = 0;
    for (uint32_t i = 0; i <= range->count; i++) {
        uint64_t to = i < range->count ? range->blocks[i].offset : range->capacity_bytes;
        if (to - from >= bytes && to - from < best_gap) {
            best_gap = to - from;
            best = i;
            *offset = from;
        }
        if (i < range->count) {
            from = to + range->blocks[i].bytes;
        }
    }
    if (best_gap == UINT64_MAX || range->count == BEST_FIT_BLOCKS) {
        return false;
    }
    memmove(&range->blocks[best + 1], &range->blocks[best],
            (range->count - best) * sizeof range->blocks[0]);
    range->blocks[best].offset = *offset;
    range->blocks[best].bytes = bytes;
    range->count++;
    return true;
}

void best_fit_give(struct best_fit *range, uint64_t offset) {
    uint32_t i = 0;
    while (range->blocks[i].offset != offset) {
        i++;
    }
    range->count--;
    memmove(&range->blocks[i], &range->blocks[i + 1], (range->count - i) * sizeof range->blocks[0]);
}
