/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_RESIDENCY_CORE_H
#define MMI_RESIDENCY_CORE_H

/* The module's private header: what its files share. Others include residency.h.
 *
 * One lock guards all of it (and the catalog); what is atomic says so. No backend, device or user
 * code runs under it: what must call out is put on a list, and mmi_res_unlock works the lists off
 * after releasing it.
 *
 *   hot.h         a hit: lookup and lease, no lock
 *   residency.c   init, close, stop, fini; the lock
 *   instance.c    states of an instance: ready, leaving, coming back, detaching
 *   waiter.c      who waits, and how a wait ends
 *   demand.c      from a request to a load: prepare, queue, give leases
 *   make_room.c   victim plans, placement, granting memory
 *   load.c        moving bytes, attaching
 *   execute.c     one run: signature, scratch, backend
 *   scratch.c     memory for activations
 *   evict.c       evict, budgets, idle time, lost devices
 *   update.c      new versions, unregister
 *   timer.c       deadlines, grace, idle time: one heap, one tick
 *   info.c        snapshots for the info and stats calls
 */

#include <residency/residency.h>

#include <policy/placement.h>

/* ---- Timers --------------------------------------------------------------------------------- */

struct mmi_timer {
    struct mmi_heap_node node; /* key: when */
    void (*fire)(struct mmi_residency *res, struct mmi_timer *timer, uint64_t now_ns);
};
/* Room for one more timer in the heap, so that setting it cannot fail. false = out of memory. */
bool mmi_timer_promise(struct mmi_residency *res);
void mmi_timer_forget(struct mmi_residency *res,
                      struct mmi_timer *timer); /* unset, promise returned */
void mmi_timer_set(struct mmi_residency *res, struct mmi_timer *timer, uint64_t at_ns);
void mmi_timer_unset(struct mmi_residency *res, struct mmi_timer *timer);
/* Fire what is due. Locked. */
void mmi_timers_run(struct mmi_residency *res, uint64_t now_ns);
uint64_t mmi_timers_next(const struct mmi_residency *res); /* 0 = none */

/* ---- Waiters -------------------------------------------------------------------------------- */

enum mmi_wait_kind {
    MMI_WAIT_PREPARED, /* ends with the open description */
    MMI_WAIT_RESIDENT, /* loaded once; nothing is held */
    MMI_WAIT_LEASE,    /* ends with a lease */
    MMI_WAIT_RUN_SLOT, /* holds a lease; ends when it may run (max_concurrency) */
    MMI_WAIT_SWITCH,   /* the update is decided */
    MMI_WAIT_GONE      /* the instance is detached */
};

/* One wait that has not ended yet. The memory is its owner's: a blocked caller's stack, or an
 * asynchronous operation. Ends exactly once, under the lock. */
struct mmi_waiter {
    struct mmi_list node;
    struct mmi_timer timer; /* deadline */
    enum mmi_wait_kind kind;
    struct mmi_model *model;       /* while it waits */
    struct mmi_instance *instance; /* GONE: which; LEASE: the result */
    struct mmi_opened *opened;     /* PREPARED: the result, held */
    struct mmi_lease lease;        /* LEASE: the result */
    int32_t priority;
    bool nested; /* requested from inside a backend: must not wait for others to leave */
    bool counts_as_miss;
    bool waiting, done;
    mm_status status;
    mm_error error;
    /* How the owner is notified: a blocked caller by its condition, an operation by a call under
     * the lock that may only submit a task. */
    pthread_cond_t *wake;
    void (*ended)(struct mmi_waiter *waiter);
    struct mm_op *op; /* is notified of progress; NULL = nobody */
    /* Work that a blocked caller is to do itself. */
    struct mmi_job *job;
};
/* Queue it by priority and set its deadline. MM_OVERLOADED, MM_NO_MEMORY: it does not wait. */
mm_status mmi_waiter_add(struct mmi_residency *res, struct mmi_waiter *waiter,
                         struct mmi_list *list, uint64_t deadline_ns, mm_error *err);
/* End it. error NULL: a status alone. */
void mmi_waiter_end(struct mmi_residency *res, struct mmi_waiter *waiter, mm_status status,
                    const mm_error *error);
