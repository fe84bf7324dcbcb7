/* SPDX-License-Identifier: Apache-2.0 */

/* BMP: 1, 2, 4 and 8 bits with a palette, RLE4 and RLE8, 16, 24 and 32 bits with masks or without;
 * the headers of Windows and the short ones of OS/2. */

#include <backends/onnx/images/picture.h>
#include <base/status.h>

#include <string.h>

enum { FILE_HEADER = 14, CORE_HEADER = 12, INFO_HEADER = 40, MASKS_HEADER = 52, OS2_HEADER = 64 };
enum { PLAIN = 0, RLE8 = 1, RLE4 = 2, MASKS = 3, MASKS_AND_ALPHA = 6 };

struct bmp {
    const struct onnx_picture *picture;
    uint64_t width, height, pixels; /* `pixels`: where they begin in the file */
    bool top_down;
    uint32_t header, bits, compression, colors;
    uint32_t masks[3]; /* of red, green and blue */
    uint8_t palette[256][3];
};

static uint32_t u16_at(const struct bmp *bmp, uint64_t at) {
    return bmp->picture->bytes[at] | (uint32_t)bmp->picture->bytes[at + 1] << 8;
}

static uint32_t u32_at(const struct bmp *bmp, uint64_t at) {
    return u16_at(bmp, at) | u16_at(bmp, at + 2) << 16;
}

/* ---- The header ------------------------------------------------------------------------------ */

static mm_status read_core(struct bmp *bmp) {
    bmp->width = u16_at(bmp, 18);
    bmp->height = u16_at(bmp, 20);
    bmp->bits = u16_at(bmp, 24);
    return MM_OK;
}

static mm_status read_info(struct bmp *bmp, mm_error *err) {
    int64_t width = (int32_t)u32_at(bmp, 18), height = (int32_t)u32_at(bmp, 22);
    bmp->top_down = height < 0;
    bmp->width = width > 0 ? (uint64_t)width : 0;
    bmp->height = (uint64_t)(height < 0 ? -height : height);
    bmp->bits = u16_at(bmp, 28);
    bmp->compression = u32_at(bmp, 30);
    bmp->colors = u32_at(bmp, 46);
    bool of_windows =
        bmp->header == INFO_HEADER || (bmp->header >= MASKS_HEADER && bmp->header != OS2_HEADER);
    bool known = bmp->compression <= RLE4 ||
                 (of_windows && (bmp->compression == MASKS || bmp->compression == MASKS_AND_ALPHA));
    return known ? MM_OK
                 : mmi_fail(err, MM_UNSUPPORTED, "compression %u of a header of %u bytes",
                            bmp->compression, bmp->header);
}

static mm_status check_bits(const struct bmp *bmp, mm_error *err) {
    bool fits;
    switch (bmp->compression) {
    case PLAIN:
        fits = bmp->bits <= 2 || bmp->bits == 4 || (bmp->bits % 8 == 0 && bmp->bits <= 32);
        break;
    case RLE8:
    case RLE4:
        fits = bmp->bits == (bmp->compression == RLE8 ? 8 : 4);
        break;
    default:
        fits = bmp->bits == 16 || bmp->bits == 32;
    }
    return fits && bmp->bits > 0
               ? MM_OK
               : mmi_fail(err, MM_INVALID_ARGUMENT, "%u bits a pixel with compression %u",
                          bmp->bits, bmp->compression);
}

/* The masks, and where the palette begins. */
static mm_status read_masks(struct bmp *bmp, uint64_t *palette, mm_error *err) {
    static const uint32_t usual[2][3] = {{0x7c00, 0x3e0, 0x1f}, {0xff0000, 0xff00, 0xff}};
    *palette = FILE_HEADER + (uint64_t)bmp->header;
    memcpy(bmp->masks, usual[bmp->bits == 16 ? 0 : 1], sizeof(bmp->masks));
    if (bmp->compression != MASKS && bmp->compression != MASKS_AND_ALPHA) {
        return MM_OK;
    }
    if (bmp->picture->count < FILE_HEADER + MASKS_HEADER) {
        return mmi_onnx_cut_short(err);
    }
    for (uint32_t i = 0; i < 3; i++) { /* in the header or behind it: at the same place */
        bmp->masks[i] = u32_at(bmp, FILE_HEADER + INFO_HEADER + 4 * i);
    }
    return MM_OK;
}

