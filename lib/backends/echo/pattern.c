/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/echo/state.h>
#include <base/checked.h>

#include <string.h>

#define SAMPLES 32

static uint64_t word_at(uint64_t seed, uint64_t offset) {
    uint64_t z = (seed + 1) * UINT64_C(0x9e3779b97f4a7c15) + offset;
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

void mmi_echo_fill(uint64_t seed, uint64_t offset, void *to, uint64_t bytes) {
    uint8_t *out = to;
    for (uint64_t at = 0; at < bytes; at += 8) {
        uint64_t word = word_at(seed, offset + at);
        memcpy(out + at, &word, mmi_min_u64(8, bytes - at));
    }
}

uint64_t mmi_echo_first_wrong(uint64_t seed, const uint8_t *weights, uint64_t begin, uint64_t end) {
    for (uint64_t at = begin; at < end; at += 8) {
        uint64_t word = word_at(seed, at);
        if (memcmp(weights + at, &word, mmi_min_u64(8, end - at)) != 0) {
            return at;
        }
    }
    return end;
}

/* The i-th sampled offset: evenly over all words, the first and the last among them. */
static uint64_t sample_at(uint64_t i, uint64_t bytes) {
    uint64_t last = (bytes - 1) / 8;
    return (last / (SAMPLES - 1) * i + last % (SAMPLES - 1) * i / (SAMPLES - 1)) * 8;
}

static uint64_t mix(uint64_t sum, uint64_t word) {
    return (sum ^ word) * UINT64_C(0x9e3779b97f4a7c15);
}

int64_t mmi_echo_sample(const uint8_t *weights, uint64_t bytes) {
    uint64_t sum = bytes;
    for (uint64_t i = 0; bytes > 0 && i < SAMPLES; i++) {
        uint64_t at = sample_at(i, bytes);
        uint64_t word = 0;
        memcpy(&word, weights + at, mmi_min_u64(8, bytes - at));
        sum = mix(sum, word);
    }
    return (int64_t)sum;
}

int64_t mmi_echo_checksum(uint64_t seed, uint64_t weights_bytes) {
    uint64_t sum = weights_bytes;
    for (uint64_t i = 0; weights_bytes > 0 && i < SAMPLES; i++) {
        uint64_t at = sample_at(i, weights_bytes);
        uint64_t word = 0;
        mmi_echo_fill(seed, at, &word, mmi_min_u64(8, weights_bytes - at));
        sum = mix(sum, word);
    }
    return (int64_t)sum;
}
