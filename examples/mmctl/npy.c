/* SPDX-License-Identifier: Apache-2.0 */
#include "npy.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAGIC "\x93NUMPY"

/* What numpy calls an element type, and how wide it is in a file. */
static const struct {
    int32_t dtype;
    const char *descr;
    unsigned file_bytes;
} types[] = {
    {MM_F32, "<f4", 4},        {MM_F64, "<f8", 8},        {MM_F16, "<f2", 2},
    {MM_I8, "|i1", 1},         {MM_I16, "<i2", 2},        {MM_I32, "<i4", 4},
    {MM_I64, "<i8", 8},        {MM_U8, "|u1", 1},         {MM_U16, "<u2", 2},
    {MM_U32, "<u4", 4},        {MM_U64, "<u8", 8},        {MM_BOOL, "|b1", 1},
    {MM_C64, "<c8", 8},        {MM_C128, "<c16", 16},     {MM_BF16, "<u2", 2},
    {MM_F8E4M3FN, "|u1", 1},   {MM_F8E4M3FNUZ, "|u1", 1}, {MM_F8E5M2, "|u1", 1},
    {MM_F8E5M2FNUZ, "|u1", 1}, {MM_F8E8M0, "|u1", 1},     {MM_U4, "|u1", 1},
    {MM_I4, "|u1", 1},         {MM_F4E2M1, "|u1", 1},     {MM_U2, "|u1", 1},
    {MM_I2, "|u1", 1},
};
#define TYPES (sizeof(types) / sizeof(types[0]))

static unsigned sub_byte_bits(int32_t dtype) {
    switch (dtype) {
    case MM_U4:
    case MM_I4:
    case MM_F4E2M1:
        return 4;
    case MM_U2:
    case MM_I2:
        return 2;
    default:
        return 0;
    }
}

void free_value(mm_value *value) {
    for (uint64_t i = 0; i < value->item_count; i++) {
        free_value(&value->items[i]);
    }
    free(value->items);
    free(value->data);
    free(value->offsets);
    *value = (mm_value){0};
}

static bool say(const char *path, const char *why) {
    fprintf(stderr, "mmctl: %s: %s\n", path, why);
    return false;
}

/* ---- Reading -------------------------------------------------------------------------------- */

struct header {
    char descr[16];
    bool fortran;
};

static bool parse_shape(const char *text, mm_value *value) {
    value->rank = 0;
    for (const char *at = text; *at && *at != ')';) {
        char *end;
        long long axis = strtoll(at, &end, 10);
        if (end == at) {
            at++;
            continue;
        }
        if (axis < 0 || value->rank == MM_MAX_RANK) {
            return false;
        }
        value->shape[value->rank++] = axis;
        at = end;
    }
    return true;
}

static bool parse_header(const char *text, struct header *header, mm_value *value) {
    const char *descr = strstr(text, "'descr':");
    const char *order = strstr(text, "'fortran_order':");
    const char *shape = strstr(text, "'shape':");
    if (!descr || !order || !shape || !strchr(shape, '(') || !strchr(shape, ')')) {
        return false;
    }
    header->fortran = strstr(order, "True") && strstr(order, "True") < order + 24;
    return sscanf(descr, "'descr': '%15[^']'", header->descr) == 1 &&
           parse_shape(strchr(shape, '(') + 1, value);
}

static bool read_header(FILE *file, struct header *header, mm_value *value) {
    unsigned char start[12];
    if (fread(start, 1, 10, file) != 10 || memcmp(start, MAGIC, 6) != 0) {
        return false;
    }
    size_t length = start[8] | (size_t)start[9] << 8;
    if (start[6] >= 2) {
        if (fread(start + 10, 1, 2, file) != 2) {
            return false;
        }
        length |= (size_t)start[10] << 16 | (size_t)start[11] << 24;
    }
    if (length > 65536) {
        return false;
    }
    char *text = calloc(1, length + 1);
    bool good = text && fread(text, 1, length, file) == length && parse_header(text, header, value);
    free(text);
    return good;
}

