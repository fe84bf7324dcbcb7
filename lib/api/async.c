/* SPDX-License-Identifier: Apache-2.0 */
/* Operations: infer, load, prepare and update without blocking.
 *
 * An inference is a task that moves between the residency core, where it waits, and the infer lane,
 * where
 * it runs:  hot -> QUEUED -> run.  cold -> description -> check -> model -> QUEUED -> run.
 * However it ends, it ends once: the op is completed, then the task is gone. */
#include <api/infer.h>

#include <work/op.h>

enum phase { PHASE_CHECK, PHASE_RUN };

struct task {
    struct mmi_pending pending; /* first */
    struct mmi_stage stage;
    mm_mesh *mesh;
    struct mm_op *op;
    struct mmi_ask ask;
    enum phase phase;
    mm_request request;
    mm_response *response;
};

/* ---- Ops ------------------------------------------------------------------------------------ */

static void cancel_op(void *ctx, struct mm_op *op) {
    mm_mesh *mesh = ctx;
    mmi_pending_cancel(&mesh->res, op);
}

static mm_status read_async(const mm_async *from, mm_async *async, mm_error *err) {
    *async = (mm_async)MM_ASYNC_INIT;
    if (from && !mmi_read_options(async, sizeof(*async), from, from->struct_size)) {
        return mmi_fail(err, MM_INVALID_ARGUMENT, "async.struct_size: %u", from->struct_size);
    }
    if (async->flags & ~(uint32_t)(MM_ASYNC_QUEUE | MM_ASYNC_RETRY)) {
        return mmi_fail(err, MM_INVALID_ARGUMENT, "async.flags: %#x", async->flags);
    }
    return MM_OK;
}

static struct mmi_ask async_ask(mm_model model, const mm_async *async) {
    return (struct mmi_ask){
        .id = model.id, .deadline_ns = async->deadline_ns, .priority = async->priority};
}

static mm_status task_new(mm_mesh *mesh, const mm_async *async,
                          void (*ended)(struct mmi_pending *pending), struct task **out,
                          mm_error *err) {
    if (!mesh->res.config.threads) {
        return mmi_fail(err, MM_UNSUPPORTED, "op: this mesh has no threads of its own");
    }
    if (atomic_load(&mesh->res.closed)) {
        return mmi_fail(err, MM_CLOSED, "the mesh is closed");
    }
    struct mmi_op_config config = {.callback = async->callback,
                                   .user = async->user,
                                   .queue = async->flags & MM_ASYNC_QUEUE,
                                   .cancel = cancel_op,
                                   .cancel_ctx = mesh};
    struct task *task = mmi_alloc(&mesh->env.alloc, 1, sizeof(*task));
    if (!task) {
        return mmi_fail(err, MM_NO_MEMORY, "op: out of memory");
    }
    mm_status status = mmi_op_new(mesh->res.board, &config, &task->op, err);
    if (status == MM_OK && !mmi_pending_init(&mesh->res, &task->pending, task->op, ended)) {
        mmi_op_discard(task->op);
        status = mmi_fail(err, MM_NO_MEMORY, "op: out of memory");
    }
    if (status != MM_OK) {
        mmi_free(&mesh->env.alloc, task, sizeof(*task));
        return status;
    }
    task->mesh = mesh;
    *out = task;
    return MM_OK;
}

static void task_gone(struct task *task, mm_status status, const mm_error *error) {
    struct mm_op *op = task->op;
    mm_mesh *mesh = task->mesh;
    mm_error copy = {0};
    if (status != MM_OK) {
        copy = *error; /* it may lie in the task */
    }
    mmi_free(&mesh->env.alloc, task, sizeof(*task));
    mmi_op_complete(op, status, &copy);
}

static void task_end(struct task *task, mm_status status, const mm_error *error) {
    mmi_pending_fini(&task->pending);
    task_gone(task, status, error);
}

/* Inside `ended`. */
static void task_end_locked(struct task *task, mm_status status, const mm_error *error) {
    mmi_pending_fini_locked(&task->pending);
    task_gone(task, status, error);
}

/* ---- Infer ---------------------------------------------------------------------------------- */

static void task_run(struct task *task) {
    mm_mesh *mesh = task->mesh;
    mmi_op_set_stage(task->op, MM_STAGE_RUNNING);
    mm_error error = {0};
    task->response->flags = task->pending.ticket.hit ? MM_RESPONSE_HIT : 0;
    task->response->wait_ns = task->pending.ticket.wait_ns;
    mm_status status = mmi_run_ticket(mesh, &task->ask, &task->pending.ticket, &task->request,
                                      task->response, &error);
    if (status != MM_OK) {
        mmi_count(&mesh->res.counters, MMI_COUNT_FAILED, 1);
    }
    task_end(task, status, &error);
}

static void task_check(struct task *task) {
    mm_mesh *mesh = task->mesh;
    mm_error error;
    mm_status status =
        mmi_check_request(mesh, task->ask.id, task->pending.opened, &task->request, &error);
    mmi_res_drop(&mesh->res, task->pending.opened);
    task->pending.opened = NULL;
    if (status == MM_OK) {
        task->phase = PHASE_RUN;
        mmi_pending_ticket(&task->pending, &task->ask);
    } else {
        task_end(task, status, &error);
    }
}

static void task_stage(struct mmi_stage *stage) {
    struct task *task = MMI_CONTAINER(stage, struct task, stage);
    mmi_pending_running(&task->pending);
    if (task->phase == PHASE_CHECK) {
        task_check(task);
    } else {
        task_run(task);
    }
}

