/* SPDX-License-Identifier: Apache-2.0 */
#include "naive_map.h"

#include <stdlib.h>

#define BITS ((uint32_t)(MMI_CHUNK_BYTES / MMI_SMALL_STEP_BYTES))

bool naive_map_init(struct naive_map *map, uint32_t chunks) {
    *map = (struct naive_map){.chunks = chunks};
    map->bits = calloc(chunks, sizeof *map->bits);
    map->taken = calloc(chunks, sizeof *map->taken);
    map->gap = calloc(chunks, sizeof *map->gap);
    return map->bits && map->taken && map->gap;
}

void naive_map_fini(struct naive_map *map) {
    free(map->bits);
    free(map->taken);
    free(map->gap);
}

static uint32_t bits_of(uint64_t bytes) {
    return (uint32_t)((bytes + MMI_SMALL_STEP_BYTES - 1) / MMI_SMALL_STEP_BYTES);
}

bool naive_map_fits(const struct naive_map *map, uint64_t bytes) {
    uint32_t need = bits_of(bytes);
    uint32_t chunks_with_gap = 0;
    for (uint32_t chunk = 0; chunk < map->chunks; chunk++) {
        chunks_with_gap += map->gap[chunk] >= need;
    }
    return chunks_with_gap > 0 || map->used < map->chunks;
}

static bool is_set(const struct naive_map *map, uint32_t chunk, uint32_t bit) {
    return map->bits[chunk][bit / 64] >> bit % 64 & 1;
}

static void measure(struct naive_map *map, uint32_t chunk) {
    uint32_t longest = 0;
    uint32_t run = 0;
    for (uint32_t bit = 0; map->taken[chunk] > 0 && bit < BITS; bit++) {
        run = is_set(map, chunk, bit) ? 0 : run + 1;
        longest = run > longest ? run : longest;
    }
    map->gap[chunk] = longest;
}

static bool flip(struct naive_map *map, const struct mmi_block *block, bool set) {
    uint32_t from = (uint32_t)(block->offset / MMI_SMALL_STEP_BYTES);
    uint32_t count = bits_of(block->bytes);
    if (!block->small || block->chunk >= map->chunks || from + count > BITS) {
        return false;
    }
    bool was_used = map->taken[block->chunk] > 0;
    for (uint32_t bit = from; bit < from + count; bit++) {
        if (is_set(map, block->chunk, bit) == set) {
            return false;
        }
        map->bits[block->chunk][bit / 64] ^= UINT64_C(1) << bit % 64;
    }
    map->taken[block->chunk] += set ? count : -count;
    bool is_used = map->taken[block->chunk] > 0;
    map->used += (uint32_t)is_used - (uint32_t)was_used;
    measure(map, block->chunk);
    return true;
}

bool naive_map_take(struct naive_map *map, const struct mmi_block *block) {
    return flip(map, block, true);
}

bool naive_map_give(struct naive_map *map, const struct mmi_block *block) {
    return flip(map, block, false);
}
