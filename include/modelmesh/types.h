/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MODELMESH_TYPES_H
#define MODELMESH_TYPES_H

/* Types that applications and backends share: status, error, element types, values, allocator, log.
 *
 * Conventions of every header of this library
 *   *_bytes  a size in bytes.            *_ns  nanoseconds; a point in time is CLOCK_MONOTONIC.
 *   Shapes are written in brackets, outermost first: [N, C, H, W].
 *   In a struct that the caller fills, 0 always means the documented default. Text is UTF-8 and
 *   NUL-terminated.
 *
 * struct_size. A struct that begins with it may get new fields at its end when MINOR of the ABI
 * grows. It is the sizeof of the header that the caller was compiled with; the struct's INIT macro
 * (or init function) sets it. The library accepts every multiple of 8 from the size of the struct's
 * first version on; anything else is MM_INVALID_ARGUMENT.
 *   What the library reads: a field that the caller's header lacks counts as 0. Bytes behind the
 *   last field that the library knows must be 0: a newer header's field that is in use cannot be
 *   honoured, and the call is MM_INVALID_ARGUMENT.
 *   What the library writes: no byte beyond struct_size, and never struct_size itself. What a newer
 *   header has behind the fields that the library knows is left as it is.
 *   Arrays: all elements have the same struct_size, and it is the distance between them.
 * A struct without struct_size changes with MAJOR only, unless the library alone makes it
 * (mm_model_description, and what backend.h says). */

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

/* The initial value of an options struct: all zero but struct_size. The INIT macros use it; C++17
 * has no designated initialisers. */
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

/* ---- Status ------------------------------------------------------------------------------------
 * X(name, value, text). Values are ABI. Below 100: how a call ended. "Retry" in the comments means
 * that the same call may succeed later without any change by the caller. */
#define MM_STATUS_MAP(X)                                                                           \
    X(MM_OK, 0, "ok")                                                                              \
    /* The caller is wrong. */                                                                     \
    X(MM_INVALID_ARGUMENT, 1, "invalid argument")                                                  \
    X(MM_INVALID_STATE, 2, "not allowed in this state")                                            \
    X(MM_STALE_HANDLE, 3, "the model of this handle was unregistered")                             \
    X(MM_STALE_BINDING, 4, "the model's signature changed since this binding was made")            \
    X(MM_NOT_FOUND, 5, "not found")                                                                \
    X(MM_EXISTS, 6, "exists already")                                                              \
    X(MM_BUFFER_TOO_SMALL, 7, "a buffer is too small")                                             \
    X(MM_AMBIGUOUS, 8, "more than one candidate")                                                  \
    X(MM_PINNED, 9, "the model is pinned")                                                         \
    /* The model, its source or its backend is wrong. */                                           \
    X(MM_INVALID_MODEL, 20, "the model file is invalid")                                           \
    X(MM_UNSUPPORTED, 21, "not supported")                                                         \
    X(MM_SOURCE_CHANGED, 22, "the source changed since it was registered")                         \
    X(MM_CORRUPT, 23, "stored bytes are damaged")                                                  \
    X(MM_ABI_MISMATCH, 24, "built for another ABI")                                                \
    X(MM_BACKEND_FAILED, 25, "the backend failed")                                                 \
    X(MM_IO, 26, "input or output failed")                                                         \
    X(MM_CACHE_NOT_OWNED, 27, "the cache directory is not private to this user")                   \
    /* No room. */                                                                                 \
    X(MM_TOO_LARGE, 40, "larger than every device's budget")                                       \
    X(MM_ALL_PINNED, 41, "what would have to leave is pinned or of a higher class")                \
    X(MM_NO_ROOM_FOR_ACTIVATIONS, 42, "no room for the activations of this request")               \
    X(MM_NO_MEMORY, 43, "out of memory")                                                           \
    X(MM_NO_SPACE, 44, "no space on disk or in the artifact budget")                               \
    X(MM_NO_FDS, 45, "no file descriptors left")                                                   \
    X(MM_NO_THREADS, 46, "a thread could not be started")                                          \
    /* Not now. */                                                                                 \
    X(MM_BUSY, 60, "busy")                                                                         \
    X(MM_DEADLINE, 61, "the deadline passed")                                                      \
    X(MM_CANCELLED, 62, "cancelled")                                                               \
    X(MM_OVERLOADED, 63, "too many requests wait")                                                 \
    X(MM_NOT_RESIDENT, 64, "the model is not resident and the caller does not wait")               \
    X(MM_DEVICE_LOST, 65, "the device was lost")                                                   \
    X(MM_PENDING, 66, "not complete yet")                                                          \
    X(MM_NONE, 67, "nothing there")                                                                \
    /* The end of a life. */                                                                       \
    X(MM_UNREGISTERED, 80, "the model was unregistered")                                           \
    X(MM_CLOSED, 81, "the mesh is closed")                                                         \
    X(MM_FORKED, 82, "the mesh belongs to the parent process")

