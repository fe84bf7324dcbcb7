/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/operators/conv.h>
#include <backends/onnx/operators/move.h>
#include <base/status.h>

#include <inttypes.h>

/* Limit of the numbers of a window and of an image's axes: sums and products of two of them fit. */
#define MAX_NUMBER INT32_MAX
#define MAX_TAPS (1 << 24)

static int64_t not_below_0(int64_t value) {
    return value < 0 ? 0 : value;
}

/* ---- Attributes ------------------------------------------------------------------------------ */

mm_status mmi_onnx_read_axes(const struct onnx_attributes *a,
                             const struct onnx_axes_attribute *what, struct onnx_window *window,
                             int64_t *to, mm_error *err) {
    uint32_t count;
    MMI_TRY(mmi_onnx_read_ints(a, what->name, what->per_axis * ONNX_SPACE, to, &count, err));
    if (count == 0) {
        return MM_OK;
    }
    window->axes = window->axes ? window->axes : count / what->per_axis;
    if (count != window->axes * what->per_axis) {
        return mmi_fail(err, MM_INVALID_MODEL, "attribute %s has %u numbers for %u axes",
                        what->name, count, window->axes);
    }
    for (uint32_t i = 0; i < count; i++) {
        if (to[i] < what->min || to[i] > MAX_NUMBER) {
            return mmi_fail(err, MM_INVALID_MODEL,
                            "attribute %s[%u] is %" PRId64 ", %" PRId64 " to %d wanted", what->name,
                            i, to[i], what->min, MAX_NUMBER);
        }
    }
    return MM_OK;
}

mm_status mmi_onnx_read_window(const struct onnx_attributes *a, int64_t dilations_since,
                               struct onnx_window *window, mm_error *err) {
    static const char *const auto_pads[] = {"NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID", NULL};
    static const struct onnx_axes_attribute kernel = {"kernel_shape", 1, 1};
    static const struct onnx_axes_attribute strides = {"strides", 1, 1};
    static const struct onnx_axes_attribute dilations = {"dilations", 1, 1};
    static const struct onnx_axes_attribute pads = {"pads", 2, 0};
    int64_t both[2 * ONNX_SPACE] = {0};
    for (uint32_t i = 0; i < ONNX_SPACE; i++) {
        window->strides[i] = window->dilations[i] = 1;
    }
    MMI_TRY(mmi_onnx_read_choice(a, "auto_pad", auto_pads, &window->auto_pad, err));
    MMI_TRY(mmi_onnx_read_axes(a, &kernel, window, window->kernel, err));
    MMI_TRY(mmi_onnx_read_axes(a, &strides, window, window->strides, err));
    MMI_TRY(mmi_onnx_read_axes(mmi_onnx_since(a, dilations_since), &dilations, window,
                               window->dilations, err));
    MMI_TRY(mmi_onnx_read_axes(a, &pads, window, both, err));
    for (uint32_t i = 0; i < window->axes && window->auto_pad == ONNX_PAD_NOTSET; i++) {
        window->begin[i] = both[i];
        window->end[i] = both[window->axes + i];
    }
    return MM_OK;
}

/* ---- On an image ----------------------------------------------------------------------------- */

mm_status mmi_onnx_start_window(const struct onnx_window *window, const struct onnx_tensor *image,
                                const int64_t *kernel, struct onnx_placed *placed, mm_error *err) {
    if (image->rank < 3) {
        return mmi_fail(err, MM_INVALID_MODEL, "its input has %u axes, 3 or more wanted",
                        image->rank);
    }
    *placed = (struct onnx_placed){.axes = image->rank - 2};
    if (window->axes != 0 && window->axes != placed->axes) {
        return mmi_fail(err, MM_INVALID_MODEL, "its attributes are for %u axes, its input has %u",
                        window->axes, placed->axes);
    }
    for (uint32_t i = 0; i < placed->axes; i++) {
        int64_t named = window->kernel[i], size = kernel ? kernel[i] : named;
        if (size < 1 || size > MAX_NUMBER || (named != 0 && named != size)) {
            return mmi_fail(err, MM_INVALID_MODEL,
                            "its kernel has %" PRId64 " elements on axis %u, its attribute "
                            "kernel_shape says %" PRId64,
                            size, i + 2, named);
        }
        if (image->shape[i + 2] > MAX_NUMBER) {
            return mmi_fail(err, MM_UNSUPPORTED, "axis %u of its input has %" PRId64 " elements",
                            i + 2, image->shape[i + 2]);
        }
        placed->in[i] = image->shape[i + 2];
        placed->kernel[i] = size;
        placed->strides[i] = window->strides[i];
        placed->dilations[i] = window->dilations[i];
        placed->begin[i] = window->begin[i];
        placed->end[i] = window->end[i];
    }
    return MM_OK;
}

void mmi_onnx_share_pads(int64_t total, bool upper, int64_t *begin, int64_t *end) {
    int64_t smaller = not_below_0(total) / 2, larger = not_below_0(total) - smaller;
    *begin = upper ? smaller : larger;
    *end = upper ? larger : smaller;
}

