/* SPDX-License-Identifier: Apache-2.0 */

/* JPEG, by libjpeg: its usual decoding, which interpolates chroma and transforms in integers. */

#include <backends/onnx/images/library.h>
#include <backends/onnx/images/picture.h>
#include <base/checked.h>
#include <base/status.h>

#ifdef MMI_ONNX_JPEG

#include <setjmp.h>
#include <stdio.h>

#include <jpeglib.h>

/* Progressive files have about ten; each goes through the whole picture. */
#define MOST_SCANS 500

#define FUNCTIONS(X)                                                                               \
    X(jpeg_std_error)                                                                              \
    X(jpeg_CreateDecompress)                                                                       \
    X(jpeg_read_header)                                                                            \
    X(jpeg_has_multiple_scans)                                                                     \
    X(jpeg_start_decompress)                                                                       \
    X(jpeg_read_scanlines)                                                                         \
    X(jpeg_finish_decompress)                                                                      \
    X(jpeg_destroy_decompress)                                                                     \
    X(jpeg_resync_to_restart)
struct functions {
    FUNCTIONS(ONNX_POINTER)
};
static const char *const names[] = {FUNCTIONS(ONNX_FUNCTION_NAME) NULL};

/* Its structs are those of the headers, so the library must be. */
#if JPEG_LIB_VERSION >= 90
#define FILE_NAME "libjpeg.so.9"
#elif JPEG_LIB_VERSION >= 80
#define FILE_NAME "libjpeg.so.8"
#else
#define FILE_NAME "libjpeg.so.62"
#endif
static const struct onnx_library library = {.name = "libjpeg",
                                            .package = "libjpeg62-turbo",
                                            .headers = "libjpeg-dev",
                                            .files = {FILE_NAME},
                                            .functions = names};

struct decoder {
    struct jpeg_decompress_struct info; /* client_data: this */
    struct jpeg_error_mgr errors;
    struct jpeg_source_mgr source;
    struct jpeg_progress_mgr progress;
    struct functions f;
    struct onnx_picture *picture;
    char text[ONNX_MESSAGE_BYTES];
    jmp_buf failed;
};

/* ---- What the library calls ------------------------------------------------------------------ */

static void fail(j_common_ptr info, const char *text) {
    struct decoder *decoder = info->client_data;
    mmi_onnx_keep_message(decoder->text, text);
    longjmp(decoder->failed, 1);
}

static void on_error(j_common_ptr info) {
    char text[JMSG_LENGTH_MAX];
    info->err->format_message(info, text);
    fail(info, text);
}

/* Warnings: the picture is made as well as it can be. */
static void on_message(j_common_ptr info, int level) {
    (void)info;
    (void)level;
}

static void print_nothing(j_common_ptr info) {
    (void)info;
}

static void on_progress(j_common_ptr info) {
    const struct decoder *decoder = info->client_data;
    if (decoder->info.input_scan_number > MOST_SCANS) {
        fail(info, "more scans than any picture needs");
    }
}

static void do_nothing(j_decompress_ptr info) {
    (void)info;
}

static boolean no_more_bytes(j_decompress_ptr info) {
    fail((j_common_ptr)info, "the file ends before its last pixel");
    return FALSE;
}

static void skip_bytes(j_decompress_ptr info, long count) {
    if (count > 0 && (unsigned long)count > info->src->bytes_in_buffer) {
        no_more_bytes(info);
    }
    if (count > 0) {
        info->src->next_input_byte += count;
        info->src->bytes_in_buffer -= (size_t)count;
    }
}

/* ---- Decoding -------------------------------------------------------------------------------- */

static void begin(struct decoder *decoder) {
    struct jpeg_decompress_struct *info = &decoder->info;
    decoder->f.jpeg_CreateDecompress(info, JPEG_LIB_VERSION, sizeof(*info));
    decoder->source = (struct jpeg_source_mgr){
        .next_input_byte = decoder->picture->bytes,
        .bytes_in_buffer = decoder->picture->count,
        .init_source = do_nothing,
        .fill_input_buffer = no_more_bytes,
        .skip_input_data = skip_bytes,
        .resync_to_restart = decoder->f.jpeg_resync_to_restart,
        .term_source = do_nothing,
    };
    decoder->progress.progress_monitor = on_progress;
    info->src = &decoder->source;
    info->progress = &decoder->progress;
    decoder->f.jpeg_read_header(info, TRUE);
}

