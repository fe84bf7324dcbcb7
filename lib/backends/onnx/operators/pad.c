/* SPDX-License-Identifier: Apache-2.0 */

/* Pad: elements around a tensor. */

#include <backends/onnx/operators/move.h>
#include <backends/onnx/operators/movement.h>
#include <backends/onnx/operators/number.h>
#include <backends/onnx/operators/unpacked.h>
#include <base/checked.h>
#include <base/status.h>

#include <inttypes.h>

/* Of each axis: elements of the input that stay, where they begin there and in the output. */
struct placed_pad {
    int64_t kept[MM_MAX_RANK], from[MM_MAX_RANK], to[MM_MAX_RANK];
    int64_t out[MM_MAX_RANK]; /* the output's shape */
};

static mm_status read_pad(const struct onnx_attributes *a, void *params, mm_error *err) {
    static const char *const modes[] = {"constant", "reflect", "edge", "wrap", NULL};
    struct onnx_pad *pad = params;
    MMI_TRY(mmi_onnx_read_float(mmi_onnx_before(a, 11), "value", 0, &pad->value, err));
    return mmi_onnx_read_choice(a, "mode", modes, &pad->mode, err);
}

/* One axis; negative pads cut elements off. */
static mm_status pad_axis(struct placed_pad *placed, uint32_t axis, int64_t begin, int64_t end,
                          mm_error *err) {
    int64_t length = placed->out[axis], out;
    int64_t cut_begin = begin < 0 ? begin : 0, cut_end = end < 0 ? end : 0;
    bool fits = cut_begin >= -length && cut_end >= -length - cut_begin &&
                !__builtin_add_overflow(length, begin, &out) &&
                !__builtin_add_overflow(out, end, &out);
    if (!fits) {
        return mmi_fail(err, MM_INVALID_MODEL,
                        "axis %u of %" PRId64 " elements with pads of %" PRId64 " and %" PRId64,
                        axis, length, begin, end);
    }
    placed->kept[axis] = length + cut_begin + cut_end;
    placed->from[axis] = -cut_begin;
    placed->to[axis] = begin - cut_begin;
    placed->out[axis] = out;
    return MM_OK;
}

/* Inputs: data, pads, the constant, axes; the last two may be left out. */
static mm_status place_pad(const struct onnx_inference *x, struct placed_pad *placed,
                           mm_error *err) {
    const struct onnx_tensor *data = &x->inputs[0];
    struct onnx_ints pads, axes = {.count = data->rank};
    uint32_t seen = 0;
    MMI_TRY(mmi_onnx_known_ints(x, 1, "pads", &pads, err));
    if (mmi_onnx_has(x, 3)) {
        MMI_TRY(mmi_onnx_known_ints(x, 3, "axes", &axes, err));
    }
    if (pads.count != 2 * axes.count) {
        return mmi_fail(err, MM_INVALID_MODEL, "%u pads for %u axes, two for each wanted",
                        pads.count, axes.count);
    }
    for (uint32_t i = 0; i < data->rank; i++) {
        placed->kept[i] = placed->out[i] = data->shape[i];
        placed->from[i] = placed->to[i] = 0;
    }
    for (uint32_t i = 0; i < axes.count; i++) {
        uint32_t axis;
        MMI_TRY(mmi_onnx_check_axis(mmi_onnx_has(x, 3) ? axes.at[i] : i, data->rank, &axis, err));
        if (seen & 1u << axis) {
            return mmi_fail(err, MM_INVALID_MODEL, "axis %u is padded twice", axis);
        }
        seen |= 1u << axis;
        MMI_TRY(pad_axis(placed, axis, pads.at[i], pads.at[i + axes.count], err));
    }
    return MM_OK;
}

static mm_status infer_pad(struct onnx_inference *x, mm_error *err) {
    const struct onnx_pad *pad = x->params;
    const struct onnx_tensor *data = &x->inputs[0];
    struct placed_pad placed;
    MMI_TRY(mmi_onnx_check_movable(x, 0, err));
    MMI_TRY(place_pad(x, &placed, err));
    if (mmi_onnx_has(x, 2) && (x->inputs[2].dtype != data->dtype || x->inputs[2].elements != 1)) {
        return mmi_fail(
            err, MM_INVALID_MODEL, "its constant is %" PRIu64 " elements of %s, one of %s wanted",
            x->inputs[2].elements, mm_dtype_text(x->inputs[2].dtype), mm_dtype_text(data->dtype));
    }
    for (uint32_t i = 0; i < data->rank && pad->mode != ONNX_PAD_CONSTANT; i++) {
        if (placed.kept[i] == 0 && placed.out[i] > 0) {
            return mmi_fail(err, MM_INVALID_MODEL, "axis %u has nothing to repeat", i);
        }
    }
    return mmi_onnx_tensor_set(&x->outputs[0], data->dtype, data->rank, placed.out, err);
}

/* ---- Running --------------------------------------------------------------------------------- */

/* The output while it grows around what was kept, one axis after the other. */
struct growth {
    uint8_t *data;
    const void *constant; /* what it grows by; NULL: by what is there */
    uint32_t width, rank, axis;
    int64_t strides[MM_MAX_RANK];                   /* bytes */
    int64_t begin[MM_MAX_RANK], count[MM_MAX_RANK]; /* what is there already */
};

