/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MM_BENCH_ONNX_PEAK_H
#define MM_BENCH_ONNX_PEAK_H

/* The most that one core can compute: FMAs in registers, nothing else. */

#include <modelmesh/backend.h>

#ifdef __x86_64__

#define PEAK_CHAINS 12 /* accumulators: more than hide the latency */
#define PEAK_LOOP(name, vector)                                                                    \
    static void name(uint64_t turns) {                                                             \
        __asm__ volatile(".irp i,0,1,2,3,4,5,6,7,8,9,10,11,14,15\n\t"                              \
                         "vxorps %%ymm\\i, %%ymm\\i, %%ymm\\i\n\t"                                 \
                         ".endr\n"                                                                 \
                         "1:\n\t"                                                                  \
                         ".irp i,0,1,2,3,4,5,6,7,8,9,10,11\n\t"                                    \
                         "vfmadd231ps %%" vector "14, %%" vector "15, %%" vector "\\i\n\t"         \
                         ".endr\n\t"                                                               \
                         "dec %0\n\t"                                                              \
                         "jnz 1b\n\t"                                                              \
                         "vzeroupper"                                                              \
                         : "+r"(turns)                                                             \
                         :                                                                         \
                         : "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7",   \
                           "xmm8", "xmm9", "xmm10", "xmm11", "xmm14", "xmm15");                    \
    }
PEAK_LOOP(peak_avx2, "ymm")
PEAK_LOOP(peak_avx512, "zmm")

/* GF/s of one core with these MM_CPU_*; 0: not known. */
static double peak_gflops(uint64_t cpu_features, double (*now_ns)(void)) {
    bool wide = cpu_features & MM_CPU_AVX512;
    const uint64_t turns = 1000000;
    double best = 0;
    for (int i = 0; i < 10 && (wide || cpu_features & MM_CPU_AVX2); i++) {
        double begin = now_ns();
        (wide ? peak_avx512 : peak_avx2)(turns);
        double flops = (double)turns * PEAK_CHAINS * 2 * (wide ? 16 : 8);
        double gflops = flops / (now_ns() - begin);
        best = gflops > best ? gflops : best;
    }
    return best;
}

#else

static double peak_gflops(uint64_t cpu_features, double (*now_ns)(void)) {
    (void)cpu_features;
    (void)now_ns;
    return 0;
}

#endif

#endif
