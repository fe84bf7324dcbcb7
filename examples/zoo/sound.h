/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ZOO_SOUND_H
#define ZOO_SOUND_H

/* Recordings: one channel of samples from -1 to 1. */

#include "fault.h"

struct sound {
    uint32_t rate; /* samples a second */
    uint64_t count;
    float *samples;
};

/* A WAV file of 16-bit PCM; several channels are mixed into one. `name` is for the error. */
bool sound_parse(const char *name, const uint8_t *data, uint64_t bytes, struct sound *sound,
                 mm_error *err);
/* The same at another rate, on straight lines between samples. */
bool sound_resample(const struct sound *sound, uint32_t rate, struct sound *resampled,
                    mm_error *err);
void sound_free(struct sound *sound);

#endif
