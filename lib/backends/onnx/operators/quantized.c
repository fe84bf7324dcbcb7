/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/operators/product.h>
#include <backends/onnx/operators/quantized.h>
#include <base/checked.h>

#include <math.h>

/* ---- Numbers --------------------------------------------------------------------------------- */

/* false: it is no integer type. */
static bool range_of(int32_t dtype, double *min, double *max) {
    if (!((ONNX_INTEGERS | ONNX_SMALL_INTEGERS) >> dtype & 1)) {
        return false;
    }
    bool is_signed = (ONNX_SIGNED | ONNX_TYPE(MM_I4) | ONNX_TYPE(MM_I2)) >> dtype & 1;
    int bits = (int)mm_dtype_bytes(dtype, 8);
    *min = is_signed ? -ldexp(1, bits - 1) : 0;
    *max = ldexp(1, is_signed ? bits - 1 : bits) - 1;
    return true;
}

void mmi_onnx_quantize(const struct onnx_requantizing *to, const double *values,
                       const double *zeros, uint64_t count, void *out) {
    union onnx_chunk numbers;
    double min, max;
    if (range_of(to->dtype, &min, &max)) {
        for (uint64_t i = 0; i < count; i++) {
            double value = isnan(values[i]) ? zeros[i] : rint(values[i]) + zeros[i];
            numbers.i64[i] = (int64_t)(value < min ? min : value > max ? max : value);
        }
        mmi_onnx_store_numbers(to->dtype, &numbers, count, out);
        return;
    }
    bool adds = to->dtype == MM_F4E2M1; /* as a float of 8 bits -0 stays -0 */
    for (uint64_t i = 0; i < count; i++) {
        numbers.f64[i] = adds || zeros[i] != 0 ? values[i] + zeros[i] : values[i];
    }
    mmi_onnx_convert_by(&(struct onnx_conversion){MM_F64, to->dtype, to->how}, &numbers, count,
                        out);
}

#define WIDEN(T, To)                                                                               \
    do {                                                                                           \
        const T *in = from;                                                                        \
        To *out = to;                                                                              \
        const double *zeros = widening->zeros;                                                     \
        To zero = (To)zeros[0];                                                                    \
        for (uint64_t i = 0; i < count; i++) {                                                     \
            out[i] = (To)in[i] - (widening->each ? (To)zeros[i] : zero);                           \
        }                                                                                          \
    } while (0)

void mmi_onnx_widen_quantized(const struct onnx_widening *widening, const void *from,
                              uint64_t count, void *to) {
    if (widening->to == MM_I32 && widening->from == MM_U8) {
        WIDEN(uint8_t, int32_t);
    } else if (widening->to == MM_I32) {
        WIDEN(int8_t, int32_t);
    } else {
        mmi_onnx_convert(widening->from, from, count, MM_F32, to);
        from = to;
        WIDEN(float, float);
    }
}

/* ---- Products -------------------------------------------------------------------------------- */

uint64_t mmi_onnx_quantized_bytes(uint64_t depth) {
    const uint64_t sums = ONNX_QUANTIZED_ROWS * ONNX_NR * sizeof(int32_t);
    uint64_t bytes;
    bool fits = mmi_mul(depth, (ONNX_QUANTIZED_ROWS + ONNX_NR) * sizeof(int32_t), &bytes) &&
                mmi_add(bytes, sums, &bytes);
    return fits ? bytes : UINT64_MAX;
}

void mmi_onnx_multiply_quantized(const struct onnx_quantized_product *product, void *scratch) {
    uint8_t *sums = scratch;
    uint8_t *panel = sums + ONNX_QUANTIZED_ROWS * ONNX_NR * sizeof(int32_t);
    uint8_t *rows = panel + product->depth * ONNX_NR * sizeof(int32_t);
    struct onnx_product part = {.dtype = product->dtype,
                                .depth = product->depth,
                                .a = {rows, (int64_t)product->depth, 1},
                                .b = {panel, ONNX_NR, 1},
                                .start = {NULL, 1, 0},
                                .out = sums,
                                .out_row = ONNX_NR};
    for (uint64_t i = 0; i < product->rows; i += ONNX_QUANTIZED_ROWS) {
        part.rows = mmi_min_u64(product->rows - i, ONNX_QUANTIZED_ROWS);
        part.start.at = product->start ? product->start + i : NULL;
        product->load_rows(product->ctx, i, part.rows, rows);
        for (uint64_t j = 0; j < product->columns; j += ONNX_NR) {
            part.columns = mmi_min_u64(product->columns - j, ONNX_NR);
            product->load_panel(product->ctx, j, part.columns, panel);
            mmi_onnx_multiply_panel(&part);
            for (uint64_t row = 0; row < part.rows; row++) {
                product->store(product->ctx, i + row, j, part.columns,
                               sums + row * ONNX_NR * sizeof(int32_t));
            }
        }
    }
}
