/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BASE_CLOCK_H
#define MMI_BASE_CLOCK_H

/* Time as an argument. Two scales:
 *   now    nanoseconds of CLOCK_MONOTONIC, for deadlines and everything shown;
 *   ticks  the cycle counter where it is invariant (else now), for the hot path; ordered across
 *          threads, converted to nanoseconds only when shown.
 * A fake clock (tests) supplies both. */

#include <stdbool.h>
#include <stdint.h>

struct mmi_clock {
    /* NULL = the real clock. A fake one answers now; ticks equal its now. */
    uint64_t (*fake_now)(void *user);
    void *user;
    uint64_t origin_ticks, origin_ns; /* one instant on both scales */
    bool tsc;                         /* ticks are the cycle counter */
};

/* fake_now NULL = real time. */
void mmi_clock_init(struct mmi_clock *clock, uint64_t (*fake_now)(void *user), void *user);
uint64_t mmi_now(const struct mmi_clock *clock);
/* Ticks to nanoseconds of `now`; the rate is measured from the origin to this call. */
uint64_t mmi_ticks_to_ns(const struct mmi_clock *clock, uint64_t ticks);
uint64_t mmi_ticks_slow(const struct mmi_clock *clock);

static inline uint64_t mmi_ticks(const struct mmi_clock *clock) {
#if defined(__x86_64__)
    if (__builtin_expect(clock->tsc, 1)) {
        return __builtin_ia32_rdtsc();
    }
#elif defined(__aarch64__)
    if (__builtin_expect(clock->tsc, 1)) {
        uint64_t ticks;
        __asm__ volatile("mrs %0, cntvct_el0" : "=r"(ticks));
        return ticks;
    }
#endif
    return mmi_ticks_slow(clock);
}

#endif