typedef enum mm_status {
#define MM_STATUS_ENUM(name, value, text) name = value,
    MM_STATUS_MAP(MM_STATUS_ENUM) MM_STATUS_MAX = 0x7fffffff /* keeps the enum an int32 */
} mm_status;
#undef MM_STATUS_ENUM

/* Why a call failed: the caller's memory, filled on failure and left alone on success. Every call
 * that takes one accepts NULL. */
#define MM_ERROR_TEXT_BYTES 480
typedef struct mm_error {
    int32_t status;                 /* mm_status */
    uint32_t reserved;              /* 0 */
    uint64_t retry_after_ns;        /* a remembered failure: time until the next attempt; else 0 */
    uint64_t needed_bytes;          /* statuses 7 and 40 to 44: what was needed ... */
    uint64_t available_bytes;       /* ... and what could have been had; else 0 */
    char text[MM_ERROR_TEXT_BYTES]; /* one line that names the thing; cut at the end if too long */
} mm_error;

/* ---- Element types -----------------------------------------------------------------------------
 * Values are those of ONNX TensorProto.DataType. X(name, value, bits, text). Types of fewer than 8
 * bits are packed, the first element in the low bits; each tensor ends at a full byte. */
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

/* ---- Values ------------------------------------------------------------------------------------
 * What goes into a model and what comes out: a tensor, or a sequence, optional or map of values. */
#define MM_MAX_RANK 8 /* axes of a tensor, at most */

typedef enum mm_kind {
    MM_TENSOR = 0,
    MM_SEQUENCE = 1,
    MM_OPTIONAL = 2,
    MM_MAP = 3,
    MM_KIND_MAX = 0x7fffffff
} mm_kind;

/* Tensor: row-major, no gaps. `data` need not be aligned beyond its element, 64 bytes is fastest.
 * `bytes` is authoritative: the size of what lies at `data` (in a caller's output buffer before the
 * call: its capacity). A scalar has rank 0 and one element; an axis may be 0.
 * Strings: element i is data[offsets[i] .. offsets[i + 1]), not NUL-terminated; `offsets` holds one
 * more entry than there are elements; `bytes` counts the text alone.
 * Sequence: items[0 .. item_count). Optional: item_count 0 or 1. Map: items[0] is the tensor of
 * keys [K], items[1] the values, a tensor [K, ...] or a sequence of K.
 * Who owns the memory behind the pointers is said by the call that takes or gives the value. */
typedef struct mm_value {
    const char *name;           /* of the input or output; NULL where the position says which */
    int32_t kind;               /* mm_kind */
    int32_t dtype;              /* mm_dtype: a tensor's elements; else 0 */
    uint32_t rank;              /* tensor: 0 .. MM_MAX_RANK */
    uint32_t flags;             /* MM_VALUE_*; of inputs the location alone is looked at */
    int64_t shape[MM_MAX_RANK]; /* tensor: [rank] */
    void *data;                 /* tensor: elements; may be NULL where bytes is 0 */
    uint64_t bytes;             /* tensor: size of data */
    uint64_t *offsets;          /* strings: [elements + 1]; else NULL */
    struct mm_value *items;     /* sequence, optional, map; else NULL */
    uint64_t item_count;
} mm_value;

