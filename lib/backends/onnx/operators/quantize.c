/* SPDX-License-Identifier: Apache-2.0 */

/* QuantizeLinear, DequantizeLinear, DynamicQuantizeLinear. */

#include <backends/onnx/operators/dequantized.h>
#include <backends/onnx/operators/move.h>
#include <backends/onnx/operators/quantize.h>
#include <base/checked.h>
#include <base/status.h>

#include <inttypes.h>

/* ---- What both have -------------------------------------------------------------------------- */

#define QUANTIZED                                                                                  \
    (ONNX_TYPE(MM_U8) | ONNX_TYPE(MM_I8) | ONNX_TYPE(MM_U16) | ONNX_TYPE(MM_I16) |                 \
     ONNX_SMALL_INTEGERS | ONNX_FLOATS_8 | ONNX_TYPE(MM_F4E2M1))
#define FULL (ONNX_TYPE(MM_F32) | ONNX_TYPE(MM_F16) | ONNX_TYPE(MM_BF16))
#define SCALES (FULL | ONNX_TYPE(MM_F8E8M0))

static mm_status read_rule(const struct onnx_attributes *a, struct onnx_quantization *q,
                           mm_error *err) {
    MMI_TRY(mmi_onnx_read_int(mmi_onnx_since(a, 13), "axis", 1, &q->rule.axis, err));
    return mmi_onnx_read_int(mmi_onnx_since(a, 21), "block_size", 0, &q->rule.block_size, err);
}

/* Scale and zero point fit each other and the tensor, input 0. */
static mm_status check_inputs(const struct onnx_inference *x, struct onnx_granularity *granularity,
                              mm_error *err) {
    const struct onnx_quantization *q = x->params;
    const struct onnx_tensor *scale = &x->inputs[1];
    if (mmi_onnx_has(x, 2)) {
        const struct onnx_tensor *zero = &x->inputs[2];
        bool single = scale->elements == 1 && zero->elements == 1;
        bool alike = scale->rank == zero->rank;
        for (uint32_t i = 0; alike && i < scale->rank; i++) {
            alike = scale->shape[i] == zero->shape[i];
        }
        if (!alike && !single) {
            return mmi_fail(err, MM_INVALID_MODEL,
                            "its scale has %u axes and %" PRIu64 " elements, its zero point %u "
                            "and %" PRIu64 ", the same wanted",
                            scale->rank, scale->elements, zero->rank, zero->elements);
        }
    }
    return mmi_onnx_find_granularity(&q->rule, &x->inputs[0], scale, granularity, err);
}

/* One call of either; zero.dtype MM_DTYPE_NONE: there is none. */
struct quantizing {
    const struct onnx_quantization *params;
    struct onnx_granularity granularity;
    struct onnx_tensor scale, zero;
    double scales[ONNX_CHUNK], zeros[ONNX_CHUNK];
};

static mm_status start(const struct onnx_call *call, struct quantizing *q, mm_error *err) {
    q->params = call->params;
    q->scale = mmi_onnx_call_input(call, 1);
    q->zero = mmi_onnx_call_input(call, 2);
    return mmi_onnx_find_granularity(&q->params->rule, &call->inputs[0], &q->scale, &q->granularity,
                                     err);
}

/* Scales and zero points of the next elements. */
static void spread(struct quantizing *q, uint64_t first, uint64_t count) {
    mmi_onnx_spread(&q->granularity, &q->scale, first, count, q->scales);
    if (q->zero.dtype == MM_DTYPE_NONE) {
        memset(q->zeros, 0, count * sizeof(q->zeros[0]));
    } else {
        mmi_onnx_spread(&q->granularity, &q->zero, first, count, q->zeros);
    }
}

/* ---- QuantizeLinear -------------------------------------------------------------------------- */

static mm_status read_quantize(const struct onnx_attributes *a, void *params, mm_error *err) {
    struct onnx_quantization *q = params;
    MMI_TRY(read_rule(a, q, err));
    MMI_TRY(mmi_onnx_read_flag(mmi_onnx_since(a, 19), "saturate", true, &q->how.saturate, err));
    MMI_TRY(
        mmi_onnx_read_int32(mmi_onnx_since(a, 23), "precision", MM_DTYPE_NONE, &q->precision, err));
    return mmi_onnx_read_int32(mmi_onnx_since(a, 21), "output_dtype", MM_DTYPE_NONE, &q->dtype,
                               err);
}

static mm_status infer_quantize(struct onnx_inference *x, mm_error *err) {
    const struct onnx_quantization *q = x->params;
    const struct onnx_tensor *input = &x->inputs[0];
    struct onnx_granularity granularity;
    int32_t dtype = mmi_onnx_has(x, 2) ? x->inputs[2].dtype : q->dtype;
    MMI_TRY(mmi_onnx_check_type(x, 0, FULL | ONNX_TYPE(MM_I32), err));
    MMI_TRY(mmi_onnx_check_type(x, 1, SCALES | ONNX_TYPE(MM_I32), err));
    MMI_TRY(mmi_onnx_check_type(x, 2, QUANTIZED, err));
    if (q->dtype != MM_DTYPE_NONE && q->dtype != dtype) {
        return mmi_fail(err, MM_INVALID_MODEL, "its zero point is %s, attribute output_dtype %s",
                        mm_dtype_text(dtype), mm_dtype_text(q->dtype));
    }
    MMI_TRY(check_inputs(x, &granularity, err));
    return mmi_onnx_tensor_set(&x->outputs[0], dtype != MM_DTYPE_NONE ? dtype : MM_U8, input->rank,
                               input->shape, err);
}

