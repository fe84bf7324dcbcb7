/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_RESIDENCY_PREPARING_H
#define MMI_RESIDENCY_PREPARING_H

/* The task that prepares a build: source -> artifact -> open description. Locked. */

#include <residency/state.h>

/* UNPREPARED or BAD -> PREPARING. */
mm_status mmi_prepare_begin(struct mmi_residency *res, struct mmi_model *model,
                            struct mmi_build *build, int32_t kind, mm_error *err);
/* The kind that a version is prepared for first: that of the first device that it may use. */
int32_t mmi_prepare_kind(const struct mmi_residency *res, const struct mmi_version *version);
/* Nobody waits any more for what is being prepared of a version: it may end early. */
void mmi_prepare_unwanted(struct mmi_residency *res, struct mmi_version *version);

#endif
