/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_STEPS_COST_H
#define MMI_BACKENDS_ONNX_STEPS_COST_H

/* What one run of a node is worth, by its shapes: for reports, never for choosing a kernel.
 *
 *   flops  products, convolutions, attention, recurrent layers: 2 for each multiply-add, and 1 an
 *          element for an activation that is fused; windows of pools: 1 for each element of each
 *          window; Fused: 1 an element and instruction; what only moves: 0; everything else: 1 for
 *          each element of its largest input or output.
 *   bytes  what is read and written once: all of its inputs and outputs, of what picks elements
 *          (Gather, Slice) as much of its input as comes out. */

#include <backends/onnx/operators/operator.h>

struct onnx_cost {
    uint64_t flops, bytes;
};

struct onnx_costed {
    const struct onnx_operator *op;
    const void *params;
    uint32_t input_count, output_count;
    const struct onnx_tensor *inputs, *outputs; /* dtype MM_DTYPE_NONE: left out */
};
struct onnx_cost mmi_onnx_cost(const struct onnx_costed *x);

#endif
