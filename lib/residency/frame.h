/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_RESIDENCY_FRAME_H
#define MMI_RESIDENCY_FRAME_H

/* Calls from inside a backend: who the caller already is. */

#include <residency/state.h>

/* The backend call that this thread is in. */
struct mmi_frame {
    const struct mmi_frame *outer;
    const struct mmi_residency *res;
    uint64_t model_id;
    bool nested; /* its backend said that it may call back */
};
/* From here on this thread is in a call of a backend; until leave. */
static inline void mmi_frame_enter(struct mmi_frame *frame, const struct mmi_residency *res,
                                   uint64_t model_id, bool nested) {
    struct mmi_tls *tls = mmi_tls();
    *frame = (struct mmi_frame){tls->frame, res, model_id, nested};
    tls->frame = frame;
}
static inline void mmi_frame_leave(const struct mmi_frame *frame) {
    mmi_tls()->frame = frame->outer;
}
static inline const struct mmi_frame *mmi_frame_of(const struct mmi_residency *res) {
    const struct mmi_frame *frame = mmi_tls()->frame;
    while (frame && frame->res != res) {
        frame = frame->outer;
    }
    return frame;
}
/* Is it in a call of a backend of the mesh that made this operation? */
static inline bool mmi_frame_of_op(const struct mm_op *op) {
    const struct mmi_frame *frame = mmi_tls()->frame;
    while (frame && frame->res->completions != mmi_op_completions(op)) {
        frame = frame->outer;
    }
    return frame != NULL;
}

#endif
