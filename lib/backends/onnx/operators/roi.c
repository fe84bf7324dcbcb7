/* SPDX-License-Identifier: Apache-2.0 */

/* RoiAlign and MaxRoiPool: regions of images [N, C, H, W], each brought to one size. */

#include <backends/onnx/operators/copies.h>
#include <backends/onnx/operators/move.h>
#include <base/checked.h>
#include <base/status.h>

#include <inttypes.h>
#include <math.h>

#define MAX_RATIO (1 << 10)   /* the attribute: its square is what a bin costs */
#define MAX_SAMPLES (1 << 15) /* of a bin, along one axis */

struct roi {
    int64_t height, width; /* of the result */
    int64_t sampling_ratio;
    float spatial_scale;
    int32_t max, output_half_pixel, reserved;
};

static mm_status read_align(const struct onnx_attributes *a, void *params, mm_error *err) {
    static const char *const modes[] = {"avg", "max", NULL};
    static const char *const transformations[] = {"half_pixel", "output_half_pixel", NULL};
    struct roi *roi = params;
    MMI_TRY(mmi_onnx_read_choice(a, "mode", modes, &roi->max, err));
    MMI_TRY(mmi_onnx_read_choice(mmi_onnx_since(a, 16), "coordinate_transformation_mode",
                                 transformations, &roi->output_half_pixel, err));
    roi->output_half_pixel |= a->opset < 16;
    MMI_TRY(mmi_onnx_read_int(a, "output_height", 1, &roi->height, err));
    MMI_TRY(mmi_onnx_read_int(a, "output_width", 1, &roi->width, err));
    MMI_TRY(mmi_onnx_read_int(a, "sampling_ratio", 0, &roi->sampling_ratio, err));
    return mmi_onnx_read_float(a, "spatial_scale", 1, &roi->spatial_scale, err);
}

static mm_status read_pool(const struct onnx_attributes *a, void *params, mm_error *err) {
    struct roi *roi = params;
    int64_t shape[2] = {0};
    uint32_t count;
    MMI_TRY(mmi_onnx_read_ints(a, "pooled_shape", 2, shape, &count, err));
    MMI_TRY(mmi_onnx_read_float(a, "spatial_scale", 1, &roi->spatial_scale, err));
    roi->height = shape[0];
    roi->width = shape[1];
    return MM_OK;
}

/* rois [regions, numbers] */
static mm_status infer_regions(struct onnx_inference *x, int64_t numbers, mm_error *err) {
    const struct roi *roi = x->params;
    const struct onnx_tensor *images = &x->inputs[0], *rois = &x->inputs[1];
    MMI_TRY(mmi_onnx_check_type(x, 0, ONNX_FLOATS, err));
    if (images->rank != 4 || rois->rank != 2 || rois->shape[1] != numbers ||
        rois->dtype != images->dtype) {
        return mmi_fail(err, MM_INVALID_MODEL,
                        "its input has %u axes, its regions are %s on %u; 4 axes and regions of "
                        "%" PRId64 " %s wanted",
                        images->rank, mm_dtype_text(rois->dtype), rois->rank, numbers,
                        mm_dtype_text(images->dtype));
    }
    if (images->shape[2] > INT32_MAX || images->shape[3] > INT32_MAX) {
        return mmi_fail(err, MM_UNSUPPORTED, "its images are larger than %d", INT32_MAX);
    }
    int64_t shape[] = {rois->shape[0], images->shape[1], roi->height, roi->width};
    MMI_TRY(mmi_onnx_tensor_set(&x->outputs[0], images->dtype, 4, shape, err));
    return mmi_onnx_add_copies(x, err);
}

static mm_status infer_align(struct onnx_inference *x, mm_error *err) {
    const struct onnx_tensor *batch = &x->inputs[2];
    MMI_TRY(mmi_onnx_check_indices(x, 2, err));
    if (batch->rank != 1 || x->inputs[1].rank != 2 || batch->shape[0] != x->inputs[1].shape[0]) {
        return mmi_fail(err, MM_INVALID_MODEL,
                        "its batch indices have %u axes, one number for each region wanted",
                        batch->rank);
    }
    return infer_regions(x, 4, err);
}

static mm_status infer_pool(struct onnx_inference *x, mm_error *err) {
    return infer_regions(x, 5, err);
}

/* ---- What both have -------------------------------------------------------------------------- */

struct regions {
    const struct roi *roi;
    struct onnx_reals images, rois;
    uint64_t channels;
    int64_t height, width; /* of an image */
};

static struct regions regions_of(const struct onnx_call *call) {
    const struct onnx_tensor *images = &call->inputs[0];
    return (struct regions){.roi = call->params,
                            .images = mmi_onnx_reals(call, 0),
                            .rois = mmi_onnx_reals(call, 1),
                            .channels = (uint64_t)images->shape[1],
                            .height = images->shape[2],
                            .width = images->shape[3]};
}

