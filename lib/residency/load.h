/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_RESIDENCY_LOAD_H
#define MMI_RESIDENCY_LOAD_H

/* One load: from a claim on memory to READY, and its bytes. Locked. */

#include <residency/state.h>

/* A copy of a version, whose claim waits for memory from now on. err may be NULL. */
mm_status mmi_load_begin(struct mmi_residency *res, struct mmi_model *model,
                         struct mmi_version *version, int32_t priority, mm_error *err);
/* A granted one, whose victims are detached: its memory. false = it is not to be had. */
bool mmi_load_take(struct mmi_residency *res, struct mmi_instance *instance);
/* It was granted memory: have it done. */
void mmi_load_start(struct mmi_residency *res, struct mmi_instance *instance);
/* It gets none: NONE again. version.refusal says why, until the model is looked at. */
void mmi_load_refused(struct mmi_residency *res, struct mmi_instance *instance,
                      const mm_error *error);
void mmi_load_cancel(struct mmi_residency *res, struct mmi_instance *instance);
void mmi_load_raise(struct mmi_residency *res, struct mmi_instance *instance, int32_t priority);

#endif
