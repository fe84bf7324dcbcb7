/* SPDX-License-Identifier: Apache-2.0 */
#include "command.h"
#include "json.h"
#include "show.h"

#include <inttypes.h>
#include <stdio.h>
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
           ", \"activation_bytes\": %" PRIu64 ", \"prepare_ms\": %.3f}\n",
           file_bytes(path), description->weights_bytes, description->activation_bytes,
           (double)info->prepare_ns / 1e6);
}

int command_inspect(int argc, char **argv) {
    struct arguments arguments = {.count = argc, .values = argv};
    const char *path = NULL, *format = NULL, *argument;
    bool json = false;
    while ((argument = next_argument(&arguments))) {
        if (take_flag(argument, "--json")) {
            json = true;
        } else if (take_option(&arguments, argument, "--format", &format)) {
            continue;
        } else if (argument[0] == '-' || path) {
            return bad_argument(argument, "unexpected");
        } else {
            path = argument;
        }
    }
    if (arguments.failed) {
        return EXIT_USAGE;
    }
    if (!path) {
        return bad_argument("inspect", "a model file is missing");
    }
    mm_mesh *mesh;
    mm_model model;
    int code = open_model(path, format, 0, &mesh, &model);
    if (code != EXIT_DONE) {
        return code;
    }
    mm_error err;
    mm_model_description *description;
    mm_model_info info = MM_MODEL_INFO_INIT;
    if (mm_model_describe(mesh, model, 0, &description, &err) != MM_OK) {
        code = failure(path, &err);
    } else {
        mm_model_info_get(mesh, model, &info);
        (json ? print_json : print_text)(path, description, &info);
        mm_description_free(description);
    }
    mm_mesh_free(&mesh);
    return code;
}
