/* SPDX-License-Identifier: Apache-2.0 */
/* Softmax of contiguous rows, and of the columns of matrices. */
#include <backends/onnx/operators/operator.h>
#include <backends/onnx/cpu/simd.h>
#include <backends/onnx/cpu/tasks.h>
#include <backends/onnx/operators/softmax.h>
#include <base/checked.h>

struct rows {
    const struct onnx_simd *simd;
    const float *in;
    float *out;
    uint64_t count, length, tasks;
};

static void run_rows(void *ctx, uint64_t i) {
    const struct rows *r = ctx;
    struct onnx_range mine = mmi_onnx_part(r->count, r->tasks, i);
    for (uint64_t row = mine.from; row < mine.to; row++) {
        const float *in = r->in + row * r->length;
        float *out = r->out + row * r->length;
        float max = r->simd->max(in, r->length);
        struct onnx_instruction times = {.function = ONNX_F_Mul, .operands = ONNX_A_X};
        times.x = 1 / r->simd->sum_exp(in, max, out, r->length);
        r->simd->instruction(&times, out, NULL, out, r->length);
    }
}

/* Axes behind the one that is reduced: matrices [length, inner]. */
struct matrices {
    const struct onnx_simd *simd;
    const float *in;
    float *out;
    struct onnx_split split;
    uint64_t tasks;
};

static void run_matrices(void *ctx, uint64_t i) {
    const struct matrices *m = ctx;
    struct onnx_range mine = mmi_onnx_part(m->split.outer, m->tasks, i);
    uint64_t elements = m->split.length * m->split.inner;
    for (uint64_t at = mine.from; at < mine.to; at++) {
        m->simd->softmax_columns(m->in + at * elements, m->split.length, m->split.inner,
                                 m->out + at * elements);
    }
}

static mm_status run_columns(const struct onnx_call *call, mm_error *err) {
    (void)err;
    struct matrices m = {.simd = mmi_onnx_simd(call->services->cpu_features),
                         .in = call->in[0],
                         .out = call->out[0],
                         .split = mmi_onnx_softmax_split(call->params, &call->inputs[0])};
    m.tasks = mmi_onnx_tasks(call->services, (double)call->inputs[0].elements, m.split.outer);
    mmi_onnx_run_tasks(call->services, m.tasks, run_matrices, &m);
    return MM_OK;
}

static mm_status run(const struct onnx_call *call, mm_error *err) {
    (void)err;
    const struct onnx_tensor *input = &call->inputs[0];
    struct rows r = {.simd = mmi_onnx_simd(call->services->cpu_features),
                     .in = call->in[0],
                     .out = call->out[0],
                     .length = mmi_onnx_softmax_split(call->params, input).length};
    r.count = input->elements / r.length;
    r.tasks = mmi_onnx_tasks(call->services, (double)input->elements, r.count);
    mmi_onnx_run_tasks(call->services, r.tasks, run_rows, &r);
    return MM_OK;
}

onnx_kernel mmi_onnx_cpu_Softmax(struct onnx_inference *x, const mm_services *services) {
    (void)services;
    const struct onnx_tensor *input = &x->inputs[0];
    if (input->dtype != MM_F32 || input->elements == 0) {
        return NULL;
    }
    x->scratch_bytes = 0;
    return mmi_onnx_softmax_split(x->params, input).inner == 1 ? run : run_columns;
}
