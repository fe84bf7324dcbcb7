/* SPDX-License-Identifier: Apache-2.0 */
/* Requests of operations: as in request.c for blocked callers, but ending with a callback. */
#include <residency/hot.h>

#include <residency/request.h>

struct pending_waiter {
    struct mmi_waiter waiter; /* first */
    struct mmi_pending *pending;
    uint64_t model_id, deadline_ns;
    struct mmi_timer queue_timer; /* set while a task waits for a thread */
    struct mmi_task *task;        /* NULL = none does */
    struct mmi_list in_executor;  /* the same, for close */
    bool no_wait;
};

static void finish(struct mmi_pending *pending, mm_status status) {
    struct mmi_admission *admission = &pending->admission;
    if (status != MM_OK && admission->lease.slot) {
        mmi_admission_return_locked(pending->res, admission);
        *admission = (struct mmi_admission){0};
    } else if (admission->lease.slot && !admission->hit) {
        mmi_admission_waited(pending->res, admission, pending->begun_ns);
    }
    pending->status = status;
    pending->ended(pending);
}

static void finish_with(struct mmi_pending *pending, mm_status status, const char *text) {
    mmi_fail(&pending->error, status, "%s", text);
    finish(pending, status);
}

bool mmi_pending_init(struct mmi_residency *res, struct mmi_pending *pending, struct mm_op *op,
                      void (*ended)(struct mmi_pending *pending)) {
    struct pending_waiter *own = mmi_alloc(&res->env->alloc, 1, sizeof(*own));
    mmi_res_lock(res);
    bool room = own && mmi_timer_promise(res);
    if (room) {
        own->pending = pending;
        mmi_list_init(&own->in_executor);
        *pending = (struct mmi_pending){.res = res, .op = op, .ended = ended, .own = own};
        if (op) {
            mmi_op_set_work(op, pending);
        }
    }
    mmi_res_unlock(res);
    if (!room) {
        mmi_free(&res->env->alloc, own, sizeof(*own));
    }
    return room;
}

void mmi_pending_fini_locked(struct mmi_pending *pending) {
    struct mmi_residency *res = pending->res;
    if (pending->op) {
        mmi_op_set_work(pending->op, NULL);
    }
    mmi_timer_forget(res, &pending->own->queue_timer);
    mmi_free(&res->env->alloc, pending->own, sizeof(*pending->own));
}

void mmi_pending_fini(struct mmi_pending *pending) {
    struct mmi_residency *res = pending->res;
    mmi_res_lock(res);
    mmi_pending_fini_locked(pending);
    mmi_res_unlock(res);
}

/* ---- Waiting for a model -------------------------------------------------------------------- */

/* There is a lease: now the run slot. */
static void pending_run_slot(struct mmi_pending *pending) {
    struct mmi_residency *res = pending->res;
    struct pending_waiter *own = pending->own;
    struct mmi_instance *instance = pending->admission.instance;
    if (atomic_load(&instance->concurrency_limit) == 0) {
        finish(pending, MM_OK);
        return;
    }
    own->waiter.kind = MMI_WAIT_RUN_SLOT;
    mm_error error;
    mm_status status = mmi_run_slot_enter(res, instance, &own->waiter, own->deadline_ns, &error);
    if (status != MM_OK) {
        pending->error = error;
        finish(pending, status);
    } else if (own->no_wait && own->waiter.waiting) {
        mmi_fail(&error, MM_BUSY, "as many requests run on it as may");
        mmi_waiter_end(res, &own->waiter, MM_BUSY, &error);
    }
}

static void enter_locked(struct mmi_pending *pending, const struct mmi_request *request,
                         enum mmi_wait_kind kind, bool retry);

/* An update took over while it waited for a run slot: it takes the new version. */
static void request_again(struct mmi_pending *pending) {
    const struct pending_waiter *own = pending->own;
    struct mmi_request request = {.id = own->model_id,
                                  .deadline_ns = own->deadline_ns,
                                  .priority = own->waiter.priority,
                                  .no_wait = own->no_wait};
    mmi_admission_return_locked(pending->res, &pending->admission);
    enter_locked(pending, &request, MMI_WAIT_LEASE, false);
}

static void pending_ended(struct mmi_waiter *waiter) {
    struct mmi_pending *pending = ((struct pending_waiter *)waiter)->pending;
    if (waiter->status == MM_NONE) {
        request_again(pending);
    } else if (waiter->status != MM_OK) {
        pending->error = waiter->error;
        finish(pending, waiter->status);
    } else if (waiter->kind == MMI_WAIT_LEASE) {
        pending->admission.lease = waiter->lease;
        pending->admission.instance = waiter->instance;
        pending_run_slot(pending);
    } else {
        pending->opened = waiter->opened;
        pending->admission.run_slot = waiter->kind == MMI_WAIT_RUN_SLOT;
        finish(pending, MM_OK);
    }
}

static struct mmi_waiter *pending_begin(struct mmi_pending *pending,
                                        const struct mmi_request *request,
                                        enum mmi_wait_kind kind) {
    struct pending_waiter *own = pending->own;
    own->waiter = (struct mmi_waiter){.kind = kind, .ended = pending_ended, .op = pending->op};
    own->model_id = request->id;
    own->deadline_ns = request->deadline_ns;
    own->no_wait = request->no_wait;
    pending->begun_ns = mmi_now(&pending->res->env->clock);
    pending->status = MM_PENDING;
    pending->admission = (struct mmi_admission){0};
    return &own->waiter;
}

