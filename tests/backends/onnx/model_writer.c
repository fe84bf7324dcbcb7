/* SPDX-License-Identifier: Apache-2.0 */
#include "model_writer.h"

#include <base/status.h>

#include <stdlib.h>
#include <string.h>

#define LENGTH_BYTES 5 /* a length in more bytes than it needs may be set afterwards */

/* ---- The wire format ------------------------------------------------------------------------- */

void writer_raw(struct writer *w, const void *bytes, size_t count) {
    if (w->capacity - w->count < count) {
        w->capacity = w->capacity * 2 + count + 256;
        w->bytes = realloc(w->bytes, w->capacity);
        assert_non_null(w->bytes);
    }
    if (count > 0) {
        memcpy(w->bytes + w->count, bytes, count);
    }
    w->count += count;
}

static void put_varint(struct writer *w, uint64_t value) {
    do {
        uint8_t byte = (uint8_t)(value & 127);
        value >>= 7;
        byte |= value ? 128 : 0;
        writer_raw(w, &byte, 1);
    } while (value);
}

static void put_tag(struct writer *w, uint32_t field, uint32_t wire_type) {
    put_varint(w, (uint64_t)field << 3 | wire_type);
}

void writer_varint(struct writer *w, uint32_t field, uint64_t value) {
    put_tag(w, field, 0);
    put_varint(w, value);
}

void writer_float(struct writer *w, uint32_t field, float value) {
    put_tag(w, field, 5);
    writer_raw(w, &value, sizeof(value));
}

void writer_bytes(struct writer *w, uint32_t field, const void *bytes, size_t count) {
    put_tag(w, field, 2);
    put_varint(w, count);
    writer_raw(w, bytes, count);
}

void writer_text(struct writer *w, uint32_t field, const char *text) {
    writer_bytes(w, field, text, strlen(text));
}

static void open_part(struct writer *w, uint32_t field, enum writer_part part) {
    static const uint8_t zeros[LENGTH_BYTES];
    assert_true(w->depth < WRITER_DEPTH);
    put_tag(w, field, 2);
    writer_raw(w, zeros, LENGTH_BYTES);
    w->open[w->depth].part = part;
    w->open[w->depth++].begin = w->count;
}

void writer_open(struct writer *w, uint32_t field) {
    open_part(w, field, WRITER_MESSAGE);
}

void writer_close(struct writer *w) {
    assert_true(w->depth > 0);
    size_t begin = w->open[--w->depth].begin, length = w->count - begin;
    for (size_t i = 0; i < LENGTH_BYTES; i++) {
        uint8_t more = i + 1 < LENGTH_BYTES ? 128 : 0;
        w->bytes[begin - LENGTH_BYTES + i] = (uint8_t)(length >> 7 * i & 127) | more;
    }
}

/* ---- The model ------------------------------------------------------------------------------- */

static void close_node(struct writer *w) {
    if (w->depth > 0 && w->open[w->depth - 1].part == WRITER_NODE) {
        writer_close(w);
    }
}

void writer_init(struct writer *w, int64_t opset) {
    *w = (struct writer){.depth = 0};
    writer_varint(w, 1, 8);
    if (opset > 0) {
        writer_import(w, "", opset);
    }
    open_part(w, 7, WRITER_GRAPH);
}

void writer_fini(struct writer *w) {
    free(w->bytes);
    w->bytes = NULL;
}

void writer_end(struct writer *w) {
    close_node(w);
    assert_int_equal(w->depth, 1);
    writer_close(w);
}

void writer_import(struct writer *w, const char *domain, int64_t version) {
    writer_open(w, 8);
    writer_text(w, 1, domain);
    writer_varint(w, 2, (uint64_t)version);
    writer_close(w);
}

void writer_metadata(struct writer *w, const char *key, const char *value) {
    writer_open(w, 14);
    writer_text(w, 1, key);
    writer_text(w, 2, value);
    writer_close(w);
}

/* The next word of *text, NUL-terminated in `word`; false: there is none. */
static bool next_word(const char **text, const char *ends, char word[128]) {
    *text += strspn(*text, ends);
    size_t length = strcspn(*text, ends);
    assert_true(length < 128);
    memcpy(word, *text, length);
    word[length] = '\0';
    *text += length;
    return length > 0;
}

static bool is_number(const char *word) {
    return strspn(word, "+-.0123456789e") == strlen(word) && strpbrk(word, "0123456789");
}

static void value_info(struct writer *w, uint32_t field, const char *name, int32_t dtype,
                       const char *shape) {
    char word[128];
    close_node(w);
    writer_open(w, field);
    writer_text(w, 1, name);
    writer_open(w, 2); /* TypeProto */
    writer_open(w, 1); /* its tensor_type */
    writer_varint(w, 1, (uint64_t)dtype);
    if (shape) {
        writer_open(w, 2);
        while (next_word(&shape, " ", word)) {
            writer_open(w, 1);
            if (is_number(word)) {
                writer_varint(w, 1, (uint64_t)strtoll(word, NULL, 10));
            } else if (strcmp(word, "?") != 0) {
                writer_text(w, 2, word);
            }
            writer_close(w);
        }
        writer_close(w);
    }
    writer_close(w);
    writer_close(w);
    writer_close(w);
}

void writer_input(struct writer *w, const char *name, int32_t dtype, const char *shape) {
    value_info(w, 11, name, dtype, shape);
}

void writer_output(struct writer *w, const char *name, int32_t dtype, const char *shape) {
    value_info(w, 12, name, dtype, shape);
}

