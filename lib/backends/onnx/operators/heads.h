/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_OPERATORS_HEADS_H
#define MMI_BACKENDS_ONNX_OPERATORS_HEADS_H

/* Tensors that are matrices by batch and head. */

#include <backends/onnx/operators/attend.h>

/* Where the matrices of a tensor lie: steps in elements. */
struct onnx_heads {
    uint64_t batch, head, row;
};
/* [batch, heads, rows, size] */
static inline struct onnx_heads mmi_onnx_heads_4d(uint64_t heads, uint64_t rows, uint64_t size) {
    return (struct onnx_heads){heads * rows * size, rows * size, size};
}
/* [batch, rows, heads * size], which is `width` wide from row to row */
static inline struct onnx_heads mmi_onnx_heads_3d(uint64_t rows, uint64_t width, uint64_t size) {
    return (struct onnx_heads){rows * width, size, width};
}
static inline struct onnx_matrix mmi_onnx_head(const void *data, const struct onnx_heads *heads,
                                               uint64_t batch, uint64_t head, uint32_t width) {
    uint64_t elements = batch * heads->batch + head * heads->head;
    return (struct onnx_matrix){mmi_onnx_shift(data, elements, width), (int64_t)heads->row, 1};
}

/* Copy heads of one dtype: `rows` rows of `size` elements of each. */
struct onnx_heads_copy {
    uint64_t batch, heads, rows, size;
    uint32_t width; /* bytes of an element */
    struct onnx_heads from, to;
};
void mmi_onnx_copy_heads(const struct onnx_heads_copy *copy, const void *from, void *to);

#endif
