/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/operators/elementwise.h>
#include <base/checked.h>
#include <base/status.h>

mm_status mmi_onnx_infer_unary(struct onnx_inference *x, uint32_t types, mm_error *err) {
    const struct onnx_tensor *input = &x->inputs[0];
    MMI_TRY(mmi_onnx_check_type(x, 0, types, err));
    return mmi_onnx_tensor_set(&x->outputs[0], input->dtype, input->rank, input->shape, err);
}

mm_status mmi_onnx_infer_alike(struct onnx_inference *x, uint32_t types, mm_error *err) {
    MMI_TRY(mmi_onnx_check_types(x, types, err));
    return mmi_onnx_infer_broadcast(x, x->inputs[0].dtype, err);
}

/* What is computed lies as it is to be written. */
static bool writes_directly(int32_t dtype, enum onnx_number number) {
    return dtype == MM_BOOL || dtype == mmi_onnx_number_type(number);
}

void mmi_onnx_run_unary(const struct onnx_call *call, const onnx_unary_loop *loops,
                        const void *params) {
    int32_t dtype = call->inputs[0].dtype, to_dtype = call->outputs[0].dtype;
    uint64_t elements = call->out[0] ? call->outputs[0].elements : 0;
    uint32_t width = mmi_onnx_element_bytes(dtype), to_width = mmi_onnx_element_bytes(to_dtype);
    enum onnx_number number = mmi_onnx_number(dtype);
    bool direct = writes_directly(to_dtype, number);
    uint64_t max = direct && mmi_onnx_is_native(dtype) ? elements : ONNX_CHUNK;
    for (uint64_t at = 0, count; at < elements; at += count) {
        union onnx_chunk numbers, results;
        count = mmi_min_u64(max, elements - at);
        const void *from = mmi_onnx_load_numbers(dtype, (const uint8_t *)call->in[0] + at * width,
                                                 count, &numbers);
        uint8_t *to = (uint8_t *)call->out[0] + at * to_width;
        loops[number](params, from, count, direct ? (void *)to : &results);
        if (!direct) {
            mmi_onnx_store_numbers(to_dtype, &results, count, to);
        }
    }
}

void mmi_onnx_run_binary(const struct onnx_call *call, const onnx_binary_loop *loops,
                         enum onnx_number number) {
    int32_t type = mmi_onnx_number_type(number), to_dtype = call->outputs[0].dtype;
    uint64_t elements = call->out[0] ? call->outputs[0].elements : 0;
    bool direct = writes_directly(to_dtype, number);
    bool whole = direct && call->inputs[0].dtype == type && call->inputs[1].dtype == type;
    struct onnx_operand operands[2];
    for (uint32_t i = 0; i < 2; i++) {
        mmi_onnx_operand_set(&operands[i], &call->outputs[0], &call->inputs[i], call->in[i]);
    }
    for (uint64_t at = 0, count; at < elements; at += count) {
        union onnx_chunk gathered[2], numbers[2], results;
        struct onnx_stretch stretches[2];
        count = mmi_onnx_stretch_count(operands, 2, elements, at);
        count = whole ? count : mmi_min_u64(count, ONNX_CHUNK);
        for (uint32_t i = 0; i < 2; i++) {
            struct onnx_stretch *stretch = &stretches[i];
            *stretch = mmi_onnx_operand_at(&operands[i], at, count, &gathered[i]);
            stretch->data = mmi_onnx_load_as(number, call->inputs[i].dtype, stretch->data,
                                             stretch->step ? count : 1, &numbers[i]);
        }
        uint8_t *to = (uint8_t *)call->out[0] + at * mmi_onnx_element_bytes(to_dtype);
        loops[number](stretches[0], stretches[1], count, direct ? (void *)to : &results);
        if (!direct) {
            mmi_onnx_convert(type, &results, count, to_dtype, to);
        }
    }
}
