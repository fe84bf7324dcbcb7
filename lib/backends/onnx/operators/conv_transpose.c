/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/operators/conv.h>
#include <backends/onnx/operators/move.h>
#include <backends/onnx/operators/product.h>
#include <backends/onnx/operators/copies.h>
#include <base/checked.h>
#include <base/status.h>

#include <inttypes.h>
#include <string.h>

static mm_status read(const struct onnx_attributes *a, void *params, mm_error *err) {
    static const struct onnx_axes_attribute output_padding = {"output_padding", 1, 0};
    static const struct onnx_axes_attribute output_shape = {"output_shape", 1, 1};
    struct onnx_conv *conv = params;
    MMI_TRY(mmi_onnx_read_conv(a, conv, err));
    MMI_TRY(mmi_onnx_read_axes(a, &output_padding, &conv->window, conv->output_padding, err));
    return mmi_onnx_read_axes(a, &output_shape, &conv->window, conv->output_shape, err);
}

/* ---- Shapes ---------------------------------------------------------------------------------- */

mm_status mmi_onnx_place_transposed(const struct onnx_conv *conv, const struct onnx_tensor *image,
                                    const int64_t *kernel, struct onnx_placed *placed,
                                    mm_error *err) {
    int32_t auto_pad = conv->window.auto_pad;
    bool upper = auto_pad == ONNX_PAD_SAME_UPPER, same = upper || auto_pad == ONNX_PAD_SAME_LOWER;
    MMI_TRY(mmi_onnx_start_window(&conv->window, image, kernel, placed, err));
    for (uint32_t i = 0; i < placed->axes; i++) {
        int64_t in = placed->in[i], wanted = conv->output_shape[i];
        int64_t whole =
            placed->strides[i] * (in - 1) + mmi_onnx_span(placed, i) + conv->output_padding[i];
        wanted = wanted == 0 && same ? in * placed->strides[i] : wanted;
        if (wanted != 0) {
            mmi_onnx_share_pads(whole - wanted, upper, &placed->begin[i], &placed->end[i]);
        } else {
            wanted = whole - placed->begin[i] - placed->end[i];
        }
        if (in < 1 || wanted < 1) {
            return mmi_fail(err, MM_INVALID_MODEL,
                            "axis %u of its input has %" PRId64
                            " elements, its result would have %" PRId64,
                            i + 2, in, wanted);
        }
        placed->in[i] = wanted;
        placed->out[i] = in;
    }
    return MM_OK;
}

static mm_status infer(struct onnx_inference *x, mm_error *err) {
    const struct onnx_conv *conv = x->params;
    const struct onnx_tensor *image = &x->inputs[0], *weights = &x->inputs[1];
    struct onnx_placed placed;
    uint64_t taps, rows, made = 0;
    if (weights->rank > 1 && !mmi_mul((uint64_t)weights->shape[1], (uint64_t)conv->group, &made)) {
        made = INT64_MAX;
    }
    MMI_TRY(mmi_onnx_check_conv(x, (int64_t)made, err));
    if (image->shape[1] != weights->shape[0]) {
        return mmi_fail(err, MM_INVALID_MODEL,
                        "its input has %" PRId64 " channels, its weights want %" PRId64,
                        image->shape[1], weights->shape[0]);
    }
    MMI_TRY(mmi_onnx_place_transposed(conv, image, weights->shape + 2, &placed, err));
    MMI_TRY(mmi_onnx_count_taps(&placed, &taps, err));
    MMI_TRY(mmi_onnx_conv_output(x, (int64_t)made, placed.in, err));
    bool fits = mmi_mul(taps, (uint64_t)weights->shape[1], &rows) &&
                mmi_add(rows, (uint64_t)(weights->shape[0] / conv->group), &rows);
    return mmi_onnx_conv_scratch(x, taps, fits ? rows : UINT64_MAX, err);
}

/* ---- The kernel ------------------------------------------------------------------------------ */

/* Sizes of one convolution. */
struct conv {
    struct onnx_placed placed;
    int32_t dtype;
    uint32_t width;           /* bytes of an element */
    uint64_t taps;            /* elements of the kernel */
    uint64_t images, groups;  /* of the batch; of the channels */
    uint64_t channels, made;  /* of a group of the input; of the output */
    uint64_t inputs, outputs; /* elements of a channel of the input; of the output */
    int64_t *offsets;         /* [taps][ONNX_TAPS] */
    uint8_t *columns, *panel; /* [made][taps][ONNX_TAPS]; scratch of the product */
};

/* Add what ONNX_TAPS elements of the input give through each tap to where it belongs. */
#define SCATTER(NAME, T)                                                                           \
    static void scatter_##NAME(const struct conv *conv, T *group) {                                \
        const T *from = (const T *)conv->columns;                                                  \
        for (uint64_t channel = 0; channel < conv->made; channel++) {                              \
            T *plane = group + channel * conv->outputs;                                            \
            for (uint64_t i = 0; i < conv->taps * ONNX_TAPS; i++, from++) {                        \
                if (conv->offsets[i] >= 0) {                                                       \
                    plane[conv->offsets[i]] += *from;                                              \
                }                                                                                  \
            }                                                                                      \
        }                                                                                          \
    }
