/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/operators/move.h>
#include <backends/onnx/operators/resize.h>
#include <backends/onnx/operators/number.h>
#include <base/checked.h>
#include <base/status.h>

#include <inttypes.h>
#include <math.h>
#include <string.h>

/* ---- Attributes ------------------------------------------------------------------------------ */

static mm_status read(const struct onnx_attributes *a, void *params, mm_error *err) {
    static const char *const modes[] = {"nearest", "linear", "cubic", NULL};
    static const char *const coordinates[] = {
        "half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners",
        "asymmetric", "tf_half_pixel_for_nn", "tf_crop_and_resize", NULL};
    static const char *const nearest[] = {"round_prefer_floor", "round_prefer_ceil", "floor",
                                          "ceil", NULL};
    static const char *const policies[] = {"stretch", "not_larger", "not_smaller", NULL};
    struct onnx_resize *resize = params;
    MMI_TRY(mmi_onnx_read_choice(a, "mode", modes, &resize->mode, err));
    MMI_TRY(mmi_onnx_read_choice(mmi_onnx_since(a, 11), "coordinate_transformation_mode",
                                 coordinates, &resize->coordinates, err));
    MMI_TRY(mmi_onnx_read_choice(mmi_onnx_since(a, 11), "nearest_mode", nearest, &resize->nearest,
                                 err));
    MMI_TRY(mmi_onnx_read_choice(mmi_onnx_since(a, 18), "keep_aspect_ratio_policy", policies,
                                 &resize->policy, err));
    MMI_TRY(mmi_onnx_read_flag(mmi_onnx_since(a, 18), "antialias", false, &resize->antialias, err));
    MMI_TRY(mmi_onnx_read_flag(mmi_onnx_since(a, 11), "exclude_outside", false,
                               &resize->exclude_outside, err));
    MMI_TRY(
        mmi_onnx_read_float(mmi_onnx_since(a, 11), "cubic_coeff_a", -0.75f, &resize->cubic_a, err));
    MMI_TRY(mmi_onnx_read_float(mmi_onnx_since(a, 11), "extrapolation_value", 0,
                                &resize->extrapolation, err));
    MMI_TRY(mmi_onnx_read_ints(mmi_onnx_since(a, 18), "axes", MM_MAX_RANK, resize->axes,
                               &resize->axis_count, err));
    if (a->opset < 11) {
        resize->coordinates = ONNX_RESIZE_ASYMMETRIC;
        resize->nearest = ONNX_RESIZE_SIMPLE;
    }
    return MM_OK;
}

/* ---- Axes ------------------------------------------------------------------------------------ */

/* An input that is there and not empty; NULL: left out. */
static const struct onnx_tensor *given(const struct onnx_tensor *inputs, uint32_t count,
                                       uint32_t i) {
    return i < count && inputs[i].dtype != MM_DTYPE_NONE && inputs[i].elements > 0 ? &inputs[i]
                                                                                   : NULL;
}

#define MAX_ELEMENTS 0x1p48 /* of an axis */

static mm_status check_numbers(const struct onnx_tensor *tensor, const char *what, bool floats,
                               uint64_t wanted, mm_error *err) {
    if (tensor && !((floats ? ONNX_FLOATS : ONNX_INTEGERS) >> tensor->dtype & 1)) {
        return mmi_fail(err, MM_INVALID_MODEL, "its %s is %s, %s wanted", what,
                        mm_dtype_text(tensor->dtype), floats ? "a float type" : "an integer type");
    }
    if (tensor && tensor->elements != wanted) {
        return mmi_fail(err, MM_INVALID_MODEL,
                        "its %s has %" PRIu64 " elements, %" PRIu64 " wanted", what,
                        tensor->elements, wanted);
    }
    return MM_OK;
}

/* Of a scale with few bits, such as 1.5; others are rounded ratios of unknown numbers. */
static void set_ratio(struct onnx_resize_axis *axis) {
    const float parts = 4096;
    float whole = axis->scale * parts;
    if (whole == floorf(whole) && whole < 0x1p24f) {
        axis->ratio_in = (int64_t)parts;
        axis->ratio_out = (int64_t)whole;
    }
}

