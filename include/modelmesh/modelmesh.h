/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MODELMESH_MODELMESH_H
#define MODELMESH_MODELMESH_H

/* libmodelmesh: many more models than fit in memory, in one process.
 *
 *     mm_mesh *mesh;
 *     mm_model model;
 *     mm_mesh_create(NULL, &mesh, NULL);
 *     mm_model_spec spec = MM_MODEL_SPEC_INIT;
 *     spec.name = "ocr";
 *     spec.source = "models/ocr.onnx";
 *     mm_register(mesh, &spec, &model, NULL);           // microseconds; touches no file
 *     mm_infer(mesh, model, &request, &response, &err); // loads it if it is cold
 *     mm_evict(mesh, model, MM_NO_WAIT, NULL);          // rarely needed: room is made by itself
 *     mm_mesh_free(&mesh);
 *
 * Terms. A model is a registered name and its settings; a version is its content; an instance is
 * one version resident on one device. A request to a resident model is a hit and takes no lock. A
 * request to a cold one waits for the load, which all waiters share. When memory is short, the
 * least recently used instances are evicted: never one that is in use, being loaded, or pinned.
 *
 * Threads. Every call on a mesh may be made from any thread at any time, except mm_mesh_free. An
 * op, response or binding must not be used by one call while another changes it. mm_infer on one
 * model from many threads runs in parallel, unless the model's description says that it is serial;
 * then the requests queue. Blocking calls are marked (blocks); all others return within
 * microseconds.
 *
 * Memory. Every array, string and struct given to a call is read until it returns (async: until the
 * completion was observed, also after a cancel) and copied if it is needed longer. Text that comes
 * out is copied into the caller's memory. Text calls return the bytes needed, including the final
 * NUL; with less room they write what fits, NUL-terminated. NULL with 0 only asks for the size.
 *
 * Errors. A call that can fail for more than a bad handle takes an mm_error last; NULL is fine. Out
 * parameters are written on success only, unless said otherwise. Any NULL where none is allowed,
 * and any value out of range, is MM_INVALID_ARGUMENT with the parameter's name. In a forked child
 * every call about a mesh or an op is MM_FORKED; calls that return nothing do nothing. free of NULL
 * does nothing.
 *
 * Time. deadline_ns is a point on CLOCK_MONOTONIC, in every call: mm_deadline_after(ns) makes one.
 * 0 = none: wait without bound. One that has passed is MM_DEADLINE at once, and nothing was
 * started. It bounds the caller's waiting, not the load (which goes on for the next one, unless it
 * still waits for memory) and not a kernel that runs; nor, in a mesh without threads, the work that
 * the caller does itself meanwhile. MM_NO_WAIT = only what can be had at once: MM_NOT_RESIDENT when
 * the model (or what is wanted of it) is not there, MM_BUSY when it is in use. */

#include <modelmesh/types.h>

MM_C_BEGIN

typedef struct mm_mesh mm_mesh;
typedef struct mm_op mm_op;
typedef struct mm_binding mm_binding;
struct mm_backend;

/* A registered model. Plain value: copy it, store it. {0} is no model. A handle whose model was
 * unregistered is MM_STALE_HANDLE for ever. */
typedef struct mm_model {
    uint64_t id;
} mm_model;

#define MM_NO_WAIT UINT64_C(1) /* as deadline_ns */
/* The deadline that is `ns` from now on CLOCK_MONOTONIC; UINT64_MAX when that is too far. */
MM_API uint64_t mm_deadline_after(uint64_t ns);
#define MM_NAME_BYTES 256 /* room for a model's name, the final NUL included */

/* ---- Mesh ----------------------------------------------------------------------------------- */

#define MM_THREADS_NONE UINT32_MAX

/* A memory that can hold models. */
typedef struct mm_device_options {
    uint32_t struct_size;
    uint32_t reserved;
    /* "host", "sim" or "cuda:N", with an optional label: "sim/pod1", "host/numa0". The label, or
     * else the whole, is the device's name; names are distinct */
    const char *name;
    uint64_t budget_bytes;        /* for weights and activations; >= 2 MiB */
    uint64_t sim_ns_per_mib;      /* sim: time to copy 1 MiB in; 0 = as fast as memory */
    uint64_t sim_load_delay_ns;   /* sim: added to every load, and to nothing else; 0 = none */
    uint64_t sim_out_ns_per_mib;  /* sim: time to copy 1 MiB out; 0 = as fast as memory */
    uint64_t sim_copy_latency_ns; /* sim: added to every copy, in and out; 0 = none */
} mm_device_options;
#define MM_DEVICE_OPTIONS_INIT MM_INIT(mm_device_options)

enum { MM_MAP_AUTO = 0, MM_MAP_NEVER = 1 }; /* prepared models may be memory-mapped */

