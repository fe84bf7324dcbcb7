/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_RESIDENCY_RESIDENCY_H
#define MMI_RESIDENCY_RESIDENCY_H

/* The core: which model is in which memory, who may use it, who leaves. The public calls validate,
 * call this, and fill results. */

#include <catalog/model.h>
#include <device/device.h>
#include <observe/counters.h>
#include <observe/events.h>
#include <observe/histogram.h>
#include <policy/policy.h>
#include <residency/lease.h>
#include <work/executor.h>
#include <work/op.h>
#include <work/timer_thread.h>

#define MMI_MAX_DEVICES 64u
#define MMI_EXEC_SLOTS 64u

/* Scratch memory of one run at a time. */
struct mmi_exec_slot {
    _Alignas(64) _Atomic uint32_t busy; /* 1: taken; exchanged, not locked */
    _Atomic uint64_t bytes;             /* usable; 0 = no memory behind it */
    struct mmi_block block;             /* with busy held, under the lock */
    struct mmi_region region;           /* with busy held */
    struct mmi_list trimmed;            /* with busy held: to be unmapped by whoever unlocks */
};

/* One device as the residency core sees it. */
struct mmi_devstate {
    struct mmi_device *device;
    struct mmi_list
        instances; /* with memory here: LOADING (granted) to DETACHING (not handed over) */
    struct mmi_exec_slot *exec;       /* [MMI_EXEC_SLOTS] */
    uint64_t scratch_bytes;           /* charged for exec slots and scratch_more */
    _Atomic uint32_t scratch_waiters; /* runs */
    _Atomic bool scratch_wanted;      /* a load waits for runs to end */
    pthread_cond_t scratch_freed;
    uint64_t peak_bytes, leaked_bytes, loads, evictions;
    bool claimed; /* during one round of scheduling: promised to an earlier waiter */
};

struct mmi_residency_config {
    uint32_t infer_threads, load_threads, prepare_threads;
    bool threads;           /* false: none of ours; callers do the work */
    mm_allocator outliving; /* of operations: their handles outlive env->alloc */
    const struct mmi_policy *policy;
    uint64_t description_budget_bytes, prepare_budget_bytes;
    uint64_t drain_grace_ns, min_residency_ns, backoff_first_ns, backoff_max_ns;
    uint32_t max_queued, max_signatures, max_models, event_capacity;
    bool idle_evict;
    unsigned generation_bits; /* 0 = full; tests: 8 */
    struct mmi_registry *registry;
    struct mmi_store *store;
    struct mmi_device **devices; /* the residency's from init on, also if it fails */
    size_t device_count;
};

struct mmi_residency {
    const struct mmi_env *env;
    struct mmi_lock lock;
    struct mmi_residency_config config;
    struct mmi_catalog catalog;
    struct mmi_slots slots;
    struct mmi_preparer preparer;
    struct mmi_executor *infer_executor, *load_executor, *prepare_executor;
    struct mmi_timer_thread *timer_thread;
    struct mmi_completions *completions;
    struct mmi_events events;
    struct mmi_counters counters;
    struct mmi_histogram load_time, queue_time, prepare_time;
    struct mmi_devstate devices[MMI_MAX_DEVICES];
    size_t device_count;
    _Atomic bool closed;

    struct mmi_heap timers;
    size_t timers_promised;
    struct mmi_list load_queue;  /* instances: loads that wait for memory, in order */
    struct mmi_list detaching;   /* instances: whoever unlocks detaches them */
    struct mmi_list dropping;    /* versions without references: whoever unlocks frees them */
    struct mmi_list closing;     /* descriptions: whoever unlocks closes them */
    struct mmi_list closable;    /* versions that may be closed, least recently used first */
    struct mmi_list trimmed;     /* exec slots whose memory is to be unmapped */
    struct mmi_list in_executor; /* operations that wait for a thread of the infer executor */
    uint64_t description_bytes;  /* of closable versions */
    uint32_t queued;             /* waiters */
    uint64_t sequence;           /* loads so far */
    uint64_t round;              /* of scheduling */
    uint32_t jobs;               /* running without the lock, or calls that stop must wait for */
    pthread_cond_t quiet;        /* jobs or instances became fewer */
    bool joining, joined;        /* the threads, by the first stop */
    uint64_t instances;          /* that exist */
    uint64_t served, granted;    /* sums over models that are gone; see mmi_model */
    uint64_t hits;               /* as last reported */
    struct mmi_candidate *candidates; /* room for all instances: planning allocates nothing */
    struct mmi_instance **planned;
    uint32_t *victims;
    bool *released;
    size_t plan_capacity[4]; /* of these four arrays; they grow one by one */
    bool scheduling, schedule_again;
    uint64_t log_cursor; /* of events that the host's log has seen */
    bool logging;
};

mm_status mmi_residency_init(struct mmi_residency *res, const struct mmi_env *env,
                             const struct mmi_residency_config *config, mm_error *err);
