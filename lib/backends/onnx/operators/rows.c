/* SPDX-License-Identifier: Apache-2.0 */

/* Row by row: Trilu, ReverseSequence. */

#include <backends/onnx/operators/move.h>
#include <base/status.h>

#include <inttypes.h>

/* ---- Trilu ----------------------------------------------------------------------------------- */

struct trilu {
    int64_t upper;
};

static mm_status read_trilu(const struct onnx_attributes *a, void *params, mm_error *err) {
    struct trilu *trilu = params;
    return mmi_onnx_read_int(a, "upper", 1, &trilu->upper, err);
}

static mm_status infer_trilu(struct onnx_inference *x, mm_error *err) {
    const struct onnx_tensor *data = &x->inputs[0];
    MMI_TRY(mmi_onnx_check_movable(x, 0, err));
    if (data->rank < 2) {
        return mmi_fail(err, MM_INVALID_MODEL, "its input has %u axes, 2 at least wanted",
                        data->rank);
    }
    if (mmi_onnx_has(x, 1)) {
        MMI_TRY(mmi_onnx_check_indices(x, 1, err));
        if (x->inputs[1].elements != 1) {
            return mmi_fail(err, MM_INVALID_MODEL, "its k has %" PRIu64 " elements, 1 wanted",
                            x->inputs[1].elements);
        }
    }
    return mmi_onnx_tensor_set(&x->outputs[0], data->dtype, data->rank, data->shape, err);
}

static int64_t clamp(int64_t value, int64_t min, int64_t max) {
    value = value < min ? min : value;
    return value > max ? max : value;
}

static mm_status run_trilu(const struct onnx_call *call, mm_error *err) {
    (void)err;
    const struct trilu *trilu = call->params;
    const struct onnx_tensor *output = &call->outputs[0];
    struct onnx_tensor k = mmi_onnx_call_input(call, 1);
    if (output->bytes == 0) {
        return MM_OK;
    }
    int64_t rows = output->shape[output->rank - 2], columns = output->shape[output->rank - 1];
    uint64_t width = mmi_onnx_element_bytes(output->dtype), row_bytes = (uint64_t)columns * width;
    /* the first column of row 0 that the upper part has, or the lower has not */
    int64_t first = clamp(k.known ? mmi_onnx_int_at(&k, 0) : 0, -rows, columns);
    first += trilu->upper ? 0 : 1;
    const uint8_t *from = call->in[0];
    uint8_t *to = call->out[0];
    for (uint64_t i = 0; i < output->bytes / row_bytes; i++) {
        int64_t row = (int64_t)(i % (uint64_t)rows);
        uint64_t at = (uint64_t)clamp(first + row, 0, columns) * width;
        uint64_t begin = trilu->upper ? at : 0, end = trilu->upper ? row_bytes : at;
        memset(to, 0, begin);
        memcpy(to + begin, from + begin, end - begin);
        memset(to + end, 0, row_bytes - end);
        from += row_bytes;
        to += row_bytes;
    }
    return MM_OK;
}

#define TRILU(name_, domain_)                                                                      \
    const struct onnx_operator mmi_onnx_op_##name_ = {                                             \
        .name = "Trilu",                                                                           \
        .domain = domain_,                                                                         \
        .min_inputs = 1,                                                                           \
        .max_inputs = 2,                                                                           \
        .min_outputs = 1,                                                                          \
        .max_outputs = 1,                                                                          \
        .params_bytes = sizeof(struct trilu),                                                      \
        .read = read_trilu,                                                                        \
        .infer = infer_trilu,                                                                      \
        .run = run_trilu,                                                                          \
        .facts = ONNX_FACTS_LIKE_0,                                                                \
    };
TRILU(Trilu, NULL)
TRILU(MsTrilu, ONNX_MICROSOFT)

/* ---- ReverseSequence ------------------------------------------------------------------------- */

struct reverse_sequence {
    int64_t batch_axis, time_axis; /* one of them 0, the other 1 */
};

