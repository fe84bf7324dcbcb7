/* SPDX-License-Identifier: Apache-2.0 */
/* What a core can do: GFLOP/s in f32 of fused multiply-adds on registers alone, the most of several
 * short rounds, as JSON: {"avx2": X, "avx512": X}; 0 for what the CPU or the compiler lacks.
 *
 *   bench-onnx-peak */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define ROUNDS 20
#define STEPS 400000
#define CHAINS 12 /* independent sums: more than latency times units, fewer than registers */

static double now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

#if defined(__x86_64__)
#include <immintrin.h>

/* The sums stay near 1: x * 0.5 + 0.5, from 1. The empty asm keeps the compiler from seeing it. */
#define LOOP(vector, set1, fma, add, store)                                                        \
    vector sums[CHAINS], half = set1(0.5f);                                                        \
    for (int i = 0; i < CHAINS; i++) {                                                             \
        sums[i] = set1(1.0f);                                                                      \
    }                                                                                              \
    __asm__ volatile("" : "+x"(half));                                                             \
    for (int step = 0; step < STEPS; step++) {                                                     \
        for (int i = 0; i < CHAINS; i++) {                                                         \
            sums[i] = fma(sums[i], half, half);                                                    \
        }                                                                                          \
    }                                                                                              \
    for (int i = 1; i < CHAINS; i++) {                                                             \
        sums[0] = add(sums[0], sums[i]);                                                           \
    }                                                                                              \
    float lanes[16];                                                                               \
    store(lanes, sums[0]);                                                                         \
    return lanes[0]

__attribute__((target("avx2,fma"), noinline)) static float run_avx2(void) {
    LOOP(__m256, _mm256_set1_ps, _mm256_fmadd_ps, _mm256_add_ps, _mm256_storeu_ps);
}

__attribute__((target("avx512f"), noinline)) static float run_avx512(void) {
    LOOP(__m512, _mm512_set1_ps, _mm512_fmadd_ps, _mm512_add_ps, _mm512_storeu_ps);
}

static double measure(float (*run)(void), int lanes) {
    double best = 0;
    for (int i = 0; i < ROUNDS; i++) {
        double begun = now_ns();
        float sum = run();
        double rate = 2.0 * lanes * CHAINS * STEPS / (now_ns() - begun);
        if (sum != (float)CHAINS) {
            fprintf(stderr, "wrong answer: %g\n", (double)sum);
            exit(1);
        }
        best = rate > best ? rate : best;
    }
    return best;
}

int main(void) {
    double avx2 =
        __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? measure(run_avx2, 8) : 0;
    double avx512 = __builtin_cpu_supports("avx512f") ? measure(run_avx512, 16) : 0;
    printf("{\"avx2\": %.2f, \"avx512\": %.2f}\n", avx2, avx512);
    return 0;
}
#else
int main(void) {
    printf("{\"avx2\": 0, \"avx512\": 0}\n");
    return 0;
}
#endif
