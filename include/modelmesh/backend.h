/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MODELMESH_BACKEND_H
#define MODELMESH_BACKEND_H

/* For authors of backends. A backend is the code that understands one or more model formats.
 *
 * It is one constant table, mm_backend. It has no globals, starts no threads of its own unless it
 * says so, and links nothing of the library: what it needs is passed in as services. Copy
 * lib/backends/null to begin; tests/conformance runs the same suite over every backend.
 *
 * The objects of a backend and their lifetimes, outermost first. The host allocates each state,
 * zeroed, with the sizes that the table names, and never moves it.
 *
 *  state      one per mesh       init ... fini
 *  artifact   one per content    prepare: source -> description + weights. Slow, once, kept on disk
 *  model      one per version    open ... close: reads the artifact's description, not the weights
 *  signature  one per model,     size ... size_done: what runs for these input shapes: activations,
 *             kind of device     output shapes, the steps. Cached by the host
 *             and input shapes
 *  instance   one per model and  attach ... detach: the weights are in a region of device memory
 *             device
 *
 * Rules for every slot of the table
 *   - No slot is called with a lock of the library held. Every slot may be called from any thread,
 *     and different objects at the same time. What may not overlap on one object is said at the
 *     slot.
 *   - A constructor slot (init, open, size, attach) may fail at any point; its destructor slot
 *     (fini, close, size_done, detach) is then called all the same and must cope with a state that
 *     is half built, zero meaning "not made yet". Destructors cannot fail.
 *   - A load moves bytes; only the backend knows what they mean. attach and infer never parse the
 *     source: whatever had to be understood was understood by prepare and open.
 *   - Weights are read-only. Eviction drops them and never copies back.
 *   - Errors are a status and one line in *err (never NULL here) that names the thing. The returned
 *     status counts, not the one in *err; a failure without a text gets one.
 *   - Every slot may answer MM_OK, MM_UNSUPPORTED, MM_BACKEND_FAILED, MM_IO, MM_NO_MEMORY,
 *     MM_NO_FDS and MM_NO_THREADS; what else it may answer is said at the slot. Any other status is
 *     taken for MM_BACKEND_FAILED.
 *   - Nothing aborts, prints, reads the environment, throws or longjmps.
 *
 * A backend runs in every host of the same MM_BACKEND_ABI_MAJOR whose minor is not below its own.
 *   - The table may be that of an older minor (struct_size, in types.h): slots that it lacks count
 *     as NULL. The host reads its own copy.
 *   - Structs that the host allocates and passes by address (mm_services, mm_sink, mm_artifact,
 *     mm_description, mm_size, mm_device, mm_region, mm_exec) may get new fields at their end with
 *     the minor. Every field of the backend's own header is there, and the backend touches no
 *     others. What it does not fill in mm_description or mm_size stays as the host set it.
 *   - mm_format and mm_source, of which a backend makes its own, change with the major only. */

#include <modelmesh/types.h>

#include <stdbool.h>

MM_C_BEGIN

/* ---- Formats -------------------------------------------------------------------------------- */

/* One format that a backend can run. Chosen by the model's spec.format, else by the longest suffix
 * that fits, else by the longest magic. Two backends that claim the same are MM_AMBIGUOUS. */
typedef struct mm_format {
    const char *name;    /* "onnx" */
    const char *version; /* "1"; NULL = any */
    const char *suffix;  /* ".onnx"; NULL = none */
    const void *magic;   /* the first bytes of a file; NULL = none */
    uint32_t magic_bytes;
    uint32_t reserved;
} mm_format;

typedef enum mm_device_kind {
    MM_DEVICE_HOST = 1 << 0, /* pages of the host; the region is ordinary memory */
    /* a simulated device: 2 MiB chunks mapped contiguously into host memory, so code that runs on
     * the host runs on it */
    MM_DEVICE_SIM = 1 << 1,
    MM_DEVICE_CUDA = 1 << 2,
    MM_DEVICE_KIND_MAX = 0x7fffffff
} mm_device_kind;

/* ---- Services ------------------------------------------------------------------------------- */

