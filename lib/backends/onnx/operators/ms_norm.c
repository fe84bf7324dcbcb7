/* SPDX-License-Identifier: Apache-2.0 */

/* SkipLayerNormalization and SkipSimplifiedLayerNormalization of com.microsoft: rows of two inputs
 * (and a bias) are added, then normalised. */

#include <backends/onnx/operators/ms_norm.h>
#include <base/checked.h>
#include <base/status.h>

#include <inttypes.h>
#include <math.h>
#include <string.h>

void mmi_onnx_norm_row(const struct onnx_norm_row *norm, const double *row, uint8_t *to,
                       struct onnx_moments *moments) {
    uint64_t width = mmi_onnx_element_bytes(norm->dtype);
    *moments = mmi_onnx_moments(MM_F64, row, norm->count);
    if (!norm->centred) {
        *moments = (struct onnx_moments){0, mmi_onnx_mean_square(MM_F64, row, norm->count)};
    }
    double inverse = 1 / sqrt(moments->variance + norm->epsilon);
    for (uint64_t at = 0, count; at < norm->count && to; at += count) {
        union onnx_chunk scales, biases, made;
        count = mmi_min_u64(ONNX_CHUNK, norm->count - at);
        const double *scale =
            mmi_onnx_load_as(ONNX_F64, norm->dtype, norm->scale + at * width, count, &scales);
        const double *bias = norm->bias ? mmi_onnx_load_as(ONNX_F64, norm->dtype,
                                                           norm->bias + at * width, count, &biases)
                                        : NULL;
        for (uint64_t i = 0; i < count; i++) {
            made.f64[i] = (row[at + i] - moments->mean) * inverse * scale[i] + (bias ? bias[i] : 0);
        }
        mmi_onnx_convert(MM_F64, &made, count, norm->dtype, to + at * width);
    }
}

void mmi_onnx_add_row(int32_t dtype, const uint8_t *from, uint64_t count, double *row) {
    uint64_t width = mmi_onnx_element_bytes(dtype);
    for (uint64_t at = 0, part; at < count; at += part) {
        union onnx_chunk numbers;
        part = mmi_min_u64(ONNX_CHUNK, count - at);
        const double *x = mmi_onnx_load_as(ONNX_F64, dtype, from + at * width, part, &numbers);
        for (uint64_t i = 0; i < part; i++) {
            row[at + i] += x[i];
        }
    }
}

mm_status mmi_onnx_check_vector(const struct onnx_inference *x, uint32_t input, int64_t count,
                                mm_error *err) {
    const struct onnx_tensor *tensor = &x->inputs[input];
    bool fits = !mmi_onnx_has(x, input) || (tensor->rank == 1 && tensor->shape[0] == count);
    return fits ? MM_OK
                : mmi_fail(err, MM_INVALID_MODEL,
                           "its input %u has %u axes and %" PRIu64 " elements; one of %" PRId64
                           " wanted",
                           input, tensor->rank, tensor->elements, count);
}

/* ---- The operators --------------------------------------------------------------------------- */

struct skip_norm {
    float epsilon;
    int32_t simple; /* no mean is taken off, and there is no beta */
};

static mm_status read_skip(const struct onnx_attributes *a, void *params, mm_error *err) {
    struct skip_norm *p = params;
    return mmi_onnx_read_float(a, "epsilon", 1e-12f, &p->epsilon, err);
}

static mm_status read_simple(const struct onnx_attributes *a, void *params, mm_error *err) {
    struct skip_norm *p = params;
    p->simple = 1;
    return read_skip(a, params, err);
}

