/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/cpu/padded_rows.h>
#include <base/checked.h>

#define MAX_FLOATS (4 * 1024 * 1024)

bool mmi_onnx_padded_rows(const struct onnx_window_2d *window, float padding,
                          uint64_t target_floats, struct onnx_padded_rows *padded) {
    const struct onnx_window_axis *rows = &window->rows, *columns = &window->columns;
    if (mmi_onnx_extent(rows) > MAX_FLOATS || mmi_onnx_extent(columns) > MAX_FLOATS ||
        columns->out > MAX_FLOATS) {
        return false;
    }
    *padded = (struct onnx_padded_rows){.window = *window, .padding = padding};
    padded->phases = mmi_min_u64(columns->stride, mmi_onnx_extent(columns));
    padded->phase_width =
        (columns->out + 15) / 16 * 16 + (mmi_onnx_extent(columns) - 1) / columns->stride;
    padded->row_stride = (padded->phases * padded->phase_width + 15) / 16 * 16;
    uint64_t fit =
        mmi_sub_floor(target_floats / padded->row_stride, mmi_onnx_extent(rows)) / rows->stride + 1;
    padded->out_rows = (mmi_min_u64(fit, rows->out) + 3) / 4 * 4;
    return mmi_mul(mmi_onnx_extent_of(rows, padded->out_rows), padded->row_stride,
                   &padded->floats) &&
           padded->floats <= MAX_FLOATS;
}

static void fill(float *to, float value, uint64_t count) {
    for (uint64_t i = 0; i < count; i++) {
        to[i] = value;
    }
}

/* Columns `phase`, phase + stride, ... of a row. */
struct phase {
    uint64_t from, to; /* of its columns, those inside the image */
    int64_t first;     /* column of the image at `from` */
};

static struct phase phase_of(const struct onnx_padded_rows *padded, uint64_t phase) {
    const struct onnx_window_axis *columns = &padded->window.columns;
    int64_t in = (int64_t)columns->in, stride = (int64_t)columns->stride;
    int64_t offset = (int64_t)phase - columns->pad_begin;
    uint64_t from = offset < 0 ? (uint64_t)((-offset + stride - 1) / stride) : 0;
    uint64_t to = offset < in ? (uint64_t)((in - 1 - offset) / stride) + 1 : 0;
    from = mmi_min_u64(from, padded->phase_width);
    to = mmi_max_u64(mmi_min_u64(to, padded->phase_width), from);
    return (struct phase){from, to, (int64_t)from * stride + offset};
}

void mmi_onnx_pad_rows(const struct onnx_padded_rows *padded, const struct onnx_simd *simd,
                       const float *channel, uint64_t first, uint64_t count, float *to) {
    const struct onnx_window_axis *rows = &padded->window.rows, *columns = &padded->window.columns;
    uint64_t in_rows = mmi_onnx_extent_of(rows, (count + 3) / 4 * 4);
    for (uint64_t i = 0; i < padded->phases; i++, to += padded->phase_width) {
        struct phase phase = phase_of(padded, i);
        int64_t row = (int64_t)(first * rows->stride) - rows->pad_begin;
        float *out = to;
        for (uint64_t r = 0; r < in_rows; r++, row++, out += padded->row_stride) {
            bool inside = row >= 0 && row < (int64_t)rows->in && phase.to > phase.from;
            fill(out, padded->padding, inside ? phase.from : padded->phase_width);
            if (inside) {
                simd->gather(channel + row * (int64_t)columns->in + phase.first, columns->stride,
                             out + phase.from, phase.to - phase.from);
                fill(out + phase.to, padded->padding, padded->phase_width - phase.to);
            }
        }
    }
}

void mmi_onnx_tap_offsets(const struct onnx_padded_rows *padded, uint64_t *offsets) {
    const struct onnx_window_axis *rows = &padded->window.rows, *columns = &padded->window.columns;
    for (uint64_t r = 0; r < rows->kernel; r++) {
        for (uint64_t c = 0; c < columns->kernel; c++) {
            uint64_t column = c * columns->dilation;
            *offsets++ = r * rows->dilation * padded->row_stride +
                         column % columns->stride * padded->phase_width + column / columns->stride;
        }
    }
}
