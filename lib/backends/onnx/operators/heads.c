/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/operators/heads.h>
#include <backends/onnx/operators/move.h>

void mmi_onnx_copy_heads(const struct onnx_heads_copy *copy, const void *from, void *to) {
    struct onnx_move move = {.width = copy->width};
    int64_t width = copy->width;
    if (!to) {
        return;
    }
    mmi_onnx_move_axis(&move, copy->batch, (int64_t)copy->from.batch * width,
                       (int64_t)copy->to.batch * width);
    mmi_onnx_move_axis(&move, copy->heads, (int64_t)copy->from.head * width,
                       (int64_t)copy->to.head * width);
    mmi_onnx_move_axis(&move, copy->rows, (int64_t)copy->from.row * width,
                       (int64_t)copy->to.row * width);
    mmi_onnx_move_axis(&move, copy->size, width, width);
    mmi_onnx_move(&move, from, to);
}
