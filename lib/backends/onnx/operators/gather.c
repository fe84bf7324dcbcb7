/* SPDX-License-Identifier: Apache-2.0 */

/* Elements that indices name: Gather, GatherElements, GatherND; OneHot, which writes indices down
 * as vectors. */

#include <backends/onnx/operators/indices.h>
#include <backends/onnx/operators/move.h>
#include <base/status.h>

#include <inttypes.h>

struct gather {
    int64_t axis; /* GatherND: batch_dims */
};

static mm_status read_gather(const struct onnx_attributes *a, void *params, mm_error *err) {
    struct gather *gather = params;
    return mmi_onnx_read_int(a, "axis", 0, &gather->axis, err);
}

/* ---- Gather ---------------------------------------------------------------------------------- */

/* The shape of `data` with `insert` in place of the axes [begin, end). */
static mm_status set_spliced(struct onnx_tensor *output, const struct onnx_tensor *data,
                             uint32_t begin, uint32_t end, const struct onnx_tensor *insert,
                             mm_error *err) {
    int64_t shape[2 * MM_MAX_RANK];
    uint32_t rank = 0;
    for (uint32_t i = 0; i < begin; i++) {
        shape[rank++] = data->shape[i];
    }
    for (uint32_t i = 0; i < insert->rank; i++) {
        shape[rank++] = insert->shape[i];
    }
    for (uint32_t i = end; i < data->rank; i++) {
        shape[rank++] = data->shape[i];
    }
    return mmi_onnx_tensor_set(output, data->dtype, rank, shape, err);
}

static mm_status infer_gather(struct onnx_inference *x, mm_error *err) {
    const struct gather *gather = x->params;
    const struct onnx_tensor *data = &x->inputs[0];
    uint32_t axis;
    MMI_TRY(mmi_onnx_check_movable(x, 0, err));
    MMI_TRY(mmi_onnx_check_indices(x, 1, err));
    MMI_TRY(mmi_onnx_check_axis(gather->axis, data->rank, &axis, err));
    return set_spliced(&x->outputs[0], data, axis, axis + 1, &x->inputs[1], err);
}

static mm_status run_gather(const struct onnx_call *call, mm_error *err) {
    const struct gather *gather = call->params;
    const struct onnx_tensor *data = &call->inputs[0];
    struct onnx_tensor indices = mmi_onnx_call_input(call, 1);
    uint32_t axis, width = mmi_onnx_element_bytes(data->dtype);
    mmi_onnx_axis(gather->axis, data->rank, &axis);
    struct onnx_split split = mmi_onnx_split_at(data, axis);
    uint64_t row_bytes = split.inner * width;
    if (call->outputs[0].bytes == 0) {
        return MM_OK;
    }
    uint8_t *to = call->out[0];
    for (uint64_t outer = 0; outer < split.outer; outer++) {
        for (uint64_t i = 0; i < indices.elements; i++, to += row_bytes) {
            int64_t index;
            MMI_TRY(mmi_onnx_index_at(&indices, i, data, axis, &index, err));
            uint64_t row = outer * split.length + (uint64_t)index;
            memcpy(to, (const uint8_t *)call->in[0] + row * row_bytes, row_bytes);
        }
    }
    return MM_OK;
}

/* The last axis stays, unless it is the one that is gathered from. */
static void learn_gather(const struct onnx_learning *l, uint32_t output, struct onnx_fact *fact) {
    const struct gather *gather = l->node->params;
    struct onnx_fact data = mmi_onnx_fact(l, 0), indices = mmi_onnx_fact(l, 1);
    (void)output;
    if (data.rank > 0 && indices.rank >= 0) {
        fact->rank = data.rank + indices.rank - 1;
    }
    if (data.rank > 0 && gather->axis != -1 && gather->axis != data.rank - 1) {
        fact->last = data.last;
    }
}

const struct onnx_operator mmi_onnx_op_Gather = {
    .name = "Gather",
    .min_inputs = 2,
    .max_inputs = 2,
    .min_outputs = 1,
    .max_outputs = 1,
    .params_bytes = sizeof(struct gather),
    .read = read_gather,
    .infer = infer_gather,
    .run = run_gather,
    .facts = {ONNX_DTYPE_OF_0, ONNX_RANK_UNKNOWN, ONNX_SIZE_ALIKE, 0},
    .learn = learn_gather,
};

/* ---- GatherElements -------------------------------------------------------------------------- */

