/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/operators/letters.h>
#include <backends/onnx/operators/regex_set.h>
#include <base/status.h>

#include <string.h>

#define MAX_STEPS 50000
#define MAX_DEPTH 200
#define MAX_REPEAT 1000

enum { FOLD = 1, DOT_ALL = 2, LINES = 4, SWAP_GREED = 8 };

struct compiling {
    struct onnx_arena *arena;
    const char *at, *end;
    struct onnx_regex_step *steps;
    uint32_t count, capacity;
    struct onnx_letter_set ranges; /* of all sets */
    uint32_t flags, depth;
    mm_status status;
    const char *why;
};

/* The first failure stays. */
static void fail(struct compiling *c, mm_status status, const char *why) {
    if (c->status == MM_OK) {
        c->status = status;
        c->why = why;
    }
    c->at = c->end;
}

static bool starts(const struct compiling *c, const char *text) {
    size_t length = strlen(text);
    return (size_t)(c->end - c->at) >= length && memcmp(c->at, text, length) == 0;
}

static bool skip(struct compiling *c, const char *text) {
    bool there = starts(c, text);
    c->at += there ? strlen(text) : 0;
    return there;
}

/* ---- Steps ----------------------------------------------------------------------------------- */

/* Room for `count` more. */
static bool grow(struct compiling *c, uint32_t count) {
    if (c->status != MM_OK || count > MAX_STEPS || c->count + count > MAX_STEPS) {
        fail(c, MM_UNSUPPORTED, "it is too long");
        return false;
    }
    while (c->capacity < c->count + count) {
        if (!mmi_onnx_grow(c->arena, (void **)&c->steps, &c->capacity, c->capacity,
                           sizeof(*c->steps))) {
            fail(c, MM_NO_MEMORY, "no memory for it");
            return false;
        }
    }
    return true;
}

static void emit(struct compiling *c, int32_t op, int64_t a, int64_t b) {
    if (grow(c, 1)) {
        c->steps[c->count++] = (struct onnx_regex_step){op, (int32_t)a, (int32_t)b};
    }
}

/* Before the steps from `at` on, whose jumps are relative. */
static void insert(struct compiling *c, uint32_t at, int64_t a, int64_t b) {
    if (grow(c, 1)) {
        memmove(c->steps + at + 1, c->steps + at, (c->count - at) * sizeof(*c->steps));
        c->steps[at] = (struct onnx_regex_step){ONNX_REGEX_SPLIT, (int32_t)a, (int32_t)b};
        c->count++;
    }
}

static void emit_set(struct compiling *c, struct onnx_letter_set *set, bool negated) {
    if (c->flags & FOLD) {
        mmi_onnx_set_fold(set);
    }
    if (negated) {
        mmi_onnx_set_negate(set);
    }
    mmi_onnx_set_order(set);
    emit(c, ONNX_REGEX_LETTERS, c->ranges.count, set->count);
    for (uint32_t i = 0; i < set->count; i++) {
        mmi_onnx_set_add(&c->ranges, (uint32_t)set->ranges[i].first, (uint32_t)set->ranges[i].last);
    }
    if (set->failed || c->ranges.failed) {
        fail(c, MM_NO_MEMORY, "no memory for it");
    }
}

static void emit_letter(struct compiling *c, uint32_t letter) {
    struct onnx_letter_set set = {.arena = c->arena};
    mmi_onnx_set_add(&set, letter, letter);
    emit_set(c, &set, false);
}

/* ---- Escapes --------------------------------------------------------------------------------- */

static uint32_t next_letter(struct compiling *c) {
    uint32_t letter = c->at == c->end ? ONNX_NO_LETTER : mmi_onnx_next_letter(&c->at, c->end);
    if (letter == ONNX_NO_LETTER) {
        fail(c, MM_INVALID_MODEL, "it ends too early, or is no UTF-8");
    }
    return letter;
}

/* The digits that come next, at least `least` and at most `most`, as a number. */
static uint32_t read_digits(struct compiling *c, uint32_t base, uint32_t least, uint32_t most) {
    uint32_t number = 0, count = 0;
    for (; count < most && c->at < c->end; count++, c->at++) {
        char digit = *c->at;
        uint32_t value = digit >= '0' && digit <= '9'   ? (uint32_t)(digit - '0')
                         : digit >= 'a' && digit <= 'f' ? (uint32_t)(digit - 'a' + 10)
                         : digit >= 'A' && digit <= 'F' ? (uint32_t)(digit - 'A' + 10)
                                                        : 99;
        if (value >= base) {
            break;
        }
        number = number * base + value;
    }
    if (count < least) {
        fail(c, MM_INVALID_MODEL, "digits are missing");
    }
    return number;
}

