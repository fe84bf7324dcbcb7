/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_CPU_SIMD_WIDEN_H
#define MMI_BACKENDS_ONNX_CPU_SIMD_WIDEN_H

/* Narrow elements to f32 and back. */

#include <backends/onnx/cpu/vector.h>

/* Elements of 16 bits that are fetched ahead: pieces of panels are too short for the machine to see
 * them coming. */
#define WIDEN_AHEAD 1024

/* As many elements of other types as a vector has lanes. */
typedef int8_t bytes_vec __attribute__((vector_size(LANES)));
typedef uint16_t halves_vec __attribute__((vector_size(2 * LANES)));

#if defined(ONNX_VECTOR_AVX512)

static inline vec v_widen_f16(const uint16_t *from) {
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)from));
}
static inline vec v_widen_bf16(const uint16_t *from) {
    __m512i bits = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)from));
    return _mm512_castsi512_ps(_mm512_slli_epi32(bits, 16));
}
static inline ivec i_widen_i8(const int8_t *from) {
    return (ivec)_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)from));
}
static inline vec v_widen_i32(ivec x) {
    return _mm512_cvtepi32_ps((__m512i)x);
}
static inline void v_store_f16(uint16_t *to, vec x) {
    _mm256_storeu_si256((__m256i *)to, _mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT));
}

#elif defined(ONNX_VECTOR_AVX2)

static inline vec v_widen_f16(const uint16_t *from) {
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)from));
}
static inline vec v_widen_bf16(const uint16_t *from) {
    __m256i bits = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)from));
    return _mm256_castsi256_ps(_mm256_slli_epi32(bits, 16));
}
static inline ivec i_widen_i8(const int8_t *from) {
    return (ivec)_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)from));
}
static inline vec v_widen_i32(ivec x) {
    return _mm256_cvtepi32_ps((__m256i)x);
}

static inline void v_store_f16(uint16_t *to, vec x) {
    _mm_storeu_si128((__m128i *)to, _mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT));
}

#else

static inline vec v_widen_bf16(const uint16_t *from) {
    halves_vec x;
    memcpy(&x, from, sizeof(x));
    return (vec)(__builtin_convertvector(x, uvec) << 16);
}
static inline ivec i_widen_i8(const int8_t *from) {
    bytes_vec x;
    memcpy(&x, from, sizeof(x));
    return __builtin_convertvector(x, ivec);
}
static inline vec v_widen_i32(ivec x) {
    return __builtin_convertvector(x, vec);
}

#endif

#if defined(ONNX_VECTOR_AVX512) || defined(ONNX_VECTOR_AVX2)
#define HAS_F16

/* Those at the end that are no whole vector are done by way of one. */
static void widen_f16(const uint16_t *from, uint64_t count, float *to) {
    uint64_t i = 0;
    for (; i + LANES <= count; i += LANES) {
        __builtin_prefetch(from + i + WIDEN_AHEAD);
        v_store(to + i, v_widen_f16(from + i));
    }
    if (i < count) {
        uint16_t last[LANES] = {0};
        memcpy(last, from + i, (count - i) * sizeof(*last));
        v_store_part(to + i, v_widen_f16(last), count - i);
    }
}

/* All NaN become the one that plain kernels make, but for the sign. */
static inline vec same_nan(vec x) {
    uvec nan = ((uvec)x & 0x80000000u) | 0x7fc00000u;
    return v_select((ivec)(x == x), x, (vec)nan);
}

static void narrow_f16(const float *from, uint64_t count, uint16_t *to) {
    uint64_t i = 0;
    for (; i + LANES <= count; i += LANES) {
        v_store_f16(to + i, same_nan(v_load(from + i)));
    }
    if (i < count) {
        uint16_t last[LANES];
        v_store_f16(last, same_nan(v_load_part(from + i, count - i)));
        memcpy(to + i, last, (count - i) * sizeof(*to));
    }
}

#else

static void widen_f16(const uint16_t *from, uint64_t count, float *to) {
    mmi_onnx_convert(MM_F16, from, count, MM_F32, to);
}

static void narrow_f16(const float *from, uint64_t count, uint16_t *to) {
    mmi_onnx_convert(MM_F32, from, count, MM_F16, to);
}

#endif

static void widen_bf16(const uint16_t *from, uint64_t count, float *to) {
    uint64_t i = 0;
    for (; i + LANES <= count; i += LANES) {
        __builtin_prefetch(from + i + WIDEN_AHEAD);
        v_store(to + i, v_widen_bf16(from + i));
    }
    mmi_onnx_convert(MM_BF16, from + i, count - i, MM_F32, to + i);
}

