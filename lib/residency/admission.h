/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_RESIDENCY_ADMISSION_H
#define MMI_RESIDENCY_ADMISSION_H

/* A hit: from a handle to the right to run. */

#include <residency/state.h>

/* Without a lock and without waiting: true = an admission for a resident model. */
bool mmi_admission_try(struct mmi_residency *res, uint64_t id, struct mmi_admission *admission);
void mmi_admission_return(struct mmi_residency *res, struct mmi_admission *admission);
/* The description that an admission runs. */
static inline struct mmi_opened *mmi_admission_opened(const struct mmi_admission *admission) {
    return admission->instance->opened;
}

#endif
