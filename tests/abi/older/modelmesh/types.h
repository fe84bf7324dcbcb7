/* SPDX-License-Identifier: Apache-2.0 */
/* types.h as an older minor would have had it: frozen, and without the last fields of structs
 * that may grow. Without comments. For program.c and plugin.c. */
#ifndef MODELMESH_TYPES_H
#define MODELMESH_TYPES_H

#include <stddef.h>
#include <stdint.h>

#include <modelmesh/version.h>

#ifdef __cplusplus
#define MM_C_BEGIN extern "C" {
#define MM_C_END }
#else
#define MM_C_BEGIN
#define MM_C_END
#endif

#if defined(__GNUC__)
#define MM_API __attribute__((visibility("default")))
#else
#define MM_API
#endif

#ifdef __cplusplus
extern "C++" {
template <typename Options> inline Options mm_init_() {
    Options options = Options();
    options.struct_size = sizeof(Options);
    return options;
}
}
#define MM_INIT(type) mm_init_<type>()
#else
#define MM_INIT(type)                                                                              \
    { .struct_size = sizeof(type) }
#endif

MM_C_BEGIN

#define MM_STATUS_MAP(X)                                                                           \
    X(MM_OK, 0, "ok")                                                                              \
    X(MM_INVALID_ARGUMENT, 1, "invalid argument")                                                  \
    X(MM_INVALID_STATE, 2, "not allowed in this state")                                            \
    X(MM_STALE_HANDLE, 3, "the model of this handle was unregistered")                             \
    X(MM_STALE_BINDING, 4, "the model's signature changed since this binding was made")            \
    X(MM_NOT_FOUND, 5, "not found")                                                                \
    X(MM_EXISTS, 6, "exists already")                                                              \
    X(MM_BUFFER_TOO_SMALL, 7, "a buffer is too small")                                             \
    X(MM_AMBIGUOUS, 8, "more than one candidate")                                                  \
    X(MM_PINNED, 9, "the model is pinned")                                                         \
    X(MM_INVALID_MODEL, 20, "the model file is invalid")                                           \
    X(MM_UNSUPPORTED, 21, "not supported")                                                         \
    X(MM_SOURCE_CHANGED, 22, "the source changed since it was registered")                         \
    X(MM_CORRUPT, 23, "stored bytes are damaged")                                                  \
    X(MM_ABI_MISMATCH, 24, "built for another ABI")                                                \
    X(MM_BACKEND_FAILED, 25, "the backend failed")                                                 \
    X(MM_IO, 26, "input or output failed")                                                         \
    X(MM_CACHE_NOT_OWNED, 27, "the cache directory is not private to this user")                   \
    X(MM_TOO_LARGE, 40, "larger than every device's budget")                                       \
    X(MM_ALL_PINNED, 41, "what would have to leave is pinned or of a higher class")                \
    X(MM_NO_ROOM_FOR_ACTIVATIONS, 42, "no room for the activations of this request")               \
    X(MM_NO_MEMORY, 43, "out of memory")                                                           \
    X(MM_NO_SPACE, 44, "no space on disk")                                                         \
    X(MM_NO_FDS, 45, "no file descriptors left")                                                   \
    X(MM_NO_THREADS, 46, "a thread could not be started")                                          \
    X(MM_BUSY, 60, "busy")                                                                         \
    X(MM_DEADLINE, 61, "the deadline passed")                                                      \
    X(MM_CANCELLED, 62, "cancelled")                                                               \
    X(MM_OVERLOADED, 63, "too many requests wait")                                                 \
    X(MM_NOT_RESIDENT, 64, "the model is not resident and the caller does not wait")               \
    X(MM_DEVICE_LOST, 65, "the device was lost")                                                   \
    X(MM_PENDING, 66, "not complete yet")                                                          \
    X(MM_NONE, 67, "nothing there")                                                                \
    X(MM_UNREGISTERED, 80, "the model was unregistered")                                           \
    X(MM_CLOSED, 81, "the mesh is closed")                                                         \
    X(MM_FORKED, 82, "the mesh belongs to the parent process")

typedef enum mm_status {
#define MM_STATUS_ENUM(name, value, text) name = value,
    MM_STATUS_MAP(MM_STATUS_ENUM) MM_STATUS_MAX = 0x7fffffff
} mm_status;
#undef MM_STATUS_ENUM

#define MM_ERROR_TEXT_BYTES 480
typedef struct mm_error {
    int32_t status;
    uint32_t reserved;
    uint64_t retry_after_ns;
    uint64_t needed_bytes;
    uint64_t available_bytes;
    char text[MM_ERROR_TEXT_BYTES];
} mm_error;