static mm_status infer(struct onnx_inference *x, mm_error *err) {
    const struct onnx_tensor *data = &x->inputs[0], *skip = &x->inputs[1];
    struct onnx_tensor all;
    MMI_TRY(mmi_onnx_check_types(x, ONNX_FLOATS & ~ONNX_TYPE(MM_F64), err));
    bool fits = data->rank >= 1 && skip->rank >= 1 &&
                mmi_onnx_broadcast(data->rank, data->shape, skip->rank, skip->shape, &all) &&
                all.rank == data->rank &&
                skip->shape[skip->rank - 1] == data->shape[data->rank - 1];
    for (uint32_t i = 0; i < data->rank && fits; i++) {
        uint32_t behind = data->rank - i; /* only leading axes of skip are repeated */
        bool own = behind <= skip->rank && skip->shape[skip->rank - behind] != 1;
        fits = all.shape[i] == data->shape[i] && (own || i == 0 || data->shape[i] == 1);
    }
    if (!fits) {
        return mmi_fail(err, MM_INVALID_MODEL,
                        "its skip, of %u axes and %" PRIu64
                        " elements, does not fit its input, of %u axes",
                        skip->rank, skip->elements, data->rank);
    }
    int64_t wide = data->shape[data->rank - 1], shape[MM_MAX_RANK] = {0};
    for (uint32_t i = 2; i < x->input_count; i++) {
        MMI_TRY(mmi_onnx_check_vector(x, i, wide, err));
    }
    for (uint32_t i = 0; i < x->output_count; i++) {
        bool moment = i == 1 || i == 2;
        memcpy(shape, data->shape, data->rank * sizeof(*shape));
        shape[data->rank - 1] = moment ? 1 : wide;
        MMI_TRY(mmi_onnx_tensor_set(&x->outputs[i], moment ? MM_F32 : data->dtype, data->rank,
                                    shape, err));
    }
    return mmi_mul((uint64_t)wide, sizeof(double), &x->scratch_bytes)
               ? MM_OK
               : mmi_fail(err, MM_TOO_LARGE, "its rows are too large");
}

static void *output_of(const struct onnx_call *call, uint32_t i) {
    return i < call->output_count ? call->out[i] : NULL;
}

static mm_status run(const struct onnx_call *call, mm_error *err) {
    const struct skip_norm *p = call->params;
    const struct onnx_tensor *data = &call->inputs[0];
    uint32_t beta = p->simple ? UINT32_MAX : 3, bias = p->simple ? 3 : 4;
    struct onnx_norm_row norm = {.dtype = data->dtype,
                                 .count = (uint64_t)data->shape[data->rank - 1],
                                 .centred = !p->simple,
                                 .epsilon = (double)p->epsilon,
                                 .scale = call->in[2],
                                 .bias = mmi_onnx_given(call, beta) ? call->in[beta] : NULL};
    uint64_t width = mmi_onnx_element_bytes(data->dtype), step = norm.count * width;
    uint64_t skipped = call->inputs[1].bytes;
    double *row = call->scratch;
    (void)err;
    for (uint64_t i = 0; i < data->bytes; i += step) {
        struct onnx_moments moments;
        uint8_t *sum = output_of(call, 3), *out = output_of(call, 0);
        float *means = output_of(call, 1), *inverses = output_of(call, 2);
        memset(row, 0, norm.count * sizeof(*row));
        mmi_onnx_add_row(data->dtype, (const uint8_t *)call->in[0] + i, norm.count, row);
        mmi_onnx_add_row(data->dtype, (const uint8_t *)call->in[1] + i % skipped, norm.count, row);
        if (mmi_onnx_given(call, bias)) {
            mmi_onnx_add_row(data->dtype, call->in[bias], norm.count, row);
        }
        if (sum) {
            mmi_onnx_convert(MM_F64, row, norm.count, data->dtype, sum + i);
        }
        mmi_onnx_norm_row(&norm, row, out ? out + i : NULL, &moments);
        if (means) {
            means[i / step] = (float)moments.mean;
        }
        if (inverses) {
            inverses[i / step] = (float)(1 / sqrt(moments.variance + norm.epsilon));
        }
    }
    return MM_OK;
}

static void learn(const struct onnx_learning *l, uint32_t output, struct onnx_fact *fact) {
    bool moment = output == 1 || output == 2;
    if (output > 0) {
        *fact = mmi_onnx_fact(l, 0);
        fact->dtype = moment ? MM_F32 : fact->dtype;
        fact->last = moment ? 1 : fact->last;
        fact->small = moment;
    }
}

#define SKIP(name_, most_, read_)                                                                  \
    const struct onnx_operator mmi_onnx_op_Ms##name_ = {                                           \
        .name = #name_,                                                                            \
        .domain = ONNX_MICROSOFT,                                                                  \
        .min_inputs = 3,                                                                           \
        .max_inputs = most_,                                                                       \
        .min_outputs = 1,                                                                          \
        .max_outputs = 4,                                                                          \
        .params_bytes = sizeof(struct skip_norm),                                                  \
        .read = read_,                                                                             \
        .infer = infer,                                                                            \
        .run = run,                                                                                \
        .facts = ONNX_FACTS_LIKE_0,                                                                \
        .learn = learn,                                                                            \
    };
SKIP(SkipLayerNormalization, 5, read_skip)
SKIP(SkipSimplifiedLayerNormalization, 4, read_simple)
