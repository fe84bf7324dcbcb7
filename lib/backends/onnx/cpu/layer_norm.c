/* SPDX-License-Identifier: Apache-2.0 */
/* LayerNormalization with the same scale and bias for all rows. */
#include <backends/onnx/operators/operator.h>
#include <backends/onnx/cpu/simd.h>
#include <backends/onnx/cpu/tasks.h>
#include <backends/onnx/operators/norm.h>
#include <base/checked.h>

#include <math.h>

struct rows {
    const struct onnx_simd *simd;
    const float *in, *scale, *bias;
    float *out;
    float epsilon;
    uint64_t count, length, tasks;
};

static void run_rows(void *ctx, uint64_t i) {
    const struct rows *r = ctx;
    struct onnx_range mine = mmi_onnx_part(r->count, r->tasks, i);
    for (uint64_t row = mine.from; row < mine.to; row++) {
        const float *in = r->in + row * r->length;
        float mean = r->simd->sum(in, r->length) / (float)r->length;
        float variance = r->simd->sum_squares(in, mean, r->length) / (float)r->length;
        struct onnx_normalisation normal = {.from = in,
                                            .mean = mean,
                                            .inv_std = 1 / sqrtf(variance + r->epsilon),
                                            .scale = r->scale,
                                            .bias = r->bias,
                                            .to = r->out + row * r->length,
                                            .count = r->length};
        r->simd->normalise(&normal);
    }
}

static uint64_t row_length(const struct onnx_layer_norm *norm, const struct onnx_tensor *data) {
    uint32_t axis;
    mmi_onnx_axis(norm->axis, data->rank, &axis);
    struct onnx_split split = mmi_onnx_split_at(data, axis);
    return split.length * split.inner;
}

static mm_status run(const struct onnx_call *call, mm_error *err) {
    (void)err;
    const struct onnx_layer_norm *norm = call->params;
    const struct onnx_tensor *data = &call->inputs[0];
    struct rows r = {.simd = mmi_onnx_simd(call->services->cpu_features),
                     .in = call->in[0],
                     .scale = call->in[1],
                     .bias = mmi_onnx_given(call, 2) ? call->in[2] : NULL,
                     .out = call->out[0],
                     .epsilon = norm->epsilon,
                     .length = row_length(norm, data)};
    r.count = data->elements / r.length;
    r.tasks = mmi_onnx_tasks(call->services, (double)data->elements / 2, r.count);
    mmi_onnx_run_tasks(call->services, r.tasks, run_rows, &r);
    return MM_OK;
}

/* Whether broadcasting it to the data repeats one row of this length. */
static bool is_row(const struct onnx_tensor *tensor, const struct onnx_tensor *data,
                   uint64_t length) {
    uint64_t elements = 1;
    for (uint32_t i = 1; i <= tensor->rank && elements < length; i++) {
        elements *= (uint64_t)data->shape[data->rank - i];
        if (tensor->shape[tensor->rank - i] != data->shape[data->rank - i]) {
            return false;
        }
    }
    return elements == length && tensor->elements == length;
}

onnx_kernel mmi_onnx_cpu_LayerNormalization(struct onnx_inference *x, const mm_services *services) {
    (void)services;
    const struct onnx_tensor *data = &x->inputs[0];
    if (data->dtype != MM_F32 || data->elements == 0 || x->output_count > 1) {
        return NULL;
    }
    uint64_t length = row_length(x->params, data);
    if (!is_row(&x->inputs[1], data, length) ||
        (mmi_onnx_has(x, 2) && !is_row(&x->inputs[2], data, length))) {
        return NULL;
    }
    x->scratch_bytes = 0;
    return run;
}
