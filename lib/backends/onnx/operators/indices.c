/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/operators/indices.h>
#include <backends/onnx/operators/move.h>
#include <base/status.h>

#include <inttypes.h>

mm_status mmi_onnx_index_at(const struct onnx_tensor *indices, uint64_t i,
                            const struct onnx_tensor *data, uint32_t axis, int64_t *index,
                            mm_error *err) {
    int64_t length = data->shape[axis], named = mmi_onnx_int_at(indices, i);
    *index = named < 0 ? named + length : named;
    if (*index >= 0 && *index < length) {
        return MM_OK;
    }
    return mmi_fail(err, MM_INVALID_ARGUMENT,
                    "index %" PRId64 " is outside of axis %u, which has %" PRId64 " elements",
                    named, axis, length);
}

mm_status mmi_onnx_check_elements(const struct onnx_inference *x, uint32_t axis, mm_error *err) {
    const struct onnx_tensor *data = &x->inputs[0], *indices = &x->inputs[1];
    MMI_TRY(mmi_onnx_check_indices(x, 1, err));
    if (indices->rank != data->rank) {
        return mmi_fail(err, MM_INVALID_MODEL, "its indices have %u axes, its data %u",
                        indices->rank, data->rank);
    }
    for (uint32_t i = 0; i < data->rank; i++) {
        if (i != axis && indices->shape[i] > data->shape[i]) {
            return mmi_fail(err, MM_INVALID_MODEL,
                            "axis %u of its indices has %" PRId64 " elements, of its data %" PRId64,
                            i, indices->shape[i], data->shape[i]);
        }
    }
    return MM_OK;
}

void mmi_onnx_index_walk(struct onnx_index_walk *walk, const struct onnx_tensor *indices,
                         const struct onnx_tensor *data, uint32_t axis) {
    *walk = (struct onnx_index_walk){.indices = indices, .data = data, .axis = axis};
    if (data->elements > 0) { /* else no index is inside */
        mmi_onnx_strides(data, walk->strides);
    }
}

mm_status mmi_onnx_index_next(struct onnx_index_walk *walk, uint64_t *element, mm_error *err) {
    const struct onnx_tensor *indices = walk->indices;
    int64_t index;
    MMI_TRY(mmi_onnx_index_at(indices, walk->i++, walk->data, walk->axis, &index, err));
    *element = (uint64_t)(walk->base + index * walk->strides[walk->axis]);
    for (uint32_t d = indices->rank; d-- > 0;) {
        int64_t stride = d == walk->axis ? 0 : walk->strides[d];
        walk->base += stride;
        if (++walk->at[d] < indices->shape[d]) {
            break;
        }
        walk->base -= stride * indices->shape[d];
        walk->at[d] = 0;
    }
    return MM_OK;
}

mm_status mmi_onnx_check_tuples(const struct onnx_inference *x, uint32_t first, mm_error *err) {
    const struct onnx_tensor *data = &x->inputs[0], *indices = &x->inputs[1];
    MMI_TRY(mmi_onnx_check_indices(x, 1, err));
    if (data->rank <= first || indices->rank <= first) {
        return mmi_fail(err, MM_INVALID_MODEL,
                        "its data have %u axes, its indices %u, more than %u wanted", data->rank,
                        indices->rank, first);
    }
    int64_t length = indices->shape[indices->rank - 1], max = data->rank - first;
    if (length < 1 || length > max) {
        return mmi_fail(err, MM_INVALID_MODEL,
                        "its tuples of indices have %" PRId64 " numbers, 1 to %" PRId64 " wanted",
                        length, max);
    }
    return MM_OK;
}

mm_status mmi_onnx_tuple_at(const struct onnx_tensor *indices, uint64_t i,
                            const struct onnx_tensor *data, uint32_t first, uint64_t *element,
                            mm_error *err) {
    uint32_t length = (uint32_t)indices->shape[indices->rank - 1];
    *element = 0;
    for (uint32_t j = first; j < data->rank; j++) {
        int64_t index = 0;
        if (j < first + length) {
            MMI_TRY(mmi_onnx_index_at(indices, i * length + j - first, data, j, &index, err));
        }
        *element = *element * (uint64_t)data->shape[j] + (uint64_t)index;
    }
    return MM_OK;
}
