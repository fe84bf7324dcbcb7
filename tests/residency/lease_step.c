/* SPDX-License-Identifier: Apache-2.0 */
/* The code of the lease under a step scheduler. Every seq_cst operation of lease.h and lease.c and
 * every lock is a step; threads are contexts that run one at a time; all schedules of at most two
 * preemptions (or argv[1]) are run. Built with the code as it is, and again with each mutation of
 * lease_mutate.py: those must be found out. */

#include <support/world.h>

#include <base/lock.h>
#include <base/thread.h>

#include <stdatomic.h>
#include <stdlib.h>
#include <ucontext.h>

#ifndef LEASE_MUTATION
#define LEASE_MUTATION NULL
#endif

/* ---- The code, with a step before each seq_cst operation ------------------------------------ */

static void step_point(void);
static void step_assert_held(const struct mmi_lock *lock);

static uint64_t step_load(const _Atomic uint64_t *object, memory_order order) {
    if (order == memory_order_seq_cst) {
        step_point();
    }
    return atomic_load_explicit(object, order);
}
static void step_store(_Atomic uint64_t *object, uint64_t value, memory_order order) {
    if (order == memory_order_seq_cst) {
        step_point();
    }
    atomic_store_explicit(object, value, order);
}
static uint64_t step_fetch_add(_Atomic uint64_t *object, uint64_t value, memory_order order) {
    step_point();
    return atomic_fetch_add_explicit(object, value, order);
}
static uint64_t step_fetch_sub(_Atomic uint64_t *object, uint64_t value, memory_order order) {
    step_point();
    return atomic_fetch_sub_explicit(object, value, order);
}

#undef atomic_load_explicit
#undef atomic_store_explicit
#undef atomic_fetch_add_explicit
#undef atomic_fetch_sub_explicit
#define atomic_load_explicit step_load
#define atomic_store_explicit step_store
#define atomic_fetch_add_explicit step_fetch_add
#define atomic_fetch_sub_explicit step_fetch_sub
#define mmi_assert_held step_assert_held

#include <residency/lease.c>

/* ---- Threads -------------------------------------------------------------------------------- */

#define MAX_THREADS 4
#define MAX_STEPS 256
#define STACK_BYTES (64 * 1024)

#if defined(__SANITIZE_THREAD__)
/* It wants to be told of each context and to get a new one for each run, which takes its time; and
 * there is but one thread to look at. */
#include <sanitizer/tsan_interface.h>
#define MAX_SCENES 1
#else
#define MAX_SCENES (sizeof(scenes) / sizeof(scenes[0]))
#endif

struct thread {
    ucontext_t context;
    void *tsan;
    void (*run)(unsigned self);
    bool (*may_go)(void); /* what it waits for; NULL = nothing */
    bool done;
};

/* One decision of the schedule, and how many ways it might have gone. */
struct decision {
    uint8_t chosen, options;
};

static struct thread threads[MAX_THREADS], outside;
static char stacks[MAX_THREADS][STACK_BYTES];
static unsigned thread_count;
static struct thread *running; /* NULL = the test itself: no steps */
static struct decision decisions[MAX_STEPS];
static unsigned decision_count, replayed, preemptions, max_preemptions = 2;
static uint8_t order[MAX_STEPS]; /* for show */
static unsigned order_count;

static void switch_to(struct thread *to) {
    struct thread *from = running ? running : &outside;
    running = to == &outside ? NULL : to;
    if (to == from) {
        return;
    }
#if defined(__SANITIZE_THREAD__)
    __tsan_switch_to_fiber(to->tsan, 0);
#endif
    swapcontext(&from->context, &to->context);
}

static unsigned decide(unsigned options) {
    if (options == 1) {
        return 0;
    }
    if (replayed == decision_count) {
        assert_true(decision_count < MAX_STEPS);
        decisions[decision_count++] = (struct decision){0, (uint8_t)options};
    }
    return decisions[replayed++].chosen;
}

/* Who runs next: the one that runs, if it can, or another; that counts as a preemption. */
static void schedule(void) {
    struct thread *able[MAX_THREADS];
    unsigned count = 0;
    bool goes_on = running && !running->done && (!running->may_go || running->may_go());
    if (goes_on) {
        able[count++] = running;
    }
    for (unsigned i = 0; i < thread_count && (!goes_on || preemptions < max_preemptions); i++) {
        struct thread *t = &threads[i];
        if (t != running && !t->done && (!t->may_go || t->may_go())) {
            able[count++] = t;
        }
    }
    if (count == 0) {
        switch_to(&outside);
        return;
    }
    unsigned chosen = decide(count);
    preemptions += goes_on && chosen > 0;
    if (order_count < MAX_STEPS) {
        order[order_count++] = (uint8_t)(able[chosen] - threads);
    }
    switch_to(able[chosen]);
}

static void step_point(void) {
    if (running) {
        schedule();
    }
}

