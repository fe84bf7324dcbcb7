/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_CPU_SIMD_GEMM_H
#define MMI_BACKENDS_ONNX_CPU_SIMD_GEMM_H

/* GEMM microkernels: tiles of C of some rows and some panels of ONNX_NR columns are accumulated in
 * registers. Each element is the same chain of FMAs along k in all of them, so a result does not
 * depend on which tile computes it. Accumulators are separate variables because compilers keep
 * arrays of vectors in memory. */

#include <backends/onnx/cpu/simd_math.h>

#define REPEAT_1(X) X(0)
#define REPEAT_2(X) REPEAT_1(X) X(1)
#define REPEAT_3(X) REPEAT_2(X) X(2)
#define REPEAT_4(X) REPEAT_3(X) X(3)
#define REPEAT_5(X) REPEAT_4(X) X(4)
#define REPEAT_6(X) REPEAT_5(X) X(5)
#define REPEAT_7(X) REPEAT_6(X) X(6)
#define REPEAT_8(X) REPEAT_7(X) X(7)
#define REPEAT_9(X) REPEAT_8(X) X(8)
#define REPEAT_10(X) REPEAT_9(X) X(9)
#define REPEAT_11(X) REPEAT_10(X) X(10)
#define REPEAT_12(X) REPEAT_11(X) X(11)

/* X(row, panels) for each row. */
#define ROWS_1(X, panels) X(0, panels)
#define ROWS_2(X, panels) ROWS_1(X, panels) X(1, panels)
#define ROWS_3(X, panels) ROWS_2(X, panels) X(2, panels)
#define ROWS_4(X, panels) ROWS_3(X, panels) X(3, panels)
#define ROWS_5(X, panels) ROWS_4(X, panels) X(4, panels)
#define ROWS_6(X, panels) ROWS_5(X, panels) X(5, panels)
#define ROWS_7(X, panels) ROWS_6(X, panels) X(6, panels)
#define ROWS_8(X, panels) ROWS_7(X, panels) X(7, panels)
#define ROWS_9(X, panels) ROWS_8(X, panels) X(8, panels)
#define ROWS_10(X, panels) ROWS_9(X, panels) X(9, panels)
#define ROWS_11(X, panels) ROWS_10(X, panels) X(10, panels)
#define ROWS_12(X, panels) ROWS_11(X, panels) X(11, panels)

/* X(rows, panels, ...) for tiles of up to so many rows. */
#define UP_TO_1(X, ...) X(1, __VA_ARGS__)
#define UP_TO_2(X, ...) UP_TO_1(X, __VA_ARGS__) X(2, __VA_ARGS__)
#define UP_TO_6(X, ...)                                                                            \
    UP_TO_2(X, __VA_ARGS__)                                                                        \
    X(3, __VA_ARGS__) X(4, __VA_ARGS__) X(5, __VA_ARGS__) X(6, __VA_ARGS__)
#define UP_TO_12(X, ...)                                                                           \
    UP_TO_6(X, __VA_ARGS__)                                                                        \
    X(7, __VA_ARGS__)                                                                              \
    X(8, __VA_ARGS__)                                                                              \
    X(9, __VA_ARGS__) X(10, __VA_ARGS__) X(11, __VA_ARGS__) X(12, __VA_ARGS__)

/* MR_p: the most rows of a tile of p panels, as registers allow. */
#if defined(ONNX_VECTOR_AVX512)
#define MR_1 12
#define MR_2 12
#define MR_4 6
#define EACH_TILE(X, ...)                                                                          \
    UP_TO_12(X, 1, __VA_ARGS__) UP_TO_12(X, 2, __VA_ARGS__) UP_TO_6(X, 4, __VA_ARGS__)
#elif defined(ONNX_VECTOR_AVX2)
#define MR_1 6
#define MR_2 2
#define MR_4 1
#define EACH_TILE(X, ...)                                                                          \
    UP_TO_6(X, 1, __VA_ARGS__) UP_TO_2(X, 2, __VA_ARGS__) UP_TO_1(X, 4, __VA_ARGS__)
#else
#define MR_1 6
#define MR_2 1
#define MR_4 1
#define EACH_TILE(X, ...)                                                                          \
    UP_TO_6(X, 1, __VA_ARGS__) UP_TO_1(X, 2, __VA_ARGS__) UP_TO_1(X, 4, __VA_ARGS__)
