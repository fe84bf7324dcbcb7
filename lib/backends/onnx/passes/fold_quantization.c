/* SPDX-License-Identifier: Apache-2.0 */

/* Networks that were quantised as exporters write them, with DequantizeLinear and QuantizeLinear
 * around operators on f32, become networks of integer operators. What is left of the
 * DequantizeLinear nodes when nobody reads them any more, `clean` removes. */

#include <backends/onnx/operators/movement.h>
#include <backends/onnx/operators/quantize.h>
#include <backends/onnx/passes/quantization.h>
#include <base/status.h>

/* Dequantised and quantised by the same numbers it is what it was. */
static bool skip_pair(struct onnx_rewrite *rewrite, struct onnx_node *node) {
    struct onnx_quantized x, y;
    if (!mmi_onnx_read_quantize(rewrite, node, &y) ||
        !mmi_onnx_find_dequantized(rewrite, node->inputs[0], &x) ||
        !mmi_onnx_scaled_alike(&x, &y)) {
        return false;
    }
    mmi_onnx_rename(rewrite, y.value, x.value);
    mmi_onnx_remove(node);
    return true;
}

/* A Transpose that alone reads dequantised weights. */
static bool turns_weights(const struct onnx_rewrite *rewrite, const struct onnx_node *node,
                          struct onnx_quantized *w, struct onnx_tensor *shape) {
    struct onnx_tensor turned;
    if (node->op != &mmi_onnx_op_Transpose || node->inputs[0] == ONNX_NO_VALUE) {
        return false;
    }
    const struct onnx_node *maker = mmi_onnx_maker(rewrite, node->inputs[0]);
    return maker && maker->op == &mmi_onnx_op_DequantizeLinear &&
           mmi_onnx_only_user(&rewrite->uses, node->inputs[0]) == node &&
           mmi_onnx_find_dequantized(rewrite, node->inputs[0], w) && mmi_onnx_is_bytes(w) &&
           mmi_onnx_find_shape(rewrite, w->value, shape) &&
           mmi_onnx_find_transposed(node->params, shape, &turned);
}

/* Where an axis is after the Transpose. */
static bool turn_axis(const struct onnx_transpose *transpose, uint32_t rank, int64_t *axis) {
    uint32_t from, to = 0;
    if (!mmi_onnx_axis(*axis, rank, &from)) {
        return false;
    }
    while (mmi_onnx_source_axis(transpose, rank, to) != from) {
        to++;
    }
    *axis = to;
    return true;
}

/* Weights that are transposed after they were dequantised: the other way round, so that whoever
 * multiplies by them finds their scales. The two nodes change places, and the value between them
 * becomes integers. */
static void turn_weights(struct onnx_rewrite *rewrite, struct onnx_node *second) {
    struct onnx_quantized w;
    struct onnx_tensor shape;
    if (!turns_weights(rewrite, second, &w, &shape)) {
        return;
    }
    uint32_t between = second->inputs[0], result = second->outputs[0];
    struct onnx_node *first = mmi_onnx_maker(rewrite, between);
    struct onnx_quantization *params = first->params;
    if (!turn_axis(second->params, shape.rank, &params->rule.axis) && !mmi_onnx_is_single(&w)) {
        return;
    }
    const struct onnx_node dequantize = *first;
    *first = *second;
    *second = dequantize;
    first->inputs[0] = w.value;
    first->outputs[0] = second->inputs[0] = between;
    second->outputs[0] = result;
    rewrite->facts[between] = rewrite->facts[result];
    rewrite->facts[between].dtype = w.dtype;
}

static mm_status visit(struct onnx_rewrite *rewrite, struct onnx_graph *graph, mm_error *err) {
    for (uint32_t i = 0; i < graph->node_count; i++) {
        struct onnx_node **place = &graph->nodes[i];
        if (mmi_onnx_removed(*place) || (*place)->output_count == 0 ||
            (*place)->outputs[0] == ONNX_NO_VALUE || skip_pair(rewrite, *place)) {
            continue;
        }
        /* Moves first: of equal scales Concat and Where need no arithmetic. */
        MMI_TRY(mmi_onnx_fold_quantized_move(rewrite, place, err));
        turn_weights(rewrite, *place);
        MMI_TRY(mmi_onnx_fold_quantized_function(rewrite, place, err));
        MMI_TRY(mmi_onnx_fold_quantized_product(rewrite, place, err));
    }
    return MM_OK;
}

mm_status mmi_onnx_fold_quantization(struct onnx_model *model,
                                     const struct onnx_pass_context *context, mm_error *err) {
    return mmi_onnx_rewrite(model, context, visit, err);
}
