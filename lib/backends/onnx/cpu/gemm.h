/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_CPU_GEMM_H
#define MMI_BACKENDS_ONNX_CPU_GEMM_H

/* GEMM in blocks that stay in the caches. */

#include <backends/onnx/cpu/simd.h>

/* Estimated time on one thread. */
static inline double mmi_onnx_sgemm_ns(uint64_t m, uint64_t n, uint64_t k) {
    return (double)m * (double)n * (double)k / 40;
}
/* Block size kc along k: a panel of B of kc rows stays in the L1 cache. */
uint64_t mmi_onnx_sgemm_kc(uint64_t k);
/* p->k is at most kc: blocks along m only. */
void mmi_onnx_sgemm_block(const struct onnx_simd *simd, const struct onnx_sgemm *p);
/* Any k. */
void mmi_onnx_sgemm(const struct onnx_simd *simd, const struct onnx_sgemm *p);

#endif
