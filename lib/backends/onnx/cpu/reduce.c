/* SPDX-License-Identifier: Apache-2.0 */
/* Reductions of contiguous rows: the global pools, and reductions over the last axes. */
#include <backends/onnx/operators/operator.h>
#include <backends/onnx/cpu/simd.h>
#include <backends/onnx/cpu/tasks.h>
#include <backends/onnx/operators/reduce.h>
#include <base/checked.h>

struct rows {
    const struct onnx_simd *simd;
    const float *in;
    float *out;
    uint64_t count, length, tasks;
    float (*reduce)(const float *values, uint64_t count);
    bool mean;
};

static void run_rows(void *ctx, uint64_t i) {
    const struct rows *r = ctx;
    struct onnx_range mine = mmi_onnx_part(r->count, r->tasks, i);
    for (uint64_t row = mine.from; row < mine.to; row++) {
        float value = r->reduce(r->in + row * r->length, r->length);
        r->out[row] = r->mean ? value / (float)r->length : value;
    }
}

static void run(const struct onnx_call *call, struct rows r) {
    r.in = call->in[0];
    r.out = call->out[0];
    r.count = call->outputs[0].elements;
    r.length = call->inputs[0].elements / r.count;
    r.tasks = mmi_onnx_tasks(call->services, (double)call->inputs[0].elements / 8, r.count);
    mmi_onnx_run_tasks(call->services, r.tasks, run_rows, &r);
}

static mm_status run_mean(const struct onnx_call *call, mm_error *err) {
    (void)err;
    const struct onnx_simd *simd = mmi_onnx_simd(call->services->cpu_features);
    run(call, (struct rows){.reduce = simd->sum, .mean = true});
    return MM_OK;
}

static mm_status run_sum(const struct onnx_call *call, mm_error *err) {
    (void)err;
    run(call, (struct rows){.reduce = mmi_onnx_simd(call->services->cpu_features)->sum});
    return MM_OK;
}

static mm_status run_max(const struct onnx_call *call, mm_error *err) {
    (void)err;
    run(call, (struct rows){.reduce = mmi_onnx_simd(call->services->cpu_features)->max});
    return MM_OK;
}

static onnx_kernel choose(struct onnx_inference *x, onnx_kernel kernel) {
    if (x->inputs[0].dtype != MM_F32 || x->inputs[0].elements == 0) {
        return NULL;
    }
    x->scratch_bytes = 0;
    return kernel;
}

onnx_kernel mmi_onnx_cpu_GlobalAveragePool(struct onnx_inference *x, const mm_services *services) {
    (void)services;
    return choose(x, run_mean);
}

onnx_kernel mmi_onnx_cpu_GlobalMaxPool(struct onnx_inference *x, const mm_services *services) {
    (void)services;
    return choose(x, run_max);
}

/* All axes after the first reduced one are reduced, or have length 1. */
static bool reduces_rows(const struct onnx_inference *x) {
    const struct onnx_tensor *input = &x->inputs[0];
    const struct onnx_reduce *reduce = x->params;
    uint64_t count = mmi_onnx_has(x, 1) ? x->inputs[1].elements : 0;
    uint32_t axis, first = input->rank, set = 0;
    for (uint64_t i = 0; i < count; i++) {
        if (mmi_onnx_axis(mmi_onnx_int_at(&x->inputs[1], i), input->rank, &axis)) {
            first = axis < first ? axis : first;
            set |= 1u << axis;
        }
    }
    if (count == 0) {
        return !reduce->noop_with_empty_axes;
    }
    for (uint32_t i = first; i < input->rank; i++) {
        if (!(set >> i & 1) && input->shape[i] != 1) {
            return false;
        }
    }
    return true;
}

onnx_kernel mmi_onnx_cpu_ReduceMean(struct onnx_inference *x, const mm_services *services) {
    (void)services;
    return reduces_rows(x) ? choose(x, run_mean) : NULL;
}

onnx_kernel mmi_onnx_cpu_ReduceSum(struct onnx_inference *x, const mm_services *services) {
    (void)services;
    return reduces_rows(x) ? choose(x, run_sum) : NULL;
}

onnx_kernel mmi_onnx_cpu_ReduceMax(struct onnx_inference *x, const mm_services *services) {
    (void)services;
    return reduces_rows(x) ? choose(x, run_max) : NULL;
}
