/* SPDX-License-Identifier: Apache-2.0 */

/* TIFF, by libtiff: the first picture of a file. Releases before 4.5 are not used: they have one
 * handler of errors for the whole process, which is not ours to set. */

#include <backends/onnx/images/library.h>
#include <backends/onnx/images/picture.h>
#include <base/checked.h>
#include <base/status.h>

#ifdef MMI_ONNX_TIFF

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <tiffio.h>

#define FUNCTIONS(X)                                                                               \
    X(TIFFOpenOptionsAlloc)                                                                        \
    X(TIFFOpenOptionsFree)                                                                         \
    X(TIFFOpenOptionsSetMaxSingleMemAlloc)                                                         \
    X(TIFFOpenOptionsSetErrorHandlerExtR)                                                          \
    X(TIFFOpenOptionsSetWarningHandlerExtR)                                                        \
    X(TIFFClientOpenExt)                                                                           \
    X(TIFFGetField)                                                                                \
    X(TIFFSetField)                                                                                \
    X(TIFFIsTiled)                                                                                 \
    X(TIFFTileSize64)                                                                              \
    X(TIFFStripSize64)                                                                             \
    X(TIFFReadRGBAImageOriented)                                                                   \
    X(TIFFClose)
struct functions {
    FUNCTIONS(ONNX_POINTER)
};
static const char *const names[] = {FUNCTIONS(ONNX_FUNCTION_NAME) NULL};

static const struct onnx_library library = {.name = "libtiff 4.5",
                                            .package = "libtiff6",
                                            .headers = "libtiff-dev",
                                            .files = {"libtiff.so.6"},
                                            .functions = names};

/* The largest piece that the library may ask for; a tile may be larger than its picture. */
#define MOST_AT_ONCE (UINT64_C(1) << 30)
#define USUAL_TILE (UINT64_C(16) << 20)

struct decoder {
    struct functions f;
    struct onnx_picture *picture;
    TIFF *tiff;
    uint64_t at; /* in the file */
    char text[ONNX_MESSAGE_BYTES];
};

/* ---- What the library calls ------------------------------------------------------------------ */

__attribute__((format(printf, 4, 0))) static int
on_error(TIFF *tiff, void *decoder_, const char *module, const char *format, va_list arguments) {
    struct decoder *decoder = decoder_;
    char text[ONNX_MESSAGE_BYTES];
    (void)tiff;
    (void)module;
    vsnprintf(text, sizeof(text), format, arguments);
    mmi_onnx_keep_message(decoder->text, text);
    return 1; /* nobody else is told */
}

__attribute__((format(printf, 4, 0))) static int
on_warning(TIFF *tiff, void *decoder, const char *module, const char *format, va_list arguments) {
    (void)tiff;
    (void)decoder;
    (void)module;
    (void)format;
    (void)arguments;
    return 1;
}

static tmsize_t read_bytes(thandle_t decoder_, void *to, tmsize_t count) {
    struct decoder *decoder = decoder_;
    uint64_t length = decoder->picture->count;
    uint64_t rest = decoder->at < length ? length - decoder->at : 0;
    uint64_t taken = count < 0 ? 0 : mmi_min_u64((uint64_t)count, rest);
    if (taken > 0) {
        memcpy(to, decoder->picture->bytes + decoder->at, taken);
    }
    decoder->at += taken;
    return (tmsize_t)taken;
}

static tmsize_t write_nothing(thandle_t decoder, void *from, tmsize_t count) {
    (void)decoder;
    (void)from;
    (void)count;
    return 0;
}

static toff_t seek(thandle_t decoder_, toff_t offset, int whence) {
    struct decoder *decoder = decoder_;
    uint64_t base = whence == SEEK_CUR   ? decoder->at
                    : whence == SEEK_END ? decoder->picture->count
                                         : 0;
    decoder->at = base + offset; /* a negative one wraps, as it is meant to */
    return decoder->at;
}

static int close_nothing(thandle_t decoder) {
    (void)decoder;
    return 0;
}

static toff_t size_of(thandle_t decoder) {
    return ((const struct decoder *)decoder)->picture->count;
}

static int map(thandle_t decoder_, void **base, toff_t *size) {
    const struct decoder *decoder = decoder_;
    *base = (void *)(uintptr_t)decoder->picture->bytes; /* which is only read */
    *size = decoder->picture->count;
    return 1;
}

static void unmap(thandle_t decoder, void *base, toff_t size) {
    (void)decoder;
    (void)base;
    (void)size;
}

/* ---- Decoding -------------------------------------------------------------------------------- */

static mm_status refuse(const struct decoder *decoder, mm_error *err) {
    return mmi_fail(err, MM_INVALID_ARGUMENT, "%s",
                    decoder->text[0] ? decoder->text : "it is damaged");
}

