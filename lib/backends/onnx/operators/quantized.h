/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_OPERATORS_QUANTIZED_H
#define MMI_BACKENDS_ONNX_OPERATORS_QUANTIZED_H

/* Products of quantised matrices: elements less their zero points, in i32, whose sums wrap around;
 * floats of 8 bits in f32. Rows and panels are widened piece by piece, so that a large matrix is
 * never there in i32. */

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

/* `count` elements of u8, i8 or f8* less zeros[0], or each less its own, as i32 or f32. */
struct onnx_widening {
    int32_t from, to;
    const double *zeros;
    bool each;
};
void mmi_onnx_widen_quantized(const struct onnx_widening *widening, const void *from,
                              uint64_t count, void *to);

#define ONNX_QUANTIZED_ROWS 64 /* that are widened at once */
struct onnx_quantized_product {
    int32_t dtype; /* of the sums: MM_I32 or MM_F32 */
    uint64_t rows, depth, columns;
    const int32_t *start; /* [rows]: what the sums begin with; NULL: 0 */
    /* Widened: [count][depth]; [depth][ONNX_NR], of which `count` columns are used. */
    void (*load_rows)(const void *ctx, uint64_t first, uint64_t count, void *to);
    void (*load_panel)(const void *ctx, uint64_t first, uint64_t count, void *to);
    /* `count` sums of a row, from column `first` on. */
    void (*store)(const void *ctx, uint64_t row, uint64_t first, uint64_t count, const void *sums);
    const void *ctx;
};
/* Scratch; UINT64_MAX on overflow. */
uint64_t mmi_onnx_quantized_bytes(uint64_t depth);
void mmi_onnx_multiply_quantized(const struct onnx_quantized_product *product, void *scratch);

#endif
