/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_OPERATORS_MS_NORM_H
#define MMI_BACKENDS_ONNX_OPERATORS_MS_NORM_H

/* Rows that are added up in f64, then normalised. */

#include <backends/onnx/operators/norm.h>
#include <backends/onnx/operators/number.h>

struct onnx_norm_row {
    int32_t dtype; /* of scale, bias and the result */
    uint64_t count;
    bool centred; /* the mean is taken off */
    double epsilon;
    const uint8_t *scale, *bias; /* bias NULL: none */
};
/* `to` may be NULL. */
void mmi_onnx_norm_row(const struct onnx_norm_row *norm, const double *row, uint8_t *to,
                       struct onnx_moments *moments);
/* Adds elements of a float type to a row. */
void mmi_onnx_add_row(int32_t dtype, const uint8_t *from, uint64_t count, double *row);
/* An input, if it is there, has one axis of `count` elements. */
mm_status mmi_onnx_check_vector(const struct onnx_inference *x, uint32_t input, int64_t count,
                                mm_error *err);

#endif
