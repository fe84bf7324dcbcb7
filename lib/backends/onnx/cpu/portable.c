/* SPDX-License-Identifier: Apache-2.0 */
/* The SIMD loops for the baseline of the architecture. */
#include <backends/onnx/operators/number.h>

#include <backends/onnx/cpu/simd_math.h>
#include <backends/onnx/cpu/simd_gemm.h>
#include <backends/onnx/cpu/simd_integer.h>
#include <backends/onnx/cpu/simd_pixels.h>
#include <backends/onnx/cpu/simd_rows.h>
#include <backends/onnx/cpu/simd_spans.h>
#include <backends/onnx/cpu/simd_widen.h>
#include <backends/onnx/cpu/simd_window.h>
#include <backends/onnx/cpu/simd_winograd.h>

const struct onnx_simd mmi_onnx_simd_portable = SIMD_TABLE(panel_i16);

const struct onnx_simd *mmi_onnx_simd(uint64_t cpu_features) {
#ifdef __x86_64__
    bool avx512 = cpu_features & MM_CPU_AVX512, vnni = cpu_features & MM_CPU_AVX512_VNNI;
    return avx512 && vnni               ? &mmi_onnx_simd_avx512_vnni
           : avx512                     ? &mmi_onnx_simd_avx512
           : cpu_features & MM_CPU_AVX2 ? &mmi_onnx_simd_avx2
                                        : &mmi_onnx_simd_portable;
#else
    (void)cpu_features;
    return &mmi_onnx_simd_portable;
#endif
}
