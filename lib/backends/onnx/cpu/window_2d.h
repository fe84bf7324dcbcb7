/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_CPU_WINDOW_2D_H
#define MMI_BACKENDS_ONNX_CPU_WINDOW_2D_H

/* The window of a convolution or pooling over one channel; one spatial axis is a single row. */

#include <backends/onnx/cpu/simd.h>
#include <backends/onnx/operators/conv.h>

struct onnx_window_axis {
    uint64_t in, out, kernel, stride, dilation;
    int64_t pad_begin, pad_end;
};

struct onnx_window_2d {
    struct onnx_window_axis rows, columns;
};

/* false: three spatial axes or more. */
bool mmi_onnx_window_2d(const struct onnx_placed *placed, struct onnx_window_2d *window);
/* Elements that one window spans, and so many neighbouring ones. */
static inline uint64_t mmi_onnx_extent(const struct onnx_window_axis *axis) {
    return (axis->kernel - 1) * axis->dilation + 1;
}
static inline uint64_t mmi_onnx_extent_of(const struct onnx_window_axis *axis, uint64_t windows) {
    return (windows - 1) * axis->stride + mmi_onnx_extent(axis);
}
/* Elements along an axis that the average of window i is divided by: those of the image, and of the
 * padding if that counts. */
uint64_t mmi_onnx_averaged(const struct onnx_window_axis *axis, bool padding_counts, uint64_t i);
/* The input of one tap along an axis: for outputs i in [from, to) it is the pixel at
 * i * stride + offset, for the others padding. */
struct onnx_tap_range {
    uint64_t from, to;
    int64_t offset;
};
struct onnx_tap_range mmi_onnx_tap_range(const struct onnx_window_axis *axis, uint64_t tap);

#endif
