/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/operators/reduce.h>

#include <math.h>

/* Partial accumulators of a row, so that a compiler can use vectors. */
#define LANES 8

/* In `take` and `join`, a: the accumulator, x: the next element (in `join`: a lane), i: its index.
 * T: type of an element, Lane: of the partial accumulators, Sum: of the result. */
#define REDUCER(name, T, Lane, Sum, start, take, join)                                             \
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
    const struct onnx_reducers mmi_onnx_reducer_##name = {                                         \
        {name##_f32_row, name##_f64_row, name##_i64_row, name##_u64_row},                          \
        {name##_f32_columns, name##_f64_columns, name##_i64_columns, name##_u64_columns}};

/* Integers modulo 2^64. */
#define REDUCERS(name, start, of_float, of_signed, of_unsigned, join)                              \
    REDUCER(name##_f32, float, double, double, start, of_float, join)                              \
    REDUCER(name##_f64, double, double, double, start, of_float, join)                             \
    REDUCER(name##_i64, int64_t, uint64_t, uint64_t, start, of_signed, join)                       \
    REDUCER(name##_u64, uint64_t, uint64_t, uint64_t, start, of_unsigned, join)                    \
    TABLE(name)

REDUCERS(sum, 0, a + x, a + x, a + x, a + x)
REDUCERS(product, 1, a *x, a *x, a *x, a *x)
REDUCERS(abs, 0, a + fabs(x), a + ((int64_t)x < 0 ? 0 - x : x), a + x, a + x)
REDUCERS(squares, 0, a + x * x, a + x * x, a + x * x, a + x)

/* NaN propagates. */
#define BEST(better) (((x better a) | (x != x)) ? x : a)
#define EXTREMES(name, better, identity, identity_signed, identity_unsigned)                       \
    REDUCER(name##_f32, float, float, double, identity, BEST(better), BEST(better))                \
    REDUCER(name##_f64, double, double, double, identity, BEST(better), BEST(better))              \
    REDUCER(name##_i64, int64_t, int64_t, int64_t, identity_signed, x better a ? x : a,            \
            x better a ? x : a)                                                                    \
    REDUCER(name##_u64, uint64_t, uint64_t, uint64_t, identity_unsigned, x better a ? x : a,       \
            x better a ? x : a)                                                                    \
    TABLE(name)

EXTREMES(max, >, -INFINITY, INT64_MIN, 0)
EXTREMES(min, <, INFINITY, INT64_MAX, UINT64_MAX)

REDUCER(exp_f32, float, double, double, 0, a + (double)expf((float)(x - shifts[i])), a + x)
REDUCER(exp_f64, double, double, double, 0, a + exp(x - shifts[i]), a + x)
const struct onnx_reducers mmi_onnx_reducer_exp = {{exp_f32_row, exp_f64_row, NULL, NULL},
                                                   {exp_f32_columns, exp_f64_columns, NULL, NULL}};
