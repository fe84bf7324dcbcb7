/* SPDX-License-Identifier: Apache-2.0 */
/* Where the time of a model goes: runs with the backend's clock on, then its report. */
#include "profile.h"

#include "command.h"
#include "json.h"
#include "plan.h"
#include "show.h"
#include "values.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define MAX_RUNS 200 /* the backend remembers some more */

struct profile_options {
    const char *path, *format, *trace;
    uint64_t threads, cpu_features, runs, warm_up, nodes;
    bool json;
    struct input_options inputs;
};

static int read_options(struct arguments *arguments, struct profile_options *options) {
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
        } else if (take_option(arguments, argument, "--warm-up", &value)) {
            arguments->failed |= !read_number("--warm-up", value, &options->warm_up);
        } else if (take_option(arguments, argument, "--nodes", &value)) {
            arguments->failed |= !read_number("--nodes", value, &options->nodes);
        } else if (take_option(arguments, argument, "--format", &options->format) ||
                   take_option(arguments, argument, "--trace", &options->trace) ||
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
    if (options->runs == 0 || options->runs > MAX_RUNS || options->threads > 1024 ||
        options->warm_up > 100000) {
        return bad_argument("profile",
                            "--runs 1 to 200, --threads up to 1024, --warm-up up to 100000");
    }
    return options->path ? EXIT_DONE : bad_argument("profile", "a model file is missing");
}

/* ---- The runs -------------------------------------------------------------------------------- */

static mm_status run_all(mm_mesh *mesh, mm_model model, const struct inputs *inputs,
                         const struct profile_options *options, mm_error *err) {
    mm_status status = MM_OK;
    uint64_t all = options->warm_up + options->runs;
    for (uint64_t i = 0; i < all && status == MM_OK; i++) {
        status = infer_once(mesh, model, inputs, NULL, err);
        show_progress("profile", i + 1, all);
    }
    end_progress();
    return status;
}

/* ---- Tables ---------------------------------------------------------------------------------- */

static double percent(const struct profile *profile, double ms) {
    return profile->parts_ms > 0 ? 100 * ms / profile->parts_ms : 0;
}

/* Billions a second. */
static double rate(uint64_t amount, double ms) {
    return ms > 0 ? (double)amount / ms / 1e6 : 0;
}

static void print_operators(const struct profile *profile) {
    printf("\n%-28s %6s %-6s %10s %6s %9s %8s\n", "operator", "calls", "kernel", "ms", "%",
           "GFLOP/s", "GB/s");
    for (uint32_t i = 0; i < profile->operator_count; i++) {
        const struct timed *op = &profile->operators[i];
        printf("%-28s %6" PRIu64 " %-6s %10.4f %6.1f %9.2f %8.2f\n", op->op, op->calls,
               kernel_of(op), op->ms, percent(profile, op->ms), rate(op->flops, op->ms),
               rate(op->bytes, op->ms));
    }
    printf("%-28s %6s %-6s %10.4f %6.1f\n", "between steps", "", "", profile->rest_ms,
           percent(profile, profile->rest_ms));
}

static void print_nodes(const struct profile *profile, uint64_t most) {
    uint64_t count = profile->slowest_count < most ? profile->slowest_count : most;
    if (count == 0) {
        return;
    }
    printf("\n%-40s %-24s %6s %-6s %10s %6s %9s %8s  %s\n", "node", "operator", "calls", "kernel",
           "ms", "%", "GFLOP/s", "GB/s", "makes");
    for (uint64_t i = 0; i < count; i++) {
        const struct timed *node = profile->slowest[i];
        char name[256];
        size_t length = strlen(node->node);
        const char *end = length > 40 ? node->node + length - 37 : node->node; /* tells more */
        printf("%s%-*s %-24.24s %6" PRIu64 " %-6s %10.4f %6.1f %9.2f %8.2f  %s\n",
               length > 40 ? "..." : "", length > 40 ? 37 : 40, end, name_operator(node, name),
               node->calls, kernel_of(node), node->ms, percent(profile, node->ms),
               rate(node->flops, node->ms), rate(node->bytes, node->ms), node->shape);
    }
    if (count < profile->slowest_count) {
        printf("... and %" PRIu64 " more (--nodes N)\n", profile->slowest_count - count);
    }
}

static void print_text(const struct profile_options *options, const char *shapes,
                       const struct profile *profile) {
    uint64_t flops = 0;
    for (uint32_t i = 0; i < profile->operator_count; i++) {
        flops += profile->operators[i].flops;
    }
    printf("%s   %s   %u runs after %" PRIu64 " to warm up, medians\n", options->path, shapes,
           profile->run_count, options->warm_up);
    printf("run          %.4f ms, %.4f GFLOP, %.2f GFLOP/s\n", profile->run_ms, (double)flops / 1e9,
           rate(flops, profile->run_ms));
    printf("its parts    %.4f ms, each by its own median\n", profile->parts_ms);
    print_operators(profile);
    print_nodes(profile, options->nodes);
}

