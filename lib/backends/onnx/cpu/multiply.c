/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/cpu/multiply.h>
#include <base/checked.h>

#define MOST_DEPTH 384
#define USUAL_DEPTH 256
/* Floats of A that are used for one panel of B after the other. */
#define ROWS_FLOATS (32 * 1024)

/* So few columns beyond the last whole panel are cheaper as dots, for more than so many rows. */
#define MOST_DOTS 4
#define LEAST_ROWS 12

uint64_t mmi_onnx_simd_block(uint64_t depth) {
    if (depth <= MOST_DEPTH) {
        return depth;
    }
    uint64_t blocks = (depth + USUAL_DEPTH - 1) / USUAL_DEPTH;
    return (depth + blocks - 1) / blocks;
}

/* The last columns of a product; `from` is the first of them. */
static void multiply_last(const struct onnx_simd *simd, const struct onnx_simd_product *p,
                          uint64_t from) {
    float x[MOST_DOTS * MOST_DEPTH];
    struct onnx_dots dots = {.rows = p->rows,
                             .columns = p->columns - from,
                             .depth = p->depth,
                             .a = p->a,
                             .x = x,
                             .a_row = p->a_row,
                             .x_column = p->depth,
                             .c = p->c + from,
                             .c_row = p->c_row,
                             .c_column = 1,
                             .add = p->add,
                             .row_bias = p->row_bias};
    for (uint64_t k = 0; k < p->depth; k++) {
        const float *row = p->b + from / ONNX_PANEL * p->b_panel + k * p->b_depth;
        for (uint64_t i = 0; i < dots.columns; i++) {
            x[i * p->depth + k] = row[i];
        }
    }
    simd->dots(&dots);
    if (p->activation) {
        simd->activate(p->activation, dots.c, dots.c_row, dots.rows, dots.columns);
    }
}

void mmi_onnx_simd_multiply_rows(const struct onnx_simd *simd, const struct onnx_simd_product *p) {
    uint64_t rows = mmi_max_u64(ROWS_FLOATS / mmi_max_u64(p->depth, 1) / 12, 1) * 12;
    uint64_t whole = p->columns / ONNX_PANEL * ONNX_PANEL;
    bool dots = p->columns - whole <= MOST_DOTS && p->depth <= MOST_DEPTH && p->a_depth == 1 &&
                !p->column_bias && !p->b_offsets && p->rows >= LEAST_ROWS;
    whole = dots ? whole : p->columns;
    for (uint64_t from = 0; from < p->rows; from += rows) {
        struct onnx_simd_product part = *p;
        part.rows = mmi_min_u64(rows, p->rows - from);
        part.a += from * p->a_row;
        part.c += from * p->c_row;
        part.row_bias = p->row_bias ? p->row_bias + from : NULL;
        part.columns = whole;
        simd->product(&part);
        if (whole < p->columns) {
            part.columns = p->columns;
            multiply_last(simd, &part, whole);
        }
    }
}

void mmi_onnx_simd_multiply(const struct onnx_simd *simd, const struct onnx_simd_product *p) {
    uint64_t block = mmi_onnx_simd_block(p->depth);
    uint64_t from = 0;
    do { /* a depth of 0 leaves the bias */
        struct onnx_simd_product part = *p;
        part.depth = mmi_min_u64(block, p->depth - from);
        part.a += from * p->a_depth;
        part.b += from * p->b_depth;
        part.add = p->add || from > 0;
        from += block;
        part.activation = from >= p->depth ? p->activation : NULL;
        mmi_onnx_simd_multiply_rows(simd, &part);
    } while (from < p->depth);
}
