/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_OPERATORS_RANDOM_H
#define MMI_BACKENDS_ONNX_OPERATORS_RANDOM_H

/* Random numbers: splitmix64, whose number i is computed from i alone. They are not those of other
 * runtimes, which the specification does not ask for. With a seed they are the same in every run,
 * without one they are others each time. */

#include <backends/onnx/operators/operator.h>

struct onnx_seed {
    uint64_t bits;
    int64_t given; /* 0: there is none */
};
/* The attribute seed: a float, of Dropout an integer. */
mm_status mmi_onnx_read_seed(const struct onnx_attributes *a, struct onnx_seed *seed,
                             mm_error *err);

/* Where the numbers of one run of a node begin. */
uint64_t mmi_onnx_random_begin(const struct onnx_seed *seed);

static inline uint64_t mmi_onnx_mix(uint64_t x) {
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}
/* Number i, in [0, 1). */
static inline double mmi_onnx_random_share(uint64_t begin, uint64_t i) {
    return (double)(mmi_onnx_mix(begin + (i + 1) * UINT64_C(0x9e3779b97f4a7c15)) >> 11) * 0x1p-53;
}

#endif
