/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_CPU_MULTIPLY_H
#define MMI_BACKENDS_ONNX_CPU_MULTIPLY_H

/* Products of matrices in blocks that stay in the caches. */

#include <backends/onnx/cpu/simd.h>

/* Nanoseconds that so many multiplications take. */
static inline double mmi_onnx_simd_ns(uint64_t rows, uint64_t columns, uint64_t depth) {
    return (double)rows * (double)columns * (double)depth / 40;
}
/* Depth of a block: the columns of a panel, or a tile, of that depth stay in the nearest cache. */
uint64_t mmi_onnx_simd_block(uint64_t depth);
/* p->depth is at most a block: blocks of rows only. */
void mmi_onnx_simd_multiply_rows(const struct onnx_simd *simd, const struct onnx_simd_product *p);
/* Any depth. */
void mmi_onnx_simd_multiply(const struct onnx_simd *simd, const struct onnx_simd_product *p);

#endif
