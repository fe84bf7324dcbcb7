/* SPDX-License-Identifier: Apache-2.0 */
/* Values as DLPack tensors and back, without a copy. */
#include <api/dlpack.h>
#include <api/value.h>

#include <base/alloc.h>

#include <modelmesh/modelmesh.h>

static const struct {
    int32_t dtype;
    uint8_t code, bits;
} types[] = {
    {MM_F32, kDLFloat, 32},
    {MM_F64, kDLFloat, 64},
    {MM_F16, kDLFloat, 16},
    {MM_BF16, kDLBfloat, 16},
    {MM_I8, kDLInt, 8},
    {MM_I16, kDLInt, 16},
    {MM_I32, kDLInt, 32},
    {MM_I64, kDLInt, 64},
    {MM_U8, kDLUInt, 8},
    {MM_U16, kDLUInt, 16},
    {MM_U32, kDLUInt, 32},
    {MM_U64, kDLUInt, 64},
    {MM_BOOL, kDLBool, 8},
    {MM_C64, kDLComplex, 64},
    {MM_C128, kDLComplex, 128},
    {MM_F8E4M3FN, kDLFloat8_e4m3fn, 8},
    {MM_F8E4M3FNUZ, kDLFloat8_e4m3fnuz, 8},
    {MM_F8E5M2, kDLFloat8_e5m2, 8},
    {MM_F8E5M2FNUZ, kDLFloat8_e5m2fnuz, 8},
    {MM_F8E8M0, kDLFloat8_e8m0fnu, 8},
};
#define TYPES (sizeof(types) / sizeof(types[0]))

/* Row-major without gaps. The stride of an axis of length 1 is ignored. */
static bool compact(const DLTensor *tensor) {
    uint64_t expected = 1;
    for (int32_t i = tensor->ndim; tensor->strides && i-- > 0;) {
        if (tensor->shape[i] != 1 && (uint64_t)tensor->strides[i] != expected) {
            return false;
        }
        expected *= (uint64_t)tensor->shape[i];
    }
    return true;
}

static mm_status check_tensor(const struct DLManagedTensorVersioned *managed, mm_error *err) {
    const DLTensor *tensor = &managed->dl_tensor;
    if (managed->version.major != 1) {
        return mmi_fail(err, MM_UNSUPPORTED, "DLPack version %u.%u, 1.x is supported",
                        managed->version.major, managed->version.minor);
    }
    int32_t device = tensor->device.device_type;
    if (device != kDLCPU && device != kDLCUDAHost) {
        return mmi_fail(err, MM_UNSUPPORTED, "DLPack device type %d, only host memory is supported",
                        device);
    }
    if (tensor->ndim < 0 || tensor->ndim > MM_MAX_RANK) {
        return mmi_fail(err, MM_UNSUPPORTED, "DLPack tensor of rank %d, at most %d is possible",
                        tensor->ndim, MM_MAX_RANK);
    }
    if (tensor->ndim > 0 && !tensor->shape) {
        return mmi_fail(err, MM_INVALID_ARGUMENT, "DLPack shape: NULL");
    }
    uint64_t elements = mm_shape_elements((uint32_t)tensor->ndim, tensor->shape);
    if (elements == UINT64_MAX) {
        return mmi_fail(err, MM_INVALID_ARGUMENT, "DLPack shape is negative or overflows");
    }
    if (elements > 0 && !compact(tensor)) {
        return mmi_fail(err, MM_UNSUPPORTED, "DLPack strides are not compact row-major");
    }
    return MM_OK;
}

mm_status mm_value_from_dlpack(struct DLManagedTensorVersioned *managed, mm_value *value,
                               mm_error *err) {
    if (!managed || !value) {
        return mmi_fail(err, MM_INVALID_ARGUMENT, "%s: NULL", managed ? "value" : "managed");
    }
    MMI_TRY(check_tensor(managed, err));
    const DLTensor *tensor = &managed->dl_tensor;
    size_t type = 0;
    while (type < TYPES &&
           (types[type].code != tensor->dtype.code || types[type].bits != tensor->dtype.bits)) {
        type++;
    }
    if (type == TYPES || tensor->dtype.lanes != 1) {
        return mmi_fail(err, MM_UNSUPPORTED, "DLPack type code %u with %u bits and %u lanes",
                        tensor->dtype.code, tensor->dtype.bits, tensor->dtype.lanes);
    }
    mm_value result = {
        .kind = MM_TENSOR, .dtype = types[type].dtype, .rank = (uint32_t)tensor->ndim};
    for (int32_t i = 0; i < tensor->ndim; i++) {
        result.shape[i] = tensor->shape[i];
    }
    result.bytes = mm_dtype_bytes(result.dtype, mm_shape_elements(result.rank, result.shape));
    if (result.bytes == UINT64_MAX || (result.bytes > 0 && !tensor->data)) {
        return mmi_fail(err, MM_INVALID_ARGUMENT, "DLPack tensor without data, or too large");
    }
    result.data = tensor->data ? (char *)tensor->data + tensor->byte_offset : NULL;
    *value = result;
    return MM_OK;
}

struct exported {
    struct DLManagedTensorVersioned managed; /* first */
    void (*release)(void *user);
    void *user;
    int64_t shape[MM_MAX_RANK], strides[MM_MAX_RANK];
};

static void delete_exported(struct DLManagedTensorVersioned *self) {
    struct exported *exported = (struct exported *)self;
    if (exported->release) {
        exported->release(exported->user);
    }
    mmi_free(&mmi_malloc_allocator, exported, sizeof(*exported));
}

mm_status mm_value_to_dlpack(const mm_value *value, void (*release)(void *user), void *user,
                             struct DLManagedTensorVersioned **managed, mm_error *err) {
    if (!value || !managed) {
        return mmi_fail(err, MM_INVALID_ARGUMENT, "%s: NULL", value ? "managed" : "value");
    }
    MMI_TRY(mmi_value_check(value, "to export", err));
    size_t type = 0;
    while (type < TYPES && types[type].dtype != value->dtype) {
        type++;
    }
    if (value->kind != MM_TENSOR || type == TYPES) {
        return mmi_fail(err, MM_UNSUPPORTED, "DLPack has no %s",
                        value->kind == MM_TENSOR ? mm_dtype_text(value->dtype)
                                                 : "sequences, optionals and maps");
    }
    struct exported *exported = mmi_alloc(&mmi_malloc_allocator, 1, sizeof(*exported));
    if (!exported) {
        return mmi_fail(err, MM_NO_MEMORY, "DLPack: out of memory");
    }
    /* Some consumers want strides even for compact tensors. */
    uint64_t stride = 1;
    for (uint32_t i = value->rank; i-- > 0;) {
        exported->shape[i] = value->shape[i];
        exported->strides[i] = (int64_t)stride;
        stride *= (uint64_t)value->shape[i];
    }
    exported->release = release;
    exported->user = user;
    exported->managed = (struct DLManagedTensorVersioned){
        .version = {1, types[type].code >= kDLFloat8_e4m3fn ? 1 : 0},
        .deleter = delete_exported,
        .dl_tensor = {.data = value->data,
                      .device = {kDLCPU, 0},
                      .ndim = (int32_t)value->rank,
                      .dtype = {types[type].code, types[type].bits, 1},
                      .shape = exported->shape,
                      .strides = exported->strides}};
    *managed = &exported->managed;
    return MM_OK;
}
