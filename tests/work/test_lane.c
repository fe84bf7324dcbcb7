/* SPDX-License-Identifier: Apache-2.0 */

/* The order in which a lane runs its stages, when it starts threads, and how it ends. */

#include <base/checked.h>
#include <support/world.h>
#include <work/lane.h>

#include <errno.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define STAGES 200

static uint64_t seed;

/* ---- Stages ---------------------------------------------------------------------------------- */

/* Holds a thread until the test lets it go. */
struct gate {
    struct mmi_stage stage;
    sem_t entered, leave;
};

static void gate_run(struct mmi_stage *stage) {
    struct gate *gate = MMI_CONTAINER(stage, struct gate, stage);
    sem_post(&gate->entered);
    sem_wait(&gate->leave);
}

static void gate_init(struct gate *gate) {
    *gate = (struct gate){.stage = {.run = gate_run}};
    sem_init(&gate->entered, 0, 0);
    sem_init(&gate->leave, 0, 0);
}

/* Push it and see it hold a thread. */
static void gate_close(struct gate *gate, struct mmi_lane *lane) {
    mmi_lane_push(lane, &gate->stage);
    sem_wait(&gate->entered);
}

struct journal {
    _Atomic unsigned count;
    unsigned numbers[STAGES];
};

struct entry {
    struct mmi_stage stage;
    struct journal *journal;
    unsigned number;
    pthread_t ran_on;
};

static void entry_run(struct mmi_stage *stage) {
    struct entry *entry = MMI_CONTAINER(stage, struct entry, stage);
    entry->ran_on = pthread_self();
    entry->journal->numbers[atomic_fetch_add(&entry->journal->count, 1)] = entry->number;
}

static void entry_init(struct entry *entry, struct journal *journal, unsigned number,
                       int32_t priority) {
    *entry = (struct entry){
        .stage = {.run = entry_run, .priority = priority}, .journal = journal, .number = number};
}

static struct mmi_lane *lane_of(struct world *world, uint32_t threads) {
    struct mmi_lane *lane;
    assert_int_equal(mmi_lane_new(&world->env, "test", threads, &lane, NULL), MM_OK);
    return lane;
}

static struct mmi_lane *started_lane_of(struct world *world, uint32_t threads) {
    struct mmi_lane *lane = lane_of(world, threads);
    assert_int_equal(mmi_lane_start(lane, NULL), MM_OK);
    return lane;
}

/* ---- Order ----------------------------------------------------------------------------------- */

static void test_order(void **state) {
    (void)state;
    struct world world;
    world_init(&world);
    struct mmi_lane *lane = started_lane_of(&world, 1);
    struct gate gate;
    gate_init(&gate);
    gate_close(&gate, lane);
    const int32_t priorities[] = {0, 5, 0, -3, 5, INT32_MAX, INT32_MIN, 5, 0};
    const unsigned order[] = {5, 1, 4, 7, 0, 2, 8, 3, 6};
    struct journal journal = {.count = 0};
    struct entry entries[9];
    for (unsigned i = 0; i < 9; i++) {
        entry_init(&entries[i], &journal, i, priorities[i]);
        mmi_lane_push(lane, &entries[i].stage);
    }
    sem_post(&gate.leave);
    mmi_lane_stop(lane);
    assert_int_equal(journal.count, 9);
    assert_memory_equal(journal.numbers, order, sizeof(order));
    mmi_lane_free(lane);
    world_fini(&world);
}

