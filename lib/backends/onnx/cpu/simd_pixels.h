/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_CPU_SIMD_PIXELS_H
#define MMI_BACKENDS_ONNX_CPU_SIMD_PIXELS_H

/* Windows over images whose channels are the last axis: every channel by itself, a vector of them
 * at a time, for tiles of neighbouring results. */

#include <backends/onnx/cpu/simd_math.h>

#define PIXELS 8 /* of a tile: enough accumulators to hide the latency of an FMA */
#define REPEAT_PIXELS(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7)

#define START_PIXEL(i) vec acc_##i = start;
#define WEIGH_PIXEL(i) acc_##i = v_fma(weight, v_load(from + i * stride), acc_##i);
/* As window_max: NaN stays. */
#define MAX_PIXEL(i)                                                                               \
    {                                                                                              \
        vec x = v_load(from + i * stride);                                                         \
        acc_##i = v_select((x > acc_##i) | (x != x), x, acc_##i);                                  \
    }
#define STORE_PIXEL(i) v_store(to + i * channels, v_min(high, v_max(low, acc_##i)));

/* PIXELS results, LANES channels from `c` on. */
static inline void weigh_tile(const struct onnx_pixels *p, uint64_t first, uint64_t c) {
    const uint64_t stride = p->pixel_stride, channels = p->channels;
    const vec low = v_set(p->low), high = v_set(p->high);
    const float *base = p->from + first * stride + c;
    float *to = p->to + first * channels + c;
    vec start = p->bias ? v_load(p->bias + c) : v_set(0);
    REPEAT_PIXELS(START_PIXEL)
    for (uint64_t tap = 0; tap < p->taps; tap++) {
        const float *from = base + p->offsets[tap];
        vec weight = v_load(p->weights[tap] + c);
        REPEAT_PIXELS(WEIGH_PIXEL)
    }
    REPEAT_PIXELS(STORE_PIXEL)
}

/* The same for rows of KERNEL taps, each of which sees what the one before it sees one window
 * further on: what is loaded is used for all windows that see it. */
#define WEIGHT_AT(i) (i == 0 ? w_0 : i == 1 ? w_1 : i == 2 ? w_2 : i == 3 ? w_3 : w_4)
#define SHARE_WITH(o)                                                                              \
    if (column >= o && column - o < kernel) {                                                      \
        acc_##o = v_fma(WEIGHT_AT(column - o), x, acc_##o);                                        \
    }
#define SHARE_COLUMN(i)                                                                            \
    {                                                                                              \
        enum { column = i };                                                                       \
        if (column < PIXELS - 1 + kernel) {                                                        \
            vec x = v_load(from + column * stride);                                                \
            REPEAT_PIXELS(SHARE_WITH)                                                              \
        }                                                                                          \
    }
/* clang-format off */
#define SHARE_COLUMNS                                                                              \
    SHARE_COLUMN(0) SHARE_COLUMN(1) SHARE_COLUMN(2) SHARE_COLUMN(3) SHARE_COLUMN(4)                \
    SHARE_COLUMN(5) SHARE_COLUMN(6) SHARE_COLUMN(7) SHARE_COLUMN(8) SHARE_COLUMN(9)                \
    SHARE_COLUMN(10) SHARE_COLUMN(11)
/* clang-format on */
#define WEIGH_NEIGHBOURS(KERNEL)                                                                   \
    static inline void weigh_tile_##KERNEL(const struct onnx_pixels *p, uint64_t first,            \
                                           uint64_t c) {                                           \
        enum { kernel = KERNEL };                                                                  \
        const uint64_t stride = p->pixel_stride, channels = p->channels;                           \
        const vec low = v_set(p->low), high = v_set(p->high);                                      \
        const float *base = p->from + first * stride + c;                                          \
        float *to = p->to + first * channels + c;                                                  \
        vec start = p->bias ? v_load(p->bias + c) : v_set(0);                                      \
        REPEAT_PIXELS(START_PIXEL)                                                                 \
        for (uint64_t tap = 0; tap < p->taps; tap += kernel) {                                     \
            const float *from = base + p->offsets[tap];                                            \
            const float *const *weights = p->weights + tap;                                        \
            vec w_0 = v_load(weights[0] + c), w_1 = v_load(weights[1] + c);                        \
            vec w_2 = v_load(weights[2] + c), w_3 = w_2, w_4 = w_2;                                \
            if (kernel == 5) {                                                                     \
                w_3 = v_load(weights[kernel - 2] + c);                                             \
                w_4 = v_load(weights[kernel - 1] + c);                                             \
            }                                                                                      \
            SHARE_COLUMNS                                                                          \
        }                                                                                          \
        REPEAT_PIXELS(STORE_PIXEL)                                                                 \
    }
