/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/operators/conv.h>
#include <backends/onnx/operators/product.h>
#include <backends/onnx/operators/copies.h>
#include <base/checked.h>
#include <base/status.h>

#include <inttypes.h>
#include <string.h>

/* ---- What ConvTranspose shares --------------------------------------------------------------- */

mm_status mmi_onnx_read_conv(const struct onnx_attributes *a, struct onnx_conv *conv,
                             mm_error *err) {
    MMI_TRY(mmi_onnx_read_int(a, "group", 1, &conv->group, err));
    return mmi_onnx_read_window(a, 1, &conv->window, err);
}

mm_status mmi_onnx_check_conv(const struct onnx_inference *x, int64_t made, mm_error *err) {
    const struct onnx_conv *conv = x->params;
    const struct onnx_tensor *image = &x->inputs[0], *weights = &x->inputs[1];
    MMI_TRY(mmi_onnx_check_types(x, ONNX_FLOATS, err));
    if (image->rank < 3 || image->rank != weights->rank) {
        return mmi_fail(err, MM_INVALID_MODEL,
                        "its input has %u axes, its weights %u; 3 or more, the same, wanted",
                        image->rank, weights->rank);
    }
    if (image->shape[1] % conv->group != 0 || weights->shape[0] % conv->group != 0) {
        return mmi_fail(err, MM_INVALID_MODEL,
                        "%" PRId64 " channels of its input and %" PRId64
                        " of its weights are not to be parted in %" PRId64 " groups",
                        image->shape[1], weights->shape[0], conv->group);
    }
    const struct onnx_tensor *bias = mmi_onnx_has(x, 2) ? &x->inputs[2] : NULL;
    if (bias && (bias->rank != 1 || bias->shape[0] != made)) {
        return mmi_fail(err, MM_INVALID_MODEL,
                        "its bias has %u axes and %" PRIu64 " elements; one with %" PRId64
                        " wanted",
                        bias->rank, bias->elements, made);
    }
    bool sound = mmi_onnx_activation_is_sound(&conv->activation);
    if (!sound || (conv->activation.function != ONNX_F_NONE && image->dtype == MM_F64)) {
        return mmi_fail(err, MM_UNSUPPORTED, "an activation %d within a convolution of %s",
                        conv->activation.function, mm_dtype_text(image->dtype));
    }
    return MM_OK;
}

mm_status mmi_onnx_conv_output(struct onnx_inference *x, int64_t channels, const int64_t *space,
                               mm_error *err) {
    const struct onnx_tensor *image = &x->inputs[0];
    int64_t shape[MM_MAX_RANK] = {image->shape[0], channels};
    memcpy(shape + 2, space, (image->rank - 2) * sizeof(*shape));
    return mmi_onnx_tensor_set(&x->outputs[0], image->dtype, image->rank, shape, err);
}

mm_status mmi_onnx_conv_scratch(struct onnx_inference *x, uint64_t taps, uint64_t rows,
                                mm_error *err) {
    int32_t dtype = x->inputs[0].dtype == MM_F64 ? MM_F64 : MM_F32;
    uint64_t bytes = mmi_onnx_product_bytes(dtype, rows);
    if (!mmi_add(bytes, taps * ONNX_TAPS * sizeof(int64_t), &x->scratch_bytes)) {
        return mmi_fail(err, MM_TOO_LARGE, "its weights are too large");
    }
    return mmi_onnx_add_copies(x, err);
}

/* ---- Conv ------------------------------------------------------------------------------------ */

static mm_status read(const struct onnx_attributes *a, void *params, mm_error *err) {
    return mmi_onnx_read_conv(a, params, err);
}

static mm_status infer(struct onnx_inference *x, mm_error *err) {
    const struct onnx_conv *conv = x->params;
    const struct onnx_tensor *image = &x->inputs[0], *weights = &x->inputs[1];
    struct onnx_placed placed;
    uint64_t taps, rows;
    MMI_TRY(mmi_onnx_check_conv(x, weights->shape[0], err));
    if (image->shape[1] / conv->group != weights->shape[1]) {
        return mmi_fail(err, MM_INVALID_MODEL,
                        "its input has %" PRId64 " channels in %" PRId64
                        " groups, its weights want %" PRId64 " in each",
                        image->shape[1], conv->group, weights->shape[1]);
    }
    MMI_TRY(mmi_onnx_place_window(&conv->window, image, weights->shape + 2, &placed, err));
    MMI_TRY(mmi_onnx_count_taps(&placed, &taps, err));
    MMI_TRY(mmi_onnx_conv_output(x, weights->shape[0], placed.out, err));
    rows = mmi_mul(taps, (uint64_t)weights->shape[1], &rows) ? rows : UINT64_MAX;
    return mmi_onnx_conv_scratch(x, taps, rows, err);
}

