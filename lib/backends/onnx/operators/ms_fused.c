/* SPDX-License-Identifier: Apache-2.0 */

/* FusedConv, FusedGemm and GemmFastGelu of com.microsoft: Conv, Gemm and MatMul with an activation,
 * and what FusedConv adds before it. */

#include <backends/onnx/operators/conv.h>
#include <backends/onnx/operators/copies.h>
#include <backends/onnx/operators/matmul.h>
#include <base/status.h>

#include <string.h>

/* The activation's name and its numbers, `count` of them given. */
static mm_status read_activation(const struct onnx_attributes *a, const float *numbers,
                                 uint32_t count, struct onnx_activation *activation,
                                 mm_error *err) {
    static const char *const names[] = {"",          "Relu", "Tanh",        "Sigmoid",
                                        "LeakyRelu", "Clip", "HardSigmoid", NULL};
    static const struct onnx_activation made[] = {
        {.function = ONNX_F_NONE},
        {.function = ONNX_F_Relu},
        {.function = ONNX_F_Tanh},
        {.function = ONNX_F_Sigmoid},
        {.function = ONNX_F_LeakyRelu, .a = 0.01f},
        {.function = ONNX_F_Clip, .a = -3.402823466e38f, .b = 3.402823466e38f},
        {.function = ONNX_F_HardSigmoid, .a = 0.2f, .b = 0.5f}};
    int32_t choice;
    MMI_TRY(mmi_onnx_read_choice(a, "activation", names, &choice, err));
    *activation = made[choice];
    activation->a = count > 0 ? numbers[0] : activation->a;
    activation->b = count > 1 ? numbers[1] : activation->b;
    return MM_OK;
}

/* ---- FusedConv ------------------------------------------------------------------------------- */

static mm_status read_conv(const struct onnx_attributes *a, void *params, mm_error *err) {
    struct onnx_conv *conv = params;
    const struct onnx_attribute *numbers = mmi_onnx_attribute(a, "activation_params");
    bool floats = numbers && numbers->type == ONNX_ATTRIBUTE_FLOATS;
    MMI_TRY(mmi_onnx_read_conv(a, conv, err));
    return read_activation(a, floats ? numbers->floats : NULL,
                           floats && numbers->count < 3 ? (uint32_t)numbers->count : 0,
                           &conv->activation, err);
}

static mm_status infer_conv(struct onnx_inference *x, mm_error *err) {
    MMI_TRY(mmi_onnx_op_Conv.infer(x, err));
    const struct onnx_tensor *made = &x->outputs[0], *added = &x->inputs[3];
    bool fits = !mmi_onnx_has(x, 3) || added->rank == made->rank;
    for (uint32_t i = 0; i < made->rank && fits && mmi_onnx_has(x, 3); i++) {
        fits = added->shape[i] == made->shape[i];
    }
    return fits ? MM_OK
                : mmi_fail(err, MM_INVALID_MODEL,
                           "its input 3 has %u axes, its output %u, or another shape", added->rank,
                           made->rank);
}

static mm_status add_and_activate(const struct onnx_call *call, mm_error *err) {
    struct onnx_conv plain = *(const struct onnx_conv *)call->params;
    struct onnx_call inner = *call;
    const struct onnx_stretch added = {call->in[3], 1}, made = {call->out[0], 1};
    const struct onnx_activation activation = plain.activation;
    uint64_t count = call->outputs[0].elements;
    plain.activation = (struct onnx_activation){.function = ONNX_F_NONE};
    inner.params = &plain;
    inner.input_count = 3;
    MMI_TRY(mmi_onnx_op_Conv.run(&inner, err));
    if (call->outputs[0].dtype == MM_F64) {
        mmi_onnx_f64_Add(made, added, count, call->out[0]);
    } else {
        mmi_onnx_f32_Add(made, added, count, call->out[0]);
        mmi_onnx_activate(&activation, call->out[0], count);
    }
    return MM_OK;
}

static mm_status run_conv(const struct onnx_call *call, mm_error *err) {
    if (!call->out[0] || !mmi_onnx_given(call, 3)) {
        return mmi_onnx_op_Conv.run(call, err);
    }
    return mmi_onnx_run_copied(call, add_and_activate, err);
}

static onnx_kernel choose_conv(struct onnx_inference *x, const mm_services *services) {
    return mmi_onnx_has(x, 3) ? NULL : mmi_onnx_cpu_Conv(x, services);
}

const struct onnx_operator mmi_onnx_op_MsFusedConv = {
    .name = "FusedConv",
    .domain = ONNX_MICROSOFT,
    .min_inputs = 2,
    .max_inputs = 4,
    .min_outputs = 1,
    .max_outputs = 1,
    .params_bytes = sizeof(struct onnx_conv),
    .limits = ONNX_LIMITS(ONNX_CONV_LIMITS),
    .read = read_conv,
    .infer = infer_conv,
    .run = run_conv,
    .weight_inputs = 1u << 1 | 1u << 2,
    .facts = {ONNX_DTYPE_OF_ANY, ONNX_RANK_OF_1, ONNX_SIZE_ALIKE, 0},
    .kernels = {[ONNX_CPU] = choose_conv}};

/* ---- FusedGemm ------------------------------------------------------------------------------- */

