/* SPDX-License-Identifier: Apache-2.0 */
#include <base/checked.h>
#include <base/clock.h>

#include <time.h>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

#define NS_PER_S UINT64_C(1000000000)

__extension__ typedef unsigned __int128 wide;

/* Does the counter run at one rate, on every core, whatever the power state? */
static bool counter_is_invariant(void) {
#if defined(__x86_64__)
    unsigned a, b, c, d;
    return __get_cpuid(0x80000007, &a, &b, &c, &d) && (d & (1u << 8));
#elif defined(__aarch64__)
    return true; /* the architecture's generic timer */
#else
    return false;
#endif
}

static uint64_t monotonic_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

void mmi_clock_init(struct mmi_clock *clock, uint64_t (*fake_now)(void *user), void *user) {
    *clock = (struct mmi_clock){.fake_now = fake_now, .user = user};
    clock->tsc = !fake_now && counter_is_invariant();
    clock->origin_ns = mmi_now(clock);
    clock->origin_ticks = mmi_ticks(clock);
}

uint64_t mmi_now(const struct mmi_clock *clock) {
    return clock->fake_now ? clock->fake_now(clock->user) : monotonic_ns();
}

uint64_t mmi_ticks_slow(const struct mmi_clock *clock) {
    return mmi_now(clock);
}

uint64_t mmi_ticks_to_ns(const struct mmi_clock *clock, uint64_t ticks) {
    if (!clock->tsc) {
        return ticks;
    }
    uint64_t elapsed_ticks = mmi_sub_floor(mmi_ticks(clock), clock->origin_ticks);
    uint64_t elapsed_ns = mmi_sub_floor(mmi_now(clock), clock->origin_ns);
    if (ticks <= clock->origin_ticks || elapsed_ticks == 0) {
        return clock->origin_ns;
    }
    wide since_origin = (wide)(ticks - clock->origin_ticks) * elapsed_ns / elapsed_ticks;
    return clock->origin_ns + (uint64_t)since_origin;
}