void mmi_residency_close(struct mmi_residency *res);
/* Closes first, unless the deadline has passed already. MM_OK; MM_DEADLINE; MM_BUSY: no_wait, and
 * something runs. */
mm_status mmi_residency_stop(struct mmi_residency *res, uint64_t deadline_ns, bool no_wait);
void mmi_residency_fini(struct mmi_residency *res); /* after a complete stop, or a failed init */

/* ---- Models --------------------------------------------------------------------------------- */

struct mmi_registration {
    const char *name;
    struct mmi_spec spec;
    struct mmi_settings settings;
    bool preload;
};
mm_status mmi_model_register(struct mmi_residency *res, const struct mmi_registration *registration,
                             uint64_t *id, mm_error *err);
mm_status mmi_model_unregister(struct mmi_residency *res, uint64_t id, mm_error *err);
mm_status mmi_model_set(struct mmi_residency *res, uint64_t id, const bool *pinned,
                        const uint32_t *evict_class); /* NULL = leave */

/* ---- Requests ------------------------------------------------------------------------------- */

/* What a request wants of the core. */
struct mmi_request {
    uint64_t id;
    uint64_t deadline_ns; /* 0 = none */
    int32_t priority;
    bool no_wait; /* only what is there: else MM_NOT_RESIDENT, MM_BUSY */
    bool nested;
};

/* A right to run: a lease, and a run slot where concurrency is limited. */
struct mmi_admission {
    struct mmi_lease lease;
    struct mmi_instance *instance;
    bool run_slot; /* counted in instance->running */
    bool hit;
    uint64_t wait_ns;
};

/* Blocks. prepared: the open description, held; give it back with mmi_res_drop.
 * retry: forget a remembered failure first. */
mm_status mmi_request_prepared(struct mmi_residency *res, const struct mmi_request *request,
                               bool retry, struct mmi_opened **opened, mm_error *err);
void mmi_res_drop(struct mmi_residency *res, struct mmi_opened *opened);
void mmi_res_drop_locked(struct mmi_residency *res, struct mmi_opened *opened); /* inside `ended` */
mm_status mmi_request_resident(struct mmi_residency *res, const struct mmi_request *request,
                               bool retry, mm_error *err);
/* Without a lock and without waiting: true = an admission for a resident model. */
bool mmi_admission_try(struct mmi_residency *res, uint64_t id, struct mmi_admission *admission);
mm_status mmi_admission_wait(struct mmi_residency *res, const struct mmi_request *request,
                             struct mmi_admission *admission, mm_error *err);
void mmi_admission_return(struct mmi_residency *res, struct mmi_admission *admission);
/* The version that an admission runs. */
struct mmi_opened *mmi_admission_opened(const struct mmi_admission *admission);

/* The same without blocking, for one operation. `ended` is called once for each call that begins a
 * wait, under the lock, at once or later; it may submit a task, complete the op, and (then) fini
 * this. */
struct pending_waiter;
struct mmi_pending {
    struct mmi_residency *res;
    struct mm_op *op; /* is notified of progress; may be NULL */
    void (*ended)(struct mmi_pending *pending);
    struct pending_waiter *own;
    mm_status status;
    mm_error error;
    struct mmi_opened *opened; /* PREPARED: held */
    struct mmi_admission admission;
    uint64_t begun_ns;
};
/* false = out of memory. The op finds it from now on; cancel goes through mmi_pending_cancel. */
bool mmi_pending_init(struct mmi_residency *res, struct mmi_pending *pending, struct mm_op *op,
                      void (*ended)(struct mmi_pending *pending));
void mmi_pending_fini(struct mmi_pending *pending);        /* no lock held */
void mmi_pending_fini_locked(struct mmi_pending *pending); /* inside `ended` */
void mmi_pending_prepared(struct mmi_pending *pending, const struct mmi_request *request,
                          bool retry);
void mmi_pending_resident(struct mmi_pending *pending, const struct mmi_request *request,
                          bool retry);
void mmi_pending_admission(struct mmi_pending *pending, const struct mmi_request *request);
void mmi_pending_update(struct mmi_pending *pending, const struct mmi_request *request,
                        const struct mmi_registration *registration, bool replace);
/* Wait for a thread of the infer executor: task->run is called there. When the deadline passes or
 * the op is cancelled before, `ended` is called instead. _locked: inside `ended`. */
void mmi_pending_queue(struct mmi_pending *pending, struct mmi_task *task, uint64_t deadline_ns);
void mmi_pending_queue_locked(struct mmi_pending *pending, struct mmi_task *task,
                              uint64_t deadline_ns);
void mmi_pending_running(struct mmi_pending *pending); /* first thing in task->run */
/* End what this op waits for with MM_CANCELLED, if it waits. */
void mmi_pending_cancel(struct mmi_residency *res, struct mm_op *op);

mm_status mmi_request_update(struct mmi_residency *res, const struct mmi_request *request,
                             const struct mmi_registration *registration, bool replace,
                             mm_error *err);

/* ---- Runs ----------------------------------------------------------------------------------- */

