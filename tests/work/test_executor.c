/* SPDX-License-Identifier: Apache-2.0 */

/* The order in which an executor runs its tasks, when it starts threads, and how it ends. */

#include <base/checked.h>
#include <support/world.h>
#include <work/executor.h>

#include <errno.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define TASKS 200

static uint64_t seed;

/* ---- Tasks ---------------------------------------------------------------------------------- */

/* Holds a thread until the test lets it go. */
struct gate {
    struct mmi_task task;
    sem_t entered, leave;
};

static void gate_run(struct mmi_task *task) {
    struct gate *gate = MMI_CONTAINER(task, struct gate, task);
    sem_post(&gate->entered);
    sem_wait(&gate->leave);
}

static void gate_init(struct gate *gate) {
    *gate = (struct gate){.task = {.run = gate_run}};
    sem_init(&gate->entered, 0, 0);
    sem_init(&gate->leave, 0, 0);
}

/* Submit it and see it hold a thread. */
static void gate_close(struct gate *gate, struct mmi_executor *executor) {
    mmi_executor_submit(executor, &gate->task);
    sem_wait(&gate->entered);
}

struct journal {
    _Atomic unsigned count;
    unsigned numbers[TASKS];
};

struct entry {
    struct mmi_task task;
    struct journal *journal;
    unsigned number;
    pthread_t ran_on;
};

static void entry_run(struct mmi_task *task) {
    struct entry *entry = MMI_CONTAINER(task, struct entry, task);
    entry->ran_on = pthread_self();
    entry->journal->numbers[atomic_fetch_add(&entry->journal->count, 1)] = entry->number;
}

static void entry_init(struct entry *entry, struct journal *journal, unsigned number,
                       int32_t priority) {
    *entry = (struct entry){
        .task = {.run = entry_run, .priority = priority}, .journal = journal, .number = number};
}

static struct mmi_executor *executor_of(struct world *world, uint32_t threads) {
    struct mmi_executor *executor;
    assert_int_equal(mmi_executor_new(&world->env, "test", threads, &executor, NULL), MM_OK);
    return executor;
}

static struct mmi_executor *started_executor_of(struct world *world, uint32_t threads) {
    struct mmi_executor *executor = executor_of(world, threads);
    assert_int_equal(mmi_executor_start(executor, NULL), MM_OK);
    return executor;
}

/* ---- Order ----------------------------------------------------------------------------------- */

static void test_order(void **state) {
    (void)state;
    struct world world;
    world_init(&world);
    struct mmi_executor *executor = started_executor_of(&world, 1);
    struct gate gate;
    gate_init(&gate);
    gate_close(&gate, executor);
    const int32_t priorities[] = {0, 5, 0, -3, 5, INT32_MAX, INT32_MIN, 5, 0};
    const unsigned order[] = {5, 1, 4, 7, 0, 2, 8, 3, 6};
    struct journal journal = {.count = 0};
    struct entry entries[9];
    for (unsigned i = 0; i < 9; i++) {
        entry_init(&entries[i], &journal, i, priorities[i]);
        mmi_executor_submit(executor, &entries[i].task);
    }
    sem_post(&gate.leave);
    mmi_executor_stop(executor);
    assert_int_equal(journal.count, 9);
    assert_memory_equal(journal.numbers, order, sizeof(order));
    mmi_executor_free(executor);
    world_fini(&world);
}

static void test_remove_and_raise(void **state) {
    (void)state;
    struct world world;
    world_init(&world);
    struct mmi_executor *executor = started_executor_of(&world, 1);
    struct gate gate;
    gate_init(&gate);
    gate_close(&gate, executor);
    struct journal journal = {.count = 0};
    struct entry entries[6];
    for (unsigned i = 0; i < 6; i++) {
        entry_init(&entries[i], &journal, i, 0);
        if (i < 5) {
            mmi_executor_submit(executor, &entries[i].task);
        }
    }
    assert_false(mmi_executor_remove(executor, &entries[5].task)); /* never submitted */
    assert_false(mmi_executor_remove(executor, &gate.task));       /* runs */
    assert_true(mmi_executor_remove(executor, &entries[0].task));
    assert_false(mmi_executor_remove(executor, &entries[0].task)); /* already out */
    mmi_executor_raise(executor, &entries[3].task, 7);
    mmi_executor_raise(executor, &entries[4].task, 7); /* behind the one that was raised first */
    mmi_executor_raise(executor, &entries[3].task, 7); /* as high: keeps its place */
    mmi_executor_raise(executor, &entries[3].task, 2); /* never down */
    mmi_executor_raise(executor, &entries[5].task, 9); /* not queued */
    assert_int_equal(entries[5].task.priority, 0);
    mmi_executor_submit(executor, &entries[0].task); /* a removed one may come again */
    sem_post(&gate.leave);
    mmi_executor_stop(executor);
    const unsigned order[] = {3, 4, 1, 2, 0};
    assert_int_equal(journal.count, 5);
    assert_memory_equal(journal.numbers, order, sizeof(order));
    assert_false(mmi_executor_remove(executor, &entries[1].task)); /* ran */
    mmi_executor_free(executor);
    world_fini(&world);
}

