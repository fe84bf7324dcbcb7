/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_CPU_SIMD_ROWS_H
#define MMI_BACKENDS_ONNX_CPU_SIMD_ROWS_H

/* Instructions of Fused, and reductions. */

#include <backends/onnx/cpu/simd_math.h>

#define OF_X(name, expression)                                                                     \
    case name:                                                                                     \
        FOR_EACH_X(a, to, count, expression);                                                      \
        break
#define OF_XY(name, expression)                                                                    \
    case name:                                                                                     \
        FOR_EACH_XY(a, b, to, count, expression);                                                  \
        break

static float power(float base, float exponent) {
    return exponent == 2 ? base * base : powf(base, exponent);
}

/* powf(x, 0.5): unlike sqrtf, -INFINITY becomes INFINITY and -0 becomes 0. */
static inline vec v_power_half(vec x) {
    return v_select(x == v_set(-INFINITY), v_set(INFINITY), v_sqrt(x + 0));
}

/* to[i] = a[i] ^ exponent[i * step] */
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
        FOR_EACH_X(a, to, count, v_power_half(x));
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
        OF_X(ONNX_I_CLIP, v_clamp(x, p, q));
        OF_X(ONNX_I_HARD_SIGMOID, v_clamp(p * x + q, zero, one));
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

static float sum_squares(const float *values, float shift, uint64_t count) {
    vec by = v_set(shift), sums = v_set(0);
    uint64_t i = 0;
    for (; i + LANES <= count; i += LANES) {
        vec x = v_load(values + i) - by;
        sums = v_fma(x, x, sums);
    }
    float total = v_sum(sums);
    for (; i < count; i++) {
        total += (values[i] - shift) * (values[i] - shift);
    }
    return total;
}

static void normalise(const struct onnx_normalisation *n) {
    vec mean = v_set(n->mean), inv_std = v_set(n->inv_std);
    if (n->bias) {
        FOR_EACH_XY(
            n->from, n->scale, n->to, n->count,
            v_fma((x - mean) * inv_std, y,
                  v_load_part(n->bias + at, n->count - at < LANES ? n->count - at : LANES)));
    } else {
        FOR_EACH_XY(n->from, n->scale, n->to, n->count, (x - mean) * inv_std * y);
    }
}

static float max(const float *values, uint64_t count) {
    vec max_value = v_set(values[0]);
    uint64_t i = 0;
    for (; i + LANES <= count; i += LANES) {
        vec x = v_load(values + i);
        max_value = v_select(max_value != max_value, max_value, v_max(max_value, x));
    }
    float lanes[LANES];
    v_store(lanes, max_value);
    float result = lanes[0];
    for (uint64_t k = 1; k < LANES + count - i; k++) {
        float x = k < LANES ? lanes[k] : values[i + k - LANES];
        result = result != result || result > x ? result : x;
    }
    return result;
}

static float sum_exp(const float *values, float shift, float *to, uint64_t count) {
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

static inline vec lstm_part(const vec gates[4], vec *cell) {
    vec kept = v_sigmoid(gates[2]) * *cell;
    *cell = v_fma(v_sigmoid(gates[0]), v_tanh(gates[3]), kept);
    return v_sigmoid(gates[1]) * v_tanh(*cell);
}

static void lstm(const float *gates, float *cell, float *hidden, uint64_t count) {
    for (uint64_t i = 0; i < count; i += LANES) {
        uint64_t left = count - i < LANES ? count - i : LANES;
        vec part[4], state = v_load_part(cell + i, left);
        for (uint64_t gate = 0; gate < 4; gate++) {
            part[gate] = v_load_part(gates + gate * count + i, left);
        }
        v_store_part(hidden + i, lstm_part(part, &state), left);
        v_store_part(cell + i, state, left);
    }
}

#endif
