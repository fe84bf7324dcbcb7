/* SPDX-License-Identifier: Apache-2.0 */
#include "json.h"

#include "npy.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define MAX_DEPTH 64
#define MAX_BYTES (UINT64_C(1) << 32) /* of a file */

/* The text, which ends with a NUL, and where it is read. */
struct reading {
    const char *at;
    unsigned depth;
    const char *wrong; /* NULL: nothing yet */
};

struct buffer {
    char *bytes;
    uint64_t used, room;
};

static bool wrong(struct reading *r, const char *what) {
    r->wrong = r->wrong ? r->wrong : what;
    return false;
}

static char *grow(struct reading *r, struct buffer *buffer, uint64_t more) {
    if (buffer->used + more > buffer->room) {
        uint64_t room = 2 * buffer->room + more + 64;
        char *bytes = realloc(buffer->bytes, room);
        if (!bytes) {
            wrong(r, "no memory");
            return NULL;
        }
        buffer->bytes = bytes;
        buffer->room = room;
    }
    buffer->used += more;
    return buffer->bytes + buffer->used - more;
}

/* ---- Words ---------------------------------------------------------------------------------- */

static void skip_blanks(struct reading *r) {
    r->at += strspn(r->at, " \t\r\n");
}

static bool take(struct reading *r, char c) {
    skip_blanks(r);
    if (*r->at != c) {
        return false;
    }
    r->at++;
    return true;
}

static bool take_word(struct reading *r, const char *word) {
    size_t length = strlen(word);
    skip_blanks(r);
    if (strncmp(r->at, word, length) != 0) {
        return false;
    }
    r->at += length;
    return true;
}

static bool read_code(struct reading *r, uint32_t *code) {
    *code = 0;
    for (int i = 0; i < 4; i++, r->at++) {
        if (!isxdigit((unsigned char)*r->at)) {
            return wrong(r, "four hexadecimal digits expected");
        }
        int digit = *r->at <= '9' ? *r->at - '0' : (*r->at | 32) - 'a' + 10;
        *code = *code * 16 + (uint32_t)digit;
    }
    return true;
}

/* Behind "\u". Two surrogates are one character; a lone low one is a byte. */
static bool read_escaped(struct reading *r, struct buffer *buffer) {
    uint32_t code, low;
    if (!read_code(r, &code)) {
        return false;
    }
    if (code >= 0xd800 && code < 0xdc00 && r->at[0] == '\\' && r->at[1] == 'u') {
        r->at += 2;
        if (!read_code(r, &low)) {
            return false;
        }
        code = 0x10000 + ((code - 0xd800) << 10) + ((low - 0xdc00) & 0x3ff);
    }
    unsigned more = code < 0x80 || (code >= 0xdc80 && code < 0xdd00) ? 0
                    : code < 0x800                                   ? 1
                    : code < 0x10000                                 ? 2
                                                                     : 3;
    static const unsigned lead[] = {0, 0xc0, 0xe0, 0xf0};
    char *to = grow(r, buffer, more + 1);
    for (unsigned i = more; to && i > 0; i--, code >>= 6) {
        to[i] = (char)(0x80 | (code & 0x3f));
    }
    if (to) {
        to[0] = (char)((lead[more] | code) & 0xff);
    }
    return to != NULL;
}

/* Appends the text. */
static bool read_text(struct reading *r, struct buffer *buffer) {
    static const char names[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
    if (!take(r, '"')) {
        return wrong(r, "a text expected");
    }
    while (*r->at != '"') {
        char c = *r->at++;
        if (c == '\0') {
            return wrong(r, "a text without an end");
        }
        if (c == '\\' && *r->at == 'u') {
            r->at++;
            if (!read_escaped(r, buffer)) {
                return false;
            }
            continue;
        }
        if (c == '\\') {
            const char *name = *r->at ? strchr(names, *r->at) : NULL;
            if (!name) {
                return wrong(r, "an unknown escape");
            }
            c = meant[name - names];
            r->at++;
        }
        char *to = grow(r, buffer, 1);
        if (!to) {
            return false;
        }
        *to = c;
    }
    r->at++;
    return true;
}

/* A short one, such as a key. */
static bool read_word(struct reading *r, char word[16]) {
    struct buffer buffer = {0};
    bool good = read_text(r, &buffer);
    memset(word, 0, 16);
    if (good && buffer.used < 16 && buffer.used > 0) {
        memcpy(word, buffer.bytes, buffer.used);
    }
    free(buffer.bytes);
    return good;
}

/* ---- Tensors -------------------------------------------------------------------------------- */

static bool read_shape(struct reading *r, mm_value *value) {
    if (!take(r, '[')) {
        return wrong(r, "a shape expected, as [2, 3]");
    }
    for (bool first = true; !take(r, ']'); first = false) {
        char *end;
        skip_blanks(r);
        if (!first && !take(r, ',')) {
            return wrong(r, "a comma expected in a shape");
        }
        skip_blanks(r);
        long long axis = strtoll(r->at, &end, 10);
        if (end == r->at || axis < 0 || value->rank == MM_MAX_RANK) {
            return wrong(r, "up to 8 axes from 0 on expected in a shape");
        }
        value->shape[value->rank++] = axis;
        r->at = end;
    }
    return true;
}

static bool read_real(struct reading *r, double *number) {
    static const struct {
        const char *text;
        double number;
    } words[] = {{"\"nan\"", (double)__builtin_nanf("")},
                 {"\"inf\"", (double)__builtin_inff()},
                 {"\"-inf\"", -(double)__builtin_inff()}};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (take_word(r, words[i].text)) {
            *number = words[i].number;
            return true;
        }
    }
    char *end;
    *number = strtod(r->at, &end);
    bool good = end != r->at;
    r->at = end;
    return good || wrong(r, "a number expected");
}

