/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_POLICY_FIT_H
#define TESTS_POLICY_FIT_H

/* A small fit query for plans: candidates hold blocks of their own and share chunks, and a chunk is
 * free once all who share it have left. Checks that release and keep take turns. */

#include <policy/plan.h>

#include <support/world.h>

#define FIT_MAX 16 /* candidates and chunks */

struct fit {
    uint64_t need_bytes, free_bytes;
    uint64_t own_bytes[FIT_MAX]; /* by the candidate's index */
    struct {
        uint64_t bytes;
        uint32_t members; /* bit i: candidate i; bit 31: somebody who never leaves */
    } chunks[FIT_MAX];
    size_t chunk_count;
    uint32_t released; /* bit i: candidate i */
};

static inline bool fit_would_hold(const struct fit *fit, uint32_t released) {
    uint64_t room = fit->free_bytes;
    for (uint32_t i = 0; i < FIT_MAX; i++) {
        room += (released >> i & 1) != 0 ? fit->own_bytes[i] : 0;
    }
    for (size_t i = 0; i < fit->chunk_count; i++) {
        room += (fit->chunks[i].members & ~released) == 0 ? fit->chunks[i].bytes : 0;
    }
    return room >= fit->need_bytes;
}

static void fit_release(void *ctx, const struct mmi_candidate *candidate) {
    struct fit *fit = ctx;
    assert_false(fit->released >> candidate->index & 1);
    fit->released |= UINT32_C(1) << candidate->index;
}

static bool fit_holds(void *ctx) {
    const struct fit *fit = ctx;
    return fit_would_hold(fit, fit->released);
}

static bool fit_keep(void *ctx, const struct mmi_candidate *candidate) {
    struct fit *fit = ctx;
    uint32_t bit = UINT32_C(1) << candidate->index;
    assert_true(fit->released & bit);
    bool holds = fit_would_hold(fit, fit->released & ~bit);
    fit->released &= holds ? ~bit : UINT32_MAX;
    return holds;
}

static inline struct mmi_fit_query fit_query_of(struct fit *fit) {
    return (struct mmi_fit_query){
        .ctx = fit, .release = fit_release, .keep = fit_keep, .fits = fit_holds};
}

#endif
