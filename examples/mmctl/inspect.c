/* SPDX-License-Identifier: Apache-2.0 */
/* What a model is, and how it would run for given shapes; of one that cannot be run, all that is in
 * the way. */
#include "command.h"
#include "json.h"
#include "plan.h"
#include "show.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static void print_values(const char *title, const mm_value_info *values, uint32_t count) {
    printf("%s\n", title);
    for (uint32_t i = 0; i < count; i++) {
        const char *optional = values[i].flags & MM_VALUE_INFO_OPTIONAL ? "  (optional)" : "";
        printf("  %-24s %s%s\n", values[i].name, show_value(&values[i]), optional);
    }
}

/* Some files keep whole tables there: the first line says what it is. */
static void print_metadata(const char *key, const char *value) {
    int shown = (int)strcspn(value, "\n");
    shown = shown < 1000 ? shown : 1000;
    printf("%-12s %.*s%s\n", key, shown, value, value[shown] ? " ..." : "");
}

/* 0 for a folder. */
static uint64_t file_bytes(const char *path) {
    struct stat file;
    return stat(path, &file) == 0 && S_ISREG(file.st_mode) ? (uint64_t)file.st_size : 0;
}

static void print_text(const char *path, const mm_model_description *description,
                       const mm_model_info *info) {
    printf("format       %s, run by backend %s\n", description->format, description->backend);
    if (file_bytes(path) > 0) {
        printf("file         %s\n", show_bytes(file_bytes(path)));
    }
    print_values("inputs", description->inputs, description->input_count);
    print_values("outputs", description->outputs, description->output_count);
    printf("weights      %s packed\n", show_bytes(description->weights_bytes));
    printf("activations  %s a run, estimated\n", show_bytes(description->activation_bytes));
    printf("description  %s of host memory\n", show_bytes(info->description_bytes));
    printf("prepared in  %.1f ms\n", (double)info->prepare_ns / 1e6);
    if (description->serial) {
        printf("serial       one inference at a time\n");
    }
    for (uint32_t i = 0; i < description->metadata_count; i++) {
        print_metadata(description->metadata[2 * i], description->metadata[2 * i + 1]);
    }
}

static void print_json_text(const char *text) {
    put_json_text(stdout, text, strlen(text), false);
}

/* Of an unknown rank: null. */
static void print_json_shape(const mm_value_info *info) {
    if (info->rank < 0) {
        printf("null");
        return;
    }
    for (int32_t axis = 0; axis < info->rank; axis++) {
        printf("%s%" PRId64, axis ? ", " : "[", info->shape[axis]);
    }
    printf(info->rank == 0 ? "[]" : "]");
}

static void print_json_values(const char *key, const mm_value_info *values, uint32_t count) {
    static const char *const kinds[] = {"tensor", "sequence", "optional", "map"};
    printf(", \"%s\": [", key);
    for (uint32_t i = 0; i < count; i++) {
        printf("%s{\"name\": ", i ? ", " : "");
        print_json_text(values[i].name);
        printf(", \"dtype\": \"%s\", \"shape\": ", mm_dtype_text(values[i].dtype));
        print_json_shape(&values[i]);
        if (values[i].kind != MM_TENSOR) {
            printf(", \"kind\": \"%s\"", kinds[values[i].kind & 3]);
        }
        printf("%s}", values[i].flags & MM_VALUE_INFO_OPTIONAL ? ", \"optional\": true" : "");
    }
    printf("]");
}

static void print_json(const char *path, const mm_model_description *description,
                       const mm_model_info *info) {
    printf("{\"format\": ");
    print_json_text(description->format);
    printf(", \"backend\": ");
    print_json_text(description->backend);
    print_json_values("inputs", description->inputs, description->input_count);
    print_json_values("outputs", description->outputs, description->output_count);
    printf(", \"file_bytes\": %" PRIu64 ", \"weights_bytes\": %" PRIu64
           ", \"activation_bytes\": %" PRIu64 ", \"prepare_ms\": %.3f, \"metadata\": {",
           file_bytes(path), description->weights_bytes, description->activation_bytes,
           (double)info->prepare_ns / 1e6);
    for (uint32_t i = 0; i < description->metadata_count; i++) {
        printf("%s", i > 0 ? ", " : "");
        print_json_text(description->metadata[2 * i]);
        printf(": ");
        print_json_text(description->metadata[2 * i + 1]);
    }
    printf("}");
}

/* ---- What is in the way ---------------------------------------------------------------------- */

#define MAX_LINES 128

