/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_CPU_VECTOR_H
#define MMI_BACKENDS_ONNX_CPU_VECTOR_H

/* A vector of floats and its operations, for simd_*.h. Those are compiled three times: by avx512.c
 * and avx2.c, which define ONNX_VECTOR_AVX512 or ONNX_VECTOR_AVX2 first, and by portable.c for any
 * machine of the target. Include it after all other headers: functions that follow are compiled for
 * these instructions. + - * / and comparisons are the compiler's vector extensions. */

#include <math.h>
#include <stdint.h>
#include <string.h>

/* X(0, ...) to X(n - 1, ...). */
#define FIRST_1(X, ...) X(0, __VA_ARGS__)
#define FIRST_2(X, ...) FIRST_1(X, __VA_ARGS__) X(1, __VA_ARGS__)
#define FIRST_4(X, ...) FIRST_2(X, __VA_ARGS__) X(2, __VA_ARGS__) X(3, __VA_ARGS__)
#define FIRST_8(X, ...)                                                                            \
    FIRST_4(X, __VA_ARGS__)                                                                        \
    X(4, __VA_ARGS__) X(5, __VA_ARGS__) X(6, __VA_ARGS__) X(7, __VA_ARGS__)
#define FIRST_16(X, ...)                                                                           \
    FIRST_8(X, __VA_ARGS__)                                                                        \
    X(8, __VA_ARGS__)                                                                              \
    X(9, __VA_ARGS__)                                                                              \
    X(10, __VA_ARGS__)                                                                             \
    X(11, __VA_ARGS__)                                                                             \
    X(12, __VA_ARGS__) X(13, __VA_ARGS__) X(14, __VA_ARGS__) X(15, __VA_ARGS__)

#if defined(ONNX_VECTOR_AVX512)

#include <immintrin.h>

#define ONNX_AVX512_TARGET "avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl"
#ifdef __clang__
#pragma clang attribute push(__attribute__((target(ONNX_AVX512_TARGET))), apply_to = function)
#else
#pragma GCC target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl")
#endif

#define LANES 16
typedef __m512 vec;
typedef int32_t ivec __attribute__((vector_size(64)));
typedef uint32_t uvec __attribute__((vector_size(64)));

/* X for each vector of 1, 2 or 4 times ONNX_NR floats. */
#define EACH_VECTOR_1 FIRST_1
#define EACH_VECTOR_2 FIRST_2
#define EACH_VECTOR_4 FIRST_4

static inline vec v_set(float x) {
    return _mm512_set1_ps(x);
}
static inline vec v_load(const float *from) {
    return _mm512_loadu_ps(from);
}
static inline void v_store(float *to, vec x) {
    _mm512_storeu_ps(to, x);
}
static inline __mmask16 v_lane_mask(uint64_t count) {
    return (__mmask16)((1u << count) - 1);
}
/* The first `count` lanes; the others are 0, and their memory is not accessed. */
static inline vec v_load_part(const float *from, uint64_t count) {
    return _mm512_maskz_loadu_ps(v_lane_mask(count), from);
}
static inline void v_store_part(float *to, vec x, uint64_t count) {
    _mm512_mask_storeu_ps(to, v_lane_mask(count), x);
}
/* a b + c, rounded once if the machine has FMA. */
static inline vec v_fma(vec a, vec b, vec c) {
    return _mm512_fmadd_ps(a, b, c);
}
/* a < b ? a : b, so b if either is NaN. */
static inline vec v_min(vec a, vec b) {
    return _mm512_min_ps(a, b);
}
static inline vec v_max(vec a, vec b) {
    return _mm512_max_ps(a, b);
}
static inline vec v_sqrt(vec x) {
    return _mm512_sqrt_ps(x);
}
static inline vec v_floor(vec x) {
    return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
}
static inline vec v_ceil(vec x) {
    return _mm512_roundscale_ps(x, _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC);
}
/* Ties to even. */
static inline vec v_round(vec x) {
    return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
static inline vec v_select(ivec mask, vec yes, vec no) {
    return (vec)_mm512_ternarylogic_epi32((__m512i)mask, (__m512i)yes, (__m512i)no, 0xca);
}
static inline float v_sum(vec x) {
    __m256 half = _mm256_add_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1));
    __m128 part = _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
    part = _mm_add_ps(part, _mm_movehl_ps(part, part));
    return _mm_cvtss_f32(_mm_add_ss(part, _mm_movehdup_ps(part)));
}
/* 2 LANES floats: the even and the odd elements. */
static inline void v_unzip(const float *from, vec *even, vec *odd) {
    const __m512i evens =
        _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    const __m512i odds = _mm512_add_epi32(evens, _mm512_set1_epi32(1));
    vec low = v_load(from);
    vec high = v_load(from + LANES);
    *even = _mm512_permutex2var_ps(low, evens, high);
    *odd = _mm512_permutex2var_ps(low, odds, high);
}
/* The inverse: interleaves the lanes of both. */
static inline void v_zip(vec even, vec odd, vec *first, vec *second) {
    const __m512i low = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    const __m512i high = _mm512_add_epi32(low, _mm512_set1_epi32(8));
    *first = _mm512_permutex2var_ps(even, low, odd);
    *second = _mm512_permutex2var_ps(even, high, odd);
}

#elif defined(ONNX_VECTOR_AVX2)

#include <immintrin.h>

#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)
#else
#pragma GCC target("avx2,fma,f16c")
#endif

#define LANES 8
typedef __m256 vec;
typedef int32_t ivec __attribute__((vector_size(32)));
typedef uint32_t uvec __attribute__((vector_size(32)));

