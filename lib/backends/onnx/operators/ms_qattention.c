/* SPDX-License-Identifier: Apache-2.0 */

/* QAttention of com.microsoft: Attention whose input and weights are u8 or i8. */

#include <backends/onnx/operators/dequantized.h>
#include <backends/onnx/operators/move.h>
#include <backends/onnx/operators/ms_attention.h>
#include <backends/onnx/operators/ms_qlinear.h>
#include <base/checked.h>
#include <base/status.h>

#include <inttypes.h>

enum { DATA, WEIGHTS, BIAS, SCALE, WEIGHT_SCALE, MASK, ZERO, WEIGHT_ZERO, PAST, INPUTS };
/* The inputs of Attention, in their order. */
static const uint32_t plain_places[] = {DATA, WEIGHTS, BIAS, MASK, PAST};
#define PLAIN 5

static mm_status read(const struct onnx_attributes *a, void *params, mm_error *err) {
    return mmi_onnx_read_ms_attention(a, params, err);
}

/* The inputs of the Attention that this one is, with f32 in place of bytes. */
static mm_status plain_inputs(const struct onnx_tensor *inputs, uint32_t count,
                              struct onnx_tensor *to, mm_error *err) {
    for (uint32_t i = 0; i < PLAIN; i++) {
        const uint32_t from = plain_places[i];
        to[i] = from < count ? inputs[from] : (struct onnx_tensor){.dtype = MM_DTYPE_NONE};
        if (i <= WEIGHTS) {
            MMI_TRY(
                mmi_onnx_tensor_set(&to[i], MM_F32, inputs[from].rank, inputs[from].shape, err));
        }
    }
    return MM_OK;
}

static mm_status infer(struct onnx_inference *x, mm_error *err) {
    const struct onnx_tensor *data = &x->inputs[DATA], *weights = &x->inputs[WEIGHTS];
    struct onnx_tensor inputs[PLAIN];
    for (uint32_t i = 0; i <= WEIGHT_SCALE; i++) {
        if (!mmi_onnx_has(x, i)) {
            return mmi_fail(err, MM_INVALID_MODEL, "its input %u is left out", i);
        }
    }
    MMI_TRY(mmi_onnx_check_type(x, DATA, ONNX_BYTES, err));
    MMI_TRY(mmi_onnx_check_type(x, WEIGHTS, ONNX_BYTES, err));
    MMI_TRY(plain_inputs(x->inputs, x->input_count, inputs, err));
    struct onnx_inference plain = {.params = x->params,
                                   .input_count = PLAIN,
                                   .output_count = x->output_count,
                                   .inputs = inputs,
                                   .outputs = x->outputs};
    MMI_TRY(mmi_onnx_op_MsAttention.infer(&plain, err));
    const int64_t columns = weights->shape[1];
    MMI_TRY(mmi_onnx_check_by_column(x, SCALE, MM_F32, 1, err));
    MMI_TRY(mmi_onnx_check_by_column(x, WEIGHT_SCALE, MM_F32, columns, err));
    MMI_TRY(mmi_onnx_check_by_column(x, ZERO, data->dtype, 1, err));
    MMI_TRY(mmi_onnx_check_by_column(x, WEIGHT_ZERO, weights->dtype, columns, err));
    uint64_t product = mmi_onnx_quantized_bytes((uint64_t)weights->shape[0], 0);
    bool fits = product < UINT64_MAX && mmi_round_up(product, 64, &product);
    x->scratch_bytes = mmi_add_cap(plain.scratch_bytes, product);
    return fits && x->scratch_bytes < UINT64_MAX
               ? MM_OK
               : mmi_fail(err, MM_TOO_LARGE, "its inputs are too large");
}

struct projection {
    const struct onnx_call *call; /* of QAttention */
    onnx_quantized_runner runner;
};

static void project(const struct onnx_call *plain, const void *ctx, float *made, void *scratch) {
    const struct projection *projection = ctx;
    const struct onnx_call *call = projection->call;
    const struct onnx_tensor *data = &call->inputs[DATA], *weights = &call->inputs[WEIGHTS];
    const struct onnx_dequantized product = {.runner = projection->runner,
                                             .call = call,
                                             .rows = (uint64_t)data->shape[0] *
                                                     (uint64_t)data->shape[1],
                                             .depth = (uint64_t)weights->shape[0],
                                             .columns = (uint64_t)weights->shape[1],
                                             .a = call->in[DATA],
                                             .a_dtype = data->dtype,
                                             .a_zero = mmi_onnx_zero_of(call, ZERO),
                                             .a_scale = *(const float *)call->in[SCALE],
                                             .b = call->in[WEIGHTS],
                                             .b_dtype = weights->dtype,
                                             .b_zero = mmi_onnx_by_column(call, WEIGHT_ZERO),
                                             .b_scale = mmi_onnx_by_column(call, WEIGHT_SCALE),
                                             .bias = call->in[BIAS],
                                             .out = made};
    (void)plain;
    (void)scratch; /* has no room for sums of i32: that is in front */
    mmi_onnx_multiply_dequantized(&product, call->scratch);
}

mm_status mmi_onnx_run_qattention(const struct onnx_call *call, onnx_quantized_runner runner,
                                  mm_error *err) {
    const struct projection projection = {call, runner};
    const uint64_t depth = (uint64_t)call->inputs[WEIGHTS].shape[0];
    struct onnx_tensor inputs[PLAIN];
    const void *in[PLAIN];
    uint64_t product;
    if (!call->out[0] && !(call->output_count > 1 && call->out[1])) {
        return MM_OK;
    }
    MMI_TRY(plain_inputs(call->inputs, call->input_count, inputs, err));
    for (uint32_t i = 0; i < PLAIN; i++) {
        in[i] = mmi_onnx_given(call, plain_places[i]) ? call->in[plain_places[i]] : NULL;
    }
    (void)mmi_round_up(mmi_onnx_quantized_bytes(depth, 0), 64, &product); /* infer has checked it */
    struct onnx_call plain = *call;
    plain.input_count = PLAIN;
    plain.inputs = inputs;
    plain.in = in;
    plain.scratch = (uint8_t *)call->scratch + product;
    return mmi_onnx_run_ms_attention(&plain, project, &projection, err);
}

static mm_status run(const struct onnx_call *call, mm_error *err) {
    return mmi_onnx_run_qattention(call, mmi_onnx_multiply_quantized, err);
}

static void learn(const struct onnx_learning *l, uint32_t output, struct onnx_fact *fact) {
    (void)l;
    *fact = (struct onnx_fact){.dtype = MM_F32, .rank = output == 0 ? 3 : 5};
}

const struct onnx_operator mmi_onnx_op_MsQAttention = {
    .name = "QAttention",
    .domain = ONNX_MICROSOFT,
    .min_inputs = WEIGHT_SCALE + 1,
    .max_inputs = INPUTS,
    .min_outputs = 1,
    .max_outputs = 2,
    .params_bytes = sizeof(struct onnx_ms_params),
    .limits = ONNX_LIMITS(ONNX_MS_LIMITS(struct onnx_ms_params, )),
    .read = read,
    .infer = infer,
    .run = run,
    .kernels = {[ONNX_CPU] = mmi_onnx_cpu_MsQAttention},
    .weight_inputs = 1u << WEIGHTS | 1u << BIAS | 1u << WEIGHT_SCALE | 1u << WEIGHT_ZERO,
    .facts = {MM_F32, ONNX_RANK_OF_0, ONNX_SIZE_ALIKE, 0},
    .learn = learn,
};
