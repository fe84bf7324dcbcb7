/* SPDX-License-Identifier: Apache-2.0 */
#include <observe/counters.h>

static uint64_t read_one(const _Atomic uint64_t *counter) {
    return atomic_load_explicit(counter, memory_order_relaxed);
}

void mmi_counters_read(const struct mmi_counters *counters, uint64_t hits,
                       struct mmi_counts *counts) {
    *counts = (struct mmi_counts){.hits = hits};
    for (size_t i = 0; i < MMI_COUNTERS; i++) {
        counts->counts[i] = read_one(&counters->counts[i]);
    }
    for (size_t i = 0; i < MMI_REASON_COUNT; i++) {
        counts->evictions[i] = read_one(&counters->evictions[i]);
        counts->evictions_all += counts->evictions[i];
    }
    counts->requests = hits + counts->counts[MMI_COUNT_MISSES];
}
