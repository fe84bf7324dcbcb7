/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/cpu/gemm.h>
#include <base/checked.h>

#define MAX_KC 384
#define KC 256
#define NC 512 /* columns of C that stay in the caches while blocks of k are added to them */
#define A_BLOCK_FLOATS (32 * 1024) /* mc x kc: read again for each panel of B */

/* Up to this many columns after the last whole panel, and from this m on, dot products are
 * faster than a panel that is mostly empty. */
#define DOT_MAX_N 4
#define DOT_MIN_M 12

uint64_t mmi_onnx_sgemm_kc(uint64_t k) {
    if (k <= MAX_KC) {
        return k;
    }
    uint64_t blocks = (k + KC - 1) / KC;
    return (k + blocks - 1) / blocks;
}

/* Columns from `from` on, by dot products. */
static void multiply_edge(const struct onnx_simd *simd, const struct onnx_sgemm *p, uint64_t from) {
    float x[DOT_MAX_N * MAX_KC];
    struct onnx_dot_products dots = {.m = p->m,
                                     .n = p->n - from,
                                     .k = p->k,
                                     .a = p->a,
                                     .x = x,
                                     .a_row_stride = p->a_row_stride,
                                     .x_row_stride = p->k,
                                     .c = p->c + from,
                                     .c_row_stride = p->c_row_stride,
                                     .c_column_stride = 1,
                                     .accumulate = p->accumulate,
                                     .row_bias = p->row_bias};
    for (uint64_t k = 0; k < p->k; k++) {
        const float *row = p->b + from / ONNX_NR * p->b_panel_stride + k * p->b_k_stride;
        for (uint64_t i = 0; i < dots.n; i++) {
            x[i * p->k + k] = row[i];
        }
    }
    simd->dot_products(&dots);
    if (p->activation) {
        simd->activate(p->activation, dots.c, dots.c_row_stride, dots.m, dots.n);
    }
}

void mmi_onnx_sgemm_block(const struct onnx_simd *simd, const struct onnx_sgemm *p) {
    uint64_t mc = mmi_max_u64(A_BLOCK_FLOATS / mmi_max_u64(p->k, 1) / 12, 1) * 12;
    uint64_t full_n = p->n / ONNX_NR * ONNX_NR;
    bool dots = p->n - full_n <= DOT_MAX_N && p->k <= MAX_KC && p->a_k_stride == 1 &&
                !p->column_bias && !p->b_offsets && p->m >= DOT_MIN_M;
    full_n = dots ? full_n : p->n;
    for (uint64_t from = 0; from < p->m; from += mc) {
        struct onnx_sgemm part = *p;
        part.m = mmi_min_u64(mc, p->m - from);
        part.a += from * p->a_row_stride;
        part.c += from * p->c_row_stride;
        part.row_bias = p->row_bias ? p->row_bias + from : NULL;
        part.n = full_n;
        simd->gemm(&part);
        if (full_n < p->n) {
            part.n = p->n;
            multiply_edge(simd, &part, full_n);
        }
    }
}

/* Some columns of C: all blocks of k, one after the other, onto them. */
static void multiply_columns(const struct onnx_simd *simd, const struct onnx_sgemm *p) {
    uint64_t kc = mmi_onnx_sgemm_kc(p->k);
    uint64_t from = 0;
    do { /* once even for k = 0: C becomes the bias */
        struct onnx_sgemm part = *p;
        part.k = mmi_min_u64(kc, p->k - from);
        part.a += from * p->a_k_stride;
        part.b += from * p->b_k_stride;
        part.accumulate = p->accumulate || from > 0;
        from += kc;
        part.activation = from >= p->k ? p->activation : NULL;
        mmi_onnx_sgemm_block(simd, &part);
    } while (from < p->k);
}

void mmi_onnx_sgemm(const struct onnx_simd *simd, const struct onnx_sgemm *p) {
    for (uint64_t from = 0; from < p->n; from += NC) {
        struct onnx_sgemm part = *p;
        part.n = mmi_min_u64(NC, p->n - from);
        part.b += from / ONNX_NR * p->b_panel_stride;
        part.c += from;
        part.column_bias = p->column_bias ? p->column_bias + from : NULL;
        multiply_columns(simd, &part);
    }
}
