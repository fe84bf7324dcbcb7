/* SPDX-License-Identifier: Apache-2.0 */

/* Operations, one thing at a time: completion, callback, queue, cancel, and life after the
 * completions. */

#include <support/world.h>
#include <work/op.h>

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

struct scene {
    struct world world;
    struct mmi_completions *completions;
};

static void scene_init(struct scene *scene) {
    world_init(&scene->world);
    assert_int_equal(mmi_completions_new(&scene->world.env, &scene->completions, NULL), MM_OK);
}

static void scene_fini(struct scene *scene) {
    mmi_completions_stop(scene->completions);
    mmi_completions_free(scene->completions);
    world_fini(&scene->world);
}

static struct mm_op *op_with(struct scene *scene, struct mmi_op_config config) {
    struct mm_op *op;
    assert_int_equal(mmi_op_new(scene->completions, &config, &op, NULL), MM_OK);
    return op;
}

static struct mm_op *plain_op(struct scene *scene) {
    return op_with(scene, (struct mmi_op_config){.queue = false});
}

static struct mm_op *queued_op(struct scene *scene) {
    return op_with(scene, (struct mmi_op_config){.queue = true});
}

/* ---- Completion ------------------------------------------------------------------------------ */

static void test_result(void **state) {
    (void)state;
    struct scene scene;
    scene_init(&scene);
    mm_error err = {.status = 77};
    int word;
    struct mm_op *op = op_with(&scene, (struct mmi_op_config){.user = &word});
    assert_ptr_equal(mmi_op_user(op), &word);
    assert_int_equal(mmi_op_poll(op, NULL), MM_PENDING);
    mmi_op_complete(op, MM_OK, NULL);
    assert_int_equal(mmi_op_poll(op, &err), MM_OK);
    assert_int_equal(mmi_op_wait(op, 0, &err), MM_OK);
    assert_int_equal(err.status, 77); /* left alone on success */
    mmi_op_free(op);

    op = plain_op(&scene);
    mm_error why = {.status = MM_BUSY, .retry_after_ns = 5, .text = "because"};
    mmi_op_complete(op, MM_BUSY, &why);
    assert_int_equal(mmi_op_wait(op, 1, &err), MM_BUSY);
    assert_memory_equal(&err, &why, sizeof(err));
    assert_int_equal(mmi_op_poll(op, NULL), MM_BUSY);
    mmi_op_free(op);

    op = plain_op(&scene);
    mmi_op_complete(op, MM_CLOSED, NULL); /* the status speaks for itself */
    assert_int_equal(mmi_op_poll(op, &err), MM_CLOSED);
    assert_int_equal(err.status, MM_CLOSED);
    assert_string_equal(err.text, mm_status_text(MM_CLOSED));
    mmi_op_free(op);
    mmi_op_free(NULL);
    scene_fini(&scene);
}

static void test_progress(void **state) {
    (void)state;
    struct scene scene;
    scene_init(&scene);
    struct mm_op *op = plain_op(&scene);
    int32_t stage;
    uint32_t permille;
    uint64_t done_bytes, total_bytes;
    mmi_op_progress(op, &stage, &permille, &done_bytes, &total_bytes);
    assert_int_equal(stage + permille + done_bytes + total_bytes, 0);
    mmi_op_set_stage(op, 3);
    mmi_op_set_progress(op, 250, 10, 40);
    mmi_op_complete(op, MM_OK, NULL);
    mmi_op_progress(op, &stage, &permille, &done_bytes, &total_bytes);
    assert_int_equal(stage, 3);
    assert_int_equal(permille, 250);
    assert_int_equal(done_bytes, 10);
    assert_int_equal(total_bytes, 40);
    mmi_op_free(op);
    scene_fini(&scene);
}

struct flow {
    struct world *world;
    atomic_bool over;
};

