/* SPDX-License-Identifier: Apache-2.0 */

/* ImageDecoder, BMP and PNM: files written here, in hexadecimal digits and text. */

#include "one_node.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_BYTES 8192

struct bytes {
    uint8_t at[MAX_BYTES];
    uint32_t count;
};

static void put(struct bytes *bytes, uint32_t value, uint32_t width) {
    assert_true(bytes->count + width <= MAX_BYTES);
    for (uint32_t i = 0; i < width; i++) { /* little-endian */
        bytes->at[bytes->count++] = (uint8_t)(value >> 8 * i);
    }
}

/* "00ff 7 8": digits in pairs; blanks count for nothing. */
static void put_hex(struct bytes *bytes, const char *hex) {
    for (uint32_t digits = 0, value = 0; *hex; hex++) {
        if (*hex != ' ') {
            value = value << 4 | (uint32_t)strtoul((const char[]){*hex, '\0'}, NULL, 16);
            if (++digits % 2 == 0) {
                put(bytes, value & 0xff, 1);
            }
        }
    }
}

static void put_text(struct bytes *bytes, const char *text) {
    for (; *text; text++) {
        put(bytes, (uint8_t)*text, 1);
    }
}

/* ---- Decoding -------------------------------------------------------------------------------- */

static mm_status decode(struct one_node *one, const char *attributes, const struct bytes *file) {
    int64_t count = file->count;
    one_init(one, "ImageDecoder", attributes);
    one_input(one, MM_U8, 1, &count, file->at);
    return one_run(one, 1);
}

/* wanted: the bytes of [height, width, channels]. */
static void expect_format(const char *attributes, const struct bytes *file, const int64_t shape[3],
                          const char *wanted) {
    struct one_node one;
    struct bytes pixels = {.count = 0};
    put_hex(&pixels, wanted);
    if (decode(&one, attributes, file) != MM_OK) {
        fail_msg("%s: %s", wanted, one.bench.err.text);
    }
    const struct onnx_tensor *got = &one.outputs[0];
    assert_int_equal(got->dtype, MM_U8);
    assert_int_equal(got->rank, 3);
    assert_memory_equal(got->shape, shape, 3 * sizeof(shape[0]));
    assert_int_equal(got->bytes, pixels.count);
    assert_memory_equal(got->data, pixels.at, pixels.count);
    one_fini(&one);
}

static void expect(const struct bytes *file, int64_t width, int64_t height, const char *wanted) {
    expect_format("", file, (const int64_t[]){height, width, 3}, wanted);
}

static void refuse(const struct bytes *file, mm_status status, const char *text) {
    struct one_node one;
    mm_status got = decode(&one, "", file);
    if (got != status || !strstr(one.bench.err.text, text)) {
        fail_msg("%s: %s: %s", text, mm_status_name(got), one.bench.err.text);
    }
    one_fini(&one);
}

static struct bytes text_file(const char *text, const char *hex) {
    struct bytes file = {.count = 0};
    put_text(&file, text);
    put_hex(&file, hex);
    return file;
}

/* ---- BMP ------------------------------------------------------------------------------------- */

struct bmp {
    uint32_t header, bits, compression, colors; /* header 0: 40 bytes */
    int32_t width, height;
    const char *masks, *palette; /* hexadecimal, as they lie; `masks` behind a header of 40 bytes */
};

static struct bytes bmp_file(const struct bmp *bmp, const char *pixels) {
    struct bytes file = {.count = 0};
    uint32_t header = bmp->header ? bmp->header : 40;
    put_text(&file, "BM");
    put(&file, 0, 4);
    put(&file, 0, 4);
    put(&file, 0, 4); /* where the pixels are, below */
    put(&file, header, 4);
    put(&file, (uint32_t)bmp->width, header == 12 ? 2 : 4);
    put(&file, (uint32_t)bmp->height, header == 12 ? 2 : 4);
    put(&file, 1, 2);
    put(&file, bmp->bits, 2);
    if (header != 12) {
        put(&file, bmp->compression, 4);
        put(&file, 0, 4);
        put(&file, 0, 4);
        put(&file, 0, 4);
        put(&file, bmp->colors, 4);
        put(&file, 0, 4);
    }
    put_hex(&file, bmp->masks ? bmp->masks : "");
    while (file.count < 14 + header) {
        put(&file, 0, 1);
    }
    put_hex(&file, bmp->palette ? bmp->palette : "");
    file.at[10] = (uint8_t)file.count;
    file.at[11] = (uint8_t)(file.count >> 8);
    put_hex(&file, pixels);
    return file;
}