#endif

/* Vector v of a tile of several panels: its panel, and its place there. */
#define PANEL_OF(v) ((v)*LANES / ONNX_NR)
#define B_AT(v) (from + PANEL_OF(v) * b_panel_stride + (v)*LANES % ONNX_NR)

#define DECLARE_ACC(v, r) vec acc_##r##_##v;
#define DECLARE_ROW(r, panels) EACH_VECTOR_##panels(DECLARE_ACC, r)
#define LOAD_ACC(v, r) acc_##r##_##v = v_load(c + r * c_row_stride + v * LANES);
#define LOAD_ROW(r, panels) EACH_VECTOR_##panels(LOAD_ACC, r)
#define ROW_BIAS_ACC(v, r) acc_##r##_##v = v_set(row_bias[r]);
#define ROW_BIAS_ROW(r, panels) EACH_VECTOR_##panels(ROW_BIAS_ACC, r)
#define COLUMN_BIAS_ACC(v, r) acc_##r##_##v = v_load(column_bias + v * LANES);
#define COLUMN_BIAS_ROW(r, panels) EACH_VECTOR_##panels(COLUMN_BIAS_ACC, r)
#define LOAD_B(v, unused) vec b_##v = v_load(B_AT(v));
#define FMA_ACC(v, r) acc_##r##_##v = v_fma(factor, b_##v, acc_##r##_##v);
#define FMA_ROW(r, panels)                                                                         \
    {                                                                                              \
        vec factor = v_set(a[r / 3][r % 3 * a_row_stride]);                                        \
        EACH_VECTOR_##panels(FMA_ACC, r)                                                           \
    }
#define STORE_ACC(v, r) v_store(c + r * c_row_stride + v * LANES, acc_##r##_##v);
#define STORE_ROW(r, panels) EACH_VECTOR_##panels(STORE_ACC, r)

/* What is fetched into the cache while a tile is multiplied: `step` bytes further for each k. */
struct ahead {
    const char *at;
    uint64_t step;
};

/* A tile of C: its rows of A, its panels of B. column_bias: of all its columns. */
struct tile {
    const float *a, *b, *row_bias, *column_bias;
    float *c;
    uint64_t c_row_stride;
    struct ahead ahead;
};

/* There is a pointer to every third row of A: an address adds up to twice the stride to it. */
#define MICROKERNEL(rows, panels, name, next_b)                                                    \
    static void name##_##rows##_##panels(const struct onnx_sgemm *p, const struct tile *t) {       \
        const uint64_t a_row_stride = p->a_row_stride, b_panel_stride = p->b_panel_stride;         \
        const float *a[] = {t->a, t->a + 3 * a_row_stride, t->a + 6 * a_row_stride,                \
                            t->a + 9 * a_row_stride};                                              \
        const float *b = t->b;                                                                     \
        float *c = t->c;                                                                           \
        uint64_t c_row_stride = t->c_row_stride;                                                   \
        const float *row_bias = t->row_bias;                                                       \
        const float *column_bias = t->column_bias;                                                 \
        (void)b_panel_stride;                                                                      \
        ROWS_##rows(DECLARE_ROW, panels);                                                          \
        if (p->accumulate) {                                                                       \
            ROWS_##rows(LOAD_ROW, panels);                                                         \
        } else if (row_bias) {                                                                     \
            ROWS_##rows(ROW_BIAS_ROW, panels);                                                     \
        } else {                                                                                   \
            ROWS_##rows(COLUMN_BIAS_ROW, panels);                                                  \
        }                                                                                          \
        const uint64_t a_k_stride = p->a_k_stride, depth = p->k, ahead_step = t->ahead.step;       \
        const char *ahead = t->ahead.at;                                                           \
        for (uint64_t k = 0; k < depth; k++) {                                                     \
            const float *from = next_b;                                                            \
            __builtin_prefetch(ahead, 0, 2);                                                       \
            ahead += ahead_step;                                                                   \
            EACH_VECTOR_##panels(LOAD_B, 0);                                                       \
            ROWS_##rows(FMA_ROW, panels);                                                          \
            a[0] += a_k_stride;                                                                    \
            a[1] += a_k_stride;                                                                    \
            a[2] += a_k_stride;                                                                    \
            a[3] += a_k_stride;                                                                    \
        }                                                                                          \
        ROWS_##rows(STORE_ROW, panels);                                                            \
    }
