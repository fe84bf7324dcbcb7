/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/steps/bytes.h>
#include <base/checked.h>

#include <string.h>

#define NO_TEXT UINT32_MAX

void mmi_onnx_writer_free(struct onnx_writer *writer) {
    if (writer->bytes) {
        writer->allocator->free(writer->allocator->user, writer->bytes, writer->room);
    }
    writer->bytes = NULL;
}

static bool make_room(struct onnx_writer *writer, uint64_t count) {
    uint64_t need;
    if (writer->failed || !mmi_add(writer->used, count, &need) || need > PTRDIFF_MAX / 2) {
        return false;
    }
    if (need <= writer->room) {
        return true;
    }
    uint64_t room = mmi_max_u64(mmi_max_u64(need, writer->room * 2), 4096);
    uint8_t *bytes = writer->allocator->alloc(writer->allocator->user, room, 16);
    if (!bytes) {
        return false;
    }
    if (writer->used > 0) {
        memcpy(bytes, writer->bytes, writer->used);
    }
    mmi_onnx_writer_free(writer);
    writer->bytes = bytes;
    writer->room = room;
    return true;
}

void mmi_onnx_put_data(struct onnx_writer *writer, const void *data, uint64_t count) {
    if (!make_room(writer, count)) {
        writer->failed = true;
        return;
    }
    if (count > 0) {
        memcpy(writer->bytes + writer->used, data, count);
    }
    writer->used += count;
}

void mmi_onnx_put_u64(struct onnx_writer *writer, uint64_t value) {
    uint8_t bytes[8];
    for (uint32_t i = 0; i < 8; i++) {
        bytes[i] = (uint8_t)(value >> 8 * i);
    }
    mmi_onnx_put_data(writer, bytes, 8);
}

void mmi_onnx_put_u32(struct onnx_writer *writer, uint32_t value) {
    uint8_t bytes[4];
    for (uint32_t i = 0; i < 4; i++) {
        bytes[i] = (uint8_t)(value >> 8 * i);
    }
    mmi_onnx_put_data(writer, bytes, 4);
}

void mmi_onnx_put_text(struct onnx_writer *writer, const char *text) {
    if (!text) {
        mmi_onnx_put_u32(writer, NO_TEXT);
        return;
    }
    uint64_t count = strlen(text);
    mmi_onnx_put_u32(writer, (uint32_t)count);
    mmi_onnx_put_data(writer, text, count + 1);
}

const void *mmi_onnx_get_data(struct onnx_bytes *bytes, uint64_t count) {
    if (bytes->failed || count > bytes->left) {
        bytes->failed = true;
        return NULL;
    }
    const void *data = bytes->at;
    bytes->at += count;
    bytes->left -= count;
    return data;
}

static uint64_t get_number(struct onnx_bytes *bytes, uint32_t count) {
    const uint8_t *data = mmi_onnx_get_data(bytes, count);
    uint64_t value = 0;
    for (uint32_t i = 0; data && i < count; i++) {
        value |= (uint64_t)data[i] << 8 * i;
    }
    return value;
}

uint64_t mmi_onnx_get_u64(struct onnx_bytes *bytes) {
    return get_number(bytes, 8);
}

uint32_t mmi_onnx_get_u32(struct onnx_bytes *bytes) {
    return (uint32_t)get_number(bytes, 4);
}

const char *mmi_onnx_get_text(struct onnx_bytes *bytes) {
    uint32_t count = mmi_onnx_get_u32(bytes);
    if (count == NO_TEXT) {
        return NULL;
    }
    const char *text = mmi_onnx_get_data(bytes, (uint64_t)count + 1);
    if (!text || text[count] != '\0') {
        bytes->failed = true;
        return "";
    }
    return text;
}

uint32_t mmi_onnx_get_count(struct onnx_bytes *bytes, uint64_t min) {
    uint32_t count = mmi_onnx_get_u32(bytes);
    if (count > bytes->left / min) {
        bytes->failed = true;
        return 0;
    }
    return count;
}