/* Passed to init; valid until fini has returned. */
typedef struct mm_services {
    uint32_t struct_size; /* the host's */
    uint32_t abi_minor;   /* the host's; its major equals the backend's */
    void *host;
    mm_allocator allocator; /* for the backend's own metadata; counted, so use it */
    mm_log log;
    uint64_t (*now_ns)(void *host); /* CLOCK_MONOTONIC, or the test's clock */
    /* body(ctx, i) for i in [0, count) on the compute threads and the caller; returns when all are
     * done. Work below some 50 us is faster without it. May be called from infer, prepare and
     * open. */
    void (*parallel_for)(void *host, uint64_t count, void (*body)(void *ctx, uint64_t i),
                         void *ctx);
    uint32_t threads; /* most threads that parallel_for uses, the caller included; >= 1 */
    /* deepest nesting that a parser may follow; 64 by default */
    uint32_t limits_nesting;
    uint64_t cpu_features; /* MM_CPU_*: what kernels may use */
    /* most iterations of one loop in one run; 0: no limit (and what a shorter struct means) */
    uint64_t limits_iterations;
} mm_services;

/* Features that choose a kernel at run time. The host may mask them for tests. */
enum {
    MM_CPU_AVX2 = 1u << 0,   /* AVX2 with FMA and F16C */
    MM_CPU_AVX512 = 1u << 1, /* AVX-512 F, BW, DQ and VL, beside all of MM_CPU_AVX2 */
    MM_CPU_NEON = 1u << 2,
    MM_CPU_AVX512_VNNI = 1u << 3 /* beside MM_CPU_AVX512 */
};

/* ---- Prepare -------------------------------------------------------------------------------- */

/* The original bytes of a model: a file, or the main file of a folder, with its siblings. Not
 * thread-safe: one thread at a time per source. */
typedef struct mm_source {
    void *ctx;
    const char *name; /* for messages: the path or address */
    uint64_t bytes;
    /* Exactly `count` bytes from `offset`, or a failure (MM_INVALID_MODEL past the end). Blocks
     * until these bytes are there, and for none behind them: reads in rising order, gaps allowed,
     * follow a source that arrives in order, byte by byte, and get all of it once. One that goes
     * back may have to fetch it again. MM_CANCELLED soon after sink->cancelled would say so. What
     * was read is shown as progress in bytes by itself. */
    mm_status (*read)(void *ctx, uint64_t offset, void *to, uint64_t count, mm_error *err);
    /* Open a sibling by relative name: below the folder of the path as given, or below that of the
     * file which its links lead to. What leaves both (by "..", absolute, through a link) is refused
     * with MM_INVALID_MODEL. The sibling stays open as long as the source. */
    mm_status (*open)(void *ctx, const char *relative, struct mm_source *sibling, mm_error *err);
} mm_source;

/* Where prepare puts what it made. */
typedef struct mm_sink {
    void *ctx;
    /* The description: bytes that open will get back. Call exactly once, at any time. */
    mm_status (*describe)(void *ctx, const void *bytes, uint64_t count, mm_error *err);
    /* The size of the weights, once, before the first call of `weights`: room is made for all. */
    mm_status (*expect)(void *ctx, uint64_t weights_bytes, mm_error *err);
    /* The next weights, in the order in which a run first needs them. Padding is the backend's. */
    mm_status (*weights)(void *ctx, const void *bytes, uint64_t count, mm_error *err);
    /* Ends a group: a stretch of weights that a run can wait for on its own. The last group ends
     * with the weights. */
    mm_status (*group)(void *ctx, mm_error *err);
    /* True once nobody wants the result any more: return MM_CANCELLED soon. */
    bool (*cancelled)(void *ctx);
    /* 0 .. 1000, shown to whoever waits. */
    void (*progress)(void *ctx, uint32_t permille);
} mm_sink;

/* ---- Open ----------------------------------------------------------------------------------- */

