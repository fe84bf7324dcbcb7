/* SPDX-License-Identifier: Apache-2.0 */
#include <base/lock.h>
#include <base/thread.h>
#include <work/lane.h>

#include <stdio.h>

struct mmi_lane {
    const struct mmi_env *env;
    char role[16];
    struct mmi_lock lock;   /* guards all below */
    pthread_cond_t pushed;  /* or stopping */
    struct mmi_list queue;  /* of stages, in the order in which they will run */
    struct mmi_list levels; /* the first stage of each priority: a push passes levels, not stages */
    uint32_t queued;        /* stages in the queue */
    uint32_t max;           /* threads */
    uint32_t started;       /* handles in `threads` to join */
    uint32_t alive, running; /* threads that will look at the queue again; those inside a stage */
    bool stopping;
    struct mmi_thread threads[];
};

/* ---- The queue ------------------------------------------------------------------------------- */

static struct mmi_stage *of_node(struct mmi_list *node) {
    return MMI_CONTAINER(node, struct mmi_stage, node);
}

static struct mmi_stage *of_level(struct mmi_list *level) {
    return MMI_CONTAINER(level, struct mmi_stage, level);
}

/* Behind all of its priority: before the first of the next lower one. */
static void enqueue(struct mmi_lane *lane, struct mmi_stage *stage) {
    struct mmi_list *lower = lane->levels.next;
    while (lower != &lane->levels && of_level(lower)->priority >= stage->priority) {
        lower = lower->next;
    }
    bool has_level =
        lower->prev != &lane->levels && of_level(lower->prev)->priority == stage->priority;
    mmi_list_init(&stage->level);
    if (!has_level) {
        mmi_list_insert(lower, &stage->level);
    }
    mmi_list_insert(lower == &lane->levels ? &lane->queue : &of_level(lower)->node, &stage->node);
    stage->queued = true;
    lane->queued++;
}

static void dequeue(struct mmi_lane *lane, struct mmi_stage *stage) {
    struct mmi_list *next = stage->node.next;
    if (mmi_list_linked(&stage->level)) {
        if (next != &lane->queue && of_node(next)->priority == stage->priority) {
            mmi_list_insert(&stage->level, &of_node(next)->level); /* it is the first now */
        }
        mmi_list_remove(&stage->level);
    }
    mmi_list_remove(&stage->node);
    stage->queued = false;
    lane->queued--;
}

/* ---- The threads ----------------------------------------------------------------------------- */

static void lane_main(void *ctx) {
    struct mmi_lane *lane = ctx;
    mmi_lock(&lane->lock);
    for (;;) {
        if (!mmi_list_empty(&lane->queue)) {
            struct mmi_stage *stage = of_node(lane->queue.next);
            dequeue(lane, stage);
            lane->running++;
            mmi_unlock(&lane->lock);
            stage->run(stage); /* it may be gone now */
            mmi_assert_no_locks();
            mmi_lock(&lane->lock);
            lane->running--;
        } else if (!lane->stopping) {
            mmi_lock_wait(&lane->lock, &lane->pushed, &lane->env->clock, 0);
        } else {
            break;
        }
    }
    lane->alive--;
    mmi_unlock(&lane->lock);
}

static mm_status start_thread(struct mmi_lane *lane, mm_error *err) {
    mmi_assert_held(&lane->lock);
    if (lane->started == lane->max) {
        return mmi_fail(err, MM_NO_THREADS, "lane %s: told to have no threads", lane->role);
    }
    MMI_TRY(mmi_thread_start(lane->env, &lane->threads[lane->started], lane->role, lane->started,
                             lane_main, lane, err));
    lane->started++;
    lane->alive++;
    return MM_OK;
}

mm_status mmi_lane_start(struct mmi_lane *lane, mm_error *err) {
    mm_status status = MM_OK;
    mmi_lock(&lane->lock);
    if (lane->stopping) {
        status = mmi_fail(err, MM_CLOSED, "lane %s: stopped", lane->role);
    } else if (lane->alive == 0) {
        status = start_thread(lane, err);
    }
    mmi_unlock(&lane->lock);
    return status;
}

void mmi_lane_push(struct mmi_lane *lane, struct mmi_stage *stage) {
    mmi_lock(&lane->lock);
    if (lane->alive == 0) {
        mmi_unlock(&lane->lock);
        mmi_assert_no_locks();
        stage->run(stage);
        return;
    }
    enqueue(lane, stage);
    bool all_busy = lane->queued > lane->alive - lane->running;
    if (all_busy && !lane->stopping && lane->started < lane->max) {
        start_thread(lane, NULL); /* a lane with fewer threads is slower, not wrong */
    }
    pthread_cond_signal(&lane->pushed);
    mmi_unlock(&lane->lock);
}

bool mmi_lane_remove(struct mmi_lane *lane, struct mmi_stage *stage) {
    mmi_lock(&lane->lock);
    bool removed = stage->queued;
    if (removed) {
        dequeue(lane, stage);
    }
    mmi_unlock(&lane->lock);
    return removed;
}

void mmi_lane_raise(struct mmi_lane *lane, struct mmi_stage *stage, int32_t priority) {
    mmi_lock(&lane->lock);
    if (stage->queued && stage->priority < priority) {
        dequeue(lane, stage);
        stage->priority = priority;
        enqueue(lane, stage);
    }
    mmi_unlock(&lane->lock);
}

uint32_t mmi_lane_threads(struct mmi_lane *lane) {
    mmi_lock(&lane->lock);
    uint32_t alive = lane->alive;
    mmi_unlock(&lane->lock);
    return alive;
}

/* ---- Life ------------------------------------------------------------------------------------ */

static size_t lane_bytes(uint32_t threads) {
    return sizeof(struct mmi_lane) + threads * sizeof(struct mmi_thread);
}

mm_status mmi_lane_new(const struct mmi_env *env, const char *role, uint32_t threads,
                       struct mmi_lane **lane, mm_error *err) {
    struct mmi_lane *made = mmi_alloc(&env->alloc, 1, lane_bytes(threads));
    if (!made || mmi_cond_init(&made->pushed) != 0) {
        mmi_free(&env->alloc, made, lane_bytes(threads));
        return mmi_fail(err, MM_NO_MEMORY, "lane %s: out of memory", role);
    }
    made->env = env;
    snprintf(made->role, sizeof(made->role), "%s", role);
    mmi_lock_init(&made->lock, MMI_RANK_LANE);
    mmi_list_init(&made->queue);
    mmi_list_init(&made->levels);
    made->max = threads;
    *lane = made;
    return MM_OK;
}

void mmi_lane_stop(struct mmi_lane *lane) {
    mmi_lock(&lane->lock);
    lane->stopping = true; /* from here on `started` stands still */
    pthread_cond_broadcast(&lane->pushed);
    mmi_unlock(&lane->lock);
    for (uint32_t i = 0; i < lane->started; i++) {
        mmi_thread_join(&lane->threads[i]);
    }
}

void mmi_lane_free(struct mmi_lane *lane) {
    if (lane) {
        pthread_cond_destroy(&lane->pushed);
        mmi_lock_fini(&lane->lock);
        mmi_free(&lane->env->alloc, lane, lane_bytes(lane->max));
    }
}
