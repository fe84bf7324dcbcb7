/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_OPERATORS_MOVEMENT_H
#define MMI_BACKENDS_ONNX_OPERATORS_MOVEMENT_H

/* Parameters of operators that move elements, for passes that look at them. */

#include <modelmesh/types.h>

struct onnx_reshape {
    int64_t allowzero;
};

struct onnx_transpose {
    uint32_t count; /* 0: the axes backwards */
    uint32_t reserved;
    int64_t perm[MM_MAX_RANK];
};

/* The axis of the input that is axis i of the result. */
static inline uint32_t mmi_onnx_source_axis(const struct onnx_transpose *transpose, uint32_t rank,
                                            uint32_t i) {
    return transpose->count > 0 ? (uint32_t)transpose->perm[i] : rank - 1 - i;
}

enum onnx_pad_mode { ONNX_PAD_CONSTANT, ONNX_PAD_REFLECT, ONNX_PAD_EDGE, ONNX_PAD_WRAP };

struct onnx_pad {
    int32_t mode; /* enum onnx_pad_mode */
    float value;  /* the constant, unless input 2 says it: before opset 11 */
};

#endif
