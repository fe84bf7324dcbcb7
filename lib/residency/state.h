/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_RESIDENCY_STATE_H
#define MMI_RESIDENCY_STATE_H

/* What the residency core knows, and how a change is announced. One lock guards all of it (and the
 * catalog); what is atomic says so.
 *
 * Who changes something that others may wait for marks it: a model (its waiters, versions and
 * copies), or memory (loads and runs that wait for it). mmi_schedule works the marks off before the
 * lock is let go of, until none is left; nobody else ends a wait, but for what ends it early: its
 * deadline, a cancel, an unregister, a close, a pin (of evictions) and another update. */

#include <catalog/model.h>
#include <device/device.h>
#include <observe/counters.h>
#include <observe/events.h>
#include <observe/histogram.h>
#include <policy/placement.h>
#include <residency/lease.h>
#include <residency/timers.h>
#include <work/executor.h>
#include <work/op.h>

#define MMI_MAX_DEVICES 64u
#define MMI_EXEC_SLOTS 64u

/* ---- Who waits ------------------------------------------------------------------------------ */

enum mmi_wait_kind {
    MMI_WAIT_PREPARED, /* for an open description */
    MMI_WAIT_RESIDENT, /* for a load; nothing is held then */
    MMI_WAIT_RUN,      /* for the right to run: a lease, and a slot where concurrency is limited */
    MMI_WAIT_SWITCH,   /* for the decision of an update */
    MMI_WAIT_GONE,     /* for all instances of a model to be detached */
    MMI_WAIT_SCRATCH   /* a run, for memory of its activations */
};

/* How the run of an operation learns that it was cancelled. */
struct mmi_cancel {
    _Atomic bool cancelled;    /* for good: looked at wherever it would begin to wait */
    struct mmi_waiter *waiter; /* its run waits for scratch; NULL = it does not. Locked */
};

/* What a request wants of the core. */
struct mmi_request {
    uint64_t id;
    uint64_t deadline_ns; /* 0 = none */
    int32_t priority;
    bool no_wait;              /* only what is there: else MM_NOT_RESIDENT, MM_BUSY */
    bool nested;               /* from inside a backend's call: must not wait for others to leave */
    struct mmi_cancel *cancel; /* NULL: it cannot be cancelled */
    uint32_t near;             /* a hit: 1 + the device where its values lie; 0 = none */
    uint32_t losses;           /* runs of it so far whose device was lost meanwhile */
    bool missed;               /* one of these was counted as a miss */
    bool to_run;               /* asks for a description because a run needs it */
};

/* The right to run. */
struct mmi_admission {
    struct mmi_lease lease; /* lease.slot NULL: none */
    struct mmi_instance *instance;
    bool run_slot; /* counted in instance->running */
    bool hit;
    uint64_t wait_ns;
};

/* One wait. The memory is its owner's; it ends exactly once, under the lock. */
struct mmi_waiter {
    struct mmi_list node;        /* in the list of what it waits for */
    struct mmi_list nested_node; /* in residency.nested; linked: asked from inside a backend */
    struct mmi_timer timer;      /* deadline */
    enum mmi_wait_kind kind;
    struct mmi_model *model;       /* NULL: SCRATCH whose model is gone */
    struct mmi_instance *instance; /* SCRATCH: whose run */
    int32_t priority;
    uint64_t until; /* GONE: instances whose claims are up to this one; later ones may stay */
    bool waiting;
    bool counts_as_miss, to_run;
    mm_status status;
    mm_error error;
    struct mmi_opened *opened;      /* PREPARED: the result, held */
    struct mmi_admission admission; /* RUN: the result */
    /* Called at its end, under the lock. May begin the next wait, submit a task, complete an op. */
    void (*ended)(struct mmi_waiter *waiter);
    struct mmi_blocked *blocked; /* the caller that sleeps on it; NULL = none does */
    struct mm_op *op;            /* is told of progress; NULL = nobody */
};

/* A caller that sleeps in the library. It can be given work meanwhile. */
struct mmi_blocked {
    struct mmi_list node; /* in residency.blocked */
    struct mmi_cond wake;
    struct mmi_task *task; /* assigned to it; NULL = none */
};