static bool read_bits(struct reading *r, uint64_t *bits) {
    char *end;
    skip_blanks(r);
    if (take_word(r, "true") || take_word(r, "false")) {
        *bits = r->at[-2] == 'u';
        return true;
    }
    *bits = *r->at == '-' ? (uint64_t)strtoll(r->at, &end, 10) : strtoull(r->at, &end, 10);
    bool good = end != r->at;
    r->at = end;
    return good || wrong(r, "a whole number expected");
}

static bool read_element(struct reading *r, int32_t dtype, uint64_t i, struct buffer *data) {
    uint64_t width = mm_dtype_bytes(dtype, 8), bits; /* bits of an element */
    bool reals = dtype == MM_F32 || dtype == MM_C64, longs = dtype == MM_F64 || dtype == MM_C128;
    double number;
    if (reals || longs) {
        if (!read_real(r, &number)) {
            return false;
        }
        float single = (float)number;
        char *to = grow(r, data, longs ? sizeof(number) : sizeof(single));
        return to && memcpy(to, longs ? (void *)&number : (void *)&single,
                            longs ? sizeof(number) : sizeof(single));
    }
    if (!read_bits(r, &bits)) {
        return false;
    }
    if (width < 8) {
        char *to = i * width % 8 == 0 ? grow(r, data, 1) : data->bytes + data->used - 1;
        if (to) {
            bits = (bits & ((1u << width) - 1)) << (i * width % 8);
            *to = (char)(i * width % 8 == 0 ? bits : (bits | (unsigned char)*to));
        }
        return to != NULL;
    }
    char *to = grow(r, data, width / 8);
    return to && memcpy(to, &bits, width / 8);
}

static bool read_data(struct reading *r, mm_value *value) {
    struct buffer data = {0}, offsets = {0};
    uint64_t count = 0, elements = mm_shape_elements(value->rank, value->shape);
    uint64_t each = value->dtype == MM_C64 || value->dtype == MM_C128 ? 2 : 1;
    bool strings = value->dtype == MM_STRING;
    bool good = take(r, '[') || wrong(r, "a list of elements expected");
    for (; good && !take(r, ']'); count++) {
        good = count == 0 || take(r, ',') || wrong(r, "a comma expected between elements");
        char *offset = good && strings ? grow(r, &offsets, sizeof(uint64_t)) : NULL;
        if (offset) {
            memcpy(offset, &data.used, sizeof(uint64_t));
        }
        good = good && (strings ? offset && read_text(r, &data)
                                : read_element(r, value->dtype, count, &data));
    }
    char *end = good && strings ? grow(r, &offsets, sizeof(uint64_t)) : NULL;
    if (end) {
        memcpy(end, &data.used, sizeof(uint64_t));
    }
    good = good && (end || !strings);
    value->data = data.bytes;
    value->bytes = data.used;
    value->offsets = (uint64_t *)(void *)offsets.bytes;
    return good && (count == elements * each || wrong(r, "more or fewer elements than its shape"));
}

/* ---- Values --------------------------------------------------------------------------------- */

static int32_t dtype_of(const char *text) {
    for (int32_t dtype = 1; dtype < 64; dtype++) {
        if (strcmp(mm_dtype_text(dtype), text) == 0) {
            return dtype;
        }
    }
    return MM_DTYPE_NONE;
}

static bool read_value(struct reading *r, mm_value *value);

