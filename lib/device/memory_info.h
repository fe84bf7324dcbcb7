/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_DEVICE_MEMORY_INFO_H
#define MMI_DEVICE_MEMORY_INFO_H

/* How much memory this process could still take, according to the kernel. */

#include <stdint.h>

/* The smaller of MemAvailable and what every control group above this process leaves below its
 * limit; file pages that the kernel would drop count as left. 0 = the kernel does not say. `root`
 * stands before "/proc" and "/sys": "" for the real ones. */
uint64_t mmi_memory_available(const char *root);

#endif
