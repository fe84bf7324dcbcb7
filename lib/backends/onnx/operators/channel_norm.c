/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/operators/move.h>
#include <backends/onnx/operators/norm.h>
#include <backends/onnx/operators/reduce.h>
#include <base/checked.h>
#include <base/status.h>

#include <inttypes.h>
#include <math.h>

/* BatchNormalization, InstanceNormalization, GroupNormalization: data are [N, C, ...], and each
 * channel of each image is scaled and shifted as a whole. */

/* ---- Moments --------------------------------------------------------------------------------- */

static double sum_of(int32_t dtype, const void *from, uint64_t count, double mean, bool squares) {
    const struct onnx_reducers *reducers =
        squares ? &mmi_onnx_reducer_squares : &mmi_onnx_reducer_sum;
    double sum = 0;
    for (uint64_t i = 0; i < count; i += ONNX_CHUNK) {
        union onnx_chunk numbers, centred;
        uint64_t n = mmi_min_u64(ONNX_CHUNK, count - i);
        const void *at = (const uint8_t *)from + i * mmi_onnx_element_bytes(dtype);
        const double *x = mmi_onnx_load_as(ONNX_F64, dtype, at, n, &numbers);
        for (uint64_t j = 0; j < n; j++) {
            centred.f64[j] = x[j] - mean;
        }
        reducers->row[ONNX_F64](&sum, NULL, &centred, n);
    }
    return sum;
}

struct onnx_moments mmi_onnx_moments(int32_t dtype, const void *from, uint64_t count) {
    double mean = sum_of(dtype, from, count, 0, false) / (double)count;
    double variance = sum_of(dtype, from, count, mean, true) / (double)count;
    return (struct onnx_moments){mean, variance};
}

double mmi_onnx_mean_square(int32_t dtype, const void *from, uint64_t count) {
    return sum_of(dtype, from, count, 0, true) / (double)count;
}

/* ---- Channels -------------------------------------------------------------------------------- */

struct channels {
    struct onnx_tensor data, scale, bias;
    uint64_t images, count, elements; /* channels of an image, elements of a channel */
    uint32_t width;
    const uint8_t *from;
    uint8_t *to;
};

static void set_channels(const struct onnx_call *call, struct channels *channels) {
    struct onnx_tensor data = mmi_onnx_call_input(call, 0);
    *channels = (struct channels){.data = data,
                                  .scale = mmi_onnx_call_input(call, 1),
                                  .bias = mmi_onnx_call_input(call, 2),
                                  .images = data.elements > 0 ? (uint64_t)data.shape[0] : 0,
                                  .count = data.rank > 1 ? (uint64_t)data.shape[1] : 1,
                                  .elements = data.rank > 1 ? mmi_onnx_split_at(&data, 1).inner : 1,
                                  .width = mmi_onnx_element_bytes(data.dtype),
                                  .from = data.data,
                                  .to = call->out[0]};
}

/* Channel `at` of all images: normalised, then scaled and shifted as parameter `parameter` says. */
static void write_channel(const struct channels *channels, uint64_t at, uint64_t parameter,
                          struct onnx_moments moments, double epsilon) {
    double scale =
        mmi_onnx_float_at(&channels->scale, parameter) / sqrt(moments.variance + epsilon);
    double bias = mmi_onnx_float_at(&channels->bias, parameter);
    uint64_t first = at * channels->elements * channels->width;
    for (uint64_t i = 0; i < channels->elements; i += ONNX_CHUNK) {
        union onnx_chunk numbers, results;
        uint64_t n = mmi_min_u64(ONNX_CHUNK, channels->elements - i);
        uint64_t offset = first + i * channels->width;
        const double *x =
            mmi_onnx_load_as(ONNX_F64, channels->data.dtype, channels->from + offset, n, &numbers);
        for (uint64_t j = 0; j < n; j++) {
            results.f64[j] = (x[j] - moments.mean) * scale + bias;
        }
        mmi_onnx_convert(MM_F64, &results, n, channels->data.dtype, channels->to + offset);
    }
}

/* Inputs [1, input_count) have `wanted` elements along one axis, of a float type. */
static mm_status check_parameters(const struct onnx_inference *x, int64_t wanted, mm_error *err) {
    for (uint32_t i = 1; i < x->input_count; i++) {
        const struct onnx_tensor *parameter = &x->inputs[i];
        MMI_TRY(mmi_onnx_check_type(x, i, ONNX_FLOATS, err));
        if (parameter->rank != 1 || parameter->shape[0] != wanted) {
            return mmi_fail(err, MM_INVALID_MODEL,
                            "its input %u has %u axes and %" PRIu64 " elements; one with %" PRId64
                            " wanted",
                            i, parameter->rank, parameter->elements, wanted);
        }
    }
    return MM_OK;
}