/* The naive executor: an array, searched from the front for the highest priority. */
struct naive {
    struct entry *queue[TASKS];
    unsigned count;
};

static bool naive_remove(struct naive *naive, const struct entry *entry) {
    for (unsigned i = 0; i < naive->count; i++) {
        if (naive->queue[i] == entry) {
            naive->count--;
            memmove(&naive->queue[i], &naive->queue[i + 1],
                    (naive->count - i) * sizeof(naive->queue[0]));
            return true;
        }
    }
    return false;
}

static struct entry *naive_first(struct naive *naive) {
    unsigned best = 0;
    for (unsigned i = 1; i < naive->count; i++) {
        if (naive->queue[i]->task.priority > naive->queue[best]->task.priority) {
            best = i;
        }
    }
    return naive->queue[best];
}

static void random_step(struct mmi_executor *executor, struct naive *naive, struct entry *entry,
                        uint64_t *random) {
    int32_t priority = (int32_t)test_random_below(random, 6) - 3;
    switch (test_random_below(random, 4)) {
    case 0:
        assert_int_equal(mmi_executor_remove(executor, &entry->task), naive_remove(naive, entry));
        break;
    case 1:
        if (entry->task.queued && priority > entry->task.priority) {
            naive_remove(naive, entry);
            naive->queue[naive->count++] = entry;
        }
        mmi_executor_raise(executor, &entry->task, priority);
        break;
    default:
        if (!entry->task.queued) {
            entry->task.priority = priority;
            mmi_executor_submit(executor, &entry->task);
            naive->queue[naive->count++] = entry;
        }
    }
}

static void test_random_against_naive(void **state) {
    (void)state;
    struct world world;
    world_init(&world);
    uint64_t random = seed;
    for (unsigned round = 0; round < 20; round++) {
        struct mmi_executor *executor = started_executor_of(&world, 1);
        struct gate gate;
        gate_init(&gate);
        gate_close(&gate, executor);
        struct journal journal = {.count = 0};
        struct naive naive = {.count = 0};
        struct entry entries[TASKS];
        for (unsigned i = 0; i < TASKS; i++) {
            entry_init(&entries[i], &journal, i, 0);
        }
        for (unsigned step = 0; step < 1000; step++) {
            random_step(executor, &naive, &entries[test_random_below(&random, TASKS)], &random);
        }
        sem_post(&gate.leave);
        mmi_executor_stop(executor);
        assert_int_equal(journal.count, naive.count);
        for (unsigned i = 0; i < journal.count; i++) {
            struct entry *first = naive_first(&naive);
            assert_int_equal(journal.numbers[i], first->number);
            naive_remove(&naive, first);
        }
        mmi_executor_free(executor);
    }
    world_fini(&world);
}

/* ---- Threads --------------------------------------------------------------------------------- */

static void test_threads_come_when_all_are_busy(void **state) {
    (void)state;
    struct world world;
    world_init(&world);
    struct mmi_executor *executor = executor_of(&world, 3);
    assert_int_equal(mmi_executor_threads(executor), 0);
    assert_int_equal(mmi_executor_start(executor, NULL), MM_OK);
    assert_int_equal(mmi_executor_start(executor, NULL), MM_OK);
    assert_int_equal(mmi_executor_threads(executor), 1);
    struct gate gates[4];
    for (unsigned i = 0; i < 3; i++) {
        gate_init(&gates[i]);
        gate_close(&gates[i], executor); /* would hang without a thread for each */
        assert_int_equal(mmi_executor_threads(executor), i + 1);
    }
    gate_init(&gates[3]);
    mmi_executor_submit(executor, &gates[3].task);
    assert_int_equal(mmi_executor_threads(executor), 3);
    sem_post(&gates[1].leave); /* any of the three takes the fourth */
    sem_wait(&gates[3].entered);
    for (unsigned i = 0; i < 4; i++) {
        sem_post(&gates[i].leave);
    }
    mmi_executor_stop(executor);
    assert_int_equal(mmi_executor_threads(executor), 0);
    mmi_executor_free(executor);
    world_fini(&world);
}

