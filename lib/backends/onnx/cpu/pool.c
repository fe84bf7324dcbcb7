/* SPDX-License-Identifier: Apache-2.0 */
/* MaxPool and AveragePool on one or two spatial axes. */
#include <backends/onnx/cpu/kernels.h>
#include <backends/onnx/cpu/strip.h>
#include <backends/onnx/cpu/tasks.h>
#include <base/checked.h>

#include <math.h>

#define STRIP_FLOATS (12 * 1024) /* so that it stays near */

struct pool {
    const struct onnx_simd *simd;
    const struct onnx_call *call;
    bool average, padding_counts;
    int64_t end[2]; /* padding after the rows and the columns */
    struct onnx_strip strip;
    uint64_t channels, taps, tasks;
    uint64_t *offsets; /* [taps] */
    float *ones;       /* [taps] */
    float *room;       /* strip.floats for each task */
};

static bool measure(struct pool *pool, const struct onnx_pool *params,
                    const struct onnx_tensor *image, const mm_services *services) {
    struct onnx_placed placed;
    struct onnx_plane plane;
    if (mmi_onnx_place_window(&params->window, image, NULL, &placed, NULL) != MM_OK ||
        !mmi_onnx_plane(&placed, &plane) ||
        !mmi_onnx_strip(&plane, pool->average ? 0 : -INFINITY, STRIP_FLOATS, &pool->strip)) {
        return false;
    }
    pool->padding_counts = params->count_include_pad != 0;
    pool->end[0] = placed.axes > 1 ? placed.end[0] : 0;
    pool->end[1] = placed.end[placed.axes - 1];
    pool->channels = (uint64_t)(image->shape[0] * image->shape[1]);
    pool->taps = plane.rows.kernel * plane.columns.kernel;
    double results = (double)pool->channels * (double)(plane.rows.out * plane.columns.out);
    pool->tasks = mmi_onnx_tasks(services, results * (double)(pool->taps + 8) / 20, pool->channels);
    return true;
}

/* Elements along one axis that the average of result i counts. */
static uint64_t count_seen(const struct pool *pool, const struct onnx_plane_axis *axis, int64_t end,
                           uint64_t i) {
    int64_t from = pool->padding_counts ? -axis->begin : 0;
    int64_t to = (int64_t)axis->in + (pool->padding_counts ? end : 0);
    int64_t first = (int64_t)(i * axis->stride) - axis->begin;
    uint64_t count = 0;
    for (uint64_t tap = 0; tap < axis->kernel; tap++) {
        int64_t at = first + (int64_t)(tap * axis->dilation);
        count += at >= from && at < to;
    }
    return count;
}

/* Sums of one row of windows to averages. */
static void divide(const struct pool *pool, uint64_t row, float *sums) {
    const struct onnx_plane_axis *columns = &pool->strip.plane.columns;
    uint64_t rows = count_seen(pool, &pool->strip.plane.rows, pool->end[0], row);
    for (uint64_t i = 0; i < columns->out; i++) {
        uint64_t count = rows * count_seen(pool, columns, pool->end[1], i);
        sums[i] /= (float)mmi_max_u64(count, 1);
    }
}

static void run_channel(const struct pool *pool, uint64_t channel, float *room) {
    const struct onnx_plane *plane = &pool->strip.plane;
    const float *in =
        (const float *)pool->call->in[0] + channel * plane->rows.in * plane->columns.in;
    float *out = (float *)pool->call->out[0] + channel * plane->rows.out * plane->columns.out;
    struct onnx_taps taps = {.offsets = pool->offsets,
                             .weights = pool->ones,
                             .count = pool->taps,
                             .columns = plane->columns.out};
    for (uint64_t row = 0; row < plane->rows.out; row++) {
        uint64_t in_strip = row % pool->strip.results;
        if (in_strip == 0) {
            uint64_t count = mmi_min_u64(pool->strip.results, plane->rows.out - row);
            mmi_onnx_fill_strip(&pool->strip, pool->simd, in, row, count, room);
        }
        taps.from = room + mmi_onnx_strip_row(&pool->strip, in_strip);
        taps.to = out + row * taps.columns;
        if (pool->average) {
            pool->simd->weigh(&taps);
            divide(pool, row, taps.to);
        } else {
            pool->simd->greatest(&taps);
        }
    }
}

static void run_channels(void *ctx, uint64_t i) {
    const struct pool *pool = ctx;
    struct onnx_range mine = mmi_onnx_part(pool->channels, pool->tasks, i);
    for (uint64_t channel = mine.from; channel < mine.to; channel++) {
        run_channel(pool, channel, pool->room + i * pool->strip.floats);
    }
}

static mm_status run(const struct onnx_call *call, bool average) {
    struct pool pool = {.simd = mmi_onnx_simd(call->services->cpu_features),
                        .call = call,
                        .average = average,
                        .offsets = call->scratch};
    measure(&pool, call->params, &call->inputs[0], call->services);
    mmi_onnx_strip_offsets(&pool.strip, pool.offsets);
    pool.ones = (float *)(pool.offsets + pool.taps);
    pool.room = pool.ones + pool.taps;
    for (uint64_t i = 0; i < pool.taps; i++) {
        pool.ones[i] = 1;
    }
    mmi_onnx_run_tasks(call->services, pool.tasks, run_channels, &pool);
    return MM_OK;
}

static mm_status run_max(const struct onnx_call *call, mm_error *err) {
    (void)err;
    return run(call, false);
}

static mm_status run_average(const struct onnx_call *call, mm_error *err) {
    (void)err;
    return run(call, true);
}

static onnx_kernel choose(struct onnx_inference *x, const mm_services *services, bool average) {
    struct pool pool = {.average = average};
    if (x->inputs[0].dtype != MM_F32 || x->output_count > 1 || x->outputs[0].elements == 0 ||
        x->inputs[0].elements == 0 || !measure(&pool, x->params, &x->inputs[0], services)) {
        return NULL;
    }
    x->scratch_bytes = pool.taps * (sizeof(*pool.offsets) + sizeof(*pool.ones)) +
                       pool.tasks * pool.strip.floats * sizeof(float);
    return average ? run_average : run_max;
}

onnx_kernel mmi_onnx_choose_max_pool(struct onnx_inference *x, const mm_services *services) {
    return choose(x, services, false);
}

onnx_kernel mmi_onnx_choose_average_pool(struct onnx_inference *x, const mm_services *services) {
    return choose(x, services, true);
}
