/* SPDX-License-Identifier: Apache-2.0 */
/* Values to DLPack and back. */
#include <support/world.h>

#include <api/dlpack.h>

#include <modelmesh/modelmesh.h>

#include <string.h>

/* The layout is another project's ABI. */
_Static_assert(sizeof(DLTensor) == 48, "DLTensor");
_Static_assert(offsetof(DLTensor, ndim) == 16, "DLTensor.ndim");
_Static_assert(offsetof(DLTensor, dtype) == 20, "DLTensor.dtype");
_Static_assert(offsetof(DLTensor, byte_offset) == 40, "DLTensor.byte_offset");
_Static_assert(sizeof(struct DLManagedTensorVersioned) == 80, "DLManagedTensorVersioned");
_Static_assert(offsetof(struct DLManagedTensorVersioned, deleter) == 16, "deleter");
_Static_assert(offsetof(struct DLManagedTensorVersioned, dl_tensor) == 32, "dl_tensor");

static float numbers[64];

static struct DLManagedTensorVersioned managed(int64_t *shape, int32_t ndim) {
    return (struct DLManagedTensorVersioned){.version = {1, 0},
                                             .dl_tensor = {.data = numbers,
                                                           .device = {kDLCPU, 0},
                                                           .ndim = ndim,
                                                           .dtype = {kDLFloat, 32, 1},
                                                           .shape = shape}};
}

static void test_from(void **state) {
    (void)state;
    int64_t shape[] = {2, 3, 4}, strides[] = {12, 4, 1};
    struct DLManagedTensorVersioned tensor = managed(shape, 3);
    tensor.dl_tensor.byte_offset = 8;
    mm_value value;
    memset(&value, 0xff, sizeof(value));
    assert_int_equal(mm_value_from_dlpack(&tensor, &value, NULL), MM_OK);
    assert_int_equal(value.kind, MM_TENSOR);
    assert_int_equal(value.dtype, MM_F32);
    assert_int_equal(value.rank, 3);
    assert_memory_equal(value.shape, shape, sizeof(shape));
    assert_ptr_equal(value.data, &numbers[2]);
    assert_int_equal(value.bytes, 96);
    assert_null(value.name);
    assert_null(value.offsets);
    assert_null(value.items);
    assert_int_equal(value.flags, 0);
    tensor.dl_tensor.strides = strides;
    assert_int_equal(mm_value_from_dlpack(&tensor, &value, NULL), MM_OK);
    /* An axis of one element may have any stride. */
    shape[1] = 1;
    strides[0] = 4;
    strides[1] = 77;
    assert_int_equal(mm_value_from_dlpack(&tensor, &value, NULL), MM_OK);
    tensor.version.minor = 7;
    tensor.dl_tensor.device.device_type = kDLCUDAHost;
    assert_int_equal(mm_value_from_dlpack(&tensor, &value, NULL), MM_OK);
    /* Empty: no data, strides say nothing. */
    shape[0] = 0;
    strides[0] = -5;
    tensor.dl_tensor.data = NULL;
    assert_int_equal(mm_value_from_dlpack(&tensor, &value, NULL), MM_OK);
    assert_int_equal(value.bytes, 0);
    assert_null(value.data);
    tensor = managed(NULL, 0);
    assert_int_equal(mm_value_from_dlpack(&tensor, &value, NULL), MM_OK);
    assert_int_equal(value.bytes, 4);
}

static void refused(struct DLManagedTensorVersioned *tensor, mm_status status, const char *part) {
    mm_value value, before;
    memset(&value, 0x5a, sizeof(value));
    before = value;
    mm_error err = {0};
    assert_int_equal(mm_value_from_dlpack(tensor, &value, &err), status);
    assert_non_null(strstr(err.text, part));
    assert_memory_equal(&value, &before, sizeof(value));
    assert_int_equal(mm_value_from_dlpack(tensor, &value, NULL), status);
}

