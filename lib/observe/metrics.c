/* SPDX-License-Identifier: Apache-2.0 */
#include <observe/metrics.h>

#include <inttypes.h>
#include <string.h>

/* One metric that is a uint64_t of a struct. */
struct field {
    size_t offset;
    const char *name, *type, *help;
};

static const struct field mesh_fields[] = {
    {offsetof(struct mmi_metrics, queued), "queued_requests", "gauge", "Requests that wait now."},
    {offsetof(struct mmi_metrics, metadata_bytes), "metadata_bytes", "gauge",
     "Host memory taken through the allocator."},
    {offsetof(struct mmi_metrics, description_bytes), "description_bytes", "gauge",
     "Host memory of the descriptions of models."},
    {offsetof(struct mmi_metrics, artifact_bytes), "artifact_bytes", "gauge",
     "Prepared weights in tmp_dir, or in memory where it cannot be used."},
    {offsetof(struct mmi_metrics, cache_bytes), "cache_bytes", "gauge",
     "Prepared weights in cache_dir."},
};

static const struct field device_fields[] = {
    {offsetof(struct mmi_device_metrics, budget_bytes), "budget_bytes", "gauge",
     "What the device may use."},
    {offsetof(struct mmi_device_metrics, used_bytes), "used_bytes", "gauge",
     "Weights and scratch, rounded as the device rounds."},
    {offsetof(struct mmi_device_metrics, weights_bytes), "resident_bytes", "gauge",
     "Weights on the device, reclaimable ones included."},
    {offsetof(struct mmi_device_metrics, reclaimable_bytes), "reclaimable_bytes", "gauge",
     "Weights of evicted models whose room is not wanted yet."},
    {offsetof(struct mmi_device_metrics, scratch_bytes), "scratch_bytes", "gauge",
     "Held for activations now."},
    {offsetof(struct mmi_device_metrics, reserve_bytes), "reserve_bytes", "gauge",
     "Kept free for activations."},
    {offsetof(struct mmi_device_metrics, peak_bytes), "peak_bytes", "gauge",
     "The most that was ever used."},
    {offsetof(struct mmi_device_metrics, leaked_bytes), "leaked_bytes", "gauge",
     "Did not come back when a model left."},
    {offsetof(struct mmi_device_metrics, instances), "instances", "gauge", "Models on the device."},
    {offsetof(struct mmi_device_metrics, loads), "device_loads_total", "counter",
     "Loads onto the device."},
    {offsetof(struct mmi_device_metrics, evictions), "device_evictions_total", "counter",
     "Evictions from the device."},
    {offsetof(struct mmi_device_metrics, lost), "device_lost", "gauge",
     "1 when the device was lost."},
};

static const struct field model_fields[] = {
    {offsetof(struct mmi_model_metrics, requests), "model_requests_total", "counter",
     "Requests for the model."},
    {offsetof(struct mmi_model_metrics, hits), "model_hits_total", "counter",
     "Requests that found it resident."},
    {offsetof(struct mmi_model_metrics, loads), "model_loads_total", "counter",
     "Loads of the model."},
    {offsetof(struct mmi_model_metrics, evictions), "model_evictions_total", "counter",
     "Evictions of the model."},
    {offsetof(struct mmi_model_metrics, failures), "model_failures_total", "counter",
     "Failed loads and runs of the model."},
    {offsetof(struct mmi_model_metrics, resident_bytes), "model_resident_bytes", "gauge",
     "Its weights on devices; 0 when it is not resident."},
};

#define COUNT_OF(array) (sizeof(array) / sizeof(array)[0])

static void add_family(struct mmi_text *text, const char *name, const char *type,
                       const char *help) {
    mmi_text_add(text, "# HELP modelmesh_%s %s\n# TYPE modelmesh_%s %s\n", name, help, name, type);
}

/* modelmesh_name{label="value"} number; a label of NULL is left out. */
static void add_sample(struct mmi_text *text, const char *name, const char *label,
                       const char *value, uint64_t number) {
    mmi_text_add(text, "modelmesh_%s", name);
    if (label) {
        mmi_text_add(text, "{%s=\"", label);
        while (*value) {
            size_t plain = strcspn(value, "\\\"\n");
            mmi_text_add(text, "%.*s", (int)plain, value);
            value += plain;
            if (*value) {
                mmi_text_add(text, "\\%c", *value == '\n' ? 'n' : *value);
                value++;
            }
        }
        mmi_text_add(text, "\"}");
    }
    mmi_text_add(text, " %" PRIu64 "\n", number);
}

