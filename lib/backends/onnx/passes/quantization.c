/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/operators/movement.h>
#include <backends/onnx/operators/quantize.h>
#include <backends/onnx/passes/quantization.h>

#include <math.h>

/* Products and quotients of two such scales are finite, and no denormals. */
#define LEAST_SCALE 1e-12F
#define LARGEST_SCALE 1e12F

/* ---- Scales and zero points ------------------------------------------------------------------ */

float mmi_onnx_scale_at(const struct onnx_quantized *q, uint64_t i) {
    return ((const float *)q->scales->data)[mmi_onnx_is_single(q) ? 0 : i];
}

int32_t mmi_onnx_zero_at(const struct onnx_quantized *q, uint64_t i) {
    return q->zeros ? (int32_t)mmi_onnx_int_at(q->zeros, mmi_onnx_is_single(q) ? 0 : i) : 0;
}

int32_t mmi_onnx_byte_min(int32_t dtype) {
    return dtype == MM_I8 ? INT8_MIN : 0;
}

int32_t mmi_onnx_byte_max(int32_t dtype) {
    return dtype == MM_I8 ? INT8_MAX : UINT8_MAX;
}

bool mmi_onnx_scaled_alike(const struct onnx_quantized *a, const struct onnx_quantized *b) {
    return mmi_onnx_is_single(a) && mmi_onnx_is_single(b) && a->dtype == b->dtype &&
           mmi_onnx_scale_at(a, 0) == mmi_onnx_scale_at(b, 0) &&
           mmi_onnx_zero_at(a, 0) == mmi_onnx_zero_at(b, 0);
}

static bool are_sound(const struct onnx_tensor *scales) {
    const float *at = scales->data;
    bool sound = scales->rank <= 1 && scales->elements > 0;
    for (uint64_t i = 0; sound && i < scales->elements; i++) {
        sound = at[i] >= LEAST_SCALE && at[i] <= LARGEST_SCALE;
    }
    return sound;
}

/* ---- Looking --------------------------------------------------------------------------------- */

struct onnx_node *mmi_onnx_maker(const struct onnx_rewrite *rewrite, uint32_t value) {
    struct onnx_node *maker = value < rewrite->value_count ? rewrite->uses.of[value].maker : NULL;
    return maker && !mmi_onnx_removed(maker) ? maker : NULL;
}

uint32_t mmi_onnx_origin(const struct onnx_rewrite *rewrite, uint32_t value) {
    const struct onnx_node *maker;
    while ((maker = mmi_onnx_maker(rewrite, value)) && maker->op == &mmi_onnx_op_Identity) {
        value = maker->inputs[0];
    }
    return value;
}

/* perm names each axis once: files may say anything. */
static bool is_order(const struct onnx_transpose *transpose, uint32_t rank) {
    uint32_t seen = 0;
    for (uint32_t i = 0; i < transpose->count && i < MM_MAX_RANK; i++) {
        int64_t axis = transpose->perm[i];
        seen |= axis >= 0 && axis < (int64_t)rank ? 1u << axis : 0;
    }
    return transpose->count == 0 || (transpose->count == rank && seen == (1u << rank) - 1);
}

bool mmi_onnx_find_transposed(const struct onnx_transpose *transpose,
                              const struct onnx_tensor *from, struct onnx_tensor *shape) {
    if (!is_order(transpose, from->rank)) {
        return false;
    }
    *shape = *from;
    for (uint32_t i = 0; i < from->rank; i++) {
        shape->shape[i] = from->shape[mmi_onnx_source_axis(transpose, from->rank, i)];
    }
    return true;
}

/* The value that a node of this operator reads to make it; or the value itself. */
static uint32_t behind(const struct onnx_rewrite *rewrite, uint32_t value,
                       const struct onnx_operator *op, const struct onnx_node **node) {
    value = mmi_onnx_origin(rewrite, value);
    *node = mmi_onnx_maker(rewrite, value);
    *node = *node && (*node)->op == op ? *node : NULL;
    return *node ? mmi_onnx_origin(rewrite, (*node)->inputs[0]) : value;
}

bool mmi_onnx_find_shape(const struct onnx_rewrite *rewrite, uint32_t value,
                         struct onnx_tensor *shape) {
    const struct onnx_node *transpose, *quantize;
    value = behind(rewrite, value, &mmi_onnx_op_Transpose, &transpose);
    value = behind(rewrite, value, &mmi_onnx_op_QuantizeLinear, &quantize);
    const struct onnx_tensor *constant =
        value == ONNX_NO_VALUE ? NULL : rewrite->model->values[value].constant;
    if (!constant || constant->elements == 0) {
        return false;
    }
    *shape = *constant;
    return !transpose || mmi_onnx_find_transposed(transpose->params, constant, shape);
}

/* Scale and zero point of either node; the type only where there are zero points. */
static bool read_scale(const struct onnx_rewrite *rewrite, const struct onnx_node *node,
                       struct onnx_quantized *q) {
    const struct onnx_quantization *params = node->params;
    const struct onnx_model *model = rewrite->model;
    *q = (struct onnx_quantized){.scale = mmi_onnx_origin(rewrite, mmi_onnx_input(node, 1)),
                                 .zero = mmi_onnx_origin(rewrite, mmi_onnx_input(node, 2)),
                                 .dtype = MM_DTYPE_NONE,
                                 .axis = params->rule.axis};
    q->scales = mmi_onnx_f32(model, q->scale);
    if (params->rule.block_size != 0 || params->precision != MM_DTYPE_NONE || !q->scales ||
        !are_sound(q->scales)) {
        return false;
    }
    if (q->zero == ONNX_NO_VALUE) {
        return true;
    }
    q->zeros = model->values[q->zero].constant;
    q->dtype = q->zeros ? q->zeros->dtype : MM_DTYPE_NONE;
    return q->zeros && q->zeros->rank <= 1 && q->zeros->elements == q->scales->elements;
}

