/* SPDX-License-Identifier: Apache-2.0 */
#include <base/env.h>
#include <base/lock.h>
#include <base/thread.h>

#include <time.h>

#define LOOK_AGAIN_NS UINT64_C(1000000) /* on a fake clock */

#ifndef NDEBUG

#include <stdio.h>
#include <stdlib.h>

/* The locks that this thread holds, in the order taken. Ranks rise, so there are never more than
 * there are ranks. */
static _Thread_local struct {
    const struct mmi_lock *locks[16];
    size_t count;
} held __attribute__((tls_model("initial-exec")));

static void mmi_lock_check(bool ok, const struct mmi_lock *lock, const char *broken) {
    if (!ok) {
        fprintf(stderr, "lock of rank %d: %s (innermost held: %d)\n", lock ? lock->rank : 0, broken,
                held.count > 0 ? held.locks[held.count - 1]->rank : 0);
        abort();
    }
}

static void note_taking(const struct mmi_lock *lock) {
    mmi_lock_check(held.count == 0 || held.locks[held.count - 1]->rank < lock->rank, lock,
                   "taken out of order");
    held.locks[held.count++] = lock;
}

/* Its index among the held locks; held.count when it is not held. */
static size_t place_of(const struct mmi_lock *lock) {
    size_t place = 0;
    while (place < held.count && held.locks[place] != lock) {
        place++;
    }
    return place;
}

static void note_giving(const struct mmi_lock *lock) {
    size_t place = place_of(lock);
    mmi_lock_check(place < held.count, lock, "released but not held");
    held.count--;
    for (; place < held.count; place++) {
        held.locks[place] = held.locks[place + 1];
    }
}

void mmi_assert_held(const struct mmi_lock *lock) {
    mmi_lock_check(place_of(lock) < held.count, lock, "not held");
}

void mmi_assert_no_locks(void) {
    mmi_lock_check(held.count == 0, NULL, "a lock is held where none may be");
}

static void note_waiting(const struct mmi_lock *lock) {
    mmi_assert_held(lock);
    mmi_lock_check(held.count == 1, lock, "waits while another lock is held");
}

#else

static void note_taking(const struct mmi_lock *lock) {
    (void)lock;
}

static void note_giving(const struct mmi_lock *lock) {
    (void)lock;
}

static void note_waiting(const struct mmi_lock *lock) {
    (void)lock;
}

void mmi_assert_held(const struct mmi_lock *lock) {
    (void)lock;
}

void mmi_assert_no_locks(void) {
}

#endif

void mmi_lock_init(struct mmi_lock *lock, enum mmi_rank rank) {
    *lock = (struct mmi_lock){.rank = (int)rank};
    pthread_mutex_init(&lock->mutex, NULL); /* cannot fail with default attributes */
}

void mmi_lock_fini(struct mmi_lock *lock) {
    pthread_mutex_destroy(&lock->mutex);
}

void mmi_lock(struct mmi_lock *lock) {
    note_taking(lock);
    if (pthread_mutex_trylock(&lock->mutex) != 0) {
        pthread_mutex_lock(&lock->mutex);
        lock->contended++;
    }
    mmi_tls()->locks++;
    mmi_tls()->locks_taken++;
}

static void let_go(struct mmi_lock *lock) {
    note_giving(lock);
    mmi_tls()->locks--;
    pthread_mutex_unlock(&lock->mutex);
}

void mmi_unlock(struct mmi_lock *lock) {
    let_go(lock);
    const struct mmi_tls *tls = mmi_tls();
    if (__builtin_expect(tls->threads != NULL, 0) && tls->locks == 0) {
        tls->threads->pause(tls->threads->user);
    }
}

/* ---- Conditions ------------------------------------------------------------------------------ */

int mmi_cond_init(struct mmi_cond *cond, const struct mmi_env *env) {
    cond->threads = env ? env->threads : NULL;
    pthread_condattr_t attr;
    int errnum = pthread_condattr_init(&attr);
    if (errnum) {
        return errnum;
    }
    errnum = pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    if (!errnum) {
        errnum = pthread_cond_init(&cond->real, &attr);
    }
    pthread_condattr_destroy(&attr);
    return errnum;
}

void mmi_cond_fini(struct mmi_cond *cond) {
    pthread_cond_destroy(&cond->real);
}

void mmi_cond_signal(struct mmi_cond *cond) {
    if (cond->threads) {
        cond->threads->wake(cond->threads->user, cond, false);
    } else {
        pthread_cond_signal(&cond->real);
    }
}

void mmi_cond_broadcast(struct mmi_cond *cond) {
    if (cond->threads) {
        cond->threads->wake(cond->threads->user, cond, true);
    } else {
        pthread_cond_broadcast(&cond->real);
    }
}

static void wait_for_real(struct mmi_cond *cond, struct mmi_lock *lock,
                          const struct mmi_clock *clock, uint64_t deadline_ns) {
    if (deadline_ns == 0) {
        pthread_cond_wait(&cond->real, &lock->mutex);
        return;
    }
    uint64_t until_ns = deadline_ns;
    if (clock->fake_now) {
        struct mmi_clock real;
        mmi_clock_init(&real, NULL, NULL);
        until_ns = mmi_now(&real) + LOOK_AGAIN_NS;
    }
    struct timespec until = {.tv_sec = (time_t)(until_ns / UINT64_C(1000000000)),
                             .tv_nsec = (long)(until_ns % UINT64_C(1000000000))};
    pthread_cond_timedwait(&cond->real, &lock->mutex, &until);
}

void mmi_cond_wait(struct mmi_cond *cond, struct mmi_lock *lock, const struct mmi_clock *clock,
                   uint64_t deadline_ns) {
    note_waiting(lock);
    if (!cond->threads) {
        wait_for_real(cond, lock, clock, deadline_ns);
        return;
    }
    /* Nobody else runs between these two, so no signal is lost. */
    let_go(lock);
    cond->threads->wait(cond->threads->user, cond, deadline_ns);
    mmi_lock(lock);
}