typedef struct mm_mesh_options {
    uint32_t struct_size;
    uint32_t reserved;
    /* [device_count], each with the same struct_size. NULL: one "host" whose budget is half of
     * MemAvailable or of the cgroup's limit (v1 or v2, the smallest on the way up), whichever is
     * smaller; at least 2 MiB, and 64 MiB where the kernel tells neither. mm_device_stats shows
     * it */
    const mm_device_options *devices;
    uint32_t device_count;         /* at most 64 */
    uint32_t map_cache;            /* MM_MAP_*; never on network file systems */
    const mm_allocator *allocator; /* NULL: malloc; mmap from 1 MiB on */
    mm_log log;                    /* line NULL: no log */
    const mm_parallel *parallel;   /* the host's parallel_for; NULL: threads of the mesh */
    uint32_t compute_threads;      /* for one inference, the caller included; 0: CPUs allowed */
    /* If any of the next three is MM_THREADS_NONE, the mesh has no threads: loads run on the
     * caller; calls that need a thread (async, TTL, preload) are MM_UNSUPPORTED. */
    uint32_t infer_threads;    /* async inferences at once; at most 4096; 0: CPUs allowed */
    uint32_t load_threads;     /* loads at once; at most 4096; 0: 2 */
    uint32_t prepare_threads;  /* preparations at once; at most 4096; 0: 1 */
    const char *thread_prefix; /* names are <prefix>-load-0; at most 7 bytes; NULL: "mm" */
    const int *cpus;           /* affinity of our threads; NULL: inherited */
    uint32_t cpu_count;
    /* 1: free evicted bytes at once; 0: when they are needed */
    uint32_t idle_evict;
    const char *policy; /* NULL: "lru" */
    /* folder of prepared models, for other processes and later times; NULL, and where it is full or
     * cannot be written: they are in tmp_dir, under the budget below. Must belong to the caller and
     * be 0700, else MM_CACHE_NOT_OWNED; created if it is missing */
    const char *cache_dir;
    uint64_t cache_budget_bytes; /* of cache_dir; 0: no limit */
    /* prepared models in tmp_dir; 0: a quarter of what is free there, or, in memory (also where
     * tmp_dir is a tmpfs), of MemAvailable or of the cgroup's limit, whichever is smaller. Where
     * memory stands in for a folder, so much is kept there at most. On the host a loaded model is
     * mapped from there, as from cache_dir, so its weights are in memory once. Contents that no
     * model has any more are kept too, and leave first: they are the least recently used. It says
     * what is kept, not what may be loaded: what finds no room is there for its load, on the host
     * as long as it is mapped, and is prepared again for the next load */
    uint64_t artifact_budget_bytes;
    /* open descriptions and signatures of models that are not resident; 0: 64 MiB */
    uint64_t description_budget_bytes;
    /* source bytes being prepared at once; one model always may; 0: 1 GiB */
    uint64_t prepare_budget_bytes;
    /* a load that needs the room of models in use drains them after this long; 0: 10 ms */
    uint64_t drain_grace_ns;
    /* a loaded model stays at least this long; 0: twice its own load time, at most 100 ms */
    uint64_t min_residency_ns;
    uint64_t backoff_first_ns; /* after a first failure; doubles with each; 0: 100 ms */
    uint64_t backoff_max_ns;   /* 0: 60 s */
    uint32_t max_queued;       /* requests that wait, in the whole mesh; 0: 65536 */
    uint32_t max_signatures;   /* input shapes remembered per model; at most 65536; 0: 16 */
    uint32_t max_models;       /* registered at once; 0: 16,777,216 */
    uint32_t max_nesting;      /* that a parser follows in a model file; 0: 64 */
    uint32_t event_capacity;   /* of the decision log; 0: 4096 */
    uint32_t flags;            /* 0 */
    uint64_t cpu_features;     /* mask of MM_CPU_*; 0: all that this CPU has (tests) */
    const char *boot_id;       /* NULL: the kernel's (tests) */
    /* of one loop in one run; one that goes on is MM_UNSUPPORTED; 0: 16,777,216 */
    uint64_t max_iterations;
    /* folder of files without a name, for prepared models that are not in cache_dir; they end with
     * the mesh. NULL: /var/tmp. "", and where the folder is missing, full or cannot be written:
     * memory (memfd). MM_INVALID_ARGUMENT: it is not a folder. A relative one is taken from where
     * the process is now */
    const char *tmp_dir;
} mm_mesh_options;
#define MM_MESH_OPTIONS_INIT MM_INIT(mm_mesh_options)
/* The macro as a function: struct_size is the caller's sizeof(mm_mesh_options). */
MM_API void mm_mesh_options_init(mm_mesh_options *options, uint32_t struct_size);

/* Make a mesh and its threads. options NULL: all defaults. */
MM_API mm_status mm_mesh_create(const mm_mesh_options *options, mm_mesh **mesh, mm_error *err);

/* Three calls end a mesh. close: never blocks, may be repeated; new calls, waiters and queued ops
 * end MM_CLOSED, running inferences finish. stop (blocks): close, then wait until all of it has
 * ended and our threads are joined; may be repeated. MM_BUSY for MM_NO_WAIT while something runs or
 * is not unloaded yet (which has begun then), and from inside a backend's call, a callback or a
 * line of the log. free (blocks): stop without bound, then frees and sets *mesh NULL; MM_BUSY,
 * pointer kept, from inside the same. No other call may be in progress during free. Open ops,
 * bindings and responses survive it: ops are complete, bindings are MM_CLOSED. */
MM_API mm_status mm_mesh_close(mm_mesh *mesh);
MM_API mm_status mm_mesh_stop(mm_mesh *mesh, uint64_t deadline_ns);
MM_API mm_status mm_mesh_free(mm_mesh **mesh);

/* Move a device's budget. Growing takes effect at once. Shrinking evicts what policy chooses until
 * the rest fits (blocks until their memory is back, which is work, not a wait). What is leased or
 * pinned is not waited for: MM_BUSY, and the old budget holds. min_residency does not count. From
 * inside a backend's call, infer excepted, or a line of the log: MM_BUSY if anybody must leave. */
