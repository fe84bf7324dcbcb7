/* SPDX-License-Identifier: Apache-2.0 */

/* Operations under threads: the work completes, callers cancel, wait, poll and free, in every
 * order that the scheduler and the seed bring about. A small stand-in for residency owns the
 * work. */

#include <base/list.h>
#include <base/lock.h>
#include <support/world.h>
#include <work/op.h>

#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

#define CALLERS 3
#define ROUNDS 400

static uint64_t seed;

/* The work of one op: open until either a worker or a cancel takes it out, under the core's
 * lock. */
struct work {
    struct mmi_list node;
    struct mm_op *op;
};

struct core {
    struct mmi_completions *completions;
    struct mmi_lock lock; /* guards all below; taken by cancel, as residency's is */
    struct mmi_list open;
    bool closed;
    _Atomic unsigned created, completed, callbacks, wanted_callbacks, fetched, cancel_calls;
};

static void finish(struct core *core, struct work *work, mm_status status) {
    mmi_assert_held(&core->lock);
    struct mm_op *op = work->op;
    mmi_list_remove(&work->node);
    mmi_op_set_work(op, NULL);
    free(work);
    atomic_fetch_add(&core->completed, 1);
    mmi_op_complete(op, status, NULL); /* under the lock of the core, as allowed */
}

static void cancel(void *ctx, struct mm_op *op) {
    struct core *core = ctx;
    atomic_fetch_add(&core->cancel_calls, 1);
    mmi_lock(&core->lock);
    struct work *work = mmi_op_work(op);
    if (work) {
        finish(core, work, MM_CANCELLED);
    }
    mmi_unlock(&core->lock);
}

static void callback(void *user, struct mm_op *op) {
    struct core *core = user;
    assert_int_not_equal(mmi_op_poll(op, NULL), MM_PENDING);
    atomic_fetch_add(&core->callbacks, 1);
}

static void callback_frees(void *user, struct mm_op *op) {
    callback(user, op);
    mmi_op_free(op);
}

static struct mm_op *submit(struct core *core, struct mmi_op_config config) {
    config.user = core;
    config.cancel = cancel;
    config.cancel_ctx = core;
    struct mm_op *op;
    assert_int_equal(mmi_op_new(core->completions, &config, &op, NULL), MM_OK);
    struct work *work = calloc(1, sizeof(*work));
    assert_non_null(work);
    work->op = op;
    atomic_fetch_add(&core->created, 1);
    atomic_fetch_add(&core->wanted_callbacks, config.callback != NULL);
    mmi_lock(&core->lock);
    mmi_op_set_work(op, work);
    mmi_list_push_back(&core->open, &work->node);
    mmi_unlock(&core->lock);
    return op;
}

/* ---- Threads --------------------------------------------------------------------------------- */

struct actor {
    struct core *core;
    uint64_t random;
    pthread_t thread;
};

static void *worker_main(void *ctx) {
    struct actor *actor = ctx;
    struct core *core = actor->core;
    for (bool over = false; !over;) {
        mmi_lock(&core->lock);
        over = core->closed && mmi_list_empty(&core->open);
        if (!mmi_list_empty(&core->open)) {
            bool first = test_random_below(&actor->random, 2) == 0;
            struct mmi_list *node = first ? core->open.next : core->open.prev;
            struct work *work = MMI_CONTAINER(node, struct work, node);
            mmi_op_set_progress(work->op, 500, 1, 2);
            finish(core, work, MM_OK);
        }
        mmi_unlock(&core->lock);
    }
    return NULL;
}

static void *canceller_main(void *ctx) {
    mmi_op_cancel(ctx);
    return NULL;
}

