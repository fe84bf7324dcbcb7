/* SPDX-License-Identifier: Apache-2.0 */
/* Waiting for an operation: what ask.c does for blocked callers, with a call at the end. */
#include <residency/hot.h>

#include <residency/ask.h>

struct pending_waiter {
    struct mmi_waiter waiter; /* first */
    struct mmi_pending *pending;
    uint64_t model_id, deadline_ns;
    struct mmi_timer queue_timer; /* while a task waits for a thread */
    struct mmi_task *task;        /* NULL = none does */
    struct mmi_list in_executor;  /* the same, for close */
    bool no_wait;
};

static void finish(struct mmi_pending *pending, mm_status status) {
    struct mmi_ticket *ticket = &pending->ticket;
    if (status != MM_OK && ticket->lease.slot) {
        mmi_ticket_return_locked(pending->res, ticket);
        *ticket = (struct mmi_ticket){0};
    } else if (ticket->lease.slot && !ticket->hit) {
        mmi_ticket_waited(pending->res, ticket, pending->begun_ns);
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

/* ---- For models ----------------------------------------------------------------------------- */

/* There is a lease: now the turn. */
static void pending_turn(struct mmi_pending *pending) {
    struct mmi_residency *res = pending->res;
    struct pending_waiter *own = pending->own;
    struct mmi_instance *instance = pending->ticket.instance;
    if (atomic_load(&instance->limit) == 0) {
        finish(pending, MM_OK);
        return;
    }
    own->waiter.want = MMI_WANT_TURN;
    mm_error error;
    mm_status status = mmi_gate_enter(res, instance, &own->waiter, own->deadline_ns, &error);
    if (status != MM_OK) {
        pending->error = error;
        finish(pending, status);
    } else if (own->no_wait && own->waiter.waiting) {
        mmi_fail(&error, MM_BUSY, "as many requests run on it as may");
        mmi_waiter_end(res, &own->waiter, MM_BUSY, &error);
    }
}

static void enter_locked(struct mmi_pending *pending, const struct mmi_ask *ask, enum mmi_want want,
                         bool retry);

/* An update took over while it waited for its turn: it takes the new version. */
static void ask_again(struct mmi_pending *pending) {
    const struct pending_waiter *own = pending->own;
    struct mmi_ask ask = {.id = own->model_id,
                          .deadline_ns = own->deadline_ns,
                          .priority = own->waiter.priority,
                          .no_wait = own->no_wait};
    mmi_ticket_return_locked(pending->res, &pending->ticket);
    enter_locked(pending, &ask, MMI_WANT_LEASE, false);
}

static void pending_ended(struct mmi_waiter *waiter) {
    struct mmi_pending *pending = ((struct pending_waiter *)waiter)->pending;
    if (waiter->status == MM_NONE) {
        ask_again(pending);
    } else if (waiter->status != MM_OK) {
        pending->error = waiter->error;
        finish(pending, waiter->status);
    } else if (waiter->want == MMI_WANT_LEASE) {
        pending->ticket.lease = waiter->lease;
        pending->ticket.instance = waiter->instance;
        pending_turn(pending);
    } else {
        pending->opened = waiter->opened;
        pending->ticket.turn = waiter->want == MMI_WANT_TURN;
        finish(pending, MM_OK);
    }
}

static struct mmi_waiter *pending_begin(struct mmi_pending *pending, const struct mmi_ask *ask,
                                        enum mmi_want want) {
    struct pending_waiter *own = pending->own;
    own->waiter = (struct mmi_waiter){.want = want, .ended = pending_ended, .op = pending->op};
    own->model_id = ask->id;
    own->deadline_ns = ask->deadline_ns;
    own->no_wait = ask->no_wait;
    pending->begun_ns = mmi_now(&pending->res->env->clock);
    pending->status = MM_PENDING;
    pending->ticket = (struct mmi_ticket){0};
    return &own->waiter;
}

static void enter_locked(struct mmi_pending *pending, const struct mmi_ask *ask, enum mmi_want want,
                         bool retry) {
    struct mmi_waiter *waiter = pending_begin(pending, ask, want);
    mm_error error;
    mm_status status =
        mmi_ask_enter(pending->res, waiter, ask, retry, &pending->ticket.hit, &error);
    if (status != MM_OK) {
        pending->error = error;
        finish(pending, status);
    } /* else it may be gone already */
}

static void pending_enter(struct mmi_pending *pending, const struct mmi_ask *ask,
                          enum mmi_want want, bool retry) {
    struct mmi_residency *res = pending->res;
    mmi_res_lock(res);
    enter_locked(pending, ask, want, retry);
    mmi_res_unlock(res);
}

void mmi_pending_prepared(struct mmi_pending *pending, const struct mmi_ask *ask, bool retry) {
    pending_enter(pending, ask, MMI_WANT_PREPARED, retry);
}

void mmi_pending_resident(struct mmi_pending *pending, const struct mmi_ask *ask, bool retry) {
    pending_enter(pending, ask, MMI_WANT_RESIDENT, retry);
}

void mmi_pending_ticket(struct mmi_pending *pending, const struct mmi_ask *ask) {
    pending_enter(pending, ask, MMI_WANT_LEASE, false);
}

void mmi_pending_update(struct mmi_pending *pending, const struct mmi_ask *ask,
                        const struct mmi_registration *registration, bool replace) {
    struct mmi_residency *res = pending->res;
    struct mmi_version *version;
    mm_error error;
    mm_status status = mmi_ask_version(res, registration, &version, &error);
    mmi_res_lock(res);
    struct mmi_waiter *waiter = pending_begin(pending, ask, MMI_WANT_SWITCH);
    if (status == MM_OK) {
        status = mmi_ask_update_enter(res, waiter, ask, version, replace, &error);
    }
    if (status != MM_OK) {
        pending->error = error;
        finish(pending, status);
    }
    mmi_res_unlock(res);
}

/* ---- For a thread --------------------------------------------------------------------------- */

/* Out of the executor again; false: it runs already. */
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
        bool load = waiter->want == MMI_WANT_RESIDENT || waiter->want == MMI_WANT_LEASE;
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
