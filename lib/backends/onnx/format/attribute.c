/* SPDX-License-Identifier: Apache-2.0 */

/* AttributeProto. */

#include <backends/onnx/format/loading.h>
#include <base/status.h>

#include <string.h>

enum {
    NAME = 1,
    FLOAT = 2,
    INT = 3,
    STRING = 4,
    TENSOR = 5,
    GRAPH = 6,
    FLOATS = 7,
    INTS = 8,
    STRINGS = 9,
    TYPE = 20,
    REFERENCE = 21,
    SPARSE = 22
};

static const struct onnx_schema attribute_schema = {
    "an attribute",
    {[NAME] = ONNX_BYTES,
     [FLOAT] = ONNX_FIXED32,
     [INT] = ONNX_VARINT,
     [STRING] = ONNX_BYTES,
     [TENSOR] = ONNX_BYTES,
     [GRAPH] = ONNX_BYTES,
     [FLOATS] = ONNX_FLOATS,
     [INTS] = ONNX_VARINTS,
     [STRINGS] = ONNX_BYTES,
     [TYPE] = ONNX_VARINT,
     [REFERENCE] = ONNX_BYTES,
     [SPARSE] = ONNX_BYTES},
};

/* Old files do not say the type; it is the one of the field that is there. */
static int32_t find_type(struct onnx_message message) {
    static const struct {
        uint32_t field;
        int32_t type;
    } types[] = {
        {FLOAT, ONNX_ATTRIBUTE_FLOAT},   {INT, ONNX_ATTRIBUTE_INT},
        {STRING, ONNX_ATTRIBUTE_STRING}, {TENSOR, ONNX_ATTRIBUTE_TENSOR},
        {GRAPH, ONNX_ATTRIBUTE_GRAPH},   {FLOATS, ONNX_ATTRIBUTE_FLOATS},
        {INTS, ONNX_ATTRIBUTE_INTS},     {STRINGS, ONNX_ATTRIBUTE_STRINGS},
        {SPARSE, ONNX_ATTRIBUTE_SPARSE},
    };
    uint64_t type = mmi_onnx_number_of(message, TYPE, 0);
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]) && type == 0; i++) {
        type = mmi_onnx_has_field(message, types[i].field) ? (uint64_t)types[i].type : 0;
    }
    return type <= INT32_MAX ? (int32_t)type : 0;
}

static float as_float(uint64_t bits) {
    uint32_t low = (uint32_t)bits;
    float value;
    memcpy(&value, &low, sizeof(value));
    return value;
}

static mm_status load_floats(struct onnx_loading *loading, struct onnx_message message,
                             struct onnx_attribute *attribute, mm_error *err) {
    struct onnx_numbers numbers = mmi_onnx_numbers(message, FLOATS, ONNX_FIXED32);
    attribute->count = mmi_onnx_count_numbers(numbers);
    float *floats = mmi_onnx_take(loading->model->arena, attribute->count, sizeof(*floats));
    attribute->floats = floats;
    for (uint64_t bits; floats && mmi_onnx_next_number(&numbers, &bits);) {
        *floats++ = as_float(bits);
    }
    return floats ? MM_OK : mmi_onnx_out_of_memory(err);
}

static mm_status load_ints(struct onnx_loading *loading, struct onnx_message message,
                           struct onnx_attribute *attribute, mm_error *err) {
    struct onnx_numbers numbers = mmi_onnx_numbers(message, INTS, ONNX_VARINT);
    attribute->count = mmi_onnx_count_numbers(numbers);
    int64_t *ints = mmi_onnx_take(loading->model->arena, attribute->count, sizeof(*ints));
    attribute->ints = ints;
    for (uint64_t bits; ints && mmi_onnx_next_number(&numbers, &bits);) {
        *ints++ = (int64_t)bits;
    }
    return ints ? MM_OK : mmi_onnx_out_of_memory(err);
}

static mm_status load_strings(struct onnx_loading *loading, struct onnx_message message,
                              struct onnx_attribute *attribute, mm_error *err) {
    struct onnx_field field;
    attribute->count = mmi_onnx_count_of(message, STRINGS);
    struct onnx_arena *arena = loading->model->arena;
    const char **texts = mmi_onnx_take(arena, attribute->count, sizeof(*texts));
    struct onnx_string *strings = mmi_onnx_take(arena, attribute->count, sizeof(*strings));
    attribute->texts = texts;
    attribute->strings = strings;
    while (texts && strings && mmi_onnx_next_of(&message, STRINGS, &field)) {
        *texts = mmi_onnx_take_text(arena, field.bytes.at, field.bytes.bytes);
        if (!*texts) {
            return mmi_onnx_out_of_memory(err);
        }
        *strings++ = (struct onnx_string){*texts++, field.bytes.bytes};
    }
    return texts && strings ? MM_OK : mmi_onnx_out_of_memory(err);
}

/* Bytes, in truth: there may be a NUL among them. */
static mm_status load_string(struct onnx_loading *loading, struct onnx_message message,
                             struct onnx_attribute *attribute, mm_error *err) {
    struct onnx_span bytes = mmi_onnx_bytes_of(message, STRING);
    attribute->text = mmi_onnx_take_text(loading->model->arena, bytes.at, bytes.bytes);
    attribute->count = bytes.bytes;
    struct onnx_string *string = mmi_onnx_take(loading->model->arena, 1, sizeof(*string));
    if (!attribute->text || !string) {
        return mmi_onnx_out_of_memory(err);
    }
    *string = (struct onnx_string){attribute->text, bytes.bytes};
    attribute->strings = string;
    return MM_OK;
}

