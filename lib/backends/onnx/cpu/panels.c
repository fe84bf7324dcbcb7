/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/cpu/panels.h>
#include <base/checked.h>

#define MAX_KC 384
#define GROUP 4 /* panels that are widened together: the microkernels take as many */
/* A block of A that is read again for each group. Larger than that of f32: for each of these blocks
 * all of B is widened anew. */
#define A_BLOCK_FLOATS (64 * 1024)

uint64_t mmi_onnx_widened_bytes(int32_t dtype) {
    return dtype == MM_F32 ? 0 : MAX_KC * GROUP * ONNX_NR * sizeof(float);
}

/* Rows [from, from + rows) of one panel to f32. Of i4, both are multiples of ONNX_I4_ROWS, but for
 * the end of the panel. */
static void widen(const struct onnx_simd *simd, const struct onnx_panels *b, uint64_t panel,
                  uint64_t from, uint64_t rows, float *to) {
    if (b->dtype == MM_F16) {
        simd->widen_f16(mmi_onnx_panel_row(b, panel, from), rows * ONNX_NR, to);
        return;
    }
    if (b->dtype == MM_BF16) {
        simd->widen_bf16(mmi_onnx_panel_row(b, panel, from), rows * ONNX_NR, to);
        return;
    }
    for (uint64_t end = from + rows, next; from < end; from = next) {
        uint64_t scale = mmi_onnx_panel_scale(b, panel, from);
        next = mmi_min_u64((from / b->block + 1) * b->block, end);
        struct onnx_scaled_rows scaled = {.from = mmi_onnx_panel_row(b, panel, from),
                                          .rows = next - from,
                                          .scales = b->scales + scale,
                                          .zeros = b->zeros ? b->zeros + scale : NULL,
                                          .to = to};
        (b->dtype == MM_I4 ? simd->widen_i4 : simd->widen_i8)(&scaled);
        to += (next - from) * ONNX_NR;
    }
}

/* Columns [column, column + part->n) of the result, for rows [from, from + part->k) of B. */
static void multiply(const struct onnx_simd *simd, const struct onnx_panels *b,
                     struct onnx_sgemm *part, uint64_t panel, uint64_t from, float *buffer) {
    uint64_t stride = mmi_div_up(part->k, ONNX_I4_ROWS) * ONNX_I4_ROWS * ONNX_NR;
    for (uint64_t j = 0; j * ONNX_NR < part->n; j++) {
        widen(simd, b, panel + j, from, part->k, buffer + j * stride);
    }
    part->b = buffer;
    part->b_k_stride = ONNX_NR;
    part->b_panel_stride = stride;
    mmi_onnx_sgemm_block(simd, part);
}

/* The part of the product with a group of columns and these rows of B. */
static struct onnx_sgemm part_of(const struct onnx_sgemm *p, uint64_t column, uint64_t from,
                                 uint64_t rows) {
    struct onnx_sgemm part = *p;
    part.n = mmi_min_u64(GROUP * ONNX_NR, p->n - column);
    part.k = mmi_min_u64(rows, p->k - from);
    part.a += from * p->a_k_stride;
    part.c += column;
    part.column_bias = p->column_bias ? p->column_bias + column : NULL;
    part.accumulate = p->accumulate || from > 0;
    part.activation = from + part.k == p->k ? p->activation : NULL;
    return part;
}

/* ---- One row of A ---------------------------------------------------------------------------- */

typedef void (*row_loop)(const struct onnx_narrow_row *row);

static row_loop find_row_loop(const struct onnx_simd *simd, int32_t dtype) {
    return dtype == MM_F16    ? simd->row_f16
           : dtype == MM_BF16 ? simd->row_bf16
           : dtype == MM_I8   ? simd->row_i8
                              : simd->row_i4;
}

/* C of a group, from panel `first` on. */
static void run_row_loop(row_loop loop, const struct onnx_sgemm *p, const struct onnx_panels *b,
                         uint64_t first, float *c) {
    uint64_t block = b->block ? b->block : mmi_max_u64(b->depth, 1);
    for (uint64_t from = 0; from < p->k; from += block) {
        uint64_t scale = b->block ? mmi_onnx_panel_scale(b, first, from) : 0;
        struct onnx_narrow_row row = {
            .k = mmi_min_u64(block, p->k - from),
            .a = p->a + from * p->a_k_stride,
            .a_k_stride = p->a_k_stride,
            .b = mmi_onnx_panel_row(b, first, from),
            .b_panel_bytes = mmi_onnx_narrow_panel_bytes(b->dtype, b->depth, 1),
            .scales = b->scales ? b->scales + scale : NULL,
            .zeros = b->zeros ? b->zeros + scale : NULL,
            .scale_stride = b->block ? mmi_div_up(b->depth, b->block) * ONNX_NR : 0,
            .c = c};
        loop(&row);
    }
}

