/* SPDX-License-Identifier: Apache-2.0 */
/* What a lease costs: acquire and release of one slot.
 *
 *   bare      with a constant for the time
 *   ticks     with a reading of the clock, as a request does it
 *   threads   two threads on the same slot, against two threads on a table each
 *
 * Usage: bench-lease [PAIRS]. Exits 1 when a lease is refused or a count is not undone. */

#include <base/clock.h>
#include <residency/lease.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define REPEATS 100

struct bench {
    struct mmi_lock lock;
    struct mmi_slots slots;
    struct mmi_slot *slot;
    uint64_t word;
};

struct job {
    struct bench *bench;
    pthread_barrier_t *start;
    const struct mmi_clock *clock;
    uint64_t pairs, refused, ns;
    bool reads_clock;
};

static void *run(void *ctx) {
    struct job *job = ctx;
    struct bench *bench = job->bench;
    uint64_t refused = 0;
    mmi_lease_shard(&bench->slots);
    pthread_barrier_wait(job->start);
    uint64_t from_ns = mmi_now(job->clock);
    for (uint64_t i = 0; i < job->pairs; i++) {
        struct mmi_lease lease;
        unsigned shard = mmi_lease_shard(&bench->slots);
        if (mmi_lease_acquire(bench->slot, bench->word, shard, &lease) != MMI_LEASED) {
            refused++;
            continue;
        }
        refused += mmi_lease_release(&lease, job->reads_clock ? mmi_ticks(job->clock) : i);
    }
    job->ns = mmi_now(job->clock) - from_ns;
    job->refused = refused;
    return NULL;
}

static void fail(const char *what) {
    fprintf(stderr, "%s\n", what);
    exit(1);
}

static void bench_init(struct bench *bench) {
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    mmi_lock_init(&bench->lock, MMI_RANK_RESIDENCY);
    mmi_slots_init(&bench->slots, &mmi_malloc_allocator, &bench->lock,
                   cpus > 2 ? (unsigned)cpus : 2, 0);
    mmi_lock(&bench->lock);
    bench->slot = mmi_slots_alloc(&bench->slots, NULL);
    if (!bench->slot) {
        fail("out of memory");
    }
    mmi_slot_move(bench->slot, MMI_LOADING);
    bench->word = mmi_slot_ready(bench->slot, 0);
    mmi_unlock(&bench->lock);
}

static void bench_fini(struct bench *bench) {
    mmi_slots_fini(&bench->slots);
    mmi_lock_fini(&bench->lock);
}

/* Nanoseconds a pair, the best of some: thread i on benches[i]. */
static double time_pairs(struct bench *const *benches, unsigned threads, uint64_t pairs,
                         bool ticks) {
    struct mmi_clock clock;
    mmi_clock_init(&clock, NULL, NULL);
    double best = 0;
    for (unsigned repeat = 0; repeat < REPEATS; repeat++) {
        pthread_t ids[2];
        struct job jobs[2];
        pthread_barrier_t start;
        pthread_barrier_init(&start, NULL, threads);
        for (unsigned i = 0; i < threads; i++) {
            jobs[i] = (struct job){.bench = benches[i],
                                   .start = &start,
                                   .clock = &clock,
                                   .pairs = pairs,
                                   .reads_clock = ticks};
            if (pthread_create(&ids[i], NULL, run, &jobs[i]) != 0) {
                fail("no thread");
            }
        }
        double ns = 0;
        for (unsigned i = 0; i < threads; i++) {
            pthread_join(ids[i], NULL);
            ns += (double)jobs[i].ns / (double)pairs / threads;
        }
        for (unsigned i = 0; i < threads; i++) {
            if (jobs[i].refused || mmi_slot_leases(benches[i]->slot) != 0) {
                fail("a lease was refused, or a count not undone");
            }
        }
        pthread_barrier_destroy(&start);
        best = repeat == 0 || ns < best ? ns : best;
    }
    return best;
}

int main(int argc, char **argv) {
    uint64_t pairs = argc > 1 ? strtoull(argv[1], NULL, 10) : 100000;
    if (pairs == 0) {
        fail("usage: bench-lease [PAIRS]");
    }
    static struct bench one, two;
    bench_init(&one);
    bench_init(&two);
    double bare = time_pairs((struct bench *[]){&one}, 1, pairs, false);
    double ticks = time_pairs((struct bench *[]){&one}, 1, pairs, true);
    double same = time_pairs((struct bench *[]){&one, &one}, 2, pairs, true);
    double apart = time_pairs((struct bench *[]){&one, &two}, 2, pairs, true);
    printf("acquire + release, one thread, bare   %6.2f ns\n", bare);
    printf("acquire + release, one thread, ticks  %6.2f ns\n", ticks);
    printf("two threads on one slot               %6.2f ns each\n", same);
    printf("two threads, a table each             %6.2f ns each (x %.2f)\n", apart, apart / same);
    bench_fini(&one);
    bench_fini(&two);
    return 0;
}
