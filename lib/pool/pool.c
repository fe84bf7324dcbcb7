/* SPDX-License-Identifier: Apache-2.0 */
#include <base/checked.h>
#include <base/thread.h>
#include <pool/pool.h>

#include <linux/futex.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SPIN_NS 20000u
#define LOOKS_PER_YIELD 16u
/* A range is cut into this many pieces per thread, so that a thread that loses its CPU delays
 * little. */
#define PIECES_PER_THREAD 32u

/* One call in progress. Jobs live as long as the pool, so a late thread may look at one at any
 * time; everything below `left` is read only by who took a piece, and the owner waits for those. */
struct job {
    _Alignas(64) _Atomic int32_t left; /* pieces that nobody took yet; <= 0 = nothing to do here */
    _Atomic uint32_t done;             /* pieces finished; the owner's futex */
    atomic_bool owned, asleep;         /* by a caller; the owner sleeps on `done` */
    int32_t pieces;
    uint64_t count, grain; /* items; items in a piece */
    void (*body)(void *ctx, uint64_t i);
    void *ctx;
    const struct mmi_frame *frame; /* the caller's */
    _Atomic int64_t backend_bytes; /* of tls, by all pieces: they are the caller's */
};

struct worker {
    struct mmi_pool *pool;
    uint32_t first_job; /* where it looks first: spreads workers over callers */
    struct mmi_thread thread;
};

enum { COLD, STARTING, STARTED };

struct mmi_pool {
    const struct mmi_env *env;
    uint32_t threads;
    mm_parallel host;
    struct mmi_clock clock; /* always the real one: spinning is about real CPUs */
    _Atomic int state;      /* of the workers: COLD ... */
    atomic_bool stopping;
    _Atomic uint32_t posted;   /* counts jobs; the workers' futex */
    _Atomic uint32_t sleepers; /* workers asleep on it, or about to be */
    uint32_t worker_count;     /* that did start; written before STARTED */
    uint32_t room;             /* of jobs and workers: threads - 1 */
    struct job *jobs;          /* [room]: more could not be helped at once */
    struct worker *workers;    /* [room] */
};

/* ---- Spin and sleep ------------------------------------------------------------------------- */

static void futex_wait(_Atomic uint32_t *word, uint32_t seen) {
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
}

static void futex_wake(_Atomic uint32_t *word, uint32_t threads) {
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, threads, NULL, NULL, 0);
}

