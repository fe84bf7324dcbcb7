/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_CPU_LOOPS_PRODUCT_H
#define MMI_BACKENDS_ONNX_CPU_LOOPS_PRODUCT_H

/* Products of matrices. Tiles of 1 to 6 rows and 16 columns are accumulated in registers; the
 * accumulators have names because compilers keep arrays of vectors in memory. */

#include <backends/onnx/cpu/loops_math.h>

#define ROWS 6 /* of a tile, at most */

#define ROWS_1(X) X(0)
#define ROWS_2(X) ROWS_1(X) X(1)
#define ROWS_3(X) ROWS_2(X) X(2)
#define ROWS_4(X) ROWS_3(X) X(3)
#define ROWS_5(X) ROWS_4(X) X(4)
#define ROWS_6(X) ROWS_5(X) X(5)

#define NEW_SUM(v, r) vec sum_##r##_##v;
#define NEW_ROW(r)                                                                                 \
    const float *a_##r = a + r * p->a_row;                                                         \
    EACH_VECTOR(NEW_SUM, r)
#define TAKE_SUM(v, r) sum_##r##_##v = v_load(c + r * c_row + v * LANES);
#define TAKE_ROW(r) EACH_VECTOR(TAKE_SUM, r)
#define ROW_BIAS_SUM(v, r) sum_##r##_##v = v_set(row_bias[r]);
#define ROW_BIAS_ROW(r) EACH_VECTOR(ROW_BIAS_SUM, r)
#define BIAS_SUM(v, r) sum_##r##_##v = v_load(column_bias + v * LANES);
#define BIAS_ROW(r) EACH_VECTOR(BIAS_SUM, r)
#define LOAD_B(v, unused) vec b_##v = v_load(from + v * LANES);
#define ADD_SUM(v, r) sum_##r##_##v = v_fma(factor, b_##v, sum_##r##_##v);
#define ADD_ROW(r)                                                                                 \
    {                                                                                              \
        vec factor = v_set(a_##r[at]);                                                             \
        EACH_VECTOR(ADD_SUM, r)                                                                    \
    }
#define PUT_SUM(v, r) v_store(c + r * c_row + v * LANES, sum_##r##_##v);
#define PUT_ROW(r) EACH_VECTOR(PUT_SUM, r)

/* One tile: `a` its rows, `b` its columns, `c` where it lies. column_bias: 16 numbers. */
struct tile {
    const float *a, *b, *row_bias, *column_bias;
    float *c;
    uint64_t c_row;
};

#define TILE(rows, name, next_b)                                                                   \
    static void name##_##rows(const struct onnx_simd_product *p, const struct tile *t) {           \
        const float *a = t->a;                                                                     \
        const float *b = t->b;                                                                     \
        float *c = t->c;                                                                           \
        uint64_t c_row = t->c_row;                                                                 \
        const float *row_bias = t->row_bias;                                                       \
        const float *column_bias = t->column_bias;                                                 \
        ROWS_##rows(NEW_ROW);                                                                      \
        if (p->add) {                                                                              \
            ROWS_##rows(TAKE_ROW);                                                                 \
        } else if (row_bias) {                                                                     \
            ROWS_##rows(ROW_BIAS_ROW);                                                             \
        } else {                                                                                   \
            ROWS_##rows(BIAS_ROW);                                                                 \
        }                                                                                          \
        uint64_t a_depth = p->a_depth, depth = p->depth;                                           \
        for (uint64_t k = 0, at = 0; k < depth; k++, at += a_depth) {                              \
            const float *from = next_b;                                                            \
            EACH_VECTOR(LOAD_B, 0)                                                                 \
            ROWS_##rows(ADD_ROW)                                                                   \
        }                                                                                          \
        ROWS_##rows(PUT_ROW);                                                                      \
    }
