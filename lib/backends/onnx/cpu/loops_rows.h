/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_CPU_LOOPS_ROWS_H
#define MMI_BACKENDS_ONNX_CPU_LOOPS_ROWS_H

/* Instructions of Fused, reductions, and windows over rows. */

#include <backends/onnx/cpu/loops_product.h>

#define OF_X(name, expression)                                                                     \
    case name:                                                                                     \
        FOR_EACH_X(a, to, count, expression);                                                      \
        break
#define OF_XY(name, expression)                                                                    \
    case name:                                                                                     \
        FOR_EACH_XY(a, b, to, count, expression);                                                  \
        break

static float power(float base, float exponent) {
    return exponent == 2 ? base * base : exponent == 0.5f ? sqrtf(base) : powf(base, exponent);
}

/* to[i] = a[i] to the power of exponent[i * step]. */
static void raise_each(const float *a, const float *exponent, uint64_t step, float *to,
                       uint64_t count) {
    for (uint64_t i = 0; i < count; i++) {
        to[i] = power(a[i], exponent[i * step]);
    }
}

static void raise_all(const float *a, float exponent, float *to, uint64_t count) {
    if (exponent == 2) {
        FOR_EACH_X(a, to, count, x * x);
    } else if (exponent == 0.5f) {
        FOR_EACH_X(a, to, count, v_sqrt(x));
    } else {
        raise_each(a, &exponent, 0, to, count);
    }
}

static void instruction(const struct onnx_instruction *in, const float *a, const float *b,
                        float *to, uint64_t count) {
    vec p = v_set(in->x);
    vec q = v_set(in->y);
    vec zero = v_set(0);
    vec one = v_set(1);
    switch (in->kind) {
        OF_XY(ONNX_I_ADD, x + y);
        OF_XY(ONNX_I_SUB, x - y);
        OF_XY(ONNX_I_MUL, x * y);
        OF_XY(ONNX_I_DIV, x / y);
        OF_XY(ONNX_I_MIN, v_select(x != x, x, v_min(x, y)));
        OF_XY(ONNX_I_MAX, v_select(x != x, x, v_max(x, y)));
        OF_X(ONNX_I_ADD_X, x + p);
        OF_X(ONNX_I_MUL_X, x * p);
        OF_X(ONNX_I_X_SUB, p - x);
        OF_X(ONNX_I_X_DIV, p / x);
        OF_X(ONNX_I_CLIP, v_limit(x, p, q));
        OF_X(ONNX_I_HARD_SIGMOID, v_limit(p * x + q, zero, one));
        OF_X(ONNX_I_LEAKY_RELU, v_select(x < zero, p * x, x));
        OF_X(ONNX_I_RELU, v_max(zero, x));
        OF_X(ONNX_I_NEG, -x);
        OF_X(ONNX_I_ABS, (vec)((ivec)x & INT32_MAX));
        OF_X(ONNX_I_SQRT, v_sqrt(x));
        OF_X(ONNX_I_RECIPROCAL, 1 / x);
        OF_X(ONNX_I_EXP, v_exp(x));
        OF_X(ONNX_I_LOG, v_log(x));
        OF_X(ONNX_I_TANH, v_tanh(x));
        OF_X(ONNX_I_SIGMOID, v_sigmoid(x));
        OF_X(ONNX_I_ERF, v_erf(x));
    case ONNX_I_POW_X:
        raise_all(a, in->x, to, count);
        break;
    case ONNX_I_POW:
        raise_each(a, b, 1, to, count);
        break;
    default:
        break;
    }
}

/* ---- Reductions */

static float sum(const float *values, uint64_t count) {
    vec sums = v_set(0), more = v_set(0);
    uint64_t i = 0;
    for (; i + 2 * LANES <= count; i += 2 * LANES) {
        sums += v_load(values + i);
        more += v_load(values + i + LANES);
    }
    for (; i < count; i += LANES) {
        uint64_t left = count - i;
        sums += v_load_part(values + i, left < LANES ? left : LANES);
    }
    return v_sum(sums + more);
}

static float max(const float *values, uint64_t count) {
    vec most = v_set(values[0]);
    uint64_t i = 0;
    for (; i + LANES <= count; i += LANES) {
        vec x = v_load(values + i);
        most = v_select(most != most, most, v_max(most, x));
    }
    float lanes[LANES];
    v_store(lanes, most);
    float result = lanes[0];
    for (uint64_t k = 1; k < LANES + count - i; k++) {
        float x = k < LANES ? lanes[k] : values[i + k - LANES];
        result = result != result || result > x ? result : x;
    }
    return result;
}

static float exponentials(const float *values, float shift, float *to, uint64_t count) {
    vec by = v_set(shift);
    vec sums = v_set(0);
    uint64_t i = 0;
    for (; i + LANES <= count; i += LANES) {
        vec x = v_exp(v_load(values + i) - by);
        v_store(to + i, x);
        sums += x;
    }
    float total = v_sum(sums);
    if (i < count) {
        float last[LANES];
        v_store(last, v_exp(v_load_part(values + i, count - i) - by));
        for (uint64_t k = 0; i < count; i++, k++) {
            to[i] = last[k];
            total += last[k];
        }
    }
    return total;
}

/* ---- Windows */

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

#define LOOPS                                                                                      \
    {                                                                                              \
        .product = product, .dots = dots, .activate = activate, .instruction = instruction,        \
        .gather = gather, .interleave = interleave, .weigh = weigh, .greatest = greatest,          \
        .sum = sum, .max = max, .exponentials = exponentials                                       \
    }

#endif