/* Time goes on until the wait has ended: when that began is not known. */
static void *flow_main(void *ctx) {
    struct flow *flow = ctx;
    while (!atomic_load(&flow->over)) {
        world_advance(flow->world, 100);
        sched_yield();
    }
    return NULL;
}

static void test_wait_with_a_deadline(void **state) {
    (void)state;
    struct scene scene;
    scene_init(&scene);
    struct mm_op *op = plain_op(&scene);
    pthread_t thread;
    struct flow flow = {.world = &scene.world};
    uint64_t deadline_ns = mmi_now(&scene.world.env.clock) + 999;
    pthread_create(&thread, NULL, flow_main, &flow);
    mm_error err;
    assert_int_equal(mmi_op_wait(op, deadline_ns, &err), MM_PENDING);
    assert_int_equal(err.status, MM_PENDING);
    assert_int_equal(mmi_op_wait(op, deadline_ns, NULL), MM_PENDING); /* it has passed */
    atomic_store(&flow.over, true);
    pthread_join(thread, NULL);
    mmi_op_complete(op, MM_OK, NULL);
    assert_int_equal(mmi_op_wait(op, UINT64_MAX, NULL), MM_OK);
    mmi_op_free(op);
    scene_fini(&scene);
}

static void *wait_main(void *ctx) {
    assert_int_equal(mmi_op_wait(ctx, 0, NULL), MM_CANCELLED);
    return NULL;
}

static void test_many_waiters(void **state) {
    (void)state;
    struct scene scene;
    scene_init(&scene);
    struct mm_op *op = plain_op(&scene);
    pthread_t threads[8];
    for (unsigned i = 0; i < 8; i++) {
        pthread_create(&threads[i], NULL, wait_main, op);
    }
    mmi_op_complete(op, MM_CANCELLED, NULL);
    for (unsigned i = 0; i < 8; i++) {
        pthread_join(threads[i], NULL);
    }
    mmi_op_free(op);
    scene_fini(&scene);
}

static void test_discard(void **state) {
    (void)state;
    struct scene scene;
    scene_init(&scene);
    uint64_t before = world_live_bytes(&scene.world);
    mmi_op_discard(queued_op(&scene));
    assert_int_equal(world_live_bytes(&scene.world), before);
    scene_fini(&scene);
}

/* ---- Callbacks ------------------------------------------------------------------------------- */

struct listener {
    struct scene *scene;
    unsigned calls; /* on one thread, then read after stop */
    struct mm_op *order[64];
    uint64_t output; /* what the work wrote before it completed the op */
    sem_t hold;      /* waited for by callbacks that hold */
    sem_t entered;
    struct mm_op *other;
};

static void listen(void *user, struct mm_op *op) {
    struct listener *listener = user;
    assert_true(mmi_completions_is_current(listener->scene->completions));
    assert_ptr_equal(mmi_op_user(op), listener);
    assert_int_equal(mmi_op_poll(op, NULL), MM_OK);
    assert_int_equal(mmi_op_wait(op, 0, NULL), MM_OK);
    assert_int_equal(listener->output, 42);
    listener->order[listener->calls++] = op;
}

static void listen_and_free(void *user, struct mm_op *op) {
    listen(user, op);
    mmi_op_free(op);
}

static void listen_and_hold(void *user, struct mm_op *op) {
    struct listener *listener = user;
    listener->order[listener->calls++] = op;
    sem_post(&listener->entered);
    sem_wait(&listener->hold);
}

static void *complete_main(void *ctx) {
    mmi_op_complete(ctx, MM_OK, NULL);
    return NULL;
}

/* From another thread, so that what it wrote must become visible. */
static void complete_elsewhere(struct mm_op *op) {
    pthread_t thread;
    pthread_create(&thread, NULL, complete_main, op);
    pthread_join(thread, NULL);
}

