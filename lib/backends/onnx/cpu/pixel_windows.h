/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_CPU_PIXEL_WINDOWS_H
#define MMI_BACKENDS_ONNX_CPU_PIXEL_WINDOWS_H

/* Windows over an image [N, spatial axes, C] in the order of its pixels: where the windows of
 * neighbouring results see the same taps, they go to a loop of simd_pixels.h together. */

#include <backends/onnx/cpu/tasks.h>
#include <backends/onnx/cpu/window_2d.h>

/* A part of an image [rows, columns, channels], which may lie beyond it on any side. */
struct onnx_patch {
    const float *image;
    uint64_t image_rows, image_columns, channels;
    int64_t first_row, first_column; /* of the image; below 0: before it */
    uint64_t rows, columns;
};
/* All of it to `to`; what is beyond the image is 0. */
void mmi_onnx_copy_patch(const struct onnx_patch *patch, float *to);

struct onnx_pixel_windows {
    struct onnx_window_2d window;
    uint64_t images, channels, taps;
    uint64_t tasks, task_bytes; /* of scratch, for each task */
};

/* What one call to a loop is for. */
struct onnx_pixel_run {
    struct onnx_pixels pixels; /* all but weights, bias, low and high are set */
    const uint32_t *tap;       /* [pixels.taps]: which of the window these are */
    const float **weights;     /* [pixels.taps], to be filled in */
    uint64_t row, column;      /* of the first result */
};
typedef void (*onnx_pixel_body)(void *ctx, struct onnx_pixel_run *run);

/* image: [N, ..., C]. false: empty, or three spatial axes. */
bool mmi_onnx_pixel_windows(const struct onnx_window *window, const struct onnx_tensor *image,
                            const mm_services *services, struct onnx_pixel_windows *to);
/* body for all results, on as many threads as there are tasks. scratch: tasks * task_bytes. */
void mmi_onnx_run_pixel_windows(const struct onnx_pixel_windows *windows,
                                const struct onnx_call *call, onnx_pixel_body body, void *ctx);

#endif
