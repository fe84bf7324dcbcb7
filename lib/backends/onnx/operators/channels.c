/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/operators/channels.h>
#include <backends/onnx/operators/move.h>

void mmi_onnx_channels_first(const struct onnx_tensor *image, int64_t shape[MM_MAX_RANK]) {
    memcpy(shape, image->shape, sizeof(image->shape));
    if (image->rank > 2) {
        shape[1] = image->shape[image->rank - 1];
        memcpy(shape + 2, image->shape + 1, (image->rank - 2) * sizeof(*shape));
    }
}

void mmi_onnx_channels_last(const struct onnx_tensor *image, int64_t shape[MM_MAX_RANK]) {
    memcpy(shape, image->shape, sizeof(image->shape));
    if (image->rank > 2) {
        memcpy(shape + 1, image->shape + 2, (image->rank - 2) * sizeof(*shape));
        shape[image->rank - 1] = image->shape[1];
    }
}

void mmi_onnx_move_channels(const struct onnx_tensor *image, uint32_t width, bool to_last,
                            const void *from, void *to) {
    if (image->elements == 0) {
        return;
    }
    const struct onnx_split split = mmi_onnx_split_at(image, 1);
    const int64_t step = (int64_t)width, all = (int64_t)(split.length * split.inner) * step;
    const int64_t channels = (int64_t)split.length * step, plane = (int64_t)split.inner * step;
    struct onnx_move move = {.width = width};
    mmi_onnx_move_axis(&move, split.outer, all, all);
    if (to_last) {
        mmi_onnx_move_axis(&move, split.inner, step, channels);
        mmi_onnx_move_axis(&move, split.length, plane, step);
    } else {
        mmi_onnx_move_axis(&move, split.length, step, plane);
        mmi_onnx_move_axis(&move, split.inner, channels, step);
    }
    mmi_onnx_move(&move, from, to);
}
