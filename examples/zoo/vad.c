/* SPDX-License-Identifier: Apache-2.0 */
#include "vad.h"

#include <string.h>

#define SPEECH 0.5f
#define PAUSE_S 0.5

uint64_t vad_windows(const struct sound *sound) {
    return sound->count / VAD_STEP;
}

void vad_window(const struct sound *sound, uint64_t index, float window[VAD_WINDOW]) {
    const float *from = sound->samples + index * VAD_STEP;
    if (index == 0) {
        memset(window, 0, VAD_BEFORE * sizeof(*window));
        memcpy(window + VAD_BEFORE, from, VAD_STEP * sizeof(*window));
    } else {
        memcpy(window, from - VAD_BEFORE, VAD_WINDOW * sizeof(*window));
    }
}

uint32_t vad_spans(const float *probabilities, uint64_t count, struct span *spans,
                   uint32_t capacity) {
    uint32_t found = 0;
    double end_s = 0; /* of the last window with speech */
    for (uint64_t i = 0; i < count; i++) {
        if (!(probabilities[i] > SPEECH)) {
            continue;
        }
        double begin_s = (double)(i * VAD_STEP) / VAD_RATE;
        if (found == 0 || begin_s - end_s >= PAUSE_S) {
            if (found < capacity) {
                spans[found].begin_s = begin_s;
            }
            found++;
        }
        end_s = (double)((i + 1) * VAD_STEP) / VAD_RATE;
        if (found <= capacity) {
            spans[found - 1].end_s = end_s;
        }
    }
    return found;
}
