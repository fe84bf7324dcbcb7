/* SPDX-License-Identifier: Apache-2.0 */

/* Parts of a tensor, and tensors as parts of one: Slice, Split, Concat. */

#include <backends/onnx/operators/move.h>
#include <base/status.h>

#include <inttypes.h>

/* ---- Slice ----------------------------------------------------------------------------------- */

/* Of each axis of the input: where it begins, and how it goes on. */
struct slice {
    int64_t start[MM_MAX_RANK], step[MM_MAX_RANK], count[MM_MAX_RANK];
};

/* One axis as ONNX says: negative numbers count from the end, those beyond are clamped. */
static int64_t clamp_place(int64_t place, int64_t length, int64_t min, int64_t max) {
    place = place < 0 ? place + length : place;
    place = place < min ? min : place;
    return place > max ? max : place;
}

static void slice_axis(struct slice *slice, uint32_t axis, int64_t length, int64_t end) {
    bool up = slice->step[axis] > 0;
    uint64_t step = up ? (uint64_t)slice->step[axis] : -(uint64_t)slice->step[axis];
    int64_t start = clamp_place(slice->start[axis], length, 0, up ? length : length - 1);
    end = clamp_place(end, length, up ? 0 : -1, up ? length : length - 1);
    int64_t way = up ? end - start : start - end;
    slice->start[axis] = start;
    slice->count[axis] = way > 0 ? (int64_t)(((uint64_t)way - 1) / step + 1) : 0;
}

/* Inputs: data, starts, ends, axes, steps; the last two may be left out. */
static mm_status place_slice(const struct onnx_inference *x, struct slice *slice, mm_error *err) {
    const struct onnx_tensor *data = &x->inputs[0];
    struct onnx_ints starts, ends, axes = {.count = 0}, steps = {.count = 0};
    uint32_t seen = 0;
    MMI_TRY(mmi_onnx_known_ints(x, 1, "starts", &starts, err));
    MMI_TRY(mmi_onnx_known_ints(x, 2, "ends", &ends, err));
    bool has_axes = mmi_onnx_has(x, 3), has_steps = mmi_onnx_has(x, 4);
    if (has_axes) {
        MMI_TRY(mmi_onnx_known_ints(x, 3, "axes", &axes, err));
    }
    if (has_steps) {
        MMI_TRY(mmi_onnx_known_ints(x, 4, "steps", &steps, err));
    }
    bool even = ends.count == starts.count && (!has_axes || axes.count == starts.count) &&
                (!has_steps || steps.count == starts.count);
    if (!even || starts.count > data->rank) {
        return mmi_fail(err, MM_INVALID_MODEL, "%u starts, %u ends, %u axes, %u steps for %u axes",
                        starts.count, ends.count, axes.count, steps.count, data->rank);
    }
    for (uint32_t i = 0; i < data->rank; i++) {
        slice->start[i] = 0;
        slice->step[i] = 1;
        slice->count[i] = data->shape[i];
    }
    for (uint32_t i = 0; i < starts.count; i++) {
        uint32_t axis;
        MMI_TRY(mmi_onnx_check_axis(has_axes ? axes.at[i] : i, data->rank, &axis, err));
        slice->start[axis] = starts.at[i];
        slice->step[axis] = has_steps ? steps.at[i] : 1;
        if (slice->step[axis] == 0 || seen & 1u << axis) {
            return mmi_fail(err, MM_INVALID_MODEL, "axis %u is sliced %s", axis,
                            slice->step[axis] == 0 ? "in steps of 0" : "twice");
        }
        seen |= 1u << axis;
        slice_axis(slice, axis, data->shape[axis], ends.at[i]);
    }
    return MM_OK;
}

static mm_status infer_slice(struct onnx_inference *x, mm_error *err) {
    struct slice slice;
    MMI_TRY(mmi_onnx_check_movable(x, 0, err));
    MMI_TRY(place_slice(x, &slice, err));
    return mmi_onnx_tensor_set(&x->outputs[0], x->inputs[0].dtype, x->inputs[0].rank, slice.count,
                               err);
}

static mm_status run_slice(const struct onnx_call *call, mm_error *err) {
    const struct onnx_tensor *input = &call->inputs[0], *output = &call->outputs[0];
    struct onnx_move move = {.width = mmi_onnx_element_bytes(output->dtype)};
    struct onnx_tensor inputs[5];
    struct onnx_inference x = {.input_count = call->input_count, .inputs = inputs};
    int64_t from[MM_MAX_RANK], to[MM_MAX_RANK];
    const uint8_t *first = call->in[0];
    struct slice slice;
    if (output->bytes == 0) {
        return MM_OK;
    }
    for (uint32_t i = 0; i < call->input_count; i++) {
        inputs[i] = mmi_onnx_call_input(call, i);
    }
    MMI_TRY(place_slice(&x, &slice, err));
    mmi_onnx_byte_strides(input, from);
    mmi_onnx_byte_strides(output, to);
    for (uint32_t i = 0; i < output->rank; i++) {
        first += slice.start[i] * from[i];
        /* a step of more than the axis has is taken at most once */
        int64_t step = slice.count[i] > 1 ? slice.step[i] : 1;
        mmi_onnx_move_axis(&move, (uint64_t)slice.count[i], step * from[i], to[i]);
    }
    mmi_onnx_move(&move, first, call->out[0]);
    return MM_OK;
}

