/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_STEPS_BYTES_H
#define MMI_BACKENDS_ONNX_STEPS_BYTES_H

/* Numbers, texts and data into a growing run of bytes, and out of one that cannot be trusted. Both
 * remember a failure, so that only the end must ask. */

#include <backends/onnx/graph/arena.h>

struct onnx_writer {
    const mm_allocator *allocator;
    uint8_t *bytes; /* NULL at first; mmi_onnx_writer_free */
    uint64_t used, room;
    bool failed; /* out of memory */
};

void mmi_onnx_writer_free(struct onnx_writer *writer);
void mmi_onnx_put_u32(struct onnx_writer *writer, uint32_t value);
void mmi_onnx_put_u64(struct onnx_writer *writer, uint64_t value);
void mmi_onnx_put_text(struct onnx_writer *writer, const char *text); /* NULL stays NULL */
void mmi_onnx_put_data(struct onnx_writer *writer, const void *data, uint64_t count);

struct onnx_bytes {
    const uint8_t *at;
    uint64_t left;
    bool failed; /* more was asked than there is: everything read is 0 */
};

uint32_t mmi_onnx_get_u32(struct onnx_bytes *bytes);
uint64_t mmi_onnx_get_u64(struct onnx_bytes *bytes);
const char *mmi_onnx_get_text(struct onnx_bytes *bytes); /* in place; "" after a failure */
/* `count` bytes in place; NULL after a failure. */
const void *mmi_onnx_get_data(struct onnx_bytes *bytes, uint64_t count);
/* A count of things that take at least `min` bytes each: more than can be there is a failure, and
 * 0. */
uint32_t mmi_onnx_get_count(struct onnx_bytes *bytes, uint64_t min);

#endif
