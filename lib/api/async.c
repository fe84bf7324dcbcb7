/* SPDX-License-Identifier: Apache-2.0 */
/* Operations: infer, load, prepare and update without blocking.
 *
 * An inference moves between the residency core, where it waits, and the infer executor, where it
 * runs:  hot -> QUEUED -> run.  cold -> description -> check -> model -> QUEUED -> run.
 * However it ends, it ends once: the op is completed, then the operation is freed. */
#include <api/infer.h>

#include <residency/lock.h>
#include <work/op.h>

enum phase { PHASE_CHECK, PHASE_RUN };

struct operation {
    struct mmi_pending pending; /* first */
    struct mmi_task task;
    mm_mesh *mesh;
    struct mm_op *op;
    struct mmi_request core_request;
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
    if (from) {
        MMI_TRY(mmi_sized_read(async, from, MMI_ASYNC_SIZES, "async", err));
    }
    if (async->flags & ~(uint32_t)(MM_ASYNC_QUEUE | MM_ASYNC_RETRY)) {
        return mmi_fail(err, MM_INVALID_ARGUMENT, "async.flags: %#x", async->flags);
    }
    return MM_OK;
}

static struct mmi_request async_request(mm_model model, const mm_async *async) {
    struct mmi_request core_request = mmi_core_request(model, async->deadline_ns);
    core_request.priority = async->priority;
    return core_request;
}

static mm_status operation_new(mm_mesh *mesh, const mm_async *async,
                               void (*ended)(struct mmi_pending *pending), struct operation **out,
                               mm_error *err) {
    if (!mesh->res.config.threads) {
        return mmi_fail(err, MM_UNSUPPORTED, "op: this mesh has no threads of its own");
    }
    struct mmi_op_config config = {.callback = async->callback,
                                   .user = async->user,
                                   .queue = async->flags & MM_ASYNC_QUEUE,
                                   .cancel = cancel_op,
                                   .cancel_ctx = mesh};
    struct operation *operation = mmi_alloc(&mesh->env.alloc, 1, sizeof(*operation));
    if (!operation) {
        return mmi_fail(err, MM_NO_MEMORY, "op: out of memory");
    }
    mm_status status = mmi_op_new(mesh->res.completions, &config, &operation->op, err);
    if (status == MM_OK) {
        status = mmi_pending_init(&mesh->res, &operation->pending, operation->op, ended, err);
        if (status != MM_OK) {
            mmi_op_discard(operation->op);
        }
    }
    if (status != MM_OK) {
        mmi_free(&mesh->env.alloc, operation, sizeof(*operation));
        return status;
    }
    operation->mesh = mesh;
    *out = operation;
    return MM_OK;
}

/* Under the lock, so that a stop sees it open or complete, never in between. */
static void operation_end_locked(struct operation *operation, mm_status status,
                                 const mm_error *error) {
    struct mm_op *op = operation->op;
    mm_mesh *mesh = operation->mesh;
    mm_error copy = {0};
    if (status != MM_OK) {
        copy = *error; /* it may lie in the operation */
    }
    mmi_pending_fini_locked(&operation->pending);
    mmi_free(&mesh->env.alloc, operation, sizeof(*operation));
    mmi_op_complete(op, status, &copy);
}

static void operation_end(struct operation *operation, mm_status status, const mm_error *error) {
    struct mmi_residency *res = &operation->mesh->res;
    mmi_res_lock(res);
    operation_end_locked(operation, status, error);
    mmi_res_unlock(res);
}

/* ---- Infer ---------------------------------------------------------------------------------- */

