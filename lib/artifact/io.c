/* SPDX-License-Identifier: Apache-2.0 */
#include <artifact/io.h>

#include <base/checked.h>
#include <base/file_limit.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/vfs.h>
#include <unistd.h>

/* <linux/magic.h> lacks this one. */
#define FUSE_MAGIC 0x65735546

/* So much at once: a signal waits for it at most. */
#define ALLOCATE_BYTES (UINT64_C(64) << 20)

static bool is_beyond_limit(uint64_t offset, uint64_t count) {
    return mmi_add_cap(offset, count) > mmi_file_limit();
}

int mmi_io_write(const struct mmi_env *env, int fd, uint64_t offset, const void *from,
                 uint64_t count) {
    int fault = mmi_fault(env, "write");
    if (fault != 0) {
        return fault;
    }
    if (count > 0 && is_beyond_limit(offset, count)) {
        return EFBIG;
    }
    for (uint64_t done = 0; done < count;) {
        ssize_t put =
            pwrite(fd, (const uint8_t *)from + done, count - done, (off_t)(offset + done));
        if (put < 0 && errno != EINTR) {
            return errno;
        }
        done += put > 0 ? (uint64_t)put : 0;
    }
    return 0;
}

/* Signals can undo each attempt: older kernels begin anew on files in memory, for ever under a
 * timer of a profiler. So the second attempt is made without any. */
static int allocate_piece(int fd, uint64_t offset, uint64_t count) {
    int error = posix_fallocate(fd, (off_t)offset, (off_t)count);
    if (error == EINTR) {
        sigset_t all, before;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        error = posix_fallocate(fd, (off_t)offset, (off_t)count);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
    }
    return error;
}

int mmi_io_allocate(const struct mmi_env *env, int fd, uint64_t offset, uint64_t count) {
    int error = mmi_fault(env, "write");
    if (error != 0 || count == 0) {
        return error;
    }
    if (is_beyond_limit(offset, count)) {
        return EFBIG;
    }
    for (uint64_t done = 0; done < count && error == 0; done += ALLOCATE_BYTES) {
        error = allocate_piece(fd, offset + done, mmi_min_u64(ALLOCATE_BYTES, count - done));
    }
    return error;
}

int mmi_io_make_folder(const struct mmi_env *env, const char *path) {
    int fault = mmi_fault(env, "write");
    if (fault != 0) {
        return fault;
    }
    return mkdir(path, 0700) == 0 ? 0 : errno;
}

int mmi_io_set_time(const struct mmi_env *env, int fd, const char *path, struct timespec time) {
    int fault = mmi_fault(env, "write");
    if (fault != 0) {
        return fault;
    }
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, time};
    int failed = fd >= 0 ? futimens(fd, times) : utimensat(AT_FDCWD, path, times, 0);
    return failed ? errno : 0;
}

int mmi_io_sync(const struct mmi_env *env, int fd) {
    int fault = mmi_fault(env, "sync");
    if (fault != 0) {
        return fault;
    }
    return fdatasync(fd) == 0 ? 0 : errno;
}

int mmi_io_sync_folder(const struct mmi_env *env, const char *path) {
    int fd;
    int error = mmi_io_open(env, AT_FDCWD, path, O_RDONLY | O_DIRECTORY, &fd);
    if (error != 0) {
        return error;
    }
    error = mmi_fault(env, "sync");
    if (error == 0 && fsync(fd) != 0) {
        error = errno;
    }
    mmi_io_close(fd);
    return error;
}

int mmi_io_rename(const struct mmi_env *env, const char *from, const char *to, bool replace) {
    int fault = mmi_fault(env, "rename");
    if (fault != 0) {
        return fault;
    }
    if (!replace) {
        if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0) {
            return 0;
        }
        if (errno != EINVAL && errno != ENOSYS) {
            return errno;
        }
    }
    return rename(from, to) == 0 ? 0 : errno;
}

/* ---- Files without a name -------------------------------------------------------------------- */

/* Where the file system has no O_TMPFILE: a name for a moment. */
static int open_and_unlink(const struct mmi_env *env, const char *folder, int *fd) {
    char path[PATH_MAX];
    if (snprintf(path, sizeof(path), "%s/mm-XXXXXX", folder) >= (int)sizeof(path)) {
        return ENAMETOOLONG;
    }
    int fault = mmi_fault(env, "open");
    if (fault != 0) {
        return fault;
    }
    *fd = mkostemp(path, O_CLOEXEC);
    if (*fd < 0) {
        return errno;
    }
    unlink(path);
    return 0;
}

int mmi_io_open_unnamed(const struct mmi_env *env, const char *folder, int *fd) {
    int error = mmi_io_open(env, AT_FDCWD, folder, O_TMPFILE | O_RDWR, fd);
    bool unknown = error == EISDIR || error == EOPNOTSUPP || error == EINVAL;
    return unknown ? open_and_unlink(env, folder, fd) : error;
}

int mmi_io_open_memory(const struct mmi_env *env, int *fd) {
    int fault = mmi_fault(env, "open");
    if (fault != 0) {
        return fault;
    }
    *fd = memfd_create("modelmesh", MFD_CLOEXEC);
    return *fd < 0 ? errno : 0;
}

void mmi_io_free_range(int fd, uint64_t offset, uint64_t count) {
    while (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)count) !=
               0 &&
           errno == EINTR) {}
}

uint64_t mmi_io_free_bytes(const char *folder) {
    struct statfs status;
    return statfs(folder, &status) == 0 ? (uint64_t)status.f_bavail * (uint64_t)status.f_bsize : 0;
}

bool mmi_io_is_memory(const char *path) {
    struct statfs status;
    return statfs(path, &status) == 0 &&
           ((uint32_t)status.f_type == TMPFS_MAGIC || (uint32_t)status.f_type == RAMFS_MAGIC);
}

bool mmi_io_is_network(const char *path) {
    static const uint32_t magics[] = {NFS_SUPER_MAGIC,  SMB_SUPER_MAGIC,  CIFS_SUPER_MAGIC,
                                      SMB2_SUPER_MAGIC, FUSE_MAGIC,       V9FS_MAGIC,
                                      AFS_SUPER_MAGIC,  AFS_FS_MAGIC,     CODA_SUPER_MAGIC,
                                      CEPH_SUPER_MAGIC, OCFS2_SUPER_MAGIC};
    struct statfs status;
    if (statfs(path, &status) != 0) {
        return true;
    }
    for (size_t i = 0; i < sizeof(magics) / sizeof(magics[0]); i++) {
        if ((uint32_t)status.f_type == magics[i]) {
            return true;
        }
    }
    return false;
}
