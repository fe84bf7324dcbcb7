/* SPDX-License-Identifier: Apache-2.0 */

/* StringNormalizer: leaves words out and changes the case of the others. The attribute locale makes
 * no difference: letters.h has the case of letters, which is that of nearly all locales. */

#include <backends/onnx/operators/execution.h>
#include <backends/onnx/operators/letters.h>
#include <backends/onnx/operators/lookup.h>
#include <base/checked.h>
#include <base/status.h>

#include <inttypes.h>
#include <string.h>

enum letter_case { AS_IT_IS, LOWER, UPPER };

struct normalizer {
    int32_t to;        /* enum letter_case */
    int32_t sensitive; /* words to leave out are compared as they are */
};

static mm_status read_normalizer(const struct onnx_attributes *a, void *params, mm_error *err) {
    static const char *const cases[] = {"NONE", "LOWER", "UPPER", NULL};
    struct normalizer *p = params;
    (void)mmi_onnx_attribute(a, "locale");
    MMI_TRY(mmi_onnx_read_choice(a, "case_change_action", cases, &p->to, err));
    return mmi_onnx_read_flag(a, "is_case_sensitive", false, &p->sensitive, err);
}

/* The text in another case, at `to`, which has room for as many bytes: no letter's other case has
 * more bytes than it. */
static struct onnx_string change(struct onnx_string text, enum letter_case wanted, char *to) {
    const char *at = text.at, *end = text.bytes > 0 ? text.at + text.bytes : text.at;
    char *begin = to;
    while (at != end) {
        const char *from = at;
        uint32_t letter = mmi_onnx_next_letter(&at, end);
        if (letter == ONNX_NO_LETTER) {
            *to++ = *from;
            continue;
        }
        to += mmi_onnx_put_letter(wanted == LOWER ? mmi_onnx_lower(letter) : mmi_onnx_upper(letter),
                                  to);
    }
    return (struct onnx_string){begin, (uint64_t)(to - begin)};
}

static mm_status arrange_normalizer(struct onnx_lists *lists, void *params, mm_error *err) {
    const struct normalizer *p = params;
    struct onnx_tensor *words = &lists->at[0], places;
    if (words->dtype == MM_DTYPE_NONE) {
        return MM_OK;
    }
    struct onnx_string *small = mmi_onnx_take_data(lists->arena, words->bytes);
    for (uint64_t i = 0; small && i < words->elements; i++) {
        small[i] = ((const struct onnx_string *)words->data)[i];
        char *to = p->sensitive ? NULL : mmi_onnx_take_data(lists->arena, small[i].bytes);
        if (!p->sensitive && !to) {
            small = NULL;
            break;
        }
        small[i] = p->sensitive ? small[i] : change(small[i], LOWER, to);
    }
    if (!small) {
        return mmi_fail(err, MM_NO_MEMORY, "no memory for its words");
    }
    words->data = small;
    return mmi_onnx_sort_keys(lists->arena, words, words, &places, err);
}

/* Input text to output text in room for as many bytes; false: the word is left out. */
static bool normalize(const struct normalizer *p, const struct onnx_tensor *stops,
                      struct onnx_string *text, char *room) {
    if (stops) {
        struct onnx_string word = p->sensitive ? *text : change(*text, LOWER, room);
        if (mmi_onnx_find_sorted(stops, &word) >= 0) {
            return false;
        }
    }
    *text = p->to == AS_IT_IS ? *text : change(*text, (enum letter_case)p->to, room);
    return true;
}

static mm_status execute_normalizer(struct onnx_execution *x, mm_error *err) {
    MMI_TRY(mmi_onnx_expect_tensor(x, 0, "input", MM_STRING, -1, err));
    const struct onnx_tensor *input = &x->inputs[0].tensor;
    const struct onnx_tensor *stops = mmi_onnx_is_given(x, 1) ? &x->inputs[1].tensor : NULL;
    if (input->rank < 1 || input->rank > 2 || (input->rank == 2 && input->shape[0] != 1)) {
        return mmi_fail(err, MM_INVALID_ARGUMENT, "its input has %u axes, [C] or [1, C] wanted",
                        input->rank);
    }
    uint64_t bytes = 0, count = 0;
    struct onnx_run_block *block = mmi_onnx_block_take(x->memory, input->bytes);
    for (uint64_t i = 0; i < input->elements; i++) {
        bytes = mmi_add_cap(bytes, ((const struct onnx_string *)input->data)[i].bytes);
    }
    char *room = mmi_onnx_take_text_memory(x->memory, bytes);
    if (!block || !room) {
        return mmi_fail(err, MM_NO_ROOM_FOR_ACTIVATIONS, "no room for %" PRIu64 " bytes of text",
                        bytes);
    }
    struct onnx_string *kept = mmi_onnx_block_data(block);
    for (uint64_t i = 0; i < input->elements; i++) {
        struct onnx_string text = ((const struct onnx_string *)input->data)[i];
        uint64_t most = text.bytes;
        if (normalize(x->params, stops, &text, room)) {
            kept[count++] = text;
            room += most;
        }
    }
    if (count == 0) {
        kept[count++] = (struct onnx_string){"", 0};
    }
    const int64_t shape[2] = {input->rank == 2 ? 1 : (int64_t)count, (int64_t)count};
    MMI_TRY(mmi_onnx_make_tensor(x->memory, MM_STRING, input->rank, shape, &x->outputs[0], err));
    memcpy(mmi_onnx_value_data(&x->outputs[0]), kept, count * sizeof(*kept));
    mmi_onnx_block_drop(x->memory, block);
    return MM_OK;
}

static const struct onnx_list normalizer_lists[] = {{.name = "stopwords", .dtype = MM_STRING}, {0}};
const struct onnx_operator mmi_onnx_op_StringNormalizer = {
    .name = "StringNormalizer",
    .min_inputs = 1,
    .max_inputs = 1,
    .min_outputs = 1,
    .max_outputs = 1,
    .params_bytes = sizeof(struct normalizer),
    .limits = ONNX_LIMITS(ONNX_BETWEEN("case_change_action", struct normalizer, to, 0, 2)),
    .read = read_normalizer,
    .lists = normalizer_lists,
    .arrange = arrange_normalizer,
    .execute = execute_normalizer,
};
