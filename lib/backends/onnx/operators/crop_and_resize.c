/* SPDX-License-Identifier: Apache-2.0 */

/* CropAndResize of com.microsoft: boxes of images [N, C, H, W], given by corners between 0 and 1,
 * each resized to the same height and width. Places are computed in f32, as ONNX Runtime does. */

#include <backends/onnx/operators/move.h>
#include <backends/onnx/operators/number.h>
#include <base/checked.h>
#include <base/status.h>

#include <inttypes.h>
#include <math.h>

enum { IMAGES, BOXES, INDICES, SIZE };
enum mode { BILINEAR, NEAREST };

struct crop {
    int32_t mode;
    float beyond; /* what is outside of the image */
};

static mm_status read(const struct onnx_attributes *a, void *params, mm_error *err) {
    static const char *const modes[] = {"bilinear", "nearest", NULL};
    struct crop *p = params;
    MMI_TRY(mmi_onnx_read_choice(a, "mode", modes, &p->mode, err));
    return mmi_onnx_read_float(a, "extrapolation_value", 0, &p->beyond, err);
}

static mm_status check(const struct onnx_inference *x, mm_error *err) {
    const struct onnx_tensor *images = &x->inputs[IMAGES], *boxes = &x->inputs[BOXES];
    const struct onnx_tensor *indices = &x->inputs[INDICES];
    MMI_TRY(mmi_onnx_check_type(x, IMAGES, ONNX_TYPE(MM_F32), err));
    MMI_TRY(mmi_onnx_check_type(x, BOXES, ONNX_TYPE(MM_F32), err));
    MMI_TRY(mmi_onnx_check_type(x, INDICES, ONNX_TYPE(MM_I32), err));
    MMI_TRY(mmi_onnx_check_type(x, SIZE, ONNX_TYPE(MM_I32), err));
    bool fits = images->rank == 4 && boxes->rank == 2 && boxes->shape[1] == 4 &&
                indices->rank == 1 && indices->shape[0] == boxes->shape[0];
    for (uint32_t i = 2; fits && i < 4; i++) {
        fits = images->shape[i] > 0 && images->shape[i] <= INT32_MAX;
    }
    return fits ? MM_OK
                : mmi_fail(err, MM_INVALID_MODEL,
                           "its images have %u axes, its boxes %u (%" PRIu64
                           " elements), its indices %u (%" PRIu64
                           "); [N, C, H, W], [boxes, 4] and [boxes] wanted",
                           images->rank, boxes->rank, boxes->elements, indices->rank,
                           indices->elements);
}

static mm_status infer(struct onnx_inference *x, mm_error *err) {
    struct onnx_ints size;
    MMI_TRY(check(x, err));
    MMI_TRY(mmi_onnx_known_ints(x, SIZE, "crop_size", &size, err));
    if (size.count != 2 || size.at[0] < 1 || size.at[1] < 1) {
        return mmi_fail(err, MM_INVALID_MODEL,
                        "its crop_size has %u numbers, the first %" PRId64
                        "; height and width of 1 or more wanted",
                        size.count, size.count > 0 ? size.at[0] : 0);
    }
    const int64_t shape[4] = {x->inputs[BOXES].shape[0], x->inputs[IMAGES].shape[1], size.at[0],
                              size.at[1]};
    return mmi_onnx_tensor_set(&x->outputs[0], MM_F32, 4, shape, err);
}

/* Where element i of `count` lies on an axis of `size` elements, of a box from `begin` to `end`. */
static float place_of(float begin, float end, int64_t i, int64_t count, int64_t size) {
    const float last = (float)(size - 1);
    if (count == 1) {
        return (float)(0.5 * (double)(begin + end) * (double)last);
    }
    if (i == 0 || i == count - 1) {
        return (i == 0 ? begin : end) * last;
    }
    return begin * last + (float)i * ((end - begin) * last / (float)(count - 1));
}

