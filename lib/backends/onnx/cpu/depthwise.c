/* SPDX-License-Identifier: Apache-2.0 */
/* Conv with one channel a group. */
#include <backends/onnx/cpu/conv.h>
#include <backends/onnx/cpu/strip.h>
#include <base/checked.h>

#define STRIP_FLOATS (12 * 1024) /* so that it stays near */

struct depthwise {
    const struct onnx_simd *simd;
    const struct onnx_call *call;
    const struct onnx_activation *activation;
    struct onnx_strip strip;
    uint64_t images, channels, each; /* results, and how many of them share a channel */
    uint64_t taps, tasks;
    const uint64_t *offsets; /* [taps] */
    float *room;             /* strip.floats for each task */
};

static bool measure(struct depthwise *d, const struct onnx_conv *params,
                    const struct onnx_tensor *inputs, const mm_services *services) {
    struct onnx_placed placed;
    struct onnx_plane plane;
    const struct onnx_tensor *weights = &inputs[1];
    if (mmi_onnx_place_window(&params->window, &inputs[0], weights->shape + 2, &placed, NULL) !=
            MM_OK ||
        !mmi_onnx_plane(&placed, &plane) || !mmi_onnx_strip(&plane, 0, STRIP_FLOATS, &d->strip)) {
        return false;
    }
    d->activation = params->activation.kind == ONNX_ACT_NONE ? NULL : &params->activation;
    d->images = (uint64_t)inputs[0].shape[0];
    d->channels = (uint64_t)weights->shape[0];
    d->each = d->channels / (uint64_t)params->group;
    d->taps = plane.rows.kernel * plane.columns.kernel;
    double results =
        (double)d->images * (double)d->channels * (double)(plane.rows.out * plane.columns.out);
    d->tasks =
        mmi_onnx_tasks(services, results * (double)(d->taps + 8) / 20, d->images * d->channels);
    return true;
}

/* Rows of results of one channel, one by one. */
static void weigh_rows(const struct depthwise *d, const struct onnx_slide *slide) {
    struct onnx_taps taps = {.offsets = d->offsets,
                             .weights = slide->weights,
                             .count = d->taps,
                             .columns = slide->columns,
                             .bias = slide->bias};
    for (uint64_t row = 0; row < slide->rows; row++) {
        taps.from = slide->from + mmi_onnx_strip_row(&d->strip, row);
        taps.to = slide->to + row * slide->columns;
        d->simd->weigh(&taps);
    }
}

/* All results of one channel. */
static void run_channel(const struct depthwise *d, uint64_t i, float *room) {
    const struct onnx_plane *plane = &d->strip.plane;
    uint64_t in_size = plane->rows.in * plane->columns.in;
    uint64_t channel = i % d->channels;
    const float *in = (const float *)d->call->in[0] + i / d->each * in_size;
    const float *bias = mmi_onnx_given(d->call, 2) ? d->call->in[2] : NULL;
    float *out = (float *)d->call->out[0] + i * plane->rows.out * plane->columns.out;
    struct onnx_slide slide = {.from = room,
                               .row = d->strip.row,
                               .kernel_rows = plane->rows.kernel,
                               .kernel_columns = plane->columns.kernel,
                               .stride = plane->rows.stride,
                               .offsets = d->offsets,
                               .weights = (const float *)d->call->in[1] + channel * d->taps,
                               .columns = plane->columns.out,
                               .bias = bias ? bias[channel] : 0};
    for (uint64_t first = 0; first < plane->rows.out; first += d->strip.results) {
        slide.rows = mmi_min_u64(d->strip.results, plane->rows.out - first);
        slide.to = out + first * slide.columns;
        mmi_onnx_fill_strip(&d->strip, d->simd, in, first, slide.rows, room);
        if (plane->rows.dilation != 1 || !d->simd->slide(&slide)) {
            weigh_rows(d, &slide);
        }
        if (d->activation) {
            d->simd->activate(d->activation, slide.to, slide.columns, slide.rows, slide.columns);
        }
    }
}

static void run_channels(void *ctx, uint64_t i) {
    const struct depthwise *d = ctx;
    struct onnx_range mine = mmi_onnx_part(d->images * d->channels, d->tasks, i);
    for (uint64_t channel = mine.from; channel < mine.to; channel++) {
        run_channel(d, channel, d->room + i * d->strip.floats);
    }
}

static mm_status conv_by_channels(const struct onnx_call *call, mm_error *err) {
    (void)err;
    struct depthwise d = {.simd = mmi_onnx_simd(call->services->cpu_features), .call = call};
    measure(&d, call->params, call->inputs, call->services);
    mmi_onnx_strip_offsets(&d.strip, call->scratch);
    d.offsets = call->scratch;
    d.room = (float *)((uint64_t *)call->scratch + d.taps);
    mmi_onnx_run_tasks(call->services, d.tasks, run_channels, &d);
    return MM_OK;
}

onnx_kernel mmi_onnx_choose_depthwise(struct onnx_inference *x, const mm_services *services) {
    struct depthwise d;
    if (!measure(&d, x->params, x->inputs, services)) {
        return NULL;
    }
    x->scratch_bytes = d.taps * sizeof(*d.offsets) + d.tasks * d.strip.floats * sizeof(float);
    return conv_by_channels;
}
