/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/format/wire.h>
#include <base/status.h>

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define MAX_FIELD ((1u << 29) - 1)

mm_status mmi_onnx_fail_at(const uint8_t *file, const uint8_t *at, mm_error *err,
                           const char *format, ...) {
    char text[MM_ERROR_TEXT_BYTES / 2];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    return mmi_fail(err, MM_INVALID_MODEL, "offset %" PRIu64 ": %s", (uint64_t)(at - file), text);
}

static uint64_t left(const struct onnx_message *message) {
    return (uint64_t)(message->end - message->at);
}

/* Seven bits a byte, the low ones first; 64 bits at most. false: it has no end. */
static bool read_varint(struct onnx_message *message, uint64_t *value) {
    *value = 0;
    for (uint32_t shift = 0; shift < 70 && message->at < message->end; shift += 7) {
        uint8_t byte = *message->at++;
        *value |= (uint64_t)(byte & 127) << shift;
        if (byte < 128) {
            return shift < 63 || byte < 2;
        }
    }
    return false;
}

/* Little-endian, as the machines that this runs on. */
static uint64_t read_fixed(struct onnx_message *message, uint32_t bytes) {
    uint64_t value = 0;
    memcpy(&value, message->at, bytes);
    message->at += bytes;
    return value;
}

static uint32_t fixed_bytes(uint32_t wire) {
    return wire == ONNX_FIXED64 ? 8 : wire == ONNX_FIXED32 ? 4 : 0;
}

/* ---- Checking -------------------------------------------------------------------------------- */

struct check {
    struct onnx_message message;
    const struct onnx_schema *schema;
    const uint8_t *file;
};

static mm_status check_varint(struct check *check, uint64_t *value, mm_error *err) {
    const uint8_t *at = check->message.at;
    if (read_varint(&check->message, value)) {
        return MM_OK;
    }
    return mmi_onnx_fail_at(check->file, at, err, "a number of at most 64 bits expected in %s",
                            check->schema->name);
}

static mm_status check_length(struct check *check, uint64_t bytes, mm_error *err) {
    if (bytes <= left(&check->message)) {
        return MM_OK;
    }
    return mmi_onnx_fail_at(check->file, check->message.at, err,
                            "%" PRIu64 " bytes expected, %" PRIu64 " are left of %s", bytes,
                            left(&check->message), check->schema->name);
}

/* Numbers, one after the other, to the end. */
static mm_status check_packed(struct check *check, uint32_t wire, mm_error *err) {
    uint32_t bytes = fixed_bytes(wire);
    if (bytes > 0 && left(&check->message) % bytes != 0) {
        return mmi_onnx_fail_at(check->file, check->message.at, err,
                                "numbers of %u bytes expected in %s, got %" PRIu64 " bytes", bytes,
                                check->schema->name, left(&check->message));
    }
    uint64_t ignored;
    while (bytes == 0 && left(&check->message) > 0) {
        MMI_TRY(check_varint(check, &ignored, err));
    }
    return MM_OK;
}

static mm_status check_bytes(struct check *check, uint32_t wires, mm_error *err) {
    uint64_t bytes;
    MMI_TRY(check_varint(check, &bytes, err));
    MMI_TRY(check_length(check, bytes, err));
    if (wires & ~(uint32_t)ONNX_BYTES) { /* numbers, then */
        struct check packed = *check;
        packed.message.end = check->message.at + bytes;
        MMI_TRY(check_packed(&packed, wires & ~(uint32_t)ONNX_BYTES, err));
    }
    check->message.at += bytes;
    return MM_OK;
}

static mm_status check_field(struct check *check, mm_error *err) {
    const uint8_t *at = check->message.at;
    uint64_t tag, ignored;
    MMI_TRY(check_varint(check, &tag, err));
    uint64_t number = tag >> 3;
    uint32_t wire = 1u << (tag & 7);
    uint32_t wires = number < ONNX_FIELDS ? check->schema->wires[number] : 0;
    if (number == 0 || number > MAX_FIELD) {
        return mmi_onnx_fail_at(check->file, at, err, "a field of %s expected, got number %" PRIu64,
                                check->schema->name, number);
    }
    if (wires && !(wires & wire)) {
        return mmi_onnx_fail_at(check->file, at, err,
                                "field %" PRIu64 " of %s has wire type %" PRIu64, number,
                                check->schema->name, tag & 7);
    }
    switch (wire) {
    case ONNX_VARINT:
        return check_varint(check, &ignored, err);
    case ONNX_BYTES:
        return check_bytes(check, wires, err);
    case ONNX_FIXED32:
    case ONNX_FIXED64:
        MMI_TRY(check_length(check, fixed_bytes(wire), err));
        check->message.at += fixed_bytes(wire);
        return MM_OK;
    default: /* groups; ONNX never had one */
        return mmi_onnx_fail_at(check->file, at, err,
                                "wire type 0, 1, 2 or 5 expected in %s, got %" PRIu64,
                                check->schema->name, tag & 7);
    }
}

