/* SPDX-License-Identifier: Apache-2.0 */
/* Asynchronous calls, and what becomes of their ops. */
#include "sim.h"

#include <base/status.h>

#define LOOKS 40u

bool op_complete(const struct call *call) {
    return call->completed ||
           (call->op && !call->handle_freed && mm_op_poll(call->op, NULL) != MM_PENDING);
}

static void free_handle(struct call *call) {
    if (call->op && !call->handle_freed) {
        call->handle_freed = true;
        mm_op_free(call->op);
    }
}

/* Whoever sees the end first judges it; the others must see the same. */
static void seen(struct sim *sim, struct call *call, mm_op *op) {
    mm_error error = {0};
    mm_status status = mm_op_poll(op, &error);
    if (status == MM_PENDING) {
        sim_fail(sim, "op", "call %u: its op is said to be complete, and is not", call->index);
    } else if (!call->completed) {
        call->completed = true;
        call->status = status;
        judge(sim, call, status, &error);
    } else if (status != call->status) {
        sim_fail(sim, "op", "call %u: its op ended twice: %s, %s", call->index,
                 mm_status_name(call->status), mm_status_name(status));
    }
}

static void called_back(void *user, mm_op *op) {
    struct call *call = user;
    struct sim *sim = call->thread->sim;
    call->callbacks++;
    story(sim, "call %u: called back", call->index);
    if (call->callbacks > 1 || sim->stopped) {
        sim_fail(sim, "op", "call %u: called back %s", call->index,
                 sim->stopped ? "after stop" : "twice");
    }
    seen(sim, call, op);
    if (call->act->callback_frees) {
        call->op = op;
        free_handle(call);
    }
    if (call->act->number == 5 && calls_stop(sim, sim->now_ns + 1) != MM_BUSY) {
        sim_fail(sim, "status", "stop from a callback is not busy");
    }
    schedule_pause(sim);
}

/* ---- Beginning ------------------------------------------------------------------------------- */

static mm_status begin(struct sim *sim, struct call *call) {
    const struct act *act = call->act;
    mm_model handle = call->registration->handle;
    mm_async async = MM_ASYNC_INIT;
    async.callback = act->callback ? called_back : NULL;
    async.user = call;
    async.deadline_ns = call->deadline_ns == MM_NO_WAIT ? 0 : call->deadline_ns;
    async.priority = act->priority;
    async.flags = act->after == AFTER_QUEUE ? MM_ASYNC_QUEUE : 0;
    mm_op *op = NULL;
    mm_status status;
    if (act->kind == ACT_INFER_ASYNC) {
        calls_request(sim, call);
        status = mm_infer_async(sim->mesh, handle, &call->request, &call->response, &async, &op,
                                &call->error);
    } else if (act->kind == ACT_UPDATE) {
        uint32_t content;
        mm_model_spec spec = calls_spec(sim, act->model, act->number, &content);
        calls_update_begins(sim, call, content);
        call->deadline_ns = 0;
        status = mm_update(sim->mesh, handle, &spec, act->replace ? MM_UPDATE_REPLACE : 0, NULL,
                           &op, &call->error);
    } else {
        async.flags |= act->retry ? MM_ASYNC_RETRY : 0;
        call->deadline_ns = async.deadline_ns;
        status = (act->kind == ACT_LOAD ? mm_load : mm_prepare)(sim->mesh, handle, &async, &op,
                                                                &call->error);
    }
    if (status == MM_OK && !call->op) {
        call->op = op;
    }
    return status;
}

/* mm_load and mm_prepare, while the caller waits. */
static void wait_for_it(struct sim *sim, struct call *call) {
    mm_async async = MM_ASYNC_INIT;
    async.deadline_ns = call->deadline_ns = call->deadline_ns == MM_NO_WAIT ? 0 : call->deadline_ns;
    async.priority = call->act->priority;
    async.flags = call->act->retry ? MM_ASYNC_RETRY : 0;
    call->may_wait = true;
    mm_model handle = call->registration->handle;
    mm_status status = (call->act->kind == ACT_LOAD ? mm_load : mm_prepare)(
        sim->mesh, handle, &async, NULL, &call->error);
    judge(sim, call, status, &call->error);
}

/* ---- Until the end --------------------------------------------------------------------------- */

