/* SPDX-License-Identifier: Apache-2.0 */
/* QLinearConv in groups of one input channel, by the loops for f32: with few taps the sums of
 * products of bytes are less than 2^24, and so exact. */
#include <backends/onnx/cpu/conv.h>
#include <backends/onnx/cpu/depthwise_rows.h>
#include <backends/onnx/operators/move.h>
#include <backends/onnx/operators/quantized.h>
#include <base/checked.h>

#define MAX_EXACT_TAPS 257 /* 255 * 255 * 257 < 2^24 */

enum { X, X_SCALE, X_ZERO, W, W_SCALE, W_ZERO, Y_SCALE, Y_ZERO, BIAS };

struct depthwise {
    struct onnx_depthwise_plan plan;
    const struct onnx_call *call;
    uint64_t tasks, floats; /* floats: of the scratch of a task */
    float *scratch;
    /* Of the call: */
    struct onnx_tensor w_scale, w_zero;
    float x_zero, x_scale, y_scale;
    const int32_t *bias;
    struct onnx_requantized to;
};

static bool plan(struct depthwise *d, const struct onnx_conv *params,
                 const struct onnx_tensor *inputs, const mm_services *services) {
    struct onnx_depthwise_plan *plan = &d->plan;
    if (inputs[W].shape[1] != 1 || !mmi_onnx_plan_depthwise(params, &inputs[X], &inputs[W], plan)) {
        return false;
    }
    d->floats = plan->padded.floats + plan->in_pixels + plan->taps +
                plan->padded.out_rows * plan->padded.window.columns.out;
    d->tasks = mmi_onnx_depthwise_tasks(plan, 16, services);
    return plan->taps <= MAX_EXACT_TAPS;
}

static float byte_at(const struct onnx_call *call, uint32_t input, uint64_t i) {
    const void *data = call->in[input];
    return call->inputs[input].dtype == MM_I8 ? ((const int8_t *)data)[i]
                                              : ((const uint8_t *)data)[i];
}

static void widen(const struct depthwise *d, uint64_t first, float *to) {
    const uint8_t *from = (const uint8_t *)d->call->in[X] + first;
    const int32_t flip = d->call->inputs[X].dtype == MM_I8 ? 0x80 : 0;
    const int32_t zero = (int32_t)d->x_zero + flip;
    for (uint64_t i = 0; i < d->plan.in_pixels; i++) {
        to[i] = (float)((from[i] ^ flip) - zero);
    }
}

static float of_channel(const struct onnx_tensor *tensor, uint64_t channel) {
    return tensor->data ? (float)mmi_onnx_float_at(tensor, tensor->elements == 1 ? 0 : channel) : 0;
}

/* The results of some rows: `count` sums, which are whole numbers. */
static void store(const struct depthwise *d, const float *sums, uint64_t channel, uint64_t count,
                  uint8_t *out) {
    const uint32_t start = d->bias ? (uint32_t)d->bias[channel] : 0;
    struct onnx_requantized to = d->to;
    to.factor = (double)(d->x_scale * of_channel(&d->w_scale, channel) / d->y_scale);
    for (uint64_t i = 0; i < count; i += ONNX_NR) {
        int32_t whole[ONNX_NR] = {0};
        uint64_t some = mmi_min_u64(count - i, ONNX_NR);
        for (uint64_t j = 0; j < some; j++) {
            whole[j] = (int32_t)((uint32_t)(int32_t)sums[i + j] + start);
        }
        mmi_onnx_requantize(&to, whole, some, out + i);
    }
}

/* One output channel. */
static void run_channel(const struct depthwise *d, uint64_t i, float *scratch) {
    const struct onnx_depthwise_plan *plan = &d->plan;
    const uint64_t channel = i % plan->channels, rows = plan->padded.window.rows.out;
    const float zero = of_channel(&d->w_zero, channel);
    float *image = scratch + plan->padded.floats, *weights = image + plan->in_pixels;
    uint8_t *out = (uint8_t *)d->call->out[0] + i * plan->out_pixels;
    struct onnx_depthwise dw = mmi_onnx_depthwise_channel(plan, scratch);
    dw.weights = weights;
    dw.to = weights + plan->taps;
    for (uint64_t tap = 0; tap < plan->taps; tap++) {
        weights[tap] = byte_at(d->call, W, channel * plan->taps + tap) - zero;
    }
    widen(d, i / plan->multiplier * plan->in_pixels, image);
    for (uint64_t first = 0; first < rows; first += plan->padded.out_rows) {
        dw.rows = mmi_min_u64(plan->padded.out_rows, rows - first);
        mmi_onnx_depthwise_rows(plan, image, first, &dw, scratch);
        store(d, dw.to, channel, dw.rows * dw.columns, out + first * dw.columns);
    }
}

static void run_channels(void *ctx, uint64_t i) {
    const struct depthwise *d = ctx;
    struct onnx_range mine = mmi_onnx_part(d->plan.images * d->plan.channels, d->tasks, i);
    for (uint64_t channel = mine.from; channel < mine.to; channel++) {
        run_channel(d, channel, d->scratch + i * d->floats);
    }
}

static float single(const struct onnx_call *call, uint32_t input) {
    const struct onnx_tensor tensor = mmi_onnx_call_input(call, input);
    return (float)mmi_onnx_float_at(&tensor, 0);
}

static mm_status run(const struct onnx_call *call, mm_error *err) {
    (void)err;
    struct depthwise d = {
        .plan.simd = mmi_onnx_simd(call->services->cpu_features),
        .call = call,
        .w_scale = mmi_onnx_call_input(call, W_SCALE),
        .w_zero = mmi_onnx_call_input(call, W_ZERO),
        .x_zero = single(call, X_ZERO),
        .x_scale = single(call, X_SCALE),
        .y_scale = single(call, Y_SCALE),
        .bias = mmi_onnx_given(call, BIAS) ? call->in[BIAS] : NULL,
        .to = {.dtype = call->outputs[0].dtype, .zero = (int32_t)single(call, Y_ZERO)}};
    if (!call->out[0]) {
        return MM_OK;
    }
    plan(&d, call->params, call->inputs, call->services);
    mmi_onnx_tap_offsets(&d.plan.padded, call->scratch);
    d.plan.offsets = call->scratch;
    d.scratch = (float *)((uint64_t *)call->scratch + d.plan.taps);
    mmi_onnx_run_tasks(call->services, d.tasks, run_channels, &d);
    return MM_OK;
}

onnx_kernel mmi_onnx_choose_quantized_depthwise(struct onnx_inference *x,
                                                const mm_services *services) {
    struct depthwise d = {.tasks = 0};
    uint64_t bytes;
    bool given = x->outputs[0].elements > 0;
    for (uint32_t i = X; i <= Y_ZERO; i++) {
        given = given && (i == W_ZERO || mmi_onnx_has(x, i));
    }
    if (!given || !plan(&d, x->params, x->inputs, services) ||
        !mmi_mul(d.tasks * sizeof(float), d.floats, &bytes) ||
        !mmi_add(bytes, d.plan.taps * sizeof(*d.plan.offsets), &x->scratch_bytes)) {
        return NULL;
    }
    return run;
}