static mm_status infer_data(struct onnx_inference *x, uint32_t min_rank, mm_error *err) {
    const struct onnx_tensor *data = &x->inputs[0];
    MMI_TRY(mmi_onnx_check_type(x, 0, ONNX_FLOATS, err));
    if (data->rank < min_rank) {
        return mmi_fail(err, MM_INVALID_MODEL, "its input has %u axes, %u or more wanted",
                        data->rank, min_rank);
    }
    return mmi_onnx_tensor_set(&x->outputs[0], data->dtype, data->rank, data->shape, err);
}

/* ---- BatchNormalization ---------------------------------------------------------------------- */

static mm_status read_batch(const struct onnx_attributes *a, void *params, mm_error *err) {
    struct onnx_batch_norm *norm = params;
    int64_t spatial;
    MMI_TRY(mmi_onnx_read_int(mmi_onnx_since(a, 14), "training_mode", 0, &norm->training, err));
    MMI_TRY(mmi_onnx_read_int(mmi_onnx_before(a, 9), "spatial", 1, &spatial, err));
    if (spatial != 1) {
        return mmi_fail(err, MM_UNSUPPORTED, "attribute spatial is %" PRId64 ", 1 wanted", spatial);
    }
    MMI_TRY(mmi_onnx_read_float(a, "momentum", 0.9f, &norm->momentum, err));
    return mmi_onnx_read_float(a, "epsilon", 1e-5f, &norm->epsilon, err);
}

static mm_status infer_batch(struct onnx_inference *x, mm_error *err) {
    const struct onnx_batch_norm *norm = x->params;
    const struct onnx_tensor *data = &x->inputs[0];
    if (x->output_count > (norm->training ? 3 : 1)) {
        return mmi_fail(err, MM_UNSUPPORTED, "%u outputs, of which training alone has more than %d",
                        x->output_count, norm->training ? 3 : 1);
    }
    MMI_TRY(infer_data(x, 1, err));
    MMI_TRY(check_parameters(x, data->rank > 1 ? data->shape[1] : 1, err));
    for (uint32_t i = 1; i < x->output_count; i++) {
        const struct onnx_tensor *old = &x->inputs[2 + i];
        MMI_TRY(mmi_onnx_tensor_set(&x->outputs[i], old->dtype, old->rank, old->shape, err));
    }
    return MM_OK;
}

/* Of one channel of all images. */
static struct onnx_moments moments_of(const struct channels *channels, uint64_t channel) {
    struct onnx_moments moments = {0, 0};
    double count = (double)channels->images * (double)channels->elements;
    for (int pass = 0; pass < 2; pass++) {
        double sum = 0;
        for (uint64_t image = 0; image < channels->images; image++) {
            uint64_t at = (image * channels->count + channel) * channels->elements;
            sum += sum_of(channels->data.dtype, channels->from + at * channels->width,
                          channels->elements, moments.mean, pass == 1);
        }
        *(pass == 0 ? &moments.mean : &moments.variance) = sum / count;
    }
    return moments;
}

/* The old one and that of the data, mixed, for output `output`. */
static void write_running(const struct onnx_call *call, uint32_t output, uint64_t channel,
                          double old, double new) {
    const struct onnx_batch_norm *norm = call->params;
    double momentum = (double)norm->momentum, mixed = old * momentum + new *(1 - momentum);
    if (output < call->output_count && call->out[output]) {
        int32_t dtype = call->outputs[output].dtype;
        mmi_onnx_convert(MM_F64, &mixed, 1, dtype,
                         (uint8_t *)call->out[output] + channel * mmi_onnx_element_bytes(dtype));
    }
}

static mm_status run_batch(const struct onnx_call *call, mm_error *err) {
    const struct onnx_batch_norm *norm = call->params;
    struct onnx_tensor mean = mmi_onnx_call_input(call, 3);
    struct onnx_tensor variance = mmi_onnx_call_input(call, 4);
    struct channels channels;
    (void)err;
    set_channels(call, &channels);
    for (uint64_t i = 0; i < channels.count; i++) {
        struct onnx_moments moments = {mmi_onnx_float_at(&mean, i),
                                       mmi_onnx_float_at(&variance, i)};
        if (norm->training) { /* the result may lie where the old ones do */
            struct onnx_moments old = moments;
            moments = moments_of(&channels, i);
            write_running(call, 1, i, old.mean, moments.mean);
            write_running(call, 2, i, old.variance, moments.variance);
        }
        for (uint64_t image = 0; call->out[0] && image < channels.images; image++) {
            write_channel(&channels, image * channels.count + i, i, moments, (double)norm->epsilon);
        }
    }
    return MM_OK;
}

