/* SPDX-License-Identifier: Apache-2.0 */
/* Pictures, recordings, lists: what is good, and everything that may be wrong with them. */
#include "../../examples/zoo/filetype.h"
#include "../../examples/zoo/picture.h"
#include "../../examples/zoo/sound.h"

#include <support/world.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static mm_error err;

/* ---- Pictures ------------------------------------------------------------------------------- */

static const char good_picture[] = "P6\n# a comment\n2 2\n255\nabcdefghijkl";

/* From memory of exactly that size, so that a sanitizer sees a step beyond it. */
static bool parse_picture(const void *data, size_t bytes, struct picture *picture) {
    uint8_t *copy = malloc(bytes + !bytes);
    memcpy(copy, data, bytes);
    bool ok = picture_parse("there.ppm", copy, bytes, picture, &err);
    free(copy);
    return ok;
}

static void test_picture(void **state) {
    (void)state;
    struct picture picture;
    assert_true(parse_picture(good_picture, sizeof(good_picture) - 1, &picture));
    assert_int_equal(picture.width, 2);
    assert_int_equal(picture.height, 2);
    assert_memory_equal(picture.rgb, "abcdefghijkl", 12);
    picture_free(&picture);
    assert_null(picture.rgb);
}

static void test_picture_cut_off(void **state) {
    (void)state;
    for (size_t bytes = 0; bytes < sizeof(good_picture) - 1; bytes++) {
        struct picture picture;
        assert_false(parse_picture(good_picture, bytes, &picture));
        assert_non_null(strstr(err.text, "there.ppm"));
    }
}

static void test_picture_wrong(void **state) {
    (void)state;
    static const char *const wrong[] = {"P5\n2 2\n255\nabcdefghijkl",
                                        "P6\n0 2\n255\nabcdefghijkl",
                                        "P6\n-2 2\n255\nabcdefghijkl",
                                        "P6\n2 2\n65535\nabcdefghijkl",
                                        "P6\n99999999999999999999 2\n255\nabcdefghijkl",
                                        "P6\n8192 8192\n255\nabcdefghijkl",
                                        "P6\n2 2\n255abcdefghijkl",
                                        "P6 # no end",
                                        "P6"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct picture picture;
        assert_false(parse_picture(wrong[i], strlen(wrong[i]), &picture));
        assert_non_null(strstr(err.text, "there.ppm"));
    }
}

static void test_picture_parts(void **state) {
    (void)state;
    struct picture picture, part;
    assert_true(parse_picture(good_picture, sizeof(good_picture) - 1, &picture));
    assert_true(picture_cut(&picture, (struct box){1, 0, 2, 2}, &part, &err));
    assert_memory_equal(part.rgb, "defjkl", 6);
    picture_free(&part);
    assert_false(picture_cut(&picture, (struct box){1, 0, 1, 2}, &part, &err));
    assert_false(picture_cut(&picture, (struct box){0, 0, 3, 2}, &part, &err));
    assert_false(picture_cut(&picture, (struct box){0, 0, 2, 3}, &part, &err));
    picture_turn(&picture);
    assert_memory_equal(picture.rgb, "jklghidefabc", 12);
    picture_free(&picture);
}

static void test_picture_resize(void **state) {
    (void)state;
    uint8_t pixels[] = {0, 0, 0, 100, 100, 100};
    struct picture two = {2, 1, pixels}, other;
    assert_true(picture_resize(&two, 2, 1, &other, &err));
    assert_memory_equal(other.rgb, pixels, sizeof(pixels));
    picture_free(&other);
    assert_true(picture_resize(&two, 4, 2, &other, &err));
    static const uint8_t reds[] = {0, 25, 75, 100};
    for (uint32_t i = 0; i < 8; i++) {
        assert_int_equal(other.rgb[i * 3], reds[i % 4]);
    }
    picture_free(&other);
    assert_true(picture_resize(&two, 1, 1, &other, &err));
    assert_int_equal(other.rgb[0], 50);
    picture_free(&other);
}

static void test_picture_to_tensor(void **state) {
    (void)state;
    uint8_t pixel[] = {255, 0, 51};
    struct picture one = {1, 1, pixel};
    float tensor[3 * 2 * 2];
    picture_to_tensor(&one, 2, 2, tensor);
    static const float wanted[] = {-0.6f, 0, 0, 0, -1, 0, 0, 0, 1, 0, 0, 0}; /* blue first */
    for (uint32_t i = 0; i < 12; i++) {
        assert_true(fabsf(tensor[i] - wanted[i]) < 1e-6f);
    }
}

/* ---- Recordings ----------------------------------------------------------------------------- */

static void put(uint8_t *at, uint32_t bytes, uint32_t value) {
    for (uint32_t i = 0; i < bytes; i++) {
        at[i] = (uint8_t)(value >> (8 * i));
    }
}

enum { WAV_BYTES = 44 + 10 + 8 };

/* Two channels, two samples each, and a chunk of an odd size before them. */
static void make_wav(uint8_t wav[WAV_BYTES]) {
    memset(wav, 0, WAV_BYTES);
    memcpy(wav, "RIFF", 4);
    put(wav + 4, 4, WAV_BYTES - 8);
    memcpy(wav + 8, "WAVEfmt ", 8);
    put(wav + 16, 4, 16);
    put(wav + 20, 2, 1);
    put(wav + 22, 2, 2);
    put(wav + 24, 4, 8000);
    put(wav + 34, 2, 16);
    memcpy(wav + 36, "LIST\1\0\0\0x", 9);
    memcpy(wav + 46, "data", 4);
    put(wav + 50, 4, 8);
    put(wav + 54, 2, 16384);
    put(wav + 56, 2, 0);
    put(wav + 58, 2, 0x8000);
    put(wav + 60, 2, 0x8000);
}

