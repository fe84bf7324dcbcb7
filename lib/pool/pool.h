/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_POOL_POOL_H
#define MMI_POOL_POOL_H

/* parallel_for and the compute threads behind it.
 *
 * The caller works too; a body may call parallel_for again (it then runs on that thread alone).
 * Several callers at once share the threads: whoever finds none free runs alone. A waiting thread
 * spins some 20 us and then sleeps: it never burns a core that another needs. Threads start at the
 * first call that wants them, so a mesh that never computes has none; if the system refuses them,
 * callers run alone.
 *
 * Nobody waits for a thread to arrive. A thread takes part of the range and the right to run it
 * in one atomic step, so a caller whose threads do not get a CPU does all of it by itself, and
 * at the end it waits only for bodies that really run elsewhere. No lock is taken. */

#include <base/env.h>
#include <base/status.h>

struct mmi_pool;

#define MMI_POOL_MAX_THREADS 1024u

/* threads: most that one call uses, the caller included; 1 = never a thread of ours; more than the
 * maximum: MM_INVALID_ARGUMENT. host: the host's own parallel_for instead, copied; NULL = ours. */
mm_status mmi_pool_new(const struct mmi_env *env, uint32_t threads, const mm_parallel *host,
                       struct mmi_pool **pool, mm_error *err);
void mmi_pool_free(struct mmi_pool *pool); /* joins; no call is running; NULL is fine */
uint32_t mmi_pool_threads(const struct mmi_pool *pool);
/* body(ctx, i) once for every i < count; what the bodies did is visible at return. A body on
 * another thread counts as inside the same backend call as the caller. A range of one item is a
 * plain call: its body may use the pool. */
void mmi_pool_run(struct mmi_pool *pool, uint64_t count, void (*body)(void *ctx, uint64_t i),
                  void *ctx);

/* CPUs that this process may use (sched_getaffinity, and the cgroup's quota rounded up); >= 1. */
uint32_t mmi_cpus_allowed(void);
/* The quota alone, of this process's cgroup and all above it; 0 = none. root: "", or in tests a
 * folder that stands for "/". */
uint32_t mmi_cpu_quota(const char *root);

#endif
