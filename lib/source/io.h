/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_SOURCE_IO_H
#define MMI_SOURCE_IO_H

/* Reading files: whole or not at all, interruptions never surface, env's fault hook is asked first.
 * Results are 0 or an errno. */

#include <base/env.h>

#include <stdbool.h>
#include <stdint.h>

/* `at` is a folder's descriptor or AT_FDCWD; O_CLOEXEC is added. Hook: "open". */
int mmi_io_open(const struct mmi_env *env, int at, const char *path, int flags, int *fd);
/* Exactly `count` bytes; ENODATA when the file ends before. Hook: "read". */
int mmi_io_read(const struct mmi_env *env, int fd, uint64_t offset, void *to, uint64_t count);
void mmi_io_close(int fd); /* -1 does nothing */

#endif
