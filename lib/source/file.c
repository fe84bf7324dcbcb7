/* SPDX-License-Identifier: Apache-2.0 */
/* The kind "file": files, and folders with one in it. */
#include <source/opened.h>

#include <source/io.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

/* Longer than a tick of any kernel's file times. */
#define TICK_NS INT64_C(20000000)

static int64_t time_ns(struct timespec time) {
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static bool takes(const struct mmi_location *location) {
    return location->text != NULL;
}

/* A file that changed within this tick may change again with the same time. A time in the future is
 * safe: the next change would get another one. */
static bool may_change_unseen(int64_t changed_ns) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    int64_t age_ns = time_ns(now) - changed_ns;
    return age_ns > -TICK_NS && age_ns < TICK_NS;
}

/* Found by device and inode: it may be renamed. changed_ns: when the inode changed last. */
static struct mmi_identity identity_of(const struct stat *stat, int64_t changed_ns) {
    uint64_t place[2] = {stat->st_dev, stat->st_ino};
    int64_t state[3] = {stat->st_size, time_ns(stat->st_mtim), changed_ns};
    return mmi_identity_make(&mmi_source_file_kind, place, sizeof(place), state, sizeof(state),
                             !may_change_unseen(changed_ns));
}

static bool identify(const struct mmi_opened_file *file, struct mmi_identity *identity) {
    struct stat stat;
    if (fstat(file->own.fd, &stat) != 0) {
        return false;
    }
    /* Without a name any more, because another file was renamed over it: that changed the inode,
     * and nobody can open it to write. */
    bool replaced = stat.st_nlink == 0;
    *identity = identity_of(&stat, replaced ? file->own.changed_ns : time_ns(stat.st_ctim));
    return true;
}

static mm_status open_failed(const char *path, int error, mm_error *err) {
    bool missing = error == ENOENT || error == ENOTDIR || error == ENAMETOOLONG;
    return mmi_fail_errno(err, missing ? MM_NOT_FOUND : MM_IO, error, "%s", path);
}

static mm_status file_read(struct mmi_opened_file *file, uint64_t offset, void *to, uint64_t count,
                           mm_error *err) {
    int error = mmi_io_read(file->source->env, file->own.fd, offset, to, count);
    if (error == ENODATA) {
        return mmi_fail(err, MM_SOURCE_CHANGED, "%s: became shorter while it was read", file->path);
    }
    return error == 0 ? MM_OK : mmi_fail_errno(err, MM_IO, error, "%s", file->path);
}

/* Takes the descriptor, also when it fails. */
static mm_status add_file(struct mmi_source *source, int fd, const char *path, size_t name_at,
                          mm_error *err) {
    struct stat stat;
    if (fstat(fd, &stat) != 0 || !S_ISREG(stat.st_mode)) {
        mmi_io_close(fd);
        return mmi_fail(err, MM_IO, "%s: not a regular file", path);
    }
    struct mmi_opened_file *file = mmi_source_add(source, path, name_at, (uint64_t)stat.st_size);
    if (!file) {
        mmi_io_close(fd);
        return mmi_fail(err, MM_NO_MEMORY, "%s: out of memory", path);
    }
    file->own.fd = fd;
    file->own.changed_ns = time_ns(stat.st_ctim);
    file->identity = identity_of(&stat, file->own.changed_ns);
    return MM_OK;
}

static mm_status open_main(struct mmi_source *source, const struct mmi_location *location,
                           mm_error *err) {
    char path[PATH_MAX];
    source->own.folder = -1;
    MMI_TRY(mmi_folder_resolve(location->text, path, sizeof(path), err));
    const char *slash = strrchr(path, '/');
    size_t name_at = slash ? (size_t)(slash - path) + 1 : 0;
    char folder[PATH_MAX];
    snprintf(folder, sizeof(folder), "%.*s", (int)name_at, path);
    int error = mmi_io_open(source->env, AT_FDCWD, name_at > 0 ? folder : ".", O_PATH | O_DIRECTORY,
                            &source->own.folder);
    if (error != 0) {
        source->own.folder = -1;
        return open_failed(path, error, err);
    }
    int fd;
    /* O_NONBLOCK: a pipe is refused, not waited for. */
    error = mmi_io_open(source->env, source->own.folder, path + name_at,
                        O_RDONLY | O_NOCTTY | O_NONBLOCK, &fd);
    return error == 0 ? add_file(source, fd, path, name_at, err) : open_failed(path, error, err);
}

static mm_status open_sibling(struct mmi_source *source, const char *relative, mm_error *err) {
    const struct mmi_opened_file *main_file = source->files[0];
    size_t name_at = (size_t)(main_file->name - main_file->path);
    char path[PATH_MAX];
    int length = snprintf(path, sizeof(path), "%.*s%s", (int)name_at, main_file->path, relative);
    if (length < 0 || (size_t)length >= sizeof(path)) {
        return open_failed(relative, ENAMETOOLONG, err);
    }
    int fd;
    int error = mmi_folder_open(source->env, source->own.folder, main_file->own.fd, relative, &fd);
    if (error == EXDEV) {
        return mmi_fail(err, MM_INVALID_MODEL, "%s: names \"%s\", which leaves its folder",
                        main_file->path, relative);
    }
    return error == 0 ? add_file(source, fd, path, name_at, err) : open_failed(path, error, err);
}

static void close_file(struct mmi_opened_file *file) {
    mmi_io_close(file->own.fd);
}

static void close_source(struct mmi_source *source) {
    mmi_io_close(source->own.folder);
}

const struct mmi_source_kind mmi_source_file_kind = {.name = "file",
                                                     .takes = takes,
                                                     .open = open_main,
                                                     .open_sibling = open_sibling,
                                                     .read = file_read,
                                                     .identify = identify,
                                                     .close_file = close_file,
                                                     .close = close_source};