static mm_status set_scale(const struct onnx_tensor *scales, uint32_t i,
                           struct onnx_resize_axis *axis, mm_error *err) {
    axis->scale = (float)mmi_onnx_float_at(scales, i);
    axis->width = axis->scale * (float)axis->in;
    double out = (double)floorf(axis->width);
    if (!(axis->scale > 0) || !(out < MAX_ELEMENTS)) {
        return mmi_fail(err, MM_INVALID_MODEL, "its scales[%u] is %g for %" PRId64 " elements", i,
                        (double)axis->scale, axis->in);
    }
    axis->out = (int64_t)out;
    set_ratio(axis);
    return MM_OK;
}

static mm_status set_size(const struct onnx_tensor *sizes, uint32_t i,
                          struct onnx_resize_axis *axis, mm_error *err) {
    axis->out = mmi_onnx_int_at(sizes, i);
    axis->width = (float)axis->out;
    axis->scale = axis->width / (float)axis->in;
    if (axis->in < 1 || axis->out < 1 || (double)axis->out > MAX_ELEMENTS) {
        return mmi_fail(err, MM_INVALID_MODEL,
                        "its sizes[%u] is %" PRId64 " for %" PRId64 " elements", i, axis->out,
                        axis->in);
    }
    axis->ratio_in = axis->in;
    axis->ratio_out = axis->out;
    return MM_OK;
}

/* The sizes that the policy makes of those in axes[numbers[..]]. */
static mm_status keep_aspect(const struct onnx_resize *resize, const uint32_t *numbers,
                             uint32_t count, struct onnx_resize_axis *axes, mm_error *err) {
    double all = 0;
    int64_t ratio_in = 1, ratio_out = 1;
    for (uint32_t i = 0; i < count; i++) {
        const struct onnx_resize_axis *axis = &axes[numbers[i]];
        double scale = (double)axis->out / (double)axis->in;
        bool better = resize->policy == ONNX_RESIZE_NOT_LARGER ? scale < all : scale > all;
        if (i == 0 || better) {
            all = scale;
            ratio_in = axis->in;
            ratio_out = axis->out;
        }
    }
    for (uint32_t i = 0; i < count; i++) {
        struct onnx_resize_axis *axis = &axes[numbers[i]];
        double out = floor(all * (double)axis->in + 0.5);
        if (out > MAX_ELEMENTS) {
            return mmi_fail(err, MM_INVALID_MODEL, "its sizes make axis %u %g elements long",
                            numbers[i], out);
        }
        axis->out = (int64_t)out;
        axis->width = (float)out;
        axis->scale = (float)all;
        axis->ratio_in = ratio_in;
        axis->ratio_out = ratio_out;
    }
    return MM_OK;
}

/* The axes that the other inputs are for. */
static mm_status number_axes(const struct onnx_resize *resize, uint32_t rank, uint32_t *numbers,
                             uint32_t *count, mm_error *err) {
    uint32_t seen = 0;
    *count = resize->axis_count > 0 ? resize->axis_count : rank;
    for (uint32_t i = 0; i < *count; i++) {
        numbers[i] = i;
        if (resize->axis_count > 0) {
            MMI_TRY(mmi_onnx_check_axis(resize->axes[i], rank, &numbers[i], err));
        }
        if (seen >> numbers[i] & 1) {
            return mmi_fail(err, MM_INVALID_MODEL, "attribute axes names axis %u twice",
                            numbers[i]);
        }
        seen |= 1u << numbers[i];
    }
    return MM_OK;
}

mm_status mmi_onnx_resize_axes(const struct onnx_resize *resize, const struct onnx_tensor *inputs,
                               uint32_t input_count, struct onnx_resize_axis *axes, mm_error *err) {
    const struct onnx_tensor *image = &inputs[ONNX_RESIZE_X];
    const struct onnx_tensor *scales = given(inputs, input_count, ONNX_RESIZE_SCALES);
    const struct onnx_tensor *sizes = given(inputs, input_count, ONNX_RESIZE_SIZES);
    const struct onnx_tensor *roi = given(inputs, input_count, ONNX_RESIZE_ROI);
    bool crop = resize->coordinates == ONNX_RESIZE_CROP;
    uint32_t numbers[MM_MAX_RANK], count;
    if (!scales == !sizes || (crop && !roi)) {
        return mmi_fail(err, MM_INVALID_MODEL, "one of scales and sizes wanted%s",
                        crop ? ", and roi" : "");
    }
    MMI_TRY(number_axes(resize, image->rank, numbers, &count, err));
    MMI_TRY(check_numbers(scales, "scales", true, count, err));
    MMI_TRY(check_numbers(sizes, "sizes", false, count, err));
    MMI_TRY(check_numbers(crop ? roi : NULL, "roi", true, UINT64_C(2) * count, err));
    for (uint32_t i = 0; i < image->rank; i++) {
        axes[i] = (struct onnx_resize_axis){
            .in = image->shape[i], .out = image->shape[i], .scale = 1, .end = 1, .kept = true};
    }
    for (uint32_t i = 0; i < count; i++) {
        struct onnx_resize_axis *axis = &axes[numbers[i]];
        MMI_TRY(scales ? set_scale(scales, i, axis, err) : set_size(sizes, i, axis, err));
        axis->start = crop && roi->known ? (float)mmi_onnx_float_at(roi, i) : 0;
        axis->end = crop && roi->known ? (float)mmi_onnx_float_at(roi, count + i) : 1;
    }
    if (sizes && resize->policy != ONNX_RESIZE_STRETCH) {
        MMI_TRY(keep_aspect(resize, numbers, count, axes, err));
    }
    for (uint32_t i = 0; i < count; i++) {
        struct onnx_resize_axis *axis = &axes[numbers[i]];
        axis->kept = axis->scale == 1 && axis->in == axis->out && !crop;
    }
    return MM_OK;
}

