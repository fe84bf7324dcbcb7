/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/cpu/multiply.h>
#include <base/checked.h>

#define MOST_DEPTH 384
#define USUAL_DEPTH 256
/* Floats of A that are used for one panel of B after the other. */
#define ROWS_FLOATS (32 * 1024)

uint64_t mmi_onnx_simd_block(uint64_t depth) {
    if (depth <= MOST_DEPTH) {
        return depth;
    }
    uint64_t blocks = (depth + USUAL_DEPTH - 1) / USUAL_DEPTH;
    return (depth + blocks - 1) / blocks;
}

void mmi_onnx_simd_multiply_rows(const struct onnx_simd *simd, const struct onnx_simd_product *p) {
    uint64_t rows = mmi_max_u64(ROWS_FLOATS / mmi_max_u64(p->depth, 1) / 12, 1) * 12;
    for (uint64_t from = 0; from < p->rows; from += rows) {
        struct onnx_simd_product part = *p;
        part.rows = mmi_min_u64(rows, p->rows - from);
        part.a += from * p->a_row;
        part.c += from * p->c_row;
        part.row_bias = p->row_bias ? p->row_bias + from : NULL;
        simd->product(&part);
    }
}

void mmi_onnx_simd_multiply(const struct onnx_simd *simd, const struct onnx_simd_product *p) {
    uint64_t block = mmi_onnx_simd_block(p->depth);
    uint64_t from = 0;
    do { /* a depth of 0 leaves the bias */
        struct onnx_simd_product part = *p;
        part.depth = mmi_min_u64(block, p->depth - from);
        part.a += from * p->a_depth;
        part.b += from * p->b_depth;
        part.add = p->add || from > 0;
        from += block;
        part.activation = from >= p->depth ? p->activation : NULL;
        mmi_onnx_simd_multiply_rows(simd, &part);
    } while (from < p->depth);
}
