/* SPDX-License-Identifier: Apache-2.0 */
#include <base/checked.h>
#include <memory/arena_state.h>

#include <assert.h>

/* Marks carry the number of their trial, so that begin and end have nothing to clear. */

void mmi_trial_begin(struct mmi_arena *arena) {
    assert(!arena->in_trial);
    arena->in_trial = true;
    arena->trial++;
    arena->trial_freed = 0;
    arena->trial_shared = NULL;
}

void mmi_trial_end(struct mmi_arena *arena) {
    assert(arena->in_trial);
    arena->in_trial = false;
}

static void join(struct mmi_arena *arena, struct mmi_shared *shared) {
    if (shared->trial == arena->trial) {
        return;
    }
    shared->trial = arena->trial;
    shared->trial_live = shared->live;
    shared->trial_next = arena->trial_shared;
    arena->trial_shared = shared;
}

/* It takes a walk, and only who looks for a hole wants it. */
#define GAP_UNKNOWN UINT32_MAX

static uint32_t longest_gap(const struct mmi_arena *arena, const struct mmi_shared *shared) {
    uint32_t longest = 0;
    uint32_t gap = 0;
    MMI_LIST_EACH(link, &shared->spans) {
        const struct mmi_span *span = MMI_CONTAINER(link, struct mmi_span, order);
        gap = span->hole || span->trial == arena->trial ? gap + span->units : 0;
        longest = gap > longest ? gap : longest;
    }
    return longest;
}

void mmi_trial_release_bytes(struct mmi_arena *arena, uint64_t charged_bytes) {
    assert(arena->in_trial);
    arena->trial_freed += charged_bytes / arena->unit_bytes;
}

void mmi_trial_keep_bytes(struct mmi_arena *arena, uint64_t charged_bytes) {
    assert(arena->in_trial);
    arena->trial_freed -= charged_bytes / arena->unit_bytes;
}

void mmi_trial_release(struct mmi_arena *arena, const struct mmi_block *block) {
    if (!block->small) {
        mmi_trial_release_bytes(arena, block->charged_bytes);
        return;
    }
    assert(arena->in_trial);
    struct mmi_shared *shared = block->span->home;
    assert(block->span->trial != arena->trial);
    join(arena, shared);
    block->span->trial = arena->trial;
    arena->trial_freed += --shared->trial_live == 0;
    shared->trial_gap = GAP_UNKNOWN;
}

void mmi_trial_keep(struct mmi_arena *arena, const struct mmi_block *block) {
    if (!block->small) {
        mmi_trial_keep_bytes(arena, block->charged_bytes);
        return;
    }
    assert(arena->in_trial);
    struct mmi_shared *shared = block->span->home;
    assert(block->span->trial == arena->trial);
    block->span->trial = 0;
    arena->trial_freed -= shared->trial_live++ == 0;
    shared->trial_gap = GAP_UNKNOWN;
}

/* A chunk that loses its last block is no shared chunk any more, and its holes serve nobody. */
static bool stays_shared(const struct mmi_arena *arena, const struct mmi_shared *shared) {
    return shared->trial != arena->trial || shared->trial_live > 0;
}

static bool finds_hole(const struct mmi_arena *arena, uint32_t units) {
    for (struct mmi_shared *s = arena->trial_shared; s; s = s->trial_next) {
        if (s->trial_gap == GAP_UNKNOWN) {
            s->trial_gap = longest_gap(arena, s);
        }
        if (s->trial_live > 0 && s->trial_gap >= units) {
            return true;
        }
    }
    uint32_t bin = mmi_small_next_bin(arena->small, units);
    for (; bin < MMI_SMALL_UNITS; bin = mmi_small_next_bin(arena->small, bin + 1)) {
        for (const struct mmi_span *hole = arena->small->bins[bin]; hole; hole = hole->next) {
            if (stays_shared(arena, hole->home)) {
                return true;
            }
        }
    }
    return false;
}

bool mmi_trial_fits(const struct mmi_arena *arena, uint64_t bytes, uint64_t reserve_bytes) {
    assert(arena->in_trial);
    uint32_t small_units = mmi_arena_small_units(arena, bytes);
    bool in_hole = small_units > 0 && finds_hole(arena, small_units);
    uint64_t units = in_hole ? 0 : mmi_arena_units(arena, bytes);
    return mmi_arena_room(arena, arena->used - arena->trial_freed, units, reserve_bytes);
}

uint64_t mmi_trial_free_bytes(const struct mmi_arena *arena) {
    assert(arena->in_trial);
    return mmi_sub_floor(arena->capacity, arena->used - arena->trial_freed) * arena->unit_bytes;
}
