/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_OPERATORS_NORM_H
#define MMI_BACKENDS_ONNX_OPERATORS_NORM_H

/* Normalisation: (x - mean) / sqrt(variance + epsilon), then scaled and shifted. Computed in
 * f64. */

#include <stdint.h>

/* Inputs: data, and by channel (axis 1) scale, bias, mean and variance. */
struct onnx_batch_norm {
    float epsilon, momentum;
    int64_t training; /* 1: mean and variance are those of the data */
};

/* Axes from `axis` on are normalised together. */
struct onnx_layer_norm {
    int64_t axis;
    float epsilon;
    int32_t stash_type; /* mm_dtype of the mean and the inverse deviation, where they are wanted */
};

struct onnx_moments {
    double mean, variance;
};
/* Of `count` elements of a float type. */
struct onnx_moments mmi_onnx_moments(int32_t dtype, const void *from, uint64_t count);
/* The mean of their squares. */
double mmi_onnx_mean_square(int32_t dtype, const void *from, uint64_t count);

#endif