#define TILES(name, next_b)                                                                        \
    TILE(1, name, next_b)                                                                          \
    TILE(2, name, next_b)                                                                          \
    TILE(3, name, next_b)                                                                          \
    TILE(4, name, next_b)                                                                          \
    TILE(5, name, next_b)                                                                          \
    TILE(6, name, next_b)                                                                          \
    static void (*const name[ROWS])(const struct onnx_simd_product *, const struct tile *) = {     \
        name##_1, name##_2, name##_3, name##_4, name##_5, name##_6};

TILES(tiles, b + k * p->b_depth)
TILES(tiles_by_offsets, b + p->b_offsets[k])

static inline void run_tile(const struct onnx_simd_product *p, const struct tile *t,
                            uint64_t rows) {
    if (p->b_offsets) {
        tiles_by_offsets[rows - 1](p, t);
    } else {
        tiles[rows - 1](p, t);
    }
}

static const float no_bias[ONNX_PANEL];

/* A tile of fewer than 16 columns, by way of one of 16. */
static void narrow_tile(const struct onnx_simd_product *p, const struct tile *t, uint64_t rows,
                        uint64_t columns) {
    float room[ROWS * ONNX_PANEL];
    struct tile wide = *t;
    wide.c = room;
    wide.c_row = ONNX_PANEL;
    for (uint64_t r = 0; r < rows && p->add; r++) {
        memcpy(room + r * ONNX_PANEL, t->c + r * t->c_row, columns * sizeof(*room));
    }
    run_tile(p, &wide, rows);
    for (uint64_t r = 0; r < rows; r++) {
        memcpy(t->c + r * t->c_row, room + r * ONNX_PANEL, columns * sizeof(*room));
    }
}

/* All rows of a panel, in tiles of nearly the same height: five and four rows are faster than six
 * and three. */
static void panel(const struct onnx_simd_product *p, struct tile t, uint64_t columns) {
    uint64_t blocks = (p->rows + ROWS - 1) / ROWS;
    uint64_t least = p->rows / blocks;
    uint64_t higher = p->rows % blocks;
    for (uint64_t i = 0; i < blocks; i++) {
        uint64_t rows = least + (i < higher ? 1 : 0);
        if (columns == ONNX_PANEL) {
            run_tile(p, &t, rows);
        } else {
            narrow_tile(p, &t, rows, columns);
        }
        if (p->activation) {
            activate(p->activation, t.c, t.c_row, rows, columns);
        }
        t.a += rows * p->a_row;
        t.c += rows * t.c_row;
        t.row_bias = t.row_bias ? t.row_bias + rows : NULL;
    }
}

#define NEW_WIDE(v, q) vec sum_##q##_##v = v_load(c + q * ONNX_PANEL + v * LANES);
#define ADD_WIDE(v, q)                                                                             \
    sum_##q##_##v = v_fma(factor, v_load(b_##q + at_b + v * LANES), sum_##q##_##v);
#define PUT_WIDE(v, q) v_store(c + q * ONNX_PANEL + v * LANES, sum_##q##_##v);
#define NEW_PANEL(q)                                                                               \
    const float *b_##q = b + q * p->b_panel;                                                       \
    EACH_VECTOR(NEW_WIDE, q)
#define ADD_PANEL(q) EACH_VECTOR(ADD_WIDE, q)
#define PUT_PANEL(q) EACH_VECTOR(PUT_WIDE, q)

/* One row and four panels: sums enough to hide how long an addition takes. They begin with what is
 * in c, as those of a tile do, so that a column's result does not depend on where it stands. */
static void four_panels(const struct onnx_simd_product *p, const float *b, float *c) {
    ROWS_4(NEW_PANEL)
    for (uint64_t k = 0, at_b = 0; k < p->depth; k++, at_b += p->b_depth) {
        vec factor = v_set(p->a[k * p->a_depth]);
        ROWS_4(ADD_PANEL)
    }
    ROWS_4(PUT_PANEL)
}

/* One row: as many columns as fit four panels at a time. Returns how many that were. */
static uint64_t single_row(const struct onnx_simd_product *p) {
    uint64_t from = 0;
    for (; from + 4 * ONNX_PANEL <= p->columns; from += 4 * ONNX_PANEL) {
        for (uint64_t i = from; i < from + 4 * ONNX_PANEL && !p->add; i += LANES) {
            v_store(p->c + i, p->row_bias      ? v_set(p->row_bias[0])
                              : p->column_bias ? v_load(p->column_bias + i)
                                               : v_set(0));
        }
        four_panels(p, p->b + from / ONNX_PANEL * p->b_panel, p->c + from);
        if (p->activation) {
            activate(p->activation, p->c + from, 0, 1, 4 * ONNX_PANEL);
        }
    }
    return from;
}

static void product(const struct onnx_simd_product *p) {
    uint64_t from = p->rows == 1 && !p->b_offsets ? single_row(p) : 0;
    for (; from < p->columns; from += ONNX_PANEL) {
        uint64_t columns = p->columns - from < ONNX_PANEL ? p->columns - from : ONNX_PANEL;
        float bias[ONNX_PANEL] = {0};
        struct tile t = {.a = p->a,
                         .b = p->b + from / ONNX_PANEL * p->b_panel,
                         .row_bias = p->row_bias,
                         .column_bias = no_bias,
                         .c = p->c + from,
                         .c_row = p->c_row};
        if (p->column_bias) {
            memcpy(bias, p->column_bias + from, columns * sizeof(*bias));
            t.column_bias = bias;
        }
        panel(p, t, columns);
    }
}

/* ---- Dots */

/* Sums along the depth of 6 rows and one column, or two. */
#define COLUMNS_1(X, ...) X(0, __VA_ARGS__)
#define COLUMNS_2(X, ...) COLUMNS_1(X, __VA_ARGS__) X(1, __VA_ARGS__)

#define NEW_DOT(n, r) vec sum_##r##_##n = v_set(0);
#define ADD_DOT(n, r) sum_##r##_##n = v_fma(factor, x_##n, sum_##r##_##n);
#define PUT_DOT(n, r) sums[r][n] = v_sum(sum_##r##_##n);
#define LOAD_X(n, unused) vec x_##n = v_load(x + n * d->x_column + k);
#define LOAD_LAST_X(n, unused) vec x_##n = v_load_part(x + n * d->x_column + k, left);

/* `rows` of them are there, the others are the last once more. */
#define DOT_TILE(columns)                                                                          \
    static void dot_tile_##columns(const struct onnx_dots *d, const float *a, uint64_t rows,       \
                                   const float *x, float sums[ROWS][2]) {                          \
        ROWS_6(NEW_DOT_ROW_##columns)                                                              \
        uint64_t k = 0;                                                                            \
        for (; k + LANES <= d->depth; k += LANES) {                                                \
            COLUMNS_##columns(LOAD_X, 0) ROWS_6(ADD_DOT_ROW_##columns)                             \
        }                                                                                          \
        if (k < d->depth) {                                                                        \
            uint64_t left = d->depth - k;                                                          \
            COLUMNS_##columns(LOAD_LAST_X, 0) ROWS_6(LAST_DOT_ROW_##columns)                       \
        }                                                                                          \
        ROWS_6(PUT_DOT_ROW_##columns)                                                              \
    }

#define NEW_DOT_ROW(columns, r)                                                                    \
    const float *a_##r = a + (r < rows ? r : rows - 1) * d->a_row;                                 \
    COLUMNS_##columns(NEW_DOT, r)
#define ADD_DOT_ROW(columns, r)                                                                    \
    {                                                                                              \
        vec factor = v_load(a_##r + k);                                                            \
        COLUMNS_##columns(ADD_DOT, r)                                                              \
    }
#define LAST_DOT_ROW(columns, r)                                                                   \
    {                                                                                              \
        vec factor = v_load_part(a_##r + k, left);                                                 \
        COLUMNS_##columns(ADD_DOT, r)                                                              \
    }
#define NEW_DOT_ROW_1(r) NEW_DOT_ROW(1, r)
#define ADD_DOT_ROW_1(r) ADD_DOT_ROW(1, r)
#define LAST_DOT_ROW_1(r) LAST_DOT_ROW(1, r)
#define PUT_DOT_ROW_1(r) COLUMNS_1(PUT_DOT, r)
#define NEW_DOT_ROW_2(r) NEW_DOT_ROW(2, r)
#define ADD_DOT_ROW_2(r) ADD_DOT_ROW(2, r)
#define LAST_DOT_ROW_2(r) LAST_DOT_ROW(2, r)
#define PUT_DOT_ROW_2(r) COLUMNS_2(PUT_DOT, r)

DOT_TILE(1)
DOT_TILE(2)

static void dots(const struct onnx_dots *d) {
    for (uint64_t n = 0; n < d->columns; n += 2) {
        const float *x = d->x + n * d->x_column;
        uint64_t columns = n + 1 < d->columns ? 2 : 1;
        for (uint64_t m = 0; m < d->rows; m += ROWS) {
            float sums[ROWS][2];
            uint64_t rows = d->rows - m < ROWS ? d->rows - m : ROWS;
            (columns == 2 ? dot_tile_2 : dot_tile_1)(d, d->a + m * d->a_row, rows, x, sums);
            for (uint64_t i = 0; i < rows * columns; i++) {
                uint64_t row = i / columns;
                float *c = d->c + (m + row) * d->c_row + (n + i % columns) * d->c_column;
                float before = d->add ? *c : d->row_bias ? d->row_bias[m + row] : 0;
                *c = before + sums[row][i % columns];
            }
        }
    }
}

#endif
