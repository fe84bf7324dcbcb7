/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_CPU_SIMD_SPANS_H
#define MMI_BACKENDS_ONNX_CPU_SIMD_SPANS_H

/* GEMM microkernels whose rows of A are stretches of memory anywhere: a convolution reads its
 * windows where they lie. Tiles and panels are those of simd_gemm.h. */

#include <backends/onnx/cpu/simd_gemm.h>

/* A tile of C: its rows of A, its panel of B. */
struct span_tile {
    const float *const *a;
    const float *b, *bias; /* bias: [ONNX_NR] */
    float *c;
    uint64_t c_row_stride;
};

#define ADD_BIAS_ACC(v, r) acc_##r##_##v += v_load(bias + v * LANES);
#define ADD_BIAS_ROW(r) EACH_VECTOR(ADD_BIAS_ACC, r)
#define START_ACC(v, r) acc_##r##_##v = v_load(bias + v * LANES);
#define DECLARE_SPAN_ROW(r) EACH_VECTOR(DECLARE_ACC, r)
#define START_ROW(r) EACH_VECTOR(START_ACC, r)
#define BEGIN_SPAN(r) const float *a_##r = t->a[r] + span->offset;
#define CLAMP_ACC(v, r) acc_##r##_##v = v_min(high, v_max(low, acc_##r##_##v));
#define CLAMP_ROW(r) EACH_VECTOR(CLAMP_ACC, r)

#define SPAN_MICROKERNEL(rows)                                                                     \
    static void span_microkernel_##rows(const struct onnx_span_gemm *p,                            \
                                        const struct span_tile *t) {                               \
        const float *b = t->b;                                                                     \
        const float *bias = t->bias;                                                               \
        float *c = t->c;                                                                           \
        uint64_t c_row_stride = t->c_row_stride;                                                   \
        REPEAT_##rows(DECLARE_SPAN_ROW);                                                           \
        if (p->accumulate) {                                                                       \
            REPEAT_##rows(LOAD_ROW);                                                               \
            REPEAT_##rows(ADD_BIAS_ROW);                                                           \
        } else {                                                                                   \
            REPEAT_##rows(START_ROW);                                                              \
        }                                                                                          \
        const struct onnx_span *end = p->spans + p->span_count;                                    \
        for (const struct onnx_span *span = p->spans; span < end; span++) {                        \
            REPEAT_##rows(BEGIN_SPAN) uint64_t length = span->length;                              \
            for (uint64_t at = 0; at < length; at++, b += ONNX_NR) {                               \
                const float *from = b;                                                             \
                EACH_VECTOR(LOAD_B, 0)                                                             \
                REPEAT_##rows(FMA_ROW)                                                             \
            }                                                                                      \
        }                                                                                          \
        vec low = v_set(p->low), high = v_set(p->high);                                            \
        REPEAT_##rows(CLAMP_ROW);                                                                  \
        REPEAT_##rows(STORE_ROW);                                                                  \
    }
SPAN_MICROKERNEL(1)
SPAN_MICROKERNEL(2)
SPAN_MICROKERNEL(3)
SPAN_MICROKERNEL(4)
SPAN_MICROKERNEL(5)
SPAN_MICROKERNEL(6)

static void (*const span_microkernels[MR])(const struct onnx_span_gemm *,
                                           const struct span_tile *) = {
    span_microkernel_1, span_microkernel_2, span_microkernel_3,
    span_microkernel_4, span_microkernel_5, span_microkernel_6};

/* A panel of a few columns: what half of its vectors hold, in tiles of twice as many rows. */
#define NARROW_NR (ONNX_NR / 2)
#if LANES <= NARROW_NR
#define NARROW_ROWS(X) REPEAT_6(X) X(6) X(7) X(8) X(9) X(10) X(11)
#define NARROW_MR 12
#define NARROW_DECLARE(r)                                                                          \
    const float *a_##r = t->a[r < rows ? r : 0];                                                   \
    HALF_VECTORS(DECLARE_ACC, r)
#define NARROW_START(r) HALF_VECTORS(START_ACC, r)
#define NARROW_LOAD(r)                                                                             \
    if (r < rows) {                                                                                \
        HALF_VECTORS(LOAD_PART_ACC, r)                                                             \
    }
#define NARROW_STORE(r)                                                                            \
    if (r < rows) {                                                                                \
        HALF_VECTORS(STORE_PART_ACC, r)                                                            \
    }
