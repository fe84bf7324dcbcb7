/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/operators/channels.h>
#include <backends/onnx/operators/channels_last.h>
#include <backends/onnx/operators/panels.h>
#include <backends/onnx/operators/number.h>
#include <base/checked.h>
#include <base/status.h>

#include <inttypes.h>
#include <string.h>

mm_status mmi_onnx_place_last(const struct onnx_window *window, const struct onnx_tensor *image,
                              struct onnx_placed *placed, mm_error *err) {
    struct onnx_tensor plain = *image;
    mmi_onnx_channels_first(image, plain.shape);
    return mmi_onnx_place_window(window, &plain, NULL, placed, err);
}

float mmi_onnx_weight_last(int32_t dtype, const void *weights, uint64_t index) {
    float weight;
    const uint8_t *at = (const uint8_t *)weights + index * mmi_onnx_element_bytes(dtype);
    mmi_onnx_convert(dtype, at, 1, MM_F32, &weight);
    return weight;
}

/* ---- Shapes ---------------------------------------------------------------------------------- */

static mm_status check_types(const struct onnx_inference *x, mm_error *err) {
    for (uint32_t i = 0; i < x->input_count; i++) {
        int32_t dtype = x->inputs[i].dtype;
        bool weights = i == ONNX_LAST_CONV_WEIGHTS && mmi_onnx_has_float_panels(dtype);
        if (mmi_onnx_has(x, i) && dtype != MM_F32 && !weights) {
            return mmi_fail(err, MM_UNSUPPORTED, "its inputs are not all f32");
        }
    }
    const struct onnx_conv *conv = x->params;
    if (!mmi_onnx_activation_is_sound(&conv->activation)) {
        return mmi_fail(err, MM_INVALID_MODEL, "its activation %d is none",
                        conv->activation.function);
    }
    return MM_OK;
}

/* The weights are those of so many taps. */
static bool weights_fit(const struct onnx_conv *conv, const struct onnx_tensor *weights,
                        int64_t channels, uint64_t taps) {
    if (weights->rank != 2 || channels % conv->group != 0 || weights->shape[1] % conv->group != 0) {
        return false;
    }
    int64_t depth, each = weights->shape[1] / conv->group;
    if (mmi_onnx_is_depthwise_last(conv, weights)) {
        return channels == conv->group && each == 1 && weights->shape[0] == (int64_t)taps;
    }
    bool whole_panels = conv->group == 1 || each % ONNX_NR == 0;
    return weights->layout == ONNX_PANELS && whole_panels &&
           !__builtin_mul_overflow((int64_t)taps, channels / conv->group, &depth) &&
           depth == weights->shape[0];
}

static mm_status set_output(struct onnx_inference *x, const struct onnx_placed *placed,
                            mm_error *err) {
    const struct onnx_tensor *image = &x->inputs[ONNX_LAST_CONV_X];
    struct onnx_tensor made = {.rank = image->rank};
    made.shape[0] = image->shape[0];
    memcpy(made.shape + 1, placed->out, placed->axes * sizeof(*made.shape));
    made.shape[image->rank - 1] = x->inputs[ONNX_LAST_CONV_WEIGHTS].shape[1];
    if (mmi_onnx_has(x, ONNX_LAST_CONV_ADDEND)) {
        const struct onnx_tensor *addend = &x->inputs[ONNX_LAST_CONV_ADDEND];
        struct onnx_tensor both = {0};
        if (!mmi_onnx_broadcast(made.rank, made.shape, addend->rank, addend->shape, &both)) {
            return mmi_fail(err, MM_INVALID_MODEL, "what is added does not fit to its result");
        }
        made = both;
    }
    return mmi_onnx_tensor_set(&x->outputs[0], MM_F32, made.rank, made.shape, err);
}