/* An operation that has a lease and waits for a thread. It gives the lease back when the instance
 * is to leave: the thread may be waiting for the bytes. */
struct mmi_parked {
    struct mmi_list node; /* in instance.parked; without a lease in model.parked */
    /* status MM_OK: it waits for another lease; else it ends so. Nothing, if a thread has it. */
    void (*revoke)(struct mmi_parked *parked, mm_status status);
};

/* ---- Who needs memory ----------------------------------------------------------------------- */

/* A load, or a run that needs scratch. Linked while it waits for memory. */
struct mmi_claim {
    struct mmi_list node; /* in residency.loads or residency.runs, in order */
    struct mmi_timer timer;
    int32_t priority;
    uint64_t sequence;       /* order of arrival */
    uint64_t round;          /* of the pass that looked at it last */
    uint64_t starved_ns;     /* since when only leased ones would do; 0 = not */
    struct mmi_list victims; /* granted: whoever gets the memory detaches them first */
};

/* ---- Instances ------------------------------------------------------------------------------ */

struct mmi_instance {
    /* What a plan reads of each of thousands: two lines. */
    _Alignas(64) struct mmi_slot *slot;
    struct mmi_model *model; /* that it counts for, also when the version is not current any more;
                                NULL: unregistered */
    _Atomic uint64_t activation_bytes; /* counts for the reserve */
    uint64_t stay_until_ns;
    struct mmi_block block;
    uint64_t load_ns;

    struct mmi_list copy; /* in version->copies */
    struct mmi_residency *res;
    uint64_t word;             /* grants leases while READY */
    _Atomic uint64_t model_id; /* read under a lease; 0 = its model is gone */
    char label[64];            /* the model's name, as events show it */
    struct mmi_version *version;
    struct mmi_build *build;   /* of the device's kind; NULL until it was granted memory ... */
    struct mmi_opened *opened; /* ... and its description, held */
    struct mmi_devstate *dev;  /* NULL until it was granted memory */
    uint32_t on_device;        /* its place in dev->instances */
    struct mmi_list of_model;  /* in model->instances */
    struct mmi_list queue;     /* a claim's victims, or residency.detaching */
    struct mmi_list parked;    /* mmi_parked */
    struct mmi_region region;
    mm_region view;           /* of region, for the backend */
    void *state;              /* the backend's */
    bool attached;            /* detach is owed */
    bool holds_artifact;      /* whose pages the region is */
    _Atomic uint32_t limit;   /* runs at once; 0 = no limit */
    _Atomic uint32_t running; /* counted only where there is a limit */
    _Atomic bool contended;   /* somebody waits for one of them to end */
    uint32_t stalled;         /* runs on it that wait for scratch */
    struct mmi_timer idle;    /* idle_ttl */
    uint64_t leaving_ns;      /* on its way out: since when */
    enum mmi_reason reason;   /* DRAINING, LEAVING, RECLAIMABLE: why it leaves ... */
    char other[64];           /* ... and for whom */
    bool for_claim; /* it drains so that a claim comes to its turn: while one waits, no way back */

    /* Loading. */
    struct mmi_claim claim;
    struct mmi_task task;
    bool submitted;       /* to the load executor */
    int32_t wanted_kind;  /* it waits for a build for devices of this kind; 0 = not */
    uint32_t attempts;    /* that were made; the second has a wider plan */
    uint64_t extra_bytes; /* of the wider plan */
    uint64_t begun_ns;    /* when it was granted memory: waiting for that is no load time */
    _Atomic bool cancelled;
    _Atomic uint64_t done_bytes;
    _Atomic uint32_t arrived;    /* groups; UINT32_MAX = all */
    mm_status arrival_status;    /* not MM_OK: the rest will not come */
    struct mmi_cond arrival;     /* more groups are there */
    _Atomic uint32_t awaiting;   /* threads that wait for one */
    struct mmi_lease load_lease; /* the load's own, while groups arrive after attach */

