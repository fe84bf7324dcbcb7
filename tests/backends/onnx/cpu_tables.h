/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_BACKENDS_ONNX_CPU_TABLES_H
#define TESTS_BACKENDS_ONNX_CPU_TABLES_H

/* The tables of loops that this machine can run. */

#include <backends/onnx/cpu/simd.h>
#include <plugin/registry.h>

#define MAX_CPU_TABLES 4

/* The MM_CPU_* of each, the portable one first; returns how many. */
static inline uint32_t cpu_tables(uint64_t features[MAX_CPU_TABLES]) {
    static const uint64_t sets[] = {MM_CPU_AVX2, MM_CPU_AVX2 | MM_CPU_AVX512,
                                    MM_CPU_AVX2 | MM_CPU_AVX512 | MM_CPU_AVX512_VNNI};
    uint32_t count = 1;
    features[0] = 0;
    for (uint32_t i = 0; i < sizeof(sets) / sizeof(*sets); i++) {
        if ((mmi_cpu_features() & sets[i]) == sets[i]) {
            features[count++] = sets[i];
        }
    }
    return count;
}

static inline uint32_t cpu_simds(const struct onnx_simd *simds[MAX_CPU_TABLES]) {
    uint64_t features[MAX_CPU_TABLES];
    uint32_t count = cpu_tables(features);
    for (uint32_t i = 0; i < count; i++) {
        simds[i] = mmi_onnx_simd(features[i]);
    }
    return count;
}

#endif