static void expect_bmp(const struct bmp *bmp, const char *pixels, const char *wanted) {
    struct bytes file = bmp_file(bmp, pixels);
    expect(&file, bmp->width, abs(bmp->height), wanted);
}

/* Red, green, blue and white, as blue, green, red and a byte of nothing. */
#define FOUR "0000ff00 00ff0000 ff000000 ffffff00"

static void test_bmp_palettes(void **state) {
    (void)state;
    expect_bmp(
        &(struct bmp){
            .bits = 1, .width = 10, .height = 2, .colors = 2, .palette = "01020300 0a0b0c00"},
        "8040 0000 00c0 0000",
        "030201 030201 030201 030201 030201 030201 030201 030201 0c0b0a 0c0b0a"
        "0c0b0a 030201 030201 030201 030201 030201 030201 030201 030201 0c0b0a");
    expect_bmp(&(struct bmp){.bits = 2, .width = 5, .height = 1, .palette = FOUR}, "1b c0 0000",
               "ff0000 00ff00 0000ff ffffff ffffff");
    expect_bmp(&(struct bmp){.bits = 4, .width = 3, .height = -2, .colors = 4, .palette = FOUR},
               "0120 0000 3f00 0000",
               "ff0000 00ff00 0000ff ffffff 000000 ff0000"); /* 15: no colour */
    expect_bmp(&(struct bmp){.bits = 8, .width = 2, .height = 2, .colors = 4, .palette = FOUR},
               "0001 0000 0203 0000", "0000ff ffffff ff0000 00ff00");
    expect_bmp(&(struct bmp){.header = 12,
                             .bits = 8,
                             .width = 2,
                             .height = 1,
                             .palette = "0000ff 00ff00"}, /* fewer than 256 */
               "0100 0000", "00ff00 ff0000");
    expect_bmp(
        &(struct bmp){
            .header = 64, .bits = 4, .width = 1, .height = 1, .colors = 4, .palette = FOUR},
        "2000 0000", "0000ff");
}

static void test_bmp_colours(void **state) {
    (void)state;
    expect_bmp(&(struct bmp){.bits = 16, .width = 3, .height = 1}, "007c e003 5001 0000",
               "ff0000 00ff00 005283"); /* 10 * 255 / 31 and 16 * 255 / 31 */
    const char *of_565 = "00f80000 e0070000 1f000000";
    expect_bmp(
        &(struct bmp){.bits = 16, .compression = 3, .width = 2, .height = 2, .masks = of_565},
        "00f8 e007 1f00 4208", "0000ff 080810 ff0000 00ff00");
    expect_bmp(
        &(struct bmp){
            .header = 56, .bits = 16, .compression = 3, .width = 2, .height = 1, .masks = of_565},
        "ffff 0008", "ffffff 080000");
    expect_bmp(&(struct bmp){.bits = 24, .width = 1, .height = 2}, "010203 00 040506 00",
               "060504 030201");
    expect_bmp(&(struct bmp){.header = 12, .bits = 24, .width = 1, .height = 1}, "010203 00",
               "030201");
    expect_bmp(&(struct bmp){.bits = 32, .width = 2, .height = -1}, "010203ff 04050600",
               "030201 060504");
    expect_bmp(&(struct bmp){.header = 108,
                             .bits = 32,
                             .compression = 3,
                             .width = 1,
                             .height = 1,
                             .masks = "ff000000 00ff0000 0000ff00 000000ff"},
               "01020304", "010203");
    expect_bmp(&(struct bmp){.bits = 32,
                             .compression = 6,
                             .width = 1,
                             .height = 1,
                             .masks = "0000f03f 00fc0f00 ff030000 000000c0"},
               "ff07f03f", "ff00ff"); /* ten bits each: 1023, 1, 1023 */
    expect_bmp(&(struct bmp){.bits = 32,
                             .compression = 3,
                             .width = 1,
                             .height = 1,
                             .masks = "00000000 ff000000 00000000"},
               "7f000000", "007f00");
}

