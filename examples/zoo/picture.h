/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ZOO_PICTURE_H
#define ZOO_PICTURE_H

/* Pictures: 8 bits a colour, red green blue, row by row from the top. */

#include "fault.h"

struct picture {
    uint32_t width, height;
    uint8_t *rgb; /* [height, width, 3] */
};

/* A binary PPM ("P6") with 255 shades. `name` is for the error. */
bool picture_parse(const char *name, const uint8_t *data, uint64_t bytes, struct picture *picture,
                   mm_error *err);
void picture_free(struct picture *picture);

/* Part of a picture, [left, right) x [top, bottom); not empty and inside it. */
struct box {
    uint32_t left, top, right, bottom;
};
bool picture_cut(const struct picture *picture, struct box box, struct picture *part,
                 mm_error *err);
/* Put it on its head, in place. */
void picture_turn(struct picture *picture);
/* Another size, bilinear, centres of pixels on centres of pixels. */
bool picture_resize(const struct picture *picture, uint32_t width, uint32_t height,
                    struct picture *resized, mm_error *err);
/* What the text models take: [3, height, width], blue first, -1 to 1; 0 right of the picture and
 * below it. width and height are not less than the picture's. */
void picture_to_tensor(const struct picture *picture, uint32_t width, uint32_t height,
                       float *tensor);

#endif
