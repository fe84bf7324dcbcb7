/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_CPU_SIMD_WINOGRAD_H
#define MMI_BACKENDS_ONNX_CPU_SIMD_WINOGRAD_H

/* The transforms of Winograd's F(4 x 4, 3 x 3) (Lavin and Gray, "Fast Algorithms for Convolutional
 * Neural Networks", 2015, with the points 0, 1, -1, 2, -2), on vectors of channels. Sixteen results
 * of a 3 x 3 convolution take 36 products of a channel in place of 144. */

#include <backends/onnx/cpu/simd_math.h>

/* B^T d along one axis of the input. */
static inline void winograd_input_1d(const vec d[6], vec to[6]) {
    const vec four = v_set(4), five = v_set(-5), two = v_set(2);
    vec a = v_fma(v_set(-4), d[2], d[4]), b = v_fma(v_set(-4), d[1], d[3]);
    vec c = d[4] - d[2], e = two * (d[3] - d[1]);
    to[0] = v_fma(four, d[0], v_fma(five, d[2], d[4]));
    to[1] = a + b;
    to[2] = a - b;
    to[3] = c + e;
    to[4] = c - e;
    to[5] = v_fma(four, d[1], v_fma(five, d[3], d[5]));
}

/* G g along one axis of the weights. */
static inline void winograd_weights_1d(const vec g[3], vec to[6]) {
    const vec sixth = v_set(-1.0F / 6), twelfth = v_set(1.0F / 12);
    vec a = sixth * (g[0] + g[2]), b = sixth * g[1];
    vec c = v_fma(v_set(1.0F / 24), g[0], v_set(1.0F / 6) * g[2]), d = twelfth * g[1];
    to[0] = v_set(0.25F) * g[0];
    to[1] = a + b;
    to[2] = a - b;
    to[3] = c + d;
    to[4] = c - d;
    to[5] = g[2];
}

/* A^T m along one axis of the results. */
static inline void winograd_output_1d(const vec m[6], vec to[4]) {
    vec a = m[1] + m[2], b = m[1] - m[2], c = m[3] + m[4], d = m[3] - m[4];
    to[0] = m[0] + a + c;
    to[1] = v_fma(v_set(2), d, b);
    to[2] = v_fma(v_set(4), c, a);
    to[3] = v_fma(v_set(8), d, b) + m[5];
}

static void winograd_weights(const float *panel, uint64_t channels, float *to, uint64_t step) {
    for (uint64_t c = 0; c < channels; c++) {
        for (uint64_t lane = 0; lane < ONNX_NR; lane += LANES) {
            vec half[3][6];
            for (uint64_t row = 0; row < 3; row++) {
                vec g[3];
                for (uint64_t i = 0; i < 3; i++) {
                    g[i] = v_load(panel + ((row * 3 + i) * channels + c) * ONNX_NR + lane);
                }
                winograd_weights_1d(g, half[row]);
            }
            for (uint64_t i = 0; i < 6; i++) {
                vec g[3] = {half[0][i], half[1][i], half[2][i]}, u[6];
                winograd_weights_1d(g, u);
                for (uint64_t j = 0; j < 6; j++) {
                    v_store(to + (j * 6 + i) * step + c * ONNX_NR + lane, u[j]);
                }
            }
        }
    }
}

static void winograd_input(const struct onnx_winograd_tile *t) {
    for (uint64_t c = 0; c < t->channels; c += LANES) {
        uint64_t left = t->channels - c < LANES ? t->channels - c : LANES;
        vec half[6][6];
        for (uint64_t row = 0; row < 6; row++) {
            vec d[6];
            for (uint64_t i = 0; i < 6; i++) {
                d[i] = v_load_part(t->pixels + row * t->row_stride + i * t->channels + c, left);
            }
            winograd_input_1d(d, half[row]);
        }
        for (uint64_t i = 0; i < 6; i++) {
            vec d[6] = {half[0][i], half[1][i], half[2][i], half[3][i], half[4][i], half[5][i]};
            vec v[6];
            winograd_input_1d(d, v);
            for (uint64_t j = 0; j < 6; j++) {
                v_store_part(t->transformed + (j * 6 + i) * t->step + c, v[j], left);
            }
        }
    }
}

static void winograd_output(const struct onnx_winograd_result *r) {
    const vec low = v_set(r->low), high = v_set(r->high);
    for (uint64_t lane = 0; lane < r->columns; lane += LANES) {
        uint64_t left = r->columns - lane < LANES ? r->columns - lane : LANES;
        vec half[6][4], bias = v_load(r->bias + lane);
        for (uint64_t i = 0; i < 6; i++) {
            vec m[6];
            for (uint64_t j = 0; j < 6; j++) {
                m[j] = v_load(r->products + (j * 6 + i) * r->step + lane);
            }
            winograd_output_1d(m, half[i]);
        }
        for (uint64_t row = 0; row < r->rows; row++) {
            vec m[6] = {half[0][row], half[1][row], half[2][row],
                        half[3][row], half[4][row], half[5][row]};
            vec y[4];
            winograd_output_1d(m, y);
            for (uint64_t i = 0; i < r->pixels; i++) {
                uint64_t at = row * r->row_stride + i * r->pixel_stride + lane;
                vec sum = y[i] + bias;
                sum += r->addend ? v_load_part(r->addend + at, left) : v_set(0);
                v_store_part(r->to + at, v_min(high, v_max(low, sum)), left);
            }
        }
    }
}

#endif
