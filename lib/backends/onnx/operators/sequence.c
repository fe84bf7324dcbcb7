/* SPDX-License-Identifier: Apache-2.0 */

/* Operators on sequences. */

#include <backends/onnx/graph/narrow.h>
#include <backends/onnx/operators/execution.h>
#include <base/status.h>

#include <inttypes.h>
#include <string.h>

static mm_status expect_sequence(const struct onnx_execution *x, uint32_t i, mm_error *err) {
    if (!mmi_onnx_is_given(x, i) || x->inputs[i].kind != MM_SEQUENCE) {
        return mmi_fail(err, MM_INVALID_MODEL, "its input %u is no sequence", i);
    }
    return MM_OK;
}

/* Input `i`, one of `count` places, counted from the start. Left out: *place as it is. */
static mm_status read_place(const struct onnx_execution *x, uint32_t i, uint64_t count,
                            int64_t *place, mm_error *err) {
    int64_t items = (int64_t)x->inputs[0].item_count;
    if (mmi_onnx_is_given(x, i)) {
        MMI_TRY(mmi_onnx_expect_number(x, i, "position", place, err));
    }
    int64_t given = *place;
    *place = given < 0 ? given + items : given;
    if (*place < 0 || *place >= (int64_t)count) {
        return mmi_fail(err, MM_INVALID_ARGUMENT, "position %" PRId64 " of a sequence of %" PRId64,
                        given, items);
    }
    return MM_OK;
}

/* ---- Items ----------------------------------------------------------------------------------- */

static mm_status execute_construct(struct onnx_execution *x, mm_error *err) {
    MMI_TRY(mmi_onnx_make_items(x->memory, MM_SEQUENCE, x->input_count, &x->outputs[0], err));
    for (uint32_t i = 0; i < x->input_count; i++) {
        x->outputs[0].items[i] = mmi_onnx_share_value(&x->inputs[i]);
    }
    return MM_OK;
}

static mm_status read_empty(const struct onnx_attributes *a, void *params, mm_error *err) {
    int64_t dtype; /* which makes no difference to a sequence without items */
    (void)params;
    return mmi_onnx_read_int(a, "dtype", MM_F32, &dtype, err);
}

static mm_status execute_empty(struct onnx_execution *x, mm_error *err) {
    return mmi_onnx_make_items(x->memory, MM_SEQUENCE, 0, &x->outputs[0], err);
}

static mm_status execute_at(struct onnx_execution *x, mm_error *err) {
    int64_t place = 0;
    MMI_TRY(expect_sequence(x, 0, err));
    MMI_TRY(read_place(x, 1, x->inputs[0].item_count, &place, err));
    x->outputs[0] = mmi_onnx_share_value(&x->inputs[0].items[place]);
    return MM_OK;
}

static mm_status execute_length(struct onnx_execution *x, mm_error *err) {
    MMI_TRY(expect_sequence(x, 0, err));
    MMI_TRY(mmi_onnx_make_tensor(x->memory, MM_I64, 0, NULL, &x->outputs[0], err));
    memcpy(mmi_onnx_value_data(&x->outputs[0]), &x->inputs[0].item_count, sizeof(int64_t));
    return MM_OK;
}

/* A copy of input 0 in which `change` (+1, -1) items stand at `place`. */
static mm_status change_items(const struct onnx_execution *x, uint64_t place, int change,
                              mm_error *err) {
    const struct onnx_run_value *from = &x->inputs[0];
    uint64_t count = change > 0 ? from->item_count + 1 : from->item_count - 1;
    MMI_TRY(mmi_onnx_make_items(x->memory, MM_SEQUENCE, count, &x->outputs[0], err));
    struct onnx_run_value *to = x->outputs[0].items;
    for (uint64_t i = 0; i < place; i++) {
        to[i] = mmi_onnx_share_value(&from->items[i]);
    }
    for (uint64_t i = place + (change < 0); i < from->item_count; i++) {
        to[change > 0 ? i + 1 : i - 1] = mmi_onnx_share_value(&from->items[i]);
    }
    return MM_OK;
}

