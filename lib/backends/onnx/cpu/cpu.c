/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/cpu/cpu.h>
#include <backends/onnx/cpu/kernels.h>

#include <string.h>

static const struct {
    const char *name;
    onnx_kernel (*choose)(struct onnx_inference *x, const mm_services *services);
} choosers[] = {
    {"AveragePool", mmi_onnx_choose_average_pool},
    {"Conv", mmi_onnx_choose_conv},
    {"ConvTranspose", mmi_onnx_choose_conv_transpose},
    {"Fused", mmi_onnx_choose_fused},
    {"GlobalAveragePool", mmi_onnx_choose_global_average_pool},
    {"GlobalMaxPool", mmi_onnx_choose_global_max_pool},
    {"LSTM", mmi_onnx_choose_lstm},
    {"LayerNormalization", mmi_onnx_choose_layer_norm},
    {"Linear", mmi_onnx_choose_linear},
    {"MatMul", mmi_onnx_choose_matmul},
    {"MaxPool", mmi_onnx_choose_max_pool},
    {"ReduceMax", mmi_onnx_choose_reduce_max},
    {"ReduceMean", mmi_onnx_choose_reduce_mean},
    {"ReduceSum", mmi_onnx_choose_reduce_sum},
    {"Resize", mmi_onnx_choose_resize},
    {"Softmax", mmi_onnx_choose_softmax},
};

onnx_kernel mmi_onnx_cpu_kernel(const struct onnx_operator *op, struct onnx_inference *x,
                                const mm_services *services) {
    for (size_t i = 0; i < sizeof(choosers) / sizeof(choosers[0]); i++) {
        if (strcmp(choosers[i].name, op->name) == 0) {
            return choosers[i].choose(x, services);
        }
    }
    return NULL;
}
