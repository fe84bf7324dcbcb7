/* SPDX-License-Identifier: Apache-2.0 */
/* modelmesh.h as an older minor would have had it: frozen, and without the last fields of structs
 * that may grow. Without comments. For program.c and plugin.c. */
#ifndef MODELMESH_MODELMESH_H
#define MODELMESH_MODELMESH_H

#include <modelmesh/types.h>

MM_C_BEGIN

typedef struct mm_mesh mm_mesh;
typedef struct mm_op mm_op;
typedef struct mm_binding mm_binding;
struct mm_backend;

typedef struct mm_model {
    uint64_t id;
} mm_model;

#define MM_NO_WAIT UINT64_C(1)

MM_API uint64_t mm_deadline_after(uint64_t ns);
#define MM_NAME_BYTES 256

#define MM_THREADS_NONE UINT32_MAX

typedef struct mm_device_options {
    uint32_t struct_size;
    uint32_t reserved;
    const char *name;
    uint64_t budget_bytes;
} mm_device_options;
#define MM_DEVICE_OPTIONS_INIT MM_INIT(mm_device_options)

enum { MM_MAP_AUTO = 0, MM_MAP_NEVER = 1 };

typedef struct mm_mesh_options {
    uint32_t struct_size;
    uint32_t reserved;
    const mm_device_options *devices;
    uint32_t device_count;
    uint32_t map_cache;
    const mm_allocator *allocator;
    mm_log log;
    const mm_parallel *parallel;
    uint32_t compute_threads;
    uint32_t infer_threads;
    uint32_t load_threads;
    uint32_t prepare_threads;
    const char *thread_prefix;
    const int *cpus;
    uint32_t cpu_count;
    uint32_t idle_evict;
    const char *policy;
    const char *cache_dir;
    uint64_t cache_budget_bytes;
    uint64_t artifact_budget_bytes;
    uint64_t description_budget_bytes;
    uint64_t prepare_budget_bytes;
    uint64_t drain_grace_ns;
    uint64_t min_residency_ns;
    uint64_t backoff_first_ns;
    uint64_t backoff_max_ns;
    uint32_t max_queued;
    uint32_t max_signatures;
    uint32_t max_models;
    uint32_t max_nesting;
    uint32_t event_capacity;
    uint32_t flags;
} mm_mesh_options;
#define MM_MESH_OPTIONS_INIT MM_INIT(mm_mesh_options)

MM_API void mm_mesh_options_init(mm_mesh_options *options, uint32_t struct_size);

MM_API mm_status mm_mesh_create(const mm_mesh_options *options, mm_mesh **mesh, mm_error *err);

MM_API mm_status mm_mesh_close(mm_mesh *mesh);
MM_API mm_status mm_mesh_stop(mm_mesh *mesh, uint64_t deadline_ns);
MM_API mm_status mm_mesh_free(mm_mesh **mesh);

MM_API mm_status mm_device_set_budget(mm_mesh *mesh, const char *device, uint64_t budget_bytes,
                                      mm_error *err);

typedef enum mm_class {
    MM_CLASS_DEFAULT = 0,
    MM_CLASS_LOW = 1,
    MM_CLASS_NORMAL = 2,
    MM_CLASS_HIGH = 3,
    MM_CLASS_MAX = 0x7fffffff
} mm_class;

enum { MM_MODEL_PINNED = 1u << 0, MM_MODEL_PRELOAD = 1u << 1 };

typedef struct mm_model_spec {
    uint32_t struct_size;
    uint32_t flags;
    const char *name;
    const char *source;
    const void *data;
    uint64_t data_bytes;
    const char *format;
    const char *backend;
    const char *device;
    const char *config;
    int32_t evict_class;
    uint32_t replicas;
    uint32_t max_concurrency;
    uint32_t max_queued;
    uint64_t idle_ttl_ns;
    uint64_t min_residency_ns;
} mm_model_spec;
#define MM_MODEL_SPEC_INIT MM_INIT(mm_model_spec)

MM_API void mm_model_spec_init(mm_model_spec *spec, uint32_t struct_size);

MM_API mm_status mm_register(mm_mesh *mesh, const mm_model_spec *spec, mm_model *model,
                             mm_error *err);

enum { MM_UPDATE_REPLACE = 1u << 0 };

struct mm_async;
MM_API mm_status mm_update(mm_mesh *mesh, mm_model model, const mm_model_spec *spec, uint32_t flags,
                           const struct mm_async *async, mm_op **op, mm_error *err);

MM_API mm_status mm_unregister(mm_mesh *mesh, mm_model model, mm_error *err);

MM_API mm_status mm_find(mm_mesh *mesh, const char *name, mm_model *model);

MM_API mm_status mm_pin(mm_mesh *mesh, mm_model model);
MM_API mm_status mm_unpin(mm_mesh *mesh, mm_model model);
MM_API mm_status mm_set_class(mm_mesh *mesh, mm_model model, int32_t evict_class);