static void test_bmp_runs(void **state) {
    struct bmp eight = {
        .bits = 8, .compression = 1, .width = 6, .height = 2, .colors = 4, .palette = FOUR};
    struct bmp four = {
        .bits = 4, .compression = 2, .width = 6, .height = 2, .colors = 4, .palette = FOUR};
    (void)state;
    expect_bmp(&eight, "0203 0003 010203 00 0901 0000 0002 0000 0601 0001",
               "00ff00 00ff00 00ff00 00ff00 00ff00 00ff00"
               "ffffff ffffff 00ff00 0000ff ffffff 00ff00");
    expect_bmp(&eight, "0002 0101 0102 0001", /* one up, one to the right */
               "ff0000 0000ff ff0000 ff0000 ff0000 ff0000"
               "ff0000 ff0000 ff0000 ff0000 ff0000 ff0000");
    expect_bmp(&four, "0312 0003 2130 0000 0005 010203 00 0001",
               "ff0000 00ff00 ff0000 0000ff ff0000 ff0000"
               "00ff00 0000ff 00ff00 0000ff 00ff00 ffffff");
    expect_bmp(&eight, "0000 0000 0000 ff02 0001", /* above the picture */
               "ff0000 ff0000 ff0000 ff0000 ff0000 ff0000"
               "ff0000 ff0000 ff0000 ff0000 ff0000 ff0000");
    static const char *const cut[] = {"", "02", "0203", "0002", "000201", "0004 0102", "0203 00"};
    for (size_t i = 0; i < sizeof(cut) / sizeof(cut[0]); i++) {
        struct bytes file = bmp_file(&eight, cut[i]);
        refuse(&file, MM_INVALID_ARGUMENT, "its BMP file: the file ends before its last pixel");
    }
}

static void refuse_bmp(const struct bmp *bmp, const char *pixels, mm_status status,
                       const char *text) {
    struct bytes file = bmp_file(bmp, pixels);
    refuse(&file, status, text);
}

static void test_bmp_refused(void **state) {
    (void)state;
    refuse_bmp(&(struct bmp){.bits = 24, .compression = 4, .width = 1, .height = 1}, "00000000",
               MM_UNSUPPORTED, "its BMP file: compression 4 of a header of 40 bytes");
    refuse_bmp(&(struct bmp){.header = 64, .bits = 24, .compression = 3, .width = 1, .height = 1},
               "00000000", MM_UNSUPPORTED, "compression 3 of a header of 64 bytes");
    refuse_bmp(&(struct bmp){.header = 13, .bits = 24, .width = 1, .height = 1}, "00000000",
               MM_UNSUPPORTED, "a header of 13 bytes");
    static const uint32_t bits[] = {0, 3, 7, 12, 40, 64, 65535};
    for (size_t i = 0; i < sizeof(bits) / sizeof(bits[0]); i++) {
        refuse_bmp(&(struct bmp){.bits = bits[i], .width = 1, .height = 1}, "00000000",
                   MM_INVALID_ARGUMENT, "bits a pixel with compression 0");
    }
    refuse_bmp(&(struct bmp){.bits = 4, .compression = 1, .width = 1, .height = 1}, "00000000",
               MM_INVALID_ARGUMENT, "4 bits a pixel with compression 1");
    refuse_bmp(&(struct bmp){.bits = 24, .compression = 3, .width = 1, .height = 1}, "00000000",
               MM_INVALID_ARGUMENT, "24 bits a pixel with compression 3");
    refuse_bmp(&(struct bmp){.bits = 8, .colors = 300, .width = 1, .height = 1}, "00000000",
               MM_INVALID_ARGUMENT, "a palette of 300 colours");
    refuse_bmp(&(struct bmp){.bits = 8, .width = 1, .height = 1, .palette = FOUR}, "00000000",
               MM_INVALID_ARGUMENT, "ends before");
    static const int32_t sizes[][2] = {
        {60000, 60000}, {INT32_MAX, INT32_MIN}, {1, INT32_MAX}, {INT32_MAX, 1}, {1, INT32_MIN}};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        refuse_bmp(&(struct bmp){.bits = 24, .width = sizes[i][0], .height = sizes[i][1]},
                   "00000000", MM_INVALID_ARGUMENT, "ends before");
    }
    refuse_bmp(&(struct bmp){.bits = 8,
                             .compression = 1,
                             .width = 1 << 15,
                             .height = 1 << 15,
                             .colors = 1,
                             .palette = "00000000"},
               "0001", MM_UNSUPPORTED, "32768 x 32768 pixels are more than");
    refuse_bmp(&(struct bmp){.bits = 24, .width = 0, .height = 1}, "00000000", MM_INVALID_ARGUMENT,
               "0 x 1 pixels");
    refuse_bmp(&(struct bmp){.bits = 24, .width = -1, .height = 1}, "00000000", MM_INVALID_ARGUMENT,
               "0 x 1 pixels");
    refuse_bmp(&(struct bmp){.bits = 24, .width = 1, .height = 0}, "00000000", MM_INVALID_ARGUMENT,
               "1 x 0 pixels");
    struct bytes file = bmp_file(&(struct bmp){.bits = 24, .width = 1, .height = 1}, "010203");
    expect(&file, 1, 1, "030201"); /* what fills the last row up may be missing */
    file.at[13] = 1;               /* pixels far behind the end */
    refuse(&file, MM_INVALID_ARGUMENT, "ends before");
}

