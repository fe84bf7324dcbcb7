/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BASE_CHECKED_H
#define MMI_BASE_CHECKED_H

/* Arithmetic on sizes that reports overflow. true = the result is right. */

#include <stdbool.h>
#include <stdint.h>

static inline bool mmi_add(uint64_t a, uint64_t b, uint64_t *out) {
    return !__builtin_add_overflow(a, b, out);
}
static inline bool mmi_mul(uint64_t a, uint64_t b, uint64_t *out) {
    return !__builtin_mul_overflow(a, b, out);
}
/* Round up to a multiple of `step`, a power of two. */
static inline bool mmi_round_up(uint64_t value, uint64_t step, uint64_t *out) {
    if (!mmi_add(value, step - 1, out)) {
        return false;
    }
    *out &= ~(step - 1);
    return true;
}
/* How many parts of at most `by` (> 0) it takes. */
static inline uint64_t mmi_div_up(uint64_t value, uint64_t by) {
    return value / by + (value % by != 0);
}
/* Sum that saturates at UINT64_MAX, for totals that are only compared and shown. */
static inline uint64_t mmi_add_cap(uint64_t a, uint64_t b) {
    uint64_t sum;
    return mmi_add(a, b, &sum) ? sum : UINT64_MAX;
}
static inline uint64_t mmi_sub_floor(uint64_t a, uint64_t b) {
    return a > b ? a - b : 0;
}
static inline uint64_t mmi_max_u64(uint64_t a, uint64_t b) {
    return a > b ? a : b;
}
static inline uint64_t mmi_min_u64(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

#endif