#define NARROW_FMA(r)                                                                              \
    {                                                                                              \
        vec factor = v_set(a_##r[offset + at]);                                                    \
        HALF_VECTORS(FMA_ACC, r)                                                                   \
    }
#define LEFT(v) (columns > v * LANES ? columns - v * LANES : 0)
#define PART(v) (LEFT(v) < LANES ? LEFT(v) : LANES)
#define LOAD_PART_ACC(v, r)                                                                        \
    acc_##r##_##v += v_load_part(t->c + r * t->c_row_stride + v * LANES, PART(v));
#define STORE_PART_ACC(v, r)                                                                       \
    v_store_part(t->c + r * t->c_row_stride + v * LANES, v_min(high, v_max(low, acc_##r##_##v)),   \
                 PART(v));

/* Up to NARROW_MR rows; beyond `rows` the first one is computed again. */
static void narrow_tile(const struct onnx_span_gemm *p, const struct span_tile *t, uint64_t rows,
                        uint64_t columns) {
    const float *b = t->b, *bias = t->bias;
    NARROW_ROWS(NARROW_DECLARE)
    NARROW_ROWS(NARROW_START)
    if (p->accumulate) {
        NARROW_ROWS(NARROW_LOAD)
    }
    const struct onnx_span *end = p->spans + p->span_count;
    for (const struct onnx_span *span = p->spans; span < end; span++) {
        uint64_t offset = span->offset, length = span->length;
        for (uint64_t at = 0; at < length; at++, b += ONNX_NR) {
            const float *from = b;
            HALF_VECTORS(LOAD_B, 0)
            NARROW_ROWS(NARROW_FMA)
        }
    }
    vec low = v_set(p->low), high = v_set(p->high);
    NARROW_ROWS(NARROW_STORE)
}
#endif

/* A tile of fewer than ONNX_NR columns, through a buffer of a full one. */
static void span_edge_tile(const struct onnx_span_gemm *p, const struct span_tile *t, uint64_t rows,
                           uint64_t columns) {
    float buffer[MR * ONNX_NR];
    struct span_tile full = *t;
    full.c = buffer;
    full.c_row_stride = ONNX_NR;
    for (uint64_t r = 0; r < rows && p->accumulate; r++) {
        memcpy(buffer + r * ONNX_NR, t->c + r * t->c_row_stride, columns * sizeof(*buffer));
    }
    span_microkernels[rows - 1](p, &full);
    for (uint64_t r = 0; r < rows; r++) {
        memcpy(t->c + r * t->c_row_stride, buffer + r * ONNX_NR, columns * sizeof(*buffer));
    }
}

static uint64_t span_rows(uint64_t columns) {
#if LANES <= NARROW_NR
    return columns <= NARROW_NR ? NARROW_MR : MR;
#else
    (void)columns;
    return MR;
#endif
}

static void multiply_span_tile(const struct onnx_span_gemm *p, const struct span_tile *t,
                               uint64_t rows, uint64_t columns) {
#if LANES <= NARROW_NR
    if (columns <= NARROW_NR) {
        narrow_tile(p, t, rows, columns);
        return;
    }
#endif
    if (columns == ONNX_NR) {
        span_microkernels[rows - 1](p, t);
    } else {
        span_edge_tile(p, t, rows, columns);
    }
}

/* All rows of C for one panel of B, in tiles of nearly equal height. */
static void multiply_span_panel(const struct onnx_span_gemm *p, struct span_tile t,
                                uint64_t columns) {
    uint64_t most = span_rows(columns), blocks = (p->m + most - 1) / most;
    uint64_t base = p->m / blocks, rest = p->m % blocks;
    for (uint64_t i = 0; i < blocks; i++) {
        uint64_t rows = base + (i < rest ? 1 : 0);
        multiply_span_tile(p, &t, rows, columns);
        if (p->activation) {
            activate(p->activation, t.c, t.c_row_stride, rows, columns);
        }
        t.a += rows;
        t.c += rows * t.c_row_stride;
    }
}

static void span_gemm(const struct onnx_span_gemm *p) {
    for (uint64_t from = 0; from < p->n; from += ONNX_NR) {
        uint64_t columns = p->n - from < ONNX_NR ? p->n - from : ONNX_NR;
        float bias[ONNX_NR] = {0};
        if (p->column_bias) {
            memcpy(bias, p->column_bias + from, columns * sizeof(*bias));
        }
        struct span_tile t = {.a = p->a,
                              .b = p->b + from / ONNX_NR * p->b_panel_stride,
                              .bias = bias,
                              .c = p->c + from,
                              .c_row_stride = p->c_row_stride};
        multiply_span_panel(p, t, columns);
    }
}

#endif
