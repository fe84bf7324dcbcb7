/* SPDX-License-Identifier: Apache-2.0 */
/* The SIMD loops for AVX2 and FMA; empty except on x86-64. No compiler flags are needed: vector.h
 * sets the target of the functions. */
#include <backends/onnx/cpu/simd.h>
#include <backends/onnx/operators/number.h>

#ifdef __x86_64__

#define ONNX_VECTOR_AVX2
#include <backends/onnx/cpu/simd_math.h>
#include <backends/onnx/cpu/simd_gemm.h>
#include <backends/onnx/cpu/simd_integer.h>
#include <backends/onnx/cpu/simd_pixels.h>
#include <backends/onnx/cpu/simd_rows.h>
#include <backends/onnx/cpu/simd_spans.h>
#include <backends/onnx/cpu/simd_widen.h>
#include <backends/onnx/cpu/simd_window.h>
#include <backends/onnx/cpu/simd_winograd.h>

const struct onnx_simd mmi_onnx_simd_avx2 = SIMD_TABLE(panel_i16);

#ifdef __clang__
#pragma clang attribute pop
#endif

#endif
