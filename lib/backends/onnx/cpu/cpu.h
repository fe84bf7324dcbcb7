/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_CPU_CPU_H
#define MMI_BACKENDS_ONNX_CPU_CPU_H

/* Fast kernels of the CPU: written in vectors, which are those of AVX2 with FMA or, in the same
 * lines of C, whatever else the machine has. */

#include <backends/onnx/operators/operator.h>

/* A kernel that does what op->run does for inputs and outputs of these types and shapes, faster;
 * NULL: there is none. x is as op->infer left it, with the layout of constant inputs;
 * scratch_bytes is what the plain kernel wants and becomes what this one wants. Of the services
 * it reads `threads`, which the run must have too, and cpu_features. */
onnx_kernel mmi_onnx_cpu_kernel(const struct onnx_operator *op, struct onnx_inference *x,
                                const mm_services *services);

#endif
