/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_ARTIFACT_TEMPORARY_FILE_H
#define MMI_ARTIFACT_TEMPORARY_FILE_H

/* A place for weights that have no entry in a cache directory: a file without a name, cut into
 * extents. It costs one descriptor, whatever lies in it, is mapped like an entry, and its pages are
 * the kernel's to write out and to drop. Without a folder it is memory of the kernel's (memfd),
 * which goes to swap at most.
 *
 * Where a file cannot grow any more (RLIMIT_FSIZE, the file system) there are further ones, up to
 * MMI_TEMPORARY_FILES; all but the first are closed when nothing lies in them.
 *
 * Extents do not overlap and begin at whole pages; those of 2 MiB and more at multiples of that, so
 * that large pages can hold them. What is given back is a hole: the disk has its bytes again.
 *
 * Thread safety: every call from any thread. Its lock (MMI_RANK_ARTIFACT) is held for the lists
 * only, never during I/O. */

#include <base/env.h>
#include <base/list.h>
#include <base/lock.h>

#define MMI_TEMPORARY_FILES 16u

struct mmi_temporary_place {
    const struct mmi_env *env;
    char *folder; /* absolute; NULL: in memory */
    uint64_t page_bytes;

    struct mmi_lock lock;
    struct mmi_list files; /* none before the first extent; the first one stays */
    uint32_t file_count;
    bool mappable; /* not on a network file system; known with the first file */
};

struct mmi_temporary_file {
    struct mmi_list node;
    int fd;
    uint64_t most_bytes;     /* what the file system lets it grow to, as far as is known */
    struct mmi_list extents; /* by offset */
};

struct mmi_extent {
    struct mmi_list node;
    struct mmi_temporary_place *place;
    struct mmi_temporary_file *file; /* NULL: pages of the process instead */
    uint8_t *pages;
    uint64_t offset, bytes;
};

/* folder: copied, a relative one made absolute; NULL: memory. MM_NO_MEMORY, MM_INVALID_ARGUMENT: a
 * path that is too long; then there is nothing to close. */
mm_status mmi_temporary_place_init(const struct mmi_env *env, const char *folder,
                                   struct mmi_temporary_place *place, mm_error *err);
void mmi_temporary_place_close(struct mmi_temporary_place *place); /* all extents are back */

/* An extent with room on the disk for all of its bytes (> 0), which are anything. 0 or an errno:
 * EFBIG, no file may be so long; ENOSPC, also where no file has room and there may be no more. */
int mmi_temporary_place_take(struct mmi_temporary_place *place, uint64_t bytes,
                             struct mmi_extent **extent);
/* The same without a file, where not even memory may be one: not to be mapped. */
int mmi_temporary_place_take_pages(struct mmi_temporary_place *place, uint64_t bytes,
                                   struct mmi_extent **extent);
void mmi_extent_give(struct mmi_extent *extent); /* NULL is fine */
/* How messages call it: the folder, or "memory". */
const char *mmi_temporary_place_name(const struct mmi_temporary_place *place);

/* Bytes of an extent, within it. 0 or an errno. */
int mmi_extent_write(const struct mmi_extent *extent, uint64_t offset, const void *from,
                     uint64_t count);
int mmi_extent_read(const struct mmi_extent *extent, uint64_t offset, void *to, uint64_t count);
/* All bytes of `from`, which is not longer. */
int mmi_extent_copy(const struct mmi_extent *to, const struct mmi_extent *from);
/* To map it from; -1: it is not to be mapped. */
int mmi_extent_fd(const struct mmi_extent *extent, uint64_t *offset);

#endif