bool mmi_onnx_find_dequantized(const struct onnx_rewrite *rewrite, uint32_t value,
                               struct onnx_quantized *q) {
    const struct onnx_node *node =
        value == ONNX_NO_VALUE ? NULL : mmi_onnx_maker(rewrite, mmi_onnx_origin(rewrite, value));
    if (!node || node->op != &mmi_onnx_op_DequantizeLinear || !read_scale(rewrite, node, q)) {
        return false;
    }
    const struct onnx_quantization *params = node->params;
    q->value = mmi_onnx_origin(rewrite, node->inputs[0]);
    if (q->value == ONNX_NO_VALUE) {
        return false;
    }
    int32_t known = rewrite->facts[q->value].dtype;
    if (q->dtype == MM_DTYPE_NONE) {
        q->dtype = known;
    }
    return (params->dtype == MM_DTYPE_NONE || params->dtype == MM_F32) &&
           (known == q->dtype || known == MM_DTYPE_NONE) &&
           (mmi_onnx_is_bytes(q) || q->dtype == MM_I32);
}

bool mmi_onnx_read_quantize(const struct onnx_rewrite *rewrite, const struct onnx_node *node,
                            struct onnx_quantized *q) {
    if (node->op != &mmi_onnx_op_QuantizeLinear || node->outputs[0] == ONNX_NO_VALUE ||
        !read_scale(rewrite, node, q)) {
        return false;
    }
    const struct onnx_quantization *params = node->params;
    int32_t given = params->dtype;
    q->value = node->outputs[0];
    if (!q->zeros) {
        q->dtype = given != MM_DTYPE_NONE ? given : MM_U8;
    }
    return mmi_onnx_is_single(q) && mmi_onnx_is_bytes(q) &&
           (given == MM_DTYPE_NONE || given == q->dtype);
}

/* ---- Endings --------------------------------------------------------------------------------- */

/* As a QuantizeLinear does, but for the limits of the type. */
static double quantize(const struct onnx_quantized *q, float value) {
    float quotient = value / mmi_onnx_scale_at(q, 0);
    return (double)rintf(quotient) + mmi_onnx_zero_at(q, 0);
}

/* A limit of Clip; left out: `otherwise`. No number: it is not known. */
static float read_limit(const struct onnx_rewrite *rewrite, const struct onnx_node *node,
                        uint32_t input, float otherwise) {
    uint32_t value = mmi_onnx_input(node, input);
    if (value == ONNX_NO_VALUE) {
        return otherwise;
    }
    const struct onnx_tensor *limit = mmi_onnx_f32(rewrite->model, mmi_onnx_origin(rewrite, value));
    return limit && limit->elements == 1 ? *(const float *)limit->data : NAN;
}

/* What it cuts off would be cut off by the type. */
static bool is_implied(const struct onnx_rewrite *rewrite, const struct onnx_node *limit,
                       const struct onnx_quantized *y) {
    float low = 0, high = INFINITY;
    if (limit->op == &mmi_onnx_op_Clip) {
        low = read_limit(rewrite, limit, 1, -INFINITY);
        high = read_limit(rewrite, limit, 2, INFINITY);
    }
    return quantize(y, low) <= mmi_onnx_byte_min(y->dtype) &&
           quantize(y, high) >= mmi_onnx_byte_max(y->dtype);
}

bool mmi_onnx_find_ending(const struct onnx_rewrite *rewrite, uint32_t value,
                          struct onnx_ending *ending) {
    struct onnx_node *user = mmi_onnx_only_user(&rewrite->uses, value);
    *ending = (struct onnx_ending){0};
    if (user && user->inputs[0] == value &&
        (user->op == &mmi_onnx_op_Relu || user->op == &mmi_onnx_op_Clip) &&
        user->outputs[0] != ONNX_NO_VALUE) {
        ending->limit = user;
        user = mmi_onnx_only_user(&rewrite->uses, user->outputs[0]);
    }
    ending->quantize = user;
    return user && !mmi_onnx_removed(user) && mmi_onnx_read_quantize(rewrite, user, &ending->y) &&
           (!ending->limit || is_implied(rewrite, ending->limit, &ending->y));
}

/* ---- Replacing ------------------------------------------------------------------------------- */

void mmi_onnx_take_ending(const struct onnx_ending *ending, uint32_t *output) {
    *output = ending->y.value;
    mmi_onnx_remove(ending->quantize);
    if (ending->limit) {
        mmi_onnx_remove(ending->limit);
    }
}

uint32_t mmi_onnx_new_byte(struct onnx_model *model, int32_t dtype, int32_t number) {
    struct onnx_tensor tensor;
    uint8_t *data = mmi_onnx_take_data(model->arena, 1);
    if (!data || mmi_onnx_tensor_set(&tensor, dtype, 0, NULL, NULL) != MM_OK) {
        return ONNX_NO_VALUE;
    }
    *data = (uint8_t)number;
    tensor.data = data;
    return mmi_onnx_add_constant(model, &tensor);
}

bool mmi_onnx_put_scale(struct onnx_model *model, const struct onnx_quantized *q,
                        uint32_t *inputs) {
    inputs[0] = q->scale;
    inputs[1] = q->zero == ONNX_NO_VALUE ? mmi_onnx_new_byte(model, q->dtype, 0) : q->zero;
    return inputs[1] != ONNX_NO_VALUE;
}

bool mmi_onnx_put_scaled(struct onnx_model *model, const struct onnx_quantized *q,
                         uint32_t *inputs) {
    inputs[0] = q->value;
    return mmi_onnx_put_scale(model, q, inputs + 1);
}
