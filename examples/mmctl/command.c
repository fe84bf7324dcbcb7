/* SPDX-License-Identifier: Apache-2.0 */
#include "command.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *next_argument(struct arguments *arguments) {
    return arguments->at < arguments->count ? arguments->values[arguments->at++] : NULL;
}

bool take_option(struct arguments *arguments, const char *argument, const char *name,
                 const char **value) {
    size_t length = strlen(name);
    if (strncmp(argument, name, length) != 0) {
        return false;
    }
    if (argument[length] == '=') {
        *value = argument + length + 1;
        return true;
    }
    if (argument[length] != '\0') {
        return false;
    }
    *value = next_argument(arguments);
    if (!*value) {
        bad_argument(name, "its value is missing");
        arguments->failed = true;
        *value = "";
    }
    return true;
}

bool take_flag(const char *argument, const char *name) {
    return strcmp(argument, name) == 0;
}

int bad_argument(const char *argument, const char *why) {
    fprintf(stderr, "mmctl: %s: %s\n", argument, why);
    return EXIT_USAGE;
}

bool read_number(const char *name, const char *text, uint64_t *number) {
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (end == text || *end || errno || text[0] == '-') {
        bad_argument(name, "not a number");
        return false;
    }
    *number = value;
    return true;
}

bool read_bytes(const char *name, const char *text, uint64_t *bytes) {
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    unsigned shift = 0;
    switch (*end) {
    case 'k':
    case 'K':
        shift = 10;
        break;
    case 'm':
    case 'M':
        shift = 20;
        break;
    case 'g':
    case 'G':
        shift = 30;
        break;
    default:
        break;
    }
    const char *rest = shift ? end + 1 : end;
    bool fits = value <= (UINT64_MAX >> shift);
    if (end == text || *rest || errno || text[0] == '-' || !fits) {
        bad_argument(name, "not a number of bytes (1000, 64k, 20m, 2g)");
        return false;
    }
    *bytes = (uint64_t)value << shift;
    return true;
}

int failure(const char *name, const mm_error *err) {
    fprintf(stderr, "mmctl: %s: %s: %s\n", name, mm_status_name(err->status), err->text);
    return EXIT_FAILED;
}

int open_model(const struct opening *opening, mm_mesh **mesh, mm_model *model) {
    mm_error err;
    mm_mesh_options options = MM_MESH_OPTIONS_INIT;
    options.compute_threads = opening->threads;
    options.cpu_features = opening->cpu_features;
    options.log = opening->log;
    if (mm_mesh_create(&options, mesh, &err) != MM_OK) {
        return failure("mesh", &err);
    }
    mm_model_spec spec = MM_MODEL_SPEC_INIT;
    spec.name = "model";
    spec.source = opening->path;
    spec.format = opening->format;
    spec.config = opening->config;
    if (mm_register(*mesh, &spec, model, &err) != MM_OK) {
        mm_mesh_free(mesh);
        return failure(opening->path, &err);
    }
    return EXIT_DONE;
}