static void operation_run(struct operation *operation) {
    mm_mesh *mesh = operation->mesh;
    mmi_op_set_stage(operation->op, MM_STAGE_RUNNING);
    mm_error error = {0};
    operation->response->flags = operation->pending.admission.hit ? MM_RESPONSE_HIT : 0;
    operation->response->wait_ns = operation->pending.admission.wait_ns;
    mm_status status =
        mmi_run_admitted(mesh, &operation->core_request, &operation->pending.admission,
                         &operation->request, operation->response, &error);
    if (status == MM_PENDING) {
        mmi_pending_admission(&operation->pending, &operation->core_request);
        return;
    }
    if (status != MM_OK) {
        mmi_count(&mesh->res.counters, MMI_COUNT_FAILED, 1);
    }
    operation_end(operation, status, &error);
}

static void operation_check(struct operation *operation) {
    mm_mesh *mesh = operation->mesh;
    mm_error error;
    mm_status status = mmi_check_request(mesh, operation->core_request.id,
                                         operation->pending.opened, &operation->request, &error);
    mmi_res_drop(&mesh->res, operation->pending.opened);
    operation->pending.opened = NULL;
    if (status == MM_OK) {
        operation->phase = PHASE_RUN;
        mmi_pending_admission(&operation->pending, &operation->core_request);
    } else {
        operation_end(operation, status, &error);
    }
}

static void operation_step(struct mmi_task *task) {
    struct operation *operation = MMI_CONTAINER(task, struct operation, task);
    mmi_pending_running(&operation->pending);
    if (operation->phase == PHASE_CHECK) {
        operation_check(operation);
    } else {
        operation_run(operation);
    }
}

/* Under the lock. */
static void infer_ended(struct mmi_pending *pending) {
    struct operation *operation = (struct operation *)pending;
    if (pending->status == MM_OK) {
        mmi_pending_queue_locked(pending, &operation->task, &operation->core_request);
        return;
    }
    if (pending->opened) { /* the check was not reached */
        mmi_res_drop_locked(&operation->mesh->res, pending->opened);
    }
    mmi_count(&operation->mesh->res.counters, MMI_COUNT_FAILED, 1);
    operation_end_locked(operation, pending->status, &pending->error);
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
    struct operation *operation;
    MMI_TRY(operation_new(mesh, &async, infer_ended, &operation, err));
    operation->request = request;
    operation->response = response;
    mmi_request_init(&operation->core_request, model, &request, false);
    operation->core_request.cancel = &operation->pending.cancel;
    operation->task.run = operation_step;
    operation->task.priority = request.priority;
    response->flags = 0;
    response->wait_ns = 0;
    *op = operation->op;
    uint64_t deadline_ns = operation->core_request.deadline_ns;
    bool late = deadline_ns && mmi_now(&mesh->env.clock) >= deadline_ns;
    if (!late && mmi_admission_try(&mesh->res, model.id, operation->core_request.near,
                                   &operation->pending.admission)) {
        operation->phase = PHASE_RUN;
        mmi_pending_queue(&operation->pending, &operation->task, &operation->core_request);
    } else if (operation->core_request.no_wait) {
        operation->phase = PHASE_RUN;
        mmi_pending_admission(&operation->pending, &operation->core_request);
    } else {
        operation->phase = PHASE_CHECK;
        mmi_pending_prepared(&operation->pending, &operation->core_request, false);
    }
    return MM_OK;
}

/* ---- Load, prepare, update ------------------------------------------------------------------- */

/* Under the lock. */
static void simple_ended(struct mmi_pending *pending) {
    struct operation *operation = (struct operation *)pending;
    if (pending->opened) {
        mmi_res_drop_locked(&operation->mesh->res, pending->opened);
    }
    operation_end_locked(operation, pending->status, &pending->error);
}

/* A call that blocks is refused inside a backend's call. */
static mm_status check_blocking(const mm_mesh *mesh, const char *call, mm_error *err) {
    return mmi_frame_of(&mesh->res) ? mmi_would_block(call, err) : MM_OK;
}

