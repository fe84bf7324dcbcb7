/* SPDX-License-Identifier: Apache-2.0 */

/* JPEG 2000, by OpenJPEG: JP2 files and bare codestreams. */

#include <backends/onnx/images/library.h>
#include <backends/onnx/images/picture.h>
#include <base/checked.h>
#include <base/status.h>

#ifdef MMI_ONNX_JPEG2000

#include <string.h>

#include <openjpeg.h>

#define FUNCTIONS(X)                                                                               \
    X(opj_create_decompress)                                                                       \
    X(opj_set_error_handler)                                                                       \
    X(opj_set_default_decoder_parameters)                                                          \
    X(opj_setup_decoder)                                                                           \
    X(opj_stream_create)                                                                           \
    X(opj_stream_set_user_data)                                                                    \
    X(opj_stream_set_user_data_length)                                                             \
    X(opj_stream_set_read_function)                                                                \
    X(opj_stream_set_skip_function)                                                                \
    X(opj_stream_set_seek_function)                                                                \
    X(opj_read_header)                                                                             \
    X(opj_decode)                                                                                  \
    X(opj_end_decompress)                                                                          \
    X(opj_image_destroy)                                                                           \
    X(opj_stream_destroy)                                                                          \
    X(opj_destroy_codec)
struct functions {
    FUNCTIONS(ONNX_POINTER)
};
static const char *const names[] = {FUNCTIONS(ONNX_FUNCTION_NAME) NULL};

static const struct onnx_library library = {.name = "OpenJPEG",
                                            .package = "libopenjp2-7",
                                            .headers = "libopenjp2-7-dev",
                                            .files = {"libopenjp2.so.7"},
                                            .functions = names};

enum { STREAM_BYTES = 1 << 16, MOST_COMPONENTS = 4, MOST_BITS = 31 };

struct decoder {
    struct functions f;
    struct onnx_picture *picture;
    opj_codec_t *codec;
    opj_stream_t *stream;
    opj_image_t *image;
    uint64_t at; /* in the file */
    char text[ONNX_MESSAGE_BYTES];
};

/* ---- What the library calls ------------------------------------------------------------------ */

static void on_error(const char *text, void *decoder) {
    mmi_onnx_keep_message(((struct decoder *)decoder)->text, text);
}

static OPJ_SIZE_T read_bytes(void *to, OPJ_SIZE_T count, void *decoder_) {
    struct decoder *decoder = decoder_;
    uint64_t taken = mmi_min_u64(count, decoder->picture->count - decoder->at);
    memcpy(to, decoder->picture->bytes + decoder->at, taken);
    decoder->at += taken;
    return taken > 0 ? taken : (OPJ_SIZE_T)-1;
}

static OPJ_OFF_T skip_bytes(OPJ_OFF_T count, void *decoder_) {
    struct decoder *decoder = decoder_;
    uint64_t rest = decoder->picture->count - decoder->at;
    if (count < 0 || rest == 0) {
        return -1;
    }
    uint64_t taken = mmi_min_u64((uint64_t)count, rest);
    decoder->at += taken;
    return (OPJ_OFF_T)taken;
}

static OPJ_BOOL seek(OPJ_OFF_T at, void *decoder_) {
    struct decoder *decoder = decoder_;
    if (at < 0 || (uint64_t)at > decoder->picture->count) {
        return OPJ_FALSE;
    }
    decoder->at = (uint64_t)at;
    return OPJ_TRUE;
}

/* ---- The header ------------------------------------------------------------------------------ */

static mm_status refuse(const struct decoder *decoder, mm_error *err) {
    return mmi_fail(err, MM_INVALID_ARGUMENT, "%s",
                    decoder->text[0] ? decoder->text : "it is damaged");
}

static mm_status open_codec(struct decoder *decoder, mm_error *err) {
    const struct functions *f = &decoder->f;
    opj_dparameters_t parameters;
    bool bare = decoder->picture->bytes[0] == 0xff;
    decoder->codec = f->opj_create_decompress(bare ? OPJ_CODEC_J2K : OPJ_CODEC_JP2);
    decoder->stream = f->opj_stream_create(STREAM_BYTES, OPJ_TRUE);
    if (!decoder->codec || !decoder->stream) {
        return mmi_fail(err, MM_NO_MEMORY, "no memory to open it");
    }
    f->opj_set_error_handler(decoder->codec, on_error, decoder);
    f->opj_stream_set_user_data(decoder->stream, decoder, NULL);
    f->opj_stream_set_user_data_length(decoder->stream, decoder->picture->count);
    f->opj_stream_set_read_function(decoder->stream, read_bytes);
    f->opj_stream_set_skip_function(decoder->stream, skip_bytes);
    f->opj_stream_set_seek_function(decoder->stream, seek);
    f->opj_set_default_decoder_parameters(&parameters);
    if (!f->opj_setup_decoder(decoder->codec, &parameters) ||
        !f->opj_read_header(decoder->stream, decoder->codec, &decoder->image)) {
        return refuse(decoder, err);
    }
    return MM_OK;
}

