/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BASE_LOCK_H
#define MMI_BASE_LOCK_H

/* A mutex with a rank. A thread takes locks in rising rank only; debug builds abort on a violation
 * (mmi_lock_check is compiled in when NDEBUG is not defined), release builds check nothing.
 * The ranks are the lock order of the whole library, written once: */

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

enum mmi_rank {
    MMI_RANK_RESIDENCY = 20,    /* residency and catalog: everything about models and instances */
    MMI_RANK_PREPARE = 35,      /* catalog: the byte limit of preparations */
    MMI_RANK_OPS = 40,          /* work: operations and their completion queue */
    MMI_RANK_EXECUTOR = 50,     /* work: one executor's queue */
    MMI_RANK_TIMER_THREAD = 60, /* work: the timer thread's next time */
    MMI_RANK_ARTIFACT = 70,     /* artifact: the disk index and its budget */
    MMI_RANK_REGISTRY = 75,     /* plugin: the list of backends */
    MMI_RANK_DEVICE = 80,       /* device: one device's mapping state */
    MMI_RANK_POOL = 90,         /* pool: compute threads */
    MMI_RANK_EVENTS = 100,      /* observe: the event ring */
    MMI_RANK_LEAF = 110         /* backends and tests: no lock is taken inside */
};

struct mmi_lock {
    pthread_mutex_t mutex;
    int rank;
    uint64_t contended; /* times a thread had to wait; under the lock. Read by tests */
};

void mmi_lock_init(struct mmi_lock *lock, enum mmi_rank rank);
void mmi_lock_fini(struct mmi_lock *lock);
void mmi_lock(struct mmi_lock *lock);
void mmi_unlock(struct mmi_lock *lock);
/* Debug builds abort when the calling thread does not hold it / holds any lock. */
void mmi_assert_held(const struct mmi_lock *lock);
void mmi_assert_no_locks(void);

/* A condition variable that counts in CLOCK_MONOTONIC, or one of the threads in env->threads. */
struct mmi_env;
struct mmi_clock;
struct mmi_threads;
struct mmi_cond {
    pthread_cond_t real;
    const struct mmi_threads *threads; /* NULL = the system's */
};
/* 0 or an errno. env NULL: the system's threads. */
int mmi_cond_init(struct mmi_cond *cond, const struct mmi_env *env);
void mmi_cond_fini(struct mmi_cond *cond);
void mmi_cond_signal(struct mmi_cond *cond);
void mmi_cond_broadcast(struct mmi_cond *cond);
/* Wait until signalled or until the clock passes deadline_ns (0 = no deadline), with `lock`, the
 * only one held, let go meanwhile. May return early for no reason: the caller tests its condition
 * and the clock again. On a fake clock it looks again every millisecond of real time. */
void mmi_cond_wait(struct mmi_cond *cond, struct mmi_lock *lock, const struct mmi_clock *clock,
                   uint64_t deadline_ns);

#endif