static mm_status infer_gather_elements(struct onnx_inference *x, mm_error *err) {
    const struct gather *gather = x->params;
    const struct onnx_tensor *data = &x->inputs[0], *indices = &x->inputs[1];
    uint32_t axis;
    MMI_TRY(mmi_onnx_check_movable(x, 0, err));
    MMI_TRY(mmi_onnx_check_axis(gather->axis, data->rank, &axis, err));
    MMI_TRY(mmi_onnx_check_elements(x, axis, err));
    return mmi_onnx_tensor_set(&x->outputs[0], data->dtype, indices->rank, indices->shape, err);
}

static mm_status run_gather_elements(const struct onnx_call *call, mm_error *err) {
    const struct gather *gather = call->params;
    const struct onnx_tensor *data = &call->inputs[0];
    struct onnx_tensor indices = mmi_onnx_call_input(call, 1);
    struct onnx_index_walk walk;
    uint32_t axis, width = mmi_onnx_element_bytes(data->dtype);
    uint8_t *to = call->out[0];
    mmi_onnx_axis(gather->axis, data->rank, &axis);
    mmi_onnx_index_walk(&walk, &indices, data, axis);
    for (uint64_t i = 0; i < indices.elements; i++, to += width) {
        uint64_t element;
        MMI_TRY(mmi_onnx_index_next(&walk, &element, err));
        mmi_onnx_copy(to, (const uint8_t *)call->in[0] + element * width, width);
    }
    return MM_OK;
}

const struct onnx_operator mmi_onnx_op_GatherElements = {
    .name = "GatherElements",
    .min_inputs = 2,
    .max_inputs = 2,
    .min_outputs = 1,
    .max_outputs = 1,
    .params_bytes = sizeof(struct gather),
    .read = read_gather,
    .infer = infer_gather_elements,
    .run = run_gather_elements,
    .facts = {ONNX_DTYPE_OF_0, ONNX_RANK_OF_0, ONNX_SIZE_ALIKE, 0},
};

/* ---- GatherND -------------------------------------------------------------------------------- */

static mm_status read_gather_nd(const struct onnx_attributes *a, void *params, mm_error *err) {
    struct gather *gather = params;
    return mmi_onnx_read_int(mmi_onnx_since(a, 12), "batch_dims", 0, &gather->axis, err);
}

static mm_status infer_gather_nd(struct onnx_inference *x, mm_error *err) {
    const struct gather *gather = x->params;
    const struct onnx_tensor *data = &x->inputs[0];
    struct onnx_tensor tuples = x->inputs[1]; /* as if each were one element */
    uint32_t batch = (uint32_t)gather->axis;
    MMI_TRY(mmi_onnx_check_movable(x, 0, err));
    MMI_TRY(mmi_onnx_check_tuples(x, batch, err));
    for (uint32_t i = 0; i < batch; i++) {
        if (tuples.shape[i] != data->shape[i]) {
            return mmi_fail(err, MM_INVALID_MODEL,
                            "axis %u of its indices has %" PRId64 " elements, of its data %" PRId64,
                            i, tuples.shape[i], data->shape[i]);
        }
    }
    uint32_t named = batch + (uint32_t)tuples.shape[--tuples.rank];
    return set_spliced(&x->outputs[0], data, 0, named, &tuples, err);
}

static mm_status run_gather_nd(const struct onnx_call *call, mm_error *err) {
    const struct gather *gather = call->params;
    const struct onnx_tensor *data = &call->inputs[0];
    struct onnx_tensor indices = mmi_onnx_call_input(call, 1);
    uint32_t batch = (uint32_t)gather->axis, length = (uint32_t)indices.shape[indices.rank - 1];
    uint32_t width = mmi_onnx_element_bytes(data->dtype);
    if (call->outputs[0].bytes == 0) {
        return MM_OK;
    }
    uint64_t batches = mm_shape_elements(batch, data->shape);
    uint64_t tuples = indices.elements / length, part = call->outputs[0].bytes / tuples;
    uint64_t batch_bytes = data->bytes / batches;
    for (uint64_t i = 0; i < tuples; i++) {
        uint64_t element, batch_at = i / (tuples / batches) * batch_bytes;
        MMI_TRY(mmi_onnx_tuple_at(&indices, i, data, batch, &element, err));
        const uint8_t *from = (const uint8_t *)call->in[0] + batch_at + element * width;
        memcpy((uint8_t *)call->out[0] + i * part, from, part);
    }
    return MM_OK;
}

