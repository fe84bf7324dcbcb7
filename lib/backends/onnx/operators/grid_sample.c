/* SPDX-License-Identifier: Apache-2.0 */

/* GridSample: elements of images [N, C, spatial axes ...] at places that a grid names, between
 * -1 and 1 along each axis. The images and places of a batch are made f64 first; the nearest
 * elements are moved as they are, whatever they mean. */

#include <backends/onnx/operators/conv.h>
#include <backends/onnx/operators/move.h>
#include <backends/onnx/operators/number.h>
#include <base/checked.h>
#include <base/status.h>

#include <inttypes.h>
#include <math.h>
#include <string.h>

#define AXES 3
#define TAPS 4 /* elements along an axis that make one, at most */

enum mode { LINEAR, NEAREST, CUBIC };
enum padding { ZEROS, BORDER, REFLECTION };

struct grid_sample {
    int32_t mode, padding;
    int64_t align_corners;
};

static mm_status read(const struct onnx_attributes *a, void *params, mm_error *err) {
    static const char *const old_modes[] = {"bilinear", "nearest", "bicubic", NULL};
    static const char *const modes[] = {"linear", "nearest", "cubic", NULL};
    static const char *const paddings[] = {"zeros", "border", "reflection", NULL};
    struct grid_sample *sample = params;
    bool old = a->opset < 20;
    MMI_TRY(mmi_onnx_read_choice(a, "mode", old ? old_modes : modes, &sample->mode, err));
    MMI_TRY(mmi_onnx_read_choice(a, "padding_mode", paddings, &sample->padding, err));
    return mmi_onnx_read_int(a, "align_corners", 0, &sample->align_corners, err);
}

static mm_status check_shapes(const struct onnx_inference *x, mm_error *err) {
    const struct onnx_tensor *images = &x->inputs[0], *grid = &x->inputs[1];
    bool fits = images->rank >= 3 && images->rank <= AXES + 2 && grid->rank == images->rank &&
                grid->shape[0] == images->shape[0] &&
                grid->shape[grid->rank - 1] == images->rank - 2;
    if (!fits) {
        return mmi_fail(err, MM_INVALID_MODEL,
                        "its input has %u axes, its grid %u, the last of %" PRId64
                        "; 3 to %d, as many, and 2 less wanted, and both of one batch",
                        images->rank, grid->rank, grid->rank ? grid->shape[grid->rank - 1] : 0,
                        AXES + 2);
    }
    for (uint32_t i = 2; i < images->rank; i++) {
        if (images->shape[i] < 1 || images->shape[i] > INT32_MAX) {
            return mmi_fail(err, MM_INVALID_MODEL,
                            "axis %u of its input has %" PRId64 " elements, 1 to %d wanted", i,
                            images->shape[i], INT32_MAX);
        }
    }
    return MM_OK;
}

static mm_status infer(struct onnx_inference *x, mm_error *err) {
    const struct grid_sample *sample = x->params;
    const struct onnx_tensor *images = &x->inputs[0], *grid = &x->inputs[1];
    int64_t shape[MM_MAX_RANK];
    MMI_TRY(mmi_onnx_check_movable(x, 0, err));
    if (sample->mode != NEAREST) {
        MMI_TRY(mmi_onnx_check_type(x, 0, ONNX_REALS | ONNX_BOOL, err));
    }
    MMI_TRY(mmi_onnx_check_type(x, 1, ONNX_FLOATS, err));
    MMI_TRY(check_shapes(x, err));
    shape[0] = images->shape[0];
    shape[1] = images->shape[1];
    memcpy(shape + 2, grid->shape + 1, (images->rank - 2) * sizeof(*shape));
    MMI_TRY(mmi_onnx_tensor_set(&x->outputs[0], images->dtype, images->rank, shape, err));
    uint64_t plane = images->elements ? mmi_onnx_split_at(images, 1).inner : 0, all;
    uint64_t places = grid->elements ? mmi_onnx_split_at(grid, 0).inner : 0;
    if (!mmi_add(plane, places, &all) || !mmi_mul(all, sizeof(double), &x->scratch_bytes)) {
        return mmi_fail(err, MM_TOO_LARGE, "its images are too large");
    }
    return MM_OK;
}

/* ---- Places ---------------------------------------------------------------------------------- */

/* Where a batch is sampled. */
struct sampling {
    const struct grid_sample *params;
    uint32_t axes;
    int64_t size[AXES]; /* of the image */
    uint64_t points;
    const double *places; /* [points][axes], the last axis first */
};

