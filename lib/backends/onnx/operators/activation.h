/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_OPERATORS_ACTIVATION_H
#define MMI_BACKENDS_ONNX_OPERATORS_ACTIVATION_H

/* What Conv, ConvTranspose and Linear apply to each result before they write it. In files it is
 * separate nodes; passes/fuse_activations.c fuses them. */

#include <backends/onnx/operators/functions.h>

struct onnx_activation {
    int32_t function; /* enum onnx_function_kind, of one number; ONNX_F_NONE: nothing is applied */
    float a, b;       /* its numbers */
    /* then times `scale` plus `shift`; scale 0: neither. Never with ONNX_F_NONE, where the weights
     * take them. */
    float scale, shift;
};

static inline bool mmi_onnx_activation_is_sound(const struct onnx_activation *activation) {
    return activation->function == ONNX_F_NONE || mmi_onnx_of_one(activation->function);
}
void mmi_onnx_activate(const struct onnx_activation *activation, float *values, uint64_t count);

#endif
