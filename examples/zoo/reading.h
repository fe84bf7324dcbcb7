/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ZOO_READING_H
#define ZOO_READING_H

/* Reading a picture with three models of the zoo: detection, direction, recognition. */

#include "ask.h"
#include "things.h"

struct line {
    struct box box;
    struct picture picture; /* upright */
    bool turned;            /* it was not */
    char text[TEXT_BYTES];
};

struct reading {
    struct line lines[OCR_MOST_LINES];
    uint32_t count;
    uint32_t requests, misses;
};

/* On success free the reading. */
bool reading_make(const struct zoo *zoo, const struct things *things, struct reading *reading,
                  mm_error *err);
void reading_free(struct reading *reading);

/* A tensor [1, 3, height, width] in memory of its own: free its data. */
bool picture_value(const struct picture *picture, mm_value *value, mm_error *err);
/* A line as direction (width OCR_TURN_WIDTH) and recognition take it: likewise. */
bool line_value(const struct picture *line, uint32_t width, mm_value *value, mm_error *err);

/* What recognition says, as text. */
bool answer_text(const struct things *things, const struct answer *answer, char text[TEXT_BYTES],
                 mm_error *err);

#endif
