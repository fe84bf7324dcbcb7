/* SPDX-License-Identifier: Apache-2.0 */

/* GroupNorm and SkipGroupNorm of com.microsoft: images [N, H, W, C] or [N, C, H, W], to which a
 * second one and a bias may be added, normalised by groups of channels, and perhaps activated. One
 * image at a time is there in f64. */

#include <backends/onnx/operators/move.h>
#include <backends/onnx/operators/number.h>
#include <base/checked.h>
#include <base/status.h>

#include <inttypes.h>
#include <math.h>

enum { DATA, GAMMA, BETA, SKIP, BIAS };
#define TYPES (ONNX_FLOATS & ~ONNX_TYPE(MM_F64))

struct group_norm {
    float epsilon;
    int32_t last, silu; /* channels are the last axis; the activation */
    int64_t groups;
};

static mm_status read(const struct onnx_attributes *a, void *params, mm_error *err) {
    struct group_norm *p = params;
    int64_t activation;
    MMI_TRY(mmi_onnx_read_float(a, "epsilon", 1e-5f, &p->epsilon, err));
    MMI_TRY(mmi_onnx_read_flag(a, "channels_last", true, &p->last, err));
    MMI_TRY(mmi_onnx_read_int(a, "activation", 0, &activation, err));
    MMI_TRY(mmi_onnx_read_int(a, "groups", 0, &p->groups, err));
    p->silu = activation == 1;
    if (activation != 0 && activation != 1) {
        return mmi_fail(err, MM_UNSUPPORTED,
                        "attribute activation is %" PRId64 ", 0 (none) or 1 (SiLU) wanted",
                        activation);
    }
    return MM_OK;
}

/* ---- Shapes ---------------------------------------------------------------------------------- */

static int64_t channels_of(const struct group_norm *p, const struct onnx_tensor *data) {
    return data->shape[p->last ? 3 : 1];
}

static mm_status check_vector(const struct onnx_inference *x, uint32_t input, uint32_t types,
                              int64_t channels, mm_error *err) {
    const struct onnx_tensor *vector = &x->inputs[input];
    MMI_TRY(mmi_onnx_check_type(x, input, types, err));
    bool fits = !mmi_onnx_has(x, input) || (vector->rank == 1 && vector->shape[0] == channels);
    return fits ? MM_OK
                : mmi_fail(err, MM_INVALID_MODEL,
                           "its input %u has %u axes and %" PRIu64 " elements; one of %" PRId64
                           " wanted",
                           input, vector->rank, vector->elements, channels);
}

/* As large as the image, or a number for each of its channels. */
static mm_status check_skip(const struct onnx_inference *x, mm_error *err) {
    const struct group_norm *p = x->params;
    const struct onnx_tensor *data = &x->inputs[DATA], *skip = &x->inputs[SKIP];
    const int64_t channels = channels_of(p, data);
    const int64_t flat[4] = {data->shape[0], p->last ? 1 : channels, 1, p->last ? channels : 1};
    bool whole = skip->rank == 4, each = skip->rank == 4;
    for (uint32_t i = 0; i < 4; i++) {
        whole = whole && skip->shape[i] == data->shape[i];
        each = each && skip->shape[i] == flat[i];
    }
    each |= skip->rank == 2 && skip->shape[0] == data->shape[0] && skip->shape[1] == channels;
    return (whole || each) && skip->dtype == data->dtype
               ? MM_OK
               : mmi_fail(err, MM_INVALID_MODEL,
                          "its skip is %s with %u axes and %" PRIu64
                          " elements; %s, the shape of its input or [%" PRId64 ", %" PRId64
                          "] wanted",
                          mm_dtype_text(skip->dtype), skip->rank, skip->elements,
                          mm_dtype_text(data->dtype), data->shape[0], channels);
}

static mm_status infer(struct onnx_inference *x, mm_error *err) {
    const struct group_norm *p = x->params;
    const struct onnx_tensor *data = &x->inputs[DATA];
    uint64_t elements = 1;
    MMI_TRY(mmi_onnx_check_type(x, DATA, TYPES, err));
    if (data->rank != 4 || channels_of(p, data) % p->groups != 0) {
        return mmi_fail(err, MM_INVALID_MODEL,
                        "its input has %u axes and %" PRId64
                        " channels; 4, and a multiple of %" PRId64 ", wanted",
                        data->rank, data->rank == 4 ? channels_of(p, data) : 0, p->groups);
    }
    MMI_TRY(check_vector(x, GAMMA, TYPES, channels_of(p, data), err));
    MMI_TRY(check_vector(x, BETA, TYPES, channels_of(p, data), err));
    if (mmi_onnx_has(x, SKIP)) {
        MMI_TRY(check_skip(x, err));
    }
    if (mmi_onnx_has(x, BIAS)) {
        MMI_TRY(check_vector(x, BIAS, ONNX_TYPE(data->dtype), channels_of(p, data), err));
    }
    for (uint32_t i = 0; i < x->output_count; i++) {
        MMI_TRY(mmi_onnx_tensor_set(&x->outputs[i], data->dtype, 4, data->shape, err));
    }
    bool fits = true;
    for (uint32_t i = 1; i < 4; i++) {
        fits = fits && mmi_mul(elements, (uint64_t)data->shape[i], &elements);
    }
    return fits && mmi_mul(elements, sizeof(double), &x->scratch_bytes)
               ? MM_OK
               : mmi_fail(err, MM_TOO_LARGE, "its images are too large");
}

