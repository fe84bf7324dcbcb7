/* SPDX-License-Identifier: Apache-2.0 */
#include "sound.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define SLOWEST 4000u
#define FASTEST 192000u
#define MOST_CHANNELS 8u

static uint32_t u16(const uint8_t *at) {
    return (uint32_t)at[0] | (uint32_t)at[1] << 8;
}

static uint32_t u32(const uint8_t *at) {
    return u16(at) | u16(at + 2) << 16;
}

static bool make(uint32_t rate, uint64_t count, struct sound *sound, mm_error *err) {
    *sound = (struct sound){.rate = rate, .count = count};
    sound->samples = malloc((count + 1) * sizeof(*sound->samples));
    return sound->samples || fault(err, MM_NO_MEMORY, "no memory for %" PRIu64 " samples", count);
}

void sound_free(struct sound *sound) {
    free(sound->samples);
    *sound = (struct sound){0};
}

/* The contents of a chunk of a RIFF file; NULL when there is none. One that claims more than is
 * there ends with the file. */
static const uint8_t *find_chunk(const uint8_t *data, uint64_t bytes, const char *name,
                                 uint64_t *size) {
    uint64_t at = 12;
    while (at + 8 <= bytes) {
        uint64_t claimed = u32(data + at + 4);
        uint64_t there = bytes - at - 8;
        if (memcmp(data + at, name, 4) == 0) {
            *size = claimed < there ? claimed : there;
            return data + at + 8;
        }
        at += 8 + claimed + (claimed & 1);
    }
    return NULL;
}

bool sound_parse(const char *name, const uint8_t *data, uint64_t bytes, struct sound *sound,
                 mm_error *err) {
    if (bytes < 12 || memcmp(data, "RIFF", 4) != 0 || memcmp(data + 8, "WAVE", 4) != 0) {
        return fault(err, MM_INVALID_ARGUMENT, "%s: no WAV file: RIFF and WAVE are missing", name);
    }
    uint64_t format_bytes = 0, sample_bytes = 0;
    const uint8_t *format = find_chunk(data, bytes, "fmt ", &format_bytes);
    const uint8_t *samples = find_chunk(data, bytes, "data", &sample_bytes);
    if (!format || format_bytes < 16 || !samples) {
        return fault(err, MM_INVALID_ARGUMENT, "%s: a WAV file without format or samples", name);
    }
    uint32_t channels = u16(format + 2), rate = u32(format + 4);
    if (u16(format) != 1 || u16(format + 14) != 16) {
        return fault(err, MM_INVALID_ARGUMENT, "%s: 16-bit PCM is wanted, not format %u of %u bits",
                     name, u16(format), u16(format + 14));
    }
    if (channels == 0 || channels > MOST_CHANNELS || rate < SLOWEST || rate > FASTEST) {
        return fault(err, MM_INVALID_ARGUMENT, "%s: %u channels at %u Hz are not possible here",
                     name, channels, rate);
    }
    if (!make(rate, sample_bytes / 2 / channels, sound, err)) {
        return false;
    }
    for (uint64_t i = 0; i < sound->count; i++) {
        float sum = 0;
        for (uint32_t c = 0; c < channels; c++) {
            sum += (float)(int16_t)u16(samples + (i * channels + c) * 2) / 32768.0f;
        }
        sound->samples[i] = sum / (float)channels;
    }
    return true;
}

bool sound_resample(const struct sound *sound, uint32_t rate, struct sound *resampled,
                    mm_error *err) {
    if (!make(rate, sound->count * rate / sound->rate, resampled, err)) {
        return false;
    }
    for (uint64_t i = 0; i < resampled->count; i++) {
        uint64_t scaled = i * sound->rate;
        uint64_t first = scaled / rate;
        uint64_t second = first + 1 < sound->count ? first + 1 : first;
        float share = (float)(scaled % rate) / (float)rate;
        resampled->samples[i] =
            sound->samples[first] * (1 - share) + sound->samples[second] * share;
    }
    return true;
}
