/* SPDX-License-Identifier: Apache-2.0 */
/* GlobalAveragePool and GlobalMaxPool: each channel is a row of numbers. */
#include <backends/onnx/cpu/kernels.h>
#include <backends/onnx/cpu/simd.h>
#include <backends/onnx/cpu/tasks.h>
#include <base/checked.h>

struct rows {
    const struct onnx_simd *simd;
    const float *in;
    float *out;
    uint64_t count, length, tasks;
    bool average;
};

static void run_rows(void *ctx, uint64_t i) {
    const struct rows *r = ctx;
    struct onnx_range mine = mmi_onnx_part(r->count, r->tasks, i);
    for (uint64_t row = mine.from; row < mine.to; row++) {
        const float *in = r->in + row * r->length;
        r->out[row] = r->average ? r->simd->sum(in, r->length) / (float)r->length
                                 : r->simd->max(in, r->length);
    }
}

static mm_status run(const struct onnx_call *call, bool average) {
    struct rows r = {.simd = mmi_onnx_simd(call->services->cpu_features),
                     .in = call->in[0],
                     .out = call->out[0],
                     .count = call->outputs[0].elements,
                     .average = average};
    r.length = call->inputs[0].elements / r.count;
    r.tasks = mmi_min_u64(mmi_onnx_tasks(call->services, call->inputs[0].elements / 8), r.count);
    mmi_onnx_run_tasks(call->services, r.tasks, run_rows, &r);
    return MM_OK;
}

static mm_status run_average(const struct onnx_call *call, mm_error *err) {
    (void)err;
    return run(call, true);
}

static mm_status run_max(const struct onnx_call *call, mm_error *err) {
    (void)err;
    return run(call, false);
}

static onnx_kernel choose(struct onnx_inference *x, onnx_kernel kernel) {
    if (x->inputs[0].dtype != MM_F32 || x->inputs[0].elements == 0) {
        return NULL;
    }
    x->scratch_bytes = 0;
    return kernel;
}

onnx_kernel mmi_onnx_choose_global_average_pool(struct onnx_inference *x,
                                                const mm_services *services) {
    (void)services;
    return choose(x, run_average);
}

onnx_kernel mmi_onnx_choose_global_max_pool(struct onnx_inference *x, const mm_services *services) {
    (void)services;
    return choose(x, run_max);
}
