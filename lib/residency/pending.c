/* SPDX-License-Identifier: Apache-2.0 */
#include <residency/pending.h>

#include <residency/admission.h>
#include <residency/copies.h>
#include <residency/demand.h>
#include <residency/instance.h>
#include <residency/lock.h>
#include <residency/update.h>
#include <residency/waiters.h>

/* ---- For a thread ---------------------------------------------------------------------------- */

static void end(struct mmi_pending *pending, mm_status status, const char *what) {
    const struct mmi_model *model = mmi_catalog_get(&pending->res->catalog, pending->request.id);
    mmi_fail(&pending->error, status, "%s%s: %s", model ? "model " : "operation",
             model ? mmi_model_name(model) : "", what);
    pending->status = status;
    pending->ended(pending);
}

/* Out of the executor again; false: it runs already, or does not wait for a thread. */
static bool unqueue(struct mmi_pending *pending) {
    struct mmi_residency *res = pending->res;
    if (!pending->task || !mmi_executor_remove(res->infer_executor, pending->task)) {
        return false;
    }
    pending->task = NULL;
    mmi_list_remove(&pending->parked.node);
    mmi_timer_unset(&res->timers, &pending->queue_timer);
    mmi_admission_undo(res, &pending->admission);
    return true;
}

static void revoke(struct mmi_parked *parked, mm_status status) {
    struct mmi_pending *pending = MMI_CONTAINER(parked, struct mmi_pending, parked);
    if (!unqueue(pending)) {
        return; /* a thread has it: it runs */
    }
    if (status == MM_OK) {
        mmi_pending_begin_again(pending);
    } else {
        end(pending, status, mm_status_text(status));
    }
}

static void queue_expired(void *ctx, struct mmi_timer *timer) {
    struct mmi_residency *res = ctx;
    struct mmi_pending *pending = MMI_CONTAINER(timer, struct mmi_pending, queue_timer);
    if (unqueue(pending)) {
        mmi_count(&res->counters, MMI_COUNT_DEADLINE, 1);
        end(pending, MM_DEADLINE, "the deadline passed while waiting for a thread");
    }
}

/* Why it need not wait for a thread; MM_OK = it does. */
static mm_status check_queue(struct mmi_pending *pending, const char **what) {
    struct mmi_residency *res = pending->res;
    if (atomic_load(&pending->cancel.cancelled)) {
        mmi_count(&res->counters, MMI_COUNT_CANCELLED, 1);
        *what = "cancelled";
        return MM_CANCELLED;
    }
    *what = "the mesh is closed";
    return atomic_load(&res->closed) ? MM_CLOSED : MM_OK;
}

void mmi_pending_queue_locked(struct mmi_pending *pending, struct mmi_task *task,
                              const struct mmi_request *request) {
    struct mmi_residency *res = pending->res;
    struct mmi_instance *instance = pending->admission.instance;
    const char *what;
    pending->request = *request;
    mm_status status = check_queue(pending, &what);
    if (status != MM_OK) {
        mmi_admission_undo(res, &pending->admission);
        end(pending, status, what);
        return;
    }
    if (instance && mmi_instance_state(instance) != MMI_READY) { /* it began to leave meanwhile */
        mmi_admission_undo(res, &pending->admission);
        mmi_pending_begin_again(pending);
        return;
    }
    struct mmi_model *model = mmi_catalog_get(&res->catalog, request->id);
    if (!instance && !model) {
        end(pending, MM_UNREGISTERED, mm_status_text(MM_UNREGISTERED));
        return;
    }
    pending->task = task;
    mmi_list_push_back(instance ? &instance->parked : &model->parked, &pending->parked.node);
    pending->queue_timer.fire = queue_expired;
    if (request->deadline_ns) {
        mmi_timer_set(&res->timers, &pending->queue_timer, request->deadline_ns);
    }
    mmi_executor_submit(res->infer_executor, task);
}

