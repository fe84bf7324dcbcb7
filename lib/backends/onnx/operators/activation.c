/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/operators/activation.h>

#include <math.h>

static float limit(float x, float low, float high) {
    float raised = x < low ? low : x;
    return raised > high ? high : raised;
}

static float apply(const struct onnx_activation *activation, float x) {
    float a = activation->a, b = activation->b;
    switch (activation->kind) {
    case ONNX_ACT_RELU:
        return x < 0 ? 0 : x;
    case ONNX_ACT_CLIP:
        return limit(x, a, b);
    case ONNX_ACT_SIGMOID:
        return 1 / (1 + expf(-x));
    case ONNX_ACT_HARD_SIGMOID:
        return limit(a * x + b, 0, 1);
    case ONNX_ACT_HARD_SWISH:
        return x * limit(a * x + b, 0, 1);
    case ONNX_ACT_SILU:
        return x / (1 + expf(-x));
    case ONNX_ACT_TANH:
        return tanhf(x);
    case ONNX_ACT_LEAKY_RELU:
        return x < 0 ? a * x : x;
    default:
        return x;
    }
}

void mmi_onnx_activate(const struct onnx_activation *activation, float *values, uint64_t count) {
    if (activation->kind == ONNX_ACT_NONE) {
        return;
    }
    for (uint64_t i = 0; i < count; i++) {
        values[i] = apply(activation, values[i]);
    }
    for (uint64_t i = 0; i < count && activation->scale != 0; i++) {
        values[i] = values[i] * activation->scale + activation->shift;
    }
}
