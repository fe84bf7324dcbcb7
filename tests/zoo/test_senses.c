/* SPDX-License-Identifier: Apache-2.0 */
/* What goes before and after the models that hear and that tell the type of files. */
#include "../../examples/zoo/filetype.h"
#include "../../examples/zoo/vad.h"

#include <support/world.h>

#include <math.h>
#include <string.h>

/* ---- Hearing -------------------------------------------------------------------------------- */

static void test_windows(void **state) {
    (void)state;
    float samples[2 * VAD_STEP + 100];
    struct sound sound = {VAD_RATE, 2 * VAD_STEP + 100, samples};
    for (uint32_t i = 0; i < sound.count; i++) {
        samples[i] = (float)i;
    }
    assert_int_equal(vad_windows(&sound), 2);
    float window[VAD_WINDOW];
    vad_window(&sound, 0, window);
    assert_true(window[0] == 0 && window[63] == 0 && window[64] == 0 && window[65] == 1);
    vad_window(&sound, 1, window);
    assert_true(window[0] == 448 && window[64] == 512 && window[575] == 1023);
    sound.count = 100;
    assert_int_equal(vad_windows(&sound), 0);
}

static void test_spans(void **state) {
    (void)state;
    float speech[100] = {0};
    struct span spans[2];
    assert_int_equal(vad_spans(speech, 100, spans, 2), 0);
    speech[10] = 0.9f;
    speech[20] = 0.9f; /* 0.288 s later: the same span */
    speech[50] = 0.51f;
    speech[51] = 0.5f; /* not more than a half */
    assert_int_equal(vad_spans(speech, 100, spans, 2), 2);
    static const double wanted_s[] = {0.32, 0.672, 1.6, 1.632};
    const double found_s[] = {spans[0].begin_s, spans[0].end_s, spans[1].begin_s, spans[1].end_s};
    for (uint32_t i = 0; i < 4; i++) {
        assert_true(fabs(found_s[i] - wanted_s[i]) < 1e-9);
    }
    assert_int_equal(vad_spans(speech, 100, spans, 1), 2);
    assert_int_equal(vad_spans(speech, 100, NULL, 0), 2);
    assert_int_equal(vad_spans(speech, 0, spans, 2), 0);
}

/* ---- Telling -------------------------------------------------------------------------------- */

static void test_ids_of_short(void **state) {
    (void)state;
    int32_t ids[FILETYPE_IDS];
    filetype_ids((const uint8_t *)"", 0, ids);
    assert_true(ids[0] == 256 && ids[FILETYPE_IDS - 1] == 256);
    filetype_ids((const uint8_t *)" \nab\t", 5, ids);
    assert_true(ids[0] == 'a' && ids[1] == 'b' && ids[2] == '\t' && ids[3] == 256);
    assert_true(ids[FILETYPE_IDS - 1] == 'b' && ids[FILETYPE_IDS - 2] == 'a');
    assert_true(ids[FILETYPE_IDS - 4] == ' ' && ids[FILETYPE_IDS - 5] == 256);
    filetype_ids((const uint8_t *)"   ", 3, ids);
    assert_true(ids[0] == 256 && ids[FILETYPE_IDS - 1] == 256);
}

static void test_ids_of_long(void **state) {
    (void)state;
    static uint8_t data[10000];
    int32_t ids[FILETYPE_IDS];
    for (uint32_t i = 0; i < sizeof(data); i++) {
        data[i] = (uint8_t)(128 + i / 100);
    }
    filetype_ids(data, sizeof(data), ids);
    assert_true(ids[0] == 128 && ids[1023] == 128 + 10);
    assert_true(ids[1024] == 128 + 89 && ids[2047] == 128 + 99);
    memset(data, ' ', 3500); /* of the first 4096 bytes, 596 are left */
    filetype_ids(data, sizeof(data), ids);
    assert_true(ids[0] == 128 + 35 && ids[595] == 128 + 40 && ids[596] == 256);
}

static void test_name(void **state) {
    (void)state;
    struct label items[] = {{"c", 0.5f}, {"markdown", 0.75f}};
    struct labels labels = {items, 2};
    float score;
    assert_string_equal(filetype_name(&labels, (const float[]){0.6f, 0.4f}, &score), "c");
    assert_true(score == 0.6f);
    assert_string_equal(filetype_name(&labels, (const float[]){0.3f, 0.7f}, &score), "unknown");
    assert_string_equal(filetype_name(&labels, (const float[]){0.2f, 0.8f}, &score), "markdown");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_windows),      cmocka_unit_test(test_spans),
        cmocka_unit_test(test_ids_of_short), cmocka_unit_test(test_ids_of_long),
        cmocka_unit_test(test_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
