/* SPDX-License-Identifier: Apache-2.0 */

/* The same elements several times: Expand and Tile. */

#include <backends/onnx/operators/move.h>
#include <base/status.h>

#include <inttypes.h>

static mm_status infer_expand(struct onnx_inference *x, mm_error *err) {
    const struct onnx_tensor *data = &x->inputs[0];
    struct onnx_tensor shape;
    struct onnx_ints ints;
    MMI_TRY(mmi_onnx_check_movable(x, 0, err));
    MMI_TRY(mmi_onnx_known_ints(x, 1, "shape", &ints, err));
    MMI_TRY(mmi_onnx_tensor_set(&shape, data->dtype, ints.count, ints.at, err));
    if (!mmi_onnx_broadcast(data->rank, data->shape, ints.count, ints.at, &shape)) {
        char texts[2][ONNX_SHAPE_TEXT];
        return mmi_fail(err, MM_INVALID_MODEL,
                        "its input of shape %s does not fit %s, the one wanted",
                        mmi_onnx_shape_text(data->rank, data->shape, texts[0]),
                        mmi_onnx_shape_text(ints.count, ints.at, texts[1]));
    }
    return mmi_onnx_tensor_set(&x->outputs[0], data->dtype, shape.rank, shape.shape, err);
}

static mm_status infer_tile(struct onnx_inference *x, mm_error *err) {
    const struct onnx_tensor *data = &x->inputs[0];
    struct onnx_ints repeats;
    int64_t shape[MM_MAX_RANK];
    MMI_TRY(mmi_onnx_check_movable(x, 0, err));
    MMI_TRY(mmi_onnx_known_ints(x, 1, "repeats", &repeats, err));
    if (repeats.count != data->rank) {
        return mmi_fail(err, MM_INVALID_MODEL, "%u repeats for %u axes", repeats.count, data->rank);
    }
    for (uint32_t i = 0; i < data->rank; i++) {
        if (repeats.at[i] < 0 || __builtin_mul_overflow(data->shape[i], repeats.at[i], &shape[i])) {
            return mmi_fail(err, MM_INVALID_MODEL,
                            "axis %u of %" PRId64 " elements, repeated %" PRId64 " times", i,
                            data->shape[i], repeats.at[i]);
        }
    }
    return mmi_onnx_tensor_set(&x->outputs[0], data->dtype, data->rank, shape, err);
}

/* The input, repeated along each axis until the output is full. */
static mm_status run_repeat(const struct onnx_call *call, mm_error *err) {
    (void)err;
    const struct onnx_tensor *input = &call->inputs[0], *output = &call->outputs[0];
    struct onnx_move move = {.width = mmi_onnx_element_bytes(output->dtype)};
    int64_t from[MM_MAX_RANK], to[MM_MAX_RANK];
    uint32_t added = output->rank - input->rank; /* axes that only the output has */
    if (output->bytes == 0) {
        return MM_OK;
    }
    mmi_onnx_byte_strides(input, from);
    mmi_onnx_byte_strides(output, to);
    for (uint32_t i = 0; i < output->rank; i++) {
        int64_t length = i < added ? 1 : input->shape[i - added];
        mmi_onnx_move_axis(&move, (uint64_t)(output->shape[i] / length), 0, to[i] * length);
        mmi_onnx_move_axis(&move, (uint64_t)length, i < added ? 0 : from[i - added], to[i]);
    }
    mmi_onnx_move(&move, call->in[0], call->out[0]);
    return MM_OK;
}

static void learn_expand(const struct onnx_learning *l, uint32_t output, struct onnx_fact *fact) {
    struct onnx_fact input = mmi_onnx_fact(l, 0);
    int32_t axes = (int32_t)mmi_onnx_fact_length(l, 1);
    (void)output;
    fact->rank = axes < 0 || input.rank < 0 ? -1 : axes > input.rank ? axes : input.rank;
    fact->last = input.last > 1 ? input.last : 0;
}

const struct onnx_operator mmi_onnx_op_Expand = {
    .name = "Expand",
    .min_inputs = 2,
    .max_inputs = 2,
    .min_outputs = 1,
    .max_outputs = 1,
    .shaping_inputs = 1u << 1,
    .infer = infer_expand,
    .run = run_repeat,
    .facts = {ONNX_DTYPE_OF_0, ONNX_RANK_UNKNOWN, ONNX_SIZE_SPREADS, 0},
    .learn = learn_expand,
};

const struct onnx_operator mmi_onnx_op_Tile = {
    .name = "Tile",
    .min_inputs = 2,
    .max_inputs = 2,
    .min_outputs = 1,
    .max_outputs = 1,
    .shaping_inputs = 1u << 1,
    .infer = infer_tile,
    .run = run_repeat,
    .facts = {ONNX_DTYPE_OF_0, ONNX_RANK_OF_0, ONNX_SIZE_SPREADS, 0},
};
