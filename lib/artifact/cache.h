/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_ARTIFACT_CACHE_H
#define MMI_ARTIFACT_CACHE_H

/* The cache directory, shared by all processes of one user.
 *
 *   <content>-<target>.v1.mma   an entry (entry.h); both hashes in hexadecimal
 *   <place>.v1.mms              what is known of one source (source_index.c)
 *   <random>.tmp                being written, locked by its writer; unlocked it is a leftover
 *   lock                        locked while the directory is counted and room is taken
 *
 * The modification times of these files are not times. In `lock` the seconds count the uses of
 * entries; in an entry the seconds are the count at its last use, so the smallest left longest ago,
 * and the nanoseconds are a mark of the boot in which its checksums were last checked. Writing both
 * is one call and needs no index; a later write to the file takes the mark away by itself. Where
 * times cannot be written (read-only) or are coarse, entries count as unchecked. */

#include <artifact/store.h>

#include <limits.h>
#include <sys/stat.h>

struct mmi_cache {
    const struct mmi_env *env;
    char *path;            /* absolute; NULL: there is none */
    uint64_t budget_bytes; /* 0 = no limit */
    bool mappable;         /* not a network file system */
    uint32_t boot_mark;    /* 1 .. 999999999; 0: the boot is not known */
};

/* create: make it when it is missing. boot_id NULL: the kernel's. Nothing to close when it
 * fails. */
mm_status mmi_cache_open(const struct mmi_env *env, const char *path, bool create,
                         const char *boot_id, struct mmi_cache *cache, mm_error *err);
void mmi_cache_close(struct mmi_cache *cache); /* zeroed is fine */

/* Paths into path[PATH_MAX]. */
void mmi_cache_entry_path(const struct mmi_cache *cache, const struct mmi_key *key, char *path);
void mmi_cache_source_path(const struct mmi_cache *cache, struct mmi_hash place, char *path);

/* Lock the directory; blocks while another process counts. 0 or an errno; *lock to give back. */
int mmi_cache_lock(const struct mmi_cache *cache, int *lock);
void mmi_cache_unlock(int lock); /* -1 does nothing */

/* A new file of a random name into path[PATH_MAX], locked by its descriptor. 0 or an errno. */
int mmi_cache_create(const struct mmi_cache *cache, char *path, int *fd);

/* Was it checked in this boot, and not written since? */
bool mmi_cache_is_marked(const struct mmi_cache *cache, const struct stat *stat);
/* Note a use of the file, whose checksums are known to be right. before: its stat, to save a write
 * when nothing would change; NULL = not known. false: it will count as unchecked. */
bool mmi_cache_mark(const struct mmi_cache *cache, int fd, const struct stat *before);

/* ---- Contents of the directory (scan.c) ----------------------------------------------------- */

enum mmi_cache_kind {
    MMI_CACHE_OTHER, /* not ours; never listed */
    MMI_CACHE_ENTRY,
    MMI_CACHE_FOREIGN, /* an entry of another format version */
    MMI_CACHE_SEEN,
    MMI_CACHE_TEMPORARY
};
struct mmi_cache_file {
    char name[96];
    enum mmi_cache_kind kind;
    uint64_t bytes;
    int64_t use;
};
struct mmi_cache_list {
    struct mmi_cache_file *files;
    size_t count, capacity;
    uint64_t bytes, entries; /* bytes of all; entries of this version */
};
/* 0 or an errno; freed also then. */
int mmi_cache_list(const struct mmi_cache *cache, struct mmi_cache_list *list);
void mmi_cache_list_free(const struct mmi_cache *cache, struct mmi_cache_list *list);
void mmi_cache_file_path(const struct mmi_cache *cache, const struct mmi_cache_file *file,
                         char *path);
/* The key in an entry's name. */
struct mmi_key mmi_cache_key_of(const struct mmi_cache_file *file);

/* Unlink the least recently used entries until need_bytes more fit the budget. ENOSPC: unlinking
 * all would not do, and none is touched. The directory is locked. list is updated, *freed_bytes
 * grows. */
int mmi_cache_make_room(const struct mmi_cache *cache, struct mmi_cache_list *list,
                        uint64_t need_bytes, uint64_t *freed_bytes);
/* Remove what dead writers left. The directory is locked. Returns how many. */
uint64_t mmi_cache_sweep(const struct mmi_cache *cache, struct mmi_cache_list *list);

#endif
