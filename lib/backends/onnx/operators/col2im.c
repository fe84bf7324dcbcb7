/* SPDX-License-Identifier: Apache-2.0 */

/* Col2Im: columns [N, C * elements of a block, blocks] added up where they lie in an image; what
 * im2col does, backwards. Sums are of f64, or of 64 bits. */

#include <backends/onnx/operators/conv.h>
#include <backends/onnx/operators/move.h>
#include <backends/onnx/operators/number.h>
#include <base/checked.h>
#include <base/status.h>

#include <inttypes.h>
#include <string.h>

#define LARGEST INT32_MAX /* of any size: sums and products of two of them fit */

struct col2im {
    struct onnx_window window; /* strides, dilations and pads */
};

static mm_status read(const struct onnx_attributes *a, void *params, mm_error *err) {
    static const struct onnx_axes_attribute strides = {"strides", 1, 1};
    static const struct onnx_axes_attribute dilations = {"dilations", 1, 1};
    static const struct onnx_axes_attribute pads = {"pads", 2, 0};
    struct onnx_window *window = &((struct col2im *)params)->window;
    int64_t both[2 * ONNX_SPACE] = {0};
    for (uint32_t i = 0; i < ONNX_SPACE; i++) {
        window->strides[i] = window->dilations[i] = 1;
    }
    MMI_TRY(mmi_onnx_read_axes(a, &strides, window, window->strides, err));
    MMI_TRY(mmi_onnx_read_axes(a, &dilations, window, window->dilations, err));
    MMI_TRY(mmi_onnx_read_axes(a, &pads, window, both, err));
    for (uint32_t i = 0; i < window->axes; i++) {
        window->begin[i] = both[i];
        window->end[i] = both[window->axes + i];
    }
    return MM_OK;
}

/* Sizes along each axis. */
struct folding {
    uint32_t axes;
    int64_t image[ONNX_SPACE], block[ONNX_SPACE], count[ONNX_SPACE]; /* count: of blocks */
    uint64_t plane, members, blocks; /* elements of an image, of a block; blocks of an image */
};

static mm_status set_axis(const struct onnx_window *window, uint32_t i, struct folding *folding,
                          mm_error *err) {
    int64_t image = folding->image[i], block = folding->block[i];
    if (image < 1 || image > LARGEST || block < 1 || block > LARGEST) {
        return mmi_fail(err, MM_INVALID_MODEL,
                        "axis %u of its image has %" PRId64 " elements, of its blocks %" PRId64
                        "; 1 to %d wanted",
                        i, image, block, LARGEST);
    }
    int64_t room = image + window->begin[i] + window->end[i];
    int64_t span = (block - 1) * window->dilations[i] + 1;
    folding->count[i] = room < span ? 0 : (room - span) / window->strides[i] + 1;
    bool fits = mmi_mul(folding->plane, (uint64_t)image, &folding->plane) &&
                mmi_mul(folding->members, (uint64_t)block, &folding->members) &&
                mmi_mul(folding->blocks, (uint64_t)folding->count[i], &folding->blocks);
    if (!fits) {
        return mmi_fail(err, MM_TOO_LARGE, "its image or its blocks are too large");
    }
    return MM_OK;
}

static mm_status infer(struct onnx_inference *x, mm_error *err) {
    const struct col2im *col2im = x->params;
    const struct onnx_tensor *columns = &x->inputs[0];
    int64_t shape[MM_MAX_RANK];
    struct onnx_ints image, block;
    MMI_TRY(mmi_onnx_check_type(x, 0, ONNX_REALS | ONNX_BOOL, err));
    MMI_TRY(mmi_onnx_known_ints(x, 1, "image_shape", &image, err));
    MMI_TRY(mmi_onnx_known_ints(x, 2, "block_shape", &block, err));
    struct folding folding = {.axes = image.count, .plane = 1, .members = 1, .blocks = 1};
    uint32_t named = col2im->window.axes;
    if (columns->rank != 3 || image.count < 1 || image.count > ONNX_SPACE ||
        block.count != image.count || (named && named != image.count)) {
        return mmi_fail(err, MM_INVALID_MODEL,
                        "its input has %u axes, its image %u, its blocks %u, its attributes %u; 3 "
                        "and one number for the others wanted",
                        columns->rank, image.count, block.count, named);
    }
    for (uint32_t i = 0; i < folding.axes; i++) {
        folding.image[i] = shape[i + 2] = image.at[i];
        folding.block[i] = block.at[i];
        MMI_TRY(set_axis(&col2im->window, i, &folding, err));
    }
    if ((uint64_t)columns->shape[2] != folding.blocks ||
        (uint64_t)columns->shape[1] % folding.members != 0) {
        return mmi_fail(err, MM_INVALID_MODEL,
                        "its input has %" PRId64 " rows and %" PRId64 " columns; a multiple of "
                        "%" PRIu64 " and %" PRIu64 " wanted",
                        columns->shape[1], columns->shape[2], folding.members, folding.blocks);
    }
    shape[0] = columns->shape[0];
    shape[1] = columns->shape[1] / (int64_t)folding.members;
    if (!mmi_mul(folding.plane, sizeof(double), &x->scratch_bytes)) {
        return mmi_fail(err, MM_TOO_LARGE, "its image is too large");
    }
    return mmi_onnx_tensor_set(&x->outputs[0], columns->dtype, folding.axes + 2, shape, err);
}

