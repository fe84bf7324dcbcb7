/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ZOO_FILETYPE_H
#define ZOO_FILETYPE_H

/* File types around the Magika model: the bytes at both ends of a file go in, one score for each
 * label comes out. */

#include "fault.h"

enum { FILETYPE_END = 1024, FILETYPE_IDS = 2 * FILETYPE_END };

/* What the model takes: the first and the last bytes, blanks at the very ends left out, padded with
 * 256. */
void filetype_ids(const uint8_t *data, uint64_t bytes, int32_t ids[FILETYPE_IDS]);

struct label {
    char name[32];
    float threshold; /* a lower score is no answer */
};
struct labels {
    struct label *items;
    uint32_t count;
};
/* From lines `name threshold`. `name` is for the error. */
bool labels_parse(const char *name, const char *text, struct labels *labels, mm_error *err);
void labels_free(struct labels *labels);

/* The best label, or "unknown" below its threshold. scores: [labels->count]. */
const char *filetype_name(const struct labels *labels, const float *scores, float *score);

#endif