static mm_status execute_insert(struct onnx_execution *x, mm_error *err) {
    MMI_TRY(expect_sequence(x, 0, err));
    uint64_t count = x->inputs[0].item_count;
    int64_t place = (int64_t)count;
    MMI_TRY(read_place(x, 2, count + 1, &place, err));
    MMI_TRY(change_items(x, (uint64_t)place, 1, err));
    x->outputs[0].items[place] = mmi_onnx_share_value(&x->inputs[1]);
    return MM_OK;
}

static mm_status execute_erase(struct onnx_execution *x, mm_error *err) {
    int64_t place = -1;
    MMI_TRY(expect_sequence(x, 0, err));
    MMI_TRY(read_place(x, 1, x->inputs[0].item_count, &place, err));
    return change_items(x, (uint64_t)place, -1, err);
}

#define OPERATOR(name_, inputs_least, inputs_most, read_, execute_)                                \
    const struct onnx_operator mmi_onnx_op_##name_ = {                                             \
        .name = #name_,                                                                            \
        .min_inputs = inputs_least,                                                                \
        .max_inputs = inputs_most,                                                                 \
        .min_outputs = 1,                                                                          \
        .max_outputs = 1,                                                                          \
        .read = read_,                                                                             \
        .execute = execute_,                                                                       \
    };

OPERATOR(SequenceConstruct, 1, ONNX_ANY_NUMBER, NULL, execute_construct)
OPERATOR(SequenceEmpty, 0, 0, read_empty, execute_empty)
OPERATOR(SequenceAt, 2, 2, NULL, execute_at)
OPERATOR(SequenceLength, 1, 1, NULL, execute_length)
OPERATOR(SequenceInsert, 2, 3, NULL, execute_insert)
OPERATOR(SequenceErase, 1, 2, NULL, execute_erase)

/* ---- Tensors to and from sequences ----------------------------------------------------------- */

struct sequence_axis {
    int64_t axis, keepdims, new_axis;
};

static mm_status read_split(const struct onnx_attributes *a, void *params, mm_error *err) {
    struct sequence_axis *p = params;
    MMI_TRY(mmi_onnx_read_int(a, "axis", 0, &p->axis, err));
    return mmi_onnx_read_int(a, "keepdims", 1, &p->keepdims, err);
}

static mm_status read_concat(const struct onnx_attributes *a, void *params, mm_error *err) {
    struct sequence_axis *p = params;
    MMI_TRY(mmi_onnx_read_int(a, "axis", 0, &p->axis, err));
    return mmi_onnx_read_int(a, "new_axis", 0, &p->new_axis, err);
}

static mm_status bad_axis(int64_t axis, uint32_t rank, mm_error *err) {
    return mmi_fail(err, MM_INVALID_MODEL, "axis %" PRId64 " of %u", axis, rank);
}

/* Rows from `at` on of a tensor seen as [outer, length, inner]. */
static void copy_rows(const struct onnx_tensor *from, uint32_t axis, uint64_t at,
                      const struct onnx_tensor *to, uint64_t count) {
    struct onnx_split split = mmi_onnx_split_at(from, axis);
    void *rows = (void *)(uintptr_t)to->data;
    if (mmi_onnx_packed_bits(from->dtype) && to->bytes > 0) {
        memset(rows, 0, to->bytes);
    }
    for (uint64_t outer = 0; outer < split.outer; outer++) {
        mmi_onnx_copy_elements(from->dtype, from->data, (outer * split.length + at) * split.inner,
                               rows, outer * count * split.inner, count * split.inner);
    }
}

