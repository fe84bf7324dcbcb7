/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/suite_values.h>

#include <backends/onnx/format/loading.h>
#include <base/status.h>

#include <math.h>
#include <string.h>

/* ---- Reading --------------------------------------------------------------------------------- */

/* Fields of SequenceProto and OptionalProto alike: what is of one kind. */
enum { ELEMENT_KIND = 2, TENSORS = 3, SEQUENCES = 5, OPTIONALS = 7 };

static const struct onnx_schema items_schema = {
    "a sequence or an optional",
    {[ELEMENT_KIND] = ONNX_VARINT,
     [TENSORS] = ONNX_BYTES,
     [SEQUENCES] = ONNX_BYTES,
     [OPTIONALS] = ONNX_BYTES},
};

static mm_status read_strings(struct onnx_model *model, const struct onnx_tensor *tensor,
                              mm_value *value, mm_error *err) {
    const struct onnx_string *strings = tensor->data;
    value->offsets = mmi_onnx_take(model->arena, tensor->elements + 1, sizeof(*value->offsets));
    for (uint64_t i = 0; i < tensor->elements && value->offsets; i++) {
        value->offsets[i + 1] = value->offsets[i] + strings[i].bytes;
    }
    value->bytes = value->offsets ? value->offsets[tensor->elements] : 0;
    char *text = value->data = mmi_onnx_take_data(model->arena, value->bytes);
    if (!text || !value->offsets) {
        return mmi_fail(err, MM_NO_MEMORY, "no memory");
    }
    for (uint64_t i = 0; i < tensor->elements; i++) {
        memcpy(text + value->offsets[i], strings[i].at, strings[i].bytes);
    }
    return MM_OK;
}

static mm_status read_tensor(struct onnx_model *model, struct onnx_span bytes, mm_value *value,
                             mm_error *err) {
    struct onnx_tensor *tensor;
    struct onnx_span ignored;
    struct onnx_loading loading = {.model = model, .file = bytes.at};
    MMI_TRY(mmi_onnx_load_tensor(&loading, bytes, &tensor, &ignored, err));
    *value = (mm_value){.kind = MM_TENSOR,
                        .dtype = tensor->dtype,
                        .rank = tensor->rank,
                        .data = (void *)(uintptr_t)tensor->data,
                        .bytes = tensor->bytes};
    memcpy(value->shape, tensor->shape, sizeof(value->shape));
    return tensor->dtype == MM_STRING ? read_strings(model, tensor, value, err) : MM_OK;
}

static mm_status read_items(struct onnx_model *model, struct onnx_span bytes, int32_t kind,
                            mm_value *value, mm_error *err);

static mm_status read_item(struct onnx_model *model, const struct onnx_field *field,
                           mm_value *value, mm_error *err) {
    return field->number == TENSORS
               ? read_tensor(model, field->bytes, value, err)
               : read_items(model, field->bytes,
                            field->number == SEQUENCES ? MM_SEQUENCE : MM_OPTIONAL, value, err);
}

static mm_status read_items(struct onnx_model *model, struct onnx_span bytes, int32_t kind,
                            mm_value *value, mm_error *err) {
    struct onnx_message message;
    struct onnx_field field;
    MMI_TRY(mmi_onnx_open_message(&message, bytes, &items_schema, bytes.at, err));
    uint64_t count = mmi_onnx_count_of(message, TENSORS) + mmi_onnx_count_of(message, SEQUENCES) +
                     mmi_onnx_count_of(message, OPTIONALS);
    *value = (mm_value){.kind = kind};
    value->items = mmi_onnx_take(model->arena, count, sizeof(*value->items));
    while (value->items && mmi_onnx_next_field(&message, &field)) {
        bool item =
            field.number == TENSORS || field.number == SEQUENCES || field.number == OPTIONALS;
        if (item) {
            MMI_TRY(read_item(model, &field, &value->items[value->item_count++], err));
        }
    }
    return value->items ? MM_OK : mmi_fail(err, MM_NO_MEMORY, "no memory");
}

mm_status suite_read_value(struct onnx_model *model, const void *bytes, uint64_t count,
                           const mm_value_info *info, mm_value *value, mm_error *err) {
    struct onnx_span span = {bytes, count};
    MMI_TRY(info->kind == MM_TENSOR ? read_tensor(model, span, value, err)
                                    : read_items(model, span, info->kind, value, err));
    value->name = info->name;
    return MM_OK;
}

/* ---- Comparing ------------------------------------------------------------------------------- */

struct comparison {
    double relative, absolute;
};

