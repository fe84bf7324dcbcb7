/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_OPERATORS_REDUCE_H
#define MMI_BACKENDS_ONNX_OPERATORS_REDUCE_H

/* Many elements to one: ReduceSum and its kind. */

#include <backends/onnx/operators/number.h>

/* Input 1, if there, names the axes. */
struct onnx_reduce {
    bool keepdims;
    bool noop_with_empty_axes; /* without axes: none of them instead of all */
};

/* Floats are accumulated in f64, integers as i64 or u64. `from` has `count` numbers; with `shifts`
 * each is lessened by its shift first. */
typedef void (*onnx_fold)(void *sums, const double *shifts, const void *from, uint64_t count);
struct onnx_folds {
    onnx_fold row[ONNX_NUMBERS];     /* all numbers into sums[0] */
    onnx_fold columns[ONNX_NUMBERS]; /* number i into sums[i] */
};
extern const struct onnx_folds mmi_onnx_fold_sum, mmi_onnx_fold_product, mmi_onnx_fold_max,
    mmi_onnx_fold_min, mmi_onnx_fold_sizes, mmi_onnx_fold_squares;
/* e^(number - shift), of floats; the only one that has shifts. */
extern const struct onnx_folds mmi_onnx_fold_exponentials;

#endif