/* Whole groups of panels; returns their columns. */
static uint64_t multiply_groups(const struct onnx_simd *simd, const struct onnx_sgemm *p,
                                const struct onnx_panels *b, uint64_t first) {
    enum { COLUMNS = GROUP * ONNX_NR };
    row_loop loop = find_row_loop(simd, b->dtype);
    uint64_t j = 0;
    for (; loop && j + COLUMNS <= p->n; j += COLUMNS) {
        float *c = p->c + j;
        for (uint64_t i = 0; i < COLUMNS && !p->accumulate; i++) {
            c[i] = p->row_bias ? p->row_bias[0] : p->column_bias ? p->column_bias[j + i] : 0;
        }
        run_row_loop(loop, p, b, first + j / ONNX_NR, c);
        if (p->activation) {
            simd->activate(p->activation, c, 0, 1, COLUMNS);
        }
    }
    return j;
}

/* ---- Many rows ------------------------------------------------------------------------------- */

/* All columns, one block of k after the other. */
static void multiply_columns(const struct onnx_simd *simd, const struct onnx_sgemm *p,
                             const struct onnx_panels *b, uint64_t first, float *buffer) {
    uint64_t kc = mmi_min_u64(mmi_onnx_sgemm_kc(p->k), MAX_KC), from = 0;
    kc = mmi_div_up(kc, ONNX_I4_ROWS) * ONNX_I4_ROWS;
    do { /* once even for k = 0: C becomes the bias */
        for (uint64_t j = 0; j < p->n; j += GROUP * ONNX_NR) {
            struct onnx_sgemm part = part_of(p, j, from, kc);
            multiply(simd, b, &part, first + j / ONNX_NR, from, buffer);
        }
        from += kc;
    } while (from < p->k);
}

/* Where all of A stays in the cache, B is read in the order in which it lies. */
static void multiply_rows(const struct onnx_simd *simd, const struct onnx_sgemm *p,
                          const struct onnx_panels *b, uint64_t first, float *buffer) {
    uint64_t step = p->m * p->k <= A_BLOCK_FLOATS ? GROUP * ONNX_NR : p->n;
    for (uint64_t j = 0; j < p->n; j += step) {
        struct onnx_sgemm part = *p;
        part.n = mmi_min_u64(step, p->n - j);
        part.c += j;
        part.column_bias = p->column_bias ? p->column_bias + j : NULL;
        multiply_columns(simd, &part, b, first + j / ONNX_NR, buffer);
    }
}

void mmi_onnx_sgemm_panels(const struct onnx_simd *simd, const struct onnx_sgemm *p,
                           const struct onnx_panels *b, uint64_t first, float *buffer) {
    struct onnx_sgemm part = *p;
    if (b->dtype == MM_F32) {
        part.b = mmi_onnx_panel_row(b, first, 0);
        part.b_k_stride = ONNX_NR;
        part.b_panel_stride = b->depth * ONNX_NR;
        mmi_onnx_sgemm(simd, &part);
        return;
    }
    uint64_t done = p->m == 1 ? multiply_groups(simd, p, b, first) : 0;
    part.n -= done;
    part.column_bias = p->column_bias ? p->column_bias + done : NULL;
    uint64_t kc = mmi_max_u64(mmi_onnx_sgemm_kc(p->k), 1);
    uint64_t mc = mmi_max_u64(A_BLOCK_FLOATS / kc / 12, 1) * 12;
    for (uint64_t i = 0; i < p->m && part.n > 0; i += mc) {
        part.m = mmi_min_u64(mc, p->m - i);
        part.a = p->a + i * p->a_row_stride;
        part.c = p->c + i * p->c_row_stride + done;
        part.row_bias = p->row_bias ? p->row_bias + i : NULL;
        multiply_rows(simd, &part, b, first + done / ONNX_NR, buffer);
    }
}
