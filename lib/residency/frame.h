/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_RESIDENCY_FRAME_H
#define MMI_RESIDENCY_FRAME_H

/* Calls from inside a backend, or from inside the host's log: who the caller already is. */

#include <residency/state.h>

#include <base/log.h>

enum mmi_frame_kind {
    MMI_FRAME_SLOT,      /* any slot but infer; a line of the log */
    MMI_FRAME_RUN,       /* infer */
    MMI_FRAME_NESTED_RUN /* infer of a backend that said that it may call back */
};

/* The call of a backend that this thread is in. */
struct mmi_frame {
    const struct mmi_frame *outer;
    const struct mmi_residency *res;
    uint64_t model_id;
    enum mmi_frame_kind kind;
};
/* From here on this thread is in a call of a backend; until leave. */
static inline void mmi_frame_enter(struct mmi_frame *frame, const struct mmi_residency *res,
                                   uint64_t model_id, enum mmi_frame_kind kind) {
    struct mmi_tls *tls = mmi_tls();
    *frame = (struct mmi_frame){tls->frame, res, model_id, kind};
    tls->frame = frame;
}
static inline void mmi_frame_leave(const struct mmi_frame *frame) {
    mmi_tls()->frame = frame->outer;
}
/* Is it in a line of this mesh's log? */
static inline bool mmi_frame_in_log(const struct mmi_residency *res) {
    const struct mmi_logging *logging = mmi_tls()->logging;
    while (logging && logging->log != &res->env->log) {
        logging = logging->outer;
    }
    return logging != NULL;
}
/* The innermost call of this mesh's; NULL = none. A line of the log comes before a backend's call:
 * it is written from inside of one, never the other way round. */
static inline const struct mmi_frame *mmi_frame_of(const struct mmi_residency *res) {
    static const struct mmi_frame in_log = {.kind = MMI_FRAME_SLOT};
    const struct mmi_frame *frame = mmi_tls()->frame;
    while (frame && frame->res != res) {
        frame = frame->outer;
    }
    return mmi_frame_in_log(res) ? &in_log : frame;
}
/* In a call in which nothing may be waited for: its thread may be the one that would do it. */
static inline bool mmi_frame_in_slot(const struct mmi_residency *res) {
    const struct mmi_frame *frame = mmi_frame_of(res);
    return frame && frame->kind == MMI_FRAME_SLOT;
}
/* Is it in a call of a backend of the mesh that made this operation, or in a line of any log? */
static inline bool mmi_frame_of_op(const struct mm_op *op) {
    const struct mmi_frame *frame = mmi_tls()->frame;
    while (frame && frame->res->completions != mmi_op_completions(op)) {
        frame = frame->outer;
    }
    return frame || mmi_tls()->logging;
}

#endif