/* The element, perhaps between two of them, that place `at` of an axis is. */
static double place_of(const struct grid_sample *params, double at, double size) {
    return params->align_corners ? (at + 1) / 2 * (size - 1) : ((at + 1) * size - 1) / 2;
}

/* Back and forth between the first and the last element, or their outer edges. */
static double reflect(const struct grid_sample *params, double at, double size) {
    double low = params->align_corners ? 0 : -0.5;
    double span = params->align_corners ? size - 1 : size;
    if (span == 0) {
        return 0;
    }
    double way = fmod(fabs(at - low), 2 * span);
    return low + (way > span ? 2 * span - way : way);
}

/* What is beyond the edges, where that is not 0. */
static double bring_inside(const struct grid_sample *params, double at, double size) {
    double edge = params->align_corners ? 0 : 0.5;
    if (params->padding == ZEROS || (at >= -edge && at <= size - 1 + edge)) {
        return at;
    }
    if (params->padding == REFLECTION) {
        return reflect(params, at, size);
    }
    return at > 0 ? size - 1 : 0;
}

/* What is neither a number nor near the image is far outside of it. */
static double bound(double at, double size) {
    return at > -4 ? (at < size + 4 ? at : size + 4) : -4;
}

/* Of a point: on each axis, the first of `count` elements and their shares. */
struct taps {
    int64_t first[AXES];
    double share[AXES][TAPS];
    int count;
};

static void cubic_shares(double t, double *share) {
    const double a = -0.75;
    share[0] = ((a * (t + 1) - 5 * a) * (t + 1) + 8 * a) * (t + 1) - 4 * a;
    share[1] = ((a + 2) * t - (a + 3)) * t * t + 1;
    share[2] = ((a + 2) * (1 - t) - (a + 3)) * (1 - t) * (1 - t) + 1;
    share[3] = ((a * (2 - t) - 5 * a) * (2 - t) + 8 * a) * (2 - t) - 4 * a;
}

static void find_taps(const struct sampling *sampling, uint64_t point, struct taps *taps) {
    const struct grid_sample *params = sampling->params;
    const double *places = sampling->places + point * sampling->axes;
    taps->count = params->mode == CUBIC ? 4 : params->mode == LINEAR ? 2 : 1;
    for (uint32_t i = 0; i < sampling->axes; i++) {
        double size = (double)sampling->size[i];
        double at = place_of(params, places[sampling->axes - 1 - i], size);
        at = params->mode == NEAREST ? nearbyint(at) : at;
        at = bound(bring_inside(params, at, size), size);
        double below = params->mode == NEAREST ? nearbyint(at) : floor(at), t = at - below;
        taps->first[i] = (int64_t)below - (params->mode == CUBIC);
        if (params->mode == CUBIC) {
            cubic_shares(t, taps->share[i]);
        } else {
            taps->share[i][0] = params->mode == LINEAR ? 1 - t : 1;
            taps->share[i][1] = t;
        }
    }
}

/* The element that is there for element `at` of an axis; -1: 0 is. */
static int64_t element_of(const struct grid_sample *params, int64_t at, int64_t size) {
    if (at >= 0 && at < size) {
        return at;
    }
    if (params->padding == BORDER) {
        return at < 0 ? 0 : size - 1;
    }
    if (params->padding == REFLECTION) {
        int64_t there = (int64_t)reflect(params, (double)at, (double)size);
        return there < 0 ? 0 : there >= size ? size - 1 : there;
    }
    return -1;
}

/* The place of a tap in the image and its share; false: there is padding. `tap` counts all taps. */
static bool see(const struct sampling *sampling, const struct taps *taps, int tap, uint64_t *offset,
                double *share) {
    *offset = 0;
    *share = 1;
    for (uint32_t i = sampling->axes, rest = (uint32_t)tap; i-- > 0;
         rest /= (uint32_t)taps->count) {
        *share *= taps->share[i][rest % (uint32_t)taps->count];
    }
    for (uint32_t i = 0; i < sampling->axes; i++) {
        int place = tap;
        for (uint32_t j = i + 1; j < sampling->axes; j++) {
            place /= taps->count;
        }
        int64_t at =
            element_of(sampling->params, taps->first[i] + place % taps->count, sampling->size[i]);
        if (at < 0) {
            return false;
        }
        *offset = *offset * (uint64_t)sampling->size[i] + (uint64_t)at;
    }
    return true;
}

/* ---- Elements -------------------------------------------------------------------------------- */

