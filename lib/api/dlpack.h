/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_API_DLPACK_H
#define MMI_API_DLPACK_H

/* The structs of the DLPack 1.0 ABI (github.com/dmlc/dlpack, Apache-2.0), as far as they are used
 * here. Names and layout are that ABI's. */

#include <stdint.h>

typedef struct {
    uint32_t major, minor;
} DLPackVersion;

enum { kDLCPU = 1, kDLCUDAHost = 3 };
typedef struct {
    int32_t device_type;
    int32_t device_id;
} DLDevice;

enum {
    kDLInt = 0,
    kDLUInt = 1,
    kDLFloat = 2,
    kDLBfloat = 4,
    kDLComplex = 5,
    kDLBool = 6,
    kDLFloat8_e4m3fn = 10, /* this and those below: since 1.1 */
    kDLFloat8_e4m3fnuz = 11,
    kDLFloat8_e5m2 = 12,
    kDLFloat8_e5m2fnuz = 13,
    kDLFloat8_e8m0fnu = 14
};
typedef struct {
    uint8_t code;
    uint8_t bits;
    uint16_t lanes;
} DLDataType;

typedef struct {
    void *data;
    DLDevice device;
    int32_t ndim;
    DLDataType dtype;
    int64_t *shape;
    int64_t *strides; /* in elements; NULL = compact row-major */
    uint64_t byte_offset;
} DLTensor;

struct DLManagedTensorVersioned {
    DLPackVersion version;
    void *manager_ctx;
    void (*deleter)(struct DLManagedTensorVersioned *self);
    uint64_t flags;
    DLTensor dl_tensor;
};

#endif
