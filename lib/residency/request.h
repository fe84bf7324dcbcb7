/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_RESIDENCY_REQUEST_H
#define MMI_RESIDENCY_REQUEST_H

/* What blocking and pending requests share. All locked, but for mmi_request_version. */

#include <residency/core.h>

/* MM_CLOSED, MM_STALE_HANDLE, MM_INVALID_ARGUMENT, MM_DEADLINE; else the model. */
mm_status mmi_request_check(struct mmi_residency *res, const struct mmi_request *request,
                            struct mmi_model **model, mm_error *err);
/* The waiter waits, or has ended already, or a failure comes back and it never waited. */
mm_status mmi_request_enter(struct mmi_residency *res, struct mmi_waiter *waiter,
                            const struct mmi_request *request, bool retry, bool *hit,
                            mm_error *err);
/* Wait for a run slot of a leased instance; it may come at once. It ends, or is refused, with
 * MM_NONE when an update took over: then request again. */
mm_status mmi_run_slot_enter(struct mmi_residency *res, struct mmi_instance *instance,
                             struct mmi_waiter *waiter, uint64_t deadline_ns, mm_error *err);
/* No lock: the new version of an update. */
mm_status mmi_request_version(struct mmi_residency *res,
                              const struct mmi_registration *registration,
                              struct mmi_version **version, mm_error *err);
/* Takes over the version's reference, also when it fails. */
mm_status mmi_request_update_enter(struct mmi_residency *res, struct mmi_waiter *waiter,
                                   const struct mmi_request *request, struct mmi_version *version,
                                   bool replace, mm_error *err);
/* Note how long a miss waited. */
void mmi_admission_waited(struct mmi_residency *res, struct mmi_admission *admission,
                          uint64_t begun_ns);
/* Give back a lease, an admission; locked. */
void mmi_lease_back_locked(struct mmi_residency *res, const struct mmi_lease *lease);
void mmi_admission_return_locked(struct mmi_residency *res, struct mmi_admission *admission);

#endif