/* One letter behind a backslash. */
static uint32_t read_escape(struct compiling *c) {
    static const char names[] = "aftnrv", letters[] = "\a\f\t\n\r\v";
    uint32_t letter = next_letter(c);
    const char *name = letter < 128 && letter > 0 ? strchr(names, (int)letter) : NULL;
    if (name) {
        return (uint32_t)letters[name - names];
    }
    if (letter == 'x' && skip(c, "{")) {
        uint32_t number = read_digits(c, 16, 1, 6);
        if (!skip(c, "}") || number >= ONNX_NO_LETTER) {
            fail(c, MM_INVALID_MODEL, "\\x{ without a letter's number and }");
        }
        return number;
    }
    if (letter == 'x') {
        return read_digits(c, 16, 2, 2);
    }
    if (letter == '0') {
        return read_digits(c, 8, 0, 2);
    }
    if (letter == 'p' || letter == 'P' || letter == 'C') {
        fail(c, MM_UNSUPPORTED, "\\p, \\P and \\C are not supported");
    }
    bool word = (letter >= '1' && letter <= '9') || (letter >= 'A' && letter <= 'Z') ||
                (letter >= 'a' && letter <= 'z');
    if (word) {
        fail(c, MM_INVALID_MODEL, "there is no such escape");
    }
    return letter;
}

static void parse_escape(struct compiling *c) {
    static const char places[] = "AzbB";
    static const int32_t kinds[] = {ONNX_REGEX_BEGIN, ONNX_REGEX_END, ONNX_REGEX_WORD_EDGE,
                                    ONNX_REGEX_NO_WORD_EDGE};
    char letter = c->at < c->end ? *c->at : '\0';
    const char *place = letter ? strchr(places, letter) : NULL;
    struct onnx_letter_set set = {.arena = c->arena};
    if (place) {
        c->at++;
        emit(c, ONNX_REGEX_AT, kinds[place - places], 0);
    } else if (letter && mmi_onnx_set_add_escape(&set, (uint8_t)letter)) {
        c->at++;
        emit_set(c, &set, false);
    } else {
        emit_letter(c, read_escape(c));
    }
}

/* ---- Sets ------------------------------------------------------------------------------------ */

/* "[:name:]", which has begun. */
static void parse_named(struct compiling *c, struct onnx_letter_set *set) {
    const char *name = c->at;
    while (c->at < c->end && !starts(c, ":]")) {
        c->at++;
    }
    bool known = mmi_onnx_set_add_named(set, name, (uint64_t)(c->at - name));
    if (!skip(c, ":]") || !known) {
        fail(c, MM_INVALID_MODEL, "there is no such class of letters");
    }
}

static uint32_t read_member(struct compiling *c) {
    return skip(c, "\\") ? read_escape(c) : next_letter(c);
}

static void parse_set(struct compiling *c) {
    struct onnx_letter_set set = {.arena = c->arena};
    bool negated = skip(c, "^");
    for (bool first = true; first || !starts(c, "]"); first = false) {
        if (c->at == c->end) {
            fail(c, MM_INVALID_MODEL, "a ] is missing");
            return;
        }
        if (skip(c, "[:")) {
            parse_named(c, &set);
            continue;
        }
        bool escape = c->end - c->at > 1 && c->at[0] == '\\';
        if (escape && mmi_onnx_set_add_escape(&set, (uint8_t)c->at[1])) {
            c->at += 2;
            continue;
        }
        uint32_t low = read_member(c), high = low;
        if (c->end - c->at > 1 && c->at[0] == '-' && c->at[1] != ']') {
            c->at++;
            high = read_member(c);
        }
        if (high < low) {
            fail(c, MM_INVALID_MODEL, "a range ends before it begins");
        }
        if (c->status == MM_OK) {
            mmi_onnx_set_add(&set, low, high);
        }
    }
    c->at++;
    emit_set(c, &set, negated);
}

/* ---- Groups ---------------------------------------------------------------------------------- */

