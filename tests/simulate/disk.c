/* SPDX-License-Identifier: Apache-2.0 */
/* Sources in files and the cache directory, in a folder of this process that lies in memory where
 * the system has such a place. Times of sources are the simulation's: the linker puts what is
 * called __wrap_ here in the place of the system's call (tests/simulate/meson.build). */
#include "sim.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define RETRY_NS UINT64_C(1000)
#define TRUNCATED_BYTES 40u

static struct sim *the_sim;

static void folder_of(long process, char path[DISK_FOLDER_BYTES]) {
    const char *parent = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    snprintf(path, DISK_FOLDER_BYTES, "%s/modelmesh-simulate-%ld", parent, process);
}

static void remove_files(const char *folder) {
    DIR *listing = opendir(folder);
    if (!listing) {
        return;
    }
    for (const struct dirent *entry; (entry = readdir(listing)) != NULL;) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            unlinkat(dirfd(listing), entry->d_name, 0);
        }
    }
    closedir(listing);
}

void disk_remove(long process) {
    char folder[DISK_FOLDER_BYTES], cache[DISK_PATH_BYTES];
    folder_of(process, folder);
    snprintf(cache, sizeof(cache), "%s/cache", folder);
    remove_files(cache);
    rmdir(cache);
    remove_files(folder);
    rmdir(folder);
}

/* ---- Files of models ------------------------------------------------------------------------- */

void disk_model_path(uint32_t model, char path[DISK_PATH_BYTES]) {
    snprintf(path, DISK_PATH_BYTES, "%s/m%u", the_sim->disk_folder, model);
}

void disk_cache_path(char path[DISK_PATH_BYTES]) {
    snprintf(path, DISK_PATH_BYTES, "%s/cache", the_sim->disk_folder);
}

/* It changed now; no two changes have the same time. */
static void stamp(struct sim *sim, ino_t inode) {
    sim->file_clock_ns = sim->now_ns > sim->file_clock_ns ? sim->now_ns : sim->file_clock_ns + 1;
    uint32_t i = 0;
    while (i < sim->stamp_count && sim->stamps[i].inode != inode) {
        i++;
    }
    if (i == MOST_STAMPS) {
        sim_fail(sim, "disk", "more than %u files", MOST_STAMPS);
        return;
    }
    sim->stamp_count += i == sim->stamp_count;
    sim->stamps[i] = (struct stamp){inode, sim->file_clock_ns};
}

static void stamp_path(struct sim *sim, const char *path) {
    struct stat status;
    if (stat(path, &status) == 0) {
        stamp(sim, status.st_ino);
    }
}

static bool write_file(const char *path, const struct content *content, size_t bytes) {
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    bool written =
        fd >= 0 && write(fd, content, bytes) == (ssize_t)bytes && ftruncate(fd, (off_t)bytes) == 0;
    if (fd >= 0) {
        close(fd);
    }
    return written;
}

void disk_change(struct sim *sim, uint32_t model, enum file_change change, uint32_t number) {
    char path[DISK_PATH_BYTES], beside[DISK_PATH_BYTES + 8];
    const struct content *content = &sim->scenario->models[model].contents[number];
    disk_model_path(model, path);
    snprintf(beside, sizeof(beside), "%s.new", path);
    bool works = true;
    stamp_path(sim, path); /* also of what is not there any more, as its links change */
    switch (change) {
    case FILE_REMOVED:
        unlink(path);
        break;
    case FILE_TRUNCATED:
        works = write_file(path, content, TRUNCATED_BYTES);
        break;
    case FILE_IN_PLACE:
        works = write_file(path, content, sizeof(*content));
        break;
    default:
        works = write_file(beside, content, sizeof(*content)) && rename(beside, path) == 0;
    }
    stamp_path(sim, path);
    if (!works) {
        sim_fail(sim, "disk", "%s: %s", path, strerror(errno));
    }
    bool whole = change == FILE_IN_PLACE || change == FILE_REPLACED;
    sim->file_number[model] = whole ? number : MOST_CONTENTS;
    sim->file_changes[model] += sim->created;
    for (uint32_t i = 0; i < sim->thread_count; i++) { /* it may be as it was */
        sim->thread[i].torn = 0;
    }
    story(sim, "the file of m%u: %s m%u.%u", model, disk_change_name(change), model, number);
}

const char *disk_change_name(enum file_change change) {
    static const char *const names[FILE_CHANGES] = {"replaced by", "becomes", "cut off, once",
                                                    "removed, once"};
    return names[change];
}

/* ---- Begin and end --------------------------------------------------------------------------- */

void disk_begin(struct sim *sim) {
    const struct scenario *s = sim->scenario;
    bool needed = s->cache;
    the_sim = sim;
    for (uint32_t m = 0; m < s->model_count; m++) {
        needed |= s->models[m].file;
    }
    if (!needed) {
        return;
    }
    folder_of((long)getpid(), sim->disk_folder);
    if (mkdir(sim->disk_folder, 0700) != 0 && errno != EEXIST) {
        sim_fail(sim, "disk", "%s: %s", sim->disk_folder, strerror(errno));
    }
    for (uint32_t m = 0; m < s->model_count; m++) {
        if (s->models[m].file) {
            disk_change(sim, m, FILE_REPLACED, 0);
        }
    }
}

void disk_end(struct sim *sim) {
    if (sim->disk_folder[0]) {
        disk_remove((long)getpid());
    }
    the_sim = NULL;
}

/* ---- In place of the system's ---------------------------------------------------------------- */

int __real_fstat64(int fd, struct stat *status);
int __wrap_fstat64(int fd, struct stat *status);
int __real_clock_gettime(clockid_t clock, struct timespec *time);
int __wrap_clock_gettime(clockid_t clock, struct timespec *time);
int __real_flock(int fd, int operation);
int __wrap_flock(int fd, int operation);

static struct timespec time_of(uint64_t ns) {
    return (struct timespec){(time_t)(ns / 1000000000), (long)(ns % 1000000000)};
}

int __wrap_fstat64(int fd, struct stat *status) {
    int failed = __real_fstat64(fd, status);
    for (uint32_t i = 0; !failed && the_sim && i < the_sim->stamp_count; i++) {
        if (the_sim->stamps[i].inode == status->st_ino) {
            status->st_ctim = status->st_mtim = time_of(the_sim->stamps[i].changed_ns);
        }
    }
    return failed;
}

int __wrap_clock_gettime(clockid_t clock, struct timespec *time) {
    if (the_sim && clock == CLOCK_REALTIME) {
        *time = time_of(the_sim->now_ns);
        return 0;
    }
    return __real_clock_gettime(clock, time);
}

/* Who waits here would stop all threads, which are one. */
int __wrap_flock(int fd, int operation) {
    if (!the_sim || !the_sim->current || !(operation & LOCK_EX) || (operation & LOCK_NB)) {
        return __real_flock(fd, operation);
    }
    while (__real_flock(fd, operation | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK) {
            return -1;
        }
        schedule_sleep(the_sim, RETRY_NS);
    }
    return 0;
}
