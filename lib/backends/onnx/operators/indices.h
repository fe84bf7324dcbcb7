/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_OPERATORS_INDICES_H
#define MMI_BACKENDS_ONNX_OPERATORS_INDICES_H

/* Places in a tensor that other tensors name: what Gather* and Scatter* share. Indices are i32 or
 * i64 and count from the end where they are negative; outside of [-length, length) they are
 * MM_INVALID_ARGUMENT, for only the run shows them. */

#include <backends/onnx/operators/operator.h>

/* Index i, counted from the start of `axis` of `data`. */
mm_status mmi_onnx_index_at(const struct onnx_tensor *indices, uint64_t i,
                            const struct onnx_tensor *data, uint32_t axis, int64_t *index,
                            mm_error *err);

/* GatherElements, ScatterElements: indices as many-dimensional as the data, and no longer but on
 * the axis that they name places of. */
mm_status mmi_onnx_check_elements(const struct onnx_inference *x, uint32_t axis, mm_error *err);
/* The walk over such indices: where in the data each of them points to. */
struct onnx_index_walk {
    const struct onnx_tensor *indices, *data;
    uint32_t axis;
    uint64_t i;                   /* the index that is next */
    int64_t at[MM_MAX_RANK];      /* its place among the indices */
    int64_t strides[MM_MAX_RANK]; /* of the data, in elements */
    int64_t base;                 /* in the data, but for `axis` */
};
void mmi_onnx_index_walk(struct onnx_index_walk *walk, const struct onnx_tensor *indices,
                         const struct onnx_tensor *data, uint32_t axis);
/* *element: in the data. Call it indices->elements times at most. */
mm_status mmi_onnx_index_next(struct onnx_index_walk *walk, uint64_t *element, mm_error *err);

/* GatherND, ScatterND: the last axis of the indices holds tuples, which name places along the axes
 * of the data from `first` on. */
mm_status mmi_onnx_check_tuples(const struct onnx_inference *x, uint32_t first, mm_error *err);
/* The element of the data, from the start of its batch, at which the part begins that tuple i
 * names. */
mm_status mmi_onnx_tuple_at(const struct onnx_tensor *indices, uint64_t i,
                            const struct onnx_tensor *data, uint32_t first, uint64_t *element,
                            mm_error *err);

#endif
