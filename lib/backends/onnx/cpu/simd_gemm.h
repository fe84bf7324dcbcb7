/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_CPU_SIMD_GEMM_H
#define MMI_BACKENDS_ONNX_CPU_SIMD_GEMM_H

/* GEMM microkernels: tiles of C of 1 to MR rows and ONNX_NR columns are accumulated in registers.
 * Accumulators are separate variables because compilers keep arrays of vectors in memory. */

#include <backends/onnx/cpu/simd_math.h>

#define MR 6

#define REPEAT_1(X) X(0)
#define REPEAT_2(X) REPEAT_1(X) X(1)
#define REPEAT_3(X) REPEAT_2(X) X(2)
#define REPEAT_4(X) REPEAT_3(X) X(3)
#define REPEAT_5(X) REPEAT_4(X) X(4)
#define REPEAT_6(X) REPEAT_5(X) X(5)

#define DECLARE_ACC(v, r) vec acc_##r##_##v;
#define DECLARE_ROW(r)                                                                             \
    const float *a_##r = a + r * p->a_row_stride;                                                  \
    EACH_VECTOR(DECLARE_ACC, r)
#define LOAD_ACC(v, r) acc_##r##_##v = v_load(c + r * c_row_stride + v * LANES);
#define LOAD_ROW(r) EACH_VECTOR(LOAD_ACC, r)
#define ROW_BIAS_ACC(v, r) acc_##r##_##v = v_set(row_bias[r]);
#define ROW_BIAS_ROW(r) EACH_VECTOR(ROW_BIAS_ACC, r)
#define COLUMN_BIAS_ACC(v, r) acc_##r##_##v = v_load(column_bias + v * LANES);
#define COLUMN_BIAS_ROW(r) EACH_VECTOR(COLUMN_BIAS_ACC, r)
#define LOAD_B(v, unused) vec b_##v = v_load(from + v * LANES);
#define FMA_ACC(v, r) acc_##r##_##v = v_fma(factor, b_##v, acc_##r##_##v);
#define FMA_ROW(r)                                                                                 \
    {                                                                                              \
        vec factor = v_set(a_##r[at]);                                                             \
        EACH_VECTOR(FMA_ACC, r)                                                                    \
    }
#define STORE_ACC(v, r) v_store(c + r * c_row_stride + v * LANES, acc_##r##_##v);
#define STORE_ROW(r) EACH_VECTOR(STORE_ACC, r)

/* A tile of C: its rows of A, its panel of B. column_bias: [ONNX_NR]. */
struct tile {
    const float *a, *b, *row_bias, *column_bias;
    float *c;
    uint64_t c_row_stride;
};

#define MICROKERNEL(rows, name, next_b)                                                            \
    static void name##_##rows(const struct onnx_sgemm *p, const struct tile *t) {                  \
        const float *a = t->a;                                                                     \
        const float *b = t->b;                                                                     \
        float *c = t->c;                                                                           \
        uint64_t c_row_stride = t->c_row_stride;                                                   \
        const float *row_bias = t->row_bias;                                                       \
        const float *column_bias = t->column_bias;                                                 \
        REPEAT_##rows(DECLARE_ROW);                                                                \
        if (p->accumulate) {                                                                       \
            REPEAT_##rows(LOAD_ROW);                                                               \
        } else if (row_bias) {                                                                     \
            REPEAT_##rows(ROW_BIAS_ROW);                                                           \
        } else {                                                                                   \
            REPEAT_##rows(COLUMN_BIAS_ROW);                                                        \
        }                                                                                          \
        uint64_t a_k_stride = p->a_k_stride, depth = p->k;                                         \
        for (uint64_t k = 0, at = 0; k < depth; k++, at += a_k_stride) {                           \
            const float *from = next_b;                                                            \
            EACH_VECTOR(LOAD_B, 0)                                                                 \
            REPEAT_##rows(FMA_ROW)                                                                 \
        }                                                                                          \
        REPEAT_##rows(STORE_ROW);                                                                  \
    }