MM_API mm_status mm_device_set_budget(mm_mesh *mesh, const char *device, uint64_t budget_bytes,
                                      mm_error *err);

/* Memory of a device for inputs and outputs; location: MM_ON_DEVICE(index). bytes >= 1; contents
 * undefined; aligned to 256. It counts for the device's budget (used_bytes) until it is freed, and
 * no model can make it leave: what is allocated here is lost to them, and a model that then fits
 * nowhere is MM_ALL_PINNED. Idle models leave for it as for the activations of a model of
 * MM_CLASS_NORMAL (blocks until they are detached, which is work); nobody is waited for: MM_BUSY,
 * needed_bytes and available_bytes say what is missing. MM_TOO_LARGE, MM_ALL_PINNED, MM_NO_MEMORY,
 * MM_DEVICE_LOST, MM_CLOSED. On a host device it is ordinary memory. */
MM_API mm_status mm_device_alloc(mm_mesh *mesh, uint32_t location, uint64_t bytes, void **memory,
                                 mm_error *err);
/* No request uses it any more, and all that streams do with it is over. NULL does nothing, MM_OK;
 * MM_NOT_FOUND: not allocated there. Also after close and stop, and when the device is lost; what
 * is left when the mesh is freed is freed with it, and the log says so. */
MM_API mm_status mm_device_free(mm_mesh *mesh, uint32_t location, void *memory);
/* The bytes of a tensor, without strings, from where it lies to where `to` lies: between the host
 * and a device, or inside of one; of both only data, bytes (of `to`: the capacity) and flags are
 * looked at beside kind and dtype. Host memory need not be page-locked. They do not overlap on a
 * device. stream: of that device, NULL: none; the copy comes after all that was put on it. (blocks)
 * until the copy is over. MM_BUFFER_TOO_SMALL; MM_UNSUPPORTED: from one device to another. */
MM_API mm_status mm_value_copy(mm_mesh *mesh, const mm_value *from, const mm_value *to,
                               void *stream, mm_error *err);

/* ---- Asynchronous calls --------------------------------------------------------------------- */

/* How the end of an asynchronous call is reported. */
typedef struct mm_async {
    uint32_t struct_size;
    uint32_t flags;       /* MM_ASYNC_* */
    uint64_t deadline_ns; /* of the wait; mm_infer_async uses the request's */
    int32_t priority;     /* mm_load, mm_prepare */
    uint32_t reserved;
    /* Called exactly once, when the op is complete: on one thread of the mesh, no lock held, never
     * after mm_mesh_stop returned. Outputs are visible to it. First the callback, then who waits:
     * when mm_op_wait or mm_op_poll tells the end, or mm_ops_next delivers the op, it has returned,
     * so `user` may be freed then. Inside a callback the op itself (and any other) is over as soon
     * as it is complete. May call anything but stop and free of the mesh; may free its op. NULL:
     * none. */
    void (*callback)(void *user, mm_op *op);
    void *user;
} mm_async;
#define MM_ASYNC_INIT MM_INIT(mm_async)
enum {
    MM_ASYNC_QUEUE = 1u << 0, /* deliver it through mm_ops_next too */
    MM_ASYNC_RETRY = 1u << 1  /* mm_load, mm_prepare: forget a remembered failure first */
};

/* ---- Models --------------------------------------------------------------------------------- */

typedef enum mm_class {
    MM_CLASS_DEFAULT = 0, /* normal */
    MM_CLASS_LOW = 1,     /* leaves first */
    MM_CLASS_NORMAL = 2,
    MM_CLASS_HIGH = 3, /* evicted only for its own class */
    MM_CLASS_MAX = 0x7fffffff
} mm_class;

enum {
    MM_MODEL_PINNED = 1u << 0, /* never chosen by the policy. Loads nothing by itself */
    MM_MODEL_PRELOAD = 1u << 1 /* load right after registering, in the background */
};

/* The source has another content than the model, without mm_update. What is resident serves on; so
 * does what comes back without a load. At the next load, of models whose backend prepares: */
typedef enum mm_source_changes {
    MM_CHANGES_DEFAULT = 0, /* serve the old */
    /* the source is not looked at: the old content is served while its prepared bytes are kept;
     * once they were dropped, loads are MM_SOURCE_CHANGED */
    MM_CHANGES_SERVE_OLD = 1,
    /* the load is MM_SOURCE_CHANGED, remembered as other failures are, until mm_update or until the
     * old content is back. A source that cannot be looked at is refused with the reason */
    MM_CHANGES_REFUSE = 2,
    /* an update to the new content (mm_update without flags, so the version counts on): prepared,
     * then in the place of the old. One that cannot be prepared, or found, is remembered with
     * back-off (mm_model_info.error), and the old is served while its prepared bytes are kept */
    MM_CHANGES_FOLLOW = 3,
    MM_CHANGES_MAX = 0x7fffffff
} mm_source_changes;
/* REFUSE and FOLLOW cost each load a look at the source: of a file its size and times, and its
 * siblings'; bytes in memory, and files that changed within the last 20 ms, are read. */

