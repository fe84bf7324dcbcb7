/* SPDX-License-Identifier: Apache-2.0 */
/* backend.h as an older minor would have had it: frozen, and without the last fields of structs
 * that may grow. Without comments. For program.c and plugin.c. */
#ifndef MODELMESH_BACKEND_H
#define MODELMESH_BACKEND_H

#include <modelmesh/types.h>

#include <stdbool.h>

MM_C_BEGIN

typedef struct mm_format {
    const char *name;
    const char *version;
    const char *suffix;
    const void *magic;
    uint32_t magic_bytes;
    uint32_t reserved;
} mm_format;

typedef enum mm_device_kind {
    MM_DEVICE_HOST = 1 << 0,
    MM_DEVICE_SIM = 1 << 1,
    MM_DEVICE_CUDA = 1 << 2,
    MM_DEVICE_KIND_MAX = 0x7fffffff
} mm_device_kind;

typedef struct mm_services {
    uint32_t struct_size;
    uint32_t abi_minor;
    void *host;
    mm_allocator allocator;
    mm_log log;
    uint64_t (*now_ns)(void *host);
    void (*parallel_for)(void *host, uint64_t count, void (*body)(void *ctx, uint64_t i),
                         void *ctx);
    uint32_t threads;
    uint32_t limits_nesting;
} mm_services;

typedef struct mm_source {
    void *ctx;
    const char *name;
    uint64_t bytes;
    mm_status (*read)(void *ctx, uint64_t offset, void *to, uint64_t count, mm_error *err);
    mm_status (*open)(void *ctx, const char *relative, struct mm_source *sibling, mm_error *err);
} mm_source;

typedef struct mm_sink {
    void *ctx;
    mm_status (*describe)(void *ctx, const void *bytes, uint64_t count, mm_error *err);
    mm_status (*expect)(void *ctx, uint64_t weights_bytes, mm_error *err);
    mm_status (*weights)(void *ctx, const void *bytes, uint64_t count, mm_error *err);
    mm_status (*group)(void *ctx, mm_error *err);
    bool (*cancelled)(void *ctx);
    void (*progress)(void *ctx, uint32_t permille);
} mm_sink;

typedef struct mm_artifact {
    const void *description;
    uint64_t description_bytes;
    uint64_t weights_bytes;
    const uint64_t *group_ends;
    uint32_t group_count;
    uint32_t reserved;
    const char *config;
    const mm_source *source;
} mm_artifact;

enum { MM_DESCRIPTION_SERIAL = 1u << 0 };

typedef struct mm_description {
    uint32_t struct_size;
    uint32_t flags;
    const mm_value_info *inputs;
    const mm_value_info *outputs;
    uint32_t input_count, output_count;
    uint64_t weights_bytes;
    uint64_t activation_bytes;
    uint64_t own_bytes;
    uint64_t open_bytes;
    int32_t batch_axis;
    uint32_t reserved;
} mm_description;

enum { MM_SIZE_EXACT = 0, MM_SIZE_BOUND = 1, MM_SIZE_UNKNOWN = 2 };

typedef struct mm_size {
    uint64_t activation_bytes;
    uint64_t state_bytes;
    mm_value *outputs;
    uint8_t *exactness;
} mm_size;

typedef struct mm_device {
    int32_t kind;
    uint32_t index;
    const char *name;
    void *native;
} mm_device;

typedef struct mm_region {
    const void *base;
    uint64_t bytes;
    void *ctx;
    mm_status (*wait)(void *ctx, uint32_t group);
} mm_region;

typedef struct mm_exec {
    void *host;
    void *signature;
    void *scratch;
    uint64_t scratch_bytes;
    void *stream;
    void *(*scratch_more)(struct mm_exec *exec, uint64_t bytes);
    void *(*output)(struct mm_exec *exec, uint32_t index, uint64_t bytes);
    void *(*output_part)(struct mm_exec *exec, uint64_t bytes);
} mm_exec;

enum { MM_BACKEND_NESTED = 1u << 0, MM_BACKEND_OWN_MEMORY = 1u << 1, MM_BACKEND_MALLOC = 1u << 2 };

typedef struct mm_backend {
    uint32_t struct_size;
    uint32_t abi_major, abi_minor;
    uint32_t flags;
    const char *name;
    const char *version;
    const mm_format *formats;
    uint32_t format_count;
    uint32_t device_kinds;
    uint64_t state_bytes, model_bytes, signature_bytes, instance_bytes;
    mm_status (*init)(void *state, const mm_services *services, mm_error *err);
    void (*fini)(void *state);
    const char *(*layout)(void *state, int32_t device_kind);
    mm_status (*prepare)(void *state, const mm_source *source, const char *config,
                         int32_t device_kind, const mm_sink *sink, mm_error *err);
    mm_status (*open)(void *state, void *model, const mm_artifact *artifact, mm_description *out,
                      mm_error *err);
    void (*close)(void *model);
    mm_status (*size)(void *model, int32_t device_kind, void *signature, const mm_value *inputs,
                      mm_size *out, mm_error *err);
    void (*size_done)(void *signature);
    mm_status (*attach)(void *model, void *instance, const mm_device *device,
                        const mm_region *region, mm_error *err);
    void (*detach)(void *instance);
    mm_status (*infer)(void *instance, mm_exec *exec, const mm_value *inputs, mm_value *outputs,
                       mm_error *err);
} mm_backend;

typedef const mm_backend *(*mm_backend_entry_fn)(void);
#define MM_BACKEND_ENTRY_NAME "mm_backend_entry"

MM_C_END
#endif