static size_t put_utf8(char *to, uint32_t code) {
    if (code < 0x80) {
        to[0] = (char)code;
        return 1;
    }
    size_t length = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    static const unsigned char lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = length; i-- > 1;) {
        to[i] = (char)(0x80 | (code & 0x3f));
        code >>= 6;
    }
    to[0] = (char)(lead[length] | code);
    return length;
}

/* U: 4 bytes a character, padded with 0. S: bytes, padded with 0. */
static bool read_strings(FILE *file, const char *descr, uint64_t elements, mm_value *value) {
    bool wide = strchr(descr, 'U') != NULL;
    uint64_t width = strtoull(descr + 2, NULL, 10);
    uint64_t item = wide ? 4 * width : width;
    unsigned char *raw = malloc(item * elements + 1);
    value->data = malloc(item * elements + 1);
    value->offsets = calloc(elements + 1, sizeof(uint64_t));
    bool good = raw && value->data && value->offsets &&
                fread(raw, 1, item * elements, file) == item * elements;
    char *to = value->data;
    for (uint64_t i = 0; good && i < elements; i++) {
        const unsigned char *from = raw + i * item;
        for (uint64_t k = 0; k < width; k++) {
            uint32_t code = from[k];
            if (wide) {
                memcpy(&code, from + 4 * k, 4);
            }
            if (code == 0) {
                break;
            }
            if (wide) {
                to += put_utf8(to, code);
            } else {
                *to++ = (char)code;
            }
        }
        value->offsets[i + 1] = (uint64_t)(to - (char *)value->data);
    }
    value->bytes = good ? value->offsets[elements] : 0;
    free(raw);
    return good;
}

/* One value a byte -> packed, first in the low bits. */
static void pack(unsigned char *data, uint64_t elements, unsigned bits) {
    unsigned per_byte = 8 / bits;
    unsigned mask = (1u << bits) - 1;
    for (uint64_t i = 0; i < elements; i += per_byte) {
        unsigned packed = 0;
        for (unsigned k = 0; k < per_byte && i + k < elements; k++) {
            packed |= (data[i + k] & mask) << (k * bits);
        }
        data[i / per_byte] = (unsigned char)packed;
    }
}

static bool read_numbers(FILE *file, const char *path, const char *descr, uint64_t elements,
                         mm_value *value) {
    size_t type = 0;
    while (type < TYPES && types[type].dtype != value->dtype) {
        type++;
    }
    if (type == TYPES || strcmp(types[type].descr + 1, descr + 1) != 0) {
        fprintf(stderr, "mmctl: %s: has elements %s, the model wants %s\n", path, descr,
                mm_dtype_text(value->dtype));
        return false;
    }
    uint64_t bytes = elements * types[type].file_bytes;
    value->data = malloc(bytes + 1);
    if (!value->data || fread(value->data, 1, bytes, file) != bytes) {
        return say(path, "shorter than its header says");
    }
    if (sub_byte_bits(value->dtype)) {
        pack(value->data, elements, sub_byte_bits(value->dtype));
    }
    value->bytes = mm_dtype_bytes(value->dtype, elements);
    return true;
}

bool read_npy(const char *path, int32_t dtype, mm_value *value) {
    *value = (mm_value){.dtype = dtype};
    FILE *file = fopen(path, "rb");
    if (!file) {
        return say(path, strerror(errno));
    }
    struct header header;
    bool good = read_header(file, &header, value);
    uint64_t elements = good ? mm_shape_elements(value->rank, value->shape) : UINT64_MAX;
    if (!good || header.descr[0] == '>' || elements > (UINT64_C(1) << 40)) {
        good = say(path, "not a little-endian .npy file");
    } else if (header.fortran && value->rank > 1) {
        good = say(path, "in Fortran order; save it in C order");
    } else if (dtype == MM_STRING) {
        good = read_strings(file, header.descr, elements, value) || say(path, "no strings in it");
    } else {
        good = read_numbers(file, path, header.descr, elements, value);
    }
    fclose(file);
    if (!good) {
        free_value(value);
    }
    return good;
}

/* ---- Writing -------------------------------------------------------------------------------- */

