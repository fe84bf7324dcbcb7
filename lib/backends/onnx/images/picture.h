/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_IMAGES_PICTURE_H
#define MMI_BACKENDS_ONNX_IMAGES_PICTURE_H

/* A picture as a file holds it, to rows of RGB. BMP and PNM are read here, other formats by the
 * libraries that everybody reads them with (library.h). What a file says of its size is checked,
 * and room asked for, before any of it is decoded.
 *
 * Of one run, and of its thread; several may decode at once. */

#include <backends/onnx/graph/run_value.h>

struct onnx_picture {
    const uint8_t *bytes; /* the file */
    uint64_t count;
    struct onnx_run_memory *memory;
    uint32_t width, height;    /* these and `rgb`: from mmi_onnx_begin_picture on */
    struct onnx_run_value rgb; /* u8[height, width, 3]; the caller's to drop */
    struct onnx_run_block *working;
};

/* The file to picture->rgb. Transparency is left away, colour profiles are not applied, and samples
 * of more than 8 bits lose their low ones.
 *
 * MM_INVALID_ARGUMENT: of no known format, damaged, or cut short. MM_UNSUPPORTED: a variant that
 * nobody reads here, or its library is not there; the text says what to install.
 * MM_NO_ROOM_FOR_ACTIVATIONS; MM_NO_MEMORY. */
mm_status mmi_onnx_read_picture(struct onnx_picture *picture, mm_error *err);

/* ---- For the formats ------------------------------------------------------------------------- */

/* Room for a picture of this size and for working_bytes beside it: the rows are undefined, and the
 * working memory is counted until the picture is read, whoever allocates it. Once a picture. */
mm_status mmi_onnx_begin_picture(struct onnx_picture *picture, uint64_t width, uint64_t height,
                                 uint64_t working_bytes, mm_error *err);
static inline uint8_t *mmi_onnx_row(const struct onnx_picture *picture, uint32_t y) {
    return (uint8_t *)mmi_onnx_value_data(&picture->rgb) + (uint64_t)y * picture->width * 3;
}
/* The file ends before its last pixel. */
mm_status mmi_onnx_cut_short(mm_error *err);

mm_status mmi_onnx_read_bmp(struct onnx_picture *picture, mm_error *err);
mm_status mmi_onnx_read_jpeg(struct onnx_picture *picture, mm_error *err);
mm_status mmi_onnx_read_jpeg2000(struct onnx_picture *picture, mm_error *err);
mm_status mmi_onnx_read_png(struct onnx_picture *picture, mm_error *err);
mm_status mmi_onnx_read_pnm(struct onnx_picture *picture, mm_error *err);
mm_status mmi_onnx_read_tiff(struct onnx_picture *picture, mm_error *err);
mm_status mmi_onnx_read_webp(struct onnx_picture *picture, mm_error *err);

#endif