static void test_callbacks_in_order_once(void **state) {
    (void)state;
    struct scene scene;
    scene_init(&scene);
    struct listener listener = {.scene = &scene, .output = 42};
    struct mm_op *ops[30];
    for (unsigned i = 0; i < 30; i++) {
        ops[i] =
            op_with(&scene, (struct mmi_op_config){.callback = i % 3 ? listen : listen_and_free,
                                                   .user = &listener});
    }
    assert_false(mmi_completions_is_current(scene.completions));
    for (unsigned i = 0; i < 30; i++) {
        unsigned shuffled = i * 7 % 30;
        if (shuffled % 3 == 1) {
            mmi_op_free(ops[shuffled]); /* detached: it completes and calls back all the same */
        }
        complete_elsewhere(ops[shuffled]);
    }
    mmi_completions_stop(scene.completions);
    assert_int_equal(listener.calls, 30);
    for (unsigned i = 0; i < 30; i++) {
        assert_ptr_equal(listener.order[i], ops[i * 7 % 30]);
        if (i % 3 == 2) {
            mmi_op_free(ops[i]);
        }
    }
    scene_fini(&scene);
}

static void listen_and_meddle(void *user, struct mm_op *op) {
    struct listener *listener = user;
    listener->calls++;
    assert_int_equal(mmi_op_poll(listener->other, NULL), MM_PENDING);
    assert_int_equal(mmi_op_wait(listener->other, 1, NULL), MM_PENDING);
    mmi_op_cancel(listener->other);
    assert_int_equal(mmi_op_wait(listener->other, 0, NULL), MM_CANCELLED);
    mmi_op_free(listener->other);
    mmi_op_free(op);
}

static void cancel_by_completing(void *ctx, struct mm_op *op) {
    ++*(unsigned *)ctx;
    mmi_op_complete(op, MM_CANCELLED, NULL);
}

static void test_a_callback_may_use_others(void **state) {
    (void)state;
    struct scene scene;
    scene_init(&scene);
    mmi_clock_init(&scene.world.env.clock, NULL, NULL); /* its wait of 1 ns has to end */
    mmi_completions_stop(scene.completions);
    mmi_completions_free(scene.completions);
    assert_int_equal(mmi_completions_new(&scene.world.env, &scene.completions, NULL), MM_OK);
    unsigned cancels = 0;
    struct listener listener = {.scene = &scene};
    listener.other = op_with(
        &scene, (struct mmi_op_config){.cancel = cancel_by_completing, .cancel_ctx = &cancels});
    struct mm_op *op =
        op_with(&scene, (struct mmi_op_config){.callback = listen_and_meddle, .user = &listener});
    mmi_op_complete(op, MM_OK, NULL);
    mmi_completions_stop(scene.completions);
    assert_int_equal(listener.calls, 1);
    assert_int_equal(cancels, 1);
    scene_fini(&scene);
}

static void *wait_ok_main(void *ctx) {
    assert_int_equal(mmi_op_wait(ctx, 0, NULL), MM_OK);
    return NULL;
}

/* Who was told that an op is over may free what the callback uses. */
static void test_first_the_callback_then_who_waits(void **state) {
    (void)state;
    struct scene scene;
    scene_init(&scene);
    struct listener listener = {.scene = &scene};
    sem_init(&listener.hold, 0, 0);
    sem_init(&listener.entered, 0, 0);
    struct mm_op *fetched = NULL;
    struct mm_op *op = op_with(
        &scene,
        (struct mmi_op_config){.callback = listen_and_hold, .user = &listener, .queue = true});
    pthread_t waiter;
    pthread_create(&waiter, NULL, wait_ok_main, op);
    mmi_op_complete(op, MM_OK, NULL);
    sem_wait(&listener.entered);
    assert_int_equal(mmi_op_poll(op, NULL), MM_PENDING);
    assert_int_equal(mmi_completions_next(scene.completions, &fetched), MM_NONE);
    sem_post(&listener.hold);
    pthread_join(waiter, NULL);
    assert_int_equal(mmi_op_poll(op, NULL), MM_OK);
    assert_int_equal(mmi_completions_next(scene.completions, &fetched), MM_OK);
    assert_ptr_equal(fetched, op);
    mmi_op_free(op);
    scene_fini(&scene);
}