static double interpolate(const struct sampling *sampling, const struct taps *taps,
                          const double *plane) {
    int all = taps->count * taps->count;
    all = sampling->axes == 1 ? taps->count : sampling->axes == 2 ? all : all * taps->count;
    double sum = 0;
    for (int tap = 0; tap < all; tap++) {
        uint64_t offset;
        double share;
        if (see(sampling, taps, tap, &offset, &share)) {
            sum += share * plane[offset];
        }
    }
    return sum;
}

/* One channel, of elements as they are. */
static void move_nearest(const struct sampling *sampling, const uint8_t *from, uint32_t width,
                         uint8_t *to) {
    for (uint64_t point = 0; point < sampling->points; point++, to += width) {
        struct taps taps;
        uint64_t offset;
        double share;
        find_taps(sampling, point, &taps);
        if (see(sampling, &taps, 0, &offset, &share)) {
            mmi_onnx_copy(to, from + offset * width, width);
        } else {
            memset(to, 0, width);
        }
    }
}

static void blend(const struct sampling *sampling, const double *plane, int32_t dtype,
                  uint8_t *to) {
    uint32_t width = mmi_onnx_element_bytes(dtype);
    union onnx_chunk results;
    for (uint64_t first = 0; first < sampling->points; first += ONNX_CHUNK) {
        uint64_t count = mmi_min_u64(ONNX_CHUNK, sampling->points - first);
        for (uint64_t i = 0; i < count; i++) {
            struct taps taps;
            find_taps(sampling, first + i, &taps);
            results.f64[i] = interpolate(sampling, &taps, plane);
        }
        mmi_onnx_convert(MM_F64, &results, count, dtype, to + first * width);
    }
}

static mm_status run(const struct onnx_call *call, mm_error *err) {
    const struct grid_sample *params = call->params;
    const struct onnx_tensor *images = &call->inputs[0], *grid = &call->inputs[1];
    uint32_t width = mmi_onnx_element_bytes(images->dtype);
    (void)err;
    if (call->outputs[0].elements == 0 || !call->out[0]) {
        return MM_OK;
    }
    uint64_t plane = mmi_onnx_split_at(images, 1).inner, channels = (uint64_t)images->shape[1];
    uint64_t numbers = mmi_onnx_split_at(grid, 0).inner;
    double *places = call->scratch, *elements = places + numbers;
    struct sampling sampling = {.params = params, .axes = images->rank - 2, .places = places};
    sampling.points = numbers / sampling.axes;
    memcpy(sampling.size, images->shape + 2, sampling.axes * sizeof(*sampling.size));
    for (uint64_t i = 0; i < (uint64_t)images->shape[0] * channels; i++) {
        const uint8_t *from = (const uint8_t *)call->in[0] + i * plane * width;
        uint8_t *to = (uint8_t *)call->out[0] + i * sampling.points * width;
        if (i % channels == 0) {
            uint64_t at = i / channels * numbers * mmi_onnx_element_bytes(grid->dtype);
            mmi_onnx_convert(grid->dtype, (const uint8_t *)call->in[1] + at, numbers, MM_F64,
                             places);
        }
        if (params->mode == NEAREST) {
            move_nearest(&sampling, from, width, to);
        } else {
            mmi_onnx_convert(images->dtype, from, plane, MM_F64, elements);
            blend(&sampling, elements, images->dtype, to);
        }
    }
    return MM_OK;
}

/* That of com.microsoft is of opset 1, and so has the old names. */
#define GRID_SAMPLE(name_, domain_)                                                                \
    const struct onnx_operator mmi_onnx_op_##name_ = {                                             \
        .name = "GridSample",                                                                      \
        .domain = domain_,                                                                         \
        .min_inputs = 2,                                                                           \
        .max_inputs = 2,                                                                           \
        .min_outputs = 1,                                                                          \
        .max_outputs = 1,                                                                          \
        .params_bytes = sizeof(struct grid_sample),                                                \
        .limits = ONNX_LIMITS(ONNX_BETWEEN("mode", struct grid_sample, mode, 0, 2),                \
                              ONNX_BETWEEN("padding_mode", struct grid_sample, padding, 0, 2)),    \
        .read = read,                                                                              \
        .infer = infer,                                                                            \
        .run = run,                                                                                \
        .facts = {ONNX_DTYPE_OF_0, ONNX_RANK_OF_0, ONNX_SIZE_ALIKE, 0},                            \
    };
GRID_SAMPLE(GridSample, NULL)
GRID_SAMPLE(MsGridSample, ONNX_MICROSOFT)