static void tensor(struct writer *w, const char *name, int32_t dtype, const char *shape,
                   const void *data) {
    uint64_t elements = 1;
    char word[128];
    while (next_word(&shape, " ", word)) {
        uint64_t length = strtoull(word, NULL, 10);
        elements *= length;
        writer_varint(w, 1, length);
    }
    writer_varint(w, 2, (uint64_t)dtype);
    writer_text(w, 8, name);
    size_t bytes = mm_dtype_bytes(dtype, elements);
    void *zeros = data ? NULL : calloc(1, bytes + 1);
    writer_bytes(w, 9, data ? data : zeros, bytes);
    free(zeros);
}

void writer_constant(struct writer *w, const char *name, int32_t dtype, const char *shape,
                     const void *data) {
    close_node(w);
    writer_open(w, 5);
    tensor(w, name, dtype, shape, data);
    writer_close(w);
}

/* ---- Nodes ----------------------------------------------------------------------------------- */

/* "[1,2]" or "[1.0,2.0]". */
static void list_attribute(struct writer *w, const char *list) {
    bool floats = strpbrk(list, ".e") != NULL;
    char word[128];
    while (next_word(&list, "[],", word)) {
        if (floats) {
            writer_float(w, 7, strtof(word, NULL));
        } else {
            writer_varint(w, 8, (uint64_t)strtoll(word, NULL, 10));
        }
    }
    writer_varint(w, 20, floats ? 6 : 7);
}

static void attribute(struct writer *w, char *name) {
    char *value = strchr(name, '=');
    assert_non_null(value);
    *value++ = '\0';
    writer_open(w, 5);
    writer_text(w, 1, name);
    if (*value == '[') {
        list_attribute(w, value);
    } else if (!is_number(value)) {
        writer_text(w, 4, value);
        writer_varint(w, 20, 3);
    } else if (strpbrk(value, ".e")) {
        writer_float(w, 2, strtof(value, NULL));
        writer_varint(w, 20, 1);
    } else {
        writer_varint(w, 3, (uint64_t)strtoll(value, NULL, 10));
        writer_varint(w, 20, 2);
    }
    writer_close(w);
}

void writer_node(struct writer *w, const char *type, const char *inputs, const char *outputs,
                 const char *attributes) {
    char word[128];
    close_node(w);
    open_part(w, 1, WRITER_NODE);
    while (next_word(&inputs, " ", word)) {
        writer_text(w, 1, strcmp(word, "-") == 0 ? "" : word);
    }
    while (next_word(&outputs, " ", word)) {
        writer_text(w, 2, strcmp(word, "-") == 0 ? "" : word);
    }
    writer_text(w, 4, type);
    while (next_word(&attributes, " ", word)) {
        attribute(w, word);
    }
}

void writer_node_name(struct writer *w, const char *name) {
    writer_text(w, 3, name);
}

void writer_node_domain(struct writer *w, const char *domain) {
    writer_text(w, 7, domain);
}

void writer_tensor(struct writer *w, const char *name, int32_t dtype, const char *shape,
                   const void *data) {
    writer_open(w, 5);
    writer_text(w, 1, name);
    writer_open(w, 5);
    tensor(w, "", dtype, shape, data);
    writer_close(w);
    writer_varint(w, 20, 4);
    writer_close(w);
}

void writer_branch(struct writer *w, const char *name) {
    writer_open(w, 5);
    writer_text(w, 1, name);
    writer_varint(w, 20, 5);
    open_part(w, 6, WRITER_GRAPH);
}

void writer_branch_end(struct writer *w) {
    close_node(w);
    writer_close(w);
    writer_close(w);
}

/* ---- Files ----------------------------------------------------------------------------------- */

static bool call_fails(struct memory_source *folder, mm_error *err) {
    if (++folder->calls == folder->fails_at) {
        mmi_fail(err, MM_IO, "the disk is gone");
        return true;
    }
    return false;
}

static mm_status read_memory(void *ctx, uint64_t offset, void *to, uint64_t count, mm_error *err) {
    const struct memory_opened *opened = ctx;
    const struct memory_file *file = opened->file;
    if (call_fails(opened->folder, err)) {
        return MM_IO;
    }
    if (offset > file->count || count > file->count - offset) {
        return mmi_fail(err, MM_INVALID_MODEL, "%s: the file ends before", file->name);
    }
    if (count > 0) {
        memcpy(to, (const uint8_t *)file->bytes + offset, count);
    }
    return MM_OK;
}

static mm_status open_memory(void *ctx, const char *relative, mm_source *sibling, mm_error *err);

static void open_file(struct memory_source *folder, const struct memory_file *file, mm_source *to) {
    assert_true(folder->opened_count < sizeof(folder->opened) / sizeof(folder->opened[0]));
    struct memory_opened *opened = &folder->opened[folder->opened_count++];
    *opened = (struct memory_opened){folder, file};
    *to = (mm_source){.ctx = opened,
                      .name = file->name,
                      .bytes = file->claims ? file->claims : file->count,
                      .read = read_memory,
                      .open = open_memory};
}

static mm_status open_memory(void *ctx, const char *relative, mm_source *sibling, mm_error *err) {
    const struct memory_opened *opened = ctx;
    struct memory_source *folder = opened->folder;
    if (call_fails(folder, err)) {
        return MM_IO;
    }
    for (size_t i = 0; i < folder->file_count; i++) {
        if (strcmp(folder->files[i].name, relative) == 0) {
            open_file(folder, &folder->files[i], sibling);
            return MM_OK;
        }
    }
    return mmi_fail(err, MM_INVALID_MODEL, "%s: there is no such file", relative);
}

void memory_source_init(struct memory_source *folder, const struct memory_file *files,
                        size_t file_count) {
    *folder = (struct memory_source){.files = files, .file_count = file_count};
    open_file(folder, &files[0], &folder->source);
}