static bool parse_sound(const void *data, size_t bytes, struct sound *sound) {
    uint8_t *copy = malloc(bytes + !bytes);
    memcpy(copy, data, bytes);
    bool ok = sound_parse("there.wav", copy, bytes, sound, &err);
    free(copy);
    return ok;
}

static void test_sound(void **state) {
    (void)state;
    uint8_t wav[WAV_BYTES];
    struct sound sound, faster;
    make_wav(wav);
    assert_true(parse_sound(wav, sizeof(wav), &sound));
    assert_int_equal(sound.rate, 8000);
    assert_int_equal(sound.count, 2);
    assert_true(sound.samples[0] == 0.25f && sound.samples[1] == -1.0f);
    assert_true(sound_resample(&sound, 16000, &faster, &err));
    assert_int_equal(faster.count, 4);
    assert_true(faster.samples[1] == -0.375f && faster.samples[3] == -1.0f);
    sound_free(&sound);
    sound_free(&faster);
}

/* A recording may be cut off, the rest counts; its head may not. */
static void test_sound_cut_off(void **state) {
    (void)state;
    uint8_t wav[WAV_BYTES];
    make_wav(wav);
    for (size_t bytes = 0; bytes < sizeof(wav); bytes++) {
        struct sound sound;
        bool ok = parse_sound(wav, bytes, &sound);
        assert_int_equal(ok, bytes >= 54);
        if (ok) {
            assert_int_equal(sound.count, (bytes - 54) / 4);
            sound_free(&sound);
        } else {
            assert_non_null(strstr(err.text, "there.wav"));
        }
    }
}

static void test_sound_wrong(void **state) {
    (void)state;
    static const struct {
        uint32_t at, bytes, value;
    } wrong[] = {{0, 4, 0},   {8, 4, 0},        {16, 4, 15},         {16, 4, UINT32_MAX},
                 {20, 2, 3},  {22, 2, 0},       {22, 2, 9},          {24, 4, 0},
                 {34, 2, 24}, {24, 4, 1000000}, {40, 4, UINT32_MAX}, {46, 4, 0}};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        uint8_t wav[WAV_BYTES];
        struct sound sound;
        make_wav(wav);
        put(wav + wrong[i].at, wrong[i].bytes, wrong[i].value);
        assert_false(parse_sound(wav, sizeof(wav), &sound));
        assert_non_null(strstr(err.text, "there.wav"));
    }
}

/* Noise behind a good head: no crash, whatever comes of it. */
static void test_noise(void **state) {
    (void)state;
    uint64_t random = 1;
    for (uint32_t round = 0; round < 2000; round++) {
        uint8_t noise[WAV_BYTES];
        make_wav(noise);
        for (uint32_t i = 12; i < sizeof(noise); i++) {
            random = random * UINT64_C(6364136223846793005) + 1442695040888963407u;
            noise[i] = random >> 61 ? noise[i] : (uint8_t)(random >> 33);
        }
        struct sound sound;
        if (parse_sound(noise, sizeof(noise), &sound)) {
            sound_free(&sound);
        }
        memcpy(noise, "P6 ", 3);
        struct picture picture;
        if (parse_picture(noise, sizeof(noise), &picture)) {
            picture_free(&picture);
        }
    }
}

/* ---- Lists and files ------------------------------------------------------------------------ */

static void test_labels(void **state) {
    (void)state;
    struct labels labels;
    assert_true(labels_parse("l.txt", "c 0.5\npython 0.75\n", &labels, &err));
    assert_int_equal(labels.count, 2);
    assert_string_equal(labels.items[1].name, "python");
    assert_true(labels.items[1].threshold == 0.75f);
    labels_free(&labels);
    assert_true(labels_parse("l.txt", "", &labels, &err));
    assert_int_equal(labels.count, 0);
    labels_free(&labels);
    assert_false(labels_parse("l.txt", "c 0.5\npython\n", &labels, &err));
    assert_non_null(strstr(err.text, "l.txt:2"));
    assert_false(labels_parse("l.txt", "\n", &labels, &err));
}

static void test_file(void **state) {
    (void)state;
    char path[] = "/tmp/zoo-test-XXXXXX";
    int file = mkstemp(path);
    assert_true(file >= 0 && write(file, "12345", 5) == 5);
    close(file);
    uint8_t *data;
    uint64_t bytes;
    assert_true(file_read(path, 5, &data, &bytes, &err));
    assert_int_equal(bytes, 5);
    assert_string_equal((char *)data, "12345");
    free(data);
    assert_false(file_read(path, 4, &data, &bytes, &err));
    assert_non_null(strstr(err.text, path));
    unlink(path);
    assert_false(file_read(path, 5, &data, &bytes, &err));
    assert_non_null(strstr(err.text, path));
    assert_false(file_read("/tmp", 1u << 20, &data, &bytes, &err));
    assert_int_equal(err.status, MM_IO);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_picture),
        cmocka_unit_test(test_picture_cut_off),
        cmocka_unit_test(test_picture_wrong),
        cmocka_unit_test(test_picture_parts),
        cmocka_unit_test(test_picture_resize),
        cmocka_unit_test(test_sound),
        cmocka_unit_test(test_picture_to_tensor),
        cmocka_unit_test(test_sound_cut_off),
        cmocka_unit_test(test_sound_wrong),
        cmocka_unit_test(test_noise),
        cmocka_unit_test(test_labels),
        cmocka_unit_test(test_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