typedef struct mm_model_spec {
    uint32_t struct_size;
    uint32_t flags;   /* MM_MODEL_* */
    const char *name; /* 1 .. 255 bytes, unique in the mesh; '/' is fine */
    /* path of a file, or of a folder with model.onnx or 1/model.onnx. Not looked at before the
     * first load. New content under it wants mm_update; see source_changes */
    const char *source;
    /* instead of source: the model's bytes in the caller's memory; else NULL. Valid until
     * mm_unregister, or an update to other data, returned (or its operation ended): nothing reads
     * them from then on. Those of an update that failed are free as soon as it did; MM_DEADLINE is
     * no failure, that update goes on */
    const void *data;
    uint64_t data_bytes;
    const char *format;        /* NULL: by suffix, then by the first bytes */
    const char *backend;       /* NULL: whoever claims the format */
    const char *device;        /* NULL: any device that the backend can use; else that one */
    const char *config;        /* "key=value,..." for the backend; NULL: none */
    int32_t evict_class;       /* mm_class */
    uint32_t replicas;         /* the most copies, one a device; 0: 1. See below */
    uint32_t max_concurrency;  /* inferences at once; 0: no limit */
    uint32_t max_queued;       /* requests that wait for this model; 0: the mesh's */
    uint64_t idle_ttl_ns;      /* evict after this long without a request; 0: never */
    uint64_t min_residency_ns; /* 0: the mesh's */
    /* Shapes to prepare with each load, so that the first request of such a shape is not slower:
     * "x=1x3x640x640,mask=1x640;x=8x3x640x640", ';' between requests. Inputs left out are absent if
     * optional, else of their fixed shape; a shape input cannot be named. A shape that the model
     * does not take is skipped and logged. NULL: none */
    const char *warm_up;
    uint32_t min_replicas;  /* copies once it is resident, as far as devices have room; 0: one */
    int32_t source_changes; /* mm_source_changes */
} mm_model_spec;
/* Copies. A request goes to the copy with the fewest running. One more is loaded, on a device that
 * has none, when requests queue for the model and nobody has to leave there who is used more than
 * the copy would be; up to min_replicas without that requests queue. A spare copy is the first to
 * leave when memory is short. When a device is lost the other copies serve on. */
#define MM_MODEL_SPEC_INIT MM_INIT(mm_model_spec)
/* The macro as a function: struct_size is the caller's sizeof(mm_model_spec). */
MM_API void mm_model_spec_init(mm_model_spec *spec, uint32_t struct_size);

/* Register: microseconds, loads nothing, touches no file. MM_EXISTS when the name is taken. */
MM_API mm_status mm_register(mm_mesh *mesh, const mm_model_spec *spec, mm_model *model,
                             mm_error *err);

enum {
    MM_UPDATE_REPLACE = 1u << 0, /* if both do not fit, unload the old first */
    MM_UPDATE_RESET = 1u << 1    /* the spec's zeros are its defaults, not "as it was" */
};
/* Point the model to new content (a version is its content). name: NULL or the model's own. What
 * the spec leaves 0 or NULL stays as it was: pin, class and limits too, and the source with data;
 * with MM_UPDATE_RESET the spec replaces all of the old one. PRELOAD has no meaning here. async
 * NULL: defaults; its deadline bounds the wait, the update goes on; MM_NO_WAIT is none of its
 * values, and priority and RETRY are not looked at. The handle stays valid. Cold: only re-pointed,
 * and requests that wait take the new; but the third update in a row while they wait is held until
 * what they wait for was loaded, or failed, so that updates do not starve them. Resident:
 * the new version loads beside the old, then takes over; queued requests use the new, running ones
 * finish on the old. If both do not fit: MM_TOO_LARGE and the old stays in service, unless
 * MM_UPDATE_REPLACE. If the new one fails in any way, the old stays in service. Another update
 * before it is decided takes its place: MM_CANCELLED. op NULL: (blocks) until it is decided, and is
 * MM_INVALID_STATE inside a backend's call; else *op completes then. */
MM_API mm_status mm_update(mm_mesh *mesh, mm_model model, const mm_model_spec *spec, uint32_t flags,
                           const mm_async *async, mm_op **op, mm_error *err);

/* The name is free at return; waiters end MM_UNREGISTERED (also those that wait for memory of their
 * activations), running requests finish, then the memory is freed. The source may be deleted after
 * return. */
MM_API mm_status mm_unregister(mm_mesh *mesh, mm_model model, mm_error *err);

/* Name to handle, tens of nanoseconds. MM_NOT_FOUND. */
MM_API mm_status mm_find(mm_mesh *mesh, const char *name, mm_model *model);

/* Pin and unpin: a flag that survives reloads; loads nothing, evicts nothing. */
MM_API mm_status mm_pin(mm_mesh *mesh, mm_model model);
MM_API mm_status mm_unpin(mm_mesh *mesh, mm_model model);
MM_API mm_status mm_set_class(mm_mesh *mesh, mm_model model, int32_t evict_class);

/* ---- Description ---------------------------------------------------------------------------- */

/* What goes in and comes out. One block of memory of the mesh's allocator: free it with
 * mm_description_free, also after the mesh is gone. */
typedef struct mm_model_description {
    const char *format, *backend;
    const mm_value_info *inputs, *outputs;
    uint32_t input_count, output_count;
    uint64_t weights_bytes;    /* packed, as they will lie in the device */
    uint64_t activation_bytes; /* estimate, or what was measured */
    int32_t batch_axis;        /* -1: none */
    uint32_t serial;           /* 1: inferences queue */
    uint32_t metadata_count;
    uint32_t reserved;
    const char *const *metadata; /* [2 * metadata_count] */
} mm_model_description;
/* Prepares the model if that was never done (blocks). */
MM_API mm_status mm_model_describe(mm_mesh *mesh, mm_model model, uint64_t deadline_ns,
                                   mm_model_description **description, mm_error *err);
MM_API void mm_description_free(mm_model_description *description);

