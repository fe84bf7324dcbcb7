/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_CPU_CPU_H
#define MMI_BACKENDS_ONNX_CPU_CPU_H

/* Fast CPU kernels, on vectors: AVX2 with FMA or, from the same source, what the compiler has for
 * the machine. */

#include <backends/onnx/operators/operator.h>

/* A faster kernel than op->run for inputs and outputs of these types and shapes; NULL: none. x is
 * as op->infer left it, with the layout of constant inputs; its scratch_bytes becomes that of the
 * returned kernel. Reads `threads` and cpu_features of the services; both must be the same when the
 * kernel runs. */
onnx_kernel mmi_onnx_cpu_kernel(const struct onnx_operator *op, struct onnx_inference *x,
                                const mm_services *services);

#endif