static void enter_locked(struct mmi_pending *pending, const struct mmi_request *request,
                         enum mmi_wait_kind kind, bool retry) {
    struct mmi_waiter *waiter = pending_begin(pending, request, kind);
    mm_error error;
    mm_status status =
        mmi_request_enter(pending->res, waiter, request, retry, &pending->admission.hit, &error);
    if (status != MM_OK) {
        pending->error = error;
        finish(pending, status);
    } /* else `pending` may be gone already */
}

static void pending_enter(struct mmi_pending *pending, const struct mmi_request *request,
                          enum mmi_wait_kind kind, bool retry) {
    struct mmi_residency *res = pending->res;
    mmi_res_lock(res);
    enter_locked(pending, request, kind, retry);
    mmi_res_unlock(res);
}

void mmi_pending_prepared(struct mmi_pending *pending, const struct mmi_request *request,
                          bool retry) {
    pending_enter(pending, request, MMI_WAIT_PREPARED, retry);
}

void mmi_pending_resident(struct mmi_pending *pending, const struct mmi_request *request,
                          bool retry) {
    pending_enter(pending, request, MMI_WAIT_RESIDENT, retry);
}

void mmi_pending_admission(struct mmi_pending *pending, const struct mmi_request *request) {
    pending_enter(pending, request, MMI_WAIT_LEASE, false);
}

void mmi_pending_update(struct mmi_pending *pending, const struct mmi_request *request,
                        const struct mmi_registration *registration, bool replace) {
    struct mmi_residency *res = pending->res;
    struct mmi_version *version;
    mm_error error;
    mm_status status = mmi_request_version(res, registration, &version, &error);
    mmi_res_lock(res);
    struct mmi_waiter *waiter = pending_begin(pending, request, MMI_WAIT_SWITCH);
    if (status == MM_OK) {
        status = mmi_request_update_enter(res, waiter, request, version, replace, &error);
    }
    if (status != MM_OK) {
        pending->error = error;
        finish(pending, status);
    }
    mmi_res_unlock(res);
}

/* ---- Waiting for a thread ------------------------------------------------------------------- */

/* Take it out of the executor; false: it runs already. */
static bool unqueue(struct mmi_pending *pending) {
    struct pending_waiter *own = pending->own;
    struct mmi_residency *res = pending->res;
    if (!own->task || !mmi_executor_remove(res->infer_executor, own->task)) {
        return false;
    }
    own->task = NULL;
    mmi_list_remove(&own->in_executor);
    mmi_timer_unset(res, &own->queue_timer);
    return true;
}

static void queue_expired(struct mmi_residency *res, struct mmi_timer *timer, uint64_t now_ns) {
    (void)now_ns;
    struct pending_waiter *own = MMI_CONTAINER(timer, struct pending_waiter, queue_timer);
    if (unqueue(own->pending)) {
        mmi_count(&res->counters, MMI_COUNT_DEADLINE, 1);
        finish_with(own->pending, MM_DEADLINE, "the deadline passed while waiting for a thread");
    }
}

void mmi_pending_queue_locked(struct mmi_pending *pending, struct mmi_task *task,
                              uint64_t deadline_ns) {
    struct pending_waiter *own = pending->own;
    own->task = task;
    mmi_list_push_back(&pending->res->in_executor, &own->in_executor);
    own->queue_timer.fire = queue_expired;
    if (deadline_ns) {
        mmi_timer_set(pending->res, &own->queue_timer, deadline_ns);
    }
    mmi_executor_submit(pending->res->infer_executor, task);
}

void mmi_pending_queue(struct mmi_pending *pending, struct mmi_task *task, uint64_t deadline_ns) {
    struct mmi_residency *res = pending->res;
    mmi_res_lock(res);
    mmi_pending_queue_locked(pending, task, deadline_ns);
    mmi_res_unlock(res);
}

void mmi_pending_running(struct mmi_pending *pending) {
    struct mmi_residency *res = pending->res;
    mmi_res_lock(res);
    pending->own->task = NULL;
    mmi_list_remove(&pending->own->in_executor);
    mmi_timer_unset(res, &pending->own->queue_timer);
    mmi_res_unlock(res);
}

void mmi_pendings_close(struct mmi_residency *res) {
    MMI_LIST_EACH(node, &res->in_executor) {
        struct pending_waiter *own = MMI_CONTAINER(node, struct pending_waiter, in_executor);
        if (unqueue(own->pending)) { /* else a thread has it: it runs */
            finish_with(own->pending, MM_CLOSED, "the mesh was closed");
        }
    }
}

void mmi_pending_cancel(struct mmi_residency *res, struct mm_op *op) {
    mmi_res_lock(res);
    struct mmi_pending *pending = mmi_op_work(op);
    struct mmi_waiter *waiter = pending ? &pending->own->waiter : NULL;
    if (pending && waiter->waiting) {
        struct mmi_model *model = waiter->model;
        bool load = waiter->kind == MMI_WAIT_RESIDENT || waiter->kind == MMI_WAIT_LEASE;
        mmi_count(&res->counters, MMI_COUNT_CANCELLED, 1);
        mmi_waiter_end(res, waiter, MM_CANCELLED, NULL);
        if (load) {
            mmi_load_unwanted(res, model);
        }
    } else if (pending && unqueue(pending)) {
        mmi_count(&res->counters, MMI_COUNT_CANCELLED, 1);
        finish_with(pending, MM_CANCELLED, "cancelled while waiting for a thread");
    }
    mmi_res_unlock(res);
}
