/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/operators/operator.h>
#include <backends/onnx/cpu/simd.h>

static mm_status run(const struct onnx_call *call, mm_error *err) {
    const struct onnx_simd *simd = mmi_onnx_simd(call->services->cpu_features);
    return mmi_onnx_run_program(call, simd->instruction, err);
}

onnx_kernel mmi_onnx_cpu_Fused(struct onnx_inference *x, const mm_services *services) {
    (void)x;
    (void)services;
    return run;
}
