/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/operators/elementwise.h>
#include <backends/onnx/operators/move.h>
#include <base/checked.h>

/* Operators of any number of inputs: chunk by chunk, one input after the other is taken into the
 * result, which is written when all of them have been read. */

#define LOOPS(name, function, i64, u64)                                                            \
    static const onnx_binary_loop name[ONNX_NUMBERS] = {mmi_onnx_f32_##function,                   \
                                                        mmi_onnx_f64_##function, i64, u64}
LOOPS(loops_Sum, Add, NULL, NULL);
LOOPS(quotients, Div, NULL, NULL);

ONNX_BINARY_LOOP(max_i64, int64_t, int64_t, x > y ? x : y)
ONNX_BINARY_LOOP(max_u64, uint64_t, uint64_t, x > y ? x : y)
LOOPS(loops_Max, Max, max_i64, max_u64);

ONNX_BINARY_LOOP(min_i64, int64_t, int64_t, x < y ? x : y)
ONNX_BINARY_LOOP(min_u64, uint64_t, uint64_t, x < y ? x : y)
LOOPS(loops_Min, Min, min_i64, min_u64);

static mm_status infer(struct onnx_inference *x, uint32_t types, mm_error *err) {
    x->scratch_bytes = x->input_count * sizeof(struct onnx_operand);
    return mmi_onnx_infer_alike(x, types, err);
}

/* Elements [at, at + count) of all inputs in one. */
static void combine(const struct onnx_call *call, const onnx_binary_loop *loops, uint64_t at,
                    uint64_t count, union onnx_chunk *result) {
    const struct onnx_operand *operands = call->scratch;
    int32_t dtype = call->outputs[0].dtype;
    enum onnx_number number = mmi_onnx_number(dtype);
    uint32_t width = mmi_onnx_element_bytes(mmi_onnx_number_type(number));
    for (uint32_t i = 0; i < call->input_count; i++) {
        union onnx_chunk gathered, numbers;
        struct onnx_stretch next = mmi_onnx_operand_at(&operands[i], at, count, &gathered);
        next.data = mmi_onnx_load_numbers(dtype, next.data, next.step ? count : 1, &numbers);
        if (i > 0) {
            loops[number]((struct onnx_stretch){result, 1}, next, count, result);
        } else if (next.step) {
            memcpy(result, next.data, count * width);
        } else {
            mmi_onnx_fill(result, count, next.data, width);
        }
    }
}

static void run(const struct onnx_call *call, const onnx_binary_loop *loops, bool mean) {
    struct onnx_operand *operands = call->scratch;
    int32_t dtype = call->outputs[0].dtype;
    uint64_t elements = call->out[0] ? call->outputs[0].elements : 0;
    if (call->input_count == 2 && !mean) {
        mmi_onnx_run_binary(call, loops, mmi_onnx_number(dtype));
        return;
    }
    for (uint32_t i = 0; i < call->input_count; i++) {
        mmi_onnx_operand_set(&operands[i], &call->outputs[0], &call->inputs[i], call->in[i]);
    }
    for (uint64_t at = 0, count; at < elements; at += count) {
        union onnx_chunk result, divisor;
        count = mmi_onnx_stretch_count(operands, call->input_count, elements, at);
        count = mmi_min_u64(count, ONNX_CHUNK);
        combine(call, loops, at, count, &result);
        if (mean) {
            enum onnx_number number = mmi_onnx_number(dtype);
            int64_t inputs = call->input_count;
            mmi_onnx_convert(MM_I64, &inputs, 1, mmi_onnx_number_type(number), &divisor);
            quotients[number]((struct onnx_stretch){&result, 1}, (struct onnx_stretch){&divisor, 0},
                              count, &result);
        }
        mmi_onnx_store_numbers(dtype, &result, count,
                               (uint8_t *)call->out[0] + at * mmi_onnx_element_bytes(dtype));
    }
}

#define NARY(name_, types, loops, mean, form_, function_)                                          \
    ONNX_INFER(name_, infer(x, types, err))                                                        \
    ONNX_RUN(name_, run(call, loops, mean))                                                        \
    const struct onnx_operator mmi_onnx_op_##name_ = {                                             \
        .name = #name_,                                                                            \
        .flags = ONNX_OP_IN_PLACE,                                                                 \
        .min_inputs = 1,                                                                           \
        .max_inputs = ONNX_ANY_NUMBER,                                                             \
        .min_outputs = 1,                                                                          \
        .max_outputs = 1,                                                                          \
        .infer = infer_##name_,                                                                    \
        .run = run_##name_,                                                                        \
        .elementwise = {.form = form_, .function = function_},                                     \
        .facts = ONNX_FACTS_BROADCAST,                                                             \
        .order = {ONNX_ORDER_ANY, 0, NULL},                                                        \
    };

NARY(Sum, ONNX_FLOATS, loops_Sum, false, ONNX_FORM_ALL, ONNX_F_Add)
NARY(Mean, ONNX_FLOATS, loops_Sum, true, ONNX_FORM_MEAN, ONNX_F_Add)
NARY(Max, ONNX_REALS, loops_Max, false, ONNX_FORM_ALL, ONNX_F_Max)
NARY(Min, ONNX_REALS, loops_Min, false, ONNX_FORM_ALL, ONNX_F_Min)
