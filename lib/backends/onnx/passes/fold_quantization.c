/* SPDX-License-Identifier: Apache-2.0 */

/* Networks that were quantised as exporters write them, with DequantizeLinear and QuantizeLinear
 * around operators on f32, become networks of integer operators. What is left of the
 * DequantizeLinear nodes when nobody reads them any more, `clean` removes. */

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

static mm_status visit(struct onnx_rewrite *rewrite, struct onnx_graph *graph, mm_error *err) {
    for (uint32_t i = 0; i < graph->node_count; i++) {
        struct onnx_node **place = &graph->nodes[i];
        if (mmi_onnx_removed(*place) || (*place)->output_count == 0 ||
            (*place)->outputs[0] == ONNX_NO_VALUE || skip_pair(rewrite, *place)) {
            continue;
        }
        /* Moves first: of equal scales Concat and Where need no arithmetic. */
        MMI_TRY(mmi_onnx_fold_quantized_move(rewrite, place, err));
        MMI_TRY(mmi_onnx_fold_quantized_function(rewrite, place, err));
        MMI_TRY(mmi_onnx_fold_quantized_product(rewrite, place, err));
    }
    return MM_OK;
}

mm_status mmi_onnx_fold_quantization(struct onnx_model *model,
                                     const struct onnx_pass_context *context, mm_error *err) {
    return mmi_onnx_rewrite(model, context, visit, err);
}
