/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_OPERATORS_PRODUCT_H
#define MMI_BACKENDS_ONNX_OPERATORS_PRODUCT_H

/* The matrix product of the plain kernels: in packed panels of ONNX_NR columns of b, each of which
 * stays in the cache for all rows of a. */

#include <backends/onnx/operators/matmul.h>

/* Element (i, j) lies at[i * row + j * column]. */
struct onnx_matrix {
    const void *at;
    int64_t row, column;
};

/* out[i][j] = sum over k of a[i][k] b[k][j], + start[i][j] */
struct onnx_product {
    int32_t dtype; /* f32 f64 i32 u32 i64 u64, of all matrices; integers wrap around */
    uint64_t rows, depth, columns;
    /* start.at NULL: 0. A step of 0 repeats. start may be out itself */
    struct onnx_matrix a, b, start;
    void *out;
    uint64_t out_row; /* elements from one row of out to the next */
};

/* Two stacks of matrices, with rows and columns added to vectors. */
struct onnx_stacks {
    uint64_t rows, depth, columns;
    struct onnx_tensor batch; /* shape and rank: axes of the stack, of both broadcast */
};
mm_status mmi_onnx_stack(const struct onnx_tensor *a, const struct onnx_tensor *b,
                         struct onnx_stacks *to, mm_error *err);
/* The tensor of their products. */
mm_status mmi_onnx_set_product(const struct onnx_tensor *a, const struct onnx_tensor *b,
                               const struct onnx_stacks *stacks, int32_t dtype,
                               struct onnx_tensor *to, mm_error *err);
/* Which matrix of its stack an input has for matrix `index` of the result. */
uint64_t mmi_onnx_matrix_of(const struct onnx_tensor *input, const struct onnx_tensor *batch,
                            uint64_t index);

bool mmi_onnx_multiplies(int32_t dtype);
/* Scratch of mmi_onnx_multiply; UINT64_MAX on overflow. */
uint64_t mmi_onnx_product_bytes(int32_t dtype, uint64_t depth);
void mmi_onnx_multiply(const struct onnx_product *product, void *scratch);
/* For a b that is a panel already: b.column is 1, and ONNX_NR columns are readable in each row, of
 * which product->columns are used. */
void mmi_onnx_multiply_panel(const struct onnx_product *product);

#endif
