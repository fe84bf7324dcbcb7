/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_OBSERVE_HISTOGRAM_H
#define MMI_OBSERVE_HISTOGRAM_H

/* How long something took: one bucket a power of two. Zeroed = empty. Adds from any thread, without
 * a lock; for what happens thousands of times a second, not for the hot path. */

#include <stdatomic.h>
#include <stdint.h>

/* Bucket 0 holds 0 and 1 ns, bucket i what is above 2^(i-1) and at most 2^i ns. */
#define MMI_HISTOGRAM_BUCKETS 65

struct mmi_histogram {
    _Atomic uint64_t buckets[MMI_HISTOGRAM_BUCKETS];
    _Atomic uint64_t sum_ns;
};

struct mmi_histogram_counts {
    uint64_t buckets[MMI_HISTOGRAM_BUCKETS];
    uint64_t count; /* of all buckets */
    uint64_t sum_ns;
};

void mmi_histogram_add(struct mmi_histogram *histogram, uint64_t ns);
/* Not atomic: a concurrent add may show in the sum alone or in the bucket alone. */
void mmi_histogram_read(const struct mmi_histogram *histogram, struct mmi_histogram_counts *counts);

/* The value that a share q (0 to 1) of all lies at or below: exact to the bucket, linear within it.
 * 0 when empty. */
uint64_t mmi_histogram_quantile(const struct mmi_histogram_counts *counts, double q);

#endif
