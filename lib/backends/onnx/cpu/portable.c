/* SPDX-License-Identifier: Apache-2.0 */
/* The loops with what every machine of the kind has. */
#include <backends/onnx/cpu/loops_math.h>
#include <backends/onnx/cpu/loops_product.h>
#include <backends/onnx/cpu/loops_rows.h>
#include <backends/onnx/cpu/loops_window.h>

const struct onnx_simd mmi_onnx_simd_portable = LOOPS;

const struct onnx_simd *mmi_onnx_simd(uint64_t cpu_features) {
#ifdef __x86_64__
    return cpu_features & MM_CPU_AVX2 ? &mmi_onnx_simd_avx2 : &mmi_onnx_simd_portable;
#else
    (void)cpu_features;
    return &mmi_onnx_simd_portable;
#endif
}