static void test_remove_and_raise(void **state) {
    (void)state;
    struct world world;
    world_init(&world);
    struct mmi_lane *lane = started_lane_of(&world, 1);
    struct gate gate;
    gate_init(&gate);
    gate_close(&gate, lane);
    struct journal journal = {.count = 0};
    struct entry entries[6];
    for (unsigned i = 0; i < 6; i++) {
        entry_init(&entries[i], &journal, i, 0);
        if (i < 5) {
            mmi_lane_push(lane, &entries[i].stage);
        }
    }
    assert_false(mmi_lane_remove(lane, &entries[5].stage)); /* never pushed */
    assert_false(mmi_lane_remove(lane, &gate.stage));       /* runs */
    assert_true(mmi_lane_remove(lane, &entries[0].stage));
    assert_false(mmi_lane_remove(lane, &entries[0].stage)); /* already out */
    mmi_lane_raise(lane, &entries[3].stage, 7);
    mmi_lane_raise(lane, &entries[4].stage, 7); /* behind the one that was raised first */
    mmi_lane_raise(lane, &entries[3].stage, 7); /* as high: keeps its place */
    mmi_lane_raise(lane, &entries[3].stage, 2); /* never down */
    mmi_lane_raise(lane, &entries[5].stage, 9); /* not queued */
    assert_int_equal(entries[5].stage.priority, 0);
    mmi_lane_push(lane, &entries[0].stage); /* a removed one may come again */
    sem_post(&gate.leave);
    mmi_lane_stop(lane);
    const unsigned order[] = {3, 4, 1, 2, 0};
    assert_int_equal(journal.count, 5);
    assert_memory_equal(journal.numbers, order, sizeof(order));
    assert_false(mmi_lane_remove(lane, &entries[1].stage)); /* ran */
    mmi_lane_free(lane);
    world_fini(&world);
}

/* The naive lane: an array, searched from the front for the highest priority. */
struct naive {
    struct entry *queue[STAGES];
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
        if (naive->queue[i]->stage.priority > naive->queue[best]->stage.priority) {
            best = i;
        }
    }
    return naive->queue[best];
}

