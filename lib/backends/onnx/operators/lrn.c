/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/operators/number.h>
#include <base/checked.h>
#include <base/status.h>

#include <inttypes.h>
#include <math.h>

/* LRN: each element divided by a power of the sum of squares of its neighbours, which are the same
 * element of the channels around. */

struct lrn {
    int64_t size;
    float alpha, beta, bias;
};

static mm_status read(const struct onnx_attributes *a, void *params, mm_error *err) {
    struct lrn *lrn = params;
    MMI_TRY(mmi_onnx_read_int(a, "size", 0, &lrn->size, err));
    MMI_TRY(mmi_onnx_read_float(a, "alpha", 1e-4f, &lrn->alpha, err));
    MMI_TRY(mmi_onnx_read_float(a, "beta", 0.75f, &lrn->beta, err));
    return mmi_onnx_read_float(a, "bias", 1, &lrn->bias, err);
}

static mm_status infer(struct onnx_inference *x, mm_error *err) {
    const struct onnx_tensor *data = &x->inputs[0];
    MMI_TRY(mmi_onnx_check_type(x, 0, ONNX_FLOATS, err));
    if (data->rank < 2) {
        return mmi_fail(err, MM_INVALID_MODEL, "its input has %u axes, 2 or more wanted",
                        data->rank);
    }
    return mmi_onnx_tensor_set(&x->outputs[0], data->dtype, data->rank, data->shape, err);
}

/* Elements of a channel that are computed side by side. */
struct stretch {
    const struct lrn *lrn;
    int32_t dtype;
    uint64_t channels, plane_bytes; /* of an image; from a channel to the next */
    uint64_t count;
    const uint8_t *from; /* in channel 0 */
    uint8_t *to;
};

static void normalise(const struct stretch *stretch, uint64_t channel) {
    const struct lrn *lrn = stretch->lrn;
    uint64_t size = (uint64_t)lrn->size;
    uint64_t first = mmi_sub_floor(channel, (size - 1) / 2);
    uint64_t end = mmi_min_u64(mmi_add_cap(channel, size / 2 + 1), stretch->channels);
    double sums[ONNX_CHUNK] = {0};
    union onnx_chunk numbers, results;
    for (uint64_t i = first; i < end; i++) {
        const double *x =
            mmi_onnx_load_as(ONNX_F64, stretch->dtype, stretch->from + i * stretch->plane_bytes,
                             stretch->count, &numbers);
        for (uint64_t j = 0; j < stretch->count; j++) {
            sums[j] += x[j] * x[j];
        }
    }
    const double *x =
        mmi_onnx_load_as(ONNX_F64, stretch->dtype, stretch->from + channel * stretch->plane_bytes,
                         stretch->count, &numbers);
    double alpha = (double)lrn->alpha / (double)size;
    for (uint64_t j = 0; j < stretch->count; j++) {
        results.f64[j] = x[j] / pow((double)lrn->bias + alpha * sums[j], (double)lrn->beta);
    }
    mmi_onnx_convert(MM_F64, &results, stretch->count, stretch->dtype,
                     stretch->to + channel * stretch->plane_bytes);
}

static mm_status run(const struct onnx_call *call, mm_error *err) {
    const struct onnx_tensor *data = &call->inputs[0];
    struct onnx_split split = mmi_onnx_split_at(data, 1);
    uint32_t width = mmi_onnx_element_bytes(data->dtype);
    (void)err;
    struct stretch stretch = {.lrn = call->params,
                              .dtype = data->dtype,
                              .channels = split.length,
                              .plane_bytes = split.inner * width};
    for (uint64_t image = 0; call->out[0] && image < split.outer; image++) {
        for (uint64_t i = 0; i < split.inner; i += ONNX_CHUNK) {
            uint64_t at = image * split.length * stretch.plane_bytes + i * width;
            stretch.count = mmi_min_u64(ONNX_CHUNK, split.inner - i);
            stretch.from = (const uint8_t *)call->in[0] + at;
            stretch.to = (uint8_t *)call->out[0] + at;
            for (uint64_t channel = 0; channel < split.length; channel++) {
                normalise(&stretch, channel);
            }
        }
    }
    return MM_OK;
}

const struct onnx_operator mmi_onnx_op_LRN = {
    .name = "LRN",
    .min_inputs = 1,
    .max_inputs = 1,
    .min_outputs = 1,
    .max_outputs = 1,
    .params_bytes = sizeof(struct lrn),
    .limits = ONNX_LIMITS(ONNX_AT_LEAST("size", struct lrn, size, 1)),
    .read = read,
    .infer = infer,
    .run = run,
    .facts = ONNX_FACTS_LIKE_0};
