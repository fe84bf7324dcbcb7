/* SPDX-License-Identifier: Apache-2.0 */
#include <base/lock.h>
#include <base/thread.h>
#include <work/ticker.h>

struct mmi_ticker {
    const struct mmi_env *env;
    uint64_t (*tick)(void *ctx, uint64_t now_ns);
    void *ctx;
    struct mmi_lock lock;   /* guards all below */
    pthread_cond_t changed; /* at_ns is earlier, or stopping */
    uint64_t at_ns;         /* 0 = nothing armed */
    bool stopping;
    struct mmi_thread thread;
};

/* True when `at_ns` became the next time. */
static bool advance_to(struct mmi_ticker *ticker, uint64_t at_ns) {
    mmi_assert_held(&ticker->lock);
    bool earlier = at_ns != 0 && (ticker->at_ns == 0 || at_ns < ticker->at_ns);
    if (earlier) {
        ticker->at_ns = at_ns;
    }
    return earlier;
}

static void ticker_main(void *ctx) {
    struct mmi_ticker *ticker = ctx;
    const struct mmi_clock *clock = &ticker->env->clock;
    mmi_lock(&ticker->lock);
    while (!ticker->stopping) {
        uint64_t now_ns = ticker->at_ns != 0 ? mmi_now(clock) : 0;
        if (ticker->at_ns == 0 || now_ns < ticker->at_ns) {
            mmi_lock_wait(&ticker->lock, &ticker->changed, clock, ticker->at_ns);
            continue;
        }
        ticker->at_ns = 0;
        mmi_unlock(&ticker->lock);
        uint64_t next_ns = ticker->tick(ticker->ctx, now_ns);
        mmi_assert_no_locks();
        mmi_lock(&ticker->lock);
        advance_to(ticker, next_ns);
    }
    mmi_unlock(&ticker->lock);
}

mm_status mmi_ticker_start(struct mmi_ticker *ticker, mm_error *err) {
    mm_status status = MM_OK;
    mmi_lock(&ticker->lock);
    if (ticker->stopping) {
        status = mmi_fail(err, MM_CLOSED, "timer: stopped");
    } else if (!ticker->thread.running) {
        status =
            mmi_thread_start(ticker->env, &ticker->thread, "timer", 0, ticker_main, ticker, err);
    }
    mmi_unlock(&ticker->lock);
    return status;
}

void mmi_ticker_arm(struct mmi_ticker *ticker, uint64_t at_ns) {
    mmi_lock(&ticker->lock);
    if (advance_to(ticker, at_ns)) {
        pthread_cond_signal(&ticker->changed);
    }
    mmi_unlock(&ticker->lock);
}

void mmi_ticker_stop(struct mmi_ticker *ticker) {
    mmi_lock(&ticker->lock);
    ticker->stopping = true;
    pthread_cond_signal(&ticker->changed);
    mmi_unlock(&ticker->lock);
    mmi_thread_join(&ticker->thread);
}

mm_status mmi_ticker_new(const struct mmi_env *env, uint64_t (*tick)(void *ctx, uint64_t now_ns),
                         void *ctx, struct mmi_ticker **ticker, mm_error *err) {
    struct mmi_ticker *made = mmi_alloc(&env->alloc, 1, sizeof(*made));
    if (!made || mmi_cond_init(&made->changed) != 0) {
        mmi_free(&env->alloc, made, sizeof(*made));
        return mmi_fail(err, MM_NO_MEMORY, "timer: out of memory");
    }
    made->env = env;
    made->tick = tick;
    made->ctx = ctx;
    mmi_lock_init(&made->lock, MMI_RANK_TICKER);
    *ticker = made;
    return MM_OK;
}

void mmi_ticker_free(struct mmi_ticker *ticker) {
    if (ticker) {
        pthread_cond_destroy(&ticker->changed);
        mmi_lock_fini(&ticker->lock);
        mmi_free(&ticker->env->alloc, ticker, sizeof(*ticker));
    }
}
