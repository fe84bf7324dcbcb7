/* SPDX-License-Identifier: Apache-2.0 */

/* Elementwise operators, averages and Softmax between dequantisations and a quantisation become
 * those of com.microsoft that are all of this in one: they compute the same, element by element,
 * without an f32 tensor in between. */

#include <backends/onnx/passes/quantization.h>
#include <base/status.h>

#include <string.h>

/* The parameters of `plain` are the first of `folded`. Inputs: `raw` as they are, then `scaled`
 * with scale and zero point; ANY: as many as there are, behind those of the result. */
#define ANY 0
static const struct function {
    const struct onnx_operator *plain, *folded;
    uint32_t raw, scaled;
} functions[] = {
    {&mmi_onnx_op_Add, &mmi_onnx_op_MsQLinearAdd, 0, 2},
    {&mmi_onnx_op_Mul, &mmi_onnx_op_MsQLinearMul, 0, 2},
    {&mmi_onnx_op_Where, &mmi_onnx_op_MsQLinearWhere, 1, 2},
    {&mmi_onnx_op_Sigmoid, &mmi_onnx_op_MsQLinearSigmoid, 0, 1},
    {&mmi_onnx_op_LeakyRelu, &mmi_onnx_op_MsQLinearLeakyRelu, 0, 1},
    {&mmi_onnx_op_Softmax, &mmi_onnx_op_MsQLinearSoftmax, 0, 1},
    {&mmi_onnx_op_AveragePool, &mmi_onnx_op_MsQLinearAveragePool, 0, 1},
    {&mmi_onnx_op_GlobalAveragePool, &mmi_onnx_op_MsQLinearGlobalAveragePool, 0, 1},
    {&mmi_onnx_op_Concat, &mmi_onnx_op_MsQLinearConcat, 0, ANY},
};

static const struct function *find_function(const struct onnx_operator *op) {
    for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++) {
        if (functions[i].plain == op) {
            return &functions[i];
        }
    }
    return NULL;
}

/* All of one type, each with one scale. */
static bool are_dequantized(const struct onnx_rewrite *rewrite, const struct onnx_node *node,
                            uint32_t first, int32_t dtype) {
    for (uint32_t i = first; i < node->input_count; i++) {
        struct onnx_quantized x;
        if (!mmi_onnx_find_dequantized(rewrite, node->inputs[i], &x) || x.dtype != dtype ||
            !mmi_onnx_is_single(&x)) {
            return false;
        }
    }
    return true;
}

static bool put_inputs(const struct onnx_rewrite *rewrite, const struct function *function,
                       const struct onnx_node *node, const struct onnx_quantized *y,
                       uint32_t *inputs) {
    bool result_first = function->scaled == ANY, put = true;
    if (result_first) {
        put = mmi_onnx_put_scale(rewrite->model, y, inputs);
        inputs += 2;
    }
    for (uint32_t i = 0; i < node->input_count; i++) {
        struct onnx_quantized x;
        if (i < function->raw) {
            *inputs++ = node->inputs[i];
            continue;
        }
        mmi_onnx_find_dequantized(rewrite, node->inputs[i], &x);
        put = put && mmi_onnx_put_scaled(rewrite->model, &x, inputs);
        inputs += 3;
    }
    return put && (result_first || mmi_onnx_put_scale(rewrite->model, y, inputs));
}

mm_status mmi_onnx_fold_quantized_function(struct onnx_rewrite *rewrite, struct onnx_node **place,
                                           mm_error *err) {
    const struct onnx_node *node = *place;
    const struct function *function = find_function(node->op);
    struct onnx_ending ending;
    if (!function || !mmi_onnx_find_ending(rewrite, node->outputs[0], &ending) ||
        !are_dequantized(rewrite, node, function->raw, ending.y.dtype)) {
        return MM_OK;
    }
    uint32_t count = function->raw + 3 * (node->input_count - function->raw) + 2;
    struct onnx_node *folded = mmi_onnx_own_node(rewrite->model, function->folded, node, count);
    if (!folded || !put_inputs(rewrite, function, node, &ending.y, folded->inputs)) {
        return mmi_onnx_no_room(err);
    }
    memcpy(folded->params, node->params, node->op->params_bytes);
    mmi_onnx_take_ending(&ending, &folded->outputs[0]);
    *place = folded;
    return MM_OK;
}