mm_status mm_load(mm_mesh *mesh, mm_model model, const mm_async *from, mm_op **op, mm_error *err) {
    MMI_TRY(mmi_enter(mesh, err));
    mm_async async;
    MMI_TRY(read_async(from, &async, err));
    struct mmi_request core_request = async_request(model, &async);
    bool retry = async.flags & MM_ASYNC_RETRY;
    if (!op) {
        MMI_TRY(check_blocking(mesh, "mm_load", err));
        return mmi_request_resident(&mesh->res, &core_request, retry, err);
    }
    struct operation *operation;
    MMI_TRY(operation_new(mesh, &async, simple_ended, &operation, err));
    *op = operation->op;
    mmi_pending_resident(&operation->pending, &core_request, retry);
    return MM_OK;
}

mm_status mm_prepare(mm_mesh *mesh, mm_model model, const mm_async *from, mm_op **op,
                     mm_error *err) {
    MMI_TRY(mmi_enter(mesh, err));
    mm_async async;
    MMI_TRY(read_async(from, &async, err));
    struct mmi_request core_request = async_request(model, &async);
    bool retry = async.flags & MM_ASYNC_RETRY;
    if (!op) {
        MMI_TRY(check_blocking(mesh, "mm_prepare", err));
        struct mmi_opened *opened;
        MMI_TRY(mmi_request_prepared(&mesh->res, &core_request, retry, &opened, err));
        mmi_res_drop(&mesh->res, opened);
        return MM_OK;
    }
    struct operation *operation;
    MMI_TRY(operation_new(mesh, &async, simple_ended, &operation, err));
    *op = operation->op;
    mmi_pending_prepared(&operation->pending, &core_request, retry);
    return MM_OK;
}

/* The arguments of an update. It is read anew while others come between. */
struct update {
    mm_mesh *mesh;
    mm_model model;
    const mm_model_spec *spec;
    uint32_t flags;
};

static mm_status read_update(const struct update *update, struct mmi_version **version,
                             mm_error *err) {
    return mmi_read_update(update->mesh, update->model, update->spec, update->flags, version, err);
}

static mm_status update_blocking(const struct update *update, const struct mmi_request *request,
                                 struct mmi_version *version, mm_error *err) {
    bool replace = update->flags & MM_UPDATE_REPLACE;
    for (;;) {
        bool begun;
        mm_status status =
            mmi_request_update(&update->mesh->res, request, version, replace, &begun, err);
        if (begun) {
            return status;
        }
        MMI_TRY(read_update(update, &version, err));
    }
}

static void begin_update(const struct update *update, struct operation *operation,
                         const struct mmi_request *request, struct mmi_version *version) {
    bool replace = update->flags & MM_UPDATE_REPLACE;
    while (!mmi_pending_update(&operation->pending, request, version, replace)) {
        mm_error error;
        mm_status status = read_update(update, &version, &error);
        if (status != MM_OK) {
            operation_end(operation, status, &error);
            return;
        }
    }
}

mm_status mm_update(mm_mesh *mesh, mm_model model, const mm_model_spec *spec, uint32_t flags,
                    const mm_async *from, mm_op **op, mm_error *err) {
    MMI_TRY(mmi_enter(mesh, err));
    mm_async async;
    MMI_TRY(read_async(from, &async, err));
    if (async.deadline_ns == MM_NO_WAIT) {
        return mmi_fail(err, MM_INVALID_ARGUMENT, "async.deadline_ns: MM_NO_WAIT");
    }
    MMI_TRY(op ? MM_OK : check_blocking(mesh, "mm_update", err));
    struct mmi_request core_request = async_request(model, &async);
    const struct update update = {mesh, model, spec, flags};
    struct mmi_version *version;
    MMI_TRY(read_update(&update, &version, err));
    if (!op) {
        return update_blocking(&update, &core_request, version, err);
    }
    struct operation *operation;
    mm_status status = operation_new(mesh, &async, simple_ended, &operation, err);
    if (status != MM_OK) {
        mmi_model_drop_version(&mesh->res, version);
        return status;
    }
    *op = operation->op;
    begin_update(&update, operation, &core_request, version);
    return MM_OK;
}
