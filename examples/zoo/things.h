/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ZOO_THINGS_H
#define ZOO_THINGS_H

/* What the zoo looks at and listens to, and what is expected of it: made by things.py. */

#include "filetype.h"
#include "ocr.h"
#include "vad.h"

enum { MOST_FILES = 32, TEXT_BYTES = 128 };

struct expected_line {
    char text[TEXT_BYTES];
    bool turned;
};

struct thing_file {
    char name[TEXT_BYTES], label[32];
    int32_t ids[FILETYPE_IDS];
};

struct things {
    struct picture picture;
    struct expected_line lines[OCR_MOST_LINES];
    uint32_t line_count;
    struct sound sound; /* at VAD_RATE */
    struct span spoken; /* where it is loud */
    struct thing_file files[MOST_FILES];
    uint32_t file_count;
    struct labels labels;   /* that the file types' model knows */
    struct charset charset; /* that recognition knows: its own list, once it was described */
};

bool things_read(const char *folder, struct things *things, mm_error *err);
void things_free(struct things *things);

#endif