/* Of the growing axis: elements to .. to + count become from, from + step, ... */
static void grow_by(const struct growth *growth, int64_t to, int64_t count, int64_t from,
                    int64_t step) {
    struct onnx_move move = {.width = growth->width};
    int64_t base = 0, along = growth->strides[growth->axis];
    for (uint32_t i = 0; i < growth->rank; i++) {
        bool grows = i == growth->axis;
        int64_t stride = growth->strides[i];
        int64_t from_stride = growth->constant ? 0 : grows ? step * stride : stride;
        base += grows ? 0 : growth->begin[i] * stride;
        mmi_onnx_move_axis(&move, (uint64_t)(grows ? count : growth->count[i]), from_stride,
                           stride);
    }
    const uint8_t *source = growth->data + base + from * along;
    mmi_onnx_move(&move, growth->constant ? growth->constant : source,
                  growth->data + base + to * along);
}

/* Grow along an axis until it has `length` elements. Reflecting and wrapping repeat with a period,
 * so they go on period by period. */
static void grow(struct growth *growth, uint32_t axis, int64_t length, int32_t mode) {
    int64_t *begin = &growth->begin[axis], *count = &growth->count[axis];
    const int64_t kept = *count;
    bool wraps = mode == ONNX_PAD_WRAP, reflects = mode == ONNX_PAD_REFLECT && kept > 1;
    const int64_t max = wraps ? kept : reflects ? kept - 1 : length;
    growth->axis = axis;
    while (*begin > 0) {
        int64_t n = *begin < max ? *begin : max;
        int64_t from = wraps ? *begin - n + kept : reflects ? *begin + n : *begin;
        grow_by(growth, *begin - n, n, from, wraps ? 1 : reflects ? -1 : 0);
        *begin -= n;
        *count += n;
    }
    while (*count < length) {
        int64_t n = length - *count < max ? length - *count : max;
        int64_t from = wraps ? *count - kept : reflects ? *count - 2 : *count - 1;
        grow_by(growth, *count, n, from, wraps ? 1 : reflects ? -1 : 0);
        *count += n;
    }
}

static void move_kept(const struct onnx_call *call, const struct placed_pad *placed,
                      const struct growth *growth) {
    struct onnx_move move = {.width = growth->width};
    int64_t from[MM_MAX_RANK], first = 0, target = 0;
    if (call->inputs[0].bytes == 0) {
        return;
    }
    mmi_onnx_byte_strides(&call->inputs[0], from);
    for (uint32_t i = 0; i < growth->rank; i++) {
        first += placed->from[i] * from[i];
        target += placed->to[i] * growth->strides[i];
        mmi_onnx_move_axis(&move, (uint64_t)placed->kept[i], from[i], growth->strides[i]);
    }
    mmi_onnx_move(&move, (const uint8_t *)call->in[0] + first, growth->data + target);
}

static mm_status run_pad(const struct onnx_call *call, mm_error *err) {
    uint8_t constant[16] = {0};
    const struct onnx_pad *pad = call->params;
    const struct onnx_tensor *output = &call->outputs[0];
    struct onnx_tensor inputs[4];
    struct onnx_inference x = {.input_count = call->input_count, .inputs = inputs};
    struct placed_pad placed;
    struct growth growth = {
        .data = call->out[0], .width = mmi_onnx_element_bytes(output->dtype), .rank = output->rank};
    if (output->bytes == 0) {
        return MM_OK;
    }
    for (uint32_t i = 0; i < call->input_count; i++) {
        inputs[i] = mmi_onnx_call_input(call, i);
    }
    MMI_TRY(place_pad(&x, &placed, err));
    if (pad->mode == ONNX_PAD_CONSTANT) {
        if (pad->value != 0) {
            mmi_onnx_convert(MM_F32, &pad->value, 1, output->dtype, constant);
        }
        growth.constant = mmi_onnx_given(call, 2) ? call->in[2] : constant;
    }
    mmi_onnx_byte_strides(output, growth.strides);
    memcpy(growth.begin, placed.to, sizeof(growth.begin));
    memcpy(growth.count, placed.kept, sizeof(growth.count));
    move_kept(call, &placed, &growth);
    for (uint32_t i = output->rank; i-- > 0;) {
        grow(&growth, i, output->shape[i], pad->mode);
    }
    return MM_OK;
}

ONNX_UNPACKED(pad)

const struct onnx_operator mmi_onnx_op_Pad = {
    .name = "Pad",
    .min_inputs = 2,
    .max_inputs = 4,
    .min_outputs = 1,
    .max_outputs = 1,
    .params_bytes = sizeof(struct onnx_pad),
    .limits = ONNX_LIMITS(ONNX_BETWEEN("mode", struct onnx_pad, mode, 0, 3)),
    .shaping_inputs = 1u << 1 | 1u << 3,
    .read = read_pad,
    .infer = infer_unpacked_pad,
    .run = run_unpacked_pad,
    .facts = {ONNX_DTYPE_OF_0, ONNX_RANK_OF_0, ONNX_SIZE_ALIKE, 0},
};
