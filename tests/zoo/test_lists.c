/* SPDX-License-Identifier: Apache-2.0 */
/* The lists that the tools of the zoo make, and what the demo says when one of them is wrong. */
#include "../../examples/zoo/things.h"
#include "../../examples/zoo/zoo.h"

#include <support/scratch.h>

/* ---- Things --------------------------------------------------------------------------------- */

static void make_picture(const struct scratch *scratch, const char *size) {
    static uint8_t ppm[32 + 32 * 32 * 3];
    int head = snprintf((char *)ppm, 32, "P6 %s 255\n", size);
    scratch_write(scratch, "picture.ppm", ppm, (size_t)head + sizeof(ppm) - 32);
}

/* Ten samples at 16 kHz, the fifth of them loud. */
static void make_recording(const struct scratch *scratch) {
    static const uint8_t wav[44 + 20] = {
        'R', 'I', 'F', 'F', 56,        0, 0,   0,   'W', 'A', 'V', 'E',
        'f', 'm', 't', ' ', 16,        0, 0,   0,   1,   0,   1,   0,
        128, 62,  0,   0,   [34] = 16, 0, 'd', 'a', 't', 'a', 20,  [44 + 9] = 64};
    scratch_write(scratch, "speech.wav", wav, sizeof(wav));
}

static void make_things(const struct scratch *scratch) {
    make_picture(scratch, "32 32");
    make_recording(scratch);
    scratch_text(scratch, "picture.txt", "# a comment\n20 up Two words\n\n20 down Other\n");
    scratch_text(scratch, "filetypes.txt", "c 0.5\nzip 0.9\n");
    scratch_text(scratch, "files.txt", "00 c hello.c\n01 zip it.zip\n");
    scratch_text(scratch, "files/00", "int x;");
    scratch_text(scratch, "files/01", "PK");
}

static void test_things(void **state) {
    (void)state;
    struct scratch scratch;
    struct things things = {0};
    scratch_init(&scratch);
    scratch_folder(&scratch, "files");
    make_things(&scratch);
    assert_true(things_read(scratch.path, &things, NULL));
    assert_int_equal(things.picture.width, 32);
    assert_int_equal(things.line_count, 2);
    assert_string_equal(things.lines[0].text, "Two words");
    assert_true(!things.lines[0].turned && things.lines[1].turned);
    assert_int_equal(things.sound.count, 10);
    assert_true(things.spoken.begin_s == 4.0 / 16000 && things.spoken.end_s == 5.0 / 16000);
    assert_int_equal(things.file_count, 2);
    assert_string_equal(things.files[1].name, "it.zip");
    assert_string_equal(things.files[1].label, "zip");
    assert_int_equal(things.files[1].ids[0], 'P');
    things_free(&things);
    scratch_fini(&scratch);
}

/* Each of the files missing or wrong: the sentence names it. */
static void test_things_wrong(void **state) {
    (void)state;
    static const struct {
        const char *name, *text, *said;
    } wrong[] = {
        {"picture.ppm", NULL, "picture.ppm"},
        {"picture.ppm", "P6 1 1 255\nabc", "picture.ppm"}, /* sides that detection cannot take */
        {"picture.txt", NULL, "picture.txt"},
        {"picture.txt", "20 up\n", "picture.txt"},
        {"speech.wav", NULL, "speech.wav"},
        {"speech.wav", "RIFF", "speech.wav"},
        {"filetypes.txt", "c\n", "filetypes.txt:1"},
        {"files.txt", "00\n", "files.txt"},
        {"files.txt", "02 c gone.c\n", "files/02"},
    };
    struct scratch scratch;
    char path[SCRATCH_ROOM];
    mm_error err;
    scratch_init(&scratch);
    scratch_folder(&scratch, "files");
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct things things = {0};
        make_things(&scratch);
        if (wrong[i].text) {
            scratch_text(&scratch, wrong[i].name, wrong[i].text);
        } else {
            unlink(scratch_path(&scratch, wrong[i].name, path));
        }
        assert_false(things_read(scratch.path, &things, &err));
        assert_non_null(strstr(err.text, wrong[i].said));
        assert_null(things.picture.rgb);
    }
    scratch_fini(&scratch);
}

/* ---- Models --------------------------------------------------------------------------------- */

#define ALL_KINDS "a det a.onnx\nb rec b.onnx\nc cls c\nd/16k vadseq d\ne filetype e\nvad vad v\n"

static void test_models(void **state) {
    (void)state;
    struct scratch scratch;
    struct zoo zoo;
    mm_error err;
    scratch_init(&scratch);
    scratch_text(&scratch, "models.txt", "vad-07 vad v7.onnx\n" ALL_KINDS);
    assert_true(zoo_read(scratch.path, &zoo, &err));
    assert_int_equal(zoo.count, 7);
    assert_false(zoo.models[0].original);
    assert_true(zoo.models[4].original); /* its name ends in digits, but no number of a variant */
    assert_int_equal(zoo.first[KIND_VAD], 6);
    assert_non_null(strstr(zoo.models[0].path, "/v7.onnx"));
    zoo_free(&zoo);
    static const char *const wrong[] = {"", "a det\n", "a bird a.onnx\n", "a det a.onnx\n"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        scratch_text(&scratch, "models.txt", wrong[i]);
        assert_false(zoo_read(scratch.path, &zoo, &err));
        assert_non_null(strstr(err.text, "models.txt"));
    }
    scratch_fini(&scratch);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_things),
        cmocka_unit_test(test_things_wrong),
        cmocka_unit_test(test_models),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
