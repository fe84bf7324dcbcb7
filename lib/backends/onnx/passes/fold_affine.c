/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/operators/conv.h>
#include <backends/onnx/passes/batch_norm.h>
#include <base/status.h>

#include <math.h>

#include <string.h>

/* A Conv, ConvTranspose or Linear. Its weights are [groups, group_depth, group_channels, inner];
 * group_channels counts the output channels of a group. */
struct layer {
    struct onnx_node *node;
    const struct onnx_tensor *w, *bias; /* bias NULL: none */
    uint64_t channels, inner, group_channels, group_depth;
    uint32_t trailing; /* axes of the result after the channel axis */
    int32_t rank;      /* of the result, at least */
    bool scales;       /* its weights can be multiplied: they are plain f32 */
};

/* result * scale + shift, by channel. In double, so that only the final weights are rounded. */
struct affine {
    double *scale, *shift; /* [channels] */
    double *operand;       /* [2 * channels]: of the node that is folded */
    bool has_scale;
};

/* ---- Layers ---------------------------------------------------------------------------------- */

/* Of weights that are no plain f32 only the shape is of use. */
static const struct onnx_tensor *find_weights(const struct onnx_rewrite *rewrite,
                                              const struct onnx_node *node) {
    const struct onnx_tensor *packed = mmi_onnx_constant(rewrite->model, node, 1);
    return packed && node->op == &mmi_onnx_op_Linear
               ? packed
               : mmi_onnx_constant_behind(rewrite, node->inputs[1], NULL);
}

static bool read_weights(const struct onnx_rewrite *rewrite, struct layer *layer) {
    const struct onnx_model *model = rewrite->model;
    const struct onnx_node *node = layer->node;
    layer->w = node->input_count > 1 ? find_weights(rewrite, node) : NULL;
    layer->scales = layer->w && layer->w == mmi_onnx_f32(model, node->inputs[1]);
    bool has_bias = node->input_count > 2 && node->inputs[2] != ONNX_NO_VALUE;
    layer->bias = has_bias ? mmi_onnx_f32(model, node->inputs[2]) : NULL;
    return layer->w && layer->w->rank >= 2 && layer->w->elements > 0 && (!has_bias || layer->bias);
}

/* Conv [M, C / group, ...], ConvTranspose [C, M / group, ...], Linear [K, N]. */
static bool read_layer(const struct onnx_rewrite *rewrite, struct onnx_node *node,
                       struct layer *layer) {
    bool conv = node->op == &mmi_onnx_op_Conv, linear = node->op == &mmi_onnx_op_Linear;
    *layer = (struct layer){.node = node};
    if (!(conv || linear || node->op == &mmi_onnx_op_ConvTranspose) ||
        !read_weights(rewrite, layer)) {
        return false;
    }
    uint64_t first = (uint64_t)layer->w->shape[0], second = (uint64_t)layer->w->shape[1];
    uint64_t kernel = layer->w->elements / first / second;
    uint64_t groups = linear ? 1 : (uint64_t)((const struct onnx_conv *)node->params)->group;
    if (groups < 1 || first % groups != 0) {
        return false; /* invalid: fails when it runs */
    }
    layer->inner = conv ? second * kernel : kernel;
    layer->group_channels = conv ? first : second;
    layer->group_depth = conv ? 1 : first / groups;
    layer->channels = conv ? first : second * groups;
    layer->trailing = layer->w->rank - 2;
    int32_t rank = rewrite->facts[node->outputs[0]].rank;
    layer->rank = rank < 1 ? 1 : rank;
    return !layer->bias || layer->bias->elements == layer->channels;
}

/* ---- Nodes to fold --------------------------------------------------------------------------- */

/* The constant, broadcast to all channels. What is infinite stays behind the sum: 0 times it is no
 * number. */
static bool read_operand(const struct layer *layer, const struct onnx_tensor *constant,
                         double *operand) {
    uint32_t rank = constant->rank;
    bool single = constant->elements == 1;
    bool each = rank > layer->trailing && constant->elements == layer->channels &&
                constant->shape[rank - 1 - layer->trailing] == (int64_t)layer->channels;
    if ((int32_t)rank > layer->rank || !(single || each)) {
        return false;
    }
    for (uint64_t i = 0; i < layer->channels; i++) {
        operand[i] = mmi_onnx_float_at(constant, single ? 0 : i);
        if (!isfinite(operand[i])) {
            return false;
        }
    }
    return true;
}

/* Appends * scale + shift; NULL: 1, 0. */
static void compose(const struct layer *layer, struct affine *affine, const double *scale,
                    const double *shift) {
    for (uint64_t i = 0; i < layer->channels; i++) {
        affine->scale[i] *= scale ? scale[i] : 1;
        affine->shift[i] = affine->shift[i] * (scale ? scale[i] : 1) + (shift ? shift[i] : 0);
    }
    affine->has_scale |= scale != NULL;
}

/* Add, Sub, Mul or Div with a constant. */
static bool fold_arithmetic(const struct onnx_rewrite *rewrite, const struct layer *layer,
                            const struct onnx_node *user, struct affine *affine) {
    bool left = mmi_onnx_constant(rewrite->model, user, 0) != NULL;
    const struct onnx_tensor *constant =
        user->input_count == 2 ? mmi_onnx_f32(rewrite->model, user->inputs[left ? 0 : 1]) : NULL;
    double *operand = affine->operand;
    if (!constant || !read_operand(layer, constant, operand)) {
        return false;
    }
    if (user->op == &mmi_onnx_op_Add) {
        compose(layer, affine, NULL, operand);
        return true;
    }
    if (user->op == &mmi_onnx_op_Mul && layer->scales) {
        compose(layer, affine, operand, NULL);
        return true;
    }
    bool sub = user->op == &mmi_onnx_op_Sub;
    if (left || !(sub || (user->op == &mmi_onnx_op_Div && layer->scales))) {
        return false;
    }
    for (uint64_t i = 0; i < layer->channels; i++) {
        operand[i] = sub ? -operand[i] : 1 / operand[i];
    }
    compose(layer, affine, sub ? NULL : operand, sub ? operand : NULL);
    return true;
}

