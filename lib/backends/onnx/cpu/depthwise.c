/* SPDX-License-Identifier: Apache-2.0 */
/* Depthwise Conv: groups of one input channel. */
#include <backends/onnx/cpu/conv.h>
#include <backends/onnx/cpu/padded_rows.h>
#include <base/checked.h>

#define PADDED_FLOATS (12 * 1024) /* small enough for the cache */

struct depthwise {
    const struct onnx_simd *simd;
    const struct onnx_call *call;
    const struct onnx_activation *activation;
    struct onnx_padded_rows padded;
    uint64_t images, channels, multiplier; /* output channels; how many share an input channel */
    uint64_t taps, tasks;
    const uint64_t *offsets; /* [taps] */
    float *scratch;          /* padded.floats for each task */
};

static bool plan(struct depthwise *d, const struct onnx_conv *params,
                 const struct onnx_tensor *inputs, const mm_services *services) {
    struct onnx_placed placed;
    struct onnx_window_2d window;
    const struct onnx_tensor *weights = &inputs[1];
    if (mmi_onnx_place_window(&params->window, &inputs[0], weights->shape + 2, &placed, NULL) !=
            MM_OK ||
        !mmi_onnx_window_2d(&placed, &window) ||
        !mmi_onnx_padded_rows(&window, 0, PADDED_FLOATS, &d->padded)) {
        return false;
    }
    d->activation = params->activation.function == ONNX_F_NONE ? NULL : &params->activation;
    d->images = (uint64_t)inputs[0].shape[0];
    d->channels = (uint64_t)weights->shape[0];
    d->multiplier = d->channels / (uint64_t)params->group;
    d->taps = window.rows.kernel * window.columns.kernel;
    double results =
        (double)d->images * (double)d->channels * (double)(window.rows.out * window.columns.out);
    d->tasks =
        mmi_onnx_tasks(services, results * (double)(d->taps + 8) / 20, d->images * d->channels);
    return true;
}

/* For any window: output rows one by one. */
static void window_rows(const struct depthwise *d, const struct onnx_depthwise *dw) {
    struct onnx_window_row taps = {.offsets = d->offsets,
                                   .weights = dw->weights,
                                   .count = d->taps,
                                   .columns = dw->columns,
                                   .bias = dw->bias};
    for (uint64_t row = 0; row < dw->rows; row++) {
        taps.from = dw->from + mmi_onnx_padded_row(&d->padded, row);
        taps.to = dw->to + row * dw->columns;
        d->simd->window_sum(&taps);
    }
}

/* One output channel. */
static void run_channel(const struct depthwise *d, uint64_t i, float *scratch) {
    const struct onnx_window_2d *window = &d->padded.window;
    uint64_t in_pixels = window->rows.in * window->columns.in;
    uint64_t channel = i % d->channels;
    const float *in = (const float *)d->call->in[0] + i / d->multiplier * in_pixels;
    const float *bias = mmi_onnx_given(d->call, 2) ? d->call->in[2] : NULL;
    float *out = (float *)d->call->out[0] + i * window->rows.out * window->columns.out;
    struct onnx_depthwise dw = {.from = scratch,
                                .row_stride = d->padded.row_stride,
                                .kernel_rows = window->rows.kernel,
                                .kernel_columns = window->columns.kernel,
                                .stride = window->rows.stride,
                                .offsets = d->offsets,
                                .weights = (const float *)d->call->in[1] + channel * d->taps,
                                .columns = window->columns.out,
                                .bias = bias ? bias[channel] : 0};
    for (uint64_t first = 0; first < window->rows.out; first += d->padded.out_rows) {
        dw.rows = mmi_min_u64(d->padded.out_rows, window->rows.out - first);
        dw.to = out + first * dw.columns;
        mmi_onnx_pad_rows(&d->padded, d->simd, in, first, dw.rows, scratch);
        if (window->rows.dilation != 1 || !d->simd->depthwise(&dw)) {
            window_rows(d, &dw);
        }
        if (d->activation) {
            d->simd->activate(d->activation, dw.to, dw.columns, dw.rows, dw.columns);
        }
    }
}

static void run_channels(void *ctx, uint64_t i) {
    const struct depthwise *d = ctx;
    struct onnx_range mine = mmi_onnx_part(d->images * d->channels, d->tasks, i);
    for (uint64_t channel = mine.from; channel < mine.to; channel++) {
        run_channel(d, channel, d->scratch + i * d->padded.floats);
    }
}

static mm_status conv_depthwise(const struct onnx_call *call, mm_error *err) {
    (void)err;
    struct depthwise d = {.simd = mmi_onnx_simd(call->services->cpu_features), .call = call};
    plan(&d, call->params, call->inputs, call->services);
    mmi_onnx_tap_offsets(&d.padded, call->scratch);
    d.offsets = call->scratch;
    d.scratch = (float *)((uint64_t *)call->scratch + d.taps);
    mmi_onnx_run_tasks(call->services, d.tasks, run_channels, &d);
    return MM_OK;
}

onnx_kernel mmi_onnx_choose_depthwise(struct onnx_inference *x, const mm_services *services) {
    struct depthwise d;
    if (!plan(&d, x->params, x->inputs, services)) {
        return NULL;
    }
    x->scratch_bytes = d.taps * sizeof(*d.offsets) + d.tasks * d.padded.floats * sizeof(float);
    return conv_depthwise;
}
