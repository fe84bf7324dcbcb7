/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_CPU_SIMD_H
#define MMI_BACKENDS_ONNX_CPU_SIMD_H

/* The inner loops, on f32, as one table for each instruction set. `to` and `c` are written, and
 * overlap no input unless a comment allows it. */

#include <backends/onnx/operators/activation.h>
#include <backends/onnx/operators/fused.h>
#include <backends/onnx/operators/matmul.h>
#include <backends/onnx/operators/quantized.h>

/* C [m, n] (+)= A [m, k] B [k, n], then bias and activation. Strides are in elements, here and
 * below. */
struct onnx_sgemm {
    uint64_t m, n, k;
    const float *a;
    uint64_t a_row_stride, a_k_stride;
    /* in panels of ONNX_NR columns; of a plain matrix the panel stride is ONNX_NR */
    const float *b;
    uint64_t b_k_stride, b_panel_stride;
    float *c;
    uint64_t c_row_stride;
    bool accumulate;                          /* onto C: not the first block of k */
    const float *row_bias, *column_bias;      /* set with the first block of k; NULL: none */
    const struct onnx_activation *activation; /* set with the last block of k; NULL: none */
};

/* C [m, n] (+)= A [m, k] X [n, k]^T; the stride along k is 1 in both. */
struct onnx_dot_products {
    uint64_t m, n, k;
    const float *a, *x;
    uint64_t a_row_stride, x_row_stride;
    float *c;
    uint64_t c_row_stride, c_column_stride;
    bool accumulate;
    const float *row_bias; /* NULL: none */
};

/* A stretch of memory: `length` floats, `offset` behind where a row begins. */
struct onnx_span {
    uint64_t offset, length;
};
/* C [m, n] (+)= A B, then what is added and the activation. A row of A is its spans, one after
 * another. */
struct onnx_span_gemm {
    uint64_t m, n;
    const float *const *a; /* [m]: where each row begins */
    const struct onnx_span *spans;
    uint64_t span_count;
    const float *b; /* in panels of ONNX_NR columns */
    uint64_t b_panel_stride;
    float *c;
    uint64_t c_row_stride;
    bool accumulate;                          /* onto C */
    const float *column_bias;                 /* [n], added in any case; NULL: none */
    float low, high;                          /* results are clamped to these, */
    const struct onnx_activation *activation; /* then activated; NULL: not */
};

/* Neighbouring windows on an image whose channels are the last axis: of each channel the weighted
 * sum, plus bias, or the maximum of what the taps see, clamped. */
struct onnx_pixels {
    const float *from;
    uint64_t pixel_stride;       /* floats from one window to the next */
    const uint64_t *offsets;     /* [taps]: what a tap of the first window sees, behind `from` */
    const float *const *weights; /* [taps]: [channels]; maximum: not read */
    uint64_t taps, pixels, channels;
    /* So many taps each see what the one before sees one window further on; 0: not known. */
    uint64_t neighbours;
    const float *bias; /* [channels]; NULL: 0 */
    float low, high;
    float *to; /* [pixels][channels] */
};

/* Winograd's algorithm for 3 x 3 windows, simd_winograd.h. A tile of 6 x 6 pixels of all channels,
 * transformed: [36][...][channels], `step` floats from one of the 36 to the next. */
struct onnx_winograd_tile {
    const float *pixels;
    uint64_t row_stride, channels;
    float *transformed;
    uint64_t step;
};
/* What the 36 products [ONNX_NR] of a tile come to: `rows` x `pixels` results of `columns`
 * channels, at most 4 x 4 and ONNX_NR. */
struct onnx_winograd_result {
    const float *products;
    uint64_t step;
    const float *bias;   /* [ONNX_NR] */
    const float *addend; /* laid out as `to`; NULL: none */
    float low, high;
    uint64_t rows, pixels, columns;
    uint64_t row_stride, pixel_stride; /* of `to` */
    float *to;
};

/* A row of outputs of a window: each the sum or maximum of `count` elements, one for each tap. */
struct onnx_window_row {
    const float *from;
    /* [count]: tap t of output i is from[offsets[t] + i]; readable for i up to a multiple of 16 */
    const uint64_t *offsets;
    const float *weights; /* [count] */
    uint64_t count, columns;
    float *to;
    float bias;
};

/* Rows of outputs of a depthwise convolution over padded rows (padded_rows.h). They are computed
 * four at a time: the padded rows must suffice for a multiple of four. */
struct onnx_depthwise {
    const float *from;
    uint64_t row_stride;                          /* of the padded rows */
    uint64_t kernel_rows, kernel_columns, stride; /* stride: input rows per output row */
    const uint64_t *offsets; /* [kernel_columns], as onnx_window_row has them */
    const float *weights;    /* [kernel_rows][kernel_columns] */
    float *to;               /* [rows][columns] */
    uint64_t rows, columns;
    float bias;
};

/* to[i] = (from[i] - mean) * inv_std * scale[i] + bias[i]; bias NULL: 0. */
struct onnx_normalisation {
    const float *from, *scale, *bias;
    float mean, inv_std;
    float *to; /* may be `from` */
    uint64_t count;
};

/* Rows of a panel of integers, which share a scale by column: to = (from - zeros) * scales. */
struct onnx_scaled_rows {
    const void *from;    /* see operators/panels.h */
    uint64_t rows;       /* of i4, whole words of them are written */
    const float *scales; /* [ONNX_NR] */
    const int8_t *zeros; /* [ONNX_NR]; NULL: 0 */
    float *to;           /* [rows][ONNX_NR] */
};

