/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/operators/norm.h>
#include <backends/onnx/passes/batch_norm.h>
#include <base/status.h>

#include <math.h>

/* (x - mean) / sqrt(variance + epsilon) * scale + bias */
bool mmi_onnx_batch_norm_affine(const struct onnx_model *model, const struct onnx_node *node,
                                uint64_t channels, double *scale, double *shift) {
    const struct onnx_batch_norm *params = node->params;
    const float *data[4];
    bool fits =
        node->op == &mmi_onnx_op_BatchNormalization && node->input_count == 5 && !params->training;
    for (uint32_t i = 0; i < 4 && fits; i++) {
        const struct onnx_tensor *constant = mmi_onnx_f32(model, node->inputs[i + 1]);
        fits = constant && constant->elements == channels;
        data[i] = fits ? constant->data : NULL;
    }
    for (uint32_t i = 1; i < node->output_count && fits; i++) {
        fits = node->outputs[i] == ONNX_NO_VALUE;
    }
    for (uint64_t i = 0; i < channels && fits; i++) {
        scale[i] = (double)data[0][i] / sqrt((double)data[3][i] + (double)params->epsilon);
        shift[i] = (double)data[1][i] - (double)data[2][i] * scale[i];
    }
    return fits;
}

/* ---- Decomposition --------------------------------------------------------------------------- */

/* A constant [channels, 1, ...] that broadcasts to an x of this rank. */
static uint32_t add_factor(struct onnx_model *model, const double *numbers, uint64_t channels,
                           uint32_t rank) {
    const int64_t shape[MM_MAX_RANK] = {(int64_t)channels, 1, 1, 1, 1, 1, 1, 1};
    float *to;
    uint32_t value = mmi_onnx_new_f32(model, rank - 1, shape, &to);
    for (uint64_t i = 0; i < channels && value != ONNX_NO_VALUE; i++) {
        to[i] = (float)numbers[i];
    }
    return value;
}

static struct onnx_node *add_node(struct onnx_model *model, const struct onnx_operator *op,
                                  uint32_t x, uint32_t factor) {
    struct onnx_node *node = mmi_onnx_new_node(model, op, 2, 1);
    if (!node || factor == ONNX_NO_VALUE) {
        return NULL;
    }
    node->inputs[0] = x;
    node->inputs[1] = factor;
    return node;
}

/* to[0], to[1]: Mul and Add in its place, which can be fused with other nodes. *done: false if its
 * rank or parameters are not known, or x is not of f32, as these may be all the same. */
static mm_status decompose(struct onnx_rewrite *rewrite, const struct onnx_node *norm,
                           struct onnx_node **to, bool *done, mm_error *err) {
    struct onnx_model *model = rewrite->model;
    const struct onnx_tensor *first = mmi_onnx_constant(model, norm, 1);
    struct onnx_fact x = {.rank = -1};
    uint64_t channels = first ? first->elements : 0;
    if (norm->inputs[0] != ONNX_NO_VALUE) {
        x = rewrite->facts[norm->inputs[0]];
    }
    *done = false;
    if (channels == 0 || x.rank < 2 || x.rank > MM_MAX_RANK || x.dtype != MM_F32) {
        return MM_OK;
    }
    double *scale = mmi_onnx_take(&rewrite->work, channels, sizeof(*scale));
    double *shift = mmi_onnx_take(&rewrite->work, channels, sizeof(*shift));
    if (!scale || !shift) {
        return mmi_onnx_no_room(err);
    }
    if (!mmi_onnx_batch_norm_affine(model, norm, channels, scale, shift)) {
        return MM_OK;
    }
    uint32_t product = mmi_onnx_add_value(model, "");
    to[0] = add_node(model, &mmi_onnx_op_Mul, norm->inputs[0],
                     add_factor(model, scale, channels, (uint32_t)x.rank));
    to[1] = add_node(model, &mmi_onnx_op_Add, product,
                     add_factor(model, shift, channels, (uint32_t)x.rank));
    if (!to[0] || !to[1] || product == ONNX_NO_VALUE) {
        return mmi_onnx_no_room(err);
    }
    to[0]->outputs[0] = product;
    to[1]->outputs[0] = norm->outputs[0];
    *done = true;
    return MM_OK;
}

static mm_status visit(struct onnx_rewrite *rewrite, struct onnx_graph *graph, mm_error *err) {
    uint32_t norms = 0, count = 0;
    for (uint32_t i = 0; i < graph->node_count; i++) {
        norms += graph->nodes[i]->op == &mmi_onnx_op_BatchNormalization;
    }
    if (norms == 0) {
        return MM_OK;
    }
    struct onnx_node **nodes =
        mmi_onnx_take(rewrite->model->arena, (uint64_t)graph->node_count + norms, sizeof(*nodes));
    if (!nodes) {
        return mmi_onnx_no_room(err);
    }
    for (uint32_t i = 0; i < graph->node_count; i++) {
        bool done = false;
        if (graph->nodes[i]->op == &mmi_onnx_op_BatchNormalization) {
            MMI_TRY(decompose(rewrite, graph->nodes[i], nodes + count, &done, err));
        }
        if (done) {
            count += 2;
        } else {
            nodes[count++] = graph->nodes[i];
        }
    }
    graph->nodes = nodes;
    graph->node_count = count;
    return MM_OK;
}

mm_status mmi_onnx_decompose_batch_norm(struct onnx_model *model,
                                        const struct onnx_pass_context *context, mm_error *err) {
    return mmi_onnx_rewrite(model, context, visit, err);
}