/* The elements around a place, and how far it is from the first one. */
struct around {
    uint64_t first, second;
    float part;
    bool beyond; /* or no number */
};

static struct around find(const struct crop *p, float place, int64_t size) {
    if (!(place >= 0 && place <= (float)(size - 1))) {
        return (struct around){.beyond = true};
    }
    const uint64_t last = (uint64_t)size - 1; /* as f32 it may have been rounded up */
    if (p->mode == NEAREST) {
        uint64_t at = mmi_min_u64((uint64_t)roundf(place), last);
        return (struct around){at, at, 0, false};
    }
    const float below = floorf(place);
    return (struct around){mmi_min_u64((uint64_t)below, last),
                           mmi_min_u64((uint64_t)ceilf(place), last), place - below, false};
}

static float blend(const float *plane, uint64_t wide, const struct around *y,
                   const struct around *x) {
    const float *above = plane + y->first * wide, *below = plane + y->second * wide;
    float top = above[x->first] + (above[x->second] - above[x->first]) * x->part;
    float bottom = below[x->first] + (below[x->second] - below[x->first]) * x->part;
    return top + (bottom - top) * y->part;
}

static void crop(const struct onnx_call *call, const float *box, const float *image, float *to) {
    const struct crop *p = call->params;
    const struct onnx_tensor *images = &call->inputs[IMAGES], *made = &call->outputs[0];
    const int64_t high = images->shape[2], wide = images->shape[3];
    const uint64_t channels = (uint64_t)images->shape[1];
    const uint64_t plane = (uint64_t)(high * wide),
                   out = (uint64_t)made->shape[2] * (uint64_t)made->shape[3];
    for (int64_t i = 0; i < made->shape[2]; i++) {
        const struct around y = find(p, place_of(box[0], box[2], i, made->shape[2], high), high);
        for (int64_t j = 0; j < made->shape[3]; j++, to++) {
            const struct around x =
                find(p, place_of(box[1], box[3], j, made->shape[3], wide), wide);
            for (uint64_t c = 0; c < channels; c++) {
                to[c * out] = y.beyond || x.beyond
                                  ? p->beyond
                                  : blend(image + c * plane, (uint64_t)wide, &y, &x);
            }
        }
    }
}

static mm_status run(const struct onnx_call *call, mm_error *err) {
    const struct onnx_tensor *images = &call->inputs[IMAGES], *made = &call->outputs[0];
    const int32_t *indices = call->in[INDICES];
    if (!call->out[0] || made->elements == 0) {
        return MM_OK;
    }
    const uint64_t box = made->elements / (uint64_t)made->shape[0];
    for (int64_t i = 0; i < made->shape[0]; i++) {
        if (indices[i] < 0 || indices[i] >= images->shape[0]) {
            return mmi_fail(err, MM_INVALID_ARGUMENT,
                            "batch_indices[%" PRId64 "] is %d, of %" PRId64 " images", i,
                            indices[i], images->shape[0]);
        }
        const uint64_t image = images->elements / (uint64_t)images->shape[0];
        crop(call, (const float *)call->in[BOXES] + i * 4,
             (const float *)call->in[IMAGES] + (uint64_t)indices[i] * image,
             (float *)call->out[0] + (uint64_t)i * box);
    }
    return MM_OK;
}

const struct onnx_operator mmi_onnx_op_MsCropAndResize = {
    .name = "CropAndResize",
    .domain = ONNX_MICROSOFT,
    .min_inputs = 4,
    .max_inputs = 4,
    .min_outputs = 1,
    .max_outputs = 1,
    .params_bytes = sizeof(struct crop),
    .limits = ONNX_LIMITS(ONNX_BETWEEN("mode", struct crop, mode, 0, 1)),
    .shaping_inputs = 1u << SIZE,
    .read = read,
    .infer = infer,
    .run = run,
    .facts = {MM_F32, ONNX_RANK_OF_0, ONNX_SIZE_ALIKE, 0},
};
