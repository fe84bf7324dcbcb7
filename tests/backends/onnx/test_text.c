/* SPDX-License-Identifier: Apache-2.0 */

/* Operators on texts. What they give is that of numpy and of Python's re, which agrees with RE2 in
 * what is used here. A text in these cases has no blanks in it. */

#include "one_node.h"

#include <backends/onnx/operators/letters.h>
#include <backends/onnx/operators/regex.h>

#include <stdio.h>
#include <string.h>

static void test_equal_and_where(void **state) {
    (void)state;
    one_expect("Equal", "", "string[2,2] a b ab a | string[2] a b", "bool[2,2] 1 1 0 0");
    one_expect("Equal", "", "string[2,1] a b | string[1,3] a b a", "bool[2,3] 1 0 1 0 1 0");
    one_expect("Equal", "", "string[0] | string[1] a", "bool[0]");
    one_expect("Where", "", "bool[3] 1 0 1 | string[3] a b c | string[1] z", "string[3] a z c");
    one_expect("Where", "", "bool[2,1] 1 0 | string[2] a b | string[] z", "string[2,2] a b z z");
    one_expect("Where", "", "bool[2] 1 0 | c128[2] 3 4 | c128[1] 9", "c128[2] 3 9");
    one_refuse("Equal", "", "string[2] a b | i64[2] 1 2", MM_INVALID_MODEL, "");
    one_refuse("Greater", "", "string[1] a | string[1] b", MM_UNSUPPORTED, "string");
}

static void test_concat(void **state) {
    (void)state;
    one_expect("StringConcat", "", "string[2] a bc | string[2] d ef", "string[2] ad bcef");
    one_expect("StringConcat", "", "string[2,1] a b | string[2] x y", "string[2,2] ax ay bx by");
    one_expect("StringConcat", "", "string[] a | string[3] x y z", "string[3] ax ay az");
    one_expect("StringConcat", "", "string[0] | string[1] x", "string[0]");
    one_refuse("StringConcat", "", "string[2] a b | string[3] a b c", MM_INVALID_MODEL,
               "the shapes of its inputs do not fit");
    one_refuse("StringConcat", "", "string[2] a b | i64[2] 1 2", MM_INVALID_MODEL,
               "its second input is i64, string wanted");
}

static void test_split(void **state) {
    (void)state;
    one_expect("StringSplit", "delimiter=/", "string[2] a/bc/d e/f",
               "string[2,3] a bc d e f  | i64[2] 3 2");
    one_expect("StringSplit", "delimiter=/ maxsplit=1", "string[2] a/bc/d e",
               "string[2,2] a bc/d e  | i64[2] 2 1");
    one_expect("StringSplit", "delimiter=ab", "string[1] xabab", "string[1,3] x | i64[1] 3");
    one_expect("StringSplit", "", "string[1] word", "string[1,1] word | i64[1] 1");
    one_expect("StringSplit", "", "string[0]", "string[0,0] | i64[0]");
    one_expect("StringSplit", "delimiter=/", "string[] a/b", "string[2] a b | i64[] 2");
    one_refuse("StringSplit", "", "i64[1] 1", MM_INVALID_MODEL, "its input is i64, string wanted");
    one_refuse("StringSplit", "", "string[1,1,1,1,1,1,1,1] a", MM_UNSUPPORTED,
               "an input of 8 axes");
}