/* X for each vector of half of ONNX_NR floats. */
#define HALF_VECTORS FIRST_1
#define EACH_VECTOR_1 FIRST_2
#define EACH_VECTOR_2 FIRST_4
#define EACH_VECTOR_4 FIRST_8

static inline vec v_set(float x) {
    return _mm256_set1_ps(x);
}
static inline vec v_load(const float *from) {
    return _mm256_loadu_ps(from);
}
static inline void v_store(float *to, vec x) {
    _mm256_storeu_ps(to, x);
}
static inline __m256i v_lane_mask(uint64_t count) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)count),
                              _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
static inline vec v_load_part(const float *from, uint64_t count) {
    return _mm256_maskload_ps(from, v_lane_mask(count));
}
static inline void v_store_part(float *to, vec x, uint64_t count) {
    _mm256_maskstore_ps(to, v_lane_mask(count), x);
}
static inline vec v_fma(vec a, vec b, vec c) {
    return _mm256_fmadd_ps(a, b, c);
}
static inline vec v_min(vec a, vec b) {
    return _mm256_min_ps(a, b);
}
static inline vec v_max(vec a, vec b) {
    return _mm256_max_ps(a, b);
}
static inline vec v_sqrt(vec x) {
    return _mm256_sqrt_ps(x);
}
static inline vec v_floor(vec x) {
    return _mm256_floor_ps(x);
}
static inline vec v_ceil(vec x) {
    return _mm256_ceil_ps(x);
}
static inline vec v_round(vec x) {
    return _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
static inline vec v_select(ivec mask, vec yes, vec no) {
    return _mm256_blendv_ps(no, yes, (vec)mask);
}
static inline float v_sum(vec x) {
    __m128 half = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    half = _mm_add_ps(half, _mm_movehl_ps(half, half));
    return _mm_cvtss_f32(_mm_add_ss(half, _mm_movehdup_ps(half)));
}
static inline void v_unzip(const float *from, vec *even, vec *odd) {
    vec low = v_load(from);
    vec high = v_load(from + LANES);
    __m256d evens = _mm256_castps_pd(_mm256_shuffle_ps(low, high, 0x88));
    __m256d odds = _mm256_castps_pd(_mm256_shuffle_ps(low, high, 0xdd));
    *even = _mm256_castpd_ps(_mm256_permute4x64_pd(evens, 0xd8));
    *odd = _mm256_castpd_ps(_mm256_permute4x64_pd(odds, 0xd8));
}
static inline void v_zip(vec even, vec odd, vec *first, vec *second) {
    vec low = _mm256_unpacklo_ps(even, odd);
    vec high = _mm256_unpackhi_ps(even, odd);
    *first = _mm256_permute2f128_ps(low, high, 0x20);
    *second = _mm256_permute2f128_ps(low, high, 0x31);
}

#else

#define LANES 4
#ifdef __aarch64__
#include <arm_neon.h>
typedef float32x4_t vec;
#else
typedef float vec __attribute__((vector_size(16)));
#endif
typedef int32_t ivec __attribute__((vector_size(16)));
typedef uint32_t uvec __attribute__((vector_size(16)));

#define HALF_VECTORS FIRST_2
#define EACH_VECTOR_1 FIRST_4
#define EACH_VECTOR_2 FIRST_8
#define EACH_VECTOR_4 FIRST_16

static inline vec v_set(float x) {
    return (vec){x, x, x, x};
}
static inline vec v_load(const float *from) {
    vec x;
    memcpy(&x, from, sizeof(x));
    return x;
}
static inline void v_store(float *to, vec x) {
    memcpy(to, &x, sizeof(x));
}
static inline vec v_load_part(const float *from, uint64_t count) {
    vec x = {0, 0, 0, 0};
    memcpy(&x, from, count * sizeof(*from));
    return x;
}
static inline void v_store_part(float *to, vec x, uint64_t count) {
    memcpy(to, &x, count * sizeof(*to));
}
static inline vec v_fma(vec a, vec b, vec c) {
#ifdef __aarch64__
    return vfmaq_f32(c, a, b);
#else
    return a * b + c;
#endif
}
static inline vec v_select(ivec mask, vec yes, vec no) {
    return (vec)((mask & (ivec)yes) | (~mask & (ivec)no));
}
static inline vec v_min(vec a, vec b) {
    return v_select(a < b, a, b);
}
static inline vec v_max(vec a, vec b) {
    return v_select(a > b, a, b);
}
static inline vec v_sqrt(vec x) {
    return (vec){sqrtf(x[0]), sqrtf(x[1]), sqrtf(x[2]), sqrtf(x[3])};
}
static inline vec v_floor(vec x) {
    return (vec){floorf(x[0]), floorf(x[1]), floorf(x[2]), floorf(x[3])};
}
static inline vec v_ceil(vec x) {
    return (vec){ceilf(x[0]), ceilf(x[1]), ceilf(x[2]), ceilf(x[3])};
}
static inline vec v_round(vec x) {
    return (vec){rintf(x[0]), rintf(x[1]), rintf(x[2]), rintf(x[3])};
}
static inline float v_sum(vec x) {
    return (x[0] + x[2]) + (x[1] + x[3]);
}
static inline void v_unzip(const float *from, vec *even, vec *odd) {
    *even = (vec){from[0], from[2], from[4], from[6]};
    *odd = (vec){from[1], from[3], from[5], from[7]};
}
static inline void v_zip(vec even, vec odd, vec *first, vec *second) {
    *first = (vec){even[0], odd[0], even[1], odd[1]};
    *second = (vec){even[2], odd[2], even[3], odd[3]};
}

#endif

#endif