static mm_status infer(struct onnx_inference *x, mm_error *err) {
    const struct onnx_conv *conv = x->params;
    const struct onnx_tensor *image = &x->inputs[ONNX_LAST_CONV_X];
    const struct onnx_tensor *weights = &x->inputs[ONNX_LAST_CONV_WEIGHTS];
    struct onnx_placed placed;
    uint64_t taps;
    MMI_TRY(check_types(x, err));
    if (image->rank < 3 || image->rank > 4) {
        return mmi_fail(err, MM_INVALID_MODEL, "its input has %u axes, 3 or 4 wanted", image->rank);
    }
    MMI_TRY(mmi_onnx_place_last(&conv->window, image, &placed, err));
    MMI_TRY(mmi_onnx_count_taps(&placed, &taps, err));
    if (!weights_fit(conv, weights, image->shape[image->rank - 1], taps)) {
        return mmi_fail(err, MM_INVALID_MODEL,
                        "its input has %" PRId64 " channels, which do not fit to its weights",
                        image->shape[image->rank - 1]);
    }
    if (mmi_onnx_has(x, ONNX_LAST_CONV_BIAS) &&
        (x->inputs[ONNX_LAST_CONV_BIAS].rank != 1 ||
         x->inputs[ONNX_LAST_CONV_BIAS].shape[0] != weights->shape[1])) {
        return mmi_fail(err, MM_INVALID_MODEL,
                        "its bias has %" PRIu64 " elements, %" PRId64 " wanted",
                        x->inputs[ONNX_LAST_CONV_BIAS].elements, weights->shape[1]);
    }
    return set_output(x, &placed, err);
}

/* ---- The plain kernel ------------------------------------------------------------------------ */

struct conv {
    const struct onnx_call *call;
    struct onnx_placed placed;
    uint64_t channels, made; /* of the image, of the result */
    uint64_t group_channels, group_made;
    bool depthwise;
    uint64_t taps;
};

/* The pixel that a tap of a window sees; NULL: padding. at: the window. */
static const float *see(const struct conv *conv, uint64_t image, const int64_t *at, uint64_t tap) {
    const struct onnx_placed *placed = &conv->placed;
    uint64_t pixel = image;
    int64_t tap_at[ONNX_SPACE];
    for (uint32_t i = placed->axes; i-- > 0; tap /= (uint64_t)placed->kernel[i]) {
        tap_at[i] = (int64_t)(tap % (uint64_t)placed->kernel[i]);
    }
    for (uint32_t i = 0; i < placed->axes; i++) {
        int64_t place =
            at[i] * placed->strides[i] - placed->begin[i] + tap_at[i] * placed->dilations[i];
        if (place < 0 || place >= placed->in[i]) {
            return NULL;
        }
        pixel = pixel * (uint64_t)placed->in[i] + (uint64_t)place;
    }
    return (const float *)conv->call->in[ONNX_LAST_CONV_X] + pixel * conv->channels;
}

static float weight_at(const struct conv *conv, uint64_t k, uint64_t m) {
    const struct onnx_tensor *weights = &conv->call->inputs[ONNX_LAST_CONV_WEIGHTS];
    uint64_t depth = (uint64_t)weights->shape[0];
    uint64_t index =
        conv->depthwise ? k * conv->made + m : (m / ONNX_NR * depth + k) * ONNX_NR + m % ONNX_NR;
    return mmi_onnx_weight_last(weights->dtype, conv->call->in[ONNX_LAST_CONV_WEIGHTS], index);
}

/* One number of the convolution, before what is added. */
static float convolve(const struct conv *conv, uint64_t image, const int64_t *at, uint64_t m) {
    const float *bias = mmi_onnx_given(conv->call, ONNX_LAST_CONV_BIAS)
                            ? conv->call->in[ONNX_LAST_CONV_BIAS]
                            : NULL;
    float sum = bias ? bias[m] : 0;
    uint64_t first = m / conv->group_made * conv->group_channels;
    for (uint64_t tap = 0; tap < conv->taps; tap++) {
        const float *pixel = see(conv, image, at, tap);
        for (uint64_t c = 0; pixel && c < conv->group_channels; c++) {
            sum += pixel[first + c] * weight_at(conv, tap * conv->group_channels + c, m);
        }
    }
    return sum;
}

