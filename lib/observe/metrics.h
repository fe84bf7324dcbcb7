/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_OBSERVE_METRICS_H
#define MMI_OBSERVE_METRICS_H

/* Prometheus text exposition, format 0.0.4, of a snapshot that the caller took. Names, units and
 * labels are those of metrics.c and are kept from release to release. */

#include <observe/counters.h>
#include <observe/histogram.h>

struct mmi_device_metrics {
    const char *name;
    uint64_t budget_bytes, used_bytes, weights_bytes, reclaimable_bytes;
    uint64_t scratch_bytes, reserve_bytes, peak_bytes, leaked_bytes;
    uint64_t instances, loads, evictions;
    uint64_t lost; /* 0 or 1 */
};

struct mmi_model_metrics {
    const char *name;
    uint64_t requests, hits, loads, evictions, failures;
    uint64_t resident_bytes; /* 0 = not resident */
};

/* How many models are in a state. */
struct mmi_state_metrics {
    const char *state; /* "ready" */
    uint64_t models;
};

struct mmi_metrics {
    struct mmi_counts counts;
    struct mmi_histogram_counts load_time, queue_time, prepare_time;
    uint64_t queued, metadata_bytes, description_bytes, artifact_bytes, cache_bytes;
    const struct mmi_state_metrics *states;
    size_t state_count;
    const struct mmi_device_metrics *devices;
    size_t device_count;
    const struct mmi_model_metrics *models; /* names differ */
    size_t model_count;
};

/* Whole lines, the last one ended too. */
void mmi_metrics_write(const struct mmi_metrics *metrics, struct mmi_text *text);

#endif
