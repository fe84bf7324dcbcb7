/* SPDX-License-Identifier: Apache-2.0 */
/* Resize by nearest neighbour with integer factors: each pixel is repeated down and across. */
#include <backends/onnx/operators/operator.h>
#include <backends/onnx/cpu/simd.h>
#include <backends/onnx/cpu/tasks.h>
#include <backends/onnx/operators/resize.h>
#include <base/checked.h>

#include <string.h>

struct repeat {
    const struct onnx_simd *simd;
    const struct onnx_call *call;
    uint64_t rows, columns, down, across; /* of the input, all channels; factors */
    uint64_t tasks;
};

/* The integer factor of an axis; 0: it has none. */
static uint64_t times(const struct onnx_resize *resize, const struct onnx_resize_axis *axis) {
    if (axis->kept) {
        return 1;
    }
    bool halves =
        resize->nearest == ONNX_RESIZE_ROUND_DOWN || resize->nearest == ONNX_RESIZE_ROUND_UP;
    bool even =
        (resize->coordinates == ONNX_RESIZE_ASYMMETRIC && resize->nearest == ONNX_RESIZE_FLOOR) ||
        (resize->coordinates == ONNX_RESIZE_HALF_PIXEL && halves);
    int64_t count = axis->in > 0 ? axis->out / axis->in : 0;
    return even && count * axis->in == axis->out && axis->scale == (float)count ? (uint64_t)count
                                                                                : 0;
}

static bool repeats(const struct onnx_resize *resize, const struct onnx_inference *x) {
    struct onnx_resize_axis axes[MM_MAX_RANK];
    uint32_t rank = x->inputs[0].rank;
    if (resize->mode != ONNX_RESIZE_NEAREST || rank < 2 ||
        mmi_onnx_resize_axes(resize, x->inputs, x->input_count, axes, NULL) != MM_OK) {
        return false;
    }
    bool others_kept = true;
    for (uint32_t i = 0; i + 2 < rank; i++) {
        others_kept = others_kept && axes[i].kept;
    }
    return others_kept && times(resize, &axes[rank - 2]) > 0 && times(resize, &axes[rank - 1]) > 0;
}

static void run_rows(void *ctx, uint64_t i) {
    const struct repeat *r = ctx;
    struct onnx_range rows = mmi_onnx_part(r->rows, r->tasks, i);
    uint64_t width = r->columns * r->across;
    for (uint64_t row = rows.from; row < rows.to; row++) {
        float *to = (float *)r->call->out[0] + row * r->down * width;
        r->simd->repeat((const float *)r->call->in[0] + row * r->columns, r->across, to,
                        r->columns);
        for (uint64_t again = 1; again < r->down; again++) {
            memcpy(to + again * width, to, width * sizeof(*to));
        }
    }
}

static mm_status run(const struct onnx_call *call, mm_error *err) {
    (void)err;
    const struct onnx_tensor *in = &call->inputs[0], *out = &call->outputs[0];
    struct repeat r = {.simd = mmi_onnx_simd(call->services->cpu_features), .call = call};
    r.columns = (uint64_t)in->shape[in->rank - 1];
    r.rows = in->elements / r.columns;
    r.down = (uint64_t)(out->shape[in->rank - 2] / in->shape[in->rank - 2]);
    r.across = (uint64_t)out->shape[in->rank - 1] / r.columns;
    r.tasks = mmi_onnx_tasks(call->services, (double)out->elements / 2, r.rows);
    mmi_onnx_run_tasks(call->services, r.tasks, run_rows, &r);
    return MM_OK;
}

onnx_kernel mmi_onnx_cpu_Resize(struct onnx_inference *x, const mm_services *services) {
    (void)services;
    if (x->inputs[0].dtype != MM_F32 || x->outputs[0].elements == 0 || !repeats(x->params, x)) {
        return NULL;
    }
    x->scratch_bytes = 0;
    return run;
}
