/* SPDX-License-Identifier: Apache-2.0 */
/* The caller's side of operations. */
#include <api/infer.h>

/* Of this process, and not NULL. */
static mm_status enter(const mm_op *op, mm_error *err) {
    if (!op) {
        return mmi_fail(err, MM_INVALID_ARGUMENT, "op: NULL");
    }
    return mmi_op_forked(op, err) ? MM_FORKED : MM_OK;
}

mm_status mm_op_wait(mm_op *op, uint64_t deadline_ns, mm_error *err) {
    MMI_TRY(enter(op, err));
    if (deadline_ns != MM_NO_WAIT && mmi_frame_of_op(op)) {
        mm_status status = mmi_op_poll(op, err);
        return status == MM_PENDING ? mmi_would_block("mm_op_wait", err) : status;
    }
    return mmi_op_wait(op, deadline_ns, err); /* MM_NO_WAIT is long past: it polls */
}

mm_status mm_op_poll(mm_op *op, mm_error *err) {
    MMI_TRY(enter(op, err));
    return mmi_op_poll(op, err);
}

void mm_op_cancel(mm_op *op) {
    if (enter(op, NULL) == MM_OK) {
        mmi_op_cancel(op);
    }
}

mm_status mm_op_progress(mm_op *op, mm_progress *progress) {
    MMI_TRY(enter(op, NULL));
    MMI_TRY(mmi_sized_check(progress, MMI_PROGRESS_SIZES, "progress", NULL));
    mm_progress filled = MM_PROGRESS_INIT;
    mmi_op_progress(op, &filled.stage, &filled.permille, &filled.done_bytes, &filled.total_bytes);
    if (mmi_op_poll(op, NULL) != MM_PENDING) {
        filled.stage = MM_STAGE_DONE;
        filled.permille = 1000;
    }
    mmi_sized_write(progress, &filled, MMI_PROGRESS_SIZES);
    return MM_OK;
}

void *mm_op_user(mm_op *op) {
    return op ? mmi_op_user(op) : NULL;
}

void mm_op_free(mm_op *op) {
    if (enter(op, NULL) == MM_OK) {
        mmi_op_free(op);
    }
}

mm_status mm_ops_next(mm_mesh *mesh, mm_op **op) {
    MMI_TRY(mmi_enter(mesh, NULL));
    return op ? mmi_completions_next(mesh->res.completions, op) : MM_INVALID_ARGUMENT;
}

int mm_ops_eventfd(mm_mesh *mesh) {
    return mmi_enter(mesh, NULL) == MM_OK ? mmi_completions_eventfd(mesh->res.completions) : -1;
}
