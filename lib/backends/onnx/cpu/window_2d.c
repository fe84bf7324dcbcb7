/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/cpu/window_2d.h>
#include <base/checked.h>

static struct onnx_window_axis axis_of(const struct onnx_placed *placed, uint32_t i) {
    return (struct onnx_window_axis){.in = (uint64_t)placed->in[i],
                                     .out = (uint64_t)placed->out[i],
                                     .kernel = (uint64_t)placed->kernel[i],
                                     .stride = (uint64_t)placed->strides[i],
                                     .dilation = (uint64_t)placed->dilations[i],
                                     .pad_begin = placed->begin[i],
                                     .pad_end = placed->end[i]};
}

bool mmi_onnx_window_2d(const struct onnx_placed *placed, struct onnx_window_2d *window) {
    if (placed->axes > 2) {
        return false;
    }
    window->rows = (struct onnx_window_axis){1, 1, 1, 1, 1, 0, 0};
    window->columns = axis_of(placed, placed->axes - 1);
    if (placed->axes == 2) {
        window->rows = axis_of(placed, 0);
        if (window->columns.in == 1 && window->columns.out == 1 && window->columns.kernel == 1) {
            struct onnx_window_axis single = window->columns;
            window->columns = window->rows; /* rows of one column would be slow */
            window->rows = single;
        }
    }
    return true;
}

struct onnx_tap_range mmi_onnx_tap_range(const struct onnx_window_axis *axis, uint64_t tap) {
    int64_t offset = (int64_t)(tap * axis->dilation) - axis->pad_begin;
    int64_t in = (int64_t)axis->in, stride = (int64_t)axis->stride;
    uint64_t from = offset < 0 ? (uint64_t)((-offset + stride - 1) / stride) : 0;
    uint64_t to = offset < in ? (uint64_t)((in - 1 - offset) / stride) + 1 : 0;
    to = mmi_min_u64(to, axis->out);
    return (struct onnx_tap_range){mmi_min_u64(from, to), to, offset};
}

uint64_t mmi_onnx_averaged(const struct onnx_window_axis *axis, bool padding_counts, uint64_t i) {
    int64_t from = padding_counts ? -axis->pad_begin : 0;
    int64_t to = (int64_t)axis->in + (padding_counts ? axis->pad_end : 0);
    int64_t first = (int64_t)(i * axis->stride) - axis->pad_begin;
    uint64_t count = 0;
    for (uint64_t tap = 0; tap < axis->kernel; tap++) {
        int64_t at = first + (int64_t)(tap * axis->dilation);
        count += at >= from && at < to;
    }
    return count;
}