typedef struct mm_model_description {
    const char *format, *backend;
    const mm_value_info *inputs, *outputs;
    uint32_t input_count, output_count;
    uint64_t weights_bytes;
    uint64_t activation_bytes;
    int32_t batch_axis;
    uint32_t serial;
    uint32_t metadata_count;
    uint32_t reserved;
    const char *const *metadata;
} mm_model_description;

MM_API mm_status mm_model_describe(mm_mesh *mesh, mm_model model, uint64_t deadline_ns,
                                   mm_model_description **description, mm_error *err);
MM_API void mm_description_free(mm_model_description *description);

typedef struct mm_request {
    uint32_t struct_size;
    int32_t priority;
    const mm_value *inputs;
    uint32_t input_count;
    uint32_t output_count;
    const char *const *outputs;
    mm_binding *binding;
} mm_request;
#define MM_REQUEST_INIT MM_INIT(mm_request)

enum { MM_RESPONSE_HIT = 1u << 0, MM_RESPONSE_ARRAY = 1u << 1 };

typedef struct mm_response {
    uint32_t struct_size;
    uint32_t flags;
    mm_value *outputs;
    uint32_t output_capacity;
    uint32_t output_count;
    uint64_t wait_ns;
    void *owned;
} mm_response;
#define MM_RESPONSE_INIT MM_INIT(mm_response)
MM_API void mm_response_free(mm_response *response);

MM_API mm_status mm_infer(mm_mesh *mesh, mm_model model, const mm_request *request,
                          mm_response *response, mm_error *err);

enum { MM_OUTPUT_EXACT = 0, MM_OUTPUT_BOUND = 1, MM_OUTPUT_UNKNOWN = 2 };
MM_API mm_status mm_output_bytes(mm_mesh *mesh, mm_model model, const mm_request *request,
                                 mm_value *outputs, uint8_t *exactness, uint32_t capacity,
                                 uint32_t *count, mm_error *err);

MM_API mm_status mm_bind(mm_mesh *mesh, mm_model model, const char *const *inputs,
                         uint32_t input_count, const char *const *outputs, uint32_t output_count,
                         mm_binding **binding, mm_error *err);
MM_API void mm_binding_free(mm_binding *binding);

typedef struct mm_async {
    uint32_t struct_size;
    uint32_t flags;
    uint64_t deadline_ns;
    int32_t priority;
    uint32_t reserved;
} mm_async;
#define MM_ASYNC_INIT MM_INIT(mm_async)
enum { MM_ASYNC_QUEUE = 1u << 0, MM_ASYNC_RETRY = 1u << 1 };

MM_API mm_status mm_infer_async(mm_mesh *mesh, mm_model model, const mm_request *request,
                                mm_response *response, const mm_async *async, mm_op **op,
                                mm_error *err);

MM_API mm_status mm_load(mm_mesh *mesh, mm_model model, const mm_async *async, mm_op **op,
                         mm_error *err);
MM_API mm_status mm_prepare(mm_mesh *mesh, mm_model model, const mm_async *async, mm_op **op,
                            mm_error *err);

MM_API mm_status mm_op_wait(mm_op *op, uint64_t deadline_ns, mm_error *err);

MM_API mm_status mm_op_poll(mm_op *op, mm_error *err);

MM_API void mm_op_cancel(mm_op *op);
typedef enum mm_stage {
    MM_STAGE_QUEUED = 0,
    MM_STAGE_PREPARING = 1,
    MM_STAGE_WAITING = 2,
    MM_STAGE_LOADING = 3,
    MM_STAGE_RUNNING = 4,
    MM_STAGE_DONE = 5,
    MM_STAGE_MAX = 0x7fffffff
} mm_stage;
typedef struct mm_progress {
    uint32_t struct_size;
    int32_t stage;
    uint32_t permille;
    uint32_t reserved;
} mm_progress;
#define MM_PROGRESS_INIT MM_INIT(mm_progress)
MM_API mm_status mm_op_progress(mm_op *op, mm_progress *progress);
MM_API void *mm_op_user(mm_op *op);

MM_API void mm_op_free(mm_op *op);

MM_API mm_status mm_ops_next(mm_mesh *mesh, mm_op **op);
MM_API int mm_ops_eventfd(mm_mesh *mesh);

MM_API mm_status mm_evict(mm_mesh *mesh, mm_model model, uint64_t deadline_ns, mm_error *err);

typedef struct mm_plan {
    uint32_t struct_size;
    int32_t status;
    char device[64];
    uint64_t needed_bytes;
    uint64_t free_bytes;
    uint32_t estimated;
    uint32_t resident;
} mm_plan;
#define MM_PLAN_INIT MM_INIT(mm_plan)

MM_API mm_status mm_plan_load(mm_mesh *mesh, mm_model model, mm_plan *plan, mm_error *err);

typedef enum mm_model_state {
    MM_STATE_COLD = 0,
    MM_STATE_PREPARING = 1,
    MM_STATE_LOADING = 2,
    MM_STATE_READY = 3,
    MM_STATE_DRAINING = 4,
    MM_STATE_RECLAIMABLE = 5,
    MM_STATE_UNLOADING = 6,
    MM_STATE_FAILED = 7,
    MM_STATE_MAX = 0x7fffffff
} mm_model_state;

