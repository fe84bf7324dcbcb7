/* SPDX-License-Identifier: Apache-2.0 */
#include <observe/histogram.h>

#include <math.h>
#include <stddef.h>

static unsigned bucket_of(uint64_t ns) {
    return ns <= 1 ? 0 : 64 - (unsigned)__builtin_clzll(ns - 1);
}

void mmi_histogram_add(struct mmi_histogram *histogram, uint64_t ns) {
    atomic_fetch_add_explicit(&histogram->buckets[bucket_of(ns)], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&histogram->sum_ns, ns, memory_order_relaxed);
}

void mmi_histogram_read(const struct mmi_histogram *histogram,
                        struct mmi_histogram_counts *counts) {
    *counts = (struct mmi_histogram_counts){0};
    for (size_t i = 0; i < MMI_HISTOGRAM_BUCKETS; i++) {
        counts->buckets[i] = atomic_load_explicit(&histogram->buckets[i], memory_order_relaxed);
        counts->count += counts->buckets[i];
    }
    counts->sum_ns = atomic_load_explicit(&histogram->sum_ns, memory_order_relaxed);
}

uint64_t mmi_histogram_quantile(const struct mmi_histogram_counts *counts, double q) {
    double rank = q * (double)counts->count;
    double below = 0;
    int last = -1;
    for (int i = 0; i < MMI_HISTOGRAM_BUCKETS && (last < 0 || below < rank); i++) {
        if (counts->buckets[i] > 0) {
            last = i;
            below += (double)counts->buckets[i];
        }
    }
    if (last < 0) {
        return 0;
    }
    double lower = last == 0 ? 0 : ldexp(1, last - 1), upper = ldexp(1, last);
    double inside = (double)counts->buckets[last];
    double share = fmin(fmax((rank - (below - inside)) / inside, 0), 1);
    double value = lower + (upper - lower) * share;
    return value < 0x1p64 ? (uint64_t)value : UINT64_MAX;
}
