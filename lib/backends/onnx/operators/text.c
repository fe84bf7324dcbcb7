/* SPDX-License-Identifier: Apache-2.0 */

/* StringConcat and StringSplit. */

#include <backends/onnx/operators/each.h>
#include <backends/onnx/operators/execution.h>
#include <base/checked.h>
#include <base/status.h>

#include <inttypes.h>
#include <string.h>

static mm_status no_room(uint64_t bytes, mm_error *err) {
    return mmi_fail(err, MM_NO_ROOM_FOR_ACTIVATIONS, "no room for %" PRIu64 " bytes of text",
                    bytes);
}

/* ---- StringConcat ---------------------------------------------------------------------------- */

static void append(char **to, const struct onnx_string *part) {
    if (part->bytes > 0) {
        memcpy(*to, part->at, part->bytes);
        *to += part->bytes;
    }
}

static mm_status execute_concat(struct onnx_execution *x, mm_error *err) {
    MMI_TRY(mmi_onnx_expect_tensor(x, 0, "first input", MM_STRING, -1, err));
    MMI_TRY(mmi_onnx_expect_tensor(x, 1, "second input", MM_STRING, -1, err));
    const struct onnx_tensor inputs[2] = {x->inputs[0].tensor, x->inputs[1].tensor};
    struct onnx_tensor shape;
    if (!mmi_onnx_broadcast(inputs[0].rank, inputs[0].shape, inputs[1].rank, inputs[1].shape,
                            &shape)) {
        return mmi_fail(err, MM_INVALID_MODEL, "the shapes of its inputs do not fit");
    }
    struct onnx_run_value *made = &x->outputs[0];
    MMI_TRY(mmi_onnx_make_tensor(x->memory, MM_STRING, shape.rank, shape.shape, made, err));
    const struct onnx_string *a = inputs[0].data, *b = inputs[1].data;
    struct onnx_string *to = mmi_onnx_value_data(made);
    struct onnx_each each;
    uint64_t bytes = 0;
    mmi_onnx_each_set(&each, &made->tensor, inputs, 2);
    for (uint64_t i = 0; i < made->tensor.elements; i++, mmi_onnx_each_next(&each)) {
        bytes = mmi_add_cap(bytes, mmi_add_cap(a[each.at[0]].bytes, b[each.at[1]].bytes));
    }
    char *text = mmi_onnx_take_text_memory(x->memory, bytes);
    if (!text) {
        return no_room(bytes, err);
    }
    mmi_onnx_each_set(&each, &made->tensor, inputs, 2);
    for (uint64_t i = 0; i < made->tensor.elements; i++, mmi_onnx_each_next(&each)) {
        char *begin = text;
        append(&text, &a[each.at[0]]);
        append(&text, &b[each.at[1]]);
        to[i] = (struct onnx_string){begin, (uint64_t)(text - begin)};
    }
    return MM_OK;
}

const struct onnx_operator mmi_onnx_op_StringConcat = {
    .name = "StringConcat",
    .min_inputs = 2,
    .max_inputs = 2,
    .min_outputs = 1,
    .max_outputs = 1,
    .execute = execute_concat,
};

/* ---- StringSplit ----------------------------------------------------------------------------- */

struct split {
    int64_t most; /* splits; negative: any number */
};

static mm_status read_split(const struct onnx_attributes *a, void *params, mm_error *err) {
    return mmi_onnx_read_int(a, "maxsplit", -1, &((struct split *)params)->most, err);
}

static bool is_space(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static void skip_spaces(struct onnx_string *rest) {
    while (rest->bytes > 0 && is_space(*rest->at)) {
        rest->at++;
        rest->bytes--;
    }
}

/* What is before the next delimiter goes to *part, what is behind it stays in *rest. false: there
 * is no delimiter; the part is all of the rest. */
static bool take_part(struct onnx_string *rest, struct onnx_string delimiter,
                      struct onnx_string *part) {
    const char *at = NULL;
    for (uint64_t i = 0; delimiter.bytes == 0 && i < rest->bytes && !at; i++) {
        at = is_space(rest->at[i]) ? rest->at + i : NULL;
    }
    if (delimiter.bytes > 0 && rest->bytes > 0) {
        at = memmem(rest->at, rest->bytes, delimiter.at, delimiter.bytes);
    }
    *part = *rest;
    if (!at) {
        return false;
    }
    uint64_t skipped = (uint64_t)(at - rest->at) + (delimiter.bytes > 0 ? delimiter.bytes : 1);
    part->bytes = (uint64_t)(at - rest->at);
    rest->at += skipped;
    rest->bytes -= skipped;
    return true;
}

/* How many parts a text has; to: where they go, or NULL. */
static int64_t split(struct onnx_string rest, struct onnx_string delimiter, int64_t most,
                     struct onnx_string *to) {
    int64_t count = 0;
    struct onnx_string part;
    for (bool more = true; more; count++) {
        if (delimiter.bytes == 0) {
            skip_spaces(&rest);
            if (rest.bytes == 0) {
                return count;
            }
        }
        part = rest;
        more = count != most && take_part(&rest, delimiter, &part);
        if (to) {
            to[count] = part;
        }
    }
    return count;
}

static mm_status execute_split(struct onnx_execution *x, mm_error *err) {
    int64_t most = ((const struct split *)x->params)->most, widest = 0;
    MMI_TRY(mmi_onnx_expect_tensor(x, 0, "input", MM_STRING, -1, err));
    struct onnx_tensor shape = x->inputs[0].tensor;
    struct onnx_string delimiter = {"", 0};
    if (mmi_onnx_is_given(x, 1)) {
        MMI_TRY(mmi_onnx_expect_tensor(x, 1, "delimiter", MM_STRING, 0, err));
        delimiter = *(const struct onnx_string *)x->inputs[1].tensor.data;
    }
    if (shape.rank >= MM_MAX_RANK) {
        return mmi_fail(err, MM_UNSUPPORTED, "an input of %u axes", shape.rank);
    }
    MMI_TRY(mmi_onnx_make_tensor(x->memory, MM_I64, shape.rank, shape.shape, &x->outputs[1], err));
    const struct onnx_string *texts = shape.data;
    int64_t *counts = mmi_onnx_value_data(&x->outputs[1]);
    for (uint64_t i = 0; i < shape.elements; i++) {
        counts[i] = split(texts[i], delimiter, most, NULL);
        widest = counts[i] > widest ? counts[i] : widest;
    }
    shape.shape[shape.rank] = widest;
    MMI_TRY(mmi_onnx_make_tensor(x->memory, MM_STRING, shape.rank + 1, shape.shape, &x->outputs[0],
                                 err));
    struct onnx_string *to = mmi_onnx_value_data(&x->outputs[0]);
    for (uint64_t i = 0; i < x->outputs[0].tensor.elements; i++) {
        to[i] = (struct onnx_string){"", 0};
    }
    for (uint64_t i = 0; i < shape.elements; i++, to += widest) {
        split(texts[i], delimiter, most, to);
    }
    return MM_OK;
}

static const struct onnx_list split_lists[] = {
    {.name = "delimiter", .dtype = MM_STRING, .single = true}, {0}};
const struct onnx_operator mmi_onnx_op_StringSplit = {
    .name = "StringSplit",
    .min_inputs = 1,
    .max_inputs = 1,
    .min_outputs = 2,
    .max_outputs = 2,
    .params_bytes = sizeof(struct split),
    .read = read_split,
    .lists = split_lists,
    .execute = execute_split,
};