static void learn_batch(const struct onnx_learning *l, uint32_t output, struct onnx_fact *fact) {
    if (output > 0 && output < 3) {
        *fact = (struct onnx_fact){.dtype = mmi_onnx_fact(l, 2 + output).dtype, .rank = 1};
    }
}

const struct onnx_operator mmi_onnx_op_BatchNormalization = {
    .name = "BatchNormalization",
    .flags = ONNX_OP_IN_PLACE,
    .min_inputs = 5,
    .max_inputs = 5,
    .min_outputs = 1,
    .max_outputs = 5,
    .params_bytes = sizeof(struct onnx_batch_norm),
    .read = read_batch,
    .infer = infer_batch,
    .run = run_batch,
    .weight_inputs = ~1u,
    .facts = ONNX_FACTS_LIKE_0,
    .learn = learn_batch,
};

/* ---- Groups of channels with moments of their own -------------------------------------------- */

struct group_norm {
    int64_t groups; /* 0: each channel is one */
    float epsilon;
    int32_t by_group; /* scale and bias are, too: opset 20 and before */
};

static mm_status read_instance(const struct onnx_attributes *a, void *params, mm_error *err) {
    return mmi_onnx_read_float(a, "epsilon", 1e-5f, &((struct group_norm *)params)->epsilon, err);
}

static mm_status read_group(const struct onnx_attributes *a, void *params, mm_error *err) {
    struct group_norm *norm = params;
    MMI_TRY(mmi_onnx_read_int(a, "num_groups", 0, &norm->groups, err));
    norm->by_group = a->opset < 21;
    mmi_onnx_attribute(mmi_onnx_since(a, 21), "stash_type"); /* all is computed in f64 */
    return read_instance(a, params, err);
}

static mm_status infer_groups(struct onnx_inference *x, mm_error *err) {
    const struct group_norm *norm = x->params;
    const struct onnx_tensor *data = &x->inputs[0];
    MMI_TRY(infer_data(x, 2, err));
    if (norm->groups > 0 && data->shape[1] % norm->groups != 0) {
        return mmi_fail(err, MM_INVALID_MODEL,
                        "its %" PRId64 " channels cannot be parted in %" PRId64 " groups",
                        data->shape[1], norm->groups);
    }
    return check_parameters(x, norm->by_group ? norm->groups : data->shape[1], err);
}

static mm_status run_groups(const struct onnx_call *call, mm_error *err) {
    const struct group_norm *norm = call->params;
    struct channels channels;
    (void)err;
    set_channels(call, &channels);
    uint64_t groups = norm->groups > 0 ? (uint64_t)norm->groups : channels.count;
    uint64_t members = groups > 0 ? channels.count / groups : 0;
    uint64_t elements = members * channels.elements;
    for (uint64_t i = 0; call->out[0] && i < channels.images * groups; i++) {
        struct onnx_moments moments = mmi_onnx_moments(
            channels.data.dtype, channels.from + i * elements * channels.width, elements);
        for (uint64_t j = 0; j < members; j++) {
            uint64_t channel = i % groups * members + j;
            write_channel(&channels, i * members + j, norm->by_group ? i % groups : channel,
                          moments, (double)norm->epsilon);
        }
    }
    return MM_OK;
}

#define GROUPS(name_, least_, read_)                                                               \
    const struct onnx_operator mmi_onnx_op_##name_ = {                                             \
        .name = #name_,                                                                            \
        .flags = ONNX_OP_IN_PLACE,                                                                 \
        .min_inputs = 3,                                                                           \
        .max_inputs = 3,                                                                           \
        .min_outputs = 1,                                                                          \
        .max_outputs = 1,                                                                          \
        .params_bytes = sizeof(struct group_norm),                                                 \
        .limits = ONNX_LIMITS(ONNX_AT_LEAST("num_groups", struct group_norm, groups, least_)),     \
        .read = read_,                                                                             \
        .infer = infer_groups,                                                                     \
        .run = run_groups,                                                                         \
        .facts = ONNX_FACTS_LIKE_0,                                                                \
    };
GROUPS(InstanceNormalization, 0, read_instance)
GROUPS(GroupNormalization, 1, read_group)
