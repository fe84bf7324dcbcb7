/* SPDX-License-Identifier: Apache-2.0 */

/* MaxUnpool: elements go back where MaxPool found them, among zeros. The indices count in the
 * image that the window gives; where an output shape is there, that image is its corner, as the
 * specification's tests have it. */

#include <backends/onnx/operators/conv.h>
#include <backends/onnx/operators/move.h>
#include <backends/onnx/operators/number.h>
#include <base/status.h>

#include <inttypes.h>
#include <string.h>

struct unpool {
    struct onnx_window window;
};

static mm_status read(const struct onnx_attributes *a, void *params, mm_error *err) {
    static const struct onnx_axes_attribute kernel = {"kernel_shape", 1, 1};
    static const struct onnx_axes_attribute strides = {"strides", 1, 1};
    static const struct onnx_axes_attribute pads = {"pads", 2, 0};
    struct onnx_window *window = &((struct unpool *)params)->window;
    int64_t both[2 * ONNX_SPACE] = {0};
    for (uint32_t i = 0; i < ONNX_SPACE; i++) {
        window->strides[i] = window->dilations[i] = 1;
    }
    MMI_TRY(mmi_onnx_read_axes(a, &kernel, window, window->kernel, err));
    if (window->axes == 0) {
        return mmi_fail(err, MM_INVALID_MODEL, "attribute kernel_shape is missing");
    }
    MMI_TRY(mmi_onnx_read_axes(a, &strides, window, window->strides, err));
    MMI_TRY(mmi_onnx_read_axes(a, &pads, window, both, err));
    for (uint32_t i = 0; i < window->axes; i++) {
        window->begin[i] = both[i];
        window->end[i] = both[window->axes + i];
    }
    return MM_OK;
}

/* The image that the indices count in. */
static mm_status set_image(const struct onnx_window *window, const struct onnx_tensor *pooled,
                           struct onnx_tensor *image, mm_error *err) {
    int64_t shape[MM_MAX_RANK];
    memcpy(shape, pooled->shape, sizeof(shape));
    for (uint32_t i = 2; i < pooled->rank; i++) {
        int64_t begin = window->begin[i - 2], end = window->end[i - 2];
        if (__builtin_mul_overflow(shape[i] - 1, window->strides[i - 2], &shape[i]) ||
            __builtin_add_overflow(shape[i], window->kernel[i - 2] - begin - end, &shape[i])) {
            shape[i] = INT64_MAX;
        }
    }
    return mmi_onnx_tensor_set(image, pooled->dtype, pooled->rank, shape, err);
}

static mm_status infer(struct onnx_inference *x, mm_error *err) {
    const struct unpool *unpool = x->params;
    const struct onnx_tensor *pooled = &x->inputs[0], *indices = &x->inputs[1];
    struct onnx_tensor image;
    struct onnx_ints shape;
    MMI_TRY(mmi_onnx_check_type(x, 0, ONNX_FLOATS, err));
    MMI_TRY(mmi_onnx_check_type(x, 1, ONNX_TYPE(MM_I64), err));
    bool same = pooled->rank == indices->rank &&
                memcmp(pooled->shape, indices->shape, pooled->rank * sizeof(int64_t)) == 0;
    if (pooled->rank != unpool->window.axes + 2 || !same) {
        return mmi_fail(err, MM_INVALID_MODEL,
                        "its input has %u axes, its indices %u, its window %u; all indices of the "
                        "input, and 2 less wanted",
                        pooled->rank, indices->rank, unpool->window.axes);
    }
    MMI_TRY(set_image(&unpool->window, pooled, &image, err));
    if (!mmi_onnx_has(x, 2)) {
        x->outputs[0] = image;
        return MM_OK;
    }
    MMI_TRY(mmi_onnx_known_ints(x, 2, "output_shape", &shape, err));
    bool fits = shape.count == image.rank;
    for (uint32_t i = 0; fits && i < image.rank; i++) {
        fits = shape.at[i] >= image.shape[i];
    }
    if (!fits) {
        return mmi_fail(err, MM_INVALID_MODEL,
                        "its output shape has %u numbers, or is smaller than what the window "
                        "gives on %u axes",
                        shape.count, image.rank);
    }
    return mmi_onnx_tensor_set(&x->outputs[0], pooled->dtype, image.rank, shape.at, err);
}

/* Where an element of the image lies in the output. */
static uint64_t place_of(const struct onnx_tensor *image, const struct onnx_tensor *output,
                         uint64_t index) {
    uint64_t place = 0, step = 1;
    for (uint32_t i = image->rank; i-- > 0;) {
        uint64_t size = (uint64_t)image->shape[i];
        place += index % size * step;
        index /= size;
        step *= (uint64_t)output->shape[i];
    }
    return place;
}

static mm_status run(const struct onnx_call *call, mm_error *err) {
    const struct unpool *unpool = call->params;
    const struct onnx_tensor *pooled = &call->inputs[0], *output = &call->outputs[0];
    uint32_t width = mmi_onnx_element_bytes(output->dtype);
    const uint8_t *from = call->in[0];
    const int64_t *indices = call->in[1];
    uint8_t *to = call->out[0];
    struct onnx_tensor image;
    MMI_TRY(set_image(&unpool->window, pooled, &image, err));
    bool whole = image.elements == output->elements;
    if (to) {
        memset(to, 0, output->bytes);
    }
    for (uint64_t i = 0; i < pooled->elements; i++) {
        if (indices[i] < 0 || (uint64_t)indices[i] >= image.elements) {
            return mmi_fail(err, MM_INVALID_ARGUMENT,
                            "index %" PRId64 " is outside of its image of %" PRIu64 " elements",
                            indices[i], image.elements);
        }
        uint64_t place = (uint64_t)indices[i];
        place = whole ? place : place_of(&image, output, place);
        if (to) {
            mmi_onnx_copy(to + place * width, from + i * width, width);
        }
    }
    return MM_OK;
}

const struct onnx_operator mmi_onnx_op_MaxUnpool = {
    .name = "MaxUnpool",
    .min_inputs = 2,
    .max_inputs = 3,
    .min_outputs = 1,
    .max_outputs = 1,
    .params_bytes = sizeof(struct unpool),
    .limits = ONNX_LIMITS(ONNX_WINDOW_LIMITS(struct unpool, window)),
    .shaping_inputs = 1u << 2,
    .read = read,
    .infer = infer,
    .run = run,
    .facts = {ONNX_DTYPE_OF_0, ONNX_RANK_OF_0, ONNX_SIZE_SPREADS, 0},
};
