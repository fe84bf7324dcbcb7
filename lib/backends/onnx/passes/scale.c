/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/operators/conv.h>
#include <backends/onnx/passes/norm.h>
#include <base/status.h>

/* A node whose results can be scaled and shifted through its weights. These lie as [groups, deep,
 * per, inner], and make `per` channels of each group. */
struct scalable {
    struct onnx_node *node;
    const struct onnx_tensor *w, *bias; /* bias NULL: none */
    uint64_t channels, inner, per, deep;
    uint32_t behind; /* axes of the result behind that of the channels */
    int32_t rank;    /* axes that the result has at least */
};

/* Results times scale plus shift, by channel. In double, so that only the end rounds. */
struct affine {
    double *scale, *shift; /* [channels] */
    double *operand;       /* [2 * channels]: of what is looked at */
    bool scales;
};

/* ---- What can be scaled ---------------------------------------------------------------------- */

static bool read_weights(const struct onnx_model *model, struct scalable *s) {
    const struct onnx_node *node = s->node;
    s->w = node->input_count > 1 ? mmi_onnx_f32(model, node->inputs[1]) : NULL;
    bool has_bias = node->input_count > 2 && node->inputs[2] != ONNX_NO_VALUE;
    s->bias = has_bias ? mmi_onnx_f32(model, node->inputs[2]) : NULL;
    return s->w && s->w->rank >= 2 && s->w->elements > 0 && (!has_bias || s->bias);
}

/* Conv [M, C / group, ...], ConvTranspose [C, M / group, ...], Linear [K, N]. */
static bool read_scalable(const struct onnx_rewrite *rewrite, struct onnx_node *node,
                          struct scalable *s) {
    bool conv = mmi_onnx_is(node, "Conv"), linear = mmi_onnx_is(node, "Linear");
    *s = (struct scalable){.node = node};
    if (!(conv || linear || mmi_onnx_is(node, "ConvTranspose")) ||
        !read_weights(rewrite->model, s)) {
        return false;
    }
    uint64_t first = (uint64_t)s->w->shape[0], second = (uint64_t)s->w->shape[1];
    uint64_t kernel = s->w->elements / first / second;
    uint64_t groups = linear ? 1 : (uint64_t)((const struct onnx_conv *)node->params)->group;
    if (groups < 1 || first % groups != 0) {
        return false; /* the operator refuses it when it is to run */
    }
    s->inner = conv ? second * kernel : kernel;
    s->per = conv ? first : second;
    s->deep = conv ? 1 : first / groups;
    s->channels = conv ? first : second * groups;
    s->behind = s->w->rank - 2;
    int32_t rank = rewrite->facts[node->outputs[0]].rank;
    s->rank = rank < 1 ? 1 : rank;
    return !s->bias || s->bias->elements == s->channels;
}

/* ---- What scales ----------------------------------------------------------------------------- */

/* The constant as one number for each channel. */
static bool read_operand(const struct scalable *s, const struct onnx_tensor *constant,
                         double *operand) {
    uint32_t rank = constant->rank;
    bool single = constant->elements == 1;
    bool each = rank > s->behind && constant->elements == s->channels &&
                constant->shape[rank - 1 - s->behind] == (int64_t)s->channels;
    if ((int32_t)rank > s->rank || !(single || each)) {
        return false;
    }
    for (uint64_t i = 0; i < s->channels; i++) {
        operand[i] = mmi_onnx_float_at(constant, single ? 0 : i);
    }
    return true;
}

/* Every result times `scale` plus `shift` of its channel; NULL: not times, nothing plus. */
static void compose(const struct scalable *s, struct affine *affine, const double *scale,
                    const double *shift) {
    for (uint64_t i = 0; i < s->channels; i++) {
        affine->scale[i] *= scale ? scale[i] : 1;
        affine->shift[i] = affine->shift[i] * (scale ? scale[i] : 1) + (shift ? shift[i] : 0);
    }
    affine->scales |= scale != NULL;
}

/* Add, Sub, Mul, Div of the result and a constant. */
static bool absorb_arithmetic(const struct onnx_rewrite *rewrite, const struct scalable *s,
                              const struct onnx_node *user, struct affine *affine) {
    bool left = mmi_onnx_constant(rewrite->model, user, 0) != NULL;
    const struct onnx_tensor *constant =
        user->input_count == 2 ? mmi_onnx_f32(rewrite->model, user->inputs[left ? 0 : 1]) : NULL;
    double *operand = affine->operand;
    if (!constant || !read_operand(s, constant, operand)) {
        return false;
    }
    if (mmi_onnx_is(user, "Add")) {
        compose(s, affine, NULL, operand);
        return true;
    }
    if (mmi_onnx_is(user, "Mul")) {
        compose(s, affine, operand, NULL);
        return true;
    }
    bool sub = mmi_onnx_is(user, "Sub");
    if (left || !(sub || mmi_onnx_is(user, "Div"))) {
        return false;
    }
    for (uint64_t i = 0; i < s->channels; i++) {
        operand[i] = sub ? -operand[i] : 1 / operand[i];
    }
    compose(s, affine, sub ? NULL : operand, sub ? operand : NULL);
    return true;
}