/* Random sizes, in every plain depth, against the pixels that were written. */
static void test_bmp_random(void **state) {
    uint64_t random = 7;
    (void)state;
    for (int round = 0; round < 300; round++) {
        static struct one_node one;
        uint32_t bits = test_random_below(&random, 2) ? 24 : 32;
        int32_t width = 1 + (int32_t)test_random_below(&random, 9);
        int32_t height = 1 + (int32_t)test_random_below(&random, 9);
        bool down = test_random_below(&random, 2);
        struct bytes file = bmp_file(
            &(struct bmp){.bits = bits, .width = width, .height = down ? -height : height}, "");
        uint32_t stride = ((uint32_t)width * bits / 8 + 3) / 4 * 4, start = file.count;
        while (file.count < start + stride * (uint32_t)height) {
            put(&file, (uint32_t)test_random(&random), 1);
        }
        assert_int_equal(decode(&one, "", &file), MM_OK);
        const uint8_t *got = one.outputs[0].data;
        for (int32_t y = 0; y < height; y++) {
            const uint8_t *row = file.at + start + stride * (uint32_t)(down ? y : height - 1 - y);
            for (int32_t x = 0; x < width; x++, got += 3) {
                const uint8_t *pixel = row + (uint32_t)x * bits / 8;
                assert_true(got[0] == pixel[2] && got[1] == pixel[1] && got[2] == pixel[0]);
            }
        }
        one_fini(&one);
    }
}

/* ---- PNM ------------------------------------------------------------------------------------- */

static void expect_pnm(const char *text, const char *hex, const int64_t size[2],
                       const char *wanted) {
    struct bytes file = text_file(text, hex);
    expect(&file, size[0], size[1], wanted);
}
#define SIZE(width, height) ((const int64_t[]){width, height})

static void test_pnm(void **state) {
    (void)state;
    expect_pnm("P1\n# of two rows\n3 2\n101\n0 1#\n0", "", SIZE(3, 2),
               "000000 ffffff 000000 ffffff 000000 ffffff");
    expect_pnm("P2 2\t2 # wide\r15\n0 15\n7 001", "", SIZE(2, 2), "000000 ffffff 777777 111111");
    expect_pnm("P3\n1 2 255 1 2 3 255 0 128", "", SIZE(1, 2), "010203 ff0080");
    expect_pnm("P4\n10 2\n", "8040 7fbf", SIZE(10, 2),
               "000000 ffffff ffffff ffffff ffffff ffffff ffffff ffffff ffffff 000000"
               "ffffff 000000 000000 000000 000000 000000 000000 000000 000000 ffffff");
    expect_pnm("P5 #\n3 1 255\n", "00 7f ff", SIZE(3, 1), "000000 7f7f7f ffffff");
    expect_pnm("P5 4 1 10 ", "00 01 03 0a", SIZE(4, 1), "000000 1a1a1a 4c4c4c ffffff");
    expect_pnm("P5 3 1 65535\n", "0000 8080 ffff", SIZE(3, 1), "000000 808080 ffffff");
    expect_pnm("P6 1 2 1000\n", "01f4 0000 03e8 0001 0002 03e7", SIZE(1, 2), "8000ff 0001ff");
    expect_pnm("P6 1 1 100\n", "32 64 c8", SIZE(1, 1), "80ffff"); /* 200 of 100 is white */
    expect_pnm("P6 1 1 255\n", "0a 20 0d", SIZE(1, 1), "0a200d");
}