/* ---- Running --------------------------------------------------------------------------------- */

/* Parts `index`, which is below the product of `counts`, row-major. */
static void part(uint64_t index, const int64_t *counts, uint32_t axes, int64_t *at) {
    for (uint32_t i = axes; i-- > 0;) {
        at[i] = (int64_t)(index % (uint64_t)counts[i]);
        index /= (uint64_t)counts[i];
    }
}

/* Where element `member` of block `index` lies in the image; -1: in its padding. */
static int64_t place_of(const struct onnx_window *window, const struct folding *folding,
                        const int64_t *member, const int64_t *block) {
    int64_t place = 0;
    for (uint32_t i = 0; i < folding->axes; i++) {
        int64_t at =
            block[i] * window->strides[i] + member[i] * window->dilations[i] - window->begin[i];
        if (at < 0 || at >= folding->image[i]) {
            return -1;
        }
        place = place * folding->image[i] + at;
    }
    return place;
}

static void next_block(const struct folding *folding, int64_t *block) {
    for (uint32_t i = folding->axes; i-- > 0;) {
        if (++block[i] < folding->count[i]) {
            return;
        }
        block[i] = 0;
    }
}

/* One element of all blocks of a channel. */
static void add_row(const struct onnx_window *window, const struct folding *folding,
                    uint64_t member, int32_t dtype, const uint8_t *from, void *sums) {
    bool is_float = ONNX_FLOATS >> dtype & 1;
    enum onnx_number number = is_float ? ONNX_F64 : mmi_onnx_number(dtype);
    int64_t at[ONNX_SPACE], block[ONNX_SPACE] = {0};
    part(member, folding->block, folding->axes, at);
    for (uint64_t i = 0; i < folding->blocks; i += ONNX_CHUNK) {
        union onnx_chunk numbers;
        uint64_t n = mmi_min_u64(ONNX_CHUNK, folding->blocks - i);
        const void *loaded =
            mmi_onnx_load_as(number, dtype, from + i * mmi_onnx_element_bytes(dtype), n, &numbers);
        for (uint64_t j = 0; j < n; j++, next_block(folding, block)) {
            int64_t place = place_of(window, folding, at, block);
            if (place >= 0 && is_float) {
                ((double *)sums)[place] += ((const double *)loaded)[j];
            } else if (place >= 0) {
                ((uint64_t *)sums)[place] += ((const uint64_t *)loaded)[j];
            }
        }
    }
}

static mm_status run(const struct onnx_call *call, mm_error *err) {
    const struct col2im *col2im = call->params;
    const struct onnx_tensor *columns = &call->inputs[0], *output = &call->outputs[0];
    struct onnx_tensor block = mmi_onnx_call_input(call, 2);
    struct folding folding = {.axes = output->rank - 2, .plane = 1, .members = 1, .blocks = 1};
    int32_t dtype = columns->dtype;
    uint32_t width = mmi_onnx_element_bytes(dtype);
    int32_t sum_type =
        ONNX_FLOATS >> dtype & 1 ? MM_F64 : mmi_onnx_number_type(mmi_onnx_number(dtype));
    const uint8_t *from = call->in[0];
    uint8_t *to = call->out[0];
    for (uint32_t i = 0; i < folding.axes; i++) {
        folding.image[i] = output->shape[i + 2];
        folding.block[i] = mmi_onnx_int_at(&block, i);
        MMI_TRY(set_axis(&col2im->window, i, &folding, err));
    }
    for (uint64_t i = 0; to && i < output->elements; i += folding.plane) {
        memset(call->scratch, 0, folding.plane * sizeof(double));
        for (uint64_t member = 0; member < folding.members && folding.blocks > 0; member++) {
            add_row(&col2im->window, &folding, member, dtype, from, call->scratch);
            from += folding.blocks * width;
        }
        mmi_onnx_convert(sum_type, call->scratch, folding.plane, dtype, to + i * width);
    }
    return MM_OK;
}

static void learn(const struct onnx_learning *l, uint32_t output, struct onnx_fact *fact) {
    int64_t axes = mmi_onnx_fact_length(l, 1);
    (void)output;
    fact->rank = axes > 0 && axes <= ONNX_SPACE ? (int32_t)axes + 2 : -1;
}

const struct onnx_operator mmi_onnx_op_Col2Im = {
    .name = "Col2Im",
    .min_inputs = 3,
    .max_inputs = 3,
    .min_outputs = 1,
    .max_outputs = 1,
    .params_bytes = sizeof(struct col2im),
    .limits = ONNX_LIMITS(ONNX_WINDOW_LIMITS(struct col2im, window)),
    .shaping_inputs = 1u << 1 | 1u << 2,
    .read = read,
    .infer = infer,
    .run = run,
    .facts = {ONNX_DTYPE_OF_0, ONNX_RANK_UNKNOWN, ONNX_SIZE_ALIKE, 0},
    .learn = learn,
};