/* Blanks that the written cases cannot have. */
static void test_split_at_blanks(void **state) {
    (void)state;
    static const struct {
        const char *text;
        int64_t most;
        const char *parts[3];
        int64_t count;
    } cases[] = {
        {" a  b\tc ", -1, {"a", "b", "c"}, 3}, {"", -1, {NULL}, 0},     {" \n ", -1, {NULL}, 0},
        {" a b  c ", 1, {"a", "b  c "}, 2},    {" a b", 0, {"a b"}, 1},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct one_node one;
        char attributes[32];
        const struct onnx_string text = {cases[i].text, strlen(cases[i].text)};
        snprintf(attributes, sizeof(attributes), "maxsplit=%d", (int)cases[i].most);
        one_init(&one, "StringSplit", attributes);
        one_input(&one, MM_STRING, 0, NULL, &text);
        assert_int_equal(one_run(&one, 2), MM_OK);
        assert_int_equal(one.outputs[0].shape[0], cases[i].count);
        assert_int_equal(mmi_onnx_int_at(&one.outputs[1], 0), cases[i].count);
        for (int64_t j = 0; j < cases[i].count; j++) {
            const struct onnx_string *part = (const struct onnx_string *)one.outputs[0].data + j;
            assert_int_equal(part->bytes, strlen(cases[i].parts[j]));
            assert_memory_equal(part->at, cases[i].parts[j], part->bytes);
        }
        one_fini(&one);
    }
}

static void test_normalizer(void **state) {
    (void)state;
    one_expect("StringNormalizer", "case_change_action=UPPER",
               "string[2] Monday gr\xc3\xb6\xc3\x9f"
               "e",
               "string[2] MONDAY GR\xc3\x96\xc3\x9f"
               "E");
}

static void test_normalizer_words(void **state) {
    (void)state;
    one_expect("StringNormalizer", "case_change_action=LOWER stopwords=[monday]",
               "string[3] Monday TUESDAY Monday", "string[1] tuesday");
    one_expect("StringNormalizer", "is_case_sensitive=1 stopwords=[monday]",
               "string[1,3] Monday monday Friday", "string[1,2] Monday Friday");
    one_expect("StringNormalizer", "stopwords=[A,b]", "string[2] a B", "string[1] ");
    one_expect("StringNormalizer", "locale=en_US", "string[1,0]", "string[1,1] ");
    one_refuse("StringNormalizer", "", "string[2,2] a b c d", MM_INVALID_ARGUMENT,
               "its input has 2 axes, [C] or [1, C] wanted");
    one_refuse("StringNormalizer", "case_change_action=TITLE", "string[1] a", MM_UNSUPPORTED,
               "attribute case_change_action is 'TITLE'");
    one_refuse("StringNormalizer", "stopwords=[1,2]", "string[1] a", MM_INVALID_MODEL,
               "attribute stopwords has type 7, 8 wanted");
}

static void test_letters(void **state) {
    (void)state;
    static const uint32_t pairs[][2] = {
        {'A', 'a'},     {0xc4, 0xe4},     {0x178, 0xff},    {0x160, 0x161}, {0x1af, 0x1b0},
        {0x386, 0x3ac}, {0x3a9, 0x3c9},   {0x401, 0x451},   {0x42f, 0x44f}, {0x4c0, 0x4cf},
        {0x531, 0x561}, {0x1ea0, 0x1ea1}, {0xff21, 0xff41}, {0x52e, 0x52f},
    };
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        assert_int_equal(mmi_onnx_lower(pairs[i][0]), pairs[i][1]);
        assert_int_equal(mmi_onnx_upper(pairs[i][1]), pairs[i][0]);
        assert_int_equal(mmi_onnx_upper(pairs[i][0]), pairs[i][0]);
        assert_int_equal(mmi_onnx_lower(pairs[i][1]), pairs[i][1]);
    }
    for (uint32_t letter = 0; letter < 0x20000; letter++) { /* room in StringNormalizer */
        char other[4], text[4];
        uint32_t bytes = mmi_onnx_put_letter(letter, text);
        assert_true(mmi_onnx_put_letter(mmi_onnx_lower(letter), other) <= bytes);
        assert_true(mmi_onnx_put_letter(mmi_onnx_upper(letter), other) <= bytes);
        const char *at = text;
        bool surrogate = letter >= 0xd800 && letter <= 0xdfff;
        assert_int_equal(mmi_onnx_next_letter(&at, text + bytes),
                         surrogate ? ONNX_NO_LETTER : letter);
    }
    static const char *const wrong[] = {"\x80", "\xc0\x80",     "\xe0\x80\x80", "\xf5\x80\x80\x80",
                                        "\xc3", "\xf0\x9f\x98", "\xff"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        const char *at = wrong[i];
        assert_int_equal(mmi_onnx_next_letter(&at, at + strlen(wrong[i])), ONNX_NO_LETTER);
        assert_ptr_equal(at, wrong[i] + 1);
    }
}