static void random_step(struct mmi_lane *lane, struct naive *naive, struct entry *entry,
                        uint64_t *random) {
    int32_t priority = (int32_t)test_random_below(random, 6) - 3;
    switch (test_random_below(random, 4)) {
    case 0:
        assert_int_equal(mmi_lane_remove(lane, &entry->stage), naive_remove(naive, entry));
        break;
    case 1:
        if (entry->stage.queued && priority > entry->stage.priority) {
            naive_remove(naive, entry);
            naive->queue[naive->count++] = entry;
        }
        mmi_lane_raise(lane, &entry->stage, priority);
        break;
    default:
        if (!entry->stage.queued) {
            entry->stage.priority = priority;
            mmi_lane_push(lane, &entry->stage);
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
        struct mmi_lane *lane = started_lane_of(&world, 1);
        struct gate gate;
        gate_init(&gate);
        gate_close(&gate, lane);
        struct journal journal = {.count = 0};
        struct naive naive = {.count = 0};
        struct entry entries[STAGES];
        for (unsigned i = 0; i < STAGES; i++) {
            entry_init(&entries[i], &journal, i, 0);
        }
        for (unsigned step = 0; step < 1000; step++) {
            random_step(lane, &naive, &entries[test_random_below(&random, STAGES)], &random);
        }
        sem_post(&gate.leave);
        mmi_lane_stop(lane);
        assert_int_equal(journal.count, naive.count);
        for (unsigned i = 0; i < journal.count; i++) {
            struct entry *first = naive_first(&naive);
            assert_int_equal(journal.numbers[i], first->number);
            naive_remove(&naive, first);
        }
        mmi_lane_free(lane);
    }
    world_fini(&world);
}

/* ---- Threads --------------------------------------------------------------------------------- */

static void test_threads_come_when_all_are_busy(void **state) {
    (void)state;
    struct world world;
    world_init(&world);
    struct mmi_lane *lane = lane_of(&world, 3);
    assert_int_equal(mmi_lane_threads(lane), 0);
    assert_int_equal(mmi_lane_start(lane, NULL), MM_OK);
    assert_int_equal(mmi_lane_start(lane, NULL), MM_OK);
    assert_int_equal(mmi_lane_threads(lane), 1);
    struct gate gates[4];
    for (unsigned i = 0; i < 3; i++) {
        gate_init(&gates[i]);
        gate_close(&gates[i], lane); /* would hang without a thread for each */
        assert_int_equal(mmi_lane_threads(lane), i + 1);
    }
    gate_init(&gates[3]);
    mmi_lane_push(lane, &gates[3].stage);
    assert_int_equal(mmi_lane_threads(lane), 3);
    sem_post(&gates[1].leave); /* any of the three takes the fourth */
    sem_wait(&gates[3].entered);
    for (unsigned i = 0; i < 4; i++) {
        sem_post(&gates[i].leave);
    }
    mmi_lane_stop(lane);
    assert_int_equal(mmi_lane_threads(lane), 0);
    mmi_lane_free(lane);
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

    struct mmi_lane *lane = lane_of(&world, 0); /* told so */
    assert_int_equal(mmi_lane_start(lane, &err), MM_NO_THREADS);
    assert_non_null(strstr(err.text, "test"));
    mmi_lane_push(lane, &entry.stage);
    assert_int_equal(journal.count, 1);
    assert_true(pthread_equal(entry.ran_on, pthread_self()));
    mmi_lane_stop(lane);
    mmi_lane_free(lane);

    lane = lane_of(&world, 2); /* refused by the system, then not */
    world_fault(&world, "thread", 1, EAGAIN);
    assert_int_equal(mmi_lane_start(lane, &err), MM_NO_THREADS);
    mmi_lane_push(lane, &entry.stage);
    assert_int_equal(journal.count, 2);
    assert_int_equal(mmi_lane_start(lane, NULL), MM_OK);
    mmi_lane_stop(lane);
    mmi_lane_stop(lane);
    assert_int_equal(mmi_lane_start(lane, NULL), MM_CLOSED);
    mmi_lane_push(lane, &entry.stage); /* after stop */
    assert_int_equal(journal.count, 3);
    assert_true(pthread_equal(entry.ran_on, pthread_self()));
    mmi_lane_free(lane);
    mmi_lane_free(NULL);
    world_fini(&world);
}

static void test_fewer_threads_than_wanted(void **state) {
    (void)state;
    struct world world;
    world_init(&world);
    struct mmi_lane *lane = started_lane_of(&world, 2);
    struct gate gate;
    gate_init(&gate);
    gate_close(&gate, lane);
    struct journal journal = {.count = 0};
    struct entry entries[2];
    world_fault(&world, "thread", 1, EAGAIN);
    entry_init(&entries[0], &journal, 0, 0);
    mmi_lane_push(lane, &entries[0].stage); /* asks for the second thread in vain */
    assert_true(world_failed(&world));
    assert_int_equal(mmi_lane_threads(lane), 1);
    assert_int_equal(journal.count, 0);
    entry_init(&entries[1], &journal, 1, 0);
    mmi_lane_push(lane, &entries[1].stage); /* this time it comes, and works */
    assert_int_equal(mmi_lane_threads(lane), 2);
    sem_post(&gate.leave);
    mmi_lane_stop(lane);
    assert_int_equal(journal.count, 2);
    mmi_lane_free(lane);
    world_fini(&world);
}

/* ---- The end --------------------------------------------------------------------------------- */

struct chain {
    struct mmi_stage stage;
    struct mmi_lane *lane;
    unsigned left;
    pthread_t stopper;
};

static void chain_run(struct mmi_stage *stage) {
    struct chain *chain = MMI_CONTAINER(stage, struct chain, stage);
    assert_false(pthread_equal(chain->stopper, pthread_self()));
    if (--chain->left > 0) {
        mmi_lane_push(chain->lane, stage);
    }
}

/* What is queued runs, and what that pushes, on the lane's own threads. */
static void test_stop_drains(void **state) {
    (void)state;
    struct world world;
    world_init(&world);
    for (uint32_t threads = 1; threads <= 3; threads++) {
        struct mmi_lane *lane = started_lane_of(&world, threads);
        struct chain chains[10];
        for (unsigned i = 0; i < 10; i++) {
            chains[i] = (struct chain){.stage = {.run = chain_run, .priority = (int32_t)(i % 3)},
                                       .lane = lane,
                                       .left = 20,
                                       .stopper = pthread_self()};
            mmi_lane_push(lane, &chains[i].stage);
        }
        mmi_lane_stop(lane);
        for (unsigned i = 0; i < 10; i++) {
            assert_int_equal(chains[i].left, 0);
        }
        mmi_lane_free(lane);
    }
    world_fini(&world);
}

static _Atomic unsigned freed;

static void free_run(struct mmi_stage *stage) {
    free(stage);
    atomic_fetch_add(&freed, 1);
}

static void test_a_stage_frees_itself(void **state) {
    (void)state;
    struct world world;
    world_init(&world);
    struct mmi_lane *lane = started_lane_of(&world, 2);
    atomic_store(&freed, 0);
    for (unsigned i = 0; i < 500; i++) {
        struct mmi_stage *stage = calloc(1, sizeof(*stage));
        assert_non_null(stage);
        stage->run = free_run;
        mmi_lane_push(lane, stage);
    }
    mmi_lane_stop(lane);
    assert_int_equal(freed, 500);
    mmi_lane_free(lane);
    world_fini(&world);
}

/* ---- All at once ----------------------------------------------------------------------------- */

struct counted {
    struct mmi_stage stage;
    _Atomic unsigned ran;
};

static void counted_run(struct mmi_stage *stage) {
    atomic_fetch_add(&MMI_CONTAINER(stage, struct counted, stage)->ran, 1);
}

struct pusher {
    struct mmi_lane *lane;
    uint64_t random;
    pthread_t thread;
    struct counted stages[STAGES];
    unsigned removed[STAGES];
};

static void *pusher_main(void *ctx) {
    struct pusher *pusher = ctx;
    for (unsigned i = 0; i < STAGES; i++) {
        struct mmi_stage *stage = &pusher->stages[i].stage;
        stage->run = counted_run;
        stage->priority = (int32_t)test_random_below(&pusher->random, 4);
        mmi_lane_push(pusher->lane, stage);
        unsigned other = (unsigned)test_random_below(&pusher->random, i + 1);
        mmi_lane_raise(pusher->lane, &pusher->stages[other].stage, 5);
        if (test_random_below(&pusher->random, 3) == 0) {
            pusher->removed[other] += mmi_lane_remove(pusher->lane, &pusher->stages[other].stage);
        }
    }
    return NULL;
}

static void test_each_runs_once_or_is_removed(void **state) {
    (void)state;
    struct world world;
    world_init(&world);
    for (unsigned round = 0; round < 5; round++) {
        struct mmi_lane *lane = started_lane_of(&world, 3);
        struct pusher *pushers = calloc(3, sizeof(*pushers));
        for (unsigned i = 0; i < 3; i++) {
            pushers[i].lane = lane;
            pushers[i].random = seed + round * 3 + i;
            pthread_create(&pushers[i].thread, NULL, pusher_main, &pushers[i]);
        }
        for (unsigned i = 0; i < 3; i++) {
            pthread_join(pushers[i].thread, NULL);
        }
        mmi_lane_stop(lane);
        for (unsigned i = 0; i < 3 * STAGES; i++) {
            struct pusher *pusher = &pushers[i / STAGES];
            assert_int_equal(pusher->stages[i % STAGES].ran + pusher->removed[i % STAGES], 1);
        }
        free(pushers);
        mmi_lane_free(lane);
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
        struct mmi_lane *lane = NULL;
        world_fail_alloc(&world, nth);
        if (mmi_lane_new(&world.env, "test", 2, &lane, NULL) == MM_OK) {
            mmi_lane_start(lane, NULL);
            for (unsigned i = 0; i < 4; i++) {
                entry_init(&entries[i], &journal, i, 0);
                mmi_lane_push(lane, &entries[i].stage);
            }
            mmi_lane_stop(lane);
            assert_int_equal(journal.count, 4);
        } else {
            assert_null(lane);
        }
        mmi_lane_free(lane);
        world_fail_alloc(&world, 0);
        assert_int_equal(world_live_bytes(&world), 0);
        if (!world_failed(&world)) {
            assert_true(nth > 2);
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
        cmocka_unit_test(test_a_stage_frees_itself),
        cmocka_unit_test(test_each_runs_once_or_is_removed),
        cmocka_unit_test(test_every_allocation_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
