/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_PASSES_REWRITE_H
#define MMI_BACKENDS_ONNX_PASSES_REWRITE_H

/* What the passes that replace nodes have in common. */

#include <backends/onnx/operators/operator.h>
#include <backends/onnx/passes/facts.h>
#include <backends/onnx/passes/uses.h>

struct onnx_rewrite {
    struct onnx_model *model;
    const struct onnx_pass_context *context;
    struct onnx_arena work; /* gone after the pass */
    /* As they were before the pass; values that it adds are not in there. */
    struct onnx_uses uses;
    struct onnx_fact *facts;
    uint32_t value_count;
    uint32_t *names; /* what each value is to be called from now on; see mmi_onnx_rename */
};

/* Nodes of one graph. */
typedef mm_status (*onnx_visit)(struct onnx_rewrite *rewrite, struct onnx_graph *graph,
                                mm_error *err);
/* Every graph of the model, outer ones first; then removed nodes are taken out, and values
 * renamed. */
mm_status mmi_onnx_rewrite(struct onnx_model *model, const struct onnx_pass_context *context,
                           onnx_visit visit, mm_error *err);

/* MM_CANCELLED once nobody wants the result any more. */
mm_status mmi_onnx_check_cancelled(const struct onnx_pass_context *context, mm_error *err);
mm_status mmi_onnx_no_room(mm_error *err); /* MM_NO_MEMORY, with its sentence */

/* Whoever uses `value` is to use `instead` after the pass, or what that is renamed to. */
void mmi_onnx_rename(struct onnx_rewrite *rewrite, uint32_t value, uint32_t instead);

/* A node that is to go has no operator until then. */
static inline bool mmi_onnx_removed(const struct onnx_node *node) {
    return !node->op;
}
static inline void mmi_onnx_remove(struct onnx_node *node) {
    node->op = NULL;
}

/* The new nodes of a graph, in its model's arena. */
struct onnx_node_list {
    struct onnx_node **at;
    uint32_t count, capacity;
};
/* node NULL, as what could not be made: false. */
bool mmi_onnx_append_node(struct onnx_model *model, struct onnx_node_list *list,
                          struct onnx_node *node);

/* A node of an operator, in place of `like`. */
struct onnx_node *mmi_onnx_own_node(struct onnx_model *model, const struct onnx_operator *op,
                                    const struct onnx_node *like, uint32_t input_count);

/* Its elements, if the value is a plain constant of f32; else NULL. */
const struct onnx_tensor *mmi_onnx_f32(const struct onnx_model *model, uint32_t value);
/* The plain constant behind a value: its own, or that of f16 or bf16 which a Cast makes f32 of it;
 * else NULL. *of, unless NULL: its value. */
const struct onnx_tensor *mmi_onnx_constant_behind(const struct onnx_rewrite *rewrite,
                                                   uint32_t value, uint32_t *of);
/* A new f32 constant, its data to be filled in: *data has room for the shape. ONNX_NO_VALUE: out of
 * memory. */
uint32_t mmi_onnx_new_f32(struct onnx_model *model, uint32_t rank, const int64_t *shape,
                          float **data);

/* A new constant: a plain matrix [k, n] of this type as panels; i4 in a byte of their own each.
 * ONNX_NO_VALUE: out of memory. */
uint32_t mmi_onnx_new_panels(struct onnx_model *model, int32_t dtype, const void *from, uint64_t k,
                             uint64_t n);

#endif
