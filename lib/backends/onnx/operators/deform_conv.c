/* SPDX-License-Identifier: Apache-2.0 */

/* DeformConv: a convolution whose window's elements are each moved by an offset of their own, seen
 * between elements of the image by bilinear interpolation, and weighted by a mask. Images have two
 * spatial axes. What a few results see is gathered as columns; sums are of f64. */

#include <backends/onnx/operators/conv.h>
#include <backends/onnx/operators/copies.h>
#include <base/checked.h>
#include <base/status.h>

#include <inttypes.h>
#include <math.h>

#define TILE 64 /* results whose columns are gathered at once */

enum { IMAGE, WEIGHTS, OFFSETS, BIAS, MASK };

struct deform {
    struct onnx_window window;
    int64_t group, offset_group;
};

static mm_status read(const struct onnx_attributes *a, void *params, mm_error *err) {
    static const struct onnx_axes_attribute kernel = {"kernel_shape", 1, 1};
    static const struct onnx_axes_attribute strides = {"strides", 1, 1};
    static const struct onnx_axes_attribute dilations = {"dilations", 1, 1};
    static const struct onnx_axes_attribute pads = {"pads", 2, 0};
    struct deform *deform = params;
    struct onnx_window *window = &deform->window;
    int64_t both[2 * ONNX_SPACE] = {0};
    for (uint32_t i = 0; i < ONNX_SPACE; i++) {
        window->strides[i] = window->dilations[i] = 1;
    }
    MMI_TRY(mmi_onnx_read_axes(a, &kernel, window, window->kernel, err));
    MMI_TRY(mmi_onnx_read_axes(a, &strides, window, window->strides, err));
    MMI_TRY(mmi_onnx_read_axes(a, &dilations, window, window->dilations, err));
    MMI_TRY(mmi_onnx_read_axes(a, &pads, window, both, err));
    for (uint32_t i = 0; i < window->axes; i++) {
        window->begin[i] = both[i];
        window->end[i] = both[window->axes + i];
    }
    MMI_TRY(mmi_onnx_read_int(a, "group", 1, &deform->group, err));
    return mmi_onnx_read_int(a, "offset_group", 1, &deform->offset_group, err);
}

/* ---- Shapes ---------------------------------------------------------------------------------- */

/* Input i is [images, channels, spatial axes of the result]. */
static mm_status check_by_result(const struct onnx_inference *x, uint32_t i, uint64_t channels,
                                 mm_error *err) {
    const struct onnx_tensor *input = &x->inputs[i], *output = &x->outputs[0];
    bool fits = !mmi_onnx_has(x, i) ||
                (input->rank == 4 && input->shape[0] == output->shape[0] &&
                 (uint64_t)input->shape[1] == channels && input->shape[2] == output->shape[2] &&
                 input->shape[3] == output->shape[3]);
    if (!fits) {
        return mmi_fail(err, MM_INVALID_MODEL,
                        "its input %u does not fit: [%" PRId64 ", %" PRIu64 ", %" PRId64
                        ", %" PRId64 "] wanted",
                        i, output->shape[0], channels, output->shape[2], output->shape[3]);
    }
    return MM_OK;
}

static mm_status check_channels(const struct onnx_inference *x, mm_error *err) {
    const struct deform *deform = x->params;
    const struct onnx_tensor *image = &x->inputs[IMAGE], *weights = &x->inputs[WEIGHTS];
    int64_t channels = image->shape[1], results = weights->shape[0];
    bool fits = channels % deform->group == 0 && results % deform->group == 0 &&
                channels / deform->group == weights->shape[1] &&
                channels % deform->offset_group == 0;
    if (!fits) {
        return mmi_fail(err, MM_INVALID_MODEL,
                        "%" PRId64 " channels, weights for %" PRId64 " and %" PRId64
                        " results do not fit %" PRId64 " groups and %" PRId64 " of offsets",
                        channels, weights->shape[1], results, deform->group, deform->offset_group);
    }
    if (mmi_onnx_has(x, BIAS) &&
        (x->inputs[BIAS].rank != 1 || x->inputs[BIAS].shape[0] != results)) {
        return mmi_fail(err, MM_INVALID_MODEL,
                        "its bias has %" PRIu64 " elements, %" PRId64 " on one axis wanted",
                        x->inputs[BIAS].elements, results);
    }
    return MM_OK;
}

