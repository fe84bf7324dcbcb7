/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/passes/passes.h>
#include <base/status.h>

mm_status mmi_onnx_passes(struct onnx_model *model, const struct onnx_pass_context *context,
                          mm_error *err) {
    static mm_status (*const passes[])(struct onnx_model *, const struct onnx_pass_context *,
                                       mm_error *) = {
        mmi_onnx_fold,  mmi_onnx_clean,       mmi_onnx_find_norms,     mmi_onnx_make_linear,
        mmi_onnx_scale, mmi_onnx_split_norms, mmi_onnx_activate_nodes, mmi_onnx_pack,
        mmi_onnx_fuse,  mmi_onnx_clean,
    };
    for (size_t i = 0; i < sizeof(passes) / sizeof(passes[0]); i++) {
        MMI_TRY(passes[i](model, context, err));
    }
    return MM_OK;
}
