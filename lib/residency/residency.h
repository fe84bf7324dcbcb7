/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_RESIDENCY_RESIDENCY_H
#define MMI_RESIDENCY_RESIDENCY_H

/* The residency core: which model is in which memory, who may use it, who leaves. What the public
 * calls stand on; they validate, call this, and fill results. docs/modules.md tells how it
 * works. */

#include <residency/admission.h>
#include <residency/devices.h>
#include <residency/execute.h>
#include <residency/frame.h>
#include <residency/info.h>
#include <residency/models.h>
#include <residency/pending.h>
#include <residency/request.h>
#include <residency/signatures.h>

mm_status mmi_residency_init(struct mmi_residency *res, const struct mmi_env *env,
                             const struct mmi_residency_config *config, mm_error *err);
/* Nothing new begins, who waits is told MM_CLOSED. Does not block. */
void mmi_residency_close(struct mmi_residency *res);
/* After close: runs are asked to end; waits until all has ended. MM_OK; MM_DEADLINE at deadline_ns
 * (0 = none), MM_BUSY when no_wait and something still goes on; then call it again. */
mm_status mmi_residency_stop(struct mmi_residency *res, uint64_t deadline_ns, bool no_wait);
void mmi_residency_fini(struct mmi_residency *res); /* after a complete stop, or a failed init */

#endif
