/* SPDX-License-Identifier: Apache-2.0 */

/* Resize of images [N, ..., C]; its other inputs speak of [N, C, ...]. */

#include <backends/onnx/operators/channels_last.h>
#include <backends/onnx/operators/resize.h>

static const struct onnx_moved form = {&mmi_onnx_op_Resize, 1};

static mm_status infer(struct onnx_inference *x, mm_error *err) {
    return mmi_onnx_infer_moved(x, &form, err);
}

static mm_status run(const struct onnx_call *call, mm_error *err) {
    return mmi_onnx_run_moved(call, &form, err);
}

const struct onnx_operator mmi_onnx_op_ChannelsLastResize = {
    .name = "ChannelsLastResize",
    .domain = ONNX_OURS,
    .min_inputs = 1,
    .max_inputs = 4,
    .min_outputs = 1,
    .max_outputs = 1,
    .params_bytes = sizeof(struct onnx_resize),
    .limits = ONNX_RESIZE_LIMITS,
    .shaping_inputs = 1u << ONNX_RESIZE_SCALES | 1u << ONNX_RESIZE_SIZES,
    .infer = infer,
    .run = run,
    .facts = {ONNX_DTYPE_OF_0, ONNX_RANK_OF_0, ONNX_SIZE_ALIKE, 0},
    .kernels = {[ONNX_CPU] = mmi_onnx_cpu_ChannelsLastResize},
};
