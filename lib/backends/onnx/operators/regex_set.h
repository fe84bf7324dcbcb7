/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_OPERATORS_REGEX_SET_H
#define MMI_BACKENDS_ONNX_OPERATORS_REGEX_SET_H

/* A set of letters while a regular expression is read. */

#include <backends/onnx/operators/regex.h>

struct onnx_letter_set {
    struct onnx_arena *arena;
    struct onnx_regex_range *ranges;
    uint32_t count, capacity;
    bool failed; /* there is no memory */
};

void mmi_onnx_set_add(struct onnx_letter_set *set, uint32_t first, uint32_t last);
/* Sorted, without overlaps. */
void mmi_onnx_set_order(struct onnx_letter_set *set);
void mmi_onnx_set_negate(struct onnx_letter_set *set);
/* Both cases of every letter in it. */
void mmi_onnx_set_fold(struct onnx_letter_set *set);
/* \d, \w, \s and, by their capitals, what is not in them. false: there is none for this letter. */
bool mmi_onnx_set_add_escape(struct onnx_letter_set *set, uint32_t letter);
/* [:alpha:] and so on, by the name between the colons. */
bool mmi_onnx_set_add_named(struct onnx_letter_set *set, const char *name, uint64_t bytes);

#endif
