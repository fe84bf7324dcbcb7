/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/operators/copies.h>
#include <base/checked.h>
#include <base/status.h>

#define ALIGN 64

static bool is_short(int32_t dtype) {
    return dtype == MM_F16 || dtype == MM_BF16;
}

/* Room for all copies of those of `tensors` that have type `dtype`; UINT64_MAX on overflow. */
static uint64_t copies_bytes(const struct onnx_tensor *tensors, uint32_t count, int32_t dtype) {
    uint64_t all = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t bytes;
        if (tensors[i].dtype == dtype) {
            bool fits = mmi_mul(tensors[i].elements, sizeof(float), &bytes) &&
                        mmi_round_up(bytes, ALIGN, &bytes);
            all = fits ? mmi_add_cap(all, bytes) : UINT64_MAX;
        }
    }
    return all;
}

mm_status mmi_onnx_add_copies(struct onnx_inference *x, mm_error *err) {
    int32_t dtype = x->inputs[0].dtype;
    if (!is_short(dtype)) {
        return MM_OK;
    }
    uint64_t copies = mmi_add_cap(copies_bytes(x->inputs, x->input_count, dtype),
                                  copies_bytes(x->outputs, x->output_count, dtype));
    x->scratch_bytes = mmi_add_cap(x->scratch_bytes, copies);
    if (x->scratch_bytes == UINT64_MAX) {
        return mmi_fail(err, MM_TOO_LARGE, "its inputs are too large to copy as f32");
    }
    return MM_OK;
}

/* The same call with f32 in place of a short type. */
struct copied {
    uint32_t input_count; /* without what is left out behind the last there can be */
    struct onnx_tensor inputs[ONNX_COPIED], outputs[ONNX_COPIED];
    const void *in[ONNX_COPIED];
    void *out[ONNX_COPIED];
    uint8_t *room; /* what is left of the scratch */
};

/* Make an f32 of a tensor; returns a place for it in place of `data`, if that is one. */
static void *replace(struct onnx_tensor *tensor, const void *data, struct copied *copied) {
    void *place = copied->room;
    uint64_t bytes = copies_bytes(tensor, 1, tensor->dtype);
    tensor->dtype = MM_F32;
    tensor->bytes = tensor->elements * sizeof(float);
    if (!data || bytes == 0) {
        return (void *)(uintptr_t)data;
    }
    copied->room += bytes;
    return place;
}

static void copy_call(const struct onnx_call *call, struct copied *copied) {
    int32_t dtype = call->inputs[0].dtype;
    copied->room = call->scratch;
    copied->input_count = (uint32_t)mmi_min_u64(call->input_count, ONNX_COPIED);
    for (uint32_t i = 0; i < copied->input_count; i++) {
        copied->inputs[i] = call->inputs[i];
        copied->in[i] = call->in[i];
        if (call->inputs[i].dtype == dtype) {
            void *copy = replace(&copied->inputs[i], call->in[i], copied);
            mmi_onnx_convert(dtype, call->in[i], call->inputs[i].elements, MM_F32, copy);
            copied->in[i] = copy;
        }
    }
    for (uint32_t i = 0; i < call->output_count; i++) {
        copied->outputs[i] = call->outputs[i];
        copied->out[i] = call->out[i];
        if (call->outputs[i].dtype == dtype) {
            copied->out[i] = replace(&copied->outputs[i], call->out[i], copied);
        }
    }
}

mm_status mmi_onnx_run_copied(const struct onnx_call *call, onnx_kernel run, mm_error *err) {
    struct copied copied;
    int32_t dtype = call->inputs[0].dtype;
    if (!is_short(dtype)) {
        return run(call, err);
    }
    copy_call(call, &copied);
    struct onnx_call inner = {.params = call->params,
                              .input_count = copied.input_count,
                              .output_count = call->output_count,
                              .inputs = copied.inputs,
                              .outputs = copied.outputs,
                              .in = copied.in,
                              .out = copied.out,
                              .scratch = copied.room,
                              .services = call->services,
                              .take_text = call->take_text,
                              .text_ctx = call->text_ctx};
    MMI_TRY(run(&inner, err));
    for (uint32_t i = 0; i < call->output_count; i++) {
        if (copied.out[i] != call->out[i]) {
            mmi_onnx_convert(MM_F32, copied.out[i], call->outputs[i].elements, dtype, call->out[i]);
        }
    }
    return MM_OK;
}