/* Behind "dtype": in this order. */
static bool read_tensor(struct reading *r, mm_value *value) {
    char word[16];
    if (!read_word(r, word)) {
        return false;
    }
    value->kind = MM_TENSOR;
    value->dtype = dtype_of(word);
    if (value->dtype == MM_DTYPE_NONE) {
        return wrong(r, "a dtype such as f32 or string expected");
    }
    if (!take(r, ',') || !take_word(r, "\"shape\"") || !take(r, ':')) {
        return wrong(r, "\"shape\" expected after \"dtype\"");
    }
    if (!read_shape(r, value)) {
        return false;
    }
    if (!take(r, ',') || !take_word(r, "\"data\"") || !take(r, ':')) {
        return wrong(r, "\"data\" expected after \"shape\"");
    }
    return read_data(r, value);
}

static mm_value *add_item(struct reading *r, mm_value *value) {
    uint64_t count = value->item_count;
    if ((count & (count - 1)) == 0) { /* full at each power of two */
        mm_value *items = realloc(value->items, (count ? 2 * count : 1) * sizeof(*items));
        if (!items) {
            wrong(r, "no memory");
            return NULL;
        }
        value->items = items;
    }
    value->items[count] = (mm_value){0};
    value->item_count++;
    return &value->items[count];
}

static bool read_list(struct reading *r, mm_value *value) {
    if (!take(r, '[')) {
        return wrong(r, "a list of values expected");
    }
    while (!take(r, ']')) {
        if (value->item_count > 0 && !take(r, ',')) {
            return wrong(r, "a comma expected between values");
        }
        mm_value *item = add_item(r, value);
        if (!item || !read_value(r, item)) {
            return false;
        }
    }
    bool pair = value->kind != MM_MAP || value->item_count == 2;
    return pair || wrong(r, "two values expected in a map: keys and values");
}

static bool read_optional(struct reading *r, mm_value *value) {
    value->kind = MM_OPTIONAL;
    if (take_word(r, "null")) {
        return true;
    }
    mm_value *item = add_item(r, value);
    return item && read_value(r, item);
}

static bool read_value(struct reading *r, mm_value *value) {
    char key[16];
    bool good;
    *value = (mm_value){0};
    if (++r->depth > MAX_DEPTH) {
        return wrong(r, "values nested at most 64 deep expected");
    }
    if (!take(r, '{') || !read_word(r, key) || !take(r, ':')) {
        return wrong(r, "a value expected, as {\"dtype\": ...} or {\"sequence\": ...}");
    }
    if (strcmp(key, "dtype") == 0) {
        good = read_tensor(r, value);
    } else if (strcmp(key, "optional") == 0) {
        good = read_optional(r, value);
    } else if (strcmp(key, "sequence") == 0 || strcmp(key, "map") == 0) {
        value->kind = key[0] == 'm' ? MM_MAP : MM_SEQUENCE;
        good = read_list(r, value);
    } else {
        return wrong(r, "\"dtype\", \"sequence\", \"optional\" or \"map\" expected");
    }
    r->depth--;
    return good && (take(r, '}') || wrong(r, "the end of a value expected"));
}

/* ---- Files ---------------------------------------------------------------------------------- */

static char *read_file(const char *path) {
    FILE *file = fopen(path, "rb");
    if (!file) {
        fprintf(stderr, "mmctl: %s: %s\n", path, strerror(errno));
        return NULL;
    }
    char *text = NULL;
    uint64_t used = 0, room = 0;
    size_t got = 1;
    while (got > 0 && used < MAX_BYTES) {
        if (used + 1 >= room) {
            room = 2 * room + 4096;
            char *more = realloc(text, room);
            if (!more) {
                break;
            }
            text = more;
        }
        got = fread(text + used, 1, room - used - 1, file);
        used += got;
        text[used] = '\0';
    }
    bool good = got == 0 && !ferror(file);
    fclose(file);
    if (!good) {
        fprintf(stderr, "mmctl: %s: could not be read\n", path);
        free(text);
        text = NULL;
    }
    return text;
}

bool read_json(const char *path, mm_value *value) {
    *value = (mm_value){0};
    char *text = read_file(path);
    if (!text) {
        return false;
    }
    struct reading r = {.at = text};
    bool good = read_value(&r, value);
    skip_blanks(&r);
    good = good && (*r.at == '\0' || wrong(&r, "nothing behind the value expected"));
    if (!good) {
        fprintf(stderr, "mmctl: %s: at byte %llu: %s\n", path, (unsigned long long)(r.at - text),
                r.wrong ? r.wrong : "not a value");
        free_value(value);
    }
    free(text);
    return good;
}
