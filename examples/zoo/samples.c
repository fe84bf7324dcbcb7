/* SPDX-License-Identifier: Apache-2.0 */
#include "samples.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BAND 64u     /* height of the strip of the picture that detection gets, around a line */
#define SEQUENCE 32u /* windows that the sequence model takes at once */

static bool room_for(struct samples *samples, uint64_t count, mm_error *err) {
    samples->items = calloc(count + 1, sizeof(*samples->items));
    return samples->items || fault(err, MM_NO_MEMORY, "no memory for samples");
}

/* ---- The picture ---------------------------------------------------------------------------- */

/* Around a line, and across the whole picture. */
static struct box band_of(const struct picture *picture, struct box line) {
    uint32_t middle = (line.top + line.bottom) / 2;
    uint32_t height = picture->height < BAND ? picture->height : BAND;
    uint32_t top = middle > height / 2 ? middle - height / 2 : 0;
    top = top + height > picture->height ? picture->height - height : top;
    return (struct box){0, top, picture->width, top + height};
}

static bool add_picture(const struct picture *picture, const char *expected,
                        struct samples *samples, mm_error *err) {
    struct sample *sample = &samples->items[samples->count];
    snprintf(sample->expected, sizeof(sample->expected), "%s", expected);
    bool ok = picture_value(picture, &sample->input, err);
    samples->count += ok;
    return ok;
}

static bool add_line(const struct picture *line, uint32_t width, const char *expected,
                     struct samples *samples, mm_error *err) {
    struct sample *sample = &samples->items[samples->count];
    snprintf(sample->expected, sizeof(sample->expected), "%s", expected);
    bool ok = line_value(line, width, &sample->input, err);
    samples->count += ok;
    return ok;
}

static bool make_for_line(const struct things *things, const struct line *line, const char *text,
                          struct samples samples[KINDS], mm_error *err) {
    struct picture band = {0}, seen = {0};
    bool ok =
        picture_cut(&things->picture, band_of(&things->picture, line->box), &band, err) &&
        picture_cut(&things->picture, line->box, &seen, err) &&
        add_picture(&band, "1 line", &samples[KIND_DET], err) &&
        add_line(&seen, OCR_TURN_WIDTH, line->turned ? "down" : "up", &samples[KIND_CLS], err) &&
        add_line(&line->picture, ocr_line_width(&line->picture), text, &samples[KIND_REC], err);
    picture_free(&band);
    picture_free(&seen);
    return ok;
}

static bool make_from_picture(const struct things *things, const struct reading *reading,
                              struct samples samples[KINDS], mm_error *err) {
    if (reading->count != things->line_count) {
        return fault(err, MM_BACKEND_FAILED, "%u lines were found in the picture, not %u",
                     reading->count, things->line_count);
    }
    bool ok = room_for(&samples[KIND_DET], reading->count, err) &&
              room_for(&samples[KIND_CLS], reading->count, err) &&
              room_for(&samples[KIND_REC], reading->count, err);
    for (uint32_t i = 0; ok && i < reading->count; i++) {
        ok = make_for_line(things, &reading->lines[i], things->lines[i].text, samples, err);
    }
    return ok;
}

/* ---- The recording -------------------------------------------------------------------------- */

/* Samples of `windows` windows each, one after another. */
static bool make_from_sound(const struct sound *sound, uint64_t windows, struct samples *samples,
                            mm_error *err) {
    uint64_t count = vad_windows(sound) / windows;
    if (count == 0) {
        return fault(err, MM_INVALID_ARGUMENT, "the recording is too short");
    }
    if (!room_for(samples, count, err)) {
        return false;
    }
    for (uint64_t i = 0; i < count; i++) {
        mm_value *input = &samples->items[i].input;
        *input = (mm_value){.dtype = MM_F32, .rank = 2};
        input->shape[0] = (int64_t)windows;
        input->shape[1] = VAD_WINDOW;
        input->bytes = windows * VAD_WINDOW * sizeof(float);
        input->data = malloc(input->bytes);
        if (!input->data) {
            return fault(err, MM_NO_MEMORY, "no memory for samples of the recording");
        }
        samples->count++;
        for (uint64_t w = 0; w < windows; w++) {
            vad_window(sound, i * windows + w, (float *)input->data + w * VAD_WINDOW);
        }
    }
    return true;
}

