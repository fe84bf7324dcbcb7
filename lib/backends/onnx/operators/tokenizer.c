/* SPDX-License-Identifier: Apache-2.0 */

/* Tokenizer, of com.microsoft: texts to the letters they have, to what is between separators, or to
 * what an expression finds. The exporters of scikit-learn write it for its vectorisers. */

#include <backends/onnx/operators/execution.h>
#include <backends/onnx/operators/letters.h>
#include <backends/onnx/operators/regex.h>
#include <base/checked.h>
#include <base/status.h>

#include <inttypes.h>
#include <string.h>

struct tokenizer {
    int64_t shortest; /* letters of a token, at least */
    int32_t mark;     /* a token before and one behind those of a text */
    int32_t finds;    /* the expression finds tokens; else what is between them */
};
/* The lists of the file, and what becomes of them. */
enum { PAD_VALUE, SEPARATORS, EXPRESSION, LISTS };
enum { PAD = 1, STEPS, RANGES, BEGINS };

#define MOST_SEPARATORS 64

static mm_status read(const struct onnx_attributes *a, void *params, mm_error *err) {
    struct tokenizer *p = params;
    MMI_TRY(mmi_onnx_read_flag(a, "mark", false, &p->mark, err));
    return mmi_onnx_read_int(a, "mincharnum", 0, &p->shortest, err);
}

/* ---- Once, when the model is prepared -------------------------------------------------------- */

static mm_status make_list(const void *data, uint64_t count, struct onnx_tensor *list,
                           mm_error *err) {
    int64_t length = (int64_t)count;
    MMI_TRY(mmi_onnx_tensor_set(list, MM_I32, 1, &length, err));
    list->data = data;
    return MM_OK;
}

/* The patterns one behind the other, and where the steps and ranges of each begin. */
static mm_status join(struct onnx_lists *lists, const struct onnx_regex *regexes, uint64_t count,
                      mm_error *err) {
    uint64_t steps = 0, ranges = 0;
    for (uint64_t i = 0; i < count; i++) {
        steps += regexes[i].count;
        ranges += regexes[i].range_count;
    }
    struct onnx_regex_step *step = mmi_onnx_take(lists->arena, steps + 1, sizeof(*step));
    struct onnx_regex_range *range = mmi_onnx_take(lists->arena, ranges + 1, sizeof(*range));
    int32_t *begins = mmi_onnx_take(lists->arena, 2 * (count + 1), sizeof(*begins));
    if (!step || !range || !begins || steps > INT32_MAX || ranges > INT32_MAX) {
        return mmi_fail(err, MM_NO_MEMORY, "no memory for its patterns");
    }
    for (uint64_t i = 0; i < count; i++) {
        int32_t *begin = begins + 2 * i;
        memcpy(step + begin[0], regexes[i].steps, regexes[i].count * sizeof(*step));
        if (regexes[i].range_count > 0) {
            memcpy(range + begin[1], regexes[i].ranges, regexes[i].range_count * sizeof(*range));
        }
        begin[2] = begin[0] + (int32_t)regexes[i].count;
        begin[3] = begin[1] + (int32_t)regexes[i].range_count;
    }
    lists->count = BEGINS;
    MMI_TRY(make_list(step, steps * sizeof(*step) / 4, &lists->at[STEPS - 1], err));
    MMI_TRY(make_list(range, ranges * sizeof(*range) / 4, &lists->at[RANGES - 1], err));
    return make_list(begins, 2 * (count + 1), &lists->at[BEGINS - 1], err);
}

static bool is_text(struct onnx_string text, const char *wanted) {
    uint64_t bytes = strlen(wanted);
    return text.bytes == bytes && (bytes == 0 || memcmp(text.at, wanted, bytes) == 0);
}

static mm_status arrange(struct onnx_lists *lists, void *params, mm_error *err) {
    struct tokenizer *p = params;
    p->finds = lists->at[SEPARATORS].dtype == MM_DTYPE_NONE;
    struct onnx_tensor patterns = lists->at[p->finds ? EXPRESSION : SEPARATORS];
    const struct onnx_string *texts = patterns.data;
    if (lists->at[PAD_VALUE].dtype == MM_DTYPE_NONE || patterns.dtype == MM_DTYPE_NONE) {
        return mmi_fail(err, MM_INVALID_MODEL, "it has no %s",
                        patterns.dtype ? "pad_value" : "separators and no tokenexp");
    }
    if (patterns.elements > MOST_SEPARATORS) {
        return mmi_fail(err, MM_UNSUPPORTED, "%" PRIu64 " separators, at most %d are followed",
                        patterns.elements, MOST_SEPARATORS);
    }
    bool letters = patterns.elements == 1 && is_text(texts[0], p->finds ? "." : "");
    if ((letters && p->shortest > 1) || (p->finds && texts[0].bytes == 0)) {
        return mmi_fail(err, MM_INVALID_MODEL,
                        letters ? "mincharnum is %" PRId64 ", where letters are tokens"
                                : "tokenexp is empty",
                        p->shortest);
    }
    struct onnx_regex regexes[MOST_SEPARATORS] = {{0}};
    for (uint64_t i = 0; i < patterns.elements && !letters; i++) {
        MMI_TRY(mmi_onnx_regex_compile(lists->arena, &texts[i], &regexes[i], err));
    }
    return join(lists, regexes, letters ? 0 : patterns.elements, err);
}