/* Block until it ended, doing the jobs that it is given. Locked before and after. */
void mmi_waiter_block(struct mmi_residency *res, struct mmi_waiter *waiter);
/* Notify the ops among a model's waiters of its progress. */
void mmi_waiters_notify(struct mmi_residency *res, struct mmi_model *model);
/* The highest priority among a model's waiters, or `fallback`. */
int32_t mmi_waiters_priority(const struct mmi_model *model, int32_t fallback);
/* End all waiters of a model that need a load or a preparation. */
void mmi_waiters_fail(struct mmi_residency *res, struct mmi_model *model, mm_status status,
                      const mm_error *error);

/* ---- Jobs: work that runs without the lock --------------------------------------------------- */

struct mmi_job {
    struct mmi_task task; /* in an executor, when no caller does it */
    struct mmi_residency *res;
    void (*run)(struct mmi_job *job); /* takes and releases the lock itself */
    bool claimed;                     /* by a blocked caller */
};
/* Give it to a blocked caller of the model when `inline_ok` or when there are no threads, else to
 * the executor. false: nobody can do it. */
bool mmi_job_start(struct mmi_residency *res, struct mmi_job *job, struct mmi_model *model,
                   struct mmi_executor *executor, bool inline_ok);

/* ---- Instances ------------------------------------------------------------------------------ */

struct mmi_instance {
    struct mmi_slot *slot;
    uint64_t word;             /* grants leases while READY */
    _Atomic uint64_t model_id; /* read under a lease; 0 = its model is gone */
    struct mmi_model *model;   /* NULL: its model is gone */
    struct mmi_version *version;
    struct mmi_opened *opened; /* the version's, held */
    struct mmi_devstate *dev;  /* NULL until it was granted memory */
    struct mmi_list on_device;
    struct mmi_list queue; /* the load queue, a load's victims, or the detaching list */
    struct mmi_list gone;  /* waiters: MMI_WAIT_GONE */
    struct mmi_block block;
    struct mmi_region region;
    mm_region view;                     /* of region, for the backend */
    void *state;                        /* the backend's */
    bool attached;                      /* detach is owed */
    _Atomic uint32_t concurrency_limit; /* runs at once; 0 = none */
    _Atomic uint32_t running;           /* counted only where there is a limit */
    _Atomic uint32_t run_slot_waiting;  /* waiters in the next */
    struct mmi_list run_slot_waiters;   /* waiters that hold a lease: MMI_WAIT_RUN_SLOT */
    struct mmi_timer timer; /* LOADING: grace or min residency of others; READY: idle time */
    enum mmi_reason reason; /* DRAINING, RECLAIMABLE: why it leaves */
    char other[64];         /* ... and for whom */
    bool taken;             /* its bytes are promised: it will be detached, and cannot come back */

    /* Loading. */
    struct mmi_job job;
    struct mmi_list victims; /* to detach first; their memory is ours already */
    int32_t priority;
    uint64_t sequence;    /* order of arrival */
    uint64_t round;       /* of scheduling that looked at it last */
    uint64_t begun_ns;    /* when it got its memory: the wait before is not load time */
    uint64_t starved_ns;  /* since when only leased victims would do; 0 = not */
    uint64_t extra_bytes; /* planned for in addition after an out of memory */
    bool retried, queued, for_update;
    _Atomic bool cancelled;
    _Atomic uint64_t done_bytes;

    /* Resident. */
    _Atomic uint64_t activation_bytes; /* counts for the reserve */
    _Atomic bool measured;
    uint64_t own_bytes;
    int64_t backend_bytes; /* what attach left allocated through the backend's allocator */
    uint64_t ready_ns, load_ns, stay_until_ns;
    uint64_t uses_before; /* of the slot by earlier tenants */
};

static inline enum mmi_instance_state mmi_instance_state(const struct mmi_instance *instance) {
    return mmi_slot_state(instance->slot);
}

/* New, LOADING, holding a reference and a use of the version. NULL = out of memory. */
struct mmi_instance *mmi_instance_new(struct mmi_residency *res, struct mmi_model *model,
                                      struct mmi_version *version);
