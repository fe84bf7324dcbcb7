/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_STEPS_LIFETIMES_H
#define MMI_BACKENDS_ONNX_STEPS_LIFETIMES_H

/* How long each value is needed in the graph that makes it, and which values of the graphs around
 * it a graph reads. Both follow from the graph alone. */

#include <backends/onnx/graph/graph.h>

struct onnx_lifetime {
    const struct onnx_graph *home; /* the graph that makes it; NULL: a constant, or nobody's */
    /* Nodes of `home` from this one on do not read it, nor do their graphs; 0: nobody does;
     * UINT32_MAX: it is an output of the graph. */
    uint32_t until;
};

/* *lifetimes: [value_count]. Also sets `captures` of every graph. */
mm_status mmi_onnx_find_lifetimes(struct onnx_model *model, struct onnx_arena *arena,
                                  struct onnx_lifetime **lifetimes, mm_error *err);

#endif
