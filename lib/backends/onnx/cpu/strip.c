/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/cpu/strip.h>
#include <base/checked.h>

#define MOST_FLOATS (4 * 1024 * 1024)

static uint64_t span(const struct onnx_plane_axis *axis) {
    return (axis->kernel - 1) * axis->dilation + 1;
}

/* Rows that `count` rows of results see. */
static uint64_t height_of(const struct onnx_plane_axis *rows, uint64_t count) {
    return (count - 1) * rows->stride + span(rows);
}

bool mmi_onnx_strip(const struct onnx_plane *plane, float padding, uint64_t usual,
                    struct onnx_strip *strip) {
    const struct onnx_plane_axis *rows = &plane->rows, *columns = &plane->columns;
    if (span(rows) > MOST_FLOATS || span(columns) > MOST_FLOATS || columns->out > MOST_FLOATS) {
        return false;
    }
    *strip = (struct onnx_strip){.plane = *plane, .padding = padding};
    strip->parts = mmi_min_u64(columns->stride, span(columns));
    strip->width = (columns->out + 15) / 16 * 16 + (span(columns) - 1) / columns->stride;
    strip->row = (strip->parts * strip->width + 15) / 16 * 16;
    uint64_t fit = mmi_sub_floor(usual / strip->row, span(rows)) / rows->stride + 1;
    strip->results = (mmi_min_u64(fit, rows->out) + 3) / 4 * 4;
    return mmi_mul(height_of(rows, strip->results), strip->row, &strip->floats) &&
           strip->floats <= MOST_FLOATS;
}

static void set(float *to, float value, uint64_t count) {
    for (uint64_t i = 0; i < count; i++) {
        to[i] = value;
    }
}

/* Columns `part`, part + stride, ... of one row of pixels. */
struct part {
    uint64_t from, to; /* of its `width` columns, those in the image */
    int64_t first;     /* the pixel that the first of them is */
};

static struct part part_of(const struct onnx_strip *strip, uint64_t part) {
    const struct onnx_plane_axis *columns = &strip->plane.columns;
    int64_t in = (int64_t)columns->in, stride = (int64_t)columns->stride;
    int64_t offset = (int64_t)part - columns->begin;
    uint64_t from = offset < 0 ? (uint64_t)((-offset + stride - 1) / stride) : 0;
    uint64_t to = offset < in ? (uint64_t)((in - 1 - offset) / stride) + 1 : 0;
    from = mmi_min_u64(from, strip->width);
    to = mmi_max_u64(mmi_min_u64(to, strip->width), from);
    return (struct part){from, to, (int64_t)from * stride + offset};
}

void mmi_onnx_fill_strip(const struct onnx_strip *strip, const struct onnx_simd *simd,
                         const float *channel, uint64_t first, uint64_t count, float *to) {
    const struct onnx_plane_axis *rows = &strip->plane.rows, *columns = &strip->plane.columns;
    uint64_t height = height_of(rows, (count + 3) / 4 * 4);
    for (uint64_t i = 0; i < strip->parts; i++, to += strip->width) {
        struct part part = part_of(strip, i);
        int64_t row = (int64_t)(first * rows->stride) - rows->begin;
        float *line = to;
        for (uint64_t r = 0; r < height; r++, row++, line += strip->row) {
            bool inside = row >= 0 && row < (int64_t)rows->in && part.to > part.from;
            set(line, strip->padding, inside ? part.from : strip->width);
            if (inside) {
                simd->gather(channel + row * (int64_t)columns->in + part.first, columns->stride,
                             line + part.from, part.to - part.from);
                set(line + part.to, strip->padding, strip->width - part.to);
            }
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