static mm_status infer(struct onnx_inference *x, mm_error *err) {
    const struct deform *deform = x->params;
    const struct onnx_tensor *image = &x->inputs[IMAGE], *weights = &x->inputs[WEIGHTS];
    struct onnx_placed placed;
    uint64_t taps, column;
    MMI_TRY(mmi_onnx_check_types(x, ONNX_FLOATS, err));
    if (image->rank != 4 || weights->rank != 4) {
        return mmi_fail(err, MM_UNSUPPORTED, "its input has %u axes, its weights %u; 4 wanted",
                        image->rank, weights->rank);
    }
    MMI_TRY(mmi_onnx_place_window(&deform->window, image, weights->shape + 2, &placed, err));
    MMI_TRY(mmi_onnx_count_taps(&placed, &taps, err));
    MMI_TRY(check_channels(x, err));
    int64_t shape[] = {image->shape[0], weights->shape[0], placed.out[0], placed.out[1]};
    MMI_TRY(mmi_onnx_tensor_set(&x->outputs[0], image->dtype, 4, shape, err));
    uint64_t masks;
    if (!mmi_mul(taps, (uint64_t)deform->offset_group, &masks) || masks > INT64_MAX / 2 ||
        !mmi_mul(taps, (uint64_t)weights->shape[1], &column) ||
        !mmi_mul(column, TILE * sizeof(double), &x->scratch_bytes)) {
        return mmi_fail(err, MM_TOO_LARGE, "its window is too large");
    }
    MMI_TRY(check_by_result(x, OFFSETS, 2 * masks, err));
    MMI_TRY(check_by_result(x, MASK, masks, err));
    return mmi_onnx_add_copies(x, err);
}

/* ---- Running --------------------------------------------------------------------------------- */

struct convolution {
    const struct deform *deform;
    struct onnx_placed placed;
    struct onnx_reals image, weights, offsets, bias, mask;
    uint64_t channels, results, taps, pixels; /* pixels: of a result */
    uint64_t group_channels, offset_channels; /* channels of a group, of one of offsets */
    double *columns;                          /* [group_channels][taps][TILE] */
};

/* The image between its elements; beyond its edges it is 0. */
static double see(const struct convolution *c, uint64_t plane, double y, double x) {
    double height = (double)c->placed.in[0], width = (double)c->placed.in[1], sum = 0;
    if (!(y > -1 && y < height && x > -1 && x < width)) {
        return 0;
    }
    int64_t top = (int64_t)floor(y), left = (int64_t)floor(x);
    double down = y - (double)top, right = x - (double)left;
    for (int64_t corner = 0; corner < 4; corner++) {
        int64_t row = top + corner / 2, column = left + corner % 2;
        double share = (corner / 2 ? down : 1 - down) * (corner % 2 ? right : 1 - right);
        if (row >= 0 && row < c->placed.in[0] && column >= 0 && column < c->placed.in[1]) {
            uint64_t at = (uint64_t)(row * c->placed.in[1] + column);
            sum += share * mmi_onnx_real(c->image, plane + at);
        }
    }
    return sum;
}

/* What some results see through one tap of a channel. */
struct sight {
    uint64_t image, channel, tap;
    uint64_t first, count; /* pixels of the result */
};

static void gather(const struct convolution *c, const struct sight *sight, double *column) {
    const struct onnx_placed *placed = &c->placed;
    uint64_t planes = (uint64_t)(placed->in[0] * placed->in[1]);
    uint64_t plane = (sight->image * c->channels + sight->channel) * planes;
    uint64_t offset_group = sight->channel / c->offset_channels;
    uint64_t groups = sight->image * (uint64_t)c->deform->offset_group + offset_group;
    uint64_t set = groups * c->taps + sight->tap;
    int64_t tap_row = (int64_t)sight->tap / placed->kernel[1];
    int64_t tap_column = (int64_t)sight->tap % placed->kernel[1];
    for (uint64_t i = 0; i < sight->count; i++) {
        uint64_t pixel = sight->first + i;
        int64_t row = (int64_t)pixel / placed->out[1], at = (int64_t)pixel % placed->out[1];
        row = row * placed->strides[0] - placed->begin[0] + tap_row * placed->dilations[0];
        at = at * placed->strides[1] - placed->begin[1] + tap_column * placed->dilations[1];
        double y = (double)row + mmi_onnx_real(c->offsets, 2 * set * c->pixels + pixel);
        double x = (double)at + mmi_onnx_real(c->offsets, (2 * set + 1) * c->pixels + pixel);
        column[i] = see(c, plane, y, x);
        column[i] *= c->mask.data ? mmi_onnx_real(c->mask, set * c->pixels + pixel) : 1;
    }
}

