/* SPDX-License-Identifier: Apache-2.0 */
#include "values.h"

#include "json.h"
#include "npy.h"
#include "show.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

bool take_input_option(struct arguments *arguments, const char *argument,
                       struct input_options *options) {
    const char *value;
    if (take_option(arguments, argument, "--input", &value)) {
        if (options->file_count < MAX_INPUTS && strchr(value, '=')) {
            options->files[options->file_count++] = value;
        } else {
            bad_argument(value, "NAME=FILE.npy or NAME=FILE.json is wanted");
            arguments->failed = true;
        }
        return true;
    }
    if (take_option(arguments, argument, "--shape", &value)) {
        if (options->shape_count < MAX_INPUTS && strchr(value, '=')) {
            options->shapes[options->shape_count++] = value;
        } else {
            bad_argument(value, "NAME=1x3x640x640 is wanted");
            arguments->failed = true;
        }
        return true;
    }
    if (take_option(arguments, argument, "--random", &value)) {
        options->random = true;
        arguments->failed |= !read_number("--random", value, &options->seed);
        return true;
    }
    return false;
}

/* What stands behind "NAME=" in a list; NULL = nothing does. */
static const char *find_named(const char *const *list, uint32_t count, const char *name) {
    size_t length = strlen(name);
    for (uint32_t i = 0; i < count; i++) {
        if (strncmp(list[i], name, length) == 0 && list[i][length] == '=') {
            return list[i] + length + 1;
        }
    }
    return NULL;
}

static bool read_shape(const char *text, mm_value *value) {
    value->rank = 0;
    while (*text) {
        char *end;
        long long axis = strtoll(text, &end, 10);
        if (end == text || axis < 0 || value->rank == MM_MAX_RANK || (*end && *end != 'x')) {
            return false;
        }
        value->shape[value->rank++] = axis;
        text = *end ? end + 1 : end;
    }
    return true;
}

/* splitmix64 */
static uint64_t next_random(uint64_t *state) {
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static void fill_one(unsigned char *to, int32_t dtype, uint64_t random) {
    float single = (float)(random >> 40) / 16777216.0f;
    double precise = (double)(random >> 11) / 9007199254740992.0;
    /* A half in [0, 1) with 10 random bits: 2^-1 .. 2^0 less 0.5 needs no table. */
    uint16_t half = (uint16_t)(0x3800 | (random & 0x3ff));
    uint16_t brain = (uint16_t)(0x3f00 | (random & 0x7f));
    switch (dtype) {
    case MM_F32:
        memcpy(to, &single, sizeof(single));
        break;
    case MM_F64:
        memcpy(to, &precise, sizeof(precise));
        break;
    case MM_F16:
        memcpy(to, &half, sizeof(half));
        break;
    case MM_BF16:
        memcpy(to, &brain, sizeof(brain));
        break;
    default:
        to[0] = random & 1;
        break;
    }
}

static bool fill_strings(mm_value *value, uint64_t elements, uint64_t *seed) {
    value->data = malloc(elements + 1);
    value->offsets = calloc(elements + 1, sizeof(uint64_t));
    if (!value->data || !value->offsets) {
        return false;
    }
    for (uint64_t i = 0; i < elements; i++) {
        ((char *)value->data)[i] = next_random(seed) & 1 ? '1' : '0';
        value->offsets[i + 1] = i + 1;
    }
    value->bytes = elements;
    return true;
}

static bool make_up(const mm_value_info *info, const char *shape, uint64_t *seed, mm_value *value) {
    *value = (mm_value){.dtype = info->dtype, .rank = info->rank > 0 ? (uint32_t)info->rank : 0};
    for (uint32_t i = 0; i < value->rank; i++) {
        value->shape[i] = info->shape[i] >= 0 ? info->shape[i] : 1;
    }
    if (shape && !read_shape(shape, value)) {
        bad_argument(shape, "not a shape such as 1x3x640x640");
        return false;
    }
    uint64_t elements = mm_shape_elements(value->rank, value->shape);
    if (info->kind != MM_TENSOR || elements > UINT64_C(1) << 34) {
        bad_argument(info->name, "inputs of this kind or size must be given with --input");
        return false;
    }
    if (info->dtype == MM_STRING) {
        return fill_strings(value, elements, seed);
    }
    value->bytes = mm_dtype_bytes(info->dtype, elements);
    value->data = calloc(1, value->bytes + 16);
    uint64_t width = elements ? value->bytes / elements : 0;
    for (uint64_t i = 0; value->data && width > 0 && i < elements; i++) {
        fill_one((unsigned char *)value->data + i * width, info->dtype, next_random(seed));
    }
    return value->data != NULL;
}

/* Every "NAME=..." names an input. */
static bool all_named(const mm_model_description *description, const char *const *list,
                      uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        uint32_t k = 0;
        while (k < description->input_count &&
               find_named(&list[i], 1, description->inputs[k].name) == NULL) {
            k++;
        }
        if (k == description->input_count) {
            bad_argument(list[i], "the model has no such input");
            return false;
        }
    }
    return true;
}

