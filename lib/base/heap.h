/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BASE_HEAP_H
#define MMI_BASE_HEAP_H

/* Binary min-heap of timers keyed by time; nodes are intrusive, the array of pointers grows. Adding
 * may fail for memory; reserve first where it must not. Not thread-safe. */

#include <base/alloc.h>

struct mmi_heap_node {
    uint64_t key;
    size_t place; /* 1 + index in the array; 0 = in no heap */
};

struct mmi_heap {
    const mm_allocator *alloc;
    struct mmi_heap_node **nodes;
    size_t count, capacity;
};

void mmi_heap_init(struct mmi_heap *heap, const mm_allocator *alloc);
void mmi_heap_fini(struct mmi_heap *heap); /* nodes are not touched */
/* Room for `extra` more nodes than there are now. false = out of memory. */
bool mmi_heap_reserve(struct mmi_heap *heap, size_t extra);
/* node->key is set by the caller. false = out of memory (never after a sufficient reserve). */
bool mmi_heap_add(struct mmi_heap *heap, struct mmi_heap_node *node);
void mmi_heap_remove(struct mmi_heap *heap, struct mmi_heap_node *node); /* no-op when not in it */
/* Smallest key, not removed; NULL when empty. */
struct mmi_heap_node *mmi_heap_top(const struct mmi_heap *heap);

#endif