static void test_stop_delivers_what_is_outstanding(void **state) {
    (void)state;
    struct scene scene;
    scene_init(&scene);
    struct listener listener = {.scene = &scene};
    sem_init(&listener.hold, 0, 0);
    sem_init(&listener.entered, 0, 0);
    for (unsigned i = 0; i < 20; i++) {
        struct mm_op *op =
            op_with(&scene, (struct mmi_op_config){.callback = listen_and_hold, .user = &listener});
        mmi_op_complete(op, MM_OK, NULL);
        mmi_op_free(op);
    }
    sem_wait(&listener.entered); /* one is being delivered, the others wait behind it */
    for (unsigned i = 0; i < 20; i++) {
        sem_post(&listener.hold);
    }
    mmi_completions_stop(scene.completions);
    assert_int_equal(listener.calls, 20);
    struct mmi_op_config config = {.callback = listen};
    struct mm_op *late = NULL;
    assert_int_equal(mmi_op_new(scene.completions, &config, &late, NULL), MM_CLOSED);
    assert_null(late);
    scene_fini(&scene);
}

/* ---- Queue ----------------------------------------------------------------------------------- */

static void test_queue(void **state) {
    (void)state;
    struct scene scene;
    scene_init(&scene);
    struct mm_op *op = NULL, *ops[5];
    for (unsigned i = 0; i < 5; i++) {
        ops[i] = queued_op(&scene);
    }
    struct mm_op *unqueued = plain_op(&scene);
    assert_int_equal(mmi_completions_next(scene.completions, &op), MM_NONE);
    mmi_op_complete(unqueued, MM_OK, NULL);
    assert_int_equal(mmi_completions_next(scene.completions, &op), MM_NONE);
    assert_null(op);
    mmi_op_free(unqueued);
    mmi_op_free(ops[0]); /* before it completes */
    const unsigned order[] = {3, 0, 1, 4, 2};
    for (unsigned i = 0; i < 5; i++) {
        mmi_op_complete(ops[order[i]], MM_OK, NULL);
    }
    mmi_op_free(ops[1]); /* while it is queued: it is delivered all the same */
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(mmi_completions_next(scene.completions, &op), MM_OK);
        assert_ptr_equal(op, ops[order[i]]);
        assert_int_equal(mmi_op_poll(op, NULL), MM_OK);
        mmi_op_free(op);
        if (i == 1) {
            mmi_completions_stop(scene.completions); /* what is left can still be fetched */
        }
    }
    assert_int_equal(mmi_completions_next(scene.completions, &op), MM_CLOSED);
    scene_fini(&scene);
}

/* Freed before it was fetched, and nobody ever fetches it: it goes with the completion queue. */
static void test_nobody_fetches(void **state) {
    (void)state;
    struct scene scene;
    scene_init(&scene);
    struct mm_op *early = queued_op(&scene), *late = queued_op(&scene), *kept = queued_op(&scene);
    mmi_op_free(early);
    mmi_op_complete(early, MM_OK, NULL);
    mmi_op_complete(late, MM_OK, NULL);
    mmi_op_complete(kept, MM_OK, NULL);
    mmi_op_free(late);
    mmi_completions_stop(scene.completions);
    mmi_completions_free(scene.completions);
    assert_int_equal(mmi_op_poll(kept, NULL), MM_OK);
    mmi_op_free(kept);
    world_fini(&scene.world); /* asserts that nothing is left */
}

static bool readable(int fd) {
    struct pollfd look = {.fd = fd, .events = POLLIN};
    return poll(&look, 1, 0) == 1;
}