static void refuse_pnm(const char *text, mm_status status, const char *why) {
    struct bytes file = text_file(text, "");
    refuse(&file, status, why);
}

static void test_pnm_refused(void **state) {
    (void)state;
    refuse_pnm("P", MM_INVALID_ARGUMENT, "P1 to P6 wanted");
    refuse_pnm("P7\nWIDTH 1\n", MM_UNSUPPORTED, "P1 to P6 wanted");
    refuse_pnm("Pf 1 1 -1\n", MM_INVALID_ARGUMENT, "its PNM file: it begins with P and byte 102");
    refuse_pnm("P5 x 1 255\n1", MM_INVALID_ARGUMENT,
               "no number at byte 3, where its width is wanted");
    refuse_pnm("P5 1 -1 255\n1", MM_INVALID_ARGUMENT, "where its height is wanted");
    refuse_pnm("P5 9999999999 1 255\n1", MM_INVALID_ARGUMENT, "its width at byte 3 is above");
    refuse_pnm("P5 1 1 65536\n1", MM_INVALID_ARGUMENT, "is above 65535");
    refuse_pnm("P5 1 1 0\n1", MM_INVALID_ARGUMENT, "its largest value is 0");
    refuse_pnm("P5 0 1 255\n1", MM_INVALID_ARGUMENT, "0 x 1 pixels");
    refuse_pnm("P5 1 1 255x1", MM_INVALID_ARGUMENT, "no blank before its pixels");
    refuse_pnm("P2 1 1 9\n10", MM_INVALID_ARGUMENT, "its sample at byte 9 is above 9");
    refuse_pnm("P1 2 1\n12", MM_INVALID_ARGUMENT, "byte 8 is no bit");
    static const char *const cut[] = {
        "P5",
        "P5 #",
        "P5 2",
        "P5 2 2 255",
        "P5 2 2 255\n123",
        "P4 9 1\n1",
        "P6 1 1 256\n12345",
        "P1 2 2\n1 1 1",
        "P3 1 1 9\n1 2",
        "P5 2147483647 2147483647 255\n1",
        "P2 2147483647 2147483647 255\n1 1",
    };
    for (size_t i = 0; i < sizeof(cut) / sizeof(cut[0]); i++) {
        refuse_pnm(cut[i], MM_INVALID_ARGUMENT, "its PNM file: the file ends before");
    }
}

/* ---- The operator ---------------------------------------------------------------------------- */

static void test_pixel_formats(void **state) {
    struct bytes file = text_file("P6 2 2 255\n", "010203 ff0000 00ff00 0000ff");
    (void)state;
    expect_format("pixel_format=RGB", &file, (const int64_t[]){2, 2, 3},
                  "010203 ff0000 00ff00 0000ff");
    expect_format("pixel_format=BGR", &file, (const int64_t[]){2, 2, 3},
                  "030201 0000ff 00ff00 ff0000");
    expect_format("pixel_format=Grayscale", &file, (const int64_t[]){2, 2, 1}, "02 4c 96 1d");
    one_refuse("ImageDecoder", "pixel_format=YUV", "u8[2] 80 53", MM_UNSUPPORTED, "pixel_format");
    one_refuse("ImageDecoder", "", "f32[2] 80 53", MM_INVALID_MODEL,
               "its encoded stream is f32, u8 wanted");
    one_refuse("ImageDecoder", "", "u8[1,2] 80 53", MM_INVALID_MODEL, "2 axes");
    one_refuse("ImageDecoder", "", "u8[0]", MM_INVALID_ARGUMENT, "its 0 bytes begin as no BMP");
    one_refuse("ImageDecoder", "", "u8[4] 71 73 70 56", MM_INVALID_ARGUMENT,
               "its 4 bytes begin as no BMP, JPEG, JPEG 2000, PNG, PNM, TIFF or WebP file");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bmp_palettes), cmocka_unit_test(test_bmp_colours),
        cmocka_unit_test(test_bmp_runs),     cmocka_unit_test(test_bmp_refused),
        cmocka_unit_test(test_bmp_random),   cmocka_unit_test(test_pnm),
        cmocka_unit_test(test_pnm_refused),  cmocka_unit_test(test_pixel_formats),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
