/* SPDX-License-Identifier: Apache-2.0 */
/* ConvTranspose whose windows neither overlap nor leave gaps (kernel = stride): a GEMM of the
 * weights and the pixels, then col2im, which here only permutes. */
#include <backends/onnx/cpu/gemm.h>
#include <backends/onnx/operators/operator.h>
#include <backends/onnx/cpu/tasks.h>
#include <backends/onnx/cpu/window_2d.h>
#include <base/checked.h>

#define NC 240
#define MAX_M 96 /* rows of C between calls of col2im */

struct conv_transpose {
    const struct onnx_simd *simd;
    const struct onnx_call *call;
    const struct onnx_activation *activation;
    struct onnx_window_2d window;                  /* of the inverse: `in` is the output */
    uint64_t gemms;                                /* images times groups */
    uint64_t groups, channels, out_channels, taps; /* channels of a group */
    uint64_t pixels;                               /* of an input channel */
    uint64_t channel_block;                        /* output channels between calls of col2im */
    uint64_t n_blocks, tasks, task_floats;
};

static bool is_disjoint(const struct onnx_window_axis *axis) {
    return axis->kernel == axis->stride && (axis->dilation == 1 || axis->kernel == 1) &&
           axis->pad_begin == 0 && axis->in == axis->out * axis->stride;
}

static bool plan(struct conv_transpose *t, const struct onnx_conv *params,
                 const struct onnx_tensor *inputs, const mm_services *services) {
    struct onnx_placed placed;
    const struct onnx_tensor *weights = &inputs[1];
    if (mmi_onnx_place_transposed(params, &inputs[0], weights->shape + 2, &placed, NULL) != MM_OK ||
        !mmi_onnx_window_2d(&placed, &t->window) || !is_disjoint(&t->window.rows) ||
        !is_disjoint(&t->window.columns)) {
        return false;
    }
    t->activation = params->activation.function == ONNX_F_NONE ? NULL : &params->activation;
    t->groups = (uint64_t)params->group;
    t->gemms = (uint64_t)inputs[0].shape[0] * t->groups;
    t->channels = (uint64_t)weights->shape[0] / t->groups;
    t->out_channels = (uint64_t)weights->shape[1];
    t->taps = t->window.rows.kernel * t->window.columns.kernel;
    t->pixels = t->window.rows.out * t->window.columns.out;
    t->channel_block = mmi_min_u64(t->out_channels, mmi_max_u64(1, MAX_M / t->taps));
    t->n_blocks = (t->pixels + NC - 1) / NC;
    double gemm_ns = mmi_onnx_sgemm_ns(t->out_channels * t->taps, t->pixels, t->channels);
    t->tasks = mmi_onnx_tasks(services, (double)t->gemms * gemm_ns, t->gemms * t->n_blocks);
    uint64_t rows;
    return mmi_mul(t->channel_block, t->taps, &rows) && mmi_add(rows, t->channels, &rows) &&
           mmi_mul(rows, NC, &t->task_floats) && /* and the bias */
           mmi_add(t->task_floats, t->channel_block * t->taps, &t->task_floats);
}

/* Rows [taps][NC] of C, for `count` pixels from `first` on, to their places in one channel. */
static void col2im(const struct conv_transpose *t, const float *results, uint64_t first,
                   uint64_t count, float *channel) {
    uint64_t down = t->window.rows.kernel, across = t->window.columns.kernel;
    uint64_t width = t->window.columns.out;
    for (uint64_t i = 0; i < count;) {
        uint64_t row = (first + i) / width, column = (first + i) % width;
        uint64_t run = mmi_min_u64(width - column, count - i);
        for (uint64_t r = 0; r < down; r++) {
            float *to = channel + ((row * down + r) * width + column) * across;
            t->simd->interleave(results + r * across * NC + i, NC, across, to, run);
        }
        i += run;
    }
}

static void run_block(const struct conv_transpose *t, uint64_t gemm, uint64_t n_block,
                      float *scratch) {
    uint64_t group = gemm % t->groups, first = n_block * NC;
    uint64_t count = mmi_min_u64(NC, t->pixels - first);
    const float *image = (const float *)t->call->in[0] + gemm * t->channels * t->pixels + first;
    const float *weights =
        (const float *)t->call->in[1] + group * t->channels * t->out_channels * t->taps;
    const float *bias = mmi_onnx_given(t->call, 2) ? t->call->in[2] : NULL;
    float *out = (float *)t->call->out[0] + gemm * t->out_channels * t->taps * t->pixels;
    float *results = scratch + t->channels * NC,
          *row_bias = results + t->channel_block * t->taps * NC;
    for (uint64_t c = 0; c < t->channels; c++) {
        t->simd->gather(image + c * t->pixels, 1, scratch + c * NC, count);
    }
    struct onnx_sgemm p = {.n = count,
                           .k = t->channels,
                           .a_row_stride = 1,
                           .a_k_stride = t->out_channels * t->taps,
                           .b = scratch,
                           .b_k_stride = NC,
                           .b_panel_stride = ONNX_NR,
                           .c = results,
                           .c_row_stride = NC,
                           .row_bias = bias ? row_bias : NULL,
                           .activation = t->activation};
    for (uint64_t from = 0; from < t->out_channels; from += t->channel_block) {
        uint64_t channels = mmi_min_u64(t->channel_block, t->out_channels - from);
        p.m = channels * t->taps;
        p.a = weights + from * t->taps;
        for (uint64_t i = 0; bias && i < p.m; i++) {
            row_bias[i] = bias[group * t->out_channels + from + i / t->taps];
        }
        mmi_onnx_sgemm(t->simd, &p);
        for (uint64_t c = 0; c < channels; c++) {
            col2im(t, results + c * t->taps * NC, first, count,
                   out + (from + c) * t->taps * t->pixels);
        }
    }
}

static void run_blocks(void *ctx, uint64_t i) {
    const struct conv_transpose *t = ctx;
    float *scratch = (float *)t->call->scratch + i * t->task_floats;
    struct onnx_range mine = mmi_onnx_part(t->gemms * t->n_blocks, t->tasks, i);
    for (uint64_t block = mine.from; block < mine.to; block++) {
        run_block(t, block / t->n_blocks, block % t->n_blocks, scratch);
    }
}

static mm_status run(const struct onnx_call *call, mm_error *err) {
    (void)err;
    struct conv_transpose t = {.simd = mmi_onnx_simd(call->services->cpu_features), .call = call};
    plan(&t, call->params, call->inputs, call->services);
    mmi_onnx_run_tasks(call->services, t.tasks, run_blocks, &t);
    return MM_OK;
}

onnx_kernel mmi_onnx_cpu_ConvTranspose(struct onnx_inference *x, const mm_services *services) {
    struct conv_transpose t;
    uint64_t bytes;
    if (x->inputs[0].dtype != MM_F32 || x->outputs[0].elements == 0 || x->inputs[1].elements == 0 ||
        !plan(&t, x->params, x->inputs, services) ||
        !mmi_mul(t.tasks * sizeof(float), t.task_floats, &bytes)) {
        return NULL;
    }
    x->scratch_bytes = bytes;
    return run;
}
