/* SPDX-License-Identifier: Apache-2.0 */
/* What the kernel's files say about free memory, on small trees of sample files. */

#include <device/device.h>
#include <device/memory_info.h>
#include <support/world.h>

#include <ftw.h>
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

static void test_mem_available(void **state) {
    const struct tree *tree = *state;
    put(tree, "/proc/meminfo", MEMINFO_8_GIB);
    assert_int_equal(mmi_memory_available(tree->root), 8192 * MIB);
}

static void test_nothing_there(void **state) {
    const struct tree *tree = *state;
    assert_int_equal(mmi_memory_available(tree->root), 0);
}

static void test_old_kernel_without_the_line(void **state) {
    const struct tree *tree = *state;
    put(tree, "/proc/meminfo",
        "MemTotal: 16000000 kB\nNotMemAvailable: 5 kB\nMemAvailableX: 5 kB\n");
    assert_int_equal(mmi_memory_available(tree->root), 0);
}

static void test_real_system(void **state) {
    (void)state;
    assert_true(mmi_memory_available("") > 0);
    assert_true(mmi_host_default_budget() >= 64 * MIB);
    assert_true(mmi_host_default_budget() < UINT64_MAX / 2);
}

/* ---- Version 2 ------------------------------------------------------------------------------- */

static void test_v2_limit_less_usage(void **state) {
    const struct tree *tree = *state;
    put(tree, "/proc/meminfo", MEMINFO_8_GIB);
    put(tree, "/proc/self/cgroup", "0::/app.slice\n");
    put(tree, "/sys/fs/cgroup/app.slice/memory.max", "1073741824\n");
    put(tree, "/sys/fs/cgroup/app.slice/memory.current", "268435456\n");
    assert_int_equal(mmi_memory_available(tree->root), 768 * MIB);
    /* Pages that the kernel would drop are not missing. */
    put(tree, "/sys/fs/cgroup/app.slice/memory.stat",
        "anon 201326592\ninactive_anon 5\ninactive_file 67108864\nactive_file 0\n");
    assert_int_equal(mmi_memory_available(tree->root), 832 * MIB);
}

static void test_v2_max_is_no_limit(void **state) {
    const struct tree *tree = *state;
    put(tree, "/proc/meminfo", MEMINFO_8_GIB);
    put(tree, "/proc/self/cgroup", "0::/app.slice\n");
    put(tree, "/sys/fs/cgroup/app.slice/memory.max", "max\n");
    put(tree, "/sys/fs/cgroup/app.slice/memory.high", "max\n");
    put(tree, "/sys/fs/cgroup/app.slice/memory.current", "268435456\n");
    assert_int_equal(mmi_memory_available(tree->root), 8192 * MIB);
    put(tree, "/sys/fs/cgroup/app.slice/memory.high", "536870912\n");
    assert_int_equal(mmi_memory_available(tree->root), 256 * MIB);
}

/* The tightest of the group and all above it. */
static void test_v2_nested(void **state) {
    const struct tree *tree = *state;
    put(tree, "/proc/meminfo", MEMINFO_8_GIB);
    put(tree, "/proc/self/cgroup", "0::/a/b/c\n");
    put(tree, "/sys/fs/cgroup/a/b/c/memory.max", "max\n");
    put(tree, "/sys/fs/cgroup/a/b/memory.max", "2147483648\n");
    put(tree, "/sys/fs/cgroup/a/b/memory.current", "0\n");
    put(tree, "/sys/fs/cgroup/a/memory.max", "4294967296\n");
    put(tree, "/sys/fs/cgroup/a/memory.current", "3221225472\n");
    assert_int_equal(mmi_memory_available(tree->root), 1024 * MIB);
    put(tree, "/sys/fs/cgroup/a/memory.current", "0\n");
    assert_int_equal(mmi_memory_available(tree->root), 2048 * MIB);
}

/* In a container with a name space of its own the group is "/", its limit at the mount. */
static void test_v2_container(void **state) {
    const struct tree *tree = *state;
    put(tree, "/proc/meminfo", MEMINFO_8_GIB);
    put(tree, "/proc/self/cgroup", "0::/\n");
    put(tree, "/sys/fs/cgroup/memory.max", "1073741824\n");
    put(tree, "/sys/fs/cgroup/memory.current", "1073741824\n");
    assert_int_equal(mmi_memory_available(tree->root), 0);
    put(tree, "/sys/fs/cgroup/memory.current", "2073741824\n");
    assert_int_equal(mmi_memory_available(tree->root), 0);
}

/* ---- Version 1 ------------------------------------------------------------------------------- */

static void test_v1(void **state) {
    const struct tree *tree = *state;
    put(tree, "/proc/meminfo", MEMINFO_8_GIB);
    put(tree, "/proc/self/cgroup", "9:name=systemd:/\n4:cpu,memory:/box\n2:cpuset:/other\n0::/\n");
    put(tree, "/sys/fs/cgroup/memory/box/memory.limit_in_bytes", "9223372036854771712\n");
    put(tree, "/sys/fs/cgroup/memory/box/memory.usage_in_bytes", "268435456\n");
    assert_int_equal(mmi_memory_available(tree->root), 8192 * MIB);
    put(tree, "/sys/fs/cgroup/memory/box/memory.limit_in_bytes", "536870912\n");
    assert_int_equal(mmi_memory_available(tree->root), 256 * MIB);
    put(tree, "/sys/fs/cgroup/memory/box/memory.stat",
        "inactive_file 1\ntotal_inactive_file 134217728\n");
    assert_int_equal(mmi_memory_available(tree->root), 384 * MIB);
}

/* The path is the host's, the mount the container's: what exists is the mount itself. */
static void test_v1_container(void **state) {
    const struct tree *tree = *state;
    put(tree, "/proc/meminfo", MEMINFO_8_GIB);
    put(tree, "/proc/self/cgroup", "4:memory:/docker/0123456789abcdef\n");
    put(tree, "/sys/fs/cgroup/memory/memory.limit_in_bytes", "536870912\n");
    put(tree, "/sys/fs/cgroup/memory/memory.usage_in_bytes", "0\n");
    assert_int_equal(mmi_memory_available(tree->root), 512 * MIB);
}

static void test_damaged_lines(void **state) {
    const struct tree *tree = *state;
    put(tree, "/proc/meminfo", "MemAvailable: 8388608");
    put(tree, "/proc/self/cgroup", "\n:\n::\n4\n4:memory\n:memory:\n0::/../other\nx:y:z");
    assert_int_equal(mmi_memory_available(tree->root), 8192 * MIB);
}

#define IN_TREE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        IN_TREE(test_mem_available),
        IN_TREE(test_nothing_there),
        IN_TREE(test_old_kernel_without_the_line),
        cmocka_unit_test(test_real_system),
        IN_TREE(test_v2_limit_less_usage),
        IN_TREE(test_v2_max_is_no_limit),
        IN_TREE(test_v2_nested),
        IN_TREE(test_v2_container),
        IN_TREE(test_v1),
        IN_TREE(test_v1_container),
        IN_TREE(test_damaged_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