static void print_json_text(const char *text) {
    put_json_text(stdout, text, strlen(text), false);
}

static void print_json_timed(const struct profile *profile, const struct timed *timed) {
    printf("\"calls\": %" PRIu64 ", \"kernel\": \"%s\", \"ms\": %.6f, \"percent\": %.3f, "
           "\"flops\": %" PRIu64 ", \"bytes\": %" PRIu64
           ", \"gflops_s\": %.4f, \"gbytes_s\": %.4f}",
           timed->calls, kernel_of(timed), timed->ms, percent(profile, timed->ms), timed->flops,
           timed->bytes, rate(timed->flops, timed->ms), rate(timed->bytes, timed->ms));
}

static void print_json(const struct profile_options *options, const char *shapes,
                       const struct profile *profile) {
    printf("{\"model\": ");
    print_json_text(options->path);
    printf(", \"inputs\": ");
    print_json_text(shapes);
    printf(
        ", \"runs\": %u, \"run_ms\": %.6f, \"parts_ms\": %.6f, \"rest_ms\": %.6f, \"operators\": [",
        profile->run_count, profile->run_ms, profile->parts_ms, profile->rest_ms);
    for (uint32_t i = 0; i < profile->operator_count; i++) {
        printf("%s{\"operator\": ", i > 0 ? ", " : "");
        print_json_text(profile->operators[i].op);
        printf(", ");
        print_json_timed(profile, &profile->operators[i]);
    }
    printf("], \"nodes\": [");
    for (uint32_t i = 0; i < profile->slowest_count; i++) {
        const struct timed *node = profile->slowest[i];
        printf("%s{\"node\": ", i > 0 ? ", " : "");
        print_json_text(node->node);
        printf(", \"operator\": ");
        print_json_text(node->op);
        printf(", \"fused\": [");
        for (const struct tree *at = node->fused->first; at; at = at->next) {
            print_json_text(at->text ? at->text : "");
            printf("%s", at->next ? ", " : "");
        }
        printf("], \"makes\": ");
        print_json_text(node->shape);
        printf(", ");
        print_json_timed(profile, node);
    }
    printf("]}\n");
}

/* ---- The command ----------------------------------------------------------------------------- */

static int show(mm_mesh *mesh, mm_model model, const struct inputs *inputs,
                const struct profile_options *options) {
    struct plan plan;
    struct profile profile = {0};
    char shapes[1024];
    int code = read_plan(mesh, model, inputs, &plan);
    if (code == EXIT_DONE && !read_profile(plan.tree, options->runs, &profile)) {
        code = EXIT_FAILED;
    }
    if (code == EXIT_DONE) {
        name_shapes(inputs, shapes);
        (options->json ? print_json : print_text)(options, shapes, &profile);
    }
    if (code == EXIT_DONE && options->trace &&
        !write_trace(options->trace, options->path, &profile)) {
        code = EXIT_FAILED;
    }
    free_profile(&profile);
    free_plan(&plan);
    return code;
}

static int profile(mm_mesh *mesh, mm_model model, const struct profile_options *options) {
    mm_error err;
    mm_model_description *description;
    char text[1024];
    struct inputs inputs;
    if (mm_model_describe(mesh, model, 0, &description, &err) != MM_OK) {
        return failure(options->path, &err);
    }
    int code = EXIT_USAGE;
    if (name_free_inputs(description, &options->inputs, text)) {
        bad_argument(text, "its shape is open; give --shape NAME=1x3x224x224, or --input");
    } else if (make_inputs(description, &options->inputs, &inputs)) {
        mm_status status = run_all(mesh, model, &inputs, options, &err);
        code = status == MM_OK ? show(mesh, model, &inputs, options) : failure(options->path, &err);
        free_inputs(&inputs);
    }
    mm_description_free(description);
    return code;
}

int command_profile(int argc, char **argv) {
    struct arguments arguments = {.count = argc, .values = argv};
    struct profile_options options = {
        .runs = 10, .warm_up = 3, .nodes = 20, .inputs = {.random = true, .seed = 1}};
    int code = read_options(&arguments, &options);
    if (code != EXIT_DONE) {
        return code;
    }
    mm_mesh *mesh;
    mm_model model;
    const struct opening opening = {.path = options.path,
                                    .format = options.format,
                                    .config = "profile=1",
                                    .threads = (uint32_t)options.threads,
                                    .cpu_features = options.cpu_features};
    code = open_model(&opening, &mesh, &model);
    if (code == EXIT_DONE) {
        code = profile(mesh, model, &options);
        mm_mesh_free(&mesh);
    }
    return code;
}
