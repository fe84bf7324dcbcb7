/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_OPERATORS_QUANTIZE_H
#define MMI_BACKENDS_ONNX_OPERATORS_QUANTIZE_H

/* Parameters of QuantizeLinear and DequantizeLinear, for passes that look at them. */

#include <backends/onnx/operators/granularity.h>
#include <backends/onnx/operators/number.h>

struct onnx_quantization {
    struct onnx_granularity_rule rule;
    int32_t dtype;     /* output_dtype; MM_DTYPE_NONE: not given */
    int32_t precision; /* QuantizeLinear: the type that is divided in; MM_DTYPE_NONE: the scale's */
    struct onnx_narrowing how;
};

#endif
