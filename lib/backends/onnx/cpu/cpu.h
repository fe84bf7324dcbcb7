/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_CPU_CPU_H
#define MMI_BACKENDS_ONNX_CPU_CPU_H

/* Fast CPU kernels, on vectors: AVX2 with FMA or, from the same source, what the compiler has for
 * the machine. */

#include <backends/onnx/operators/operator.h>

/* What the operator's slot for the CPU chooses; NULL: op->run. See onnx_choose. */
static inline onnx_kernel mmi_onnx_cpu_kernel(const struct onnx_operator *op,
                                              struct onnx_inference *x,
                                              const mm_services *services) {
    return op->kernels[ONNX_CPU] ? op->kernels[ONNX_CPU](x, services) : NULL;
}

#endif
