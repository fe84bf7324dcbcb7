/* SPDX-License-Identifier: Apache-2.0 */

/* Conv, MatMul and Gemm of what was dequantised, with a quantisation behind them: QLinearConv,
 * QLinearMatMul and QGemm, which multiply the integers. Gemm alone may do without a quantisation:
 * QGemm then makes f32. */

#include <backends/onnx/operators/conv.h>
#include <backends/onnx/operators/matmul.h>
#include <backends/onnx/passes/quantization.h>
#include <base/checked.h>
#include <base/status.h>

#include <math.h>
#include <string.h>

struct product {
    struct onnx_node *node;
    struct onnx_quantized a, b;
    struct onnx_tensor weights; /* shape of b; dtype MM_DTYPE_NONE: it is no constant */
    int64_t channel_axis;       /* of b, from the front */
    uint64_t channels, depth;   /* results of their own scale; terms of a sum; 0: not known */
    double room;                /* what a bias may be so that no sum overflows */
    bool ends;                  /* else it makes f32 */
    struct onnx_ending ending;
    struct onnx_tensor bias;       /* by channel; dtype MM_DTYPE_NONE: there is none */
    struct onnx_quantized bias_of; /* where bias is i32: its scales */
};

static bool has_weights(const struct product *p) {
    return p->weights.dtype != MM_DTYPE_NONE;
}

static bool has_bias(const struct product *p) {
    return p->bias.dtype != MM_DTYPE_NONE;
}

/* ---- Operands -------------------------------------------------------------------------------- */

/* b has one scale, or one for each channel. */
static bool fit_scales(const struct product *p) {
    int64_t axis = p->b.axis + (p->b.axis < 0 ? (int64_t)p->weights.rank : 0);
    return mmi_onnx_is_single(&p->b) ||
           (has_weights(p) && p->b.scales->elements == p->channels && axis == p->channel_axis);
}

/* How far from its zero point an element of q can be. */
static uint64_t reach(const struct onnx_quantized *q) {
    uint64_t most = 0;
    for (uint64_t i = 0; i < q->scales->elements; i++) {
        int32_t zero = mmi_onnx_zero_at(q, i);
        int32_t below = zero - mmi_onnx_byte_min(q->dtype);
        int32_t above = mmi_onnx_byte_max(q->dtype) - zero;
        most = mmi_max_u64(most, (uint64_t)(below > above ? below : above));
    }
    return most;
}

/* Scales and sums of the products are as an integer operator has them. */
static bool fit_products(struct product *p) {
    if (!fit_scales(p)) {
        return false;
    }
    p->room = INT32_MAX - (double)reach(&p->a) * (double)reach(&p->b) * (double)p->depth;
    return p->room >= 0;
}

static bool read_operands(const struct onnx_rewrite *rewrite, struct onnx_node *node,
                          struct product *p) {
    *p = (struct product){.node = node};
    if (!mmi_onnx_find_dequantized(rewrite, mmi_onnx_input(node, 0), &p->a) ||
        !mmi_onnx_find_dequantized(rewrite, mmi_onnx_input(node, 1), &p->b) ||
        !mmi_onnx_is_bytes(&p->a) || !mmi_onnx_is_bytes(&p->b) || !mmi_onnx_is_single(&p->a)) {
        return false;
    }
    if (!mmi_onnx_find_shape(rewrite, p->b.value, &p->weights)) {
        p->weights.dtype = MM_DTYPE_NONE;
    }
    p->ends = mmi_onnx_find_ending(rewrite, node->outputs[0], &p->ending);
    return true;
}

/* ---- The bias -------------------------------------------------------------------------------- */

