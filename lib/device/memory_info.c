/* SPDX-License-Identifier: Apache-2.0 */
#include <base/checked.h>
#include <device/device.h>
#include <device/memory_info.h>

#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TEXT_BYTES 8192 /* longer than any of these files; the rest of a longer one is not needed */
#define UNKNOWN_BUDGET_BYTES (UINT64_C(64) << 20)

/* What version 1 shows where no limit was set: the largest number of pages, 2^63 less a page. No
 * machine comes near. */
#define NO_LIMIT_BYTES (UINT64_C(1) << 62)

/* Where control groups keep their limits. */
struct layout {
    const char *mounts[2];
    const char *limits[2];
};

static const struct layout v1 = {
    .mounts = {"/sys/fs/cgroup/memory"},
    .limits = {"memory.limit_in_bytes"},
};
/* Beside version 1 the mount of version 2 is the second. Above memory.high the kernel throttles:
 * treated as a limit like memory.max. */
static const struct layout v2 = {
    .mounts = {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"},
    .limits = {"memory.max", "memory.high"},
};

/* The beginning of a file as text; empty when it cannot be read. */
static void read_text(const char *path, char text[TEXT_BYTES]) {
    size_t used = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        ssize_t got;
        while ((got = read(fd, text + used, TEXT_BYTES - 1 - used)) > 0) {
            used += (size_t)got;
        }
        close(fd);
    }
    text[used] = '\0';
}

/* UINT64_MAX for "max", for what is no number and for no text at all. */
static uint64_t parse_bytes(const char *text) {
    char *end;
    uint64_t value = strtoull(text, &end, 10);
    return end == text ? UINT64_MAX : value;
}

/* The number behind `key` at the beginning of a line; UINT64_MAX when there is none. */
static uint64_t find_number(const char *text, const char *key) {
    size_t length = strlen(key);
    for (const char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, key, length) == 0 && (line[length] == ' ' || line[length] == ':')) {
            return parse_bytes(line + length + 1);
        }
    }
    return UINT64_MAX;
}

/* The limit of one group; UINT64_MAX when it has none. */
static uint64_t limit_of_group(const char *root, const struct layout *layout, const char *group) {
    char path[PATH_MAX], text[TEXT_BYTES];
    uint64_t limit = UINT64_MAX;
    for (size_t i = 0; i < 4; i++) {
        const char *mount = layout->mounts[i / 2], *file = layout->limits[i % 2];
        if (!mount || !file) {
            continue;
        }
        int length = snprintf(path, sizeof(path), "%s%s%s/%s", root, mount, group, file);
        if (length > 0 && (size_t)length < sizeof(path)) {
            read_text(path, text);
            limit = mmi_min_u64(limit, parse_bytes(text));
        }
    }
    return limit < NO_LIMIT_BYTES ? limit : UINT64_MAX;
}

/* The group itself and all above it, up to the mount. Inside a container the upper part of the path
 * may not exist here; the container's own limit is then the mount's. Consumes `group`. */
static uint64_t limit_of_groups(const char *root, const struct layout *layout, char *group) {
    uint64_t limit = UINT64_MAX;
    for (char *end = group + strlen(group); end; end = strrchr(group, '/')) {
        *end = '\0';
        limit = mmi_min_u64(limit, limit_of_group(root, layout, group));
    }
    return limit;
}

static bool names_memory(char *controllers) {
    char *name;
    while ((name = strsep(&controllers, ","))) {
        if (strcmp(name, "memory") == 0) {
            return true;
        }
    }
    return false;
}

uint64_t mmi_memory_usable(const char *root) {
    char path[PATH_MAX], text[TEXT_BYTES];
    snprintf(path, sizeof(path), "%s/proc/meminfo", root);
    read_text(path, text);
    uint64_t kib = find_number(text, "MemAvailable");
    uint64_t usable = kib > UINT64_MAX / 1024 ? UINT64_MAX : kib * 1024;

    /* Lines of "number:controllers:group"; no controllers: version 2. */
    snprintf(path, sizeof(path), "%s/proc/self/cgroup", root);
    read_text(path, text);
    char *rest = text, *line;
    while ((line = strsep(&rest, "\n"))) {
        strsep(&line, ":");
        char *controllers = strsep(&line, ":");
        if (!line) {
            continue;
        }
        if (*controllers == '\0') {
            usable = mmi_min_u64(usable, limit_of_groups(root, &v2, line));
        } else if (names_memory(controllers)) {
            usable = mmi_min_u64(usable, limit_of_groups(root, &v1, line));
        }
    }
    return usable;
}

uint64_t mmi_default_budget(const char *root) {
    uint64_t usable = mmi_memory_usable(root);
    if (usable == UINT64_MAX) {
        return UNKNOWN_BUDGET_BYTES;
    }
    return mmi_max_u64(usable / 2, MMI_CHUNK_BYTES);
}

uint64_t mmi_host_default_budget(void) {
    return mmi_default_budget("");
}