/* ---- Tokens ---------------------------------------------------------------------------------- */

struct tokenizing {
    const struct tokenizer *p;
    struct onnx_regex regexes[MOST_SEPARATORS];
    uint64_t regex_count; /* 0: letters */
    void *scratch;
    struct onnx_string *to; /* where tokens go, or NULL */
    uint64_t count;
};

/* Letters of a text; -1: it is no UTF-8. */
static int64_t letters_of(struct onnx_string text) {
    const char *at = text.at, *end = text.bytes > 0 ? at + text.bytes : at;
    int64_t count = 0;
    while (at != end) {
        if (mmi_onnx_next_letter(&at, end) == ONNX_NO_LETTER) {
            return -1;
        }
        count++;
    }
    return count;
}

/* false: it is too short. */
static bool take(struct tokenizing *t, struct onnx_string token) {
    if (token.bytes == 0 || letters_of(token) < t->p->shortest) {
        return false;
    }
    if (t->to) {
        t->to[t->count] = token;
    }
    t->count++;
    return true;
}

/* The byte behind the letter at byte `at`. */
static uint64_t behind_letter(struct onnx_string text, uint64_t at) {
    const char *next = text.at + at;
    if (at < text.bytes) {
        mmi_onnx_next_letter(&next, text.at + text.bytes);
    }
    return at < text.bytes ? (uint64_t)(next - text.at) : text.bytes + 1;
}

static void take_letters(struct tokenizing *t, struct onnx_string text) {
    for (uint64_t at = 0, next; at < text.bytes; at = next) {
        next = behind_letter(text, at);
        take(t, (struct onnx_string){text.at + at, next - at});
    }
}

/* A match that is no token, as it is too short or empty, is looked for again one letter on. */
static void take_found(struct tokenizing *t, struct onnx_string text) {
    struct onnx_regex_span span;
    for (uint64_t at = 0;
         at <= text.bytes && mmi_onnx_regex_find(&t->regexes[0], &text, at, t->scratch, &span);) {
        bool taken = take(t, (struct onnx_string){text.at + span.begin, span.end - span.begin});
        at = taken ? span.end : behind_letter(text, span.begin);
    }
}

/* What separator i leaves is what those behind it get. A separator that matches nothing takes the
 * letter where it does. */
static void take_between(struct tokenizing *t, struct onnx_string text, uint64_t i) {
    if (i == t->regex_count) {
        take(t, text);
        return;
    }
    struct onnx_regex_span span;
    uint64_t at = 0;
    while (at < text.bytes && mmi_onnx_regex_find(&t->regexes[i], &text, at, t->scratch, &span)) {
        take_between(t, (struct onnx_string){text.at + at, span.begin - at}, i + 1);
        at = span.end > span.begin ? span.end : behind_letter(text, span.begin);
    }
    if (at < text.bytes) {
        take_between(t, (struct onnx_string){text.at + at, text.bytes - at}, i + 1);
    }
}

static void take_tokens(struct tokenizing *t, struct onnx_string text) {
    if (t->regex_count == 0) {
        take_letters(t, text);
    } else if (t->p->finds) {
        take_found(t, text);
    } else {
        take_between(t, text, 0);
    }
}

/* ---- A run ----------------------------------------------------------------------------------- */

/* The patterns, as `join` wrote them; bytes: of the largest one's scratch. */
static mm_status read_patterns(const struct onnx_execution *x, struct tokenizing *t,
                               uint64_t *bytes, mm_error *err) {
    const struct onnx_tensor *begins = &x->inputs[BEGINS].tensor;
    const int32_t *begin = begins->data;
    uint64_t steps = x->inputs[STEPS].tensor.bytes / sizeof(struct onnx_regex_step);
    uint64_t ranges = x->inputs[RANGES].tensor.bytes / sizeof(struct onnx_regex_range);
    bool sound = begins->elements >= 2 && begins->elements / 2 - 1 <= MOST_SEPARATORS;
    t->regex_count = sound ? begins->elements / 2 - 1 : 0;
    for (uint64_t i = 0; i < t->regex_count && sound; i++, begin += 2) {
        sound = begin[0] >= 0 && begin[0] <= begin[2] && (uint64_t)begin[2] <= steps &&
                begin[1] >= 0 && begin[1] <= begin[3] && (uint64_t)begin[3] <= ranges;
        if (sound) {
            t->regexes[i] = (struct onnx_regex){
                (const struct onnx_regex_step *)x->inputs[STEPS].tensor.data + begin[0],
                (const struct onnx_regex_range *)x->inputs[RANGES].tensor.data + begin[1],
                (uint64_t)(begin[2] - begin[0]), (uint64_t)(begin[3] - begin[1])};
            *bytes = mmi_max_u64(*bytes, mmi_onnx_regex_scratch(t->regexes[i].count));
            sound = mmi_onnx_regex_is_sound(&t->regexes[i]);
        }
    }
    return sound ? MM_OK : mmi_fail(err, MM_CORRUPT, "its patterns are damaged");
}

