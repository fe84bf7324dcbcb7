/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_RESIDENCY_WAITERS_H
#define MMI_RESIDENCY_WAITERS_H

/* Waiting: put on a list, ended once. How the owner learns of the end is the owner's. Locked. */

#include <residency/state.h>

/* Put it behind all of its priority and set its deadline (0 = none). MM_OVERLOADED, MM_NO_MEMORY:
 * it does not wait. */
mm_status mmi_waiter_add(struct mmi_residency *res, struct mmi_waiter *waiter,
                         struct mmi_list *list, uint64_t deadline_ns, mm_error *err);
/* End it. error NULL: a status alone. */
void mmi_waiter_end(struct mmi_residency *res, struct mmi_waiter *waiter, mm_status status,
                    const mm_error *error);
/* End all of a list. */
void mmi_waiters_end(struct mmi_residency *res, struct mmi_list *list, mm_status status,
                     const mm_error *error);
/* End those of a model that wait for a copy of it; who waits for its description goes on. */
void mmi_loads_refused(struct mmi_residency *res, struct mmi_model *model, const mm_error *error);
/* Some wait for a copy, or for the description that their run needs. */
bool mmi_waiters_to_run(const struct mmi_model *model);
/* The highest priority in a list, or `fallback`. */
int32_t mmi_waiters_priority(const struct mmi_list *list, int32_t fallback);
/* Show the ops among a model's waiters where it stands. */
void mmi_waiters_progress(const struct mmi_model *model);

static inline struct mmi_waiter *mmi_waiter_of(struct mmi_list *node) {
    return MMI_CONTAINER(node, struct mmi_waiter, node);
}

#endif
