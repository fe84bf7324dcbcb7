/* SPDX-License-Identifier: Apache-2.0 */
#include <artifact/io.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

int mmi_io_write(const struct mmi_env *env, int fd, uint64_t offset, const void *from,
                 uint64_t count) {
    int fault = mmi_fault(env, "write");
    if (fault != 0) {
        return fault;
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

int mmi_io_allocate(const struct mmi_env *env, int fd, uint64_t offset, uint64_t count) {
    int error = mmi_fault(env, "write");
    if (error != 0 || count == 0) {
        return error;
    }
    do {
        error = posix_fallocate(fd, (off_t)offset, (off_t)count);
    } while (error == EINTR);
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