/* Element `index` of the result, which is broadcast where the addend has more pixels. */
static float result_at(const struct conv *conv, uint64_t index) {
    const struct onnx_tensor *out = &conv->call->outputs[0];
    const struct onnx_tensor *addend = &conv->call->inputs[ONNX_LAST_CONV_ADDEND];
    bool adds = mmi_onnx_given(conv->call, ONNX_LAST_CONV_ADDEND);
    int64_t at[MM_MAX_RANK];
    for (uint32_t i = out->rank; i-- > 0; index /= (uint64_t)out->shape[i]) {
        at[i] = (int64_t)(index % (uint64_t)out->shape[i]);
    }
    uint64_t added = 0;
    uint32_t shift = adds ? out->rank - addend->rank : 0;
    for (uint32_t i = 0; adds && i < addend->rank; i++) {
        uint64_t length = (uint64_t)addend->shape[i];
        added = added * length + (length > 1 ? (uint64_t)at[i + shift] : 0);
    }
    int64_t window[ONNX_SPACE];
    for (uint32_t i = 0; i < conv->placed.axes; i++) {
        window[i] = conv->placed.out[i] > 1 ? at[out->rank - 1 - conv->placed.axes + i] : 0;
    }
    uint32_t first = out->rank - conv->placed.axes - 2;
    uint64_t image = conv->call->inputs[0].shape[0] > 1 ? (uint64_t)at[first] : 0;
    uint64_t m = conv->made > 1 ? (uint64_t)at[out->rank - 1] : 0;
    float sum = convolve(conv, image, window, m);
    return adds ? sum + ((const float *)conv->call->in[ONNX_LAST_CONV_ADDEND])[added] : sum;
}

static mm_status run(const struct onnx_call *call, mm_error *err) {
    const struct onnx_conv *params = call->params;
    const struct onnx_tensor *image = &call->inputs[ONNX_LAST_CONV_X];
    const struct onnx_tensor *weights = &call->inputs[ONNX_LAST_CONV_WEIGHTS];
    struct conv conv = {.call = call,
                        .channels = (uint64_t)image->shape[image->rank - 1],
                        .made = (uint64_t)weights->shape[1],
                        .depthwise = mmi_onnx_is_depthwise_last(params, weights)};
    if (!call->out[0]) {
        return MM_OK;
    }
    MMI_TRY(mmi_onnx_place_last(&params->window, image, &conv.placed, err));
    MMI_TRY(mmi_onnx_count_taps(&conv.placed, &conv.taps, err));
    conv.group_channels = conv.channels / (uint64_t)params->group;
    conv.group_made = conv.made / (uint64_t)params->group;
    float *out = call->out[0];
    for (uint64_t i = 0; i < call->outputs[0].elements; i++) {
        out[i] = result_at(&conv, i);
    }
    mmi_onnx_activate(&params->activation, out, call->outputs[0].elements);
    return MM_OK;
}

const struct onnx_operator mmi_onnx_op_ChannelsLastConv = {
    .name = "ChannelsLastConv",
    .domain = ONNX_OURS,
    .min_inputs = 2,
    .max_inputs = 4,
    .min_outputs = 1,
    .max_outputs = 1,
    .params_bytes = sizeof(struct onnx_conv),
    .limits = ONNX_LIMITS(ONNX_CONV_LIMITS),
    .infer = infer,
    .run = run,
    .flags = ONNX_OP_ACTIVATES,
    .activation_at = offsetof(struct onnx_conv, activation),
    .weight_inputs = 1u << ONNX_LAST_CONV_WEIGHTS | 1u << ONNX_LAST_CONV_BIAS,
    .facts = {MM_F32, ONNX_RANK_OF_0, ONNX_SIZE_ALIKE, 0},
    .kernels = {[ONNX_CPU] = mmi_onnx_cpu_ChannelsLastConv},
};
