/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_RESIDENCY_UPDATE_H
#define MMI_RESIDENCY_UPDATE_H

/* Models come, change and go. Locked.
 *
 * An update: (1) nothing is resident: point to the new version. (2) Else prepare the new one beside
 * the old, (3) load a first copy beside the old ones, (4) switch: new leases are of the new one,
 * the old copies leave. A failure in 2 or 3 drops the new one. With `replace` an impossible 3 makes
 * the old ones leave first.
 *
 * Of a cold model that requests wait for, the third update in a row is held until they got the
 * version that is on its way, or until it failed; further ones take its place. */

#include <residency/state.h>

/* A source that changed is followed by the same steps, as an update to the spec as it is; but where
 * nothing is resident the switch comes as soon as the new content is prepared, and a failure leaves
 * the old version to be loaded. */

/* version: the caller's reference goes over. false: decided already, only re-pointed. */
bool mmi_update_begin(struct mmi_residency *res, struct mmi_model *model,
                      struct mmi_version *version, bool replace);
/* The source of the current version changed. MM_NO_MEMORY. */
mm_status mmi_update_follow(struct mmi_residency *res, struct mmi_model *model, mm_error *err);
/* The next step of an update that goes on; by mmi_demand. */
void mmi_update_step(struct mmi_residency *res, struct mmi_model *model);
/* Who asked for the update takes it back: what serves goes on. */
void mmi_update_cancel(struct mmi_residency *res, struct mmi_model *model);
/* What a held update waits for is still to come. */
bool mmi_update_waits(const struct mmi_residency *res, const struct mmi_model *model);
/* It is there, or failed and those who waited were told: if an update is held, it goes on. */
void mmi_update_go_on(struct mmi_residency *res, struct mmi_model *model);
/* The new version cannot be prepared or loaded. */
void mmi_update_failed(struct mmi_residency *res, struct mmi_model *model, const mm_error *error);
/* No model points to it any more: its copies go when their leases do; the reference is given up. */
void mmi_version_abandon(struct mmi_residency *res, struct mmi_version *version,
                         enum mmi_reason reason);

#endif