static mm_status fail_batch(double batch, int64_t count, mm_error *err) {
    return mmi_fail(err, MM_INVALID_ARGUMENT, "a region of image %g, there are %" PRId64, batch,
                    count);
}

/* ---- RoiAlign -------------------------------------------------------------------------------- */

/* A region along one axis of the image, and the samples in each bin of the result. */
struct span {
    double start, bin;
    int64_t size, samples;
};

static mm_status set_span(const struct regions *r, double low, double high, bool is_height,
                          struct span *span, mm_error *err) {
    double offset = r->roi->output_half_pixel ? 0 : 0.5, scale = (double)r->roi->spatial_scale;
    double count = (double)(is_height ? r->roi->height : r->roi->width);
    double length = (high * scale - offset) - (low * scale - offset);
    length = r->roi->output_half_pixel && !(length > 1) ? 1 : length;
    span->start = low * scale - offset;
    span->bin = length / count;
    span->size = is_height ? r->height : r->width;
    double samples = r->roi->sampling_ratio ? (double)r->roi->sampling_ratio : ceil(span->bin);
    if (!(samples <= MAX_SAMPLES)) {
        return mmi_fail(err, MM_INVALID_ARGUMENT,
                        "a region from %g to %g, which needs more than %d samples", low, high,
                        MAX_SAMPLES);
    }
    span->samples = samples > 0 ? (int64_t)samples : 0;
    return MM_OK;
}

/* Two neighbours and their shares; false: the sample is outside of the image. */
struct sample {
    uint64_t at[2];
    double share[2];
};

static bool find_sample(const struct span *span, uint64_t bin, int64_t i, struct sample *sample) {
    double at = span->start + (double)bin * span->bin +
                ((double)i + 0.5) * span->bin / (double)span->samples;
    double last = (double)(span->size - 1);
    if (!(at >= -1 && at <= last + 1) || span->size == 0) {
        return false;
    }
    at = at > 0 ? (at < last ? at : last) : 0;
    sample->at[0] = (uint64_t)at;
    sample->at[1] = sample->at[0] + ((int64_t)at < span->size - 1);
    sample->share[1] = at - floor(at);
    sample->share[0] = 1 - sample->share[1];
    return true;
}

/* max: of the four neighbours, each with its share, as the specification's tests have it. */
static double weigh(const struct regions *r, uint64_t plane, const struct sample *y,
                    const struct sample *x) {
    double result = r->roi->max ? -INFINITY : 0;
    for (uint32_t i = 0; i < 4; i++) {
        uint64_t at = y->at[i / 2] * (uint64_t)r->width + x->at[i % 2];
        double part = y->share[i / 2] * x->share[i % 2] * mmi_onnx_real(r->images, plane + at);
        result = !r->roi->max ? result + part : part > result ? part : result;
    }
    return result;
}

static double align(const struct regions *r, const struct span *spans, uint64_t plane,
                    uint64_t bin) {
    uint64_t row = bin / (uint64_t)r->roi->width, column = bin % (uint64_t)r->roi->width;
    int64_t all = spans[0].samples * spans[1].samples;
    double result = r->roi->max && all > 0 ? -INFINITY : 0;
    for (int64_t i = 0; i < spans[0].samples; i++) {
        struct sample y = {{0, 0}, {0, 0}}, x = {{0, 0}, {0, 0}};
        bool inside = find_sample(&spans[0], row, i, &y);
        if (!inside) { /* all of this row are 0 */
            result = r->roi->max && !(result > 0) ? 0 : result;
            continue;
        }
        for (int64_t j = 0; j < spans[1].samples; j++) {
            bool both = find_sample(&spans[1], column, j, &x);
            double part = both ? weigh(r, plane, &y, &x) : 0;
            result = !r->roi->max ? result + part : part > result ? part : result;
        }
    }
    return r->roi->max || all == 0 ? result : result / (double)all;
}

static mm_status run_align_copied(const struct onnx_call *call, mm_error *err) {
    const struct regions r = regions_of(call);
    struct onnx_tensor batches = mmi_onnx_call_input(call, 2);
    uint64_t bins = (uint64_t)(r.roi->height * r.roi->width), to = 0;
    for (uint64_t i = 0; call->out[0] && i < batches.elements; i++) {
        int64_t batch = mmi_onnx_int_at(&batches, i);
        double numbers[4];
        struct span spans[2] = {{.samples = 0}, {.samples = 0}};
        for (uint64_t j = 0; j < 4; j++) {
            numbers[j] = mmi_onnx_real(r.rois, i * 4 + j);
        }
        if (batch < 0 || batch >= call->inputs[0].shape[0]) {
            return fail_batch((double)batch, call->inputs[0].shape[0], err);
        }
        MMI_TRY(set_span(&r, numbers[1], numbers[3], true, &spans[0], err));
        MMI_TRY(set_span(&r, numbers[0], numbers[2], false, &spans[1], err));
        for (uint64_t channel = 0; channel < r.channels; channel++) {
            uint64_t plane =
                ((uint64_t)batch * r.channels + channel) * (uint64_t)(r.height * r.width);
            for (uint64_t bin = 0; bin < bins; bin++, to++) {
                mmi_onnx_set_real(call->out[0], r.images.wide, to, align(&r, spans, plane, bin));
            }
        }
    }
    return MM_OK;
}