typedef struct mm_model_info {
    uint32_t struct_size;
    int32_t state;
    char name[MM_NAME_BYTES];
    char device[64];
    uint32_t pinned, updating, prepared;
    int32_t evict_class;
    uint32_t leases;
    uint32_t queued;
    uint64_t version;
    uint64_t weights_bytes;
    uint64_t activation_bytes;
    uint64_t own_bytes;
    uint64_t description_bytes;
    uint64_t artifact_bytes;
    uint64_t idle_ns;
    uint64_t requests, hits, loads, evictions, failures;
    uint64_t load_ns, prepare_ns;
    uint64_t retry_after_ns;
} mm_model_info;
#define MM_MODEL_INFO_INIT MM_INIT(mm_model_info)
MM_API mm_status mm_model_info_get(mm_mesh *mesh, mm_model model, mm_model_info *info);

MM_API uint64_t mm_models(mm_mesh *mesh, mm_model *models, uint64_t capacity);

typedef struct mm_device_stats {
    char name[64];
    int32_t kind;
    uint32_t lost;
    uint64_t budget_bytes;
    uint64_t used_bytes;
    uint64_t weights_bytes;
    uint64_t reclaimable_bytes;
    uint64_t scratch_bytes;
    uint64_t reserve_bytes;
    uint64_t peak_bytes;
    uint64_t leaked_bytes;
    uint64_t loads, evictions;
    uint32_t instances;
    uint32_t reserved;
} mm_device_stats;

typedef struct mm_mesh_stats {
    uint32_t struct_size;
    uint32_t device_count;
    uint64_t models, resident;
    uint64_t requests, hits, misses, joins, failed;
    uint64_t loads, load_failures, evictions, revivals, refusals, prepares;
    uint64_t bytes_loaded;
    uint64_t queued;
    uint64_t metadata_bytes;
    uint64_t description_bytes;
    uint64_t artifact_bytes;
    uint64_t cache_bytes;
} mm_mesh_stats;
#define MM_MESH_STATS_INIT MM_INIT(mm_mesh_stats)
MM_API mm_status mm_mesh_stats_get(mm_mesh *mesh, mm_mesh_stats *stats);

MM_API uint64_t mm_metrics_text(mm_mesh *mesh, char *text, uint64_t room);

typedef enum mm_event_kind {
    MM_EVENT_REGISTER = 1,
    MM_EVENT_UNREGISTER = 2,
    MM_EVENT_UPDATE = 3,
    MM_EVENT_PREPARE_BEGIN = 4,
    MM_EVENT_PREPARE_END = 5,
    MM_EVENT_LOAD_BEGIN = 6,
    MM_EVENT_LOAD_END = 7,
    MM_EVENT_LOAD_FAILED = 8,
    MM_EVENT_DRAIN = 9,
    MM_EVENT_EVICT = 10,
    MM_EVENT_REVIVE = 11,
    MM_EVENT_SWITCH = 12,
    MM_EVENT_REFUSE = 13,
    MM_EVENT_DEVICE_LOST = 14,
    MM_EVENT_BUDGET = 15,
    MM_EVENT_ARTIFACT_DROPPED = 16,
    MM_EVENT_LEAK = 17,
    MM_EVENT_DETACH = 18,
    MM_EVENT_KIND_MAX = 0x7fffffff
} mm_event_kind;

typedef struct mm_event {
    uint64_t sequence;
    uint64_t time_ns;
    int32_t kind;
    int32_t status;
    uint64_t bytes, duration_ns, idle_ns;
    char model[64], other[64], device[32], policy[16], reason[32];
} mm_event;

MM_API mm_status mm_events_next(mm_mesh *mesh, uint64_t *cursor, mm_event *event, uint64_t *lost);

MM_API uint64_t mm_event_text(const mm_event *event, char *text, uint64_t room);

typedef struct mm_cache_report {
    uint32_t struct_size;
    uint32_t reserved;
    uint64_t entries, bytes;
    uint64_t damaged, removed;
    uint64_t foreign;
} mm_cache_report;
#define MM_CACHE_REPORT_INIT MM_INIT(mm_cache_report)

MM_API mm_status mm_cache_verify(const char *cache_dir,
                                 void (*progress)(void *user, uint64_t done, uint64_t total),
                                 void *user, mm_cache_report *report, mm_error *err);

MM_API mm_status mm_backend_register(mm_mesh *mesh, const struct mm_backend *backend,
                                     mm_error *err);

MM_API mm_status mm_backend_load(mm_mesh *mesh, const char *path, mm_error *err);

struct DLManagedTensorVersioned;
MM_API mm_status mm_value_from_dlpack(struct DLManagedTensorVersioned *managed, mm_value *value,
                                      mm_error *err);
MM_API mm_status mm_value_to_dlpack(const mm_value *value, void (*release)(void *user), void *user,
                                    struct DLManagedTensorVersioned **managed, mm_error *err);

MM_API const char *mm_version(void);
typedef struct mm_abi_entry {
    const char *name;
    uint64_t value;
} mm_abi_entry;

MM_API const mm_abi_entry *mm_abi_table(uint32_t *major, uint32_t *minor);

MM_C_END
#endif