/* How long part i is: *length. */
static mm_status part_length(const struct onnx_execution *x, uint64_t i, uint64_t left,
                             uint64_t *length, mm_error *err) {
    const struct onnx_tensor *split = &x->inputs[1].tensor;
    bool list = mmi_onnx_is_given(x, 1) && split->rank == 1;
    int64_t wanted = !mmi_onnx_is_given(x, 1) ? 1 : mmi_onnx_int_at(split, list ? i : 0);
    bool fits = wanted >= 0 && (!list || (uint64_t)wanted <= left);
    if (!fits || (wanted == 0 && !list)) {
        return mmi_fail(err, MM_INVALID_ARGUMENT,
                        "part %" PRIu64 " of %" PRId64 " of %" PRIu64 " left", i, wanted, left);
    }
    *length = (uint64_t)wanted < left ? (uint64_t)wanted : left;
    return MM_OK;
}

static mm_status count_parts(const struct onnx_execution *x, uint64_t length, uint64_t *count,
                             mm_error *err) {
    *count = length;
    if (!mmi_onnx_is_given(x, 1)) {
        return MM_OK;
    }
    MMI_TRY(mmi_onnx_expect_tensor(x, 1, "split", MM_DTYPE_NONE, -1, err));
    const struct onnx_tensor *split = &x->inputs[1].tensor;
    if ((split->dtype != MM_I64 && split->dtype != MM_I32) || split->rank > 1) {
        return mmi_fail(err, MM_INVALID_MODEL, "its split is %s of %u axes, i32 or i64 wanted",
                        mm_dtype_text(split->dtype), split->rank);
    }
    if (split->rank == 1) {
        *count = split->elements;
        return MM_OK;
    }
    int64_t each = mmi_onnx_int_at(split, 0);
    *count = each > 0 ? (length + (uint64_t)each - 1) / (uint64_t)each : 1; /* refused later */
    return MM_OK;
}

static mm_status execute_split(struct onnx_execution *x, mm_error *err) {
    const struct sequence_axis *p = x->params;
    uint32_t axis;
    MMI_TRY(mmi_onnx_expect_tensor(x, 0, "input", MM_DTYPE_NONE, -1, err));
    const struct onnx_tensor *input = &x->inputs[0].tensor;
    if (!mmi_onnx_axis(p->axis, input->rank, &axis)) {
        return bad_axis(p->axis, input->rank, err);
    }
    uint64_t left = (uint64_t)input->shape[axis], at = 0, count;
    bool drop = !p->keepdims && !mmi_onnx_is_given(x, 1);
    MMI_TRY(count_parts(x, left, &count, err));
    MMI_TRY(mmi_onnx_make_items(x->memory, MM_SEQUENCE, count, &x->outputs[0], err));
    for (uint64_t i = 0; i < count; i++) {
        uint64_t length = 0;
        int64_t shape[MM_MAX_RANK];
        memcpy(shape, input->shape, sizeof(shape));
        MMI_TRY(part_length(x, i, left, &length, err));
        shape[axis] = (int64_t)length;
        if (drop) {
            memmove(shape + axis, shape + axis + 1, (input->rank - 1 - axis) * sizeof(*shape));
        }
        struct onnx_run_value *item = &x->outputs[0].items[i];
        MMI_TRY(
            mmi_onnx_make_tensor(x->memory, input->dtype, input->rank - drop, shape, item, err));
        copy_rows(input, axis, at, &item->tensor, length);
        at += length;
        left -= length;
    }
    return left == 0
               ? MM_OK
               : mmi_fail(err, MM_INVALID_ARGUMENT, "%" PRIu64 " are left after all parts", left);
}

/* Item i of a sequence of tensors: of the type, and but for the axis the shape, of the first. */
static mm_status check_item(const struct onnx_execution *x, uint64_t i, uint32_t axis, bool new,
                            mm_error *err) {
    const struct onnx_run_value *items = x->inputs[0].items;
    const struct onnx_tensor *a = &items[0].tensor, *b = &items[i].tensor;
    bool same = items[i].kind == MM_TENSOR && a->dtype == b->dtype && a->rank == b->rank;
    for (uint32_t j = 0; j < a->rank && same; j++) {
        same = a->shape[j] == b->shape[j] || (j == axis && !new);
    }
    return same ? MM_OK
                : mmi_fail(err, MM_INVALID_ARGUMENT, "item %" PRIu64 " does not fit the first", i);
}