static void parse_alternatives(struct compiling *c);

/* "(?flags-flags:" or "(?flags)", of which "(?" is read. true: a group follows. */
static bool parse_flags(struct compiling *c) {
    static const char names[] = "ismU";
    static const uint32_t flags[] = {FOLD, DOT_ALL, LINES, SWAP_GREED};
    bool on = true;
    while (c->at < c->end && *c->at != ':' && *c->at != ')') {
        const char *name = *c->at && *c->at != '-' ? strchr(names, *c->at) : NULL;
        if (name) {
            uint32_t flag = flags[name - names];
            c->flags = on ? c->flags | flag : c->flags & ~flag;
        } else if (*c->at != '-' || !on) {
            fail(c, MM_INVALID_MODEL, "there is no such group");
            return false;
        } else {
            on = false;
        }
        c->at++;
    }
    bool group = starts(c, ":");
    if (!skip(c, ":") && !skip(c, ")")) {
        fail(c, MM_INVALID_MODEL, "a ) is missing");
    }
    return group;
}

static void parse_group(struct compiling *c) {
    uint32_t flags = c->flags;
    if (skip(c, "?P<") || skip(c, "?<")) { /* the name is of no interest */
        while (c->at < c->end && *c->at != '>') {
            c->at++;
        }
        if (!skip(c, ">")) {
            fail(c, MM_INVALID_MODEL, "a > is missing");
        }
    } else if (skip(c, "?") && !parse_flags(c)) {
        return; /* for the rest of the group around */
    }
    if (++c->depth > MAX_DEPTH) {
        fail(c, MM_UNSUPPORTED, "groups are too deep in each other");
        return;
    }
    parse_alternatives(c);
    c->depth--;
    c->flags = flags;
    if (!skip(c, ")")) {
        fail(c, MM_INVALID_MODEL, "a ) is missing");
    }
}

/* ---- Repeating ------------------------------------------------------------------------------- */

/* "{2}", "{2,}", "{2,5}"; other text is no repetition. most -1: any number. */
static bool read_counts(struct compiling *c, int64_t *least, int64_t *most) {
    struct compiling ahead = *c;
    if (!skip(&ahead, "{") || ahead.at == ahead.end || *ahead.at < '0' || *ahead.at > '9') {
        return false;
    }
    *least = *most = read_digits(&ahead, 10, 1, 5);
    if (skip(&ahead, ",")) {
        bool open = starts(&ahead, "}");
        *most = open ? -1 : (int64_t)read_digits(&ahead, 10, 1, 5);
    }
    if (ahead.status != MM_OK || !skip(&ahead, "}")) {
        return false;
    }
    c->at = ahead.at;
    if (*least > MAX_REPEAT || *most > MAX_REPEAT || (*most >= 0 && *most < *least)) {
        fail(c, MM_INVALID_MODEL, "a count is too large, or the second is below the first");
    }
    return true;
}

static bool read_quantifier(struct compiling *c, int64_t *least, int64_t *most) {
    *least = 0;
    *most = -1;
    if (skip(c, "*")) {
        return true;
    }
    if (skip(c, "+")) {
        *least = 1;
        return true;
    }
    if (skip(c, "?")) {
        *most = 1;
        return true;
    }
    return read_counts(c, least, most);
}

/* The steps from `begin` on, [least, most] times. */
static void repeat(struct compiling *c, uint32_t begin, int64_t least, int64_t most) {
    uint32_t length = c->count - begin;
    if (length == 0) { /* "()*": nothing, however often */
        return;
    }
    struct onnx_regex_step *copy = mmi_onnx_take(c->arena, length, sizeof(*copy));
    if (!copy) {
        fail(c, MM_NO_MEMORY, "no memory for it");
        return;
    }
    memcpy(copy, c->steps + begin, length * sizeof(*copy));
    int64_t copies = most < 0 ? (least ? least : 1) : most;
    c->count = begin;
    for (int64_t i = 0; i < copies && c->status == MM_OK; i++) {
        if (i >= least) {
            emit(c, ONNX_REGEX_SPLIT, 1, (int64_t)length + 1 + (most < 0));
        }
        if (grow(c, length)) {
            memcpy(c->steps + c->count, copy, length * sizeof(*copy));
            c->count += length;
        }
    }
    if (most < 0 && least == 0) {
        emit(c, ONNX_REGEX_JUMP, -(int64_t)length - 1, 0);
    } else if (most < 0) {
        emit(c, ONNX_REGEX_SPLIT, -(int64_t)length, 1);
    }
}

