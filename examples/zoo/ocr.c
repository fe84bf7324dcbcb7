/* SPDX-License-Identifier: Apache-2.0 */
#include "ocr.h"

#include <stdlib.h>
#include <string.h>

#define INK 0.3f         /* a pixel of text */
#define SMALLEST 40u     /* pixels of a text; less is a speck */
#define GROWTH 1.6f      /* detection marks the core of a line; this much more is the line */
#define TURNED 0.9f      /* surer than this, a line is on its head */
#define LINE_WIDTHS 160u /* recognition's widths are multiples of this, at least two */
#define LONGEST_LINE (20u * LINE_WIDTHS)

/* ---- Detection ------------------------------------------------------------------------------ */

/* Marks all text connected with pixel `start`, clearing it from the map; the box around it, right
 * and bottom included, and how many pixels there were. stack: [pixels]. */
static uint32_t flood(uint8_t *ink, uint32_t width, uint32_t height, uint32_t start,
                      uint32_t *stack, struct box *box) {
    uint32_t depth = 0, count = 0;
    *box = (struct box){width, height, 0, 0};
    ink[start] = 0;
    stack[depth++] = start;
    while (depth > 0) {
        uint32_t at = stack[--depth], x = at % width, y = at / width;
        count++;
        box->left = x < box->left ? x : box->left;
        box->right = x > box->right ? x : box->right;
        box->top = y < box->top ? y : box->top;
        box->bottom = y > box->bottom ? y : box->bottom;
        for (uint32_t ny = y ? y - 1 : 0; ny <= y + 1 && ny < height; ny++) {
            for (uint32_t nx = x ? x - 1 : 0; nx <= x + 1 && nx < width; nx++) {
                if (ink[ny * width + nx]) {
                    ink[ny * width + nx] = 0;
                    stack[depth++] = ny * width + nx;
                }
            }
        }
    }
    return count;
}

static uint32_t less(uint32_t value, uint32_t by) {
    return value > by ? value - by : 0;
}

static uint32_t at_most(uint32_t value, uint32_t most) {
    return value < most ? value : most;
}

static struct box grown(struct box box, uint32_t width, uint32_t height) {
    float w = (float)(box.right - box.left + 1), h = (float)(box.bottom - box.top + 1);
    uint32_t by = (uint32_t)(w * h * GROWTH / (2 * (w + h)) + 0.5f);
    return (struct box){less(box.left, by), less(box.top, by), at_most(box.right + 1 + by, width),
                        at_most(box.bottom + 1 + by, height)};
}

static int by_place(const void *a, const void *b) {
    const struct box *x = a, *y = b;
    uint32_t middle_x = x->top + x->bottom, middle_y = y->top + y->bottom;
    return middle_x != middle_y ? (middle_x > middle_y) - (middle_x < middle_y)
                                : (x->left > y->left) - (x->left < y->left);
}

uint32_t ocr_boxes(const float *map, uint32_t width, uint32_t height,
                   struct box boxes[OCR_MOST_LINES]) {
    uint32_t pixels = width * height, count = 0;
    uint8_t *ink = malloc(pixels + 1);
    uint32_t *stack = malloc((pixels + 1) * sizeof(*stack));
    if (ink && stack) {
        for (uint32_t i = 0; i < pixels; i++) {
            ink[i] = map[i] > INK;
        }
        for (uint32_t i = 0; i < pixels && count < OCR_MOST_LINES; i++) {
            struct box core;
            if (ink[i] && flood(ink, width, height, i, stack, &core) >= SMALLEST) {
                boxes[count++] = grown(core, width, height);
            }
        }
        qsort(boxes, count, sizeof(*boxes), by_place);
    }
    free(ink);
    free(stack);
    return count;
}

/* ---- Lines ---------------------------------------------------------------------------------- */

static uint32_t scaled_width(const struct picture *line) {
    uint64_t width = ((uint64_t)line->width * OCR_HEIGHT + line->height - 1) / line->height;
    return width < LONGEST_LINE ? (uint32_t)width : LONGEST_LINE;
}

uint32_t ocr_line_width(const struct picture *line) {
    uint32_t units = (scaled_width(line) + LINE_WIDTHS - 1) / LINE_WIDTHS;
    return (units < 2 ? 2 : units) * LINE_WIDTHS;
}

bool ocr_line_tensor(const struct picture *line, uint32_t width, float *tensor, mm_error *err) {
    struct picture scaled;
    if (!picture_resize(line, at_most(scaled_width(line), width), OCR_HEIGHT, &scaled, err)) {
        return false;
    }
    picture_to_tensor(&scaled, width, OCR_HEIGHT, tensor);
    picture_free(&scaled);
    return true;
}

bool ocr_turned(const float *scores) {
    return scores[1] > TURNED;
}

/* ---- Recognition ---------------------------------------------------------------------------- */

bool charset_parse(const char *list, struct charset *charset, mm_error *err) {
    size_t length = strlen(list);
    uint32_t lines = 1;
    for (const char *at = list; *at; at++) {
        lines += *at == '\n';
    }
    *charset = (struct charset){.text = malloc(length + 1),
                                .items = calloc(lines + 2, sizeof(*charset->items))};
    if (!charset->text || !charset->items) {
        charset_free(charset);
        return fault(err, MM_NO_MEMORY, "no memory for %u characters", lines);
    }
    memcpy(charset->text, list, length + 1);
    charset->items[charset->count++] = "";
    char *rest = charset->text, *entry;
    while ((entry = strsep(&rest, "\n"))) {
        if (*entry || rest) { /* a last line break ends the list and adds nothing */
            charset->items[charset->count++] = entry;
        }
    }
    charset->items[charset->count++] = " ";
    return true;
}

void charset_free(struct charset *charset) {
    free(charset->text);
    free((void *)charset->items);
    *charset = (struct charset){0};
}

void ocr_text(const struct charset *charset, const float *scores, uint64_t steps, char *text,
              size_t room) {
    size_t used = 0;
    uint32_t before = 0;
    for (uint64_t step = 0; step < steps; step++) {
        const float *row = scores + step * charset->count;
        uint32_t best = 0;
        for (uint32_t i = 1; i < charset->count; i++) {
            best = row[i] > row[best] ? i : best;
        }
        size_t length = strlen(charset->items[best]);
        if (best != before && used + length < room) {
            memcpy(text + used, charset->items[best], length);
            used += length;
        }
        before = best;
    }
    while (used > 0 && text[used - 1] == ' ') {
        used--; /* the margin of the line, not of the text */
    }
    text[used] = '\0';
}