#define MICROKERNELS(name, next_b)                                                                 \
    MICROKERNEL(1, name, next_b)                                                                   \
    MICROKERNEL(2, name, next_b)                                                                   \
    MICROKERNEL(3, name, next_b)                                                                   \
    MICROKERNEL(4, name, next_b)                                                                   \
    MICROKERNEL(5, name, next_b)                                                                   \
    MICROKERNEL(6, name, next_b)                                                                   \
    static void (*const name[MR])(const struct onnx_sgemm *, const struct tile *) = {              \
        name##_1, name##_2, name##_3, name##_4, name##_5, name##_6};

MICROKERNELS(microkernels, b + k * p->b_k_stride)
MICROKERNELS(microkernels_indirect, b + p->b_offsets[k])

static inline void microkernel(const struct onnx_sgemm *p, const struct tile *t, uint64_t rows) {
    if (p->b_offsets) {
        microkernels_indirect[rows - 1](p, t);
    } else {
        microkernels[rows - 1](p, t);
    }
}

static const float no_bias[ONNX_NR];

/* A tile of fewer than ONNX_NR columns, through a buffer of a full one. */
static void edge_tile(const struct onnx_sgemm *p, const struct tile *t, uint64_t rows,
                      uint64_t columns) {
    float buffer[MR * ONNX_NR];
    struct tile full = *t;
    full.c = buffer;
    full.c_row_stride = ONNX_NR;
    for (uint64_t r = 0; r < rows && p->accumulate; r++) {
        memcpy(buffer + r * ONNX_NR, t->c + r * t->c_row_stride, columns * sizeof(*buffer));
    }
    microkernel(p, &full, rows);
    for (uint64_t r = 0; r < rows; r++) {
        memcpy(t->c + r * t->c_row_stride, buffer + r * ONNX_NR, columns * sizeof(*buffer));
    }
}

/* All rows of C for one panel of B, in tiles of nearly equal height: 5 + 4 rows are faster than
 * 6 + 3. */
static void multiply_panel(const struct onnx_sgemm *p, struct tile t, uint64_t columns) {
    uint64_t blocks = (p->m + MR - 1) / MR;
    uint64_t base = p->m / blocks;
    uint64_t rest = p->m % blocks;
    for (uint64_t i = 0; i < blocks; i++) {
        uint64_t rows = base + (i < rest ? 1 : 0);
        if (columns == ONNX_NR) {
            microkernel(p, &t, rows);
        } else {
            edge_tile(p, &t, rows, columns);
        }
        if (p->activation) {
            activate(p->activation, t.c, t.c_row_stride, rows, columns);
        }
        t.a += rows * p->a_row_stride;
        t.c += rows * t.c_row_stride;
        t.row_bias = t.row_bias ? t.row_bias + rows : NULL;
    }
}

#define LOAD_GEMV(v, q) vec acc_##q##_##v = v_load(c + q * ONNX_NR + v * LANES);
#define FMA_GEMV(v, q)                                                                             \
    acc_##q##_##v = v_fma(factor, v_load(b_##q + at_b + v * LANES), acc_##q##_##v);
#define STORE_GEMV(v, q) v_store(c + q * ONNX_NR + v * LANES, acc_##q##_##v);
#define LOAD_PANEL(q)                                                                              \
    const float *b_##q = b + q * p->b_panel_stride;                                                \
    EACH_VECTOR(LOAD_GEMV, q)
#define FMA_PANEL(q) EACH_VECTOR(FMA_GEMV, q)
#define STORE_PANEL(q) EACH_VECTOR(STORE_GEMV, q)

/* One row and four panels: enough accumulators to hide the latency of an FMA. They start from C, as
 * in a tile, so that a result does not depend on which of the two computes it. */
static void gemv_four_panels(const struct onnx_sgemm *p, const float *b, float *c) {
    REPEAT_4(LOAD_PANEL)
    for (uint64_t k = 0, at_b = 0; k < p->k; k++, at_b += p->b_k_stride) {
        vec factor = v_set(p->a[k * p->a_k_stride]);
        REPEAT_4(FMA_PANEL)
    }
    REPEAT_4(STORE_PANEL)
}

/* m = 1: whole groups of four panels. Returns their columns. */
static uint64_t gemv(const struct onnx_sgemm *p) {
    uint64_t from = 0;
    for (; from + 4 * ONNX_NR <= p->n; from += 4 * ONNX_NR) {
        for (uint64_t i = from; i < from + 4 * ONNX_NR && !p->accumulate; i += LANES) {
            v_store(p->c + i, p->row_bias      ? v_set(p->row_bias[0])
                              : p->column_bias ? v_load(p->column_bias + i)
                                               : v_set(0));
        }
        gemv_four_panels(p, p->b + from / ONNX_NR * p->b_panel_stride, p->c + from);
        if (p->activation) {
            activate(p->activation, p->c + from, 0, 1, 4 * ONNX_NR);
        }
    }
    return from;
}

static void gemm(const struct onnx_sgemm *p) {
    uint64_t from = p->m == 1 && !p->b_offsets ? gemv(p) : 0;
    for (; from < p->n; from += ONNX_NR) {
        uint64_t columns = p->n - from < ONNX_NR ? p->n - from : ONNX_NR;
        float bias[ONNX_NR] = {0};
        struct tile t = {.a = p->a,
                         .b = p->b + from / ONNX_NR * p->b_panel_stride,
                         .row_bias = p->row_bias,
                         .column_bias = no_bias,
                         .c = p->c + from,
                         .c_row_stride = p->c_row_stride};
        if (p->column_bias) {
            memcpy(bias, p->column_bias + from, columns * sizeof(*bias));
            t.column_bias = bias;
        }
        multiply_panel(p, t, columns);
    }
}

/* ---- Dot products */

/* Tiles of MR rows and one or two columns, vectorised along k. */
#define COLUMNS_1(X, ...) X(0, __VA_ARGS__)
#define COLUMNS_2(X, ...) COLUMNS_1(X, __VA_ARGS__) X(1, __VA_ARGS__)

#define INIT_DOT(n, r) vec acc_##r##_##n = v_set(0);
#define FMA_DOT(n, r) acc_##r##_##n = v_fma(factor, x_##n, acc_##r##_##n);
#define STORE_DOT(n, r) sums[r][n] = v_sum(acc_##r##_##n);
#define LOAD_X(n, unused) vec x_##n = v_load(x + n * d->x_row_stride + k);
#define LOAD_LAST_X(n, unused) vec x_##n = v_load_part(x + n * d->x_row_stride + k, left);

/* Beyond `rows` the last row is repeated. */
#define DOT_TILE(columns)                                                                          \
    static void dot_tile_##columns(const struct onnx_dot_products *d, const float *a,              \
                                   uint64_t rows, const float *x, float sums[MR][2]) {             \
        REPEAT_6(INIT_DOT_ROW_##columns)                                                           \
        uint64_t k = 0;                                                                            \
        for (; k + LANES <= d->k; k += LANES) {                                                    \
            COLUMNS_##columns(LOAD_X, 0) REPEAT_6(FMA_DOT_ROW_##columns)                           \
        }                                                                                          \
        if (k < d->k) {                                                                            \
            uint64_t left = d->k - k;                                                              \
            COLUMNS_##columns(LOAD_LAST_X, 0) REPEAT_6(FMA_DOT_TAIL_##columns)                     \
        }                                                                                          \
        REPEAT_6(STORE_DOT_ROW_##columns)                                                          \
    }

#define INIT_DOT_ROW(columns, r)                                                                   \
    const float *a_##r = a + (r < rows ? r : rows - 1) * d->a_row_stride;                          \
    COLUMNS_##columns(INIT_DOT, r)
#define FMA_DOT_ROW(columns, r)                                                                    \
    {                                                                                              \
        vec factor = v_load(a_##r + k);                                                            \
        COLUMNS_##columns(FMA_DOT, r)                                                              \
    }
#define FMA_DOT_TAIL(columns, r)                                                                   \
    {                                                                                              \
        vec factor = v_load_part(a_##r + k, left);                                                 \
        COLUMNS_##columns(FMA_DOT, r)                                                              \
    }
#define INIT_DOT_ROW_1(r) INIT_DOT_ROW(1, r)
#define FMA_DOT_ROW_1(r) FMA_DOT_ROW(1, r)
#define FMA_DOT_TAIL_1(r) FMA_DOT_TAIL(1, r)
#define STORE_DOT_ROW_1(r) COLUMNS_1(STORE_DOT, r)
#define INIT_DOT_ROW_2(r) INIT_DOT_ROW(2, r)
#define FMA_DOT_ROW_2(r) FMA_DOT_ROW(2, r)
#define FMA_DOT_TAIL_2(r) FMA_DOT_TAIL(2, r)
#define STORE_DOT_ROW_2(r) COLUMNS_2(STORE_DOT, r)

DOT_TILE(1)
DOT_TILE(2)

/* The rows of a tile stay in the L1 cache while the columns go by. */
static void dot_products(const struct onnx_dot_products *d) {
    for (uint64_t m = 0; m < d->m; m += MR) {
        const float *a = d->a + m * d->a_row_stride;
        uint64_t rows = d->m - m < MR ? d->m - m : MR;
        for (uint64_t n = 0; n < d->n; n += 2) {
            float sums[MR][2];
            uint64_t columns = n + 1 < d->n ? 2 : 1;
            (columns == 2 ? dot_tile_2 : dot_tile_1)(d, a, rows, d->x + n * d->x_row_stride, sums);
            for (uint64_t i = 0; i < rows * columns; i++) {
                uint64_t row = i / columns;
                float *c =
                    d->c + (m + row) * d->c_row_stride + (n + i % columns) * d->c_column_stride;
                float before = d->accumulate ? *c : d->row_bias ? d->row_bias[m + row] : 0;
                *c = before + sums[row][i % columns];
            }
        }
    }
}

#endif
