/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/operators/operator.h>
#include <base/status.h>
#include <base/text.h>

#include <inttypes.h>
#include <string.h>

const struct onnx_attribute *mmi_onnx_attribute(const struct onnx_attributes *a, const char *name) {
    for (uint32_t i = 0; i < a->node->attribute_count; i++) {
        struct onnx_attribute *attribute = &a->node->attributes[i];
        if (strcmp(attribute->name, name) == 0) {
            attribute->known = true;
            return attribute;
        }
    }
    return NULL;
}

static const struct onnx_node no_node;
static const struct onnx_attributes no_attributes = {.node = &no_node};

const struct onnx_attributes *mmi_onnx_since(const struct onnx_attributes *a, int64_t opset) {
    return a->opset >= opset ? a : &no_attributes;
}

const struct onnx_attributes *mmi_onnx_before(const struct onnx_attributes *a, int64_t opset) {
    return a->opset < opset ? a : &no_attributes;
}

mm_status mmi_onnx_check_known(const struct onnx_attributes *a, mm_error *err) {
    for (uint32_t i = 0; i < a->node->attribute_count; i++) {
        const struct onnx_attribute *attribute = &a->node->attributes[i];
        if (attribute->known) {
            continue;
        }
        for (uint32_t j = 0; j < i; j++) { /* the first of a name is the one that is found */
            if (strcmp(a->node->attributes[j].name, attribute->name) == 0) {
                return mmi_fail(err, MM_INVALID_MODEL, "attribute %.80s is there twice",
                                attribute->name);
            }
        }
        return mmi_fail(err, MM_INVALID_MODEL,
                        "attribute %.80s, which it does not have in opset %" PRId64,
                        attribute->name, a->opset);
    }
    return MM_OK;
}

static mm_status check_type(const struct onnx_attribute *attribute, int32_t type, mm_error *err) {
    if (attribute->type == type) {
        return MM_OK;
    }
    return mmi_fail(err, MM_INVALID_MODEL, "attribute %s has type %d, %d wanted", attribute->name,
                    attribute->type, type);
}

mm_status mmi_onnx_read_int(const struct onnx_attributes *a, const char *name, int64_t fallback,
                            int64_t *out, mm_error *err) {
    const struct onnx_attribute *attribute = mmi_onnx_attribute(a, name);
    *out = fallback;
    if (!attribute) {
        return MM_OK;
    }
    MMI_TRY(check_type(attribute, ONNX_ATTRIBUTE_INT, err));
    *out = attribute->i;
    return MM_OK;
}

mm_status mmi_onnx_read_int32(const struct onnx_attributes *a, const char *name, int32_t fallback,
                              int32_t *out, mm_error *err) {
    int64_t number;
    MMI_TRY(mmi_onnx_read_int(a, name, fallback, &number, err));
    *out = (int32_t)number;
    return *out == number
               ? MM_OK
               : mmi_fail(err, MM_INVALID_MODEL,
                          "attribute %s is %" PRId64 ", which 32 bits do not hold", name, number);
}

mm_status mmi_onnx_read_flag(const struct onnx_attributes *a, const char *name, bool fallback,
                             int32_t *out, mm_error *err) {
    int64_t number;
    MMI_TRY(mmi_onnx_read_int(a, name, fallback, &number, err));
    *out = number != 0;
    return MM_OK;
}

mm_status mmi_onnx_read_float(const struct onnx_attributes *a, const char *name, float fallback,
                              float *out, mm_error *err) {
    const struct onnx_attribute *attribute = mmi_onnx_attribute(a, name);
    *out = fallback;
    if (!attribute) {
        return MM_OK;
    }
    MMI_TRY(check_type(attribute, ONNX_ATTRIBUTE_FLOAT, err));
    *out = attribute->f;
    return MM_OK;
}

mm_status mmi_onnx_read_ints(const struct onnx_attributes *a, const char *name, uint32_t max,
                             int64_t *out, uint32_t *count, mm_error *err) {
    const struct onnx_attribute *attribute = mmi_onnx_attribute(a, name);
    *count = 0;
    if (!attribute) {
        return MM_OK;
    }
    MMI_TRY(check_type(attribute, ONNX_ATTRIBUTE_INTS, err));
    if (attribute->count > max) {
        return mmi_fail(err, MM_UNSUPPORTED, "attribute %s has %" PRIu64 " numbers, at most %u",
                        name, attribute->count, max);
    }
    if (attribute->count > 0) {
        memcpy(out, attribute->ints, attribute->count * sizeof(*out));
    }
    *count = (uint32_t)attribute->count;
    return MM_OK;
}

mm_status mmi_onnx_read_choice(const struct onnx_attributes *a, const char *name,
                               const char *const *choices, int32_t *out, mm_error *err) {
    const struct onnx_attribute *attribute = mmi_onnx_attribute(a, name);
    *out = 0;
    if (!attribute) {
        return MM_OK;
    }
    MMI_TRY(check_type(attribute, ONNX_ATTRIBUTE_STRING, err));
    for (int32_t i = 0; choices[i]; i++) {
        if (strcmp(choices[i], attribute->text) == 0) {
            *out = i;
            return MM_OK;
        }
    }
    char known[160];
    struct mmi_text text;
    mmi_text_init(&text, known, sizeof(known));
    for (int32_t i = 0; choices[i]; i++) {
        mmi_text_add(&text, i > 0 ? ", %s" : "%s", choices[i]);
    }
    return mmi_fail(err, MM_UNSUPPORTED, "attribute %s is '%.60s', one of these wanted: %s", name,
                    attribute->text, known);
}

mm_status mmi_onnx_known_ints(const struct onnx_inference *x, uint32_t input, const char *what,
                              struct onnx_ints *ints, mm_error *err) {
    const uint64_t max = sizeof(ints->at) / sizeof(ints->at[0]);
    const struct onnx_tensor *tensor = &x->inputs[input];
    if (!tensor->known) {
        return mmi_fail(err, MM_UNSUPPORTED, "its %s is not known before the run", what);
    }
    bool integer = tensor->dtype == MM_I64 || tensor->dtype == MM_I32;
    if (!integer || tensor->rank > 1) {
        return mmi_fail(err, MM_INVALID_MODEL, "its %s is %s with %u axes; i64 with one wanted",
                        what, mm_dtype_text(tensor->dtype), tensor->rank);
    }
    if (tensor->elements > max) {
        return mmi_fail(err, MM_UNSUPPORTED, "its %s has %" PRIu64 " numbers, at most %" PRIu64,
                        what, tensor->elements, max);
    }
    for (uint64_t i = 0; i < tensor->elements; i++) {
        ints->at[i] = mmi_onnx_int_at(tensor, i);
    }
    ints->count = (uint32_t)tensor->elements;
    return MM_OK;
}
