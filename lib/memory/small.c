/* SPDX-License-Identifier: Apache-2.0 */
#include <memory/arena.h>
#include <memory/small.h>

#include <assert.h>

static_assert(MMI_SMALL_UNITS * MMI_SMALL_STEP_BYTES == MMI_CHUNK_BYTES, "units fill a chunk");

#define SPAN_OF(link) MMI_CONTAINER(link, struct mmi_span, order)

static struct mmi_span *span_new(const mm_allocator *alloc) {
    struct mmi_span *span = mmi_alloc(alloc, 1, sizeof *span);
    if (span) {
        mmi_list_init(&span->order);
    }
    return span;
}

static void span_free(const mm_allocator *alloc, struct mmi_span *span) {
    mmi_free(alloc, span, sizeof *span);
}

static void shared_free(struct mmi_small *small, struct mmi_shared *shared) {
    MMI_LIST_EACH(link, &shared->spans) {
        span_free(small->alloc, SPAN_OF(link));
    }
    mmi_list_remove(&shared->node);
    mmi_free(small->alloc, shared, sizeof *shared);
}

struct mmi_small *mmi_small_new(const mm_allocator *alloc) {
    struct mmi_small *small = mmi_alloc(alloc, 1, sizeof *small);
    if (small) {
        small->alloc = alloc;
        mmi_list_init(&small->shared);
    }
    return small;
}

void mmi_small_free(struct mmi_small *small) {
    if (!small) {
        return;
    }
    MMI_LIST_EACH(link, &small->shared) {
        shared_free(small, MMI_CONTAINER(link, struct mmi_shared, node));
    }
    mmi_free(small->alloc, small, sizeof *small);
}

static void bin_add(struct mmi_small *small, struct mmi_span *hole) {
    struct mmi_span **bin = &small->bins[hole->units];
    hole->previous = NULL;
    hole->next = *bin;
    if (*bin) {
        (*bin)->previous = hole;
    }
    *bin = hole;
    small->filled[hole->units / 64] |= UINT64_C(1) << hole->units % 64;
}

static void bin_remove(struct mmi_small *small, struct mmi_span *hole) {
    struct mmi_span **bin = &small->bins[hole->units];
    if (hole->next) {
        hole->next->previous = hole->previous;
    }
    if (hole->previous) {
        hole->previous->next = hole->next;
    } else {
        *bin = hole->next;
    }
    if (!*bin) {
        small->filled[hole->units / 64] &= ~(UINT64_C(1) << hole->units % 64);
    }
}

uint32_t mmi_small_next_bin(const struct mmi_small *small, uint32_t units) {
    uint64_t word =
        units < MMI_SMALL_UNITS ? small->filled[units / 64] & UINT64_MAX << units % 64 : 0;
    for (uint32_t i = units / 64; i < MMI_SMALL_UNITS / 64;) {
        if (word) {
            return i * 64 + (uint32_t)__builtin_ctzll(word);
        }
        if (++i < MMI_SMALL_UNITS / 64) {
            word = small->filled[i];
        }
    }
    return MMI_SMALL_UNITS;
}

/* A free chunk as one hole that is in no bin. NULL = out of memory. */
static struct mmi_span *open_chunk(struct mmi_small *small, struct mmi_chunks *chunks) {
    struct mmi_shared *shared = mmi_alloc(small->alloc, 1, sizeof *shared);
    struct mmi_span *hole = span_new(small->alloc);
    if (!shared || !hole) {
        mmi_free(small->alloc, shared, sizeof *shared);
        span_free(small->alloc, hole);
        return NULL;
    }
    mmi_chunks_pop(chunks, &shared->chunk, 1, MMI_CHUNK_SHARED);
    mmi_list_init(&shared->spans);
    mmi_list_init(&shared->node);
    mmi_list_push_back(&small->shared, &shared->node);
    mmi_list_push_back(&shared->spans, &hole->order);
    hole->home = shared;
    hole->units = MMI_SMALL_UNITS;
    hole->hole = true;
    return hole;
}

struct mmi_span *mmi_small_take(struct mmi_small *small, struct mmi_chunks *chunks, uint32_t units,
                                bool *opened) {
    assert(units > 0 && units < MMI_SMALL_UNITS);
    uint32_t length = mmi_small_next_bin(small, units);
    *opened = length == MMI_SMALL_UNITS;
    struct mmi_span *rest = NULL;
    if (length > units) {
        rest = span_new(small->alloc);
        if (!rest) {
            return NULL;
        }
    }
    struct mmi_span *span = *opened ? open_chunk(small, chunks) : small->bins[length];
    if (!span) {
        span_free(small->alloc, rest);
        return NULL;
    }
    /* Nothing fails from here on. */
    if (!*opened) {
        bin_remove(small, span);
    }
    if (rest) {
        rest->home = span->home;
        rest->offset = span->offset + units;
        rest->units = length - units;
        rest->hole = true;
        mmi_list_insert(span->order.next, &rest->order);
        bin_add(small, rest);
        span->units = units;
    }
    span->hole = false;
    span->home->live++;
    return span;
}

/* The hole beside `link`'s span on that side of its chunk, or NULL. */
static struct mmi_span *hole_at(const struct mmi_shared *shared, struct mmi_list *link) {
    return link != &shared->spans && SPAN_OF(link)->hole ? SPAN_OF(link) : NULL;
}

/* `right` follows `left`; it is absorbed and freed. Neither is in a bin. */
static void merge(struct mmi_small *small, struct mmi_span *left, struct mmi_span *right) {
    left->units += right->units;
    mmi_list_remove(&right->order);
    span_free(small->alloc, right);
}

bool mmi_small_give(struct mmi_small *small, struct mmi_span *span, uint32_t *chunk) {
    assert(!span->hole);
    struct mmi_shared *home = span->home;
    struct mmi_span *before = hole_at(home, span->order.prev);
    struct mmi_span *after = hole_at(home, span->order.next);
    span->hole = true;
    if (after) {
        bin_remove(small, after);
        merge(small, span, after);
    }
    if (before) {
        bin_remove(small, before);
        merge(small, before, span);
        span = before;
    }
    if (--home->live == 0) {
        *chunk = home->chunk;
        shared_free(small, home);
        return true;
    }
    bin_add(small, span);
    return false;
}
