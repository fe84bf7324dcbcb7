/* SPDX-License-Identifier: Apache-2.0 */
/* MaxPool and AveragePool on one or two spatial axes. */
#include <backends/onnx/operators/operator.h>
#include <backends/onnx/cpu/padded_rows.h>
#include <backends/onnx/cpu/tasks.h>
#include <base/checked.h>

#include <math.h>

#define PADDED_FLOATS (12 * 1024) /* small enough for the cache */

struct pool {
    const struct onnx_simd *simd;
    const struct onnx_call *call;
    bool average, padding_counts;
    struct onnx_padded_rows padded;
    uint64_t channels, taps, tasks;
    uint64_t *offsets; /* [taps] */
    float *ones;       /* [taps] */
    float *scratch;    /* padded.floats for each task */
};

static bool plan(struct pool *pool, const struct onnx_pool *params, const struct onnx_tensor *image,
                 const mm_services *services) {
    struct onnx_placed placed;
    struct onnx_window_2d window;
    if (mmi_onnx_place_window(&params->window, image, NULL, &placed, NULL) != MM_OK ||
        !mmi_onnx_window_2d(&placed, &window) ||
        !mmi_onnx_padded_rows(&window, pool->average ? 0 : -INFINITY, PADDED_FLOATS,
                              &pool->padded)) {
        return false;
    }
    pool->padding_counts = params->count_include_pad != 0;
    pool->channels = (uint64_t)(image->shape[0] * image->shape[1]);
    pool->taps = window.rows.kernel * window.columns.kernel;
    double results = (double)pool->channels * (double)(window.rows.out * window.columns.out);
    pool->tasks = mmi_onnx_tasks(services, results * (double)(pool->taps + 8) / 20, pool->channels);
    return true;
}

/* Turns the sums of one output row into averages. */
static void divide(const struct pool *pool, uint64_t row, float *sums) {
    const struct onnx_window_axis *columns = &pool->padded.window.columns;
    uint64_t rows = mmi_onnx_averaged(&pool->padded.window.rows, pool->padding_counts, row);
    for (uint64_t i = 0; i < columns->out; i++) {
        uint64_t count = rows * mmi_onnx_averaged(columns, pool->padding_counts, i);
        sums[i] /= (float)mmi_max_u64(count, 1);
    }
}

static void run_channel(const struct pool *pool, uint64_t channel, float *scratch) {
    const struct onnx_window_2d *window = &pool->padded.window;
    const float *in =
        (const float *)pool->call->in[0] + channel * window->rows.in * window->columns.in;
    float *out = (float *)pool->call->out[0] + channel * window->rows.out * window->columns.out;
    struct onnx_window_row taps = {.offsets = pool->offsets,
                                   .weights = pool->ones,
                                   .count = pool->taps,
                                   .columns = window->columns.out};
    for (uint64_t row = 0; row < window->rows.out; row++) {
        uint64_t in_padded = row % pool->padded.out_rows;
        if (in_padded == 0) {
            uint64_t count = mmi_min_u64(pool->padded.out_rows, window->rows.out - row);
            mmi_onnx_pad_rows(&pool->padded, pool->simd, in, row, count, scratch);
        }
        taps.from = scratch + mmi_onnx_padded_row(&pool->padded, in_padded);
        taps.to = out + row * taps.columns;
        if (pool->average) {
            pool->simd->window_sum(&taps);
            divide(pool, row, taps.to);
        } else {
            pool->simd->window_max(&taps);
        }
    }
}

static void run_channels(void *ctx, uint64_t i) {
    const struct pool *pool = ctx;
    struct onnx_range mine = mmi_onnx_part(pool->channels, pool->tasks, i);
    for (uint64_t channel = mine.from; channel < mine.to; channel++) {
        run_channel(pool, channel, pool->scratch + i * pool->padded.floats);
    }
}

static mm_status run(const struct onnx_call *call, bool average) {
    struct pool pool = {.simd = mmi_onnx_simd(call->services->cpu_features),
                        .call = call,
                        .average = average,
                        .offsets = call->scratch};
    plan(&pool, call->params, &call->inputs[0], call->services);
    mmi_onnx_tap_offsets(&pool.padded, pool.offsets);
    pool.ones = (float *)(pool.offsets + pool.taps);
    pool.scratch = pool.ones + pool.taps;
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
        x->inputs[0].elements == 0 || !plan(&pool, x->params, &x->inputs[0], services)) {
        return NULL;
    }
    x->scratch_bytes = pool.taps * (sizeof(*pool.offsets) + sizeof(*pool.ones)) +
                       pool.tasks * pool.padded.floats * sizeof(float);
    return average ? run_average : run_max;
}

onnx_kernel mmi_onnx_cpu_MaxPool(struct onnx_inference *x, const mm_services *services) {
    return choose(x, services, false);
}

onnx_kernel mmi_onnx_cpu_AveragePool(struct onnx_inference *x, const mm_services *services) {
    return choose(x, services, true);
}