static void wait_until(bool (*may_go)(void)) {
    running->may_go = may_go;
    schedule();
    running->may_go = NULL;
}

static void thread_main(int self) {
    threads[self].run((unsigned)self);
    threads[self].done = true;
    schedule();
}

/* ---- The scene: one slot, two models after one another -------------------------------------- */

enum model { NO_MODEL, FIRST, SECOND };

static struct mmi_lock *lock_owner; /* not NULL = the lock is held */
static struct mmi_lock residency_lock;
static struct mmi_slots slots;
static struct mmi_slot *slot;
static uint64_t words[3];  /* by enum model */
static enum model bytes;   /* whose bytes are there */
static unsigned valid;     /* leases held */
static const char *broken; /* the first thing that was found wrong */
static int models[3];      /* owners, by enum model */

static void must(bool holds, const char *what) {
    if (!holds && !broken) {
        broken = what;
    }
}

static bool lock_is_free(void) {
    return lock_owner == NULL;
}
static void lock(void) {
    wait_until(lock_is_free);
    lock_owner = &residency_lock;
}
static void unlock(void) {
    lock_owner = NULL;
}
static void step_assert_held(const struct mmi_lock *held) {
    must(!running || held == lock_owner, "a locked call without the lock");
}

static bool wanting; /* somebody waits for no lease, or for another state */

static void settle(void) {
    lock();
    if (mmi_slot_settle(slot) == MMI_SETTLED_IDLE) {
        wanting = false;
    }
    unlock();
}

static void use(enum model model, unsigned shard) {
    struct mmi_lease lease;
    enum mmi_acquired acquired = mmi_lease_acquire(slot, words[model], shard, &lease);
    if (acquired == MMI_LEASED) {
        valid++;
        must(bytes == model && slot->owner == &models[model], "a lease on a stranger");
        step_point();
        must(bytes == model && slot->owner == &models[model], "the bytes left under a lease");
        valid--;
        if (mmi_lease_release(&lease, 7)) {
            settle();
        }
    } else if (acquired == MMI_REFUSED_AND_SETTLE) {
        settle();
    }
}

static void reader(unsigned self) {
    use(FIRST, self & 1);
}
/* On two shards, the second time with the newest word that it can see. */
static void reader_again(unsigned self) {
    use(FIRST, self & 1);
    use(words[SECOND] ? SECOND : FIRST, ~self & 1);
}

static bool is_ready(void) {
    return mmi_slot_state(slot) == MMI_READY;
}
static void drainer(unsigned self) {
    (void)self;
    lock();
    if (is_ready()) {
        mmi_slot_drain(slot);
        wanting = false; /* who waits is told of that */
    }
    unlock();
}

/* Waits until it is idle. */
static void wanter(unsigned self) {
    (void)self;
    lock();
    if (is_ready()) {
        wanting = !mmi_slot_want(slot);
    }
    unlock();
}
/* As plans do: it may be wanted more than once. */
static void wanter_again(unsigned self) {
    wanter(self);
    wanter(self);
}

static bool may_revive(void) {
    return mmi_slot_state(slot) == MMI_DRAINING || mmi_slot_state(slot) == MMI_RECLAIMABLE;
}
static void drainer_again(unsigned self) {
    drainer(self);
    wait_until(is_ready);
    drainer(self);
}
static void reviver(unsigned self) {
    (void)self;
    wait_until(may_revive);
    lock();
    mmi_slot_revive(slot);
    unlock();
}

static void device(unsigned self) {
    (void)self;
    lock();
    enum mmi_instance_state state = mmi_slot_state(slot);
    if (state >= MMI_LOADING && state <= MMI_RECLAIMABLE) {
        mmi_slot_lost(slot);
    }
    unlock();
}

/* An unregistered model's: no way back. */
static void leaver(unsigned self) {
    (void)self;
    lock();
    enum mmi_instance_state state = mmi_slot_state(slot);
    if (state == MMI_READY || state == MMI_DRAINING || state == MMI_RECLAIMABLE) {
        mmi_slot_leave(slot);
    }
    unlock();
}

static bool may_take(void) {
    return mmi_slot_state(slot) == MMI_RECLAIMABLE || mmi_slot_state(slot) == MMI_DETACHING;
}
static bool take(void) {
    wait_until(may_take);
    lock();
    bool mine = may_take();
    if (mine && mmi_slot_state(slot) == MMI_RECLAIMABLE) {
        mmi_slot_move(slot, MMI_DETACHING);
    }
    unlock();
    if (mine) {
        must(valid == 0, "bytes taken under a lease");
        bytes = NO_MODEL;
        lock();
        mmi_slots_free(slot);
        unlock();
    }
    return mine;
}
/* Takes the bytes, then loads the second model into the slot, under a lease of its own. */
static void loader(unsigned self) {
    struct mmi_lease lease;
    while (!take()) {}
    lock();
    must(mmi_slots_alloc(&slots, &models[SECOND]) == slot, "another slot");
    mmi_slot_move(slot, MMI_LOADING);
    mmi_lease_grant(slot, self & 1, &lease);
    unlock();
    bytes = SECOND;
    lock();
    if (mmi_slot_state(slot) == MMI_LOADING) {
        words[SECOND] = mmi_slot_ready(slot, 1);
    }
    unlock();
    must(bytes == SECOND, "the bytes left under the loader");
    if (mmi_lease_release(&lease, 2)) {
        settle();
    }
    /* A second drain or a loss ends here. */
    while (!take()) {}
}

