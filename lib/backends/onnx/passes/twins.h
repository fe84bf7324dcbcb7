/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_PASSES_TWINS_H
#define MMI_BACKENDS_ONNX_PASSES_TWINS_H

/* Values [N, C, ...] of a graph that have a twin [N, ..., C]. Either is there first; the other is
 * made by a Transpose, once, where a node asks for it. */

#include <backends/onnx/passes/rewrite.h>

struct onnx_twins {
    struct onnx_rewrite *rewrite;
    const struct onnx_graph *graph;
    uint32_t *of;                /* [rewrite->value_count]; ONNX_NO_VALUE: there is none (yet) */
    bool *pending;               /* [rewrite->value_count]: there is nothing but the twin */
    struct onnx_node_list nodes; /* of the graph, from now on */
};

static inline int32_t mmi_onnx_rank_of(const struct onnx_twins *twins, uint32_t value) {
    return twins->rewrite->facts[value].rank;
}
/* Where axis i of [N, C, ...] is in [N, ..., C]. */
static inline int64_t mmi_onnx_last_axis(int64_t axis, int32_t rank) {
    return axis == 0 ? 0 : axis == 1 ? rank - 1 : axis - 1;
}
/* A value that was there before the pass. */
static inline bool mmi_onnx_is_old_value(const struct onnx_twins *twins, uint32_t value) {
    return value != ONNX_NO_VALUE && value < twins->rewrite->value_count;
}
static inline uint32_t mmi_onnx_twin_of(const struct onnx_twins *twins, uint32_t value) {
    return mmi_onnx_is_old_value(twins, value) ? twins->of[value] : ONNX_NO_VALUE;
}

/* false, here and below: out of memory. `like`: who asks. */
bool mmi_onnx_need_plain(struct onnx_twins *twins, uint32_t value, const struct onnx_node *like);
bool mmi_onnx_need_twin(struct onnx_twins *twins, uint32_t value, const struct onnx_node *like,
                        uint32_t *twin);
/* A new value that is the twin of `value`, which nobody has made so far. */
bool mmi_onnx_make_twin(struct onnx_twins *twins, uint32_t value, uint32_t *twin);
/* Behind the node that has made twins of these: graphs in nodes know the file's order alone. */
bool mmi_onnx_made_twins(struct onnx_twins *twins, const uint32_t *values, uint32_t count,
                         const struct onnx_node *node);
/* A constant with as many axes as an image of this rank, channels last. *to stays what it is where
 * there is nothing to move. */
bool mmi_onnx_move_constant(struct onnx_twins *twins, uint32_t value, int32_t rank, uint32_t *to);

#endif