/* What the library logs while it reads the model: the one error says only the first of these. */
struct lines {
    pthread_mutex_t mutex;
    char *at[MAX_LINES];
    uint32_t count;
};

static void take_line(void *user, int32_t level, const char *text) {
    struct lines *lines = user;
    (void)level;
    pthread_mutex_lock(&lines->mutex);
    if (lines->count < MAX_LINES) {
        lines->at[lines->count] = strdup(text);
        lines->count += lines->at[lines->count] != NULL;
    }
    pthread_mutex_unlock(&lines->mutex);
}

static void free_lines(struct lines *lines) {
    for (uint32_t i = 0; i < lines->count; i++) {
        free(lines->at[i]);
    }
}

static int print_failure(const char *path, const mm_error *err, const struct lines *lines,
                         bool json) {
    int code = failure(path, err);
    for (uint32_t i = 0; i < lines->count && !json; i++) {
        fprintf(stderr, "  %s\n", lines->at[i]);
    }
    if (json) {
        printf("{\"error\": \"%s\", \"text\": ", mm_status_name(err->status));
        print_json_text(err->text);
        printf(", \"problems\": [");
        for (uint32_t i = 0; i < lines->count; i++) {
            printf("%s", i > 0 ? ", " : "");
            print_json_text(lines->at[i]);
        }
        printf("]}\n");
    }
    return code;
}

/* ---- The command ----------------------------------------------------------------------------- */

struct inspect_options {
    const char *path, *format;
    bool json;
    struct input_options inputs;
};

/* How it would run. A backend need not tell, and where shapes are open it is said how to give
 * them. */
static int inspect_plan(mm_mesh *mesh, mm_model model, const mm_model_description *description,
                        const struct inspect_options *options) {
    char text[1024];
    struct inputs inputs;
    struct plan plan;
    bool asked = options->inputs.shape_count > 0 || options->inputs.file_count > 0;
    if (strcmp(description->backend, "onnx") != 0 && !asked) {
        return EXIT_DONE; /* others are asked when somebody wants it */
    }
    if (name_free_inputs(description, &options->inputs, text)) {
        if (asked) {
            return bad_argument(text, "its shape is open; give --shape NAME=1x3x224x224");
        }
        if (!options->json) {
            printf("steps        kernels and memory with --shape NAME=1x3x224x224: %s\n", text);
        }
        return EXIT_DONE;
    }
    if (!make_inputs(description, &options->inputs, &inputs)) {
        return EXIT_USAGE;
    }
    name_shapes(&inputs, text);
    int code = read_plan(mesh, model, &inputs, &plan);
    if (code == EXIT_DONE && options->json) {
        printf(", \"plan\": ");
        print_plan_json(&plan);
    } else if (code == EXIT_DONE) {
        printf("for          %s\n", text);
        print_plan(&plan);
    }
    free_plan(&plan);
    free_inputs(&inputs);
    return code;
}

static int inspect(mm_mesh *mesh, mm_model model, const struct inspect_options *options,
                   const struct lines *lines) {
    mm_error err;
    mm_model_description *description;
    mm_model_info info = MM_MODEL_INFO_INIT;
    if (mm_model_describe(mesh, model, 0, &description, &err) != MM_OK) {
        return print_failure(options->path, &err, lines, options->json);
    }
    mm_model_info_get(mesh, model, &info);
    (options->json ? print_json : print_text)(options->path, description, &info);
    int code = inspect_plan(mesh, model, description, options);
    if (options->json) {
        printf("}\n");
    }
    mm_description_free(description);
    return code;
}

static int read_options(struct arguments *arguments, struct inspect_options *options) {
    const char *argument;
    while ((argument = next_argument(arguments))) {
        if (take_flag(argument, "--json")) {
            options->json = true;
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
    return options->path ? EXIT_DONE : bad_argument("inspect", "a model file is missing");
}

int command_inspect(int argc, char **argv) {
    struct arguments arguments = {.count = argc, .values = argv};
    struct inspect_options options = {.inputs = {.random = true, .seed = 1}};
    struct lines lines = {.mutex = PTHREAD_MUTEX_INITIALIZER};
    int code = read_options(&arguments, &options);
    if (code != EXIT_DONE) {
        return code;
    }
    mm_mesh *mesh;
    mm_model model;
    const struct opening opening = {
        .path = options.path, .format = options.format, .log = {.user = &lines, .line = take_line}};
    code = open_model(&opening, &mesh, &model);
    if (code == EXIT_DONE) {
        code = inspect(mesh, model, &options, &lines);
        mm_mesh_free(&mesh);
    }
    free_lines(&lines);
    return code;
}
