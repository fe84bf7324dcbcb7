/* SPDX-License-Identifier: Apache-2.0 */
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

bool mmi_identity_of(int fd, struct mmi_file_identity *identity) {
    struct stat stat;
    if (fstat(fd, &stat) != 0) {
        return false;
    }
    *identity = (struct mmi_file_identity){.device = stat.st_dev,
                                           .inode = stat.st_ino,
                                           .bytes = (uint64_t)stat.st_size,
                                           .modified_ns = time_ns(stat.st_mtim),
                                           .changed_ns = time_ns(stat.st_ctim)};
    return true;
}

/* A file that changed within this tick may change again with the same time. A time in the future is
 * safe: the next change would get another one. */
static bool may_change_unseen(const struct mmi_file_identity *identity) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    int64_t age_ns = time_ns(now) - identity->changed_ns;
    return age_ns > -TICK_NS && age_ns < TICK_NS;
}

static mm_status open_failed(const char *path, int error, mm_error *err) {
    bool missing = error == ENOENT || error == ENOTDIR || error == ENAMETOOLONG;
    return mmi_fail_errno(err, missing ? MM_NOT_FOUND : MM_IO, error, "%s", path);
}

static mm_status file_read(struct mmi_opened_file *file, uint64_t offset, void *to, uint64_t count,
                           mm_error *err) {
    int error = mmi_io_read(file->source->env, file->fd, offset, to, count);
    if (error == ENODATA) {
        return mmi_fail(err, MM_SOURCE_CHANGED, "%s: became shorter while it was read", file->path);
    }
    return error == 0 ? MM_OK : mmi_fail_errno(err, MM_IO, error, "%s", file->path);
}

static mm_status file_open(void *ctx, const char *relative, mm_source *sibling, mm_error *err);

/* Takes the descriptor, also when it fails. */
static mm_status add_file(struct mmi_source *source, int fd, const char *path, size_t name_at,
                          mm_error *err) {
    struct mmi_opened_file *file = mmi_source_add(source, path, name_at);
    if (!file) {
        mmi_io_close(fd);
        return mmi_fail(err, MM_NO_MEMORY, "%s: out of memory", path);
    }
    file->fd = fd;
    struct stat stat;
    if (fstat(fd, &stat) != 0 || !S_ISREG(stat.st_mode) || !mmi_identity_of(fd, &file->found)) {
        mmi_source_drop_last(source);
        return mmi_fail(err, MM_IO, "%s: not a regular file", path);
    }
    file->identity = file->found;
    if (may_change_unseen(&file->found)) {
        file->identity.changed_ns = 0;
    }
    file->read = file_read;
    file->reader = (mm_source){file, file->path, file->found.bytes, mmi_source_read, file_open};
    return MM_OK;
}

mm_status mmi_source_open_file(struct mmi_source *source, const char *location, mm_error *err) {
    char path[PATH_MAX];
    MMI_TRY(mmi_folder_resolve(location, path, sizeof(path), err));
    const char *slash = strrchr(path, '/');
    size_t name_at = slash ? (size_t)(slash - path) + 1 : 0;
    char folder[PATH_MAX];
    snprintf(folder, sizeof(folder), "%.*s", (int)name_at, path);
    int error = mmi_io_open(source->env, AT_FDCWD, name_at > 0 ? folder : ".", O_PATH | O_DIRECTORY,
                            &source->folder);
    if (error != 0) {
        source->folder = -1;
        return open_failed(path, error, err);
    }
    int fd;
    /* O_NONBLOCK: a pipe is refused, not waited for. */
    error = mmi_io_open(source->env, source->folder, path + name_at,
                        O_RDONLY | O_NOCTTY | O_NONBLOCK, &fd);
    return error == 0 ? add_file(source, fd, path, name_at, err) : open_failed(path, error, err);
}

static const struct mmi_opened_file *opened_before(const struct mmi_source *source,
                                                   const char *name) {
    for (size_t i = 0; i < source->count; i++) {
        if (strcmp(source->files[i]->name, name) == 0) {
            return source->files[i];
        }
    }
    return NULL;
}

static mm_status file_open(void *ctx, const char *relative, mm_source *sibling, mm_error *err) {
    struct mmi_source *source = ((struct mmi_opened_file *)ctx)->source;
    const struct mmi_opened_file *before = opened_before(source, relative);
    if (before) {
        *sibling = before->reader;
        return MM_OK;
    }
    const struct mmi_opened_file *main_file = source->files[0];
    size_t name_at = (size_t)(main_file->name - main_file->path);
    char path[PATH_MAX];
    int length = snprintf(path, sizeof(path), "%.*s%s", (int)name_at, main_file->path, relative);
    if (length < 0 || (size_t)length >= sizeof(path)) {
        return open_failed(relative, ENAMETOOLONG, err);
    }
    int fd;
    int error = mmi_folder_open(source->env, source->folder, main_file->fd, relative, &fd);
    if (error == EXDEV) {
        return mmi_fail(err, MM_INVALID_MODEL, "%s: names \"%s\", which leaves its folder",
                        main_file->path, relative);
    }
    if (error != 0) {
        return open_failed(path, error, err);
    }
    MMI_TRY(add_file(source, fd, path, name_at, err));
    *sibling = source->files[source->count - 1]->reader;
    return MM_OK;
}
