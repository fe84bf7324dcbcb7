/* SPDX-License-Identifier: Apache-2.0 */
/* The loops with AVX2 and FMA; on other machines than x86-64: nothing. No flags of the compiler are
 * needed, vector.h says for which machine the functions are. */
#include <backends/onnx/cpu/simd.h>

#ifdef __x86_64__

#define ONNX_VECTOR_AVX2
#include <backends/onnx/cpu/loops_math.h>
#include <backends/onnx/cpu/loops_product.h>
#include <backends/onnx/cpu/loops_rows.h>
#include <backends/onnx/cpu/loops_window.h>

const struct onnx_simd mmi_onnx_simd_avx2 = LOOPS;

#ifdef __clang__
#pragma clang attribute pop
#endif

#endif