static mm_status open_tiff(struct decoder *decoder, mm_error *err) {
    const struct functions *f = &decoder->f;
    TIFFOpenOptions *options = f->TIFFOpenOptionsAlloc();
    if (!options) {
        return mmi_fail(err, MM_NO_MEMORY, "no memory to open it");
    }
    f->TIFFOpenOptionsSetMaxSingleMemAlloc(options, (tmsize_t)MOST_AT_ONCE);
    f->TIFFOpenOptionsSetErrorHandlerExtR(options, on_error, decoder);
    f->TIFFOpenOptionsSetWarningHandlerExtR(options, on_warning, decoder);
    decoder->tiff = f->TIFFClientOpenExt("file", "r", decoder, read_bytes, write_nothing, seek,
                                         close_nothing, size_of, map, unmap, options);
    f->TIFFOpenOptionsFree(options);
    return decoder->tiff ? MM_OK : refuse(decoder, err);
}

/* The library would multiply colours by a transparency that they are not multiplied by yet, so it
 * is told that they are. true: they really are. */
static bool settle_alpha(struct decoder *decoder) {
    uint16_t count = 0, *kinds = NULL, claimed = EXTRASAMPLE_ASSOCALPHA;
    if (!decoder->f.TIFFGetField(decoder->tiff, TIFFTAG_EXTRASAMPLES, &count, &kinds) ||
        count == 0 || !kinds) {
        return false;
    }
    uint16_t first = kinds[0];
    if (first == EXTRASAMPLE_UNASSALPHA) {
        decoder->f.TIFFSetField(decoder->tiff, TIFFTAG_EXTRASAMPLES, 1, &claimed);
    }
    return first == EXTRASAMPLE_ASSOCALPHA;
}

static uint8_t divided(uint32_t value, uint32_t alpha) {
    return (uint8_t)(alpha == 0 ? 0 : mmi_min_u64(value * 255 / alpha, 255));
}

static void to_rgb(const struct onnx_picture *picture, const uint32_t *raster, bool multiplied) {
    uint8_t *to = mmi_onnx_row(picture, 0);
    uint64_t pixels = (uint64_t)picture->width * picture->height;
    for (uint64_t i = 0; i < pixels; i++, to += 3) {
        uint32_t alpha = multiplied ? TIFFGetA(raster[i]) : 255;
        to[0] = divided(TIFFGetR(raster[i]), alpha);
        to[1] = divided(TIFFGetG(raster[i]), alpha);
        to[2] = divided(TIFFGetB(raster[i]), alpha);
    }
}

static mm_status decode(struct decoder *decoder, mm_error *err) {
    const struct functions *f = &decoder->f;
    struct onnx_picture *picture = decoder->picture;
    uint32_t width = 0, height = 0;
    if (!f->TIFFGetField(decoder->tiff, TIFFTAG_IMAGEWIDTH, &width) ||
        !f->TIFFGetField(decoder->tiff, TIFFTAG_IMAGELENGTH, &height)) {
        return mmi_fail(err, MM_INVALID_ARGUMENT, "it does not say how large it is");
    }
    uint64_t raster = (uint64_t)width * height, piece;
    piece = f->TIFFIsTiled(decoder->tiff) ? f->TIFFTileSize64(decoder->tiff)
                                          : f->TIFFStripSize64(decoder->tiff);
    if (raster > INT32_MAX || piece > raster * 16 + USUAL_TILE) {
        return mmi_fail(err, MM_UNSUPPORTED, "%u x %u pixels in parts of %llu bytes", width, height,
                        (unsigned long long)piece);
    }
    MMI_TRY(
        mmi_onnx_begin_picture(picture, width, height, raster * sizeof(uint32_t) + 2 * piece, err));
    bool multiplied = settle_alpha(decoder);
    uint32_t *pixels = mmi_onnx_block_data(picture->working);
    if (!f->TIFFReadRGBAImageOriented(decoder->tiff, width, height, pixels, ORIENTATION_TOPLEFT,
                                      1)) {
        return refuse(decoder, err);
    }
    to_rgb(picture, pixels, multiplied);
    return MM_OK;
}

mm_status mmi_onnx_read_tiff(struct onnx_picture *picture, mm_error *err) {
    struct decoder decoder = {.picture = picture};
    MMI_TRY(mmi_onnx_open_library(&library, &decoder.f, err));
    MMI_TRY(open_tiff(&decoder, err));
    mm_status status = decode(&decoder, err);
    decoder.f.TIFFClose(decoder.tiff);
    return status;
}

#else

mm_status mmi_onnx_read_tiff(struct onnx_picture *picture, mm_error *err) {
    static const struct onnx_library library = {.name = "libtiff 4.5", .headers = "libtiff-dev"};
    (void)picture;
    return mmi_onnx_open_library(&library, NULL, err);
}

#endif