static mm_status read_palette(struct bmp *bmp, uint64_t at, mm_error *err) {
    uint32_t width = bmp->header == CORE_HEADER ? 3 : 4;
    uint32_t most = 1u << bmp->bits;
    uint64_t colors = bmp->colors ? bmp->colors : most;
    if (colors > 256) {
        return mmi_fail(err, MM_INVALID_ARGUMENT, "a palette of %u colours", bmp->colors);
    }
    if (bmp->header == CORE_HEADER && bmp->pixels > at) { /* some have fewer and do not say so */
        uint64_t room = (bmp->pixels - at) / width;
        colors = room < colors ? room : colors;
    }
    if (bmp->picture->count - at < colors * width) {
        return mmi_onnx_cut_short(err);
    }
    for (uint64_t i = 0; i < colors; i++) { /* as blue, green, red */
        const uint8_t *color = bmp->picture->bytes + at + i * width;
        for (uint32_t j = 0; j < 3; j++) {
            bmp->palette[i][j] = color[2 - j];
        }
    }
    return MM_OK;
}

static mm_status read_header(struct bmp *bmp, mm_error *err) {
    uint64_t count = bmp->picture->count;
    if (count < FILE_HEADER + CORE_HEADER) {
        return mmi_onnx_cut_short(err);
    }
    bmp->pixels = u32_at(bmp, 10);
    bmp->header = u32_at(bmp, 14);
    bool core = bmp->header == CORE_HEADER;
    if (!core && (bmp->header < INFO_HEADER || bmp->header > 1024)) {
        return mmi_fail(err, MM_UNSUPPORTED, "a header of %u bytes", bmp->header);
    }
    if (count < FILE_HEADER + bmp->header || count < bmp->pixels) {
        return mmi_onnx_cut_short(err);
    }
    MMI_TRY(core ? read_core(bmp) : read_info(bmp, err));
    MMI_TRY(check_bits(bmp, err));
    uint64_t palette;
    MMI_TRY(read_masks(bmp, &palette, err));
    return bmp->bits <= 8 ? read_palette(bmp, palette, err) : MM_OK;
}

/* ---- Rows as they are ------------------------------------------------------------------------ */

static void put(uint8_t *to, const uint8_t color[3]) {
    memcpy(to, color, 3);
}

static void read_indices(const struct bmp *bmp, const uint8_t *from, uint8_t *to) {
    uint32_t mask = (1u << bmp->bits) - 1;
    for (uint64_t x = 0; x < bmp->width; x++) {
        uint64_t bit = x * bmp->bits;
        uint32_t index = from[bit / 8] >> (8 - bmp->bits - bit % 8) & mask;
        put(to + 3 * x, bmp->palette[index]);
    }
}

/* What the mask picks, spread over 0 .. 255. */
static uint8_t channel(uint32_t pixel, uint32_t mask) {
    if (mask == 0) {
        return 0;
    }
    uint32_t shift = (uint32_t)__builtin_ctz(mask), most = mask >> shift;
    uint64_t value = (pixel & mask) >> shift;
    return (uint8_t)(most == 255 ? value : value * 255 / most);
}

static void read_masked(const struct bmp *bmp, const uint8_t *from, uint8_t *to) {
    uint32_t width = bmp->bits / 8;
    for (uint64_t x = 0; x < bmp->width; x++, from += width, to += 3) {
        uint32_t pixel = 0;
        for (uint32_t i = 0; i < width; i++) {
            pixel |= (uint32_t)from[i] << 8 * i;
        }
        for (uint32_t i = 0; i < 3; i++) {
            to[i] = channel(pixel, bmp->masks[i]);
        }
    }
}

static uint8_t *row_of(const struct bmp *bmp, uint64_t y) {
    return mmi_onnx_row(bmp->picture, (uint32_t)(bmp->top_down ? y : bmp->height - 1 - y));
}

