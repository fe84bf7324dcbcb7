/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/cpu/plane.h>
#include <base/checked.h>

static struct onnx_plane_axis axis_of(const struct onnx_placed *placed, uint32_t i) {
    return (struct onnx_plane_axis){.in = (uint64_t)placed->in[i],
                                    .out = (uint64_t)placed->out[i],
                                    .kernel = (uint64_t)placed->kernel[i],
                                    .stride = (uint64_t)placed->strides[i],
                                    .dilation = (uint64_t)placed->dilations[i],
                                    .begin = placed->begin[i]};
}

bool mmi_onnx_plane(const struct onnx_placed *placed, struct onnx_plane *plane) {
    if (placed->axes > 2) {
        return false;
    }
    plane->rows = (struct onnx_plane_axis){1, 1, 1, 1, 1, 0};
    plane->columns = axis_of(placed, placed->axes - 1);
    if (placed->axes == 2) {
        plane->rows = axis_of(placed, 0);
        if (plane->columns.in == 1 && plane->columns.out == 1 && plane->columns.kernel == 1) {
            struct onnx_plane_axis single = plane->columns;
            plane->columns = plane->rows; /* one column after the other would be slow */
            plane->rows = single;
        }
    }
    return true;
}

struct onnx_seen mmi_onnx_plane_seen(const struct onnx_plane_axis *axis, uint64_t tap) {
    int64_t offset = (int64_t)(tap * axis->dilation) - axis->begin;
    int64_t in = (int64_t)axis->in, stride = (int64_t)axis->stride;
    uint64_t from = offset < 0 ? (uint64_t)((-offset + stride - 1) / stride) : 0;
    uint64_t to = offset < in ? (uint64_t)((in - 1 - offset) / stride) + 1 : 0;
    to = mmi_min_u64(to, axis->out);
    return (struct onnx_seen){mmi_min_u64(from, to), to, offset};
}
