/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_DEVICE_DRIVER_H
#define MMI_DEVICE_DRIVER_H

/* What the kinds of device share with device.c. Inside device/ only. */

#include <device/device.h>

extern const struct mmi_device_ops mmi_host_ops;
extern const struct mmi_device_ops mmi_sim_ops;

/* What backends call; leads to the ops of whatever kind the device is. */
extern const mm_device_calls mmi_device_calls;

/* Sets device->impl. After a failure the device's close is called all the same. */
mm_status mmi_sim_open(struct mmi_device *device, const struct mmi_device_config *config,
                       mm_error *err);

/* First step of every call that may fail: refuses on a lost device, calls the fault hook. It is all
 * there is to ask where no hardware is: `probe` of host and sim. */
mm_status mmi_device_enter(struct mmi_device *device, mm_error *err);
/* MM_DEVICE_LOST, with the device's name. */
mm_status mmi_device_gone(const struct mmi_device *device, mm_error *err);

/* `unmap` of every region that is a range of host addresses. */
void mmi_region_unmap(struct mmi_region *region);
/* Debug builds abort unless [offset, offset + bytes) lies inside the region. */
void mmi_region_check(const struct mmi_region *region, uint64_t offset, uint64_t bytes);

/* kept.c; close copes with what was not opened. */
mm_status mmi_kept_open(struct mmi_device *device, mm_error *err);
void mmi_kept_close(struct mmi_device *device);

/* Staging of ordinary pages, from the host's allocator. */
void *mmi_pages_alloc(struct mmi_device *device, uint64_t bytes, mm_error *err);
void mmi_pages_free(struct mmi_device *device, void *memory, uint64_t bytes);

#endif