    /* Resident. */
    _Atomic bool measured;
    uint64_t own_bytes;
    int64_t backend_bytes; /* what attach left allocated through the backend's allocator */
    uint64_t ready_ns;
    uint64_t uses_before; /* of the slot by earlier tenants */
};

static inline enum mmi_instance_state mmi_instance_state(const struct mmi_instance *instance) {
    return mmi_slot_state(instance->slot);
}

/* ---- Devices -------------------------------------------------------------------------------- */

/* Scratch memory of one run at a time. */
struct mmi_exec_slot {
    _Alignas(64) _Atomic uint32_t busy; /* 1: somebody's; exchanged, not locked */
    _Atomic uint64_t bytes;             /* usable; 0 = no memory behind it */
    struct mmi_block block;             /* with busy held, under the lock */
    struct mmi_region region;           /* with busy held */
    struct mmi_list trimmed;            /* with busy held: to be unmapped */
};

/* One device as the residency core sees it. */
struct mmi_devstate {
    struct mmi_device *device;
    struct mmi_instance **instances; /* with memory here, in no order: a plan walks thousands */
    uint32_t instance_count;
    size_t instance_room;
    struct mmi_exec_slot *exec;  /* [MMI_EXEC_SLOTS] */
    struct mmi_list more;        /* scratch that runs took beyond their slot */
    uint64_t scratch_bytes;      /* charged for exec slots and more ... */
    uint64_t scratch_cap;        /* ... and the most, for runs that begin, while a load starves */
    struct mmi_list held;        /* memory that callers allocated ... */
    uint64_t held_bytes;         /* ... as charged */
    _Atomic bool scratch_wanted; /* somebody waits for runs to end */
    uint64_t peak_bytes, leaked_bytes, loads, evictions;
    uint64_t most_activation_bytes; /* of one run, of any instance here, or that was */
    bool promised;                  /* during one pass: to an earlier claim ... */
    bool promised_to_run;           /* ... of a run */
    bool scratch_needed;            /* in this pass somebody waits for runs to end */
    bool taking; /* a claim detaches its victims; until it took its memory nobody else takes any */
    uint64_t needed_round; /* the last pass in which a claim waited for what is on its way out:
                              until it got that, nothing comes back */
};

/* ---- A plan --------------------------------------------------------------------------------- */

/* Whom a candidate stands for. */
struct mmi_planned {
    struct mmi_instance *instance; /* NULL: the scratch of runs */
    bool small;                    /* its block is: what it frees depends on its neighbours */
    enum {
        MMI_PLANNED_KEPT,
        MMI_PLANNED_RELEASED,
        MMI_PLANNED_POPPED /* from the heap, too */
    } state;
};

struct mmi_planned_bytes {
    uint64_t bytes; /* of activations */
    uint32_t index; /* of the candidate */
};

/* ---- The whole ------------------------------------------------------------------------------ */

struct mmi_residency_config {
    uint32_t infer_threads, load_threads, prepare_threads;
    bool threads;           /* false: none of ours; callers do the work */
    mm_allocator outliving; /* of operations: their handles outlive env->alloc */
    uint64_t description_budget_bytes, prepare_budget_bytes;
    uint64_t drain_grace_ns, min_residency_ns, backoff_first_ns, backoff_max_ns;
    uint32_t max_queued, max_signatures, max_models, event_capacity;
    bool idle_evict;
    unsigned generation_bits; /* 0 = full; tests: 8 */
    uint32_t salt;            /* of handles */
    struct mmi_registry *registry;
    struct mmi_store *store;
    struct mmi_device **devices; /* the residency's from init on, also if it fails */
    size_t device_count;
};

#define MMI_BYTES_WORKERS 4u

/* cleanup.c */
struct mmi_cleanup_worker {
    struct mmi_task task;
    struct mmi_residency *res;
    bool busy;     /* it was submitted, or runs ... */
    bool starting; /* ... and has not begun yet */
};

