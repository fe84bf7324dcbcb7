/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/operators/channels.h>
#include <backends/onnx/operators/channels_last.h>
#include <backends/onnx/operators/panels.h>
#include <base/checked.h>
#include <base/status.h>

#include <inttypes.h>
#include <string.h>

mm_status mmi_onnx_place_transposed_last(const struct onnx_conv *conv,
                                         const struct onnx_tensor *image,
                                         struct onnx_placed *placed, mm_error *err) {
    struct onnx_tensor plain = *image;
    mmi_onnx_channels_first(image, plain.shape);
    return mmi_onnx_place_transposed(conv, &plain, NULL, placed, err);
}

/* ---- The order of taps ----------------------------------------------------------------------- */

static uint64_t phase_of(const struct onnx_window *window, uint64_t tap) {
    uint64_t phase = 0, places[ONNX_SPACE];
    for (uint32_t i = window->axes; i-- > 0; tap /= (uint64_t)window->kernel[i]) {
        places[i] = tap % (uint64_t)window->kernel[i];
    }
    for (uint32_t i = 0; i < window->axes; i++) {
        uint64_t stride = (uint64_t)window->strides[i];
        phase = phase * stride + places[i] * (uint64_t)window->dilations[i] % stride;
    }
    return phase;
}

void mmi_onnx_order_taps(const struct onnx_window *window, uint64_t taps, uint64_t *order) {
    uint64_t phase = 0, count = 0;
    while (count < taps) {
        uint64_t next = UINT64_MAX;
        for (uint64_t tap = 0; tap < taps; tap++) {
            uint64_t its = phase_of(window, tap);
            if (its == phase) {
                order[count++] = tap;
            } else if (its > phase) {
                next = mmi_min_u64(next, its);
            }
        }
        phase = next;
    }
}

/* ---- Shapes ---------------------------------------------------------------------------------- */

static mm_status check(const struct onnx_inference *x, uint64_t taps, mm_error *err) {
    const struct onnx_conv *conv = x->params;
    const struct onnx_tensor *image = &x->inputs[0], *weights = &x->inputs[1];
    const struct onnx_tensor *bias = mmi_onnx_has(x, 2) ? &x->inputs[2] : NULL;
    if (image->dtype != MM_F32 || !mmi_onnx_has_float_panels(weights->dtype) ||
        (bias && bias->dtype != MM_F32)) {
        return mmi_fail(err, MM_UNSUPPORTED, "its inputs are not all f32");
    }
    int64_t depth, channels = image->shape[image->rank - 1];
    bool fits = weights->layout == ONNX_PANELS && weights->rank == 2 && conv->group == 1 &&
                !__builtin_mul_overflow((int64_t)taps, channels, &depth) &&
                depth == weights->shape[0] && mmi_onnx_activation_is_sound(&conv->activation) &&
                (!bias || (bias->rank == 1 && bias->shape[0] == weights->shape[1]));
    if (!fits) {
        return mmi_fail(err, MM_INVALID_MODEL,
                        "its input has %" PRId64
                        " channels; its weights, bias or activation do not fit",
                        channels);
    }
    return MM_OK;
}

static mm_status infer(struct onnx_inference *x, mm_error *err) {
    const struct onnx_conv *conv = x->params;
    const struct onnx_tensor *image = &x->inputs[0];
    struct onnx_placed placed;
    uint64_t taps, bytes;
    if (image->rank < 3 || image->rank > 4) {
        return mmi_fail(err, MM_INVALID_MODEL, "its input has %u axes, 3 or 4 wanted", image->rank);
    }
    MMI_TRY(mmi_onnx_place_transposed_last(conv, image, &placed, err));
    MMI_TRY(mmi_onnx_count_taps(&placed, &taps, err));
    if (taps > ONNX_LAST_MAX_TAPS) {
        return mmi_fail(err, MM_UNSUPPORTED, "its window has more than %d elements",
                        ONNX_LAST_MAX_TAPS);
    }
    MMI_TRY(check(x, taps, err));
    if (conv->window.axes != placed.axes || !mmi_mul(taps, sizeof(uint64_t), &bytes)) {
        return mmi_fail(err, MM_INVALID_MODEL, "its window has %u axes", conv->window.axes);
    }
    x->scratch_bytes = bytes;
    int64_t shape[MM_MAX_RANK] = {image->shape[0]};
    memcpy(shape + 1, placed.in, placed.axes * sizeof(*shape));
    shape[image->rank - 1] = x->inputs[1].shape[1];
    return mmi_onnx_tensor_set(&x->outputs[0], MM_F32, image->rank, shape, err);
}

