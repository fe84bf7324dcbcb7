/* SPDX-License-Identifier: Apache-2.0 */

/* TensorProto: elements as raw bytes, as numbers of one of five lists, or in another file. */

#include <backends/onnx/format/loading.h>
#include <base/checked.h>
#include <base/status.h>

#include <inttypes.h>
#include <string.h>

enum {
    DIMS = 1,
    DTYPE = 2,
    FLOAT_DATA = 4,
    INT32_DATA = 5,
    STRING_DATA = 6,
    INT64_DATA = 7,
    NAME = 8,
    RAW_DATA = 9,
    DOUBLE_DATA = 10,
    UINT64_DATA = 11,
    EXTERNAL_DATA = 13,
    LOCATION = 14
};

static const struct onnx_schema tensor_schema = {
    "a tensor",
    {[DIMS] = ONNX_VARINTS,
     [DTYPE] = ONNX_VARINT,
     [FLOAT_DATA] = ONNX_FLOATS,
     [INT32_DATA] = ONNX_VARINTS,
     [STRING_DATA] = ONNX_BYTES,
     [INT64_DATA] = ONNX_VARINTS,
     [NAME] = ONNX_BYTES,
     [RAW_DATA] = ONNX_BYTES,
     [DOUBLE_DATA] = ONNX_DOUBLES,
     [UINT64_DATA] = ONNX_VARINTS,
     [EXTERNAL_DATA] = ONNX_BYTES,
     [LOCATION] = ONNX_VARINT},
};

/* The list that has a type's elements when they are numbers of the file, and how many bytes of the
 * tensor each makes: complex numbers are two, and of the types of fewer than 8 bits one holds a
 * byte. */
struct list {
    uint32_t field, wire, bytes;
};

static struct list list_of(int32_t dtype) {
    switch (dtype) {
    case MM_F32:
    case MM_C64:
        return (struct list){FLOAT_DATA, ONNX_FIXED32, 4};
    case MM_F64:
    case MM_C128:
        return (struct list){DOUBLE_DATA, ONNX_FIXED64, 8};
    case MM_I64:
        return (struct list){INT64_DATA, ONNX_VARINT, 8};
    case MM_U32:
    case MM_U64:
        return (struct list){UINT64_DATA, ONNX_VARINT, (uint32_t)mm_dtype_bytes(dtype, 1)};
    default:
        return (struct list){INT32_DATA, ONNX_VARINT, (uint32_t)mm_dtype_bytes(dtype, 1)};
    }
}

static mm_status check_bytes(const struct onnx_tensor *tensor, uint64_t bytes, mm_error *err) {
    if (bytes == tensor->bytes) {
        return MM_OK;
    }
    return mmi_fail(err, MM_INVALID_MODEL, "%" PRIu64 " bytes of data, %" PRIu64 " wanted", bytes,
                    tensor->bytes);
}

static mm_status load_list(struct onnx_loading *loading, struct onnx_message message,
                           struct onnx_tensor *tensor, mm_error *err) {
    struct list list = list_of(tensor->dtype);
    struct onnx_numbers numbers = mmi_onnx_numbers(message, list.field, list.wire);
    uint64_t bytes;
    if (!mmi_mul(mmi_onnx_count_numbers(numbers), list.bytes, &bytes)) {
        bytes = UINT64_MAX;
    }
    MMI_TRY(check_bytes(tensor, bytes, err));
    uint8_t *data = mmi_onnx_take_data(loading->model->arena, bytes);
    tensor->data = data;
    for (uint64_t value; data && mmi_onnx_next_number(&numbers, &value); data += list.bytes) {
        memcpy(data, &value, list.bytes); /* the low bytes are the first ones */
    }
    return data ? MM_OK : mmi_onnx_out_of_memory(err);
}