/* Under the lock. */
static void infer_ended(struct mmi_pending *pending) {
    struct task *task = (struct task *)pending;
    if (pending->status == MM_OK) {
        mmi_pending_queue_locked(pending, &task->stage, task->ask.deadline_ns);
        return;
    }
    if (pending->opened) { /* it was checked no more */
        mmi_res_drop_locked(&task->mesh->res, pending->opened);
    }
    mmi_count(&task->mesh->res.counters, MMI_COUNT_FAILED, 1);
    task_end_locked(task, pending->status, &pending->error);
}

mm_status mm_infer_async(mm_mesh *mesh, mm_model model, const mm_request *from,
                         mm_response *response, const mm_async *from_async, mm_op **op,
                         mm_error *err) {
    MMI_TRY(mmi_enter(mesh, err));
    mm_request request;
    mm_async async;
    MMI_TRY(mmi_read_request(from, &request, err));
    MMI_TRY(mmi_check_response(response, err));
    MMI_TRY(read_async(from_async, &async, err));
    if (!op) {
        return mmi_fail(err, MM_INVALID_ARGUMENT, "op: NULL");
    }
    bool nested;
    MMI_TRY(mmi_check_frame(mesh, &nested, err));
    struct task *task;
    MMI_TRY(task_new(mesh, &async, infer_ended, &task, err));
    task->request = request;
    task->response = response;
    task->ask = mmi_request_ask(model, &request, false);
    task->stage.run = task_stage;
    task->stage.priority = request.priority;
    response->flags = 0;
    response->wait_ns = 0;
    *op = task->op;
    uint64_t deadline_ns = task->ask.deadline_ns;
    bool late = deadline_ns && mmi_now(&mesh->env.clock) >= deadline_ns;
    if (!late && mmi_ticket_hot(&mesh->res, model.id, &task->pending.ticket)) {
        task->phase = PHASE_RUN;
        mmi_pending_queue(&task->pending, &task->stage, deadline_ns);
    } else if (task->ask.no_wait) {
        task->phase = PHASE_RUN;
        mmi_pending_ticket(&task->pending, &task->ask);
    } else {
        task->phase = PHASE_CHECK;
        mmi_pending_prepared(&task->pending, &task->ask, false);
    }
    return MM_OK;
}

/* ---- Load, prepare, update ------------------------------------------------------------------- */

/* Under the lock. */
static void simple_ended(struct mmi_pending *pending) {
    struct task *task = (struct task *)pending;
    if (pending->opened) {
        mmi_res_drop_locked(&task->mesh->res, pending->opened);
    }
    task_end_locked(task, pending->status, &pending->error);
}

/* From inside a backend's call nothing may be waited for. */
static mm_status check_blocking(const mm_mesh *mesh, mm_error *err) {
    if (mmi_frame_of(&mesh->res)) {
        return mmi_fail(err, MM_INVALID_STATE, "this would block inside a backend's call");
    }
    return MM_OK;
}

mm_status mm_load(mm_mesh *mesh, mm_model model, const mm_async *from, mm_op **op, mm_error *err) {
    MMI_TRY(mmi_enter(mesh, err));
    mm_async async;
    MMI_TRY(read_async(from, &async, err));
    struct mmi_ask ask = async_ask(model, &async);
    bool retry = async.flags & MM_ASYNC_RETRY;
    if (!op) {
        MMI_TRY(check_blocking(mesh, err));
        return mmi_ask_resident(&mesh->res, &ask, retry, err);
    }
    struct task *task;
    MMI_TRY(task_new(mesh, &async, simple_ended, &task, err));
    *op = task->op;
    mmi_pending_resident(&task->pending, &ask, retry);
    return MM_OK;
}

mm_status mm_prepare(mm_mesh *mesh, mm_model model, const mm_async *from, mm_op **op,
                     mm_error *err) {
    MMI_TRY(mmi_enter(mesh, err));
    mm_async async;
    MMI_TRY(read_async(from, &async, err));
    struct mmi_ask ask = async_ask(model, &async);
    bool retry = async.flags & MM_ASYNC_RETRY;
    if (!op) {
        MMI_TRY(check_blocking(mesh, err));
        struct mmi_opened *opened;
        MMI_TRY(mmi_ask_prepared(&mesh->res, &ask, retry, &opened, err));
        mmi_res_drop(&mesh->res, opened);
        return MM_OK;
    }
    struct task *task;
    MMI_TRY(task_new(mesh, &async, simple_ended, &task, err));
    *op = task->op;
    mmi_pending_prepared(&task->pending, &ask, retry);
    return MM_OK;
}

mm_status mm_update(mm_mesh *mesh, mm_model model, const mm_model_spec *spec, uint32_t flags,
                    mm_op **op, mm_error *err) {
    MMI_TRY(mmi_enter(mesh, err));
    struct mmi_registration registration;
    MMI_TRY(mmi_read_update(mesh, model, spec, flags, &registration, err));
    bool replace = flags & MM_UPDATE_REPLACE;
    struct mmi_ask ask = {.id = model.id};
    if (!op) {
        MMI_TRY(check_blocking(mesh, err));
        return mmi_ask_update(&mesh->res, &ask, &registration, replace, err);
    }
    mm_async async = MM_ASYNC_INIT;
    struct task *task;
    MMI_TRY(task_new(mesh, &async, simple_ended, &task, err));
    *op = task->op;
    mmi_pending_update(&task->pending, &ask, &registration, replace);
    return MM_OK;
}
