/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_CPU_LOOPS_WINDOW_H
#define MMI_BACKENDS_ONNX_CPU_LOOPS_WINDOW_H

/* Moving rows of pixels, and windows over them. */

#include <backends/onnx/cpu/loops_product.h>

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
        for (; i + LANES < count; i += LANES) { /* the last odd one need not be there */
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

/* `vectors` of a row's results, made together: each tap's weight is fetched once for all. Even and
 * odd taps are summed apart, which hides how long an addition takes. */
#define NEW_TAPS(v)                                                                                \
    vec even_##v = v_set(t->bias);                                                                 \
    vec odd_##v = v_set(0);
#define ADD_EVEN(v) even_##v = v_fma(weight, v_load(from + v * LANES), even_##v);
#define ADD_ODD(v) odd_##v = v_fma(weight, v_load(from + v * LANES), odd_##v);
#define PUT_TAPS(v)                                                                                \
    if (v + 1 < vectors || last == LANES) {                                                        \
        v_store(to + v * LANES, even_##v + odd_##v);                                               \
    } else {                                                                                       \
        v_store_part(to + v * LANES, even_##v + odd_##v, last);                                    \
    }
#define WEIGH(vectors_)                                                                            \
    static void weigh_##vectors_(const struct onnx_taps *t, uint64_t at, uint64_t last) {          \
        const uint64_t vectors = vectors_;                                                         \
        const float *all = t->from + at;                                                           \
        float *to = t->to + at;                                                                    \
        ROWS_##vectors_(NEW_TAPS);                                                                 \
        uint64_t k = 0;                                                                            \
        for (; k + 2 <= t->count; k += 2) {                                                        \
            const float *from = all + t->offsets[k];                                               \
            vec weight = v_set(t->weights[k]);                                                     \
            ROWS_##vectors_(ADD_EVEN);                                                             \
            from = all + t->offsets[k + 1];                                                        \
            weight = v_set(t->weights[k + 1]);                                                     \
            ROWS_##vectors_(ADD_ODD);                                                              \
        }                                                                                          \
        if (k < t->count) {                                                                        \
            const float *from = all + t->offsets[k];                                               \
            vec weight = v_set(t->weights[k]);                                                     \
            ROWS_##vectors_(ADD_EVEN);                                                             \
        }                                                                                          \
        ROWS_##vectors_(PUT_TAPS);                                                                 \
    }

WEIGH(1)
WEIGH(2)
WEIGH(3)
WEIGH(4)

static void weigh(const struct onnx_taps *t) {
    static void (*const weighers[])(const struct onnx_taps *, uint64_t,
                                    uint64_t) = {weigh_1, weigh_2, weigh_3, weigh_4};
    uint64_t vectors = (t->columns + LANES - 1) / LANES;
    uint64_t blocks = (vectors + 3) / 4;
    uint64_t least = vectors / blocks, longer = vectors % blocks;
    for (uint64_t i = 0, at = 0; i < blocks; i++) {
        uint64_t count = least + (i < longer ? 1 : 0);
        uint64_t left = t->columns - (at + (count - 1) * LANES);
        weighers[count - 1](t, at, left < LANES ? left : LANES);
        at += count * LANES;
    }
}

static void greatest(const struct onnx_taps *t) {
    for (uint64_t i = 0; i < t->columns; i += LANES) {
        uint64_t left = t->columns - i;
        vec most = v_load(t->from + t->offsets[0] + i);
        for (uint64_t k = 1; k < t->count; k++) {
            vec x = v_load(t->from + t->offsets[k] + i);
            most = v_select(most != most, most, v_max(most, x));
        }
        v_store_part(t->to + i, most, left < LANES ? left : LANES);
    }
}

/* ---- Four rows of results at a time */

#define SLIDE_ROWS 4

/* Row r of what is seen, in row o of the results. */
#define SLIDE_USE(o, r)                                                                            \
    if (r >= stride * o && r < stride * o + kernel) {                                              \
        sum_##o##_0 = v_fma(weights[r - stride * o], x_0, sum_##o##_0);                            \
        sum_##o##_1 = v_fma(weights[r - stride * o], x_1, sum_##o##_1);                            \
    }
#define SLIDE_SEE(r)                                                                               \
    if (r < stride * (SLIDE_ROWS - 1) + kernel) {                                                  \
        vec x_0 = v_load(from + r * s->row);                                                       \
        vec x_1 = two ? v_load(from + r * s->row + LANES) : x_0;                                   \
        SLIDE_USE(0, r)                                                                            \
        SLIDE_USE(1, r)                                                                            \
        SLIDE_USE(2, r)                                                                            \
        SLIDE_USE(3, r)                                                                            \
    }
#define SLIDE_PUT(o)                                                                               \
    if (o < rows && columns >= (two ? 2 : 1) * LANES) {                                            \
        v_store(to + o * s->columns, sum_##o##_0);                                                 \
        v_store(to + o * s->columns + (two ? LANES : 0), two ? sum_##o##_1 : sum_##o##_0);         \
    } else if (o < rows) {                                                                         \
        v_store_part(to + o * s->columns, sum_##o##_0, columns < LANES ? columns : LANES);         \
        if (columns > LANES) {                                                                     \
            v_store_part(to + o * s->columns + LANES, sum_##o##_1, columns - LANES);               \
        }                                                                                          \
    }

/* Up to four rows of up to two vectors; kernel, stride and `two` are known when it is compiled. */
static inline __attribute__((always_inline)) void slide_tile(const struct onnx_slide *s,
                                                             uint64_t first, uint64_t at,
                                                             uint64_t kernel, uint64_t stride,
                                                             bool two) {
    vec sum_0_0 = v_set(s->bias), sum_1_0 = sum_0_0, sum_2_0 = sum_0_0, sum_3_0 = sum_0_0;
    vec sum_0_1 = sum_0_0, sum_1_1 = sum_0_0, sum_2_1 = sum_0_0, sum_3_1 = sum_0_0;
    uint64_t width = s->kernel_columns;
    for (uint64_t c = 0; c < width; c++) {
        const float *from = s->from + first * stride * s->row + s->offsets[c] + at;
        const float *column = s->weights + c;
        const vec weights[] = {v_set(column[0]), v_set(column[width]), v_set(column[2 * width]),
                               v_set(kernel > 3 ? column[3 * width] : 0),
                               v_set(kernel > 4 ? column[4 * width] : 0)};
        SLIDE_SEE(0)
        SLIDE_SEE(1)
        SLIDE_SEE(2)
        SLIDE_SEE(3)
        SLIDE_SEE(4)
        SLIDE_SEE(5)
        SLIDE_SEE(6)
        SLIDE_SEE(7)
        SLIDE_SEE(8)
        SLIDE_SEE(9)
        SLIDE_SEE(10)
    }
    float *to = s->to + first * s->columns + at;
    uint64_t rows = s->rows - first, columns = s->columns - at;
    SLIDE_PUT(0)
    SLIDE_PUT(1)
    SLIDE_PUT(2)
    SLIDE_PUT(3)
}

#define SLIDE(kernel, stride)                                                                      \
    static void slide_##kernel##_##stride(const struct onnx_slide *s, uint64_t first) {            \
        uint64_t at = 0;                                                                           \
        for (; at + LANES < s->columns; at += 2 * LANES) {                                         \
            slide_tile(s, first, at, kernel, stride, true);                                        \
        }                                                                                          \
        if (at < s->columns) {                                                                     \
            slide_tile(s, first, at, kernel, stride, false);                                       \
        }                                                                                          \
    }

SLIDE(3, 1)
SLIDE(3, 2)
SLIDE(5, 1)
SLIDE(5, 2)

static bool slide(const struct onnx_slide *s) {
    bool three = s->kernel_rows == 3, by_one = s->stride == 1;
    if ((!three && s->kernel_rows != 5) || (!by_one && s->stride != 2)) {
        return false;
    }
    for (uint64_t first = 0; first < s->rows; first += SLIDE_ROWS) {
        if (three) {
            (by_one ? slide_3_1 : slide_3_2)(s, first);
        } else {
            (by_one ? slide_5_1 : slide_5_2)(s, first);
        }
    }
    return true;
}

#define LOOPS                                                                                      \
    {                                                                                              \
        .product = product, .dots = dots, .activate = activate, .instruction = instruction,        \
        .gather = gather, .interleave = interleave, .repeat = repeat, .weigh = weigh,              \
        .slide = slide, .greatest = greatest, .sum = sum, .squares = squares,                      \
        .normalise = normalise, .max = max, .exponentials = exponentials, .lstm = lstm             \
    }

#endif