/* Axis 1 must be the channel axis. */
static bool fold_batch_norm(const struct onnx_rewrite *rewrite, const struct layer *layer,
                            const struct onnx_node *user, struct affine *affine) {
    double *scale = affine->operand, *shift = affine->operand + layer->channels;
    if (!layer->scales || layer->rank != (int32_t)layer->trailing + 2 ||
        !mmi_onnx_batch_norm_affine(rewrite->model, user, layer->channels, scale, shift)) {
        return false;
    }
    compose(layer, affine, scale, shift);
    return true;
}

static bool fold(const struct onnx_rewrite *rewrite, const struct layer *layer,
                 const struct onnx_node *user, struct affine *affine) {
    return user->op == &mmi_onnx_op_BatchNormalization
               ? fold_batch_norm(rewrite, layer, user, affine)
               : fold_arithmetic(rewrite, layer, user, affine);
}

/* ---- New weights ----------------------------------------------------------------------------- */

static uint32_t scale_weights(struct onnx_model *model, const struct layer *layer,
                              const struct affine *affine) {
    float *to;
    uint32_t value = mmi_onnx_new_f32(model, layer->w->rank, layer->w->shape, &to);
    const float *from = layer->w->data;
    uint64_t rows = layer->w->elements / layer->inner / layer->group_channels;
    for (uint64_t row = 0; row < rows && value != ONNX_NO_VALUE; row++) {
        const double *scale = affine->scale + row / layer->group_depth * layer->group_channels;
        for (uint64_t i = 0; i < layer->group_channels; i++) {
            for (uint64_t j = 0; j < layer->inner; j++) {
                *to++ = (float)((double)*from++ * scale[i]);
            }
        }
    }
    return value;
}

static uint32_t shift_bias(struct onnx_model *model, const struct layer *layer,
                           const struct affine *affine) {
    float *to;
    int64_t channels = (int64_t)layer->channels;
    uint32_t value = mmi_onnx_new_f32(model, 1, &channels, &to);
    const float *from = layer->bias ? layer->bias->data : NULL;
    for (uint64_t i = 0; value != ONNX_NO_VALUE && i < layer->channels; i++) {
        double before = from ? (double)from[i] * affine->scale[i] : 0;
        to[i] = (float)(before + affine->shift[i]);
    }
    return value;
}

static mm_status apply(struct onnx_model *model, const struct layer *layer,
                       const struct affine *affine, mm_error *err) {
    struct onnx_node *node = layer->node;
    uint32_t count = node->input_count > 3 ? node->input_count : 3;
    uint32_t *inputs = mmi_onnx_take(model->arena, count, sizeof(*inputs));
    if (!inputs) {
        return mmi_onnx_no_room(err);
    }
    memcpy(inputs, node->inputs, node->input_count * sizeof(*inputs));
    inputs[1] = affine->has_scale ? scale_weights(model, layer, affine) : node->inputs[1];
    inputs[2] = shift_bias(model, layer, affine);
    node->inputs = inputs;
    node->input_count = count;
    return inputs[1] == ONNX_NO_VALUE || inputs[2] == ONNX_NO_VALUE ? mmi_onnx_no_room(err) : MM_OK;
}

static mm_status new_affine(struct onnx_rewrite *rewrite, uint64_t channels, struct affine *affine,
                            mm_error *err) {
    affine->scale = mmi_onnx_take(&rewrite->work, channels, sizeof(double));
    affine->shift = mmi_onnx_take(&rewrite->work, channels, sizeof(double));
    affine->operand = mmi_onnx_take(&rewrite->work, channels, 2 * sizeof(double));
    affine->has_scale = false;
    if (!affine->scale || !affine->shift || !affine->operand) {
        return mmi_onnx_no_room(err);
    }
    for (uint64_t i = 0; i < channels; i++) {
        affine->scale[i] = 1;
    }
    return MM_OK;
}

static mm_status visit(struct onnx_rewrite *rewrite, struct onnx_graph *graph, mm_error *err) {
    for (uint32_t i = 0; i < graph->node_count; i++) {
        struct layer layer;
        struct affine affine;
        struct onnx_node *node = graph->nodes[i];
        if (mmi_onnx_removed(node) || node->outputs[0] == ONNX_NO_VALUE ||
            !read_layer(rewrite, node, &layer)) {
            continue;
        }
        MMI_TRY(new_affine(rewrite, layer.channels, &affine, err));
        bool changed = false;
        struct onnx_node *user;
        while ((user = mmi_onnx_only_user(&rewrite->uses, node->outputs[0])) &&
               fold(rewrite, &layer, user, &affine)) {
            node->outputs[0] = user->outputs[0];
            mmi_onnx_remove(user);
            changed = true;
        }
        if (changed) {
            MMI_TRY(apply(rewrite->model, &layer, &affine, err));
        }
    }
    return MM_OK;
}

mm_status mmi_onnx_fold_affine(struct onnx_model *model, const struct onnx_pass_context *context,
                               mm_error *err) {
    return mmi_onnx_rewrite(model, context, visit, err);
}
