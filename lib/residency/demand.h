/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_RESIDENCY_DEMAND_H
#define MMI_RESIDENCY_DEMAND_H

/* What a model needs next, derived from its waiters, versions and copies; called for each model
 * that was marked, so often that nothing is left to do. Locked.
 *
 *   1. an update goes on: its next step (update.h)
 *   2. who waits for a description, a load or a copy with a free slot gets it
 *   3. an eviction: copies that serve drain
 *   4. who still waits: a copy comes back, is being loaded, is loaded, or the version is prepared;
 *      or they are refused with a remembered failure
 *   5. copies: up to min_replicas; one more when requests queue and it costs nobody busier
 *
 * Beside these: a source that changed is followed, a refusal is told to who asked, and operations
 * without a thread give back leases that somebody waits for. */

#include <residency/state.h>

void mmi_demand(struct mmi_residency *res, struct mmi_model *model);
/* A caller cancelled: what goes on for the model and nobody else waits for is told to end. */
void mmi_demand_cancelled(struct mmi_residency *res, struct mmi_model *model);
/* Memory became free: marks the models whose copies found no place, now or in a while. */
void mmi_demand_room(struct mmi_residency *res);
/* Calls from inside a backend that would have to wait for others: MM_BUSY. true = one was. */
bool mmi_refuse_nested(struct mmi_residency *res);

#endif
