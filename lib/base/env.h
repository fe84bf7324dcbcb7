/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BASE_ENV_H
#define MMI_BASE_ENV_H

/* The environment of one mesh, handed down to every module: nothing below reads a global. */

#include <base/alloc.h>
#include <base/clock.h>
#include <base/log.h>

struct mmi_env {
    mm_allocator alloc;
    mm_log log;
    struct mmi_clock clock;
    /* Threads of ours. */
    char thread_prefix[8]; /* "mm" */
    const int *cpus;       /* affinity; NULL = inherit */
    size_t cpu_count;
    const struct mmi_threads *threads; /* in place of the system's; NULL = those (base/thread.h) */
    /* Tests: may refuse the n-th thread, read, mapping ... 0 = go on, else the errno to fail with.
     * `what` is "thread", "open", "read", "write", "map", "sync", "rename", "device". NULL =
     * never. */
    int (*fault)(void *user, const char *what);
    void *fault_user;
};

static inline int mmi_fault(const struct mmi_env *env, const char *what) {
    return env->fault ? env->fault(env->fault_user, what) : 0;
}

#endif
