/* SPDX-License-Identifier: Apache-2.0 */
/* What goes before and after the models that read. */
#include "../../examples/zoo/ocr.h"

#include <support/world.h>

#include <stdlib.h>
#include <string.h>

static mm_error err;

/* ---- Detection ------------------------------------------------------------------------------ */

enum { WIDTH = 64, HEIGHT = 48 };

static void ink(float *map, struct box box) {
    for (uint32_t y = box.top; y < box.bottom; y++) {
        for (uint32_t x = box.left; x < box.right; x++) {
            map[y * WIDTH + x] = 0.9f;
        }
    }
}

static void assert_box(struct box box, struct box wanted) {
    assert_int_equal(box.left, wanted.left);
    assert_int_equal(box.top, wanted.top);
    assert_int_equal(box.right, wanted.right);
    assert_int_equal(box.bottom, wanted.bottom);
}

static void test_boxes(void **state) {
    (void)state;
    float map[WIDTH * HEIGHT] = {0};
    struct box boxes[OCR_MOST_LINES];
    assert_int_equal(ocr_boxes(map, WIDTH, HEIGHT, boxes), 0);
    ink(map, (struct box){20, 30, 60, 34});
    ink(map, (struct box){10, 10, 50, 14});
    ink(map, (struct box){0, 40, 6, 46});   /* a speck */
    ink(map, (struct box){50, 14, 51, 15}); /* touches the second by a corner */
    map[0] = 0.3f;                          /* not above the limit */
    assert_int_equal(ocr_boxes(map, WIDTH, HEIGHT, boxes), 2);
    assert_box(boxes[0], (struct box){6, 6, 55, 19});   /* 41 x 5: grows by 4 */
    assert_box(boxes[1], (struct box){17, 27, 63, 37}); /* 40 x 4: grows by 3 */
}

static void test_boxes_at_the_edge(void **state) {
    (void)state;
    float map[WIDTH * HEIGHT] = {0};
    struct box boxes[OCR_MOST_LINES];
    ink(map, (struct box){0, 0, WIDTH, HEIGHT});
    assert_int_equal(ocr_boxes(map, WIDTH, HEIGHT, boxes), 1);
    assert_box(boxes[0], (struct box){0, 0, WIDTH, HEIGHT});
}

/* More than there is room for; side by side they come from left to right. */
static void test_boxes_many(void **state) {
    (void)state;
    float *map = calloc((size_t)WIDTH * 512, sizeof(*map));
    struct box boxes[OCR_MOST_LINES];
    for (uint32_t y = 0; y + 10 <= 512; y += 10) {
        ink(map, (struct box){40, y, 56, y + 4});
        ink(map, (struct box){4, y, 20, y + 4});
    }
    assert_int_equal(ocr_boxes(map, WIDTH, 512, boxes), OCR_MOST_LINES);
    assert_true(boxes[0].left < boxes[1].left && boxes[0].top == boxes[1].top);
    assert_true(boxes[2].top > boxes[1].top);
    free(map);
}

/* ---- Lines ---------------------------------------------------------------------------------- */

static void test_line(void **state) {
    (void)state;
    struct picture line = {10, 24, calloc(10 * 24 * 3, 1)};
    assert_int_equal(ocr_line_width(&line), 320);
    float *tensor = malloc(3 * 48 * 320 * sizeof(*tensor));
    assert_true(ocr_line_tensor(&line, 320, tensor, &err));
    assert_true(tensor[0] == -1 && tensor[19] == -1 && tensor[20] == 0); /* twice as wide */
    assert_true(ocr_line_tensor(&line, 8, tensor, &err));                /* squeezed */
    assert_true(tensor[3 * 48 * 8 - 1] == -1);
    free(tensor);
    line.width = 200;
    assert_int_equal(ocr_line_width(&line), 480);
    line.width = 8192;
    line.height = 1;
    assert_int_equal(ocr_line_width(&line), 3200);
    free(line.rgb);
    assert_false(ocr_turned((const float[]){0.2f, 0.8f}));
    assert_true(ocr_turned((const float[]){0.05f, 0.95f}));
}

/* ---- Recognition ---------------------------------------------------------------------------- */

static void test_charset(void **state) {
    (void)state;
    struct charset charset;
    assert_true(charset_parse("a\nb\n\xe4\xb8\x80", &charset, &err));
    assert_int_equal(charset.count, 5); /* nothing, three of its own, blank */
    assert_string_equal(charset.items[0], "");
    assert_string_equal(charset.items[3], "\xe4\xb8\x80");
    assert_string_equal(charset.items[4], " ");
    charset_free(&charset);
    assert_true(charset_parse("a\nb\n", &charset, &err)); /* a last line break adds nothing */
    assert_int_equal(charset.count, 4);
    charset_free(&charset);
    assert_true(charset_parse("", &charset, &err));
    assert_int_equal(charset.count, 2);
    charset_free(&charset);
}

static void read_steps(const struct charset *charset, const char *best, char *text, size_t room) {
    float *scores = calloc(strlen(best) * charset->count + 1, sizeof(*scores));
    for (size_t step = 0; best[step]; step++) {
        scores[step * charset->count + (uint32_t)(best[step] - '0')] = 0.6f;
    }
    ocr_text(charset, scores, strlen(best), text, room);
    free(scores);
}

static void test_text(void **state) {
    (void)state;
    struct charset charset;
    char text[16];
    assert_true(charset_parse("a\nb\n\xe4\xb8\x80", &charset, &err));
    read_steps(&charset, "0110122200", text, sizeof(text)); /* repetitions once, unless apart */
    assert_string_equal(text, "aab");
    read_steps(&charset, "414", text, sizeof(text)); /* blanks at the end go, others stay */
    assert_string_equal(text, " a");
    read_steps(&charset, "000", text, sizeof(text));
    assert_string_equal(text, "");
    read_steps(&charset, "", text, sizeof(text));
    assert_string_equal(text, "");
    read_steps(&charset, "12123", text, 5); /* no half character */
    assert_string_equal(text, "abab");
    read_steps(&charset, "1213", text, 5);
    assert_string_equal(text, "aba");
    charset_free(&charset);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_boxes),      cmocka_unit_test(test_boxes_at_the_edge),
        cmocka_unit_test(test_boxes_many), cmocka_unit_test(test_line),
        cmocka_unit_test(test_charset),    cmocka_unit_test(test_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
