/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_OPERATORS_REDUCE_H
#define MMI_BACKENDS_ONNX_OPERATORS_REDUCE_H

/* ReduceSum and the other reductions. */

#include <backends/onnx/operators/number.h>

/* Input 1, if there, names the axes. */
struct onnx_reduce {
    int32_t keepdims;
    int32_t noop_with_empty_axes; /* without axes: none of them instead of all */
};

/* Reduces `count` elements. Floats are accumulated in f64, integers in i64 or u64. */
typedef void (*onnx_reducer)(void *sums, const double *shifts, const void *from, uint64_t count);
struct onnx_reducers {
    onnx_reducer row[ONNX_NUMBERS];     /* all elements into sums[0] */
    onnx_reducer columns[ONNX_NUMBERS]; /* element i into sums[i] */
};
extern const struct onnx_reducers mmi_onnx_reducer_sum, mmi_onnx_reducer_product,
    mmi_onnx_reducer_max, mmi_onnx_reducer_min, mmi_onnx_reducer_abs, mmi_onnx_reducer_squares;
/* Sum of e^(x - shift), for floats; the others ignore `shifts`. */
extern const struct onnx_reducers mmi_onnx_reducer_exp;

#endif