/* One op of the caller's, used in a way that the number chooses. */
static void use(struct core *core, uint64_t way) {
    pthread_t other;
    mm_status status;
    struct mm_op *op;
    switch (way) {
    case 0: /* detached at once */
        mmi_op_free(submit(core, (struct mmi_op_config){.callback = callback}));
        break;
    case 1: /* owned by its callback */
        submit(core, (struct mmi_op_config){.callback = callback_frees});
        break;
    case 2: /* cancelled and waited for */
        op = submit(core, (struct mmi_op_config){.callback = callback});
        mmi_op_cancel(op);
        status = mmi_op_wait(op, 0, NULL);
        assert_true(status == MM_OK || status == MM_CANCELLED);
        mmi_op_free(op);
        break;
    case 3: /* cancelled from two threads, freed before it is over */
        op = submit(core, (struct mmi_op_config){.callback = callback});
        pthread_create(&other, NULL, canceller_main, op);
        mmi_op_cancel(op);
        pthread_join(other, NULL);
        mmi_op_free(op);
        break;
    case 4: /* waited for while another thread cancels */
        op = submit(core, (struct mmi_op_config){.queue = false});
        pthread_create(&other, NULL, canceller_main, op);
        status = mmi_op_wait(op, 0, NULL);
        assert_true(status == MM_OK || status == MM_CANCELLED);
        pthread_join(other, NULL);
        mmi_op_free(op);
        break;
    case 5: /* polled */
        op = submit(core, (struct mmi_op_config){.callback = callback});
        while (mmi_op_poll(op, NULL) == MM_PENDING) {
            int32_t stage;
            uint32_t permille;
            uint64_t done_bytes, total_bytes;
            mmi_op_progress(op, &stage, &permille, &done_bytes, &total_bytes);
            assert_true(permille == 0 || permille == 500);
            sched_yield();
        }
        mmi_op_free(op);
        break;
    default: /* left to whoever fetches it: from now on it may be freed by any thread */
        submit(core, (struct mmi_op_config){.queue = true});
        if (mmi_completions_next(core->completions, &op) == MM_OK) {
            assert_int_not_equal(mmi_op_wait(op, 1, NULL), MM_PENDING);
            atomic_fetch_add(&core->fetched, 1);
            mmi_op_free(op);
        }
    }
}

static void *caller_main(void *ctx) {
    struct actor *actor = ctx;
    for (unsigned round = 0; round < ROUNDS; round++) {
        use(actor->core, test_random_below(&actor->random, 7));
    }
    return NULL;
}

static void start(struct actor *actor, struct core *core, uint64_t random, void *(*run)(void *)) {
    *actor = (struct actor){.core = core, .random = random};
    assert_int_equal(pthread_create(&actor->thread, NULL, run, actor), 0);
}

static void test_every_order(void **state) {
    (void)state;
    struct world world;
    world_init(&world);
    struct core core = {.closed = false};
    mmi_lock_init(&core.lock, MMI_RANK_RESIDENCY);
    mmi_list_init(&core.open);
    assert_int_equal(mmi_completions_new(&world.env, &core.completions, NULL), MM_OK);
    assert_true(mmi_completions_eventfd(core.completions) >= 0);
    struct actor workers[2], callers[CALLERS];
    for (unsigned i = 0; i < 2; i++) {
        start(&workers[i], &core, seed + 100 + i, worker_main);
    }
    for (unsigned i = 0; i < CALLERS; i++) {
        start(&callers[i], &core, seed + i, caller_main);
    }
    for (unsigned i = 0; i < CALLERS; i++) {
        pthread_join(callers[i].thread, NULL);
    }
    mmi_lock(&core.lock);
    core.closed = true;
    mmi_unlock(&core.lock);
    for (unsigned i = 0; i < 2; i++) {
        pthread_join(workers[i].thread, NULL);
    }
    mmi_completions_stop(core.completions);
    struct mm_op *op;
    while (mmi_completions_next(core.completions, &op) == MM_OK) {
        atomic_fetch_add(&core.fetched, 1);
        mmi_op_free(op);
    }
    mmi_completions_free(core.completions);
    assert_int_equal(core.completed, core.created);
    assert_int_equal(core.callbacks, core.wanted_callbacks);
    assert_true(core.fetched > 0 && core.cancel_calls > 0);
    mmi_lock_fini(&core.lock);
    world_fini(&world); /* every op and the completions are gone */
}

int main(int argc, char **argv) {
    seed = test_seed(argc, argv);
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_order)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
