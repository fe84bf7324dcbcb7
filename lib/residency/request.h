/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_RESIDENCY_REQUEST_H
#define MMI_RESIDENCY_REQUEST_H

/* Requests: a hit is admitted without a lock; everything else waits. There is one way of waiting: a
 * pending request, whose end is a call under the lock. A blocking call is a pending request on the
 * caller's stack and a condition. */

#include <residency/models.h>

/* ---- Blocking -------------------------------------------------------------------------------- */

/* prepared: the open description, held; give it back with mmi_res_drop. retry: forget a remembered
 * failure first. */
mm_status mmi_request_prepared(struct mmi_residency *res, const struct mmi_request *request,
                               bool retry, struct mmi_opened **opened, mm_error *err);
void mmi_res_drop(struct mmi_residency *res, struct mmi_opened *opened);
void mmi_res_drop_locked(struct mmi_residency *res, struct mmi_opened *opened); /* inside `ended` */
mm_status mmi_request_resident(struct mmi_residency *res, const struct mmi_request *request,
                               bool retry, mm_error *err);
mm_status mmi_admission_wait(struct mmi_residency *res, const struct mmi_request *request,
                             struct mmi_admission *admission, mm_error *err);
/* version: what becomes the next one; its reference is taken over, also when this fails. Not begun:
 * another version is the newest by now than that which it was completed from. */
mm_status mmi_request_update(struct mmi_residency *res, const struct mmi_request *request,
                             struct mmi_version *version, bool replace, bool *begun, mm_error *err);
/* All instances of a model leave. MM_PINNED, MM_BUSY (no_wait, or nested, and in use). */
mm_status mmi_model_evict(struct mmi_residency *res, const struct mmi_request *request,
                          mm_error *err);

/* ---- Pending --------------------------------------------------------------------------------- */

/* `ended` is called once for each call that begins a wait, under the lock, at once or later; it may
 * begin the next wait, submit a task, complete the op, and (then) fini this. */
struct mmi_pending {
    struct mmi_residency *res;
    struct mm_op *op; /* is told of progress; NULL: a blocking caller's */
    void (*ended)(struct mmi_pending *pending);
    mm_status status;
    mm_error error;
    struct mmi_opened *opened;      /* PREPARED: held */
    struct mmi_admission admission; /* RUN */
    /* The core's own. */
    struct mmi_waiter waiter;
    struct mmi_request request;
    uint64_t begun_ns;
    struct mmi_list open;         /* in residency.requests */
    struct mmi_timer queue_timer; /* while a task waits for a thread */
    struct mmi_task *task;        /* NULL = none does */
    struct mmi_parked parked;     /* it has a lease meanwhile */
    bool missed;                  /* counted as a miss */
    struct mmi_cancel cancel;
    struct mmi_blocked *blocked;
    bool done;
};
void mmi_pending_prepared(struct mmi_pending *pending, const struct mmi_request *request,
                          bool retry);
void mmi_pending_resident(struct mmi_pending *pending, const struct mmi_request *request,
                          bool retry);
void mmi_pending_admission(struct mmi_pending *pending, const struct mmi_request *request);
bool mmi_pending_update(struct mmi_pending *pending, const struct mmi_request *request,
                        struct mmi_version *version, bool replace);
/* Locked: begin to wait for an admission, again. */
void mmi_pending_begin_again(struct mmi_pending *pending);

#endif