/* ---- Inference ------------------------------------------------------------------------------ */

typedef struct mm_request {
    uint32_t struct_size;
    int32_t priority; /* of those that wait, higher goes first; default 0. Not an eviction class */
    const mm_value *inputs; /* by name; with a binding by position */
    uint32_t input_count;
    uint32_t output_count;      /* 0: all outputs */
    const char *const *outputs; /* names wanted; NULL with a binding */
    mm_binding *binding;        /* NULL: none */
    uint64_t deadline_ns;
    /* A stream of the device `stream_location` (CUDA: a CUstream), NULL: none. Values on that
     * device are read and written in its order: inputs after all that was put on it before. Without
     * one they must be there already. Stays open, and nothing else is put on it, until the request
     * is over: the run itself may be on it */
    void *stream;
    uint32_t stream_location; /* MM_ON_DEVICE(index) */
    uint32_t reserved;
} mm_request;
#define MM_REQUEST_INIT MM_INIT(mm_request)

enum {
    MM_RESPONSE_HIT = 1u << 0,  /* the model was resident (or reclaimable) when the request came */
    MM_RESPONSE_ARRAY = 1u << 1 /* `outputs` is the library's: mm_response_free takes it back */
};

/* Outputs come back in the order in which the request or its binding names them, else in the
 * model's.
 *
 * The caller's buffers: outputs != NULL, output_capacity of them; where outputs[i].data != NULL,
 * its `bytes` is the capacity and the result is written there. If any is too small:
 * MM_BUFFER_TOO_SMALL, nothing written, every outputs[i].bytes is the need. For strings `offsets`
 * must be there too, with room for item_count entries (the need comes back there); sequences,
 * optionals and maps are always the library's. outputs[i].name is left as it is.
 * On a device: inputs, and buffers of the caller, whose flags say so. A backend that can take them
 * where they lie does when it runs on that device, and of several copies of a model, equally busy,
 * one there is taken. Else, and for other devices, the library copies them through host memory.
 * When the request is over the outputs are there, for every stream: there is no form that returns
 * before (mm_infer_async does, and its completion says so too). Of an output whose size was not
 * known before the run a buffer on a device may hold a part when another was too small, and any may
 * after a failure. MM_INVALID_ARGUMENT: no such device; MM_UNSUPPORTED: strings, or a value inside
 * of another.
 * The library's: where data is NULL, or outputs is NULL, memory of the mesh's allocator, owned by
 * the response until mm_response_free, valid after the mesh is gone. Never aliases an instance. The
 * mesh keeps up to 64 MiB of it for later responses.
 *
 * A response is used by one request at a time. Zero it (MM_RESPONSE_INIT) before the first use;
 * free it before using it again. On failure it owns nothing. */
typedef struct mm_response {
    uint32_t struct_size;
    uint32_t flags;    /* MM_RESPONSE_*; written also on failure */
    mm_value *outputs; /* the caller's array, or NULL */
    uint32_t output_capacity;
    uint32_t output_count; /* written */
    uint64_t wait_ns;      /* written: for a miss, time until the model could run; for a hit 0 */
    void *owned;           /* the library's */
} mm_response;
#define MM_RESPONSE_INIT MM_INIT(mm_response)
MM_API void mm_response_free(mm_response *response);

/* Run a model (blocks), loading it if it is cold. Ends by answer, error, deadline, unregister or
 * close. When its device is lost while it runs, it runs again on another. Takes at most 64 KiB of
 * the caller's stack, plus what the backend's kernels take. Statuses beyond the usual ones:
 * MM_NOT_RESIDENT (MM_NO_WAIT and cold), MM_OVERLOADED, MM_TOO_LARGE, MM_ALL_PINNED,
 * MM_NO_ROOM_FOR_ACTIVATIONS (the instance stays, smaller requests run), MM_DEVICE_LOST (no other
 * can run it), MM_INVALID_STATE (called from a backend's infer that did not declare itself nested),
 * MM_BUSY (such a nested call that would have to wait for others to leave), and whatever the load
 * failed with. */
MM_API mm_status mm_infer(mm_mesh *mesh, mm_model model, const mm_request *request,
                          mm_response *response, mm_error *err);

/* Sizes for a given request, without running it. Prepares the model if that was never done
 * (blocks). outputs: [capacity], filled with dtype, rank, shape, bytes (data untouched) of the
 * outputs wanted; exactness: [capacity] of MM_OUTPUT_*, or NULL. *count: how many there are, also
 * when capacity is less (then MM_BUFFER_TOO_SMALL). */
enum { MM_OUTPUT_EXACT = 0, MM_OUTPUT_BOUND = 1, MM_OUTPUT_UNKNOWN = 2 };
MM_API mm_status mm_output_bytes(mm_mesh *mesh, mm_model model, const mm_request *request,
                                 mm_value *outputs, uint8_t *exactness, uint32_t capacity,
                                 uint32_t *count, mm_error *err);

/* What the backend tells of the model as it runs for this request's shapes, on the first of the
 * mesh's devices that it can use: a JSON object, whose keys are the backend's (docs/onnx.md has
 * those of onnx: steps and their kernels, memory, times of the runs so far). Runs nothing; prepares
 * the model if that was never done (blocks). Memory of the mesh's allocator: free it with
 * mm_report_free, also after the mesh is gone. MM_UNSUPPORTED: the backend has no report. */
MM_API mm_status mm_model_report(mm_mesh *mesh, mm_model model, const mm_request *request,
                                 char **report, mm_error *err);
