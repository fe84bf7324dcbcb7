/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/operators/channels_last.h>
#include <backends/onnx/operators/panels.h>
#include <backends/onnx/passes/rewrite.h>
#include <base/status.h>

/* A matrix of floats that is plain; NULL: it is none, or packed. */
static const struct onnx_tensor *find_plain(const struct onnx_model *model, uint32_t value) {
    const struct onnx_tensor *matrix =
        value == ONNX_NO_VALUE ? NULL : model->values[value].constant;
    bool plain = matrix && matrix->layout == ONNX_PLAIN && mmi_onnx_has_float_panels(matrix->dtype);
    return plain ? matrix : NULL;
}

/* Linear, or a convolution of more than single channels: input 1 is a matrix to pack. */
static bool multiplies(const struct onnx_model *model, const struct onnx_node *node) {
    if (node->op != &mmi_onnx_op_ChannelsLastConv) {
        return node->op == &mmi_onnx_op_Linear ||
               node->op == &mmi_onnx_op_ChannelsLastConvTranspose;
    }
    const struct onnx_conv *conv = node->params;
    return conv->group == 1 || conv->group != model->values[node->inputs[1]].constant->shape[1];
}

static mm_status visit(struct onnx_rewrite *rewrite, struct onnx_graph *graph, mm_error *err) {
    struct onnx_model *model = rewrite->model;
    for (uint32_t i = 0; i < graph->node_count; i++) {
        const struct onnx_node *node = graph->nodes[i];
        uint32_t value = multiplies(model, node) ? node->inputs[1] : ONNX_NO_VALUE;
        const struct onnx_tensor *matrix = find_plain(model, value);
        if (!matrix) {
            continue; /* another operator, or packed with an earlier one */
        }
        uint32_t panels =
            mmi_onnx_new_panels(model, matrix->dtype, matrix->data, (uint64_t)matrix->shape[0],
                                (uint64_t)matrix->shape[1]);
        if (panels == ONNX_NO_VALUE) {
            return mmi_onnx_no_room(err);
        }
        const struct onnx_use *use = &rewrite->uses.of[value];
        for (uint32_t j = 0; j < use->count; j++) {
            struct onnx_node *user = use->users[j].node;
            if (user && multiplies(model, user) && user->inputs[1] == value) {
                user->inputs[1] = panels;
            }
        }
    }
    return MM_OK;
}

mm_status mmi_onnx_pack(struct onnx_model *model, const struct onnx_pass_context *context,
                        mm_error *err) {
    return mmi_onnx_rewrite(model, context, visit, err);
}
