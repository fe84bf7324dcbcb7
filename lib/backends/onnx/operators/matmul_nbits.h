/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_OPERATORS_MATMUL_NBITS_H
#define MMI_BACKENDS_ONNX_OPERATORS_MATMUL_NBITS_H

/* MatMulNBits of com.microsoft: x times a matrix [K, N] whose columns lie one after the other, in
 * blocks of `block` numbers of `bits` bits, the first one in the low bits. */

#include <backends/onnx/operators/operator.h>

struct onnx_matmul_nbits {
    int64_t k, n, bits, block;
};
enum {
    ONNX_NBITS_A,
    ONNX_NBITS_B,
    ONNX_NBITS_SCALES,
    ONNX_NBITS_ZERO_POINTS,
    ONNX_NBITS_G_IDX,
    ONNX_NBITS_BIAS,
    ONNX_NBITS_INPUTS
};

/* Of a column. */
static inline uint64_t mmi_onnx_nbits_blocks(const struct onnx_matmul_nbits *p) {
    return (uint64_t)((p->k + p->block - 1) / p->block);
}
/* Bytes of the zero points of a column, where they are packed. */
static inline uint64_t mmi_onnx_nbits_zero_bytes(const struct onnx_matmul_nbits *p) {
    return (mmi_onnx_nbits_blocks(p) * (uint64_t)p->bits + 7) / 8;
}
static inline uint32_t mmi_onnx_nbits_at(const uint8_t *data, uint64_t i, uint32_t bits) {
    uint32_t in_byte = 8 / bits;
    return data[i / in_byte] >> (i % in_byte) * bits & ((1u << bits) - 1);
}

#endif
