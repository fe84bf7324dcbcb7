/* SPDX-License-Identifier: Apache-2.0 */
/* Depthwise Conv: groups of one input channel. */
#include <backends/onnx/cpu/conv.h>
#include <backends/onnx/cpu/depthwise_rows.h>
#include <base/checked.h>

struct depthwise {
    struct onnx_depthwise_plan plan;
    const struct onnx_call *call;
    const struct onnx_activation *activation;
    uint64_t tasks;
    float *scratch; /* padded.floats for each task */
};

static bool plan(struct depthwise *d, const struct onnx_conv *params,
                 const struct onnx_tensor *inputs, const mm_services *services) {
    if (!mmi_onnx_plan_depthwise(params, &inputs[0], &inputs[1], &d->plan)) {
        return false;
    }
    d->activation = params->activation.function == ONNX_F_NONE ? NULL : &params->activation;
    d->tasks = mmi_onnx_depthwise_tasks(&d->plan, 8, services);
    return true;
}

/* One output channel. */
static void run_channel(const struct depthwise *d, uint64_t i, float *scratch) {
    const struct onnx_depthwise_plan *plan = &d->plan;
    const uint64_t channel = i % plan->channels, rows = plan->padded.window.rows.out;
    const float *in = (const float *)d->call->in[0] + i / plan->multiplier * plan->in_pixels;
    const float *bias = mmi_onnx_given(d->call, 2) ? d->call->in[2] : NULL;
    float *out = (float *)d->call->out[0] + i * plan->out_pixels;
    struct onnx_depthwise dw = mmi_onnx_depthwise_channel(plan, scratch);
    dw.weights = (const float *)d->call->in[1] + channel * plan->taps;
    dw.bias = bias ? bias[channel] : 0;
    for (uint64_t first = 0; first < rows; first += plan->padded.out_rows) {
        dw.rows = mmi_min_u64(plan->padded.out_rows, rows - first);
        dw.to = out + first * dw.columns;
        mmi_onnx_depthwise_rows(plan, in, first, &dw, scratch);
        if (d->activation) {
            plan->simd->activate(d->activation, dw.to, dw.columns, dw.rows, dw.columns);
        }
    }
}

static void run_channels(void *ctx, uint64_t i) {
    const struct depthwise *d = ctx;
    struct onnx_range mine = mmi_onnx_part(d->plan.images * d->plan.channels, d->tasks, i);
    for (uint64_t channel = mine.from; channel < mine.to; channel++) {
        run_channel(d, channel, d->scratch + i * d->plan.padded.floats);
    }
}

static mm_status conv_depthwise(const struct onnx_call *call, mm_error *err) {
    (void)err;
    struct depthwise d = {.plan.simd = mmi_onnx_simd(call->services->cpu_features), .call = call};
    plan(&d, call->params, call->inputs, call->services);
    mmi_onnx_tap_offsets(&d.plan.padded, call->scratch);
    d.plan.offsets = call->scratch;
    d.scratch = (float *)((uint64_t *)call->scratch + d.plan.taps);
    mmi_onnx_run_tasks(call->services, d.tasks, run_channels, &d);
    return MM_OK;
}

onnx_kernel mmi_onnx_choose_depthwise(struct onnx_inference *x, const mm_services *services) {
    struct depthwise d;
    if (!plan(&d, x->params, x->inputs, services)) {
        return NULL;
    }
    x->scratch_bytes =
        d.plan.taps * sizeof(*d.plan.offsets) + d.tasks * d.plan.padded.floats * sizeof(float);
    return conv_depthwise;
}
