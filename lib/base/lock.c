/* SPDX-License-Identifier: Apache-2.0 */
#include <base/clock.h>
#include <base/lock.h>

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
}

void mmi_unlock(struct mmi_lock *lock) {
    note_giving(lock);
    pthread_mutex_unlock(&lock->mutex);
}

void mmi_lock_wait(struct mmi_lock *lock, pthread_cond_t *cond, const struct mmi_clock *clock,
                   uint64_t deadline_ns) {
    note_waiting(lock);
    mmi_cond_wait(clock, cond, &lock->mutex, deadline_ns);
}
