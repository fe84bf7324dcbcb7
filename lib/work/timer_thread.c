/* SPDX-License-Identifier: Apache-2.0 */
#include <base/lock.h>
#include <base/thread.h>
#include <work/timer_thread.h>

struct mmi_timer_thread {
    const struct mmi_env *env;
    uint64_t (*tick)(void *ctx, uint64_t now_ns);
    void *ctx;
    struct mmi_lock lock;    /* guards all below */
    struct mmi_cond changed; /* at_ns is earlier, or stopping */
    uint64_t at_ns;          /* 0 = nothing armed */
    bool stopping;
    struct mmi_thread thread;
};

/* True when `at_ns` became the next time. */
static bool advance_to(struct mmi_timer_thread *timer_thread, uint64_t at_ns) {
    mmi_assert_held(&timer_thread->lock);
    bool earlier = at_ns != 0 && (timer_thread->at_ns == 0 || at_ns < timer_thread->at_ns);
    if (earlier) {
        timer_thread->at_ns = at_ns;
    }
    return earlier;
}

static void timer_thread_main(void *ctx) {
    struct mmi_timer_thread *timer_thread = ctx;
    const struct mmi_clock *clock = &timer_thread->env->clock;
    mmi_lock(&timer_thread->lock);
    while (!timer_thread->stopping) {
        uint64_t now_ns = timer_thread->at_ns != 0 ? mmi_now(clock) : 0;
        if (timer_thread->at_ns == 0 || now_ns < timer_thread->at_ns) {
            mmi_cond_wait(&timer_thread->changed, &timer_thread->lock, clock, timer_thread->at_ns);
            continue;
        }
        timer_thread->at_ns = 0;
        mmi_unlock(&timer_thread->lock);
        uint64_t next_ns = timer_thread->tick(timer_thread->ctx, now_ns);
        mmi_assert_no_locks();
        mmi_lock(&timer_thread->lock);
        advance_to(timer_thread, next_ns);
    }
    mmi_unlock(&timer_thread->lock);
}

mm_status mmi_timer_thread_start(struct mmi_timer_thread *timer_thread, mm_error *err) {
    mm_status status = MM_OK;
    mmi_lock(&timer_thread->lock);
    if (timer_thread->stopping) {
        status = mmi_fail(err, MM_CLOSED, "timer: stopped");
    } else if (!timer_thread->thread.running) {
        status = mmi_thread_start(timer_thread->env, &timer_thread->thread, "timer", 0,
                                  timer_thread_main, timer_thread, err);
    }
    mmi_unlock(&timer_thread->lock);
    return status;
}

void mmi_timer_thread_arm(struct mmi_timer_thread *timer_thread, uint64_t at_ns) {
    mmi_lock(&timer_thread->lock);
    if (advance_to(timer_thread, at_ns)) {
        mmi_cond_signal(&timer_thread->changed);
    }
    mmi_unlock(&timer_thread->lock);
}

void mmi_timer_thread_stop(struct mmi_timer_thread *timer_thread) {
    mmi_lock(&timer_thread->lock);
    timer_thread->stopping = true;
    mmi_cond_signal(&timer_thread->changed);
    mmi_unlock(&timer_thread->lock);
    mmi_thread_join(&timer_thread->thread);
}

mm_status mmi_timer_thread_new(const struct mmi_env *env,
                               uint64_t (*tick)(void *ctx, uint64_t now_ns), void *ctx,
                               struct mmi_timer_thread **timer_thread, mm_error *err) {
    struct mmi_timer_thread *made = mmi_alloc(&env->alloc, 1, sizeof(*made));
    if (!made || mmi_cond_init(&made->changed, env) != 0) {
        mmi_free(&env->alloc, made, sizeof(*made));
        return mmi_fail(err, MM_NO_MEMORY, "timer: out of memory");
    }
    made->env = env;
    made->tick = tick;
    made->ctx = ctx;
    mmi_lock_init(&made->lock, MMI_RANK_TIMER_THREAD);
    *timer_thread = made;
    return MM_OK;
}

void mmi_timer_thread_free(struct mmi_timer_thread *timer_thread) {
    if (timer_thread) {
        mmi_cond_fini(&timer_thread->changed);
        mmi_lock_fini(&timer_thread->lock);
        mmi_free(&timer_thread->env->alloc, timer_thread, sizeof(*timer_thread));
    }
}