enum {
    MM_VALUE_UNWANTED = 1u << 0,   /* an output, for the backend: the request does not name it */
    MM_VALUE_OWNED = 1u << 1,      /* an output, for the caller: its memory is the response's */
    MM_VALUE_LOCATION = 0xffu << 8 /* where data lies: 0 = memory of the host; else MM_ON_DEVICE */
};
/* The location of memory of a device; index: its place in the options of the mesh. For tensors, not
 * of strings, not inside of other values. Of host devices it is the same as 0. */
#define MM_ON_DEVICE(index) (((uint32_t)(index) + 1u) << 8)

/* Elements of a shape; UINT64_MAX when an axis is negative or the product overflows. */
MM_API uint64_t mm_shape_elements(uint32_t rank, const int64_t *shape);
/* Bytes of `elements` packed elements; 0 for strings and unknown types, UINT64_MAX on overflow. */
MM_API uint64_t mm_dtype_bytes(int32_t dtype, uint64_t elements);
/* "f32", ...; "?" for an unknown value. Static text. */
MM_API const char *mm_dtype_text(int32_t dtype);
/* "the model is pinned", ...; "unknown status" for an unknown value. Static text. */
MM_API const char *mm_status_text(int32_t status);
/* "MM_PINNED", ...; "MM_?" for an unknown value. Static text. */
MM_API const char *mm_status_name(int32_t status);

/* One input or output as the model declares it. An axis of -1 is free; axis_names[i] is then its
 * symbolic name, or NULL. Real files sometimes declare wrong shapes: outputs have the shape that
 * was computed. */
typedef struct mm_value_info {
    const char *name;
    int32_t kind;   /* mm_kind */
    int32_t dtype;  /* tensor: elements; sequence and optional: the items' elements */
    int32_t rank;   /* -1 = any */
    uint32_t flags; /* MM_VALUE_INFO_* */
    int64_t shape[MM_MAX_RANK];
    const char *axis_names[MM_MAX_RANK];
} mm_value_info;

enum {
    MM_VALUE_INFO_OPTIONAL = 1u << 0, /* an input that a request may leave out */
    /* a shape input: its elements, not only its shape, select what runs (a target shape, a sample
     * rate). All of it is part of the signature */
    MM_VALUE_INFO_SHAPE_INPUT = 1u << 1
};

/* ---- Services of the host ------------------------------------------------------------------- */

/* Allocator. Thread-safe; `align` is a power of two; free gets the size back. It serves metadata
 * and outputs, not mapped regions and not third-party libraries. It must outlive every response
 * that was allocated through it. It may not call into the library, throw or longjmp. */
typedef struct mm_allocator {
    void *user;
    void *(*alloc)(void *user, size_t bytes, size_t align); /* NULL = out of memory; bytes >= 1 */
    void (*free)(void *user, void *memory, size_t bytes);   /* memory is not NULL */
} mm_allocator;

typedef enum mm_log_level {
    MM_LOG_ERROR = 1,
    MM_LOG_WARNING = 2,
    MM_LOG_INFO = 3,
    MM_LOG_DEBUG = 4,
    MM_LOG_LEVEL_MAX = 0x7fffffff
} mm_log_level;

/* Log sink: one line, no newline, valid during the call. Any thread, no lock held. Calls of the
 * mesh that wait are refused meanwhile, as they are inside a backend's call: MM_INVALID_STATE or
 * MM_BUSY. */
typedef struct mm_log {
    void *user;
    void (*line)(void *user, int32_t level, const char *text); /* NULL = no log */
    int32_t level; /* mm_log_level: lines above it are not made; 0 = MM_LOG_WARNING */
    uint32_t reserved;
} mm_log;

/* Run body(ctx, i) for every i in [0, count), on several threads or not, and return when all are
 * done. `threads`: the most that the mesh may use. */
typedef struct mm_parallel {
    void *user;
    void (*run)(void *user, uint32_t threads, uint64_t count, void (*body)(void *ctx, uint64_t i),
                void *ctx);
} mm_parallel;

MM_C_END
#endif
