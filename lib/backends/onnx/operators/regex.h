/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_OPERATORS_REGEX_H
#define MMI_BACKENDS_ONNX_OPERATORS_REGEX_H

/* Regular expressions in RE2's syntax, that match whole texts or are found in them: compiled to a
 * program of a machine that is in many places at once, so that a match takes time in proportion to
 * the text.
 *
 * Not covered, and refused by name: classes of Unicode (\p{Greek}), single bytes (\C). Case is
 * ignored as letters.h has it. */

#include <backends/onnx/operators/operator.h>

enum onnx_regex_op {
    ONNX_REGEX_LETTERS, /* one of the ranges [a, a + b), then the next */
    ONNX_REGEX_SPLIT,   /* both a and b instructions further */
    ONNX_REGEX_JUMP,    /* a instructions further */
    ONNX_REGEX_AT,      /* the next, at places of kind a */
    ONNX_REGEX_MATCH
};
enum onnx_regex_place {
    ONNX_REGEX_BEGIN,
    ONNX_REGEX_END,
    ONNX_REGEX_LINE_BEGIN,
    ONNX_REGEX_LINE_END,
    ONNX_REGEX_WORD_EDGE,
    ONNX_REGEX_NO_WORD_EDGE
};
struct onnx_regex_step {
    int32_t op, a, b;
};
struct onnx_regex_range {
    int32_t first, last;
};
/* The last step is MATCH. */
struct onnx_regex {
    const struct onnx_regex_step *steps;
    const struct onnx_regex_range *ranges;
    uint64_t count, range_count;
};

/* In `arena`. MM_INVALID_MODEL: it is no expression; MM_UNSUPPORTED. */
mm_status mmi_onnx_regex_compile(struct onnx_arena *arena, const struct onnx_string *pattern,
                                 struct onnx_regex *regex, mm_error *err);
/* No step leads out of it. */
bool mmi_onnx_regex_is_sound(const struct onnx_regex *regex);
/* Bytes that matching needs. */
uint64_t mmi_onnx_regex_scratch(uint64_t count);
bool mmi_onnx_regex_matches(const struct onnx_regex *regex, const struct onnx_string *text,
                            void *scratch);
/* The first match that begins at byte `from` or later; of several there the longest. What is before
 * `from` is looked at, too, by what asks where it is. */
struct onnx_regex_span {
    uint64_t begin, end; /* bytes */
};
bool mmi_onnx_regex_find(const struct onnx_regex *regex, const struct onnx_string *text,
                         uint64_t from, void *scratch, struct onnx_regex_span *best);

#endif