WEIGH_NEIGHBOURS(3)
WEIGH_NEIGHBOURS(5)

static inline void max_tile(const struct onnx_pixels *p, uint64_t first, uint64_t c) {
    const uint64_t stride = p->pixel_stride, channels = p->channels;
    const vec low = v_set(p->low), high = v_set(p->high), start = v_set(-INFINITY);
    const float *base = p->from + first * stride + c;
    float *to = p->to + first * channels + c;
    REPEAT_PIXELS(START_PIXEL)
    for (uint64_t tap = 0; tap < p->taps; tap++) {
        const float *from = base + p->offsets[tap];
        REPEAT_PIXELS(MAX_PIXEL)
    }
    REPEAT_PIXELS(STORE_PIXEL)
}

/* One result, `count` channels of a vector. */
static inline void weigh_pixel(const struct onnx_pixels *p, uint64_t at, uint64_t c,
                               uint64_t count) {
    const float *base = p->from + at * p->pixel_stride + c;
    vec acc = p->bias ? v_load_part(p->bias + c, count) : v_set(0);
    for (uint64_t tap = 0; tap < p->taps; tap++) {
        acc = v_fma(v_load_part(p->weights[tap] + c, count),
                    v_load_part(base + p->offsets[tap], count), acc);
    }
    acc = v_min(v_set(p->high), v_max(v_set(p->low), acc));
    v_store_part(p->to + at * p->channels + c, acc, count);
}

static inline void max_pixel(const struct onnx_pixels *p, uint64_t at, uint64_t c, uint64_t count) {
    const float *base = p->from + at * p->pixel_stride + c;
    vec acc = v_set(-INFINITY);
    for (uint64_t tap = 0; tap < p->taps; tap++) {
        vec x = v_load_part(base + p->offsets[tap], count);
        acc = v_select((x > acc) | (x != x), x, acc);
    }
    acc = v_min(v_set(p->high), v_max(v_set(p->low), acc));
    v_store_part(p->to + at * p->channels + c, acc, count);
}

/* Tiles of pixels outside, channels inside: what a tile reads lies in a few rows. */
#define PIXEL_LOOP(name, tile, single)                                                             \
    static void name(const struct onnx_pixels *p) {                                                \
        uint64_t at = 0, whole = p->channels / LANES * LANES;                                      \
        for (; at + PIXELS <= p->pixels; at += PIXELS) {                                           \
            for (uint64_t c = 0; c < whole; c += LANES) {                                          \
                tile(p, at, c);                                                                    \
            }                                                                                      \
            for (uint64_t i = at; i < at + PIXELS && whole < p->channels; i++) {                   \
                single(p, i, whole, p->channels - whole);                                          \
            }                                                                                      \
        }                                                                                          \
        for (; at < p->pixels; at++) {                                                             \
            for (uint64_t c = 0; c < p->channels; c += LANES) {                                    \
                uint64_t left = p->channels - c;                                                   \
                single(p, at, c, left < LANES ? left : LANES);                                     \
            }                                                                                      \
        }                                                                                          \
    }
PIXEL_LOOP(sum_any, weigh_tile, weigh_pixel)
PIXEL_LOOP(sum_3, weigh_tile_3, weigh_pixel)
PIXEL_LOOP(sum_5, weigh_tile_5, weigh_pixel)
PIXEL_LOOP(pixel_max, max_tile, max_pixel)

static void pixel_sum(const struct onnx_pixels *p) {
    switch (p->neighbours) {
    case 3:
        sum_3(p);
        break;
    case 5:
        sum_5(p);
        break;
    default:
        sum_any(p);
        break;
    }
}

#endif
