/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_CPU_SIMD_SPANS_H
#define MMI_BACKENDS_ONNX_CPU_SIMD_SPANS_H

/* GEMM microkernels whose rows of A are stretches of memory anywhere: a convolution reads its
 * windows where they lie. Tiles have a pointer for each row, so they are lower than those of
 * simd_gemm.h. */

#include <backends/onnx/cpu/simd_gemm.h>

#define SPAN_MR 6
/* Panels of a tile: as many as make up for the latency of an FMA. */
#if defined(ONNX_VECTOR_AVX512)
#define SPAN_PANELS 2
#define EACH_SPAN_TILE(X, ...) UP_TO_6(X, 1, __VA_ARGS__) UP_TO_6(X, 2, __VA_ARGS__)
#else
#define SPAN_PANELS 1
#define EACH_SPAN_TILE(X, ...) UP_TO_6(X, 1, __VA_ARGS__)
#endif

/* A tile of C: its rows of A, its panels of B. bias: of all its columns. */
struct span_tile {
    const float *const *a;
    const float *b, *bias;
    float *c;
    uint64_t c_row_stride;
    struct ahead ahead;
};

#define ADD_BIAS_ACC(v, r) acc_##r##_##v += v_load(bias + v * LANES);
#define ADD_BIAS_ROW(r, panels) EACH_VECTOR_##panels(ADD_BIAS_ACC, r)
#define START_ACC(v, r) acc_##r##_##v = v_load(bias + v * LANES);
#define START_ROW(r, panels) EACH_VECTOR_##panels(START_ACC, r)
#define BEGIN_SPAN(r, panels) const float *a_##r = t->a[r] + span->offset;
#define SPAN_FMA_ROW(r, panels)                                                                    \
    {                                                                                              \
        vec factor = v_set(a_##r[at]);                                                             \
        EACH_VECTOR_##panels(FMA_ACC, r)                                                           \
    }
#define CLAMP_ACC(v, r) acc_##r##_##v = v_min(high, v_max(low, acc_##r##_##v));
#define CLAMP_ROW(r, panels) EACH_VECTOR_##panels(CLAMP_ACC, r)

#define SPAN_MICROKERNEL(rows, panels, name)                                                       \
    static void name##_##rows##_##panels(const struct onnx_span_gemm *p,                           \
                                         const struct span_tile *t) {                              \
        const float *b = t->b, *bias = t->bias;                                                    \
        const uint64_t c_row_stride = t->c_row_stride, b_panel_stride = p->b_panel_stride;         \
        const uint64_t ahead_step = t->ahead.step;                                                 \
        const char *ahead = t->ahead.at;                                                           \
        float *c = t->c;                                                                           \
        (void)b_panel_stride;                                                                      \
        ROWS_##rows(DECLARE_ROW, panels);                                                          \
        if (p->accumulate) {                                                                       \
            ROWS_##rows(LOAD_ROW, panels);                                                         \
            ROWS_##rows(ADD_BIAS_ROW, panels);                                                     \
        } else {                                                                                   \
            ROWS_##rows(START_ROW, panels);                                                        \
        }                                                                                          \
        const struct onnx_span *end = p->spans + p->span_count;                                    \
        for (const struct onnx_span *span = p->spans; span < end; span++) {                        \
            const uint64_t length = span->length;                                                  \
            ROWS_##rows(BEGIN_SPAN, panels);                                                       \
            for (uint64_t at = 0; at < length; at++, b += ONNX_NR) {                               \
                const float *from = b;                                                             \
                __builtin_prefetch(ahead, 0, 2);                                                   \
                ahead += ahead_step;                                                               \
                EACH_VECTOR_##panels(LOAD_B, 0);                                                   \
                ROWS_##rows(SPAN_FMA_ROW, panels);                                                 \
            }                                                                                      \
        }                                                                                          \
        vec low = v_set(p->low), high = v_set(p->high);                                            \
        ROWS_##rows(CLAMP_ROW, panels);                                                            \
        ROWS_##rows(STORE_ROW, panels);                                                            \
    }
#define SPAN_ENTRY(rows, panels, name) [panels - 1][rows - 1] = name##_##rows##_##panels,
EACH_SPAN_TILE(SPAN_MICROKERNEL, span_microkernel)
static void (*const span_microkernels[SPAN_PANELS][SPAN_MR])(const struct onnx_span_gemm *,
                                                             const struct span_tile *) = {
    EACH_SPAN_TILE(SPAN_ENTRY, span_microkernel)};

/* A panel of a few columns: what half of its vectors hold, in tiles of twice as many rows. */
#define NARROW_NR (ONNX_NR / 2)
#if LANES <= NARROW_NR
#define NARROW_MR 12
#define NARROW_DECLARE(r, unused)                                                                  \
    const float *a_##r = t->a[r < rows ? r : 0];                                                   \
    HALF_VECTORS(DECLARE_ACC, r)