/* Where outputs go; the caller's. */
struct mmi_outputs {
    void *ctx;
    /* Before the run: give data to every wanted output whose size is exact. */
    mm_status (*begin)(void *ctx, const mm_description *description, const mm_size *size,
                       mm_value *values, mm_error *err);
    void *(*output)(void *ctx, uint32_t index, uint64_t bytes);
    void *(*part)(void *ctx, uint64_t bytes);
};
/* One run. */
struct mmi_work {
    const mm_value *inputs; /* [input_count], by position */
    mm_value *values;       /* [output_count], by position */
    const struct mmi_outputs *outputs;
    uint64_t deadline_ns; /* of waiting for scratch; 0 = none */
    bool no_wait;         /* for scratch */
};
mm_status mmi_execute(struct mmi_residency *res, struct mmi_admission *admission,
                      const struct mmi_work *work, mm_error *err);
/* Before a first run: replace the backend's estimate by what this request will need, so that the
 * load is planned for it. */
mm_status mmi_signature_expect(struct mmi_residency *res, struct mmi_opened *opened,
                               const mm_value *inputs, mm_error *err);
/* Size for given inputs without a run; the result is copied into values and exactness. */
mm_status mmi_signature_sizes(struct mmi_residency *res, struct mmi_opened *opened,
                              const mm_value *inputs, mm_value *values, uint8_t *exactness,
                              mm_error *err);

/* The backend call that this thread is in. */
struct mmi_frame {
    const struct mmi_frame *outer;
    const struct mmi_residency *res;
    uint64_t model_id;
    bool nested; /* its backend said that it may call back */
};
static inline const struct mmi_frame *mmi_frame_of(const struct mmi_residency *res) {
    const struct mmi_frame *frame = mmi_tls()->frame;
    while (frame && frame->res != res) {
        frame = frame->outer;
    }
    return frame;
}

/* This thread is in a run of that model, perhaps through others: it would wait for itself. */
static inline bool mmi_frame_inside(const struct mmi_residency *res, uint64_t model_id) {
    const struct mmi_frame *frame = mmi_tls()->frame;
    while (frame && (frame->res != res || frame->model_id != model_id)) {
        frame = frame->outer;
    }
    return frame != NULL;
}

/* ---- Memory --------------------------------------------------------------------------------- */

mm_status mmi_model_evict(struct mmi_residency *res, const struct mmi_request *request,
                          mm_error *err);
mm_status mmi_device_budget(struct mmi_residency *res, const char *device, uint64_t budget_bytes,
                            mm_error *err);

/* ---- Info ----------------------------------------------------------------------------------- */

/* Snapshots, field for field those of modelmesh.h. */
struct mmi_model_info {
    int32_t state;
    const char *name; /* valid while locked: copied by the caller's visitor */
    const char *device;
    bool pinned, updating, prepared;
    uint32_t evict_class, leases, queued;
    uint64_t version, weights_bytes, activation_bytes, own_bytes, description_bytes;
    uint64_t artifact_bytes, idle_ns, requests, hits, loads, evictions, failures, load_ns,
        prepare_ns;
    const struct mmi_failure *failure; /* NULL = none */
    uint64_t now_ns;
};
mm_status mmi_model_info_get(struct mmi_residency *res, uint64_t id,
                             void (*visit)(void *ctx, const struct mmi_model_info *info),
                             void *ctx);

/* Every model in turn. Returns how many. */
size_t mmi_models_visit(struct mmi_residency *res,
                        void (*visit)(void *ctx, uint64_t id, const struct mmi_model_info *info),
                        void *ctx);

/* High-water mark of one run of a version that is held, or the estimate. */
uint64_t mmi_version_activation_bytes(struct mmi_residency *res, const struct mmi_version *version);

struct mmi_device_info {
    const struct mmi_device *device;
    uint64_t budget_bytes, used_bytes, weights_bytes, reclaimable_bytes, scratch_bytes;
    uint64_t reserve_bytes, peak_bytes, leaked_bytes, loads, evictions;
    uint32_t instances;
};
/* Locked snapshot of one device; false = no such index. */
bool mmi_device_info_get(struct mmi_residency *res, size_t index, struct mmi_device_info *info);

struct mmi_mesh_info {
    struct mmi_counts counts;
    uint64_t models, resident, queued, description_bytes;
};
void mmi_mesh_info_get(struct mmi_residency *res, struct mmi_mesh_info *info);

struct mmi_victim_info {
    const char *name;
    uint64_t bytes, idle_ns;
    uint32_t evict_class;
    bool leased;
};
struct mmi_plan_info {
    mm_status status;
    const char *device; /* "" = nowhere; static as long as the mesh */
    uint64_t needed_bytes, free_bytes;
    bool estimated, resident;
    size_t victim_count;
};
/* Calls visit for each victim, in order of leaving, under the lock. */
mm_status mmi_plan_info_get(struct mmi_residency *res, uint64_t id, struct mmi_plan_info *info,
                            void (*visit)(void *ctx, size_t i,
                                          const struct mmi_victim_info *victim),
                            void *ctx, mm_error *err);

#endif
