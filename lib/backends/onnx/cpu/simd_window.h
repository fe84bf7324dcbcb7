/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_CPU_SIMD_WINDOW_H
#define MMI_BACKENDS_ONNX_CPU_SIMD_WINDOW_H

/* Copies of rows, and windows over rows. */

#include <backends/onnx/cpu/simd_gemm.h>

static void gather(const float *from, uint64_t stride, float *to, uint64_t count) {
    uint64_t i = 0;
    if (stride == 1 && count >= LANES) {
        for (; i + LANES <= count; i += LANES) {
            v_store(to + i, v_load(from + i));
        }
        v_store(to + count - LANES, v_load(from + count - LANES));
        return;
    }
    if (stride == 2) {
        for (; i + LANES < count; i += LANES) { /* < : the last odd element may not be readable */
            vec even, odd;
            v_unzip(from + 2 * i, &even, &odd);
            v_store(to + i, even);
        }
    }
    for (; i < count; i++) {
        to[i] = from[i * stride];
    }
}

static void interleave(const float *from, uint64_t from_row, uint64_t ways, float *to,
                       uint64_t count) {
    uint64_t i = 0;
    for (; ways == 2 && i + LANES <= count; i += LANES) {
        vec first, second;
        v_zip(v_load(from + i), v_load(from + from_row + i), &first, &second);
        v_store(to + 2 * i, first);
        v_store(to + 2 * i + LANES, second);
    }
    for (; i < count; i++) {
        for (uint64_t w = 0; w < ways; w++) {
            to[i * ways + w] = from[w * from_row + i];
        }
    }
}

static void repeat(const float *from, uint64_t times, float *to, uint64_t count) {
    if (times <= 2) {
        if (times == 1) {
            gather(from, 1, to, count);
        } else {
            interleave(from, 0, times, to, count);
        }
        return;
    }
    uint64_t steps = (times + LANES - 1) / LANES;
    uint64_t i = 0;
    for (; i < count && i * times + steps * LANES <= count * times; i++) {
        for (uint64_t step = 0; step < steps; step++) {
            v_store(to + i * times + step * LANES, v_set(from[i]));
        }
    }
    for (; i < count; i++) {
        for (uint64_t t = 0; t < times; t++) {
            to[i * times + t] = from[i];
        }
    }
}

/* Several vectors of a row together: each weight is loaded once for all. Even and odd taps have
 * separate accumulators, to hide the latency of an FMA. */
#define INIT_SUMS(v)                                                                               \
    vec even_##v = v_set(t->bias);                                                                 \
    vec odd_##v = v_set(0);
