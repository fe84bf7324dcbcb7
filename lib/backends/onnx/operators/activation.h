/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_OPERATORS_ACTIVATION_H
#define MMI_BACKENDS_ONNX_OPERATORS_ACTIVATION_H

/* What Conv, ConvTranspose and Linear apply to each result before they write it. In files it is
 * separate nodes; passes/fuse_activations.c fuses them. */

#include <stdint.h>

enum onnx_activation_kind {
    ONNX_ACT_NONE = 0,
    ONNX_ACT_RELU,         /* max(x, 0) */
    ONNX_ACT_CLIP,         /* min(max(x, a), b) */
    ONNX_ACT_SIGMOID,      /* 1 / (1 + e^-x) */
    ONNX_ACT_HARD_SIGMOID, /* min(max(a x + b, 0), 1) */
    ONNX_ACT_HARD_SWISH,   /* x min(max(a x + b, 0), 1) */
    ONNX_ACT_SILU,         /* x / (1 + e^-x) */
    ONNX_ACT_TANH,
    ONNX_ACT_LEAKY_RELU /* x < 0 ? a x : x */
};

struct onnx_activation {
    int32_t kind; /* enum onnx_activation_kind */
    float a, b;
    /* then times `scale` plus `shift`; scale 0: neither. Never with ONNX_ACT_NONE, where the
     * weights take them. */
    float scale, shift;
};

void mmi_onnx_activate(const struct onnx_activation *activation, float *values, uint64_t count);

#endif
