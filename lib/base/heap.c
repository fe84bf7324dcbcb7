/* SPDX-License-Identifier: Apache-2.0 */
#include <base/heap.h>

void mmi_heap_init(struct mmi_heap *heap, const mm_allocator *alloc) {
    *heap = (struct mmi_heap){.alloc = alloc};
}

void mmi_heap_fini(struct mmi_heap *heap) {
    mmi_free(heap->alloc, heap->nodes, heap->capacity * sizeof(struct mmi_heap_node *));
    mmi_heap_init(heap, heap->alloc);
}

bool mmi_heap_reserve(struct mmi_heap *heap, size_t extra) {
    void *nodes = heap->nodes;
    if (extra > SIZE_MAX - heap->count ||
        !mmi_grow(heap->alloc, &nodes, &heap->capacity, heap->count + extra,
                  sizeof(struct mmi_heap_node *))) {
        return false;
    }
    heap->nodes = nodes;
    return true;
}

static void put(struct mmi_heap *heap, size_t place, struct mmi_heap_node *node) {
    heap->nodes[place - 1] = node;
    node->place = place;
}

/* Places count from 1: the parent of p is p / 2, its children are 2p and 2p + 1. */
static void sift_up(struct mmi_heap *heap, size_t place, struct mmi_heap_node *node) {
    while (place > 1 && heap->nodes[place / 2 - 1]->key > node->key) {
        put(heap, place, heap->nodes[place / 2 - 1]);
        place /= 2;
    }
    put(heap, place, node);
}

static void sift_down(struct mmi_heap *heap, size_t place, struct mmi_heap_node *node) {
    for (size_t child = 2 * place; child <= heap->count; child = 2 * place) {
        if (child < heap->count && heap->nodes[child]->key < heap->nodes[child - 1]->key) {
            child++;
        }
        if (heap->nodes[child - 1]->key >= node->key) {
            break;
        }
        put(heap, place, heap->nodes[child - 1]);
        place = child;
    }
    put(heap, place, node);
}

bool mmi_heap_add(struct mmi_heap *heap, struct mmi_heap_node *node) {
    if (!mmi_heap_reserve(heap, 1)) {
        return false;
    }
    heap->count++;
    sift_up(heap, heap->count, node);
    return true;
}

void mmi_heap_remove(struct mmi_heap *heap, struct mmi_heap_node *node) {
    size_t place = node->place;
    if (place == 0) {
        return;
    }
    node->place = 0;
    struct mmi_heap_node *last = heap->nodes[--heap->count];
    if (last == node) {
        return;
    }
    /* The last node takes the hole; it may belong above or below. */
    if (place > 1 && heap->nodes[place / 2 - 1]->key > last->key) {
        sift_up(heap, place, last);
    } else {
        sift_down(heap, place, last);
    }
}

struct mmi_heap_node *mmi_heap_top(const struct mmi_heap *heap) {
    return heap->count > 0 ? heap->nodes[0] : NULL;
}
