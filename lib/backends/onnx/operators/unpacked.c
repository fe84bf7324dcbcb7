/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/graph/narrow.h>
#include <backends/onnx/operators/unpacked.h>
#include <base/checked.h>
#include <base/status.h>

#define INPUTS 4 /* at most */
#define ALIGN 64

/* Bytes of a tensor's elements, each in one of its own, in scratch. */
static uint64_t unpacked_bytes(const struct onnx_tensor *tensor) {
    uint64_t bytes;
    return mmi_round_up(tensor->elements, ALIGN, &bytes) ? bytes : UINT64_MAX;
}

static struct onnx_tensor unpacked(const struct onnx_tensor *tensor) {
    struct onnx_tensor bytes = *tensor;
    bytes.dtype = MM_U8;
    bytes.bytes = tensor->elements;
    return bytes;
}

/* The inputs, those of the type of input 0 as bytes; how many there are. */
static uint32_t unpack_inputs(uint32_t count, const struct onnx_tensor *from,
                              struct onnx_tensor *to) {
    count = count < INPUTS ? count : INPUTS;
    for (uint32_t i = 0; i < count; i++) {
        to[i] = from[i].dtype == from[0].dtype ? unpacked(&from[i]) : from[i];
    }
    return count;
}

mm_status mmi_onnx_infer_unpacked(struct onnx_inference *x,
                                  mm_status (*infer)(struct onnx_inference *x, mm_error *err),
                                  mm_error *err) {
    int32_t dtype = x->inputs[0].dtype;
    if (mmi_onnx_packed_bits(dtype) == 0) {
        return infer(x, err);
    }
    struct onnx_tensor inputs[INPUTS];
    struct onnx_inference bytes = *x;
    uint64_t scratch = 0;
    bytes.input_count = unpack_inputs(x->input_count, x->inputs, inputs);
    bytes.inputs = inputs;
    for (uint32_t i = 1; i < bytes.input_count; i++) {
        if (x->inputs[i].dtype == MM_U8) { /* not to be mixed up with what is unpacked */
            return mmi_fail(err, MM_INVALID_MODEL, "its input %u is u8, its input 0 %s", i,
                            mm_dtype_text(dtype));
        }
    }
    MMI_TRY(infer(&bytes, err));
    struct onnx_tensor output = x->outputs[0];
    MMI_TRY(mmi_onnx_tensor_set(&x->outputs[0], dtype, output.rank, output.shape, err));
    for (uint32_t i = 0; i < bytes.input_count; i++) {
        bool copied = x->inputs[i].dtype == dtype;
        scratch = copied ? mmi_add_cap(scratch, unpacked_bytes(&inputs[i])) : scratch;
    }
    scratch = mmi_add_cap(scratch, unpacked_bytes(&output));
    x->scratch_bytes = mmi_add_cap(scratch, bytes.scratch_bytes);
    return x->scratch_bytes < UINT64_MAX ? MM_OK
                                         : mmi_fail(err, MM_TOO_LARGE, "its input is too large");
}

mm_status mmi_onnx_run_unpacked(const struct onnx_call *call, onnx_kernel run, mm_error *err) {
    int32_t dtype = call->inputs[0].dtype;
    if (mmi_onnx_packed_bits(dtype) == 0) {
        return run(call, err);
    }
    if (!call->out[0]) {
        return MM_OK;
    }
    struct onnx_tensor inputs[INPUTS], output = unpacked(&call->outputs[0]);
    const void *in[INPUTS];
    uint8_t *room = call->scratch;
    void *const out = room;
    struct onnx_call bytes = *call;
    bytes.input_count = unpack_inputs(call->input_count, call->inputs, inputs);
    bytes.inputs = inputs;
    bytes.outputs = &output;
    bytes.in = in;
    bytes.out = &out;
    room += unpacked_bytes(&output);
    for (uint32_t i = 0; i < bytes.input_count; i++) {
        in[i] = call->in[i];
        if (call->inputs[i].dtype == dtype) {
            mmi_onnx_unpack_bits(dtype, call->in[i], inputs[i].elements, room);
            in[i] = room;
            room += unpacked_bytes(&inputs[i]);
        }
    }
    bytes.scratch = room;
    MMI_TRY(run(&bytes, err));
    mmi_onnx_pack_bits(dtype, out, output.elements, call->out[0]);
    return MM_OK;
}
