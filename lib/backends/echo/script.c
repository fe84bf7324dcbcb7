/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/echo/script.h>
#include <base/status.h>
#include <base/text.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *key;
    size_t offset;
    uint64_t fallback;
} numbers[] = {
#define NUMBER(key, fallback) {#key, offsetof(struct mmi_echo_script, key), fallback},
    MMI_ECHO_NUMBERS(NUMBER)
#undef NUMBER
};
#define NUMBER_COUNT (sizeof(numbers) / sizeof(numbers[0]))

static const char *const io_words[MMI_ECHO_IOS] = {
    "tensor", "string", "sequence", "map", "optional", "two", "repeat",
};
static const char *const output_words[] = {"exact", "bound", "unknown"}; /* MM_SIZE_* */
static const char *const fail_keys[MMI_ECHO_STEPS] = {
    "fail_prepare",
    "fail_open",
    "fail_attach",
    "fail_infer",
};

static uint64_t *number_of(struct mmi_echo_script *script, size_t i) {
    return (uint64_t *)(void *)((char *)script + numbers[i].offset);
}

/* Place of a word in a list; `count` when it is not there. */
static uint32_t place_of(const char *word, const char *const *words, uint32_t count) {
    uint32_t place = 0;
    while (place < count && strcmp(word, words[place]) != 0) {
        place++;
    }
    return place;
}

static bool parse_number(const char *value, uint64_t *number) {
    char config[80];
    snprintf(config, sizeof(config), "n=%s", value);
    int bad = strchr(value, ',') != NULL;
    uint64_t read = bad ? 0 : mmi_config_u64(config, "n", 0, &bad);
    if (!bad) {
        *number = read;
    }
    return !bad;
}

static bool parse_dtype(const char *value, int32_t *dtype) {
    for (int32_t i = MM_F32; i <= MM_I2; i++) {
        if (i != MM_STRING && strcmp(value, mm_dtype_text(i)) == 0) {
            *dtype = i;
            return true;
        }
    }
    return false;
}

/* "2 MM_IO" or "-1 MM_IO" */
static bool parse_failure(char *value, uint64_t *calls, int32_t *status) {
    char *space = strchr(value, ' ');
    if (!space) {
        return false;
    }
    *space = '\0';
    if (strcmp(value, "-1") == 0) {
        *calls = MMI_ECHO_ALWAYS;
    } else if (!parse_number(value, calls)) {
        return false;
    }
    static const int32_t statuses[] = {
#define STATUS(name, number, text) number,
        MM_STATUS_MAP(STATUS)
#undef STATUS
    };
    for (size_t i = 1; i < sizeof(statuses) / sizeof(statuses[0]); i++) { /* not MM_OK */
        if (strcmp(space + 1, mm_status_name(statuses[i])) == 0) {
            *status = statuses[i];
            return true;
        }
    }
    return false;
}

/* NULL, or what is wrong. */
static const char *parse_pair(const char *key, char *value, struct mmi_echo_script *script) {
    for (size_t i = 0; i < NUMBER_COUNT; i++) {
        if (strcmp(key, numbers[i].key) == 0) {
            return parse_number(value, number_of(script, i)) ? NULL : "a number expected";
        }
    }
    uint32_t step = place_of(key, fail_keys, MMI_ECHO_STEPS);
    if (step < MMI_ECHO_STEPS) {
        return parse_failure(value, &script->fail[step].calls, &script->fail[step].status)
                   ? NULL
                   : "calls and the name of a status expected";
    }
    if (strcmp(key, "io") == 0) {
        script->io = (enum mmi_echo_io)place_of(value, io_words, MMI_ECHO_IOS);
        return script->io < MMI_ECHO_IOS ? NULL : "no such form of inputs";
    }
    if (strcmp(key, "outputs") == 0) {
        script->exactness = (uint8_t)place_of(value, output_words, 3);
        return script->exactness < 3 ? NULL : "exact, bound or unknown expected";
    }
    if (strcmp(key, "dtype") == 0) {
        return parse_dtype(value, &script->dtype) ? NULL : "no such element type";
    }
    if (strcmp(key, "version") == 0) {
        snprintf(script->version, sizeof(script->version), "%s", value);
        return NULL;
    }
    return "no such key";
}

static const char *parse_line(const char *at, size_t length, struct mmi_echo_script *script) {
    char line[64];
    if (length >= sizeof(line) || memchr(at, '\0', length)) {
        return "a line of text of at most 63 bytes expected";
    }
    memcpy(line, at, length);
    line[length] = '\0';
    char *space = strchr(line, ' ');
    if (!space || space[1] == '\0') {
        return "a key, a space and a value expected";
    }
    *space = '\0';
    return parse_pair(line, space + 1, script);
}

static mm_status check_groups(const struct mmi_echo_script *script, const char *name,
                              mm_error *err) {
    bool fits = script->groups == 1 ||
                (script->groups <= UINT16_MAX && script->weights_bytes / 8 >= script->groups);
    if (script->groups == 0 || !fits) {
        return mmi_fail(err, MM_INVALID_MODEL, "%s: %" PRIu64 " groups in %" PRIu64 " bytes", name,
                        script->groups, script->weights_bytes);
    }
    return MM_OK;
}

mm_status mmi_echo_parse(const char *text, size_t bytes, const char *name,
                         struct mmi_echo_script *script, mm_error *err) {
    *script = (struct mmi_echo_script){.dtype = MM_F32};
    for (size_t i = 0; i < NUMBER_COUNT; i++) {
        *number_of(script, i) = numbers[i].fallback;
    }
    size_t at = 0;
    for (unsigned line = 2; at < bytes; line++) {
        const char *end = memchr(text + at, '\n', bytes - at);
        const char *wrong = "cut off";
        if (end) {
            size_t length = (size_t)(end - text) - at;
            wrong = parse_line(text + at, length, script);
            at += length + 1;
        }
        if (wrong) {
            return mmi_fail(err, MM_INVALID_MODEL, "%s: line %u: %s", name, line, wrong);
        }
    }
    return check_groups(script, name, err);
}

size_t mmi_echo_print(const struct mmi_echo_script *script, char text[MMI_ECHO_SCRIPT_BYTES]) {
    struct mmi_text out;
    mmi_text_init(&out, text, MMI_ECHO_SCRIPT_BYTES);
    struct mmi_echo_script copy = *script;
    for (size_t i = 0; i < NUMBER_COUNT; i++) {
        uint64_t number = *number_of(&copy, i);
        if (number != numbers[i].fallback) {
            mmi_text_add(&out, "%s %" PRIu64 "\n", numbers[i].key, number);
        }
    }
    mmi_text_add(&out, "io %s\noutputs %s\ndtype %s\n", io_words[script->io],
                 output_words[script->exactness], mm_dtype_text(script->dtype));
    for (size_t i = 0; i < MMI_ECHO_STEPS; i++) {
        const char *status = mm_status_name(script->fail[i].status);
        if (script->fail[i].calls == MMI_ECHO_ALWAYS) {
            mmi_text_add(&out, "%s -1 %s\n", fail_keys[i], status);
        } else if (script->fail[i].calls > 0) {
            mmi_text_add(&out, "%s %" PRIu64 " %s\n", fail_keys[i], script->fail[i].calls, status);
        }
    }
    if (script->version[0]) {
        mmi_text_add(&out, "version %s\n", script->version);
    }
    return out.need;
}
