/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/operators/product.h>
#include <backends/onnx/operators/quantized.h>
#include <base/checked.h>

#include <math.h>
#include <string.h>

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

/* Adding this to a double and taking it away again rounds to the nearest integer, ties to even. */
#define ROUNDING 0x1.8p52

/* Clamped first, so that loops need no branch: the limits are integers, rounding keeps order. What
 * is no number becomes 0. */
static inline double round_within(double value, double low, double high) {
    value = value == value ? value : 0;
    value = value < low ? low : value;
    value = value > high ? high : value;
    return value + ROUNDING - ROUNDING;
}

#define QUANTIZE_BYTES(T, MIN, MAX)                                                                \
    do {                                                                                           \
        T *bytes = out;                                                                            \
        for (uint64_t i = 0; i < count; i++) {                                                     \
            double low = (MIN)-zeros[i], high = (MAX)-zeros[i];                                    \
            bytes[i] = (T)(int32_t)(round_within(values[i], low, high) + zeros[i]);                \
        }                                                                                          \
    } while (0)

void mmi_onnx_quantize(const struct onnx_requantizing *to, const double *values,
                       const double *zeros, uint64_t count, void *out) {
    union onnx_chunk numbers;
    double min, max;
    if (to->dtype == MM_U8) {
        QUANTIZE_BYTES(uint8_t, 0, 255);
        return;
    }
    if (to->dtype == MM_I8) {
        QUANTIZE_BYTES(int8_t, -128, 127);
        return;
    }
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

void mmi_onnx_requantize(const struct onnx_requantized *to, const int32_t *sums, uint64_t count,
                         void *out) {
    const int32_t min = to->dtype == MM_I8 ? -128 : 0;
    const double low = min - to->zero, high = min + 255 - to->zero;
    int32_t numbers[ONNX_NR];
    uint8_t bytes[ONNX_NR];
    double values[ONNX_NR];
    for (uint32_t j = 0; j < ONNX_NR && to->factors; j++) {
        values[j] = sums[j] * to->factors[j];
    }
    for (uint32_t j = 0; j < ONNX_NR && !to->factors; j++) {
        values[j] = sums[j] * to->factor;
    }
    for (uint32_t j = 0; j < ONNX_NR; j++) {
        numbers[j] = (int32_t)round_within(values[j], low, high);
    }
    for (uint32_t j = 0; j < ONNX_NR; j++) {
        bytes[j] = (uint8_t)(numbers[j] + to->zero);
    }
    memcpy(out, bytes, count);
}

#define WIDEN(T, To)                                                                               \
    do {                                                                                           \
        const T *in = from;                                                                        \
        const To *zeros = widening->zeros;                                                         \
        To *restrict out = to;                                                                     \
        To zero = zeros[0];                                                                        \
        for (uint64_t i = 0; widening->each && i < count; i++) {                                   \
            out[i] = (To)((To)in[i] - zeros[i]);                                                   \
        }                                                                                          \
        for (uint64_t i = 0; !widening->each && i < count; i++) {                                  \
            out[i] = (To)((To)in[i] - zero);                                                       \
        }                                                                                          \
    } while (0)

void mmi_onnx_widen_quantized(const struct onnx_widening *widening, const void *from,
                              uint64_t count, void *to) {
    if (widening->to == MM_I16 && widening->from == MM_U8) {
        WIDEN(uint8_t, int16_t);
    } else if (widening->to == MM_I16) {
        WIDEN(int8_t, int16_t);
    } else {
        mmi_onnx_convert(widening->from, from, count, MM_F32, to);
        from = to;
        WIDEN(float, float);
    }
}

void mmi_onnx_widen_panels(const struct onnx_byte_columns *columns, int16_t *to) {
    const uint64_t step = (columns->depth + columns->depth % 2) * ONNX_NR;
    const uint64_t whole = columns->count / ONNX_NR, rest = columns->count % ONNX_NR;
    const uint8_t *from = columns->from;
    struct onnx_line lines[ONNX_UNIT_PANELS];
    uint8_t bytes[ONNX_NR] = {0};
    for (uint32_t j = 0; j < (whole + (rest > 0)) * ONNX_NR; j++) { /* not there: 0 less 0 */
        int32_t zero = j < columns->count ? columns->zeros[j] : 0;
        mmi_onnx_line_set(&lines[j / ONNX_NR], columns->dtype, j % ONNX_NR, zero);
    }
    for (uint64_t k = 0; k < columns->depth; k++, from += columns->row, to += ONNX_NR) {
        for (uint64_t panel = 0; panel < whole; panel++) {
            mmi_onnx_widen_line(&lines[panel], from + panel * ONNX_NR, to + panel * step);
        }
        if (rest > 0) {
            memcpy(bytes, from + whole * ONNX_NR, rest);
            mmi_onnx_widen_line(&lines[whole], bytes, to + whole * step);
        }
    }
}

/* ---- Panels ---------------------------------------------------------------------------------- */

void mmi_onnx_multiply_panel_i16(const struct onnx_panel_product *p) {
    for (uint64_t i = 0; i < p->rows; i++) {
        const int16_t *a = p->a + i * p->depth, *b = p->b;
        uint32_t sums[ONNX_NR];
        for (uint32_t j = 0; j < ONNX_NR; j++) {
            sums[j] = p->start ? (uint32_t)p->start[i] : 0;
        }
        for (uint64_t k = 0; k < p->depth; k++, b += ONNX_NR) {
            int32_t factor = a[k];
            for (uint32_t j = 0; j < ONNX_NR; j++) {
                sums[j] += (uint32_t)(factor * b[j]);
            }
        }
        memcpy(p->sums + i * ONNX_NR, sums, sizeof(sums));
    }
}

static void multiply_f32(const struct onnx_panel_product *p) {
    const struct onnx_product product = {.dtype = MM_F32,
                                         .rows = p->rows,
                                         .depth = p->depth,
                                         .columns = ONNX_NR,
                                         .a = {p->a, (int64_t)p->depth, 1},
                                         .b = {p->b, ONNX_NR, 1},
                                         .out = p->sums,
                                         .out_row = ONNX_NR};
    mmi_onnx_multiply_panel(&product);
}

/* ---- Products -------------------------------------------------------------------------------- */

#define ROWS 64              /* that are widened at once */
#define PANEL_BYTES 0x40000u /* of the panels that are: they stay in a cache while rows go by */
#define SHALLOW 64           /* from this depth on it pays that several panels share the rows */

/* Numbers in a row or in a column of a panel: pairs are multiplied at once. */
static uint64_t even(uint64_t depth) {
    return depth + depth % 2;
}

/* Those of a unit. */
static uint64_t panels_of(uint64_t depth) {
    uint64_t bytes = even(depth) * ONNX_NR * sizeof(float);
    uint64_t panels = depth < SHALLOW ? 1 : PANEL_BYTES / bytes;
    return mmi_max_u64(mmi_min_u64(panels, ONNX_UNIT_PANELS), 1);
}

uint64_t mmi_onnx_quantized_bytes(uint64_t depth, uint64_t own_bytes) {
    const uint64_t sums = ROWS * ONNX_NR * sizeof(int32_t);
    uint64_t bytes;
    bool fits = depth < UINT64_MAX / 4096 &&
                mmi_mul(even(depth), (ROWS + panels_of(depth) * ONNX_NR) * sizeof(float), &bytes) &&
                mmi_add(bytes, sums, &bytes) && mmi_add(bytes, own_bytes, &bytes) &&
                mmi_add(bytes, 63, &bytes);
    return fits ? bytes / 64 * 64 : UINT64_MAX;
}

/* A unit is some panels of one matrix. Those of all matrices at the same place follow each other:
 * a convolution in groups finds its windows once. */
uint64_t mmi_onnx_quantized_units(const struct onnx_quantized_product *product) {
    uint64_t columns = panels_of(product->depth) * ONNX_NR;
    return (product->columns + columns - 1) / columns * product->matrices;
}

struct work {
    const struct onnx_quantized_product *product;
    onnx_panel_loop loop;
    uint64_t depth, width; /* of a number in a row or panel */
    int32_t *sums;
    uint8_t *panels, *rows;
    void *own;
    uint64_t matrix, first, columns; /* of the unit under way */
    uint64_t loaded;                 /* which rows are: 1 + (matrix, first row); 0: none */
};

/* The last number of an odd depth is 0. */
static void load_rows(struct work *w, uint64_t first, uint64_t count) {
    const struct onnx_quantized_product *p = w->product;
    uint64_t which = 1 + w->matrix * p->rows + first;
    for (uint64_t i = 0; i < count && w->depth > 0 && w->loaded != which; i++) {
        uint8_t *row = w->rows + i * w->depth * w->width;
        memset(row + (w->depth - 1) * w->width, 0, w->width);
        p->load_row(p->ctx, w->matrix, first + i, row);
    }
    w->loaded = which;
}

static void load_panels(struct work *w) {
    const struct onnx_quantized_product *p = w->product;
    uint64_t line = ONNX_NR * w->width;
    for (uint64_t j = 0; j < w->columns; j += ONNX_NR) {
        memset(w->panels + (j / ONNX_NR * w->depth + w->depth - 1) * line, 0, line);
    }
    p->load_panels(p->ctx, w->own, w->matrix, w->first, w->columns, w->panels);
}

static void multiply_rows(struct work *w, uint64_t first, uint64_t count) {
    const struct onnx_quantized_product *p = w->product;
    struct onnx_panel_product part = {
        .rows = count, .depth = w->depth, .a = (const void *)w->rows, .sums = w->sums};
    if (p->start) {
        part.start = p->start + w->matrix % p->start_period * p->rows + first;
    }
    load_rows(w, first, count);
    for (uint64_t j = 0; j < w->columns; j += ONNX_NR) {
        part.b = (const void *)(w->panels + j * w->depth * w->width);
        w->loop(&part);
        struct onnx_sums sums = {w->matrix, first, w->first + j, j, w->columns - j, w->sums};
        sums.count = mmi_min_u64(sums.count, ONNX_NR);
        for (uint64_t i = 0; i < count; i++, sums.row++) {
            sums.sums = w->sums + i * ONNX_NR;
            p->store(p->ctx, w->own, &sums);
        }
    }
}

void mmi_onnx_multiply_units(const struct onnx_quantized_product *product, onnx_panel_loop loop,
                             uint64_t from, uint64_t to, void *scratch) {
    const uint64_t columns = panels_of(product->depth) * ONNX_NR;
    struct work w = {.product = product,
                     .loop = product->dtype == MM_I32 ? loop : multiply_f32,
                     .depth = even(product->depth),
                     .width = product->dtype == MM_I32 ? sizeof(int16_t) : sizeof(float),
                     .sums = scratch};
    w.panels = (uint8_t *)scratch + ROWS * ONNX_NR * sizeof(int32_t);
    w.rows = w.panels + w.depth * columns * w.width;
    w.own = w.rows + w.depth * ROWS * w.width;
    memset(w.own, 0, product->own_bytes);
    for (uint64_t unit = from; unit < to; unit++) {
        w.matrix = unit % product->matrices;
        w.first = unit / product->matrices * columns;
        w.columns = mmi_min_u64(product->columns - w.first, columns);
        if (w.depth > 0) {
            load_panels(&w);
        }
        for (uint64_t i = 0; i < product->rows; i += ROWS) {
            multiply_rows(&w, i, mmi_min_u64(product->rows - i, ROWS));
        }
    }
}

void mmi_onnx_multiply_quantized(const struct onnx_quantized_product *product,
                                 const struct onnx_call *call, void *scratch) {
    (void)call;
    uint64_t units = mmi_onnx_quantized_units(product);
    mmi_onnx_multiply_units(product, mmi_onnx_multiply_panel_i16, 0, units, scratch);
}
