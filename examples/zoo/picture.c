/* SPDX-License-Identifier: Apache-2.0 */
#include "picture.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define LARGEST_SIDE 8192

static bool make(uint32_t width, uint32_t height, struct picture *picture, mm_error *err) {
    *picture = (struct picture){.width = width, .height = height};
    picture->rgb = malloc((size_t)width * height * 3);
    return picture->rgb ||
           fault(err, MM_NO_MEMORY, "no memory for a picture of %u x %u", width, height);
}

void picture_free(struct picture *picture) {
    free(picture->rgb);
    *picture = (struct picture){0};
}

/* ---- PPM ------------------------------------------------------------------------------------ */

struct reader {
    const uint8_t *at, *end;
};

static bool is_blank(uint8_t c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static void skip_blanks(struct reader *reader) {
    while (reader->at < reader->end && (is_blank(*reader->at) || *reader->at == '#')) {
        if (*reader->at == '#') {
            while (reader->at < reader->end && *reader->at != '\n') {
                reader->at++;
            }
        } else {
            reader->at++;
        }
    }
}

/* A decimal number; 0 for none or one beyond the largest side. */
static uint32_t read_number(struct reader *reader) {
    skip_blanks(reader);
    uint32_t number = 0;
    while (reader->at < reader->end && *reader->at >= '0' && *reader->at <= '9') {
        number = number * 10 + (*reader->at++ - (uint32_t)'0');
        if (number > LARGEST_SIDE) {
            return 0;
        }
    }
    return number;
}

bool picture_parse(const char *name, const uint8_t *data, uint64_t bytes, struct picture *picture,
                   mm_error *err) {
    if (bytes < 2 || memcmp(data, "P6", 2) != 0) {
        return fault(err, MM_INVALID_ARGUMENT, "%s: no binary PPM picture: it begins not with P6",
                     name);
    }
    struct reader reader = {data + 2, data + bytes};
    uint32_t width = read_number(&reader), height = read_number(&reader);
    uint32_t shades = read_number(&reader);
    if (width == 0 || height == 0) {
        return fault(err, MM_INVALID_ARGUMENT, "%s: width and height are 1 to %d", name,
                     LARGEST_SIDE);
    }
    if (shades != 255 || reader.at == reader.end || !is_blank(*reader.at)) {
        return fault(err, MM_INVALID_ARGUMENT, "%s: 255 shades are wanted", name);
    }
    reader.at++;
    uint64_t needed = (uint64_t)width * height * 3, there = (uint64_t)(reader.end - reader.at);
    if (there < needed) {
        return fault(err, MM_INVALID_ARGUMENT,
                     "%s: cut off: %" PRIu64 " bytes of pixels where %u x %u needs %" PRIu64, name,
                     there, width, height, needed);
    }
    if (!make(width, height, picture, err)) {
        return false;
    }
    memcpy(picture->rgb, reader.at, needed);
    return true;
}

/* ---- Cut, turn, resize ---------------------------------------------------------------------- */

bool picture_cut(const struct picture *picture, struct box box, struct picture *part,
                 mm_error *err) {
    if (box.left >= box.right || box.top >= box.bottom || box.right > picture->width ||
        box.bottom > picture->height) {
        return fault(err, MM_INVALID_ARGUMENT, "no part of the picture: %u..%u x %u..%u", box.left,
                     box.right, box.top, box.bottom);
    }
    if (!make(box.right - box.left, box.bottom - box.top, part, err)) {
        return false;
    }
    size_t row_bytes = (size_t)part->width * 3;
    for (uint32_t y = 0; y < part->height; y++) {
        size_t from = ((size_t)(box.top + y) * picture->width + box.left) * 3;
        memcpy(part->rgb + y * row_bytes, picture->rgb + from, row_bytes);
    }
    return true;
}

void picture_turn(struct picture *picture) {
    size_t count = (size_t)picture->width * picture->height;
    for (size_t i = 0; i < count / 2; i++) {
        uint8_t *a = picture->rgb + i * 3, *b = picture->rgb + (count - 1 - i) * 3, swap[3];
        memcpy(swap, a, 3);
        memcpy(a, b, 3);
        memcpy(b, swap, 3);
    }
}

/* Where pixel `at` of `to` lies among `from`: the first of two neighbours and the share of the
 * second. */
static uint32_t place(uint32_t at, uint32_t to, uint32_t from, float *share) {
    float exact = ((float)at + 0.5f) * (float)from / (float)to - 0.5f;
    exact = exact < 0 ? 0 : exact > (float)(from - 1) ? (float)(from - 1) : exact;
    uint32_t first = (uint32_t)exact;
    *share = exact - (float)first;
    return first;
}

bool picture_resize(const struct picture *picture, uint32_t width, uint32_t height,
                    struct picture *resized, mm_error *err) {
    if (!make(width, height, resized, err)) {
        return false;
    }
    for (uint32_t y = 0; y < height; y++) {
        float down;
        uint32_t top = place(y, height, picture->height, &down);
        uint32_t below = top + 1 < picture->height ? top + 1 : top;
        for (uint32_t x = 0; x < width; x++) {
            float right;
            uint32_t left = place(x, width, picture->width, &right);
            uint32_t beside = left + 1 < picture->width ? left + 1 : left;
            const uint8_t *upper = picture->rgb + (size_t)top * picture->width * 3;
            const uint8_t *lower = picture->rgb + (size_t)below * picture->width * 3;
            for (uint32_t c = 0; c < 3; c++) {
                float above = upper[left * 3 + c] * (1 - right) + upper[beside * 3 + c] * right;
                float under = lower[left * 3 + c] * (1 - right) + lower[beside * 3 + c] * right;
                float value = above * (1 - down) + under * down + 0.5f;
                resized->rgb[((size_t)y * width + x) * 3 + c] = (uint8_t)value;
            }
        }
    }
    return true;
}

void picture_to_tensor(const struct picture *picture, uint32_t width, uint32_t height,
                       float *tensor) {
    memset(tensor, 0, (size_t)width * height * 3 * sizeof(*tensor));
    for (uint32_t c = 0; c < 3; c++) {
        for (uint32_t y = 0; y < picture->height; y++) {
            const uint8_t *row = picture->rgb + (size_t)y * picture->width * 3;
            float *to = tensor + ((size_t)c * height + y) * width;
            for (uint32_t x = 0; x < picture->width; x++) {
                to[x] = (float)row[x * 3 + 2 - c] / 127.5f - 1;
            }
        }
    }
}
