/* SPDX-License-Identifier: Apache-2.0 */
/* Linear: all rows of the input times a matrix in packed panels. */
#include <backends/onnx/cpu/panels.h>
#include <backends/onnx/operators/operator.h>
#include <backends/onnx/cpu/tasks.h>
#include <base/checked.h>

struct linear {
    const struct onnx_simd *simd;
    struct onnx_sgemm gemm;
    struct onnx_panels panels;
    uint8_t *buffers; /* of each task */
    uint64_t tasks;
    bool split_m; /* tasks split m; else the panels of n */
};

static void run_part(void *ctx, uint64_t i) {
    const struct linear *linear = ctx;
    struct onnx_sgemm part = linear->gemm;
    uint64_t first = 0;
    if (linear->split_m) {
        struct onnx_range rows = mmi_onnx_part(part.m, linear->tasks, i);
        part.m = rows.to - rows.from;
        part.a += rows.from * part.a_row_stride;
        part.c += rows.from * part.c_row_stride;
    } else {
        uint64_t panels = (part.n + ONNX_NR - 1) / ONNX_NR;
        struct onnx_range mine = mmi_onnx_part(panels, linear->tasks, i);
        uint64_t from = mine.from * ONNX_NR;
        part.n = mmi_min_u64(mine.to * ONNX_NR, part.n) - from;
        first = mine.from;
        part.c += from;
        part.column_bias = part.column_bias ? part.column_bias + from : NULL;
    }
    uint64_t bytes = mmi_onnx_widened_bytes(linear->panels.dtype);
    float *buffer = bytes > 0 ? (float *)(void *)(linear->buffers + i * bytes) : NULL;
    mmi_onnx_sgemm_panels(linear->simd, &part, &linear->panels, first, buffer);
}

static mm_status run(const struct onnx_call *call, mm_error *err) {
    (void)err;
    const struct onnx_linear *params = call->params;
    uint64_t depth = (uint64_t)call->inputs[1].shape[0];
    uint64_t columns = (uint64_t)call->inputs[1].shape[1];
    uint64_t rows = call->outputs[0].elements / columns;
    bool acts = params->activation.function != ONNX_F_NONE;
    struct linear linear = {.simd = mmi_onnx_simd(call->services->cpu_features),
                            .gemm = {.m = rows,
                                     .n = columns,
                                     .k = depth,
                                     .a = call->in[0],
                                     .a_row_stride = depth,
                                     .a_k_stride = 1,
                                     .c = call->out[0],
                                     .c_row_stride = columns,
                                     .column_bias = mmi_onnx_given(call, 2) ? call->in[2] : NULL,
                                     .activation = acts ? &params->activation : NULL},
                            .panels = mmi_onnx_linear_panels(call),
                            .buffers = call->scratch};
    double work_ns = mmi_onnx_sgemm_ns(rows, columns, depth);
    uint64_t panels = (columns + ONNX_NR - 1) / ONNX_NR;
    linear.tasks = mmi_onnx_tasks(call->services, work_ns, UINT64_MAX);
    linear.split_m = rows >= 16 * linear.tasks;
    linear.tasks = linear.split_m ? linear.tasks : mmi_min_u64(linear.tasks, panels);
    mmi_onnx_run_tasks(call->services, linear.tasks, run_part, &linear);
    return MM_OK;
}

onnx_kernel mmi_onnx_cpu_Linear(struct onnx_inference *x, const mm_services *services) {
    if (x->inputs[1].layout != ONNX_PANELS || x->outputs[0].elements == 0) {
        return NULL;
    }
    x->scratch_bytes = mmi_onnx_widened_bytes(x->inputs[1].dtype) * services->threads;
    return run;
}
