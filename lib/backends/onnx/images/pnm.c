/* SPDX-License-Identifier: Apache-2.0 */

/* PNM: bitmaps, grey and colour, as text (P1 P2 P3) and as bytes (P4 P5 P6). */

#include <backends/onnx/images/picture.h>
#include <base/checked.h>
#include <base/status.h>

#include <math.h>
#include <string.h>

struct pnm {
    const struct onnx_picture *picture;
    uint64_t at;
    bool bitmap, text;
    uint32_t channels, most; /* `most`: the value that is white */
    uint64_t width, height;
};

static bool is_blank(uint8_t c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_digit(uint8_t c) {
    return c >= '0' && c <= '9';
}

/* Blanks and comments, which reach to the end of their line. */
static void skip_blanks(struct pnm *pnm) {
    const struct onnx_picture *picture = pnm->picture;
    bool comment = false;
    for (; pnm->at < picture->count; pnm->at++) {
        uint8_t c = picture->bytes[pnm->at];
        comment = comment ? c != '\n' && c != '\r' : c == '#';
        if (!comment && !is_blank(c)) {
            return;
        }
    }
}

/* The next number, at most `most`. */
static mm_status read_number(struct pnm *pnm, uint32_t most, const char *what, uint32_t *number,
                             mm_error *err) {
    const struct onnx_picture *picture = pnm->picture;
    skip_blanks(pnm);
    if (pnm->at == picture->count) {
        return mmi_onnx_cut_short(err);
    }
    uint64_t begin = pnm->at, sum = 0;
    while (pnm->at < picture->count && is_digit(picture->bytes[pnm->at]) && sum <= most) {
        sum = sum * 10 + (picture->bytes[pnm->at++] - (uint64_t)'0');
    }
    if (pnm->at == begin) {
        return mmi_fail(err, MM_INVALID_ARGUMENT, "no number at byte %llu, where its %s is wanted",
                        (unsigned long long)begin, what);
    }
    if (sum > most) {
        return mmi_fail(err, MM_INVALID_ARGUMENT, "its %s at byte %llu is above %u", what,
                        (unsigned long long)begin, most);
    }
    *number = (uint32_t)sum;
    return MM_OK;
}

static mm_status read_header(struct pnm *pnm, mm_error *err) {
    const struct onnx_picture *picture = pnm->picture;
    uint32_t width, height;
    uint8_t kind = picture->count > 1 ? picture->bytes[1] : 0;
    if (kind < '1' || kind > '6') {
        return mmi_fail(err, kind == '7' ? MM_UNSUPPORTED : MM_INVALID_ARGUMENT,
                        "it begins with P and byte %u, P1 to P6 wanted", kind);
    }
    pnm->at = 2;
    pnm->text = kind < '4';
    pnm->bitmap = kind == '1' || kind == '4';
    pnm->channels = kind == '3' || kind == '6' ? 3 : 1;
    MMI_TRY(read_number(pnm, INT32_MAX, "width", &width, err));
    MMI_TRY(read_number(pnm, INT32_MAX, "height", &height, err));
    pnm->width = width;
    pnm->height = height;
    if (!pnm->bitmap) {
        MMI_TRY(read_number(pnm, UINT16_MAX, "largest value", &pnm->most, err));
        if (pnm->most == 0) {
            return mmi_fail(err, MM_INVALID_ARGUMENT, "its largest value is 0");
        }
    }
    if (pnm->text) {
        return MM_OK;
    }
    if (pnm->at == picture->count) {
        return mmi_onnx_cut_short(err);
    }
    if (!is_blank(picture->bytes[pnm->at++])) {
        return mmi_fail(err, MM_INVALID_ARGUMENT, "no blank before its pixels");
    }
    return MM_OK;
}

/* A row of the file has at least this many bytes: it is long enough, or refused. */
static mm_status check_length(const struct pnm *pnm, mm_error *err) {
    uint64_t samples = pnm->width * pnm->channels, row; /* below 2^33 */
    if (pnm->text) {
        row = samples; /* digits, with blanks between them or not */
    } else {
        row = pnm->bitmap ? (pnm->width + 7) / 8 : samples * (pnm->most > 255 ? 2 : 1);
    }
    uint64_t bytes;
    return mmi_mul(row, pnm->height, &bytes) && bytes <= pnm->picture->count - pnm->at
               ? MM_OK
               : mmi_onnx_cut_short(err);
}

/* 0 .. most to 0 .. 255. */
static uint8_t scale(const struct pnm *pnm, uint32_t value) {
    if (value >= pnm->most) {
        return 255;
    }
    return pnm->most == 255 ? (uint8_t)value
                            : (uint8_t)lrint((double)value / (double)pnm->most * 255);
}

static mm_status read_text_bit(struct pnm *pnm, uint8_t *to, mm_error *err) {
    skip_blanks(pnm);
    if (pnm->at == pnm->picture->count) {
        return mmi_onnx_cut_short(err);
    }
    uint8_t c = pnm->picture->bytes[pnm->at++];
    *to = c == '0' ? 255 : 0;
    return c == '0' || c == '1'
               ? MM_OK
               : mmi_fail(err, MM_INVALID_ARGUMENT, "byte %llu is no bit of a bitmap",
                          (unsigned long long)pnm->at - 1);
}

static mm_status read_text(struct pnm *pnm, uint8_t *to, mm_error *err) {
    for (uint64_t i = 0; i < pnm->width * pnm->channels; i++) {
        uint32_t value = 0;
        if (pnm->bitmap) {
            MMI_TRY(read_text_bit(pnm, &to[i], err));
            continue;
        }
        MMI_TRY(read_number(pnm, pnm->most, "sample", &value, err));
        to[i] = scale(pnm, value);
    }
    return MM_OK;
}

static void read_bytes(struct pnm *pnm, uint8_t *to) {
    const uint8_t *from = pnm->picture->bytes + pnm->at;
    uint64_t count = pnm->width * pnm->channels;
    uint32_t width = pnm->most > 255 ? 2 : 1;
    for (uint64_t i = 0; i < count; i++) {
        if (pnm->bitmap) {
            to[i] = from[i / 8] >> (7 - i % 8) & 1 ? 0 : 255;
        } else {
            to[i] = scale(pnm, width == 2 ? (uint32_t)from[2 * i] << 8 | from[2 * i + 1] : from[i]);
        }
    }
    pnm->at += pnm->bitmap ? (count + 7) / 8 : count * width;
}

/* One value a pixel becomes three, from the last on. */
static void spread(uint8_t *row, uint64_t width) {
    for (uint64_t x = width; x-- > 0;) {
        memset(row + 3 * x, row[x], 3);
    }
}

mm_status mmi_onnx_read_pnm(struct onnx_picture *picture, mm_error *err) {
    struct pnm pnm = {.picture = picture};
    MMI_TRY(read_header(&pnm, err));
    MMI_TRY(check_length(&pnm, err));
    MMI_TRY(mmi_onnx_begin_picture(picture, pnm.width, pnm.height, 0, err));
    for (uint32_t y = 0; y < picture->height; y++) {
        uint8_t *row = mmi_onnx_row(picture, y);
        if (pnm.text) {
            MMI_TRY(read_text(&pnm, row, err));
        } else {
            read_bytes(&pnm, row);
        }
        if (pnm.channels == 1) {
            spread(row, pnm.width);
        }
    }
    return MM_OK;
}