/* Quotients as the type has them that they are divided in. The quotient in double is rounded a
 * second time, which for types of half its bits is as if it had been once. */
static void round_to(int32_t dtype, double *values, uint64_t count) {
    uint64_t rounded[ONNX_CHUNK];
    if (ONNX_FLOATS >> dtype & 1 && dtype != MM_F64) {
        mmi_onnx_convert(MM_F64, values, count, dtype, rounded);
        mmi_onnx_convert(dtype, rounded, count, MM_F64, values);
    }
}

static mm_status run_quantize(const struct onnx_call *call, mm_error *err) {
    const struct onnx_quantization *params = call->params;
    const struct onnx_tensor *input = &call->inputs[0], *output = &call->outputs[0];
    struct quantizing q;
    double values[ONNX_CHUNK];
    if (!call->out[0]) {
        return MM_OK;
    }
    MMI_TRY(start(call, &q, err));
    int32_t scale = q.scale.dtype == MM_F8E8M0 ? MM_F32 : q.scale.dtype;
    int32_t precision = params->precision != MM_DTYPE_NONE ? params->precision : scale;
    for (uint64_t i = 0; i < input->elements; i += ONNX_CHUNK) {
        uint64_t count = mmi_min_u64(input->elements - i, ONNX_CHUNK);
        mmi_onnx_convert(input->dtype,
                         (const uint8_t *)call->in[0] + mm_dtype_bytes(input->dtype, i), count,
                         MM_F64, values);
        spread(&q, i, count);
        if (params->precision != MM_DTYPE_NONE) {
            round_to(precision, values, count);
            round_to(precision, q.scales, count);
        }
        for (uint64_t j = 0; j < count; j++) {
            values[j] /= q.scales[j];
        }
        round_to(precision, values, count);
        const struct onnx_requantizing to = {output->dtype, &params->how};
        mmi_onnx_quantize(&to, values, q.zeros, count,
                          (uint8_t *)call->out[0] + mm_dtype_bytes(output->dtype, i));
    }
    return MM_OK;
}

static void learn_quantize(const struct onnx_learning *l, uint32_t output, struct onnx_fact *fact) {
    const struct onnx_quantization *q = l->node->params;
    bool zero = l->node->input_count > 2 && l->node->inputs[2] != ONNX_NO_VALUE;
    (void)output;
    fact->dtype = zero ? mmi_onnx_fact(l, 2).dtype : q->dtype != MM_DTYPE_NONE ? q->dtype : MM_U8;
}

const struct onnx_operator mmi_onnx_op_QuantizeLinear = {
    .name = "QuantizeLinear",
    .min_inputs = 2,
    .max_inputs = 3,
    .min_outputs = 1,
    .max_outputs = 1,
    .params_bytes = sizeof(struct onnx_quantization),
    .limits = ONNX_LIMITS(
        ONNX_OF_TYPE("precision", struct onnx_quantization, precision,
                     FULL | ONNX_TYPE(MM_F64) | ONNX_OR_NONE),
        ONNX_OF_TYPE("output_dtype", struct onnx_quantization, dtype, QUANTIZED | ONNX_OR_NONE),
        ONNX_BETWEEN("round_mode", struct onnx_quantization, how.round, 0, ONNX_ROUND_NEAREST)),
    .read = read_quantize,
    .infer = infer_quantize,
    .run = run_quantize,
    .facts = {ONNX_DTYPE_UNKNOWN, ONNX_SHAPE_OF_0, ONNX_SIZE_ALIKE, 0},
    .learn = learn_quantize,
};

/* ---- DequantizeLinear ------------------------------------------------------------------------ */

static mm_status read_dequantize(const struct onnx_attributes *a, void *params, mm_error *err) {
    struct onnx_quantization *q = params;
    MMI_TRY(read_rule(a, q, err));
    return mmi_onnx_read_int32(mmi_onnx_since(a, 23), "output_dtype", MM_DTYPE_NONE, &q->dtype,
                               err);
}

