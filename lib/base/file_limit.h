/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BASE_FILE_LIMIT_H
#define MMI_BASE_FILE_LIMIT_H

/* Whoever makes a file longer, or writes to one, asks here first: beyond the limit the kernel does
 * not only refuse, it sends SIGXFSZ, which ends the host. Files in memory (memfd) have it, too. */

#include <stdint.h>

/* How long this process may make a file now (RLIMIT_FSIZE); UINT64_MAX: any length. */
uint64_t mmi_file_limit(void);

#endif