static void convolve(const struct convolution *c, uint64_t result, uint64_t count, double *sums) {
    uint64_t length = c->group_channels * c->taps;
    double bias = c->bias.data ? mmi_onnx_real(c->bias, result) : 0;
    for (uint64_t i = 0; i < count; i++) {
        sums[i] = bias;
    }
    for (uint64_t j = 0; j < length; j++) {
        double weight = mmi_onnx_real(c->weights, result * length + j);
        const double *column = c->columns + j * TILE;
        for (uint64_t i = 0; i < count; i++) {
            sums[i] += weight * column[i];
        }
    }
}

/* A tile of all results of one group. */
static void do_tile(const struct convolution *c, uint64_t image, uint64_t group, uint64_t first,
                    void *out) {
    uint64_t count = mmi_min_u64(TILE, c->pixels - first);
    uint64_t results = c->results / (uint64_t)c->deform->group;
    double sums[TILE];
    for (uint64_t i = 0; i < c->group_channels * c->taps; i++) {
        uint64_t channel = group * c->group_channels + i / c->taps;
        struct sight sight = {image, channel, i % c->taps, first, count};
        gather(c, &sight, c->columns + i * TILE);
    }
    for (uint64_t i = 0; i < results; i++) {
        uint64_t result = group * results + i;
        convolve(c, result, count, sums);
        for (uint64_t j = 0; j < count; j++) {
            mmi_onnx_set_real(out, c->image.wide,
                              (image * c->results + result) * c->pixels + first + j, sums[j]);
        }
    }
}

static mm_status run_copied(const struct onnx_call *call, mm_error *err) {
    const struct deform *deform = call->params;
    const struct onnx_tensor *image = &call->inputs[IMAGE], *weights = &call->inputs[WEIGHTS];
    struct convolution c = {.deform = deform, .columns = call->scratch};
    if (!call->out[0] || call->outputs[0].elements == 0) {
        return MM_OK;
    }
    MMI_TRY(mmi_onnx_place_window(&deform->window, image, weights->shape + 2, &c.placed, err));
    MMI_TRY(mmi_onnx_count_taps(&c.placed, &c.taps, err));
    c.image = mmi_onnx_reals(call, IMAGE);
    c.weights = mmi_onnx_reals(call, WEIGHTS);
    c.offsets = mmi_onnx_reals(call, OFFSETS);
    c.bias = mmi_onnx_reals(call, BIAS);
    c.mask = mmi_onnx_reals(call, MASK);
    c.channels = (uint64_t)image->shape[1];
    c.results = (uint64_t)weights->shape[0];
    c.pixels = (uint64_t)(c.placed.out[0] * c.placed.out[1]);
    c.group_channels = (uint64_t)weights->shape[1];
    c.offset_channels = c.channels / (uint64_t)deform->offset_group;
    uint64_t groups = (uint64_t)deform->group;
    for (uint64_t i = 0; i < (uint64_t)image->shape[0] * groups; i++) {
        for (uint64_t first = 0; first < c.pixels; first += TILE) {
            do_tile(&c, i / groups, i % groups, first, call->out[0]);
        }
    }
    return MM_OK;
}

static mm_status run(const struct onnx_call *call, mm_error *err) {
    return mmi_onnx_run_copied(call, run_copied, err);
}

const struct onnx_operator mmi_onnx_op_DeformConv = {
    .name = "DeformConv",
    .min_inputs = 3,
    .max_inputs = 5,
    .min_outputs = 1,
    .max_outputs = 1,
    .params_bytes = sizeof(struct deform),
    .limits = ONNX_LIMITS(ONNX_WINDOW_LIMITS(struct deform, window),
                          ONNX_AT_LEAST("group", struct deform, group, 1),
                          ONNX_AT_LEAST("offset_group", struct deform, offset_group, 1)),
    .read = read,
    .infer = infer,
    .run = run,
    .facts = {ONNX_DTYPE_OF_0, ONNX_RANK_OF_0, ONNX_SIZE_ALIKE, 0},
};