/* Rows of four panels of a narrow type, times one row of A, added to C. */
struct onnx_narrow_row {
    uint64_t k;
    const float *a;
    uint64_t a_k_stride;
    const void *b;
    uint64_t b_panel_bytes; /* from one panel to the next */
    /* of i8 and i4, for all of these rows: of each panel [ONNX_NR]; zeros NULL: 0 */
    const float *scales;
    const int8_t *zeros;
    uint64_t scale_stride; /* from those of one panel to the next */
    float *c;              /* [4 * ONNX_NR] */
};

struct onnx_simd {
    /* All ONNX_NR columns of B's last panel must be readable. */
    void (*gemm)(const struct onnx_sgemm *p);
    void (*span_gemm)(const struct onnx_span_gemm *p);
    void (*winograd_input)(const struct onnx_winograd_tile *t);
    /* A panel of weights [9][channels][ONNX_NR] to [36][channels][ONNX_NR], `step` floats from one
     * of the 36 to the next. */
    void (*winograd_weights)(const float *panel, uint64_t channels, float *to, uint64_t step);
    void (*winograd_output)(const struct onnx_winograd_result *r);
    void (*pixel_sum)(const struct onnx_pixels *p);
    void (*pixel_max)(const struct onnx_pixels *p);
    void (*dot_products)(const struct onnx_dot_products *d);
    /* values [rows, columns], in place */
    void (*activate)(const struct onnx_activation *activation, float *values, uint64_t row_stride,
                     uint64_t rows, uint64_t columns);
    onnx_instruction_loop instruction;
    /* to[i] = from[i * stride] */
    void (*gather)(const float *from, uint64_t stride, float *to, uint64_t count);
    /* to[i * ways + w] = from[w * from_row + i], w < ways */
    void (*interleave)(const float *from, uint64_t from_row, uint64_t ways, float *to,
                       uint64_t count);
    void (*window_sum)(const struct onnx_window_row *row); /* weighted, plus bias */
    /* to[i * times + t] = from[i], t < times */
    void (*repeat)(const float *from, uint64_t times, float *to, uint64_t count);
    /* false: not for this kernel size and stride; use window_sum */
    bool (*depthwise)(const struct onnx_depthwise *dw);
    void (*window_max)(const struct onnx_window_row *row); /* ignores weights and bias */
    float (*sum)(const float *values, uint64_t count);
    /* of (values[i] - shift)^2 */
    float (*sum_squares)(const float *values, float shift, uint64_t count);
    void (*normalise)(const struct onnx_normalisation *n);
    float (*max)(const float *values, uint64_t count); /* count >= 1; NaN if any is NaN */
    /* to[i] = e^(values[i] - shift), none above 1; what would be subnormal is 0. Returns their sum.
     * `to` may be `values`. */
    float (*sum_exp)(const float *values, float shift, float *to, uint64_t count);
    /* to[i] = sum of weights[r] * rows[r][i], r < count; count >= 1 */
    void (*weigh_rows)(const float *const *rows, const float *weights, uint64_t count,
                       uint64_t length, float *to);
    /* Of each column of a matrix [rows, columns], rows >= 1; `to` may be `from`. */
    void (*softmax_columns)(const float *from, uint64_t rows, uint64_t columns, float *to);
    /* One step of an LSTM: gates i, o, f, c, `count` of each; updates both states. */
    void (*lstm)(const float *gates, float *cell, float *hidden, uint64_t count);
    /* One step of a GRU: gates z, r and the candidate, which gets r * recurrent (NULL: it has that
     * already), `count` of each; updates the state. */
    void (*gru)(const float *gates, const float *recurrent, float *hidden, uint64_t count);
    /* to[i] = sigmoid(r[i]) * hidden[i] */
    void (*gru_reset)(const float *r, const float *hidden, float *to, uint64_t count);
    onnx_panel_loop panel_i16;
    /* to[i] = from[i], rounded to nearest where it is the narrow one */
    void (*widen_f16)(const uint16_t *from, uint64_t count, float *to);
    void (*widen_bf16)(const uint16_t *from, uint64_t count, float *to);
    void (*narrow_f16)(const float *from, uint64_t count, uint16_t *to);
    void (*narrow_bf16)(const float *from, uint64_t count, uint16_t *to);
    void (*widen_i8)(const struct onnx_scaled_rows *rows);
    void (*widen_i4)(const struct onnx_scaled_rows *rows);
    /* NULL: none that is faster than to widen first */
    void (*row_f16)(const struct onnx_narrow_row *row);
    void (*row_bf16)(const struct onnx_narrow_row *row);
    void (*row_i8)(const struct onnx_narrow_row *row);
    void (*row_i4)(const struct onnx_narrow_row *row);
};

extern const struct onnx_simd mmi_onnx_simd_portable;
/* x86-64 only */
extern const struct onnx_simd mmi_onnx_simd_avx2;
extern const struct onnx_simd mmi_onnx_simd_avx512;
extern const struct onnx_simd mmi_onnx_simd_avx512_vnni;

/* The best table for these MM_CPU_*. */
const struct onnx_simd *mmi_onnx_simd(uint64_t cpu_features);

#endif
