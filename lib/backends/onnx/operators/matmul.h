/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_OPERATORS_MATMUL_H
#define MMI_BACKENDS_ONNX_OPERATORS_MATMUL_H

/* MatMul and Gemm are ONNX's. Linear is ours: what passes/pack.c makes of them where the right
 * matrix is a constant.
 *
 *     Linear: x [..., K], w [K, N] as ONNX_PANELS, bias [N] (may be left out), of a w of i8 or i4
 *             scales and zeros (panels.h; zeros may be left out)
 *             -> activation(x w + bias) [..., N], f32 */

#include <backends/onnx/operators/activation.h>
#include <backends/onnx/operators/operator.h>

#define ONNX_NR 16 /* columns of a panel: NR of the GEMM microkernels */

struct onnx_gemm {
    float alpha, beta;
    int32_t trans_a, trans_b;
};
/* gemm: where they are in `type`, with a point behind it. */
#define ONNX_GEMM_LIMITS(type, gemm)                                                               \
    ONNX_FLAG("transA", type, gemm trans_a), ONNX_FLAG("transB", type, gemm trans_b)

struct onnx_linear {
    struct onnx_activation activation;
    int64_t block; /* rows of w that share a scale; 0: there are no scales */
};
enum { ONNX_LINEAR_SCALES = 3, ONNX_LINEAR_ZEROS, ONNX_LINEAR_INPUTS };

/* Bytes of a matrix [K, N] of f32 as panels; UINT64_MAX on overflow. */
uint64_t mmi_onnx_panel_bytes(uint64_t k, uint64_t n);
/* b: [K, N], or [N, K] if `transposed`. */
void mmi_onnx_pack_panels(const float *b, uint64_t k, uint64_t n, bool transposed, float *panels);

#endif
