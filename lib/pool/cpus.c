/* SPDX-License-Identifier: Apache-2.0 */
#include <base/checked.h>
#include <pool/pool.h>

#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define TEXT_BYTES 4096

/* The start of folder/file as text; "" when it cannot be read. */
static const char *read_text(char text[TEXT_BYTES], const char *folder, const char *file) {
    char path[TEXT_BYTES];
    size_t used = 0;
    bool fits = snprintf(path, sizeof(path), "%s/%s", folder, file) < TEXT_BYTES;
    int fd = fits ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd >= 0) {
        ssize_t got;
        while (used < TEXT_BYTES - 1 && (got = read(fd, text + used, TEXT_BYTES - 1 - used)) > 0) {
            used += (size_t)got;
        }
        close(fd);
    }
    text[used] = '\0';
    return text;
}

/* The stricter of two limits, 0 being none. */
static uint32_t stricter(uint32_t a, uint32_t b) {
    return a == 0 || (b != 0 && b < a) ? b : a;
}

static uint32_t cpus_of(int64_t quota_us, int64_t period_us) {
    if (quota_us <= 0 || period_us <= 0) {
        return 0;
    }
    uint64_t cpus = (uint64_t)quota_us / (uint64_t)period_us + (quota_us % period_us != 0);
    return (uint32_t)mmi_min_u64(cpus, UINT32_MAX);
}

/* The quota of one group, in whichever version's files are there. */
static uint32_t quota_of_group(const char *group) {
    char text[TEXT_BYTES];
    int64_t quota_us = 0, period_us = 0;
    /* v2: "50000 100000", or "max 100000". */
    if (sscanf(read_text(text, group, "cpu.max"), "%" SCNd64 " %" SCNd64, &quota_us, &period_us) ==
        2) {
        return cpus_of(quota_us, period_us);
    }
    /* v1: -1 is no limit. */
    if (sscanf(read_text(text, group, "cpu.cfs_quota_us"), "%" SCNd64, &quota_us) != 1 ||
        sscanf(read_text(text, group, "cpu.cfs_period_us"), "%" SCNd64, &period_us) != 1) {
        return 0;
    }
    return cpus_of(quota_us, period_us);
}

/* The strictest quota from the group `path` up to its hierarchy's top. What lies above a
 * container's own top is not visible; the files that are missing on the way count as no limit. */
static uint32_t quota_of_path(const char *mount, const char *path) {
    char group[TEXT_BYTES];
    snprintf(group, sizeof(group), "%s%s", mount, path);
    size_t top = strlen(mount);
    uint32_t cpus = 0;
    for (;;) {
        cpus = stricter(cpus, quota_of_group(group));
        char *slash = strrchr(group, '/');
        if (!slash || (size_t)(slash - group) < top) {
            return cpus;
        }
        *slash = '\0';
    }
}

static bool names_cpu(const char *controllers, size_t length) {
    while (length > 0) {
        size_t item = 0;
        while (item < length && controllers[item] != ',') {
            item++;
        }
        if (item == 3 && memcmp(controllers, "cpu", 3) == 0) {
            return true;
        }
        size_t step = item < length ? item + 1 : item;
        controllers += step;
        length -= step;
    }
    return false;
}

/* One line of /proc/self/cgroup: "0::/path" (v2) or "4:cpu,cpuacct:/path" (v1). */
static uint32_t quota_of_line(const char *root, const char *line) {
    const char *controllers = strchr(line, ':');
    const char *path = controllers ? strchr(controllers + 1, ':') : NULL;
    if (!path) {
        return 0;
    }
    controllers++;
    size_t length = (size_t)(path - controllers);
    bool v2 = length == 0;
    if (!v2 && !names_cpu(controllers, length)) {
        return 0;
    }
    /* v1 hierarchies of several controllers are linked under each one's name. */
    char mount[TEXT_BYTES];
    snprintf(mount, sizeof(mount), "%s/sys/fs/cgroup%s", root, v2 ? "" : "/cpu");
    return quota_of_path(mount, path + 1);
}

uint32_t mmi_cpu_quota(const char *root) {
    char text[TEXT_BYTES];
    read_text(text, root, "proc/self/cgroup");
    uint32_t cpus = 0;
    char *rest = text;
    for (char *line; (line = strsep(&rest, "\n")) != NULL;) {
        cpus = stricter(cpus, quota_of_line(root, line));
    }
    return cpus;
}

uint32_t mmi_cpus_allowed(void) {
    cpu_set_t sets[16]; /* 16,384 CPUs: the kernel refuses a mask that is too short for it */
    memset(sets, 0, sizeof(sets));
    int allowed =
        sched_getaffinity(0, sizeof(sets), sets) == 0 ? CPU_COUNT_S(sizeof(sets), sets) : 1;
    uint32_t cpus = stricter((uint32_t)allowed, mmi_cpu_quota(""));
    return cpus > 0 ? cpus : 1;
}