static void relax(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Spin while *word is `seen`, for SPIN_NS at most. True when it changed. */
static bool spin(const struct mmi_pool *pool, const _Atomic uint32_t *word, uint32_t seen) {
    uint64_t end_ns = mmi_now(&pool->clock) + SPIN_NS;
    do {
        for (unsigned i = 0; i < LOOKS_PER_YIELD; i++) {
            if (atomic_load_explicit(word, memory_order_acquire) != seen) {
                return true;
            }
            relax();
        }
        sched_yield(); /* the other thread may need this very CPU */
    } while (mmi_now(&pool->clock) < end_ns);
    return false;
}

/* ---- Workers -------------------------------------------------------------------------------- */

static bool take_piece(struct job *job, int32_t *left) {
    if (atomic_load_explicit(&job->left, memory_order_relaxed) <= 0) {
        return false; /* the common case: nothing is written */
    }
    /* Whatever job stands here by now: a positive count is a piece of it, and it cannot end
     * before this piece does. Acquire: the owner wrote the rest of the job before. */
    *left = atomic_fetch_sub_explicit(&job->left, 1, memory_order_acquire);
    return *left > 0;
}

static void finish_piece(struct job *job) {
    int32_t pieces = job->pieces; /* after the add below the job may be the next caller's */
    uint32_t done = atomic_fetch_add(&job->done, 1) + 1;
    if (done == (uint32_t)pieces && atomic_load(&job->asleep)) {
        futex_wake(&job->done, 1);
    }
}

/* What a backend allocated since `before` goes to the call's account. */
static void move_backend_bytes(int64_t before, _Atomic int64_t *account) {
    struct mmi_tls *tls = mmi_tls();
    if (tls->backend_bytes != before) {
        atomic_fetch_add(account, tls->backend_bytes - before);
        tls->backend_bytes = before;
    }
}

static void work_on(struct job *job) {
    struct mmi_tls *tls = mmi_tls();
    int32_t left;
    while (take_piece(job, &left)) {
        uint64_t first = (uint64_t)(job->pieces - left) * job->grain;
        uint64_t end = mmi_min_u64(first + job->grain, job->count);
        int64_t before = tls->backend_bytes;
        tls->frame = job->frame;
        for (uint64_t i = first; i < end; i++) {
            job->body(job->ctx, i);
        }
        move_backend_bytes(before, &job->backend_bytes);
        finish_piece(job);
    }
}

static void worker_main(void *ctx) {
    struct worker *worker = ctx;
    struct mmi_pool *pool = worker->pool;
    mmi_tls()->inside_body = true; /* it runs nothing else */
    for (;;) {
        uint32_t posted = atomic_load(&pool->posted);
        if (atomic_load(&pool->stopping)) {
            return;
        }
        for (uint32_t i = 0; i < pool->room; i++) {
            work_on(&pool->jobs[(worker->first_job + i) % pool->room]);
        }
        mmi_tls()->frame = NULL;
        if (!spin(pool, &pool->posted, posted)) {
            /* Set before the kernel reads `posted` again: either it sees the new job, or the poster
             * sees the sleeper. */
            atomic_fetch_add(&pool->sleepers, 1);
            futex_wait(&pool->posted, posted);
            atomic_fetch_sub(&pool->sleepers, 1);
        }
    }
}

/* ---- Callers -------------------------------------------------------------------------------- */

/* The first caller starts the workers; whoever comes meanwhile does not wait for that. True when
 * there are any. */
static bool have_workers(struct mmi_pool *pool) {
    int state = atomic_load_explicit(&pool->state, memory_order_acquire);
    if (state == COLD && atomic_compare_exchange_strong(&pool->state, &state, STARTING)) {
        mm_error err;
        while (pool->worker_count < pool->room) {
            struct worker *worker = &pool->workers[pool->worker_count];
            *worker = (struct worker){.pool = pool, .first_job = pool->worker_count};
            if (mmi_thread_start(pool->env, &worker->thread, "compute", pool->worker_count,
                                 worker_main, worker, &err) != MM_OK) {
                mmi_log(&pool->env->log, MM_LOG_WARNING, "computing on %u of %u threads: %s",
                        pool->worker_count + 1, pool->threads, err.text);
                break;
            }
            pool->worker_count++;
        }
        atomic_store_explicit(&pool->state, STARTED, memory_order_release);
        state = STARTED;
    }
    return state == STARTED && pool->worker_count > 0;
}

static struct job *own_job(struct mmi_pool *pool) {
    for (uint32_t i = 0; i < pool->room; i++) {
        struct job *job = &pool->jobs[i];
        if (!atomic_load_explicit(&job->owned, memory_order_relaxed) &&
            !atomic_exchange_explicit(&job->owned, true, memory_order_acquire)) {
            return job;
        }
    }
    return NULL;
}

static void post(struct mmi_pool *pool, struct job *job) {
    atomic_store_explicit(&job->done, 0, memory_order_relaxed);
    atomic_store_explicit(&job->left, job->pieces, memory_order_release);
    atomic_fetch_add(&pool->posted, 1);
    if (atomic_load(&pool->sleepers) > 0) {
        futex_wake(&pool->posted, (uint32_t)job->pieces - 1);
    }
}

/* All pieces are taken: wait for those that others run. */
static void await(struct mmi_pool *pool, struct job *job) {
    uint32_t pieces = (uint32_t)job->pieces;
    uint32_t done = atomic_load_explicit(&job->done, memory_order_acquire);
    while (done != pieces) {
        if (!spin(pool, &job->done, done)) {
            atomic_store(&job->asleep, true);
            done = atomic_load(&job->done);
            if (done != pieces) {
                futex_wait(&job->done, done);
            }
            atomic_store_explicit(&job->asleep, false, memory_order_relaxed);
        }
        done = atomic_load_explicit(&job->done, memory_order_acquire);
    }
}

static void run_alone(uint64_t count, void (*body)(void *ctx, uint64_t i), void *ctx) {
    for (uint64_t i = 0; i < count; i++) {
        body(ctx, i);
    }
}

static void run_shared(struct mmi_pool *pool, uint64_t count, void (*body)(void *ctx, uint64_t i),
                       void *ctx) {
    struct job *job = have_workers(pool) ? own_job(pool) : NULL;
    if (!job) {
        run_alone(count, body, ctx);
        return;
    }
    uint64_t grain = mmi_max_u64(count / (pool->threads * PIECES_PER_THREAD), 1);
    job->grain = grain;
    job->pieces = (int32_t)(count / grain + (count % grain != 0));
    job->count = count;
    job->body = body;
    job->ctx = ctx;
    job->frame = mmi_tls()->frame;
    atomic_store_explicit(&job->backend_bytes, 0, memory_order_relaxed);
    post(pool, job);
    work_on(job);
    await(pool, job);
    mmi_tls()->backend_bytes += atomic_load(&job->backend_bytes);
    atomic_store_explicit(&job->owned, false, memory_order_release);
}

/* ---- The host's parallel_for ---------------------------------------------------------------- */

struct host_call {
    void (*body)(void *ctx, uint64_t i);
    void *ctx;
    const struct mmi_frame *frame;
    _Atomic int64_t backend_bytes; /* as of a job */
};

/* The host's thread becomes one of the call for the time of a body. */
static void host_body(void *ctx, uint64_t i) {
    struct host_call *call = ctx;
    struct mmi_tls *tls = mmi_tls();
    struct mmi_tls before = *tls;
    tls->frame = call->frame;
    tls->inside_body = true;
    call->body(call->ctx, i);
    move_backend_bytes(before.backend_bytes, &call->backend_bytes);
    tls->frame = before.frame;
    tls->inside_body = before.inside_body;
}

static void run_on_host(struct mmi_pool *pool, uint64_t count, void (*body)(void *ctx, uint64_t i),
                        void *ctx) {
    struct host_call call = {.body = body, .ctx = ctx, .frame = mmi_tls()->frame};
    pool->host.run(pool->host.user, pool->threads, count, host_body, &call);
    mmi_tls()->backend_bytes += atomic_load(&call.backend_bytes);
}

/* ---- Interface ------------------------------------------------------------------------------ */

void mmi_pool_run(struct mmi_pool *pool, uint64_t count, void (*body)(void *ctx, uint64_t i),
                  void *ctx) {
    struct mmi_tls *tls = mmi_tls();
    if (pool->threads == 1 || count <= 1 || tls->inside_body) {
        run_alone(count, body, ctx);
        return;
    }
    tls->inside_body = true;
    if (pool->host.run) {
        run_on_host(pool, count, body, ctx);
    } else {
        run_shared(pool, count, body, ctx);
    }
    tls->inside_body = false;
}

uint32_t mmi_pool_threads(const struct mmi_pool *pool) {
    return pool->threads;
}

mm_status mmi_pool_new(const struct mmi_env *env, uint32_t threads, const mm_parallel *host,
                       struct mmi_pool **pool, mm_error *err) {
    if (threads == 0 || threads > MMI_POOL_MAX_THREADS) {
        return mmi_fail(err, MM_INVALID_ARGUMENT, "compute threads: %u, at most %u", threads,
                        MMI_POOL_MAX_THREADS);
    }
    struct mmi_pool *made = mmi_alloc(&env->alloc, 1, sizeof(*made));
    if (!made) {
        return mmi_fail(err, MM_NO_MEMORY, "compute threads: out of memory");
    }
    made->env = env;
    made->threads = threads;
    made->host = host ? *host : (mm_parallel){0};
    made->room = made->host.run ? 0 : threads - 1;
    mmi_clock_init(&made->clock, NULL, NULL);
    if (made->room > 0) {
        made->jobs =
            mmi_alloc_aligned(&env->alloc, made->room * sizeof(*made->jobs), _Alignof(struct job));
        made->workers = mmi_alloc(&env->alloc, made->room, sizeof(*made->workers));
        if (!made->jobs || !made->workers) {
            mmi_pool_free(made);
            return mmi_fail(err, MM_NO_MEMORY, "compute threads: out of memory");
        }
    }
    *pool = made;
    return MM_OK;
}

void mmi_pool_free(struct mmi_pool *pool) {
    if (!pool) {
        return;
    }
    atomic_store(&pool->stopping, true);
    atomic_fetch_add(&pool->posted, 1);
    futex_wake(&pool->posted, pool->worker_count);
    for (uint32_t i = 0; i < pool->worker_count; i++) {
        mmi_thread_join(&pool->workers[i].thread);
    }
    const mm_allocator *alloc = &pool->env->alloc;
    mmi_free(alloc, pool->workers, pool->room * sizeof(*pool->workers));
    mmi_free(alloc, pool->jobs, pool->room * sizeof(*pool->jobs));
    mmi_free(alloc, pool, sizeof(*pool));
}
