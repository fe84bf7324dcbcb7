/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_CPU_SIMD_MATH_H
#define MMI_BACKENDS_ONNX_CPU_SIMD_MATH_H

/* Functions of vectors, and activations of rows. The polynomials are minimax fits; their maximum
 * relative error is given with each. NaN stays NaN. */

#include <backends/onnx/cpu/simd.h>
#include <backends/onnx/cpu/vector.h>

/* Adding it rounds to an integer, in the low bits of the sum. */
#define ROUNDER 0x1.8p23f

/* c[0] + c[1] x + ... */
#define POLYNOMIAL(x, ...)                                                                         \
    v_polynomial(x, (const float[]){__VA_ARGS__},                                                  \
                 sizeof((const float[]){__VA_ARGS__}) / sizeof(float))
static inline vec v_polynomial(vec x, const float *c, uint64_t count) {
    vec sum = v_set(c[count - 1]);
    for (uint64_t i = count - 1; i > 0; i--) {
        sum = v_fma(sum, x, v_set(c[i - 1]));
    }
    return sum;
}

/* 2^n for n in [-126, 127]. */
static inline vec v_power_of_two(ivec n) {
    return (vec)(((uvec)n + 127) << 23);
}

/* e^x = 2^n (1 + part): |part| < 0.42, with a relative error of 1.4e-8. x in [-104, 89]. */
struct exponential {
    ivec n;
    vec part;
};
static inline struct exponential v_split_exp(vec x) {
    vec rounded = v_fma(x, v_set(0x1.715476p+0f), v_set(ROUNDER));
    vec n = rounded - v_set(ROUNDER);
    vec r = v_fma(n, v_set(-0x1.62e4p-1f), x);
    r = v_fma(n, v_set(-0x1.7f7d1cp-20f), r);
    vec p = POLYNOMIAL(r, 0.5f, 0x1.5554acp-3f, 0x1.555482p-5f, 0x1.122ac8p-7f, 0x1.6d9ce8p-10f);
    return (struct exponential){(ivec)((uvec)rounded - (uvec)v_set(ROUNDER)), v_fma(r * r, p, r)};
}

static inline vec v_exp(vec x) {
    struct exponential e = v_split_exp(v_min(v_set(89), v_max(v_set(-104), x)));
    ivec half = e.n >> 1; /* in two steps: 2^n itself may be out of range */
    return (e.part + 1) * v_power_of_two(half) * v_power_of_two(e.n - half);
}

/* Of x <= 0; 0 where it would be subnormal: those cost a hundred times as much, and masked scores
 * are all like that. */
static inline vec v_exp_negative(vec x) {
    struct exponential e = v_split_exp(v_max(v_set(-87), x));
    return v_select(x < v_set(-87), v_set(0), (e.part + 1) * v_power_of_two(e.n));
}

static inline vec v_sigmoid(vec x) {
    return 1 / (v_exp(-x) + 1);
}

/* e^x - 1, of x <= 88; -1 for x < -87. Not -0 of -0. */
static inline vec v_expm1(vec x) {
    struct exponential e = v_split_exp(v_min(v_set(88), v_max(v_set(-87), x)));
    vec scale = v_power_of_two(e.n);
    return v_fma(scale, e.part, scale - 1);
}

/* t / (t + 2) where t = e^2x - 1, which is accurate near 0. */
static inline vec v_tanh(vec x) {
    vec limited = v_min(v_set(10), v_max(v_set(-10), x));
    struct exponential e = v_split_exp(limited + limited);
    vec scale = v_power_of_two(e.n);
    vec t = v_fma(scale, e.part, scale - 1);
    vec tanh_of_x = t / (t + 2);
    return (vec)((ivec)tanh_of_x | ((ivec)x & INT32_MIN)); /* -0 of -0 */
}

/* x = 2^n m with m in [sqrt 1/2, sqrt 2); the polynomial's error is 6e-9. */
static inline vec v_log(vec x) {
    ivec tiny = x < v_set(0x1p-126f);
    vec scaled = v_select(tiny, x * v_set(0x1p24f), x);
    uvec bits = (uvec)scaled - 0x3f3504f3;
    vec n = __builtin_convertvector(((ivec)bits >> 23) - (tiny & 24), vec);
    vec f = (vec)((bits & 0x7fffff) + 0x3f3504f3) - 1;
    vec p = POLYNOMIAL(f, 0x1.555554p-2f, -0x1.000226p-2f, 0x1.99a008p-3f, -0x1.547244p-3f,
                       0x1.22da1cp-3f, -0x1.0d8546p-3f, 0x1.055b7ap-3f, -0x1.38b58cp-4f);
    vec square = f * f;
    vec log = v_fma(square * f, p, n * v_set(-0x1.05c61p-29f)) - square * v_set(0.5f);
    log = v_fma(n, v_set(0x1.62e43p-1f), log + f);
    log = v_select(x == v_set(INFINITY), x, log);
    log = v_select(x == v_set(0), v_set(-INFINITY), log);
    return v_select((x < v_set(0)) | (x != x), v_set(NAN), log);
}

/* log(1 + x) of x in [0, 1]; what 1 + x rounds away is added again. */
static inline vec v_log1p(vec x) {
    vec sum = x + 1;
    return v_log(sum) + (x - (sum - 1)) / sum;
}

/* |x| < 0.9: x times a polynomial of x^2 (1.2e-8). Else 1 - e^q, where the polynomial q is log erfc
 * (1.7e-9). */