static mm_status place_axis(const struct onnx_window *window, uint32_t i,
                            struct onnx_placed *placed, mm_error *err) {
    int64_t in = placed->in[i], stride = placed->strides[i], span = mmi_onnx_span(placed, i);
    bool upper = window->auto_pad == ONNX_PAD_SAME_UPPER;
    if (upper || window->auto_pad == ONNX_PAD_SAME_LOWER) {
        placed->out[i] = (in + stride - 1) / stride;
        int64_t total = (placed->out[i] - 1) * stride + span - in;
        mmi_onnx_share_pads(total, upper, &placed->begin[i], &placed->end[i]);
        return MM_OK;
    }
    int64_t room = in + placed->begin[i] + placed->end[i] - span;
    if (room < 0) {
        return mmi_fail(err, MM_INVALID_MODEL,
                        "its window spans %" PRId64 " elements, axis %u of its input has %" PRId64
                        " with %" PRId64 " of padding",
                        span, i + 2, in, placed->begin[i] + placed->end[i]);
    }
    bool ceil_mode = window->ceil_mode && window->auto_pad == ONNX_PAD_NOTSET;
    placed->out[i] = (ceil_mode ? room + stride - 1 : room) / stride + 1;
    if (ceil_mode && (placed->out[i] - 1) * stride >= in + placed->begin[i]) {
        placed->out[i]--; /* the last one would see nothing but the padding at the end */
    }
    return MM_OK;
}

mm_status mmi_onnx_place_window(const struct onnx_window *window, const struct onnx_tensor *image,
                                const int64_t *kernel, struct onnx_placed *placed, mm_error *err) {
    MMI_TRY(mmi_onnx_start_window(window, image, kernel, placed, err));
    for (uint32_t i = 0; i < placed->axes; i++) {
        MMI_TRY(place_axis(window, i, placed, err));
    }
    return MM_OK;
}

/* ---- Taps ------------------------------------------------------------------------------------ */

mm_status mmi_onnx_count_taps(const struct onnx_placed *placed, uint64_t *taps, mm_error *err) {
    *taps = 1;
    for (uint32_t i = 0; i < placed->axes; i++) {
        *taps *= (uint64_t)placed->kernel[i];
        if (*taps > MAX_TAPS) {
            return mmi_fail(err, MM_UNSUPPORTED, "its window has more than %d elements", MAX_TAPS);
        }
    }
    return MM_OK;
}

/* Where result `index` (row-major) has its window's first element on each axis. */
static void place_result(const struct onnx_placed *placed, uint64_t index, int64_t *starts) {
    for (uint32_t i = placed->axes; i-- > 0;) {
        uint64_t out = (uint64_t)placed->out[i];
        starts[i] = (int64_t)(index % out) * placed->strides[i] - placed->begin[i];
        index /= out;
    }
}

/* The offset of a tap, given that of the axes before and its place on this one. */
static int64_t step_in(const struct onnx_placed *placed, uint32_t axis, int64_t before,
                       int64_t at) {
    int64_t in = placed->in[axis];
    if (at >= 0 && at < in) {
        return before < 0 ? before : before * in + at;
    }
    return before == ONNX_BEYOND || at >= in + placed->end[axis] ? ONNX_BEYOND : ONNX_IN_PADDING;
}

void mmi_onnx_find_taps(const struct onnx_placed *placed, uint64_t first, uint32_t count,
                        int64_t *offsets) {
    int64_t starts[ONNX_TAPS][ONNX_SPACE];
    for (uint32_t i = 0; i < ONNX_TAPS; i++) {
        offsets[i] = i < count ? 0 : ONNX_BEYOND;
        place_result(placed, i < count ? first + i : first, starts[i]);
    }
    int64_t taps = 1;
    for (uint32_t axis = 0; axis < placed->axes; axis++) {
        int64_t kernel = placed->kernel[axis];
        /* From the end, so that what is still to be read is not yet overwritten. */
        for (int64_t tap = taps * kernel; tap-- > 0;) {
            const int64_t *before = offsets + tap / kernel * ONNX_TAPS;
            int64_t shift = tap % kernel * placed->dilations[axis];
            for (uint32_t i = 0; i < ONNX_TAPS; i++) {
                offsets[tap * ONNX_TAPS + i] =
                    step_in(placed, axis, before[i], starts[i][axis] + shift);
            }
        }
        taps *= kernel;
    }
}

const void *mmi_onnx_see(const void *plane, const int64_t *offsets, uint32_t width, void *to) {
    int64_t gaps = 0;
    for (int64_t i = 0; i < ONNX_TAPS; i++) {
        gaps |= offsets[i] ^ (offsets[0] + i);
    }
    if (gaps == 0 && offsets[0] >= 0) {
        return (const uint8_t *)plane + offsets[0] * width;
    }
    memset(to, 0, ONNX_TAPS * width);
    for (uint32_t i = 0; i < ONNX_TAPS; i++) {
        if (offsets[i] >= 0) {
            mmi_onnx_copy((uint8_t *)to + i * width, (const uint8_t *)plane + offsets[i] * width,
                          width);
        }
    }
    return to;
}
