/* SPDX-License-Identifier: Apache-2.0 */
/* What a parallel_for costs by itself: calls with a body that does next to nothing, two threads.
 *
 *   loop    the same calls with a pool of one thread: a plain loop
 *   busy    one call after the other: the second thread is still spinning when the next one comes
 *   idle    with a pause of 50 us before each: the second thread sleeps and has to be woken
 *   shared  how many of 1,000 items of 1 us the second thread took
 *
 * Usage: bench-parallel-for [CALLS]. Checks first that each item runs once; exits 1 if not. */

#include <base/env.h>
#include <pool/pool.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#define MAX_ITEMS 1000
#define PAUSE_NS 50000
#define ITEM_NS 1000

struct table {
    struct mmi_clock *clock;
    _Atomic unsigned seen[MAX_ITEMS];
    pthread_t caller;
    _Atomic unsigned elsewhere;
};

static void pass_ns(const struct mmi_clock *clock, uint64_t ns) {
    uint64_t end_ns = mmi_now(clock) + ns;
    while (mmi_now(clock) < end_ns) {}
}

static void mark(void *ctx, uint64_t i) {
    struct table *table = ctx;
    atomic_fetch_add_explicit(&table->seen[i], 1, memory_order_relaxed);
}

static void mark_slowly(void *ctx, uint64_t i) {
    struct table *table = ctx;
    mark(ctx, i);
    pass_ns(table->clock, ITEM_NS);
    if (!pthread_equal(pthread_self(), table->caller)) {
        atomic_fetch_add_explicit(&table->elsewhere, 1, memory_order_relaxed);
    }
}

/* False, with a line, unless the first `count` items ran `calls` times each. */
static bool check(struct table *table, uint64_t count, unsigned calls) {
    for (uint64_t i = 0; i < MAX_ITEMS; i++) {
        unsigned expected = i < count ? calls : 0;
        if (table->seen[i] != expected) {
            printf("item %u of %u ran %u times instead of %u\n", (unsigned)i, (unsigned)count,
                   table->seen[i], expected);
            return false;
        }
        table->seen[i] = 0;
    }
    return true;
}

static int compare_ns(const void *a, const void *b) {
    uint64_t left = *(const uint64_t *)a;
    uint64_t right = *(const uint64_t *)b;
    return (left > right) - (left < right);
}

/* Median time of a call, with a pause before each. */
static uint64_t median_ns(struct mmi_pool *pool, struct table *table, uint64_t count,
                          uint64_t pause_ns, unsigned calls) {
    uint64_t *times = calloc(calls, sizeof *times);
    if (!times) {
        exit(1);
    }
    for (unsigned call = 0; call < calls; call++) {
        pass_ns(table->clock, pause_ns);
        uint64_t begin_ns = mmi_now(table->clock);
        mmi_pool_run(pool, count, mark, table);
        times[call] = mmi_now(table->clock) - begin_ns;
    }
    qsort(times, calls, sizeof *times, compare_ns);
    uint64_t median = times[calls / 2];
    free(times);
    return median;
}

static bool measure(struct mmi_pool *alone, struct mmi_pool *two, struct table *table,
                    unsigned calls) {
    unsigned paused_calls = calls / 20 + 1;
    printf("items  loop ns  busy ns  idle ns\n");
    for (uint64_t count = 2; count <= 64; count *= 2) {
        uint64_t loop_ns = median_ns(alone, table, count, 0, calls);
        uint64_t busy_ns = median_ns(two, table, count, 0, calls);
        uint64_t idle_ns = median_ns(two, table, count, PAUSE_NS, paused_calls);
        if (!check(table, count, 2 * calls + paused_calls)) {
            return false;
        }
        printf("%5u  %7u  %7u  %7u\n", (unsigned)count, (unsigned)loop_ns, (unsigned)busy_ns,
               (unsigned)idle_ns);
    }
    mmi_pool_run(two, MAX_ITEMS, mark_slowly, table);
    if (!check(table, MAX_ITEMS, 1)) {
        return false;
    }
    printf("shared: %u of %u items of 1 us\n", table->elsewhere, MAX_ITEMS);
    return true;
}

int main(int argc, char **argv) {
    unsigned calls = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 0) : 20000;
    struct mmi_env env = {.alloc = mmi_malloc_allocator, .thread_prefix = "mm"};
    mmi_clock_init(&env.clock, NULL, NULL);
    struct mmi_pool *alone = NULL;
    struct mmi_pool *two = NULL;
    struct table table = {.clock = &env.clock, .caller = pthread_self()};
    bool ok = calls > 0 && mmi_pool_new(&env, 1, NULL, &alone, NULL) == MM_OK &&
              mmi_pool_new(&env, 2, NULL, &two, NULL) == MM_OK &&
              measure(alone, two, &table, calls);
    mmi_pool_free(alone);
    mmi_pool_free(two);
    return ok ? 0 : 1;
}
