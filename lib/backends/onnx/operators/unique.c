/* SPDX-License-Identifier: Apache-2.0 */

/* Unique: sorts the items, elements or slices along an axis, and keeps the first of equal ones. */

#include <backends/onnx/operators/execution.h>
#include <backends/onnx/operators/lookup.h>
#include <backends/onnx/operators/number.h>
#include <base/status.h>

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct unique {
    int64_t axis, sorted;
    int64_t flat;  /* without an axis */
    int32_t brief; /* of com.microsoft: no first items come out */
};

static mm_status read_unique(const struct onnx_attributes *a, void *params, mm_error *err) {
    struct unique *unique = params;
    unique->flat = !mmi_onnx_attribute(a, "axis");
    MMI_TRY(mmi_onnx_read_int(a, "axis", 0, &unique->axis, err));
    return mmi_onnx_read_int(a, "sorted", 1, &unique->sorted, err);
}

static mm_status read_brief(const struct onnx_attributes *a, void *params, mm_error *err) {
    (void)a;
    (void)err;
    *(struct unique *)params = (struct unique){.flat = 1, .brief = 1};
    return MM_OK;
}

/* The tensor as [outer, length, inner]; item i is all of [:, i, :]. */
struct items {
    const struct onnx_tensor *tensor;
    struct onnx_split split;
};

static int compare_elements(const struct onnx_tensor *tensor, uint64_t a, uint64_t b) {
    if (tensor->dtype == MM_STRING) {
        const struct onnx_string *strings = tensor->data;
        return mmi_onnx_compare_strings(&strings[a], &strings[b]);
    }
    if (ONNX_FLOATS >> tensor->dtype & 1) {
        return mmi_onnx_compare_floats(mmi_onnx_float_at(tensor, a), mmi_onnx_float_at(tensor, b));
    }
    int64_t x = mmi_onnx_int_at(tensor, a), y = mmi_onnx_int_at(tensor, b);
    if (tensor->dtype == MM_U64) {
        return ((uint64_t)x > (uint64_t)y) - ((uint64_t)x < (uint64_t)y);
    }
    return (x > y) - (x < y);
}

static int compare_items(const struct items *items, uint64_t a, uint64_t b) {
    const struct onnx_split *split = &items->split;
    int order = 0;
    for (uint64_t outer = 0; outer < split->outer && !order; outer++) {
        uint64_t row = outer * split->length;
        for (uint64_t i = 0; i < split->inner && !order; i++) {
            order = compare_elements(items->tensor, (row + a) * split->inner + i,
                                     (row + b) * split->inner + i);
        }
    }
    return order;
}

static int by_item(const void *a_, const void *b_, void *items) {
    int64_t a = *(const int64_t *)a_, b = *(const int64_t *)b_;
    int order = compare_items(items, (uint64_t)a, (uint64_t)b);
    return order ? order : (a > b) - (a < b); /* equal ones as they come */
}

static int by_number(const void *a_, const void *b_) {
    int64_t a = *(const int64_t *)a_, b = *(const int64_t *)b_;
    return (a > b) - (a < b);
}

/* What is found out about `length` items, an array each. */
struct found {
    int64_t *order;   /* all items, equal ones together */
    int64_t *first;   /* [count]: the first item of each kind */
    int64_t *kind_of; /* of each item */
    int64_t *amount;  /* [count] */
    int64_t count;
};

/* Kinds in the order of their first items instead of that of the elements. */
static void order_by_first(struct found *found, uint64_t length) {
    int64_t *place = found->order; /* of the kind that item i is the first of; not needed else */
    qsort(found->first, (size_t)found->count, sizeof(int64_t), by_number);
    for (int64_t kind = 0; kind < found->count; kind++) {
        place[found->first[kind]] = kind;
    }
    memset(found->amount, 0, (size_t)found->count * sizeof(int64_t));
    for (uint64_t i = 0; i < length; i++) {
        found->kind_of[i] = place[found->kind_of[i]]; /* which was its first item */
        found->amount[found->kind_of[i]]++;
    }
}

static void find_kinds(struct items *items, bool sorted, struct found *found) {
    uint64_t length = items->split.length;
    for (uint64_t i = 0; i < length; i++) {
        found->order[i] = (int64_t)i;
    }
    qsort_r(found->order, length, sizeof(int64_t), by_item, items);
    for (uint64_t i = 0; i < length; i++) {
        uint64_t item = (uint64_t)found->order[i];
        bool new = i == 0 || compare_items(items, (uint64_t)found->order[i - 1], item) != 0;
        if (new) {
            found->first[found->count] = (int64_t)item;
            found->amount[found->count++] = 0;
        }
        found->amount[found->count - 1]++;
        found->kind_of[item] = sorted ? found->count - 1 : found->first[found->count - 1];
    }
    if (!sorted) {
        order_by_first(found, length);
    }
}