/* ---- Regular expressions --------------------------------------------------------------------- */

/* -1: it is refused. */
static int matches(const char *pattern, const char *text, size_t bytes) {
    struct bench bench;
    bench_init(&bench, 1);
    struct onnx_string expression = {pattern, strlen(pattern)}, subject = {text, bytes};
    struct onnx_regex regex = {0};
    mm_status status = mmi_onnx_regex_compile(&bench.arena, &expression, &regex, &bench.err);
    int result = -1;
    if (status == MM_OK) {
        assert_true(mmi_onnx_regex_is_sound(&regex));
        void *scratch = mmi_onnx_take_data(&bench.arena, mmi_onnx_regex_scratch(regex.count));
        result = mmi_onnx_regex_matches(&regex, &subject, scratch);
    }
    bench_fini(&bench);
    return result;
}

static void test_regex(void **state) {
    (void)state;
    static const struct {
        const char *pattern, *yes, *no;
    } cases[] = {
        {"", "", "a"},
        {"abc", "abc", "abcd"},
        {"a|bc|", "bc", "b"},
        {"a|bc|", "", "abc"},
        {"a*b+c?", "aabbc", "aac"},
        {"(a|b)*c", "abbac", "abdc"},
        {"(?:ab){2,3}", "ababab", "abababab"},
        {"x{2}", "xx", "x"},
        {"x{2,}", "xxxxx", "x"},
        {"x{,2}", "x{,2}", "xx"},
        {"(a*)*", "aaa", "b"},
        {"(|a)+", "aa", "b"},
        {"()*x", "x", "y"},
        {"(?i){2,3}x", "X", "y"},
        {"[a-c]+", "abc", "abd"},
        {"[^a-c]+", "xyz", "xaz"},
        {"[]a]+", "]a", "b"},
        {"[a\\-z]+", "a-z", "b"},
        {"[[:alpha:]_]+", "ab_", "a1"},
        {"[[:^digit:]]", "x", "5"},
        {"\\d+\\s\\w+", "12 ab_9", "12ab"},
        {"\\D\\S\\W", "ab-", "1b-"},
        {"[\\d\\s]+", "1 2", "1a2"},
        {".*", "h\xc3\xa4t", "a\nb"},
        {"h.t", "h\xc3\xa4t", "hat "},
        {"(?s).*", "a\nb", "\xff"},
        {"^a$", "a", "ab"},
        {"(?m)a$\\n^b", "a\nb", "a\n b"},
        {"a\\b.\\bb", "a b", "axb"},
        {"\\Bx", "", "x"},
        {"(?i)stra\xc3\x9f"
         "e",
         "STRA\xc3\x9f"
         "e",
         "strasse"},
        {"(?i:a)b", "Ab", "aB"},
        {"(?i)\xc3\xa4[b-d]",
         "\xc3\x84"
         "C",
         "\xc3\x84"
         "E"},
        {"(?P<year>\\d{4})", "2024", "24"},
        {"\\x41\\x{e4}\\.\\*", "A\xc3\xa4.*", "A"},
        {"\\Qa.b\\E+", "a.bb", "axb"},
        {"a*?b+?", "aab", "aa"},
        {"[\\w.-]+@[\\w.-]+\\.[a-z]{2,}", "me.x@web-site.org", "me@org"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        bool edge = strcmp(cases[i].pattern, "\\Bx") == 0; /* matches neither */
        if (matches(cases[i].pattern, cases[i].yes, strlen(cases[i].yes)) != !edge ||
            matches(cases[i].pattern, cases[i].no, strlen(cases[i].no)) != 0) {
            fail_msg("%s of %s and %s", cases[i].pattern, cases[i].yes, cases[i].no);
        }
    }
    char text[5000];
    memset(text, 'a', sizeof(text));
    assert_int_equal(matches("(a*)*(a|aa)*b", text, sizeof(text)), 0); /* soon */
    assert_int_equal(matches("a\\x00b", "a\0b", 3), 1);
}

static void test_regex_refused(void **state) {
    (void)state;
    static const char *const wrong[] = {
        "(",       ")",      "(a",          "a)",
        "*",       "a**",    "a|*",         "[",
        "[a",      "[z-a]",  "[[:alfa:]]",  "\\",
        "\\1",     "\\y",    "\\x{110000}", "\\xg",
        "a{1001}", "a{3,2}", "(?z)a",       "(?P<n",
        "(?<=a)b", "(?=a)",  "\xff",        "(?i-i-i)a",
        "\\pL",    "[\\pL]", "\\C",         "((a{1000}){1000}){1000}"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        if (matches(wrong[i], "a", 1) != -1) {
            fail_msg("%s is not refused", wrong[i]);
        }
    }
    char deep[2000];
    memset(deep, '(', sizeof(deep));
    deep[sizeof(deep) - 1] = '\0';
    assert_int_equal(matches(deep, "", 0), -1);
    one_expect("RegexFullMatch", "pattern=(?:a|b)+", "string[2,2] ab ba c abc",
               "bool[2,2] 1 1 0 0");
    one_expect("RegexFullMatch", "pattern=a", "string[0]", "bool[0]");
    one_refuse("RegexFullMatch", "pattern=a)", "string[1] a", MM_INVALID_MODEL,
               "pattern 'a)': a ( is missing");
    one_refuse("RegexFullMatch", "", "string[1] a", MM_INVALID_MODEL, "it has no pattern");
    one_refuse("RegexFullMatch", "pattern=a", "i64[1] 1", MM_UNSUPPORTED, "its input 0 is i64");
}

/* Where it is found from a byte on: "begin-end", or "-". */
static const char *found(const char *pattern, const char *text, uint64_t from) {
    static char said[48];
    struct bench bench;
    bench_init(&bench, 1);
    struct onnx_string expression = {pattern, strlen(pattern)}, subject = {text, strlen(text)};
    struct onnx_regex regex = {0};
    struct onnx_regex_span span;
    assert_int_equal(mmi_onnx_regex_compile(&bench.arena, &expression, &regex, &bench.err), MM_OK);
    void *scratch = mmi_onnx_take_data(&bench.arena, mmi_onnx_regex_scratch(regex.count));
    if (mmi_onnx_regex_find(&regex, &subject, from, scratch, &span)) {
        snprintf(said, sizeof(said), "%d-%d", (int)span.begin, (int)span.end);
    } else {
        strcpy(said, "-");
    }
    bench_fini(&bench);
    return said;
}

static void test_regex_find(void **state) {
    (void)state;
    static const struct {
        const char *pattern, *text;
        uint64_t from;
        const char *wanted;
    } cases[] = {
        {"a|ab|aba", "xabab", 0, "1-4"}, /* the longest of those that begin first */
        {"bcd|ab", "abcd", 0, "0-2"},    /* though a later one is longer */
        {"b+", "abbcbbb", 3, "4-7"},
        {"x*", "ab", 1, "1-1"},
        {"x*", "ab", 2, "2-2"},
        {"", "", 0, "0-0"},
        {"b", "a", 0, "-"},
        {"^a", "aa", 1, "-"}, /* what is before is looked at */
        {"\\ba", "aa a", 1, "3-4"},
        {"(?m)^a", "b\na", 1, "2-3"},
        {"[^a]", "a\xc3\xa4", 0, "1-3"},
        {"(a*b)|a", "aaac", 1, "1-2"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_string_equal(found(cases[i].pattern, cases[i].text, cases[i].from), cases[i].wanted);
    }
}

/* ---- Of com.microsoft ------------------------------------------------------------------------ */

#define TOKENIZER "com.microsoft/Tokenizer"

static void test_tokenizer(void **state) {
    (void)state;
    static const struct {
        const char *attributes, *input, *wanted;
    } cases[] = {
        {"pad_value=# mincharnum=1 separators=[_]", "string[3] a_bc__d __ xyz_",
         "string[3,3] a bc d # # # xyz # #"},
        {"pad_value=# mincharnum=2 separators=[_,c]", "string[2] abcde_f_gh f",
         "string[2,3] ab de gh # # #"},
        {"pad_value=# mincharnum=1 mark=1 separators=[_]", "string[2] a_bc __",
         "string[2,4] \2 a bc \3 \2 \3 # #"},
        {"pad_value=# mincharnum=1 mark=1 separators=[_]", "string[1] _", "string[1,0]"},
        {"pad_value=# mincharnum=1 separators=[XY,X]", "string[2] abXXcYd aXYb",
         "string[2,2] ab cYd a b"},
        {"pad_value=# mincharnum=1 separators=[a*]", "string[1] xay", "string[1,0]"},
        {"pad_value=# mincharnum=1 separators=[]", "string[2] ab\xc3\xa4 c",
         "string[2,3] a b \xc3\xa4 c # #"},
        {"pad_value=# mincharnum=1 tokenexp=\\d+|[a-z]", "string[1,2] a1b22 c",
         "string[1,2,4] a 1 b 22 c # # #"},
        {"pad_value=# mincharnum=3 tokenexp=ab|bcd", "string[1] abcd", "string[1,1] bcd"},
        {"pad_value=# mincharnum=1 tokenexp=a*", "string[1] xaay", "string[1,1] aa"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        one_expect(TOKENIZER, cases[i].attributes, cases[i].input, cases[i].wanted);
    }
}

static void test_tokenizer_refused(void **state) {
    (void)state;
    static const struct {
        const char *attributes, *input;
        mm_status status;
        const char *why;
    } cases[] = {
        {"pad_value=# separators=[_]", "string[1] a", MM_INVALID_MODEL, "mincharnum is 0"},
        {"mincharnum=1 separators=[_]", "string[1] a", MM_INVALID_MODEL, "it has no pad_value"},
        {"pad_value=# mincharnum=1", "string[1] a", MM_INVALID_MODEL, "no separators"},
        {"pad_value=# mincharnum=2 separators=[]", "string[1] a", MM_INVALID_MODEL,
         "mincharnum is 2, where letters are tokens"},
        {"pad_value=# mincharnum=1 tokenexp=a(", "string[1] a", MM_INVALID_MODEL, ""},
        {"pad_value=# mincharnum=1 tokenexp=a", "string[1,1,1] a", MM_INVALID_ARGUMENT, "3 axes"},
        {"pad_value=# mincharnum=1 tokenexp=a", "i64[1] 1", MM_INVALID_MODEL, "its input is i64"},
        {"pad_value=# mincharnum=1 tokenexp=a", "string[2] a \xff", MM_INVALID_ARGUMENT,
         "text 1 of its input is no UTF-8"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        one_refuse(TOKENIZER, cases[i].attributes, cases[i].input, cases[i].status, cases[i].why);
    }
}

/* The hashes of the texts are those that scikit-learn's murmurhash3_32 tells. */
static void test_murmur_hash(void **state) {
    (void)state;
    one_expect("com.microsoft/MurmurHash3", "", "string[3] foo abc abcdefg",
               "u32[3] 4138058784 3017643002 2285673222");
    one_expect("com.microsoft/MurmurHash3", "positive=0 seed=42", "string[1] foo",
               "i32[1] -1322301282");
    one_expect("com.microsoft/MurmurHash3", "positive=0", "i32[2] 3 4",
               "i32[2] 847579505 1889779975");
    one_refuse("com.microsoft/MurmurHash3", "", "bool[1] 1", MM_UNSUPPORTED, "its input 0 is bool");
}

/* ---- TfIdfVectorizer ------------------------------------------------------------------------- */

#define BIGRAMS                                                                                    \
    "min_gram_length=1 max_gram_length=2 ngram_counts=[0,4] ngram_indexes=[0,1,2,3,4,5,6] "        \
    "pool_int64s=[2,3,5,4,5,6,7,8,6,7]"

static void test_tfidf(void **state) {
    (void)state;
    one_expect("TfIdfVectorizer", "mode=TF max_skip_count=0 " BIGRAMS,
               "i32[12] 1 1 3 3 3 7 8 6 7 5 6 8", "f32[7] 0 3 1 0 1 1 1");
    one_expect("TfIdfVectorizer", "mode=TF max_skip_count=5 " BIGRAMS,
               "i64[12] 1 1 3 3 3 7 8 6 7 5 6 8", "f32[7] 0 3 1 0 1 3 1");
    one_expect("TfIdfVectorizer", "mode=IDF weights=[1,2,3,4,5,6.5,7] max_skip_count=0 " BIGRAMS,
               "i64[2,3] 3 3 5 6 7 9", "f32[2,7] 0 2 3 0 0 0 0 0 0 0 0 0 0 7");
    one_expect("TfIdfVectorizer", "mode=TFIDF weights=[1,2,3,4,5,6.5,7] max_skip_count=0 " BIGRAMS,
               "i64[1,3] 3 3 5", "f32[1,7] 0 4 3 0 0 0 0");
    one_expect("TfIdfVectorizer",
               "mode=TF max_skip_count=0 min_gram_length=2 max_gram_length=2 ngram_counts=[0,0] "
               "ngram_indexes=[2,0,1] pool_strings=[a,b,b,c,z,z]",
               "string[4] a b c b", "f32[3] 1 0 1");
}

static void test_tfidf_refused(void **state) {
    (void)state;
    one_expect("TfIdfVectorizer", "mode=TF max_skip_count=0 " BIGRAMS, "i64[0]",
               "f32[7] 0 0 0 0 0 0 0");
    one_refuse("TfIdfVectorizer", "mode=TF " BIGRAMS, "string[1] a", MM_UNSUPPORTED,
               "its input 0 is string");
    one_refuse("TfIdfVectorizer", "mode=TF " BIGRAMS, "i64[1,1,1] 1", MM_INVALID_MODEL,
               "its input has 3 axes");
    one_refuse("TfIdfVectorizer", "mode=TF ngram_counts=[0] ngram_indexes=[0] pool_int64s=[1,2]",
               "i64[1] 1", MM_INVALID_MODEL, "1 ngram_indexes of 2 n-grams");
    one_refuse("TfIdfVectorizer", "mode=TF ngram_counts=[0,3] ngram_indexes=[0] pool_int64s=[1,2]",
               "i64[1] 1", MM_INVALID_MODEL, "ngram_counts has 3 at 1, for a pool of 2");
    one_refuse("TfIdfVectorizer", "mode=TF ngram_counts=[0] ngram_indexes=[-1] pool_int64s=[1]",
               "i64[1] 1", MM_INVALID_MODEL, "an ngram_index is -1");
    one_refuse("TfIdfVectorizer", "mode=TF ngram_counts=[0] ngram_indexes=[0]", "i64[1] 1",
               MM_INVALID_MODEL, "0 attributes with its pool, one wanted");
    one_refuse("TfIdfVectorizer",
               "mode=TF min_gram_length=3 max_gram_length=2 "
               "ngram_counts=[0] "
               "ngram_indexes=[0] pool_int64s=[1]",
               "i64[1] 1", MM_INVALID_MODEL, "n-grams of 3 to 2 tokens");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equal_and_where), cmocka_unit_test(test_concat),
        cmocka_unit_test(test_split),           cmocka_unit_test(test_split_at_blanks),
        cmocka_unit_test(test_normalizer),      cmocka_unit_test(test_normalizer_words),
        cmocka_unit_test(test_letters),         cmocka_unit_test(test_regex),
        cmocka_unit_test(test_regex_refused),   cmocka_unit_test(test_tfidf),
        cmocka_unit_test(test_tfidf_refused),   cmocka_unit_test(test_regex_find),
        cmocka_unit_test(test_tokenizer),       cmocka_unit_test(test_tokenizer_refused),
        cmocka_unit_test(test_murmur_hash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