static inline vec v_erf(vec x) {
    vec size = (vec)((ivec)x & 0x7fffffff);
    vec square = x * x;
    vec low = x * POLYNOMIAL(square, 0x1.20dd74p+0f, -0x1.8126f8p-2f, 0x1.ce1dccp-4f,
                             -0x1.b6bea2p-6f, 0x1.48758ap-8f, -0x1.3f4afcp-11f);
    vec limited = v_min(v_set(3.95f), size);
    vec q = POLYNOMIAL(limited, -0x1.5d0ee4p-13f, -0x1.20b752p+0f, -0x1.4621bap-1f, -0x1.aa7322p-4f,
                       0x1.6d9cd6p-6f, -0x1.91cce4p-9f, 0x1.9fb28cp-13f);
    vec high = 1 - v_exp(q);
    high = (vec)((ivec)high | ((ivec)x & INT32_MIN));
    return v_select(size < v_set(0.9f), low, high);
}

/* ---- Rows */

/* to = expression of x, for each vector x of `from`; the last one may be partial. */
#define FOR_EACH_X(from, to, count, expression) FOR_EACH(x, from, to, count, expression)
#define FOR_EACH_Y(from, to, count, expression) FOR_EACH(y, from, to, count, expression)
#define FOR_EACH(variable, from, to, count, expression)                                            \
    do {                                                                                           \
        uint64_t at = 0;                                                                           \
        for (; at + LANES <= (count); at += LANES) {                                               \
            vec variable = v_load((from) + at);                                                    \
            v_store((to) + at, expression);                                                        \
        }                                                                                          \
        if (at < (count)) {                                                                        \
            vec variable = v_load_part((from) + at, (count)-at);                                   \
            v_store_part((to) + at, expression, (count)-at);                                       \
        }                                                                                          \
    } while (0)
/* The same for x and y of two rows. */
#define FOR_EACH_XY(from_x, from_y, to, count, expression)                                         \
    do {                                                                                           \
        uint64_t at = 0;                                                                           \
        for (; at + LANES <= (count); at += LANES) {                                               \
            vec x = v_load((from_x) + at);                                                         \
            vec y = v_load((from_y) + at);                                                         \
            v_store((to) + at, expression);                                                        \
        }                                                                                          \
        if (at < (count)) {                                                                        \
            vec x = v_load_part((from_x) + at, (count)-at);                                        \
            vec y = v_load_part((from_y) + at, (count)-at);                                        \
            v_store_part((to) + at, expression, (count)-at);                                       \
        }                                                                                          \
    } while (0)

static inline vec v_clamp(vec x, vec low, vec high) {
    return v_min(high, v_max(low, x));
}

/* The larger; NaN if either is. */
static inline vec v_max_or_nan(vec a, vec b) {
    return v_select(a != a, a, v_max(a, b));
}

/* A function of the C library, lane by lane. */
static __attribute__((noinline)) vec v_each(float (*function)(float), vec x) {
    float lanes[LANES];
    v_store(lanes, x);
    for (uint32_t i = 0; i < LANES; i++) {
        lanes[i] = function(lanes[i]);
    }
    return v_load(lanes);
}
static __attribute__((noinline)) vec v_each_2(float (*function)(float, float), vec x, vec y) {
    float lanes[LANES], others[LANES];
    v_store(lanes, x);
    v_store(others, y);
    for (uint32_t i = 0; i < LANES; i++) {
        lanes[i] = function(lanes[i], others[i]);
    }
    return v_load(lanes);
}
/* Squares are what models have. */
static float power(float x, float y) {
    return y == 2 ? x * x : powf(x, y);
}

/* ---- Functions */

/* What an expression of operators/functions.def means for a vector x. */
#define N(number) v_set((float)(number))
#define SELECT v_select
#define MIN v_min
#define MAX v_max
#define CLAMP v_clamp
#define FMA v_fma
#define ABS(p) ((vec)((ivec)(p)&INT32_MAX))
#define SQRT v_sqrt
#define FLOOR v_floor
#define CEIL v_ceil
#define ROUND v_round
#define EXP v_exp
#define LOG v_log
#define TANH v_tanh
#define ERF v_erf
#define EXPM1 v_expm1
#define LOG1P v_log1p
#define POW(p, q) v_each_2(power, p, q)
#define EACH(function, p) v_each(function##f, p)
#define EACH_2(function, p, q) v_each_2(function##f, p, q)

static void activate(const struct onnx_activation *activation, float *c, uint64_t c_row_stride,
                     uint64_t rows, uint64_t columns) {
    vec a = v_set(activation->a);
    vec b = v_set(activation->b);
    switch (activation->function) {
#define ONNX_FUNCTION_1(name, cost, expression)                                                    \
    case ONNX_F_##name:                                                                            \
        for (uint64_t row = 0; row < rows; row++) {                                                \
            float *at_row = c + row * c_row_stride;                                                \
            FOR_EACH_X(at_row, at_row, columns, expression);                                       \
        }                                                                                          \
        break;
#include <backends/onnx/operators/functions.def>
    default:
        return;
    }
    if (activation->scale != 0) {
        vec scale = v_set(activation->scale);
        vec shift = v_set(activation->shift);
        for (uint64_t row = 0; row < rows; row++) {
            FOR_EACH_X(c + row * c_row_stride, c + row * c_row_stride, columns,
                       v_fma(x, scale, shift));
        }
    }
}

#endif