const struct onnx_operator mmi_onnx_op_Slice = {
    .name = "Slice",
    .min_inputs = 3,
    .max_inputs = 5,
    .min_outputs = 1,
    .max_outputs = 1,
    .shaping_inputs = 1u << 1 | 1u << 2 | 1u << 3 | 1u << 4,
    .infer = infer_slice,
    .run = run_slice,
    .order = {ONNX_ORDER_AXES, 3, NULL},
    .facts = {ONNX_DTYPE_OF_0, ONNX_RANK_OF_0, ONNX_SIZE_ALIKE, 0},
};

/* ---- Split ----------------------------------------------------------------------------------- */

struct parts {
    int64_t axis;
    int64_t count; /* Split: num_outputs; 0: not given */
};

static mm_status read_split(const struct onnx_attributes *a, void *params, mm_error *err) {
    struct parts *parts = params;
    MMI_TRY(mmi_onnx_read_int(a, "axis", 0, &parts->axis, err));
    return mmi_onnx_read_int(mmi_onnx_since(a, 18), "num_outputs", 0, &parts->count, err);
}

/* The length of output i. The parts are of one length, the last perhaps shorter, unless input 1
 * says theirs. */
static int64_t part_length(const struct onnx_inference *x, int64_t whole, uint32_t i) {
    if (mmi_onnx_has(x, 1)) {
        return mmi_onnx_int_at(&x->inputs[1], i);
    }
    int64_t count = x->output_count;
    int64_t part = whole / count + (whole % count > 0);
    int64_t left = part > 0 && i <= whole / part ? whole - part * i : 0;
    return part < left ? part : left;
}

static mm_status check_split(const struct onnx_inference *x, int64_t whole, mm_error *err) {
    const struct parts *parts = x->params;
    const struct onnx_tensor *lengths = &x->inputs[1];
    if (mmi_onnx_has(x, 1)) {
        MMI_TRY(mmi_onnx_check_indices(x, 1, err));
        if (!lengths->known) {
            return mmi_fail(err, MM_UNSUPPORTED, "its split is not known before the run");
        }
        if (lengths->rank == 1 && lengths->elements == x->output_count) {
            return MM_OK;
        }
        return mmi_fail(err, MM_INVALID_MODEL, "%" PRIu64 " lengths for %u outputs",
                        lengths->elements, x->output_count);
    }
    if (parts->count != 0 && parts->count != x->output_count) {
        return mmi_fail(err, MM_INVALID_MODEL, "num_outputs is %" PRId64 " with %u outputs",
                        parts->count, x->output_count);
    }
    if (parts->count == 0 && whole % x->output_count != 0) {
        return mmi_fail(err, MM_INVALID_MODEL, "%" PRId64 " elements in %u equal parts", whole,
                        x->output_count);
    }
    return MM_OK;
}

static mm_status infer_split(struct onnx_inference *x, mm_error *err) {
    const struct parts *parts = x->params;
    struct onnx_tensor part = x->inputs[0];
    uint32_t axis;
    MMI_TRY(mmi_onnx_check_movable(x, 0, err));
    MMI_TRY(mmi_onnx_check_axis(parts->axis, part.rank, &axis, err));
    int64_t whole = part.shape[axis], left = whole;
    MMI_TRY(check_split(x, whole, err));
    for (uint32_t i = 0; i < x->output_count; i++) {
        int64_t length = part_length(x, whole, i);
        if (length < 0 || length > left) {
            return mmi_fail(err, MM_INVALID_MODEL,
                            "part %u has %" PRId64 " elements of an axis with %" PRId64 " left", i,
                            length, left);
        }
        left -= length;
        part.shape[axis] = length;
        MMI_TRY(mmi_onnx_tensor_set(&x->outputs[i], part.dtype, part.rank, part.shape, err));
    }
    if (left > 0) {
        return mmi_fail(err, MM_INVALID_MODEL,
                        "the parts leave %" PRId64 " of the %" PRId64 " elements of axis %u", left,
                        whole, axis);
    }
    return MM_OK;
}