static void test_no_thread_at_all(void **state) {
    (void)state;
    struct world world;
    world_init(&world);
    struct journal journal = {.count = 0};
    struct entry entry;
    entry_init(&entry, &journal, 0, 0);
    mm_error err;

    struct mmi_executor *executor = executor_of(&world, 0); /* told so */
    assert_int_equal(mmi_executor_start(executor, &err), MM_NO_THREADS);
    assert_non_null(strstr(err.text, "test"));
    mmi_executor_submit(executor, &entry.task);
    assert_int_equal(journal.count, 1);
    assert_true(pthread_equal(entry.ran_on, pthread_self()));
    mmi_executor_stop(executor);
    mmi_executor_free(executor);

    executor = executor_of(&world, 2); /* refused by the system, then not */
    world_fault(&world, "thread", 1, EAGAIN);
    assert_int_equal(mmi_executor_start(executor, &err), MM_NO_THREADS);
    mmi_executor_submit(executor, &entry.task);
    assert_int_equal(journal.count, 2);
    assert_int_equal(mmi_executor_start(executor, NULL), MM_OK);
    mmi_executor_stop(executor);
    mmi_executor_stop(executor);
    assert_int_equal(mmi_executor_start(executor, NULL), MM_CLOSED);
    mmi_executor_submit(executor, &entry.task); /* after stop */
    assert_int_equal(journal.count, 3);
    assert_true(pthread_equal(entry.ran_on, pthread_self()));
    mmi_executor_free(executor);
    mmi_executor_free(NULL);
    world_fini(&world);
}

static void test_fewer_threads_than_wanted(void **state) {
    (void)state;
    struct world world;
    world_init(&world);
    struct mmi_executor *executor = started_executor_of(&world, 2);
    struct gate gate;
    gate_init(&gate);
    gate_close(&gate, executor);
    struct journal journal = {.count = 0};
    struct entry entries[2];
    world_fault(&world, "thread", 1, EAGAIN);
    entry_init(&entries[0], &journal, 0, 0);
    mmi_executor_submit(executor, &entries[0].task); /* asks for the second thread in vain */
    assert_true(world_failed(&world));
    assert_int_equal(mmi_executor_threads(executor), 1);
    assert_int_equal(journal.count, 0);
    entry_init(&entries[1], &journal, 1, 0);
    mmi_executor_submit(executor, &entries[1].task); /* this time it comes, and works */
    assert_int_equal(mmi_executor_threads(executor), 2);
    sem_post(&gate.leave);
    mmi_executor_stop(executor);
    assert_int_equal(journal.count, 2);
    mmi_executor_free(executor);
    world_fini(&world);
}

/* ---- The end --------------------------------------------------------------------------------- */

struct chain {
    struct mmi_task task;
    struct mmi_executor *executor;
    unsigned left;
    pthread_t stopper;
};

static void chain_run(struct mmi_task *task) {
    struct chain *chain = MMI_CONTAINER(task, struct chain, task);
    assert_false(pthread_equal(chain->stopper, pthread_self()));
    if (--chain->left > 0) {
        mmi_executor_submit(chain->executor, task);
    }
}

/* What is queued runs, and what that submits, on the executor's own threads. */
static void test_stop_drains(void **state) {
    (void)state;
    struct world world;
    world_init(&world);
    for (uint32_t threads = 1; threads <= 3; threads++) {
        struct mmi_executor *executor = started_executor_of(&world, threads);
        struct chain chains[10];
        for (unsigned i = 0; i < 10; i++) {
            chains[i] = (struct chain){.task = {.run = chain_run, .priority = (int32_t)(i % 3)},
                                       .executor = executor,
                                       .left = 20,
                                       .stopper = pthread_self()};
            mmi_executor_submit(executor, &chains[i].task);
        }
        mmi_executor_stop(executor);
        for (unsigned i = 0; i < 10; i++) {
            assert_int_equal(chains[i].left, 0);
        }
        mmi_executor_free(executor);
    }
    world_fini(&world);
}

static _Atomic unsigned freed;

static void free_run(struct mmi_task *task) {
    free(task);
    atomic_fetch_add(&freed, 1);
}