const struct onnx_operator mmi_onnx_op_GatherND = {
    .name = "GatherND",
    .min_inputs = 2,
    .max_inputs = 2,
    .min_outputs = 1,
    .max_outputs = 1,
    .params_bytes = sizeof(struct gather),
    .limits = ONNX_LIMITS(ONNX_BETWEEN("batch_dims", struct gather, axis, 0, MM_MAX_RANK - 1)),
    .read = read_gather_nd,
    .infer = infer_gather_nd,
    .run = run_gather_nd,
    .facts = {ONNX_DTYPE_OF_0, ONNX_RANK_UNKNOWN, ONNX_SIZE_ALIKE, 0},
};

/* ---- OneHot ---------------------------------------------------------------------------------- */

static mm_status read_one_hot(const struct onnx_attributes *a, void *params, mm_error *err) {
    struct gather *gather = params;
    return mmi_onnx_read_int(a, "axis", -1, &gather->axis, err);
}

/* Inputs: indices, depth, values (off, on). */
static mm_status infer_one_hot(struct onnx_inference *x, mm_error *err) {
    const struct gather *gather = x->params;
    struct onnx_tensor indices = x->inputs[0], depth = x->inputs[1];
    uint32_t axis;
    MMI_TRY(mmi_onnx_check_number(x, 0, err));
    MMI_TRY(mmi_onnx_check_number(x, 1, err));
    MMI_TRY(mmi_onnx_check_movable(x, 2, err));
    MMI_TRY(mmi_onnx_check_axis(gather->axis, indices.rank + 1, &axis, err));
    if (!depth.known) {
        return mmi_fail(err, MM_UNSUPPORTED, "its depth is not known before the run");
    }
    if (depth.elements != 1 || x->inputs[2].elements != 2) {
        return mmi_fail(err, MM_INVALID_MODEL,
                        "its depth has %" PRIu64 " elements and its values %" PRIu64
                        ", 1 and 2 wanted",
                        depth.elements, x->inputs[2].elements);
    }
    struct onnx_tensor length = {.rank = 1, .shape = {mmi_onnx_int_at(&depth, 0)}};
    indices.dtype = x->inputs[2].dtype;
    return set_spliced(&x->outputs[0], &indices, axis, axis, &length, err);
}

static mm_status run_one_hot(const struct onnx_call *call, mm_error *err) {
    (void)err;
    const struct gather *gather = call->params;
    const struct onnx_tensor *output = &call->outputs[0];
    struct onnx_tensor indices = mmi_onnx_call_input(call, 0);
    uint32_t axis, width = mmi_onnx_element_bytes(output->dtype);
    const uint8_t *off = call->in[2], *on = off + width;
    mmi_onnx_axis(gather->axis, output->rank, &axis);
    struct onnx_split split = mmi_onnx_split_at(output, axis);
    int64_t depth = (int64_t)split.length;
    if (output->bytes == 0) {
        return MM_OK;
    }
    mmi_onnx_fill(call->out[0], output->elements, off, width);
    for (uint64_t i = 0; i < indices.elements; i++) {
        int64_t index = mmi_onnx_int_at(&indices, i);
        index = index < 0 ? index + depth : index;
        if (index >= 0 && index < depth) { /* others stay off: so says ONNX */
            uint64_t outer = i / split.inner, inner = i % split.inner;
            uint64_t at = (outer * split.length + (uint64_t)index) * split.inner + inner;
            mmi_onnx_copy((uint8_t *)call->out[0] + at * width, on, width);
        }
    }
    return MM_OK;
}

static void learn_one_hot(const struct onnx_learning *l, uint32_t output, struct onnx_fact *fact) {
    int32_t rank = mmi_onnx_fact(l, 0).rank;
    (void)output;
    fact->rank = rank < 0 ? -1 : rank + 1;
}

const struct onnx_operator mmi_onnx_op_OneHot = {
    .name = "OneHot",
    .min_inputs = 3,
    .max_inputs = 3,
    .min_outputs = 1,
    .max_outputs = 1,
    .params_bytes = sizeof(struct gather),
    .shaping_inputs = 1u << 1,
    .read = read_one_hot,
    .infer = infer_one_hot,
    .run = run_one_hot,
    .facts = {ONNX_DTYPE_OF_2, ONNX_RANK_UNKNOWN, ONNX_SIZE_SPREADS, 0},
    .learn = learn_one_hot,
};