MM_API void mm_report_free(char *report);

/* A binding resolves names once: requests that carry it give inputs by position and get outputs by
 * position. Names of inputs left out must be optional. Survives eviction and reloading; after an
 * update that changed inputs or outputs it is MM_STALE_BINDING. Prepares the model if needed
 * (blocks). output_count 0: all. One binding may serve many requests at once. */
MM_API mm_status mm_bind(mm_mesh *mesh, mm_model model, const char *const *inputs,
                         uint32_t input_count, const char *const *outputs, uint32_t output_count,
                         mm_binding **binding, mm_error *err);
MM_API void mm_binding_free(mm_binding *binding);

/* ---- Operations ----------------------------------------------------------------------------- */

/* As mm_infer, without blocking. request and response, and all they point to, stay valid and
 * untouched until the completion was observed. async NULL: defaults. */
MM_API mm_status mm_infer_async(mm_mesh *mesh, mm_model model, const mm_request *request,
                                mm_response *response, const mm_async *async, mm_op **op,
                                mm_error *err);
/* Make a model resident, or only prepare it. Gives no lease: it may be evicted the next moment.
 * op NULL: (blocks) until done; MM_INVALID_STATE inside a backend's call. */
MM_API mm_status mm_load(mm_mesh *mesh, mm_model model, const mm_async *async, mm_op **op,
                         mm_error *err);
MM_API mm_status mm_prepare(mm_mesh *mesh, mm_model model, const mm_async *async, mm_op **op,
                            mm_error *err);

/* Wait (blocks) for completion: the op's status, with its error. MM_PENDING when the deadline came
 * first: MM_DEADLINE would be the op's own. Inside a call of a backend of the same mesh, where the
 * op may wait for this call: MM_INVALID_STATE instead of blocking. */
MM_API mm_status mm_op_wait(mm_op *op, uint64_t deadline_ns, mm_error *err);
/* The same with MM_NO_WAIT: MM_PENDING or the op's status. */
MM_API mm_status mm_op_poll(mm_op *op, mm_error *err);
/* Request cancellation. Completes MM_CANCELLED unless it is done first or runs in a backend's
 * infer. What is prepared or loaded for others, too, goes on; what nobody else waits for ends as
 * soon as it can. An update is taken back: what served serves on. */
MM_API void mm_op_cancel(mm_op *op);
typedef enum mm_stage {
    MM_STAGE_QUEUED = 0,
    MM_STAGE_PREPARING = 1,
    MM_STAGE_WAITING = 2, /* for memory */
    MM_STAGE_LOADING = 3,
    MM_STAGE_RUNNING = 4,
    MM_STAGE_DONE = 5,
    MM_STAGE_MAX = 0x7fffffff
} mm_stage;
typedef struct mm_progress {
    uint32_t struct_size;
    int32_t stage;     /* mm_stage */
    uint32_t permille; /* of the stage: preparing, loading */
    uint32_t reserved;
    /* loading: of the weights; preparing: read of the source so far, total 0 (the backend decides
     * what it reads, and how often) */
    uint64_t done_bytes, total_bytes;
} mm_progress;
#define MM_PROGRESS_INIT MM_INIT(mm_progress)
MM_API mm_status mm_op_progress(mm_op *op, mm_progress *progress);
MM_API void *mm_op_user(mm_op *op); /* async.user */
/* Give up the handle. An op that still runs goes on, and its callback is still called. One with
 * MM_ASYNC_QUEUE that mm_ops_next has not delivered yet is delivered all the same: free it then.
 * Not early while another thread is inside of mm_ops_next. */
MM_API void mm_op_free(mm_op *op);

/* Next completed op that was started with MM_ASYNC_QUEUE, in order of completion; MM_NONE when
 * there is none, MM_CLOSED when the mesh is stopped and none will come. The descriptor (one eventfd
 * a mesh, made at the first call, -1 on failure, the mesh's) is readable while ops are queued. */
MM_API mm_status mm_ops_next(mm_mesh *mesh, mm_op **op);
MM_API int mm_ops_eventfd(mm_mesh *mesh);

/* ---- Residency ------------------------------------------------------------------------------ */

/* Unload now: ends detached, pages returned. Cold: MM_OK. (blocks): refuses new leases and waits
 * for the running ones; at the deadline MM_DEADLINE, and it serves on, unless all that is left is
 * its detaching. A model that is loading is waited for in the same way. MM_NO_WAIT: only if it is
 * idle, else MM_BUSY and nothing changed; its detaching is waited for all the same. MM_PINNED:
 * unpin it first. From inside a backend's infer no run is waited for: MM_BUSY where it is in use;
 * from inside another call of a backend, or a line of the log, MM_BUSY unless it is cold. */
MM_API mm_status mm_evict(mm_mesh *mesh, mm_model model, uint64_t deadline_ns, mm_error *err);

typedef struct mm_victim {
    char name[MM_NAME_BYTES];
    uint64_t bytes;
    uint64_t idle_ns;
    int32_t evict_class;
    uint32_t leased; /* 1: in use; it would be drained */
} mm_victim;
typedef struct mm_plan {
    uint32_t struct_size;
    int32_t status;        /* MM_OK: would load now; MM_BUSY: later; MM_TOO_LARGE, MM_ALL_PINNED */
    char device[64];       /* where it would go; "" when nowhere */
    uint64_t needed_bytes; /* weights and activations, as rounded there */
    uint64_t free_bytes;   /* of the device, now */
    uint32_t estimated;    /* 1: never prepared, the size is a guess from the source */
    uint32_t resident;     /* 1: it is resident already; nobody would leave */
    mm_victim *victims;    /* the caller's array, or NULL */
    uint32_t victim_capacity;
    uint32_t victim_count; /* written: how many would leave, also beyond the capacity */
} mm_plan;
#define MM_PLAN_INIT MM_INIT(mm_plan)
/* What would be evicted if this model were loaded now. Changes nothing. */
MM_API mm_status mm_plan_load(mm_mesh *mesh, mm_model model, mm_plan *plan, mm_error *err);

