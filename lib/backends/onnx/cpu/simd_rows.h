/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_CPU_SIMD_ROWS_H
#define MMI_BACKENDS_ONNX_CPU_SIMD_ROWS_H

/* Instructions of Fused, and reductions. */

#include <backends/onnx/cpu/simd_math.h>

/* The number in place of the first or the second operand. */
#define ONNX_FUNCTION_2(name, cost, expression)                                                    \
    case ONNX_F_##name:                                                                            \
        if (in->operands == ONNX_A_B) {                                                            \
            FOR_EACH_XY(of_a, of_b, to, count, expression);                                        \
        } else if (in->operands == ONNX_A_X) {                                                     \
            vec y = a;                                                                             \
            FOR_EACH_X(of_a, to, count, expression);                                               \
        } else {                                                                                   \
            vec x = a;                                                                             \
            FOR_EACH_Y(of_a, to, count, expression);                                               \
        }                                                                                          \
        break;

#define ONNX_FUNCTION_1(name, cost, expression)                                                    \
    case ONNX_F_##name:                                                                            \
        FOR_EACH_X(of_a, to, count, expression);                                                   \
        break;

/* The names a and b are those of the numbers of a function of one. */
static void instruction(const struct onnx_instruction *in, const float *of_a, const float *of_b,
                        float *to, uint64_t count) {
    vec a = v_set(in->x);
    vec b = v_set(in->y);
    switch (in->function) {
#include <backends/onnx/operators/functions.def>
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
    vec max_value = v_set(values[0]), another = max_value;
    uint64_t i = 0;
    for (; i + 2 * LANES <= count; i += 2 * LANES) {
        max_value = v_max_or_nan(max_value, v_load(values + i));
        another = v_max_or_nan(another, v_load(values + i + LANES));
    }
    for (; i + LANES <= count; i += LANES) {
        max_value = v_max_or_nan(max_value, v_load(values + i));
    }
    float lanes[LANES];
    v_store(lanes, v_max_or_nan(max_value, another));
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
        vec x = v_exp_negative(v_load(values + i) - by);
        v_store(to + i, x);
        sums += x;
    }
    float total = v_sum(sums);
    if (i < count) {
        float last[LANES];
        v_store(last, v_exp_negative(v_load_part(values + i, count - i) - by));
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

static void gru(const float *gates, const float *recurrent, float *hidden, uint64_t count) {
    for (uint64_t i = 0; i < count; i += LANES) {
        uint64_t left = count - i < LANES ? count - i : LANES;
        vec z = v_sigmoid(v_load_part(gates + i, left));
        vec candidate = v_load_part(gates + 2 * count + i, left);
        if (recurrent) {
            vec r = v_sigmoid(v_load_part(gates + count + i, left));
            candidate = v_fma(r, v_load_part(recurrent + i, left), candidate);
        }
        candidate = v_tanh(candidate);
        vec kept = v_load_part(hidden + i, left) - candidate;
        v_store_part(hidden + i, v_fma(z, kept, candidate), left);
    }
}

static void gru_reset(const float *r, const float *hidden, float *to, uint64_t count) {
    for (uint64_t i = 0; i < count; i += LANES) {
        uint64_t left = count - i < LANES ? count - i : LANES;
        vec kept = v_sigmoid(v_load_part(r + i, left)) * v_load_part(hidden + i, left);
        v_store_part(to + i, kept, left);
    }
}

#endif
