/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_POLICY_GROUND_H
#define TESTS_POLICY_GROUND_H

/* A small ground for plans: candidates hold blocks of their own and share chunks, and a chunk is
 * free once all who share it have left. Checks that release and keep take turns. */

#include <policy/plan.h>

#include <support/world.h>

#define GROUND_MAX 16 /* candidates and chunks */

struct ground {
    uint64_t need_bytes, free_bytes;
    uint64_t own_bytes[GROUND_MAX]; /* by the candidate's index */
    struct {
        uint64_t bytes;
        uint32_t members; /* bit i: candidate i; bit 31: somebody who never leaves */
    } chunks[GROUND_MAX];
    size_t chunk_count;
    uint32_t released; /* bit i: candidate i */
};

static inline bool ground_would_fit(const struct ground *ground, uint32_t released) {
    uint64_t room = ground->free_bytes;
    for (uint32_t i = 0; i < GROUND_MAX; i++) {
        room += (released >> i & 1) != 0 ? ground->own_bytes[i] : 0;
    }
    for (size_t i = 0; i < ground->chunk_count; i++) {
        room += (ground->chunks[i].members & ~released) == 0 ? ground->chunks[i].bytes : 0;
    }
    return room >= ground->need_bytes;
}

static void ground_release(void *ctx, const struct mmi_candidate *candidate) {
    struct ground *ground = ctx;
    assert_false(ground->released >> candidate->index & 1);
    ground->released |= UINT32_C(1) << candidate->index;
}

static void ground_keep(void *ctx, const struct mmi_candidate *candidate) {
    struct ground *ground = ctx;
    assert_true(ground->released >> candidate->index & 1);
    ground->released &= ~(UINT32_C(1) << candidate->index);
}

static bool ground_fits(void *ctx) {
    const struct ground *ground = ctx;
    return ground_would_fit(ground, ground->released);
}

static inline struct mmi_ground ground_of(struct ground *ground) {
    return (struct mmi_ground){
        .ctx = ground, .release = ground_release, .keep = ground_keep, .fits = ground_fits};
}

#endif
