/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_FORMAT_WIRE_H
#define MMI_BACKENDS_ONNX_FORMAT_WIRE_H

/* Protobuf's wire format, read where it lies.
 *
 * A message is checked in one go when it is opened: every tag, number and length in it, though not
 * inside the messages that it contains. What is read from it afterwards cannot fail. Failures are
 * MM_INVALID_MODEL, with the offset in the file and what was expected there. */

#include <modelmesh/backend.h>

struct onnx_span {
    const uint8_t *at;
    uint64_t bytes;
};

enum { /* wire types that a field may have, or'ed */
       ONNX_VARINT = 1u << 0,
       ONNX_FIXED64 = 1u << 1,
       ONNX_BYTES = 1u << 2,
       ONNX_FIXED32 = 1u << 5,
       /* one or several numbers, one by one or packed */
       ONNX_VARINTS = ONNX_VARINT | ONNX_BYTES,
       ONNX_DOUBLES = ONNX_FIXED64 | ONNX_BYTES,
       ONNX_FLOATS = ONNX_FIXED32 | ONNX_BYTES
};

#define ONNX_FIELDS 32
/* Bytes as text in a message: for "%.*s". */
#define ONNX_SHOWN(span) (int)((span).bytes < 80 ? (span).bytes : 80), (const char *)(span).at

struct onnx_schema {
    const char *name;           /* "a node" */
    uint8_t wires[ONNX_FIELDS]; /* by number; 0: whatever it is, it is skipped */
};

struct onnx_message {
    const uint8_t *at, *end; /* what was not read yet */
};
/* file: where the file's first byte lies. */
mm_status mmi_onnx_open_message(struct onnx_message *message, struct onnx_span bytes,
                                const struct onnx_schema *schema, const uint8_t *file,
                                mm_error *err);

struct onnx_field {
    uint32_t number;
    uint32_t wire;          /* ONNX_VARINT ... */
    uint64_t value;         /* a number, as its bits */
    struct onnx_span bytes; /* ONNX_BYTES */
};
/* false: that was the last one. */
bool mmi_onnx_next_field(struct onnx_message *message, struct onnx_field *field);
/* The next one of this number. */
bool mmi_onnx_next_of(struct onnx_message *message, uint32_t number, struct onnx_field *field);
uint64_t mmi_onnx_count_of(struct onnx_message message, uint32_t number);
/* A field that there is once (the last, if there are several): its number, else `fallback`; its
 * bytes, else none, where `at` points to all the same. */
bool mmi_onnx_has_field(struct onnx_message message, uint32_t number);
uint64_t mmi_onnx_number_of(struct onnx_message message, uint32_t number, uint64_t fallback);
struct onnx_span mmi_onnx_bytes_of(struct onnx_message message, uint32_t number);

/* All numbers of one field of a message, packed or not. */
struct onnx_numbers {
    struct onnx_message rest;
    uint32_t number;
    uint32_t wire;
    struct onnx_message packed;
};
struct onnx_numbers mmi_onnx_numbers(struct onnx_message message, uint32_t number, uint32_t wire);
bool mmi_onnx_next_number(struct onnx_numbers *numbers, uint64_t *value);
uint64_t mmi_onnx_count_numbers(struct onnx_numbers numbers);

/* "offset 17: ", and why; MM_INVALID_MODEL. */
__attribute__((format(printf, 4, 5))) mm_status
mmi_onnx_fail_at(const uint8_t *file, const uint8_t *at, mm_error *err, const char *format, ...);

#endif
