/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_PASSES_PASSES_H
#define MMI_BACKENDS_ONNX_PASSES_PASSES_H

/* A graph rewritten for speed: fewer nodes, the same results but for rounding. Once, when a model
 * is prepared, before any shape is known; the same graph always becomes the same one.
 *
 * Afterwards a branch may give out a constant, or a value of the graph around it, and so may the
 * main graph a constant or an input. Numbers of values are new. */

#include <backends/onnx/graph/graph.h>

struct onnx_pass_context {
    const mm_services *services;
    bool (*cancelled)(void *ctx); /* NULL: never */
    void *cancelled_ctx;
    /* What folding may add in constants; 0: 1 GiB, or 4 times what there is if that is more */
    uint64_t most_constant_bytes;
};

/* All of them, in this order, on the main graph and every branch. A failure (MM_NO_MEMORY,
 * MM_CANCELLED) leaves a graph that is good for nothing. */
mm_status mmi_onnx_passes(struct onnx_model *model, const struct onnx_pass_context *context,
                          mm_error *err);

/* One after the other, for tests. */

/* Nodes that know all their inputs become constants; an If that knows its condition becomes the
 * nodes of its branch. */
mm_status mmi_onnx_fold(struct onnx_model *model, const struct onnx_pass_context *context,
                        mm_error *err);
/* Nodes that change nothing, nodes and constants that nobody needs, and gaps between the numbers of
 * values go. */
mm_status mmi_onnx_clean(struct onnx_model *model, const struct onnx_pass_context *context,
                         mm_error *err);
/* A LayerNormalization that is written out in simpler nodes becomes one. */
mm_status mmi_onnx_find_norms(struct onnx_model *model, const struct onnx_pass_context *context,
                              mm_error *err);
/* MatMul and Gemm by a constant matrix become Linear, for now with a plain matrix. */
mm_status mmi_onnx_make_linear(struct onnx_model *model, const struct onnx_pass_context *context,
                               mm_error *err);
/* What multiplies or shifts the results of Conv, ConvTranspose and Linear by channel goes into
 * their weights. */
mm_status mmi_onnx_scale(struct onnx_model *model, const struct onnx_pass_context *context,
                         mm_error *err);
/* A BatchNormalization that is left becomes Mul and Add. */
mm_status mmi_onnx_split_norms(struct onnx_model *model, const struct onnx_pass_context *context,
                               mm_error *err);
/* What is done to each result of Conv, ConvTranspose and Linear goes into their onnx_activation. */
mm_status mmi_onnx_activate_nodes(struct onnx_model *model, const struct onnx_pass_context *context,
                                  mm_error *err);
/* Matrices of Linear become panels. */
mm_status mmi_onnx_pack(struct onnx_model *model, const struct onnx_pass_context *context,
                        mm_error *err);
/* What is left of elementwise nodes on f32 becomes Fused. */
mm_status mmi_onnx_fuse(struct onnx_model *model, const struct onnx_pass_context *context,
                        mm_error *err);

#endif
