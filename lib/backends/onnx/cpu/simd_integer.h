/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_CPU_SIMD_INTEGER_H
#define MMI_BACKENDS_ONNX_CPU_SIMD_INTEGER_H

/* The inner loop of integer products. Pairs of numbers of 16 bits are multiplied and added in one
 * instruction, exactly; that for bytes saturates, and gives other answers. */

#include <backends/onnx/operators/quantized.h>

#ifdef ONNX_VECTOR_AVX2

#define PANEL_ROWS 6

/* Of 1 to PANEL_ROWS rows. The vectors of a panel's two lines are interleaved as unpacking does it:
 * columns 0-3 8-11, and 4-7 12-15. */
#define DECLARE_PANEL_SUMS(r)                                                                      \
    const int16_t *a_##r = a + r * p->depth;                                                       \
    __m256i low_##r = _mm256_set1_epi32(start ? start[r] : 0), high_##r = low_##r;
#define ADD_PRODUCTS(r)                                                                            \
    {                                                                                              \
        int32_t pair;                                                                              \
        memcpy(&pair, a_##r + k, sizeof(pair));                                                    \
        __m256i factors = _mm256_set1_epi32(pair);                                                 \
        low_##r = _mm256_add_epi32(low_##r, _mm256_madd_epi16(factors, low));                      \
        high_##r = _mm256_add_epi32(high_##r, _mm256_madd_epi16(factors, high));                   \
    }
#define STORE_PANEL_SUMS(r)                                                                        \
    _mm256_storeu_si256((__m256i *)(sums + r * ONNX_NR),                                           \
                        _mm256_permute2x128_si256(low_##r, high_##r, 0x20));                       \
    _mm256_storeu_si256((__m256i *)(sums + r * ONNX_NR + 8),                                       \
                        _mm256_permute2x128_si256(low_##r, high_##r, 0x31));

#define PANEL_KERNEL(rows)                                                                         \
    static void panel_##rows(const struct onnx_panel_product *p, const int16_t *a,                 \
                             const int32_t *start, int32_t *sums) {                                \
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
PANEL_KERNEL(1)
PANEL_KERNEL(2)
PANEL_KERNEL(3)
PANEL_KERNEL(4)
PANEL_KERNEL(5)
PANEL_KERNEL(6)

static void panel_i16(const struct onnx_panel_product *p) {
    static void (*const kernels[PANEL_ROWS])(const struct onnx_panel_product *, const int16_t *,
                                             const int32_t *, int32_t *) = {
        panel_1, panel_2, panel_3, panel_4, panel_5, panel_6};
    for (uint64_t i = 0; i < p->rows;) {
        uint64_t rows = p->rows - i < PANEL_ROWS ? p->rows - i : PANEL_ROWS;
        kernels[rows - 1](p, p->a + i * p->depth, p->start ? p->start + i : NULL,
                          p->sums + i * ONNX_NR);
        i += rows;
    }
}

#else

static void panel_i16(const struct onnx_panel_product *p) {
    mmi_onnx_multiply_panel_i16(p);
}

#endif

#endif
