/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/passes/passes.h>
#include <base/status.h>

mm_status mmi_onnx_passes(struct onnx_model *model, const struct onnx_pass_context *context,
                          mm_error *err) {
    static mm_status (*const passes[])(struct onnx_model *, const struct onnx_pass_context *,
                                       mm_error *) = {
        mmi_onnx_fold_constants,   mmi_onnx_clean,
        mmi_onnx_fuse_layer_norm,  mmi_onnx_make_linear,
        mmi_onnx_fold_affine,      mmi_onnx_decompose_batch_norm,
        mmi_onnx_fuse_activations, mmi_onnx_pack,
        mmi_onnx_fuse_elementwise, mmi_onnx_clean,
    };
    for (size_t i = 0; i < sizeof(passes) / sizeof(passes[0]); i++) {
        MMI_TRY(passes[i](model, context, err));
    }
    return MM_OK;
}
