/* SPDX-License-Identifier: Apache-2.0 */

/* MeanVarianceNormalization: (x - mean) / (deviation + 1e-9), both over the axes that are named. */

#include <backends/onnx/operators/move.h>
#include <backends/onnx/operators/number.h>
#include <base/checked.h>
#include <base/status.h>

#include <math.h>

#define EPSILON 1e-9

struct mean_variance {
    uint32_t count, reserved;
    int64_t axes[MM_MAX_RANK];
};

static mm_status read(const struct onnx_attributes *a, void *params, mm_error *err) {
    struct mean_variance *norm = params;
    MMI_TRY(mmi_onnx_read_ints(a, "axes", MM_MAX_RANK, norm->axes, &norm->count, err));
    if (!mmi_onnx_attribute(a, "axes")) {
        *norm = (struct mean_variance){.count = 3, .axes = {0, 2, 3}};
    }
    return MM_OK;
}

/* The sums of those that are normalised together. */
struct moments {
    double mean, squares;
};

static mm_status infer(struct onnx_inference *x, mm_error *err) {
    const struct mean_variance *norm = x->params;
    const struct onnx_tensor *data = &x->inputs[0];
    uint32_t axis;
    MMI_TRY(mmi_onnx_check_type(x, 0, ONNX_FLOATS, err));
    for (uint32_t i = 0; i < norm->count; i++) {
        MMI_TRY(mmi_onnx_check_axis(norm->axes[i], data->rank, &axis, err));
    }
    uint64_t groups = data->elements;
    uint32_t seen = 0;
    for (uint32_t i = 0; i < norm->count && groups > 0; i++) {
        mmi_onnx_axis(norm->axes[i], data->rank, &axis);
        groups /= seen >> axis & 1 ? 1 : (uint64_t)data->shape[axis];
        seen |= 1u << axis;
    }
    if (!mmi_mul(groups, sizeof(struct moments), &x->scratch_bytes)) {
        return mmi_fail(err, MM_TOO_LARGE, "its input is too large");
    }
    return mmi_onnx_tensor_set(&x->outputs[0], data->dtype, data->rank, data->shape, err);
}

/* Where the moments of each element lie: steps along the axes of the data, 0 along those named. */
static uint64_t find_steps(const struct onnx_call *call, uint64_t steps[MM_MAX_RANK]) {
    const struct mean_variance *norm = call->params;
    const struct onnx_tensor *data = &call->inputs[0];
    uint64_t groups = 1;
    for (uint32_t i = data->rank; i-- > 0;) {
        bool named = false;
        for (uint32_t j = 0; j < norm->count; j++) {
            uint32_t axis;
            named |= mmi_onnx_axis(norm->axes[j], data->rank, &axis) && axis == i;
        }
        steps[i] = named ? 0 : groups;
        groups *= named ? 1 : (uint64_t)data->shape[i];
    }
    return groups;
}

static struct moments *moments_of(const struct onnx_call *call, const uint64_t *steps,
                                  uint64_t element) {
    const struct onnx_tensor *data = &call->inputs[0];
    uint64_t at = 0;
    for (uint32_t i = data->rank; i-- > 0;) {
        at += element % (uint64_t)data->shape[i] * steps[i];
        element /= (uint64_t)data->shape[i];
    }
    return (struct moments *)call->scratch + at;
}

static mm_status run(const struct onnx_call *call, mm_error *err) {
    struct onnx_tensor data = mmi_onnx_call_input(call, 0);
    struct moments *moments = call->scratch;
    uint64_t steps[MM_MAX_RANK], groups = find_steps(call, steps);
    double each = (double)(data.elements / mmi_max_u64(groups, 1));
    (void)err;
    if (!call->out[0]) {
        return MM_OK;
    }
    for (uint64_t i = 0; i < groups && data.elements > 0; i++) {
        moments[i] = (struct moments){0, 0};
    }
    for (uint64_t i = 0; i < data.elements; i++) {
        moments_of(call, steps, i)->mean += mmi_onnx_float_at(&data, i) / each;
    }
    for (uint64_t i = 0; i < data.elements; i++) {
        struct moments *of = moments_of(call, steps, i);
        double away = mmi_onnx_float_at(&data, i) - of->mean;
        of->squares += away * away / each;
    }
    for (uint64_t i = 0; i < data.elements; i++) {
        const struct moments *of = moments_of(call, steps, i);
        double result = (mmi_onnx_float_at(&data, i) - of->mean) / (sqrt(of->squares) + EPSILON);
        mmi_onnx_convert(MM_F64, &result, 1, data.dtype,
                         (uint8_t *)call->out[0] + i * mmi_onnx_element_bytes(data.dtype));
    }
    return MM_OK;
}

const struct onnx_operator mmi_onnx_op_MeanVarianceNormalization = {
    .name = "MeanVarianceNormalization",
    .min_inputs = 1,
    .max_inputs = 1,
    .min_outputs = 1,
    .max_outputs = 1,
    .params_bytes = sizeof(struct mean_variance),
    .limits = ONNX_LIMITS(ONNX_BETWEEN("axes", struct mean_variance, count, 0, MM_MAX_RANK)),
    .read = read,
    .infer = infer,
    .run = run,
    .facts = ONNX_FACTS_LIKE_0,
};