#define FMA_EVEN(v) even_##v = v_fma(weight, v_load(from + v * LANES), even_##v);
#define FMA_ODD(v) odd_##v = v_fma(weight, v_load(from + v * LANES), odd_##v);
#define STORE_SUMS(v)                                                                              \
    if (v + 1 < vectors || last == LANES) {                                                        \
        v_store(to + v * LANES, even_##v + odd_##v);                                               \
    } else {                                                                                       \
        v_store_part(to + v * LANES, even_##v + odd_##v, last);                                    \
    }
#define WINDOW_SUM(vectors_)                                                                       \
    static void window_sum_##vectors_(const struct onnx_window_row *t, uint64_t at,                \
                                      uint64_t last) {                                             \
        const uint64_t vectors = vectors_;                                                         \
        const float *all = t->from + at;                                                           \
        float *to = t->to + at;                                                                    \
        REPEAT_##vectors_(INIT_SUMS);                                                              \
        uint64_t k = 0;                                                                            \
        for (; k + 2 <= t->count; k += 2) {                                                        \
            const float *from = all + t->offsets[k];                                               \
            vec weight = v_set(t->weights[k]);                                                     \
            REPEAT_##vectors_(FMA_EVEN);                                                           \
            from = all + t->offsets[k + 1];                                                        \
            weight = v_set(t->weights[k + 1]);                                                     \
            REPEAT_##vectors_(FMA_ODD);                                                            \
        }                                                                                          \
        if (k < t->count) {                                                                        \
            const float *from = all + t->offsets[k];                                               \
            vec weight = v_set(t->weights[k]);                                                     \
            REPEAT_##vectors_(FMA_EVEN);                                                           \
        }                                                                                          \
        REPEAT_##vectors_(STORE_SUMS);                                                             \
    }

WINDOW_SUM(1)
WINDOW_SUM(2)
WINDOW_SUM(3)
WINDOW_SUM(4)

static void window_sum(const struct onnx_window_row *t) {
    static void (*const by_vectors[])(const struct onnx_window_row *, uint64_t, uint64_t) = {
        window_sum_1, window_sum_2, window_sum_3, window_sum_4};
    uint64_t vectors = (t->columns + LANES - 1) / LANES;
    uint64_t blocks = (vectors + 3) / 4;
    uint64_t base = vectors / blocks, rest = vectors % blocks;
    for (uint64_t i = 0, at = 0; i < blocks; i++) {
        uint64_t count = base + (i < rest ? 1 : 0);
        uint64_t left = t->columns - (at + (count - 1) * LANES);
        by_vectors[count - 1](t, at, left < LANES ? left : LANES);
        at += count * LANES;
    }
}

static void window_max(const struct onnx_window_row *t) {
    for (uint64_t i = 0; i < t->columns; i += LANES) {
        uint64_t left = t->columns - i;
        vec max_value = v_load(t->from + t->offsets[0] + i);
        for (uint64_t k = 1; k < t->count; k++) {
            max_value = v_max_or_nan(max_value, v_load(t->from + t->offsets[k] + i));
        }
        v_store_part(t->to + i, max_value, left < LANES ? left : LANES);
    }
}

/* ---- Depthwise convolution */

#define DW_TILE_ROWS 4

/* Input row r, for output row o. */
#define DW_FMA(o, r)                                                                               \
    if (r >= stride * o && r < stride * o + kernel) {                                              \
        acc_##o##_0 = v_fma(weights[r - stride * o], x_0, acc_##o##_0);                            \
        acc_##o##_1 = v_fma(weights[r - stride * o], x_1, acc_##o##_1);                            \
    }
#define DW_LOAD_ROW(r)                                                                             \
    if (r < stride * (DW_TILE_ROWS - 1) + kernel) {                                                \
        vec x_0 = v_load(from + r * dw->row_stride);                                               \
        vec x_1 = two ? v_load(from + r * dw->row_stride + LANES) : x_0;                           \
        DW_FMA(0, r)                                                                               \
        DW_FMA(1, r)                                                                               \
        DW_FMA(2, r)                                                                               \
        DW_FMA(3, r)                                                                               \
    }
#define DW_STORE(o)                                                                                \
    if (o < rows && columns >= (two ? 2 : 1) * LANES) {                                            \
        v_store(to + o * dw->columns, acc_##o##_0);                                                \
        v_store(to + o * dw->columns + (two ? LANES : 0), two ? acc_##o##_1 : acc_##o##_0);        \
    } else if (o < rows) {                                                                         \
        v_store_part(to + o * dw->columns, acc_##o##_0, columns < LANES ? columns : LANES);        \
        if (columns > LANES) {                                                                     \
            v_store_part(to + o * dw->columns + LANES, acc_##o##_1, columns - LANES);              \
        }                                                                                          \
    }

/* Up to four rows of up to two vectors; kernel, stride and `two` are compile-time constants. */
static inline __attribute__((always_inline)) void depthwise_tile(const struct onnx_depthwise *dw,
                                                                 uint64_t first, uint64_t at,
                                                                 uint64_t kernel, uint64_t stride,
                                                                 bool two) {
    vec acc_0_0 = v_set(dw->bias), acc_1_0 = acc_0_0, acc_2_0 = acc_0_0, acc_3_0 = acc_0_0;
    vec acc_0_1 = acc_0_0, acc_1_1 = acc_0_0, acc_2_1 = acc_0_0, acc_3_1 = acc_0_0;
    uint64_t width = dw->kernel_columns;
    for (uint64_t c = 0; c < width; c++) {
        const float *from = dw->from + first * stride * dw->row_stride + dw->offsets[c] + at;
        const float *column = dw->weights + c;
        const vec weights[] = {v_set(column[0]), v_set(column[width]), v_set(column[2 * width]),
                               v_set(kernel > 3 ? column[3 * width] : 0),
                               v_set(kernel > 4 ? column[4 * width] : 0)};
        DW_LOAD_ROW(0)
        DW_LOAD_ROW(1)
        DW_LOAD_ROW(2)
        DW_LOAD_ROW(3)
        DW_LOAD_ROW(4)
        DW_LOAD_ROW(5)
        DW_LOAD_ROW(6)
        DW_LOAD_ROW(7)
        DW_LOAD_ROW(8)
        DW_LOAD_ROW(9)
        DW_LOAD_ROW(10)
    }
    float *to = dw->to + first * dw->columns + at;
    uint64_t rows = dw->rows - first, columns = dw->columns - at;
    DW_STORE(0)
    DW_STORE(1)
    DW_STORE(2)
    DW_STORE(3)
}

#define DEPTHWISE(kernel, stride)                                                                  \
    static void depthwise_##kernel##_##stride(const struct onnx_depthwise *dw, uint64_t first) {   \
        uint64_t at = 0;                                                                           \
        for (; at + LANES < dw->columns; at += 2 * LANES) {                                        \
            depthwise_tile(dw, first, at, kernel, stride, true);                                   \
        }                                                                                          \
        if (at < dw->columns) {                                                                    \
            depthwise_tile(dw, first, at, kernel, stride, false);                                  \
        }                                                                                          \
    }

DEPTHWISE(3, 1)
DEPTHWISE(3, 2)
DEPTHWISE(5, 1)
DEPTHWISE(5, 2)

static bool depthwise(const struct onnx_depthwise *dw) {
    bool three = dw->kernel_rows == 3, by_one = dw->stride == 1;
    if ((!three && dw->kernel_rows != 5) || (!by_one && dw->stride != 2)) {
        return false;
    }
    for (uint64_t first = 0; first < dw->rows; first += DW_TILE_ROWS) {
        if (three) {
            (by_one ? depthwise_3_1 : depthwise_3_2)(dw, first);
        } else {
            (by_one ? depthwise_5_1 : depthwise_5_2)(dw, first);
        }
    }
    return true;
}

#define SIMD_TABLE(integer_panel)                                                                  \
    {                                                                                              \
        .gemm = gemm, .span_gemm = span_gemm, .pixel_sum = pixel_sum, .pixel_max = pixel_max,      \
        .winograd_input = winograd_input, .winograd_weights = winograd_weights,                    \
        .winograd_output = winograd_output, .dot_products = dot_products, .activate = activate,    \
        .instruction = instruction, .gather = gather, .interleave = interleave, .repeat = repeat,  \
        .window_sum = window_sum, .depthwise = depthwise, .window_max = window_max, .sum = sum,    \
        .sum_squares = sum_squares, .normalise = normalise, .max = max, .sum_exp = sum_exp,        \
        .softmax_columns = softmax_columns, .weigh_rows = weigh_rows, .lstm = lstm, .gru = gru,    \
        .gru_reset = gru_reset, .panel_i16 = integer_panel, WIDEN_TABLE                            \
    }

#endif