static mm_status give_items(const struct onnx_execution *x, const struct items *items,
                            uint32_t axis, const struct found *found, mm_error *err) {
    const struct onnx_tensor *tensor = items->tensor;
    int64_t shape[MM_MAX_RANK];
    memcpy(shape, tensor->shape, sizeof(shape));
    shape[axis] = found->count;
    MMI_TRY(
        mmi_onnx_make_tensor(x->memory, tensor->dtype, tensor->rank, shape, &x->outputs[0], err));
    uint64_t bytes = items->split.inner * mmi_onnx_element_bytes(tensor->dtype);
    const uint8_t *from = tensor->data;
    uint8_t *to = mmi_onnx_value_data(&x->outputs[0]);
    for (uint64_t outer = 0; outer < items->split.outer; outer++) {
        for (int64_t kind = 0; kind < found->count; kind++, to += bytes) {
            uint64_t item = outer * items->split.length + (uint64_t)found->first[kind];
            memcpy(to, from + item * bytes, bytes);
        }
    }
    return MM_OK;
}

static mm_status give_numbers(const struct onnx_execution *x, uint32_t output,
                              const int64_t *numbers, int64_t count, mm_error *err) {
    if (output >= x->output_count) {
        return MM_OK;
    }
    MMI_TRY(mmi_onnx_make_tensor(x->memory, MM_I64, 1, &count, &x->outputs[output], err));
    if (count > 0) {
        memcpy(mmi_onnx_value_data(&x->outputs[output]), numbers, (size_t)count * sizeof(*numbers));
    }
    return MM_OK;
}

static mm_status give_all(const struct onnx_execution *x, struct items *items, uint32_t axis,
                          struct found *found, mm_error *err) {
    const struct unique *unique = x->params;
    find_kinds(items, unique->sorted != 0, found);
    MMI_TRY(give_items(x, items, axis, found, err));
    const uint32_t next = unique->brief ? 1 : 2;
    if (!unique->brief) {
        MMI_TRY(give_numbers(x, 1, found->first, found->count, err));
    }
    MMI_TRY(give_numbers(x, next, found->kind_of, (int64_t)items->split.length, err));
    return give_numbers(x, next + 1, found->amount, found->count, err);
}

static mm_status execute_unique(struct onnx_execution *x, mm_error *err) {
    const struct unique *unique = x->params;
    MMI_TRY(mmi_onnx_expect_tensor(x, 0, "input", MM_DTYPE_NONE, -1, err));
    struct onnx_tensor input = x->inputs[0].tensor;
    uint32_t axis = 0;
    uint32_t types = ONNX_REALS | ONNX_BOOL | ONNX_TYPE(MM_STRING);
    if (!(types >> input.dtype & 1)) {
        return mmi_fail(err, MM_UNSUPPORTED, "its input is %s", mm_dtype_text(input.dtype));
    }
    if (unique->brief && input.rank != 1) {
        return mmi_fail(err, MM_INVALID_MODEL, "its input has %u axes, 1 wanted", input.rank);
    }
    if (unique->flat) {
        input.rank = 1;
        input.shape[0] = (int64_t)input.elements;
    } else if (!mmi_onnx_axis(unique->axis, input.rank, &axis)) {
        return mmi_fail(err, MM_INVALID_MODEL, "axis %" PRId64 " of %u", unique->axis, input.rank);
    }
    struct items items = {&input, mmi_onnx_split_at(&input, axis)};
    uint64_t length = items.split.length;
    struct onnx_run_block *block =
        length < PTRDIFF_MAX / 64 ? mmi_onnx_block_take(x->memory, 4 * length * sizeof(int64_t))
                                  : NULL;
    if (!block) {
        return mmi_fail(err, MM_NO_ROOM_FOR_ACTIVATIONS, "no room to sort %" PRIu64 " items",
                        length);
    }
    int64_t *numbers = mmi_onnx_block_data(block);
    struct found found = {numbers, numbers + length, numbers + 2 * length, numbers + 3 * length, 0};
    mm_status status = give_all(x, &items, axis, &found, err);
    mmi_onnx_block_drop(x->memory, block);
    return status;
}

const struct onnx_operator mmi_onnx_op_Unique = {
    .name = "Unique",
    .min_inputs = 1,
    .max_inputs = 1,
    .min_outputs = 1,
    .max_outputs = 4,
    .params_bytes = sizeof(struct unique),
    .read = read_unique,
    .execute = execute_unique,
};

const struct onnx_operator mmi_onnx_op_MsUnique = {
    .name = "Unique",
    .domain = ONNX_MICROSOFT,
    .min_inputs = 1,
    .max_inputs = 1,
    .min_outputs = 1,
    .max_outputs = 3,
    .params_bytes = sizeof(struct unique),
    .read = read_brief,
    .execute = execute_unique,
};
