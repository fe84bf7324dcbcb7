/* SPDX-License-Identifier: Apache-2.0 */
/* Cast between f32 and f16 or bf16. */
#include <backends/onnx/cpu/simd.h>
#include <backends/onnx/cpu/tasks.h>
#include <backends/onnx/operators/operator.h>

struct cast {
    const struct onnx_simd *simd;
    int32_t from, to;
    const void *in;
    void *out;
    uint64_t count, tasks;
};

static void run_part(void *ctx, uint64_t i) {
    const struct cast *c = ctx;
    struct onnx_range mine = mmi_onnx_part(c->count, c->tasks, i);
    uint64_t count = mine.to - mine.from;
    if (c->to == MM_F32) {
        const uint16_t *in = (const uint16_t *)c->in + mine.from;
        (c->from == MM_F16 ? c->simd->widen_f16 : c->simd->widen_bf16)(in, count,
                                                                       (float *)c->out + mine.from);
    } else {
        const float *in = (const float *)c->in + mine.from;
        (c->to == MM_F16 ? c->simd->narrow_f16
                         : c->simd->narrow_bf16)(in, count, (uint16_t *)c->out + mine.from);
    }
}

static mm_status run(const struct onnx_call *call, mm_error *err) {
    (void)err;
    struct cast c = {.simd = mmi_onnx_simd(call->services->cpu_features),
                     .from = call->inputs[0].dtype,
                     .to = call->outputs[0].dtype,
                     .in = call->in[0],
                     .out = call->out[0],
                     .count = call->outputs[0].elements};
    c.tasks = mmi_onnx_tasks(call->services, (double)c.count / 4, UINT64_MAX);
    mmi_onnx_run_tasks(call->services, c.tasks, run_part, &c);
    return MM_OK;
}

onnx_kernel mmi_onnx_cpu_Cast(struct onnx_inference *x, const mm_services *services) {
    int32_t from = x->inputs[0].dtype, to = x->outputs[0].dtype;
    bool widens = to == MM_F32 && (from == MM_F16 || from == MM_BF16);
    bool narrows = from == MM_F32 && (to == MM_F16 || to == MM_BF16);
    (void)services;
    if (!(widens || narrows) || x->outputs[0].elements == 0) {
        return NULL;
    }
    x->scratch_bytes = 0;
    return run;
}