#define MICROKERNEL_ENTRY(rows, panels, name) [panels / 2][rows - 1] = name##_##rows##_##panels,
#define MICROKERNELS(name, next_b)                                                                 \
    EACH_TILE(MICROKERNEL, name, next_b)                                                           \
    static void (*const name[3][MR_1])(const struct onnx_sgemm *, const struct tile *) = {         \
        EACH_TILE(MICROKERNEL_ENTRY, name)};

MICROKERNELS(microkernels, b + k * p->b_k_stride)
MICROKERNELS(microkernels_indirect, b + p->b_offsets[k])

static inline void microkernel(const struct onnx_sgemm *p, const struct tile *t, uint64_t rows,
                               uint64_t panels) {
    (p->b_offsets ? microkernels_indirect : microkernels)[panels / 2][rows - 1](p, t);
}

static void copy_columns(const float *from, uint64_t from_row, uint64_t rows, uint64_t columns,
                         float *to, uint64_t to_row) {
    for (uint64_t r = 0; r < rows; r++, from += from_row, to += to_row) {
        for (uint64_t i = 0; i < columns; i += LANES) {
            uint64_t some = columns - i < LANES ? columns - i : LANES;
            v_store_part(to + i, v_load_part(from + i, some), some);
        }
    }
}

/* A tile of fewer than ONNX_NR columns, through a buffer of a full one. */
static void edge_tile(const struct onnx_sgemm *p, const struct tile *t, uint64_t rows,
                      uint64_t columns) {
    float buffer[MR_1 * ONNX_NR];
    const struct tile full = {.a = t->a,
                              .b = t->b,
                              .row_bias = t->row_bias,
                              .column_bias = t->column_bias,
                              .c = buffer,
                              .c_row_stride = ONNX_NR,
                              .ahead = t->ahead};
    if (p->accumulate) {
        copy_columns(t->c, t->c_row_stride, rows, columns, buffer, ONNX_NR);
    }
    microkernel(p, &full, rows, 1);
    copy_columns(buffer, ONNX_NR, rows, columns, t->c, t->c_row_stride);
}

/* The rows of C in tiles of nearly equal height: 5 + 4 rows are faster than 6 + 3. */
struct heights {
    uint64_t tiles, least, higher; /* higher: tiles of a row more than the least */
};

/* B, whose panels are multiplied one after another. */
struct panels {
    const float *first;
    uint64_t stride, count, depth;
};

/* Tile i of some panels fetches its share of the panels behind: from the L2 cache they come in time
 * by themselves, from beyond it they do not. */
static struct ahead ahead_of(const struct panels *b, const float *at, uint64_t i, uint64_t tiles,
                             uint64_t panels) {
    struct ahead none = {(const char *)at, 0};
    if (tiles < panels) {
        return none;
    }
    const uint64_t shares = tiles / panels, share = i / panels, panel = i % panels;
    const uint64_t behind = (uint64_t)(at - b->first) + (panels + panel) * b->stride;
    if (share >= shares || behind >= b->count * b->stride) {
        return none;
    }
    const float *first = b->first + behind + b->depth * share / shares * ONNX_NR;
    return (struct ahead){(const char *)first, ONNX_NR * sizeof(*at) / shares};
}

/* All rows of C for some panels of B. */
static void multiply_panels(const struct onnx_sgemm *p, const struct heights *h, struct tile *t,
                            uint64_t panels, uint64_t columns) {
    /* rows of B that lie apart are a block in the L2 */
    const bool apart = p->b_k_stride != ONNX_NR || p->b_offsets;
    const struct panels b = {p->b, p->b_panel_stride, apart ? 0 : (p->n + ONNX_NR - 1) / ONNX_NR,
                             p->k};
    for (uint64_t i = 0; i < h->tiles; i++) {
        uint64_t rows = h->least + (i < h->higher ? 1 : 0);
        t->ahead = ahead_of(&b, t->b, i, h->tiles, panels);
        if (columns < ONNX_NR) {
            edge_tile(p, t, rows, columns);
        } else {
            microkernel(p, t, rows, panels);
        }
        if (p->activation) {
            activate(p->activation, t->c, t->c_row_stride, rows, columns);
        }
        t->a += rows * p->a_row_stride;
        t->c += rows * t->c_row_stride;
        t->row_bias = t->row_bias ? t->row_bias + rows : NULL;
    }
}