/* ---- Schedules ------------------------------------------------------------------------------ */

typedef void run_fn(unsigned self);

static void scene_begin(run_fn *const runs[MAX_THREADS]) {
    broken = NULL;
    valid = 0;
    wanting = false;
    lock_owner = NULL;
    mmi_slots_init(&slots, &mmi_malloc_allocator, &residency_lock, 2, 0);
    slot = mmi_slots_alloc(&slots, &models[FIRST]);
    assert_non_null(slot);
    mmi_slot_move(slot, MMI_LOADING);
    words[FIRST] = mmi_slot_ready(slot, 1);
    words[SECOND] = 0;
    bytes = FIRST;
    for (thread_count = 0; thread_count < MAX_THREADS && runs[thread_count]; thread_count++) {
        struct thread *t = &threads[thread_count];
        *t = (struct thread){.run = runs[thread_count]};
#if defined(__SANITIZE_THREAD__)
        t->tsan = __tsan_create_fiber(0);
#endif
        getcontext(&t->context);
        t->context.uc_stack.ss_sp = stacks[thread_count];
        t->context.uc_stack.ss_size = STACK_BYTES;
        makecontext(&t->context, (void (*)(void))thread_main, 1, (int)thread_count);
    }
}

static void scene_end(void) {
    enum mmi_instance_state state = mmi_slot_state(slot);
    must(lock_owner == NULL, "a lock that was not given back");
    must(mmi_slot_leases(slot) == 0, "a count that was not undone");
    must(state != MMI_DRAINING && state != MMI_LEAVING && state != MMI_LOST,
         "nobody settled: a wake-up was lost");
    must(state != MMI_READY || !wanting, "nobody was told that it is idle");
    mmi_slots_fini(&slots);
#if defined(__SANITIZE_THREAD__)
    for (unsigned i = 0; i < thread_count; i++) {
        __tsan_destroy_fiber(threads[i].tsan);
    }
#endif
}

/* The next schedule in the order of the decisions; false = that was the last. */
static bool next_schedule(void) {
    while (decision_count > 0) {
        struct decision *last = &decisions[decision_count - 1];
        if (++last->chosen < last->options) {
            return true;
        }
        decision_count--;
    }
    return false;
}

/* true = every schedule holds. */
static bool run_all(run_fn *const runs[MAX_THREADS]) {
    uint64_t schedules = 0;
    decision_count = 0;
    do {
        scene_begin(runs);
        replayed = preemptions = order_count = 0;
        schedule();
        scene_end();
        schedules++;
    } while (!broken && next_schedule());
    print_message("%llu schedules%s%s\n", (unsigned long long)schedules, broken ? ": " : "",
                  broken ? broken : "");
    for (unsigned i = 0; broken && i < order_count; i++) {
        print_message("%s%u%s", i ? " " : "  threads: ", order[i], i + 1 < order_count ? "" : "\n");
    }
    return !broken;
}

static run_fn *const scenes[][MAX_THREADS] = {
    {reader, drainer, loader},
    {reader, reader_again, drainer, loader},
    {reader, reader, reader, drainer},
    {reader_again, drainer_again, reviver, loader},
    {reader, reader_again, device, loader},
    {reader, drainer, device, loader},
    {reader, reader_again, leaver, loader},
    {reader, drainer, leaver, loader},
    {reader, reader_again, wanter},
    {reader, reader, reader, wanter_again},
    {reader, wanter, drainer, reviver},
};

static void test_every_schedule(void **state) {
    (void)state;
    const char *mutation = LEASE_MUTATION;
    bool holds = true;
    for (unsigned i = 0; i < MAX_SCENES && holds; i++) {
        holds = run_all(scenes[i]);
    }
    if (mutation) {
        print_message("mutation: %s\n", mutation);
    }
    assert_int_equal(holds, mutation == NULL);
}

int main(int argc, char **argv) {
    if (argc > 1) {
        max_preemptions = (unsigned)strtoul(argv[1], NULL, 10);
    }
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_schedule)};
#if defined(__SANITIZE_THREAD__)
    outside.tsan = __tsan_get_current_fiber();
#endif
    return cmocka_run_group_tests(tests, NULL, NULL);
}
