/* SPDX-License-Identifier: Apache-2.0 */

/* ConvInteger and QLinearConv. Padding is the zero point of the image: it adds nothing. */

#include <backends/onnx/operators/conv.h>
#include <backends/onnx/operators/move.h>
#include <backends/onnx/operators/product.h>
#include <backends/onnx/operators/quantized.h>
#include <base/checked.h>
#include <base/status.h>

#include <inttypes.h>
#include <string.h>

#define BYTES (ONNX_TYPE(MM_U8) | ONNX_TYPE(MM_I8))

/* Which input is what; NONE: the operator has none. */
enum { NONE = 99 };
struct places {
    uint32_t image, image_scale, image_zero, weights, weights_scale, weights_zero;
    uint32_t out_scale, out_zero, bias;
};
static const struct places integer_places = {0, NONE, 2, 1, NONE, 3, NONE, NONE, NONE};
static const struct places linear_places = {0, 1, 2, 3, 4, 5, 6, 7, 8};

static mm_status read(const struct onnx_attributes *a, void *params, mm_error *err) {
    return mmi_onnx_read_conv(a, params, err);
}

/* ---- Shapes ---------------------------------------------------------------------------------- */

/* A scale, zero point or bias: one element, or `channels`. */
static mm_status check_vector(const struct onnx_inference *x, uint32_t input, int64_t channels,
                              mm_error *err) {
    if (!mmi_onnx_has(x, input)) {
        return MM_OK;
    }
    const struct onnx_tensor *tensor = &x->inputs[input];
    bool fits = tensor->rank <= 1 &&
                (tensor->elements == 1 || (tensor->rank == 1 && tensor->shape[0] == channels));
    return fits ? MM_OK
                : mmi_fail(err, MM_INVALID_MODEL,
                           "its input %u has %u axes and %" PRIu64 " elements; 1 or %" PRId64
                           " wanted",
                           input, tensor->rank, tensor->elements, channels);
}

static mm_status check_zero(const struct onnx_inference *x, uint32_t of, uint32_t input,
                            int64_t channels, mm_error *err) {
    if (mmi_onnx_has(x, input) && x->inputs[input].dtype != x->inputs[of].dtype) {
        return mmi_fail(err, MM_INVALID_MODEL, "its input %u is %s, its input %u %s", input,
                        mm_dtype_text(x->inputs[input].dtype), of,
                        mm_dtype_text(x->inputs[of].dtype));
    }
    return check_vector(x, input, channels, err);
}

static mm_status check_image(const struct onnx_inference *x, const struct places *at,
                             mm_error *err) {
    const struct onnx_conv *conv = x->params;
    const struct onnx_tensor *image = &x->inputs[at->image], *weights = &x->inputs[at->weights];
    MMI_TRY(mmi_onnx_check_type(x, at->image, BYTES, err));
    MMI_TRY(mmi_onnx_check_type(x, at->weights, BYTES, err));
    if (image->rank < 3 || image->rank != weights->rank) {
        return mmi_fail(err, MM_INVALID_MODEL,
                        "its input has %u axes, its weights %u; 3 or more, the same, wanted",
                        image->rank, weights->rank);
    }
    if (image->shape[1] % conv->group != 0 || weights->shape[0] % conv->group != 0 ||
        image->shape[1] / conv->group != weights->shape[1]) {
        return mmi_fail(err, MM_INVALID_MODEL,
                        "its input has %" PRId64 " channels in %" PRId64
                        " groups, its weights make %" PRId64 " of %" PRId64 " in each",
                        image->shape[1], conv->group, weights->shape[0], weights->shape[1]);
    }
    MMI_TRY(check_zero(x, at->image, at->image_zero, 1, err));
    return check_zero(x, at->weights, at->weights_zero, weights->shape[0], err);
}

/* What a tap of a panel's windows sees: elements that lie side by side are a run. */
struct run {
    int64_t offset; /* in the plane of a channel */
    uint32_t at, count;
};
struct tap {
    uint32_t count;
    struct run runs[ONNX_TAPS];
};
/* Of one panel, kept while it is the same. */
struct windows {
    uint64_t panel;   /* 1 + its first result; 0: none yet */
    int64_t *offsets; /* [taps][ONNX_TAPS] */
    struct tap taps[];
};

static uint64_t own_bytes(uint64_t taps) {
    return sizeof(struct windows) + taps * (ONNX_TAPS * sizeof(int64_t) + sizeof(struct tap));
}

