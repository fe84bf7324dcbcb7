/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/operators/channels.h>
#include <backends/onnx/operators/channels_last.h>
#include <base/checked.h>
#include <base/status.h>

#define MOST 4 /* inputs */

static mm_status plain_tensor(const struct onnx_tensor *tensor, struct onnx_tensor *to,
                              mm_error *err) {
    int64_t shape[MM_MAX_RANK];
    mmi_onnx_channels_first(tensor, shape);
    return mmi_onnx_tensor_set(to, tensor->dtype, tensor->rank, shape, err);
}

static mm_status plain_inputs(const struct onnx_moved *form, const struct onnx_tensor *inputs,
                              uint32_t count, struct onnx_tensor *to, mm_error *err) {
    for (uint32_t i = 0; i < count && i < MOST; i++) {
        to[i] = inputs[i];
        if (i < form->moved) {
            MMI_TRY(plain_tensor(&inputs[i], &to[i], err));
        }
    }
    return MM_OK;
}

/* UINT64_MAX on overflow. */
static uint64_t room_of(const struct onnx_tensor *tensor) {
    uint64_t bytes;
    return mmi_round_up(tensor->bytes, 64, &bytes) ? bytes : UINT64_MAX;
}

/* Of the copies, with what `plain` wants; UINT64_MAX on overflow. */
static uint64_t all_room(const struct onnx_moved *form, const struct onnx_inference *plain) {
    uint64_t bytes = mmi_add_cap(plain->scratch_bytes, room_of(&plain->outputs[0]));
    for (uint32_t i = 0; i < form->moved; i++) {
        bytes = mmi_add_cap(bytes, room_of(&plain->inputs[i]));
    }
    return bytes;
}

mm_status mmi_onnx_infer_moved(struct onnx_inference *x, const struct onnx_moved *form,
                               mm_error *err) {
    struct onnx_tensor inputs[MOST] = {{0}}, made = {0};
    int64_t shape[MM_MAX_RANK];
    MMI_TRY(plain_inputs(form, x->inputs, x->input_count, inputs, err));
    struct onnx_inference plain = {.params = x->params,
                                   .input_count = x->input_count,
                                   .output_count = 1,
                                   .inputs = inputs,
                                   .outputs = &made};
    MMI_TRY(form->plain->infer(&plain, err));
    x->scratch_bytes = all_room(form, &plain);
    if (x->scratch_bytes == UINT64_MAX) {
        return mmi_fail(err, MM_TOO_LARGE, "its inputs are too large to copy");
    }
    mmi_onnx_channels_last(&made, shape);
    return mmi_onnx_tensor_set(&x->outputs[0], made.dtype, made.rank, shape, err);
}

mm_status mmi_onnx_run_moved(const struct onnx_call *call, const struct onnx_moved *form,
                             mm_error *err) {
    const uint32_t width = mmi_onnx_element_bytes(call->outputs[0].dtype);
    struct onnx_tensor inputs[MOST] = {{0}}, made;
    const void *in[MOST] = {NULL};
    uint8_t *room = call->scratch;
    void *result;
    if (!call->out[0]) {
        return MM_OK;
    }
    MMI_TRY(plain_inputs(form, call->inputs, call->input_count, inputs, err));
    MMI_TRY(plain_tensor(&call->outputs[0], &made, err));
    for (uint32_t i = 0; i < call->input_count && i < MOST; i++) {
        in[i] = call->in[i];
        if (i < form->moved) {
            mmi_onnx_move_channels(&inputs[i], width, false, call->in[i], room);
            in[i] = room;
            room += room_of(&inputs[i]);
        }
    }
    result = room;
    struct onnx_call plain = *call;
    plain.inputs = inputs;
    plain.outputs = &made;
    plain.in = in;
    plain.out = &result;
    plain.scratch = room + room_of(&made);
    MMI_TRY(form->plain->run(&plain, err));
    mmi_onnx_move_channels(&made, width, true, result, call->out[0]);
    return MM_OK;
}