/* LOADING -> NONE or FAILED -> NONE: nothing is attached or mapped. */
void mmi_instance_free(struct mmi_residency *res, struct mmi_instance *instance);
/* LOADING -> READY: leases are given, first to those who wait. */
void mmi_instance_ready(struct mmi_residency *res, struct mmi_instance *instance);
/* READY -> DRAINING (then on to RECLAIMABLE and DETACHING), or on from RECLAIMABLE. taken: its
 * bytes are needed, it cannot come back. other: for whom, NULL = nobody. */
void mmi_instance_leave(struct mmi_residency *res, struct mmi_instance *instance,
                        enum mmi_reason reason, bool taken, const char *other);
/* DRAINING or RECLAIMABLE -> READY. */
void mmi_instance_revive(struct mmi_residency *res, struct mmi_instance *instance);
/* Acts on the result of a settle of its slot. */
void mmi_instance_settled(struct mmi_residency *res, struct mmi_instance *instance,
                          enum mmi_settled settled);
/* RECLAIMABLE -> DETACHING, for a new holder: memory back to the arena now; the new holder's job
 * detaches it (list). */
void mmi_instance_hand_over(struct mmi_residency *res, struct mmi_instance *instance,
                            struct mmi_list *list);
/* RECLAIMABLE or LOST -> DETACHING; whoever unlocks detaches it. */
void mmi_instance_detach_soon(struct mmi_residency *res, struct mmi_instance *instance);
/* No lock: call the backend and the device. Then locked: DETACHING -> NONE. */
void mmi_instance_detach(struct mmi_residency *res, struct mmi_instance *instance);
void mmi_instance_detached(struct mmi_residency *res, struct mmi_instance *instance);
void mmi_instance_publish(struct mmi_residency *res, struct mmi_instance *instance);
void mmi_instance_unpublish(struct mmi_instance *instance);
uint64_t mmi_instance_idle_ns(const struct mmi_residency *res, const struct mmi_instance *instance);

/* ---- Preparing and loading ------------------------------------------------------------------ */

/* Do the next thing that this model's waiters need: prepare, revive, load, give leases, fail. */
void mmi_advance(struct mmi_residency *res, struct mmi_model *model);
/* Begin the load of a PREPARED version without an instance. */
mm_status mmi_prepare_begin(struct mmi_residency *res, struct mmi_model *model,
                            struct mmi_version *version, mm_error *err);
void mmi_job_init(struct mmi_residency *res, struct mmi_job *job, void (*run)(struct mmi_job *job),
                  int32_t priority);
mm_status mmi_load_begin(struct mmi_residency *res, struct mmi_model *model,
                         struct mmi_version *version, int32_t priority, mm_error *err);
/* A load ended for good: FAILED, remembered when `remember`. */
void mmi_load_failed(struct mmi_residency *res, struct mmi_instance *instance,
                     const mm_error *error, bool remember);
void mmi_load_cancel(struct mmi_residency *res, struct mmi_instance *instance);
/* Cancel the load of a model that nobody waits for any more. */
void mmi_load_unwanted(struct mmi_residency *res, struct mmi_model *model);
/* Back to the queue, without memory. */
void mmi_load_again(struct mmi_residency *res, struct mmi_instance *instance);
void mmi_load_raise(struct mmi_residency *res, struct mmi_instance *instance, int32_t priority);

/* One use of a PREPARED version's description, and one reference to the version. */
struct mmi_opened *mmi_opened_hold(struct mmi_residency *res, struct mmi_version *version);
void mmi_opened_drop(struct mmi_residency *res, struct mmi_opened *opened); /* undo hold */
/* PREPARED -> UNPREPARED. Whoever uses the description keeps it until the end. */
void mmi_opened_close_soon(struct mmi_residency *res, struct mmi_version *version);
void mmi_version_unref(struct mmi_residency *res, struct mmi_version *version); /* one reference */

/* ---- Making room ---------------------------------------------------------------------------- */

/* Go through the loads that wait for memory, in order, and start those that can. */
void mmi_schedule(struct mmi_residency *res);
/* Plan for one device. bytes 0 with shrink_bytes > 0: how to reduce the used bytes by that much. */
struct mmi_need {
    uint64_t bytes;            /* the block, as asked */
    uint64_t activation_bytes; /* of the newcomer, for the reserve */
    uint64_t shrink_bytes;
    bool scratch; /* the block is scratch: it may use the reserve */
    uint8_t evict_class;
    const struct mmi_model *self; /* never its own victim; NULL = nobody */
};
void mmi_room_plan(struct mmi_residency *res, struct mmi_devstate *dev, const struct mmi_need *need,
                   struct mmi_plan_output *plan);
