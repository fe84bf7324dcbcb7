/* SPDX-License-Identifier: Apache-2.0 */
/* ConvTranspose whose windows touch but do not overlap: each pixel, as a column of its channels,
 * times the weights [channels, results], is a block of results that only has to be put in place. */
#include <backends/onnx/cpu/kernels.h>
#include <backends/onnx/cpu/multiply.h>
#include <backends/onnx/cpu/plane.h>
#include <backends/onnx/cpu/tasks.h>
#include <base/checked.h>

#define TILE 240
#define ROWS 96 /* results of a pixel that are computed before they are put in place */

struct transpose {
    const struct onnx_simd *simd;
    const struct onnx_call *call;
    const struct onnx_activation *activation;
    struct onnx_plane plane;               /* `in` of its axes is the result's */
    uint64_t units;                        /* images times groups */
    uint64_t groups, channels, made, taps; /* channels in and out, of a group */
    uint64_t pixels;                       /* of a channel */
    uint64_t some;                         /* channels that are made together */
    uint64_t tiles, tasks, task_floats;
};

static bool touches(const struct onnx_plane_axis *axis) {
    return axis->kernel == axis->stride && (axis->dilation == 1 || axis->kernel == 1) &&
           axis->begin == 0 && axis->in == axis->out * axis->stride;
}

static bool measure(struct transpose *t, const struct onnx_conv *params,
                    const struct onnx_tensor *inputs, const mm_services *services) {
    struct onnx_placed placed;
    const struct onnx_tensor *weights = &inputs[1];
    if (mmi_onnx_place_transposed(params, &inputs[0], weights->shape + 2, &placed, NULL) != MM_OK ||
        !mmi_onnx_plane(&placed, &t->plane) || !touches(&t->plane.rows) ||
        !touches(&t->plane.columns)) {
        return false;
    }
    t->activation = params->activation.kind == ONNX_ACT_NONE ? NULL : &params->activation;
    t->groups = (uint64_t)params->group;
    t->units = (uint64_t)inputs[0].shape[0] * t->groups;
    t->channels = (uint64_t)weights->shape[0] / t->groups;
    t->made = (uint64_t)weights->shape[1];
    t->taps = t->plane.rows.kernel * t->plane.columns.kernel;
    t->pixels = t->plane.rows.out * t->plane.columns.out;
    t->some = mmi_min_u64(t->made, mmi_max_u64(1, ROWS / t->taps));
    t->tiles = (t->pixels + TILE - 1) / TILE;
    double unit_ns = mmi_onnx_simd_ns(t->made * t->taps, t->pixels, t->channels);
    t->tasks = mmi_onnx_tasks(services, (double)t->units * unit_ns, t->units * t->tiles);
    uint64_t rows;
    return mmi_mul(t->some, t->taps, &rows) && mmi_add(rows, t->channels, &rows) &&
           mmi_mul(rows, TILE, &t->task_floats) && /* and the bias */
           mmi_add(t->task_floats, t->some * t->taps, &t->task_floats);
}

/* Results [rows][TILE] of `count` pixels from `first` on, for one channel, to where they belong. */
static void put(const struct transpose *t, const float *results, uint64_t first, uint64_t count,
                float *channel) {
    uint64_t down = t->plane.rows.kernel, across = t->plane.columns.kernel;
    uint64_t width = t->plane.columns.out;
    for (uint64_t i = 0; i < count;) {
        uint64_t row = (first + i) / width, column = (first + i) % width;
        uint64_t run = mmi_min_u64(width - column, count - i);
        for (uint64_t r = 0; r < down; r++) {
            float *to = channel + ((row * down + r) * width + column) * across;
            t->simd->interleave(results + r * across * TILE + i, TILE, across, to, run);
        }
        i += run;
    }
}

static void run_tile(const struct transpose *t, uint64_t unit, uint64_t tile, float *room) {
    uint64_t group = unit % t->groups, first = tile * TILE;
    uint64_t count = mmi_min_u64(TILE, t->pixels - first);
    const float *image = (const float *)t->call->in[0] + unit * t->channels * t->pixels + first;
    const float *weights = (const float *)t->call->in[1] + group * t->channels * t->made * t->taps;
    const float *bias = mmi_onnx_given(t->call, 2) ? t->call->in[2] : NULL;
    float *out = (float *)t->call->out[0] + unit * t->made * t->taps * t->pixels;
    float *results = room + t->channels * TILE, *row_bias = results + t->some * t->taps * TILE;
    for (uint64_t c = 0; c < t->channels; c++) {
        t->simd->gather(image + c * t->pixels, 1, room + c * TILE, count);
    }
    struct onnx_simd_product p = {.columns = count,
                                  .depth = t->channels,
                                  .a_row = 1,
                                  .a_depth = t->made * t->taps,
                                  .b = room,
                                  .b_depth = TILE,
                                  .b_panel = ONNX_PANEL,
                                  .c = results,
                                  .c_row = TILE,
                                  .row_bias = bias ? row_bias : NULL,
                                  .activation = t->activation};
    for (uint64_t from = 0; from < t->made; from += t->some) {
        uint64_t channels = mmi_min_u64(t->some, t->made - from);
        p.rows = channels * t->taps;
        p.a = weights + from * t->taps;
        for (uint64_t i = 0; bias && i < p.rows; i++) {
            row_bias[i] = bias[group * t->made + from + i / t->taps];
        }
        mmi_onnx_simd_multiply(t->simd, &p);
        for (uint64_t c = 0; c < channels; c++) {
            put(t, results + c * t->taps * TILE, first, count,
                out + (from + c) * t->taps * t->pixels);
        }
    }
}

static void run_tiles(void *ctx, uint64_t i) {
    const struct transpose *t = ctx;
    float *room = (float *)t->call->scratch + i * t->task_floats;
    struct onnx_range mine = mmi_onnx_part(t->units * t->tiles, t->tasks, i);
    for (uint64_t job = mine.from; job < mine.to; job++) {
        run_tile(t, job / t->tiles, job % t->tiles, room);
    }
}

static mm_status run(const struct onnx_call *call, mm_error *err) {
    (void)err;
    struct transpose t = {.simd = mmi_onnx_simd(call->services->cpu_features), .call = call};
    measure(&t, call->params, call->inputs, call->services);
    mmi_onnx_run_tasks(call->services, t.tasks, run_tiles, &t);
    return MM_OK;
}

onnx_kernel mmi_onnx_choose_conv_transpose(struct onnx_inference *x, const mm_services *services) {
    struct transpose t;
    uint64_t bytes;
    if (x->inputs[0].dtype != MM_F32 || x->outputs[0].elements == 0 || x->inputs[1].elements == 0 ||
        !measure(&t, x->params, x->inputs, services) ||
        !mmi_mul(t.tasks * sizeof(float), t.task_floats, &bytes)) {
        return NULL;
    }
    x->scratch_bytes = bytes;
    return run;
}
