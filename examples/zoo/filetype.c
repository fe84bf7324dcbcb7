/* SPDX-License-Identifier: Apache-2.0 */
#include "filetype.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK 4096u
#define PADDING 256

static bool is_blank(uint8_t c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

void filetype_ids(const uint8_t *data, uint64_t bytes, int32_t ids[FILETYPE_IDS]) {
    for (uint32_t i = 0; i < FILETYPE_IDS; i++) {
        ids[i] = PADDING;
    }
    uint64_t block = bytes < BLOCK ? bytes : BLOCK;
    uint64_t first = 0, last = block;
    while (first < block && is_blank(data[first])) {
        first++;
    }
    for (uint64_t i = 0; i < FILETYPE_END && first + i < block; i++) {
        ids[i] = data[first + i];
    }
    const uint8_t *tail = data + (bytes - block);
    while (last > 0 && is_blank(tail[last - 1])) {
        last--;
    }
    for (uint64_t i = 0; i < FILETYPE_END && i < last; i++) {
        ids[FILETYPE_IDS - 1 - i] = tail[last - 1 - i];
    }
}

bool labels_parse(const char *name, const char *text, struct labels *labels, mm_error *err) {
    uint32_t lines = 0;
    for (const char *at = text; *at; at++) {
        lines += *at == '\n';
    }
    *labels = (struct labels){.items = calloc(lines + 1, sizeof(*labels->items))};
    if (!labels->items) {
        return fault(err, MM_NO_MEMORY, "%s: no memory for %u labels", name, lines);
    }
    for (uint32_t i = 0; i < lines; i++) {
        struct label *label = &labels->items[i];
        if (sscanf(text, "%31s %f", label->name, &label->threshold) != 2) {
            labels_free(labels);
            return fault(err, MM_INVALID_ARGUMENT, "%s:%u: `label threshold` is wanted", name,
                         i + 1);
        }
        text = strchr(text, '\n') + 1;
        labels->count++;
    }
    return true;
}

void labels_free(struct labels *labels) {
    free(labels->items);
    *labels = (struct labels){0};
}

const char *filetype_name(const struct labels *labels, const float *scores, float *score) {
    uint32_t best = 0;
    for (uint32_t i = 1; i < labels->count; i++) {
        best = scores[i] > scores[best] ? i : best;
    }
    *score = scores[best];
    return scores[best] >= labels->items[best].threshold ? labels->items[best].name : "unknown";
}
