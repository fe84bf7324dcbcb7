/* SPDX-License-Identifier: Apache-2.0 */

/* Data beside the model: TensorProto.external_data says in which file, and where. */

#include <backends/onnx/format/loading.h>
#include <base/checked.h>
#include <base/status.h>

#include <inttypes.h>
#include <string.h>

enum { EXTERNAL_DATA = 13, KEY = 1, VALUE = 2 };

static const struct onnx_schema entry_schema = {
    "an entry of external data",
    {[KEY] = ONNX_BYTES, [VALUE] = ONNX_BYTES},
};

struct onnx_sibling {
    struct onnx_sibling *next;
    const char *name;
    mm_source source;
};

struct place {
    struct onnx_span file;
    uint64_t offset, bytes;
};

static mm_status read_number(struct onnx_loading *loading, struct onnx_span text, uint64_t *number,
                             mm_error *err) {
    bool good = text.bytes > 0;
    *number = 0;
    for (uint64_t i = 0; i < text.bytes && good; i++) {
        uint8_t digit = (uint8_t)(text.at[i] - '0');
        good = digit < 10 && mmi_mul(*number, 10, number) && mmi_add(*number, digit, number);
    }
    return good ? MM_OK
                : mmi_onnx_fail_at(loading->file, text.at, err,
                                   "a number of bytes expected, got '%.*s'", ONNX_SHOWN(text));
}

static bool is_key(struct onnx_span key, const char *text) {
    return key.bytes == strlen(text) && memcmp(key.at, text, key.bytes) == 0;
}

/* Without an offset it begins with the file; without a length it has what the tensor needs. */
static mm_status read_place(struct onnx_loading *loading, struct onnx_message message,
                            struct place *place, mm_error *err) {
    struct onnx_field field;
    struct onnx_message entry;
    while (mmi_onnx_next_of(&message, EXTERNAL_DATA, &field)) {
        MMI_TRY(mmi_onnx_open_message(&entry, field.bytes, &entry_schema, loading->file, err));
        struct onnx_span key = mmi_onnx_bytes_of(entry, KEY);
        struct onnx_span value = mmi_onnx_bytes_of(entry, VALUE);
        if (is_key(key, "location")) {
            place->file = value;
        } else if (is_key(key, "offset")) {
            MMI_TRY(read_number(loading, value, &place->offset, err));
        } else if (is_key(key, "length")) {
            MMI_TRY(read_number(loading, value, &place->bytes, err));
        }
    }
    if (place->file.bytes == 0) {
        return mmi_onnx_fail_at(loading->file, message.end, err,
                                "the location of external data expected");
    }
    return MM_OK;
}

/* Each file is opened once and stays open as long as the model's. */
static mm_status find_sibling(struct onnx_loading *loading, struct onnx_span name,
                              const mm_source **source, mm_error *err) {
    const char *text;
    MMI_TRY(mmi_onnx_load_text(loading, name, &text, err));
    struct onnx_sibling *sibling = loading->siblings;
    while (sibling && strcmp(sibling->name, text) != 0) {
        sibling = sibling->next;
    }
    if (!sibling) {
        sibling = mmi_onnx_take(loading->model->arena, 1, sizeof(*sibling));
        if (!sibling) {
            return mmi_onnx_out_of_memory(err);
        }
        sibling->name = text;
        MMI_TRY(loading->source->open(loading->source->ctx, text, &sibling->source, err));
        sibling->next = loading->siblings;
        loading->siblings = sibling;
    }
    *source = &sibling->source;
    return MM_OK;
}

mm_status mmi_onnx_load_external(struct onnx_loading *loading, struct onnx_message message,
                                 struct onnx_tensor *tensor, mm_error *err) {
    struct place place = {.bytes = tensor->bytes};
    const mm_source *source = NULL;
    MMI_TRY(read_place(loading, message, &place, err));
    MMI_TRY(find_sibling(loading, place.file, &source, err));
    if (place.bytes != tensor->bytes) {
        return mmi_fail(err, MM_INVALID_MODEL,
                        "%" PRIu64 " bytes of external data, %" PRIu64 " wanted", place.bytes,
                        tensor->bytes);
    }
    if (place.offset > source->bytes || place.bytes > source->bytes - place.offset) {
        return mmi_fail(err, MM_INVALID_MODEL,
                        "offset %" PRIu64 " of '%.*s': %" PRIu64 " bytes expected, %" PRIu64
                        " are left",
                        place.offset, ONNX_SHOWN(place.file), place.bytes,
                        mmi_sub_floor(source->bytes, place.offset));
    }
    void *data = mmi_onnx_take_data(loading->model->arena, place.bytes);
    tensor->data = data;
    return data ? source->read(source->ctx, place.offset, data, place.bytes, err)
                : mmi_onnx_out_of_memory(err);
}
