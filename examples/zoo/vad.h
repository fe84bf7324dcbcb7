/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ZOO_VAD_H
#define ZOO_VAD_H

/* Voice activity detection around the Silero models: a recording goes in window by window, with the
 * state that the last call gave back, and comes out as spans of speech. */

#include "sound.h"

enum {
    VAD_RATE = 16000,
    VAD_STEP = 512,   /* new samples of a window */
    VAD_BEFORE = 64,  /* samples of the window before that go in again */
    VAD_WINDOW = 576, /* both */
    VAD_STATE = 256   /* floats */
};

/* Whole windows of a recording at VAD_RATE. */
uint64_t vad_windows(const struct sound *sound);
void vad_window(const struct sound *sound, uint64_t index, float window[VAD_WINDOW]);

struct span {
    double begin_s, end_s;
};
/* Speech, from one probability a window; pauses under half a second belong to it. Returns how many
 * spans there are; writes at most capacity. */
uint32_t vad_spans(const float *probabilities, uint64_t count, struct span *spans,
                   uint32_t capacity);

#endif