/* A prepared model. The pointers stay valid until close has returned. */
typedef struct mm_artifact {
    const void *description;
    uint64_t description_bytes;
    uint64_t weights_bytes;
    /* [group_count]: offsets in the weights, rising, the last = the end */
    const uint64_t *group_ends;
    uint32_t group_count; /* 0 where weights_bytes is 0, else >= 1 */
    uint32_t reserved;
    const char *config;      /* the spec's config text; "" = none */
    const mm_source *source; /* for backends without prepare; during open and attach only */
} mm_artifact;

enum {
    MM_DESCRIPTION_SERIAL = 1u << 0 /* one infer at a time on one instance: the host queues */
};

/* What open reports. Pointers are the backend's and stay valid until close. The host's, zeroed but
 * for struct_size and a batch_axis of -1. */
typedef struct mm_description {
    uint32_t struct_size; /* the host's */
    uint32_t flags;       /* MM_DESCRIPTION_* */
    const mm_value_info *inputs;
    const mm_value_info *outputs;
    uint32_t input_count, output_count;
    uint64_t weights_bytes;    /* size of the region to attach to; 0 = none needed */
    uint64_t activation_bytes; /* estimate for a typical request, before a first run measured it */
    uint64_t own_bytes;        /* MM_BACKEND_OWN_MEMORY: estimate of what attach will take */
    /* host memory of this open model; 0 = what was allocated through the services */
    uint64_t open_bytes;
    int32_t batch_axis; /* axis of every input that counts independent items; -1 = none */
    uint32_t metadata_count;
    const char *const *metadata; /* [2 * metadata_count]: key, value, key, value ... */
} mm_description;

/* ---- Size ----------------------------------------------------------------------------------- */

enum {
    MM_SIZE_EXACT = 0,  /* shape and bytes are what will come */
    MM_SIZE_BOUND = 1,  /* at most these */
    MM_SIZE_UNKNOWN = 2 /* known only after the run */
};

/* What one signature costs. The arrays are the host's, zeroed, in the order of the description. */
typedef struct mm_size {
    uint64_t activation_bytes; /* scratch of one run */
    uint64_t state_bytes;      /* host memory of the signature state; 0 = as counted */
    mm_value *outputs;         /* [output_count]: dtype, rank, shape, bytes; data is NULL */
    uint8_t *exactness;        /* [output_count]: MM_SIZE_* */
} mm_size;

/* ---- Attach --------------------------------------------------------------------------------- */

/* A point in the order of a stream: all that was put on it before. A plain value, nothing to free;
 * valid as long as its stream; may be recorded again. Zeroed: done. */
typedef struct mm_device_event {
    void *stream;
    uint64_t sequence;
} mm_device_event;

/* What code on a device does with bytes of its memory: bits for `access`. */
enum {
    MM_ACCESS_READ = 1u << 0,
    MM_ACCESS_WRITE = 1u << 1 /* alone: what was there does not matter */
};

/* Copies and their order. What is put on a stream happens in order, later, while the host goes on;
 * different streams overlap. A run has a stream of its own, mm_exec.stream. On the host a stream is
 * NULL, a copy is over when its call returns, and every event is done: code for all devices makes
 * the same calls on each.
 *
 * Whoever reads device memory comes after what wrote it, and whoever writes it after what read it:
 * on the same stream, on a stream that waited for it, or after a wait of the host (or a `done` that
 * said yes). sim checks that. A kernel of sim is code of the host: it also waits for its stream
 * before it begins. Weights need no such care: what region->wait said is there is there for all.
 *
 * Every call: any thread, no lock held; one thread at a time on one stream. `host` is mm_device's.
 * MM_IO, MM_DEVICE_LOST (for ever: what was under way never arrives), MM_NO_MEMORY; sim also
 * MM_INVALID_STATE (something was not waited for: the text names the range and the stream) and
 * MM_INVALID_ARGUMENT (an address outside of the device's memory, a stream of another device),
 * mistakes of the backend: a slot that answers them has failed (MM_BACKEND_FAILED). */