static void test_eventfd(void **state) {
    (void)state;
    struct scene scene;
    scene_init(&scene);
    struct mm_op *op, *ops[4];
    for (unsigned i = 0; i < 4; i++) {
        ops[i] = queued_op(&scene);
    }
    mmi_op_complete(ops[0], MM_OK, NULL); /* before anybody asked for the descriptor */
    int fd = mmi_completions_eventfd(scene.completions);
    assert_true(fd >= 0);
    assert_int_equal(mmi_completions_eventfd(scene.completions), fd);
    assert_true(readable(fd));
    assert_int_equal(mmi_completions_next(scene.completions, &op), MM_OK);
    assert_false(readable(fd));
    mmi_op_complete(ops[1], MM_OK, NULL);
    mmi_op_complete(ops[2], MM_OK, NULL);
    uint64_t count; /* the host reads it, as it may, and fetches one op only */
    assert_int_equal(read(fd, &count, sizeof(count)), sizeof(count));
    assert_int_equal(mmi_completions_next(scene.completions, &op), MM_OK);
    assert_true(readable(fd));
    mmi_op_free(ops[2]); /* it is to be fetched all the same */
    assert_true(readable(fd));
    assert_int_equal(mmi_completions_next(scene.completions, &op), MM_OK);
    assert_ptr_equal(op, ops[2]);
    mmi_op_free(op);
    assert_false(readable(fd));
    mmi_op_complete(ops[3], MM_OK, NULL);
    assert_true(readable(fd));
    assert_int_equal(mmi_completions_next(scene.completions, &op), MM_OK);
    assert_false(readable(fd));
    mmi_completions_stop(scene.completions);
    assert_true(readable(fd)); /* whoever polls comes and sees MM_CLOSED */
    assert_int_equal(mmi_completions_next(scene.completions, &op), MM_CLOSED);
    assert_true(readable(fd));
    mmi_op_free(ops[0]);
    mmi_op_free(ops[1]);
    mmi_op_free(ops[3]);
    scene_fini(&scene);
}

