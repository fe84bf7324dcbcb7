/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/operators/panels.h>
#include <backends/onnx/operators/product.h>
#include <base/checked.h>
#include <base/status.h>

#include <inttypes.h>

/* Panels of this type with a row for each block of rows of the weights. */
static bool fits_weights(const struct onnx_inference *x, uint32_t input, int32_t dtype) {
    const struct onnx_tensor *weights = &x->inputs[1], *tensor = &x->inputs[input];
    uint64_t block = (uint64_t)((const struct onnx_linear *)x->params)->block;
    return tensor->dtype == dtype && tensor->layout == ONNX_PANELS && tensor->rank == 2 &&
           (uint64_t)tensor->shape[0] == mmi_div_up((uint64_t)weights->shape[0], block) &&
           tensor->shape[1] == weights->shape[1];
}

/* Scales and zeros are there where the weights are integers, and nowhere else. */
static bool fits_scales(const struct onnx_inference *x) {
    const struct onnx_linear *linear = x->params;
    const struct onnx_tensor *weights = &x->inputs[1];
    bool scales = mmi_onnx_has(x, ONNX_LINEAR_SCALES), zeros = mmi_onnx_has(x, ONNX_LINEAR_ZEROS);
    if (!mmi_onnx_has_scaled_panels(weights->dtype)) {
        return !scales && !zeros && linear->block == 0;
    }
    bool whole =
        linear->block > 0 && (weights->dtype != MM_I4 || linear->block >= weights->shape[0] ||
                              linear->block % ONNX_I4_ROWS == 0);
    return whole && scales && fits_weights(x, ONNX_LINEAR_SCALES, MM_F32) &&
           (!zeros || fits_weights(x, ONNX_LINEAR_ZEROS, MM_I8));
}

static mm_status infer(struct onnx_inference *x, mm_error *err) {
    const struct onnx_tensor *in = &x->inputs[0], *weights = &x->inputs[1];
    const struct onnx_tensor *bias = mmi_onnx_has(x, 2) ? &x->inputs[2] : NULL;
    if (in->dtype != MM_F32 || !mmi_onnx_has_panels(weights->dtype) ||
        (bias && bias->dtype != MM_F32)) {
        return mmi_fail(err, MM_UNSUPPORTED, "its inputs are not all f32");
    }
    const struct onnx_linear *linear = x->params;
    if (!mmi_onnx_activation_is_sound(&linear->activation)) {
        return mmi_fail(err, MM_INVALID_MODEL, "its activation %d is none",
                        linear->activation.function);
    }
    if (in->rank < 1 || weights->rank != 2 || weights->layout != ONNX_PANELS) {
        return mmi_fail(err, MM_INVALID_MODEL, "its input has %u axes, or its weights no panels",
                        in->rank);
    }
    if (!fits_scales(x)) {
        return mmi_fail(err, MM_INVALID_MODEL, "its weights are %s, which its scales do not fit",
                        mm_dtype_text(weights->dtype));
    }
    if (in->shape[in->rank - 1] != weights->shape[0]) {
        return mmi_fail(err, MM_INVALID_MODEL,
                        "its input has rows of %" PRId64 " elements, its weights want %" PRId64,
                        in->shape[in->rank - 1], weights->shape[0]);
    }
    if (bias && (bias->rank != 1 || bias->shape[0] != weights->shape[1])) {
        return mmi_fail(err, MM_INVALID_MODEL,
                        "its bias has %" PRIu64 " elements, %" PRId64 " wanted", bias->elements,
                        weights->shape[1]);
    }
    int64_t shape[MM_MAX_RANK];
    for (uint32_t i = 0; i < in->rank; i++) {
        shape[i] = i + 1 < in->rank ? in->shape[i] : weights->shape[1];
    }
    uint64_t panel = mmi_onnx_panel_bytes((uint64_t)weights->shape[0], 1);
    x->scratch_bytes = weights->dtype == MM_F32 ? 0 : panel;
    return mmi_onnx_tensor_set(&x->outputs[0], MM_F32, in->rank, shape, err);
}

static mm_status run(const struct onnx_call *call, mm_error *err) {
    (void)err;
    const struct onnx_linear *linear = call->params;
    const struct onnx_tensor *weights = &call->inputs[1], *out = &call->outputs[0];
    const float *bias = mmi_onnx_given(call, 2) ? call->in[2] : NULL;
    const struct onnx_panels panels = mmi_onnx_linear_panels(call);
    uint64_t columns = (uint64_t)weights->shape[1];
    struct onnx_product product = {.dtype = MM_F32,
                                   .rows = columns > 0 ? out->elements / columns : 0,
                                   .depth = (uint64_t)weights->shape[0],
                                   .a = {call->in[0], weights->shape[0], 1},
                                   .b = {NULL, ONNX_NR, 1},
                                   .start = {NULL, 0, 1},
                                   .out_row = columns};
    for (uint64_t j = 0; call->out[0] && j < columns; j += ONNX_NR) {
        product.columns = mmi_min_u64(columns - j, ONNX_NR);
        product.b.at = call->scratch;
        if (weights->dtype == MM_F32) {
            product.b.at = (const float *)call->in[1] + j * product.depth;
        } else {
            mmi_onnx_widen_panel(&panels, j / ONNX_NR, call->scratch);
        }
        product.start.at = bias ? bias + j : NULL;
        product.out = (float *)call->out[0] + j;
        mmi_onnx_multiply_panel(&product);
    }
    if (call->out[0]) {
        mmi_onnx_activate(&linear->activation, call->out[0], out->elements);
    }
    return MM_OK;
}

static void learn_linear(const struct onnx_learning *l, uint32_t output, struct onnx_fact *fact) {
    (void)output;
    fact->last = mmi_onnx_fact(l, 1).last;
}

const struct onnx_operator mmi_onnx_op_Linear = {
    .name = "Linear",
    .min_inputs = 2,
    .max_inputs = ONNX_LINEAR_INPUTS,
    .min_outputs = 1,
    .max_outputs = 1,
    .params_bytes = sizeof(struct onnx_linear),
    .limits = ONNX_LIMITS(ONNX_AT_LEAST("block", struct onnx_linear, block, 0)),
    .infer = infer,
    .run = run,
    .flags = ONNX_OP_ACTIVATES,
    .activation_at = offsetof(struct onnx_linear, activation),
    .weight_inputs = (1u << ONNX_LINEAR_INPUTS) - 2,
    .facts = {MM_F32, ONNX_RANK_OF_0, ONNX_SIZE_ALIKE, 0},
    .learn = learn_linear,
    .kernels = {[ONNX_CPU] = mmi_onnx_cpu_Linear},
    .domain = ONNX_OURS};