/* ---- Sequences ------------------------------------------------------------------------------- */

static void parse_dot(struct compiling *c) {
    struct onnx_letter_set set = {.arena = c->arena};
    if (c->flags & DOT_ALL) {
        mmi_onnx_set_add(&set, 0, ONNX_NO_LETTER - 1);
    } else {
        mmi_onnx_set_add(&set, 0, '\n' - 1);
        mmi_onnx_set_add(&set, '\n' + 1, ONNX_NO_LETTER - 1);
    }
    emit_set(c, &set, false);
}

/* Letters as they are; *begin: of the last one, which alone can be repeated. */
static void parse_quoted(struct compiling *c, uint32_t *begin) {
    while (c->at < c->end && !skip(c, "\\E")) {
        *begin = c->count;
        emit_letter(c, next_letter(c));
    }
}

/* What can be repeated: the steps from *begin on. */
static void parse_atom(struct compiling *c, uint32_t *begin) {
    bool lines = c->flags & LINES;
    *begin = c->count;
    if (skip(c, "\\Q")) {
        parse_quoted(c, begin);
    } else if (skip(c, "(")) {
        parse_group(c);
    } else if (skip(c, "[")) {
        parse_set(c);
    } else if (skip(c, ".")) {
        parse_dot(c);
    } else if (skip(c, "^")) {
        emit(c, ONNX_REGEX_AT, lines ? ONNX_REGEX_LINE_BEGIN : ONNX_REGEX_BEGIN, 0);
    } else if (skip(c, "$")) {
        emit(c, ONNX_REGEX_AT, lines ? ONNX_REGEX_LINE_END : ONNX_REGEX_END, 0);
    } else if (skip(c, "\\")) {
        parse_escape(c);
    } else if (starts(c, "*") || starts(c, "+") || starts(c, "?")) {
        fail(c, MM_INVALID_MODEL, "there is nothing to repeat");
    } else {
        emit_letter(c, next_letter(c));
    }
}

static void parse_sequence(struct compiling *c) {
    int64_t least, most;
    while (c->at < c->end && *c->at != '|' && *c->at != ')') {
        uint32_t begin;
        parse_atom(c, &begin);
        if (c->status != MM_OK || !read_quantifier(c, &least, &most)) {
            continue;
        }
        (void)skip(c, "?"); /* as few as possible: the same texts */
        repeat(c, begin, least, most);
        if (read_quantifier(c, &least, &most)) {
            fail(c, MM_INVALID_MODEL, "a repetition is repeated");
        }
    }
}

static void parse_alternatives(struct compiling *c) {
    int64_t last = -1; /* jump to the end; each has the one before it until the end is known */
    for (;;) {
        uint32_t begin = c->count;
        parse_sequence(c);
        if (!skip(c, "|") || c->status != MM_OK) {
            break;
        }
        insert(c, begin, 1, (int64_t)(c->count - begin) + 2);
        emit(c, ONNX_REGEX_JUMP, last, 0);
        last = (int64_t)c->count - 1;
    }
    while (last >= 0 && c->status == MM_OK) {
        int64_t before = c->steps[last].a;
        c->steps[last].a = (int32_t)((int64_t)c->count - last);
        last = before;
    }
}

mm_status mmi_onnx_regex_compile(struct onnx_arena *arena, const struct onnx_string *pattern,
                                 struct onnx_regex *regex, mm_error *err) {
    const char *begin = pattern->bytes > 0 ? pattern->at : "";
    struct compiling c = {
        .arena = arena, .at = begin, .end = begin + pattern->bytes, .ranges = {.arena = arena}};
    parse_alternatives(&c);
    if (c.status == MM_OK && c.at != c.end) {
        fail(&c, MM_INVALID_MODEL, "a ( is missing");
    }
    emit(&c, ONNX_REGEX_MATCH, 0, 0);
    if (c.status != MM_OK) {
        return mmi_fail(err, c.status, "pattern '%.*s': %s",
                        (int)(pattern->bytes < 60 ? pattern->bytes : 60), begin, c.why);
    }
    *regex = (struct onnx_regex){c.steps, c.ranges.ranges, c.count, c.ranges.count};
    return MM_OK;
}