static void wait_until(struct sim *sim, struct call *call, uint64_t deadline_ns) {
    mm_error error;
    mm_status status = calls_op_wait(sim, call->op, deadline_ns, &error);
    if (status == MM_PENDING && (deadline_ns == 0 || sim->now_ns < deadline_ns)) {
        sim_fail(sim, "op", "call %u: the wait for its op ended early", call->index);
    }
    bool asks = call->act->callback && call->act->kind != ACT_UPDATE;
    if (status != MM_PENDING && asks && call->callbacks == 0) {
        sim_fail(sim, "op", "call %u: told of its op's end before the callback", call->index);
    }
}

static void fetch(struct sim *sim) {
    mm_op *op = NULL;
    while (mm_ops_next(sim->mesh, &op) == MM_OK) {
        struct call *call = mm_op_user(op);
        if (++call->fetched > 1 || call->act->after != AFTER_QUEUE) {
            sim_fail(sim, "op", "call %u: fetched %u times", call->index, call->fetched);
        }
        story(sim, "call %u: fetched", call->index);
        call->op = op;
        seen(sim, call, op);
    }
}

static void cancel_later(struct sim *sim, struct call *call) {
    if (call->act->number % 3 != 0) {
        schedule_sleep(sim, call->act->delay_ns);
    }
    bool late = op_complete(call);
    story(sim, "call %u: cancel", call->index);
    call->cancelled = true;
    mm_op_cancel(call->op);
    call->cancelled_ns = late ? 0 : sim->now_ns;
}

/* An op that tells by its callback alone. */
static void await_callback(struct sim *sim, struct call *call) {
    if (!call->act->callback_frees) {
        free_handle(call);
    }
    for (unsigned i = 0; i < LOOKS && call->callbacks == 0; i++) {
        schedule_sleep(sim, call->act->delay_ns);
    }
    while (call->callbacks == 0) {
        schedule_sleep(sim, UINT64_C(60000000000));
    }
}

static void live(struct sim *sim, struct call *call) {
    const struct act *act = call->act;
    mm_progress progress = MM_PROGRESS_INIT;
    switch (act->after) {
    case AFTER_FREE:
        if (act->kind != ACT_UPDATE) { /* whose op has no callback */
            await_callback(sim, call);
            return;
        }
        break;
    case AFTER_CANCEL:
        cancel_later(sim, call);
        break;
    case AFTER_PEEK:
        call->may_wait = true;
        wait_until(sim, call, sim->now_ns + act->delay_ns);
        break;
    case AFTER_POLL:
        for (unsigned i = 0; i < LOOKS && !op_complete(call); i++) {
            mm_op_progress(call->op, &progress);
            schedule_sleep(sim, act->delay_ns);
        }
        break;
    case AFTER_QUEUE:
        for (unsigned i = 0; i < LOOKS && act->kind != ACT_UPDATE && call->fetched == 0; i++) {
            fetch(sim);
            schedule_sleep(sim, act->delay_ns);
        }
        break;
    default:
        break;
    }
    call->may_wait = true;
    wait_until(sim, call, 0);
    seen(sim, call, call->op);
    bool fetches = act->after == AFTER_QUEUE && act->kind != ACT_UPDATE && call->fetched == 0;
    if (act->number % 4 != 0 && !fetches) { /* the others outlive the mesh */
        free_handle(call);
    }
}

void op_async(struct sim *sim, struct call *call) {
    const struct act *act = call->act;
    if (!act->async) {
        wait_for_it(sim, call);
        return;
    }
    mm_status status = begin(sim, call);
    if (status != MM_OK) {
        judge(sim, call, status, &call->error);
        if (call->callbacks > 0) {
            sim_fail(sim, "op", "call %u: never begun, and called back", call->index);
        }
        return;
    }
    call->accepted = true;
    live(sim, call);
}

/* ---- At the end ------------------------------------------------------------------------------ */

void op_fetch_all(struct sim *sim) {
    fetch(sim);
    for (uint32_t i = 0; i < sim->scenario->act_count; i++) {
        struct call *call = &sim->calls[i];
        bool queued =
            call->accepted && call->act->after == AFTER_QUEUE && call->act->kind != ACT_UPDATE;
        if (queued && call->fetched != 1) {
            sim_fail(sim, "op", "call %u: fetched %u times", i, call->fetched);
        }
    }
}

void op_free_all(struct sim *sim) {
    for (uint32_t i = 0; i < sim->scenario->act_count; i++) {
        struct call *call = &sim->calls[i];
        bool calls_back = call->accepted && call->act->callback && call->act->kind != ACT_UPDATE;
        if (calls_back && call->callbacks != 1) {
            sim_fail(sim, "op", "call %u: called back %u times", i, call->callbacks);
        }
        if (call->accepted && !call->handle_freed) {
            seen(sim, call, call->op);
            free_handle(call);
        }
    }
}