void mmi_pending_queue(struct mmi_pending *pending, struct mmi_task *task,
                       const struct mmi_request *request) {
    struct mmi_residency *res = pending->res;
    mmi_res_lock(res);
    mmi_pending_queue_locked(pending, task, request);
    mmi_res_unlock(res);
}

void mmi_pending_running(struct mmi_pending *pending) {
    struct mmi_residency *res = pending->res;
    mmi_res_lock(res);
    pending->task = NULL;
    mmi_list_remove(&pending->parked.node);
    mmi_timer_unset(&res->timers, &pending->queue_timer);
    mmi_res_unlock(res);
}

/* ---- Beginning and end ---------------------------------------------------------------------- */

mm_status mmi_pending_init(struct mmi_residency *res, struct mmi_pending *pending, struct mm_op *op,
                           void (*ended)(struct mmi_pending *pending), mm_error *err) {
    mm_status status = MM_OK;
    mmi_res_lock(res);
    if (atomic_load(&res->closed)) {
        status = mmi_fail(err, MM_CLOSED, "operation: the mesh is closed");
    } else if (!mmi_timer_promise(&res->timers)) {
        status = mmi_fail(err, MM_NO_MEMORY, "operation: out of memory");
    } else {
        *pending = (struct mmi_pending){.res = res, .op = op, .ended = ended};
        mmi_list_init(&pending->parked.node);
        pending->parked.revoke = revoke;
        mmi_list_push_back(&res->requests, &pending->open);
        mmi_op_set_work(op, pending);
    }
    mmi_res_unlock(res);
    return status;
}

void mmi_pending_fini_locked(struct mmi_pending *pending) {
    struct mmi_residency *res = pending->res;
    mmi_op_set_work(pending->op, NULL);
    mmi_timer_forget(&res->timers, &pending->queue_timer);
    mmi_list_remove(&pending->open);
    mmi_cond_broadcast(&res->quiet);
}

void mmi_pending_fini(struct mmi_pending *pending) {
    struct mmi_residency *res = pending->res;
    mmi_res_lock(res);
    mmi_pending_fini_locked(pending);
    mmi_res_unlock(res);
}

/* ---- Ending it early ------------------------------------------------------------------------- */

static void cancel(struct mmi_pending *pending) {
    struct mmi_residency *res = pending->res;
    struct mmi_waiter *waiter = pending->cancel.waiter ? pending->cancel.waiter : &pending->waiter;
    atomic_store(&pending->cancel.cancelled,
                 true); /* looked at before the next wait, and by its run */
    if (waiter->waiting) {
        struct mmi_model *model = waiter->model;
        enum mmi_wait_kind kind = waiter->kind; /* its end may free it */
        mmi_count(&res->counters, MMI_COUNT_CANCELLED, 1);
        mmi_waiter_end(res, waiter, MM_CANCELLED, NULL);
        if (kind == MMI_WAIT_SWITCH) {
            mmi_update_cancel(res, model);
        } else if (kind != MMI_WAIT_SCRATCH) {
            mmi_demand_cancelled(res, model);
        }
    } else if (unqueue(pending)) {
        mmi_count(&res->counters, MMI_COUNT_CANCELLED, 1);
        end(pending, MM_CANCELLED, "cancelled");
    }
}

void mmi_pending_cancel(struct mmi_residency *res, struct mm_op *op) {
    mmi_res_lock(res);
    struct mmi_pending *pending = mmi_op_work(op);
    if (pending) {
        cancel(pending);
    }
    mmi_res_unlock(res);
}

void mmi_pendings_close(struct mmi_residency *res) {
    MMI_LIST_EACH(node, &res->requests) {
        struct mmi_pending *pending = MMI_CONTAINER(node, struct mmi_pending, open);
        if (unqueue(pending)) { /* else a thread has it: it runs, or waits for something else */
            end(pending, MM_CLOSED, "the mesh is closed");
        }
    }
}
