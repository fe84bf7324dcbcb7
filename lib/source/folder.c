/* SPDX-License-Identifier: Apache-2.0 */
#include <source/opened.h>

#include <source/io.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MAIN_FILE "model.onnx"
#define NAME_ROOM 256 /* NAME_MAX and the NUL */

/* ---- The main file of a folder -------------------------------------------------------------- */

__attribute__((format(printf, 3, 4))) static bool print_path(char *path, size_t room,
                                                             const char *format, ...) {
    va_list args;
    va_start(args, format);
    int length = vsnprintf(path, room, format, args);
    va_end(args);
    return length >= 0 && (size_t)length < room;
}

static bool is_file(const char *path) {
    struct stat status;
    return stat(path, &status) == 0 && S_ISREG(status.st_mode);
}

/* The number that is the folder's name; -1: it is no number. */
static int64_t number_of(const char *name) {
    size_t length = strspn(name, "0123456789");
    return length == 0 || length > 18 || name[length] != '\0' ? -1 : atoll(name);
}

/* The main file of the highest numbered sub-folder that has one. */
static int find_numbered(const char *folder, char *path, size_t room) {
    DIR *listing = opendir(folder);
    if (!listing) {
        return errno;
    }
    int64_t highest = -1;
    char candidate[PATH_MAX];
    for (const struct dirent *entry; (entry = readdir(listing)) != NULL;) {
        int64_t number = number_of(entry->d_name);
        if (number > highest &&
            print_path(candidate, sizeof(candidate), "%s/%s/" MAIN_FILE, folder, entry->d_name) &&
            is_file(candidate) && print_path(path, room, "%s", candidate)) {
            highest = number;
        }
    }
    closedir(listing);
    return highest < 0 ? ENOENT : 0;
}

mm_status mmi_folder_resolve(const char *location, char *path, size_t room, mm_error *err) {
    struct stat status;
    if (!print_path(path, room, "%s", location)) {
        return mmi_fail_errno(err, MM_NOT_FOUND, ENAMETOOLONG, "%s", location);
    }
    if (stat(location, &status) != 0 || !S_ISDIR(status.st_mode)) {
        return MM_OK; /* opening it will say what is wrong with it */
    }
    if (print_path(path, room, "%s/" MAIN_FILE, location) && is_file(path)) {
        return MM_OK;
    }
    int error = find_numbered(location, path, room);
    if (error == ENOENT) {
        return mmi_fail(err, MM_NOT_FOUND,
                        "%s: neither " MAIN_FILE " nor a numbered folder with one is in it",
                        location);
    }
    return error == 0 ? MM_OK : mmi_fail_errno(err, MM_IO, error, "%s", location);
}

/* ---- Siblings ------------------------------------------------------------------------------- */

/* The name without "." and "..", which count by the names alone. false: it leads outside, or it is
 * too long. */
static bool normalise(const char *relative, char *path, size_t room) {
    size_t used = 0;
    if (relative[0] == '/') {
        return false;
    }
    for (const char *part = relative; *part;) {
        size_t length = strcspn(part, "/");
        bool up = length == 2 && strncmp(part, "..", 2) == 0;
        bool named = length > 0 && !up && !(length == 1 && part[0] == '.');
        if (up && used == 0) {
            return false;
        }
        if (up) {
            const char *slash = memrchr(path, '/', used);
            used = slash ? (size_t)(slash - path) : 0;
        } else if (named && used + length + 2 > room) {
            return false;
        } else if (named) {
            path[used] = '/';
            used += used > 0;
            memcpy(path + used, part, length);
            used += length;
        }
        part += length + strspn(part + length, "/");
    }
    path[used] = '\0';
    return used > 0;
}

