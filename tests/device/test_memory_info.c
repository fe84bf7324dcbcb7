/* SPDX-License-Identifier: Apache-2.0 */
/* What the kernel's files say about free memory, on small trees of sample files. */

#include <device/device.h>
#include <device/memory_info.h>
#include <support/world.h>

#include <ftw.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define MIB (UINT64_C(1) << 20)
#define MEMINFO_8_GIB                                                                              \
    "MemTotal:       16000000 kB\nMemFree:         1000000 kB\nMemAvailable:    8388608 kB\n"

struct tree {
    char root[32];
};

static void tree_init(struct tree *tree) {
    strcpy(tree->root, "/tmp/memory-info-XXXXXX");
    assert_non_null(mkdtemp(tree->root));
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw) {
    (void)st, (void)kind, (void)ftw;
    return remove(path);
}

static void tree_fini(struct tree *tree) {
    assert_int_equal(nftw(tree->root, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
}

static void put(const struct tree *tree, const char *name, const char *text) {
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s%s", tree->root, name);
    for (char *slash = path + strlen(tree->root); (slash = strchr(slash + 1, '/'));) {
        *slash = '\0';
        mkdir(path, 0700);
        *slash = '/';
    }
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fputs(text, file) < 0, 0);
    assert_int_equal(fclose(file), 0);
}

static int setup(void **state) {
    static struct tree tree;
    tree_init(&tree);
    *state = &tree;
    return 0;
}

static int teardown(void **state) {
    tree_fini(*state);
    return 0;
}

/* ---- Without groups -------------------------------------------------------------------------- */

static void put_available(const struct tree *tree, uint64_t bytes) {
    char text[128];
    snprintf(text, sizeof(text), "MemTotal: 1 kB\nMemFree: 2 kB\nMemAvailable: %" PRIu64 " kB\n",
             bytes / 1024);
    put(tree, "/proc/meminfo", text);
}

static void put_limit(const struct tree *tree, const char *name, uint64_t bytes) {
    char text[32];
    snprintf(text, sizeof(text), "%" PRIu64 "\n", bytes);
    put(tree, name, text);
}

static void test_mem_available(void **state) {
    const struct tree *tree = *state;
    put(tree, "/proc/meminfo", MEMINFO_8_GIB);
    assert_int_equal(mmi_memory_usable(tree->root), 8192 * MIB);
    assert_int_equal(mmi_default_budget(tree->root), 4096 * MIB);
}

static void test_nothing_there(void **state) {
    const struct tree *tree = *state;
    assert_int_equal(mmi_memory_usable(tree->root), UINT64_MAX);
    assert_int_equal(mmi_default_budget(tree->root), 64 * MIB);
}

static void test_old_kernel_without_the_line(void **state) {
    const struct tree *tree = *state;
    put(tree, "/proc/meminfo",
        "MemTotal: 16000000 kB\nNotMemAvailable: 5 kB\nMemAvailableX: 5 kB\n");
    assert_int_equal(mmi_memory_usable(tree->root), UINT64_MAX);
}

static void test_real_system(void **state) {
    (void)state;
    assert_true(mmi_memory_usable("") > 0);
    assert_true(mmi_host_default_budget() >= 2 * MIB);
    assert_true(mmi_host_default_budget() < UINT64_MAX / 2);
}

/* ---- Half, whatever is smaller --------------------------------------------------------------- */

/* A container that has a limit, on a machine that has more; and the other way round. */
static void check_half(const struct tree *tree, const char *limit_file) {
    for (uint64_t bytes = 32 * MIB; bytes <= 512 * 1024 * MIB; bytes *= 2) {
        put_available(tree, 1024 * 1024 * MIB);
        put_limit(tree, limit_file, bytes);
        assert_int_equal(mmi_default_budget(tree->root), bytes / 2);
        put_limit(tree, limit_file, bytes + bytes / 2);
        assert_int_equal(mmi_default_budget(tree->root), (bytes + bytes / 2) / 2);
        put_available(tree, bytes);
        assert_int_equal(mmi_default_budget(tree->root), bytes / 2);
        put(tree, "/proc/meminfo", "unreadable");
        assert_int_equal(mmi_default_budget(tree->root), (bytes + bytes / 2) / 2);
    }
}

static void test_half_v1(void **state) {
    const struct tree *tree = *state;
    put(tree, "/proc/self/cgroup", "4:memory:/box\n");
    check_half(tree, "/sys/fs/cgroup/memory/box/memory.limit_in_bytes");
}

static void test_half_v2(void **state) {
    const struct tree *tree = *state;
    put(tree, "/proc/self/cgroup", "0::/\n");
    check_half(tree, "/sys/fs/cgroup/memory.max");
}

/* Too small for a device: what the smallest has. */
static void test_tiny(void **state) {
    const struct tree *tree = *state;
    put(tree, "/proc/self/cgroup", "0::/\n");
    put_available(tree, 8192 * MIB);
    put(tree, "/sys/fs/cgroup/memory.max", "4194304\n");
    assert_int_equal(mmi_default_budget(tree->root), 2 * MIB);
    put(tree, "/sys/fs/cgroup/memory.max", "4194303\n");
    assert_int_equal(mmi_default_budget(tree->root), 2 * MIB);
    put(tree, "/sys/fs/cgroup/memory.max", "0\n");
    assert_int_equal(mmi_default_budget(tree->root), 2 * MIB);
    put(tree, "/sys/fs/cgroup/memory.max", "max\n");
    put_available(tree, 0);
    assert_int_equal(mmi_default_budget(tree->root), 2 * MIB);
}

/* What the group has used already does not move the half of its limit. */
static void test_usage_does_not_count(void **state) {
    const struct tree *tree = *state;
    put(tree, "/proc/meminfo", MEMINFO_8_GIB);
    put(tree, "/proc/self/cgroup", "0::/\n");
    put_limit(tree, "/sys/fs/cgroup/memory.max", 48 * MIB);
    put_limit(tree, "/sys/fs/cgroup/memory.current", 47 * MIB);
    assert_int_equal(mmi_default_budget(tree->root), 24 * MIB);
}

/* ---- Version 2 ------------------------------------------------------------------------------- */

static void test_v2_max_is_no_limit(void **state) {
    const struct tree *tree = *state;
    put(tree, "/proc/meminfo", MEMINFO_8_GIB);
    put(tree, "/proc/self/cgroup", "0::/app.slice\n");
    put(tree, "/sys/fs/cgroup/app.slice/memory.max", "max\n");
    put(tree, "/sys/fs/cgroup/app.slice/memory.high", "max\n");
    assert_int_equal(mmi_memory_usable(tree->root), 8192 * MIB);
    put(tree, "/sys/fs/cgroup/app.slice/memory.high", "536870912\n");
    assert_int_equal(mmi_memory_usable(tree->root), 512 * MIB);
    put(tree, "/sys/fs/cgroup/app.slice/memory.max", "268435456\n");
    assert_int_equal(mmi_memory_usable(tree->root), 256 * MIB);
}

/* The smallest of the group and all above it. */
static void test_v2_nested(void **state) {
    const struct tree *tree = *state;
    put(tree, "/proc/meminfo", MEMINFO_8_GIB);
    put(tree, "/proc/self/cgroup", "0::/a/b/c\n");
    put(tree, "/sys/fs/cgroup/a/b/c/memory.max", "max\n");
    put(tree, "/sys/fs/cgroup/a/b/memory.max", "2147483648\n");
    put(tree, "/sys/fs/cgroup/a/memory.max", "4294967296\n");
    assert_int_equal(mmi_memory_usable(tree->root), 2048 * MIB);
    put(tree, "/sys/fs/cgroup/a/memory.max", "1073741824\n");
    assert_int_equal(mmi_memory_usable(tree->root), 1024 * MIB);
    put(tree, "/sys/fs/cgroup/a/b/c/memory.max", "50331648\n");
    assert_int_equal(mmi_memory_usable(tree->root), 48 * MIB);
    put(tree, "/sys/fs/cgroup/memory.max", "33554432\n");
    assert_int_equal(mmi_memory_usable(tree->root), 32 * MIB);
}

/* In a container with a name space of its own the group is "/", its limit at the mount. */
static void test_v2_container(void **state) {
    const struct tree *tree = *state;
    put(tree, "/proc/meminfo", MEMINFO_8_GIB);
    put(tree, "/proc/self/cgroup", "0::/\n");
    put(tree, "/sys/fs/cgroup/memory.max", "1073741824\n");
    assert_int_equal(mmi_memory_usable(tree->root), 1024 * MIB);
}

/* ---- Version 1 ------------------------------------------------------------------------------- */

static void test_v1(void **state) {
    const struct tree *tree = *state;
    put(tree, "/proc/meminfo", MEMINFO_8_GIB);
    put(tree, "/proc/self/cgroup", "9:name=systemd:/\n4:cpu,memory:/box\n2:cpuset:/other\n0::/\n");
    put(tree, "/sys/fs/cgroup/memory/box/memory.limit_in_bytes", "9223372036854771712\n");
    assert_int_equal(mmi_memory_usable(tree->root), 8192 * MIB);
    put(tree, "/sys/fs/cgroup/memory/box/memory.limit_in_bytes", "536870912\n");
    assert_int_equal(mmi_memory_usable(tree->root), 512 * MIB);
}

/* The huge number that stands for no limit is none, even where nothing else is known. */
static void test_v1_huge_is_no_limit(void **state) {
    const struct tree *tree = *state;
    static const char *const huge[] = {"9223372036854771712\n", "9223372036854710272\n",
                                       "18446744073709551615\n", "99999999999999999999\n", "-1\n"};
    put(tree, "/proc/self/cgroup", "4:memory:/box\n");
    for (size_t i = 0; i < sizeof(huge) / sizeof(huge[0]); i++) {
        put(tree, "/sys/fs/cgroup/memory/box/memory.limit_in_bytes", huge[i]);
        assert_int_equal(mmi_memory_usable(tree->root), UINT64_MAX);
        assert_int_equal(mmi_default_budget(tree->root), 64 * MIB);
    }
}

static void test_v1_nested(void **state) {
    const struct tree *tree = *state;
    put(tree, "/proc/meminfo", MEMINFO_8_GIB);
    put(tree, "/proc/self/cgroup", "4:memory:/a/b\n");
    put(tree, "/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
    put(tree, "/sys/fs/cgroup/memory/a/memory.limit_in_bytes", "50331648\n");
    put(tree, "/sys/fs/cgroup/memory/a/b/memory.limit_in_bytes", "1073741824\n");
    assert_int_equal(mmi_default_budget(tree->root), 24 * MIB);
}

/* The path is the host's, the mount the container's: what exists is the mount itself. */
static void test_v1_container(void **state) {
    const struct tree *tree = *state;
    put(tree, "/proc/meminfo", MEMINFO_8_GIB);
    put(tree, "/proc/self/cgroup", "4:memory:/docker/0123456789abcdef\n");
    put(tree, "/sys/fs/cgroup/memory/memory.limit_in_bytes", "536870912\n");
    assert_int_equal(mmi_memory_usable(tree->root), 512 * MIB);
}

/* ---- Both, and neither ----------------------------------------------------------------------- */

static void test_hybrid(void **state) {
    const struct tree *tree = *state;
    put(tree, "/proc/meminfo", MEMINFO_8_GIB);
    put(tree, "/proc/self/cgroup", "4:memory:/box\n1:name=systemd:/box\n0::/box\n");
    put(tree, "/sys/fs/cgroup/unified/box/cgroup.procs", "");
    put(tree, "/sys/fs/cgroup/memory/box/memory.limit_in_bytes", "50331648\n");
    assert_int_equal(mmi_default_budget(tree->root), 24 * MIB);
    /* Version 2 has the memory. */
    put(tree, "/proc/self/cgroup", "4:cpu:/box\n1:name=systemd:/box\n0::/box\n");
    assert_int_equal(mmi_default_budget(tree->root), 4096 * MIB);
    put(tree, "/sys/fs/cgroup/unified/box/memory.max", "67108864\n");
    assert_int_equal(mmi_default_budget(tree->root), 32 * MIB);
}

/* A folder where a file is expected cannot be read, whoever asks. */
static void test_unreadable(void **state) {
    const struct tree *tree = *state;
    put(tree, "/proc/self/cgroup", "0::/a/b\n");
    put(tree, "/proc/meminfo/folder", "");
    put(tree, "/sys/fs/cgroup/a/b/memory.max/folder", "");
    assert_int_equal(mmi_default_budget(tree->root), 64 * MIB);
    put(tree, "/sys/fs/cgroup/a/memory.max", "50331648\n");
    assert_int_equal(mmi_default_budget(tree->root), 24 * MIB);
}

static void test_damaged_lines(void **state) {
    const struct tree *tree = *state;
    put(tree, "/proc/meminfo", "MemAvailable: 8388608");
    put(tree, "/proc/self/cgroup", "\n:\n::\n4\n4:memory\n:memory:\n0::/../other\nx:y:z");
    assert_int_equal(mmi_memory_usable(tree->root), 8192 * MIB);
}

#define IN_TREE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        IN_TREE(test_mem_available),
        IN_TREE(test_nothing_there),
        IN_TREE(test_old_kernel_without_the_line),
        cmocka_unit_test(test_real_system),
        IN_TREE(test_half_v1),
        IN_TREE(test_half_v2),
        IN_TREE(test_tiny),
        IN_TREE(test_usage_does_not_count),
        IN_TREE(test_v2_max_is_no_limit),
        IN_TREE(test_v2_nested),
        IN_TREE(test_v2_container),
        IN_TREE(test_v1),
        IN_TREE(test_v1_huge_is_no_limit),
        IN_TREE(test_v1_nested),
        IN_TREE(test_v1_container),
        IN_TREE(test_hybrid),
        IN_TREE(test_unreadable),
        IN_TREE(test_damaged_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