static mm_status check_components(const opj_image_t *image, mm_error *err) {
    if (image->numcomps == 0 || image->numcomps > MOST_COMPONENTS) {
        return mmi_fail(err, MM_UNSUPPORTED, "%u components, 1 to %d wanted", image->numcomps,
                        MOST_COMPONENTS);
    }
    for (uint32_t i = 0; i < image->numcomps; i++) {
        const opj_image_comp_t *component = &image->comps[i];
        bool whole = i > 0 || (component->dx == 1 && component->dy == 1);
        if (!whole || component->dx == 0 || component->dy == 0 || component->prec == 0 ||
            component->prec > MOST_BITS) {
            return mmi_fail(err, MM_UNSUPPORTED, "component %u has %u bits, each %u-th by %u-th", i,
                            component->prec, component->dx, component->dy);
        }
    }
    return MM_OK;
}

/* ---- Pixels ---------------------------------------------------------------------------------- */

/* One component, as unsigned numbers of 8 bits. */
static uint8_t sample(const opj_image_comp_t *component, uint32_t x, uint32_t y) {
    uint64_t column = mmi_min_u64(x / component->dx, component->w - 1);
    uint64_t row = mmi_min_u64(y / component->dy, component->h - 1);
    int64_t value = component->data[row * component->w + column];
    int64_t top = ((int64_t)1 << component->prec) - 1;
    value += component->sgnd ? (top + 1) / 2 : 0;
    value = value < 0 ? 0 : value > top ? top : value;
    return (uint8_t)(component->prec > 8 ? value >> (component->prec - 8)
                                         : value << (8 - component->prec));
}

static uint8_t clip(double value) {
    return (uint8_t)(value <= 0 ? 0 : value >= 255 ? 255 : value + 0.5);
}

/* Luminance and two differences of colour to red, green, blue. */
static void from_ycc(uint8_t *pixel) {
    double y = pixel[0], cb = pixel[1] - 128.0, cr = pixel[2] - 128.0;
    pixel[0] = clip(y + 1.402 * cr);
    pixel[1] = clip(y - 0.344136 * cb - 0.714136 * cr);
    pixel[2] = clip(y + 1.772 * cb);
}

/* Are all components there that are read, as large as the picture wants them? */
static bool is_whole(const opj_image_t *image, uint32_t colors,
                     const struct onnx_picture *picture) {
    bool whole = image->comps[0].w == picture->width && image->comps[0].h == picture->height;
    for (uint32_t i = 0; i < colors; i++) {
        whole = whole && image->comps[i].data && image->comps[i].w > 0 && image->comps[i].h > 0;
    }
    return whole;
}

static mm_status to_rgb(const opj_image_t *image, const struct onnx_picture *picture,
                        mm_error *err) {
    uint32_t colors = image->numcomps >= 3 ? 3 : 1; /* one more: transparency */
    if (!is_whole(image, colors, picture)) {
        return mmi_fail(err, MM_INVALID_ARGUMENT, "a component is missing or smaller than it says");
    }
    if (image->color_space == OPJ_CLRSPC_CMYK || image->color_space == OPJ_CLRSPC_EYCC) {
        return mmi_fail(err, MM_UNSUPPORTED, "its colour space is neither RGB, sYCC nor grey");
    }
    for (uint32_t y = 0; y < picture->height; y++) {
        uint8_t *to = mmi_onnx_row(picture, y);
        for (uint32_t x = 0; x < picture->width; x++, to += 3) {
            for (uint32_t i = 0; i < 3; i++) {
                to[i] = i < colors ? sample(&image->comps[i], x, y) : to[0];
            }
            if (colors == 3 && image->color_space == OPJ_CLRSPC_SYCC) {
                from_ycc(to);
            }
        }
    }
    return MM_OK;
}

static mm_status decode(struct decoder *decoder, mm_error *err) {
    const struct functions *f = &decoder->f;
    struct onnx_picture *picture = decoder->picture;
    MMI_TRY(open_codec(decoder, err));
    const opj_image_t *image = decoder->image;
    MMI_TRY(check_components(image, err));
    uint64_t width = image->x1 > image->x0 ? image->x1 - image->x0 : 0;
    uint64_t height = image->y1 > image->y0 ? image->y1 - image->y0 : 0;
    uint64_t pixels, working; /* samples of 32 bits, once as coefficients */
    if (!mmi_mul(width, height, &pixels) ||
        !mmi_mul(pixels, UINT64_C(8) * MOST_COMPONENTS, &working)) {
        working = UINT64_MAX;
    }
    MMI_TRY(mmi_onnx_begin_picture(picture, width, height, working, err));
    if (!f->opj_decode(decoder->codec, decoder->stream, decoder->image) ||
        !f->opj_end_decompress(decoder->codec, decoder->stream)) {
        return refuse(decoder, err);
    }
    MMI_TRY(check_components(image, err)); /* a palette may have made more of them */
    return to_rgb(image, picture, err);
}

mm_status mmi_onnx_read_jpeg2000(struct onnx_picture *picture, mm_error *err) {
    struct decoder decoder = {.picture = picture};
    MMI_TRY(mmi_onnx_open_library(&library, &decoder.f, err));
    mm_status status = decode(&decoder, err);
    if (decoder.image) {
        decoder.f.opj_image_destroy(decoder.image);
    }
    if (decoder.stream) {
        decoder.f.opj_stream_destroy(decoder.stream);
    }
    if (decoder.codec) {
        decoder.f.opj_destroy_codec(decoder.codec);
    }
    return status;
}

#else

mm_status mmi_onnx_read_jpeg2000(struct onnx_picture *picture, mm_error *err) {
    static const struct onnx_library library = {.name = "OpenJPEG", .headers = "libopenjp2-7-dev"};
    (void)picture;
    return mmi_onnx_open_library(&library, NULL, err);
}

#endif
