/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_OPERATORS_QUANTIZED_H
#define MMI_BACKENDS_ONNX_OPERATORS_QUANTIZED_H

/* Products of quantised matrices. Bytes less their zero points are numbers of 16 bits, whose sums
 * of products are exact in i32, where they wrap around; floats of 8 bits are multiplied in f32.
 * Rows and panels are widened piece by piece: a large matrix is never there in 16 bits. */

#include <backends/onnx/operators/matmul.h>
#include <backends/onnx/operators/number.h>

/* Where quantised numbers go; how NULL: narrow floats saturate. */
struct onnx_requantizing {
    int32_t dtype;
    const struct onnx_narrowing *how;
};
/* Rounded to nearest, ties to even, and shifted; within the range of the type. At most ONNX_CHUNK;
 * what is no number becomes the zero point. */
void mmi_onnx_quantize(const struct onnx_requantizing *to, const double *values,
                       const double *zeros, uint64_t count, void *out);

/* `count` elements of u8, i8 or f8* as i16 or f32, less zeros[0], or each less its own; zeros are
 * of the type that they become. */
struct onnx_widening {
    int32_t from, to; /* to i16: from u8 or i8 */
    const void *zeros;
    bool each;
};
void mmi_onnx_widen_quantized(const struct onnx_widening *widening, const void *from,
                              uint64_t count, void *to);

/* A line of a panel: ONNX_NR bytes as i16. i8 is u8 with the highest bit turned over, and its zero
 * point 128 higher, so one loop does for both. */
struct onnx_line {
    uint8_t flip;
    int16_t zeros[ONNX_NR];
};
static inline void mmi_onnx_line_set(struct onnx_line *line, int32_t dtype, uint32_t j,
                                     int32_t zero) {
    line->flip = dtype == MM_I8 ? 0x80 : 0;
    line->zeros[j] = (int16_t)(zero + line->flip);
}
static inline void mmi_onnx_widen_line(const struct onnx_line *line, const uint8_t *from,
                                       int16_t *restrict to) {
    const uint8_t flip = line->flip;
    for (uint32_t j = 0; j < ONNX_NR; j++) {
        to[j] = (int16_t)((uint8_t)(from[j] ^ flip) - line->zeros[j]);
    }
}

#define ONNX_UNIT_PANELS 16u /* of a unit, at most */
/* The panels of some columns of a matrix of u8 or i8. */
struct onnx_byte_columns {
    int32_t dtype;
    const uint8_t *from;                       /* of the first row and column */
    uint64_t row, depth;                       /* bytes from row to row; rows */
    uint64_t count;                            /* columns, at most a unit's */
    int32_t zeros[ONNX_UNIT_PANELS * ONNX_NR]; /* [count] */
};
/* Row by row, so that each page is seen once. */
void mmi_onnx_widen_panels(const struct onnx_byte_columns *columns, int16_t *to);

/* `count` of ONNX_NR sums times the factor, or each times its own, as mmi_onnx_quantize has it. */
struct onnx_requantized {
    int32_t dtype; /* MM_U8 or MM_I8 */
    int32_t zero;
    double factor;
    const double *factors; /* [ONNX_NR]; NULL: `factor` */
};
void mmi_onnx_requantize(const struct onnx_requantized *to, const int32_t *sums, uint64_t count,
                         void *out);

/* sums[i][j] = start[i] + the sum over k of a[i][k] b[k][j], which wraps around. */
struct onnx_panel_product {
    uint64_t rows, depth; /* depth is even */
    const int16_t *a;     /* [rows][depth]: -255 to 255 */
    const int16_t *b;     /* [depth][ONNX_NR] */
    const int32_t *start; /* [rows]; NULL: 0 */
    int32_t *sums;        /* [rows][ONNX_NR] */
};
typedef void (*onnx_panel_loop)(const struct onnx_panel_product *panel);
void mmi_onnx_multiply_panel_i16(const struct onnx_panel_product *panel);

/* Of row `row`, from column `first` on; at: of the unit's columns. */
struct onnx_sums {
    uint64_t matrix, row, first, at, count;
    const void *sums; /* [ONNX_NR], `count` of them used */
};

/* A stack of products of the same shape. What the functions load is i16 where the sums are i32, or
 * f32; `own` is memory of own_bytes for them, 0 in the beginning, one on each thread. */
struct onnx_quantized_product {
    int32_t dtype; /* of the sums: MM_I32 or MM_F32 */
    uint64_t matrices, rows, depth, columns;
    /* [start_period][rows]: what the sums of a row begin with, of matrix i in i % start_period;
     * NULL: 0 */
    const int32_t *start;
    uint64_t start_period;
    uint64_t own_bytes;
    /* [depth] numbers of a row. */
    void (*load_row)(const void *ctx, uint64_t matrix, uint64_t row, void *to);
    /* [panels][depth, rounded up to an even number][ONNX_NR] of a unit: `count` columns from
     * `first` on; columns that are not there are 0. */
    void (*load_panels)(const void *ctx, void *own, uint64_t matrix, uint64_t first, uint64_t count,
                        void *to);
    /* At most ONNX_NR sums of a row, from column `first` of the unit's on. */
    void (*store)(const void *ctx, void *own, const struct onnx_sums *sums);
    const void *ctx;
};

/* Scratch of one thread; UINT64_MAX on overflow. */
uint64_t mmi_onnx_quantized_bytes(uint64_t depth, uint64_t own_bytes);
/* The work comes in units, of which each is done on its own. */
uint64_t mmi_onnx_quantized_units(const struct onnx_quantized_product *product);
/* Units [from, to), on one thread. */
void mmi_onnx_multiply_units(const struct onnx_quantized_product *product, onnx_panel_loop loop,
                             uint64_t from, uint64_t to, void *scratch);

/* How the operators have their products run: all units on this thread; or as cpu/ does it. The
 * scratch is as large as op->infer said, or as often that as there are threads. */
typedef void (*onnx_quantized_runner)(const struct onnx_quantized_product *product,
                                      const struct onnx_call *call, void *scratch);
void mmi_onnx_multiply_quantized(const struct onnx_quantized_product *product,
                                 const struct onnx_call *call, void *scratch);

/* Kernels of the operators that have such products, with another runner. */
mm_status mmi_onnx_run_conv_integer(const struct onnx_call *call, onnx_quantized_runner runner,
                                    mm_error *err);
mm_status mmi_onnx_run_qlinear_conv(const struct onnx_call *call, onnx_quantized_runner runner,
                                    mm_error *err);
mm_status mmi_onnx_run_matmul_integer(const struct onnx_call *call, onnx_quantized_runner runner,
                                      mm_error *err);
mm_status mmi_onnx_run_qlinear_matmul(const struct onnx_call *call, onnx_quantized_runner runner,
                                      mm_error *err);
mm_status mmi_onnx_run_qgemm(const struct onnx_call *call, onnx_quantized_runner runner,
                             mm_error *err);

#endif
