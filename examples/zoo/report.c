/* SPDX-License-Identifier: Apache-2.0 */
#include "report.h"
#include "screen.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- Numbers -------------------------------------------------------------------------------- */

struct times {
    float *us;
    uint64_t count;
};

static int by_value(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* q from 0 to 1; the values are sorted. */
static double quantile(const struct times *times, double q) {
    return times->count ? (double)times->us[(uint64_t)(q * (double)(times->count - 1) + 0.5)] : 0;
}

static uint64_t record_count(const struct crowd *crowd) {
    uint64_t count = 0;
    for (uint32_t i = 0; i < crowd->client_count; i++) {
        count += crowd->clients[i].count;
    }
    return count;
}

/* The times of all hits or misses of a model (or of all: UINT32_MAX), sorted. times->us: room for
 * every record. */
static void collect(const struct crowd *crowd, uint32_t model, bool hits, struct times *times) {
    times->count = 0;
    for (uint32_t i = 0; i < crowd->client_count; i++) {
        const struct client *client = &crowd->clients[i];
        for (uint64_t j = 0; j < client->count; j++) {
            const struct record *record = &client->records[j];
            if (record->hit == hits && (model == UINT32_MAX || record->model == model)) {
                times->us[times->count++] = record->us;
            }
        }
    }
    qsort(times->us, times->count, sizeof(*times->us), by_value);
}

/* ---- Models --------------------------------------------------------------------------------- */

/* A time, or a dash where there was none. */
static void print_column(uint64_t count, double value) {
    if (count) {
        printf("  %9.1f", value);
    } else {
        printf("  %9s", "-");
    }
}

static void print_model(const struct crowd *crowd, uint32_t index, struct times *times) {
    const struct zoo_model *model = &crowd->zoo->models[index];
    mm_model_info info = MM_MODEL_INFO_INIT;
    if (mm_model_info_get(crowd->zoo->mesh, model->handle, &info) != MM_OK) {
        return;
    }
    collect(crowd, index, false, times);
    uint64_t cold = times->count;
    double cold_ms = quantile(times, 0.5) / 1e3;
    collect(crowd, index, true, times);
    printf("%-16s %-6s %8" PRIu64 " %6" PRIu64 " %6" PRIu64 " %9" PRIu64, model->name,
           info.device[0] ? info.device : "-", cold + times->count, times->count, info.loads,
           info.evictions);
    print_column(cold, cold_ms);
    print_column(times->count, quantile(times, 0.5));
    printf("%s\n", info.pinned ? "  pinned" : "");
}

void report_models(const struct crowd *crowd) {
    struct times times = {.us = calloc(record_count(crowd) + 1, sizeof(*times.us))};
    if (!times.us) {
        return;
    }
    printf("%-16s %-6s %8s %6s %6s %9s  %9s  %9s\n", "model", "device", "requests", "hits", "loads",
           "evictions", "cold ms", "hot us");
    for (uint32_t rank = 0; rank < crowd->zoo->count; rank++) {
        print_model(crowd, crowd->ranking[rank], &times);
    }
    free(times.us);
    puts("(the most popular first; cold and hot: medians of its misses and hits)\n");
}

/* ---- Totals --------------------------------------------------------------------------------- */

static uint32_t count_called(const struct crowd *crowd) {
    uint32_t called = 0;
    for (uint32_t model = 0; model < crowd->zoo->count; model++) {
        bool found = false;
        for (uint32_t i = 0; !found && i < crowd->client_count; i++) {
            for (uint64_t j = 0; !found && j < crowd->clients[i].count; j++) {
                found = crowd->clients[i].records[j].model == model;
            }
        }
        called += found;
    }
    return called;
}

static void print_quantiles(const char *name, const struct times *times) {
    printf("%-7s %8" PRIu64 "   p50 %9s   p99 %9s\n", name, times->count,
           text_time(quantile(times, 0.5) * 1e3).text, text_time(quantile(times, 0.99) * 1e3).text);
}

void report_totals(const struct report *report) {
    const struct crowd *crowd = report->crowd;
    const struct room *room = report->room;
    uint64_t count = record_count(crowd);
    struct times times = {.us = calloc(count + 1, sizeof(*times.us))};
    if (!times.us) {
        return;
    }
    mm_mesh_stats stats = MM_MESH_STATS_INIT;
    mm_mesh_stats_get(crowd->zoo->mesh, &stats);
    printf("memory  all %u models need %s of weights; the pods have room for %d x %s\n",
           crowd->zoo->count, text_bytes(room->all_bytes).text, PODS,
           text_bytes(room->weights_bytes).text);
    printf("models  %u were asked, %" PRId64 " were resident at once at most, %" PRIu64
           " loads, %" PRIu64 " evictions\n",
           count_called(crowd), report->most_resident, stats.loads, stats.evictions);
    collect(crowd, UINT32_MAX, true, &times);
    printf("answers checked: finite and as the first time; of public models also against what is "
           "right\n");
    printf("stream  %" PRIu64
           " requests in %.1f s, hit rate %.1f %% (there on arrival; joining a load is a "
           "miss)\n",
           count, report->seconds, count ? 100 * (double)times.count / (double)count : 0);
    print_quantiles("hits", &times);
    collect(crowd, UINT32_MAX, false, &times);
    print_quantiles("misses", &times);
    free(times.us);
    for (uint64_t i = 0; i < MOST_COMPLAINTS && crowd->complaints[i][0]; i++) {
        printf("failed: %s\n", crowd->complaints[i]);
    }
    printf("%" PRIu64 " failed\n", report->failed);
}
