/* SPDX-License-Identifier: Apache-2.0 */

/* WebP, by libwebp: lossy and lossless ones that do not move. */

#include <backends/onnx/images/library.h>
#include <backends/onnx/images/picture.h>
#include <base/status.h>

#ifdef MMI_ONNX_WEBP

#include <webp/decode.h>

#define FUNCTIONS(X) X(WebPGetFeaturesInternal) X(WebPDecodeRGBInto)
struct functions {
    FUNCTIONS(ONNX_POINTER)
};
static const char *const names[] = {FUNCTIONS(ONNX_FUNCTION_NAME) NULL};

static const struct onnx_library library = {
    .name = "libwebp",
    .package = "libwebp7",
    .headers = "libwebp-dev",
    .files = {"libwebp.so.7", "libwebp.so.6", "libwebpdecoder.so.3"},
    .functions = names};

enum { RIFF_HEADER = 8, LOSSY = 1 };

/* What the file says that it is long. */
static uint64_t riff_bytes(const struct onnx_picture *picture) {
    uint64_t bytes = RIFF_HEADER;
    for (uint32_t i = 0; i < 4; i++) {
        bytes += (uint64_t)picture->bytes[4 + i] << 8 * i;
    }
    return bytes;
}

mm_status mmi_onnx_read_webp(struct onnx_picture *picture, mm_error *err) {
    struct functions f;
    WebPBitstreamFeatures features;
    MMI_TRY(mmi_onnx_open_library(&library, &f, err));
    if (riff_bytes(picture) > picture->count) {
        return mmi_onnx_cut_short(err);
    }
    VP8StatusCode code = f.WebPGetFeaturesInternal(picture->bytes, picture->count, &features,
                                                   WEBP_DECODER_ABI_VERSION);
    if (code != VP8_STATUS_OK) {
        return code == VP8_STATUS_NOT_ENOUGH_DATA
                   ? mmi_onnx_cut_short(err)
                   : mmi_fail(err, MM_INVALID_ARGUMENT, "its header is damaged");
    }
    if (features.has_animation) {
        return mmi_fail(err, MM_UNSUPPORTED, "it is an animation");
    }
    if (features.width <= 0 || features.height <= 0) {
        return mmi_fail(err, MM_INVALID_ARGUMENT, "it has no pixels");
    }
    uint64_t width = (uint64_t)features.width, height = (uint64_t)features.height;
    uint64_t working = (UINT64_C(1) << 20) + /* rows, or the whole picture in 32 bits and tables */
                       (features.format == LOSSY ? width * 128 : width * height * 8);
    MMI_TRY(mmi_onnx_begin_picture(picture, width, height, working, err));
    bool good =
        f.WebPDecodeRGBInto(picture->bytes, picture->count, mmi_onnx_value_data(&picture->rgb),
                            picture->rgb.tensor.bytes, (int)(width * 3));
    return good ? MM_OK : mmi_fail(err, MM_INVALID_ARGUMENT, "its pixels are damaged");
}

#else

mm_status mmi_onnx_read_webp(struct onnx_picture *picture, mm_error *err) {
    static const struct onnx_library library = {.name = "libwebp", .headers = "libwebp-dev"};
    (void)picture;
    return mmi_onnx_open_library(&library, NULL, err);
}

#endif
