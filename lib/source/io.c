/* SPDX-License-Identifier: Apache-2.0 */
#include <source/io.h>

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

int mmi_io_open(const struct mmi_env *env, int at, const char *path, int flags, int *fd) {
    int fault = mmi_fault(env, "open");
    if (fault != 0) {
        return fault;
    }
    do {
        *fd = openat(at, path, flags | O_CLOEXEC, 0600);
    } while (*fd < 0 && errno == EINTR);
    return *fd < 0 ? errno : 0;
}

int mmi_io_read(const struct mmi_env *env, int fd, uint64_t offset, void *to, uint64_t count) {
    int fault = mmi_fault(env, "read");
    if (fault != 0) {
        return fault;
    }
    for (uint64_t done = 0; done < count;) {
        ssize_t got = pread(fd, (uint8_t *)to + done, count - done, (off_t)(offset + done));
        if (got == 0) {
            return ENODATA;
        }
        if (got < 0 && errno != EINTR) {
            return errno;
        }
        done += got > 0 ? (uint64_t)got : 0;
    }
    return 0;
}

void mmi_io_close(int fd) {
    if (fd >= 0) {
        close(fd);
    }
}
