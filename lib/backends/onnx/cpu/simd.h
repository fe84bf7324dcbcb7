/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_CPU_SIMD_H
#define MMI_BACKENDS_ONNX_CPU_SIMD_H

/* The innermost loops, on f32, as a table for each kind of vector. What is written is `to` or `c`;
 * nothing else may overlap it unless a comment allows it. */

#include <backends/onnx/operators/activation.h>
#include <backends/onnx/operators/fused.h>
#include <backends/onnx/operators/matmul.h>

/* C [rows, columns] (+)= A [rows, depth] B [depth, columns], then bias and activation. */
struct onnx_simd_product {
    uint64_t rows, columns, depth;
    const float *a;
    uint64_t a_row, a_depth; /* strides in elements, here and below */
    const float *b;
    /* `b_panel` from 16 columns to the next 16: 16 for a plain matrix. offsets: [depth] in place
     * of steps of b_depth; NULL: none */
    uint64_t b_depth, b_panel;
    const uint64_t *b_offsets;
    float *c;
    uint64_t c_row;
    bool add; /* to what is in C: this is not the first stretch of the depth */
    /* with the first stretch; NULL: none */
    const float *row_bias, *column_bias;
    /* with the last one; NULL: none */
    const struct onnx_activation *activation;
};

/* C [rows, columns] (+)= A [rows, depth] X [columns, depth]^T: along the depth both lie close. */
struct onnx_dots {
    uint64_t rows, columns, depth;
    const float *a, *x;
    uint64_t a_row, x_column;
    float *c;
    uint64_t c_row, c_column;
    bool add;
    const float *row_bias; /* NULL: none */
};

/* A row of results, each a sum or the greatest of `count` numbers, one from each tap. */
struct onnx_taps {
    const float *from;
    /* [count]: tap t of result i is from[offsets[t] + i]; readable up to a multiple of 16 of i */
    const uint64_t *offsets;
    const float *weights; /* [count] */
    uint64_t count, columns;
    float *to;
    float bias;
};

/* Rows of results of a window that slides over a strip (strip.h), four of which are made together:
 * the strip must go on far enough for that. */
struct onnx_slide {
    const float *from;
    uint64_t row;                                 /* floats from one row of the strip to the next */
    uint64_t kernel_rows, kernel_columns, stride; /* stride: rows from one result to the next */
    const uint64_t *offsets;                      /* [kernel_columns], as onnx_taps has them */
    const float *weights;                         /* [kernel_rows][kernel_columns] */
    float *to;                                    /* [rows][columns] */
    uint64_t rows, columns;
    float bias;
};

/* A row that is normalised: to[i] = (from[i] - mean) * inverse * scale[i] + bias[i] (bias NULL:
 * 0). */
struct onnx_normal {
    const float *from, *scale, *bias;
    float mean, inverse;
    float *to; /* may be `from` */
    uint64_t count;
};

struct onnx_simd {
    /* All 16 columns of B's last panel must be readable. */
    void (*product)(const struct onnx_simd_product *p);
    void (*dots)(const struct onnx_dots *d);
    /* values [rows, columns], `row` elements from one row to the next */
    void (*activate)(const struct onnx_activation *activation, float *values, uint64_t row,
                     uint64_t rows, uint64_t columns);
    onnx_instruction_loop instruction;
    /* to[i] = from[i * stride] */
    void (*gather)(const float *from, uint64_t stride, float *to, uint64_t count);
    /* to[i * ways + w] = from[w * from_row + i], w < ways */
    void (*interleave)(const float *from, uint64_t from_row, uint64_t ways, float *to,
                       uint64_t count);
    void (*weigh)(const struct onnx_taps *taps); /* sums, each tap times its weight */
    /* to[i * times + t] = from[i], t < times */
    void (*repeat)(const float *from, uint64_t times, float *to, uint64_t count);
    /* false: not for such a window, use weigh */
    bool (*slide)(const struct onnx_slide *slide);
    void (*greatest)(const struct onnx_taps *taps); /* without weights and bias */
    float (*sum)(const float *values, uint64_t count);
    /* of (values[i] - shift)^2 */
    float (*squares)(const float *values, float shift, uint64_t count);
    void (*normalise)(const struct onnx_normal *normal);
    float (*max)(const float *values, uint64_t count); /* count >= 1; NaN if one is */
    /* to[i] = e^(values[i] - shift); returns their sum. `to` may be `values`. */
    float (*exponentials)(const float *values, float shift, float *to, uint64_t count);
    /* One step of an LSTM: gates i o f c, `count` of each; the cell's state; the hidden one. */
    void (*lstm)(const float *gates, float *cell, float *hidden, uint64_t count);
};

extern const struct onnx_simd mmi_onnx_simd_portable;
extern const struct onnx_simd mmi_onnx_simd_avx2; /* x86-64 only */

/* The best table for these MM_CPU_*. */
const struct onnx_simd *mmi_onnx_simd(uint64_t cpu_features);

#endif
