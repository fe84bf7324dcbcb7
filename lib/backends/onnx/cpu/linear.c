/* SPDX-License-Identifier: Apache-2.0 */
/* Linear: rows of any leading shape times a matrix in panels. */
#include <backends/onnx/cpu/kernels.h>
#include <backends/onnx/cpu/multiply.h>
#include <backends/onnx/cpu/tasks.h>
#include <base/checked.h>

struct linear {
    const struct onnx_simd *simd;
    struct onnx_simd_product whole;
    uint64_t tasks;
    bool by_rows; /* each task has some of the rows, else some of the panels */
};

static void run_part(void *ctx, uint64_t i) {
    const struct linear *linear = ctx;
    struct onnx_simd_product part = linear->whole;
    if (linear->by_rows) {
        struct onnx_range rows = mmi_onnx_part(part.rows, linear->tasks, i);
        part.rows = rows.to - rows.from;
        part.a += rows.from * part.a_row;
        part.c += rows.from * part.c_row;
    } else {
        uint64_t panels = (part.columns + ONNX_PANEL - 1) / ONNX_PANEL;
        struct onnx_range mine = mmi_onnx_part(panels, linear->tasks, i);
        uint64_t from = mine.from * ONNX_PANEL;
        part.columns = mmi_min_u64(mine.to * ONNX_PANEL, part.columns) - from;
        part.b += mine.from * part.b_panel;
        part.c += from;
        part.column_bias = part.column_bias ? part.column_bias + from : NULL;
    }
    mmi_onnx_simd_multiply(linear->simd, &part);
}

static mm_status run(const struct onnx_call *call, mm_error *err) {
    (void)err;
    const struct onnx_linear *params = call->params;
    uint64_t depth = (uint64_t)call->inputs[1].shape[0];
    uint64_t columns = (uint64_t)call->inputs[1].shape[1];
    uint64_t rows = call->outputs[0].elements / columns;
    bool acts = params->activation.kind != ONNX_ACT_NONE;
    struct linear linear = {.simd = mmi_onnx_simd(call->services->cpu_features),
                            .whole = {.rows = rows,
                                      .columns = columns,
                                      .depth = depth,
                                      .a = call->in[0],
                                      .a_row = depth,
                                      .a_depth = 1,
                                      .b = call->in[1],
                                      .b_depth = ONNX_PANEL,
                                      .b_panel = depth * ONNX_PANEL,
                                      .c = call->out[0],
                                      .c_row = columns,
                                      .column_bias = mmi_onnx_given(call, 2) ? call->in[2] : NULL,
                                      .activation = acts ? &params->activation : NULL}};
    double work_ns = mmi_onnx_simd_ns(rows, columns, depth);
    uint64_t panels = (columns + ONNX_PANEL - 1) / ONNX_PANEL;
    linear.tasks = mmi_onnx_tasks(call->services, work_ns, UINT64_MAX);
    linear.by_rows = rows >= 16 * linear.tasks;
    linear.tasks = linear.by_rows ? linear.tasks : mmi_min_u64(linear.tasks, panels);
    mmi_onnx_run_tasks(call->services, linear.tasks, run_part, &linear);
    return MM_OK;
}

onnx_kernel mmi_onnx_choose_linear(struct onnx_inference *x, const mm_services *services) {
    (void)services;
    if (x->inputs[1].layout != ONNX_PANELS || x->outputs[0].elements == 0) {
        return NULL;
    }
    x->scratch_bytes = 0;
    return run;
}