/* Panels of the widest tiles that take all rows at once, or as many as the narrowest do. */
static uint64_t next_panels(uint64_t m, uint64_t columns) {
    return m <= MR_4 && columns >= 4 * ONNX_NR                     ? 4
           : (m <= MR_2 || MR_2 == MR_1) && columns >= 2 * ONNX_NR ? 2
                                                                   : 1;
}

static void gemm(const struct onnx_sgemm *p) {
    static const float no_bias[4 * ONNX_NR];
    struct heights h = {.tiles = (p->m + MR_1 - 1) / MR_1};
    h.least = h.tiles > 0 ? p->m / h.tiles : 0;
    h.higher = p->m - h.least * h.tiles;
    for (uint64_t from = 0, columns; from < p->n; from += columns) {
        uint64_t left = p->n - from, panels = next_panels(p->m, left);
        columns = panels * ONNX_NR < left ? panels * ONNX_NR : left;
        float bias[ONNX_NR];
        struct tile t = {.a = p->a,
                         .b = p->b + from / ONNX_NR * p->b_panel_stride,
                         .row_bias = p->row_bias,
                         .column_bias = p->column_bias ? p->column_bias + from : no_bias,
                         .c = p->c + from,
                         .c_row_stride = p->c_row_stride};
        if (p->column_bias && columns < ONNX_NR) {
            memset(bias, 0, sizeof(bias));
            memcpy(bias, t.column_bias, columns * sizeof(*bias));
            t.column_bias = bias;
        }
        multiply_panels(p, &h, &t, panels, columns);
    }
}

/* ---- Dot products */

#define DOT_MR 6

/* Tiles of DOT_MR rows and one or two columns, vectorised along k. */
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
                                   uint64_t rows, const float *x, float sums[DOT_MR][2]) {         \
        ROWS_6(INIT_DOT_ROW, columns)                                                              \
        uint64_t k = 0;                                                                            \
        for (; k + LANES <= d->k; k += LANES) {                                                    \
            COLUMNS_##columns(LOAD_X, 0) ROWS_6(FMA_DOT_ROW, columns)                              \
        }                                                                                          \
        if (k < d->k) {                                                                            \
            uint64_t left = d->k - k;                                                              \
            COLUMNS_##columns(LOAD_LAST_X, 0) ROWS_6(FMA_DOT_TAIL, columns)                        \
        }                                                                                          \
        ROWS_6(STORE_DOT_ROW, columns)                                                             \
    }

#define INIT_DOT_ROW(r, columns)                                                                   \
    const float *a_##r = a + (r < rows ? r : rows - 1) * d->a_row_stride;                          \
    COLUMNS_##columns(INIT_DOT, r)
#define FMA_DOT_ROW(r, columns)                                                                    \
    {                                                                                              \
        vec factor = v_load(a_##r + k);                                                            \
        COLUMNS_##columns(FMA_DOT, r)                                                              \
    }
#define FMA_DOT_TAIL(r, columns)                                                                   \
    {                                                                                              \
        vec factor = v_load_part(a_##r + k, left);                                                 \
        COLUMNS_##columns(FMA_DOT, r)                                                              \
    }
#define STORE_DOT_ROW(r, columns) COLUMNS_##columns(STORE_DOT, r)

DOT_TILE(1)
DOT_TILE(2)

/* The rows of a tile stay in the L1 cache while the columns go by. */
static void dot_products(const struct onnx_dot_products *d) {
    for (uint64_t m = 0; m < d->m; m += DOT_MR) {
        const float *a = d->a + m * d->a_row_stride;
        uint64_t rows = d->m - m < DOT_MR ? d->m - m : DOT_MR;
        for (uint64_t n = 0; n < d->n; n += 2) {
            float sums[DOT_MR][2];
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