static mm_status load_strings(struct onnx_loading *loading, struct onnx_message message,
                              struct onnx_tensor *tensor, mm_error *err) {
    uint64_t count = mmi_onnx_count_of(message, STRING_DATA);
    if (count != tensor->elements) {
        return mmi_fail(err, MM_INVALID_MODEL, "%" PRIu64 " strings, %" PRIu64 " wanted", count,
                        tensor->elements);
    }
    struct onnx_string *strings = mmi_onnx_take_data(loading->model->arena, tensor->bytes);
    struct onnx_field field;
    tensor->data = strings;
    while (strings && mmi_onnx_next_of(&message, STRING_DATA, &field)) {
        *strings++ = (struct onnx_string){(const char *)field.bytes.at, field.bytes.bytes};
    }
    return strings ? MM_OK : mmi_onnx_out_of_memory(err);
}

static uint64_t alignment(int32_t dtype) {
    uint64_t bytes = mmi_onnx_element_bytes(dtype);
    return bytes == 0 ? 1 : mmi_min_u64(bytes, 8); /* a complex number is two */
}

static mm_status load_raw(struct onnx_loading *loading, struct onnx_span raw,
                          struct onnx_tensor *tensor, mm_error *err) {
    MMI_TRY(check_bytes(tensor, raw.bytes, err));
    if ((uintptr_t)raw.at % alignment(tensor->dtype) == 0) {
        tensor->data = raw.at;
        return MM_OK;
    }
    void *copy = mmi_onnx_take_data(loading->model->arena, raw.bytes);
    if (!copy) {
        return mmi_onnx_out_of_memory(err);
    }
    memcpy(copy, raw.at, raw.bytes);
    tensor->data = copy;
    return MM_OK;
}

static mm_status load_shape(struct onnx_message message, struct onnx_tensor *tensor,
                            mm_error *err) {
    struct onnx_numbers dims = mmi_onnx_numbers(message, DIMS, ONNX_VARINT);
    uint64_t rank = mmi_onnx_count_numbers(dims), dim;
    uint64_t dtype = mmi_onnx_number_of(message, DTYPE, 0);
    int64_t shape[MM_MAX_RANK];
    if (dtype > INT32_MAX || mmi_onnx_tensor_bytes((int32_t)dtype, 1) == 0) {
        return mmi_fail(err, MM_UNSUPPORTED,
                        "constants of element type %" PRIu64 " (%s) are not supported", dtype,
                        dtype <= INT32_MAX ? mm_dtype_text((int32_t)dtype) : "?");
    }
    if (rank > MM_MAX_RANK) {
        return mmi_fail(err, MM_UNSUPPORTED, "%" PRIu64 " axes, at most %u", rank, MM_MAX_RANK);
    }
    for (uint32_t i = 0; i < rank && mmi_onnx_next_number(&dims, &dim); i++) {
        shape[i] = (int64_t)dim;
    }
    return mmi_onnx_tensor_set(tensor, (int32_t)dtype, (uint32_t)rank, shape, err);
}

mm_status mmi_onnx_load_tensor(struct onnx_loading *loading, struct onnx_span bytes,
                               struct onnx_tensor **result, struct onnx_span *name, mm_error *err) {
    struct onnx_message message;
    *name = (struct onnx_span){bytes.at, 0};
    MMI_TRY(mmi_onnx_open_message(&message, bytes, &tensor_schema, loading->file, err));
    *name = mmi_onnx_bytes_of(message, NAME);
    struct onnx_tensor *tensor = mmi_onnx_take(loading->model->arena, 1, sizeof(*tensor));
    if (!tensor) {
        return mmi_onnx_out_of_memory(err);
    }
    *result = tensor;
    MMI_TRY(load_shape(message, tensor, err));
    tensor->known = 1;
    if (tensor->bytes == 0) {
        return MM_OK;
    }
    if (tensor->dtype == MM_STRING) {
        return load_strings(loading, message, tensor, err);
    }
    if (mmi_onnx_number_of(message, LOCATION, 0) == 1) {
        return mmi_onnx_load_external(loading, message, tensor, err);
    }
    return mmi_onnx_has_field(message, RAW_DATA)
               ? load_raw(loading, mmi_onnx_bytes_of(message, RAW_DATA), tensor, err)
               : load_list(loading, message, tensor, err);
}