/* ---- The operator ---------------------------------------------------------------------------- */

static mm_status infer(struct onnx_inference *x, mm_error *err) {
    static const char *const names[] = {"scales", "sizes"};
    const struct onnx_resize *resize = x->params;
    const struct onnx_tensor *image = &x->inputs[ONNX_RESIZE_X];
    struct onnx_resize_axis axes[MM_MAX_RANK];
    int64_t shape[MM_MAX_RANK];
    for (uint32_t i = 0; i < 2; i++) {
        const struct onnx_tensor *numbers =
            given(x->inputs, x->input_count, ONNX_RESIZE_SCALES + i);
        if (numbers && !numbers->known) {
            return mmi_fail(err, MM_UNSUPPORTED, "its %s are not known before the run", names[i]);
        }
    }
    MMI_TRY(mmi_onnx_check_movable(x, ONNX_RESIZE_X, err));
    if (resize->mode != ONNX_RESIZE_NEAREST) {
        MMI_TRY(mmi_onnx_check_type(x, ONNX_RESIZE_X, ONNX_REALS, err));
    }
    MMI_TRY(mmi_onnx_resize_axes(resize, x->inputs, x->input_count, axes, err));
    for (uint32_t i = 0; i < image->rank; i++) {
        shape[i] = axes[i].out;
    }
    MMI_TRY(mmi_onnx_tensor_set(&x->outputs[0], image->dtype, image->rank, shape, err));
    x->scratch_bytes = mmi_onnx_resample_scratch(resize, axes, image->rank);
    if (x->scratch_bytes == UINT64_MAX) {
        return mmi_fail(err, MM_TOO_LARGE, "its input is too large to resize");
    }
    return MM_OK;
}

static mm_status run(const struct onnx_call *call, mm_error *err) {
    const struct onnx_resize *resize = call->params;
    struct onnx_tensor inputs[ONNX_RESIZE_SIZES + 1];
    struct onnx_resize_axis axes[MM_MAX_RANK];
    for (uint32_t i = 0; i <= ONNX_RESIZE_SIZES; i++) {
        inputs[i] = mmi_onnx_call_input(call, i);
    }
    MMI_TRY(mmi_onnx_resize_axes(resize, inputs, ONNX_RESIZE_SIZES + 1, axes, err));
    if (call->out[0]) {
        mmi_onnx_resample(call, axes);
    }
    return MM_OK;
}

const struct onnx_operator mmi_onnx_op_Resize = {
    .name = "Resize",
    .min_inputs = 1,
    .max_inputs = 4,
    .min_outputs = 1,
    .max_outputs = 1,
    .params_bytes = sizeof(struct onnx_resize),
    .limits = ONNX_RESIZE_LIMITS,
    .shaping_inputs = 1u << ONNX_RESIZE_SCALES | 1u << ONNX_RESIZE_SIZES,
    .read = read,
    .infer = infer,
    .run = run,
    .order = {ONNX_ORDER_ANY, 0, &mmi_onnx_op_ChannelsLastResize},
    .facts = {ONNX_DTYPE_OF_0, ONNX_RANK_OF_0, ONNX_SIZE_ALIKE, 0},
    .kernels = {[ONNX_CPU] = mmi_onnx_cpu_Resize}};
