/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_ARTIFACT_TEMPORARY_FILE_H
#define MMI_ARTIFACT_TEMPORARY_FILE_H

/* A file without a name, cut into extents: weights that have no entry in a cache directory lie in
 * one. It costs one descriptor, whatever lies in it, is mapped like an entry, and its pages are the
 * kernel's to write out and to drop. Without a folder it is memory of the kernel's (memfd), which
 * goes to swap at most.
 *
 * Extents do not overlap and begin at whole pages; those of 2 MiB and more at multiples of that, so
 * that large pages can hold them. What is given back is a hole: the disk has its bytes again.
 *
 * Thread safety: every call from any thread. Its lock (MMI_RANK_ARTIFACT) is held for the list of
 * extents only, never during I/O. */

#include <base/env.h>
#include <base/list.h>
#include <base/lock.h>

struct mmi_temporary_file {
    const struct mmi_env *env;
    char *folder; /* NULL: in memory */

    struct mmi_lock lock;
    int fd;                  /* -1 before the first extent; then it stays */
    bool mappable;           /* not on a network file system; known with fd */
    struct mmi_list extents; /* by offset */
};

struct mmi_extent {
    struct mmi_list node;
    struct mmi_temporary_file *file;
    uint64_t offset, bytes;
};

/* folder: copied; NULL: memory. MM_NO_MEMORY; then there is nothing to close. */
mm_status mmi_temporary_file_init(const struct mmi_env *env, const char *folder,
                                  struct mmi_temporary_file *file, mm_error *err);
void mmi_temporary_file_close(struct mmi_temporary_file *file); /* all extents are back */

/* Open it, if it is not open yet. 0 or an errno. */
int mmi_temporary_file_open(struct mmi_temporary_file *file);
/* An extent with room on the disk for all of its bytes, which are anything. 0 or an errno. */
int mmi_temporary_file_take(struct mmi_temporary_file *file, uint64_t bytes,
                            struct mmi_extent **extent);
void mmi_temporary_file_give(struct mmi_extent *extent); /* NULL is fine */
/* How messages call it: the folder, or "memory". */
const char *mmi_temporary_file_name(const struct mmi_temporary_file *file);

#endif
