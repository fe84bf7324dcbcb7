/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_RESIDENCY_CHECKING_H
#define MMI_RESIDENCY_CHECKING_H

/* The task that looks whether a source still has the content of its version, before a load of a
 * model that refuses changes or follows them. Locked. */

#include <residency/state.h>

/* Is there anything to look at before a load of the current version? */
bool mmi_check_needed(const struct mmi_residency *res, const struct mmi_model *model);
/* UNKNOWN -> CHECKING, which ends SAME; CHANGED; or UNKNOWN with a remembered failure: of loads
 * where changes are refused, else of following. */
mm_status mmi_check_begin(struct mmi_residency *res, struct mmi_model *model, mm_error *err);
/* A preparation found it out: to be followed if the settings say so. */
void mmi_check_changed(const struct mmi_residency *res, const struct mmi_model *model);

#endif