/* Its axis 1 must be that of the channels. */
static bool absorb_norm(const struct onnx_rewrite *rewrite, const struct scalable *s,
                        const struct onnx_node *user, struct affine *affine) {
    double *scale = affine->operand, *shift = affine->operand + s->channels;
    if (s->rank != (int32_t)s->behind + 2 ||
        !mmi_onnx_norm_factors(rewrite->model, user, s->channels, scale, shift)) {
        return false;
    }
    compose(s, affine, scale, shift);
    return true;
}

static bool absorb(const struct onnx_rewrite *rewrite, const struct scalable *s,
                   const struct onnx_node *user, struct affine *affine) {
    return mmi_onnx_is(user, "BatchNormalization") ? absorb_norm(rewrite, s, user, affine)
                                                   : absorb_arithmetic(rewrite, s, user, affine);
}

/* ---- New weights ----------------------------------------------------------------------------- */

static uint32_t scale_weights(struct onnx_model *model, const struct scalable *s,
                              const struct affine *affine) {
    float *to;
    uint32_t value = mmi_onnx_new_f32(model, s->w->rank, s->w->shape, &to);
    const float *from = s->w->data;
    uint64_t rows = s->w->elements / s->inner / s->per;
    for (uint64_t row = 0; row < rows && value != ONNX_NO_VALUE; row++) {
        const double *scale = affine->scale + row / s->deep * s->per;
        for (uint64_t i = 0; i < s->per; i++) {
            for (uint64_t j = 0; j < s->inner; j++) {
                *to++ = (float)((double)*from++ * scale[i]);
            }
        }
    }
    return value;
}

static uint32_t shift_bias(struct onnx_model *model, const struct scalable *s,
                           const struct affine *affine) {
    float *to;
    int64_t channels = (int64_t)s->channels;
    uint32_t value = mmi_onnx_new_f32(model, 1, &channels, &to);
    const float *from = s->bias ? s->bias->data : NULL;
    for (uint64_t i = 0; value != ONNX_NO_VALUE && i < s->channels; i++) {
        double before = from ? (double)from[i] * affine->scale[i] : 0;
        to[i] = (float)(before + affine->shift[i]);
    }
    return value;
}

static mm_status apply(struct onnx_model *model, const struct scalable *s,
                       const struct affine *affine, mm_error *err) {
    struct onnx_node *node = s->node;
    uint32_t *inputs = mmi_onnx_take(model->arena, 3, sizeof(*inputs));
    if (!inputs) {
        return mmi_onnx_no_room(err);
    }
    inputs[0] = node->inputs[0];
    inputs[1] = affine->scales ? scale_weights(model, s, affine) : node->inputs[1];
    inputs[2] = shift_bias(model, s, affine);
    node->inputs = inputs;
    node->input_count = 3;
    return inputs[1] == ONNX_NO_VALUE || inputs[2] == ONNX_NO_VALUE ? mmi_onnx_no_room(err) : MM_OK;
}

static mm_status new_affine(struct onnx_rewrite *rewrite, uint64_t channels, struct affine *affine,
                            mm_error *err) {
    affine->scale = mmi_onnx_take(&rewrite->work, channels, sizeof(double));
    affine->shift = mmi_onnx_take(&rewrite->work, channels, sizeof(double));
    affine->operand = mmi_onnx_take(&rewrite->work, channels, 2 * sizeof(double));
    affine->scales = false;
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
        struct scalable s;
        struct affine affine;
        struct onnx_node *node = graph->nodes[i];
        if (mmi_onnx_removed(node) || node->outputs[0] == ONNX_NO_VALUE ||
            !read_scalable(rewrite, node, &s)) {
            continue;
        }
        MMI_TRY(new_affine(rewrite, s.channels, &affine, err));
        bool changed = false;
        struct onnx_node *user;
        while ((user = mmi_onnx_only_user(&rewrite->uses, node->outputs[0])) &&
               absorb(rewrite, &s, user, &affine)) {
            node->outputs[0] = user->outputs[0];
            mmi_onnx_remove(user);
            changed = true;
        }
        if (changed) {
            MMI_TRY(apply(rewrite->model, &s, &affine, err));
        }
    }
    return MM_OK;
}

mm_status mmi_onnx_scale(struct onnx_model *model, const struct onnx_pass_context *context,
                         mm_error *err) {
    return mmi_onnx_rewrite(model, context, visit, err);
}
