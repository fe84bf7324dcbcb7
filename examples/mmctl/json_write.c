/* SPDX-License-Identifier: Apache-2.0 */
#include "json.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

/* Bytes of the UTF-8 character that begins here; 0: none does. */
static unsigned character(const unsigned char *at, uint64_t left) {
    unsigned more = at[0] < 0x80                    ? 0
                    : at[0] >= 0xc2 && at[0] < 0xe0 ? 1
                    : (at[0] & 0xf0) == 0xe0        ? 2
                    : at[0] >= 0xf0 && at[0] < 0xf5 ? 3
                                                    : 4;
    if (more == 4 || more >= left) {
        return 0;
    }
    uint32_t code = at[0] & (0xff >> (more + 1));
    for (unsigned i = 1; i <= more; i++) {
        if ((at[i] & 0xc0) != 0x80) {
            return 0;
        }
        code = code << 6 | (at[i] & 0x3f);
    }
    bool good = (more < 2 || code >= (more == 2 ? 0x800u : 0x10000u)) && code < 0x110000 &&
                !(code >= 0xd800 && code < 0xe000);
    return good || more == 0 ? more + 1 : 0;
}

void put_json_text(FILE *file, const char *text, uint64_t bytes, bool exact) {
    const unsigned char *at = (const unsigned char *)text;
    fputc('"', file);
    for (uint64_t i = 0; i < bytes;) {
        unsigned length = character(at + i, bytes - i);
        if (length == 0) {
            fprintf(file, "\\u%04x", exact ? 0xdc00u | at[i] : 0xfffdu);
            i++;
        } else if (length == 1 && (at[i] < 0x20 || at[i] == 0x7f)) {
            fprintf(file, "\\u%04x", at[i++]);
        } else {
            if (at[i] == '"' || at[i] == '\\') {
                fputc('\\', file);
            }
            fwrite(at + i, 1, length, file);
            i += length;
        }
    }
    fputc('"', file);
}

static void put_real(FILE *file, double number, int digits) {
    if (isnan(number)) {
        fputs("\"nan\"", file);
    } else if (isinf(number)) {
        fputs(number < 0 ? "\"-inf\"" : "\"inf\"", file);
    } else {
        fprintf(file, "%.*g", digits, number);
    }
}

/* Little endian. */
static uint64_t bits_of(const mm_value *value, uint64_t i) {
    const unsigned char *data = value->data;
    uint64_t width = mm_dtype_bytes(value->dtype, 8), bits = 0;
    if (width < 8) {
        return data[i * width / 8] >> (i * width % 8) & ((1u << width) - 1);
    }
    memcpy(&bits, data + i * (width / 8), width / 8);
    return bits;
}

static void put_element(FILE *file, const mm_value *value, uint64_t i) {
    float f[2];
    double d[2];
    uint64_t bits;
    switch (value->dtype) {
    case MM_STRING:
        put_json_text(file, (const char *)value->data + value->offsets[i],
                      value->offsets[i + 1] - value->offsets[i], true);
        break;
    case MM_F32:
        memcpy(f, (const char *)value->data + i * sizeof(f[0]), sizeof(f[0]));
        put_real(file, (double)f[0], 9);
        break;
    case MM_F64:
        memcpy(d, (const char *)value->data + i * sizeof(d[0]), sizeof(d[0]));
        put_real(file, d[0], 17);
        break;
    case MM_C64:
        memcpy(f, (const char *)value->data + i * sizeof(f), sizeof(f));
        put_real(file, (double)f[0], 9);
        fputs(", ", file);
        put_real(file, (double)f[1], 9);
        break;
    case MM_C128:
        memcpy(d, (const char *)value->data + i * sizeof(d), sizeof(d));
        put_real(file, d[0], 17);
        fputs(", ", file);
        put_real(file, d[1], 17);
        break;
    case MM_BOOL:
        fputs(((const unsigned char *)value->data)[i] ? "true" : "false", file);
        break;
    case MM_I8:
    case MM_I16:
    case MM_I32:
    case MM_I64:
        bits = 64 - mm_dtype_bytes(value->dtype, 8);
        fprintf(file, "%" PRId64, (int64_t)(bits_of(value, i) << bits) >> bits);
        break;
    default:
        fprintf(file, "%" PRIu64, bits_of(value, i));
    }
}

static void put_tensor(FILE *file, const mm_value *value) {
    uint64_t elements = mm_shape_elements(value->rank, value->shape);
    fprintf(file, "{\"dtype\": \"%s\", \"shape\": [", mm_dtype_text(value->dtype));
    for (uint32_t i = 0; i < value->rank; i++) {
        fprintf(file, "%s%" PRId64, i ? ", " : "", value->shape[i]);
    }
    fputs("], \"data\": [", file);
    for (uint64_t i = 0; i < elements; i++) {
        fputs(i ? ", " : "", file);
        put_element(file, value, i);
    }
    fputs("]}", file);
}

static void put_value(FILE *file, const mm_value *value) {
    static const char *const kinds[] = {NULL, "sequence", "optional", "map"};
    if (value->kind == MM_TENSOR) {
        put_tensor(file, value);
        return;
    }
    bool list = value->kind != MM_OPTIONAL;
    fprintf(file, "{\"%s\": %s", kinds[value->kind & 3],
            list                     ? "["
            : value->item_count == 0 ? "null"
                                     : "");
    for (uint64_t i = 0; i < value->item_count; i++) {
        fputs(i ? ",\n " : "", file);
        put_value(file, &value->items[i]);
    }
    fputs(list ? "]}" : "}", file);
}

bool write_json(const char *path, const mm_value *value) {
    FILE *file = fopen(path, "w");
    if (!file) {
        fprintf(stderr, "mmctl: %s: %s\n", path, strerror(errno));
        return false;
    }
    put_value(file, value);
    fputc('\n', file);
    bool good = !ferror(file);
    good = fclose(file) == 0 && good;
    if (!good) {
        fprintf(stderr, "mmctl: %s: could not be written\n", path);
    }
    return good;
}