struct fused_gemm {
    struct onnx_gemm gemm; /* first: Gemm reads it */
    struct onnx_activation activation;
};

static mm_status read_gemm(const struct onnx_attributes *a, void *params, mm_error *err) {
    struct fused_gemm *p = params;
    float numbers[2], gamma;
    bool alpha = mmi_onnx_attribute(a, "activation_alpha");
    bool beta = mmi_onnx_attribute(a, "activation_beta");
    MMI_TRY(mmi_onnx_read_float(a, "activation_alpha", 0, &numbers[0], err));
    MMI_TRY(mmi_onnx_read_float(a, "activation_beta", 0, &numbers[1], err));
    MMI_TRY(mmi_onnx_read_float(a, "activation_gamma", 0, &gamma, err)); /* no activation has one */
    MMI_TRY(mmi_onnx_op_Gemm.read(a, &p->gemm, err));
    return read_activation(a, numbers, alpha ? 1 + beta : 0, &p->activation, err);
}

static mm_status infer_gemm(struct onnx_inference *x, mm_error *err) {
    const struct fused_gemm *p = x->params;
    MMI_TRY(mmi_onnx_check_types(x, ONNX_FLOATS & ~ONNX_TYPE(MM_F64), err));
    if (!mmi_onnx_activation_is_sound(&p->activation)) {
        return mmi_fail(err, MM_INVALID_MODEL, "its activation %d is none", p->activation.function);
    }
    return mmi_onnx_op_Gemm.infer(x, err);
}

static mm_status run_gemm_f32(const struct onnx_call *call, mm_error *err) {
    const struct fused_gemm *p = call->params;
    MMI_TRY(mmi_onnx_op_Gemm.run(call, err));
    mmi_onnx_activate(&p->activation, call->out[0], call->outputs[0].elements);
    return MM_OK;
}

static mm_status run_gemm(const struct onnx_call *call, mm_error *err) {
    return call->out[0] ? mmi_onnx_run_copied(call, run_gemm_f32, err) : MM_OK;
}

const struct onnx_operator mmi_onnx_op_MsFusedGemm = {
    .name = "FusedGemm",
    .domain = ONNX_MICROSOFT,
    .min_inputs = 2,
    .max_inputs = 3,
    .min_outputs = 1,
    .max_outputs = 1,
    .params_bytes = sizeof(struct fused_gemm),
    .limits = ONNX_LIMITS(ONNX_GEMM_LIMITS(struct fused_gemm, gemm.)),
    .read = read_gemm,
    .infer = infer_gemm,
    .run = run_gemm,
    .facts = {ONNX_DTYPE_OF_ANY, ONNX_RANK_IS_2, ONNX_SIZE_ALIKE, 0}};

/* ---- GemmFastGelu: FastGelu of the product and its bias -------------------------------------- */

/* What FastGelu gets: the product, and input 2. */
static uint32_t take_biased(const struct onnx_tensor *inputs, uint32_t count,
                            const struct onnx_tensor *product, struct onnx_tensor *to) {
    to[0] = *product;
    if (count < 3 || inputs[2].dtype == MM_DTYPE_NONE) {
        return 1;
    }
    to[1] = inputs[2];
    return 2;
}

static mm_status infer_fast_gelu(struct onnx_inference *x, mm_error *err) {
    struct onnx_tensor biased[2], made = {0};
    MMI_TRY(mmi_onnx_check_types(x, ONNX_FLOATS & ~ONNX_TYPE(MM_F64), err));
    struct onnx_inference product = *x;
    product.input_count = 2;
    MMI_TRY(mmi_onnx_op_MatMul.infer(&product, err));
    x->scratch_bytes = product.scratch_bytes;
    const struct onnx_tensor *of_product = &x->outputs[0];
    struct onnx_inference gelu = {.input_count =
                                      take_biased(x->inputs, x->input_count, of_product, biased),
                                  .output_count = 1,
                                  .inputs = biased,
                                  .outputs = &made};
    return mmi_onnx_op_MsFastGelu.infer(&gelu, err);
}

static mm_status run_fast_gelu(const struct onnx_call *call, mm_error *err) {
    struct onnx_tensor biased[2];
    const void *in[2] = {call->out[0], call->input_count > 2 ? call->in[2] : NULL};
    struct onnx_call product = *call, gelu = *call;
    if (!call->out[0]) {
        return MM_OK;
    }
    product.input_count = 2;
    MMI_TRY(mmi_onnx_op_MatMul.run(&product, err));
    gelu.input_count = take_biased(call->inputs, call->input_count, &call->outputs[0], biased);
    gelu.inputs = biased;
    gelu.in = in;
    return mmi_onnx_op_MsFastGelu.run(&gelu, err);
}

const struct onnx_operator mmi_onnx_op_MsGemmFastGelu = {
    .name = "GemmFastGelu",
    .domain = ONNX_MICROSOFT,
    .min_inputs = 2,
    .max_inputs = 3,
    .min_outputs = 1,
    .max_outputs = 1,
    .infer = infer_fast_gelu,
    .run = run_fast_gelu,
    .facts = {ONNX_DTYPE_OF_ANY, ONNX_RANK_UNKNOWN, ONNX_SIZE_ALIKE, 0}};
