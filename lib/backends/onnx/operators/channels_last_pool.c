/* SPDX-License-Identifier: Apache-2.0 */

/* Pools on images [N, ..., C]. */

#include <backends/onnx/operators/channels_last.h>

#define POOL(type, made_of, limits_, size)                                                         \
    static const struct onnx_moved form_##type = {&mmi_onnx_op_##made_of, 1};                      \
    static mm_status infer_##type(struct onnx_inference *x, mm_error *err) {                       \
        return mmi_onnx_infer_moved(x, &form_##type, err);                                         \
    }                                                                                              \
    static mm_status run_##type(const struct onnx_call *call, mm_error *err) {                     \
        return mmi_onnx_run_moved(call, &form_##type, err);                                        \
    }                                                                                              \
    const struct onnx_operator mmi_onnx_op_##type = {                                              \
        .name = #type,                                                                             \
        .domain = ONNX_OURS,                                                                       \
        .min_inputs = 1,                                                                           \
        .max_inputs = 1,                                                                           \
        .min_outputs = 1,                                                                          \
        .max_outputs = 1,                                                                          \
        .params_bytes = sizeof(struct onnx_pool),                                                  \
        .limits = limits_,                                                                         \
        .infer = infer_##type,                                                                     \
        .run = run_##type,                                                                         \
        .facts = {ONNX_DTYPE_OF_0, ONNX_RANK_OF_0, size, 0},                                       \
        .kernels = {[ONNX_CPU] = mmi_onnx_cpu_##type},                                             \
    };
#define WINDOW ONNX_LIMITS(ONNX_WINDOW_LIMITS(struct onnx_pool, window))

POOL(ChannelsLastMaxPool, MaxPool, WINDOW, ONNX_SIZE_ALIKE)
POOL(ChannelsLastAveragePool, AveragePool, WINDOW, ONNX_SIZE_ALIKE)
POOL(ChannelsLastGlobalMaxPool, GlobalMaxPool, NULL, ONNX_SIZE_REDUCES)
POOL(ChannelsLastGlobalAveragePool, GlobalAveragePool, NULL, ONNX_SIZE_REDUCES)
