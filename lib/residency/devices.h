/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_RESIDENCY_DEVICES_H
#define MMI_RESIDENCY_DEVICES_H

/* Devices as a whole: found by name, given another budget, lost. */

#include <residency/state.h>

struct mmi_devstate *mmi_dev_find(struct mmi_residency *res, const char *name); /* NULL = none */
/* Blocks until what had to leave is detached. MM_NOT_FOUND, MM_BUSY, MM_CLOSED. No lock. */
mm_status mmi_device_budget(struct mmi_residency *res, const char *device, uint64_t budget_bytes,
                            mm_error *err);
/* A device is said to have failed: it is asked. true = it is lost, and its instances are on their
 * way out. No lock. */
bool mmi_device_ask(struct mmi_residency *res, struct mmi_devstate *dev);
/* What a backend answered: MM_DEVICE_LOST is not believed but asked, and is MM_BACKEND_FAILED if
 * the device is there. Any other status stays. No lock. */
mm_status mmi_device_claim(struct mmi_residency *res, struct mmi_devstate *dev, mm_status status,
                           mm_error *err);
/* Locked: if it is lost, all that was on it is. */
void mmi_device_check(struct mmi_residency *res, struct mmi_devstate *dev);

#endif
