/* SPDX-License-Identifier: Apache-2.0 */
/* ChannelsLastConv of single channels. */
#include <backends/onnx/cpu/channels_last.h>
#include <backends/onnx/cpu/pixel_windows.h>

struct depthwise {
    const struct onnx_simd *simd;
    struct onnx_pixel_windows windows;
    const float *weights, *bias; /* [taps][channels], [channels] or NULL */
    struct onnx_epilogue epilogue;
};

static void weigh(void *ctx, struct onnx_pixel_run *run) {
    const struct depthwise *d = ctx;
    struct onnx_pixels *pixels = &run->pixels;
    for (uint64_t i = 0; i < pixels->taps; i++) {
        run->weights[i] = d->weights + run->tap[i] * d->windows.channels;
    }
    pixels->bias = d->bias;
    pixels->low = d->epilogue.low;
    pixels->high = d->epilogue.high;
    d->simd->pixel_sum(pixels);
    if (d->epilogue.activation) {
        d->simd->activate(d->epilogue.activation, pixels->to, 0, 1,
                          pixels->pixels * pixels->channels);
    }
}

static mm_status run(const struct onnx_call *call, mm_error *err) {
    (void)err;
    const struct onnx_conv *params = call->params;
    struct depthwise d = {.simd = mmi_onnx_simd(call->services->cpu_features),
                          .epilogue = mmi_onnx_epilogue(&params->activation)};
    d.bias = mmi_onnx_given(call, ONNX_LAST_CONV_BIAS) ? call->in[ONNX_LAST_CONV_BIAS] : NULL;
    mmi_onnx_pixel_windows(&params->window, &call->inputs[0], call->services, &d.windows);
    uint8_t *room = (uint8_t *)call->scratch + d.windows.tasks * d.windows.task_bytes;
    d.weights = mmi_onnx_widen_weights(d.simd, &call->inputs[ONNX_LAST_CONV_WEIGHTS],
                                       call->in[ONNX_LAST_CONV_WEIGHTS], room);
    mmi_onnx_run_pixel_windows(&d.windows, call, weigh, &d);
    return MM_OK;
}

onnx_kernel mmi_onnx_choose_depthwise_last(struct onnx_inference *x, const mm_services *services) {
    const struct onnx_conv *params = x->params;
    struct onnx_pixel_windows windows;
    if (mmi_onnx_has(x, ONNX_LAST_CONV_ADDEND) ||
        !mmi_onnx_pixel_windows(&params->window, &x->inputs[0], services, &windows)) {
        return NULL;
    }
    x->scratch_bytes = windows.tasks * windows.task_bytes +
                       mmi_onnx_widened_weights_bytes(&x->inputs[ONNX_LAST_CONV_WEIGHTS]);
    return run;
}