/* ---- The plain kernel ------------------------------------------------------------------------ */

struct conv {
    const struct onnx_call *call;
    struct onnx_placed placed; /* in: the result, out: the image */
    uint64_t channels, made, taps;
    const uint64_t *order; /* [taps] */
};

/* The pixel that goes into the result at `at` by a tap; NULL: none. */
static const float *see(const struct conv *conv, uint64_t image, const int64_t *at, uint64_t tap) {
    const struct onnx_placed *placed = &conv->placed;
    int64_t places[ONNX_SPACE];
    uint64_t pixel = image;
    for (uint32_t i = placed->axes; i-- > 0; tap /= (uint64_t)placed->kernel[i]) {
        places[i] = (int64_t)(tap % (uint64_t)placed->kernel[i]);
    }
    for (uint32_t i = 0; i < placed->axes; i++) {
        int64_t place = at[i] + placed->begin[i] - places[i] * placed->dilations[i];
        if (place < 0 || place % placed->strides[i] != 0 ||
            place / placed->strides[i] >= placed->out[i]) {
            return NULL;
        }
        pixel = pixel * (uint64_t)placed->out[i] + (uint64_t)(place / placed->strides[i]);
    }
    return (const float *)conv->call->in[0] + pixel * conv->channels;
}

static float result_at(const struct conv *conv, uint64_t image, const int64_t *at, uint64_t m) {
    const void *weights = conv->call->in[1];
    const float *bias = mmi_onnx_given(conv->call, 2) ? conv->call->in[2] : NULL;
    uint64_t depth = conv->taps * conv->channels;
    float sum = bias ? bias[m] : 0;
    for (uint64_t i = 0; i < conv->taps; i++) {
        const float *pixel = see(conv, image, at, conv->order[i]);
        for (uint64_t c = 0; pixel && c < conv->channels; c++) {
            uint64_t k = i * conv->channels + c;
            uint64_t index = (m / ONNX_NR * depth + k) * ONNX_NR + m % ONNX_NR;
            sum += pixel[c] * mmi_onnx_weight_last(conv->call->inputs[1].dtype, weights, index);
        }
    }
    return sum;
}

static mm_status run(const struct onnx_call *call, mm_error *err) {
    const struct onnx_conv *params = call->params;
    const struct onnx_tensor *image = &call->inputs[0], *out = &call->outputs[0];
    uint64_t *order = call->scratch;
    struct conv conv = {.call = call,
                        .channels = (uint64_t)image->shape[image->rank - 1],
                        .made = (uint64_t)call->inputs[1].shape[1],
                        .order = order};
    if (!call->out[0]) {
        return MM_OK;
    }
    MMI_TRY(mmi_onnx_place_transposed_last(params, image, &conv.placed, err));
    MMI_TRY(mmi_onnx_count_taps(&conv.placed, &conv.taps, err));
    mmi_onnx_order_taps(&params->window, conv.taps, order);
    for (uint64_t i = 0; i < out->elements; i++) {
        int64_t at[ONNX_SPACE];
        uint64_t pixel = i / conv.made;
        for (uint32_t j = conv.placed.axes; j-- > 0; pixel /= (uint64_t)conv.placed.in[j]) {
            at[j] = (int64_t)(pixel % (uint64_t)conv.placed.in[j]);
        }
        ((float *)call->out[0])[i] = result_at(&conv, pixel, at, i % conv.made);
    }
    mmi_onnx_activate(&params->activation, call->out[0], out->elements);
    return MM_OK;
}

const struct onnx_operator mmi_onnx_op_ChannelsLastConvTranspose = {
    .name = "ChannelsLastConvTranspose",
    .domain = ONNX_OURS,
    .min_inputs = 2,
    .max_inputs = 3,
    .min_outputs = 1,
    .max_outputs = 1,
    .params_bytes = sizeof(struct onnx_conv),
    .limits = ONNX_LIMITS(ONNX_CONV_LIMITS),
    .infer = infer,
    .run = run,
    .flags = ONNX_OP_ACTIVATES,
    .activation_at = offsetof(struct onnx_conv, activation),
    .weight_inputs = 1u << 1 | 1u << 2,
    .facts = {MM_F32, ONNX_RANK_OF_0, ONNX_SIZE_ALIKE, 0},
    .kernels = {[ONNX_CPU] = mmi_onnx_cpu_ChannelsLastConvTranspose},
};
