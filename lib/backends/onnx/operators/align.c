/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/operators/align.h>
#include <backends/onnx/operators/move.h>
#include <backends/onnx/operators/movement.h>
#include <base/status.h>

#include <string.h>

static mm_status infer(struct onnx_inference *x, mm_error *err) {
    const struct onnx_align *align = x->params;
    const struct onnx_tensor *data = &x->inputs[0], *other = &x->inputs[1];
    int64_t shape[MM_MAX_RANK] = {0};
    uint32_t rank = data->rank, axis;
    MMI_TRY(mmi_onnx_check_movable(x, 0, err));
    memcpy(shape, data->shape, sizeof(data->shape[0]) * rank);
    if (data->elements != 1 && !(align->channels && (rank != 1 || other->rank < 2))) {
        MMI_TRY(mmi_onnx_check_axis(align->axis, other->rank, &axis, err));
        if (rank > other->rank - axis) {
            return mmi_fail(err, MM_INVALID_MODEL,
                            "a tensor of %u axes cannot begin at axis %u of one with %u", rank,
                            axis, other->rank);
        }
        while (rank < other->rank - axis) {
            shape[rank++] = 1;
        }
    }
    return mmi_onnx_tensor_set(&x->outputs[0], data->dtype, rank, shape, err);
}

static mm_status run(const struct onnx_call *call, mm_error *err) {
    (void)err;
    if (call->out[0] && call->in[0] && call->out[0] != call->in[0]) {
        memcpy(call->out[0], call->in[0], call->outputs[0].bytes);
    }
    return MM_OK;
}

const struct onnx_operator mmi_onnx_op_Align = {
    .name = "Align",
    .domain = ONNX_OURS,
    .flags = ONNX_OP_VIEW,
    .min_inputs = 2,
    .max_inputs = 2,
    .min_outputs = 1,
    .max_outputs = 1,
    .params_bytes = sizeof(struct onnx_align),
    .infer = infer,
    .run = run,
    .facts = {ONNX_DTYPE_OF_0, ONNX_RANK_UNKNOWN, ONNX_SIZE_ALIKE, 0},
};