static void test_from_refusals(void **state) {
    (void)state;
    int64_t shape[9] = {2, 3}, strides[] = {1, 2};
    struct DLManagedTensorVersioned tensor = managed(shape, 2);
    tensor.version.major = 2;
    refused(&tensor, MM_UNSUPPORTED, "version 2.0");
    tensor = managed(shape, 2);
    tensor.dl_tensor.device.device_type = 2;
    refused(&tensor, MM_UNSUPPORTED, "device type 2");
    tensor = managed(shape, 2);
    tensor.dl_tensor.strides = strides; /* column-major */
    refused(&tensor, MM_UNSUPPORTED, "strides");
    strides[0] = 4; /* a gap behind each row */
    strides[1] = 1;
    refused(&tensor, MM_UNSUPPORTED, "strides");
    tensor = managed(shape, 9);
    refused(&tensor, MM_UNSUPPORTED, "rank 9");
    tensor = managed(shape, -1);
    refused(&tensor, MM_UNSUPPORTED, "rank -1");
    tensor = managed(NULL, 2);
    refused(&tensor, MM_INVALID_ARGUMENT, "shape: NULL");
    tensor = managed(shape, 2);
    tensor.dl_tensor.dtype.lanes = 4;
    refused(&tensor, MM_UNSUPPORTED, "4 lanes");
    tensor.dl_tensor.dtype = (DLDataType){kDLInt, 4, 1};
    refused(&tensor, MM_UNSUPPORTED, "4 bits");
    tensor.dl_tensor.dtype = (DLDataType){3, 64, 1}; /* an opaque handle */
    refused(&tensor, MM_UNSUPPORTED, "code 3");
    tensor = managed(shape, 2);
    tensor.dl_tensor.data = NULL;
    refused(&tensor, MM_INVALID_ARGUMENT, "data");
    tensor = managed(shape, 2);
    shape[0] = -2;
    refused(&tensor, MM_INVALID_ARGUMENT, "negative");
    shape[0] = INT64_MAX;
    refused(&tensor, MM_INVALID_ARGUMENT, "overflows");
    /* Elements that can be counted, bytes that cannot; and strides that would overflow. */
    int64_t large[] = {INT64_C(1) << 62, 2}, large_strides[] = {2, 1};
    tensor = managed(large, 2);
    tensor.dl_tensor.strides = large_strides;
    refused(&tensor, MM_INVALID_ARGUMENT, "too large");
}

static void released(void *user) {
    (*(int *)user)++;
}

static void test_to(void **state) {
    (void)state;
    mm_value value = {
        .name = "x", .dtype = MM_F32, .rank = 3, .shape = {2, 3, 4}, .data = numbers, .bytes = 96};
    int releases = 0;
    struct DLManagedTensorVersioned *out = NULL;
    assert_int_equal(mm_value_to_dlpack(&value, released, &releases, &out, NULL), MM_OK);
    assert_int_equal(out->version.major, 1);
    assert_int_equal(out->version.minor, 0);
    assert_int_equal(out->flags, 0);
    const DLTensor *tensor = &out->dl_tensor;
    assert_ptr_equal(tensor->data, numbers);
    assert_int_equal(tensor->device.device_type, kDLCPU);
    assert_int_equal(tensor->ndim, 3);
    assert_int_equal(tensor->byte_offset, 0);
    memset(value.shape, 0, sizeof(value.shape)); /* it has a copy */
    assert_memory_equal(tensor->shape, ((int64_t[]){2, 3, 4}), 24);
    assert_memory_equal(tensor->strides, ((int64_t[]){12, 4, 1}), 24);
    assert_int_equal(releases, 0);
    out->deleter(out);
    assert_int_equal(releases, 1);
    value = (mm_value){.dtype = MM_BOOL, .bytes = 1, .data = numbers};
    assert_int_equal(mm_value_to_dlpack(&value, NULL, NULL, &out, NULL), MM_OK);
    assert_int_equal(out->dl_tensor.ndim, 0);
    assert_int_equal(out->dl_tensor.dtype.code, 6);
    assert_int_equal(out->dl_tensor.dtype.bits, 8);
    out->deleter(out);
}