static mm_status run_split(const struct onnx_call *call, mm_error *err) {
    (void)err;
    const struct parts *parts = call->params;
    const struct onnx_tensor *input = &call->inputs[0];
    const uint8_t *from = call->in[0];
    uint32_t axis;
    mmi_onnx_axis(parts->axis, input->rank, &axis);
    struct onnx_split whole = mmi_onnx_split_at(input, axis);
    uint64_t unit = whole.inner * mmi_onnx_element_bytes(input->dtype);
    if (input->bytes == 0) {
        return MM_OK;
    }
    for (uint32_t i = 0; i < call->output_count; i++) {
        uint64_t row = (uint64_t)call->outputs[i].shape[axis] * unit;
        struct onnx_rows rows = {whole.outer, row, whole.length * unit, row};
        if (call->out[i]) {
            mmi_onnx_move_rows(&rows, from, call->out[i]);
        }
        from += row;
    }
    return MM_OK;
}

const struct onnx_operator mmi_onnx_op_Split = {
    .name = "Split",
    .min_inputs = 1,
    .max_inputs = 2,
    .min_outputs = 1,
    .max_outputs = ONNX_ANY_NUMBER,
    .params_bytes = sizeof(struct parts),
    .shaping_inputs = 1u << 1,
    .read = read_split,
    .infer = infer_split,
    .run = run_split,
    .order = {ONNX_ORDER_AXIS, offsetof(struct parts, axis), NULL},
    .facts = {ONNX_DTYPE_OF_0, ONNX_RANK_OF_0, ONNX_SIZE_ALIKE, 1},
};

/* ---- Concat ---------------------------------------------------------------------------------- */

struct concat {
    int64_t axis;
};

static mm_status read_concat(const struct onnx_attributes *a, void *params, mm_error *err) {
    struct concat *concat = params;
    if (!mmi_onnx_attribute(a, "axis")) {
        return mmi_fail(err, MM_INVALID_MODEL, "attribute axis is missing");
    }
    return mmi_onnx_read_int(a, "axis", 0, &concat->axis, err);
}

/* Input i goes on along `axis` where `all` ends; otherwise they are alike. */
static mm_status join(struct onnx_inference *x, uint32_t i, uint32_t axis, struct onnx_tensor *all,
                      mm_error *err) {
    const struct onnx_tensor *input = &x->inputs[i];
    if (input->dtype != all->dtype || input->rank != all->rank) {
        return mmi_fail(
            err, MM_INVALID_MODEL, "its input %u is %s with %u axes, the first %s with %u", i,
            mm_dtype_text(input->dtype), input->rank, mm_dtype_text(all->dtype), all->rank);
    }
    for (uint32_t j = 0; j < all->rank; j++) {
        if (j != axis && input->shape[j] != all->shape[j]) {
            return mmi_fail(err, MM_INVALID_MODEL,
                            "axis %u of its input %u has %" PRId64
                            " elements, of the first %" PRId64,
                            j, i, input->shape[j], all->shape[j]);
        }
    }
    if (__builtin_add_overflow(all->shape[axis], input->shape[axis], &all->shape[axis])) {
        return mmi_fail(err, MM_INVALID_MODEL, "axis %u becomes too long", axis);
    }
    return MM_OK;
}

static mm_status infer_concat(struct onnx_inference *x, mm_error *err) {
    const struct concat *concat = x->params;
    struct onnx_tensor all = x->inputs[0];
    uint32_t axis;
    MMI_TRY(mmi_onnx_check_movable(x, 0, err));
    MMI_TRY(mmi_onnx_check_axis(concat->axis, all.rank, &axis, err));
    for (uint32_t i = 1; i < x->input_count; i++) {
        MMI_TRY(join(x, i, axis, &all, err));
    }
    return mmi_onnx_tensor_set(&x->outputs[0], all.dtype, all.rank, all.shape, err);
}

static mm_status run_concat(const struct onnx_call *call, mm_error *err) {
    (void)err;
    const struct concat *concat = call->params;
    const struct onnx_tensor *output = &call->outputs[0];
    uint8_t *to = call->out[0];
    uint32_t axis;
    mmi_onnx_axis(concat->axis, output->rank, &axis);
    struct onnx_split whole = mmi_onnx_split_at(output, axis);
    uint64_t unit = whole.inner * mmi_onnx_element_bytes(output->dtype);
    if (output->bytes == 0) {
        return MM_OK;
    }
    for (uint32_t i = 0; i < call->input_count; i++) {
        uint64_t row = (uint64_t)call->inputs[i].shape[axis] * unit;
        struct onnx_rows rows = {whole.outer, row, row, whole.length * unit};
        mmi_onnx_move_rows(&rows, call->in[i], to);
        to += row;
    }
    return MM_OK;
}

const struct onnx_operator mmi_onnx_op_Concat = {
    .name = "Concat",
    .min_inputs = 1,
    .max_inputs = ONNX_ANY_NUMBER,
    .min_outputs = 1,
    .max_outputs = 1,
    .params_bytes = sizeof(struct concat),
    .read = read_concat,
    .infer = infer_concat,
    .run = run_concat,
    .order = {ONNX_ORDER_AXIS, offsetof(struct concat, axis), NULL},
    .facts = {ONNX_DTYPE_OF_ANY, ONNX_RANK_OF_0, ONNX_SIZE_ALIKE, 0},
};