static void join(const struct onnx_run_value *from, uint32_t axis, struct onnx_run_value *made) {
    const struct onnx_tensor *to = &made->tensor;
    struct onnx_split split = mmi_onnx_split_at(to, axis);
    if (mmi_onnx_packed_bits(to->dtype) && to->bytes > 0) {
        memset(mmi_onnx_value_data(made), 0, to->bytes);
    }
    uint64_t at = 0;
    for (uint64_t i = 0; i < from->item_count; i++) {
        const struct onnx_tensor *item = &from->items[i].tensor;
        uint64_t elements = split.outer > 0 ? item->elements / split.outer : 0;
        for (uint64_t outer = 0; outer < split.outer; outer++) {
            mmi_onnx_copy_elements(to->dtype, item->data, outer * elements,
                                   mmi_onnx_value_data(made),
                                   outer * split.length * split.inner + at, elements);
        }
        at += elements;
    }
}

static mm_status execute_concat(struct onnx_execution *x, mm_error *err) {
    const struct sequence_axis *p = x->params;
    MMI_TRY(expect_sequence(x, 0, err));
    const struct onnx_run_value *from = &x->inputs[0];
    if (from->item_count == 0 || from->items[0].kind != MM_TENSOR) {
        return mmi_fail(err, MM_INVALID_ARGUMENT, "a sequence without tensors");
    }
    bool new = p->new_axis != 0;
    uint32_t rank = from->items[0].tensor.rank + new, axis;
    if (rank > MM_MAX_RANK || !mmi_onnx_axis(p->axis, rank, &axis)) {
        return bad_axis(p->axis, rank, err);
    }
    int64_t shape[MM_MAX_RANK] = {0};
    memcpy(shape, from->items[0].tensor.shape, (rank - new) * sizeof(*shape));
    if (new) {
        memmove(shape + axis + 1, shape + axis, (rank - 1 - axis) * sizeof(*shape));
    }
    shape[axis] = 0;
    for (uint64_t i = 0; i < from->item_count; i++) {
        MMI_TRY(check_item(x, i, axis, new, err));
        shape[axis] += new ? 1 : from->items[i].tensor.shape[axis];
    }
    struct onnx_run_value *made = &x->outputs[0];
    MMI_TRY(mmi_onnx_make_tensor(x->memory, from->items[0].tensor.dtype, rank, shape, made, err));
    join(from, axis, made);
    return MM_OK;
}

const struct onnx_operator mmi_onnx_op_SplitToSequence = {
    .name = "SplitToSequence",
    .min_inputs = 1,
    .max_inputs = 2,
    .min_outputs = 1,
    .max_outputs = 1,
    .params_bytes = sizeof(struct sequence_axis),
    .read = read_split,
    .execute = execute_split,
};

const struct onnx_operator mmi_onnx_op_ConcatFromSequence = {
    .name = "ConcatFromSequence",
    .min_inputs = 1,
    .max_inputs = 1,
    .min_outputs = 1,
    .max_outputs = 1,
    .params_bytes = sizeof(struct sequence_axis),
    .read = read_concat,
    .execute = execute_concat,
};

/* ---- Optionals ------------------------------------------------------------------------------- */

static mm_status read_optional(const struct onnx_attributes *a, void *params, mm_error *err) {
    (void)params;
    (void)err;
    (void)mmi_onnx_attribute(a, "type"); /* of what is not there */
    return MM_OK;
}

static mm_status execute_optional(struct onnx_execution *x, mm_error *err) {
    bool given = mmi_onnx_is_given(x, 0);
    MMI_TRY(mmi_onnx_make_items(x->memory, MM_OPTIONAL, given, &x->outputs[0], err));
    if (given) {
        x->outputs[0].items[0] = mmi_onnx_share_value(&x->inputs[0]);
    }
    return MM_OK;
}

static bool has_element(const struct onnx_execution *x) {
    return mmi_onnx_is_given(x, 0) &&
           (x->inputs[0].kind != MM_OPTIONAL || x->inputs[0].item_count > 0);
}