/* One number for each channel; of Gemm one for all of them, too. */
static bool read_bias(const struct onnx_rewrite *rewrite, struct product *p) {
    uint32_t value = mmi_onnx_input(p->node, 2);
    if (value == ONNX_NO_VALUE) {
        return true;
    }
    bool quantized = mmi_onnx_find_dequantized(rewrite, value, &p->bias_of);
    value = quantized ? p->bias_of.value : mmi_onnx_origin(rewrite, value);
    const struct onnx_tensor *bias = rewrite->model->values[value].constant;
    if (!bias || !has_weights(p) || bias->dtype != (quantized ? MM_I32 : MM_F32)) {
        return false;
    }
    p->bias = *bias;
    uint64_t channels = p->channels, last = bias->rank > 0 ? bias->rank - 1 : 0;
    int64_t axis = p->bias_of.axis + (p->bias_of.axis < 0 ? (int64_t)bias->rank : 0);
    bool gemm = p->node->op == &mmi_onnx_op_Gemm;
    bool each = bias->elements == channels && bias->rank >= 1 && bias->rank <= (gemm ? 2 : 1) &&
                bias->shape[last] == (int64_t)channels;
    if (!each && !(gemm && bias->elements == 1 && bias->rank <= 2)) {
        return false;
    }
    for (uint64_t i = 0; quantized && i < p->bias_of.scales->elements; i++) {
        if (mmi_onnx_zero_at(&p->bias_of, i) != 0) {
            return false;
        }
    }
    return !quantized || mmi_onnx_is_single(&p->bias_of) ||
           (p->bias_of.scales->elements == bias->elements && axis == (int64_t)last);
}

/* In units of the products; as an integer, which is off by a quarter of a quantum of the result at
 * most, or, where that is f32, by no more than f32 itself. */
static bool round_bias(const struct product *p, uint64_t channel, int32_t *to) {
    uint64_t i = p->bias.elements > 1 ? channel : 0;
    float unit = mmi_onnx_scale_at(&p->a, 0) * mmi_onnx_scale_at(&p->b, channel);
    double bias = mmi_onnx_float_at(&p->bias, i);
    if (p->bias.dtype == MM_I32) {
        bias *= (double)mmi_onnx_scale_at(&p->bias_of, i);
    }
    double exact = bias / (double)unit, rounded = rint(exact);
    double slack = 1e-6 * fmax(1, fabs(exact));
    if (p->ends) {
        slack = fmax(slack, 0.25 * (double)mmi_onnx_scale_at(&p->ending.y, 0) / (double)unit);
    }
    if (!(fabs(rounded - exact) <= slack && fabs(rounded) <= p->room)) {
        return false;
    }
    *to = (int32_t)rounded;
    return true;
}

static bool fits_bias(const struct onnx_rewrite *rewrite, struct product *p) {
    int32_t rounded;
    bool fits = read_bias(rewrite, p);
    for (uint64_t i = 0; fits && has_bias(p) && i < p->channels; i++) {
        fits = round_bias(p, i, &rounded);
    }
    return fits;
}

/* A value for it; ONNX_NO_VALUE, where there is one: out of memory. */
static uint32_t make_bias(struct onnx_model *model, const struct product *p) {
    struct onnx_tensor tensor;
    int64_t channels = (int64_t)p->channels;
    if (mmi_onnx_tensor_set(&tensor, MM_I32, 1, &channels, NULL) != MM_OK) {
        return ONNX_NO_VALUE;
    }
    int32_t *to = mmi_onnx_take_data(model->arena, tensor.bytes);
    for (uint64_t i = 0; to && i < p->channels; i++) {
        round_bias(p, i, &to[i]);
    }
    tensor.data = to;
    return to ? mmi_onnx_add_constant(model, &tensor) : ONNX_NO_VALUE;
}

/* ---- Which can be folded --------------------------------------------------------------------- */

static bool read_conv(const struct onnx_rewrite *rewrite, struct product *p) {
    const struct onnx_conv *conv = p->node->params;
    if (!p->ends || !has_weights(p) || p->weights.rank < 3 || p->weights.shape[0] == 0 ||
        conv->activation.function != ONNX_F_NONE) {
        return false;
    }
    p->channels = (uint64_t)p->weights.shape[0];
    p->depth = p->weights.elements / p->channels;
    return fit_products(p) && fits_bias(rewrite, p);
}