/* Sizes of one convolution. */
struct conv {
    struct onnx_placed placed;
    uint32_t width;           /* bytes of an element */
    uint64_t taps, seen;      /* elements of the kernel; of a channel of the image */
    uint64_t channels, depth; /* of a group of the image; rows of a panel */
    int64_t *offsets;         /* [taps][ONNX_TAPS] */
    uint8_t *panel;           /* [depth][ONNX_TAPS] */
};

/* What the windows see in one group of an image, as a panel: a column for each of them. */
static void gather(const struct conv *conv, const uint8_t *group) {
    uint64_t row_bytes = (uint64_t)ONNX_TAPS * conv->width;
    for (uint64_t tap = 0; tap < conv->taps; tap++) {
        const int64_t *offsets = conv->offsets + tap * ONNX_TAPS;
        for (uint64_t channel = 0; channel < conv->channels; channel++) {
            uint8_t *row = conv->panel + (channel * conv->taps + tap) * row_bytes;
            const uint8_t *plane = group + channel * conv->seen * conv->width;
            const void *seen = mmi_onnx_see(plane, offsets, conv->width, row);
            if (seen != row) {
                memcpy(row, seen, row_bytes);
            }
        }
    }
}

static void multiply_images(const struct onnx_call *call, const struct conv *conv) {
    const struct onnx_conv *params = call->params;
    uint64_t groups = (uint64_t)params->group;
    uint64_t made = (uint64_t)call->outputs[0].shape[1] / groups;
    uint64_t results = mmi_onnx_split_at(&call->outputs[0], 1).inner;
    uint64_t images = (uint64_t)call->outputs[0].shape[0];
    const uint8_t *image = call->in[0], *weights = call->in[1];
    const uint8_t *bias = mmi_onnx_given(call, 2) ? call->in[2] : NULL;
    struct onnx_product product = {.dtype = call->outputs[0].dtype,
                                   .rows = made,
                                   .depth = conv->depth,
                                   .a = {NULL, (int64_t)conv->depth, 1},
                                   .b = {conv->panel, ONNX_TAPS, 1},
                                   .start = {NULL, 1, 0},
                                   .out_row = results};
    for (uint64_t first = 0; first < results; first += ONNX_TAPS) {
        product.columns = mmi_min_u64(results - first, ONNX_TAPS);
        mmi_onnx_find_taps(&conv->placed, first, (uint32_t)product.columns, conv->offsets);
        for (uint64_t i = 0; i < images * groups; i++) {
            uint64_t group = i % groups;
            gather(conv, image + i * conv->channels * conv->seen * conv->width);
            product.a.at = weights + group * made * conv->depth * conv->width;
            product.start.at = bias ? bias + group * made * conv->width : NULL;
            product.out = (uint8_t *)call->out[0] + (i * made * results + first) * conv->width;
            mmi_onnx_multiply_panel(&product);
        }
    }
}

static mm_status run_real(const struct onnx_call *call, mm_error *err) {
    const struct onnx_conv *params = call->params;
    const struct onnx_tensor *image = &call->inputs[0], *weights = &call->inputs[1];
    struct conv conv = {.width = mmi_onnx_element_bytes(image->dtype)};
    MMI_TRY(mmi_onnx_place_window(&params->window, image, weights->shape + 2, &conv.placed, err));
    MMI_TRY(mmi_onnx_count_taps(&conv.placed, &conv.taps, err));
    conv.seen = mmi_onnx_split_at(image, 1).inner;
    conv.channels = (uint64_t)weights->shape[1];
    conv.depth = conv.channels * conv.taps;
    conv.offsets = call->scratch;
    conv.panel = (uint8_t *)(conv.offsets + conv.taps * ONNX_TAPS);
    multiply_images(call, &conv);
    if (image->dtype == MM_F32) {
        mmi_onnx_activate(&params->activation, call->out[0], call->outputs[0].elements);
    }
    return MM_OK;
}

static mm_status run(const struct onnx_call *call, mm_error *err) {
    return call->out[0] ? mmi_onnx_run_copied(call, run_real, err) : MM_OK;
}

const struct onnx_operator mmi_onnx_op_Conv = {
    .name = "Conv",
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
    .kernels = {[ONNX_CPU] = mmi_onnx_cpu_Conv}};
