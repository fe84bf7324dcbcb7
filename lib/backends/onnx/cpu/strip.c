/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/cpu/strip.h>
#include <base/checked.h>

/* Floats that a strip should have, so that it stays in the caches, and may have. */
#define USUAL_FLOATS (12 * 1024)
#define MOST_FLOATS (4 * 1024 * 1024)

static uint64_t span(const struct onnx_plane_axis *axis) {
    return (axis->kernel - 1) * axis->dilation + 1;
}

bool mmi_onnx_strip(const struct onnx_plane *plane, float padding, struct onnx_strip *strip) {
    const struct onnx_plane_axis *rows = &plane->rows, *columns = &plane->columns;
    if (span(rows) > MOST_FLOATS || span(columns) > MOST_FLOATS || columns->out > MOST_FLOATS) {
        return false;
    }
    *strip = (struct onnx_strip){.plane = *plane, .padding = padding};
    strip->parts = mmi_min_u64(columns->stride, span(columns));
    strip->width = (columns->out + 15) / 16 * 16 + (span(columns) - 1) / columns->stride;
    strip->row = strip->parts * strip->width;
    uint64_t fit = mmi_sub_floor(USUAL_FLOATS / strip->row, span(rows)) / rows->stride + 1;
    strip->results = mmi_min_u64(fit, rows->out);
    uint64_t height = (strip->results - 1) * rows->stride + span(rows);
    return mmi_mul(height, strip->row, &strip->floats) && strip->floats <= MOST_FLOATS;
}

static void set(float *to, float value, uint64_t count) {
    for (uint64_t i = 0; i < count; i++) {
        to[i] = value;
    }
}

static void fill_row(const struct onnx_strip *strip, const struct onnx_simd *simd,
                     const float *pixels, float *to) {
    const struct onnx_plane_axis *columns = &strip->plane.columns;
    int64_t in = (int64_t)columns->in, stride = (int64_t)columns->stride;
    int64_t width = (int64_t)strip->width;
    for (uint64_t part = 0; part < strip->parts; part++, to += width) {
        int64_t offset = (int64_t)part - columns->begin;
        int64_t from = offset < 0 ? (-offset + stride - 1) / stride : 0;
        int64_t end = offset < in ? (in - 1 - offset) / stride + 1 : 0;
        from = from < width ? from : width;
        end = end < from ? from : end < width ? end : width;
        set(to, strip->padding, (uint64_t)from);
        if (end > from) {
            simd->gather(pixels + from * stride + offset, columns->stride, to + from,
                         (uint64_t)(end - from));
        }
        set(to + end, strip->padding, (uint64_t)(width - end));
    }
}

void mmi_onnx_fill_strip(const struct onnx_strip *strip, const struct onnx_simd *simd,
                         const float *channel, uint64_t first, uint64_t count, float *to) {
    const struct onnx_plane_axis *rows = &strip->plane.rows;
    uint64_t height = (count - 1) * rows->stride + span(rows);
    int64_t row = (int64_t)(first * rows->stride) - rows->begin;
    for (uint64_t i = 0; i < height; i++, row++, to += strip->row) {
        if (row < 0 || row >= (int64_t)rows->in) {
            set(to, strip->padding, strip->row);
        } else {
            fill_row(strip, simd, channel + row * (int64_t)strip->plane.columns.in, to);
        }
    }
}

void mmi_onnx_strip_offsets(const struct onnx_strip *strip, uint64_t *offsets) {
    const struct onnx_plane_axis *rows = &strip->plane.rows, *columns = &strip->plane.columns;
    for (uint64_t r = 0; r < rows->kernel; r++) {
        for (uint64_t c = 0; c < columns->kernel; c++) {
            uint64_t column = c * columns->dilation;
            *offsets++ = r * rows->dilation * strip->row + column % columns->stride * strip->width +
                         column / columns->stride;
        }
    }
}
