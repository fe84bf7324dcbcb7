/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_RESIDENCY_DECISIONS_H
#define MMI_RESIDENCY_DECISIONS_H

/* The decision log as the residency core writes it: every line with its model and device. */

#include <residency/state.h>

/* model: the name; dev NULL = none. The other fields come from `fields`; time_ns 0 = now. */
void mmi_decided(struct mmi_residency *res, enum mmi_event_kind kind, const char *model,
                 const struct mmi_event *fields, const struct mmi_devstate *dev);
/* To the host's log, without the lock, by one thread at a time. */
void mmi_decisions_log(struct mmi_residency *res);
bool mmi_decisions_to_log(struct mmi_residency *res); /* are there any? */

#endif