static mm_status load_branch(struct onnx_loading *loading, struct onnx_message message,
                             struct onnx_attribute *attribute, mm_error *err) {
    loading->depth++;
    mm_status status =
        mmi_onnx_load_graph(loading, mmi_onnx_bytes_of(message, GRAPH), &attribute->graph, err);
    loading->depth--;
    return status;
}

static mm_status load_tensor(struct onnx_loading *loading, struct onnx_message message,
                             struct onnx_attribute *attribute, mm_error *err) {
    struct onnx_tensor *tensor;
    struct onnx_span ignored;
    struct onnx_span bytes = mmi_onnx_bytes_of(message, TENSOR);
    MMI_TRY(mmi_onnx_load_tensor(loading, bytes, &tensor, &ignored, err));
    attribute->tensor = tensor;
    return MM_OK;
}

static mm_status load_sparse(struct onnx_loading *loading, struct onnx_message message,
                             struct onnx_attribute *attribute, mm_error *err) {
    struct onnx_tensor *tensor;
    struct onnx_span ignored;
    struct onnx_span bytes = mmi_onnx_bytes_of(message, SPARSE);
    MMI_TRY(mmi_onnx_load_sparse(loading, bytes, &tensor, &ignored, err));
    attribute->type = ONNX_ATTRIBUTE_TENSOR;
    attribute->tensor = tensor;
    return MM_OK;
}

mm_status mmi_onnx_attribute_name(struct onnx_loading *loading, struct onnx_span bytes,
                                  struct onnx_span *name, mm_error *err) {
    struct onnx_message message;
    MMI_TRY(mmi_onnx_open_message(&message, bytes, &attribute_schema, loading->file, err));
    *name = mmi_onnx_bytes_of(message, NAME);
    return MM_OK;
}

/* ---- In functions ---------------------------------------------------------------------------- */

/* A graph belongs to one node. */
static mm_status take_given(struct onnx_attribute *given, struct onnx_attribute *attribute,
                            mm_error *err) {
    if (given->graph && given->known) {
        return mmi_fail(err, MM_UNSUPPORTED, "a function that uses its graph %.80s twice",
                        given->name);
    }
    given->known = true;
    *attribute = *given;
    attribute->known = false;
    return MM_OK;
}

/* The attribute of the call, else the function's default, under the name that it has here. */
static mm_status load_reference(struct onnx_loading *loading, struct onnx_span reference,
                                struct onnx_attribute *attribute, mm_error *err) {
    const struct onnx_call_attributes *call = loading->call;
    const char *name = attribute->name;
    attribute->name = NULL;
    for (uint32_t i = 0; i < call->count; i++) {
        struct onnx_attribute *given = &call->given[i];
        if (strlen(given->name) == reference.bytes &&
            memcmp(given->name, reference.at, reference.bytes) == 0) {
            MMI_TRY(take_given(given, attribute, err));
            attribute->name = name;
            return MM_OK;
        }
    }
    const struct onnx_default *declared = mmi_onnx_declared(call->function, reference);
    if (!declared || declared->bytes.bytes == 0) {
        return MM_OK;
    }
    loading->call = NULL; /* a default refers to nothing */
    mm_status status = mmi_onnx_load_attribute(loading, declared->bytes, attribute, err);
    loading->call = call;
    attribute->name = name;
    return status;
}

mm_status mmi_onnx_load_attribute(struct onnx_loading *loading, struct onnx_span bytes,
                                  struct onnx_attribute *attribute, mm_error *err) {
    struct onnx_message message;
    MMI_TRY(mmi_onnx_open_message(&message, bytes, &attribute_schema, loading->file, err));
    MMI_TRY(mmi_onnx_load_text(loading, mmi_onnx_bytes_of(message, NAME), &attribute->name, err));
    struct onnx_span reference = mmi_onnx_bytes_of(message, REFERENCE);
    if (reference.bytes > 0 && loading->call) {
        return load_reference(loading, reference, attribute, err);
    }
    if (reference.bytes > 0) {
        return mmi_onnx_fail_at(loading->file, bytes.at, err,
                                "a value for attribute %.80s expected, got a reference",
                                attribute->name);
    }
    attribute->type = find_type(message);
    switch (attribute->type) {
    case ONNX_ATTRIBUTE_FLOAT:
        attribute->f = as_float(mmi_onnx_number_of(message, FLOAT, 0));
        return MM_OK;
    case ONNX_ATTRIBUTE_INT:
        attribute->i = (int64_t)mmi_onnx_number_of(message, INT, 0);
        return MM_OK;
    case ONNX_ATTRIBUTE_STRING:
        return load_string(loading, message, attribute, err);
    case ONNX_ATTRIBUTE_TENSOR:
        return load_tensor(loading, message, attribute, err);
    case ONNX_ATTRIBUTE_GRAPH:
        return load_branch(loading, message, attribute, err);
    case ONNX_ATTRIBUTE_FLOATS:
        return load_floats(loading, message, attribute, err);
    case ONNX_ATTRIBUTE_INTS:
        return load_ints(loading, message, attribute, err);
    case ONNX_ATTRIBUTE_STRINGS:
        return load_strings(loading, message, attribute, err);
    case ONNX_ATTRIBUTE_SPARSE:
        return load_sparse(loading, message, attribute, err);
    default: /* a matter of the operator that reads it */
        return MM_OK;
    }
}