/* ---- The files ------------------------------------------------------------------------------ */

static bool make_from_files(const struct things *things, struct samples *samples, mm_error *err) {
    if (!room_for(samples, things->file_count, err)) {
        return false;
    }
    for (uint32_t i = 0; i < things->file_count; i++) {
        struct sample *sample = &samples->items[i];
        snprintf(sample->expected, sizeof(sample->expected), "%s", things->files[i].label);
        sample->input =
            (mm_value){.dtype = MM_I32, .rank = 2, .bytes = sizeof(things->files[i].ids)};
        sample->input.shape[0] = 1;
        sample->input.shape[1] = FILETYPE_IDS;
        sample->input.data = malloc(sample->input.bytes);
        if (!sample->input.data) {
            return fault(err, MM_NO_MEMORY, "no memory for samples of the files");
        }
        samples->count++;
        memcpy(sample->input.data, things->files[i].ids, sample->input.bytes);
    }
    return true;
}

bool samples_make(const struct things *things, const struct reading *reading,
                  struct samples samples[KINDS], mm_error *err) {
    memset(samples, 0, KINDS * sizeof(*samples));
    if (make_from_picture(things, reading, samples, err) &&
        make_from_sound(&things->sound, 1, &samples[KIND_VAD], err) &&
        make_from_sound(&things->sound, SEQUENCE, &samples[KIND_VADSEQ], err) &&
        make_from_files(things, &samples[KIND_FILETYPE], err)) {
        return true;
    }
    samples_free(samples);
    return false;
}

void samples_free(struct samples samples[KINDS]) {
    for (uint32_t kind = 0; kind < KINDS; kind++) {
        for (uint32_t i = 0; i < samples[kind].count; i++) {
            free(samples[kind].items[i].input.data);
        }
        free(samples[kind].items);
        samples[kind] = (struct samples){0};
    }
}

/* ---- Answers -------------------------------------------------------------------------------- */

static bool count_lines(const struct sample *sample, const struct answer *answer,
                        char said[TEXT_BYTES], mm_error *err) {
    uint32_t height = (uint32_t)sample->input.shape[2], width = (uint32_t)sample->input.shape[3];
    const float *map = answer_scores(answer, (uint64_t)height * width);
    struct box boxes[OCR_MOST_LINES];
    if (!map) {
        return fault(err, MM_BACKEND_FAILED, "no map of the picture");
    }
    uint32_t count = ocr_boxes(map, width, height, boxes);
    snprintf(said, TEXT_BYTES, "%u line%s", count, count == 1 ? "" : "s");
    return true;
}

static bool what_it_says(const struct things *things, enum kind kind, const struct sample *sample,
                         const struct answer *answer, char said[TEXT_BYTES], mm_error *err) {
    uint64_t wanted = kind == KIND_CLS ? 2 : kind == KIND_FILETYPE ? things->labels.count : 1;
    const float *scores = answer_scores(answer, wanted);
    float score;
    if (!scores) {
        return fault(err, MM_BACKEND_FAILED, "fewer scores than the model has classes");
    }
    switch (kind) {
    case KIND_DET:
        return count_lines(sample, answer, said, err);
    case KIND_REC:
        return answer_text(things, answer, said, err);
    case KIND_CLS:
        snprintf(said, TEXT_BYTES, "%s", ocr_turned(scores) ? "down" : "up");
        return true;
    case KIND_FILETYPE:
        snprintf(said, TEXT_BYTES, "%s", filetype_name(&things->labels, scores, &score));
        return true;
    default:
        said[0] = '\0';
        return true;
    }
}

bool sample_right(const struct things *things, const struct zoo_model *model,
                  const struct sample *sample, const struct answer *answer, mm_error *err) {
    char said[TEXT_BYTES];
    if (sample->expected[0] == '\0') {
        return true;
    }
    if (!what_it_says(things, model->kind, sample, answer, said, err)) {
        return false;
    }
    return strcmp(said, sample->expected) == 0 ||
           fault(err, MM_BACKEND_FAILED, "%s: \"%s\" where \"%s\" is right", model->name, said,
                 sample->expected);
}
