/* SPDX-License-Identifier: Apache-2.0 */

/* SparseTensorProto: the elements that are not 0, and where they are. Read as the whole tensor. */

#include <backends/onnx/format/loading.h>
#include <base/checked.h>
#include <base/status.h>

#include <inttypes.h>
#include <string.h>

enum { VALUES = 1, INDICES = 2, DIMS = 3 };

static const struct onnx_schema sparse_schema = {
    "a sparse tensor",
    {[VALUES] = ONNX_BYTES, [INDICES] = ONNX_BYTES, [DIMS] = ONNX_VARINTS},
};

/* Few bytes of a file may claim any size. */
#define MOST_BYTES (UINT64_C(64) << 20)
#define MOST_TIMES 1024 /* or so many times the file, if that is more */

static mm_status set_whole(struct onnx_loading *loading, struct onnx_message message, int32_t dtype,
                           struct onnx_tensor *whole, mm_error *err) {
    struct onnx_numbers dims = mmi_onnx_numbers(message, DIMS, ONNX_VARINT);
    uint64_t rank = mmi_onnx_count_numbers(dims), dim, most;
    int64_t shape[MM_MAX_RANK] = {0};
    if (rank > MM_MAX_RANK) {
        return mmi_fail(err, MM_UNSUPPORTED, "%" PRIu64 " axes, at most %u", rank, MM_MAX_RANK);
    }
    for (uint32_t i = 0; i < rank && mmi_onnx_next_number(&dims, &dim); i++) {
        shape[i] = (int64_t)dim;
    }
    if (dtype == MM_STRING || mmi_onnx_element_bytes(dtype) == 0) {
        return mmi_fail(err, MM_UNSUPPORTED, "a sparse tensor of %s", mm_dtype_text(dtype));
    }
    MMI_TRY(mmi_onnx_tensor_set(whole, dtype, (uint32_t)rank, shape, err));
    most = mmi_mul(loading->source->bytes, MOST_TIMES, &most) ? mmi_max_u64(most, MOST_BYTES)
                                                              : UINT64_MAX;
    return whole->bytes <= most ? MM_OK
                                : mmi_fail(err, MM_UNSUPPORTED,
                                           "a sparse tensor of %" PRIu64 " bytes, at most %" PRIu64,
                                           whole->bytes, most);
}

/* Indices are counted through the whole tensor, or one for each axis. */
static mm_status check_indices(const struct onnx_tensor *values, const struct onnx_tensor *indices,
                               const struct onnx_tensor *whole, mm_error *err) {
    bool listed = indices->rank == 1;
    bool by_axis = indices->rank == 2 && indices->shape[1] == (int64_t)whole->rank;
    bool fits = values->rank == 1 && indices->dtype == MM_I64 && (listed || by_axis) &&
                indices->shape[0] == values->shape[0];
    return fits ? MM_OK
                : mmi_fail(err, MM_INVALID_MODEL,
                           "%" PRIu64 " %s indices with %u axes for %" PRIu64
                           " elements of a sparse tensor with %u axes; i64, one each, wanted",
                           indices->elements, mm_dtype_text(indices->dtype), indices->rank,
                           values->elements, whole->rank);
}

static mm_status place_of(const struct onnx_tensor *indices, uint64_t i,
                          const struct onnx_tensor *whole, uint64_t *place, mm_error *err) {
    const int64_t *at = indices->data;
    uint32_t axes = indices->rank == 2 ? whole->rank : 1;
    *place = 0;
    for (uint32_t axis = 0; axis < axes; axis++) {
        uint64_t length = indices->rank == 2 ? (uint64_t)whole->shape[axis] : whole->elements;
        int64_t index = at[i * axes + axis];
        if (index < 0 || (uint64_t)index >= length) {
            return mmi_fail(err, MM_INVALID_MODEL,
                            "index %" PRId64 " of a sparse tensor, 0 to %" PRIu64 " wanted", index,
                            length - (length > 0));
        }
        *place = *place * length + (uint64_t)index;
    }
    return MM_OK;
}

static mm_status fill(struct onnx_loading *loading, const struct onnx_tensor *values,
                      const struct onnx_tensor *indices, struct onnx_tensor *whole, mm_error *err) {
    uint64_t bytes = mmi_onnx_element_bytes(whole->dtype), place;
    MMI_TRY(check_indices(values, indices, whole, err));
    uint8_t *data = mmi_onnx_take_data(loading->model->arena, whole->bytes);
    if (!data) {
        return mmi_onnx_out_of_memory(err);
    }
    memset(data, 0, whole->bytes);
    for (uint64_t i = 0; i < values->elements; i++) {
        MMI_TRY(place_of(indices, i, whole, &place, err));
        memcpy(data + place * bytes, (const uint8_t *)values->data + i * bytes, bytes);
    }
    whole->data = data;
    whole->known = 1;
    return MM_OK;
}

mm_status mmi_onnx_load_sparse(struct onnx_loading *loading, struct onnx_span bytes,
                               struct onnx_tensor **tensor, struct onnx_span *name, mm_error *err) {
    struct onnx_message message;
    struct onnx_tensor *values = NULL, *indices = NULL;
    struct onnx_span ignored;
    *name = (struct onnx_span){bytes.at, 0};
    MMI_TRY(mmi_onnx_open_message(&message, bytes, &sparse_schema, loading->file, err));
    MMI_TRY(mmi_onnx_load_tensor(loading, mmi_onnx_bytes_of(message, VALUES), &values, name, err));
    MMI_TRY(mmi_onnx_load_tensor(loading, mmi_onnx_bytes_of(message, INDICES), &indices, &ignored,
                                 err));
    *tensor = mmi_onnx_take(loading->model->arena, 1, sizeof(**tensor));
    if (!*tensor) {
        return mmi_onnx_out_of_memory(err);
    }
    MMI_TRY(set_whole(loading, message, values->dtype, *tensor, err));
    return fill(loading, values, indices, *tensor, err);
}