static mm_status infer_conv(struct onnx_inference *x, const struct places *at, int32_t dtype,
                            mm_error *err) {
    const struct onnx_conv *conv = x->params;
    MMI_TRY(check_image(x, at, err));
    const struct onnx_tensor *image = &x->inputs[at->image], *weights = &x->inputs[at->weights];
    struct onnx_placed placed;
    uint64_t taps, depth;
    int64_t shape[MM_MAX_RANK] = {image->shape[0], weights->shape[0]};
    MMI_TRY(mmi_onnx_place_window(&conv->window, image, weights->shape + 2, &placed, err));
    MMI_TRY(mmi_onnx_count_taps(&placed, &taps, err));
    memcpy(shape + 2, placed.out, (image->rank - 2) * sizeof(*shape));
    MMI_TRY(mmi_onnx_tensor_set(&x->outputs[0], dtype, image->rank, shape, err));
    depth = mmi_mul(taps, (uint64_t)weights->shape[1], &depth) ? depth : UINT64_MAX;
    x->scratch_bytes = mmi_onnx_quantized_bytes(depth, own_bytes(taps));
    if (x->scratch_bytes == UINT64_MAX) {
        return mmi_fail(err, MM_TOO_LARGE, "its weights are too large");
    }
    return MM_OK;
}

static mm_status infer_integer(struct onnx_inference *x, mm_error *err) {
    return infer_conv(x, &integer_places, MM_I32, err);
}

static mm_status infer_linear(struct onnx_inference *x, mm_error *err) {
    const struct places *at = &linear_places;
    const uint32_t scales[] = {at->image_scale, at->weights_scale, at->out_scale};
    MMI_TRY(mmi_onnx_check_type(x, at->out_zero, BYTES, err));
    MMI_TRY(mmi_onnx_check_type(x, at->bias, ONNX_TYPE(MM_I32), err));
    MMI_TRY(infer_conv(x, at, x->inputs[at->out_zero].dtype, err));
    const int64_t channels = x->inputs[at->weights].shape[0];
    for (uint32_t i = 0; i < 3; i++) {
        MMI_TRY(mmi_onnx_check_type(x, scales[i], ONNX_TYPE(MM_F32), err));
        MMI_TRY(check_vector(x, scales[i], scales[i] == at->weights_scale ? channels : 1, err));
    }
    MMI_TRY(check_vector(x, at->out_zero, 1, err));
    if (mmi_onnx_has(x, at->bias) &&
        (x->inputs[at->bias].rank != 1 || x->inputs[at->bias].shape[0] != channels)) {
        return mmi_fail(err, MM_INVALID_MODEL,
                        "its bias has %u axes and %" PRIu64 " elements; one with %" PRId64
                        " wanted",
                        x->inputs[at->bias].rank, x->inputs[at->bias].elements, channels);
    }
    return MM_OK;
}

/* ---- Running --------------------------------------------------------------------------------- */

struct job {
    struct onnx_placed placed;
    uint64_t taps, seen;      /* elements of the kernel; of a channel of the image */
    uint64_t channels, depth; /* of a group of the image; of what one result is made of */
    uint64_t results;         /* of a channel of the output */
    uint64_t groups, made;    /* made: channels of the output, of a group */
    int32_t image_type, weights_type, out_type;
    uint8_t image_zero; /* its byte */
    struct onnx_line image_line;
    struct onnx_tensor weights_zero, weights_scale;
    bool scaled;
    float image_scale, out_scale;
    int32_t out_zero;
    const uint8_t *image, *weights;
    uint8_t *out;
};
/* A matrix of the product is a group of an image. */

/* What belongs to a channel of the output. */
static double of_channel(const struct onnx_tensor *tensor, uint64_t channel, double otherwise) {
    return tensor->data ? mmi_onnx_float_at(tensor, tensor->elements == 1 ? 0 : channel)
                        : otherwise;
}

static void load_row(const void *ctx, uint64_t matrix, uint64_t row, void *to) {
    const struct job *job = ctx;
    uint64_t channel = matrix % job->groups * job->made + row;
    int16_t zero = (int16_t)of_channel(&job->weights_zero, channel, 0);
    const struct onnx_widening widening = {job->weights_type, MM_I16, &zero, false};
    mmi_onnx_widen_quantized(&widening, job->weights + channel * job->depth, job->depth, to);
}

static void find_runs(const int64_t *offsets, struct tap *tap) {
    tap->count = 0;
    for (uint32_t i = 0; i < ONNX_TAPS; i++) {
        struct run *last = tap->count > 0 ? &tap->runs[tap->count - 1] : NULL;
        if (offsets[i] < 0) {
            continue;
        }
        if (last && last->at + last->count == i && last->offset + last->count == offsets[i]) {
            last->count++;
        } else {
            tap->runs[tap->count++] = (struct run){offsets[i], i, 1};
        }
    }
}