#define MM_DTYPE_MAP(X)                                                                            \
    X(MM_F32, 1, 32, "f32")                                                                        \
    X(MM_U8, 2, 8, "u8")                                                                           \
    X(MM_I8, 3, 8, "i8")                                                                           \
    X(MM_U16, 4, 16, "u16")                                                                        \
    X(MM_I16, 5, 16, "i16")                                                                        \
    X(MM_I32, 6, 32, "i32")                                                                        \
    X(MM_I64, 7, 64, "i64")                                                                        \
    X(MM_STRING, 8, 0, "string")                                                                   \
    X(MM_BOOL, 9, 8, "bool")                                                                       \
    X(MM_F16, 10, 16, "f16")                                                                       \
    X(MM_F64, 11, 64, "f64")                                                                       \
    X(MM_U32, 12, 32, "u32")                                                                       \
    X(MM_U64, 13, 64, "u64")                                                                       \
    X(MM_C64, 14, 64, "c64")                                                                       \
    X(MM_C128, 15, 128, "c128")                                                                    \
    X(MM_BF16, 16, 16, "bf16")                                                                     \
    X(MM_F8E4M3FN, 17, 8, "f8e4m3fn")                                                              \
    X(MM_F8E4M3FNUZ, 18, 8, "f8e4m3fnuz")                                                          \
    X(MM_F8E5M2, 19, 8, "f8e5m2")                                                                  \
    X(MM_F8E5M2FNUZ, 20, 8, "f8e5m2fnuz")                                                          \
    X(MM_U4, 21, 4, "u4")                                                                          \
    X(MM_I4, 22, 4, "i4")                                                                          \
    X(MM_F4E2M1, 23, 4, "f4e2m1")                                                                  \
    X(MM_F8E8M0, 24, 8, "f8e8m0")                                                                  \
    X(MM_U2, 25, 2, "u2")                                                                          \
    X(MM_I2, 26, 2, "i2")

typedef enum mm_dtype {
    MM_DTYPE_NONE = 0,
#define MM_DTYPE_ENUM(name, value, bits, text) name = value,
    MM_DTYPE_MAP(MM_DTYPE_ENUM) MM_DTYPE_MAX = 0x7fffffff
} mm_dtype;
#undef MM_DTYPE_ENUM

#define MM_MAX_RANK 8

typedef enum mm_kind {
    MM_TENSOR = 0,
    MM_SEQUENCE = 1,
    MM_OPTIONAL = 2,
    MM_MAP = 3,
    MM_KIND_MAX = 0x7fffffff
} mm_kind;

typedef struct mm_value {
    const char *name;
    int32_t kind;
    int32_t dtype;
    uint32_t rank;
    uint32_t flags;
    int64_t shape[MM_MAX_RANK];
    void *data;
    uint64_t bytes;
    uint64_t *offsets;
    struct mm_value *items;
    uint64_t item_count;
} mm_value;

enum { MM_VALUE_UNWANTED = 1u << 0, MM_VALUE_OWNED = 1u << 1 };

MM_API uint64_t mm_shape_elements(uint32_t rank, const int64_t *shape);

MM_API uint64_t mm_dtype_bytes(int32_t dtype, uint64_t elements);

MM_API const char *mm_dtype_text(int32_t dtype);

MM_API const char *mm_status_text(int32_t status);

MM_API const char *mm_status_name(int32_t status);

typedef struct mm_value_info {
    const char *name;
    int32_t kind;
    int32_t dtype;
    int32_t rank;
    uint32_t flags;
    int64_t shape[MM_MAX_RANK];
    const char *axis_names[MM_MAX_RANK];
} mm_value_info;

enum { MM_VALUE_INFO_OPTIONAL = 1u << 0, MM_VALUE_INFO_SHAPE_INPUT = 1u << 1 };

typedef struct mm_allocator {
    void *user;
    void *(*alloc)(void *user, size_t bytes, size_t align);
    void (*free)(void *user, void *memory, size_t bytes);
} mm_allocator;

typedef enum mm_log_level {
    MM_LOG_ERROR = 1,
    MM_LOG_WARNING = 2,
    MM_LOG_INFO = 3,
    MM_LOG_DEBUG = 4,
    MM_LOG_LEVEL_MAX = 0x7fffffff
} mm_log_level;

typedef struct mm_log {
    void *user;
    void (*line)(void *user, int32_t level, const char *text);
    int32_t level;
    uint32_t reserved;
} mm_log;

typedef struct mm_parallel {
    void *user;
    void (*run)(void *user, uint32_t threads, uint64_t count, void (*body)(void *ctx, uint64_t i),
                void *ctx);
} mm_parallel;

MM_C_END
#endif
