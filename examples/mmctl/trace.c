/* SPDX-License-Identifier: Apache-2.0 */
/* The trace event format: complete events ("X") on one track, which nest by their times. */
#include "json.h"
#include "profile.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static void put_text(FILE *file, const char *text) {
    put_json_text(file, text, strlen(text), false);
}

/* Microseconds from the first run on. */
static void put_times(FILE *file, const struct profile *profile, uint64_t begin_ns,
                      uint64_t end_ns) {
    uint64_t from = begin_ns - profile->runs[0].begin_ns, took = end_ns - begin_ns;
    fprintf(file,
            "\"ph\": \"X\", \"pid\": 1, \"tid\": 1, \"ts\": %" PRIu64 ".%03u, \"dur\": %" PRIu64
            ".%03u",
            from / 1000, (unsigned)(from % 1000), took / 1000, (unsigned)(took % 1000));
}

static void put_event(FILE *file, const struct profile *profile, const struct timed_event *event) {
    const struct timed *node = &profile->nodes[event->node];
    char name[256];
    uint64_t ns = event->end_ns - event->begin_ns;
    fprintf(file, ",\n{\"name\": ");
    put_text(file, name_operator(node, name));
    fprintf(file, ", \"cat\": \"step\", ");
    put_times(file, profile, event->begin_ns, event->end_ns);
    fprintf(file, ", \"args\": {\"node\": ");
    put_text(file, node->node);
    fprintf(file, ", \"shape\": ");
    put_text(file, node->shape);
    fprintf(file,
            ", \"kernel\": \"%s\", \"flops\": %" PRIu64 ", \"bytes\": %" PRIu64
            ", \"GFLOP/s\": %.3f, \"GB/s\": %.3f}}",
            event->fast ? "fast" : "plain", event->flops, event->bytes,
            ns ? (double)event->flops / (double)ns : 0.0,
            ns ? (double)event->bytes / (double)ns : 0.0);
}

static void put_trace(FILE *file, const char *model, const struct profile *profile) {
    fprintf(file, "{\"displayTimeUnit\": \"ms\", \"traceEvents\": [\n"
                  "{\"name\": \"process_name\", \"ph\": \"M\", \"pid\": 1, \"args\": {\"name\": ");
    put_text(file, model);
    fprintf(file, "}},\n{\"name\": \"thread_name\", \"ph\": \"M\", \"pid\": 1, \"tid\": 1, "
                  "\"args\": {\"name\": \"steps\"}}");
    for (uint32_t r = 0; r < profile->run_count; r++) {
        const struct timed_run *run = &profile->runs[r];
        fprintf(file, ",\n{\"name\": \"run %u\", \"cat\": \"run\", ", r + 1);
        put_times(file, profile, run->begin_ns, run->end_ns);
        fprintf(file, "}");
        for (uint32_t i = 0; i < run->count; i++) {
            put_event(file, profile, &run->events[i]);
        }
    }
    fprintf(file, "\n]}\n");
}

bool write_trace(const char *path, const char *model, const struct profile *profile) {
    FILE *file = fopen(path, "w");
    bool good = file != NULL;
    if (good) {
        put_trace(file, model, profile);
        good = !ferror(file);
        good = fclose(file) == 0 && good;
    }
    if (!good) {
        fprintf(stderr, "mmctl: %s: %s\n", path, strerror(errno));
    }
    return good;
}