/* Of the library: a few rows, and all coefficients where a picture comes in several scans. */
static uint64_t working_bytes(struct decoder *decoder) {
    struct jpeg_decompress_struct *info = &decoder->info;
    uint64_t bytes = ((uint64_t)1 << 20) + (uint64_t)info->image_width * 256;
    bool all = decoder->f.jpeg_has_multiple_scans(info);
    for (int i = 0; all && i < info->num_components; i++) {
        const jpeg_component_info *component = &info->comp_info[i];
        uint64_t blocks = ((uint64_t)component->width_in_blocks + MAX_SAMP_FACTOR) *
                          ((uint64_t)component->height_in_blocks + MAX_SAMP_FACTOR);
        bytes = mmi_add_cap(bytes, blocks * sizeof(JBLOCK));
    }
    return bytes;
}

/* As inks are kept in such files: 255 is none. */
static void inks_to_rgb(const uint8_t *from, uint8_t *to, uint32_t width) {
    for (uint32_t x = 0; x < width; x++, from += 4, to += 3) {
        for (uint32_t i = 0; i < 3; i++) {
            uint32_t dark = (255u - from[i]) * from[3] + 128;
            int32_t value = from[3] - (int32_t)(((dark >> 8) + dark) >> 8);
            to[i] = (uint8_t)(value < 0 ? 0 : value);
        }
    }
}

static mm_status decode(struct decoder *decoder, mm_error *err) {
    struct jpeg_decompress_struct *info = &decoder->info;
    struct onnx_picture *picture = decoder->picture;
    begin(decoder);
    uint64_t bytes = working_bytes(decoder);
    MMI_TRY(mmi_onnx_begin_picture(picture, info->image_width, info->image_height, bytes, err));
    bool inks = info->jpeg_color_space == JCS_CMYK || info->jpeg_color_space == JCS_YCCK;
    info->out_color_space = inks ? JCS_CMYK : JCS_RGB;
    info->mem->max_memory_to_use = (long)bytes;
    decoder->f.jpeg_start_decompress(info);
    JSAMPARRAY four = NULL;
    if (inks) {
        four = info->mem->alloc_sarray((j_common_ptr)info, JPOOL_IMAGE, picture->width * 4, 1);
    }
    while (info->output_scanline < info->output_height) {
        uint8_t *row = mmi_onnx_row(picture, info->output_scanline);
        decoder->f.jpeg_read_scanlines(info, inks ? four : &row, 1);
        if (inks) {
            inks_to_rgb(four[0], row, picture->width);
        }
    }
    decoder->f.jpeg_finish_decompress(info);
    return MM_OK;
}

/* Of its own, so that nothing of the function that setjmp returns to changes meanwhile. */
static mm_status decode_guarded(struct decoder *decoder, mm_error *err) {
    if (setjmp(decoder->failed) != 0) {
        return mmi_fail(err, MM_INVALID_ARGUMENT, "%s", decoder->text);
    }
    return decode(decoder, err);
}

mm_status mmi_onnx_read_jpeg(struct onnx_picture *picture, mm_error *err) {
    struct decoder decoder = {.picture = picture};
    MMI_TRY(mmi_onnx_open_library(&library, &decoder.f, err));
    decoder.info.err = decoder.f.jpeg_std_error(&decoder.errors);
    decoder.info.client_data = &decoder;
    decoder.errors.error_exit = on_error;
    decoder.errors.emit_message = on_message;
    decoder.errors.output_message = print_nothing;
    mm_status status = decode_guarded(&decoder, err);
    decoder.f.jpeg_destroy_decompress(&decoder.info);
    return status;
}

#else

mm_status mmi_onnx_read_jpeg(struct onnx_picture *picture, mm_error *err) {
    static const struct onnx_library library = {.name = "libjpeg", .headers = "libjpeg-dev"};
    (void)picture;
    return mmi_onnx_open_library(&library, NULL, err);
}

#endif