static bool read_input(const char *path, int32_t dtype, mm_value *value) {
    size_t length = strlen(path);
    bool json = length > 5 && strcmp(path + length - 5, ".json") == 0;
    return json ? read_json(path, value) : read_npy(path, dtype, value);
}

bool make_inputs(const mm_model_description *description, const struct input_options *options,
                 struct inputs *inputs) {
    uint64_t seed = options->seed;
    *inputs = (struct inputs){0};
    if (!all_named(description, options->files, options->file_count) ||
        (!options->several && !all_named(description, options->shapes, options->shape_count))) {
        return false;
    }
    inputs->values = calloc((size_t)description->input_count + 1, sizeof(*inputs->values));
    for (uint32_t i = 0; inputs->values && i < description->input_count; i++) {
        const mm_value_info *info = &description->inputs[i];
        const char *file = find_named(options->files, options->file_count, info->name);
        const char *shape = find_named(options->shapes, options->shape_count, info->name);
        bool optional = info->flags & MM_VALUE_INFO_OPTIONAL || info->kind == MM_OPTIONAL;
        if (!file && !shape && optional) {
            continue;
        }
        mm_value *value = &inputs->values[inputs->count];
        bool good =
            file ? read_input(file, info->dtype, value) : make_up(info, shape, &seed, value);
        if (!good) {
            free_inputs(inputs);
            return false;
        }
        value->name = info->name;
        inputs->count++;
    }
    return inputs->values != NULL;
}

void free_inputs(struct inputs *inputs) {
    for (uint32_t i = 0; i < inputs->count; i++) {
        free_value(&inputs->values[i]);
    }
    free(inputs->values);
    *inputs = (struct inputs){0};
}

mm_status infer_once(mm_mesh *mesh, mm_model model, const struct inputs *inputs, double *ms,
                     mm_error *err) {
    mm_request request = MM_REQUEST_INIT;
    request.inputs = inputs->values;
    request.input_count = inputs->count;
    mm_response response = MM_RESPONSE_INIT;
    uint64_t begun_ns = now_ns();
    mm_status status = mm_infer(mesh, model, &request, &response, err);
    if (ms) {
        *ms = (double)(now_ns() - begun_ns) / 1e6;
    }
    mm_response_free(&response);
    return status;
}

#define NAME_ROOM 240

/* The name of a file without its suffix. */
static void file_name(const char *name, char text[NAME_ROOM]) {
    snprintf(text, NAME_ROOM, "%.200s", name);
    for (char *at = text; *at; at++) {
        *at = *at == '/' ? '_' : *at;
    }
}

/* How many of those before it are written under the same name. */
static uint32_t alike_before(const mm_value *values, uint32_t i, const char *name) {
    char other[NAME_ROOM];
    uint32_t alike = 0;
    for (uint32_t k = 0; k < i; k++) {
        file_name(values[k].name, other);
        alike += strcmp(other, name) == 0;
    }
    return alike;
}

static bool is_taken(const mm_value *values, uint32_t count, const char *name) {
    char other[NAME_ROOM];
    for (uint32_t k = 0; k < count; k++) {
        file_name(values[k].name, other);
        if (strcmp(other, name) == 0) {
            return true;
        }
    }
    return false;
}

/* The name that no other of the values has: with a number, counted on past names that have one. */
static void own_name(const mm_value *values, uint32_t count, uint32_t i, char text[NAME_ROOM]) {
    char name[NAME_ROOM];
    file_name(values[i].name, name);
    uint32_t number = alike_before(values, i, name);
    snprintf(text, NAME_ROOM, "%s", name);
    uint32_t left = number;
    for (number = 1; left > 0;) {
        snprintf(text, NAME_ROOM, "%.200s_%u", name, ++number);
        left -= is_taken(values, count, text) ? 0 : 1;
    }
}

bool write_values(const char *dir, const mm_value *values, uint32_t count) {
    if (mkdir(dir, 0777) != 0 && errno != EEXIST) {
        fprintf(stderr, "mmctl: %s: %s\n", dir, strerror(errno));
        return false;
    }
    for (uint32_t i = 0; i < count; i++) {
        char name[NAME_ROOM], path[4096];
        bool tensor = values[i].kind == MM_TENSOR;
        own_name(values, count, i, name);
        snprintf(path, sizeof(path), "%.3000s/%s.%s", dir, name, tensor ? "npy" : "json");
        if (!(tensor ? write_npy : write_json)(path, &values[i])) {
            return false;
        }
    }
    return true;
}
