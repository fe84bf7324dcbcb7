/* SPDX-License-Identifier: Apache-2.0 */
#include "values.h"

#include "npy.h"

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
            bad_argument(value, "NAME=FILE.npy is wanted");
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

bool make_inputs(const mm_model_description *description, const struct input_options *options,
                 struct inputs *inputs) {
    *inputs = (struct inputs){0};
    uint64_t seed = options->seed;
    for (uint32_t i = 0; i < options->file_count; i++) {
        uint32_t k = 0;
        while (k < description->input_count &&
               find_named(&options->files[i], 1, description->inputs[k].name) == NULL) {
            k++;
        }
        if (k == description->input_count) {
            bad_argument(options->files[i], "the model has no such input");
            return false;
        }
    }
    for (uint32_t i = 0; i < description->input_count && i < MAX_INPUTS; i++) {
        const mm_value_info *info = &description->inputs[i];
        const char *file = find_named(options->files, options->file_count, info->name);
        if (!file && (info->flags & MM_VALUE_INFO_OPTIONAL)) {
            continue;
        }
        mm_value *value = &inputs->values[inputs->count];
        const char *shape = find_named(options->shapes, options->shape_count, info->name);
        bool good = file ? read_npy(file, info->dtype, value) : make_up(info, shape, &seed, value);
        if (!good) {
            free_inputs(inputs);
            return false;
        }
        value->name = info->name;
        inputs->count++;
    }
    return true;
}

void free_inputs(struct inputs *inputs) {
    for (uint32_t i = 0; i < inputs->count; i++) {
        free_value(&inputs->values[i]);
    }
    inputs->count = 0;
}

bool write_values(const char *dir, const mm_value *values, uint32_t count) {
    if (mkdir(dir, 0777) != 0 && errno != EEXIST) {
        fprintf(stderr, "mmctl: %s: %s\n", dir, strerror(errno));
        return false;
    }
    for (uint32_t i = 0; i < count; i++) {
        char name[256];
        snprintf(name, sizeof(name), "%s", values[i].name);
        for (char *at = name; *at; at++) {
            *at = *at == '/' ? '_' : *at;
        }
        char path[4096];
        snprintf(path, sizeof(path), "%s/%s.npy", dir, name);
        if (!write_npy(path, &values[i])) {
            return false;
        }
    }
    return true;
}
