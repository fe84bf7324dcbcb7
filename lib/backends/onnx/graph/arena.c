/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/graph/arena.h>
#include <base/alloc.h>
#include <base/checked.h>

#include <string.h>

#define FIRST_BYTES 4096
#define FIRST_ITEMS 64
#define MAX_ITEMS (UINT32_MAX / 4)
#define LARGEST_BYTES (UINT64_C(4) << 20)
#define OWN_BYTES (UINT64_C(1) << 20) /* more than this gets a block of its own */
#define DATA_ALIGN 64

struct onnx_block {
    struct onnx_block *older;
    uint64_t bytes; /* with these first DATA_ALIGN */
};
_Static_assert(sizeof(struct onnx_block) <= DATA_ALIGN, "a block begins with its head");

void mmi_onnx_arena_init(struct onnx_arena *arena, const mm_allocator *allocator) {
    *arena = (struct onnx_arena){.allocator = allocator};
}

void mmi_onnx_arena_free(struct onnx_arena *arena) {
    while (arena->blocks) {
        struct onnx_block *block = arena->blocks;
        arena->blocks = block->older;
        arena->allocator->free(arena->allocator->user, block, block->bytes);
    }
    arena->used = arena->room = arena->total_bytes = 0;
}

/* Its memory begins at DATA_ALIGN. NULL: out of memory. */
static struct onnx_block *new_block(struct onnx_arena *arena, uint64_t bytes) {
    struct onnx_block *block = arena->allocator->alloc(arena->allocator->user, bytes, DATA_ALIGN);
    if (block) {
        block->bytes = bytes;
        arena->total_bytes += bytes;
    }
    return block;
}

/* In a block of just its size, behind the newest, whose rest stays in use. */
static void *take_large(struct onnx_arena *arena, uint64_t bytes) {
    struct onnx_block *block = new_block(arena, bytes);
    if (!block) {
        return NULL;
    }
    block->older = arena->blocks->older;
    arena->blocks->older = block;
    return (uint8_t *)block + DATA_ALIGN;
}

static void *take_new(struct onnx_arena *arena, uint64_t bytes) {
    uint64_t usual = arena->blocks ? arena->blocks->bytes * 2 : FIRST_BYTES;
    usual = mmi_min_u64(usual, LARGEST_BYTES);
    uint64_t need;
    if (!mmi_add(bytes, DATA_ALIGN, &need)) {
        return NULL;
    }
    if (arena->blocks && need > OWN_BYTES) {
        return take_large(arena, need);
    }
    struct onnx_block *block = new_block(arena, mmi_max_u64(need, usual));
    if (!block) {
        return NULL;
    }
    block->older = arena->blocks;
    arena->blocks = block;
    arena->used = need;
    arena->room = block->bytes;
    return (uint8_t *)block + DATA_ALIGN;
}

static void *take(struct onnx_arena *arena, uint64_t bytes, uint64_t align) {
    uint64_t at, end;
    bool fits = arena->blocks && mmi_round_up(arena->used, align, &at) &&
                mmi_add(at, bytes, &end) && end <= arena->room;
    if (!fits) {
        return take_new(arena, bytes);
    }
    arena->used = end;
    return (uint8_t *)arena->blocks + at;
}

void *mmi_onnx_take(struct onnx_arena *arena, uint64_t count, uint64_t bytes) {
    uint64_t all;
    void *memory = mmi_mul(count, bytes, &all) ? take(arena, all, 16) : NULL;
    return memory ? memset(memory, 0, all) : NULL;
}

void *mmi_onnx_take_data(struct onnx_arena *arena, uint64_t bytes) {
    return take(arena, bytes, DATA_ALIGN);
}

bool mmi_onnx_grow(struct onnx_arena *arena, void **items, uint32_t *capacity, uint32_t count,
                   uint64_t item_bytes) {
    if (count < *capacity) {
        return true;
    }
    uint32_t more = *capacity ? *capacity * 2 : FIRST_ITEMS;
    void *memory = more < MAX_ITEMS ? mmi_onnx_take(arena, more, item_bytes) : NULL;
    if (!memory) {
        return false;
    }
    if (count > 0) {
        memcpy(memory, *items, count * item_bytes);
    }
    *items = memory;
    *capacity = more;
    return true;
}

char *mmi_onnx_take_text(struct onnx_arena *arena, const void *text, uint64_t bytes) {
    uint64_t all;
    char *copy = mmi_add(bytes, 1, &all) ? take(arena, all, 1) : NULL;
    if (copy) {
        if (bytes > 0) {
            memcpy(copy, text, bytes);
        }
        copy[bytes] = '\0';
    }
    return copy;
}
