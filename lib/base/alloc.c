/* SPDX-License-Identifier: Apache-2.0 */
#include <base/alloc.h>
#include <base/checked.h>

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define PAGE_BYTES 4096u
/* malloc keeps what it once had: after a preparation tens of MiB in each thread's arena. */
#define LARGE_BYTES (1u << 20)

/* Of what is mapped for an alignment beyond pages, the ends go back. */
static void *map(size_t bytes, size_t align) {
    uint64_t used, total, spare = align > PAGE_BYTES ? align : 0;
    if (!mmi_round_up(bytes, PAGE_BYTES, &used) || !mmi_add(used, spare, &total)) {
        return NULL;
    }
    char *memory = mmap(NULL, total, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        return NULL;
    }
    uint64_t before = spare ? -(uintptr_t)memory & (align - 1) : 0;
    if (before > 0) {
        munmap(memory, before);
    }
    if (spare > before) {
        munmap(memory + before + used, spare - before);
    }
    return memory + before;
}

static void *malloc_alloc(void *user, size_t bytes, size_t align) {
    (void)user;
    uint64_t rounded;
    if (bytes >= LARGE_BYTES) {
        return map(bytes, align);
    }
    if (align <= _Alignof(max_align_t)) {
        return malloc(bytes);
    }
    /* C11 wants a multiple of the alignment. */
    return mmi_round_up(bytes, align, &rounded) ? aligned_alloc(align, rounded) : NULL;
}

static void malloc_free(void *user, void *memory, size_t bytes) {
    (void)user;
    if (bytes >= LARGE_BYTES) {
        munmap(memory, bytes);
    } else {
        free(memory);
    }
}

const mm_allocator mmi_malloc_allocator = {.alloc = malloc_alloc, .free = malloc_free};

void *mmi_alloc_aligned(const mm_allocator *a, size_t bytes, size_t align) {
    void *memory = a->alloc(a->user, bytes, align);
    if (memory) {
        memset(memory, 0, bytes);
    }
    return memory;
}

void *mmi_alloc(const mm_allocator *a, size_t count, size_t bytes) {
    uint64_t total;
    return mmi_mul(count, bytes, &total) ? mmi_alloc_aligned(a, total, _Alignof(max_align_t))
                                         : NULL;
}

void mmi_free(const mm_allocator *a, void *memory, size_t bytes) {
    if (memory) {
        a->free(a->user, memory, bytes);
    }
}

char *mmi_copy_text(const mm_allocator *a, const char *text) {
    size_t bytes = strlen(text) + 1;
    char *copy = a->alloc(a->user, bytes, 1);
    if (copy) {
        memcpy(copy, text, bytes);
    }
    return copy;
}

void mmi_free_text(const mm_allocator *a, char *text) {
    if (text) {
        a->free(a->user, text, strlen(text) + 1);
    }
}

bool mmi_grow(const mm_allocator *a, void **items, size_t *capacity, size_t need,
              size_t item_bytes) {
    if (need <= *capacity) {
        return true;
    }
    /* If doubling overflows, mmi_alloc refuses. */
    size_t grown = mmi_max_u64(mmi_max_u64(need, 8), *capacity <= SIZE_MAX / 2 ? *capacity * 2 : 0);
    void *moved = mmi_alloc(a, grown, item_bytes);
    if (!moved) {
        return false;
    }
    if (*items) {
        memcpy(moved, *items, *capacity * item_bytes);
        mmi_free(a, *items, *capacity * item_bytes);
    }
    *items = moved;
    *capacity = grown;
    return true;
}