/* ---- Information ---------------------------------------------------------------------------- */

typedef enum mm_model_state {
    MM_STATE_COLD = 0,
    MM_STATE_PREPARING = 1,
    MM_STATE_LOADING = 2,
    MM_STATE_READY = 3,
    MM_STATE_DRAINING = 4,
    MM_STATE_RECLAIMABLE = 5, /* evicted, its bytes not wanted yet: comes back without I/O */
    MM_STATE_UNLOADING = 6,
    MM_STATE_FAILED = 7, /* until retry_after_ns has passed */
    MM_STATE_MAX = 0x7fffffff
} mm_model_state;

/* One copy of a model's current version. */
typedef struct mm_copy_info {
    char device[64]; /* "" while it waits for memory */
    int32_t state;   /* mm_model_state */
    uint32_t leases; /* requests running on it */
    uint64_t requests;
    uint64_t weights_bytes; /* as charged on the device */
    uint64_t idle_ns;       /* since the last request on it ended */
} mm_copy_info;

typedef struct mm_model_info {
    uint32_t struct_size;
    int32_t state; /* mm_model_state */
    char name[MM_NAME_BYTES];
    char device[64]; /* "" when not resident */
    uint32_t pinned, updating, prepared;
    int32_t evict_class;
    uint32_t leases;            /* requests running on it */
    uint32_t queued;            /* requests, evictions and updates that wait for it */
    uint64_t version;           /* counts updates from 1 */
    uint64_t weights_bytes;     /* as charged on the device; before a load: as prepared, else 0 */
    uint64_t activation_bytes;  /* high-water mark of one run, or the estimate */
    uint64_t own_bytes;         /* reported by a backend with memory of its own */
    uint64_t description_bytes; /* host memory of description and signatures */
    uint64_t artifact_bytes;    /* prepared weights in tmp_dir */
    uint64_t idle_ns;           /* since the last request ended; resident only */
    uint64_t requests, hits, loads, evictions, failures;
    uint64_t load_ns, prepare_ns; /* of the last one */
    uint64_t retry_after_ns;
    mm_error error; /* the remembered failure; status MM_OK when none */
    /* Its copies. copies, copy_capacity: the caller's array, or NULL; copy_count: written, how many
     * there are, also beyond the capacity. State, device and bytes above are of the best of them */
    mm_copy_info *copies;
    uint32_t copy_capacity, copy_count;
    int32_t source_changes; /* mm_source_changes; never DEFAULT */
    uint32_t reserved;
} mm_model_info;
#define MM_MODEL_INFO_INIT MM_INIT(mm_model_info)
MM_API mm_status mm_model_info_get(mm_mesh *mesh, mm_model model, mm_model_info *info);
/* Handles of all models, in no order. Returns how many there are; writes at most capacity. */
MM_API uint64_t mm_models(mm_mesh *mesh, mm_model *models, uint64_t capacity);

typedef struct mm_device_stats {
    char name[64];
    int32_t kind; /* mm_device_kind */
    uint32_t lost;
    uint64_t budget_bytes;
    /* weights, scratch and mm_device_alloc, rounded as the device rounds; more than the budget
     * while what a smaller one evicts is leaving */
    uint64_t used_bytes;
    uint64_t weights_bytes; /* of resident models, RECLAIMABLE ones included */
    uint64_t reclaimable_bytes;
    uint64_t scratch_bytes; /* held for activations now */
    uint64_t reserve_bytes; /* kept free for them: the largest high-water mark among residents */
    uint64_t peak_bytes;    /* most ever used */
    uint64_t leaked_bytes;  /* not freed by the backend after detach; charged to the device */
    uint64_t loads, evictions;
    uint32_t instances;
    uint32_t reserved;
} mm_device_stats;

typedef struct mm_mesh_stats {
    uint32_t struct_size;
    uint32_t device_count; /* written */
    uint64_t models, resident;
    /* requests = hits + misses: those that asked for a copy; joins: misses that found it loading.
     * failed: inferences that ended in an error, also before they asked for a copy (in prepare) */
    uint64_t requests, hits, misses, joins, failed;
    uint64_t loads, load_failures, evictions, revivals, refusals, prepares;
    uint64_t bytes_loaded;
    uint64_t queued; /* requests, evictions and updates that wait now */
    /* through the allocator, except what may outlive the mesh: outputs, descriptions, ops. Kept
     * memory of freed responses (at most 64 MiB) counts */
    uint64_t metadata_bytes;
    uint64_t description_bytes; /* under description_budget_bytes */
    uint64_t artifact_bytes;    /* of prepared weights in tmp_dir; see artifact_budget_bytes */
    uint64_t cache_bytes;       /* in cache_dir */
    mm_device_stats *devices;   /* the caller's array, or NULL */
    uint32_t device_capacity;
    uint32_t reserved;
} mm_mesh_stats;
#define MM_MESH_STATS_INIT MM_INIT(mm_mesh_stats)
MM_API mm_status mm_mesh_stats_get(mm_mesh *mesh, mm_mesh_stats *stats);

