/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_DEVICE_MEMORY_INFO_H
#define MMI_DEVICE_MEMORY_INFO_H

/* How much memory this process may have, as the kernel tells it. `root` stands before "/proc" and
 * "/sys": "" for the real ones. */

#include <stdint.h>

/* The smaller of MemAvailable and the limits of the control groups (version 1 or 2) that this
 * process is in, up to the mount: the smallest limit counts. UINT64_MAX = the kernel tells neither.
 */
uint64_t mmi_memory_usable(const char *root);

/* Half of that; 64 MiB where the kernel tells neither. At least 2 MiB, the smallest budget that a
 * device may have: only below 4 MiB is it more than half. */
uint64_t mmi_default_budget(const char *root);

#endif
