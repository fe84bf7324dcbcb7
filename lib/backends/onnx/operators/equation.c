/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/operators/einsum.h>
#include <base/status.h>

#include <inttypes.h>
#include <string.h>

/* What one walk over the text knows. */
struct reading {
    const char *text, *at;
    struct onnx_equation *equation;
    uint32_t dots;                      /* axes of every ellipsis */
    uint8_t times[ONNX_EINSUM_LETTERS]; /* a letter is in the input terms: 0, 1, 2 or more */
    mm_error *err;
};

static mm_status fail(const struct reading *reading, const char *why) {
    return mmi_fail(reading->err, MM_INVALID_MODEL, "attribute equation is '%.120s': %s at %d",
                    reading->text, why, (int)(reading->at - reading->text));
}

/* -1: no letter. */
static int letter_of(char c) {
    if (c >= 'A' && c <= 'Z') {
        return c - 'A';
    }
    return c >= 'a' && c <= 'z' ? c - 'a' + 26 : -1;
}

static mm_status add_label(const struct reading *reading, struct onnx_term *term, int label) {
    if (term->count == MM_MAX_RANK) {
        return fail(reading, "too many axes");
    }
    term->at[term->count++] = (uint8_t)label;
    return MM_OK;
}

static mm_status add_dots(struct reading *reading, struct onnx_term *term, uint32_t axes) {
    for (uint32_t i = 0; i < axes; i++) {
        int label = ONNX_EINSUM_LABELS - (int)axes + (int)i;
        MMI_TRY(add_label(reading, term, label));
    }
    return MM_OK;
}

/* Letters and dots up to what is neither. dots: axes that an ellipsis has here. */
static mm_status read_term(struct reading *reading, struct onnx_term *term, uint32_t dots) {
    bool dotted = false;
    for (int letter; *reading->at; reading->at++) {
        letter = letter_of(*reading->at);
        if (letter >= 0) {
            MMI_TRY(add_label(reading, term, letter));
        } else if (*reading->at == '.') {
            if (dotted || strncmp(reading->at, "...", 3) != 0) {
                return fail(reading, "no ellipsis, or a second one,");
            }
            dotted = true;
            MMI_TRY(add_dots(reading, term, dots));
            reading->at += 2;
        } else {
            break;
        }
    }
    return MM_OK;
}

/* Axes left for the ellipsis of the term that begins here; 0 where it has none. */
static uint32_t dots_of(const char *at, uint32_t rank) {
    uint32_t letters = 0;
    bool dotted = false;
    for (; *at == '.' || letter_of(*at) >= 0; at++) {
        dotted |= *at == '.';
        letters += *at != '.';
    }
    return dotted && rank > letters ? rank - letters : 0;
}

static mm_status set_sizes(const struct reading *reading, uint32_t input,
                           const struct onnx_tensor *tensor) {
    const struct onnx_term *term = &reading->equation->inputs[input];
    if (term->count != tensor->rank) {
        return mmi_fail(reading->err, MM_INVALID_MODEL,
                        "attribute equation is '%.120s', its input %u has %u axes", reading->text,
                        input, tensor->rank);
    }
    for (uint32_t i = 0; i < term->count; i++) {
        int64_t *size = &reading->equation->size[term->at[i]], new = tensor->shape[i];
        if (*size != new &&*size != 1 && new != 1) {
            return mmi_fail(reading->err, MM_INVALID_MODEL,
                            "axis %u of its input %u has %" PRId64 " elements, where '%.120s' "
                            "says %" PRId64,
                            i, input, new, reading->text, *size);
        }
        *size = *size == 1 ? new : *size;
    }
    return MM_OK;
}

static mm_status read_input(struct reading *reading, uint32_t input,
                            const struct onnx_tensor *tensor) {
    struct onnx_term *term = &reading->equation->inputs[input];
    uint32_t dots = dots_of(reading->at, tensor->rank);
    reading->dots = dots > reading->dots ? dots : reading->dots;
    MMI_TRY(read_term(reading, term, dots));
    for (uint32_t i = 0; i < term->count; i++) {
        if (term->at[i] < ONNX_EINSUM_LETTERS && reading->times[term->at[i]] < 2) {
            reading->times[term->at[i]]++;
        }
    }
    return set_sizes(reading, input, tensor);
}

/* Letters that are there once, in order, behind the ellipsis. */
static mm_status imply_output(struct reading *reading) {
    struct onnx_term *output = &reading->equation->output;
    MMI_TRY(add_dots(reading, output, reading->dots));
    for (int letter = 0; letter < ONNX_EINSUM_LETTERS; letter++) {
        if (reading->times[letter] == 1) {
            MMI_TRY(add_label(reading, output, letter));
        }
    }
    return MM_OK;
}

static mm_status read_output(struct reading *reading) {
    struct onnx_term *output = &reading->equation->output;
    uint64_t seen = 0;
    MMI_TRY(read_term(reading, output, reading->dots));
    for (uint32_t i = 0; i < output->count; i++) {
        uint8_t label = output->at[i];
        if (label < ONNX_EINSUM_LETTERS && !reading->times[label]) {
            return fail(reading, "a letter that no input has");
        }
        if (seen >> label & 1) {
            return fail(reading, "a letter that the result has twice");
        }
        seen |= UINT64_C(1) << label;
    }
    return *reading->at ? fail(reading, "a letter, '.', ',' or '->' wanted") : MM_OK;
}

mm_status mmi_onnx_read_equation(const char *text, const struct onnx_tensor *inputs, uint32_t count,
                                 struct onnx_equation *equation, mm_error *err) {
    struct reading reading = {.text = text, .at = text, .equation = equation, .err = err};
    memset(equation, 0, sizeof(*equation));
    for (uint32_t i = 0; i < ONNX_EINSUM_LABELS; i++) {
        equation->size[i] = 1;
    }
    if (count > ONNX_EINSUM_INPUTS) {
        return mmi_fail(err, MM_UNSUPPORTED, "%u inputs, at most %d", count, ONNX_EINSUM_INPUTS);
    }
    for (uint32_t i = 0; i < count; i++) {
        MMI_TRY(read_input(&reading, i, &inputs[i]));
        if (i + 1 < count && *reading.at++ != ',') {
            reading.at--;
            return fail(&reading, "',' and the term of another input wanted");
        }
    }
    if (!*reading.at) {
        return imply_output(&reading);
    }
    if (strncmp(reading.at, "->", 2) != 0) {
        return fail(&reading, "'->' or the end wanted");
    }
    reading.at += 2;
    return read_output(&reading);
}
