/* SPDX-License-Identifier: Apache-2.0 */
#include "reading.h"

#include <stdlib.h>

/* ---- Inputs --------------------------------------------------------------------------------- */

static bool make_value(uint32_t width, uint32_t height, mm_value *value, mm_error *err) {
    *value = (mm_value){.dtype = MM_F32, .rank = 4};
    value->shape[0] = 1;
    value->shape[1] = 3;
    value->shape[2] = height;
    value->shape[3] = width;
    value->bytes = UINT64_C(3) * height * width * sizeof(float);
    value->data = malloc(value->bytes);
    return value->data ||
           fault(err, MM_NO_MEMORY, "no memory for a picture of %u x %u", width, height);
}

bool picture_value(const struct picture *picture, mm_value *value, mm_error *err) {
    if (!make_value(picture->width, picture->height, value, err)) {
        return false;
    }
    picture_to_tensor(picture, picture->width, picture->height, value->data);
    return true;
}

bool line_value(const struct picture *line, uint32_t width, mm_value *value, mm_error *err) {
    if (!make_value(width, OCR_HEIGHT, value, err)) {
        return false;
    }
    if (!ocr_line_tensor(line, width, value->data, err)) {
        free(value->data);
        return false;
    }
    return true;
}

bool answer_text(const struct things *things, const struct answer *answer, char text[TEXT_BYTES],
                 mm_error *err) {
    uint64_t classes = things->charset.count;
    const float *scores = answer_scores(answer, 1);
    const mm_value *output = answer->response.outputs;
    if (!scores || output->rank != 3 || output->shape[2] != (int64_t)classes) {
        return fault(err, MM_BACKEND_FAILED, "recognition answers no scores for its %u characters",
                     things->charset.count);
    }
    ocr_text(&things->charset, scores, output->bytes / sizeof(float) / classes, text, TEXT_BYTES);
    return true;
}

/* ---- The three models ----------------------------------------------------------------------- */

/* Asks the public model of a kind, counts, and frees the input. */
static bool ask_reader(const struct zoo *zoo, enum kind kind, mm_value *input,
                       struct reading *reading, struct answer *answer, mm_error *err) {
    bool ok = ask(zoo->mesh, &zoo->models[zoo->first[kind]], input, NULL, answer, err);
    free(input->data);
    reading->requests++;
    reading->misses += !answer->hit;
    return ok;
}

static bool find_lines(const struct zoo *zoo, const struct things *things, struct reading *reading,
                       mm_error *err) {
    const struct picture *picture = &things->picture;
    mm_value input;
    struct answer answer;
    if (!picture_value(picture, &input, err) ||
        !ask_reader(zoo, KIND_DET, &input, reading, &answer, err)) {
        return false;
    }
    const float *map = answer_scores(&answer, (uint64_t)picture->width * picture->height);
    bool ok = map || fault(err, MM_BACKEND_FAILED, "detection answers no map of the picture");
    struct box boxes[OCR_MOST_LINES];
    uint32_t count = map ? ocr_boxes(map, picture->width, picture->height, boxes) : 0;
    answer_free(&answer);
    while (ok && reading->count < count) {
        struct line *line = &reading->lines[reading->count];
        line->box = boxes[reading->count];
        ok = picture_cut(picture, line->box, &line->picture, err);
        reading->count += ok;
    }
    return ok;
}

static bool read_line(const struct zoo *zoo, const struct things *things, struct reading *reading,
                      struct line *line, mm_error *err) {
    mm_value input;
    struct answer answer;
    if (!line_value(&line->picture, OCR_TURN_WIDTH, &input, err) ||
        !ask_reader(zoo, KIND_CLS, &input, reading, &answer, err)) {
        return false;
    }
    const float *scores = answer_scores(&answer, 2);
    line->turned = scores && ocr_turned(scores);
    answer_free(&answer);
    if (!scores) {
        return fault(err, MM_BACKEND_FAILED, "direction answers not two scores");
    }
    if (line->turned) {
        picture_turn(&line->picture);
    }
    if (!line_value(&line->picture, ocr_line_width(&line->picture), &input, err) ||
        !ask_reader(zoo, KIND_REC, &input, reading, &answer, err)) {
        return false;
    }
    bool ok = answer_text(things, &answer, line->text, err);
    answer_free(&answer);
    return ok;
}

bool reading_make(const struct zoo *zoo, const struct things *things, struct reading *reading,
                  mm_error *err) {
    *reading = (struct reading){0};
    bool ok = find_lines(zoo, things, reading, err);
    for (uint32_t i = 0; ok && i < reading->count; i++) {
        ok = read_line(zoo, things, reading, &reading->lines[i], err);
    }
    if (!ok) {
        reading_free(reading);
    }
    return ok;
}

void reading_free(struct reading *reading) {
    for (uint32_t i = 0; i < reading->count; i++) {
        picture_free(&reading->lines[i].picture);
    }
    reading->count = 0;
}
