/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_RESIDENCY_ADMISSION_H
#define MMI_RESIDENCY_ADMISSION_H

/* A hit: from a handle to the right to run. */

#include <residency/state.h>

/* Without a lock and without waiting: true = an admission for a resident model. near: see
 * mmi_request. */
bool mmi_admission_try(struct mmi_residency *res, uint64_t id, uint32_t near,
                       struct mmi_admission *admission);
void mmi_admission_return(struct mmi_residency *res, struct mmi_admission *admission);
/* Locked: it was no use of the model, as if it had never been given. */
void mmi_admission_undo(struct mmi_residency *res, struct mmi_admission *admission);
/* Its run ended so. true = because its device was lost: the admission is undone, and the request
 * may be admitted again, as often as there are devices. */
bool mmi_admission_lost(struct mmi_residency *res, struct mmi_admission *admission,
                        struct mmi_request *request, mm_status status);
/* The description that an admission runs. */
static inline struct mmi_opened *mmi_admission_opened(const struct mmi_admission *admission) {
    return admission->instance->opened;
}
/* Where its run takes values besides host memory: MM_ON_DEVICE; 0 = nowhere. */
uint32_t mmi_admission_place(const struct mmi_residency *res,
                             const struct mmi_admission *admission);

#endif
