/* SPDX-License-Identifier: Apache-2.0 */
#include <base/hash.h>
#include <base/log.h>
#include <base/text.h>
#include <support/world.h>

#include <string.h>

static void test_text_grows(void **state) {
    (void)state;
    char buffer[8];
    struct mmi_text text;
    mmi_text_init(&text, buffer, sizeof(buffer));
    assert_string_equal(buffer, "");
    mmi_text_add(&text, "%s-%d", "ab", 12);
    assert_string_equal(buffer, "ab-12");
    mmi_text_add(&text, "%s", "345");
    assert_string_equal(buffer, "ab-1234"); /* cut, and the need remembered */
    mmi_text_add(&text, "%s", "6789");
    assert_string_equal(buffer, "ab-1234");
    assert_int_equal(text.need, 12);
}

static void test_text_without_room(void **state) {
    (void)state;
    struct mmi_text text;
    mmi_text_init(&text, NULL, 0);
    mmi_text_add(&text, "%d", 12345);
    assert_int_equal(text.need, 5);
    char one = 'x';
    mmi_text_init(&text, &one, 1);
    mmi_text_add(&text, "abc");
    assert_int_equal(one, '\0');
    assert_int_equal(text.need, 3);
}

static void test_shape(void **state) {
    (void)state;
    char buffer[64];
    struct mmi_text text;
    mmi_text_init(&text, buffer, sizeof(buffer));
    mmi_text_shape(&text, 4, (const int64_t[]){1, 3, -1, 640});
    mmi_text_shape(&text, 0, NULL);
    mmi_text_shape(&text, 1, (const int64_t[]){INT64_MIN});
    assert_string_equal(buffer, "[1, 3, ?, 640][][?]");
}

static void test_config_get(void **state) {
    (void)state;
    char value[4];
    const char *config = "a=1,bb=hello,c=,a=2,d";
    assert_int_equal(mmi_config_get(config, "a", value, sizeof(value)), 1);
    assert_string_equal(value, "1"); /* the first one counts */
    assert_int_equal(mmi_config_get(config, "bb", value, sizeof(value)), 5);
    assert_string_equal(value, "hel");
    assert_int_equal(mmi_config_get(config, "c", value, sizeof(value)), 0);
    assert_string_equal(value, "");
    assert_int_equal(mmi_config_get(config, "b", value, sizeof(value)), -1);
    assert_int_equal(mmi_config_get(config, "d", value, sizeof(value)), -1);
    assert_int_equal(mmi_config_get(config, "ello", value, sizeof(value)), -1);
    assert_int_equal(mmi_config_get("", "a", value, sizeof(value)), -1);
    assert_int_equal(mmi_config_get(NULL, "a", value, sizeof(value)), -1);
    assert_int_equal(mmi_config_get(config, "bb", NULL, 0), 5);
    assert_int_equal(mmi_config_get(",,a=7,", "a", value, sizeof(value)), 1);
}

static void number_is(const char *config, uint64_t expected) {
    int bad = 7;
    assert_true(mmi_config_u64(config, "n", 99, &bad) == expected);
    assert_int_equal(bad, 0);
}

static void number_is_bad(const char *config) {
    int bad = 0;
    assert_true(mmi_config_u64(config, "n", 99, &bad) == 99);
    assert_int_equal(bad, -1);
}

static void test_config_u64(void **state) {
    (void)state;
    number_is("n=0", 0);
    number_is("x=1,n=17,y=2", 17);
    number_is("n=2k", 2048);
    number_is("n=3m", UINT64_C(3) << 20);
    number_is("n=4g", UINT64_C(4) << 30);
    number_is("n=5ns", 5);
    number_is("n=5us", 5000);
    number_is("n=5ms", 5000000);
    number_is("n=5s", UINT64_C(5000000000));
    number_is("n=18446744073709551615", UINT64_MAX);
    number_is("", 99);
    number_is("m=5", 99);
    const char *bad[] = {"n=",
                         "n=k",
                         "n=-1",
                         "n=1x",
                         "n=1 ",
                         "n=0x10",
                         "n=18446744073709551616",
                         "n=18446744073709551615k"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        number_is_bad(bad[i]);
    }
}

struct heard {
    int lines;
    int32_t level;
    char text[2048];
};

static void hear(void *user, int32_t level, const char *text) {
    struct heard *heard = user;
    heard->lines++;
    heard->level = level;
    strcpy(heard->text, text);
}

static void test_log(void **state) {
    (void)state;
    struct heard heard = {0};
    mm_log log = {.user = &heard, .line = hear};
    mmi_log(&log, MM_LOG_INFO, "not made");
    assert_int_equal(heard.lines, 0);
    mmi_log(&log, MM_LOG_WARNING, "%s %d", "warm", 1);
    assert_int_equal(heard.lines, 1);
    assert_int_equal(heard.level, MM_LOG_WARNING);
    assert_string_equal(heard.text, "warm 1");
    log.level = MM_LOG_DEBUG;
    mmi_log(&log, MM_LOG_DEBUG, "%2000s", "long");
    assert_int_equal(heard.lines, 2);
    assert_int_equal(strlen(heard.text), 1023);
    mmi_log(&log, MM_LOG_ERROR, "one\nline\r\x01 \xc3\xa9");
    assert_string_equal(heard.text, "one?line?? \xc3\xa9");
    log.line = NULL;
    mmi_log(&log, MM_LOG_ERROR, "nobody listens");
    assert_int_equal(heard.lines, 3);
}

static void test_hash(void **state) {
    (void)state;
    /* Written into caches: may never change. */
    assert_true(mmi_hash64("", 0, 0) == UINT64_C(0x2d06800538d394c2));
    assert_true(mmi_hash64("abc", 3, 0) != mmi_hash64("abc", 3, 1));
    assert_true(mmi_hash64("abc", 3, 0) != mmi_hash64("abd", 3, 0));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text_grows), cmocka_unit_test(test_text_without_room),
        cmocka_unit_test(test_shape),      cmocka_unit_test(test_config_get),
        cmocka_unit_test(test_config_u64), cmocka_unit_test(test_log),
        cmocka_unit_test(test_hash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
