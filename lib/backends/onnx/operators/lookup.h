/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_OPERATORS_LOOKUP_H
#define MMI_BACKENDS_ONNX_OPERATORS_LOOKUP_H

/* Finding an element in a list: sorted once, when the model is prepared. */

#include <backends/onnx/operators/operator.h>

/* Order of two numbers: what is no number comes last, and equal to each other, as numpy has it. */
int mmi_onnx_compare_floats(double a, double b);
/* Order of two strings, by their bytes. */
int mmi_onnx_compare_strings(const struct onnx_string *a, const struct onnx_string *b);
/* Order of two elements of one type, floats and strings as above. */
int mmi_onnx_compare(int32_t dtype, const void *a, const void *b);

/* The different elements of `keys`, sorted, and for each its place in `keys`: the last one, where
 * it is there more than once. */
mm_status mmi_onnx_sort_keys(struct onnx_arena *arena, const struct onnx_tensor *keys,
                             struct onnx_tensor *sorted, struct onnx_tensor *places, mm_error *err);
/* Where an element of their type is among sorted ones, or -1. */
int64_t mmi_onnx_find_sorted(const struct onnx_tensor *sorted, const void *element);
/* Its place in the list, or -1. */
int64_t mmi_onnx_find_key(const struct onnx_tensor *sorted, const struct onnx_tensor *places,
                          const void *element);

#endif