SCATTER(f32, float)
SCATTER(f64, double)

static void start_with_bias(const struct onnx_call *call, const struct conv *conv) {
    uint8_t *plane = call->out[0];
    uint64_t all = conv->groups * conv->made, bytes = conv->outputs * conv->width;
    if (!mmi_onnx_given(call, 2)) {
        memset(plane, 0, conv->images * all * bytes);
        return;
    }
    for (uint64_t i = 0; i < conv->images * all; i++) {
        const uint8_t *bias = (const uint8_t *)call->in[2] + i % all * conv->width;
        mmi_onnx_fill(plane + i * bytes, conv->outputs, bias, conv->width);
    }
}

static void multiply_images(const struct onnx_call *call, const struct conv *conv) {
    const uint8_t *image = call->in[0], *weights = call->in[1];
    uint8_t *out = call->out[0];
    struct onnx_product product = {.dtype = conv->dtype,
                                   .rows = conv->made * conv->taps,
                                   .depth = conv->channels,
                                   .a = {NULL, 1, (int64_t)(conv->made * conv->taps)},
                                   .b = {NULL, (int64_t)conv->inputs, 1},
                                   .out = conv->columns,
                                   .out_row = ONNX_TAPS};
    for (uint64_t first = 0; first < conv->inputs; first += ONNX_TAPS) {
        product.columns = mmi_min_u64(conv->inputs - first, ONNX_TAPS);
        mmi_onnx_find_taps(&conv->placed, first, (uint32_t)product.columns, conv->offsets);
        for (uint64_t i = 0; i < conv->images * conv->groups; i++) {
            uint64_t group = i % conv->groups;
            product.a.at = weights + group * conv->channels * product.rows * conv->width;
            product.b.at = image + (i * conv->channels * conv->inputs + first) * conv->width;
            mmi_onnx_multiply(&product, conv->panel);
            uint8_t *to = out + i * conv->made * conv->outputs * conv->width;
            if (conv->dtype == MM_F64) {
                scatter_f64(conv, (double *)to);
            } else {
                scatter_f32(conv, (float *)to);
            }
        }
    }
}

static mm_status run_real(const struct onnx_call *call, mm_error *err) {
    const struct onnx_conv *params = call->params;
    const struct onnx_tensor *image = &call->inputs[0], *weights = &call->inputs[1];
    struct conv conv = {.dtype = image->dtype, .width = mmi_onnx_element_bytes(image->dtype)};
    MMI_TRY(mmi_onnx_place_transposed(params, image, weights->shape + 2, &conv.placed, err));
    MMI_TRY(mmi_onnx_count_taps(&conv.placed, &conv.taps, err));
    conv.images = (uint64_t)image->shape[0];
    conv.groups = (uint64_t)params->group;
    conv.channels = (uint64_t)image->shape[1] / conv.groups;
    conv.made = (uint64_t)weights->shape[1];
    conv.inputs = mmi_onnx_split_at(image, 1).inner;
    conv.outputs = mmi_onnx_split_at(&call->outputs[0], 1).inner;
    conv.offsets = call->scratch;
    conv.columns = (uint8_t *)(conv.offsets + conv.taps * ONNX_TAPS);
    conv.panel = conv.columns + conv.made * conv.taps * ONNX_TAPS * conv.width;
    start_with_bias(call, &conv);
    multiply_images(call, &conv);
    if (image->dtype == MM_F32) {
        mmi_onnx_activate(&params->activation, call->out[0], call->outputs[0].elements);
    }
    return MM_OK;
}

static mm_status run(const struct onnx_call *call, mm_error *err) {
    return call->out[0] ? mmi_onnx_run_copied(call, run_real, err) : MM_OK;
}

const struct onnx_operator mmi_onnx_op_ConvTranspose = {
    .name = "ConvTranspose",
    .min_inputs = 2,
    .max_inputs = 3,
    .min_outputs = 1,
    .max_outputs = 1,
    .params_bytes = sizeof(struct onnx_conv),
    .limits = ONNX_LIMITS(ONNX_CONV_LIMITS),
    .read = read,
    .infer = infer,
    .run = run,
    .flags = ONNX_OP_ACTIVATES,
    .activation_at = offsetof(struct onnx_conv, activation),
    .weight_inputs = 1u << 1 | 1u << 2,
    .facts = {ONNX_DTYPE_OF_ANY, ONNX_RANK_OF_1, ONNX_SIZE_ALIKE, 0},
    .kernels = {[ONNX_CPU] = mmi_onnx_cpu_ConvTranspose}};
