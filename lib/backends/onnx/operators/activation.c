/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/operators/activation.h>

void mmi_onnx_activate(const struct onnx_activation *activation, float *values, uint64_t count) {
    if (activation->function == ONNX_F_NONE) {
        return;
    }
    const struct onnx_alpha numbers = {activation->a, activation->b};
    mmi_onnx_functions[activation->function].one(&numbers, values, count, values);
    for (uint64_t i = 0; i < count && activation->scale != 0; i++) {
        values[i] = values[i] * activation->scale + activation->shift;
    }
}