static void test_a_task_frees_itself(void **state) {
    (void)state;
    struct world world;
    world_init(&world);
    struct mmi_executor *executor = started_executor_of(&world, 2);
    atomic_store(&freed, 0);
    for (unsigned i = 0; i < 500; i++) {
        struct mmi_task *task = calloc(1, sizeof(*task));
        assert_non_null(task);
        task->run = free_run;
        mmi_executor_submit(executor, task);
    }
    mmi_executor_stop(executor);
    assert_int_equal(freed, 500);
    mmi_executor_free(executor);
    world_fini(&world);
}

/* ---- All at once ----------------------------------------------------------------------------- */

struct counted {
    struct mmi_task task;
    _Atomic unsigned ran;
};

static void counted_run(struct mmi_task *task) {
    atomic_fetch_add(&MMI_CONTAINER(task, struct counted, task)->ran, 1);
}

struct pusher {
    struct mmi_executor *executor;
    uint64_t random;
    pthread_t thread;
    struct counted tasks[TASKS];
    unsigned removed[TASKS];
};

static void *pusher_main(void *ctx) {
    struct pusher *pusher = ctx;
    for (unsigned i = 0; i < TASKS; i++) {
        struct mmi_task *task = &pusher->tasks[i].task;
        task->run = counted_run;
        task->priority = (int32_t)test_random_below(&pusher->random, 4);
        mmi_executor_submit(pusher->executor, task);
        unsigned other = (unsigned)test_random_below(&pusher->random, i + 1);
        mmi_executor_raise(pusher->executor, &pusher->tasks[other].task, 5);
        if (test_random_below(&pusher->random, 3) == 0) {
            pusher->removed[other] +=
                mmi_executor_remove(pusher->executor, &pusher->tasks[other].task);
        }
    }
    return NULL;
}

static void test_each_runs_once_or_is_removed(void **state) {
    (void)state;
    struct world world;
    world_init(&world);
    for (unsigned round = 0; round < 5; round++) {
        struct mmi_executor *executor = started_executor_of(&world, 3);
        struct pusher *pushers = calloc(3, sizeof(*pushers));
        for (unsigned i = 0; i < 3; i++) {
            pushers[i].executor = executor;
            pushers[i].random = seed + round * 3 + i;
            pthread_create(&pushers[i].thread, NULL, pusher_main, &pushers[i]);
        }
        for (unsigned i = 0; i < 3; i++) {
            pthread_join(pushers[i].thread, NULL);
        }
        mmi_executor_stop(executor);
        for (unsigned i = 0; i < 3 * TASKS; i++) {
            struct pusher *pusher = &pushers[i / TASKS];
            assert_int_equal(pusher->tasks[i % TASKS].ran + pusher->removed[i % TASKS], 1);
        }
        free(pushers);
        mmi_executor_free(executor);
    }
    world_fini(&world);
}

static void test_every_allocation_fails(void **state) {
    (void)state;
    struct world world;
    world_init(&world);
    for (uint64_t nth = 1;; nth++) {
        struct journal journal = {.count = 0};
        struct entry entries[4];
        struct mmi_executor *executor = NULL;
        world_fail_alloc(&world, nth);
        if (mmi_executor_new(&world.env, "test", 2, &executor, NULL) == MM_OK) {
            mmi_executor_start(executor, NULL);
            for (unsigned i = 0; i < 4; i++) {
                entry_init(&entries[i], &journal, i, 0);
                mmi_executor_submit(executor, &entries[i].task);
            }
            mmi_executor_stop(executor);
            assert_int_equal(journal.count, 4);
        } else {
            assert_null(executor);
        }
        mmi_executor_free(executor);
        world_fail_alloc(&world, 0);
        assert_int_equal(world_live_bytes(&world), 0);
        if (!world_failed(&world)) {
            assert_true(nth > 1);
            break;
        }
    }
    world_fini(&world);
}

int main(int argc, char **argv) {
    seed = test_seed(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_remove_and_raise),
        cmocka_unit_test(test_random_against_naive),
        cmocka_unit_test(test_threads_come_when_all_are_busy),
        cmocka_unit_test(test_no_thread_at_all),
        cmocka_unit_test(test_fewer_threads_than_wanted),
        cmocka_unit_test(test_stop_drains),
        cmocka_unit_test(test_a_task_frees_itself),
        cmocka_unit_test(test_each_runs_once_or_is_removed),
        cmocka_unit_test(test_every_allocation_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
