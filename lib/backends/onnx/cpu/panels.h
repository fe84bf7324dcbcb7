/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_CPU_PANELS_H
#define MMI_BACKENDS_ONNX_CPU_PANELS_H

/* GEMM by panels of any type: those that are narrow are widened, a block of rows at a time, into a
 * buffer in the L1 cache, and the microkernels of f32 run on that. */

#include <backends/onnx/cpu/gemm.h>
#include <backends/onnx/operators/panels.h>

/* mmi_onnx_sgemm with b from panel `first` on; p->b and its strides are not looked at. */
void mmi_onnx_sgemm_panels(const struct onnx_simd *simd, const struct onnx_sgemm *p,
                           const struct onnx_panels *b, uint64_t first);

#endif