static mm_status read_reverse_sequence(const struct onnx_attributes *a, void *params,
                                       mm_error *err) {
    struct reverse_sequence *reverse = params;
    MMI_TRY(mmi_onnx_read_int(a, "batch_axis", 1, &reverse->batch_axis, err));
    return mmi_onnx_read_int(a, "time_axis", 0, &reverse->time_axis, err);
}

static mm_status check_reverse_sequence(const void *params, mm_error *err) {
    const struct reverse_sequence *reverse = params;
    bool right = (reverse->batch_axis == 0 && reverse->time_axis == 1) ||
                 (reverse->batch_axis == 1 && reverse->time_axis == 0);
    if (right) {
        return MM_OK;
    }
    return mmi_fail(err, MM_INVALID_MODEL,
                    "batch_axis %" PRId64 " and time_axis %" PRId64 ", 0 and 1 wanted",
                    reverse->batch_axis, reverse->time_axis);
}

static mm_status infer_reverse_sequence(struct onnx_inference *x, mm_error *err) {
    const struct reverse_sequence *reverse = x->params;
    const struct onnx_tensor *data = &x->inputs[0], *lengths = &x->inputs[1];
    MMI_TRY(mmi_onnx_check_movable(x, 0, err));
    MMI_TRY(mmi_onnx_check_indices(x, 1, err));
    if (data->rank < 2) {
        return mmi_fail(err, MM_INVALID_MODEL, "its input has %u axes, 2 at least wanted",
                        data->rank);
    }
    if (lengths->rank != 1 || lengths->shape[0] != data->shape[reverse->batch_axis]) {
        return mmi_fail(err, MM_INVALID_MODEL, "%" PRIu64 " lengths for a batch of %" PRId64,
                        lengths->elements, data->shape[reverse->batch_axis]);
    }
    return mmi_onnx_tensor_set(&x->outputs[0], data->dtype, data->rank, data->shape, err);
}

static mm_status run_reverse_sequence(const struct onnx_call *call, mm_error *err) {
    const struct reverse_sequence *reverse = call->params;
    const struct onnx_tensor *output = &call->outputs[0];
    struct onnx_tensor lengths = mmi_onnx_call_input(call, 1);
    if (output->bytes == 0) {
        return MM_OK;
    }
    int64_t strides[MM_MAX_RANK];
    int64_t batch = output->shape[reverse->batch_axis], time = output->shape[reverse->time_axis];
    mmi_onnx_byte_strides(output, strides);
    int64_t step = strides[reverse->time_axis];
    for (int64_t i = 0; i < batch; i++) {
        int64_t length = mmi_onnx_int_at(&lengths, (uint64_t)i),
                at = i * strides[reverse->batch_axis];
        if (length < 0 || length > time) {
            return mmi_fail(err, MM_INVALID_ARGUMENT,
                            "length %" PRId64 " of sequence %" PRId64 ", 0 to %" PRId64 " wanted",
                            length, i, time);
        }
        const uint8_t *from = (const uint8_t *)call->in[0] + at;
        uint8_t *to = (uint8_t *)call->out[0] + at;
        uint64_t row_bytes = (uint64_t)strides[1];
        for (int64_t t = 0; t < time; t++) {
            int64_t source = t < length ? length - 1 - t : t;
            memcpy(to + t * step, from + source * step, row_bytes);
        }
    }
    return MM_OK;
}

const struct onnx_operator mmi_onnx_op_ReverseSequence = {
    .name = "ReverseSequence",
    .min_inputs = 2,
    .max_inputs = 2,
    .min_outputs = 1,
    .max_outputs = 1,
    .params_bytes = sizeof(struct reverse_sequence),
    .check = check_reverse_sequence,
    .read = read_reverse_sequence,
    .infer = infer_reverse_sequence,
    .run = run_reverse_sequence,
    .facts = ONNX_FACTS_LIKE_0,
};