/* The most tokens of a text, without marks. */
static mm_status count_tokens(struct tokenizing *t, const struct onnx_tensor *input, uint64_t *most,
                              mm_error *err) {
    const struct onnx_string *texts = input->data;
    for (uint64_t i = 0; i < input->elements; i++) {
        if (letters_of(texts[i]) < 0) {
            return mmi_fail(err, MM_INVALID_ARGUMENT, "text %" PRIu64 " of its input is no UTF-8",
                            i);
        }
        t->count = 0;
        take_tokens(t, texts[i]);
        *most = mmi_max_u64(*most, t->count);
    }
    return MM_OK;
}

/* The tokens of a text, marked, and padding. */
static void fill(struct tokenizing *t, struct onnx_string text, struct onnx_string pad,
                 struct onnx_string *to, uint64_t width) {
    bool mark = t->p->mark;
    to[0] = (struct onnx_string){"\2", 1};
    t->to = to + mark;
    t->count = 0;
    take_tokens(t, text);
    uint64_t at = t->count + mark;
    if (mark) {
        to[at++] = (struct onnx_string){"\3", 1};
    }
    for (; at < width; at++) {
        to[at] = pad;
    }
}

static mm_status tokenize(struct onnx_execution *x, struct tokenizing *t, mm_error *err) {
    struct onnx_tensor shape = x->inputs[0].tensor;
    const struct onnx_string *texts = shape.data;
    struct onnx_string pad = *(const struct onnx_string *)x->inputs[PAD].tensor.data;
    uint64_t width = 0;
    MMI_TRY(count_tokens(t, &shape, &width, err));
    width += width > 0 && t->p->mark ? 2 : 0;
    shape.shape[shape.rank] = (int64_t)width;
    MMI_TRY(mmi_onnx_make_tensor(x->memory, MM_STRING, shape.rank + 1, shape.shape, &x->outputs[0],
                                 err));
    struct onnx_string *to = mmi_onnx_value_data(&x->outputs[0]);
    for (uint64_t i = 0; i < shape.elements && width > 0; i++, to += width) {
        fill(t, texts[i], pad, to, width);
    }
    return MM_OK;
}

static mm_status execute(struct onnx_execution *x, mm_error *err) {
    struct tokenizing t = {.p = x->params};
    uint64_t bytes = 1;
    MMI_TRY(mmi_onnx_expect_tensor(x, 0, "input", MM_STRING, -1, err));
    const struct onnx_tensor *input = &x->inputs[0].tensor;
    if (input->rank < 1 || input->rank > 2) {
        return mmi_fail(err, MM_INVALID_ARGUMENT, "its input has %u axes, [C] or [N, C] wanted",
                        input->rank);
    }
    MMI_TRY(read_patterns(x, &t, &bytes, err));
    struct onnx_run_block *block = mmi_onnx_block_take(x->memory, bytes);
    if (!block) {
        return mmi_fail(err, MM_NO_ROOM_FOR_ACTIVATIONS, "no room for %" PRIu64 " bytes", bytes);
    }
    t.scratch = mmi_onnx_block_data(block);
    mm_status status = tokenize(x, &t, err);
    mmi_onnx_block_drop(x->memory, block);
    return status;
}

static const struct onnx_list lists[] = {
    [PAD_VALUE] = {.name = "pad_value", .dtype = MM_STRING, .single = true},
    [SEPARATORS] = {.name = "separators", .dtype = MM_STRING},
    [EXPRESSION] = {.name = "tokenexp", .dtype = MM_STRING, .single = true},
    [LISTS] = {0}};
const struct onnx_operator mmi_onnx_op_MsTokenizer = {
    .name = "Tokenizer",
    .domain = ONNX_MICROSOFT,
    .min_inputs = 1,
    .max_inputs = 1,
    .min_outputs = 1,
    .max_outputs = 1,
    .params_bytes = sizeof(struct tokenizer),
    .limits = ONNX_LIMITS(ONNX_AT_LEAST("mincharnum", struct tokenizer, shortest, 1)),
    .read = read,
    .lists = lists,
    .arrange = arrange,
    .arranged = BEGINS,
    .execute = execute,
};
