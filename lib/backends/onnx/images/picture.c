/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/images/picture.h>
#include <base/checked.h>
#include <base/status.h>

#include <inttypes.h>
#include <string.h>

/* Libraries count in int. */
#define MOST_BYTES INT32_MAX

mm_status mmi_onnx_cut_short(mm_error *err) {
    return mmi_fail(err, MM_INVALID_ARGUMENT, "the file ends before its last pixel");
}

mm_status mmi_onnx_begin_picture(struct onnx_picture *picture, uint64_t width, uint64_t height,
                                 uint64_t working_bytes, mm_error *err) {
    uint64_t pixels, bytes;
    if (width == 0 || height == 0) {
        return mmi_fail(err, MM_INVALID_ARGUMENT, "%" PRIu64 " x %" PRIu64 " pixels", width,
                        height);
    }
    if (!mmi_mul(width, height, &pixels) || !mmi_mul(pixels, 3, &bytes) || bytes > MOST_BYTES) {
        return mmi_fail(err, MM_UNSUPPORTED,
                        "%" PRIu64 " x %" PRIu64 " pixels are more than %d bytes of RGB", width,
                        height, MOST_BYTES);
    }
    const int64_t shape[3] = {(int64_t)height, (int64_t)width, 3};
    MMI_TRY(mmi_onnx_make_tensor(picture->memory, MM_U8, 3, shape, &picture->rgb, err));
    picture->width = (uint32_t)width;
    picture->height = (uint32_t)height;
    picture->working =
        working_bytes > 0 ? mmi_onnx_block_take(picture->memory, working_bytes) : NULL;
    if (working_bytes > 0 && !picture->working) {
        return mmi_fail(err, MM_NO_ROOM_FOR_ACTIVATIONS,
                        "no room for %" PRIu64 " bytes to decode %" PRIu64 " x %" PRIu64 " pixels",
                        working_bytes, width, height);
    }
    return MM_OK;
}

/* How a file begins. Formats that may begin in several ways have several rows. */
struct format {
    const char *name;
    uint32_t at, length;
    const char *begins;
    mm_status (*read)(struct onnx_picture *picture, mm_error *err);
};
static const struct format formats[] = {
    {"JPEG", 0, 3, "\xff\xd8\xff", mmi_onnx_read_jpeg},
    {"PNG", 0, 8, "\x89PNG\r\n\x1a\n", mmi_onnx_read_png},
    {"WebP", 8, 4, "WEBP", mmi_onnx_read_webp},
    {"BMP", 0, 2, "BM", mmi_onnx_read_bmp},
    {"TIFF", 0, 4, "II*\0", mmi_onnx_read_tiff},
    {"TIFF", 0, 4, "MM\0*", mmi_onnx_read_tiff},
    {"TIFF", 0, 4, "II+\0", mmi_onnx_read_tiff},
    {"TIFF", 0, 4, "MM\0+", mmi_onnx_read_tiff},
    {"JPEG 2000", 4, 8, "jP  \r\n\x87\n", mmi_onnx_read_jpeg2000},
    {"JPEG 2000", 0, 4, "\xff\x4f\xff\x51", mmi_onnx_read_jpeg2000},
    {"PNM", 0, 1, "P", mmi_onnx_read_pnm},
};

static const struct format *find_format(const struct onnx_picture *picture) {
    for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
        const struct format *format = &formats[i];
        if (picture->count >= format->at + format->length &&
            memcmp(picture->bytes + format->at, format->begins, format->length) == 0) {
            return format;
        }
    }
    return NULL;
}

mm_status mmi_onnx_read_picture(struct onnx_picture *picture, mm_error *err) {
    const struct format *format = find_format(picture);
    if (!format) {
        return mmi_fail(err, MM_INVALID_ARGUMENT,
                        "its %" PRIu64
                        " bytes begin as no BMP, JPEG, JPEG 2000, PNG, PNM, TIFF or WebP file",
                        picture->count);
    }
    mm_status status = format->read(picture, err);
    if (status != MM_OK) {
        mmi_error_prefix(err, "its %s file", format->name);
    }
    mmi_onnx_block_drop(picture->memory, picture->working);
    picture->working = NULL;
    return status;
}
