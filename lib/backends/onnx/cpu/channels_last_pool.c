/* SPDX-License-Identifier: Apache-2.0 */
/* MaxPool and AveragePool on images [N, ..., C]. */
#include <backends/onnx/cpu/pixel_windows.h>
#include <backends/onnx/operators/channels_last.h>
#include <base/checked.h>

#include <string.h>

struct pool {
    const struct onnx_simd *simd;
    struct onnx_pixel_windows windows;
    bool padding_counts;
    float *ones; /* [channels]: the weight of each tap */
};

static void find_max(void *ctx, struct onnx_pixel_run *run) {
    const struct pool *pool = ctx;
    pool->simd->pixel_max(&run->pixels);
}

/* Windows that see the same taps count the same elements, but for the last one: it may reach beyond
 * the padding. */
static void average(void *ctx, struct onnx_pixel_run *run) {
    const struct pool *pool = ctx;
    const struct onnx_window_2d *window = &pool->windows.window;
    const uint64_t channels = pool->windows.channels;
    struct onnx_pixels *pixels = &run->pixels;
    for (uint64_t i = 0; i < pixels->taps; i++) {
        run->weights[i] = pool->ones;
    }
    pool->simd->pixel_sum(pixels);
    uint64_t rows = mmi_onnx_averaged(&window->rows, pool->padding_counts, run->row);
    for (uint64_t i = 0; i < pixels->pixels; i++) {
        uint64_t count =
            rows * mmi_onnx_averaged(&window->columns, pool->padding_counts, run->column + i);
        float divisor = (float)mmi_max_u64(count, 1);
        float *to = pixels->to + i * channels;
        for (uint64_t c = 0; c < channels; c++) {
            to[c] /= divisor;
        }
    }
}

static mm_status run(const struct onnx_call *call, onnx_pixel_body body) {
    const struct onnx_pool *params = call->params;
    struct pool pool = {.simd = mmi_onnx_simd(call->services->cpu_features),
                        .padding_counts = params->count_include_pad != 0};
    mmi_onnx_pixel_windows(&params->window, &call->inputs[0], call->services, &pool.windows);
    pool.ones = (float *)((uint8_t *)call->scratch + pool.windows.tasks * pool.windows.task_bytes);
    for (uint64_t i = 0; i < pool.windows.channels; i++) {
        pool.ones[i] = 1;
    }
    mmi_onnx_run_pixel_windows(&pool.windows, call, body, &pool);
    return MM_OK;
}

static mm_status run_max(const struct onnx_call *call, mm_error *err) {
    (void)err;
    return run(call, find_max);
}

static mm_status run_average(const struct onnx_call *call, mm_error *err) {
    (void)err;
    return run(call, average);
}

static onnx_kernel choose(struct onnx_inference *x, const mm_services *services,
                          onnx_kernel kernel) {
    const struct onnx_pool *params = x->params;
    struct onnx_pixel_windows windows;
    if (x->inputs[0].dtype != MM_F32 || x->outputs[0].elements == 0 ||
        !mmi_onnx_pixel_windows(&params->window, &x->inputs[0], services, &windows)) {
        return NULL;
    }
    x->scratch_bytes = windows.tasks * windows.task_bytes + windows.channels * sizeof(float);
    return kernel;
}

onnx_kernel mmi_onnx_cpu_ChannelsLastMaxPool(struct onnx_inference *x,
                                             const mm_services *services) {
    return choose(x, services, run_max);
}

onnx_kernel mmi_onnx_cpu_ChannelsLastAveragePool(struct onnx_inference *x,
                                                 const mm_services *services) {
    return choose(x, services, run_average);
}

/* ---- Global pools ---------------------------------------------------------------------------- */

#define GROUP 32 /* pixels whose sum is taken by itself: fewer roundings of a large sum */

static void add_rows(const float *from, uint64_t rows, uint64_t channels, float *to) {
    for (uint64_t row = 0; row < rows; row++, from += channels) {
        for (uint64_t c = 0; c < channels; c++) {
            to[c] += from[c];
        }
    }
}

/* Of one image; `part`: room for a row. */
static void global_average(const float *from, uint64_t pixels, uint64_t channels, float *part,
                           float *to) {
    memset(to, 0, channels * sizeof(*to));
    for (uint64_t i = 0; i < pixels; i += GROUP) {
        memset(part, 0, channels * sizeof(*part));
        add_rows(from + i * channels, mmi_min_u64(GROUP, pixels - i), channels, part);
        add_rows(part, 1, channels, to);
    }
    for (uint64_t c = 0; c < channels; c++) {
        to[c] /= (float)pixels;
    }
}

static void global_max(const float *from, uint64_t pixels, uint64_t channels, float *part,
                       float *to) {
    (void)part;
    memcpy(to, from, channels * sizeof(*to));
    for (uint64_t i = 1; i < pixels; i++) {
        const float *row = from + i * channels;
        for (uint64_t c = 0; c < channels; c++) {
            to[c] = row[c] > to[c] || row[c] != row[c] ? row[c] : to[c];
        }
    }
}

typedef void (*global_pool)(const float *from, uint64_t pixels, uint64_t channels, float *part,
                            float *to);

static mm_status run_global(const struct onnx_call *call, global_pool body) {
    const struct onnx_tensor *image = &call->inputs[0];
    uint64_t images = (uint64_t)image->shape[0];
    uint64_t channels = (uint64_t)image->shape[image->rank - 1];
    uint64_t pixels = image->elements / images / channels;
    for (uint64_t i = 0; i < images; i++) {
        body((const float *)call->in[0] + i * pixels * channels, pixels, channels, call->scratch,
             (float *)call->out[0] + i * channels);
    }
    return MM_OK;
}

static mm_status run_global_average(const struct onnx_call *call, mm_error *err) {
    (void)err;
    return run_global(call, global_average);
}

static mm_status run_global_max(const struct onnx_call *call, mm_error *err) {
    (void)err;
    return run_global(call, global_max);
}

static onnx_kernel choose_global(struct onnx_inference *x, onnx_kernel kernel) {
    const struct onnx_tensor *image = &x->inputs[0];
    if (image->dtype != MM_F32 || image->elements == 0) {
        return NULL;
    }
    x->scratch_bytes = (uint64_t)image->shape[image->rank - 1] * sizeof(float);
    return kernel;
}

onnx_kernel mmi_onnx_cpu_ChannelsLastGlobalAveragePool(struct onnx_inference *x,
                                                       const mm_services *services) {
    (void)services;
    return choose_global(x, run_global_average);
}

onnx_kernel mmi_onnx_cpu_ChannelsLastGlobalMaxPool(struct onnx_inference *x,
                                                   const mm_services *services) {
    (void)services;
    return choose_global(x, run_global_max);
}