static int open_beneath(const struct mmi_env *env, int folder, const char *relative, int *fd) {
    int fault = mmi_fault(env, "open");
    if (fault != 0) {
        return fault;
    }
    struct open_how how = {.flags = O_RDONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC,
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
    long opened;
    do { /* EAGAIN: something on the way was renamed meanwhile */
        opened = syscall(SYS_openat2, folder, relative, &how, sizeof(how));
    } while (opened < 0 && (errno == EINTR || errno == EAGAIN));
    *fd = (int)opened;
    return opened < 0 ? errno : 0;
}

/* Without openat2: one part after another, through no link at all. */
static int open_walking(const struct mmi_env *env, int folder, const char *relative, int *fd) {
    int at = folder;
    int error = 0;
    for (const char *part = relative; *part != '\0' && error == 0;) {
        char name[NAME_ROOM];
        size_t length = strcspn(part, "/");
        bool fits = print_path(name, sizeof(name), "%.*s", (int)length, part);
        part += length + strspn(part + length, "/");
        int flags = *part == '\0' ? O_RDONLY | O_NOCTTY | O_NONBLOCK : O_PATH | O_DIRECTORY;
        int next = -1;
        error = fits ? mmi_io_open(env, at, name, flags | O_NOFOLLOW, &next) : ENAMETOOLONG;
        if (at != folder) {
            mmi_io_close(at);
        }
        at = next;
    }
    *fd = at;
    /* A link in the middle is ENOTDIR, at the end ELOOP. */
    return error == ELOOP || error == ENOTDIR ? EXDEV : error;
}

static int open_below(const struct mmi_env *env, int folder, const char *relative, int *fd) {
    int error = open_beneath(env, folder, relative, fd);
    /* EPERM: a sandbox that does not know the call. */
    if (error == ENOSYS || error == EPERM) {
        error = open_walking(env, folder, relative, fd);
    }
    return error == ELOOP ? EXDEV : error;
}

/* ---- Links ---------------------------------------------------------------------------------- */

/* Where what is open really lies; false: nobody says. */
static bool real_path(int fd, char *path, size_t room) {
    char link[64];
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, room);
    if (length <= 0 || (size_t)length >= room || path[0] != '/') {
        return false;
    }
    path[length] = '\0';
    return true;
}

/* The folder of a file that is open. false: nobody says. */
static bool real_folder(int file, char *path, size_t room) {
    if (!real_path(file, path, room)) {
        return false;
    }
    *strrchr(path, '/') = '\0';
    return true;
}

/* What lies at `target`, if that is below `folder`. */
static int open_real(const struct mmi_env *env, const char *folder, const char *target, int *fd) {
    size_t length = strlen(folder);
    int at;
    if (strncmp(target, folder, length) != 0 || target[length] != '/') {
        return EXDEV;
    }
    int error = mmi_io_open(env, AT_FDCWD, length > 0 ? folder : "/", O_PATH | O_DIRECTORY, &at);
    if (error == 0) {
        error = open_below(env, at, target + length + 1, fd);
        mmi_io_close(at);
    }
    return error;
}

/* Where the links lead must be below the folder or the real one of the main file. It is looked at
 * without opening it for reading. */
static int open_linked(const struct mmi_env *env, int folder, int main_file, const char *relative,
                       int *fd) {
    char target[PATH_MAX], allowed[PATH_MAX];
    int at;
    int error = mmi_io_open(env, folder, relative, O_PATH, &at);
    if (error != 0) {
        return error == ELOOP ? EXDEV : error;
    }
    bool told = real_path(at, target, sizeof(target));
    mmi_io_close(at);
    error = EXDEV;
    if (told && real_path(folder, allowed, sizeof(allowed))) {
        error = open_real(env, allowed, target, fd);
    }
    if (told && error == EXDEV && real_folder(main_file, allowed, sizeof(allowed))) {
        error = open_real(env, allowed, target, fd);
    }
    return error;
}

/* Beside the file that the main file's links lead to. */
static int open_beside_real(const struct mmi_env *env, int main_file, const char *relative,
                            int *fd) {
    char path[PATH_MAX];
    int at;
    if (!real_folder(main_file, path, sizeof(path))) {
        return ENOENT;
    }
    int error = mmi_io_open(env, AT_FDCWD, path[0] ? path : "/", O_PATH | O_DIRECTORY, &at);
    if (error == 0) {
        error = open_below(env, at, relative, fd);
        mmi_io_close(at);
    }
    return error;
}

int mmi_folder_open(const struct mmi_env *env, int folder, int main_file, const char *relative,
                    int *fd) {
    char name[PATH_MAX];
    if (!normalise(relative, name, sizeof(name))) {
        return EXDEV;
    }
    int error = open_below(env, folder, name, fd);
    if (error == EXDEV) {
        error = open_linked(env, folder, main_file, name, fd);
    }
    bool elsewhere = error == EXDEV || error == ENOENT || error == ENOTDIR;
    return elsewhere && open_beside_real(env, main_file, name, fd) == 0 ? 0 : error;
}
