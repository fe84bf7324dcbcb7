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
        call->judging = true;
        judge(sim, call, status, &error);
        call->judging = false;
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
    call->called_back = true;
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
        values_request(sim, call);
        status = mm_infer_async(sim->mesh, handle, &call->request, &call->response, &async, &op,
                                &call->error);
    } else if (act->kind == ACT_UPDATE) {
        uint32_t flags;
        mm_model_spec spec = calls_update_begins(sim, call, &flags);
        call->deadline_ns = act->tells ? async.deadline_ns : 0;
        status = mm_update(sim->mesh, handle, &spec, flags, act->tells ? &async : NULL, &op,
                           &call->error);
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
    bool asks = call->act->callback && calls_tells(call);
    if (status != MM_PENDING && asks && call->callbacks == 0) {
        sim_fail(sim, "op", "call %u: told of its op's end before the callback", call->index);
    }
}

static void fetch(struct sim *sim) {
    mm_op *op = NULL;
    for (;;) {
        sim->fetching++;
        mm_status status = mm_ops_next(sim->mesh, &op);
        sim->fetching--;
        if (status != MM_OK) {
            break;
        }
        struct call *call = mm_op_user(op);
        if (++call->fetched > 1 || call->act->after != AFTER_QUEUE) {
            sim_fail(sim, "op", "call %u: fetched %u times", call->index, call->fetched);
        }
        story(sim, "call %u: fetched", call->index);
        call->op = op;
        call->handle_freed = false; /* it is given back */
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
    for (unsigned i = 0; i < LOOKS && !call->called_back; i++) {
        schedule_sleep(sim, call->act->delay_ns);
    }
    while (!call->called_back) {
        schedule_sleep(sim, UINT64_C(60000000000));
    }
}

/* The handle is freed before its end, not while somebody fetches: the queue gives it back. */
static void await_delivery(struct sim *sim, struct call *call) {
    while (sim->fetching > 0) {
        schedule_sleep(sim, 1);
    }
    if (call->fetched == 0) {
        free_handle(call);
    }
    for (unsigned i = 0; call->fetched == 0; i++) {
        schedule_sleep(sim, i < LOOKS ? call->act->delay_ns : UINT64_C(60000000000));
        fetch(sim);
    }
    free_handle(call);
}

static void live(struct sim *sim, struct call *call) {
    const struct act *act = call->act;
    mm_progress progress = MM_PROGRESS_INIT;
    switch (act->after) {
    case AFTER_FREE:
        if (calls_tells(call)) {
            await_callback(sim, call);
            return;
        }
        break;
    case AFTER_DROP:
        free_handle(call);
        return;
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
        if (act->frees && calls_tells(call)) {
            await_delivery(sim, call);
            return;
        }
        for (unsigned i = 0; i < LOOKS && calls_tells(call) && call->fetched == 0; i++) {
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
    bool fetches = act->after == AFTER_QUEUE && calls_tells(call) && call->fetched == 0;
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
        bool queued = call->accepted && call->act->after == AFTER_QUEUE && calls_tells(call);
        if (queued && call->fetched != 1) {
            sim_fail(sim, "op", "call %u: fetched %u times", i, call->fetched);
        }
    }
}

/* Nobody was told how it ended: what came out of it is there, or nothing is. */
static void end_dropped(struct sim *sim, struct call *call) {
    bool runs = call->act->kind == ACT_INFER_ASYNC;
    bool answered = runs && call->response.output_count > 0;
    if (answered) {
        judge_dropped(sim, call);
    } else if (runs && call->ran && call->deadline_ns == 0 && !sim->faulted &&
               call->act->buffers != BUFFERS_SMALL) {
        sim_fail(sim, "op", "call %u: it ran, and its outputs are nowhere", call->index);
    }
    mm_response_free(&call->response);
}

void op_free_all(struct sim *sim) {
    for (uint32_t i = 0; i < sim->scenario->act_count; i++) {
        struct call *call = &sim->calls[i];
        bool calls_back = call->accepted && call->act->callback && calls_tells(call);
        if (calls_back && call->callbacks != 1) {
            sim_fail(sim, "op", "call %u: called back %u times", i, call->callbacks);
        }
        if (call->accepted && !call->handle_freed) {
            seen(sim, call, call->op);
            free_handle(call);
        }
        if (call->accepted && call->act->after == AFTER_DROP) {
            end_dropped(sim, call);
        }
    }
}