/* Prometheus text exposition format 0.0.4. A text call: returns the bytes needed; 0 = out of
 * memory. */
MM_API uint64_t mm_metrics_text(mm_mesh *mesh, char *text, uint64_t room);

/* ---- Decision log --------------------------------------------------------------------------- */

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
    MM_EVENT_EVICT = 10, /* evicted; `other` is for whom */
    MM_EVENT_REVIVE = 11,
    MM_EVENT_SWITCH = 12, /* a new version took over */
    MM_EVENT_REFUSE = 13,
    MM_EVENT_DEVICE_LOST = 14,
    MM_EVENT_BUDGET = 15,
    MM_EVENT_ARTIFACT_DROPPED = 16, /* not kept: it will be prepared again */
    MM_EVENT_LEAK = 17,
    MM_EVENT_DETACH = 18, /* its memory is back */
    MM_EVENT_KIND_MAX = 0x7fffffff
} mm_event_kind;

/* One decision. Names are copies, cut at the end if too long. Fields that do not apply are 0 or "".
 * model, other: names of models, other the one that it happened for; prepared bytes belong to no
 * model, so ARTIFACT_DROPPED has none. reason: why an instance left ("budget", "request", ...), an
 * artifact was dropped ("artifact_budget", "tmp_full", "cache_budget") or not kept on disk
 * ("cache_full", "cache_read_only", "cache_failed"), why an UPDATE began by itself
 * ("source_changed"), or who leaked ("not freed by echo"). */
typedef struct mm_event {
    uint64_t sequence; /* from 1, without gaps */
    uint64_t time_ns;
    int32_t kind;   /* mm_event_kind */
    int32_t status; /* mm_status */
    uint64_t bytes, duration_ns, idle_ns;
    char model[64], other[64], device[32], policy[16], reason[32];
} mm_event;

/* Next event at *cursor (start with 0: the oldest kept); advances it. *lost: how many were
 * overwritten before this cursor saw them, since its last call; NULL is fine. MM_NONE when there is
 * none yet. */
MM_API mm_status mm_events_next(mm_mesh *mesh, uint64_t *cursor, mm_event *event, uint64_t *lost);
/* "evict model=ocr/rec device=pod1 bytes=10857958 idle_ms=5210 for=vad reason=budget policy=lru". A
 * text call. */
MM_API uint64_t mm_event_text(const mm_event *event, char *text, uint64_t room);

/* ---- Artifacts ------------------------------------------------------------------------------ */

typedef struct mm_cache_report {
    uint32_t struct_size;
    uint32_t reserved;
    uint64_t entries, bytes;   /* looked at */
    uint64_t damaged, removed; /* checksum or shape wrong; unlinked */
    uint64_t foreign;          /* of another version or CPU: left alone */
    uint64_t leftovers;        /* of interrupted writes: removed */
} mm_cache_report;
#define MM_CACHE_REPORT_INIT MM_INIT(mm_cache_report)
/* Check every entry of a cache directory (blocks), removing what is damaged. Needs no mesh; safe
 * beside processes that use it. progress(user, done_bytes, total_bytes) may be NULL. */
MM_API mm_status mm_cache_verify(const char *cache_dir,
                                 void (*progress)(void *user, uint64_t done, uint64_t total),
                                 void *user, mm_cache_report *report, mm_error *err);

/* ---- Backends ------------------------------------------------------------------------------- */

/* Add a backend. The table is checked once (MM_ABI_MISMATCH with both numbers, MM_INVALID_ARGUMENT
 * with the field's name) and copied; what it points to must stay valid until the mesh is freed.
 * Built-ins are there from the start. */
MM_API mm_status mm_backend_register(mm_mesh *mesh, const struct mm_backend *backend,
                                     mm_error *err);
/* The same from a shared object with the symbol of MM_BACKEND_ENTRY_NAME. Never closed again. */
MM_API mm_status mm_backend_load(mm_mesh *mesh, const char *path, mm_error *err);

/* ---- DLPack and ABI ------------------------------------------------------------------------- */

/* DLPack (dmlc/dlpack 1.0, DLManagedTensorVersioned), without a copy. from: the value borrows the
 * tensor's memory and has no name; host memory and compact row-major strides only, else
 * MM_UNSUPPORTED. to: *managed owns a copy of the shape and borrows value->data, which must outlive
 * it; its deleter frees the struct and, when `release` is not NULL, calls it. Sub-byte and string
 * tensors are MM_UNSUPPORTED. */
struct DLManagedTensorVersioned;
MM_API mm_status mm_value_from_dlpack(struct DLManagedTensorVersioned *managed, mm_value *value,
                                      mm_error *err);
MM_API mm_status mm_value_to_dlpack(const mm_value *value, void (*release)(void *user), void *user,
                                    struct DLManagedTensorVersioned **managed, mm_error *err);

/* The library at run time. */
MM_API const char *mm_version(void);
typedef struct mm_abi_entry {
    const char *name; /* "mm_value", or "mm_value.shape" */
    uint64_t value;   /* sizeof, or offsetof */
} mm_abi_entry;
/* Sizes and offsets of every struct of types.h and modelmesh.h, for bindings to check; ends with
 * name NULL. *major, *minor: MM_ABI_* of the library; NULL is fine. Static. */
MM_API const mm_abi_entry *mm_abi_table(uint32_t *major, uint32_t *minor);

MM_C_END
#endif