typedef struct mm_device_calls {
    uint32_t struct_size; /* of the host's table: calls beyond it are not there */
    uint32_t reserved;
    /* device = host, host = device, device = device. Does not block; the memory of the host is left
     * alone by the caller and stays valid until the copy is over. On CUDA that is so for staging;
     * other memory it may read or fill before it returns, at half the speed. bytes 0 does nothing.
     */
    mm_status (*copy_in)(void *host, void *stream, void *to, const void *from, uint64_t bytes,
                         mm_error *err);
    mm_status (*copy_out)(void *host, void *stream, void *to, const void *from, uint64_t bytes,
                          mm_error *err);
    mm_status (*copy)(void *host, void *stream, void *to, const void *from, uint64_t bytes,
                      mm_error *err);
    /* *event = all that is on the stream now. Does not block. */
    mm_status (*record)(void *host, void *stream, mm_device_event *event, mm_error *err);
    /* Blocks until the event is done: copies before it are over, their bytes are there. */
    mm_status (*wait)(void *host, const mm_device_event *event, mm_error *err);
    /* What is put on the stream from here on comes after the event, which may be another stream's.
     * Does not block. */
    mm_status (*stream_wait)(void *host, void *stream, const mm_device_event *event, mm_error *err);
    /* Page-locked memory of the host (host and sim: ordinary pages), aligned to 4096, contents
     * undefined; the backend's until it frees it. May block for milliseconds: keep it in an
     * instance or the state, never allocate it per run. NULL on failure, which *err tells. */
    void *(*staging_alloc)(void *host, uint64_t bytes, mm_error *err);
    /* `bytes` as asked; NULL memory does nothing. No copy from or to it is under way. */
    void (*staging_free)(void *host, void *memory, uint64_t bytes);
    /* MM_OK: the event is done; MM_PENDING (*err untouched): it is not; or a failure. Does not
     * block. */
    mm_status (*done)(void *host, const mm_device_event *event, mm_error *err);
    /* A stream of the backend's own: to be kept in an instance and closed in detach. */
    mm_status (*stream_open)(void *host, void **stream, mm_error *err);
    /* Blocks until all that was put on it is over; cannot fail; NULL does nothing. */
    void (*stream_close)(void *host, void *stream);
    /* Said before a kernel on the stream, or (stream NULL, not on CUDA) an ordinary load or store
     * of the host, touches bytes of the device's memory: sim checks the order and remembers it for
     * who comes after; elsewhere it does nothing. access: MM_ACCESS_*. Does not block. */
    mm_status (*access)(void *host, void *stream, const void *base, uint64_t bytes, uint32_t access,
                        mm_error *err);
} mm_device_calls;

/* The host's, valid from attach until detach has returned. */
typedef struct mm_device {
    int32_t kind; /* mm_device_kind */
    uint32_t index;
    const char *name; /* "host", "pod1", "cuda:0" */
    void *native;     /* CUDA: the context; else NULL */
    void *host;       /* for the calls */
    const mm_device_calls *calls;
} mm_device;

/* One contiguous range of device memory that holds the weights, aligned to 4096 bytes or, for
 * models under 2 MiB on devices with chunks, to 256. Read-only after arrival. Valid until detach
 * returns.
 *
 * Groups arrive in their order. attach may be called as soon as the first one is there, and runs
 * may begin while later ones are still on their way: what has not arrived is undefined. */
typedef struct mm_region {
    const void *base; /* host and sim: readable by any thread; CUDA: a device address */
    uint64_t bytes;
    void *ctx;
    /* Block until a group has arrived: MM_OK, or why the load failed; return that then. Cheap once
     * it has. From attach and infer, on any thread, any number at once. */
    mm_status (*wait)(void *ctx, uint32_t group);
} mm_region;

/* ---- Infer ---------------------------------------------------------------------------------- */

/* The context of one run: memory, and what the backend may call. Used by one thread at a time;
 * bodies of parallel_for may read it. */