static void find_windows(const struct job *job, struct windows *windows, uint64_t first,
                         uint64_t count) {
    if (windows->panel == 1 + first) {
        return;
    }
    windows->panel = 1 + first;
    windows->offsets = (int64_t *)(void *)(windows->taps + job->taps);
    mmi_onnx_find_taps(&job->placed, first, (uint32_t)count, windows->offsets);
    for (uint64_t tap = 0; tap < job->taps; tap++) {
        find_runs(windows->offsets + tap * ONNX_TAPS, &windows->taps[tap]);
    }
}

/* Where a window sees nothing it sees the zero point. */
static void load_line(const struct job *job, const struct tap *tap, const uint8_t *plane,
                      int16_t *to) {
    if (tap->count == 1 && tap->runs[0].count == ONNX_NR) {
        mmi_onnx_widen_line(&job->image_line, plane + tap->runs[0].offset, to);
        return;
    }
    uint8_t bytes[ONNX_NR];
    memset(bytes, job->image_zero, sizeof(bytes));
    for (uint32_t i = 0; i < tap->count; i++) {
        const struct run *run = &tap->runs[i];
        if (run->count == 1) {
            bytes[run->at] = plane[run->offset];
        } else {
            memcpy(bytes + run->at, plane + run->offset, run->count);
        }
    }
    mmi_onnx_widen_line(&job->image_line, bytes, to);
}

/* What the windows see, a column for each of them. */
static void load_panels(const void *ctx, void *own, uint64_t matrix, uint64_t first, uint64_t count,
                        void *to) {
    const struct job *job = ctx;
    struct windows *windows = own;
    const uint64_t depth = job->depth + job->depth % 2;
    int16_t *panel = to;
    for (uint64_t j = 0; j < count; j += ONNX_NR, panel += depth * ONNX_NR) {
        const uint8_t *plane = job->image + matrix * job->channels * job->seen;
        int16_t *row = panel;
        find_windows(job, windows, first + j, mmi_min_u64(count - j, ONNX_NR));
        for (uint64_t channel = 0; channel < job->channels; channel++, plane += job->seen) {
            for (uint64_t tap = 0; tap < job->taps; tap++, row += ONNX_NR) {
                load_line(job, &windows->taps[tap], plane, row);
            }
        }
    }
}
_Static_assert(ONNX_NR == ONNX_TAPS, "a panel has a column for each result found at once");

static void store(const void *ctx, void *own, const struct onnx_sums *sums) {
    const struct job *job = ctx;
    const uint64_t channel = sums->matrix % job->groups * job->made + sums->row;
    const uint64_t at = (sums->matrix * job->made + sums->row) * job->results + sums->first;
    (void)own;
    if (!job->scaled) {
        memcpy((int32_t *)(void *)job->out + at, sums->sums, sums->count * sizeof(int32_t));
        return;
    }
    float weights_scale = (float)of_channel(&job->weights_scale, channel, 1);
    const struct onnx_requantized to = {
        .dtype = job->out_type,
        .zero = job->out_zero,
        .factor = (double)(job->image_scale * weights_scale / job->out_scale)};
    mmi_onnx_requantize(&to, sums->sums, sums->count, job->out + at);
}

static struct onnx_tensor take(const struct onnx_call *call, uint32_t input) {
    return input == NONE ? (struct onnx_tensor){0} : mmi_onnx_call_input(call, input);
}

