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
#define LEAST_BUDGET_BYTES (UINT64_C(64) << 20)

/* Where each version of cgroups keeps its numbers. */
struct layout {
    const char *mount;
    const char *limits[2];
    const char *usage;
    const char *droppable; /* key in memory.stat */
};

static const struct layout v1 = {
    .mount = "/sys/fs/cgroup/memory",
    .limits = {"memory.limit_in_bytes"},
    .usage = "memory.usage_in_bytes",
    .droppable = "total_inactive_file",
};
/* Above memory.high the kernel throttles: treated as a limit like memory.max. */
static const struct layout v2 = {
    .mount = "/sys/fs/cgroup",
    .limits = {"memory.max", "memory.high"},
    .usage = "memory.current",
    .droppable = "inactive_file",
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

static void read_group_file(const char *root, const struct layout *layout, const char *group,
                            const char *file, char text[TEXT_BYTES]) {
    char path[PATH_MAX];
    int length = snprintf(path, sizeof(path), "%s%s%s/%s", root, layout->mount, group, file);
    text[0] = '\0';
    if (length > 0 && (size_t)length < sizeof(path)) {
        read_text(path, text);
    }
}

/* What one group leaves; UINT64_MAX when it has no limit. */
static uint64_t left_in_group(const char *root, const struct layout *layout, const char *group) {
    char text[TEXT_BYTES];
    uint64_t limit = UINT64_MAX;
    for (size_t i = 0; i < 2 && layout->limits[i]; i++) {
        read_group_file(root, layout, group, layout->limits[i], text);
        limit = mmi_min_u64(limit, parse_bytes(text));
    }
    if (limit == UINT64_MAX) {
        return UINT64_MAX;
    }
    read_group_file(root, layout, group, layout->usage, text);
    uint64_t usage = parse_bytes(text);
    read_group_file(root, layout, group, "memory.stat", text);
    uint64_t droppable = find_number(text, layout->droppable);
    if (droppable != UINT64_MAX) {
        usage = mmi_sub_floor(usage, droppable);
    }
    return mmi_sub_floor(limit, usage);
}

/* The group itself and all above it, up to the mount. Inside a container the upper part of the path
 * may not exist here; the container's own limit is then the mount's. Consumes `group`. */
static uint64_t left_in_groups(const char *root, const struct layout *layout, char *group) {
    uint64_t left = UINT64_MAX;
    for (char *end = group + strlen(group); end; end = strrchr(group, '/')) {
        *end = '\0';
        left = mmi_min_u64(left, left_in_group(root, layout, group));
    }
    return left;
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

uint64_t mmi_memory_available(const char *root) {
    char path[PATH_MAX], text[TEXT_BYTES];
    snprintf(path, sizeof(path), "%s/proc/meminfo", root);
    read_text(path, text);
    uint64_t kib = find_number(text, "MemAvailable");
    uint64_t available = kib > UINT64_MAX / 1024 ? 0 : kib * 1024;

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
            available = mmi_min_u64(available, left_in_groups(root, &v2, line));
        } else if (names_memory(controllers)) {
            available = mmi_min_u64(available, left_in_groups(root, &v1, line));
        }
    }
    return available;
}

uint64_t mmi_host_default_budget(void) {
    return mmi_max_u64(mmi_memory_available("") / 2, LEAST_BUDGET_BYTES);
}
