/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_CPU_PLANE_H
#define MMI_BACKENDS_ONNX_CPU_PLANE_H

/* A window that slides over one channel: rows of columns; with one spatial axis, a single row. */

#include <backends/onnx/cpu/simd.h>
#include <backends/onnx/operators/conv.h>

struct onnx_plane_axis {
    uint64_t in, out, kernel, stride, dilation;
    int64_t begin; /* padding */
};

struct onnx_plane {
    struct onnx_plane_axis rows, columns;
};

/* false: three spatial axes or more. */
bool mmi_onnx_plane(const struct onnx_placed *placed, struct onnx_plane *plane);
/* What one element of a window sees along an axis: results [from, to) see pixels of the image,
 * result i the one at i * stride + offset; the others see padding. */
struct onnx_seen {
    uint64_t from, to;
    int64_t offset;
};
struct onnx_seen mmi_onnx_plane_seen(const struct onnx_plane_axis *axis, uint64_t tap);

#endif
