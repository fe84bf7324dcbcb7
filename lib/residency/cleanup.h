/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_RESIDENCY_CLEANUP_H
#define MMI_RESIDENCY_CLEANUP_H

/* What must be done without the lock and for nobody in particular, so that no caller pays for
 * others: on workers of one executor; without threads (or when they have ended) by the caller.
 * Bytes that come back, by detaching and by unmapping scratch, have a few workers: the second and
 * further ones begin only when somebody waits for what is queued behind a slow detach. Closing
 * descriptions, freeing versions and the host's log, in this order, have one. Locked. */

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