static bool write_header(FILE *file, const char *descr, const mm_value *value) {
    char text[512];
    int used =
        snprintf(text, sizeof(text), "{'descr': '%s', 'fortran_order': False, 'shape': (", descr);
    for (uint32_t i = 0; i < value->rank; i++) {
        used += snprintf(text + used, sizeof(text) - (size_t)used, "%lld,%s",
                         (long long)value->shape[i], i + 1 < value->rank ? " " : "");
    }
    used += snprintf(text + used, sizeof(text) - (size_t)used, "), }");
    while ((used + 10 + 1) % 64) {
        text[used++] = ' ';
    }
    text[used++] = '\n';
    unsigned char start[10] = MAGIC "\x01\x00";
    start[8] = (unsigned char)used;
    start[9] = (unsigned char)(used >> 8);
    return fwrite(start, 1, sizeof(start), file) == sizeof(start) &&
           fwrite(text, 1, (size_t)used, file) == (size_t)used;
}

/* Code points of one UTF-8 string; `to` may be NULL to count. Invalid bytes stand for
 * themselves. */
static uint64_t decode(const unsigned char *from, uint64_t bytes, uint32_t *to) {
    uint64_t count = 0;
    for (uint64_t at = 0; at < bytes; count++) {
        unsigned lead = from[at];
        unsigned more = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : lead >= 0xc0 ? 1 : 0;
        uint32_t code = more == 0 ? lead : lead & (0x3fu >> more);
        if (at + more >= bytes) {
            more = 0;
            code = lead;
        }
        for (unsigned k = 1; k <= more; k++) {
            code = code << 6 | (from[at + k] & 0x3f);
        }
        if (to) {
            to[count] = code;
        }
        at += more + 1;
    }
    return count;
}

static bool write_strings(FILE *file, const mm_value *value, uint64_t elements) {
    const unsigned char *text = value->data;
    uint64_t width = 1;
    for (uint64_t i = 0; i < elements; i++) {
        uint64_t length =
            decode(text + value->offsets[i], value->offsets[i + 1] - value->offsets[i], NULL);
        width = length > width ? length : width;
    }
    char descr[32];
    snprintf(descr, sizeof(descr), "<U%llu", (unsigned long long)width);
    uint32_t *item = malloc(width * sizeof(uint32_t));
    bool good = item && write_header(file, descr, value);
    for (uint64_t i = 0; good && i < elements; i++) {
        memset(item, 0, width * sizeof(uint32_t));
        decode(text + value->offsets[i], value->offsets[i + 1] - value->offsets[i], item);
        good = fwrite(item, sizeof(uint32_t), width, file) == width;
    }
    free(item);
    return good;
}

static bool write_unpacked(FILE *file, const mm_value *value, uint64_t elements, unsigned bits) {
    const unsigned char *data = value->data;
    unsigned per_byte = 8 / bits;
    bool good = true;
    for (uint64_t i = 0; good && i < elements; i++) {
        unsigned one = (data[i / per_byte] >> (i % per_byte * bits)) & ((1u << bits) - 1);
        good = fputc((int)one, file) != EOF;
    }
    return good;
}

static bool write_numbers(FILE *file, const mm_value *value, uint64_t elements) {
    size_t type = 0;
    while (type < TYPES && types[type].dtype != value->dtype) {
        type++;
    }
    if (type == TYPES || !write_header(file, types[type].descr, value)) {
        return false;
    }
    unsigned bits = sub_byte_bits(value->dtype);
    return bits ? write_unpacked(file, value, elements, bits)
                : fwrite(value->data, 1, value->bytes, file) == value->bytes;
}

bool write_npy(const char *path, const mm_value *value) {
    if (value->kind != MM_TENSOR) {
        return say(path, "only tensors can be written as .npy");
    }
    FILE *file = fopen(path, "wb");
    if (!file) {
        return say(path, strerror(errno));
    }
    uint64_t elements = mm_shape_elements(value->rank, value->shape);
    bool good = value->dtype == MM_STRING ? write_strings(file, value, elements)
                                          : write_numbers(file, value, elements);
    good = fclose(file) == 0 && good;
    return good || say(path, "could not be written");
}
