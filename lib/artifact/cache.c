/* SPDX-License-Identifier: Apache-2.0 */
#include <artifact/cache.h>

#include <artifact/entry.h>
#include <artifact/io.h>
#include <base/hash.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <unistd.h>

#define LONGEST_NAME 96

static uint32_t mark_of_boot(const struct mmi_env *env, const char *boot_id) {
    char id[36]; /* a UUID */
    size_t length = sizeof(id);
    if (boot_id) {
        length = strlen(boot_id);
    } else {
        int fd;
        if (mmi_io_open(env, AT_FDCWD, "/proc/sys/kernel/random/boot_id", O_RDONLY, &fd) != 0) {
            return 0;
        }
        int error = mmi_io_read(env, fd, 0, id, sizeof(id));
        mmi_io_close(fd);
        if (error != 0) {
            return 0;
        }
        boot_id = id;
    }
    return (uint32_t)(mmi_hash64(boot_id, length, 0) % 999999999) + 1;
}

static mm_status check_owner(const char *path, const struct stat *status, mm_error *err) {
    if (!S_ISDIR(status->st_mode)) {
        return mmi_fail(err, MM_CACHE_NOT_OWNED, "%s: not a directory", path);
    }
    if (status->st_uid != geteuid()) {
        return mmi_fail(err, MM_CACHE_NOT_OWNED, "%s: owned by user %u, not by %u", path,
                        (unsigned)status->st_uid, (unsigned)geteuid());
    }
    unsigned mode = status->st_mode & 0777;
    if (mode != 0700 && mode != 0500) {
        return mmi_fail(err, MM_CACHE_NOT_OWNED, "%s: its mode is 0%03o, not 0700", path, mode);
    }
    return MM_OK;
}

mm_status mmi_cache_open(const struct mmi_env *env, const char *path, bool create,
                         const char *boot_id, struct mmi_cache *cache, mm_error *err) {
    *cache = (struct mmi_cache){.env = env};
    struct stat status;
    int error = stat(path, &status) == 0 ? 0 : errno;
    if (error == ENOENT && create) {
        error = mmi_io_make_folder(env, path);
        if ((error == 0 || error == EEXIST) && stat(path, &status) == 0) {
            error = 0;
        }
    }
    if (error != 0) {
        bool missing = error == ENOENT || error == ENOTDIR;
        return mmi_fail_errno(err, missing ? MM_NOT_FOUND : MM_IO, error, "%s", path);
    }
    MMI_TRY(check_owner(path, &status, err));
    char absolute[PATH_MAX];
    if (!realpath(path, absolute)) {
        return mmi_fail_errno(err, MM_IO, errno, "%s", path);
    }
    if (strlen(absolute) + LONGEST_NAME >= PATH_MAX) {
        return mmi_fail_errno(err, MM_IO, ENAMETOOLONG, "%s", path);
    }
    cache->path = mmi_copy_text(&env->alloc, absolute);
    if (!cache->path) {
        return mmi_fail(err, MM_NO_MEMORY, "%s: out of memory", path);
    }
    long page_bytes = sysconf(_SC_PAGESIZE); /* above 4 KiB entries do not begin at a page */
    cache->mappable = !mmi_io_is_network(absolute) && page_bytes > 0 &&
                      MMI_ENTRY_WEIGHTS_AT % (uint64_t)page_bytes == 0;
    cache->boot_mark = mark_of_boot(env, boot_id);
    return MM_OK;
}

void mmi_cache_close(struct mmi_cache *cache) {
    if (cache->path) {
        mmi_free_text(&cache->env->alloc, cache->path);
        cache->path = NULL;
    }
}

void mmi_cache_entry_path(const struct mmi_cache *cache, const struct mmi_key *key, char *path) {
    snprintf(path, PATH_MAX, "%s/%016llx%016llx-%016llx%016llx.v%u.mma", cache->path,
             (unsigned long long)key->content.high, (unsigned long long)key->content.low,
             (unsigned long long)key->target.high, (unsigned long long)key->target.low,
             MMI_ENTRY_VERSION);
}

void mmi_cache_source_path(const struct mmi_cache *cache, struct mmi_hash place, char *path) {
    snprintf(path, PATH_MAX, "%s/%016llx.v%u.mms", cache->path, (unsigned long long)place.low,
             MMI_ENTRY_VERSION);
}

static void lock_path(const struct mmi_cache *cache, char *path) {
    snprintf(path, PATH_MAX, "%s/lock", cache->path);
}

int mmi_cache_lock(const struct mmi_cache *cache, int *lock) {
    char path[PATH_MAX];
    lock_path(cache, path);
    int error = mmi_io_open(cache->env, AT_FDCWD, path, O_RDONLY | O_CREAT | O_NOFOLLOW, lock);
    if (error != 0) {
        *lock = -1;
        return error;
    }
    int failed;
    do {
        failed = flock(*lock, LOCK_EX);
    } while (failed && errno == EINTR);
    if (failed) {
        error = errno;
        mmi_io_close(*lock);
        *lock = -1;
    }
    return error;
}

void mmi_cache_unlock(int lock) {
    if (lock >= 0) {
        flock(lock, LOCK_UN); /* a child forked meanwhile has the descriptor too */
        mmi_io_close(lock);
    }
}

int mmi_cache_create(const struct mmi_cache *cache, char *path, int *fd) {
    int error;
    *fd = -1;
    do {
        uint64_t random;
        if (getrandom(&random, sizeof(random), 0) != (ssize_t)sizeof(random)) {
            return EIO;
        }
        snprintf(path, PATH_MAX, "%s/%016llx.tmp", cache->path, (unsigned long long)random);
        error = mmi_io_open(cache->env, AT_FDCWD, path, O_RDWR | O_CREAT | O_EXCL, fd);
    } while (error == EEXIST);
    if (error == 0) {
        /* Nobody else knows the file yet. Without a lock it may be swept, no more. */
        flock(*fd, LOCK_EX | LOCK_NB);
    } else {
        *fd = -1;
    }
    return error;
}

bool mmi_cache_is_marked(const struct mmi_cache *cache, const struct stat *stat) {
    return cache->boot_mark != 0 && stat->st_mtim.tv_nsec == (long)cache->boot_mark;
}

bool mmi_cache_mark(const struct mmi_cache *cache, int fd, const struct stat *before) {
    char path[PATH_MAX];
    lock_path(cache, path);
    struct stat uses = {0};
    if (stat(path, &uses) == 0 && before && mmi_cache_is_marked(cache, before) &&
        before->st_mtim.tv_sec == uses.st_mtim.tv_sec) {
        return true; /* the last one used is used again */
    }
    /* Two processes may take the same number: a tie, no harm. */
    struct timespec next = {uses.st_mtim.tv_sec + 1, (long)cache->boot_mark};
    return mmi_io_set_time(cache->env, -1, path, next) == 0 &&
           mmi_io_set_time(cache->env, fd, NULL, next) == 0 && cache->boot_mark != 0;
}