static mm_status execute_get(struct onnx_execution *x, mm_error *err) {
    if (!has_element(x)) {
        return mmi_fail(err, MM_INVALID_ARGUMENT, "an optional without an element");
    }
    bool optional = x->inputs[0].kind == MM_OPTIONAL;
    x->outputs[0] = mmi_onnx_share_value(optional ? &x->inputs[0].items[0] : &x->inputs[0]);
    return MM_OK;
}

static mm_status execute_has(struct onnx_execution *x, mm_error *err) {
    MMI_TRY(mmi_onnx_make_tensor(x->memory, MM_BOOL, 0, NULL, &x->outputs[0], err));
    *(uint8_t *)mmi_onnx_value_data(&x->outputs[0]) = has_element(x);
    return MM_OK;
}

OPERATOR(Optional, 0, 1, read_optional, execute_optional)
OPERATOR(OptionalGetElement, 1, 1, NULL, execute_get)
OPERATOR(OptionalHasElement, 0, 1, NULL, execute_has)

/* ---- SequenceMap ----------------------------------------------------------------------------- */

static mm_status check_map(const struct onnx_node *node, mm_error *err) {
    const struct onnx_graph *graph = node->graphs[0];
    if (graph->input_count != node->input_count || graph->output_count != node->output_count) {
        return mmi_fail(err, MM_INVALID_MODEL,
                        "body has %u inputs and %u outputs, %u and %u wanted", graph->input_count,
                        graph->output_count, node->input_count, node->output_count);
    }
    return MM_OK;
}

/* One item of each sequence, and each tensor as it is. */
static mm_status map_item(struct onnx_execution *x, uint64_t i, struct onnx_run_value *values,
                          mm_error *err) {
    for (uint32_t j = 0; j < x->input_count; j++) {
        const struct onnx_run_value *input = &x->inputs[j];
        if (input->kind == MM_SEQUENCE && i >= input->item_count) {
            return mmi_fail(err, MM_INVALID_ARGUMENT, "input %u has %" PRIu64 " items", j,
                            input->item_count);
        }
        values[j] = mmi_onnx_share_value(input->kind == MM_SEQUENCE ? &input->items[i] : input);
    }
    struct onnx_run_value *made = values + x->input_count;
    MMI_TRY(x->call(x->ctx, x->node->graphs[0], values, made, err));
    for (uint32_t j = 0; j < x->output_count; j++) {
        x->outputs[j].items[i] = made[j];
        made[j] = (struct onnx_run_value){0};
    }
    return MM_OK;
}

static mm_status execute_map(struct onnx_execution *x, mm_error *err) {
    MMI_TRY(expect_sequence(x, 0, err));
    uint64_t count = x->inputs[0].item_count;
    uint64_t bytes = ((uint64_t)x->input_count + x->output_count) * sizeof(struct onnx_run_value);
    for (uint32_t j = 0; j < x->output_count; j++) {
        MMI_TRY(mmi_onnx_make_items(x->memory, MM_SEQUENCE, count, &x->outputs[j], err));
    }
    struct onnx_run_block *block = mmi_onnx_block_take(x->memory, bytes);
    if (!block) {
        return mmi_fail(err, MM_NO_ROOM_FOR_ACTIVATIONS, "no room for its items");
    }
    memset(mmi_onnx_block_data(block), 0, bytes);
    for (uint64_t i = 0; i < count; i++) {
        MMI_TRY(map_item(x, i, mmi_onnx_block_data(block), err));
    }
    mmi_onnx_block_drop(x->memory, block);
    return MM_OK;
}

const struct onnx_operator mmi_onnx_op_SequenceMap = {
    .name = "SequenceMap",
    .min_inputs = 1,
    .max_inputs = ONNX_ANY_NUMBER,
    .min_outputs = 1,
    .max_outputs = ONNX_ANY_NUMBER,
    .execute = execute_map,
    .graphs = {"body"},
    .check_graphs = check_map,
};
