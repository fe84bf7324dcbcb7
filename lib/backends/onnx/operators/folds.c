/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/operators/reduce.h>

#include <math.h>

/* A row goes into several sums side by side, which become one at its end. */
#define LANES 8

/* a: the sum so far, x: the next number, i: where; T: of a number, Lane: of the sums of a row,
 * which begin with what changes nothing, Sum: of the whole. */
#define FOLD(name, T, Lane, Sum, start, take, join)                                                \
    static void name##_row(void *sums, const double *shifts, const void *from, uint64_t count) {   \
        const T *in = from;                                                                        \
        Lane lanes[LANES];                                                                         \
        Sum *sum = sums;                                                                           \
        uint64_t at = 0;                                                                           \
        const uint64_t i = 0;                                                                      \
        (void)shifts, (void)i;                                                                     \
        for (uint64_t lane = 0; lane < LANES; lane++) {                                            \
            lanes[lane] = start;                                                                   \
        }                                                                                          \
        for (; at + LANES <= count; at += LANES) {                                                 \
            for (uint64_t lane = 0; lane < LANES; lane++) {                                        \
                Lane a = lanes[lane], x = (Lane)in[at + lane];                                     \
                lanes[lane] = take;                                                                \
            }                                                                                      \
        }                                                                                          \
        for (; at < count; at++) {                                                                 \
            Lane a = lanes[0], x = (Lane)in[at];                                                   \
            lanes[0] = take;                                                                       \
        }                                                                                          \
        for (uint64_t lane = 0; lane < LANES; lane++) {                                            \
            Sum a = *sum, x = (Sum)lanes[lane];                                                    \
            *sum = join;                                                                           \
        }                                                                                          \
    }                                                                                              \
    static void name##_columns(void *sums, const double *shifts, const void *from,                 \
                               uint64_t count) {                                                   \
        const T *restrict in = from;                                                               \
        Sum *restrict sum = sums;                                                                  \
        (void)shifts;                                                                              \
        for (uint64_t i = 0; i < count; i++) {                                                     \
            Sum a = sum[i], x = (Sum)in[i];                                                        \
            sum[i] = take;                                                                         \
        }                                                                                          \
    }

#define TABLE(name)                                                                                \
    const struct onnx_folds mmi_onnx_fold_##name = {                                               \
        {name##_f32_row, name##_f64_row, name##_i64_row, name##_u64_row},                          \
        {name##_f32_columns, name##_f64_columns, name##_i64_columns, name##_u64_columns}};

/* Integers modulo 2^64. */
#define FOLDS(name, start, of_float, of_signed, of_unsigned, join)                                 \
    FOLD(name##_f32, float, double, double, start, of_float, join)                                 \
    FOLD(name##_f64, double, double, double, start, of_float, join)                                \
    FOLD(name##_i64, int64_t, uint64_t, uint64_t, start, of_signed, join)                          \
    FOLD(name##_u64, uint64_t, uint64_t, uint64_t, start, of_unsigned, join)                       \
    TABLE(name)

FOLDS(sum, 0, a + x, a + x, a + x, a + x)
FOLDS(product, 1, a *x, a *x, a *x, a *x)
FOLDS(sizes, 0, a + fabs(x), a + ((int64_t)x < 0 ? 0 - x : x), a + x, a + x)
FOLDS(squares, 0, a + x * x, a + x * x, a + x * x, a + x)

/* What is no number wins. */
#define BEST(better) (((x better a) | (x != x)) ? x : a)
#define EXTREMES(name, better, worst, worst_signed, worst_unsigned)                                \
    FOLD(name##_f32, float, float, double, worst, BEST(better), BEST(better))                      \
    FOLD(name##_f64, double, double, double, worst, BEST(better), BEST(better))                    \
    FOLD(name##_i64, int64_t, int64_t, int64_t, worst_signed, x better a ? x : a,                  \
         x better a ? x : a)                                                                       \
    FOLD(name##_u64, uint64_t, uint64_t, uint64_t, worst_unsigned, x better a ? x : a,             \
         x better a ? x : a)                                                                       \
    TABLE(name)

EXTREMES(max, >, -INFINITY, INT64_MIN, 0)
EXTREMES(min, <, INFINITY, INT64_MAX, UINT64_MAX)

FOLD(exponentials_f32, float, double, double, 0, a + (double)expf((float)(x - shifts[i])), a + x)
FOLD(exponentials_f64, double, double, double, 0, a + exp(x - shifts[i]), a + x)
const struct onnx_folds mmi_onnx_fold_exponentials = {
    {exponentials_f32_row, exponentials_f64_row, NULL, NULL},
    {exponentials_f32_columns, exponentials_f64_columns, NULL, NULL}};
