/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_OPERATORS_NORM_H
#define MMI_BACKENDS_ONNX_OPERATORS_NORM_H

#include <stdint.h>

/* (x - mean) / sqrt(variance + epsilon) * scale + bias, by channel. */
struct onnx_batch_norm {
    float epsilon;
};

#endif
