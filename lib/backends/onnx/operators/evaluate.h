/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_OPERATORS_EVALUATE_H
#define MMI_BACKENDS_ONNX_OPERATORS_EVALUATE_H

/* A node computed on the spot by its plain kernel: for constants that are folded, for shapes
 * that are computed from shapes, and for tests. */

#include <backends/onnx/operators/execution.h>

/* Infer shapes only: checks counts of inputs, calls op->infer, finishes the outputs. */
mm_status mmi_onnx_infer(const struct onnx_operator *op, struct onnx_inference *x, mm_error *err);

/* All inputs known and plain; outputs [x->output_count] get dtype, shape and data in `arena`. Fails
 * with MM_TOO_LARGE, and computes nothing, if the outputs have more than max_bytes together. */
mm_status mmi_onnx_evaluate(const struct onnx_operator *op, struct onnx_inference *x,
                            struct onnx_arena *arena, uint64_t max_bytes,
                            const mm_services *services, mm_error *err);

/* The same for a node without graphs whose results only a run knows, as `execute` makes them. Also
 * MM_TOO_LARGE if they are not all tensors. */
mm_status mmi_onnx_evaluate_dynamic(const struct onnx_node *node, struct onnx_inference *x,
                                    struct onnx_arena *arena, uint64_t max_bytes,
                                    const mm_services *services, mm_error *err);

#endif
