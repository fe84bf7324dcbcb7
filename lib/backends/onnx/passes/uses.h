/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_PASSES_USES_H
#define MMI_BACKENDS_ONNX_PASSES_USES_H

/* Who makes and who uses each value, through the whole model: a branch that uses a value of the
 * graph around it counts. A picture of one moment: a pass that changes nodes keeps what it asks
 * about right, or takes a new one. */

#include <backends/onnx/passes/passes.h>

struct onnx_user {
    struct onnx_node *node; /* NULL: the end of a graph gives it out */
    const struct onnx_graph *graph;
};

struct onnx_use {
    struct onnx_node *maker;        /* NULL: an input, a constant, or nobody */
    const struct onnx_graph *graph; /* of the maker */
    uint32_t position;              /* of the maker in its graph */
    uint32_t count;                 /* users; a node that uses it twice is there twice */
    struct onnx_user *users;        /* [count], in the order of the nodes */
};

struct onnx_uses {
    struct onnx_use *of;        /* [value_count] of the model when the picture was taken */
    struct onnx_graph **graphs; /* all of the model, each after the one around it */
    uint32_t graph_count;
};

mm_status mmi_onnx_count_uses(const struct onnx_model *model, struct onnx_arena *arena,
                              struct onnx_uses *uses, mm_error *err);

/* The node that is the only one to use what `value`'s maker made, once, in the same graph; NULL:
 * there is none. */
struct onnx_node *mmi_onnx_only_user(const struct onnx_uses *uses, uint32_t value);

#endif
