/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_CPU_PANELS_H
#define MMI_BACKENDS_ONNX_CPU_PANELS_H

/* GEMM by panels of any type: those that are narrow are widened, a block of rows of some panels at
 * a time, into a buffer that stays in the caches, and the microkernels of f32 run on that. */

#include <backends/onnx/cpu/gemm.h>
#include <backends/onnx/operators/panels.h>

/* mmi_onnx_sgemm with b from panel `first` on; p->b and its strides are not looked at. buffer: of
 * mmi_onnx_widened_bytes, aligned to 64, for this call alone. */
void mmi_onnx_sgemm_panels(const struct onnx_simd *simd, const struct onnx_sgemm *p,
                           const struct onnx_panels *b, uint64_t first, float *buffer);
uint64_t mmi_onnx_widened_bytes(int32_t dtype);

#endif