static void test_no_descriptor_left(void **state) {
    (void)state;
    struct scene scene;
    scene_init(&scene);
    struct rlimit before, none;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = (struct rlimit){.rlim_cur = 0, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    int fd = mmi_completions_eventfd(scene.completions);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(fd, -1);
    assert_true(mmi_completions_eventfd(scene.completions) >= 0); /* tried again */
    scene_fini(&scene);
}

/* ---- Cancel ---------------------------------------------------------------------------------- */

static void count_cancel(void *ctx, struct mm_op *op) {
    assert_true(mmi_op_cancelled(op));
    assert_ptr_equal(mmi_op_work(op), ctx);
    ++*(unsigned *)ctx;
}

static void test_cancel(void **state) {
    (void)state;
    struct scene scene;
    scene_init(&scene);
    unsigned cancels = 0;
    struct mmi_op_config config = {.cancel = count_cancel, .cancel_ctx = &cancels};
    struct mm_op *op = op_with(&scene, config);
    assert_null(mmi_op_work(op));
    mmi_op_set_work(op, &cancels);
    assert_false(mmi_op_cancelled(op));
    mmi_op_cancel(op);
    mmi_op_cancel(op);
    assert_int_equal(cancels, 1);
    assert_int_equal(mmi_op_poll(op, NULL), MM_PENDING);
    mmi_op_complete(op, MM_OK, NULL); /* it was too late: the work decides */
    mmi_op_cancel(op);
    assert_int_equal(mmi_op_poll(op, NULL), MM_OK);
    mmi_op_free(op);

    op = op_with(&scene, config); /* complete: nobody is asked */
    mmi_op_complete(op, MM_OK, NULL);
    mmi_op_cancel(op);
    assert_false(mmi_op_cancelled(op));
    assert_int_equal(cancels, 1);
    mmi_op_free(op);

    op = plain_op(&scene); /* no function: a flag */
    mmi_op_cancel(op);
    assert_true(mmi_op_cancelled(op));
    mmi_op_complete(op, MM_CANCELLED, NULL);
    mmi_op_free(op);
    scene_fini(&scene);
}

/* ---- Life ------------------------------------------------------------------------------------ */

static void test_ops_outlive_the_board(void **state) {
    (void)state;
    struct scene scene;
    scene_init(&scene);
    struct mmi_env *env = &scene.world.env;
    struct mm_op *plain = plain_op(&scene);
    struct mm_op *queued = queued_op(&scene); /* never fetched */
    mmi_op_complete(plain, MM_BUSY, NULL);
    mmi_op_complete(queued, MM_OK, NULL);
    assert_true(mmi_completions_eventfd(scene.completions) >= 0);
    mmi_completions_stop(scene.completions);
    mmi_completions_free(scene.completions);
    memset(env, 0, sizeof(*env)); /* the mesh is gone, and its environment with it */
    assert_int_equal(mmi_op_poll(plain, NULL), MM_BUSY);
    assert_int_equal(mmi_op_wait(plain, 5, NULL), MM_BUSY);
    mmi_op_cancel(plain);
    mmi_op_free(plain);
    mmi_op_free(queued);
    world_fini(&scene.world);
    mmi_completions_free(NULL);
}

static void test_refusals(void **state) {
    (void)state;
    struct scene scene;
    scene_init(&scene);
    struct listener listener = {.scene = &scene, .output = 42};
    struct mmi_op_config config = {.callback = listen_and_free, .user = &listener};
    struct mm_op *op = NULL;
    mm_error err;
    world_fault(&scene.world, "thread", 1, EAGAIN);
    assert_int_equal(mmi_op_new(scene.completions, &config, &op, &err), MM_NO_THREADS);
    assert_null(op);
    mmi_op_discard(plain_op(&scene)); /* one that needs no thread is not held up by it */
    assert_int_equal(mmi_op_new(scene.completions, &config, &op, NULL), MM_OK);
    mmi_op_complete(op, MM_OK, NULL);
    mmi_completions_stop(scene.completions);
    assert_int_equal(listener.calls, 1);
    scene_fini(&scene);
}

static void test_every_allocation_fails(void **state) {
    (void)state;
    struct scene scene;
    world_init(&scene.world);
    for (uint64_t nth = 1;; nth++) {
        struct listener listener = {.scene = &scene, .output = 42};
        struct mmi_op_config config = {.callback = listen_and_free, .user = &listener};
        struct mm_op *op = NULL;
        unsigned expected = 0;
        scene.completions = NULL;
        world_fail_alloc(&scene.world, nth);
        if (mmi_completions_new(&scene.world.env, &scene.completions, NULL) == MM_OK) {
            if (mmi_op_new(scene.completions, &config, &op, NULL) == MM_OK) {
                mmi_op_complete(op, MM_OK, NULL);
                expected = 1;
            }
            mmi_completions_stop(scene.completions);
        }
        assert_int_equal(listener.calls, expected);
        mmi_completions_free(scene.completions);
        world_fail_alloc(&scene.world, 0);
        assert_int_equal(world_live_bytes(&scene.world), 0);
        if (!world_failed(&scene.world)) {
            assert_true(nth > 2);
            break;
        }
    }
    world_fini(&scene.world);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_result),
        cmocka_unit_test(test_progress),
        cmocka_unit_test(test_wait_with_a_deadline),
        cmocka_unit_test(test_many_waiters),
        cmocka_unit_test(test_discard),
        cmocka_unit_test(test_callbacks_in_order_once),
        cmocka_unit_test(test_a_callback_may_use_others),
        cmocka_unit_test(test_stop_delivers_what_is_outstanding),
        cmocka_unit_test(test_queue),
        cmocka_unit_test(test_nobody_fetches),
        cmocka_unit_test(test_first_the_callback_then_who_waits),
        cmocka_unit_test(test_eventfd),
        cmocka_unit_test(test_no_descriptor_left),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_ops_outlive_the_board),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_every_allocation_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
