/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_ARTIFACT_IO_H
#define MMI_ARTIFACT_IO_H

/* Writing files, as <source/io.h> reads them: whole, env's fault hook first, 0 or an errno. Nothing
 * of the library's is written to a file in another way: beyond RLIMIT_FSIZE it is EFBIG here, not a
 * signal. */

#include <source/io.h>

#include <sys/stat.h>

/* Hook: "write" for the first four. */
int mmi_io_write(const struct mmi_env *env, int fd, uint64_t offset, const void *from,
                 uint64_t count);
int mmi_io_allocate(const struct mmi_env *env, int fd, uint64_t offset, uint64_t count);
int mmi_io_make_folder(const struct mmi_env *env, const char *path); /* 0700 */
/* The time of the last modification; fd -1: of `path`. */
int mmi_io_set_time(const struct mmi_env *env, int fd, const char *path, struct timespec time);
int mmi_io_sync(const struct mmi_env *env, int fd); /* the bytes; hook: "sync" */
int mmi_io_sync_folder(const struct mmi_env *env, const char *path);
/* EEXIST: `to` is there and `replace` is false. A file system that cannot tell replaces. Hook:
 * "rename". */
int mmi_io_rename(const struct mmi_env *env, const char *from, const char *to, bool replace);
/* A new file without a name in `folder`, or in memory. Hook: "open". */
int mmi_io_open_unnamed(const struct mmi_env *env, const char *folder, int *fd);
int mmi_io_open_memory(const struct mmi_env *env, int *fd);
/* Make a hole of it, where the file system can. */
void mmi_io_free_range(int fd, uint64_t offset, uint64_t count);
uint64_t mmi_io_free_bytes(const char *folder); /* for this user; 0: not known */
bool mmi_io_is_memory(const char *path);        /* what lies there is in memory (tmpfs) */
/* A file system whose mapped pages can vanish or change when a server fails. */
bool mmi_io_is_network(const char *path);

#endif
