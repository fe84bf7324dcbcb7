/* SPDX-License-Identifier: Apache-2.0 */
#include <catalog/warm.h>

#include <base/checked.h>

#include <string.h>

struct shape {
    const char *name;
    size_t name_bytes;
    uint32_t rank;
    int64_t axes[MM_MAX_RANK];
};

/* ---- Parsing -------------------------------------------------------------------------------- */

static bool read_axis(const char **at, int64_t *axis) {
    uint64_t value = 0;
    const char *first = *at;
    for (; **at >= '0' && **at <= '9'; (*at)++) {
        if (!mmi_mul(value, 10, &value) || !mmi_add(value, (uint64_t)(**at - '0'), &value) ||
            value > INT64_MAX) {
            return false;
        }
    }
    *axis = (int64_t)value;
    return *at > first;
}

/* "name=AxBxC"; a name may hold '=' itself. *at moves to what ends it: ',', ';' or NUL. */
static bool read_shape(const char **at, struct shape *shape) {
    const char *end = *at + strcspn(*at, ",;");
    const char *equals = memrchr(*at, '=', (size_t)(end - *at));
    if (!equals || equals == *at) {
        return false;
    }
    *shape = (struct shape){.name = *at, .name_bytes = (size_t)(equals - *at)};
    *at = equals + 1;
    while (*at < end) { /* nothing after '=' is a scalar */
        if (shape->rank == MM_MAX_RANK || !read_axis(at, &shape->axes[shape->rank++]) ||
            (*at < end && *(*at)++ != 'x') || (*at == end && end[-1] == 'x')) {
            return false;
        }
    }
    return true;
}

mm_status mmi_warm_check(const char *text, mm_error *err) {
    for (const char *at = text;; at++) {
        struct shape shape;
        const char *from = at;
        if (!read_shape(&at, &shape)) {
            return mmi_fail(err, MM_INVALID_ARGUMENT,
                            "spec.warm_up: \"name=1x2x3\" is expected at byte %zu: %.40s",
                            (size_t)(from - text), from);
        }
        if (*at == '\0') {
            return MM_OK;
        }
    }
}

/* ---- Matching a model ----------------------------------------------------------------------- */

/* A tensor of this shape for that input. false: the input does not take it. */
static bool put(const mm_value_info *info, uint32_t rank, const int64_t *axes, mm_value *value) {
    bool takes = info->kind == MM_TENSOR && !(info->flags & MM_VALUE_INFO_SHAPE_INPUT) &&
                 (info->rank < 0 || (uint32_t)info->rank == rank);
    *value = (mm_value){.name = info->name, .dtype = info->dtype, .rank = rank};
    uint64_t elements = 1;
    for (uint32_t i = 0; i < rank && takes; i++) {
        value->shape[i] = axes[i];
        takes = axes[i] >= 0 && mmi_mul(elements, (uint64_t)axes[i], &elements) &&
                (info->rank < 0 || info->shape[i] < 0 || info->shape[i] == axes[i]);
    }
    value->bytes = mm_dtype_bytes(info->dtype, elements);
    return takes && value->bytes != UINT64_MAX;
}

static mm_status put_named(const struct shape *shape, const mm_description *description,
                           mm_value *inputs, mm_error *err) {
    for (uint32_t i = 0; i < description->input_count; i++) {
        const mm_value_info *info = &description->inputs[i];
        if (strlen(info->name) == shape->name_bytes &&
            memcmp(info->name, shape->name, shape->name_bytes) == 0) {
            return put(info, shape->rank, shape->axes, &inputs[i])
                       ? MM_OK
                       : mmi_fail(err, MM_INVALID_ARGUMENT, "input %s: not of this shape",
                                  info->name);
        }
    }
    return mmi_fail(err, MM_INVALID_ARGUMENT, "no input %.*s",
                    (int)mmi_min_u64(shape->name_bytes, 255), shape->name);
}

static mm_status put_rest(const mm_description *description, mm_value *inputs, mm_error *err) {
    for (uint32_t i = 0; i < description->input_count; i++) {
        const mm_value_info *info = &description->inputs[i];
        bool optional = (info->flags & MM_VALUE_INFO_OPTIONAL) || info->kind == MM_OPTIONAL;
        if (inputs[i].kind == MM_OPTIONAL && !optional &&
            !put(info, info->rank < 0 ? 0 : (uint32_t)info->rank, info->shape, &inputs[i])) {
            return mmi_fail(err, MM_INVALID_ARGUMENT, "input %s: missing", info->name);
        }
    }
    return MM_OK;
}

bool mmi_warm_next(const char **at, const mm_description *description, mm_value *inputs,
                   mm_status *status, mm_error *err) {
    if (**at == '\0') {
        return false;
    }
    for (uint32_t i = 0; i < description->input_count; i++) {
        inputs[i] = (mm_value){.kind = MM_OPTIONAL};
    }
    *status = MM_OK;
    char end = ',';
    while (end == ',') {
        struct shape shape;
        read_shape(at, &shape);
        end = **at;
        *at += end != '\0';
        if (*status == MM_OK) {
            *status = put_named(&shape, description, inputs, err);
        }
    }
    if (*status == MM_OK) {
        *status = put_rest(description, inputs, err);
    }
    return true;
}
