/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_OPERATORS_DEQUANTIZED_H
#define MMI_BACKENDS_ONNX_OPERATORS_DEQUANTIZED_H

/* Products of u8 and i8 whose result is f32: sums exact in i32, then scaled. And how f32 becomes
 * u8 where the numbers themselves decide the scale, as in DynamicQuantizeLinear. */

#include <backends/onnx/operators/quantized.h>

struct onnx_to_bytes {
    float scale, zero; /* zero: 0 to 255, a whole number */
};
/* The scale by which these numbers, and 0, take all of 0 to 255. */
struct onnx_to_bytes mmi_onnx_find_bytes(const float *from, uint64_t count);
void mmi_onnx_to_bytes(const struct onnx_to_bytes *how, const float *from, uint64_t count,
                       uint8_t *to);

/* One number for the whole matrix, or one for each of its columns. */
struct onnx_by_column {
    const void *at; /* NULL: there is none */
    uint64_t count; /* 1, or the columns */
};

/* out[i][j] = (a[i] - a_zero) (b - b_zero)[j] a_scale b_scale[j] + bias[j] */
struct onnx_dequantized {
    onnx_quantized_runner runner;
    const struct onnx_call *call; /* for the runner */
    uint64_t rows, depth, columns;
    const void *a;
    int32_t a_dtype, a_zero;
    float a_scale;
    /* The row of `a` that is row i; NULL: i itself. */
    uint64_t (*row_of)(const void *ctx, uint64_t row);
    const void *ctx;
    const void *b;
    int32_t b_dtype;
    struct onnx_by_column b_zero, b_scale; /* of b's type; f32 */
    const float *bias;                     /* [columns]; NULL: none */
    bool adds;                             /* to what is in `out` */
    float *out;                            /* [rows][columns] */
};
/* scratch: mmi_onnx_quantized_bytes(depth, 0), as often as the runner wants. */
void mmi_onnx_multiply_dequantized(const struct onnx_dequantized *product, void *scratch);

/* Kernels of the operators that have such products, with another runner: one that takes the
 * scratch of as many threads as there are, or of one. */
mm_status mmi_onnx_run_integer_to_float(const struct onnx_call *call, onnx_quantized_runner runner,
                                        mm_error *err);
mm_status mmi_onnx_run_dynamic_matmul(const struct onnx_call *call, onnx_quantized_runner runner,
                                      mm_error *err);
mm_status mmi_onnx_run_dynamic_lstm(const struct onnx_call *call, onnx_quantized_runner runner,
                                    mm_error *err);
mm_status mmi_onnx_run_qattention(const struct onnx_call *call, onnx_quantized_runner runner,
                                  mm_error *err);

/* An input, if it is there, has this type and is one number, or one for each of `columns`. */
mm_status mmi_onnx_check_by_column(const struct onnx_inference *x, uint32_t input, int32_t dtype,
                                   int64_t columns, mm_error *err);
struct onnx_by_column mmi_onnx_by_column(const struct onnx_call *call, uint32_t input);
/* The one number of an input; 0 where it is left out. */
int32_t mmi_onnx_zero_of(const struct onnx_call *call, uint32_t input);

#endif