static void not_exported(const mm_value *value, mm_status status, const char *part) {
    struct DLManagedTensorVersioned *out = NULL;
    mm_error err = {0};
    int releases = 0;
    assert_int_equal(mm_value_to_dlpack(value, released, &releases, &out, &err), status);
    assert_non_null(strstr(err.text, part));
    assert_null(out);
    assert_int_equal(releases, 0);
}

static void test_to_refusals(void **state) {
    (void)state;
    uint64_t offsets[] = {0, 1};
    mm_value value = {.dtype = MM_STRING, .bytes = 1, .data = numbers, .offsets = offsets};
    not_exported(&value, MM_UNSUPPORTED, "string");
    value = (mm_value){.dtype = MM_U4, .rank = 1, .shape = {2}, .bytes = 1, .data = numbers};
    not_exported(&value, MM_UNSUPPORTED, "u4");
    value = (mm_value){.kind = MM_SEQUENCE};
    not_exported(&value, MM_UNSUPPORTED, "sequence");
    value = (mm_value){.dtype = MM_F32, .bytes = 3, .data = numbers};
    not_exported(&value, MM_INVALID_ARGUMENT, "bytes is 3");
    struct DLManagedTensorVersioned *out, tensor = managed(NULL, 0);
    mm_error err;
    assert_int_equal(mm_value_to_dlpack(NULL, NULL, NULL, &out, &err), MM_INVALID_ARGUMENT);
    assert_string_equal(err.text, "value: NULL");
    assert_int_equal(mm_value_to_dlpack(&value, NULL, NULL, NULL, &err), MM_INVALID_ARGUMENT);
    assert_string_equal(err.text, "managed: NULL");
    assert_int_equal(mm_value_from_dlpack(NULL, &value, &err), MM_INVALID_ARGUMENT);
    assert_string_equal(err.text, "managed: NULL");
    assert_int_equal(mm_value_from_dlpack(&tensor, NULL, &err), MM_INVALID_ARGUMENT);
    assert_string_equal(err.text, "value: NULL");
}

/* Every element type there and back, or refused in both directions. */
static void test_every_type(void **state) {
    (void)state;
    unsigned supported = 0;
    for (int32_t dtype = 1; dtype <= MM_I2; dtype++) {
        mm_value value = {.dtype = dtype, .rank = 1, .shape = {2}, .data = numbers}, back;
        value.bytes = mm_dtype_bytes(dtype, 2);
        uint64_t offsets[3] = {0};
        value.offsets = dtype == MM_STRING ? offsets : NULL;
        struct DLManagedTensorVersioned *out;
        mm_status status = mm_value_to_dlpack(&value, NULL, NULL, &out, NULL);
        bool whole = mm_dtype_bytes(dtype, 1) == mm_dtype_bytes(dtype, 2) / 2;
        assert_int_equal(status, whole && dtype != MM_STRING ? MM_OK : MM_UNSUPPORTED);
        if (status != MM_OK) {
            continue;
        }
        supported++;
        bool float8 = out->dl_tensor.dtype.code >= 7;
        assert_int_equal(out->version.minor, float8);
        assert_int_equal(out->dl_tensor.dtype.bits, value.bytes * 4);
        assert_int_equal(mm_value_from_dlpack(out, &back, NULL), MM_OK);
        assert_memory_equal(&back, &value, sizeof(back));
        out->deleter(out);
    }
    assert_int_equal(supported, 20);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_from),       cmocka_unit_test(test_from_refusals),
        cmocka_unit_test(test_to),         cmocka_unit_test(test_to_refusals),
        cmocka_unit_test(test_every_type),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