static mm_status run_align(const struct onnx_call *call, mm_error *err) {
    return mmi_onnx_run_copied(call, run_align_copied, err);
}

/* ---- MaxRoiPool ------------------------------------------------------------------------------ */

/* Elements [begin, end) of the image. */
struct range {
    int64_t begin, end;
};

/* Those of bin `bin` of `bins`, of elements from low to high. */
static struct range find_bin(double low, double high, uint64_t bin, int64_t bins, int64_t size) {
    double length = high - low + 1;
    double step = (length > 1 ? length : 1) / (double)bins, limit = (double)size;
    double first = floor((double)bin * step) + low, last = ceil((double)(bin + 1) * step) + low;
    return (struct range){first > 0 ? (first < limit ? (int64_t)first : size) : 0,
                          last > 0 ? (last < limit ? (int64_t)last : size) : 0};
}

/* An empty bin is 0. */
static double pool(const struct regions *r, const double *corners, uint64_t plane, uint64_t bin) {
    uint64_t columns = (uint64_t)r->roi->width;
    struct range rows = find_bin(corners[1], corners[3], bin / columns, r->roi->height, r->height);
    struct range row = find_bin(corners[0], corners[2], bin % columns, r->roi->width, r->width);
    double max = rows.begin < rows.end && row.begin < row.end ? -INFINITY : 0;
    for (int64_t y = rows.begin; y < rows.end; y++) {
        for (int64_t x = row.begin; x < row.end; x++) {
            double value = mmi_onnx_real(r->images, plane + (uint64_t)(y * r->width + x));
            max = value > max || isnan(value) ? value : max;
        }
    }
    return max;
}

static mm_status run_pool_copied(const struct onnx_call *call, mm_error *err) {
    const struct regions r = regions_of(call);
    const struct onnx_tensor *output = &call->outputs[0];
    uint64_t bins = (uint64_t)(r.roi->height * r.roi->width), to = 0;
    for (uint64_t i = 0; call->out[0] && i < (uint64_t)output->shape[0]; i++) {
        double batch = mmi_onnx_real(r.rois, i * 5), corners[4];
        if (!(batch >= 0 && batch < (double)call->inputs[0].shape[0])) {
            return fail_batch(batch, call->inputs[0].shape[0], err);
        }
        for (uint64_t j = 0; j < 4; j++) {
            corners[j] = round(mmi_onnx_real(r.rois, i * 5 + 1 + j) * (double)r.roi->spatial_scale);
        }
        for (uint64_t channel = 0; channel < r.channels; channel++) {
            uint64_t plane =
                ((uint64_t)batch * r.channels + channel) * (uint64_t)(r.height * r.width);
            for (uint64_t bin = 0; bin < bins; bin++, to++) {
                mmi_onnx_set_real(call->out[0], r.images.wide, to, pool(&r, corners, plane, bin));
            }
        }
    }
    return MM_OK;
}

static mm_status run_pool(const struct onnx_call *call, mm_error *err) {
    return mmi_onnx_run_copied(call, run_pool_copied, err);
}

#define ROI(name_, inputs, height_, width_, read_, infer_, run_)                                   \
    const struct onnx_operator mmi_onnx_op_##name_ = {                                             \
        .name = #name_,                                                                            \
        .min_inputs = inputs,                                                                      \
        .max_inputs = inputs,                                                                      \
        .min_outputs = 1,                                                                          \
        .max_outputs = 1,                                                                          \
        .params_bytes = sizeof(struct roi),                                                        \
        .limits =                                                                                  \
            ONNX_LIMITS(ONNX_BETWEEN(height_, struct roi, height, 1, INT32_MAX),                   \
                        ONNX_BETWEEN(width_, struct roi, width, 1, INT32_MAX),                     \
                        ONNX_BETWEEN("sampling_ratio", struct roi, sampling_ratio, 0, MAX_RATIO)), \
        .read = read_,                                                                             \
        .infer = infer_,                                                                           \
        .run = run_,                                                                               \
        .facts = {ONNX_DTYPE_OF_0, ONNX_RANK_OF_0, ONNX_SIZE_ALIKE, 0},                            \
    };
ROI(RoiAlign, 3, "output_height", "output_width", read_align, infer_align, run_align)
ROI(MaxRoiPool, 2, "pooled_shape[0]", "pooled_shape[1]", read_pool, infer_pool, run_pool)