#define NARROW_START(r, unused) HALF_VECTORS(START_ACC, r)
#define NARROW_LOAD(r, unused)                                                                     \
    if (r < rows) {                                                                                \
        HALF_VECTORS(LOAD_PART_ACC, r)                                                             \
    }
#define NARROW_STORE(r, unused)                                                                    \
    if (r < rows) {                                                                                \
        HALF_VECTORS(STORE_PART_ACC, r)                                                            \
    }
#define NARROW_FMA(r, unused)                                                                      \
    {                                                                                              \
        vec factor = v_set(a_##r[offset + at]);                                                    \
        HALF_VECTORS(FMA_ACC, r)                                                                   \
    }
#define NARROW_LOAD_B(v, unused) vec b_##v = v_load(b + v * LANES);
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
    ROWS_12(NARROW_DECLARE, 0)
    ROWS_12(NARROW_START, 0)
    if (p->accumulate) {
        ROWS_12(NARROW_LOAD, 0)
    }
    const struct onnx_span *end = p->spans + p->span_count;
    for (const struct onnx_span *span = p->spans; span < end; span++) {
        uint64_t offset = span->offset, length = span->length;
        for (uint64_t at = 0; at < length; at++, b += ONNX_NR) {
            HALF_VECTORS(NARROW_LOAD_B, 0)
            ROWS_12(NARROW_FMA, 0)
        }
    }
    vec low = v_set(p->low), high = v_set(p->high);
    ROWS_12(NARROW_STORE, 0)
}
#endif

/* A tile that ends within a panel, through a buffer of a full one. */
static void span_edge_tile(const struct onnx_span_gemm *p, const struct span_tile *t, uint64_t rows,
                           uint64_t panels, uint64_t columns) {
    float buffer[SPAN_MR * SPAN_PANELS * ONNX_NR];
    struct span_tile full = *t;
    full.c = buffer;
    full.c_row_stride = panels * ONNX_NR;
    if (p->accumulate) {
        copy_columns(t->c, t->c_row_stride, rows, columns, buffer, full.c_row_stride);
    }
    span_microkernels[panels - 1][rows - 1](p, &full);
    copy_columns(buffer, full.c_row_stride, rows, columns, t->c, t->c_row_stride);
}

static void multiply_span_tile(const struct onnx_span_gemm *p, const struct span_tile *t,
                               uint64_t rows, uint64_t panels, uint64_t columns) {
#if LANES <= NARROW_NR
    if (columns <= NARROW_NR) {
        narrow_tile(p, t, rows, columns);
        return;
    }
#endif
    if (columns == panels * ONNX_NR) {
        span_microkernels[panels - 1][rows - 1](p, t);
    } else {
        span_edge_tile(p, t, rows, panels, columns);
    }
}

static uint64_t span_rows(uint64_t columns) {
#if LANES <= NARROW_NR
    return columns <= NARROW_NR ? NARROW_MR : SPAN_MR;
#else
    (void)columns;
    return SPAN_MR;
#endif
}

/* All rows of C for some panels of B, in tiles of nearly equal height. */
static void multiply_span_panels(const struct onnx_span_gemm *p, const struct panels *b,
                                 struct span_tile t, uint64_t panels, uint64_t columns) {
    uint64_t most = span_rows(columns), tiles = (p->m + most - 1) / most;
    uint64_t least = p->m / tiles, higher = p->m % tiles;
    for (uint64_t i = 0; i < tiles; i++) {
        uint64_t rows = least + (i < higher ? 1 : 0);
        t.ahead = ahead_of(b, t.b, i, tiles, panels);
        multiply_span_tile(p, &t, rows, panels, columns);
        if (p->activation) {
            activate(p->activation, t.c, t.c_row_stride, rows, columns);
        }
        t.a += rows;
        t.c += rows * t.c_row_stride;
    }
}

static void span_gemm(const struct onnx_span_gemm *p) {
    struct panels b = {p->b, p->b_panel_stride, (p->n + ONNX_NR - 1) / ONNX_NR, 0};
    for (uint64_t i = 0; i < p->span_count; i++) {
        b.depth += p->spans[i].length;
    }
    for (uint64_t from = 0, columns; from < p->n; from += columns) {
        uint64_t left = p->n - from, panels = left > ONNX_NR ? SPAN_PANELS : 1;
        columns = panels * ONNX_NR < left ? panels * ONNX_NR : left;
        float bias[SPAN_PANELS * ONNX_NR] = {0};
        if (p->column_bias) {
            memcpy(bias, p->column_bias + from, columns * sizeof(*bias));
        }
        struct span_tile t = {.a = p->a,
                              .b = p->b + from / ONNX_NR * p->b_panel_stride,
                              .bias = bias,
                              .c = p->c + from,
                              .c_row_stride = p->c_row_stride};
        multiply_span_panels(p, &b, t, panels, columns);
    }
}

#endif
