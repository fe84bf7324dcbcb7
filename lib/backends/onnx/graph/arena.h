/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_GRAPH_ARENA_H
#define MMI_BACKENDS_ONNX_GRAPH_ARENA_H

/* Memory that is given back all at once: what a graph, or the steps of a signature, are made of. */

#include <modelmesh/backend.h>

struct onnx_block;

struct onnx_arena {
    const mm_allocator *allocator;
    struct onnx_block
        *blocks;          /* newest first; each twice as large as the one before, 4 MiB at most */
    uint64_t used, room;  /* in the newest block */
    uint64_t total_bytes; /* taken from the allocator */
};

void mmi_onnx_arena_init(struct onnx_arena *arena, const mm_allocator *allocator);
void mmi_onnx_arena_free(struct onnx_arena *arena); /* may be repeated; zeroed is fine */
/* Zeroed, count * bytes, aligned to 16. NULL: out of memory, or the product overflows. A count or
 * size of 0 gives a valid pointer. */
void *mmi_onnx_take(struct onnx_arena *arena, uint64_t count, uint64_t bytes);
/* For the data of a tensor: aligned to 64, not zeroed. */
void *mmi_onnx_take_data(struct onnx_arena *arena, uint64_t bytes);
/* A growable array of `count` items: makes room for one more. The old items stay valid where they
 * were, and are copied. false: out of memory, nothing changed. New room is zeroed. */
bool mmi_onnx_grow(struct onnx_arena *arena, void **items, uint32_t *capacity, uint32_t count,
                   uint64_t item_bytes);
/* A copy with a NUL at the end. */
char *mmi_onnx_take_text(struct onnx_arena *arena, const void *text, uint64_t bytes);

#endif