static void narrow_bf16(const float *from, uint64_t count, uint16_t *to) {
    uint64_t i = 0;
    for (; i + LANES <= count; i += LANES) {
        vec x = v_load(from + i);
        uvec bits = (uvec)x, rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
        vec chosen = v_select(x == x, (vec)rounded, (vec)(bits >> 16 | 0x40));
        halves_vec halves = __builtin_convertvector((uvec)chosen, halves_vec);
        memcpy(to + i, &halves, sizeof(halves));
    }
    mmi_onnx_convert(MM_F32, from + i, count - i, MM_BF16, to + i);
}

/* ---- Rows of panels, with scales ------------------------------------------------------------- */

#define SCALED_LANES(v, unused)                                                                    \
    vec scale_##v = v_load(w->scales + v * LANES);                                                 \
    ivec zero_##v = w->zeros ? i_widen_i8(w->zeros + v * LANES) : (ivec){0};
#define STORE_SCALED(v, numbers)                                                                   \
    v_store(to + v * LANES, v_widen_i32((numbers)-zero_##v) * scale_##v);
#define WIDEN_I8(v, unused) STORE_SCALED(v, i_widen_i8(from + v * LANES))

static void widen_i8(const struct onnx_scaled_rows *w) {
    const int8_t *from = w->from;
    float *to = w->to;
    EACH_VECTOR_1(SCALED_LANES, 0)
    for (uint64_t i = 0; i < w->rows; i++, from += ONNX_NR, to += ONNX_NR) {
        EACH_VECTOR_1(WIDEN_I8, 0)
    }
}

/* The four bits are shifted to the top, and down again with their sign. */
#define LOAD_WORDS(v, unused)                                                                      \
    uvec words_##v;                                                                                \
    memcpy(&words_##v, from + v * LANES, sizeof(words_##v));
#define WIDEN_I4(v, row) STORE_SCALED(v, (ivec)(words_##v << (28 - 4 * row)) >> 28)
#define WIDEN_I4_ROW(row)                                                                          \
    EACH_VECTOR_1(WIDEN_I4, row)                                                                   \
    to += ONNX_NR;

static void widen_i4(const struct onnx_scaled_rows *w) {
    const uint32_t *from = w->from;
    float *to = w->to;
    EACH_VECTOR_1(SCALED_LANES, 0)
    for (uint64_t i = 0; i < w->rows; i += 8, from += ONNX_NR) {
        EACH_VECTOR_1(LOAD_WORDS, 0)
        WIDEN_I4_ROW(0)
        WIDEN_I4_ROW(1)
        WIDEN_I4_ROW(2)
        WIDEN_I4_ROW(3)
        WIDEN_I4_ROW(4)
        WIDEN_I4_ROW(5)
        WIDEN_I4_ROW(6)
        WIDEN_I4_ROW(7)
    }
}

/* ---- One row of A times four panels ---------------------------------------------------------- */

/* The sums go on from C, and each product is of what the loops above would have stored: so a result
 * does not depend on how many rows are multiplied at once. */
#define BEGIN_NARROW(v, q) vec acc_##q##_##v = v_load(p->c + q * ONNX_NR + v * LANES);
#define END_NARROW(v, q) v_store(p->c + q * ONNX_NR + v * LANES, acc_##q##_##v);
#define BEGIN_NARROW_PANEL(q) EACH_VECTOR_1(BEGIN_NARROW, q)
#define END_NARROW_PANEL(q) EACH_VECTOR_1(END_NARROW, q)

#define HALVES_ROW(type, name)                                                                     \
    static void row_##type(const struct onnx_narrow_row *p) {                                      \
        const uint16_t *b = p->b;                                                                  \
        uint64_t panel = p->b_panel_bytes / sizeof(*b);                                            \
        REPEAT_4(BEGIN_NARROW_PANEL)                                                               \
        for (uint64_t k = 0; k < p->k; k++, b += ONNX_NR) {                                        \
            vec factor = v_set(p->a[k * p->a_k_stride]);                                           \
            REPEAT_4(name)                                                                         \
        }                                                                                          \
        REPEAT_4(END_NARROW_PANEL)                                                                 \
    }
#define FMA_BF16(v, q)                                                                             \
    acc_##q##_##v = v_fma(factor, v_widen_bf16(b + q * panel + v * LANES), acc_##q##_##v);
#define FMA_BF16_PANEL(q) EACH_VECTOR_1(FMA_BF16, q)
HALVES_ROW(bf16, FMA_BF16_PANEL)

#ifdef HAS_F16
#define FMA_F16(v, q)                                                                              \
    acc_##q##_##v = v_fma(factor, v_widen_f16(b + q * panel + v * LANES), acc_##q##_##v);
#define FMA_F16_PANEL(q) EACH_VECTOR_1(FMA_F16, q)
HALVES_ROW(f16, FMA_F16_PANEL)
#define ROW_F16 row_f16
#else
#define ROW_F16 NULL
#endif

/* Zeros are read from memory: there are no registers left. `has_zeros` is known where these are
 * inlined. */
struct wide_zeros {
    int32_t at[4 * ONNX_NR];
};
static inline void widen_zeros(const struct onnx_narrow_row *p, struct wide_zeros *zeros) {
    for (uint64_t q = 0; q < 4; q++) {
        for (uint64_t j = 0; j < ONNX_NR; j++) {
            zeros->at[q * ONNX_NR + j] = p->zeros[q * p->scale_stride + j];
        }
    }
}
static inline ivec load_integers(const void *from) {
    ivec x;
    memcpy(&x, from, sizeof(x));
    return x;
}
#define ZERO_OF(v, q) load_integers(zeros.at + q * ONNX_NR + v * LANES)
#define FMA_SCALED(v, q, numbers)                                                                  \
    {                                                                                              \
        ivec number = numbers;                                                                     \
        number = has_zeros ? number - ZERO_OF(v, q) : number;                                      \
        vec b_##v = v_widen_i32(number) * v_load(p->scales + q * p->scale_stride + v * LANES);     \
        acc_##q##_##v = v_fma(factor, b_##v, acc_##q##_##v);                                       \
    }
#define FMA_I8(v, q) FMA_SCALED(v, q, i_widen_i8(b + q * p->b_panel_bytes + v * LANES))
#define FMA_I8_PANEL(q) EACH_VECTOR_1(FMA_I8, q)

static inline void row_i8_with(const struct onnx_narrow_row *p, bool has_zeros) {
    const int8_t *b = p->b;
    struct wide_zeros zeros;
    if (has_zeros) {
        widen_zeros(p, &zeros);
    }
    REPEAT_4(BEGIN_NARROW_PANEL)
    for (uint64_t k = 0; k < p->k; k++, b += ONNX_NR) {
        vec factor = v_set(p->a[k * p->a_k_stride]);
        REPEAT_4(FMA_I8_PANEL)
    }
    REPEAT_4(END_NARROW_PANEL)
}

static void row_i8(const struct onnx_narrow_row *p) {
    if (p->zeros) {
        row_i8_with(p, true);
    } else {
        row_i8_with(p, false);
    }
}

/* Row `row` of the words; counted down to the top, and back with the sign. */
#define FMA_I4(v, q)                                                                               \
    FMA_SCALED(v, q, (ivec)((uvec)load_integers(b + q * panel + v * LANES) << up) >> 28)
#define FMA_I4_PANEL(q) EACH_VECTOR_1(FMA_I4, q)

static inline void row_i4_with(const struct onnx_narrow_row *p, bool has_zeros) {
    const uint32_t *b = p->b;
    uint64_t panel = p->b_panel_bytes / sizeof(*b);
    struct wide_zeros zeros;
    if (has_zeros) {
        widen_zeros(p, &zeros);
    }
    REPEAT_4(BEGIN_NARROW_PANEL)
    for (uint64_t k = 0; k < p->k; k += 8, b += ONNX_NR) {
        uint64_t rows = p->k - k < 8 ? p->k - k : 8;
        for (uint64_t row = 0; row < rows; row++) {
            vec factor = v_set(p->a[(k + row) * p->a_k_stride]);
            int32_t up = 28 - 4 * (int32_t)row;
            REPEAT_4(FMA_I4_PANEL)
        }
    }
    REPEAT_4(END_NARROW_PANEL)
}

static void row_i4(const struct onnx_narrow_row *p) {
    if (p->zeros) {
        row_i4_with(p, true);
    } else {
        row_i4_with(p, false);
    }
}

#define WIDEN_TABLE                                                                                \
    .widen_f16 = widen_f16, .widen_bf16 = widen_bf16, .narrow_f16 = narrow_f16,                    \
    .narrow_bf16 = narrow_bf16, .widen_i8 = widen_i8, .widen_i4 = widen_i4, .row_f16 = ROW_F16,    \
    .row_bf16 = row_bf16, .row_i8 = row_i8, .row_i4 = row_i4

#endif
