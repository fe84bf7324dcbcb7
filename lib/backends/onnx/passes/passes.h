/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_PASSES_PASSES_H
#define MMI_BACKENDS_ONNX_PASSES_PASSES_H

/* Passes rewrite a graph for speed: fewer nodes, the same results but for rounding. They run once,
 * when a model is prepared, before any shape is known, and are deterministic.
 *
 * Afterwards an output of the main graph may be a constant or an input, and one of a branch may be
 * a constant or a value of the graph around it. Values are numbered anew. */

#include <backends/onnx/graph/graph.h>

struct onnx_pass_context {
    const mm_services *services;
    bool (*cancelled)(void *ctx); /* NULL: never */
    void *cancelled_ctx;
    /* Constant folding adds at most this; 0: 1 GiB, or 4 times the constants of the file if more */
    uint64_t max_constant_bytes;
    bool no_winograd; /* convolutions add up products alone */
};

/* All passes, in this order, on the main graph and every branch. After a failure (MM_NO_MEMORY,
 * MM_CANCELLED) the graph can only be freed. */
mm_status mmi_onnx_passes(struct onnx_model *model, const struct onnx_pass_context *context,
                          mm_error *err);

/* Single passes, for tests. */

/* What is computed in f16 or bf16 is computed in f32, and rounded once. */
mm_status mmi_onnx_widen_graph(struct onnx_model *model, const struct onnx_pass_context *context,
                               mm_error *err);
/* What stands between DequantizeLinear and QuantizeLinear becomes integer operators. */
mm_status mmi_onnx_fold_quantization(struct onnx_model *model,
                                     const struct onnx_pass_context *context, mm_error *err);
/* Nodes whose inputs are all constant become constants; an If with a constant condition becomes
 * the nodes of its branch. */
mm_status mmi_onnx_fold_constants(struct onnx_model *model, const struct onnx_pass_context *context,
                                  mm_error *err);
/* Removes nodes that change nothing, nodes and constants that are not used, and gaps in the
 * numbering of values. */
mm_status mmi_onnx_clean(struct onnx_model *model, const struct onnx_pass_context *context,
                         mm_error *err);
/* The nodes of a decomposed LayerNormalization become one node. */
mm_status mmi_onnx_fuse_layer_norm(struct onnx_model *model,
                                   const struct onnx_pass_context *context, mm_error *err);
/* MatMul and Gemm by a constant matrix, also one that is dequantised, and MatMulNBits become
 * Linear, whose matrix, unless it is of integers, is not packed yet. */
mm_status mmi_onnx_make_linear(struct onnx_model *model, const struct onnx_pass_context *context,
                               mm_error *err);
/* Constants that multiply or are added to the results of Conv, ConvTranspose and Linear, by
 * channel, go into their weights and bias; BatchNormalization too. */
mm_status mmi_onnx_fold_affine(struct onnx_model *model, const struct onnx_pass_context *context,
                               mm_error *err);
/* Each remaining BatchNormalization becomes Mul and Add. */
mm_status mmi_onnx_decompose_batch_norm(struct onnx_model *model,
                                        const struct onnx_pass_context *context, mm_error *err);
/* Convolutions, and what stands between them, take images whose channels are the last axis. */
mm_status mmi_onnx_make_channels_last(struct onnx_model *model,
                                      const struct onnx_pass_context *context, mm_error *err);
/* Activations after Conv, ConvTranspose and Linear go into their onnx_activation. */
mm_status mmi_onnx_fuse_activations(struct onnx_model *model,
                                    const struct onnx_pass_context *context, mm_error *err);
/* Packs the matrices of Linear into panels. */
mm_status mmi_onnx_pack(struct onnx_model *model, const struct onnx_pass_context *context,
                        mm_error *err);
/* The remaining elementwise nodes on f32 become Fused. */
mm_status mmi_onnx_fuse_elementwise(struct onnx_model *model,
                                    const struct onnx_pass_context *context, mm_error *err);

#endif