typedef struct mm_exec {
    void *host;
    void *signature; /* made by size for exactly these shapes */
    void *scratch;   /* activation_bytes of it, aligned to 256; contents undefined */
    uint64_t scratch_bytes;
    /* What infer puts on it and does not wait for, the host waits for before the scratch is
     * somebody else's. It is the request's own stream where that is one of this device and the
     * backend has MM_BACKEND_DEVICE_VALUES: what the caller put on it comes first. Else nothing is
     * on it when the run begins. NULL on the host */
    void *stream;
    /* More scratch than the signature asked for, for shapes known only during the run; freed after
     * it. NULL: no room; return MM_NO_ROOM_FOR_ACTIVATIONS. */
    void *(*scratch_more)(struct mm_exec *exec, uint64_t bytes);
    /* Memory for output `index` when size did not know its bytes exactly. It lies where the flags
     * of outputs[index] say when this has returned: they may have changed to the host. NULL: return
     * MM_BUFFER_TOO_SMALL (the host knows why, and the need). */
    void *(*output)(struct mm_exec *exec, uint32_t index, uint64_t bytes);
    /* Memory for offsets, items and their data inside an output; owned by the response. */
    void *(*output_part)(struct mm_exec *exec, uint64_t bytes);
    /* True when the run is to end: its deadline passed, it was cancelled or the mesh stops. Return
     * MM_CANCELLED soon then. Cheap enough to ask between steps of some microseconds; a backend
     * that never asks runs to its end. By the thread of infer. */
    bool (*stopped)(struct mm_exec *exec);
    const mm_device *device; /* where it runs: the one given to attach */
} mm_exec;

/* ---- The table ------------------------------------------------------------------------------ */

enum {
    /* infer may call mm_infer on the same mesh. Other calls that block are MM_INVALID_STATE or
     * MM_BUSY inside of infer; in other slots so is mm_infer */
    MM_BACKEND_NESTED = 1u << 0,
    /* keeps weights in memory of its own (another runtime): estimates in own_bytes, reports through
     * the own_bytes slot */
    MM_BACKEND_OWN_MEMORY = 1u << 1,
    /* allocates by malloc, outside the allocator: the host trims after detach and charges what is
     * not given back */
    MM_BACKEND_MALLOC = 1u << 2,
    /* infer takes values where they lie, in memory of the device it runs on, too: see there */
    MM_BACKEND_DEVICE_VALUES = 1u << 3
};

