/* SPDX-License-Identifier: Apache-2.0 */
/* Free lists by size class, four classes for each power of two. Each is some slots for each shard
 * of threads; a slot holds a buffer or nothing, and nothing is ever read through a slot.
 *
 * `count` is what exists, lent or not: it changes only where the host's allocator is called, so a
 * hit touches nothing that all threads share. The end of the mesh closes every slot; who gives a
 * buffer back then finds no place for it, and the last one frees the lists. */
#include <api/buffers.h>

#include <base/checked.h>
#include <base/thread.h>

#include <stdatomic.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(SANITIZED)
#include <sanitizer/asan_interface.h>
#define FORBID(memory, bytes) ASAN_POISON_MEMORY_REGION(memory, bytes)
#define ALLOW(memory, bytes) ASAN_UNPOISON_MEMORY_REGION(memory, bytes)
#else
#define FORBID(memory, bytes) ((void)(memory), (void)(bytes))
#define ALLOW(memory, bytes) ((void)(memory), (void)(bytes))
#endif

#define SHARDS 8u
#define DEPTH 4u
#define LEAST_BITS 8u /* class 0: 256 bytes */
#define MOST_BITS 24u /* the last class: 16 MiB */
#define CLASSES (4 * (MOST_BITS - LEAST_BITS) + 1)

typedef _Atomic(struct mmi_buffer *) slot;

struct mmi_buffers {
    mm_allocator host;
    _Atomic uint64_t count; /* buffers that exist, and 1 for the mesh */
    _Atomic uint64_t bytes; /* of those buffers */
    _Alignas(64) slot slots[SHARDS][CLASSES][DEPTH];
};

static struct mmi_buffer closed; /* in every slot after the end; never touched */

static uint32_t class_of(uint64_t bytes) {
    if (bytes <= UINT64_C(1) << LEAST_BITS) {
        return 0;
    }
    unsigned bits = 63u - (unsigned)__builtin_clzll(bytes - 1);
    return 4 * (bits - LEAST_BITS) + (uint32_t)((bytes - 1) >> (bits - 2) & 3) + 1;
}

static uint64_t class_bytes(uint32_t size_class) {
    if (size_class == 0) {
        return UINT64_C(1) << LEAST_BITS;
    }
    unsigned bits = LEAST_BITS + (size_class - 1) / 4;
    return (uint64_t)(5 + (size_class - 1) % 4) << (bits - 2);
}

/* ---- Buffers that come and go ---------------------------------------------------------------- */

static void drop(struct mmi_buffers *buffers) {
    if (atomic_fetch_sub(&buffers->count, 1) == 1) {
        mm_allocator host = buffers->host;
        mmi_free(&host, buffers, sizeof(*buffers));
    }
}

static void destroy(struct mmi_buffer *buffer) {
    struct mmi_buffers *home = buffer->home;
    mm_allocator host = buffer->host;
    size_t bytes = buffer->bytes;
    ALLOW(buffer->memory, bytes - sizeof(*buffer));
    mmi_free(&host, buffer, bytes);
    if (home) {
        atomic_fetch_sub(&home->bytes, bytes);
        drop(home);
    }
}

static struct mmi_buffer *create(struct mmi_buffers *buffers, uint64_t bytes) {
    const mm_allocator *host = &buffers->host;
    struct mmi_buffer *buffer = host->alloc(host->user, (size_t)bytes, _Alignof(struct mmi_buffer));
    if (buffer) {
        buffer->home = NULL;
        buffer->host = *host;
        buffer->bytes = (size_t)bytes;
    }
    return buffer;
}

static struct mmi_buffer *take_from(slot *from) {
    return atomic_load_explicit(from, memory_order_relaxed)
               ? atomic_exchange_explicit(from, NULL, memory_order_acq_rel)
               : NULL;
}

static bool charge(struct mmi_buffers *buffers, uint64_t bytes) {
    uint64_t before = atomic_fetch_add(&buffers->bytes, bytes);
    if (before + bytes <= MMI_BUFFERS_LIMIT_BYTES) {
        return true;
    }
    atomic_fetch_sub(&buffers->bytes, bytes);
    return false;
}

/* Room below the limit, at the cost of those that lie idle. */
static bool make_room(struct mmi_buffers *buffers, uint64_t bytes) {
    bool charged = charge(buffers, bytes);
    slot *slots = &buffers->slots[0][0][0];
    for (size_t i = 0; i < (size_t)SHARDS * CLASSES * DEPTH && !charged; i++) {
        struct mmi_buffer *idle = take_from(&slots[i]);
        if (idle) {
            destroy(idle);
            charged = charge(buffers, bytes);
        }
    }
    return charged;
}