static mm_status start(const struct onnx_call *call, const struct places *at, struct job *job,
                       mm_error *err) {
    const struct onnx_conv *params = call->params;
    const struct onnx_tensor *image = &call->inputs[at->image];
    const struct onnx_tensor *weights = &call->inputs[at->weights];
    MMI_TRY(mmi_onnx_place_window(&params->window, image, weights->shape + 2, &job->placed, err));
    MMI_TRY(mmi_onnx_count_taps(&job->placed, &job->taps, err));
    job->seen = mmi_onnx_split_at(image, 1).inner;
    job->channels = (uint64_t)weights->shape[1];
    job->depth = job->channels * job->taps;
    job->results = mmi_onnx_split_at(&call->outputs[0], 1).inner;
    job->groups = (uint64_t)params->group;
    job->made = (uint64_t)call->outputs[0].shape[1] / job->groups;
    job->image_type = image->dtype;
    job->weights_type = weights->dtype;
    job->out_type = call->outputs[0].dtype;
    const struct onnx_tensor zero = take(call, at->image_zero);
    const int32_t image_zero = zero.data ? (int32_t)mmi_onnx_int_at(&zero, 0) : 0;
    job->image_zero = (uint8_t)image_zero;
    for (uint32_t i = 0; i < ONNX_NR; i++) {
        mmi_onnx_line_set(&job->image_line, image->dtype, i, image_zero);
    }
    job->weights_zero = take(call, at->weights_zero);
    job->weights_scale = take(call, at->weights_scale);
    job->scaled = at->out_scale != NONE;
    if (job->scaled) {
        const struct onnx_tensor image_scale = take(call, at->image_scale);
        const struct onnx_tensor out_scale = take(call, at->out_scale);
        const struct onnx_tensor out_zero = take(call, at->out_zero);
        job->image_scale = (float)mmi_onnx_float_at(&image_scale, 0);
        job->out_scale = (float)mmi_onnx_float_at(&out_scale, 0);
        job->out_zero = (int32_t)mmi_onnx_int_at(&out_zero, 0);
    }
    return MM_OK;
}

static mm_status run_conv(const struct onnx_call *call, const struct places *at,
                          onnx_quantized_runner runner, mm_error *err) {
    struct job job = {0};
    if (!call->out[0]) {
        return MM_OK;
    }
    MMI_TRY(start(call, at, &job, err));
    job.image = call->in[at->image];
    job.weights = call->in[at->weights];
    job.out = call->out[0];
    const struct onnx_quantized_product product = {
        .dtype = MM_I32,
        .matrices = (uint64_t)call->outputs[0].shape[0] * job.groups,
        .rows = job.made,
        .depth = job.depth,
        .columns = job.results,
        .start = at->bias != NONE ? take(call, at->bias).data : NULL,
        .start_period = job.groups,
        .own_bytes = own_bytes(job.taps),
        .load_row = load_row,
        .load_panels = load_panels,
        .store = store,
        .ctx = &job};
    runner(&product, call, call->scratch);
    return MM_OK;
}

mm_status mmi_onnx_run_conv_integer(const struct onnx_call *call, onnx_quantized_runner runner,
                                    mm_error *err) {
    return run_conv(call, &integer_places, runner, err);
}

mm_status mmi_onnx_run_qlinear_conv(const struct onnx_call *call, onnx_quantized_runner runner,
                                    mm_error *err) {
    return run_conv(call, &linear_places, runner, err);
}

static mm_status run_integer(const struct onnx_call *call, mm_error *err) {
    return mmi_onnx_run_conv_integer(call, mmi_onnx_multiply_quantized, err);
}

static mm_status run_linear(const struct onnx_call *call, mm_error *err) {
    return mmi_onnx_run_qlinear_conv(call, mmi_onnx_multiply_quantized, err);
}

/* ---- The operators --------------------------------------------------------------------------- */

const struct onnx_operator mmi_onnx_op_ConvInteger = {
    .name = "ConvInteger",
    .min_inputs = 2,
    .max_inputs = 4,
    .min_outputs = 1,
    .max_outputs = 1,
    .params_bytes = sizeof(struct onnx_conv),
    .limits = ONNX_LIMITS(ONNX_CONV_LIMITS),
    .read = read,
    .infer = infer_integer,
    .run = run_integer,
    .kernels = {[ONNX_CPU] = mmi_onnx_cpu_ConvInteger},
    .weight_inputs = 1u << 1 | 1u << 3,
    .facts = {MM_I32, ONNX_RANK_OF_0, ONNX_SIZE_ALIKE, 0},
};

static void learn_linear(const struct onnx_learning *l, uint32_t output, struct onnx_fact *fact) {
    (void)output;
    fact->dtype = mmi_onnx_fact(l, linear_places.out_zero).dtype;
}

const struct onnx_operator mmi_onnx_op_QLinearConv = {
    .name = "QLinearConv",
    .min_inputs = 8,
    .max_inputs = 9,
    .min_outputs = 1,
    .max_outputs = 1,
    .params_bytes = sizeof(struct onnx_conv),
    .limits = ONNX_LIMITS(ONNX_CONV_LIMITS),
    .read = read,
    .infer = infer_linear,
    .run = run_linear,
    .kernels = {[ONNX_CPU] = mmi_onnx_cpu_QLinearConv},
    .weight_inputs = 1u << 3 | 1u << 4 | 1u << 5 | 1u << 8,
    .facts = {ONNX_DTYPE_UNKNOWN, ONNX_RANK_OF_0, ONNX_SIZE_ALIKE, 0},
    .learn = learn_linear,
};