typedef struct mm_backend {
    uint32_t struct_size; /* sizeof(mm_backend) of the header it was built with */
    /* MM_BACKEND_ABI_MAJOR, _MINOR of the header it was built with */
    uint32_t abi_major, abi_minor;
    uint32_t flags;      /* MM_BACKEND_* */
    const char *name;    /* "onnx" */
    const char *version; /* of the backend; part of every artifact's key */
    const mm_format *formats;
    uint32_t format_count;
    uint32_t device_kinds;                                              /* mm_device_kind, or'ed */
    uint64_t state_bytes, model_bytes, signature_bytes, instance_bytes; /* 0 = none */

    /* Once per mesh, at registration. Also MM_NOT_FOUND and MM_ABI_MISMATCH, of what it needs.
     * (optional, with fini) */
    mm_status (*init)(void *state, const mm_services *services, mm_error *err);
    void (*fini)(void *state);

    /* A short text that changes whenever the prepared bytes would: layout version and the CPU
     * features or GPU it is for ("1-avx2"). Static or kept in state. (optional: "" for every
     * device) */
    const char *(*layout)(void *state, int32_t device_kind);

    /* Source -> artifact. May block, for seconds; asks sink->cancelled now and then; reads the
     * source as often as it likes and holds at most a few times its size. Deterministic: the same
     * bytes and layout give the same artifact. Also what source and sink answered,
     * MM_INVALID_ARGUMENT (config), MM_INVALID_MODEL, MM_NOT_FOUND, MM_SOURCE_CHANGED, MM_CORRUPT,
     * MM_TOO_LARGE, MM_NO_SPACE; MM_CANCELLED once sink->cancelled said so. (optional: without it
     * the source itself is opened and attached) */
    mm_status (*prepare)(void *state, const mm_source *source, const char *config,
                         int32_t device_kind, const mm_sink *sink, mm_error *err);

    /* Artifact -> model. Milliseconds; reads the description only. Also MM_INVALID_ARGUMENT
     * (config), MM_INVALID_MODEL, MM_CORRUPT, and of a source MM_NOT_FOUND and
     * MM_SOURCE_CHANGED. */
    mm_status (*open)(void *state, void *model, const mm_artifact *artifact, mm_description *out,
                      mm_error *err);
    void (*close)(void *model);

    /* Input shapes -> what a run on such a device will need. inputs: [input_count] in the order of
     * the description; an absent optional one has kind MM_OPTIONAL and item_count 0. dtype, rank
     * and fixed axes were checked. Inputs flagged MM_VALUE_INFO_SHAPE_INPUT are shown with all of
     * their data, however long; of any other, and of the items in it, data and offsets are NULL
     * (bytes is what the shape says; 0 of strings). The inputs are gone when size returns. Also
     * MM_INVALID_ARGUMENT and MM_INVALID_MODEL (shapes that do not fit), MM_TOO_LARGE. */
    mm_status (*size)(void *model, int32_t device_kind, void *signature, const mm_value *inputs,
                      mm_size *out, mm_error *err);
    void (*size_done)(void *signature); /* (optional) */

    /* The weights are in `region`, or on their way: the first group has arrived, the others are
     * waited for by region->wait, here or in infer. Must not touch weights that have not arrived.
     * Also MM_INVALID_MODEL, MM_CORRUPT, MM_NOT_FOUND, MM_SOURCE_CHANGED; MM_DEVICE_LOST, and the
     * device is asked whether that is so; MM_CANCELLED from region->wait. */
    mm_status (*attach)(void *model, void *instance, const mm_device *device,
                        const mm_region *region, mm_error *err);
    void (*detach)(void *instance); /* no infer runs; nothing of the region is used afterwards */

    /* One run. Any number at once on one instance unless MM_DESCRIPTION_SERIAL. inputs as in size,
     * with data. outputs: [output_count], prefilled by what size said; where size was exact, data
     * is a buffer of `bytes`; else the backend calls exec->output and fills in shape, bytes and
     * data. Those that are MM_VALUE_UNWANTED may be left alone. Blocks until the outputs that lie
     * in host memory are there.
     *
     * With MM_BACKEND_DEVICE_VALUES a tensor, of inputs and of outputs, whose flags have an
     * MM_VALUE_LOCATION lies in memory of exec->device. Such an input is read, and such an output
     * written, in the order of exec->stream; neither need be waited for. All others, and without
     * the flag all, are in host memory: the host has fetched what lies on other devices, and brings
     * there what belongs there. So are shape inputs, wherever the caller had them, everything on a
     * device that is the host, strings, and what lies inside of another value. A value without a
     * location the backend copies itself, both ways. Elements are aligned to their size, no more.
     *
     * Also MM_INVALID_ARGUMENT, MM_INVALID_MODEL, MM_CORRUPT, MM_BUFFER_TOO_SMALL,
     * MM_NO_ROOM_FOR_ACTIVATIONS, MM_DEVICE_LOST; MM_CANCELLED once exec->stopped said so, or from
     * region->wait; with MM_BACKEND_NESTED also what a call of its own was refused with: MM_BUSY,
     * MM_OVERLOADED, MM_NOT_RESIDENT, MM_TOO_LARGE, MM_ALL_PINNED. */
    mm_status (*infer)(void *instance, mm_exec *exec, const mm_value *inputs, mm_value *outputs,
                       mm_error *err);

    /* MM_BACKEND_OWN_MEMORY: bytes that the instance holds now. */
    uint64_t (*own_bytes)(void *instance);

    /* For people and tools: what runs for this signature, and what it measured of the runs so far
     * if the config asked for that, as one JSON object with keys of the backend's own. Returns the
     * bytes needed, with the NUL; writes at most `room`, cut, with a NUL. 0: out of memory. While
     * infer runs, too. (optional; since minor 2) */
    uint64_t (*report)(void *model, void *signature, char *text, uint64_t room);
} mm_backend;

/* The one global symbol of a plugin: `const mm_backend *mm_backend_entry(void)`. */
typedef const mm_backend *(*mm_backend_entry_fn)(void);
#define MM_BACKEND_ENTRY_NAME "mm_backend_entry"

MM_C_END
#endif
