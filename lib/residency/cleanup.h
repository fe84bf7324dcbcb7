/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_RESIDENCY_CLEANUP_H
#define MMI_RESIDENCY_CLEANUP_H

/* What must be done without the lock and for nobody in particular: detaching, freeing versions,
 * closing descriptions, unmapping scratch, the host's log. One executor of one thread does it, so
 * no caller pays for others; without threads (or when they have ended) the caller does. Locked. */

#include <residency/state.h>

void mmi_cleanup_init(struct mmi_residency *res);
bool mmi_cleanup_due(struct mmi_residency *res);
/* Give it to the executor, if that is not at it already. false: the caller must do it. */
bool mmi_cleanup_submit(struct mmi_residency *res);
/* One thing; unlocks meanwhile. */
void mmi_cleanup_once(struct mmi_residency *res);
/* Detach what a claim was handed; no lock, the list is the caller's alone. */
void mmi_detach_victims(struct mmi_residency *res, struct mmi_list *victims);

#endif
