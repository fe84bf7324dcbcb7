/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_OPERATORS_SOFTMAX_H
#define MMI_BACKENDS_ONNX_OPERATORS_SOFTMAX_H

#include <backends/onnx/graph/tensor.h>

/* Softmax, LogSoftmax, Hardmax. */
struct onnx_softmax {
    int64_t axis;
    int32_t flatten; /* opset 12 and before: over all axes from `axis` on together */
};

/* What is normalised by itself: `length` elements each `inner` apart. */
struct onnx_split mmi_onnx_softmax_split(const struct onnx_softmax *softmax,
                                         const struct onnx_tensor *input);

#endif