static mm_status read_plain(struct bmp *bmp, struct onnx_picture *picture, mm_error *err) {
    /* Below 2^31 each, times 32 bits: no overflow, and none once the picture has begun. */
    uint64_t row = (bmp->width * bmp->bits + 7) / 8, stride = (row + 3) / 4 * 4;
    uint64_t room = picture->count - bmp->pixels;
    if (bmp->height > 0 && (room < row || (bmp->height - 1) > (room - row) / (stride + !stride))) {
        return mmi_onnx_cut_short(err); /* the last row may lack what fills it up */
    }
    MMI_TRY(mmi_onnx_begin_picture(picture, bmp->width, bmp->height, 0, err));
    for (uint64_t y = 0; y < bmp->height; y++) {
        const uint8_t *from = picture->bytes + bmp->pixels + y * stride;
        if (bmp->bits <= 8) {
            read_indices(bmp, from, row_of(bmp, y));
        } else {
            read_masked(bmp, from, row_of(bmp, y));
        }
    }
    return MM_OK;
}

/* ---- Runs ------------------------------------------------------------------------------------ */

/* Where the runs go on, in the file and in the picture. */
struct runs {
    uint64_t at, x, y;
};

static void put_index(const struct bmp *bmp, struct runs *runs, uint32_t index) {
    if (runs->x < bmp->width && runs->y < bmp->height) { /* what is beyond is nowhere */
        put(row_of(bmp, runs->y) + 3 * runs->x, bmp->palette[index]);
    }
    runs->x++;
}

/* `length` pixels from the bytes at runs->at; `same`: all from the first byte. */
static mm_status put_run(const struct bmp *bmp, struct runs *runs, uint32_t length, bool same,
                         mm_error *err) {
    uint64_t bytes = bmp->bits == 8 ? length : (length + 1) / 2;
    bytes = same ? 1 : (bytes + 1) / 2 * 2;
    if (bmp->picture->count - runs->at < bytes) {
        return mmi_onnx_cut_short(err);
    }
    const uint8_t *from = bmp->picture->bytes + runs->at;
    for (uint32_t i = 0; i < length; i++) {
        uint32_t byte = same ? from[0] : from[bmp->bits == 8 ? i : i / 2];
        uint32_t index = bmp->bits == 8 ? byte : i % 2 == 0 ? byte >> 4 : byte & 15;
        put_index(bmp, runs, index);
    }
    runs->at += bytes;
    return MM_OK;
}

/* One after the other; *ended: that was the last one. */
static mm_status read_run(const struct bmp *bmp, struct runs *runs, bool *ended, mm_error *err) {
    const struct onnx_picture *picture = bmp->picture;
    if (picture->count - runs->at < 2) {
        return mmi_onnx_cut_short(err);
    }
    uint32_t length = picture->bytes[runs->at], code = picture->bytes[runs->at + 1];
    if (length > 0) {
        runs->at++;
        return put_run(bmp, runs, length, true, err);
    }
    runs->at += 2;
    if (code == 0) { /* end of the row */
        runs->x = 0;
        runs->y++;
    } else if (code == 1) { /* end of the picture */
        *ended = true;
    } else if (code == 2) { /* go on elsewhere */
        if (picture->count - runs->at < 2) {
            return mmi_onnx_cut_short(err);
        }
        runs->x += picture->bytes[runs->at];
        runs->y += picture->bytes[runs->at + 1];
        runs->at += 2;
    } else {
        return put_run(bmp, runs, code, false, err);
    }
    return MM_OK;
}

static mm_status read_runs(struct bmp *bmp, struct onnx_picture *picture, mm_error *err) {
    struct runs runs = {.at = bmp->pixels};
    bool ended = false;
    MMI_TRY(mmi_onnx_begin_picture(picture, bmp->width, bmp->height, 0, err));
    uint8_t *pixels = mmi_onnx_row(picture, 0);
    for (uint64_t i = 0; i < bmp->width * bmp->height; i++) { /* what no run reaches */
        put(pixels + 3 * i, bmp->palette[0]);
    }
    while (!ended) {
        MMI_TRY(read_run(bmp, &runs, &ended, err));
    }
    return MM_OK;
}

mm_status mmi_onnx_read_bmp(struct onnx_picture *picture, mm_error *err) {
    struct bmp bmp = {.picture = picture};
    MMI_TRY(read_header(&bmp, err));
    bool runs = bmp.compression == RLE8 || bmp.compression == RLE4;
    return runs ? read_runs(&bmp, picture, err) : read_plain(&bmp, picture, err);
}