static bool is_near(double got, double wanted, const struct comparison *c) {
    if (isnan(wanted) || isinf(wanted)) {
        return isnan(wanted) ? isnan(got) : got == wanted;
    }
    return fabs(got - wanted) <= c->absolute + c->relative * fabs(wanted);
}

static mm_status compare_strings(const mm_value *got, const mm_value *wanted, uint64_t count,
                                 mm_error *err) {
    for (uint64_t i = 0; i < count; i++) {
        const char *a = (const char *)got->data + got->offsets[i];
        const char *b = (const char *)wanted->data + wanted->offsets[i];
        uint64_t of_a = got->offsets[i + 1] - got->offsets[i];
        uint64_t of_b = wanted->offsets[i + 1] - wanted->offsets[i];
        if (of_a != of_b || memcmp(a, b, of_a) != 0) {
            return mmi_fail(err, MM_BACKEND_FAILED, "element %llu is '%.*s', '%.*s' wanted",
                            (unsigned long long)i, (int)of_a, a, (int)of_b, b);
        }
    }
    return MM_OK;
}

static mm_status compare_floats(const struct onnx_tensor *got, const struct onnx_tensor *wanted,
                                const struct comparison *c, mm_error *err) {
    for (uint64_t i = 0; i < wanted->elements; i++) {
        double a = mmi_onnx_float_at(got, i), b = mmi_onnx_float_at(wanted, i);
        if (!is_near(a, b, c)) {
            return mmi_fail(err, MM_BACKEND_FAILED, "element %llu is %.9g, %.9g wanted",
                            (unsigned long long)i, a, b);
        }
    }
    return MM_OK;
}

static mm_status compare_bytes(const mm_value *got, const mm_value *wanted, mm_error *err) {
    const uint8_t *a = got->data, *b = wanted->data;
    for (uint64_t i = 0; i < wanted->bytes; i++) {
        if (a[i] != b[i]) {
            return mmi_fail(err, MM_BACKEND_FAILED, "byte %llu of %s is %u, %u wanted",
                            (unsigned long long)i, mm_dtype_text(wanted->dtype), a[i], b[i]);
        }
    }
    return MM_OK;
}

static mm_status compare_tensors(const mm_value *got, const mm_value *wanted,
                                 const struct comparison *c, mm_error *err) {
    struct onnx_tensor a, b;
    MMI_TRY(mmi_onnx_tensor_set(&a, got->dtype, got->rank, got->shape, err));
    MMI_TRY(mmi_onnx_tensor_set(&b, wanted->dtype, wanted->rank, wanted->shape, err));
    a.data = got->data;
    b.data = wanted->data;
    if (a.dtype != b.dtype || a.rank != b.rank ||
        memcmp(a.shape, b.shape, a.rank * sizeof(a.shape[0])) != 0) {
        return mmi_fail(err, MM_BACKEND_FAILED,
                        "%s [%lld, %lld ...] of %u axes, %s [%lld, %lld ...] of %u wanted",
                        mm_dtype_text(a.dtype), (long long)a.shape[0], (long long)a.shape[1],
                        a.rank, mm_dtype_text(b.dtype), (long long)b.shape[0],
                        (long long)b.shape[1], b.rank);
    }
    bool floats = b.dtype == MM_F32 || b.dtype == MM_F64 || b.dtype == MM_F16 || b.dtype == MM_BF16;
    return b.dtype == MM_STRING ? compare_strings(got, wanted, b.elements, err)
           : floats             ? compare_floats(&a, &b, c, err)
                                : compare_bytes(got, wanted, err);
}

mm_status suite_compare(const mm_value *got, const mm_value *wanted, double relative,
                        double absolute, mm_error *err) {
    struct comparison c = {relative, absolute};
    if (got->kind != wanted->kind || got->item_count != wanted->item_count) {
        return mmi_fail(err, MM_BACKEND_FAILED, "kind %d of %llu items, kind %d of %llu wanted",
                        got->kind, (unsigned long long)got->item_count, wanted->kind,
                        (unsigned long long)wanted->item_count);
    }
    if (got->kind == MM_TENSOR) {
        return compare_tensors(got, wanted, &c, err);
    }
    for (uint64_t i = 0; i < got->item_count; i++) {
        mm_status status =
            suite_compare(&got->items[i], &wanted->items[i], relative, absolute, err);
        if (status != MM_OK) {
            mmi_error_prefix(err, "item %llu", (unsigned long long)i);
            return status;
        }
    }
    return MM_OK;
}