struct mmi_instance *mmi_room_victim(struct mmi_residency *res, uint32_t index);
/* The candidate placement on each device, placements: [device_count]; the index of the best, or
 * device_count. The chosen one is planned last, so that mmi_room_victim speaks of it. */
size_t mmi_room_placements(struct mmi_residency *res, const struct mmi_version *version,
                           const struct mmi_need *need, struct mmi_placement *placements);
/* A device that it could use, and that fits the need when empty (NULL = any), is promised to an
 * earlier load. */
bool mmi_room_promised(const struct mmi_residency *res, const struct mmi_version *version,
                       const struct mmi_need *need);
uint64_t mmi_room_reserve(const struct mmi_residency *res, const struct mmi_devstate *dev);
bool mmi_room_reserve_lists(
    struct mmi_residency *res); /* for one more instance; false = no memory */
/* The refusal in words. */
void mmi_room_refusal(struct mmi_residency *res, const struct mmi_model *model,
                      const struct mmi_need *need, const struct mmi_placement *placements,
                      size_t chosen, mm_error *error);

/* ---- Scratch -------------------------------------------------------------------------------- */

/* Free idle scratch until no more than keep_bytes is held. true = some was freed. */
bool mmi_scratch_trim(struct mmi_residency *res, struct mmi_devstate *dev, uint64_t keep_bytes);
void mmi_scratch_changed(struct mmi_residency *res, struct mmi_devstate *dev);
void mmi_scratch_unmap_all(struct mmi_devstate *dev);

/* ---- Other ---------------------------------------------------------------------------------- */

void mmi_load_run(struct mmi_job *job);
void mmi_warm_up(struct mmi_residency *res, const struct mmi_instance *instance); /* no lock */
/* Held; made by the backend if it is new. No lock. */
mm_status mmi_signature_get(struct mmi_residency *res, struct mmi_opened *opened,
                            const mm_value *inputs, struct mmi_signature **signature,
                            mm_error *err);
/* End the operations that wait for a thread with MM_CLOSED. */
void mmi_pendings_close(struct mmi_residency *res);
void mmi_device_lost(struct mmi_residency *res, struct mmi_devstate *dev);
/* Takes the caller's reference to version. MM_OK: done, only re-pointed. MM_PENDING: to be loaded
 * beside the old one; add a waiter to model->updating, then call mmi_update_go_on. */
mm_status mmi_update_begin(struct mmi_residency *res, struct mmi_model *model,
                           struct mmi_version *version, bool replace);
void mmi_update_go_on(struct mmi_residency *res, struct mmi_model *model);
void mmi_update_ready(struct mmi_residency *res, struct mmi_model *model);
void mmi_update_failed(struct mmi_residency *res, struct mmi_model *model, mm_status status,
                       const mm_error *error);
void mmi_evict_expired(struct mmi_residency *res, struct mmi_instance *instance);
void mmi_idle_fire(struct mmi_residency *res, struct mmi_timer *timer, uint64_t now_ns);
/* model, dev: NULL = none. */
void mmi_event(struct mmi_residency *res, enum mmi_event_kind kind, const struct mmi_model *model,
               const struct mmi_event *fields, const struct mmi_devstate *dev);
mm_status mmi_model_source_bytes(struct mmi_residency *res, uint64_t id, uint64_t *bytes,
                                 mm_error *err);
/* Why there is no model of this id: MM_STALE_HANDLE; MM_INVALID_ARGUMENT for 0. */
mm_status mmi_no_model(uint64_t id, mm_error *err);
void mmi_trim_malloc(void); /* ask the C library to give free memory back */
struct mmi_devstate *mmi_dev_find(struct mmi_residency *res, const char *name);
bool mmi_dev_usable(const struct mmi_residency *res, const struct mmi_devstate *dev,
                    const struct mmi_version *version);
/* The residency lock. unlock works off what must be done without it. */
void mmi_res_lock(struct mmi_residency *res);
void mmi_res_unlock(struct mmi_residency *res);
void mmi_work_off(struct mmi_residency *res); /* locked before and after, not in between */

#endif
