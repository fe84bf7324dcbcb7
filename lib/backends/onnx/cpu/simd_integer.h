/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_CPU_SIMD_INTEGER_H
#define MMI_BACKENDS_ONNX_CPU_SIMD_INTEGER_H

/* The inner loop of integer products. Pairs of numbers of 16 bits are multiplied and added in one
 * instruction, exactly; that for bytes saturates, and gives other answers. */

#include <backends/onnx/cpu/simd_gemm.h>
#include <backends/onnx/operators/quantized.h>

#if defined(ONNX_VECTOR_AVX512) || defined(ONNX_VECTOR_AVX2)

typedef void (*panel_kernel)(const struct onnx_panel_product *, const int16_t *, const int32_t *,
                             int32_t *);

static void run_panel(const struct onnx_panel_product *p, const panel_kernel kernels[MR_1]) {
    for (uint64_t i = 0; i < p->rows;) {
        uint64_t rows = p->rows - i < MR_1 ? p->rows - i : MR_1;
        kernels[rows - 1](p, p->a + i * p->depth, p->start ? p->start + i : NULL,
                          p->sums + i * ONNX_NR);
        i += rows;
    }
}

static inline int32_t pair_at(const int16_t *from) {
    int32_t pair;
    memcpy(&pair, from, sizeof(pair));
    return pair;
}

#endif

#if defined(ONNX_VECTOR_AVX512)

#define VNNI __attribute__((target(ONNX_AVX512_TARGET ",avx512vnni")))
#define NO_VNNI

static inline __m512i add_products(__m512i sums, __m512i x, __m512i y) {
    return _mm512_add_epi32(sums, _mm512_madd_epi16(x, y));
}
static inline VNNI __m512i add_products_vnni(__m512i sums, __m512i x, __m512i y) {
    return _mm512_dpwssd_epi32(sums, x, y);
}

#define DECLARE_PANEL_SUMS(r, unused) __m512i sums_##r = _mm512_set1_epi32(start ? start[r] : 0);
#define ADD_PRODUCTS(r, add)                                                                       \
    sums_##r = add(sums_##r, _mm512_set1_epi32(pair_at(a[r / 3] + r % 3 * depth + k)), pairs);
#define STORE_PANEL_SUMS(r, unused) _mm512_storeu_si512(sums + r * ONNX_NR, sums_##r);

/* The two lines of a panel lie side by side; the permutation makes pairs of them. */
#define PANEL_KERNEL(rows, name, add, target)                                                      \
    static target void name##_##rows(const struct onnx_panel_product *p, const int16_t *first,     \
                                     const int32_t *start, int32_t *sums) {                        \
        const __m512i order =                                                                      \
            _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7,  \
                             22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);                     \
        const uint64_t depth = p->depth;                                                           \
        const int16_t *const a[] = {first, first + 3 * depth, first + 6 * depth,                   \
                                    first + 9 * depth};                                            \
        const int16_t *b = p->b;                                                                   \
        ROWS_##rows(DECLARE_PANEL_SUMS, 0);                                                        \
        for (uint64_t k = 0; k < depth; k += 2, b += 2 * ONNX_NR) {                                \
            __m512i pairs = _mm512_permutexvar_epi16(order, _mm512_loadu_si512(b));                \
            ROWS_##rows(ADD_PRODUCTS, add)                                                         \
        }                                                                                          \
        ROWS_##rows(STORE_PANEL_SUMS, 0)                                                           \
    }
#define PANEL_ENTRY(rows, name) name##_##rows,

UP_TO_12(PANEL_KERNEL, panel, add_products, NO_VNNI)
UP_TO_12(PANEL_KERNEL, panel_vnni, add_products_vnni, VNNI)

static void panel_i16(const struct onnx_panel_product *p) {
    static const panel_kernel kernels[] = {UP_TO_12(PANEL_ENTRY, panel)};
    run_panel(p, kernels);
}

/* The chain of a row is longer with VNNI: it pays where there are several to go on at once. */
static void panel_i16_vnni(const struct onnx_panel_product *p) {
    static const panel_kernel kernels[] = {UP_TO_12(PANEL_ENTRY, panel_vnni)};
    if (p->rows < 6) {
        panel_i16(p);
    } else {
        run_panel(p, kernels);
    }
}

#elif defined(ONNX_VECTOR_AVX2)

/* The vectors of a panel's two lines are interleaved as unpacking does it: columns 0-3 8-11, and
 * 4-7 12-15. */
#define DECLARE_PANEL_SUMS(r)                                                                      \
    const int16_t *a_##r = a + r * p->depth;                                                       \
    __m256i low_##r = _mm256_set1_epi32(start ? start[r] : 0), high_##r = low_##r;
#define ADD_PRODUCTS(r)                                                                            \
    {                                                                                              \
        __m256i factors = _mm256_set1_epi32(pair_at(a_##r + k));                                   \
        low_##r = _mm256_add_epi32(low_##r, _mm256_madd_epi16(factors, low));                      \
        high_##r = _mm256_add_epi32(high_##r, _mm256_madd_epi16(factors, high));                   \
    }
#define STORE_PANEL_SUMS(r)                                                                        \
    _mm256_storeu_si256((__m256i *)(sums + r * ONNX_NR),                                           \
                        _mm256_permute2x128_si256(low_##r, high_##r, 0x20));                       \
    _mm256_storeu_si256((__m256i *)(sums + r * ONNX_NR + 8),                                       \
                        _mm256_permute2x128_si256(low_##r, high_##r, 0x31));

#define PANEL_KERNEL(rows, name)                                                                   \
    static void name##_##rows(const struct onnx_panel_product *p, const int16_t *a,                \
                              const int32_t *start, int32_t *sums) {                               \
        REPEAT_##rows(DECLARE_PANEL_SUMS);                                                         \
        const int16_t *b = p->b;                                                                   \
        for (uint64_t k = 0; k < p->depth; k += 2, b += 2 * ONNX_NR) {                             \
            __m256i even = _mm256_loadu_si256((const __m256i *)b);                                 \
            __m256i odd = _mm256_loadu_si256((const __m256i *)(b + ONNX_NR));                      \
            __m256i low = _mm256_unpacklo_epi16(even, odd);                                        \
            __m256i high = _mm256_unpackhi_epi16(even, odd);                                       \
            REPEAT_##rows(ADD_PRODUCTS)                                                            \
        }                                                                                          \
        REPEAT_##rows(STORE_PANEL_SUMS)                                                            \
    }
#define PANEL_ENTRY(rows, name) name##_##rows,

UP_TO_6(PANEL_KERNEL, panel)

static void panel_i16(const struct onnx_panel_product *p) {
    static const panel_kernel kernels[] = {UP_TO_6(PANEL_ENTRY, panel)};
    run_panel(p, kernels);
}

#else

static void panel_i16(const struct onnx_panel_product *p) {
    mmi_onnx_multiply_panel_i16(p);
}

#endif

#endif