static bool read_matmul(const struct onnx_rewrite *rewrite, struct product *p) {
    const struct onnx_tensor *weights = &p->weights;
    if (has_weights(p) && weights->rank == 0) {
        return false;
    }
    if (weights->rank > 1) {
        p->channel_axis = weights->rank - 1;
        p->channels = (uint64_t)weights->shape[p->channel_axis];
        p->depth = (uint64_t)weights->shape[weights->rank - 2];
    } else {
        p->depth = has_weights(p) ? weights->elements : (uint64_t)rewrite->facts[p->a.value].last;
    }
    return p->ends && fit_products(p);
}

static bool read_gemm(const struct onnx_rewrite *rewrite, struct product *p) {
    const struct onnx_gemm *gemm = p->node->params;
    bool adds = mmi_onnx_input(p->node, 2) != ONNX_NO_VALUE;
    if (gemm->alpha != 1 || (adds && gemm->beta != 1) || (has_weights(p) && p->weights.rank != 2)) {
        return false;
    }
    if (has_weights(p)) {
        p->channel_axis = gemm->trans_b ? 0 : 1;
        p->channels = (uint64_t)p->weights.shape[p->channel_axis];
        p->depth = (uint64_t)p->weights.shape[1 - p->channel_axis];
    } else if (!gemm->trans_a) {
        p->depth = (uint64_t)rewrite->facts[p->a.value].last;
    }
    return fit_products(p) && fits_bias(rewrite, p);
}

/* ---- Folding --------------------------------------------------------------------------------- */

/* Where inputs stand; bias 0: there is none. Those before `result` are always there. */
struct places {
    const struct onnx_operator *op;
    bool (*read)(const struct onnx_rewrite *rewrite, struct product *p);
    const struct onnx_operator *folded;
    uint32_t result, bias;
};
static const struct places all_places[] = {
    {&mmi_onnx_op_Conv, read_conv, &mmi_onnx_op_QLinearConv, 6, 8},
    {&mmi_onnx_op_MatMul, read_matmul, &mmi_onnx_op_QLinearMatMul, 6, 0},
    {&mmi_onnx_op_Gemm, read_gemm, &mmi_onnx_op_MsQGemm, 7, 6},
};

static bool put_inputs(struct onnx_model *model, const struct places *at, const struct product *p,
                       struct onnx_node *folded) {
    uint32_t *inputs = folded->inputs;
    for (uint32_t i = 0; i < folded->input_count; i++) {
        inputs[i] = ONNX_NO_VALUE;
    }
    if (has_bias(p)) {
        inputs[at->bias] = make_bias(model, p);
    }
    return (!has_bias(p) || inputs[at->bias] != ONNX_NO_VALUE) &&
           mmi_onnx_put_scaled(model, &p->a, inputs) &&
           mmi_onnx_put_scaled(model, &p->b, inputs + 3) &&
           (!p->ends || mmi_onnx_put_scale(model, &p->ending.y, inputs + at->result));
}

static uint32_t count_inputs(const struct places *at, const struct product *p) {
    uint32_t count = p->ends ? at->result + 2 : 6;
    return has_bias(p) && at->bias + 1 > count ? at->bias + 1 : count;
}

mm_status mmi_onnx_fold_quantized_product(struct onnx_rewrite *rewrite, struct onnx_node **place,
                                          mm_error *err) {
    struct onnx_node *node = *place;
    const struct places *at = all_places, *end = at + sizeof(all_places) / sizeof(all_places[0]);
    struct product p;
    while (at < end && at->op != node->op) {
        at++;
    }
    if (at == end || !read_operands(rewrite, node, &p) || !at->read(rewrite, &p)) {
        return MM_OK;
    }
    struct onnx_node *folded =
        mmi_onnx_own_node(rewrite->model, at->folded, node, count_inputs(at, &p));
    if (!folded || !put_inputs(rewrite->model, at, &p, folded)) {
        return mmi_onnx_no_room(err);
    }
    memcpy(folded->params, node->params, at->folded->params_bytes);
    folded->outputs[0] = node->outputs[0];
    if (p.ends) {
        mmi_onnx_take_ending(&p.ending, &folded->outputs[0]);
    }
    *place = folded;
    return MM_OK;
}