mm_status mmi_onnx_open_message(struct onnx_message *message, struct onnx_span bytes,
                                const struct onnx_schema *schema, const uint8_t *file,
                                mm_error *err) {
    *message = (struct onnx_message){bytes.at, bytes.at + bytes.bytes};
    struct check check = {*message, schema, file};
    while (left(&check.message) > 0) {
        MMI_TRY(check_field(&check, err));
    }
    return MM_OK;
}

/* ---- Reading --------------------------------------------------------------------------------- */

bool mmi_onnx_next_field(struct onnx_message *message, struct onnx_field *field) {
    if (left(message) == 0) {
        return false;
    }
    uint64_t tag;
    read_varint(message, &tag);
    *field = (struct onnx_field){.number = (uint32_t)(tag >> 3), .wire = 1u << (tag & 7)};
    if (fixed_bytes(field->wire) > 0) {
        field->value = read_fixed(message, fixed_bytes(field->wire));
    } else {
        read_varint(message, &field->value);
    }
    if (field->wire == ONNX_BYTES) {
        field->bytes = (struct onnx_span){message->at, field->value};
        message->at += field->value;
    }
    return true;
}

bool mmi_onnx_next_of(struct onnx_message *message, uint32_t number, struct onnx_field *field) {
    while (mmi_onnx_next_field(message, field)) {
        if (field->number == number) {
            return true;
        }
    }
    return false;
}

uint64_t mmi_onnx_count_of(struct onnx_message message, uint32_t number) {
    struct onnx_field field;
    uint64_t count = 0;
    while (mmi_onnx_next_of(&message, number, &field)) {
        count++;
    }
    return count;
}

bool mmi_onnx_has_field(struct onnx_message message, uint32_t number) {
    struct onnx_field field;
    return mmi_onnx_next_of(&message, number, &field);
}

uint64_t mmi_onnx_number_of(struct onnx_message message, uint32_t number, uint64_t fallback) {
    struct onnx_field field;
    while (mmi_onnx_next_of(&message, number, &field)) {
        fallback = field.value;
    }
    return fallback;
}

struct onnx_span mmi_onnx_bytes_of(struct onnx_message message, uint32_t number) {
    struct onnx_span bytes = {message.at, 0};
    struct onnx_field field;
    while (mmi_onnx_next_of(&message, number, &field)) {
        bytes = field.bytes;
    }
    return bytes;
}

struct onnx_numbers mmi_onnx_numbers(struct onnx_message message, uint32_t number, uint32_t wire) {
    return (struct onnx_numbers){.rest = message, .number = number, .wire = wire};
}

bool mmi_onnx_next_number(struct onnx_numbers *numbers, uint64_t *value) {
    struct onnx_field field;
    while (left(&numbers->packed) == 0) {
        if (!mmi_onnx_next_field(&numbers->rest, &field)) {
            return false;
        }
        if (field.number == numbers->number && field.wire == numbers->wire) {
            *value = field.value;
            return true;
        }
        if (field.number == numbers->number) {
            numbers->packed =
                (struct onnx_message){field.bytes.at, field.bytes.at + field.bytes.bytes};
        }
    }
    if (fixed_bytes(numbers->wire) > 0) {
        *value = read_fixed(&numbers->packed, fixed_bytes(numbers->wire));
    } else {
        read_varint(&numbers->packed, value);
    }
    return true;
}

uint64_t mmi_onnx_count_numbers(struct onnx_numbers numbers) {
    uint64_t count = 0, ignored;
    while (mmi_onnx_next_number(&numbers, &ignored)) {
        count++;
    }
    return count;
}
