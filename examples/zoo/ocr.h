/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ZOO_OCR_H
#define ZOO_OCR_H

/* Reading around the PP-OCR models: a picture goes into detection, which gives back where text is;
 * each line goes through direction (is it on its head?) into recognition, which gives back scores
 * for each character at each step. */

#include "picture.h"

enum { OCR_HEIGHT = 48, OCR_TURN_WIDTH = 192, OCR_SIDE = 32, OCR_MOST_LINES = 32 };

/* Where text is, from detection's map of probabilities [height, width]: boxes from top to bottom.
 * Returns how many, at most OCR_MOST_LINES; 0 also when there is no memory. */
uint32_t ocr_boxes(const float *map, uint32_t width, uint32_t height,
                   struct box boxes[OCR_MOST_LINES]);

/* A line as the other two models take it: [1, 3, OCR_HEIGHT, width], scaled to that height. */
bool ocr_line_tensor(const struct picture *line, uint32_t width, float *tensor, mm_error *err);
/* The width for recognition: as long as the line needs, in few sizes, since each new size makes the
 * backend plan anew. */
uint32_t ocr_line_width(const struct picture *line);
/* Direction's answer [2]. */
bool ocr_turned(const float *scores);

/* The characters that recognition knows. */
struct charset {
    char *text;         /* entries one after another, each NUL-terminated */
    const char **items; /* [count]; 0 is "nothing here" */
    uint32_t count;
};
/* From the model's own list, an entry a line. */
bool charset_parse(const char *list, struct charset *charset, mm_error *err);
void charset_free(struct charset *charset);

/* Recognition's answer [steps, charset->count] as text: the best of each step, repetitions once. */
void ocr_text(const struct charset *charset, const float *scores, uint64_t steps, char *text,
              size_t room);

#endif