static struct mmi_buffer *create_kept(struct mmi_buffers *buffers, uint32_t size_class) {
    uint64_t bytes = class_bytes(size_class);
    bool kept = make_room(buffers, bytes);
    struct mmi_buffer *buffer = create(buffers, bytes);
    if (buffer && kept) {
        buffer->home = buffers;
        buffer->size_class = size_class;
        atomic_fetch_add(&buffers->count, 1);
    } else if (kept) {
        atomic_fetch_sub(&buffers->bytes, bytes);
    }
    return buffer;
}

/* ---- Take and give --------------------------------------------------------------------------- */

static struct mmi_buffer *take_idle(struct mmi_buffers *buffers, uint32_t size_class) {
    unsigned shard = mmi_thread_shard(SHARDS);
    for (unsigned i = 0; i < SHARDS; i++) {
        slot *slots = buffers->slots[(shard + i) % SHARDS][size_class];
        for (unsigned k = 0; k < DEPTH; k++) {
            struct mmi_buffer *buffer = take_from(&slots[k]);
            if (buffer) {
                return buffer;
            }
        }
    }
    return NULL;
}

struct mmi_buffer *mmi_buffer_take(struct mmi_buffers *buffers, uint64_t bytes) {
    uint64_t all;
    if (!mmi_add(bytes, sizeof(struct mmi_buffer), &all) || all > SIZE_MAX) {
        return NULL;
    }
    if (all > UINT64_C(1) << MOST_BITS) {
        return create(buffers, all);
    }
    uint32_t size_class = class_of(all);
    struct mmi_buffer *buffer = take_idle(buffers, size_class);
    if (!buffer) {
        buffer = create_kept(buffers, size_class);
    }
    if (buffer) { /* so that a sanitizer sees who writes past what was asked for */
        FORBID(buffer->memory, buffer->bytes - sizeof(*buffer));
        ALLOW(buffer->memory, bytes);
    }
    return buffer;
}

/* After this the buffer, and then the lists, may be gone. */
static bool put(struct mmi_buffers *buffers, struct mmi_buffer *buffer) {
    unsigned shard = mmi_thread_shard(SHARDS);
    for (unsigned i = 0; i < SHARDS; i++) {
        slot *slots = buffers->slots[(shard + i) % SHARDS][buffer->size_class];
        for (unsigned k = 0; k < DEPTH; k++) {
            struct mmi_buffer *there = atomic_load_explicit(&slots[k], memory_order_relaxed);
            if (!there && atomic_compare_exchange_strong_explicit(&slots[k], &there, buffer,
                                                                  memory_order_acq_rel,
                                                                  memory_order_relaxed)) {
                return true;
            }
            if (there == &closed) {
                return false;
            }
        }
    }
    return false;
}

void mmi_buffer_give(struct mmi_buffer *buffer) {
    FORBID(buffer->memory, buffer->bytes - sizeof(*buffer));
    if (!buffer->home || !put(buffer->home, buffer)) {
        destroy(buffer);
    }
}

/* ---- The lists ------------------------------------------------------------------------------- */

struct mmi_buffers *mmi_buffers_new(const mm_allocator *host) {
    struct mmi_buffers *buffers =
        mmi_alloc_aligned(host, sizeof(*buffers), _Alignof(struct mmi_buffers));
    if (buffers) {
        buffers->host = *host;
        atomic_init(&buffers->count, 1);
    }
    return buffers;
}

void mmi_buffers_close(struct mmi_buffers *buffers) {
    if (!buffers) {
        return;
    }
    slot *slots = &buffers->slots[0][0][0];
    for (size_t i = 0; i < (size_t)SHARDS * CLASSES * DEPTH; i++) {
        struct mmi_buffer *idle = atomic_exchange(&slots[i], &closed);
        if (idle) {
            destroy(idle);
        }
    }
    drop(buffers);
}

uint64_t mmi_buffers_bytes(const struct mmi_buffers *buffers) {
    uint64_t bytes = sizeof(*buffers);
    for (size_t i = 0; i < SHARDS; i++) {
        for (uint32_t c = 0; c < CLASSES; c++) {
            for (size_t k = 0; k < DEPTH; k++) {
                bool idle = atomic_load_explicit(&buffers->slots[i][c][k], memory_order_relaxed);
                bytes += idle ? class_bytes(c) : 0;
            }
        }
    }
    return bytes;
}
