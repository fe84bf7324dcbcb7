/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/operators/granularity.h>
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

void mmi_onnx_spread(const struct onnx_granularity *granularity, const struct onnx_tensor *scale,
                     uint64_t first, uint64_t count, double *to) {
    const struct onnx_granularity *g = granularity;
    uint64_t behind = first % g->inner, slice = first / g->inner % g->length;
    uint64_t outer = first / g->inner / g->length, from = UINT64_MAX;
    double value = 0;
    for (uint64_t i = 0; i < count; i++) {
        uint64_t block = slice / g->block;
        uint64_t index = g->single ? 0
                         : g->each ? (outer * g->blocks + block) * g->inner + behind
                                   : block;
        if (index != from) {
            value = mmi_onnx_float_at(scale, index);
            from = index;
        }
        to[i] = value;
        if (++behind == g->inner) {
            behind = 0;
            outer += slice + 1 == g->length;
            slice = slice + 1 == g->length ? 0 : slice + 1;
        }
    }
}
