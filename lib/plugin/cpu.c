/* SPDX-License-Identifier: Apache-2.0 */
#include <plugin/registry.h>

#if defined(__x86_64__)

#include <cpuid.h>

/* The builtins also check that the operating system saves the wide registers. Not every compiler
 * knows F16C by name; it needs nothing of the system beyond AVX2. */
static bool has_f16c(void) {
    unsigned eax, ebx, ecx, edx;
    return __get_cpuid(1, &eax, &ebx, &ecx, &edx) && (ecx & bit_F16C) != 0;
}

uint64_t mmi_cpu_features(void) {
    uint64_t features = 0;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c()) {
        features |= MM_CPU_AVX2;
    }
    if (features && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")) {
        features |= MM_CPU_AVX512;
        features |= __builtin_cpu_supports("avx512vnni") ? MM_CPU_AVX512_VNNI : 0;
    }
    return features;
}

#else

uint64_t mmi_cpu_features(void) {
    return MM_CPU_NEON; /* part of every aarch64 */
}

#endif