struct mmi_residency {
    const struct mmi_env *env;
    struct mmi_lock lock;
    bool (*schedule)(struct mmi_residency *res); /* called before the lock is let go of */
    struct mmi_residency_config config;
    struct mmi_catalog catalog;
    struct mmi_slots slots;
    struct mmi_preparer preparer;
    struct mmi_executor *infer_executor, *load_executor, *prepare_executor, *cleanup_executor;
    struct mmi_completions *completions;
    struct mmi_events events;
    struct mmi_counters counters;
    struct mmi_histogram load_time, queue_time, prepare_time;
    struct mmi_devstate devices[MMI_MAX_DEVICES];
    size_t device_count, first_device; /* whose turn it is on ties */
    _Atomic bool closed;               /* nothing new begins */
    _Atomic bool stopping;             /* and runs are asked to end */

    /* Marks. */
    struct mmi_list marked;  /* models to look at */
    struct mmi_list wanting; /* models with a copy that found no place */
    struct mmi_timer wanting_timer;
    struct mmi_timer idle_timer; /* a wanted instance became idle: memory is looked at, but ... */
    uint64_t idle_look_ns;       /* ... not before this time */
    bool memory_marked;          /* look at the claims */
    bool scheduling;             /* without threads: a caller cleans up */

    struct mmi_timers timers;
    struct mmi_list loads;    /* claims of loads, in order */
    struct mmi_list runs;     /* claims of runs, in order: they come first, for they hold leases */
    struct mmi_list nested;   /* waiters of calls from inside a backend */
    struct mmi_list stalled;  /* waiters of runs that wait for scratch */
    struct mmi_list blocked;  /* callers that sleep */
    struct mmi_list requests; /* operations that are not complete */
    uint32_t queued;          /* waiters ... */
    uint32_t exempt;          /* ... that no limit counts: evictions, updates */
    _Atomic uint32_t watched; /* of these have an op, which shows progress */
    uint64_t sequence;        /* claims so far */
    uint64_t round;           /* passes over the claims so far */
    uint64_t instances;       /* that exist */
    uint32_t jobs;            /* tasks that run, or will, without the lock */
    struct mmi_cond quiet;    /* what a stop or a smaller budget waits for may be so */
    bool joining, joined;     /* the threads, by the first stop */

    /* Done without the lock, by the cleanup executor. */
    struct mmi_cleanup_worker bytes_workers[MMI_BYTES_WORKERS], rest_worker;
    uint32_t shrinking;        /* budgets that wait for bytes */
    struct mmi_list detaching; /* instances */
    struct mmi_list dropping;  /* versions without references */
    struct mmi_list closing;   /* descriptions */
    struct mmi_list trimmed;   /* exec slots whose memory is to be unmapped */
    uint32_t unmapping;        /* of those, being unmapped now */
    struct mmi_list
        closable; /* builds whose description may be closed, least recently used first */
    uint64_t description_bytes; /* of closable builds */
    uint64_t log_cursor;        /* of events that the host's log has seen */
    struct mmi_list tasks;      /* without threads: for blocked callers */

    struct mmi_list orphans;  /* instances whose model is gone */
    uint64_t served, granted; /* sums of models' that are gone; see mmi_model */
    uint64_t hits;            /* as last told */

    /* Room for all instances: planning allocates nothing. */
    struct mmi_candidate *candidates;
    struct mmi_planned *planned; /* by the candidates' index */
    struct mmi_plan_key *plan_keys;
    uint32_t *victims;
    struct mmi_planned_bytes *largest; /* a heap by activation bytes */
    size_t plan_room[5]; /* of these arrays: one may have grown when the next could not */
};

static inline void mmi_mark_model(struct mmi_residency *res, struct mmi_model *model) {
    if (model && !mmi_list_linked(&model->marked)) {
        mmi_list_push_back(&res->marked, &model->marked);
    }
}

static inline void mmi_mark_memory(struct mmi_residency *res) {
    res->memory_marked = true;
}

/* An instance changed its state: whoever waits for it, for its model or for its bytes. */
static inline void mmi_mark_instance(struct mmi_residency *res, struct mmi_instance *instance) {
    mmi_mark_model(res, instance->model);
    mmi_mark_memory(res);
}

static inline uint64_t mmi_res_now(const struct mmi_residency *res) {
    return mmi_now(&res->env->clock);
}

#endif
