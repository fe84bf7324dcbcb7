/* SPDX-License-Identifier: Apache-2.0 */

/* How many CPUs: affinity, and the quotas of both versions of cgroups, in a folder that plays
 * "/". */

#include <pool/pool.h>
#include <support/world.h>

#include <ftw.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct tree {
    char root[64];
};

static void tree_init(struct tree *tree) {
    const char *folder = getenv("TMPDIR");
    snprintf(tree->root, sizeof(tree->root), "%.40s/mm-cpus-XXXXXX", folder ? folder : "/tmp");
    assert_non_null(mkdtemp(tree->root));
}

static int remove_entry(const char *path, const struct stat *info, int type, struct FTW *walk) {
    (void)info;
    (void)type;
    (void)walk;
    return remove(path);
}

static void tree_fini(struct tree *tree) {
    assert_int_equal(nftw(tree->root, remove_entry, 8, FTW_DEPTH | FTW_PHYS), 0);
}

/* Write root/path, making its folders. */
static void put(const struct tree *tree, const char *path, const char *text) {
    char full[512];
    snprintf(full, sizeof(full), "%s/%s", tree->root, path);
    for (char *slash = full + strlen(tree->root) + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = '\0';
        mkdir(full, 0700);
        *slash = '/';
    }
    FILE *file = fopen(full, "w");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

static void test_nothing_there(void **state) {
    (void)state;
    struct tree tree;
    tree_init(&tree);
    assert_int_equal(mmi_cpu_quota(tree.root), 0);
    put(&tree, "proc/self/cgroup", "not a line\n::\n:\n\n0\n");
    assert_int_equal(mmi_cpu_quota(tree.root), 0);
    tree_fini(&tree);
}

static void test_version_2(void **state) {
    (void)state;
    struct tree tree;
    tree_init(&tree);
    put(&tree, "proc/self/cgroup", "0::/a/b\n");
    assert_int_equal(mmi_cpu_quota(tree.root), 0);
    put(&tree, "sys/fs/cgroup/a/b/cpu.max", "max 100000\n");
    assert_int_equal(mmi_cpu_quota(tree.root), 0);
    put(&tree, "sys/fs/cgroup/a/b/cpu.max", "400000 100000\n");
    assert_int_equal(mmi_cpu_quota(tree.root), 4);
    put(&tree, "sys/fs/cgroup/a/cpu.max", "150000 100000\n"); /* the one above is stricter */
    assert_int_equal(mmi_cpu_quota(tree.root), 2);
    put(&tree, "sys/fs/cgroup/cpu.max", "1000 100000\n"); /* a container's own top */
    assert_int_equal(mmi_cpu_quota(tree.root), 1);
    put(&tree, "sys/fs/cgroup/cpu.max", "nonsense");
    assert_int_equal(mmi_cpu_quota(tree.root), 2);
    tree_fini(&tree);
}

static void test_version_1(void **state) {
    (void)state;
    struct tree tree;
    tree_init(&tree);
    put(&tree, "proc/self/cgroup", "9:cpuset:/x\n4:cpu,cpuacct:/docker/1\n1:name=systemd:/y\n");
    put(&tree, "sys/fs/cgroup/cpu/docker/1/cpu.cfs_quota_us", "-1\n");
    put(&tree, "sys/fs/cgroup/cpu/docker/1/cpu.cfs_period_us", "100000\n");
    assert_int_equal(mmi_cpu_quota(tree.root), 0);
    put(&tree, "sys/fs/cgroup/cpu/docker/1/cpu.cfs_quota_us", "250000\n");
    assert_int_equal(mmi_cpu_quota(tree.root), 3);
    put(&tree, "sys/fs/cgroup/cpu/cpu.cfs_quota_us", "200000\n");
    put(&tree, "sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
    assert_int_equal(mmi_cpu_quota(tree.root), 2);
    /* A controller whose name only begins alike has no say. */
    put(&tree, "proc/self/cgroup", "4:cpuacct,cpuset:/docker/1\n");
    assert_int_equal(mmi_cpu_quota(tree.root), 0);
    tree_fini(&tree);
}

static void test_absurd_quota(void **state) {
    (void)state;
    struct tree tree;
    tree_init(&tree);
    put(&tree, "proc/self/cgroup", "0::/\n");
    put(&tree, "sys/fs/cgroup/cpu.max", "9223372036854775807 1\n");
    assert_int_equal(mmi_cpu_quota(tree.root), UINT32_MAX);
    put(&tree, "sys/fs/cgroup/cpu.max", "1 0\n");
    assert_int_equal(mmi_cpu_quota(tree.root), 0);
    put(&tree, "sys/fs/cgroup/cpu.max", "0 100000\n");
    assert_int_equal(mmi_cpu_quota(tree.root), 0);
    /* A path longer than any buffer is not read, nor anything else overrun. */
    char line[8192];
    memset(line, 'x', sizeof(line));
    memcpy(line, "0::/", 4);
    line[sizeof(line) - 1] = '\0';
    put(&tree, "proc/self/cgroup", line);
    assert_int_equal(mmi_cpu_quota(tree.root), 0);
    tree_fini(&tree);
}

static void test_affinity(void **state) {
    (void)state;
    cpu_set_t before, one;
    assert_int_equal(sched_getaffinity(0, sizeof(before), &before), 0);
    uint32_t all = mmi_cpus_allowed();
    assert_in_range(all, 1, CPU_COUNT(&before));
    unsigned first = 0;
    while (!CPU_ISSET(first, &before)) {
        first++;
    }
    CPU_ZERO(&one);
    CPU_SET(first, &one);
    assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
    assert_int_equal(mmi_cpus_allowed(), 1);
    assert_int_equal(sched_setaffinity(0, sizeof(before), &before), 0);
    assert_int_equal(mmi_cpus_allowed(), all);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_there), cmocka_unit_test(test_version_2),
        cmocka_unit_test(test_version_1),     cmocka_unit_test(test_absurd_quota),
        cmocka_unit_test(test_affinity),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
