/* SPDX-License-Identifier: Apache-2.0 */
/* Times of one model: prepared once, opened from NONE, its first answer, and hot. */
#include "command.h"
#include "show.h"
#include "values.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

struct bench_options {
    const char *path, *format;
    uint64_t threads, cpu_features, runs;
    bool json;
    struct input_options inputs;
};

struct times {
    double prepare_ms, open_ms, first_ms, hot_p50_ms, hot_p99_ms;
    uint64_t file_bytes, resident_bytes;
};

static int read_options(struct arguments *arguments, struct bench_options *options) {
    const char *argument, *value;
    while ((argument = next_argument(arguments))) {
        if (take_flag(argument, "--json")) {
            options->json = true;
        } else if (take_option(arguments, argument, "--threads", &value)) {
            arguments->failed |= !read_number("--threads", value, &options->threads);
        } else if (take_option(arguments, argument, "--cpu-features", &value)) {
            arguments->failed |= !read_number("--cpu-features", value, &options->cpu_features);
        } else if (take_option(arguments, argument, "--runs", &value)) {
            arguments->failed |= !read_number("--runs", value, &options->runs);
        } else if (take_option(arguments, argument, "--format", &options->format) ||
                   take_input_option(arguments, argument, &options->inputs)) {
            continue;
        } else if (argument[0] == '-' || options->path) {
            return bad_argument(argument, "unexpected");
        } else {
            options->path = argument;
        }
    }
    if (arguments->failed) {
        return EXIT_USAGE;
    }
    if (options->runs == 0 || options->runs > 10000000 || options->threads > 1024) {
        return bad_argument("bench", "--runs from 1, --threads up to 1024");
    }
    return options->path ? EXIT_DONE : bad_argument("bench", "a model file is missing");
}

static double since_ms(uint64_t begun_ns) {
    return (double)(now_ns() - begun_ns) / 1e6;
}

/* Evict to NONE, then load: the artifact is known, so this is what a cold request waits for. */
static mm_status time_cold(mm_mesh *mesh, mm_model model, const struct inputs *inputs,
                           struct times *times, mm_error *err) {
    mm_status status = mm_evict(mesh, model, mm_deadline_after(UINT64_C(1000000000)), err);
    uint64_t begun_ns = now_ns();
    if (status == MM_OK) {
        status = mm_load(mesh, model, NULL, NULL, err);
        times->open_ms = since_ms(begun_ns);
    }
    return status == MM_OK ? infer_once(mesh, model, inputs, &times->first_ms, err) : status;
}

static mm_status time_hot(mm_mesh *mesh, mm_model model, const struct inputs *inputs, uint64_t runs,
                          struct times *times, mm_error *err) {
    double *samples = malloc(runs * sizeof(*samples));
    mm_status status = samples ? MM_OK : MM_NO_MEMORY;
    for (uint64_t i = 0; i < runs && status == MM_OK; i++) {
        status = infer_once(mesh, model, inputs, &samples[i], err);
        show_progress("bench", i + 1, runs);
    }
    end_progress();
    if (status == MM_OK) {
        times->hot_p50_ms = quantile(samples, runs, 0.5);
        times->hot_p99_ms = quantile(samples, runs, 0.99);
    }
    free(samples);
    return status;
}

static void print(const struct bench_options *options, const struct times *times) {
    if (options->json) {
        printf(
            "{\"prepare_ms\": %.4f, \"open_ms\": %.4f, \"first_ms\": %.4f, \"hot_p50_ms\": %.5f, "
            "\"hot_p99_ms\": %.5f, \"file_bytes\": %" PRIu64 ", \"resident_bytes\": %" PRIu64 "}\n",
            times->prepare_ms, times->open_ms, times->first_ms, times->hot_p50_ms,
            times->hot_p99_ms, times->file_bytes, times->resident_bytes);
        return;
    }
    printf("prepare   %10.3f ms   once for this content\n", times->prepare_ms);
    printf("open      %10.3f ms   from evicted to resident\n", times->open_ms);
    printf("first     %10.3f ms   the run after that\n", times->first_ms);
    printf("hot p50   %10.4f ms   p99 %.4f ms, %" PRIu64 " runs\n", times->hot_p50_ms,
           times->hot_p99_ms, options->runs);
    printf("resident  %10s      file %s\n", show_bytes(times->resident_bytes),
           show_bytes(times->file_bytes));
}

static int bench(mm_mesh *mesh, mm_model model, const struct bench_options *options) {
    mm_error err;
    mm_model_description *description;
    struct times times = {0};
    struct inputs inputs;
    if (mm_model_describe(mesh, model, 0, &description, &err) != MM_OK) {
        return failure(options->path, &err);
    }
    int code = EXIT_USAGE;
    if (make_inputs(description, &options->inputs, &inputs)) {
        double warm_ms;
        mm_status status = infer_once(mesh, model, &inputs, &warm_ms, &err);
        mm_model_info info = MM_MODEL_INFO_INIT;
        if (status == MM_OK) {
            mm_model_info_get(mesh, model, &info);
            times.prepare_ms = (double)info.prepare_ns / 1e6;
            times.resident_bytes = info.weights_bytes + info.activation_bytes;
            status = time_cold(mesh, model, &inputs, &times, &err);
        }
        if (status == MM_OK) {
            status = time_hot(mesh, model, &inputs, options->runs, &times, &err);
        }
        struct stat file;
        times.file_bytes = stat(options->path, &file) == 0 ? (uint64_t)file.st_size : 0;
        code = status == MM_OK ? EXIT_DONE : failure(options->path, &err);
        if (code == EXIT_DONE) {
            print(options, &times);
        }
        free_inputs(&inputs);
    }
    mm_description_free(description);
    return code;
}

int command_bench(int argc, char **argv) {
    struct arguments arguments = {.count = argc, .values = argv};
    struct bench_options options = {.runs = 100, .inputs = {.random = true, .seed = 1}};
    int code = read_options(&arguments, &options);
    if (code != EXIT_DONE) {
        return code;
    }
    mm_mesh *mesh;
    mm_model model;
    const struct opening opening = {.path = options.path,
                                    .format = options.format,
                                    .threads = (uint32_t)options.threads,
                                    .cpu_features = options.cpu_features};
    code = open_model(&opening, &mesh, &model);
    if (code == EXIT_DONE) {
        code = bench(mesh, model, &options);
        mm_mesh_free(&mesh);
    }
    return code;
}
