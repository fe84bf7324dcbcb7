/* SPDX-License-Identifier: Apache-2.0 */

/* CenterCropPad: along some axes the middle of the input, or the input in the middle of zeros. */

#include <backends/onnx/operators/move.h>
#include <base/checked.h>
#include <base/status.h>

#include <inttypes.h>
#include <string.h>

struct crop_pad {
    uint32_t count; /* 0: all axes */
    uint32_t reserved;
    int64_t axes[MM_MAX_RANK];
};

static mm_status read(const struct onnx_attributes *a, void *params, mm_error *err) {
    struct crop_pad *crop = params;
    return mmi_onnx_read_ints(a, "axes", MM_MAX_RANK, crop->axes, &crop->count, err);
}

static mm_status infer(struct onnx_inference *x, mm_error *err) {
    const struct crop_pad *crop = x->params;
    const struct onnx_tensor *input = &x->inputs[0];
    uint32_t seen = 0, wanted = crop->count ? crop->count : input->rank;
    int64_t shape[MM_MAX_RANK];
    struct onnx_ints sizes;
    MMI_TRY(mmi_onnx_check_movable(x, 0, err));
    MMI_TRY(mmi_onnx_known_ints(x, 1, "shape", &sizes, err));
    if (sizes.count != wanted) {
        return mmi_fail(err, MM_INVALID_MODEL, "its shape has %u numbers for %u axes", sizes.count,
                        wanted);
    }
    memcpy(shape, input->shape, sizeof(shape));
    for (uint32_t i = 0; i < sizes.count; i++) {
        uint32_t axis = i;
        if (crop->count) {
            MMI_TRY(mmi_onnx_check_axis(crop->axes[i], input->rank, &axis, err));
        }
        if (seen >> axis & 1) {
            return mmi_fail(err, MM_INVALID_MODEL, "attribute axes has axis %u twice", axis);
        }
        seen |= 1u << axis;
        shape[axis] = sizes.at[i];
    }
    return mmi_onnx_tensor_set(&x->outputs[0], input->dtype, input->rank, shape, err);
}

static mm_status run(const struct onnx_call *call, mm_error *err) {
    const struct onnx_tensor *input = &call->inputs[0], *output = &call->outputs[0];
    struct onnx_move move = {.width = mmi_onnx_element_bytes(output->dtype)};
    int64_t from_steps[MM_MAX_RANK], to_steps[MM_MAX_RANK];
    const uint8_t *from = call->in[0];
    uint8_t *to = call->out[0];
    (void)err;
    if (output->bytes == 0 || !to) {
        return MM_OK;
    }
    memset(to, 0, output->bytes);
    if (input->bytes == 0) {
        return MM_OK;
    }
    mmi_onnx_byte_strides(input, from_steps);
    mmi_onnx_byte_strides(output, to_steps);
    for (uint32_t i = 0; i < input->rank; i++) {
        int64_t more = output->shape[i] - input->shape[i];
        from += more < 0 ? -more / 2 * from_steps[i] : 0;
        to += more > 0 ? more / 2 * to_steps[i] : 0;
        int64_t count = more < 0 ? output->shape[i] : input->shape[i];
        mmi_onnx_move_axis(&move, (uint64_t)count, from_steps[i], to_steps[i]);
    }
    mmi_onnx_move(&move, from, to);
    return MM_OK;
}

const struct onnx_operator mmi_onnx_op_CenterCropPad = {
    .name = "CenterCropPad",
    .min_inputs = 2,
    .max_inputs = 2,
    .min_outputs = 1,
    .max_outputs = 1,
    .params_bytes = sizeof(struct crop_pad),
    .limits = ONNX_LIMITS(ONNX_BETWEEN("axes", struct crop_pad, count, 0, MM_MAX_RANK)),
    .shaping_inputs = 1u << 1,
    .read = read,
    .infer = infer,
    .run = run,
    .facts = {ONNX_DTYPE_OF_0, ONNX_RANK_OF_0, ONNX_SIZE_ALIKE, 0},
};