static void add_one(struct mmi_text *text, const char *name, const char *help, uint64_t number) {
    add_family(text, name, "counter", help);
    add_sample(text, name, NULL, NULL, number);
}

/* Seconds, exactly, whatever the locale says of the point. */
static void add_seconds(struct mmi_text *text, uint64_t ns) {
    mmi_text_add(text, "%" PRIu64 ".%09" PRIu64, ns / 1000000000, ns % 1000000000);
}

/* Buckets from 1 us to 69 s; what is faster is in the first, what is slower under +Inf alone. */
static void add_histogram(struct mmi_text *text, const char *name, const char *help,
                          const struct mmi_histogram_counts *counts) {
    add_family(text, name, "histogram", help);
    uint64_t below = 0;
    for (unsigned i = 0; i <= 36; i++) {
        below += counts->buckets[i];
        if (i >= 10) {
            mmi_text_add(text, "modelmesh_%s_bucket{le=\"", name);
            add_seconds(text, UINT64_C(1) << i);
            mmi_text_add(text, "\"} %" PRIu64 "\n", below);
        }
    }
    mmi_text_add(text, "modelmesh_%s_bucket{le=\"+Inf\"} %" PRIu64 "\n", name, counts->count);
    mmi_text_add(text, "modelmesh_%s_sum ", name);
    add_seconds(text, counts->sum_ns);
    mmi_text_add(text, "\nmodelmesh_%s_count %" PRIu64 "\n", name, counts->count);
}

static uint64_t field_of(const void *row, const struct field *field) {
    uint64_t value;
    memcpy(&value, (const char *)row + field->offset, sizeof value);
    return value;
}

static void add_mesh(struct mmi_text *text, const struct mmi_metrics *metrics) {
    static const struct {
        const char *name, *help;
    } counters[] = {
#define COUNTER_ROW(id, metric, text) [MMI_COUNT_##id] = {metric "_total", text},
        MMI_COUNTER_MAP(COUNTER_ROW)
#undef COUNTER_ROW
    };
    const struct mmi_counts *counts = &metrics->counts;
    add_one(text, "requests_total", "Requests.", counts->requests);
    add_one(text, "hits_total", "Requests whose model was resident on arrival.", counts->hits);
    for (size_t i = 0; i < MMI_COUNTERS; i++) {
        add_one(text, counters[i].name, counters[i].help, counts->counts[i]);
    }
    add_family(text, "evictions_total", "counter", "Models that left a device.");
    for (size_t i = 0; i < MMI_REASON_COUNT; i++) {
        add_sample(text, "evictions_total", "reason", mmi_reason_text((enum mmi_reason)i),
                   counts->evictions[i]);
    }
    for (size_t i = 0; i < COUNT_OF(mesh_fields); i++) {
        const struct field *field = &mesh_fields[i];
        add_family(text, field->name, field->type, field->help);
        add_sample(text, field->name, NULL, NULL, field_of(metrics, field));
    }
}

void mmi_metrics_write(const struct mmi_metrics *metrics, struct mmi_text *text) {
    add_mesh(text, metrics);
    add_histogram(text, "load_seconds", "Time of a load.", &metrics->load_time);
    add_histogram(text, "queue_seconds", "Time that a request waited.", &metrics->queue_time);
    add_histogram(text, "prepare_seconds", "Time to make an artifact.", &metrics->prepare_time);
    if (metrics->state_count > 0) {
        add_family(text, "models", "gauge", "Registered models by state.");
    }
    for (size_t i = 0; i < metrics->state_count; i++) {
        add_sample(text, "models", "state", metrics->states[i].state, metrics->states[i].models);
    }
    for (size_t i = 0; metrics->device_count > 0 && i < COUNT_OF(device_fields); i++) {
        const struct field *field = &device_fields[i];
        add_family(text, field->name, field->type, field->help);
        for (size_t j = 0; j < metrics->device_count; j++) {
            const struct mmi_device_metrics *device = &metrics->devices[j];
            add_sample(text, field->name, "device", device->name, field_of(device, field));
        }
    }
    for (size_t i = 0; metrics->model_count > 0 && i < COUNT_OF(model_fields); i++) {
        const struct field *field = &model_fields[i];
        add_family(text, field->name, field->type, field->help);
        for (size_t j = 0; j < metrics->model_count; j++) {
            const struct mmi_model_metrics *model = &metrics->models[j];
            add_sample(text, field->name, "model", model->name, field_of(model, field));
        }
    }
}
