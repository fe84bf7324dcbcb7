/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_OBSERVE_COUNTERS_H
#define MMI_OBSERVE_COUNTERS_H

/* What a mesh has done since it was created. Zeroed = nothing yet. Relaxed adds from any thread; a
 * snapshot is not atomic, but no counter in it ever goes back. Hits are counted by their leases,
 * not here. Requests are not counted but summed, hits + misses, so that the parts always add up. */

#include <observe/events.h>

#include <stdatomic.h>

/* X(name, metric, help): all but hits and evictions. */
#define MMI_COUNTER_MAP(X)                                                                         \
    X(MISSES, "misses", "Requests whose model was not resident on arrival, joins included.")       \
    X(JOINS, "joins", "Misses that joined a load already under way.")                              \
    X(FAILED, "failed_requests", "Requests that ended with an error.")                             \
    X(REFUSALS, "refusals", "Requests refused for lack of room.")                                  \
    X(OVERLOADED, "overloaded_requests", "Requests refused because too many waited.")              \
    X(DEADLINE, "deadline_requests", "Requests whose deadline passed.")                            \
    X(CANCELLED, "cancelled_requests", "Requests that were cancelled.")                            \
    X(LOADS, "loads", "Loads that ended with a resident model.")                                   \
    X(LOAD_FAILURES, "load_failures", "Loads that failed.")                                        \
    X(LOADED_BYTES, "loaded_bytes", "Bytes moved to devices by loads.")                            \
    X(REVIVALS, "revivals", "Evicted models that came back without a load.")                       \
    X(PREPARES, "prepares", "Artifacts made.")                                                     \
    X(PREPARE_FAILURES, "prepare_failures", "Artifacts that could not be made.")                   \
    X(ARTIFACT_DROPS, "artifact_drops", "Artifacts that were not kept.")                           \
    X(UPDATES, "updates", "Switches to a new version.")

enum mmi_counter {
#define MMI_COUNTER_ENUM(name, metric, help) MMI_COUNT_##name,
    MMI_COUNTER_MAP(MMI_COUNTER_ENUM)
#undef MMI_COUNTER_ENUM
        MMI_COUNTERS
};

/* Aligned to a cache line: allocate it so. */
struct mmi_counters {
    _Alignas(64) _Atomic uint64_t counts[MMI_COUNTERS];
    _Atomic uint64_t evictions[MMI_REASON_COUNT];
};

struct mmi_counts {
    uint64_t requests, hits;
    uint64_t counts[MMI_COUNTERS];
    uint64_t evictions[MMI_REASON_COUNT];
    uint64_t evictions_all;
};

static inline void mmi_count(struct mmi_counters *counters, enum mmi_counter which, uint64_t n) {
    atomic_fetch_add_explicit(&counters->counts[which], n, memory_order_relaxed);
}

static inline void mmi_count_eviction(struct mmi_counters *counters, enum mmi_reason reason) {
    atomic_fetch_add_explicit(&counters->evictions[reason], 1, memory_order_relaxed);
}

/* hits: so far, as told by who counts them. */
void mmi_counters_read(const struct mmi_counters *counters, uint64_t hits,
                       struct mmi_counts *counts);

#endif
