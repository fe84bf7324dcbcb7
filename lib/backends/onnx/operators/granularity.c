/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/operators/granularity.h>
#include <backends/onnx/operators/number.h>
#include <base/checked.h>
#include <base/status.h>

#include <inttypes.h>

static mm_status refuse_scale(const struct onnx_tensor *tensor, const struct onnx_tensor *scale,
                              mm_error *err) {
    return mmi_fail(err, MM_INVALID_MODEL,
                    "its scale has %u axes and %" PRIu64 " elements, its input %u and %" PRIu64
                    ": one, one for each slice of an axis, or one for each block wanted",
                    scale->rank, scale->elements, tensor->rank, tensor->elements);
}

static mm_status find_blocks(const struct onnx_tensor *tensor, const struct onnx_tensor *scale,
                             uint32_t axis, struct onnx_granularity *to, mm_error *err) {
    to->blocks = to->length / to->block + (to->length % to->block != 0);
    to->each = true;
    bool fits = scale->rank == tensor->rank && (uint64_t)scale->shape[axis] == to->blocks;
    for (uint32_t i = 0; fits && i < tensor->rank; i++) {
        fits = i == axis || scale->shape[i] == tensor->shape[i];
    }
    return fits ? MM_OK : refuse_scale(tensor, scale, err);
}

mm_status mmi_onnx_find_granularity(const struct onnx_granularity_rule *rule,
                                    const struct onnx_tensor *tensor,
                                    const struct onnx_tensor *scale, struct onnx_granularity *to,
                                    mm_error *err) {
    uint32_t axis;
    *to = (struct onnx_granularity){.length = 1, .inner = 1, .block = 1, .blocks = 1};
    if (rule->block_size == 0 && scale->rank <= 1 && scale->elements == 1) {
        to->single = true;
        return MM_OK;
    }
    if (!mmi_onnx_axis(rule->axis, tensor->rank, &axis)) {
        return mmi_fail(err, MM_INVALID_MODEL, "axis %" PRId64 " of a tensor with %u axes",
                        rule->axis, tensor->rank);
    }
    if (rule->block_size < 0) {
        return mmi_fail(err, MM_INVALID_MODEL, "attribute block_size is %" PRId64,
                        rule->block_size);
    }
    to->length = (uint64_t)tensor->shape[axis];
    for (uint32_t i = axis + 1; i < tensor->rank; i++) {
        to->inner *= (uint64_t)tensor->shape[i];
    }
    if (rule->block_size > 0) {
        to->block = (uint64_t)rule->block_size;
        return find_blocks(tensor, scale, axis, to, err);
    }
    to->blocks = to->length;
    bool fits = scale->rank == 1 && scale->elements == to->length;
    return fits ? MM_OK : refuse_scale(tensor, scale, err);
}

/* The next elements that share a scale, or whose scales lie side by side. */
struct stretch {
    uint64_t count, index; /* of the first scale */
    bool side_by_side;
};

static struct stretch stretch_at(const struct onnx_granularity *g, uint64_t element) {
    if (g->single) {
        return (struct stretch){UINT64_MAX, 0, false};
    }
    uint64_t behind = element % g->inner, slice = element / g->inner % g->length;
    uint64_t outer = element / g->inner / g->length, block = slice / g->block;
    uint64_t rest = g->inner - behind; /* of the slice */
    if (!g->each) {
        return g->inner > 1 ? (struct stretch){rest, slice, false}
                            : (struct stretch){g->length - slice, slice, true};
    }
    uint64_t first = (outer * g->blocks + block) * g->inner + behind;
    uint64_t of_block = mmi_min_u64(g->block - slice % g->block, g->length - slice);
    return g->inner > 1 ? (struct stretch){rest, first, true}
                        : (struct stretch){of_block, first, false};
}

static void load(const struct onnx_tensor *scale, uint64_t index, uint64_t count, double *to) {
    uint64_t width = mmi_onnx_element_bytes(scale->dtype);
    if (width > 0) {
        mmi_onnx_convert(scale->dtype, (const uint8_t *)scale->data + index * width, count, MM_F64,
                         to);
        return;
    }
    for (uint64_t i = 0; i < count; i++) {
        to[i] = mmi_onnx_float_at(scale, index + i);
    }
}

void mmi_onnx_spread(const struct onnx_granularity *granularity, const struct onnx_tensor *scale,
                     uint64_t first, uint64_t count, double *to) {
    for (uint64_t done = 0; done < count;) {
        const struct stretch stretch = stretch_at(granularity, first + done);
        uint64_t n = mmi_min_u64(stretch.count, count - done);
        if (stretch.side_by_side) {
            load(scale, stretch.index, n, to + done);
        } else {
            double value = mmi_onnx_float_at(scale, stretch.index);
            for (uint64_t i = 0; i < n; i++) {
                to[done + i] = value;
            }
        }
        done += n;
    }
}
