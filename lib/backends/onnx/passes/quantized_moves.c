/* SPDX-License-Identifier: Apache-2.0 */

/* What only moves elements, or takes the largest, does with the integers themselves what it does
 * with what they stand for, if what comes out has the same scale. */

#include <backends/onnx/operators/movement.h>
#include <backends/onnx/passes/quantization.h>
#include <base/status.h>

#include <math.h>
#include <string.h>

/* Which inputs are elements: `count` from `first` on; 0: all of them. MaxPool's second output has
 * none; of Split all have. */
static const struct mover {
    const struct onnx_operator *op;
    uint32_t first, count;
} movers[] = {
    {&mmi_onnx_op_Concat, 0, 0},       {&mmi_onnx_op_Where, 1, 2},
    {&mmi_onnx_op_Reshape, 0, 1},      {&mmi_onnx_op_Flatten, 0, 1},
    {&mmi_onnx_op_Squeeze, 0, 1},      {&mmi_onnx_op_Unsqueeze, 0, 1},
    {&mmi_onnx_op_Identity, 0, 1},     {&mmi_onnx_op_Transpose, 0, 1},
    {&mmi_onnx_op_Slice, 0, 1},        {&mmi_onnx_op_Gather, 0, 1},
    {&mmi_onnx_op_Expand, 0, 1},       {&mmi_onnx_op_Tile, 0, 1},
    {&mmi_onnx_op_DepthToSpace, 0, 1}, {&mmi_onnx_op_SpaceToDepth, 0, 1},
    {&mmi_onnx_op_MaxPool, 0, 1},      {&mmi_onnx_op_Pad, 0, 1},
    {&mmi_onnx_op_Split, 0, 1},
};

static const struct mover *find_mover(const struct onnx_operator *op) {
    for (size_t i = 0; i < sizeof(movers) / sizeof(movers[0]); i++) {
        if (movers[i].op == op) {
            return &movers[i];
        }
    }
    return NULL;
}

/* ---- Pad ------------------------------------------------------------------------------------- */

/* The integer that stands for the number that Pad puts around. false: it is not known, or none
 * stands for just that. */
static bool quantize_padding(const struct onnx_rewrite *rewrite, const struct onnx_node *node,
                             const struct onnx_quantized *x, int32_t *to) {
    const struct onnx_pad *pad = node->params;
    uint32_t given = mmi_onnx_input(node, 2);
    float value = pad->value;
    if (given != ONNX_NO_VALUE) {
        const struct onnx_tensor *constant =
            mmi_onnx_f32(rewrite->model, mmi_onnx_origin(rewrite, given));
        value = constant && constant->elements == 1 ? *(const float *)constant->data : NAN;
    }
    float scale = mmi_onnx_scale_at(x, 0);
    double zero = mmi_onnx_zero_at(x, 0), integer = rint((double)(value / scale));
    if (!(integer + zero >= mmi_onnx_byte_min(x->dtype) &&
          integer + zero <= mmi_onnx_byte_max(x->dtype))) {
        return false;
    }
    *to = (int32_t)(integer + zero);
    return (float)integer * scale == value;
}

static mm_status pad_integers(struct onnx_rewrite *rewrite, struct onnx_node *node,
                              const struct onnx_quantized *x, bool *can, mm_error *err) {
    const struct onnx_pad *pad = node->params;
    uint32_t padding = ONNX_NO_VALUE;
    int32_t number;
    if (pad->mode == ONNX_PAD_CONSTANT) {
        *can = quantize_padding(rewrite, node, x, &number);
        if (!*can) {
            return MM_OK;
        }
        padding = mmi_onnx_new_byte(rewrite->model, x->dtype, number);
        if (padding == ONNX_NO_VALUE) {
            return mmi_onnx_no_room(err);
        }
    }
    uint32_t count = node->input_count > 3 ? node->input_count : 3;
    uint32_t *inputs = mmi_onnx_take(rewrite->model->arena, count, sizeof(*inputs));
    if (!inputs) {
        return mmi_onnx_no_room(err);
    }
    memcpy(inputs, node->inputs, node->input_count * sizeof(*inputs));
    inputs[2] = padding;
    node->inputs = inputs;
    node->input_count = count;
    return MM_OK;
}

/* ---- All of them ----------------------------------------------------------------------------- */

/* Outputs of elements that somebody uses: each is quantised as x was dequantised. */
static bool end_alike(const struct onnx_rewrite *rewrite, const struct onnx_node *node,
                      uint32_t outputs, const struct onnx_quantized *x) {
    struct onnx_ending ending;
    for (uint32_t i = 0; i < outputs; i++) {
        uint32_t output = node->outputs[i];
        if (output != ONNX_NO_VALUE && rewrite->uses.of[output].count > 0 &&
            (!mmi_onnx_find_ending(rewrite, output, &ending) ||
             !mmi_onnx_scaled_alike(x, &ending.y))) {
            return false;
        }
    }
    return true;
}

static bool begin_alike(const struct onnx_rewrite *rewrite, const struct onnx_node *node,
                        uint32_t first, uint32_t end, struct onnx_quantized *x) {
    struct onnx_quantized other;
    bool alike = mmi_onnx_find_dequantized(rewrite, node->inputs[first], x);
    for (uint32_t i = first; alike && i < end; i++) {
        alike = mmi_onnx_find_dequantized(rewrite, node->inputs[i], &other) &&
                mmi_onnx_scaled_alike(x, &other);
    }
    return alike;
}

mm_status mmi_onnx_fold_quantized_move(struct onnx_rewrite *rewrite, struct onnx_node **place,
                                       mm_error *err) {
    struct onnx_node *node = *place;
    const struct mover *mover = find_mover(node->op);
    struct onnx_ending ending;
    struct onnx_quantized x;
    if (!mover) {
        return MM_OK;
    }
    uint32_t end = mover->count > 0 ? mover->first + mover->count : node->input_count;
    uint32_t outputs = node->op == &mmi_onnx_op_Split ? node->output_count : 1;
    if (!begin_alike(rewrite, node, mover->first, end, &x) || !mmi_onnx_is_bytes(&x) ||
        !end_alike(rewrite, node, outputs, &x)) {
        return MM_OK;
    }
    bool can = true;
    if (node->op == &mmi_onnx_op_Pad) {
        MMI_TRY(pad_integers(rewrite, node, &x, &can, err));
    }
    for (uint32_t i = mover->first; can && i < end; i++) {
        mmi_onnx_find_dequantized(rewrite, node->inputs[i], &x);
        node->inputs[i] = x.value;
    }
    for (uint32_t i = 0; can && i < outputs; i++) {
        if (node->outputs[i] != ONNX_NO_VALUE &&
            mmi_onnx_find_ending(rewrite, node->outputs[i], &ending)) {
            mmi_onnx_take_ending(&ending, &node->outputs[i]);
        }
    }
    return MM_OK;
}
