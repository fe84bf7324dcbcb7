/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_MEMORY_NAIVE_MAP_H
#define BENCH_MEMORY_NAIVE_MAP_H

/* Small blocks as one bit for every 256 bytes of memory: the judge of where they may lie and when
 * one must be refused. */

#include <memory/arena.h>

struct naive_map {
    uint32_t chunks, used;
    uint64_t (*bits)[MMI_CHUNK_BYTES / MMI_SMALL_STEP_BYTES / 64]; /* [chunks] */
    uint32_t *taken;                                               /* [chunks] bits that are set */
    uint32_t *gap; /* [chunks] longest run of clear bits; 0 in a chunk without blocks */
};

bool naive_map_init(struct naive_map *map, uint32_t chunks);
void naive_map_fini(struct naive_map *map);
bool naive_map_fits(const struct naive_map *map, uint64_t bytes);
/* Marks or clears where a block lies; false when some of it already is so. */
bool naive_map_take(struct naive_map *map, const struct mmi_block *block);
bool naive_map_give(struct naive_map *map, const struct mmi_block *block);

#endif