static mm_status infer_dequantize(struct onnx_inference *x, mm_error *err) {
    const struct onnx_quantization *q = x->params;
    const struct onnx_tensor *input = &x->inputs[0];
    struct onnx_granularity granularity;
    int32_t dtype = q->dtype != MM_DTYPE_NONE ? q->dtype : x->inputs[1].dtype;
    MMI_TRY(mmi_onnx_check_type(x, 0, QUANTIZED | ONNX_TYPE(MM_I32), err));
    MMI_TRY(mmi_onnx_check_type(x, 1, SCALES, err));
    if (mmi_onnx_has(x, 2) && x->inputs[2].dtype != input->dtype) {
        return mmi_fail(err, MM_INVALID_MODEL, "its zero point is %s, its input %s",
                        mm_dtype_text(x->inputs[2].dtype), mm_dtype_text(input->dtype));
    }
    if (!(FULL >> dtype & 1)) {
        return mmi_fail(err, MM_INVALID_MODEL, "a scale of %s without attribute output_dtype",
                        mm_dtype_text(dtype));
    }
    MMI_TRY(check_inputs(x, &granularity, err));
    return mmi_onnx_tensor_set(&x->outputs[0], dtype, input->rank, input->shape, err);
}

static mm_status run_dequantize(const struct onnx_call *call, mm_error *err) {
    const struct onnx_tensor *input = &call->inputs[0], *output = &call->outputs[0];
    struct quantizing q;
    double values[ONNX_CHUNK];
    if (!call->out[0]) {
        return MM_OK;
    }
    MMI_TRY(start(call, &q, err));
    for (uint64_t i = 0; i < input->elements; i += ONNX_CHUNK) {
        uint64_t count = mmi_min_u64(input->elements - i, ONNX_CHUNK);
        mmi_onnx_convert(input->dtype,
                         (const uint8_t *)call->in[0] + mm_dtype_bytes(input->dtype, i), count,
                         MM_F64, values);
        spread(&q, i, count);
        for (uint64_t j = 0; j < count; j++) {
            values[j] = (values[j] - q.zeros[j]) * q.scales[j];
        }
        mmi_onnx_convert(MM_F64, values, count, output->dtype,
                         (uint8_t *)call->out[0] + mm_dtype_bytes(output->dtype, i));
    }
    return MM_OK;
}

static void learn_dequantize(const struct onnx_learning *l, uint32_t output,
                             struct onnx_fact *fact) {
    const struct onnx_quantization *q = l->node->params;
    (void)output;
    fact->dtype = q->dtype != MM_DTYPE_NONE ? q->dtype : mmi_onnx_fact(l, 1).dtype;
}

const struct onnx_operator mmi_onnx_op_DequantizeLinear = {
    .name = "DequantizeLinear",
    .flags = ONNX_OP_WIDENS,
    .min_inputs = 2,
    .max_inputs = 3,
    .min_outputs = 1,
    .max_outputs = 1,
    .params_bytes = sizeof(struct onnx_quantization),
    .limits = ONNX_LIMITS(
        ONNX_OF_TYPE("output_dtype", struct onnx_quantization, dtype, FULL | ONNX_OR_NONE)),
    .read = read_dequantize,
    .infer = infer_dequantize,
    .run = run_dequantize,
    .facts = {ONNX_DTYPE_UNKNOWN, ONNX_SHAPE_OF_0, ONNX_SIZE_ALIKE, 0},
    .learn = learn_dequantize,
};

/* ---- DynamicQuantizeLinear ------------------------------------------------------------------- */

static mm_status infer_dynamic(struct onnx_inference *x, mm_error *err) {
    const struct onnx_tensor *input = &x->inputs[0];
    MMI_TRY(mmi_onnx_check_type(x, 0, ONNX_TYPE(MM_F32), err));
    MMI_TRY(mmi_onnx_tensor_set(&x->outputs[0], MM_U8, input->rank, input->shape, err));
    if (x->output_count > 1) {
        MMI_TRY(mmi_onnx_tensor_set(&x->outputs[1], MM_F32, 0, NULL, err));
    }
    return x->output_count > 2 ? mmi_onnx_tensor_set(&x->outputs[2], MM_U8, 0, NULL, err) : MM_OK;
}

static mm_status run_dynamic(const struct onnx_call *call, mm_error *err) {
    (void)err;
    const uint64_t elements = call->inputs[0].elements;
    const struct onnx_to_bytes how = mmi_onnx_find_bytes(call->in[0], elements);
    if (call->out[0]) {
        mmi_onnx_to_bytes(&how, call->in[0], elements, call->out[0]);
    }
    if (call->output_count > 1 && call->out[1]) {
        *(float *)call->out[1] = how.scale;
    }
    if (call->output_count > 2 && call->out[2]) {
        *(uint8_t *)call->out[2] = (uint8_t)how.zero;
    }
    return MM_OK;
}

static void learn_dynamic(const struct onnx_learning *l, uint32_t output, struct onnx_fact *fact) {
    (void)l;
    if (output > 0) {
        fact->dtype = output == 1 ? MM_F32 : MM_U8;
        fact->rank = 0;
    }
}

const struct onnx_operator mmi_onnx_op_DynamicQuantizeLinear = {
    .name = "DynamicQuantizeLinear",
    .min_inputs = 1,
    .max_inputs = 1,
    .min_outputs = 1,
    .max_outputs = 3,
    .infer = infer_dynamic,
    .run = run_dynamic,
    .facts = {MM_U8, ONNX_SHAPE_OF_0, ONNX_SIZE_ALIKE, 0},
    .learn = learn_dynamic,
};
