/* SPDX-License-Identifier: Apache-2.0 */

/* PNG, by libpng, as the samples are: no gamma, no background. */

#include <backends/onnx/images/library.h>
#include <backends/onnx/images/picture.h>
#include <base/status.h>

#ifdef MMI_ONNX_PNG

#include <setjmp.h>
#include <stdatomic.h>
#include <string.h>

#include <png.h>

#define FUNCTIONS(X)                                                                               \
    X(png_create_read_struct)                                                                      \
    X(png_create_info_struct)                                                                      \
    X(png_destroy_read_struct)                                                                     \
    X(png_get_error_ptr)                                                                           \
    X(png_set_read_fn)                                                                             \
    X(png_read_info)                                                                               \
    X(png_get_image_width)                                                                         \
    X(png_get_image_height)                                                                        \
    X(png_set_strip_16)                                                                            \
    X(png_set_expand)                                                                              \
    X(png_set_gray_to_rgb)                                                                         \
    X(png_set_strip_alpha)                                                                         \
    X(png_set_interlace_handling)                                                                  \
    X(png_read_update_info)                                                                        \
    X(png_get_rowbytes)                                                                            \
    X(png_read_row)                                                                                \
    X(png_read_end)
struct functions {
    FUNCTIONS(ONNX_POINTER)
};
static const char *const names[] = {FUNCTIONS(ONNX_FUNCTION_NAME) NULL};

static const struct onnx_library library = {.name = "libpng",
                                            .package = "libpng16-16",
                                            .headers = "libpng-dev",
                                            .files = {"libpng16.so.16"},
                                            .functions = names};

struct decoder {
    struct functions f;
    struct onnx_picture *picture;
    png_struct *png; /* its error pointer: this */
    png_info *info;
    uint64_t at; /* in the file */
    char text[ONNX_MESSAGE_BYTES];
    jmp_buf failed;
};

/* ---- What the library calls ------------------------------------------------------------------ */

/* png_get_error_ptr: whoever is called by the library has no other way to his decoder. It is the
 * same for all. */
static _Atomic(__typeof__(&png_get_error_ptr)) get_error_ptr;

static struct decoder *decoder_of(png_struct *png) {
    return atomic_load_explicit(&get_error_ptr, memory_order_relaxed)(png);
}

static void on_error(png_struct *png, const char *text) {
    struct decoder *decoder = decoder_of(png);
    mmi_onnx_keep_message(decoder->text, text);
    longjmp(decoder->failed, 1);
}

static void on_warning(png_struct *png, const char *text) {
    (void)png;
    (void)text;
}

static void read_bytes(png_struct *png, png_byte *to, size_t count) {
    struct decoder *decoder = decoder_of(png);
    const struct onnx_picture *picture = decoder->picture;
    if (count > picture->count - decoder->at) {
        on_error(png, "the file ends before its last pixel");
    }
    memcpy(to, picture->bytes + decoder->at, count);
    decoder->at += count;
}

/* ---- Decoding -------------------------------------------------------------------------------- */

static mm_status begin(struct decoder *decoder, mm_error *err) {
    const struct functions *f = &decoder->f;
    decoder->png = f->png_create_read_struct(PNG_LIBPNG_VER_STRING, decoder, on_error, on_warning);
    decoder->info = decoder->png ? f->png_create_info_struct(decoder->png) : NULL;
    if (!decoder->info) {
        return mmi_fail(err, MM_NO_MEMORY, "libpng has no memory, or is not that of its headers");
    }
    f->png_set_read_fn(decoder->png, decoder, read_bytes);
    f->png_read_info(decoder->png, decoder->info);
    return MM_OK;
}

static mm_status decode(struct decoder *decoder, mm_error *err) {
    const struct functions *f = &decoder->f;
    MMI_TRY(begin(decoder, err));
    png_struct *png = decoder->png;
    uint32_t width = f->png_get_image_width(png, decoder->info);
    uint32_t height = f->png_get_image_height(png, decoder->info);
    uint64_t rows = UINT64_C(20) * width + (UINT64_C(1) << 18); /* two rows of 8 bytes a pixel */
    MMI_TRY(mmi_onnx_begin_picture(decoder->picture, width, height, rows, err));
    f->png_set_strip_16(png);
    f->png_set_expand(png);
    f->png_set_gray_to_rgb(png);
    f->png_set_strip_alpha(png);
    int passes = f->png_set_interlace_handling(png);
    f->png_read_update_info(png, decoder->info);
    if (f->png_get_rowbytes(png, decoder->info) != (size_t)width * 3) {
        return mmi_fail(err, MM_UNSUPPORTED, "rows of %zu bytes for %u pixels",
                        f->png_get_rowbytes(png, decoder->info), width);
    }
    for (int pass = 0; pass < passes; pass++) {
        for (uint32_t y = 0; y < height; y++) {
            f->png_read_row(png, mmi_onnx_row(decoder->picture, y), NULL);
        }
    }
    f->png_read_end(png, NULL);
    return MM_OK;
}

/* Of its own, so that nothing of the function that setjmp returns to changes meanwhile. */
static mm_status decode_guarded(struct decoder *decoder, mm_error *err) {
    if (setjmp(decoder->failed) != 0) {
        return mmi_fail(err, MM_INVALID_ARGUMENT, "%s", decoder->text);
    }
    return decode(decoder, err);
}

mm_status mmi_onnx_read_png(struct onnx_picture *picture, mm_error *err) {
    struct decoder decoder = {.picture = picture};
    MMI_TRY(mmi_onnx_open_library(&library, &decoder.f, err));
    atomic_store_explicit(&get_error_ptr, decoder.f.png_get_error_ptr, memory_order_relaxed);
    mm_status status = decode_guarded(&decoder, err);
    decoder.f.png_destroy_read_struct(&decoder.png, &decoder.info, NULL);
    return status;
}

#else

mm_status mmi_onnx_read_png(struct onnx_picture *picture, mm_error *err) {
    static const struct onnx_library library = {.name = "libpng", .headers = "libpng-dev"};
    (void)picture;
    return mmi_onnx_open_library(&library, NULL, err);
}

#endif