/* ---- Running --------------------------------------------------------------------------------- */

/* Where element `place` of channel `channel` lies in an image. */
struct layout {
    uint64_t channels, places, channel, place; /* counts; steps in elements */
};

static void add_by_channel(const struct layout *l, const struct onnx_tensor *vector, uint64_t first,
                           double *image) {
    for (uint64_t c = 0; c < l->channels; c++) {
        double number = mmi_onnx_float_at(vector, first + c);
        for (uint64_t i = 0; i < l->places; i++) {
            image[c * l->channel + i * l->place] += number;
        }
    }
}

/* The image, and what is added to it. */
static void load_image(const struct onnx_call *call, const struct layout *l, uint64_t index,
                       double *image) {
    const struct onnx_tensor *data = &call->inputs[DATA];
    const struct onnx_tensor skip = mmi_onnx_call_input(call, SKIP);
    const struct onnx_tensor bias = mmi_onnx_call_input(call, BIAS);
    const uint64_t all = l->channels * l->places, first = index * all;
    const uint32_t width = mmi_onnx_element_bytes(data->dtype);
    mmi_onnx_convert(data->dtype, (const uint8_t *)call->in[DATA] + first * width, all, MM_F64,
                     image);
    if (skip.data && skip.elements == data->elements) {
        for (uint64_t i = 0; i < all; i++) {
            image[i] += mmi_onnx_float_at(&skip, first + i);
        }
    } else if (skip.data) {
        add_by_channel(l, &skip, index * l->channels, image);
    }
    if (bias.data) {
        add_by_channel(l, &bias, 0, image);
    }
}

static double sum_of(const struct layout *l, const double *group, uint64_t members, double mean,
                     bool squares) {
    double sum = 0;
    for (uint64_t c = 0; c < members; c++) {
        for (uint64_t i = 0; i < l->places; i++) {
            double x = group[c * l->channel + i * l->place] - mean;
            sum += squares ? x * x : x;
        }
    }
    return sum;
}

static void norm_group(const struct onnx_call *call, const struct layout *l, uint64_t first,
                       uint64_t members, double *image) {
    const struct group_norm *p = call->params;
    const struct onnx_tensor gamma = mmi_onnx_call_input(call, GAMMA);
    const struct onnx_tensor beta = mmi_onnx_call_input(call, BETA);
    double *group = image + first * l->channel, count = (double)(members * l->places);
    double mean = sum_of(l, group, members, 0, false) / count;
    double variance = sum_of(l, group, members, mean, true) / count;
    double inverse = 1 / sqrt(variance + (double)p->epsilon);
    for (uint64_t c = 0; c < members; c++) {
        double scale = mmi_onnx_float_at(&gamma, first + c) * inverse;
        double shift = mmi_onnx_float_at(&beta, first + c);
        for (uint64_t i = 0; i < l->places; i++) {
            double *x = &group[c * l->channel + i * l->place];
            double y = (*x - mean) * scale + shift;
            *x = p->silu ? y / (1 + exp(-y)) : y;
        }
    }
}

static mm_status run(const struct onnx_call *call, mm_error *err) {
    const struct group_norm *p = call->params;
    const struct onnx_tensor *data = &call->inputs[DATA];
    const uint64_t channels = (uint64_t)channels_of(p, data);
    const uint64_t places =
        (uint64_t)(p->last ? data->shape[1] * data->shape[2] : data->shape[2] * data->shape[3]);
    const struct layout l = {channels, places, p->last ? 1 : places, p->last ? channels : 1};
    const uint64_t all = channels * places, step = all * mmi_onnx_element_bytes(data->dtype);
    const uint64_t members = channels / (uint64_t)p->groups;
    uint8_t *sums = call->output_count > 1 ? call->out[1] : NULL;
    (void)err;
    for (uint64_t i = 0; data->elements > 0 && i < (uint64_t)data->shape[0]; i++) {
        load_image(call, &l, i, call->scratch);
        if (sums) {
            mmi_onnx_convert(MM_F64, call->scratch, all, data->dtype, sums + i * step);
        }
        for (uint64_t first = 0; call->out[0] && first < channels; first += members) {
            norm_group(call, &l, first, members, call->scratch);
        }
        if (call->out[0]) {
            mmi_onnx_convert(MM_F64, call->scratch, all, data->dtype,
                             (uint8_t *)call->out[0] + i * step);
        }
    }
    return MM_OK;
}

#define NORM(name_, least_, most_, outputs_)                                                       \
    const struct onnx_operator mmi_onnx_op_Ms##name_ = {                                           \
        .name = #name_,                                                                            \
        .domain = ONNX_MICROSOFT,                                                                  \
        .min_inputs = least_,                                                                      \
        .max_inputs = most_,                                                                       \
        .min_outputs = 1,                                                                          \
        .max_outputs = outputs_,                                                                   \
        .params_bytes = sizeof(struct group_norm),                                                 \
        .limits = ONNX_LIMITS(ONNX_AT_LEAST("groups", struct group_norm, groups, 1)),              \
        .read = read,                                                                              \
        .infer = infer,                                                                            \
        .run = run,                                                                                \
        .facts = {ONNX_DTYPE_OF_0, ONNX_SHAPE_OF_0, ONNX_SIZE_ALIKE, 1},                           \
    };
NORM(GroupNorm, 3, 3, 1)
NORM(SkipGroupNorm, 4, 5, 2)
