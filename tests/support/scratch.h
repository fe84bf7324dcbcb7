/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_SUPPORT_SCRATCH_H
#define TESTS_SUPPORT_SCRATCH_H

/* A folder of one test, and what is done to files in it. */

#include <support/world.h>

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SCRATCH_ROOM 256

struct scratch {
    char path[64];
};

/* In memory where there is such a file system: syncing is free there. */
static inline void scratch_init(struct scratch *scratch) {
    const char *parent = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    snprintf(scratch->path, sizeof(scratch->path), "%s/mm-test-XXXXXX", parent);
    assert_non_null(mkdtemp(scratch->path));
}

static inline int scratch_remove_one(const char *path, const struct stat *status, int kind,
                                     struct FTW *walk) {
    (void)status;
    (void)kind;
    (void)walk;
    return remove(path);
}

static inline void scratch_fini(struct scratch *scratch) {
    assert_int_equal(nftw(scratch->path, scratch_remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

/* "<scratch>/<name>" in out[0 .. SCRATCH_ROOM). */
static inline const char *scratch_path(const struct scratch *scratch, const char *name, char *out) {
    int length = snprintf(out, SCRATCH_ROOM, "%s/%s", scratch->path, name);
    assert_true(length > 0 && length < SCRATCH_ROOM);
    return out;
}

static inline void scratch_folder(const struct scratch *scratch, const char *name) {
    char path[SCRATCH_ROOM];
    assert_int_equal(mkdir(scratch_path(scratch, name, path), 0700), 0);
}

static inline void scratch_link(const struct scratch *scratch, const char *to, const char *name) {
    char path[SCRATCH_ROOM];
    assert_int_equal(symlink(to, scratch_path(scratch, name, path)), 0);
}

static inline void scratch_write(const struct scratch *scratch, const char *name, const void *bytes,
                                 size_t count) {
    char path[SCRATCH_ROOM];
    int fd = open(scratch_path(scratch, name, path), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, count), count);
    close(fd);
}

static inline void scratch_text(const struct scratch *scratch, const char *name, const char *text) {
    scratch_write(scratch, name, text, strlen(text));
}

/* Entries of a folder, "." and ".." apart, whose names end with `suffix`. */
static inline size_t count_files(const char *folder, const char *suffix) {
    DIR *listing = opendir(folder);
    assert_non_null(listing);
    size_t count = 0;
    for (const struct dirent *entry; (entry = readdir(listing)) != NULL;) {
        size_t length = strlen(entry->d_name), end = strlen(suffix);
        count += entry->d_name[0] != '.' && length >= end &&
                 strcmp(entry->d_name + length - end, suffix) == 0;
    }
    closedir(listing);
    return count;
}

/* Descriptors that this process has open (one more while counting, always the same). */
static inline size_t open_descriptors(void) {
    return count_files("/proc/self/fd", "");
}

#endif
